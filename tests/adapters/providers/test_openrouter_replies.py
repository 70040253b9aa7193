"""Replies of OpenRouter: thinking told twice, errors inside a 200, its refusals, and its list of models."""

import json

import pytest

from adapters.providers.openrouter import CODEC
from pipeline.values.events import (
    ExtraDelta,
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Message, Role, Text
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Price
from tests.adapters.providers.recorded import decoded, events_of

HI = (Message(Role.USER, (Text("hi"),)),)
STREAM = ChatRequest("asked", HI, stream=True)
WHOLE = ChatRequest("asked", HI)
USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 7,
    "cost": 0.0001,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def chunk(delta=None, finish=None, **beside):
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish, "native_finish_reason": finish}
    head = {"id": "gen-1", "object": "chat.completion.chunk", "model": "v/m", "provider": "P"}
    return {**head, "choices": [choice], **beside}


def streamed(*documents):
    frames = "".join(f": OPENROUTER PROCESSING\n\ndata: {json.dumps(document)}\n\n" for document in documents)
    return events_of(decoded(CODEC, STREAM, f"{frames}data: [DONE]\n\n".encode()))


def text(said, **more):
    return {"type": "reasoning.text", "text": said, "format": "anthropic-claude-v1", "index": 0, **more}


def detail(value):
    return ExtraDelta("reasoning_details", value)


CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

THOUGHTS = [
    pytest.param(
        [{"reasoning": "Let", "reasoning_details": [text("Let")]}, {"reasoning": " me"}, {"content": "Hi"}],
        [ThinkingDelta("Let"), ThinkingDelta(" me"), detail(text("Let")), TextDelta("Hi")],
        id="plain text stands for the words of details",
    ),
    pytest.param(
        [{"reasoning": None, "reasoning_details": [text("Let")]}, {"reasoning_details": [text(" me")]}],
        [ThinkingDelta("Let"), ThinkingDelta(" me"), detail(text("Let me"))],
        id="words of details alone",
    ),
    pytest.param(
        [
            {"reasoning": "Let", "reasoning_details": [text("Let")]},
            {"reasoning_details": [text(" me", signature="s")]},
        ],
        [ThinkingDelta("Let"), detail(text("Let me", signature="s"))],
        id="words that were told as plain text are not told again",
    ),
    pytest.param(
        [{"reasoning": "a", "reasoning_content": "a", "reasoning_details": [text("a")]}],
        [ThinkingDelta("a"), detail(text("a"))],
        id="three names for the same words",
    ),
    pytest.param(
        [{"reasoning_details": [text("", signature="s")]}, {"content": "Hi", "reasoning_details": []}],
        [detail(text("", signature="s")), TextDelta("Hi")],
        id="a signature comes before the answer",
    ),
    pytest.param(
        [
            {"reasoning": "a", "reasoning_details": [text("a")]},
            {
                "tool_calls": [CALL],
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "id": "c1"}],
            },
        ],
        [
            ThinkingDelta("a"),
            detail(text("a")),
            detail({"type": "reasoning.encrypted", "data": "x", "id": "c1"}),
            ToolCallDelta(0, "c1", "f", "{}"),
        ],
        id="what belongs to a call comes before it",
    ),
    pytest.param(
        [
            {"reasoning": "a", "reasoning_details": [text("a")]},
            {"content": "x"},
            {"reasoning": "b", "reasoning_details": [text("b", index=1)]},
            {"content": "y"},
        ],
        [
            ThinkingDelta("a"),
            detail(text("a")),
            TextDelta("x"),
            ThinkingDelta("b"),
            detail(text("b", index=1)),
            TextDelta("y"),
        ],
        id="thinking between texts",
    ),
    pytest.param(
        [{"reasoning": "a", "reasoning_details": "odd"}], [ThinkingDelta("a")], id="details that are none"
    ),
]


@pytest.mark.parametrize(("deltas", "expected"), THOUGHTS)
def test_thinking_in_a_stream(deltas, expected):
    first, *between, finished = streamed(*(chunk(delta) for delta in deltas), chunk({"content": ""}, "stop"))
    assert first == Started("v/m", "gen-1")
    assert between == expected
    assert isinstance(finished, Finished)


def test_thinking_in_a_whole_reply():
    message = {"content": "Hi", "reasoning": "hm", "reasoning_details": [text("hm", signature="s")]}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "native_finish_reason": "end_turn"}
    document = {"id": "gen-1", "model": "v/m", "provider": "P", "choices": [choice], "usage": USAGE}
    events = events_of(decoded(CODEC, WHOLE, b"\n\n   \n" + json.dumps(document).encode()))
    assert events == (
        Started("v/m", "gen-1"),
        ThinkingDelta("hm"),
        detail(text("hm", signature="s")),
        TextDelta("Hi"),
        UsageSeen(Usage(9, 7, 4, 5)),
        Finished("stop", extra={"openai.chat": {"provider": "P"}}),
    )


def test_usage_may_come_with_a_choice():
    events = streamed(chunk({"content": "Hi"}), chunk({}, "stop"), chunk({"content": ""}, usage=USAGE))
    assert UsageSeen(Usage(9, 7, 4, 5)) in events


ERROR = {"code": 502, "message": "Provider disconnected"}

INSIDE = [
    pytest.param([{"error": ERROR}], Kind.SERVER, id="an error and nothing else"),
    pytest.param(
        [chunk({"content": ""}, "error", error=ERROR)], Kind.SERVER, id="an error beside the choices"
    ),
    pytest.param(
        [{**chunk(), "choices": [{"index": 0, "error": {"code": 429, "message": "slow"}}]}],
        Kind.RATE_LIMITED,
        id="an error inside a choice",
    ),
    pytest.param([chunk({}, "error")], Kind.SERVER, id="a reason of ending and no words"),
    pytest.param(
        [{"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}],
        Kind.POLICY,
        id="moderation",
    ),
    pytest.param(
        [chunk({"content": "Hi"}), {"error": ERROR}], Kind.STREAM_ERROR, id="behind the first words"
    ),
    pytest.param(
        [chunk({"content": "Hi"}), chunk({"content": ""}, "error", error=ERROR)],
        Kind.STREAM_ERROR,
        id="behind the first words, beside the choices",
    ),
    pytest.param(
        [chunk({"reasoning": "hm"}), chunk({}, "error")], Kind.STREAM_ERROR, id="behind the first thought"
    ),
]


@pytest.mark.parametrize(("documents", "kind"), INSIDE)
def test_an_error_inside_a_200(documents, kind):
    last = streamed(*documents)[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is kind


def refused(status, message, metadata=None, **headers):
    error = {"code": status, "message": message, **({"metadata": metadata} if metadata else {})}
    body = json.dumps({"error": error, "user_id": "user_x"}).encode()
    return CODEC.classify(ReplyHead(status, headers), body)


def raw(message, **more):
    return {"provider_name": "P", "raw": json.dumps({"error": {"message": message, **more}})}


REFUSALS = [
    pytest.param(400, "nope/nope is not a valid model ID", None, Kind.NOT_FOUND, id="no such model"),
    pytest.param(
        404, "No endpoints found for nope/nope.", None, Kind.NOT_FOUND, id="nobody serves the model"
    ),
    pytest.param(
        400,
        "Provider returned error",
        raw("too long", code="context_length_exceeded"),
        Kind.CONTEXT_LENGTH,
        id="too long, by the vendor's code",
    ),
    pytest.param(
        400,
        "This endpoint's maximum context length is 4096 tokens. However, you requested about 9000 tokens",
        None,
        Kind.CONTEXT_LENGTH,
        id="too long, by the router",
    ),
    pytest.param(
        400,
        "Provider returned error",
        {"raw": "prompt is too long"},
        Kind.CONTEXT_LENGTH,
        id="words that are no JSON",
    ),
    pytest.param(
        400, "Provider returned error", {"raw": "<html>too long"}, Kind.INVALID, id="a page of some machine"
    ),
    pytest.param(400, "Provider returned error", {"raw": '["x"]'}, Kind.INVALID, id="other JSON"),
    pytest.param(400, "Input required", {"error_type": "invalid_prompt"}, Kind.POLICY, id="a type of error"),
    pytest.param(401, "User not found.", None, Kind.AUTH, id="a wrong key"),
    pytest.param(402, "Insufficient credits", None, Kind.QUOTA, id="no credits"),
    pytest.param(403, "Key limit exceeded (total limit).", None, Kind.QUOTA, id="the limit of a key"),
    pytest.param(
        403,
        "Your chosen model requires moderation and your input was flagged",
        {"reasons": ["violence"], "flagged_input": "...", "provider_name": "P"},
        Kind.POLICY,
        id="flagged by moderation",
    ),
    pytest.param(403, "Forbidden", None, Kind.AUTH, id="not permitted"),
    pytest.param(408, "Request timed out", None, Kind.RETRYABLE, id="a time-out"),
    pytest.param(
        429, "Rate limit exceeded: free-models-per-min.", None, Kind.RATE_LIMITED, id="a rate limit"
    ),
    pytest.param(
        429,
        "Provider returned error",
        raw("You exceeded your current quota", code="insufficient_quota"),
        Kind.QUOTA,
        id="the vendor's quota",
    ),
    pytest.param(502, "Provider returned error", raw("boom"), Kind.SERVER, id="the vendor is down"),
    pytest.param(503, "There is no available model provider", None, Kind.OVERLOADED, id="nobody is free"),
    pytest.param(529, "Provider returned error", None, Kind.OVERLOADED, id="the vendor is overloaded"),
]


@pytest.mark.parametrize(("status", "message", "metadata", "kind"), REFUSALS)
def test_a_refusal_is_of_its_kind(status, message, metadata, kind):
    assert refused(status, message, metadata).kind is kind


@pytest.mark.parametrize(
    ("words", "subject"),
    [
        pytest.param("No endpoints found that support tool use. To learn more", "tools", id="tools"),
        pytest.param("No endpoints found that support image input", "vision", id="pictures"),
    ],
)
def test_what_nobody_who_serves_a_model_can_do(words, subject):
    problem = refused(404, words)
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, subject)


def test_secrets_in_a_vendors_words_are_masked():
    problem = refused(400, "Provider returned error", raw("bad key sk-or-v1-0a1b2c3d4e5f6a7b8c9d"))
    assert "0a1b2c3d" not in problem.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after": "7"}, 7.0, id="as everywhere"),
        pytest.param(
            {"x-ratelimit-reset": "1754667660000", "date": "Fri, 08 Aug 2025 15:40:30 GMT"},
            30.0,
            id="by the time of the reset",
        ),
        pytest.param(
            {"x-ratelimit-reset": "1754667660000"}, None, id="a time, and nobody says what time it is"
        ),
        pytest.param({}, None, id="not said"),
    ],
)
def test_when_to_come_again(headers, seconds):
    assert refused(429, "Rate limit exceeded", None, **headers).retry_after == seconds


def test_limits_of_the_vendor_behind_are_told_too():
    head = ReplyHead(200, {"x-ratelimit-remaining-tokens": "12"})
    assert CODEC.quota("p/m", head, 1.0).tokens == 12
    assert CODEC.quota("p/m", ReplyHead(200, {}), 1.0) is None


ENTRY = {
    "id": "anthropic/claude-sonnet-4",
    "created": 1747930371,
    "context_length": 200000,
    "architecture": {"input_modalities": ["image", "text", "file"], "output_modalities": ["text"]},
    "pricing": {
        "prompt": "0.000003",
        "completion": "0.000015",
        "input_cache_read": "0.0000003",
        "image": "0",
    },
    "top_provider": {"context_length": 200000, "max_completion_tokens": 64000, "is_moderated": True},
    "supported_parameters": ["include_reasoning", "reasoning", "tools", "max_tokens"],
}


def listed(**changes):
    (facts,) = CODEC.models(json.dumps({"data": [{**ENTRY, **changes}]}).encode())
    return facts


def test_a_model_is_described():
    assert listed() == ModelFacts(
        "anthropic/claude-sonnet-4",
        capabilities=frozenset({"completion", "vision", "tools", "thinking"}),
        context_length=200000,
        output_limit=64000,
        price=Price(3.0, 15.0, 0.3),
        modified_at="2025-05-22T16:12:51Z",
    )


@pytest.mark.parametrize(
    ("architecture", "parameters", "capabilities"),
    [
        pytest.param(
            {"input_modalities": ["text"], "output_modalities": ["embeddings"]},
            [],
            {"embedding"},
            id="embeds",
        ),
        pytest.param(
            {"input_modalities": ["text", "audio"], "output_modalities": ["text", "image"]},
            None,
            {"completion", "audio", "image"},
            id="hears and paints",
        ),
        pytest.param({"modality": "text->text"}, ["tools"], None, id="not described"),
        pytest.param(None, None, None, id="nothing told"),
    ],
)
def test_what_a_model_can_do(architecture, parameters, capabilities):
    found = listed(architecture=architecture, supported_parameters=parameters).capabilities
    assert found == (capabilities if capabilities is None else frozenset(capabilities))


@pytest.mark.parametrize(
    ("pricing", "price"),
    [
        pytest.param({"prompt": "0", "completion": "0"}, Price(0.0, 0.0), id="free"),
        pytest.param({"prompt": "-1", "completion": "-1"}, None, id="depends on who will serve"),
        pytest.param({"prompt": "x", "completion": None, "input_cache_read": "nan"}, None, id="unreadable"),
        pytest.param({"prompt": "0.00000015"}, Price(0.15), id="in part"),
        pytest.param(None, None, id="not told"),
    ],
)
def test_what_a_model_costs(pricing, price):
    assert listed(pricing=pricing).price == price
