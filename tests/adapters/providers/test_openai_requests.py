"""Requests in OpenAI's form: each field as it is said there, and each loss named."""

import json

import pytest
from attrs import evolve

from adapters.providers.openai import CODEC
from pipeline.values.exchange import How, Loss
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
from pipeline.values.secrets import Secret
from tests.adapters.providers.recorded import target

PNG = "iVBORw0KGgoAAAANSUhEUgAA"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
PLAIN = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": False}
WEATHER = Tool("weather", "the sky", {"type": "object", "properties": {"z": {}, "a": {}}})


def encoded(request, model="gpt-4o", **facts):
    """URL, body and losses."""
    found = CODEC.encode(request, target("openai", model, **facts))
    losses = {loss.field: loss.how for loss in found.losses}
    assert len(losses) == len(found.losses)
    return found.http.url, json.loads(found.http.body), losses


def messages(*turns, model="gpt-4o"):
    _, body, losses = encoded(ChatRequest("asked", turns), model)
    return body["messages"], losses


def added(model="gpt-4o", /, facts=None, **changes):
    """What these changes add to the plain request, and the losses."""
    _, body, losses = encoded(evolve(ASK, **changes), model, **(facts or {}))
    return {key: value for key, value in body.items() if key not in PLAIN}, losses


def test_the_plain_request():
    http = CODEC.encode(ASK, target("openai", "gpt-4o")).http
    assert (http.method, http.url) == ("POST", "https://api.example/v1/chat/completions")
    assert json.loads(http.body) == PLAIN
    assert http.headers == {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "ollama-proxy/0.1",
    }


def test_a_stream_asks_for_usage():
    http = CODEC.encode(evolve(ASK, stream=True), target("openai", "gpt-4o")).http
    assert http.headers["accept"] == "text/event-stream"
    assert json.loads(http.body) == {**PLAIN, "stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize(
    ("turns", "expected", "losses"),
    [
        pytest.param(
            [Message(Role.SYSTEM, (Text("be kind"),)), HI, Message(Role.ASSISTANT, (Text("Hello"),)), HI],
            [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "hi"},
            ],
            {},
            id="several turns",
        ),
        pytest.param(
            [Message(Role.USER, (Text("a"), Text("b")), name="eve")],
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                    "name": "eve",
                }
            ],
            {},
            id="two texts and a name",
        ),
        pytest.param(
            [Message(Role.USER, (Text("what?"), Image(PNG), Image(url="https://x/y.png", detail="low")))],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what?"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                    ],
                }
            ],
            {},
            id="pictures by data and by address",
        ),
        pytest.param(
            [
                Message(
                    Role.USER,
                    (
                        Opaque(
                            "openai.chat",
                            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
                        ),
                        Opaque("anthropic.messages", {"type": "document"}),
                        Opaque("google.generate", {"executableCode": {"code": "1"}}),
                    ),
                )
            ],
            [
                {
                    "role": "user",
                    "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}],
                }
            ],
            {"document": How.DROPPED, "executableCode": How.DROPPED},
            id="parts that one format alone can carry",
        ),
        pytest.param(
            [
                Message(
                    Role.ASSISTANT,
                    (Text("Calling."), ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}')),
                ),
                Message(Role.TOOL, (ToolResult("a", "f", "1"), ToolResult("b", "g", '{"y":2}'))),
                Message(Role.ASSISTANT, (ToolCall("c", "f", "{}"),)),
                Message(Role.USER, (Text("and?"), ToolResult("c", "", "3"))),
            ],
            [
                {
                    "role": "assistant",
                    "content": "Calling.",
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}},
                    ],
                },
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": '{"y":2}'},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": "3"},
                {"role": "user", "content": "and?"},
            ],
            {},
            id="calls and their results, also from a user's turn",
        ),
        pytest.param(
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning("hm"),
                        Reasoning("h", {"openai.chat": {"reasoning_content": "h"}}),
                        Opaque("openai.chat", {"audio": {"id": "a1"}}),
                        Opaque("openai.chat", {"tool_calls": [{"id": "b", "type": "custom"}]}),
                        ToolCall("c", "f", "{}"),
                        Image(PNG),
                        Text("Hello"),
                    ),
                )
            ],
            [
                {
                    "role": "assistant",
                    "content": "Hello",
                    "reasoning_content": "h",
                    "audio": {"id": "a1"},
                    "tool_calls": [
                        {"id": "b", "type": "custom"},
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    ],
                }
            ],
            {"messages.thinking": How.DROPPED, "messages.images": How.DROPPED},
            id="what else a model may have said",
        ),
        pytest.param(
            [Message(Role.USER, ()), Message(Role.ASSISTANT, (Text(""),))],
            [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
            {},
            id="empty turns",
        ),
    ],
)
def test_messages(turns, expected, losses):
    assert messages(*turns) == (expected, losses)


@pytest.mark.parametrize("model", ["o1", "o3-mini", "gpt-5", "gpt-5.1", "ft:o4-mini:house::id"])
def test_reasoning_models_are_told_by_a_developer(model):
    said, _ = messages(Message(Role.SYSTEM, (Text("be kind"),)), HI, model=model)
    assert said[0] == {"role": "developer", "content": "be kind"}


@pytest.mark.parametrize(
    ("changes", "expected", "losses"),
    [
        pytest.param(
            {"tools": (WEATHER,)},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "weather",
                            "description": "the sky",
                            "parameters": {"type": "object", "properties": {"z": {}, "a": {}}},
                        },
                    }
                ]
            },
            {},
            id="a tool",
        ),
        pytest.param(
            {
                "tools": (Tool("f", strict=True),),
                "tool_choice": ToolChoice("required"),
                "parallel_tools": False,
            },
            {
                "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
            {},
            id="a bare tool that must be called, alone",
        ),
        pytest.param(
            {"tools": (Tool("f"),), "tool_choice": ToolChoice("named", "f")},
            {
                "tools": [{"type": "function", "function": {"name": "f"}}],
                "tool_choice": {"type": "function", "function": {"name": "f"}},
            },
            {},
            id="a tool that is named",
        ),
        pytest.param(
            {"tool_choice": ToolChoice("auto"), "parallel_tools": True}, {}, {}, id="a choice among no tools"
        ),
        pytest.param(
            {"format": Format({"type": "object"})},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "response", "schema": {"type": "object"}},
                }
            },
            {},
            id="a schema",
        ),
        pytest.param(
            {"format": Format({"type": "object"}, "person", True)},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "person", "schema": {"type": "object"}, "strict": True},
                }
            },
            {},
            id="a schema with a name, to be held strictly",
        ),
        pytest.param(
            {
                "sampling": Sampling(
                    max_tokens=5,
                    temperature=0,
                    top_p=0.5,
                    seed=7,
                    stop=("a", "b"),
                    presence_penalty=0.1,
                    frequency_penalty=0.2,
                )
            },
            {
                "max_tokens": 5,
                "temperature": 0,
                "top_p": 0.5,
                "seed": 7,
                "stop": ["a", "b"],
                "presence_penalty": 0.1,
                "frequency_penalty": 0.2,
            },
            {},
            id="sampling",
        ),
        pytest.param(
            {"sampling": Sampling(top_k=40, min_p=0.1, repeat_penalty=1.1, stop=tuple("abcde"))},
            {"stop": ["a", "b", "c", "d"]},
            {
                "top_k": How.DROPPED,
                "min_p": How.DROPPED,
                "repeat_penalty": How.DROPPED,
                "stop": How.APPROXIMATED,
            },
            id="sampling that has no place",
        ),
        pytest.param({"logprobs": 0}, {"logprobs": True}, {}, id="logprobs"),
        pytest.param(
            {"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}, {}, id="logprobs of alternatives"
        ),
        pytest.param({"choices": 2, "user": "u"}, {"n": 2, "user": "u"}, {}, id="choices and user"),
        pytest.param(
            {"extra": {"openai.chat": {"logit_bias": {"5": 1}, "store": True}}},
            {"logit_bias": {"5": 1}, "store": True},
            {},
            id="what only this format holds is given back",
        ),
        pytest.param(
            {
                "extra": {
                    "ollama": {
                        "options": {"num_ctx": 8192, "typical_p": 0.5},
                        "keep_alive": "5m",
                        "truncate": True,
                    },
                    "anthropic.messages": {"container": "c"},
                }
            },
            {},
            {
                "num_ctx": How.MOOT,
                "typical_p": How.DROPPED,
                "keep_alive": How.MOOT,
                "truncate": How.MOOT,
                "container": How.DROPPED,
            },
            id="what only other formats hold is told",
        ),
    ],
)
def test_fields(changes, expected, losses):
    assert added(**changes) == (expected, losses)


def test_json_mode_is_asked_for_in_words_where_nobody_did():
    _, body, losses = encoded(evolve(ASK, format=Format()))
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"] == [{"role": "system", "content": "Answer in JSON."}, *PLAIN["messages"]]
    assert losses == {"format": How.EMULATED}
    said = Message(Role.USER, (Text("some Json please"),))
    _, body, losses = encoded(ChatRequest("asked", (said,), format=Format()))
    assert (len(body["messages"]), losses) == (1, {})


REFUSED = dict.fromkeys(
    ["temperature", "top_p", "presence_penalty", "frequency_penalty", "stop", "logprobs"], How.DROPPED
)


@pytest.mark.parametrize("model", ["o1", "o3", "o4-mini", "gpt-5", "gpt-5-nano", "gpt-5.4-mini", "openai/o3"])
def test_reasoning_models_take_no_sampling(model):
    sampling = Sampling(
        max_tokens=5,
        temperature=0.5,
        top_p=0.5,
        seed=7,
        stop=("a", "b", "c", "d", "e"),
        presence_penalty=-0.1,
        frequency_penalty=0.1,
    )
    assert added(model, sampling=sampling, logprobs=2) == ({"max_completion_tokens": 5, "seed": 7}, REFUSED)


def test_a_default_is_not_lost_where_it_cannot_be_said():
    sampling = Sampling(temperature=1.0, top_p=1.0, presence_penalty=0.0, frequency_penalty=0.0)
    assert added("o3", sampling=sampling) == ({}, {})


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-35-turbo", "chatgpt-4o-latest", "llama3", "gpt-oss:20b"])
def test_other_models_take_sampling(model):
    asked = Sampling(max_tokens=5, temperature=0.5)
    assert added(model, sampling=asked) == ({"max_tokens": 5, "temperature": 0.5}, {})


def test_the_chat_models_of_the_fifth_line_sample_and_do_not_think():
    asked = {"sampling": Sampling(max_tokens=5, temperature=0.5), "thinking": Thinking(True)}
    assert added("gpt-5-chat-latest", **asked) == (
        {"max_completion_tokens": 5, "temperature": 0.5},
        {"thinking": How.DROPPED},
    )


@pytest.mark.parametrize(
    ("model", "parallel", "losses"),
    [("o3", {}, {"parallel_tools": How.DROPPED}), ("gpt-5", {"parallel_tool_calls": False}, {})],
)
def test_the_o_series_calls_tools_one_by_one(model, parallel, losses):
    found, lost = added(model, tools=(Tool("f"),), parallel_tools=False)
    del found["tools"]
    assert (found, lost) == (parallel, losses)


ON, OFF = Thinking(True), Thinking(False)
SAID, NEAR, GONE = {}, {"thinking": How.APPROXIMATED}, {"thinking": How.DROPPED}


@pytest.mark.parametrize(
    ("model", "thinking", "word", "losses"),
    [
        pytest.param("gpt-5", None, None, SAID, id="nobody said"),
        pytest.param("gpt-5", ON, "medium", SAID, id="on"),
        pytest.param("gpt-5", Thinking(True, "high"), "high", SAID, id="a step"),
        pytest.param("gpt-5", Thinking(True, "minimal"), "minimal", SAID, id="the least, at gpt-5"),
        pytest.param("gpt-5", Thinking(True, "max"), "high", NEAR, id="the most, at gpt-5"),
        pytest.param("gpt-5", OFF, "minimal", NEAR, id="off, at gpt-5"),
        pytest.param("gpt-5.1", OFF, "none", SAID, id="off, at gpt-5.1"),
        pytest.param("gpt-5.1", Thinking(True, "minimal"), "low", NEAR, id="the least, at gpt-5.1"),
        pytest.param("gpt-5.1", Thinking(True, "max"), "high", NEAR, id="the most, at gpt-5.1"),
        pytest.param("gpt-5.2", Thinking(True, "max"), "xhigh", SAID, id="the most, at gpt-5.2"),
        pytest.param("gpt-5.4-mini", OFF, "none", SAID, id="off, at a later one"),
        pytest.param("o4-mini", OFF, "low", NEAR, id="off, at the o series"),
        pytest.param("o4-mini", Thinking(True, "minimal"), "low", NEAR, id="the least, at the o series"),
        pytest.param("o4-mini", Thinking(True, "max"), "high", NEAR, id="the most, at the o series"),
        pytest.param("gpt-4o", ON, None, GONE, id="on, at a model that cannot"),
        pytest.param("gpt-4o", OFF, None, SAID, id="off, at a model that cannot"),
        pytest.param("qwen3", ON, "medium", SAID, id="on, at a model of somebody else"),
        pytest.param(
            "qwen3", Thinking(True, "max"), "high", NEAR, id="the most, at a model of somebody else"
        ),
        pytest.param("qwen3", OFF, None, SAID, id="off, at a model of somebody else"),
        pytest.param("gpt-5", Thinking(True, None, 1000), "minimal", NEAR, id="a small budget"),
        pytest.param("gpt-5", Thinking(True, None, 10_000), "medium", NEAR, id="a budget"),
        pytest.param("gpt-5", Thinking(True, None, 60_000), "high", NEAR, id="a large budget"),
        pytest.param("gpt-5", Thinking(True, "low", 60_000), "low", SAID, id="a step before a budget"),
    ],
)
def test_thinking(model, thinking, word, losses):
    expected = {} if word is None else {"reasoning_effort": word}
    assert added(model, thinking=thinking) == (expected, losses)


def test_what_is_known_of_a_model_decides_where_its_name_tells_nothing():
    assert added("llama3", {"capabilities": frozenset({"tools"})}, thinking=ON) == ({}, GONE)
    assert added("qwen3", {"capabilities": frozenset({"thinking"})}, thinking=ON)[1] == SAID


@pytest.mark.parametrize(
    ("prompt", "model", "path", "expected", "losses"),
    [
        pytest.param(
            Prompt("hi", system="be kind", images=(Image(PNG),), template="t", context=(1,)),
            "gpt-4o",
            "/chat/completions",
            {
                "messages": [
                    {"role": "system", "content": "be kind"},
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "hi"},
                            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                        ],
                    },
                ]
            },
            {"template": How.DROPPED, "context": How.DROPPED},
            id="a prompt is a turn of a chat",
        ),
        pytest.param(
            Prompt("def f(", suffix="return x"),
            "qwen-coder",
            "/completions",
            {"prompt": "def f(", "suffix": "return x"},
            {},
            id="a gap to be filled",
        ),
        pytest.param(
            Prompt("hi", raw=True, system="s", images=(Image(PNG),)),
            "qwen-coder",
            "/completions",
            {"prompt": "hi"},
            {"system": How.DROPPED, "images": How.DROPPED},
            id="a raw prompt",
        ),
        pytest.param(
            Prompt("hi"),
            "gpt-3.5-turbo-instruct",
            "/completions",
            {"prompt": "hi"},
            {},
            id="a model that cannot chat",
        ),
    ],
)
def test_prompts(prompt, model, path, expected, losses):
    url, body, lost = encoded(ChatRequest("asked", prompt=prompt), model)
    assert url == "https://api.example/v1" + path
    assert body == {"model": model, "stream": False, **expected}
    assert lost == losses


@pytest.mark.parametrize(
    ("model", "abilities", "path"),
    [
        pytest.param(
            "qwen-coder", {"completion", "insert"}, "/completions", id="a model that goes on with text"
        ),
        pytest.param("qwen-coder", {"completion"}, "/chat/completions", id="one that is known not to"),
        pytest.param("qwen/qwen-coder", {"completion"}, "/completions", id="one behind a gateway"),
        pytest.param("gpt-4o", {"completion", "insert"}, "/chat/completions", id="one that only talks"),
    ],
)
def test_where_a_raw_prompt_goes(model, abilities, path):
    request = ChatRequest("asked", prompt=Prompt("hi", raw=True))
    url, _, losses = encoded(request, model, capabilities=frozenset(abilities))
    assert url == "https://api.example/v1" + path
    assert losses == ({"raw": How.EMULATED} if "chat" in path else {})


def test_fields_of_a_completion():
    request = ChatRequest(
        "asked",
        prompt=Prompt("hi", raw=True),
        tools=(WEATHER,),
        format=Format(),
        thinking=Thinking(True),
        logprobs=3,
        choices=2,
        sampling=Sampling(max_tokens=5, temperature=0.5, top_k=3, stop=("x",)),
    )
    _, body, losses = encoded(request, "m")
    assert body == {
        "model": "m",
        "prompt": "hi",
        "stream": False,
        "max_tokens": 5,
        "temperature": 0.5,
        "stop": ["x"],
        "logprobs": 3,
        "n": 2,
    }
    assert losses == dict.fromkeys(["tools", "format", "thinking", "top_k"], How.DROPPED)


OWN = {"model": "asked", "messages": [{"role": "user", "content": "x"}], "unheard_of": {"a": 1}, "top_k": 5}


def test_a_request_in_the_same_form_goes_out_as_it_came():
    request = evolve(ASK, source=Source("openai.chat", OWN), sampling=Sampling(top_k=5))
    assert encoded(request)[1:] == ({**OWN, "model": "gpt-4o"}, {})


def test_a_stream_in_the_same_form_keeps_its_own_options():
    own = {**OWN, "stream": True, "stream_options": {"include_obfuscation": False}}
    _, body, _ = encoded(evolve(ASK, stream=True, source=Source("openai.chat", own)))
    expected = {"include_obfuscation": False, "include_usage": True}
    assert body == {**own, "model": "gpt-4o", "stream_options": expected}


@pytest.mark.parametrize(
    ("model", "path", "own"),
    [
        pytest.param("qwen-coder", "/completions", True, id="asked as it came"),
        pytest.param(
            "gpt-4o", "/chat/completions", False, id="but a model that only chats is asked in a chat"
        ),
    ],
)
def test_a_completion_in_the_same_form(model, path, own):
    source = Source("openai.completions", {"model": "asked", "prompt": "hi", "best_of": 2})
    url, body, _ = encoded(ChatRequest("asked", prompt=Prompt("hi"), source=source), model)
    assert url.endswith("/v1" + path)
    assert ("best_of" in body) is own


@pytest.mark.parametrize(
    ("abilities", "path"),
    [
        pytest.param(None, "/completions", id="nothing is known of it"),
        pytest.param(frozenset(("completion", "insert")), "/completions", id="it completes bare text"),
        pytest.param(frozenset(("completion",)), "/chat/completions", id="it only talks"),
    ],
)
def test_a_completion_by_what_is_known_of_the_model(abilities, path):
    source = Source("openai.completions", {"model": "asked", "prompt": "hi"})
    asked = ChatRequest("asked", prompt=Prompt("hi"), source=source)
    found = CODEC.encode(asked, target("openai", "own", capabilities=abilities))
    assert found.http.url.endswith("/v1" + path)
    assert ("prompt" in json.loads(found.http.body)) is (path == "/completions")


def test_a_request_of_another_form_is_built_anew():
    request = evolve(ASK, source=Source("ollama.chat", {"model": "asked", "messages": []}))
    assert encoded(request)[1] == PLAIN


@pytest.mark.parametrize(
    ("request_", "expected", "losses"),
    [
        pytest.param(
            EmbedRequest("asked", ("a", (1, 2)), 256, "u"),
            {"input": ["a", [1, 2]], "dimensions": 256, "user": "u", "encoding_format": "float"},
            {},
            id="texts and tokens",
        ),
        pytest.param(
            EmbedRequest("asked", ("a",), extra={"ollama": {"truncate": True, "options": {"num_ctx": 5}}}),
            {"input": ["a"], "encoding_format": "float"},
            {"truncate": How.MOOT, "num_ctx": How.MOOT},
            id="from Ollama",
        ),
        pytest.param(
            EmbedRequest(
                "asked",
                ("a",),
                source=Source("openai.embeddings", {"input": "a", "encoding_format": "base64"}),
            ),
            {"input": "a", "encoding_format": "base64"},
            {},
            id="in the same form",
        ),
    ],
)
def test_embeddings(request_, expected, losses):
    url, body, lost = encoded(request_, "e")
    assert url == "https://api.example/v1/embeddings"
    assert body == {"model": "e", **expected}
    assert lost == losses


def test_the_secret_is_signed_in():
    http = CODEC.encode(ASK, target()).http
    assert CODEC.sign(http, Secret("s"), 0.0).headers["authorization"] == "Bearer s"
    assert CODEC.sign(http, Secret(), 0.0) == http


def test_models_are_listed():
    http = CODEC.list_models(target().provider)
    assert (http.method, http.url, http.body) == ("GET", "https://api.example/v1/models", b"")


def test_losses_are_values():
    found = CODEC.encode(evolve(ASK, sampling=Sampling(top_k=1)), target())
    assert found.losses == (Loss("top_k", How.DROPPED),)


def test_pictures_among_results_stand_behind_them_all():
    turns = (
        Message(Role.USER, (Text("look"),)),
        Message(Role.ASSISTANT, (ToolCall("a", "see", "{}"), ToolCall("b", "see", "{}"))),
        Message(Role.TOOL, (ToolResult("a", "see", "first"), Image(data="aGk=", media_type="image/png"))),
        Message(Role.TOOL, (ToolResult("b", "see", "second"),)),
        Message(Role.USER, (Text("well?"),)),
    )
    _, body, _ = encoded(ChatRequest("gpt-4o", turns))
    assert [(said["role"], said.get("tool_call_id")) for said in body["messages"]] == [
        ("user", None),
        ("assistant", None),
        ("tool", "a"),
        ("tool", "b"),
        ("user", None),
        ("user", None),
    ]
    assert body["messages"][4]["content"][0]["type"] == "image_url"
    assert body["messages"][5]["content"] == "well?"
