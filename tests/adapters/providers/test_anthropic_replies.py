"""Replies in Anthropic's form: blocks of each kind, what goes wrong inside a 200, and what the gateway itself asked for."""

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.providers.anthropic import CODEC
from adapters.providers.thoughts import CLAUDE, FORMAT
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
from pipeline.values.facts import QuotaSeen
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest, Format, Message, Role, Source, Text, Tool
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of, shown

ASKED = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=True)
WHOLE = evolve(ASKED, stream=False)
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}}
OWN = "anthropic.messages"


def start(**usage):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}}


def opened(block, index=0):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(delta, index=0):
    return {"type": "content_block_delta", "index": index, "delta": delta}


def closed(index=0):
    return {"type": "content_block_stop", "index": index}


def end(reason="end_turn", usage=None, **beside):
    return {"type": "message_delta", "delta": {"stop_reason": reason, **beside}, "usage": usage or {}}


def said(words, index=0):
    return [
        opened({"type": "text", "text": ""}, index),
        delta({"type": "text_delta", "text": words}, index),
        closed(index),
    ]


def called(name="f", pieces=("{}",), index=0, id="toolu_1", given=None):
    deltas = [delta({"type": "input_json_delta", "partial_json": piece}, index) for piece in pieces]
    return [
        opened({"type": "tool_use", "id": id, "name": name, "input": given or {}}, index),
        *deltas,
        closed(index),
    ]


STOP = {"type": "message_stop"}


def sse(*events):
    return "".join(f"event: {event.get('type')}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def stream(*events, request=ASKED):
    found = events_of(decoded(CODEC, request, sse(*events)))
    assert grammatical(found)
    return list(found)


HELLO = TextDelta("Hello")
BEGUN = Started("m", "msg_1")
RESULT = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "x"}]}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([*said("Hello"), end()], [HELLO, Finished("stop")], id="a text"),
        pytest.param(
            [{"type": "ping"}, *said("Hello"), {"type": "something_new", "x": 1}, end()],
            [HELLO, Finished("stop")],
            id="pings, and what nobody knows",
        ),
        pytest.param(
            [
                opened({"type": "thinking", "thinking": "", "signature": ""}),
                delta({"type": "thinking_delta", "thinking": "H"}),
                delta({"type": "thinking_delta", "thinking": "m"}),
                delta({"type": "signature_delta", "signature": "s"}),
                closed(),
                opened({"type": "redacted_thinking", "data": "d"}, 1),
                closed(1),
                *said("Hello", 2),
                end(),
            ],
            [
                ThinkingDelta("H"),
                ThinkingDelta("m"),
                ExtraDelta(
                    FORMAT,
                    {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": CLAUDE, "index": 0},
                ),
                ExtraDelta(
                    FORMAT, {"type": "reasoning.encrypted", "data": "d", "format": CLAUDE, "index": 1}
                ),
                HELLO,
                Finished("stop"),
            ],
            id="thinking, signed and hidden",
        ),
        pytest.param(
            [
                opened({"type": "thinking", "thinking": ""}),
                delta({"type": "thinking_delta", "thinking": "Hm"}),
                closed(),
                end(),
            ],
            [ThinkingDelta("Hm"), Finished("stop")],
            id="thinking without a signature needs not be given back",
        ),
        pytest.param(
            [
                *said("Calling."),
                *called(pieces=("", '{"x', '":1}'), index=1),
                *called("g", (), 2, "toolu_2"),
                end("tool_use"),
            ],
            [
                TextDelta("Calling."),
                ToolCallDelta(0, "toolu_1", "f"),
                ToolCallDelta(0, arguments='{"x'),
                ToolCallDelta(0, arguments='":1}'),
                ToolCallDelta(1, "toolu_2", "g"),
                ToolCallDelta(1, arguments="{}"),
                Finished("tool_calls"),
            ],
            id="calls, one of them without arguments",
        ),
        pytest.param(
            [*called(pieces=(), given={"x": 1}), end("tool_use")],
            [ToolCallDelta(0, "toolu_1", "f"), ToolCallDelta(0, arguments='{"x":1}'), Finished("tool_calls")],
            id="a call that comes with its input",
        ),
        pytest.param(
            [
                opened({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
                delta({"type": "input_json_delta", "partial_json": '{"query":'}),
                delta({"type": "input_json_delta", "partial_json": '"x"}'}),
                closed(),
                opened(RESULT, 1),
                closed(1),
                opened({"type": "text", "text": "Hello", "citations": [{"type": "a"}]}, 2),
                delta({"type": "citations_delta", "citation": {"type": "b"}}, 2),
                closed(2),
                end("pause_turn"),
            ],
            [
                ExtraDelta(
                    OWN,
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
                ),
                ExtraDelta(OWN, RESULT),
                ExtraDelta(OWN, {"citations": [{"type": "a"}]}),
                HELLO,
                ExtraDelta(OWN, {"citations": [{"type": "b"}]}),
                Finished("stop", (), {OWN: {"stop_reason": "pause_turn"}}),
            ],
            id="server tools and citations",
        ),
        pytest.param(
            [delta({"type": "new_delta", "x": 1}), end()],
            [ExtraDelta(OWN, {"delta": {"type": "new_delta", "x": 1}}), Finished("stop")],
            id="a delta nobody knows",
        ),
    ],
)
def test_streams(events, expected):
    assert stream(start(), *events, STOP) == [BEGUN, *expected]


@pytest.mark.parametrize(
    ("reason", "expected", "kept"),
    [
        ("end_turn", "stop", {}),
        ("max_tokens", "length", {}),
        ("model_context_window_exceeded", "length", {"stop_reason": "model_context_window_exceeded"}),
        ("refusal", "content_filter", {"stop_reason": "refusal"}),
        ("pause_turn", "stop", {"stop_reason": "pause_turn"}),
        ("stop_sequence", "stop", {"stop_reason": "stop_sequence"}),
        ("something_new", "stop", {"stop_reason": "something_new"}),
    ],
)
def test_reasons(reason, expected, kept):
    extra = {OWN: kept} if kept else {}
    assert stream(start(), *said("Hello"), end(reason), STOP)[-1] == Finished(expected, (), extra)
    document = {"id": "msg_1", "model": "m", "content": [], "stop_reason": reason}
    words = [RefusalDelta("The provider withholds this answer (refusal).")] if reason == "refusal" else []
    assert events_of(decoded(CODEC, WHOLE, json.dumps(document).encode())) == (
        BEGUN,
        *words,
        Finished(expected, (), extra),
    )


def test_what_stopped_the_answer_is_kept():
    details = {"type": "refusal", "category": "x"}
    found = stream(start(), end("refusal", stop_sequence=None, stop_details=details), STOP)
    assert found[-1].extra == {OWN: {"stop_details": details, "stop_reason": "refusal"}}


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        pytest.param(
            {
                "input_tokens": 10,
                "cache_creation_input_tokens": 2,
                "cache_read_input_tokens": 5,
                "output_tokens": 1,
            },
            {"output_tokens": 7},
            Usage(17, 7, 5),
            id="the start tells the input, the end the output",
        ),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 1},
            {
                "input_tokens": 30,
                "cache_read_input_tokens": 0,
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Usage(30, 7, 0, 4),
            id="the end knows more",
        ),
        pytest.param(
            {"input_tokens": 10, "output_tokens": 1},
            {"input_tokens": None, "output_tokens": 2},
            Usage(10, 2),
            id="nothing said is nothing new",
        ),
    ],
)
def test_usage(first, last, expected):
    found = stream(start(**first), *said("Hello"), end(usage=last), STOP)
    assert found[-2] == UsageSeen(expected)


def error(kind, message="no"):
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", Kind.OVERLOADED),
        ("rate_limit_error", Kind.RATE_LIMITED),
        ("api_error", Kind.SERVER),
        ("timeout_error", Kind.SERVER),
        ("authentication_error", Kind.AUTH),
        ("permission_error", Kind.AUTH),
        ("billing_error", Kind.QUOTA),
        ("not_found_error", Kind.NOT_FOUND),
        ("invalid_request_error", Kind.INVALID),
        ("request_too_large", Kind.INVALID),
    ],
)
def test_an_error_inside_a_stream(kind, expected):
    before = stream(start(), error(kind))
    assert [type(event) for event in before] == [Started, Failed]
    assert before[-1].problem.kind is expected
    after = stream(start(), *said("Hello"), error(kind))
    assert after[-1].problem.kind is Kind.STREAM_ERROR
    (alone,) = events_of(decoded(CODEC, WHOLE, json.dumps(error(kind)).encode()))
    assert alone.problem.kind is expected


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum", Kind.CONTEXT_LENGTH),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
            Kind.CONTEXT_LENGTH,
        ),
        (400, "invalid_request_error", "Your credit balance is too low. Go to Plans & Billing.", Kind.QUOTA),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", Kind.QUOTA),
        (400, "invalid_request_error", "Output blocked by content filtering policy", Kind.POLICY),
        (400, "invalid_request_error", "max_tokens: Field required", Kind.INVALID),
        (401, "authentication_error", "invalid x-api-key", Kind.AUTH),
        (402, "billing_error", "x", Kind.QUOTA),
        (403, "permission_error", "x", Kind.AUTH),
        (404, "not_found_error", "model: claude-x", Kind.NOT_FOUND),
        (409, "conflict_error", "x", Kind.RETRYABLE),
        (413, "request_too_large", "Request exceeds the maximum size", Kind.INVALID),
        (
            429,
            "rate_limit_error",
            "exceed your rate limit. https://console.example/settings/billing",
            Kind.RATE_LIMITED,
        ),
        (500, "api_error", "Internal server error", Kind.SERVER),
        (504, "timeout_error", "x", Kind.SERVER),
        (529, "overloaded_error", "Overloaded", Kind.OVERLOADED),
    ],
)
def test_refusals(status, kind, message, expected):
    body = json.dumps(error(kind, message)).encode()
    problem = CODEC.classify(ReplyHead(status, {"retry-after": "3"}), body)
    assert (problem.kind, problem.retry_after) == (expected, 3.0)


def test_a_refusal_names_its_field():
    body = json.dumps(
        error("invalid_request_error", "tools.0.custom.name: String should match pattern")
    ).encode()
    assert CODEC.classify(ReplyHead(400), body).subject == "tools.0.custom.name"


@pytest.mark.parametrize("body", [b"", b"<html>bad gateway</html>", b"[]", b"null", b'"x"'])
def test_a_refusal_in_no_form_of_theirs(body):
    assert CODEC.classify(ReplyHead(502), body).kind is Kind.SERVER


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"<html></html>", Kind.GARBLED, id="a page"),
        pytest.param(b"data: x\n\n", Kind.GARBLED, id="no JSON"),
        pytest.param(b"data: 5\n\n", Kind.GARBLED, id="no object"),
        pytest.param(b"", Kind.STREAM_ERROR, id="nothing"),
        pytest.param(sse(start()), Kind.STREAM_ERROR, id="a beginning"),
        pytest.param(
            sse(start(), opened({"type": "tool_use", "id": "a"})), Kind.GARBLED, id="a call without a name"
        ),
        pytest.param(
            sse(start(), delta({"type": "input_json_delta", "partial_json": "{}"})),
            Kind.GARBLED,
            id="arguments of no call",
        ),
    ],
)
def test_what_cannot_be_read(body, kind):
    events = events_of(decoded(CODEC, ASKED, body))
    assert grammatical(events)
    assert events[-1].problem.kind is kind


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content": "x"}', b"data: x\n\n"])
def test_whole_replies_that_are_none(body):
    (event,) = events_of(decoded(CODEC, WHOLE, body))
    assert event.problem.kind is Kind.GARBLED


def test_embeddings_are_none_of_theirs():
    (event,) = events_of(decoded(CODEC, EmbedRequest("e", ("a",)), b'{"data": []}'))
    assert event.problem.kind is Kind.GARBLED


ANSWER = evolve(ASKED, format=Format(PERSON))
PIECES = ('{"na', 'me":"x"}')


def test_the_input_of_the_answering_tool_is_the_answer():
    batches = decoded(CODEC, ANSWER, sse(start(), *called("answer", PIECES), end("tool_use"), STOP))
    assert list(events_of(batches)) == [BEGUN, TextDelta('{"na'), TextDelta('me":"x"}'), Finished("stop")]
    assert OWN not in {batch.verbatim.format for batch in batches if batch.verbatim}


@pytest.mark.parametrize(("given", "words"), [({"name": "x"}, '{"name":"x"}'), ({}, "{}")])
def test_the_answering_tool_in_a_whole_reply(given, words):
    block = {"type": "tool_use", "id": "a", "name": "answer", "input": given}
    document = {"id": "msg_1", "model": "m", "content": [block], "stop_reason": "tool_use"}
    found = events_of(decoded(CODEC, evolve(ANSWER, stream=False), json.dumps(document).encode()))
    assert found == (BEGUN, TextDelta(words), Finished("stop"))


def test_a_tool_of_the_clients_named_like_the_answering_one():
    request = evolve(ANSWER, tools=(Tool("answer"),))
    found = stream(
        start(), *called("answer"), *called("answer_", ("{}",), 1), end("tool_use"), STOP, request=request
    )
    assert found[1:] == [
        ToolCallDelta(0, "toolu_1", "answer"),
        ToolCallDelta(0, arguments="{}"),
        TextDelta("{}"),
        Finished("tool_calls"),
    ]


def test_tools_are_called_by_the_clients_names():
    request = evolve(ASKED, tools=(Tool("web.search"),))
    batches = decoded(CODEC, request, sse(start(), *called("web_search"), end("tool_use"), STOP))
    assert events_of(batches)[1] == ToolCallDelta(0, "toolu_1", "web.search")
    assert all(batch.verbatim is None or batch.verbatim.format != OWN for batch in batches)


def test_a_client_of_this_form_gets_the_bytes():
    body = sse(start(), *said("Hello"), end(), STOP)
    request = evolve(ANSWER, source=Source(OWN, {}))
    batches = decoded(CODEC, request, body)
    assert shown(batches) == body
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {OWN}


NOON = "Mon, 06 Nov 2023 12:00:00 GMT"


def test_what_is_left():
    headers = {
        "date": NOON,
        "anthropic-ratelimit-requests-remaining": "9",
        "anthropic-ratelimit-requests-reset": "2023-11-06T12:00:01Z",
        "anthropic-ratelimit-tokens-remaining": "80",
        "anthropic-ratelimit-tokens-reset": "2023-11-06T12:01:00Z",
    }
    assert CODEC.quota("p/m", ReplyHead(200, headers), 3.0) == QuotaSeen("p/m", 3.0, 9, 80, 1.0, 60.0)
    assert CODEC.quota("p/m", ReplyHead(200), 3.0) is None


# What any server could send, in the form of events more often than not.
LEAF = st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from(["", "a", "{}", "end_turn", "answer"])
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "thinking", "redacted_thinking", "tool_use", "server_tool_use"])
        | LEAF,
        "id": LEAF,
        "name": LEAF,
        "text": LEAF,
        "thinking": LEAF,
        "input": LEAF | st.dictionaries(LEAF.filter(lambda key: isinstance(key, str)), LEAF),
        "citations": LEAF | st.lists(LEAF),
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["text_delta", "thinking_delta", "signature_delta", "input_json_delta", "citations_delta"]
        )
        | LEAF,
        "text": LEAF,
        "thinking": LEAF,
        "signature": LEAF,
        "partial_json": LEAF,
        "stop_reason": LEAF,
    },
)
EVENTS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "message_start",
                "content_block_start",
                "content_block_start",
                "content_block_delta",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
                "ping",
                "error",
            ]
        )
    },
    optional={
        "index": LEAF,
        "message": BLOCKS | LEAF,
        "content_block": BLOCKS | LEAF,
        "delta": DELTAS | LEAF,
        "usage": LEAF | st.dictionaries(st.sampled_from(["input_tokens", "output_tokens"]), LEAF),
        "error": LEAF,
    },
)
REQUESTS = st.sampled_from([ASKED, WHOLE, ANSWER, evolve(ASKED, tools=(Tool("a b"),))])


@given(st.lists(EVENTS, max_size=6), REQUESTS, st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_events_come_they_are_a_reply_and_cuts_make_no_difference(events, request, data):
    body = sse(*events)
    at = data.draw(st.integers(0, len(body)))
    whole = decoded(CODEC, request, body)
    found = events_of(whole)
    assert grammatical(found)
    cut = decoded(CODEC, request, body[:at], body[at:])
    assert events_of(cut) == found
    seen = set()
    for event in found:
        if isinstance(event, ToolCallDelta):
            assert (bool(event.id), bool(event.name)) == (event.index not in seen,) * 2
            seen.add(event.index)


@given(
    st.fixed_dictionaries({"content": st.lists(BLOCKS | LEAF, max_size=4) | LEAF}, optional={"usage": LEAF})
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_whole_reply_holds_it_is_a_reply(document):
    assert grammatical(events_of(decoded(CODEC, WHOLE, json.dumps(document).encode())))
