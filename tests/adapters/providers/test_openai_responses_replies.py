"""Replies of /responses: each event once, what never came in pieces, and what goes wrong inside a 200."""

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.providers.openai import CODEC
from adapters.providers.replies import made_call_id
from pipeline.values.events import (
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
from pipeline.values.messages import ChatRequest, Message, Prompt, Role, Text
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of, shown

ASKED = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=True)
WHOLE = evolve(ASKED, stream=False)
HEAD = {"id": "r1", "object": "response", "model": "m", "output": []}


def event(kind, **fields):
    return {"type": f"response.{kind}", **fields}


def sse(*documents, named=True):
    frames = []
    for document in documents:
        name = f"event: {document['type']}\n" if named else ""
        frames.append(f"{name}data: {json.dumps(document)}\n\n")
    return "".join(frames).encode()


CREATED = event("created", response=HEAD)
DONE = event("completed", response={**HEAD, "status": "completed"})


def stream(*documents, created=True):
    """The events of a stream, without the first."""
    body = sse(*([CREATED] if created else []), *documents)
    events = events_of(decoded(CODEC, ASKED, body))
    assert grammatical(events)
    assert events[0] == Started("m", "r1")
    return list(events[1:])


def whole(*items, **fields):
    document = {**HEAD, "status": "completed", "output": list(items), **fields}
    events = events_of(decoded(CODEC, WHOLE, json.dumps(document).encode()))
    assert grammatical(events)
    return list(events[1:]) if events[0] == Started("m", "r1") else list(events)


def added(place, **item):
    return event("output_item.added", output_index=place, item=item)


def done(place, **item):
    return event("output_item.done", output_index=place, item=item)


def piece(kind, place, delta, **beside):
    return event(f"{kind}.delta", output_index=place, item_id=f"i{place}", delta=delta, **beside)


def text(said, **beside):
    return {"type": "output_text", "text": said, "annotations": [], **beside}


def message(*parts):
    return {"type": "message", "id": "i0", "role": "assistant", "content": list(parts)}


def call(name="f", arguments="", call_id="c1", id="i0"):
    return {"type": "function_call", "id": id, "call_id": call_id, "name": name, "arguments": arguments}


def encrypted(data, index=0, **beside):
    detail = {"type": "reasoning.encrypted", "data": data, "format": "openai-responses-v1", "index": index}
    return ExtraDelta("reasoning_details", {**detail, **beside})


STOP = Finished("stop")
NOTE = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
CITED = [
    ExtraDelta("openai.responses", {"annotations": [NOTE]}),
    ExtraDelta(
        "openai.chat",
        {
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {key: value for key, value in NOTE.items() if key != "type"},
                }
            ]
        },
    ),
]
FILE = {"type": "file_citation", "file_id": "f", "index": 0}
SEARCH = {"type": "web_search_call", "id": "i0", "status": "completed"}
CUSTOM = {"type": "custom_tool_call", "id": "i0", "call_id": "c1", "name": "py", "input": "1+1"}
CUSTOM_IN_CHAT = {"id": "c1", "type": "custom", "custom": {"name": "py", "input": "1+1"}}


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        pytest.param(
            [
                event("in_progress", response=HEAD),
                added(0, **message()),
                event("content_part.added", output_index=0, content_index=0, part=text("")),
                piece("output_text", 0, "He", obfuscation="xyz"),
                piece("output_text", 0, "llo", logprobs=[]),
                event("output_text.done", output_index=0, text="Hello"),
                event("content_part.done", output_index=0, part=text("Hello")),
                done(0, **message(text("Hello"))),
                event("completed", response={**HEAD, "output": [message(text("Hello"))]}),
            ],
            [TextDelta("He"), TextDelta("llo"), STOP],
            id="text is told once, though the stream says it five times",
        ),
        pytest.param(
            [done(0, **message(text("Hello"))), DONE],
            [TextDelta("Hello"), STOP],
            id="text that came in no piece is told when its item is done",
        ),
        pytest.param(
            [event("completed", response={**HEAD, "output": [message(text("Hello")), call()]})],
            [TextDelta("Hello"), ToolCallDelta(0, "c1", "f"), Finished("tool_calls")],
            id="items that came in no event are told at the end",
        ),
        pytest.param(
            [piece("refusal", 0, "No."), done(0, **message({"type": "refusal", "refusal": "No."})), DONE],
            [RefusalDelta("No."), STOP],
            id="a refusal",
        ),
        pytest.param(
            [
                added(0, **call("f", "", "c1")),
                added(1, **call("g", "", "c2", "i1")),
                piece("function_call_arguments", 1, "{"),
                piece("function_call_arguments", 0, "{}"),
                piece("function_call_arguments", 1, "}"),
                event("function_call_arguments.done", output_index=1, arguments="{}"),
                done(0, **call("f", "{}", "c1")),
                done(1, **call("g", "{}", "c2", "i1")),
                DONE,
            ],
            [
                ToolCallDelta(0, "c1", "f"),
                ToolCallDelta(1, "c2", "g"),
                ToolCallDelta(1, arguments="{"),
                ToolCallDelta(0, arguments="{}"),
                ToolCallDelta(1, arguments="}"),
                Finished("tool_calls"),
            ],
            id="two calls, their arguments interleaved",
        ),
        pytest.param(
            [
                added(0, **call()),
                event("function_call_arguments.done", output_index=0, arguments="{}"),
                done(0, **call(arguments="{}")),
                DONE,
            ],
            [ToolCallDelta(0, "c1", "f"), ToolCallDelta(0, arguments="{}"), Finished("tool_calls")],
            id="arguments that came in no piece",
        ),
        pytest.param(
            [
                added(0, **call(name="")),
                piece("function_call_arguments", 0, "{}"),
                done(0, **call(arguments="{}")),
                DONE,
            ],
            [ToolCallDelta(0, "c1", "f", "{}"), Finished("tool_calls")],
            id="a name that comes late",
        ),
        pytest.param(
            [
                added(0, **call()),
                event("function_call_arguments.delta", output_index=0, item_id="another", delta="{}"),
                done(0, **call(arguments="{}", id="yet another")),
                DONE,
            ],
            [ToolCallDelta(0, "c1", "f"), ToolCallDelta(0, arguments="{}"), Finished("tool_calls")],
            id="ids of items that change on the way",
        ),
        pytest.param(
            [
                event("output_item.added", item=call()),
                event("function_call_arguments.delta", item_id="i0", delta="{}"),
                event("output_item.done", item=call(arguments="{}")),
                event("completed", response={**HEAD, "output": [call(arguments="{}")]}),
            ],
            [ToolCallDelta(0, "c1", "f"), ToolCallDelta(0, arguments="{}"), Finished("tool_calls")],
            id="items without a place are told by their ids",
        ),
        pytest.param(
            [done(0, type="function_call", name="f", arguments="{}"), DONE],
            [
                ToolCallDelta(0, made_call_id("r1 0 0"), "f"),
                ToolCallDelta(0, arguments="{}"),
                Finished("tool_calls"),
            ],
            id="a call without any id",
        ),
        pytest.param(
            [
                added(0, type="reasoning", id="i0", summary=[], encrypted_content="part"),
                piece("reasoning_summary_text", 0, "Hm", summary_index=0),
                piece("reasoning_summary_text", 0, ".", summary_index=0),
                piece("reasoning_summary_text", 0, "Oh", summary_index=1),
                done(0, type="reasoning", id="i0", summary=[{"text": "Hm."}], encrypted_content="all"),
                added(1, type="reasoning", id="i1", summary=[]),
                piece("reasoning_summary_text", 1, "So", summary_index=0),
                done(1, type="reasoning", id="i1", summary=[{"text": "So"}], encrypted_content="more"),
                DONE,
            ],
            [
                ThinkingDelta("Hm"),
                ThinkingDelta("."),
                ThinkingDelta("\n\nOh"),
                encrypted("all", id="i0"),
                ThinkingDelta("\n\nSo"),
                encrypted("more", 1, id="i1"),
                STOP,
            ],
            id="thoughts stand apart, and are told encrypted when they are whole",
        ),
        pytest.param(
            [
                piece("reasoning_text", 0, "Hm", content_index=0),
                done(0, type="reasoning", content=[{"type": "reasoning_text", "text": "Hm"}]),
                DONE,
            ],
            [ThinkingDelta("Hm"), STOP],
            id="thinking in full, of models that show it",
        ),
        pytest.param(
            [
                piece("output_text", 0, "a"),
                event("output_text.annotation.added", output_index=0, annotation=NOTE),
                done(0, **message(text("a", annotations=[NOTE]))),
                DONE,
            ],
            [TextDelta("a"), *CITED, STOP],
            id="an annotation is told once, for both of OpenAI's forms",
        ),
        pytest.param(
            [piece("output_text", 0, "a"), done(0, **message(text("a", annotations=[FILE]))), DONE],
            [TextDelta("a"), ExtraDelta("openai.responses", {"annotations": [FILE]}), STOP],
            id="an annotation that chat does not know, and that came with its item alone",
        ),
        pytest.param(
            [
                added(0, **SEARCH),
                event("web_search_call.searching", output_index=0),
                done(0, **SEARCH),
                DONE,
            ],
            [ExtraDelta("openai.responses", {"output": [SEARCH]}), STOP],
            id="what a tool of the provider's own did",
        ),
        pytest.param(
            [done(0, **CUSTOM), DONE],
            [
                ExtraDelta("openai.responses", {"output": [CUSTOM]}),
                ExtraDelta("openai.chat", {"tool_calls": [CUSTOM_IN_CHAT]}),
                Finished("tool_calls"),
            ],
            id="a call of a tool that takes plain text",
        ),
        pytest.param(
            [
                event(
                    "incomplete",
                    response={**HEAD, "incomplete_details": {"reason": "max_output_tokens"}},
                )
            ],
            [Finished("length")],
            id="the token limit",
        ),
        pytest.param(
            [event("incomplete", response={**HEAD, "incomplete_details": {"reason": "content_filter"}})],
            [Finished("content_filter")],
            id="the content filter",
        ),
        pytest.param(
            [event("incomplete", response={**HEAD, "incomplete_details": {"reason": "unheard_of"}})],
            [STOP],
            id="a reason nobody knows",
        ),
        pytest.param(
            [
                event(
                    "completed",
                    response={
                        **HEAD,
                        "service_tier": "flex",
                        "usage": {
                            "input_tokens": 9,
                            "input_tokens_details": {"cached_tokens": 4},
                            "output_tokens": 5,
                            "output_tokens_details": {"reasoning_tokens": 2},
                        },
                    },
                )
            ],
            [
                UsageSeen(Usage(9, 5, 4, 2)),
                Finished("stop", extra={"openai.chat": {"service_tier": "flex"}}),
            ],
            id="usage and tier",
        ),
        pytest.param(
            [event("unheard_of", delta="x"), {"type": "keepalive"}, DONE], [STOP], id="events nobody knows"
        ),
    ],
)
def test_streams(documents, expected):
    assert stream(*documents) == expected


def test_log_probabilities_have_bytes():
    entry = {"token": "é", "logprob": -0.1, "top_logprobs": [{"token": "e", "logprob": -2.0}]}
    full = {
        "token": "é",
        "logprob": -0.1,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -2.0, "bytes": [101]}],
    }
    expected = [TextDelta("é", 0, (full,)), STOP]
    assert stream(piece("output_text", 0, "é", logprobs=[entry]), DONE) == expected
    assert whole(message(text("é", logprobs=[full]))) == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([message(text("a"), text("b"))], [TextDelta("a"), TextDelta("b"), STOP], id="text"),
        pytest.param(
            [
                {
                    "type": "reasoning",
                    "id": "i0",
                    "summary": [
                        {"type": "summary_text", "text": "Hm"},
                        {"type": "summary_text", "text": "Oh"},
                    ],
                    "encrypted_content": "e",
                },
                call(arguments='{"x":1}'),
                call("g", "", "c2"),
            ],
            [
                ThinkingDelta("Hm"),
                ThinkingDelta("\n\nOh"),
                encrypted("e", id="i0"),
                ToolCallDelta(0, "c1", "f"),
                ToolCallDelta(0, arguments='{"x":1}'),
                ToolCallDelta(1, "c2", "g"),
                Finished("tool_calls"),
            ],
            id="thinking and calls",
        ),
        pytest.param([], [STOP], id="nothing"),
    ],
)
def test_documents(items, expected):
    assert whole(*items) == expected


@pytest.mark.parametrize(
    ("documents", "kind"),
    [
        pytest.param(
            [{"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "param": None}],
            Kind.RATE_LIMITED,
            id="an error event",
        ),
        pytest.param(
            [{"type": "error", "error": {"type": "server_error", "message": "x"}}],
            Kind.SERVER,
            id="an error event with the error inside",
        ),
        pytest.param(
            [event("failed", response={**HEAD, "error": {"code": "server_error", "message": "x"}})],
            Kind.SERVER,
            id="a failed response",
        ),
        pytest.param(
            [event("failed", response={**HEAD, "error": {"code": "invalid_prompt", "message": "x"}})],
            Kind.POLICY,
            id="a prompt that is not wanted",
        ),
        pytest.param(
            [event("failed", response={**HEAD, "error": {"code": "invalid_image_url", "message": "x"}})],
            Kind.INVALID,
            id="a picture that cannot be used",
        ),
        pytest.param([event("failed", response=HEAD)], Kind.SERVER, id="a failure without words"),
        pytest.param([event("cancelled", response=HEAD)], Kind.SERVER, id="a response that was cancelled"),
        pytest.param(
            [piece("output_text", 0, "a"), {"type": "error", "message": "x"}],
            Kind.STREAM_ERROR,
            id="an error after content",
        ),
        pytest.param([], Kind.STREAM_ERROR, id="an end too early"),
        pytest.param([done(0, **message(text("a")))], Kind.STREAM_ERROR, id="an end before the last event"),
        pytest.param([done(0, **call(name=""))], Kind.GARBLED, id="a call without a name"),
        pytest.param(
            [piece("function_call_arguments", 0, "{}"), DONE], Kind.GARBLED, id="arguments of no call"
        ),
    ],
)
def test_failures(documents, kind):
    last = stream(*documents)[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is kind


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        pytest.param(
            {"error": {"code": "server_error", "message": "x"}, "status": "failed"}, Kind.SERVER, id="error"
        ),
        pytest.param({"status": "failed", "error": None}, Kind.SERVER, id="a failure without words"),
        pytest.param({"output": None}, Kind.GARBLED, id="no output"),
        pytest.param({"output": [call(name="")]}, Kind.GARBLED, id="a call without a name"),
    ],
)
def test_documents_that_fail(document, kind):
    last = whole(**{"status": "completed", **document}) if "output" not in document else failed(document)
    assert last[-1].problem.kind is kind


def failed(document):
    return events_of(decoded(CODEC, WHOLE, json.dumps({**HEAD, **document}).encode()))


@pytest.mark.parametrize(
    "request_",
    [ASKED, evolve(ASKED, model="gpt-5-codex"), ChatRequest("m", prompt=Prompt("p", raw=True), stream=True)],
    ids=["a name that tells nothing", "a name that tells the endpoint", "a prompt"],
)
def test_the_reply_tells_its_endpoint(request_):
    chat = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    for body, format in (
        (sse(CREATED, piece("output_text", 0, "a"), DONE), "openai.responses"),
        (sse(CREATED, piece("output_text", 0, "a"), DONE, named=False), "openai.responses"),
        (b": comment\n\n" + sse(CREATED, piece("output_text", 0, "a"), DONE), "openai.responses"),
        (chat + b"data: [DONE]\n\n", "openai.completions" if request_.prompt else "openai.chat"),
    ):
        batches = decoded(CODEC, request_, body)
        assert events_of(batches)[1:] == (TextDelta("a"), STOP)
        assert shown(batches) == body
        assert {batch.verbatim.format for batch in batches if batch.verbatim} == {format}


def test_a_plain_document_in_answer_to_a_request_for_a_stream():
    document = {**HEAD, "status": "completed", "output": [message(text("Hello"))]}
    events = events_of(decoded(CODEC, ASKED, json.dumps(document).encode()))
    assert events == (Started("m", "r1"), TextDelta("Hello"), STOP)


LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2)
    | st.sampled_from(["", "a", "{}", "refusal", "output_text"])
)
PARTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["output_text", "refusal", "summary_text"]) | LEAF,
            "text": LEAF,
            "refusal": LEAF,
            "annotations": st.lists(st.just(NOTE) | LEAF, max_size=2) | LEAF,
            "logprobs": st.lists(st.dictionaries(st.sampled_from(["token", "top_logprobs"]), LEAF)) | LEAF,
        },
    )
    | LEAF,
    max_size=2,
)
GIVEN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["message", "function_call", "reasoning", "custom_tool_call"]) | LEAF,
        "id": LEAF,
        "call_id": LEAF,
        "name": LEAF,
        "arguments": LEAF,
        "content": PARTS | LEAF,
        "summary": PARTS | LEAF,
        "encrypted_content": LEAF,
    },
)
RESPONSE = st.fixed_dictionaries(
    {},
    optional={
        "id": LEAF,
        "object": st.just("response") | LEAF,
        "model": LEAF,
        "output": st.lists(GIVEN | LEAF, max_size=3) | LEAF,
        "usage": st.dictionaries(st.sampled_from(["input_tokens", "input_tokens_details"]), LEAF) | LEAF,
        "incomplete_details": st.dictionaries(st.just("reason"), LEAF) | LEAF,
        "status": st.sampled_from(["completed", "failed"]) | LEAF,
        "error": LEAF | st.dictionaries(st.sampled_from(["code", "message"]), LEAF),
    },
)
KINDS = [
    *("created", "completed", "incomplete", "failed", "output_item.added", "output_item.done"),
    *("output_text.delta", "refusal.delta", "reasoning_summary_text.delta", "function_call_arguments.delta"),
    *("function_call_arguments.done", "output_text.annotation.added"),
]
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from([f"response.{kind}" for kind in KINDS]) | LEAF},
    optional={
        "response": RESPONSE | LEAF,
        "item": GIVEN | LEAF,
        "output_index": LEAF,
        "item_id": LEAF,
        "summary_index": LEAF | st.lists(LEAF, max_size=1),
        "delta": LEAF,
        "arguments": LEAF,
        "annotation": LEAF | st.just(NOTE),
        "logprobs": LEAF,
        "error": LEAF,
    },
)


@given(documents=st.lists(EVENTS, max_size=6), data=st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_comes_it_is_a_reply_and_cuts_make_no_difference(documents, data):
    body = sse(CREATED, *documents, DONE, named=False)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    batches = decoded(CODEC, ASKED, *pieces)
    events = events_of(batches)
    assert grammatical(events)
    assert events == events_of(decoded(CODEC, ASKED, body))
    if not isinstance(events[-1], Failed):
        assert body.startswith(shown(batches))
    calls = [each for each in events if isinstance(each, ToolCallDelta)]
    firsts = [each.index for each in calls if each.name]
    assert firsts == list(range(len(firsts)))
    assert all(bool(each.id) == bool(each.name) for each in calls)


@given(document=RESPONSE)
@settings(max_examples=200, deadline=None)
def test_whatever_a_document_holds_it_is_a_reply(document):
    events = events_of(decoded(CODEC, WHOLE, json.dumps({**document, "object": "response"}).encode()))
    assert grammatical(events)
