"""Replies of Bedrock beyond the recorded ones: calls, answers in calls, errors in every place, and what always holds."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.framing.eventstream import message
from adapters.providers.bedrock import CODEC
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
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest, Format, Message, Role, Text, Tool
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import decoded, events_of, shown

HI = (Message(Role.USER, (Text("hi"),)),)
STREAM = ChatRequest("asked", HI, stream=True)
WHOLE = ChatRequest("asked", HI)
FORMED = {"format": Format({"type": "object", "properties": {}})}
START = ("messageStart", {"role": "assistant"})
STOP = ("messageStop", {"stopReason": "end_turn"})
COSTS = ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}})
SPENT = UsageSeen(Usage(1, 2))


def event(name, value):
    return message({":event-type": name, ":message-type": "event"}, json.dumps(value).encode())


def exception(name, words):
    return message(
        {":exception-type": name, ":message-type": "exception"}, json.dumps({"message": words}).encode()
    )


def stream(*events):
    return b"".join(event(name, value) for name, value in events)


def delta(value, place=0):
    return "contentBlockDelta", {"contentBlockIndex": place, "delta": value}


def begin(value, place=0):
    return "contentBlockStart", {"contentBlockIndex": place, "start": value}


def end(place=0):
    return "contentBlockStop", {"contentBlockIndex": place}


def use(id, name, **more):
    return {"toolUse": {"toolUseId": id, "name": name, **more}}


def piece(text):
    return {"toolUse": {"input": text}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([delta({"text": "a"}), delta({"text": ""}), delta({"text": "b"}), end()], [TextDelta("a"), TextDelta("b")], id="text"),
        pytest.param(
            [begin(use("i", "n")), delta(piece("")), delta(piece('{"a"')), delta(piece(":1}")), end()],
            [ToolCallDelta(0, "i", "n"), ToolCallDelta(0, arguments='{"a"'), ToolCallDelta(0, arguments=":1}")],
            id="a call in pieces",
        ),
        pytest.param(
            [begin(use("i", "n"), 0), begin(use("j", "m"), 1), delta(piece("{}"), 1), delta(piece("[]"), 0), end(1), end(0)],
            [ToolCallDelta(0, "i", "n"), ToolCallDelta(1, "j", "m"), ToolCallDelta(1, arguments="{}"), ToolCallDelta(0, arguments="[]")],
            id="two calls that interleave",
        ),
        pytest.param([begin(use("i", "n")), end()], [ToolCallDelta(0, "i", "n"), ToolCallDelta(0, arguments="{}")],
            id="a call without arguments",
        ),
        pytest.param(
            [delta({"reasoningContent": {"text": "h"}}), delta({"reasoningContent": {"text": "m"}}),
             delta({"reasoningContent": {"signature": "sig"}}), end(), delta({"text": "x"}, 1), end(1)],
            [ThinkingDelta("h"), ThinkingDelta("m"),
             ExtraDelta("reasoning_details", {"type": "reasoning.text", "text": "hm", "signature": "sig",
                                              "format": "anthropic-claude-v1", "index": 0}),
             TextDelta("x")],
            id="thinking with a signature",
        ),
        pytest.param(
            [delta({"reasoningContent": {"redactedContent": "RXVZQg=="}}), end()],
            [ExtraDelta("reasoning_details", {"type": "reasoning.encrypted", "data": "EuYB",
                                              "format": "anthropic-claude-v1", "index": 0})],
            id="sealed thinking",
        ),
        pytest.param(
            [delta({"reasoningContent": {"redactedContent": "RXU="}}),
             delta({"reasoningContent": {"redactedContent": "WUI="}}), end()],
            [ExtraDelta("reasoning_details", {"type": "reasoning.encrypted", "data": "EuYB",
                                              "format": "anthropic-claude-v1", "index": 0})],
            id="sealed thinking in pieces, each wrapped by itself",
        ),
        pytest.param([delta({"reasoningContent": {"text": "h"}}), end()], [ThinkingDelta("h")], id="thinking without one"),
        pytest.param(
            [begin({"image": {"format": "png"}}), delta({"image": {"source": 1}}), end()],
            [ExtraDelta("bedrock.converse", {"image": {"format": "png"}, "deltas": [{"image": {"source": 1}}]})],
            id="a block of another kind",
        ),
    ],
)  # fmt: skip
def test_blocks_are_told(events, expected):
    told = events_of(decoded(CODEC, STREAM, stream(START, *events, STOP, COSTS)))
    calls = any(isinstance(one, ToolCallDelta) for one in expected)
    assert told == (Started("asked"), *expected, SPENT, Finished("tool_calls" if calls else "stop"))


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("tool_use", "stop"),
        ("never heard of", "stop"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_why_it_ended(word, reason, streamed):
    body = stream(START, ("messageStop", {"stopReason": word}), COSTS)
    if not streamed:
        body = json.dumps({"output": {"message": {"content": [{"text": "x"}]}}, "stopReason": word}).encode()
    assert events_of(decoded(CODEC, STREAM if streamed else WHOLE, body))[-1].reason == reason


def test_a_call_ends_a_turn_whatever_the_word():
    body = stream(START, begin(use("i", "n")), end(), STOP, COSTS)
    assert events_of(decoded(CODEC, STREAM, body))[-1] == Finished("tool_calls")


def test_costs_include_what_the_cache_gave_and_took():
    usage = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 100}
    body = stream(START, STOP, ("metadata", {"usage": usage, "trace": {"x": 1}, "p": "abc"}))
    assert events_of(decoded(CODEC, STREAM, body)) == (
        Started("asked"),
        UsageSeen(Usage(111, 2, 10)),
        Finished("stop", extra={"bedrock.converse": {"trace": {"x": 1}}}),
    )


def test_an_answer_in_a_call_is_text():
    asked = ChatRequest("asked", HI, stream=True, **FORMED)
    body = stream(START, begin(use("i", "answer")), delta(piece('{"a":')), delta(piece("1}")), end(),
                  ("messageStop", {"stopReason": "tool_use"}), COSTS)  # fmt: skip
    expected = (Started("asked"), TextDelta('{"a":'), TextDelta("1}"), SPENT, Finished("stop"))
    assert events_of(decoded(CODEC, asked, body)) == expected


def test_an_answer_in_a_whole_call_is_text():
    content = [use("i", "answer", input={"a": 1})]
    body = json.dumps({"output": {"message": {"content": content}}, "stopReason": "tool_use"}).encode()
    told = events_of(decoded(CODEC, ChatRequest("asked", HI, **FORMED), body))
    assert told == (Started("asked"), TextDelta('{"a":1}'), Finished("stop"))


def test_a_clients_own_tool_of_that_name_is_called():
    asked = ChatRequest("asked", HI, stream=True, tools=(Tool("answer"),), **FORMED)
    body = stream(START, begin(use("i", "answer")), end(), STOP, COSTS)
    assert ToolCallDelta(0, "i", "answer") in events_of(decoded(CODEC, asked, body))


def test_a_tool_has_its_own_name_again():
    asked = ChatRequest("asked", HI, stream=True, tools=(Tool("my.tool"),))
    body = stream(START, begin(use("i", "my_tool")), end(), STOP, COSTS)
    assert ToolCallDelta(0, "i", "my.tool") in events_of(decoded(CODEC, asked, body))


def test_a_call_without_an_id_gets_one():
    body = stream(START, begin({"toolUse": {"name": "n"}}), end(), STOP, COSTS)
    call = events_of(decoded(CODEC, STREAM, body))[1]
    assert call.id.startswith("call_")


def test_the_providers_own_calls_are_not_the_clients():
    body = stream(
        START, begin(use("i", "search", type="server_tool_use")), delta(piece('{"q":1}')), end(), STOP, COSTS
    )
    told = events_of(decoded(CODEC, STREAM, body))
    extra = {"toolUse": {"toolUseId": "i", "name": "search", "type": "server_tool_use", "input": {"q": 1}}}
    assert told == (Started("asked"), ExtraDelta("bedrock.converse", extra), SPENT, Finished("stop"))


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([delta(piece("{}"))], id="arguments of no call"),
        pytest.param([begin({"toolUse": {"toolUseId": "i"}})], id="a call without a name"),
    ],
)
def test_calls_that_cannot_be_made_are_no_answer(events):
    last = events_of(decoded(CODEC, STREAM, stream(START, *events, STOP, COSTS)))[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.GARBLED


def test_messages_of_unknown_names_are_passed_over():
    body = stream(START, ("somethingNew", {"x": 1}), delta({"text": "a"}), STOP, COSTS)
    assert events_of(decoded(CODEC, STREAM, body)) == (
        Started("asked"),
        TextDelta("a"),
        SPENT,
        Finished("stop"),
    )


EXCEPTIONS = {
    "throttlingException": Kind.RATE_LIMITED,
    "modelStreamErrorException": Kind.SERVER,
    "internalServerException": Kind.SERVER,
    "serviceUnavailableException": Kind.OVERLOADED,
    "validationException": Kind.INVALID,
    "modelTimeoutException": Kind.RETRYABLE,
    "neverHeardOfException": Kind.SERVER,
}


@pytest.mark.parametrize(("name", "kind"), EXCEPTIONS.items())
@pytest.mark.parametrize("before", [b"", stream(START)], ids=["at once", "after the start"])
def test_an_exception_before_content_is_of_its_kind(name, kind, before):
    last = events_of(decoded(CODEC, STREAM, before + exception(name, "secret words")))[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is kind
    assert ("secret words" in last.problem.detail) is (kind is Kind.INVALID)


@pytest.mark.parametrize("name", EXCEPTIONS)
@pytest.mark.parametrize("together", [True, False], ids=["in one read", "in two"])
def test_an_exception_after_content_breaks_the_answer_off(name, together):
    begun, broken = stream(START, delta({"text": "a"})), exception(name, "no")
    batches = decoded(CODEC, STREAM, *([begun + broken] if together else [begun, broken]))
    last = events_of(batches)[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.STREAM_ERROR


@pytest.mark.parametrize(
    ("status", "name", "words", "kind"),
    [
        (429, "ThrottlingException", "Too many requests, please wait", Kind.RATE_LIMITED),
        (429, "ThrottlingException", "Too many tokens per day, please wait", Kind.QUOTA),
        (400, "ServiceQuotaExceededException", "Your request exceeds the quota", Kind.QUOTA),
        (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", Kind.NOT_FOUND),
        (403, "AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel", Kind.AUTH),
        (403, "UnrecognizedClientException", "The security token included in the request is invalid.", Kind.AUTH),
        (403, "ExpiredTokenException", "The security token included in the request is expired", Kind.AUTH),
        (403, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than", Kind.AUTH),
        (403, "InvalidSignatureException", "The request signature we calculated does not match", Kind.AUTH),
        (403, "MissingAuthenticationTokenException", "Missing Authentication Token", Kind.AUTH),
        (403, "IncompleteSignatureException", "x", Kind.AUTH),
        (403, "", "", Kind.AUTH),
        (404, "ResourceNotFoundException", "Model is not found", Kind.NOT_FOUND),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", Kind.NOT_FOUND),
        (429, "ModelNotReadyException", "Model is not ready", Kind.OVERLOADED),
        (408, "ModelTimeoutException", "x", Kind.RETRYABLE),
        (424, "ModelErrorException", "x", Kind.SERVER),
        (424, "", "x", Kind.SERVER),
        (500, "InternalServerException", "x", Kind.SERVER),
        (503, "ServiceUnavailableException", "x", Kind.OVERLOADED),
        (400, "ValidationException", "Input is too long for requested model.", Kind.CONTEXT_LENGTH),
        (400, "ValidationException", "The model returned the following errors: prompt is too long: 9 tokens > 8 maximum", Kind.CONTEXT_LENGTH),
        (400, "ValidationException", "input length and `max_tokens` exceed context limit: 1 + 2 > 2", Kind.CONTEXT_LENGTH),
        (400, "ValidationException", "The provided model identifier is invalid.", Kind.NOT_FOUND),
        (400, "ValidationException", "Invocation of model ID x with on-demand throughput isn\u2019t supported.", Kind.NOT_FOUND),
        (400, "ValidationException", "Output blocked by content filtering policy", Kind.POLICY),
        (400, "ValidationException", "Operation not allowed", Kind.AUTH),
        (400, "ValidationException", "The text field in the ContentBlock object is blank.", Kind.INVALID),
        (400, "", "anything", Kind.INVALID),
        (413, "", "", Kind.INVALID),
        (502, "", "", Kind.SERVER),
        (529, "", "", Kind.OVERLOADED),
        (302, "", "", Kind.REDIRECT),
    ],
)  # fmt: skip
def test_a_refusal_is_of_its_kind(status, name, words, kind):
    headers = (
        {"x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"} if name else {}
    )
    body = json.dumps({"message": words} if words else {}).encode()
    assert CODEC.classify(ReplyHead(status, headers), body).kind is kind
    if name:
        coded = json.dumps({"__type": f"com.amazon.coral.service#{name}", "Message": words}).encode()
        assert CODEC.classify(ReplyHead(status), coded).kind is kind


def test_who_calls_a_model_that_wants_a_profile_is_told_so():
    words = (
        "Invocation of model ID x with on-demand throughput isn't supported. Retry with an inference profile"
    )
    assert "profile" in CODEC.classify(ReplyHead(400), json.dumps({"message": words}).encode()).detail


def test_a_refusal_says_when_to_come_again():
    headers = {"x-amzn-errortype": "ThrottlingException", "retry-after": "7"}
    assert CODEC.classify(ReplyHead(429, headers), b"{}").retry_after == 7


def test_what_a_provider_says_of_our_account_is_not_repeated():
    words = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:InvokeModel"
    headers = {"x-amzn-errortype": "AccessDeniedException"}
    assert (
        "arn" not in CODEC.classify(ReplyHead(403, headers), json.dumps({"message": words}).encode()).detail
    )


@given(
    status=st.integers(300, 599),
    name=st.text(),
    body=st.binary() | st.text().map(lambda words: json.dumps({"message": words}).encode()),
)
def test_every_refusal_is_of_some_kind(status, name, body):
    CODEC.classify(ReplyHead(status, {"x-amzn-errortype": name}), body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param(b"<html>", Kind.GARBLED, id="a page"),
        pytest.param(b"{}", Kind.GARBLED, id="nothing"),
        pytest.param(b'{"message":"x"}', Kind.SERVER, id="a message without a name"),
        pytest.param(b'{"__type":"ThrottlingException","message":"x"}', Kind.RATE_LIMITED, id="an error"),
    ],
)
@pytest.mark.parametrize("request_", [STREAM, WHOLE], ids=["streamed", "whole"])
def test_a_document_that_is_no_answer(body, kind, request_):
    (failed,) = events_of(decoded(CODEC, request_, body))
    assert failed.problem.kind is kind


def test_a_whole_answer_to_a_request_for_a_stream_is_read():
    body = json.dumps(
        {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn"}
    ).encode()
    assert events_of(decoded(CODEC, STREAM, body)) == (Started("asked"), TextDelta("a"), Finished("stop"))


def test_a_damaged_stream_cannot_be_read():
    body = bytearray(stream(START, delta({"text": "a"}), STOP, COSTS))
    body[40] ^= 1
    assert events_of(decoded(CODEC, STREAM, bytes(body)))[-1].problem.kind is Kind.GARBLED


@pytest.mark.parametrize(
    ("document", "inputs", "vectors", "tokens"),
    [
        ({"embedding": [1.0, 2.0], "inputTextTokenCount": 5}, 1, ([1.0, 2.0],), 5),
        ({"embeddings": [[1.0], [2.0]], "response_type": "embeddings_floats"}, 2, ([1.0], [2.0]), None),
        ({"embeddings": {"float": [[1.0], [2.0]]}}, 2, ([1.0], [2.0]), None),
        ({"embeddings": [{"embeddingType": "TEXT", "embedding": [1.0]}]}, 1, ([1.0],), None),
    ],
)
def test_vectors_are_read_in_each_makers_form(document, inputs, vectors, tokens):
    told = events_of(decoded(CODEC, EmbedRequest("asked", ("x",) * inputs), json.dumps(document).encode()))
    usage = () if tokens is None else (UsageSeen(Usage(tokens)),)
    assert told == (Started("asked"), Embedded(vectors), *usage, Finished("stop"))


@pytest.mark.parametrize(
    "document", [{"embedding": "x"}, {"embeddings": []}, {"embeddings": {"int8": [[1]]}}, {}]
)
def test_what_is_no_vector_cannot_be_read(document):
    (failed,) = events_of(decoded(CODEC, EmbedRequest("asked", ("x",)), json.dumps(document).encode()))
    assert failed.problem.kind is Kind.GARBLED


LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from(["", "a", "end_turn", "tool_use", "RXVZQg=="])
)
NAMES = st.sampled_from(
    ["text", "toolUse", "reasoningContent", "reasoningText", "redactedContent", "signature", "input", "name", "toolUseId", "type",
     "citationsContent", "content", "citations", "stopReason", "usage", "inputTokens", "output", "message", "delta", "start"]
)  # fmt: skip
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
USE = st.fixed_dictionaries(
    {}, optional={"toolUseId": LEAF, "name": LEAF, "input": ANYTHING, "type": st.just("server_tool_use")}
)
THOUGHT = st.fixed_dictionaries(
    {}, optional={"text": LEAF, "signature": LEAF, "redactedContent": LEAF, "reasoningText": ANYTHING}
)
BLOCK = st.fixed_dictionaries(
    {},
    optional={
        "text": LEAF,
        "toolUse": USE | LEAF,
        "reasoningContent": THOUGHT | LEAF,
        "citationsContent": ANYTHING,
    },
)
VALUE = st.fixed_dictionaries(
    {},
    optional={
        "contentBlockIndex": LEAF,
        "delta": BLOCK | LEAF,
        "start": BLOCK | LEAF,
        "stopReason": LEAF,
        "usage": ANYTHING,
    },
)
KINDS = [
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "other",
]
MESSAGES = st.tuples(st.sampled_from(KINDS), VALUE | ANYTHING).map(lambda pair: event(*pair))
STREAMS = st.lists(
    MESSAGES | st.just(exception("throttlingException", "x")) | st.binary(max_size=5), max_size=7
).map(b"".join)
DOCUMENTS = st.fixed_dictionaries(
    {}, optional={"output": st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": st.lists(BLOCK | LEAF, max_size=4)})}) | ANYTHING,
                  "stopReason": LEAF, "usage": ANYTHING, "message": LEAF, "embedding": ANYTHING, "embeddings": ANYTHING}
).map(lambda value: json.dumps(value).encode())  # fmt: skip
REQUESTS = [STREAM, WHOLE, ChatRequest("asked", HI, stream=True, **FORMED), EmbedRequest("asked", ("a",))]


@given(request=st.sampled_from(REQUESTS), body=STREAMS | DOCUMENTS | st.binary(), data=st.data())
@settings(max_examples=400, deadline=None)
def test_whatever_comes_it_is_a_reply_and_cuts_make_no_difference(request, body, data):
    at = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[begin:end] for begin, end in zip([0, *at], [*at, len(body)], strict=True)]
    whole, cut = decoded(CODEC, request, body), decoded(CODEC, request, *pieces)
    events = events_of(whole)
    assert grammatical(events)
    assert events_of(cut) == events
    if not isinstance(events[-1], Failed):
        assert shown(cut) == shown(whole)
    seen = set()
    for one in events:
        if isinstance(one, ToolCallDelta):
            assert (bool(one.id), bool(one.name)) == (one.index not in seen, one.index not in seen)
            assert one.index in (*seen, len(seen))
            seen.add(one.index)


def test_an_error_may_be_told_by_headers_alone():
    told = message({":message-type": "error", ":error-code": "ThrottlingException"}, b"")
    (failed,) = events_of(decoded(CODEC, STREAM, told))
    assert failed.problem.kind is Kind.RATE_LIMITED


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_what_is_withheld_whole_is_said_to_be(streamed):
    body = stream(START, ("messageStop", {"stopReason": "content_filtered"}), COSTS)
    if not streamed:
        document = {"output": {"message": {"content": []}}, "stopReason": "content_filtered"}
        body = json.dumps(document).encode()
    said = events_of(decoded(CODEC, STREAM if streamed else WHOLE, body))
    words = RefusalDelta("The provider withholds this answer (content_filtered).")
    assert said == (Started("asked"), words, *([SPENT] if streamed else []), Finished("content_filter"))


def test_what_is_withheld_in_part_needs_no_words():
    body = stream(START, delta({"text": "x"}), ("messageStop", {"stopReason": "content_filtered"}), COSTS)
    said = events_of(decoded(CODEC, STREAM, body))
    assert said == (Started("asked"), TextDelta("x"), SPENT, Finished("content_filter"))


@pytest.mark.parametrize(
    ("model", "format", "data"),
    [
        pytest.param("us.amazon.nova-2-lite-v1:0", "amazon-nova-v1", "RXVZQg==", id="Nova"),
        pytest.param("openai.gpt-oss-120b-1:0", "bedrock-converse-v1", "RXVZQg==", id="another maker's"),
        pytest.param(
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic-claude-v1", "EuYB", id="Claude"
        ),
        pytest.param(
            "arn:aws:bedrock:us-east-1:1:application-inference-profile/x",
            "anthropic-claude-v1",
            "EuYB",
            id="who knows",
        ),
    ],
)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_what_is_sealed_says_whose_it_is(model, format, data, streamed):
    signed, hidden = {"text": "hm", "signature": "sig"}, {"redactedContent": "RXVZQg=="}
    if streamed:
        said = stream(
            START, delta({"reasoningContent": {"text": "hm"}}), delta({"reasoningContent": {"signature": "sig"}}), end(),
            delta({"reasoningContent": hidden}, 1), end(1), STOP, COSTS,
        )  # fmt: skip
    else:
        content = [{"reasoningContent": {"reasoningText": signed}}, {"reasoningContent": hidden}]
        said = json.dumps({"output": {"message": {"content": content}}, "stopReason": "end_turn"}).encode()
    events = events_of(decoded(CODEC, ChatRequest(model, HI, stream=streamed), said))
    details = [event.value for event in events if isinstance(event, ExtraDelta)]
    assert details == [
        {"type": "reasoning.text", **signed, "format": format, "index": 0},
        {"type": "reasoning.encrypted", "data": data, "format": format, "index": 1},
    ]
