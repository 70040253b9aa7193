"""Requests in Ollama's form: each field as it is said there, and each loss named."""

import json

import pytest
from attrs import evolve

from adapters.providers.ollama import CODEC
from pipeline.ports import Encoded
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Format,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Kind
from pipeline.values.secrets import Secret
from tests.adapters.providers.recorded import target

PNG = "iVBORw0KGgoAAAANSUhEUgAA"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": False}
TOOLS = (Tool("f", "does", {"type": "object"}), Tool("g"))
SPOKEN = [
    {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "g"}},
]


def encoded(request):
    found = CODEC.encode(request, target("ollama"))
    assert isinstance(found, Encoded)
    losses = {loss.field: loss.how for loss in found.losses}
    return found.http.url.removeprefix("http://localhost:11434"), json.loads(found.http.body), losses


def added(**changes):
    _, body, losses = encoded(evolve(ASK, **changes))
    return {key: value for key, value in body.items() if key not in PLAIN}, losses


def test_the_plain_request():
    assert encoded(ASK) == ("/api/chat", PLAIN, {})
    http = CODEC.encode(evolve(ASK, stream=True), target("ollama")).http
    assert json.loads(http.body) == {**PLAIN, "stream": True}
    assert http.headers["accept"] == "application/x-ndjson"
    assert (http.headers["accept-encoding"], http.headers["user-agent"]) == ("identity", "ollama-proxy/0.1")


@pytest.mark.parametrize(
    ("turns", "expected", "losses"),
    [
        pytest.param(
            [
                Message(Role.SYSTEM, (Text("be kind"),)),
                Message(Role.USER, (Text("what?"), Image(PNG), Text(" this"))),
                Message(Role.ASSISTANT, (Reasoning("h"), Reasoning("m"), Text("Hello"))),
            ],
            [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "what? this", "images": [PNG]},
                {"role": "assistant", "content": "Hello", "thinking": "hm"},
            ],
            {},
            id="text, pictures and thinking",
        ),
        pytest.param(
            [
                Message(Role.ASSISTANT, (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", ""))),
                Message(Role.TOOL, (ToolResult("a", "f", "1"), ToolResult("b", "", '{"y":2}'))),
            ],
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
                        {"id": "b", "function": {"name": "g", "arguments": {}}},
                    ],
                },
                {"role": "tool", "content": "1", "tool_name": "f", "tool_call_id": "a"},
                {"role": "tool", "content": '{"y":2}', "tool_call_id": "b"},
            ],
            {},
            id="calls with objects, results as text",
        ),
        pytest.param(
            [
                Message(Role.ASSISTANT, (ToolCall("a", "f", "[1]"),)),
                Message(Role.ASSISTANT, (ToolCall("b", "f", "{"),)),
            ],
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": id, "function": {"name": "f", "arguments": {}}}],
                }
                for id in "ab"
            ],
            {"messages.tool_calls.arguments": How.APPROXIMATED},
            id="arguments that are no object",
        ),
        pytest.param(
            [
                Message(
                    Role.USER,
                    (
                        Opaque("openai.chat", {"type": "input_audio", "input_audio": {"data": "UklG"}}),
                        Opaque("openai.chat", {"type": "file"}),
                        Opaque("ollama.chat", {"unheard_of": 1}),
                    ),
                    name="eve",
                )
            ],
            [{"role": "user", "content": "", "images": ["UklG"], "unheard_of": 1}],
            {"file": How.DROPPED, "messages.name": How.DROPPED},
            id="parts that one format alone can carry",
        ),
    ],
)
def test_messages(turns, expected, losses):
    _, body, lost = encoded(ChatRequest("asked", tuple(turns)))
    assert (body["messages"], lost) == (expected, losses)


@pytest.mark.parametrize(
    ("changes", "expected", "losses"),
    [
        pytest.param({"tools": TOOLS, "tool_choice": ToolChoice("auto")}, {"tools": SPOKEN}, {}, id="tools"),
        pytest.param(
            {"tools": TOOLS, "tool_choice": ToolChoice("required")},
            {"tools": SPOKEN},
            {"tool_choice": How.DROPPED},
            id="tools that must be called",
        ),
        pytest.param(
            {"tools": TOOLS, "tool_choice": ToolChoice("none")},
            {},
            {"tool_choice": How.EMULATED},
            id="tools that must not be called are not offered",
        ),
        pytest.param(
            {"tools": TOOLS, "tool_choice": ToolChoice("named", "g")},
            {"tools": SPOKEN[1:]},
            {"tool_choice": How.APPROXIMATED},
            id="a tool that must be called is offered alone",
        ),
        pytest.param(
            {"tools": TOOLS, "parallel_tools": False},
            {"tools": SPOKEN},
            {"parallel_tools": How.DROPPED},
            id="one call at a time",
        ),
        pytest.param(
            {"tools": TOOLS, "parallel_tools": True}, {"tools": SPOKEN}, {}, id="many calls at a time"
        ),
        pytest.param({"thinking": Thinking(False)}, {"think": False}, {}, id="thinking off"),
        pytest.param({"thinking": Thinking(True)}, {"think": True}, {}, id="thinking on"),
        pytest.param({"thinking": Thinking(True, "max")}, {"think": "max"}, {}, id="a step of thinking"),
        pytest.param(
            {"thinking": Thinking(True, "minimal")},
            {"think": "low"},
            {"thinking": How.APPROXIMATED},
            id="the least thinking",
        ),
        pytest.param(
            {"thinking": Thinking(True, None, 30_000)},
            {"think": "high"},
            {"thinking": How.APPROXIMATED},
            id="a budget of thinking",
        ),
        pytest.param({"format": Format()}, {"format": "json"}, {}, id="any JSON"),
        pytest.param(
            {"format": Format({"type": "object"}, "n", True)},
            {"format": {"type": "object"}},
            {},
            id="a schema",
        ),
        pytest.param(
            {
                "sampling": Sampling(
                    max_tokens=5,
                    temperature=0,
                    top_p=0.5,
                    top_k=3,
                    min_p=0.1,
                    seed=7,
                    stop=("a",),
                    presence_penalty=0.1,
                    frequency_penalty=0.2,
                    repeat_penalty=1.1,
                ),
                "extra": {"ollama": {"options": {"num_ctx": 8192}, "keep_alive": -1, "shift": False}},
            },
            {
                "options": {
                    "num_ctx": 8192,
                    "num_predict": 5,
                    "stop": ["a"],
                    "temperature": 0,
                    "top_p": 0.5,
                    "top_k": 3,
                    "min_p": 0.1,
                    "seed": 7,
                    "presence_penalty": 0.1,
                    "frequency_penalty": 0.2,
                    "repeat_penalty": 1.1,
                },
                "keep_alive": -1,
                "shift": False,
            },
            {},
            id="sampling, and what only this format holds",
        ),
        pytest.param({"logprobs": 0}, {"logprobs": True}, {}, id="logprobs"),
        pytest.param(
            {"logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, {}, id="logprobs of alternatives"
        ),
        pytest.param(
            {
                "choices": 2,
                "user": "u",
                "extra": {"openai.chat": {"logit_bias": {"5": 1}, "stream_options": {"include_usage": True}}},
            },
            {},
            {"choices": How.DROPPED, "user": How.MOOT, "logit_bias": How.DROPPED},
            id="what has no place",
        ),
    ],
)
def test_fields(changes, expected, losses):
    assert added(**changes) == (expected, losses)


def test_a_prompt_goes_to_generate():
    prompt = Prompt("a", "z", "be kind", False, "t", (1, 2), (Image(PNG),))
    request = ChatRequest("asked", prompt=prompt, tools=TOOLS, thinking=Thinking(True), format=Format())
    assert encoded(request) == (
        "/api/generate",
        {
            "model": "m",
            "stream": False,
            "prompt": "a",
            "suffix": "z",
            "system": "be kind",
            "template": "t",
            "context": [1, 2],
            "images": [PNG],
            "think": True,
            "format": "json",
        },
        {"tools": How.DROPPED},
    )


def test_a_conversation_takes_no_template():
    request = ChatRequest("asked", (HI,), extra={"ollama": {"template": "t", "keep_alive": 5}})
    assert encoded(request) == ("/api/chat", {**PLAIN, "keep_alive": 5}, {"template": How.DROPPED})


def test_a_raw_prompt_stays_raw():
    _, body, _ = encoded(ChatRequest("asked", prompt=Prompt("a", raw=True)))
    assert body == {"model": "m", "stream": False, "prompt": "a", "raw": True}


@pytest.mark.parametrize(
    ("request_", "subject"),
    [
        pytest.param(
            ChatRequest("asked", (Message(Role.USER, (Image(url="https://x/y.png"),)),)),
            "image url",
            id="in a chat",
        ),
        pytest.param(
            ChatRequest("asked", prompt=Prompt("a", images=(Image(url="https://x"),))),
            "image url",
            id="in a prompt",
        ),
        pytest.param(EmbedRequest("asked", ("a", (1, 2))), "token input", id="tokens"),
    ],
)
def test_what_cannot_be_said_is_refused(request_, subject):
    problem = CODEC.encode(request_, target("ollama"))
    assert (problem.kind, problem.subject, problem.target) == (Kind.UNSUPPORTED, subject, "p/m")


@pytest.mark.parametrize(
    ("format", "request_", "path"),
    [
        pytest.param("ollama.chat", ASK, "/api/chat", id="chat"),
        pytest.param(
            "ollama.generate", ChatRequest("asked", prompt=Prompt("a")), "/api/generate", id="generate"
        ),
        pytest.param("ollama.embed", EmbedRequest("asked", ("a",)), "/api/embed", id="embed"),
        pytest.param(
            "ollama.embeddings", EmbedRequest("asked", ("a",)), "/api/embeddings", id="the older embed"
        ),
    ],
)
def test_a_request_in_the_same_form_goes_out_as_it_came(format, request_, path):
    own = {"MODEL": "asked", "unheard_of": {"a": 1}, "keep_alive": "5m"}
    url, body, losses = encoded(evolve(request_, source=Source(format, own), user="u"))
    assert (url, losses) == (path, {})
    assert body == {"model": "m", "unheard_of": {"a": 1}, "keep_alive": "5m"}


@pytest.mark.parametrize(
    ("request_", "expected", "losses"),
    [
        pytest.param(
            EmbedRequest(
                "asked", ("a", "b"), 64, extra={"ollama": {"truncate": False, "options": {"num_ctx": 5}}}
            ),
            {"input": ["a", "b"], "dimensions": 64, "truncate": False, "options": {"num_ctx": 5}},
            {},
            id="all that it knows",
        ),
        pytest.param(
            EmbedRequest("asked", ("a",), source=Source("openai.embeddings", {"input": "a"}), user="u"),
            {"input": ["a"]},
            {"user": How.MOOT},
            id="from OpenAI",
        ),
    ],
)
def test_embeddings(request_, expected, losses):
    assert encoded(request_) == ("/api/embed", {"model": "m", **expected}, losses)


def test_a_secret_is_signed_in_where_there_is_one():
    http = CODEC.encode(ASK, target("ollama")).http
    assert CODEC.sign(http, Secret("s"), 0.0).headers["authorization"] == "Bearer s"
    assert CODEC.sign(http, Secret(), 0.0) == http


def test_models_are_listed():
    http = CODEC.list_models(target("ollama").provider)
    assert (http.method, http.url, http.body) == ("GET", "http://localhost:11434/api/tags", b"")
