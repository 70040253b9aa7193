"""OpenRouter, which speaks OpenAI's form and hands on to all vendors: https://openrouter.ai/docs (2026-11)."""

from collections.abc import Iterable
from typing import Any

from attrs import evolve

from adapters.providers import claude, errors, limits, openai
from adapters.providers.http import get, sign_bearer
from adapters.providers.openai_request import PATHS, body_of, endpoint, http_of, impossible
from adapters.providers.openrouter_request import VOICE
from adapters.providers.replies import count, decode, finish, text
from pipeline.ports import Codec, Encoded
from pipeline.values.facts import QuotaSeen
from pipeline.values.http import Headers, HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, ModelFacts, Price, Provider, Target

# Embedding models are listed only where they are asked for.
_LIST = "/models?output_modalities=text,embeddings"

# One limit, of requests, reset at a time in epoch milliseconds.
_RESET = "x-ratelimit-reset"
_LIMIT = ("x-ratelimit-remaining", "", _RESET, "")

# What a 404 says when the model is there, but none who serve it can do this.
_LACKING = {"tool use": "tools", "image input": "vision"}


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode` of OpenRouter. Problems: `unsupported` for a gap to be filled by a model that only talks."""
    if problem := impossible(request, target.model):
        return problem
    body, lost = body_of(request, target, VOICE)
    http = http_of(request, target, PATHS[endpoint(request, target.model, target.facts.capabilities)], body)
    named = _attribution(target.provider)
    return Encoded(http.with_headers(named) if named else http, lost.losses)


def _attribution(provider: Provider) -> Headers:
    """Who OpenRouter shows as the application that asks, where the operator wants to be shown."""
    told = {
        "http-referer": provider.settings.get("referer"),
        "x-title": provider.settings.get("title"),
    }
    return {name: value for name, value in told.items() if value}


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify`: a model that nobody serves just now is overloaded, and a limit tells its own reset."""
    said = errors.read_complaint(body)
    problem = errors.problem_of(head.status, said, head.headers)
    if head.status == 404:
        lacking = next((can for words, can in _LACKING.items() if words in said.message), None)
        if lacking is not None:
            return Problem(
                Kind.UNSUPPORTED, "nobody there who serves this model can do that", subject=lacking
            )
    if problem.kind is Kind.SERVER and head.status == 503:
        return evolve(problem, kind=Kind.OVERLOADED, detail=errors.WORDS[Kind.OVERLOADED])
    if problem.kind is Kind.RATE_LIMITED and problem.retry_after is None:
        return evolve(problem, retry_after=limits.reset_within(head.headers, _RESET))
    return problem


def quota(target: str, head: ReplyHead, now: float) -> QuotaSeen | None:
    """`Codec.quota`: OpenRouter's own one limit, or those of the vendor behind it."""
    return limits.left(target, head, now, _LIMIT) or limits.quota(target, head, now)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`. It is answered without a key, so it does not tell whether the key is good."""
    return get(provider, _LIST)


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`."""
    return tuple(_facts(entry) for entry in openai.listed(body))


def _facts(entry: dict[str, Any]) -> ModelFacts:
    top = _object(entry.get("top_provider"))
    return ModelFacts(
        entry["id"],
        capabilities=_capabilities(entry),
        context_length=count(entry.get("context_length")) or count(top.get("context_length")),
        output_limit=count(top.get("max_completion_tokens")),
        price=_price(_object(entry.get("pricing"))),
        modified_at=openai.day(entry.get("created")),
    )


def _capabilities(entry: dict[str, Any]) -> frozenset[Capability] | None:
    """What a model can do; None where the entry does not describe it."""
    described = _object(entry.get("architecture"))
    given, made = _texts(described.get("input_modalities")), _texts(described.get("output_modalities"))
    taken = _texts(entry.get("supported_parameters"))
    if not given and not made:
        return None
    found: Iterable[tuple[Capability, bool]] = (
        ("completion", "text" in made),
        ("embedding", "embeddings" in made),
        ("image", "image" in made),
        ("vision", "image" in given),
        ("audio", "audio" in given),
        ("tools", "tools" in taken),
        ("thinking", not taken.isdisjoint(("reasoning", "include_reasoning"))),
    )
    return frozenset(name for name, can in found if can)


def _price(told: dict[str, Any]) -> Price | None:
    """Prices are told as texts, in dollars a token."""
    price = Price(
        _million(told.get("prompt")), _million(told.get("completion")), _million(told.get("input_cache_read"))
    )
    return None if price == Price() else price


def _million(told: Any) -> float | None:
    """The price of a million tokens. A negative one means that it depends on who will serve."""
    try:
        value = float(told) * 1e6 if type(told) is str else -1.0
    except ValueError:
        return None
    return round(value, 6) if 0 <= value < float("inf") else None


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _texts(value: Any) -> frozenset[str]:
    return frozenset(filter(None, map(text, value))) if type(value) is list else frozenset()


# Every vendor's models, each by its vendor's name and its own.
PATTERNS = ("*/*",)


def prefills(target: Target) -> bool:
    """It hands a last turn of the model's on, and Claudes before 4.6 go on with it."""
    return target.model.startswith("anthropic/") and claude.prefills(target.model)


CODEC = Codec(
    kind="openrouter",
    encode=encode,
    sign=sign_bearer,
    fresh=openai.fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    patterns=PATTERNS,
    prefills=prefills,
)
