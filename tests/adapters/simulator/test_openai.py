"""OpenAI's wire format: what is answered, and what is refused in which words."""

import base64
import inspect
import json
import struct

import pytest
from attrs import evolve
from openai.resources.chat.completions import Completions
from openai.resources.completions import Completions as OlderCompletions
from openai.resources.embeddings import Embeddings

from adapters.simulator import openai_rules
from adapters.simulator.scenario import Quota
from pipeline.values.events import Usage
from tests.adapters.simulator.kit import NOARGS, PIXEL, STANDARD, WEATHER, document, events, get, post, user

CHAT = "/openai/v1/chat/completions"
COMPLETIONS = "/openai/v1/completions"
EMBEDDINGS = "/openai/v1/embeddings"
CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
OTHER = {**CALL, "id": "c2"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}


def chat(**fields):
    return post(CHAT, {"model": "chat", "messages": user("hi"), **fields})


def result(id):
    return {"role": "tool", "tool_call_id": id, "content": "ok"}


ROWS = [
    pytest.param({}, {"content": "Hello world!"}, "stop", id="nothing special"),
    pytest.param(
        {"model": "think", "reasoning_effort": "low"},
        {"content": "Hello world!", "reasoning": "Let me think.", "reasoning_content": "Let me think."},
        "stop",
        id="reasoning asked for",
    ),
    pytest.param({"model": "think"}, {"content": "Hello world!"}, "stop", id="reasoning not asked for"),
    pytest.param(
        {"model": "think", "reasoning_effort": "none"},
        {"content": "Hello world!"},
        "stop",
        id="reasoning off",
    ),
    pytest.param({"response_format": SCHEMA}, {"content": '{"name": "x", "age": 3}'}, "stop", id="a schema"),
    pytest.param(
        {"messages": user("as json"), "response_format": {"type": "json_object"}},
        {"content": '{"name": "x", "age": 3}'},
        "stop",
        id="any JSON",
    ),
    pytest.param({"max_tokens": 2}, {"content": "Hello world!"}, "length", id="a limit of two tokens"),
    pytest.param(
        {"max_completion_tokens": 1}, {"content": "Hello world!"}, "length", id="a limit under its newer name"
    ),
    pytest.param(
        {"model": "tools", "messages": user("@@TOOL"), "tools": [WEATHER, NOARGS]},
        {"content": None, "tool_calls": [("call_abc12345", "get_weather", '{"city":"Paris","n":2}')]},
        "tool_calls",
        id="a tool",
    ),
    pytest.param(
        {"model": "tools", "messages": user("@@TOOL2"), "tools": [WEATHER, NOARGS]},
        {
            "content": "Calling.",
            "tool_calls": [
                ("call_abc12345", "get_weather", '{"city":"Paris","n":2}'),
                ("call_def67890", "noargs", "{}"),
            ],
        },
        "tool_calls",
        id="two tools",
    ),
    pytest.param(
        {"model": "tools", "messages": user("@@TOOL"), "tools": [WEATHER], "tool_choice": "none"},
        {"content": "Hello world!"},
        "stop",
        id="tools forbidden",
    ),
    pytest.param(
        {"messages": user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])},
        {"content": "Hello world!"},
        "stop",
        id="content in parts",
    ),
    pytest.param(
        {"model": "tools", "messages": [*user("w"), CALLED, result("c2"), result("c1")], "tools": [WEATHER]},
        {"content": "Hello world!"},
        "stop",
        id="every call answered, in any order",
    ),
]


def gist(message):
    """What a message says, its calls as tuples."""
    said = {name: message[name] for name in ("content", "reasoning", "reasoning_content") if name in message}
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", [])
    ]
    return {**said, "tool_calls": calls} if calls else said


def folded(frames):
    """The message that a stream's deltas add up to."""
    message, calls = {"content": None}, {}
    for frame in frames:
        for choice in frame["choices"]:
            delta = choice["delta"]
            for name in ("content", "reasoning", "reasoning_content"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for part in delta.get("tool_calls", []):
                call = calls.setdefault(part["index"], {"function": {"name": None, "arguments": ""}})
                call["function"]["arguments"] += part["function"]["arguments"]
                if "id" in part:
                    call["id"], call["function"]["name"] = part["id"], part["function"]["name"]
    return {**message, "tool_calls": list(calls.values())} if calls else message


@pytest.mark.parametrize(("fields", "message", "finish"), ROWS)
def test_the_table_in_one_piece(fields, message, finish):
    played = chat(**fields)
    (choice,) = document(played)["choices"]
    assert played.head.status == 200
    assert (gist(choice["message"]), choice["finish_reason"]) == (message, finish)
    assert document(played)["usage"]["total_tokens"] == 14


@pytest.mark.parametrize(("fields", "message", "finish"), ROWS)
def test_the_table_as_a_stream(fields, message, finish):
    played = chat(**fields, stream=True, stream_options={"include_usage": True})
    *frames, last, done = events(played)
    assert played.head.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert done == "data: [DONE]"
    assert gist(folded(frames)) == message
    assert frames[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [
        frame["choices"][0]["finish_reason"] for frame in frames if frame["choices"][0]["finish_reason"]
    ] == [finish]
    assert frames[-1]["choices"][0]["delta"] == {}
    assert all(frame["usage"] is None for frame in frames)
    assert (last["choices"], last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (
        [],
        11,
        3,
    )


def test_the_role_comes_alone_and_the_arguments_in_pieces():
    frames = events(chat(model="tools", messages=user("@@TOOL"), tools=[WEATHER], stream=True))[:-1]
    deltas = [frame["choices"][0]["delta"] for frame in frames]
    assert deltas[0] == {"role": "assistant", "content": None, "refusal": None}
    assert deltas[1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": ""}
    assert len(deltas) > 4
    assert all("id" not in delta["tool_calls"][0] for delta in deltas[2:-1])


def test_no_usage_unless_asked_for():
    frames = events(chat(stream=True))
    assert all("usage" not in frame and frame["choices"] for frame in frames[:-1])


def test_all_frames_share_id_and_model():
    frames = events(chat(model="gpt-4o", stream=True))[:-1]
    assert len({(frame["id"], frame["created"]) for frame in frames}) == 1
    assert {frame["model"] for frame in frames} == {"gpt-4o-2024-08-06"}


def test_several_choices():
    assert [choice["index"] for choice in document(chat(n=2))["choices"]] == [0, 1]
    frames = events(chat(n=2, stream=True))[:-1]
    texts = [
        "".join(f["choices"][0]["delta"].get("content", "") for f in frames if f["choices"][0]["index"] == n)
        for n in (0, 1)
    ]
    assert texts == ["Hello world!"] * 2


def test_logprobs():
    (choice,) = document(chat(logprobs=True, top_logprobs=2))["choices"]
    entries = choice["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == ["Hello", " world", "!"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2, 2, 2]
    assert bytes(entries[1]["bytes"]) == b" world"


def test_a_stream_that_breaks_is_cut_after_two_pieces():
    played = chat(messages=user("@@MID"), stream=True)
    assert played.ending == "reset"
    assert folded(events(played)) == {"content": "Hello world"}


def test_a_stream_may_break_by_an_error_event():
    body = {"model": "chat", "messages": user("@@MID"), "stream": True}
    played = post(CHAT, body, evolve(STANDARD, broken="event"))
    *frames, last = events(played)
    assert played.ending == "end"
    assert folded(frames) == {"content": "Hello world"}
    assert last["error"]["type"] == "server_error"


def test_a_document_that_breaks_is_cut_short():
    played = chat(messages=user("@@MID"))
    assert played.ending == "reset"
    assert len(played.body) < int(played.head.headers["content-length"])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "type", "code"),
    [
        pytest.param(400, "invalid_request_error", None, id="400"),
        pytest.param(401, "invalid_request_error", "invalid_api_key", id="401"),
        pytest.param(429, "requests", "rate_limit_exceeded", id="429"),
        pytest.param(500, "server_error", None, id="500"),
        pytest.param(503, "service_unavailable_error", "service_unavailable", id="503"),
    ],
)
def test_errors_before_the_first_token(status, type, code, stream):
    played = chat(messages=user(f"@@ERR{status}"), stream=stream)
    error = document(played)["error"]
    assert played.head.status == status
    assert (error["type"], error["code"]) == (type, code)


UNKNOWN_PARAMETER = "unknown_parameter"


@pytest.mark.parametrize(
    ("fields", "status", "param", "code", "words"),
    [
        pytest.param({"model": None}, 400, None, None, "you must provide a model parameter", id="no model"),
        pytest.param(
            {"top_k": 3},
            400,
            None,
            None,
            "Unrecognized request argument supplied: top_k",
            id="an unknown field",
        ),
        pytest.param(
            {"top_k": 3, "num_ctx": 1},
            400,
            None,
            None,
            "Unrecognized request arguments supplied: num_ctx, top_k",
            id="two unknown fields",
        ),
        pytest.param(
            {"model": "nope"}, 404, None, "model_not_found", "The model `nope` does not exist", id="model"
        ),
        pytest.param(
            {"messages": None}, 400, "messages", "missing_required_parameter", "'messages'", id="messages"
        ),
        pytest.param({"messages": []}, 400, "messages", "empty_array", "empty array", id="no messages"),
        pytest.param(
            {"messages": "hi"},
            400,
            "messages",
            "invalid_type",
            "an array of objects, but got a string",
            id="text",
        ),
        pytest.param(
            {"messages": ["hi"]}, 400, "messages[0]", "invalid_type", "an object", id="a message of text"
        ),
        pytest.param(
            {"messages": [{"content": "x"}]},
            400,
            "messages[0].role",
            "missing_required_parameter",
            "role",
            id="no role",
        ),
        pytest.param(
            {"messages": [{"role": "robot", "content": "x"}]},
            400,
            "messages[0].role",
            "invalid_value",
            "'robot'",
            id="role",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": "x", "images": []}]},
            400,
            "messages[0].images",
            UNKNOWN_PARAMETER,
            "Unknown parameter",
            id="an unknown field of a message",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": None}]},
            400,
            "messages.[0].content",
            None,
            "expected a string, got null",
            id="no content",
        ),
        pytest.param(
            {"messages": user(5)}, 400, "messages[0].content", "invalid_type", "an integer", id="content"
        ),
        pytest.param(
            {"messages": user([{"type": "image", "image": "x"}])},
            400,
            "messages[0].content[0].type",
            "invalid_value",
            "'image'",
            id="an unknown part",
        ),
        pytest.param(
            {
                "model": "basic",
                "messages": user([{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]),
            },
            400,
            "messages.[0].content.[0].type",
            None,
            "image_url is only supported by certain models",
            id="a picture for the blind",
        ),
        pytest.param(
            {"messages": user([{"type": "image_url", "image_url": {"url": PIXEL}}])},
            400,
            None,
            "invalid_image_format",
            "unsupported image",
            id="a picture without its kind",
        ),
        pytest.param(
            {"messages": user([{"type": "image_url", "image_url": PIXEL}])},
            400,
            "messages[0].content[0].image_url",
            "invalid_type",
            "an object",
            id="a picture that is no object",
        ),
        pytest.param(
            {"messages": [*user("w"), result("c1")]},
            400,
            "messages.[1].role",
            None,
            "must be a response to a preceeding message with 'tool_calls'",
            id="a result without a call",
        ),
        pytest.param(
            {"messages": [*user("w"), CALLED, result("c1")]},
            400,
            "messages.[2].role",
            None,
            "did not have response messages: c2",
            id="a call without a result",
        ),
        pytest.param(
            {"messages": [*user("w"), CALLED, result("c1"), *user("and?")]},
            400,
            "messages.[3].role",
            None,
            "did not have response messages: c2",
            id="a call overtaken by the user",
        ),
        pytest.param(
            {"messages": [*user("w"), CALLED, {"role": "tool", "content": "ok"}]},
            400,
            "messages[2].tool_call_id",
            "missing_required_parameter",
            "tool_call_id",
            id="a result that names no call",
        ),
        pytest.param(
            {
                "messages": [
                    *user("w"),
                    {**CALLED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]},
                ]
            },
            400,
            "messages[1].tool_calls[0].function.arguments",
            "invalid_type",
            "expected a string, but got an object",
            id="arguments that are no text",
        ),
        pytest.param(
            {"tools": [WEATHER]},
            400,
            "tools",
            "unsupported_parameter",
            "not supported with this model",
            id="tools",
        ),
        pytest.param(
            {"model": "tools", "tools": []}, 400, "tools", "empty_array", "empty array", id="no tools"
        ),
        pytest.param(
            {"model": "tools", "tools": [{"type": "function", "function": {"name": "a b"}}]},
            400,
            "tools[0].function.name",
            "invalid_value",
            "does not match pattern",
            id="a tool's name",
        ),
        pytest.param(
            {
                "model": "tools",
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}],
            },
            400,
            "tools[0].function.parameters",
            "invalid_function_parameters",
            "Invalid schema for function 'f'",
            id="a tool's schema",
        ),
        pytest.param(
            {"model": "tools", "tools": [{"function": {"name": "f"}}]},
            400,
            "tools[0].type",
            "missing_required_parameter",
            "type",
            id="a tool of no type",
        ),
        pytest.param(
            {"tool_choice": "auto"},
            400,
            "tool_choice",
            None,
            "only allowed when 'tools'",
            id="a choice of none",
        ),
        pytest.param(
            {"parallel_tool_calls": False},
            400,
            "parallel_tool_calls",
            None,
            "only allowed when 'tools'",
            id="parallel",
        ),
        pytest.param(
            {
                "model": "tools",
                "tools": [WEATHER],
                "tool_choice": {"type": "function", "function": {"name": "x"}},
            },
            400,
            "tool_choice",
            None,
            "no function named 'x'",
            id="a choice that is not offered",
        ),
        pytest.param(
            {"stream_options": {"include_usage": True}},
            400,
            "stream_options",
            None,
            "only allowed when 'stream'",
            id="usage",
        ),
        pytest.param(
            {"stream": "yes"}, 400, "stream", "invalid_type", "a boolean, but got a string", id="stream"
        ),
        pytest.param(
            {"max_tokens": 1.5},
            400,
            "max_tokens",
            "invalid_type",
            "an integer, but got a decimal",
            id="limit",
        ),
        pytest.param(
            {"max_tokens": 0},
            400,
            "max_tokens",
            "integer_below_min_value",
            ">= 1, but got 0",
            id="limit of 0",
        ),
        pytest.param(
            {"temperature": 3}, 400, "temperature", "decimal_above_max_value", "<= 2, but got 3", id="heat"
        ),
        pytest.param({"n": True}, 400, "n", "invalid_type", "an integer, but got a boolean", id="choices"),
        pytest.param(
            {"top_logprobs": 2}, 400, "top_logprobs", None, "when 'logprobs' is enabled", id="logprobs"
        ),
        pytest.param(
            {"response_format": {"type": "json_object"}},
            400,
            "messages",
            None,
            "must contain the word 'json'",
            id="JSON mode unspoken of",
        ),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            400,
            "response_format.json_schema.name",
            "missing_required_parameter",
            "response_format.json_schema.name",
            id="a schema without a name",
        ),
        pytest.param(
            {"response_format": {"type": "xml"}},
            400,
            "response_format.type",
            "invalid_value",
            "'xml'",
            id="a format",
        ),
        pytest.param(
            {"reasoning_effort": "low"},
            400,
            None,
            None,
            "Unrecognized request argument supplied: reasoning_effort",
            id="effort of a model that cannot think",
        ),
        pytest.param(
            {"model": "gpt-5-mini", "reasoning_effort": "none"},
            400,
            "reasoning_effort",
            "unsupported_value",
            "'minimal', 'low', 'medium', and 'high'",
            id="no effort where some is needed",
        ),
        pytest.param(
            {"model": "o4-mini", "max_tokens": 5},
            400,
            "max_tokens",
            "unsupported_parameter",
            "Use 'max_completion_tokens' instead.",
            id="the old limit of a new model",
        ),
        pytest.param(
            {"model": "gpt-5-mini", "temperature": 0.2},
            400,
            "temperature",
            "unsupported_value",
            "Only the default (1) value is supported.",
            id="heat of a model that thinks",
        ),
        pytest.param(
            {"model": "o4-mini", "stop": ["x"]},
            400,
            "stop",
            "unsupported_parameter",
            "'stop' is not supported",
            id="stop",
        ),
        pytest.param(
            {"model": "embed"},
            404,
            "model",
            None,
            "This is not a chat model",
            id="a chat with an embedding model",
        ),
        pytest.param(
            {"model": "gpt-4o", "messages": user("w " * 128_001)},
            400,
            "messages",
            "context_length_exceeded",
            "maximum context length is 128000 tokens",
            id="more than the model can hold",
        ),
    ],
)
def test_chat_is_strict(fields, status, param, code, words):
    body = {"model": "chat", "messages": user("hi"), **fields}
    played = post(CHAT, {name: value for name, value in body.items() if value is not None})
    error = document(played)["error"]
    assert words in error["message"]
    assert (played.head.status, error["param"], error["code"]) == (status, param, code)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"model": "o4-mini", "max_completion_tokens": 5, "temperature": 1}, id="a thinking model's limit"
        ),
        pytest.param(
            {"messages": user([{"type": "image_url", "image_url": {"url": "https://a/b.png"}}])}, id="a link"
        ),
        pytest.param(
            {
                "messages": user(
                    [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]
                )
            },
            id="a picture",
        ),
        pytest.param({"temperature": None, "stop": None, "seed": 1, "user": "u", "store": False}, id="nulls"),
        pytest.param(
            {"messages": [{"role": "developer", "content": "be"}, *user("hi")]}, id="the developer speaks"
        ),
        pytest.param({"messages": user("x" * 13_000_000)}, id="a huge message of one word"),
    ],
)
def test_what_is_right_is_let_through(fields):
    assert chat(**fields).head.status == 200


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"hello", b'{"model": NaN}'])
def test_what_is_no_json_object_is_refused(data):
    played = post(CHAT, data)
    assert played.head.status == 400
    assert "could not parse the JSON body" in document(played)["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param({}, 401, None, id="none shown"),
        pytest.param({"authorization": "Basic c2VjcmV0"}, 401, None, id="not a bearer"),
        pytest.param({"authorization": "Bearer sk-wrong-1234"}, 401, "invalid_api_key", id="the wrong one"),
        pytest.param({"authorization": "Bearer sk-right"}, 200, None, id="the right one"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/openai/v1/models"])
def test_the_key(headers, status, code, path):
    scenario = evolve(STANDARD, key="sk-right")
    body = {"model": "chat", "messages": user("hi")}
    played = post(path, body, scenario, **headers) if path == CHAT else get(path, scenario, **headers)
    assert played.head.status == status
    if status == 401:
        assert document(played)["error"]["code"] == code
        assert b"sk-wrong-1234" not in played.body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", CHAT, 405, id="a wrong method"),
        pytest.param("POST", "/openai/v1/models", 405, id="a wrong method for the list"),
        pytest.param("POST", "/openai/v1/nothing", 404, id="an unknown address"),
        pytest.param("GET", "/openai/v1/models/nope", 404, id="an unknown model"),
    ],
)
def test_wrong_addresses(method, path, status):
    played = get(path, method=method)
    assert played.head.status == status
    assert document(played)["error"]["type"] == "invalid_request_error"


def test_completions_in_one_piece():
    body = document(post(COMPLETIONS, {"model": "insert", "prompt": "a", "suffix": "b"}))
    assert body["object"] == "text_completion"
    assert body["choices"] == [
        {"text": "Hello world!", "logprobs": None, "finish_reason": "stop", "index": 0}
    ]
    assert body["usage"] == {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


def test_completions_as_a_stream():
    body = {"model": "insert", "prompt": "a", "stream": True, "stream_options": {"include_usage": True}}
    *frames, last, done = events(post(COMPLETIONS, body))
    assert [frame["choices"][0]["text"] for frame in frames] == ["Hello", " world", "!"]
    assert [frame["choices"][0]["finish_reason"] for frame in frames] == [None, None, "stop"]
    assert (last["choices"], last["usage"]["total_tokens"], done) == ([], 14, "data: [DONE]")


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        pytest.param(
            COMPLETIONS, {"model": "chat", "prompt": "a"}, 404, "v1/chat/completions?", id="a chat model"
        ),
        pytest.param(
            COMPLETIONS, {"model": "insert", "messages": []}, 400, "supplied: messages", id="messages"
        ),
        pytest.param(
            COMPLETIONS, {"model": "insert", "prompt": 5}, 400, "Invalid type for 'prompt'", id="prompt"
        ),
        pytest.param(
            COMPLETIONS, {"model": "insert", "prompt": "@@ERR500"}, 500, "server had an error", id="500"
        ),
        pytest.param(
            EMBEDDINGS, {"model": "chat", "input": "a"}, 403, "not allowed to generate", id="no embedder"
        ),
        pytest.param(EMBEDDINGS, {"model": "embed"}, 400, "'input'", id="no input"),
        pytest.param(
            EMBEDDINGS, {"model": "embed", "input": ""}, 400, "'$.input' is invalid", id="empty input"
        ),
        pytest.param(
            EMBEDDINGS, {"model": "embed", "input": ["a", 1]}, 400, "'$.input' is invalid", id="mixed input"
        ),
        pytest.param(
            EMBEDDINGS,
            {"model": "embed", "input": "a", "encoding_format": "hex"},
            400,
            "'hex'",
            id="unknown encoding",
        ),
        pytest.param(
            EMBEDDINGS,
            {"model": "embed", "input": "a", "truncate": True},
            400,
            "supplied: truncate",
            id="truncate",
        ),
        pytest.param(EMBEDDINGS, {"model": "embed", "input": "@@ERR429"}, 429, "Rate limit", id="429"),
    ],
)
def test_the_other_routes_are_strict(path, fields, status, words):
    played = post(path, fields)
    assert played.head.status == status
    assert words in document(played)["error"]["message"]


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [
        pytest.param("hello there", 1, 2, id="a text"),
        pytest.param(["a", "b c"], 2, 3, id="texts"),
        pytest.param([1, 2, 3], 1, 3, id="tokens"),
        pytest.param([[1, 2], [3]], 2, 3, id="lists of tokens"),
    ],
)
def test_embeddings(given, count, tokens):
    body = document(post(EMBEDDINGS, {"model": "embed", "input": given}))
    assert [entry["embedding"] for entry in body["data"]] == [[3, 4, 12, 0]] * count
    assert [entry["index"] for entry in body["data"]] == list(range(count))
    assert body["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


def test_embeddings_in_base64_and_cut():
    body = document(
        post(EMBEDDINGS, {"model": "embed", "input": "a", "encoding_format": "base64", "dimensions": 2})
    )
    assert struct.unpack("<2f", base64.b64decode(body["data"][0]["embedding"])) == (3.0, 4.0)


def test_the_models():
    names = [entry["id"] for entry in document(get("/openai/v1/models"))["data"]]
    assert {"chat", "basic", "tools", "think", "embed", "insert", "gpt-4o", "o4-mini"} <= set(names)
    assert document(get("/openai/v1/models/gpt-4o"))["id"] == "gpt-4o"


def test_the_headers_tell_what_is_left():
    scenario = evolve(STANDARD, quota=Quota(requests=10, requests_left=7))
    headers = post(CHAT, {"model": "chat", "messages": user("hi")}, scenario).head.headers
    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "7"
    assert headers["x-request-id"].startswith("req_")


def test_the_scenario_may_set_the_usage():
    body = {"model": "chat", "messages": user("hi")}
    usage = document(post(CHAT, body, evolve(STANDARD, usage=Usage(100, 50, cached=30, thinking=20))))[
        "usage"
    ]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (100, 50)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 30
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 20


# What the SDK adds of its own on the way.
OF_THE_SDK = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}


@pytest.mark.parametrize(
    ("create", "known"),
    [
        pytest.param(Completions.create, openai_rules.CHAT_FIELDS, id="chat"),
        pytest.param(OlderCompletions.create, openai_rules.COMPLETION_FIELDS, id="completions"),
        pytest.param(Embeddings.create, openai_rules.EMBEDDING_FIELDS, id="embeddings"),
    ],
)
def test_the_known_fields_are_those_of_the_providers_own_sdk(create, known):
    assert set(inspect.signature(create).parameters) - OF_THE_SDK == known


def test_the_document_is_laid_out_as_the_provider_does():
    body = chat().body
    assert body.startswith(b'{\n  "id": "chatcmpl-')
    assert json.loads(body)["choices"][0]["message"]["refusal"] is None
