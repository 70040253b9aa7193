"""Whose body it is that is explained, and an explanation in words."""

import json

import pytest

from adapters.explanations import explanation_text, read_as, refusal_words
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest, LoadRequest
from pipeline.values.problems import Kind, Problem

USER = [{"role": "user", "content": "hi"}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}


def reading(body, route=None, **headers):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json", **headers}
    return read_as(route, HttpRequest("POST", "/api/route/explain", sent, data))


@pytest.mark.parametrize(
    ("route", "body", "kind"),
    [
        pytest.param("/api/chat", {"model": "m", "messages": USER}, ChatRequest, id="Ollama's chat"),
        pytest.param("/api/generate", {"model": "m", "prompt": "hi"}, ChatRequest, id="its generate"),
        pytest.param("/api/generate", {"model": "m"}, LoadRequest, id="its load"),
        pytest.param("/api/embed", {"model": "m", "input": "hi"}, EmbedRequest, id="its embed"),
        pytest.param("/api/embeddings", {"model": "m", "prompt": "hi"}, EmbedRequest, id="its older embed"),
        pytest.param(
            "/v1/chat/completions", {"model": "m", "messages": PARTS}, ChatRequest, id="OpenAI's chat"
        ),
        pytest.param("/v1/completions", {"model": "m", "prompt": "hi"}, ChatRequest, id="its completions"),
        pytest.param("/v1/embeddings", {"model": "m", "input": ["hi"]}, EmbedRequest, id="its embeddings"),
        pytest.param("/v1/responses", {"model": "m", "input": "hi"}, ChatRequest, id="its responses"),
        pytest.param(
            "/v1/messages",
            {"model": "m", "max_tokens": 5, "messages": USER},
            ChatRequest,
            id="Anthropic's messages",
        ),
        pytest.param(
            "/v1beta/models/m:generateContent",
            {"contents": CONTENTS},
            ChatRequest,
            id="Google's, with its path",
        ),
        pytest.param(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            {"contents": CONTENTS},
            ChatRequest,
            id="with a query too",
        ),
        pytest.param(
            "/v1beta/models/m:embedContent", {"content": CONTENTS[0]}, EmbedRequest, id="Google's embedding"
        ),
        pytest.param(
            "/openai/deployments/m/chat/completions",
            {"messages": USER},
            ChatRequest,
            id="Azure's, with its path",
        ),
        pytest.param(
            "/openai/deployments/m/embeddings?api-version=2024-10-21",
            {"input": "hi"},
            EmbedRequest,
            id="its embeddings, with a version",
        ),
        pytest.param(
            "/openai/v1/chat/completions", {"model": "m", "messages": USER}, ChatRequest, id="its newer path"
        ),
    ],
)
def test_read_by_route(route, body, kind):
    read = reading(body, route)
    assert isinstance(read, kind)
    assert read.model == "m"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            {"model": "m", "messages": USER, "options": {"num_ctx": 5}}, "ollama.chat", id="Ollama's chat"
        ),
        pytest.param({"model": "m", "messages": USER}, "ollama.chat", id="what any could say"),
        pytest.param({"model": "m", "messages": PARTS}, "openai.chat", id="OpenAI's parts"),
        pytest.param(
            {"model": "m", "messages": USER, "response_format": {"type": "json_object"}},
            "openai.chat",
            id="a field of OpenAI's",
        ),
        pytest.param(
            {"model": "m", "messages": USER, "reasoning_effort": "high"},
            "openai.chat",
            id="another one of OpenAI's",
        ),
        pytest.param(
            {"model": "m", "messages": USER, "system": "be brief", "max_tokens": 9},
            "anthropic.messages",
            id="Anthropic's system",
        ),
        pytest.param(
            {
                "model": "m",
                "messages": USER,
                "max_tokens": 9000,
                "thinking": {"type": "enabled", "budget_tokens": 2000},
            },
            "anthropic.messages",
            id="Anthropic's thinking",
        ),
        pytest.param(
            {
                "model": "m",
                "messages": USER,
                "max_tokens": 9,
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            },
            "anthropic.messages",
            id="Anthropic's tools",
        ),
        pytest.param(
            {
                "model": "m",
                "messages": USER,
                "tools": [{"type": "function", "function": FUNCTION}],
                "seed": 1,
            },
            "openai.chat",
            id="OpenAI's tools",
        ),
        pytest.param({"model": "m", "input": "hi"}, "openai.responses", id="OpenAI's responses"),
        pytest.param({"model": "m", "input": ["hi", "you"]}, "ollama.embed", id="texts to be embedded"),
        pytest.param({"model": "m", "input": "hi", "truncate": True}, "ollama.embed", id="Ollama's embed"),
        pytest.param(
            {"model": "m", "input": "hi", "encoding_format": "base64"},
            "openai.embeddings",
            id="OpenAI's embeddings",
        ),
        pytest.param({"model": "m", "prompt": "hi"}, "ollama.generate", id="Ollama's generate"),
        pytest.param({"model": "m", "prompt": "hi", "suffix": "."}, "ollama.generate", id="with a gap"),
        pytest.param({"model": "m", "prompt": "hi", "max_tokens": 5}, "openai.completions", id="completions"),
    ],
)
def test_read_by_guess(body, expected):
    read = reading(body)
    assert not isinstance(read, Problem)
    assert read.model == "m"
    assert read.source is not None
    assert read.source.format == expected


@pytest.mark.parametrize(
    ("body", "route", "words"),
    [
        pytest.param({"model": "m"}, None, "neither messages nor input nor prompt", id="nothing to answer"),
        pytest.param({"messages": USER}, None, "model", id="no model"),
        pytest.param({"contents": CONTENTS}, None, "?route=", id="the model stands in the path"),
        pytest.param([1], None, "", id="no object"),
        pytest.param(b"{", None, "", id="no JSON"),
        pytest.param(
            {"model": "m", "messages": USER}, "/api/tags", "no model is called at /api/tags", id="no call"
        ),
        pytest.param({"model": "m", "messages": 1}, "/v1/messages", "", id="of that route it is none"),
    ],
)
def test_what_cannot_be_read(body, route, words):
    read = reading(body, route)
    assert isinstance(read, Problem)
    assert 400 <= read.http_status < 500
    assert words in read.detail


READY = {
    "target": "a/m",
    "score": 1.0,
    "group": 0,
    "only_after": None,
    "may_be_asked": True,
    "barred_by": None,
    "barred_for_s": 0.0,
    "cost": 0.0021,
    "first_token_s": None,
    "loses": {},
    "impossible": None,
}


def text(**changes):
    told = {
        "model": "m",
        "strategy": "priority (listed)",
        "fallback": "next_available",
        "order": ["a/m"],
        "hedge_after_s": None,
        "candidates": [READY],
        "refused": [],
    }
    return explanation_text({**told, **changes})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(
            text(),
            [
                "m: in the order of priority (listed); after a failure next_available",
                "a/m",
                "$0.002100",
                "ready",
            ],
            id="a plan",
        ),
        pytest.param(
            text(candidates=[{**READY, "cost": 2e-8}]), ["less than $0.000001"], id="hardly any price"
        ),
        pytest.param(text(candidates=[{**READY, "cost": 0.0}]), ["about $0.000000"], id="none at all"),
        pytest.param(text(order=[]), ["one after the other: nobody"], id="nobody"),
        pytest.param(text(hedge_after_s=0.5), ["a second one beside the first after 0.50 s"], id="a hedge"),
        pytest.param(text(candidates=[{**READY, "cost": None}]), ["price not known"], id="no price"),
        pytest.param(
            text(candidates=[{**READY, "may_be_asked": False, "barred_by": "breaker", "barred_for_s": 4.6}]),
            ["breaker for 5 s"],
            id="a breaker",
        ),
        pytest.param(
            text(candidates=[{**READY, "group": 1, "only_after": Kind.POLICY}]),
            ["stands in after policy"],
            id="a stand-in",
        ),
        pytest.param(
            text(candidates=[{**READY, "impossible": "no tools there"}]),
            ["cannot be asked this: no tools there"],
            id="what cannot be said",
        ),
        pytest.param(
            text(candidates=[{**READY, "loses": {"top_k": "dropped", "seed": "dropped"}}]),
            ["loses top_k, seed"],
            id="what is lost",
        ),
        pytest.param(
            text(candidates=[{**READY, "first_token_s": 0.31}]), ["first content after 0.31 s"], id="how fast"
        ),
        pytest.param(
            text(refused=[{"target": "b/m", "why": "has no tools"}]),
            ["b/m", "not asked: has no tools"],
            id="refused",
        ),
        pytest.param(
            explanation_text({"model": "m", "needs_no_provider": True}),
            ["m: no provider is asked for this"],
            id="a load",
        ),
    ],
)
def test_words(given, words):
    assert all(word in given for word in words), given


def test_words_fit_a_terminal():
    """Names may be long, and are never broken."""
    names = [f"account-{number}/vendor/some-model-of-a-long-name-{number}" for number in range(8)]
    losses = dict.fromkeys([f"option_{number}" for number in range(30)], "dropped")
    told = text(
        order=names,
        candidates=[
            {**READY, "target": name, "loses": losses, "score": 1e9, "cost": 1234.5} for name in names
        ],
        refused=[{"target": "b/m", "why": "a reason " * 20}],
    )
    assert max(map(len, told.splitlines())) <= 80
    assert all(told.count(name) == 2 for name in names)
    assert "option_29" in told


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        pytest.param(Problem(Kind.UNKNOWN_MODEL, subject="m"), "m: the model was not found", id="unknown"),
        pytest.param(
            Problem(Kind.UNKNOWN_MODEL, "none serves it", "m"), "m: none serves it", id="in its own words"
        ),
        pytest.param(
            Problem(Kind.UNSUPPORTED, subject="tools"), "m: no provider has it with tools", id="a lack"
        ),
        pytest.param(
            Problem(Kind.BAD_REQUEST, "no such provider", "X-Provider"), "no such provider", id="a header"
        ),
    ],
)
def test_refusals_in_words(problem, words):
    assert words in refusal_words(problem, "m")
