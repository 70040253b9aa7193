"""Replies in Ollama's form: what old and new servers say, and what goes wrong inside a 200."""

import json

import pytest
from attrs import evolve

from adapters.providers.ollama import CODEC
from pipeline.values.events import (
    Embedded,
    ExtraDelta,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    grammatical,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Prompt, Role, Source, Text
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of, shown

CHAT = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=True)
PROMPT = ChatRequest("asked", prompt=Prompt("hi"), stream=True)


def line(message=None, **beside):
    return {
        "model": "m",
        "created_at": "t",
        "message": {"role": "assistant", **(message or {})},
        "done": False,
        **beside,
    }


def ndjson(*lines):
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def done(**beside):
    return line({"content": ""}, **{"done": True, "done_reason": "stop", **beside})


def call(name, arguments, **beside):
    return {"function": {"name": name, "arguments": arguments}, **beside}


HELLO = TextDelta("Hello")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [line({"content": "Hello"}), done(prompt_eval_count=11, eval_count=3, total_duration=5)],
            [HELLO, UsageSeen(Usage(11, 3)), Finished("stop", extra={"ollama": {"total_duration": 5}})],
            id="text, counts and durations",
        ),
        pytest.param(
            [line({"content": "Hello"}), done(eval_count=3)],
            [HELLO, UsageSeen(Usage(None, 3)), Finished("stop")],
            id="a prompt that was cached is not counted",
        ),
        pytest.param([done(done_reason="length")], [Finished("length")], id="the token limit"),
        pytest.param([done(done_reason="load")], [Finished("load")], id="a load"),
        pytest.param([done(done_reason=None)], [Finished("stop")], id="an old server tells no reason"),
        pytest.param(
            [line({"content": "", "thinking": "Hm"}), line({"content": "Hello"}), done()],
            [ThinkingDelta("Hm"), HELLO, Finished("stop")],
            id="thinking",
        ),
        pytest.param(
            [
                line({"content": "", "tool_calls": [call("f", {"b": 1, "a": "é"}, id="x"), call("g", {})]}),
                line({"content": "", "tool_calls": [call("h", None)]}),
                done(),
            ],
            [
                ToolCallDelta(0, "x", "f", '{"b":1,"a":"é"}'),
                ToolCallDelta(1, "call_749a096f", "g", "{}"),
                ToolCallDelta(2, "call_c3d9a20a", "h", "{}"),
                Finished("tool_calls"),
            ],
            id="calls in several lines, some without an id",
        ),
        pytest.param(
            [
                line({"content": "", "tool_calls": [call("f", '{"a":1}', id="x"), {"function": {}}, 5]}),
                done(),
            ],
            [ToolCallDelta(0, "x", "f", '{"a":1}'), Finished("tool_calls")],
            id="arguments as a text, and calls that are none",
        ),
        pytest.param(
            [
                line(
                    {"content": "Hello", "tool_calls": [call("f", {}, id="x")]}, done=True, done_reason="stop"
                )
            ],
            [HELLO, ToolCallDelta(0, "x", "f", "{}"), Finished("tool_calls")],
            id="all in the last line",
        ),
        pytest.param(
            [line({"content": "Hello"}, logprobs=[{"token": "Hello", "logprob": -1}]), done()],
            [TextDelta("Hello", 0, ({"token": "Hello", "logprob": -1},)), Finished("stop")],
            id="logprobs",
        ),
        pytest.param(
            [line({"content": "", "images": ["QUJD"]}), done()],
            [ExtraDelta("ollama.chat", {"images": ["QUJD"]}), Finished("stop")],
            id="a picture the model made",
        ),
    ],
)
def test_a_chat_is_read(lines, expected):
    events = events_of(decoded(CODEC, CHAT, ndjson(*lines)))
    assert grammatical(events)
    assert list(events) == [Started("m"), *expected]


def test_a_completion_is_read():
    body = ndjson(
        {"model": "m", "response": "", "thinking": "Hm", "done": False},
        {"model": "m", "response": "Hello", "done": False},
        {"model": "m", "response": "", "done": True, "done_reason": "stop", "context": [1, 2]},
    )
    batches = decoded(CODEC, PROMPT, body)
    end = Finished("stop", extra={"ollama": {"context": [1, 2]}})
    assert events_of(batches) == (Started("m"), ThinkingDelta("Hm"), HELLO, end)
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {"ollama.generate"}


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        pytest.param([{"error": "boom"}], Kind.SERVER, id="an error before any content"),
        pytest.param(
            [{"error": {"message": "x", "code": 429}}], Kind.RATE_LIMITED, id="an error with its status"
        ),
        pytest.param(
            [line({"content": "a"}), {"error": "boom"}], Kind.STREAM_ERROR, id="an error after content"
        ),
        pytest.param([5], Kind.GARBLED, id="no object"),
        pytest.param([line({"content": ""})], Kind.STREAM_ERROR, id="an end before any content"),
        pytest.param([line({"content": "a"})], Kind.STREAM_ERROR, id="an end after content"),
    ],
)
@pytest.mark.parametrize("newline", [True, False], ids=["with its newline", "without its newline"])
def test_what_goes_wrong_inside_a_stream(lines, kind, newline):
    body = ndjson(*lines)
    batches = decoded(CODEC, CHAT, body if newline else body[:-1])
    events = events_of(batches)
    assert grammatical(events)
    assert events[-1].problem.kind is kind


def test_a_last_line_needs_no_newline():
    body = ndjson(line({"content": "Hello"}), done())[:-1]
    batches = decoded(CODEC, CHAT, body)
    assert events_of(batches) == (Started("m"), HELLO, Finished("stop"))
    assert shown(batches) == body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"<html>", Kind.GARBLED, id="a page"),
        pytest.param(b"", Kind.GARBLED, id="nothing"),
        pytest.param(b'{"model": "m"}', Kind.GARBLED, id="no message"),
        pytest.param(b'{"error": "server busy"}', Kind.OVERLOADED, id="an error"),
    ],
)
def test_a_whole_reply_that_is_none(body, kind):
    (event,) = events_of(decoded(CODEC, evolve(CHAT, stream=False), body))
    assert event.problem.kind is kind


@pytest.mark.parametrize(
    ("source", "body", "expected"),
    [
        pytest.param(
            "ollama.embed",
            {"model": "m", "embeddings": [[1, 2]], "prompt_eval_count": 3, "load_duration": 7},
            (
                Started("m"),
                Embedded(([1.0, 2.0],)),
                UsageSeen(Usage(3)),
                Finished("stop", extra={"ollama": {"load_duration": 7}}),
            ),
            id="the embed route",
        ),
        pytest.param(
            "ollama.embeddings",
            {"embedding": [3, 4]},
            (Started("asked"), Embedded(([3.0, 4.0],)), Finished("stop")),
            id="the older route",
        ),
    ],
)
def test_vectors_are_read(source, body, expected):
    request = EmbedRequest("asked", ("a",), source=Source(source, {}))
    batches = decoded(CODEC, request, json.dumps(body).encode())
    assert events_of(batches) == expected
    assert batches[-1].verbatim.format == source


@pytest.mark.parametrize(
    "embeddings", [[], [[1], [2]], [["a"]], None], ids=["none", "two", "of texts", "null"]
)
def test_vectors_that_do_not_fit_the_inputs_are_no_answer(embeddings):
    body = json.dumps({"embeddings": embeddings}).encode()
    (event,) = events_of(decoded(CODEC, EmbedRequest("asked", ("a",)), body))
    assert event.problem.kind is Kind.GARBLED


TAG = {
    "name": "m:latest",
    "model": "m:latest",
    "modified_at": "2026-08-22T20:38:42Z",
    "size": 1204,
    "digest": "381f",
    "details": {
        "family": "llama",
        "parameter_size": "8.0B",
        "quantization_level": "Q4_K_M",
        "context_length": 8192,
        "embedding_length": 4096,
    },
    "capabilities": ["completion", "tools", "unheard-of"],
}


def test_a_model_list_is_read():
    (full, bare) = CODEC.models(json.dumps({"models": [TAG, {"name": "old"}, {}, 5]}).encode())
    assert full.name == "m:latest"
    assert full.capabilities == {"completion", "tools"}
    assert (full.context_length, full.embedding_length) == (8192, 4096)
    assert (full.family, full.parameter_size, full.quantization) == ("llama", "8.0B", "Q4_K_M")
    assert (full.size, full.digest, full.modified_at) == (1204, "381f", "2026-08-22T20:38:42Z")
    assert (bare.name, bare.capabilities, bare.context_length, bare.size) == ("old", None, None, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"models": 5}', b"null"])
def test_a_model_list_that_is_none_is_empty(body):
    assert CODEC.models(body) == ()


@pytest.mark.parametrize(
    ("status", "text", "kind", "shown_status"),
    [
        pytest.param(404, "model 'x' not found", Kind.NOT_FOUND, 404, id="an unknown model"),
        pytest.param(
            400, "the prompt is longer than the context length", Kind.CONTEXT_LENGTH, 400, id="a long prompt"
        ),
        pytest.param(
            400, "the input length exceeds the context length", Kind.CONTEXT_LENGTH, 400, id="a long input"
        ),
        pytest.param(400, '"m" does not support thinking', Kind.INVALID, 400, id="what the model cannot do"),
        pytest.param(401, "unauthorized", Kind.AUTH, 502, id="no key"),
        pytest.param(403, "ollama cloud is disabled", Kind.AUTH, 502, id="a key that may not"),
        pytest.param(429, "too many requests", Kind.RATE_LIMITED, 429, id="a rate limit"),
        pytest.param(429, "you have reached your weekly usage limit", Kind.QUOTA, 503, id="a quota"),
        pytest.param(
            500, 'option "temperature" must be of type float32', Kind.INVALID, 500, id="a wrong option"
        ),
        pytest.param(500, 'invalid format: "x"; expected "json"', Kind.INVALID, 500, id="a wrong format"),
        pytest.param(500, "llama runner process has terminated", Kind.SERVER, 502, id="a crash"),
        pytest.param(
            503,
            "server busy, please try again.  maximum pending requests exceeded",
            Kind.OVERLOADED,
            503,
            id="a queue",
        ),
        pytest.param(503, "loading", Kind.SERVER, 503, id="another 503"),
        pytest.param(502, "bad gateway", Kind.SERVER, 502, id="a cloud that is away"),
    ],
)
def test_a_refusal_is_of_its_kind(status, text, kind, shown_status):
    problem = CODEC.classify(ReplyHead(status), json.dumps({"error": text}).encode())
    assert (problem.kind, problem.http_status) == (kind, shown_status)
