"""Replies in Google's form: what the recordings do not show, and what goes wrong inside a 200."""

import json

import pytest

from adapters.providers import thoughts
from adapters.providers.google import CODEC
from pipeline.values.events import (
    Embedded,
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    grammatical,
)
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Role, Text
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of

HI = (Message(Role.USER, (Text("hi"),)),)
STREAM, WHOLE = ChatRequest("asked", HI, stream=True), ChatRequest("asked", HI)
STARTED = Started("m", "r")


def chunk(*parts, end=None, index=None, **beside):
    candidate = {"content": {"role": "model", "parts": list(parts)}} if parts else {}
    candidate |= {"finishReason": end} if end else {}
    candidate |= {"index": index} if index is not None else {}
    return {"candidates": [candidate], "modelVersion": "m", "responseId": "r", **beside}


def sse(*chunks):
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def streamed(*chunks):
    events = events_of(decoded(CODEC, STREAM, sse(*chunks)))
    assert grammatical(events)
    return events


def call(name="f", args=None, **beside):
    return {"functionCall": {"name": name, "args": args or {}, **beside}}


def detail(index, **fields):
    return thoughts.told({"type": "reasoning.encrypted", **fields, "format": thoughts.GEMINI, "index": index})


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(
            [chunk({"text": "a"}, end="STOP"), chunk({"text": "b"}, end="STOP")],
            [TextDelta("a"), TextDelta("b"), Finished("stop")],
            id="a reason in each chunk, as older models tell it",
        ),
        pytest.param(
            [chunk({"text": "a"}, end="FINISH_REASON_UNSPECIFIED"), chunk(end="OTHER")],
            [
                TextDelta("a"),
                Finished(
                    "stop", extra={"google.generate": {"candidates": [{"index": 0, "finishReason": "OTHER"}]}}
                ),
            ],
            id="reasons nobody knows",
        ),
        pytest.param(
            [
                chunk({"text": "x", "thought": True}),
                chunk({"text": "y", "thought": True, "thoughtSignature": "S"}),
                chunk({"text": "a"}, {"thoughtSignature": "T"}, end="STOP"),
            ],
            [
                ThinkingDelta("x"),
                ThinkingDelta("y"),
                thoughts.told(
                    {
                        "type": "reasoning.text",
                        "text": "xy",
                        "signature": "S",
                        "format": thoughts.GEMINI,
                        "index": 0,
                    }
                ),
                TextDelta("a"),
                detail(1, data="T"),
                Finished("stop"),
            ],
            id="signatures of thoughts and of words",
        ),
        pytest.param(
            [
                chunk({**call(args={"b": 1, "a": 2}, id="one"), "thoughtSignature": "S"}),
                chunk(call("g", id="two"), end="STOP"),
            ],
            [
                ToolCallDelta(0, "one", "f", '{"b":1,"a":2}'),
                detail(0, data="S", id="one"),
                ToolCallDelta(1, "two", "g", "{}"),
                Finished("tool_calls"),
            ],
            id="calls",
        ),
        pytest.param(
            [chunk(call(), end="MAX_TOKENS")],
            [ToolCallDelta(0, "call_c6b1c5ab", "f", "{}"), Finished("length")],
            id="a call without an id, and an answer cut after it",
        ),
        pytest.param(
            [
                chunk({"text": "a"}, usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9}),
                chunk(
                    {"text": "b"},
                    end="STOP",
                    usageMetadata={
                        "promptTokenCount": 9,
                        "toolUsePromptTokenCount": 3,
                        "cachedContentTokenCount": 4,
                        "candidatesTokenCount": 5,
                        "thoughtsTokenCount": 7,
                        "totalTokenCount": 24,
                    },
                ),
                {"usageMetadata": {"trafficType": "ON_DEMAND"}},
            ],
            [TextDelta("a"), TextDelta("b"), UsageSeen(Usage(12, 12, 4, 7)), Finished("stop")],
            id="the last usage holds, and one that says nothing does not count",
        ),
        pytest.param(
            [
                {
                    **chunk({"text": "a"}, index=0),
                    "candidates": [
                        {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0},
                        {"content": {"parts": [{"text": "b"}]}, "finishReason": "MAX_TOKENS", "index": 1},
                    ],
                }
            ],
            [TextDelta("a"), TextDelta("b", 1), Finished("stop", ("length",))],
            id="two answers",
        ),
        pytest.param(
            [chunk({"text": "a"}), {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}],
            [
                TextDelta("a"),
                Finished(
                    "content_filter",
                    extra={"google.generate": {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}},
                ),
            ],
            id="blocked on the way",
        ),
        pytest.param(
            [
                {
                    "candidates": [{"finishReason": "SPII", "finishMessage": "no"}],
                    "modelVersion": "m",
                    "responseId": "r",
                }
            ],
            [
                RefusalDelta("The provider withholds this answer (SPII)."),
                Finished(
                    "content_filter",
                    extra={
                        "google.generate": {
                            "candidates": [{"index": 0, "finishReason": "SPII", "finishMessage": "no"}]
                        }
                    },
                ),
            ],
            id="withheld",
        ),
        pytest.param(
            [chunk({"inlineData": {"mimeType": "image/png", "data": "AA"}}, end="IMAGE_SAFETY")],
            [
                ExtraDelta(
                    "google.generate",
                    {
                        "content": {
                            "role": "model",
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA"}}],
                        }
                    },
                ),
                Finished(
                    "content_filter",
                    extra={"google.generate": {"candidates": [{"index": 0, "finishReason": "IMAGE_SAFETY"}]}},
                ),
            ],
            id="a picture",
        ),
    ],
)
def test_streams(chunks, expected):
    found = streamed(*chunks)
    made = [event for event in expected if isinstance(event, ToolCallDelta) and event.id.startswith("call_")]
    if made:
        # Only that it is one of ours, and the same each time.
        assert found == streamed(*chunks)
        ids = [event.id for event in found if isinstance(event, ToolCallDelta)]
        assert all(id.startswith("call_") for id in ids)
        expected = [
            ToolCallDelta(event.index, id, event.name, event.arguments) if event in made else event
            for event, id in zip(expected, [*ids, *[None] * len(expected)], strict=False)
        ]
    assert list(found) == [STARTED, *expected]


def test_logprobs_are_told_in_the_common_form():
    result = {
        "chosenCandidates": [
            {"token": "a", "tokenId": 1, "logProbability": -0.5},
            {"token": "é", "logProbability": -1},
        ],
        "topCandidates": [
            {"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "b", "logProbability": -2}]}
        ],
    }
    body = chunk({"text": "aé"}, end="STOP")
    body["candidates"][0]["logprobsResult"] = result
    _, said, _ = streamed(body)
    assert said == TextDelta(
        "aé",
        0,
        (
            {
                "token": "a",
                "logprob": -0.5,
                "bytes": [97],
                "top_logprobs": [
                    {"token": "a", "logprob": -0.5, "bytes": [97]},
                    {"token": "b", "logprob": -2, "bytes": [98]},
                ],
            },
            {"token": "é", "logprob": -1, "bytes": [195, 169], "top_logprobs": []},
        ),
    )


ERROR = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
BARE = json.dumps(ERROR, indent=2).encode()
A = sse(chunk({"text": "a"}, end="STOP"))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(sse(ERROR), Kind.OVERLOADED, id="in a frame"),
        pytest.param(BARE, Kind.OVERLOADED, id="as the whole answer"),
        pytest.param(b"[" + BARE + b"]\n", Kind.OVERLOADED, id="as a list"),
        pytest.param(sse([ERROR]), Kind.OVERLOADED, id="as a list in a frame"),
        pytest.param(A + sse(ERROR), Kind.STREAM_ERROR, id="in a frame after words"),
        pytest.param(A + BARE, Kind.STREAM_ERROR, id="bare after words, to the end"),
        pytest.param(A + BARE + b"\n\n", Kind.STREAM_ERROR, id="bare after words"),
        pytest.param(A + BARE + b"\n\n" + A, Kind.STREAM_ERROR, id="bare between words"),
        pytest.param(A + BARE[:-5], Kind.STREAM_ERROR, id="bare and cut"),
        pytest.param(A + A[:-20], Kind.STREAM_ERROR, id="cut after a reason"),
        pytest.param(b"<html>busy</html>", Kind.GARBLED, id="a page"),
        pytest.param(sse("text"), Kind.GARBLED, id="no object"),
        pytest.param(sse({"hello": 1}), Kind.GARBLED, id="an object of something else"),
        pytest.param(A + b"data: {nonsense}\n\n", Kind.GARBLED, id="a frame that cannot be read"),
        pytest.param(sse(chunk({"functionCall": {}}, end="STOP")), Kind.GARBLED, id="a call of nothing"),
        pytest.param(sse({"usageMetadata": {"promptTokenCount": 3}}), Kind.RETRYABLE, id="no answer at all"),
        pytest.param(
            sse(chunk(end="UNEXPECTED_TOOL_CALL")), Kind.RETRYABLE, id="a call of a tool that is none"
        ),
        pytest.param(
            A + sse(chunk(end="MALFORMED_FUNCTION_CALL")),
            Kind.STREAM_ERROR,
            id="a malformed call after words",
        ),
        pytest.param(b"", Kind.STREAM_ERROR, id="nothing"),
    ],
)
def test_failures_of_a_stream(body, kind):
    events = events_of(decoded(CODEC, STREAM, body))
    assert grammatical(events)
    assert events[-1].problem.kind is kind
    for at in range(len(body)):
        assert events_of(decoded(CODEC, STREAM, body[:at], body[at:])) == events


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        pytest.param(ERROR, Kind.OVERLOADED, id="an error"),
        pytest.param([ERROR], Kind.OVERLOADED, id="an error in a list"),
        pytest.param([], Kind.GARBLED, id="an empty list"),
        pytest.param({}, Kind.GARBLED, id="an empty object"),
        pytest.param(
            chunk({"text": "a"}, end="MALFORMED_FUNCTION_CALL"), Kind.RETRYABLE, id="a malformed call"
        ),
    ],
)
def test_failures_of_a_document(document, kind):
    (event,) = events_of(decoded(CODEC, WHOLE, json.dumps(document).encode()))
    assert isinstance(event, Failed)
    assert event.problem.kind is kind


def test_comments_and_blank_lines_are_no_answer():
    body = b": hello\n\n" + A + b": ping\n\n\n"
    assert [type(event) for event in events_of(decoded(CODEC, STREAM, body))] == [
        Started,
        TextDelta,
        Finished,
    ]


@pytest.mark.parametrize(
    ("document", "inputs", "expected"),
    [
        pytest.param(
            {"embedding": {"values": [1, 2.5]}},
            1,
            [Started("asked"), Embedded(([1.0, 2.5],)), Finished("stop")],
            id="one, whose tokens nobody tells",
        ),
        pytest.param(
            {"embeddings": [{"values": [1]}, {"values": [2]}], "usageMetadata": {"promptTokenCount": 7}},
            2,
            [Started("asked"), Embedded(([1.0], [2.0])), UsageSeen(Usage(7)), Finished("stop")],
            id="two",
        ),
    ],
)
def test_embeddings(document, inputs, expected):
    request = EmbedRequest("asked", ("a",) * inputs)
    assert list(events_of(decoded(CODEC, request, json.dumps(document).encode()))) == expected


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        pytest.param({"embeddings": [{"values": [1]}]}, Kind.GARBLED, id="one too few"),
        pytest.param({"embedding": {"values": ["a"]}}, Kind.GARBLED, id="no numbers"),
        pytest.param([], Kind.GARBLED, id="a list"),
        pytest.param(ERROR, Kind.OVERLOADED, id="an error"),
    ],
)
def test_failures_of_embeddings(document, kind):
    (event,) = events_of(decoded(CODEC, EmbedRequest("asked", ("a", "b")), json.dumps(document).encode()))
    assert event.problem.kind is kind
