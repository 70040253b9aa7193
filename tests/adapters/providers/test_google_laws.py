"""What holds for Google's codec, whatever of its form comes: the reply grammar, no say for cuts, no loss unseen."""

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.providers.google import CODEC
from pipeline.values.events import Failed, ToolCallDelta, grammatical
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Problem
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import decoded, events_of, shown

HI = Message(Role.USER, (Text("hi"),))
STREAM, WHOLE = ChatRequest("asked", (HI,), stream=True), ChatRequest("asked", (HI,))

LEAF = st.none() | st.booleans() | st.integers(-2, 3) | st.floats(0, 1) | st.sampled_from(["", "a", "STOP"])
NAMES = st.sampled_from(
    ["text", "thought", "thoughtSignature", "functionCall", "name", "args", "parts", "error", "code"]
)
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3)
)


def some(**optional):
    return st.fixed_dictionaries({}, optional=optional)


CALLS = some(name=LEAF, args=ANYTHING, id=LEAF)
PARTS = some(text=LEAF, thought=LEAF, thoughtSignature=LEAF, functionCall=CALLS | LEAF, inlineData=ANYTHING)
CANDIDATES = some(
    content=some(parts=st.lists(PARTS | LEAF, max_size=3) | LEAF, role=LEAF) | LEAF,
    finishReason=LEAF | st.sampled_from(["MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "OTHER"]),
    index=LEAF | st.integers(0, 200),
    groundingMetadata=ANYTHING,
    logprobsResult=some(
        chosenCandidates=st.lists(some(token=LEAF, logProbability=LEAF) | LEAF, max_size=2) | LEAF
    )
    | LEAF,
    safetyRatings=ANYTHING,
)
CHUNKS = some(
    candidates=st.lists(CANDIDATES | LEAF, max_size=2) | LEAF,
    promptFeedback=some(blockReason=LEAF) | LEAF,
    usageMetadata=some(promptTokenCount=LEAF, candidatesTokenCount=LEAF, totalTokenCount=LEAF) | LEAF,
    modelVersion=LEAF,
    responseId=LEAF,
    error=some(code=LEAF, message=LEAF, details=ANYTHING) | LEAF,
)
END = st.sampled_from(["\n\n", "\r\n\r\n", "\r\r", "\n", ""])
FRAMES = st.tuples(
    st.sampled_from(["data: ", "data: ", "", ": "]), CHUNKS.map(json.dumps) | st.just("{"), END
)
BODIES = st.lists(FRAMES.map("".join), max_size=4).map("".join).map(str.encode)


@given(body=BODIES, data=st.data())
@settings(max_examples=500, deadline=None)
def test_whatever_streams_it_is_a_reply_and_cuts_make_no_difference(body, data):
    at = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[begin:end] for begin, end in zip([0, *at], [*at, len(body)], strict=True)]
    whole, cut = decoded(CODEC, STREAM, body), decoded(CODEC, STREAM, *pieces)
    events = events_of(whole)
    assert grammatical(events)
    assert events_of(cut) == events
    if not isinstance(events[-1], Failed):
        assert shown(cut) == shown(whole)


@given(CHUNKS | st.lists(CHUNKS, max_size=3))
@settings(deadline=None)
def test_whatever_document_comes_it_is_a_reply(document):
    for request in (STREAM, WHOLE):
        assert grammatical(events_of(decoded(CODEC, request, json.dumps(document).encode())))


@given(st.lists(CHUNKS, min_size=1, max_size=3))
@settings(deadline=None)
def test_each_call_is_told_whole_and_ids_are_its_own(chunks):
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode()
    seen: dict[int, int] = {}
    for event in events_of(decoded(CODEC, STREAM, body)):
        if isinstance(event, ToolCallDelta):
            assert event.id
            assert event.name
            assert isinstance(json.loads(event.arguments), dict)
            assert event.index == seen.get(event.choice, 0)
            seen[event.choice] = event.index + 1


FULL = ChatRequest(
    "asked",
    (
        Message(Role.SYSTEM, (Text("s"),)),
        HI,
        Message(Role.ASSISTANT, (Reasoning("r"), Text("t"), ToolCall("a", "f", "{}"))),
        Message(Role.TOOL, (ToolResult("a", "f", "1"),)),
        Message(Role.USER, (Image("AAAA"), Opaque("openai.chat", {"type": "file"})), name="eve"),
    ),
    tools=(Tool("f", "d", {"type": "object", "properties": {"a": {"type": "string"}}}, True),),
)
# Each field with a value that is no default, and what it is called where it is lost or what it adds to the body.
CHANGES = {
    "tool_choice": ToolChoice("required"),
    "parallel_tools": False,
    "thinking": Thinking(True, "high"),
    "format": Format({"type": "object", "properties": {"a": {"type": "string"}}}),
    "logprobs": 2,
    "choices": 2,
    "user": "u",
    "extra": {"openai.chat": {"logit_bias": {"1": 1}}, "ollama": {"options": {"typical_p": 1}}},
}
OPTIONS = {
    "max_tokens": 100,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.5,
    "seed": 5,
    "stop": ("x",),
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "repeat_penalty": 1.5,
}
MODELS = [
    "gemini-2.0-flash",
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-3-pro-preview",
    "gemini-3.8-flash",
    "gemma-3-27b-it",
    "other",
]


def said(request, model):
    found = CODEC.encode(request, Target(Provider("p", "google", "https://x"), ModelFacts(model)))
    assert not isinstance(found, Problem)
    return found.http.body, set(found.losses)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("field", [*CHANGES, *OPTIONS])
def test_no_field_is_lost_unseen(model, field):
    changes = (
        {field: CHANGES[field]} if field in CHANGES else {"sampling": Sampling(**{field: OPTIONS[field]})}
    )
    for base in (FULL, WHOLE, ChatRequest("asked", prompt=Prompt("p"))):
        if field in ("tool_choice", "parallel_tools") and not base.tools:
            continue
        assert said(evolve(base, **changes), model) != said(base, model)


@given(st.lists(st.sampled_from([*CHANGES, *OPTIONS]), unique=True), st.sampled_from(MODELS))
@settings(deadline=None)
def test_no_field_hides_another(fields, model):
    changes = {field: CHANGES[field] for field in fields if field in CHANGES}
    options = {field: OPTIONS[field] for field in fields if field in OPTIONS}
    whole = evolve(FULL, **changes, sampling=Sampling(**options))
    for field in fields:
        without = evolve(whole, **({field: getattr(FULL, field)} if field in CHANGES else {}))
        if field in OPTIONS:
            without = evolve(without, sampling=evolve(whole.sampling, **{field: getattr(Sampling(), field)}))
        assert said(whole, model) != said(without, model)
