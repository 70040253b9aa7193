"""Counting tokens at providers: the call that is made, and its answer read; by recorded ones where there are some."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import CODECS
from pipeline.values.exchange import How, Loss
from pipeline.values.messages import (
    ChatRequest,
    Message,
    Prompt,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import EVERY

RECORDED = {found.id: found for found in EVERY if "count" in found.api.lower()}
HI = Message(Role.USER, (Text("hi"),))
ASKED = ChatRequest(
    "asked", (Message(Role.SYSTEM, (Text("be kind"),)), HI), sampling=Sampling(99, 0.5), stream=True
)
FULL = ChatRequest(
    "asked",
    ASKED.messages,
    tools=(Tool("f", "d", {"type": "object", "properties": {}}),),
    sampling=Sampling(99, 0.5),
    stream=True,
    user="eve",
)
BASES = {
    "anthropic": "https://api.anthropic.com",
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "aws_bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com",
    "openai": "https://api.openai.com/v1",
}


def target(kind, model):
    provider = Provider("p", kind, BASES.get(kind, "https://x.example"), settings={"region": "us-east-1"})
    return Target(provider, ModelFacts(model))


def call(kind, model, request):
    http = CODECS[kind].count(request, target(kind, model))
    return http.url.removeprefix(BASES[kind]), json.loads(http.body)


def test_every_recording_is_looked_at():
    assert set(RECORDED) == {
        "anthropic.count_tokens-json-001",
        "bedrock.count_tokens-json-001",
        "bedrock.count_tokens-json-003",
        "gemini.countTokens-json-001",
    }


@pytest.mark.parametrize(
    ("kind", "id", "tokens"),
    [
        pytest.param("anthropic", "anthropic.count_tokens-json-001", 758, id="Anthropic"),
        pytest.param("google", "gemini.countTokens-json-001", 9, id="Google"),
        pytest.param("aws_bedrock", "bedrock.count_tokens-json-001", None, id="Bedrock, which refused"),
        pytest.param("aws_bedrock", "bedrock.count_tokens-json-003", None, id="Bedrock, that does not count"),
    ],
)
def test_a_recorded_answer(kind, id, tokens):
    assert CODECS[kind].counted(RECORDED[id].body) == tokens


def test_a_recorded_request_goes_out_as_it_came():
    sent = RECORDED["anthropic.count_tokens-json-001"].request
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "b-1"}
    source = Source(
        "anthropic.messages", {**sent, "max_tokens": 5, "stream": True, "temperature": 1}, headers
    )
    request = ChatRequest("asked", (HI,), stream=True, source=source)
    http = CODECS["anthropic"].count(request, target("anthropic", "m"))
    assert (http.method, http.url) == ("POST", "https://api.anthropic.com/v1/messages/count_tokens")
    assert json.loads(http.body) == {**sent, "model": "m"}
    assert {name: http.headers[name] for name in headers} == headers
    assert http.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("kind", "model", "path", "body"),
    [
        pytest.param(
            "anthropic",
            "claude-sonnet-4-5",
            "/v1/messages/count_tokens",
            {
                "model": "claude-sonnet-4-5",
                "system": [{"type": "text", "text": "be kind"}],
                "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
                "tools": [
                    {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
                ],
            },
            id="Anthropic is told nothing of the answer",
        ),
        pytest.param(
            "google",
            "gemini-2.5-flash",
            "/models/gemini-2.5-flash:countTokens",
            {
                "generateContentRequest": {
                    "model": "models/gemini-2.5-flash",
                    "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
                    "systemInstruction": {"parts": [{"text": "be kind"}]},
                    "generationConfig": {"temperature": 0.5, "maxOutputTokens": 99},
                    "tools": [
                        {
                            "functionDeclarations": [
                                {
                                    "name": "f",
                                    "description": "d",
                                    "parametersJsonSchema": {"type": "object", "properties": {}},
                                }
                            ]
                        }
                    ],
                }
            },
            id="Google is told the whole request, and the model in it",
        ),
        pytest.param(
            "aws_bedrock",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens",
            {
                "input": {
                    "converse": {
                        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
                        "system": [{"text": "be kind"}],
                        "toolConfig": {
                            "tools": [
                                {
                                    "toolSpec": {
                                        "name": "f",
                                        "description": "d",
                                        "inputSchema": {"json": {"type": "object", "properties": {}}},
                                    }
                                }
                            ]
                        },
                    }
                }
            },
            id="Bedrock counts for the model behind a profile",
        ),
        pytest.param(
            "openai",
            "gpt-5.1",
            "/responses/input_tokens",
            {
                "model": "gpt-5.1",
                "instructions": "be kind",
                "input": [{"role": "user", "content": "hi"}],
                "tools": [
                    {
                        "type": "function",
                        "name": "f",
                        "description": "d",
                        "parameters": {"type": "object", "properties": {}},
                        "strict": False,
                    }
                ],
            },
            id="OpenAI counts in the form of responses",
        ),
    ],
)
def test_the_call_that_counts(kind, model, path, body):
    assert call(kind, model, FULL) == (path, body)


@pytest.mark.parametrize(
    ("kind", "model", "request_"),
    [
        pytest.param("openai", "llama3", ASKED, id="a model that is not OpenAI's"),
        pytest.param("openai", "gpt-5.1", ChatRequest("m", prompt=Prompt("go on")), id="a bare prompt"),
        pytest.param(
            "aws_bedrock", "amazon.nova-pro-v1:0", ASKED, id="a model that Bedrock does not count for"
        ),
        pytest.param(
            "anthropic", "m", ChatRequest("m", prompt=Prompt("a", suffix="b")), id="what cannot be asked"
        ),
        pytest.param("google", "m", ChatRequest("m", prompt=Prompt("a", suffix="b")), id="nor of Google"),
    ],
)
def test_what_is_not_counted(kind, model, request_):
    assert CODECS[kind].count(request_, target(kind, model)) is None


@pytest.mark.parametrize("kind", ["ollama", "openrouter", "azure"])
def test_who_does_not_count(kind):
    assert (CODECS[kind].count, CODECS[kind].counted) == (None, None)


@given(
    body=st.binary() | st.sampled_from([b"3", b"[]", b"{}", b'{"input_tokens":"3"}', b'{"totalTokens":-1}'])
)
def test_whatever_comes_is_a_count_or_none(body):
    for kind in BASES:
        assert CODECS[kind].counted(body) is None


def test_a_wish_that_was_not_granted_is_not_sent_to_anthropic():
    sent = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    wished = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    source = Source("anthropic.messages", {**sent, **wished})

    def body(thinking):
        request = ChatRequest("asked", (HI,), thinking=thinking, source=source)
        return json.loads(CODECS["anthropic"].encode(request, target("anthropic", "m")).http.body)

    assert body(Thinking(True, "high", wish=True)) == {**sent, **wished, "model": "m"}
    assert body(Thinking(False, wish=True)) == {**sent, "model": "m"}


FAILED = "messages.tool_results.is_error"
FAILING = ChatRequest(
    "asked",
    (
        HI,
        Message(Role.ASSISTANT, (ToolCall("c1", "f", "{}"),)),
        Message(Role.TOOL, (ToolResult("c1", "f", "no such file", failed=True),)),
    ),
    tools=(Tool("f", None, {"type": "object"}),),
)


@pytest.mark.parametrize(
    ("kind", "model", "word", "losses"),
    [
        pytest.param(
            "anthropic", "claude-sonnet-4-5", '"is_error":true', (), id="Anthropic has a word for it"
        ),
        pytest.param(
            "aws_bedrock",
            "anthropic.claude-sonnet-4-5-20250929-v1:0",
            '"status":"error"',
            (),
            id="so has Claude",
        ),
        pytest.param(
            "aws_bedrock",
            "meta.llama3-1-8b-instruct-v1:0",
            '"text":"Error: no such file"',
            (Loss(FAILED, How.EMULATED),),
            id="models that know no status are told in words",
        ),
        pytest.param(
            "google", "gemini-2.5-flash", '"response":{"error":"no such file"}', (), id="Google has one"
        ),
        pytest.param(
            "openai", "gpt-4.1", '"content":"Error: no such file"', (Loss(FAILED, How.EMULATED),), id="OpenAI"
        ),
        pytest.param(
            "openai",
            "gpt-5-codex",
            '"output":"Error: no such file"',
            (Loss(FAILED, How.EMULATED),),
            id="responses",
        ),
        pytest.param(
            "ollama", "qwen3", '"content":"Error: no such file"', (Loss(FAILED, How.EMULATED),), id="Ollama"
        ),
    ],
)
def test_a_tool_that_failed(kind, model, word, losses):
    encoded = CODECS[kind].encode(FAILING, target(kind, model))
    assert word in encoded.http.body.decode()
    assert tuple(loss for loss in encoded.losses if loss.field == FAILED) == losses


MARK = {"type": "ephemeral", "ttl": "1h"}
MARKED = ChatRequest(
    "asked",
    (
        Message(Role.SYSTEM, (Text("long", cache=MARK),)),
        HI,
        Message(Role.ASSISTANT, (ToolCall("c1", "f", "{}"),)),
        Message(Role.TOOL, (ToolResult("c1", "f", "found", cache=MARK),)),
    ),
    tools=(Tool("f", None, {"type": "object"}),),
    extra={"anthropic.beside": {"cache_control": True}},
)


@pytest.mark.parametrize(
    ("model", "marked"),
    [
        pytest.param("anthropic/claude-sonnet-4.5", True, id="Claude"),
        pytest.param("google/gemini-2.5-pro", True, id="Gemini, also where it always thinks"),
        pytest.param("meta/llama-4", False, id="models that cache by themselves"),
        pytest.param("openai/gpt-5.1", False, id="those of OpenAI"),
    ],
)
def test_openrouter_is_told_marks_where_they_mean_something(model, marked):
    encoded = CODECS["openrouter"].encode(MARKED, target("openrouter", model))
    system, _, _, result = json.loads(encoded.http.body)["messages"]
    mark = {"cache_control": MARK}
    text, found = {"type": "text", "text": "long"}, {"type": "text", "text": "found"}
    assert system["content"] == ([{**text, **mark}] if marked else "long")
    assert result["content"] == ([{**found, **mark}] if marked else "found")


@pytest.mark.parametrize("kind", sorted(CODECS))
def test_marks_of_a_cache_are_no_loss(kind):
    model = {"aws_bedrock": "anthropic.claude-sonnet-4-5-20250929-v1:0", "azure": "gpt-4.1"}.get(kind, "m")
    encoded = CODECS[kind].encode(MARKED, target(kind, model))
    assert [loss for loss in encoded.losses if "cache" in loss.field and loss.how is not How.MOOT] == []


@pytest.mark.parametrize(
    ("model", "thinking", "told"),
    [
        pytest.param(
            "some-model", Thinking(True, "high", wish=True), None, id="a wish, of nobody knows whom"
        ),
        pytest.param("some-model", Thinking(True, "high"), "high", id="a demand"),
        pytest.param("gpt-5.1", Thinking(True, "high", wish=True), "high", id="a wish of who is known"),
    ],
)
def test_a_wish_is_told_where_something_is_known(model, thinking, told):
    encoded = CODECS["openai"].encode(ChatRequest("asked", (HI,), thinking=thinking), target("openai", model))
    assert json.loads(encoded.http.body).get("reasoning_effort") == told
    assert (Loss("thinking", How.DROPPED) in encoded.losses) == (told is None)


def test_a_wish_is_told_who_is_known_to_think():
    known = target("openai", "some-model")
    known = Target(known.provider, ModelFacts("some-model", frozenset({"completion", "thinking"})))
    request = ChatRequest("asked", (HI,), thinking=Thinking(True, "high", wish=True))
    assert json.loads(CODECS["openai"].encode(request, known).http.body)["reasoning_effort"] == "high"
