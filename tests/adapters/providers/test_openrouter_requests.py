"""Requests to OpenRouter: what it takes beyond OpenAI's form, and what is lost all the same."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.openrouter import CODEC
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Format,
    Message,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
)
from pipeline.values.problems import Kind
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

BASE = "https://openrouter.ai/api/v1"
CLAUDE = "anthropic/claude-sonnet-4"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
SAID = [{"role": "user", "content": "hi"}]


def target(model=CLAUDE, settings=None, **facts):
    return Target(Provider("p", "openrouter", BASE, settings=settings or {}), ModelFacts(model, **facts))


def encoded(request, model=CLAUDE, **facts):
    """Body and losses."""
    found = CODEC.encode(request, target(model, **facts))
    return json.loads(found.http.body), {loss.field: loss.how for loss in found.losses}


def added(model=CLAUDE, /, facts=None, **changes):
    """What these changes add to a plain request, and the losses."""
    body, losses = encoded(evolve(ASK, **changes), model, **(facts or {}))
    plain = {"model", "messages", "stream"}
    return {name: value for name, value in body.items() if name not in plain}, losses


def test_the_plain_request():
    http = CODEC.encode(ASK, target("qwen/qwen3-30b-a3b:free")).http
    assert (http.method, http.url) == ("POST", f"{BASE}/chat/completions")
    assert json.loads(http.body) == {"model": "qwen/qwen3-30b-a3b:free", "messages": SAID, "stream": False}
    assert http.headers.keys() == {"content-type", "accept", "accept-encoding", "user-agent"}


def test_the_operator_may_name_the_application():
    http = CODEC.encode(ASK, target(settings={"referer": "https://house.example", "title": "House"})).http
    assert (http.headers["http-referer"], http.headers["x-title"]) == ("https://house.example", "House")


def test_the_key():
    assert (
        CODEC.sign(CODEC.list_models(target().provider), Secret("k"), 0).headers["authorization"]
        == "Bearer k"
    )


DEEPSEEK, GEMINI, GPT, O4 = (
    "deepseek/deepseek-r1:free",
    "google/gemini-3-pro-preview",
    "openai/gpt-5.1",
    "openai/o4-mini",
)

THINKING = [
    pytest.param(CLAUDE, Thinking(True), {"enabled": True}, None, id="on"),
    pytest.param(CLAUDE, Thinking(False), {"enabled": False}, None, id="off"),
    pytest.param(CLAUDE, Thinking(True, "minimal"), {"effort": "minimal"}, None, id="the least step"),
    pytest.param(CLAUDE, Thinking(True, "high"), {"effort": "high"}, None, id="a step"),
    pytest.param(CLAUDE, Thinking(True, "max"), {"effort": "xhigh"}, None, id="the last step"),
    pytest.param(CLAUDE, Thinking(True, budget=5000), {"max_tokens": 5000}, None, id="a budget"),
    pytest.param(
        CLAUDE, Thinking(True, "low", 5000), {"effort": "low"}, How.APPROXIMATED, id="a step and a budget"
    ),
    pytest.param(
        DEEPSEEK,
        Thinking(False),
        {"effort": "low", "exclude": True},
        How.APPROXIMATED,
        id="off, where the model always thinks",
    ),
    pytest.param(
        GEMINI,
        Thinking(False),
        {"effort": "low", "exclude": True},
        How.APPROXIMATED,
        id="off, where the model of another vendor always thinks",
    ),
    pytest.param(
        "anthropic/claude-3.7-sonnet:thinking",
        Thinking(False),
        {"effort": "low", "exclude": True},
        How.APPROXIMATED,
        id="off, where the name says that it thinks",
    ),
    pytest.param(GPT, Thinking(False), {"effort": "none"}, None, id="off by its own word"),
    pytest.param(
        O4,
        Thinking(False),
        {"effort": "low", "exclude": True},
        How.APPROXIMATED,
        id="off, where there is no word for it",
    ),
    pytest.param(O4, Thinking(True, "max"), {"effort": "high"}, How.APPROXIMATED, id="more than there is"),
    pytest.param(
        GPT,
        Thinking(True, budget=9000),
        {"max_tokens": 9000},
        How.APPROXIMATED,
        id="a budget for one of steps",
    ),
    pytest.param("openai/gpt-4o", Thinking(True), None, How.DROPPED, id="on, where nothing thinks"),
    pytest.param("openai/gpt-4o", Thinking(False), None, None, id="off, where nothing thinks"),
]


@pytest.mark.parametrize(("model", "thinking", "said", "how"), THINKING)
def test_thinking(model, thinking, said, how):
    expected = {} if said is None else {"reasoning": said}
    assert added(model, thinking=thinking) == (expected, {} if how is None else {"thinking": how})


def test_what_is_known_of_a_model_counts():
    facts = {"capabilities": frozenset({"completion"})}
    assert added(facts=facts, thinking=Thinking(True)) == ({}, {"thinking": How.DROPPED})
    assert added(facts=facts, thinking=Thinking(False)) == ({}, {})


def test_a_budget_leaves_something_to_answer_with():
    body, losses = added(thinking=Thinking(True, budget=9000), sampling=Sampling(max_tokens=4000))
    assert body == {"max_tokens": 4000, "reasoning": {"max_tokens": 3999}}
    assert losses == {"thinking": How.APPROXIMATED}


def test_what_the_client_said_of_thinking_besides_stays():
    extra = {"openai.chat": {"reasoning": {"exclude": True}}}
    body, _ = added(thinking=Thinking(True, "low"), extra=extra)
    assert body == {"reasoning": {"exclude": True, "effort": "low"}}


@pytest.mark.parametrize(
    ("model", "sampling", "expected", "losses"),
    [
        pytest.param(
            CLAUDE,
            Sampling(top_k=5, min_p=0.1, repeat_penalty=1.1, temperature=0.2, max_tokens=9, seed=4),
            {
                "top_k": 5,
                "min_p": 0.1,
                "repetition_penalty": 1.1,
                "temperature": 0.2,
                "max_tokens": 9,
                "seed": 4,
            },
            {},
            id="options of other vendors",
        ),
        pytest.param(
            "openai/gpt-4o",
            Sampling(top_k=5, temperature=0.2),
            {"temperature": 0.2},
            {"top_k": How.DROPPED},
            id="an option OpenAI does not have",
        ),
        pytest.param(
            O4,
            Sampling(temperature=0.2, max_tokens=9),
            {"max_tokens": 9},
            {"temperature": How.DROPPED},
            id="the limit has one name for all",
        ),
    ],
)
def test_sampling(model, sampling, expected, losses):
    assert added(model, sampling=sampling) == (expected, losses)


def test_routing_is_the_clients():
    own = {
        "provider": {"order": ["Anthropic"], "require_parameters": True},
        "models": ["openai/gpt-4o"],
        "route": "fallback",
        "transforms": ["middle-out"],
        "plugins": [{"id": "web"}],
        "usage": {"include": True},
    }
    assert added(extra={"openai.chat": own}) == (own, {})


@pytest.mark.parametrize(
    ("model", "words", "losses"),
    [
        pytest.param(CLAUDE, [], {}, id="not everywhere"),
        pytest.param("openai/gpt-4o", ["system"], {"format": How.EMULATED}, id="at OpenAI"),
    ],
)
def test_json_mode_is_asked_for_in_words_where_it_must_be(model, words, losses):
    body, found = encoded(evolve(ASK, format=Format()), model)
    assert body["response_format"] == {"type": "json_object"}
    assert [message["role"] for message in body["messages"]] == [*words, "user"]
    assert found == losses


DETAILS = [
    {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1", "id": "call_1"},
]


@pytest.mark.parametrize(
    ("thought", "expected"),
    [
        pytest.param(Reasoning("hm"), {"reasoning": "hm"}, id="text alone"),
        pytest.param(
            Reasoning("hm", {"reasoning_details": DETAILS}),
            {"reasoning": "hm", "reasoning_details": DETAILS},
            id="text with details of several vendors",
        ),
        pytest.param(
            Reasoning("", {"reasoning_details": tuple(DETAILS)}),
            {"reasoning_details": DETAILS},
            id="details alone",
        ),
    ],
)
def test_thinking_is_given_back(thought, expected):
    turn = Message(Role.ASSISTANT, (thought, Text("Hello")))
    body, losses = encoded(ChatRequest("asked", (HI, turn, HI)))
    assert body["messages"][1] == {"role": "assistant", "content": "Hello", **expected}
    assert losses == {}


def test_a_system_speaks_as_one_to_all():
    body, _ = encoded(ChatRequest("asked", (Message(Role.SYSTEM, (Text("be kind"),)), HI)), O4)
    assert body["messages"][0] == {"role": "system", "content": "be kind"}


def test_a_request_in_the_same_form_goes_out_as_it_came():
    own = {
        "model": "x",
        "messages": [1],
        "reasoning": {"effort": "low", "new": 1},
        "top_a": 0.1,
        "stream": True,
    }
    body, losses = encoded(evolve(ASK, stream=True, source=Source("openai.chat", own)))
    assert body == {**own, "model": CLAUDE, "stream_options": {"include_usage": True}}
    assert losses == {}


def test_a_bare_prompt():
    found = CODEC.encode(ChatRequest("asked", prompt=Prompt("p", raw=True)), target("mistralai/mistral-7b"))
    assert found.http.url == f"{BASE}/completions"
    assert json.loads(found.http.body) == {"model": "mistralai/mistral-7b", "prompt": "p", "stream": False}


def test_a_gap_cannot_be_filled_by_a_model_that_only_talks():
    problem = CODEC.encode(ChatRequest("asked", prompt=Prompt("p", suffix="s")), target("openai/gpt-4o"))
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, "insert")


def test_embeddings():
    found = CODEC.encode(EmbedRequest("asked", ("a", "b"), 8), target("openai/text-embedding-3-small"))
    assert found.http.url == f"{BASE}/embeddings"
    assert json.loads(found.http.body) == {
        "model": "openai/text-embedding-3-small",
        "input": ["a", "b"],
        "encoding_format": "float",
        "dimensions": 8,
    }
    assert found.losses == ()


def test_models_are_asked_for_with_those_that_embed():
    http = CODEC.list_models(target().provider)
    assert (http.method, http.url) == ("GET", f"{BASE}/models?output_modalities=text,embeddings")


SAID_AS = {"repeat_penalty": "repetition_penalty"}
ANY_SAMPLING = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 9),
        "seed": st.integers(0, 9),
        "top_k": st.integers(1, 9),
        "stop": st.lists(st.sampled_from("abcdef"), min_size=1, unique=True).map(tuple),
        **{
            name: st.sampled_from([0.3, 0.7])
            for name in (
                "temperature",
                "top_p",
                "min_p",
                "presence_penalty",
                "frequency_penalty",
                "repeat_penalty",
            )
        },
    },
)


@given(
    model=st.sampled_from([CLAUDE, DEEPSEEK, O4, GPT, "openai/gpt-4o", "gpt-4o", "who/knows"]),
    sampling=ANY_SAMPLING,
    thinking=st.builds(
        Thinking,
        st.just(True),
        st.sampled_from([None, "minimal", "low", "medium", "high", "max"]),
        st.none() | st.integers(1024, 9000),
    ),
)
def test_nothing_is_lost_unseen(model, sampling, thinking):
    body, losses = encoded(evolve(ASK, sampling=Sampling(**sampling), thinking=thinking), model)
    for name, value in sampling.items():
        said = body.get(SAID_AS.get(name, name))
        whole = said == (list(value) if name == "stop" else value)
        assert whole or name in losses, name
    assert "reasoning" in body or "thinking" in losses
    reasoning = body.get("reasoning", {})
    assert not {"effort", "max_tokens"} <= reasoning.keys()
    if thinking.budget is not None and reasoning.get("max_tokens") != thinking.budget:
        assert "thinking" in losses
