"""Whatever a client asks, what goes out is accepted by a provider as strict as the real one, and nothing is lost unsaid."""

import json

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.providers.anthropic import CODEC
from adapters.providers.thoughts import CLAUDE, FORMAT
from adapters.simulator.anthropic_messages import signature_of
from adapters.simulator.core import answer
from adapters.simulator.demo import standard_scenario
from pipeline.values.events import Failed
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
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
from tests.adapters.providers.recorded import decoded, events_of

SCENARIO = standard_scenario()
PROVIDER = Provider("p", "anthropic", "http://sim/anthropic")
MODELS = {
    facts.name: facts
    for facts in SCENARIO.models["anthropic"]
    if facts.name.startswith("claude-") or facts.name == "think"
}

WORDS = st.sampled_from(["", " ", "hi", "Once upon ", "\n\n", "@@TOOL2", "ünïcode"])
IDS = st.sampled_from(["a", "b", "call_0", "functions.f:0", ""]).map(lambda id: id or "x")
NAMES = st.sampled_from(["f", "web.search", "answer", "füge hinzu"])
ARGUMENTS = st.sampled_from(["", "{}", '{"x": 1}', '{"x": ', "[1]", "5"])
THOUGHTS = st.sampled_from(["", "Hm"]).map(
    lambda said: {"type": "reasoning.text", "text": said, "signature": signature_of(said), "format": CLAUDE}
)
HIDDEN = st.just({"type": "reasoning.encrypted", "data": "d", "format": CLAUDE})
DETAILS = st.lists(THOUGHTS | HIDDEN, max_size=2)
PICTURE = Image("iVBORw0KGgoAAAAA", media_type="image/jpeg")
SAID = st.builds(Text, WORDS)
PARTS = {
    Role.SYSTEM: SAID,
    Role.USER: SAID | st.just(PICTURE),
    Role.ASSISTANT: SAID
    | st.builds(ToolCall, IDS, NAMES, ARGUMENTS)
    | st.builds(lambda details: Reasoning("Hm", {FORMAT: details} if details else {}), DETAILS),
    Role.TOOL: st.builds(ToolResult, IDS, NAMES, WORDS),
}
TURNS = st.sampled_from(list(Role)).flatmap(
    lambda role: st.builds(Message, st.just(role), st.lists(PARTS[role], max_size=3).map(tuple))
)
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": True}}},
        {"type": "object"},
        {"type": "array", "items": {"properties": {"b": {"oneOf": [{"type": "string", "maxLength": 3}]}}}},
        {"properties": {"t": {"$ref": "#"}}},
        None,
    ]
)
TOOLS = st.lists(
    st.builds(
        Tool, NAMES, st.none(), SCHEMAS.filter(lambda s: s is None or s.get("type") != "array"), st.booleans()
    ),
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)
CHOICES = st.sampled_from([None, *map(ToolChoice, ("auto", "none", "required"))])
EFFORTS = st.sampled_from([None, "minimal", "low", "medium", "high", "max"])
BUDGETS = st.sampled_from([None, 0, 1024, 9000, 10**6])
WISHES = st.none() | st.builds(Thinking, st.booleans(), EFFORTS, BUDGETS)
SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.sampled_from([None, 0, 5, 1500, 10**6]),
    temperature=st.sampled_from([None, 0.0, 0.5, 1.0, 2.0]),
    top_p=st.sampled_from([None, 0.5, 0.97, 1.0]),
    top_k=st.sampled_from([None, 0, 5]),
    min_p=st.sampled_from([None, 0.1]),
    seed=st.sampled_from([None, 1]),
    stop=st.lists(WORDS.filter(bool), max_size=2).map(tuple),
)
REQUESTS = st.builds(
    ChatRequest,
    st.just("asked"),
    st.lists(TURNS, min_size=1, max_size=6).map(tuple),
    tools=TOOLS,
    tool_choice=CHOICES,
    parallel_tools=st.sampled_from([None, True, False]),
    sampling=SAMPLINGS,
    thinking=WISHES,
    format=st.none() | st.builds(Format, SCHEMAS),
    stream=st.booleans(),
    user=st.sampled_from([None, "ada"]),
)


@given(REQUESTS, st.sampled_from(sorted(MODELS)))
@settings(max_examples=400, deadline=None)
def test_what_goes_out_is_accepted_and_what_comes_back_is_read(request, model):
    sees = "vision" in (MODELS[model].capabilities or ())
    if not sees:
        turns = (
            evolve(turn, parts=tuple(part for part in turn.parts if part is not PICTURE))
            for turn in request.messages
        )
        request = evolve(request, messages=tuple(turns))
    # Of a model whose name tells nothing the limit must be known.
    facts = ModelFacts(model, output_limit=None if model.startswith("claude-") else 128_000)
    encoded = CODEC.encode(request, Target(PROVIDER, facts))
    if isinstance(encoded, Problem):
        assert encoded.subject == "empty messages"
        return
    played = answer(encoded.http, SCENARIO)
    assert played.head is not None
    assert played.head.status == 200, (played.body, encoded.http.body)
    events = events_of(decoded(CODEC, request, played.body))
    assert not isinstance(events[-1], Failed)


SET = {
    "max_tokens": 10**9,
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
CHANGES = [
    *({"sampling": Sampling(**{name: value})} for name, value in SET.items()),
    {"thinking": Thinking(True, "max")},
    {"format": Format()},
    {"format": Format({"type": "object"})},
    {"logprobs": 1},
    {"choices": 2},
    {"user": "ada"},
    {"tools": (Tool("f"),)},
    {"extra": {"openai.chat": {"logit_bias": {}}}},
]


def test_each_option_of_sampling_is_in_the_table():
    assert SET.keys() == {field.name for field in fields(Sampling)}


@pytest.mark.parametrize("model", sorted(MODELS))
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_is_asked_is_sent_or_told_as_lost(change, model):
    target = Target(PROVIDER, ModelFacts(model))
    plain = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),))
    before, after = CODEC.encode(plain, target), CODEC.encode(evolve(plain, **change), target)
    assert before.losses == ()
    assert after.losses or json.loads(after.http.body) != json.loads(before.http.body)
