"""Anthropic, and all who speak its form: https://platform.claude.com/docs/en/api/overview."""

from collections.abc import Mapping
from typing import Any

from adapters.framing.sse import SseReader
from adapters.providers import anthropic_count, claude
from adapters.providers.anthropic_messages import FORMAT, NAMES
from adapters.providers.anthropic_reply import MessageAnswer, spoken
from adapters.providers.anthropic_request import VERSION, answer_tool, encode, path_to
from adapters.providers.errors import problem_of, read_complaint
from adapters.providers.http import get
from adapters.providers.limits import left
from adapters.providers.replies import State, Stream, Whole, count, decode, finish, parsed, text
from adapters.providers.tool_names import names_of
from pipeline.ports import Codec
from pipeline.values.facts import QuotaSeen
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import Capability, ModelFacts, Provider, Target

# What is left of each limit, and when it is full again. The limit of all tokens is that of input or output, whichever is
# nearer to its end; not every reply tells it. Source: https://platform.claude.com/docs/en/api/rate-limits (2026-11).
_LEFT = "anthropic-ratelimit-{}-remaining"
_RESET = "anthropic-ratelimit-{}-reset"
_ALL, _INPUT = "tokens", "input-tokens"
_CAPABILITIES: Mapping[str, Capability] = {"image_input": "vision", "thinking": "thinking"}


def sign(http: HttpRequest, secret: Secret, epoch_s: float) -> HttpRequest:
    """`Codec.sign`; unchanged without a secret, as servers on the own machine want it."""
    return http.with_headers({"x-api-key": secret.value}) if secret else http


def fresh(request: ChatRequest | EmbedRequest) -> State:
    """`Codec.fresh`.

    Bytes cannot stand for events where the answer comes as the input of a tool, or tools have other names: the reply to
    such a request is of no format that a client could have asked for.
    """
    if isinstance(request, EmbedRequest):
        return Whole(MessageAnswer(FORMAT, request.model))
    names: Mapping[str, str] = {}
    answer = None
    if request.source is None or request.source.format != FORMAT:
        names = names_of(request.tools, NAMES).told
        if request.format is not None and request.format.schema is not None:
            answer = answer_tool(request)
    format = f"{FORMAT} translated" if names or answer else FORMAT
    message = MessageAnswer(format, request.model, names, answer)
    return Stream(message, SseReader()) if request.stream else Whole(message)


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify`: as everywhere, but the addresses in the words are no words."""
    return problem_of(head.status, spoken(read_complaint(body)), head.headers)


def quota(target: str, head: ReplyHead, now: float) -> QuotaSeen | None:
    """`Codec.quota`."""
    tokens = _ALL if _LEFT.format(_ALL) in head.headers else _INPUT
    names = (_LEFT.format("requests"), _LEFT.format(tokens), _RESET.format("requests"), _RESET.format(tokens))
    return left(target, head, now, names)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`."""
    return get(provider, f"{path_to(provider, '/models')}?limit=1000").with_headers(VERSION)


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`. Limits and capabilities are told since 2026."""
    document = parsed(body)
    listed = document.get("data") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(_facts(entry) for entry in listed if isinstance(entry, dict) and text(entry.get("id")))


def _facts(entry: dict[str, Any]) -> ModelFacts:
    return ModelFacts(
        entry["id"],
        capabilities=_capabilities(entry.get("capabilities")),
        context_length=count(entry.get("max_input_tokens")) or None,
        output_limit=count(entry.get("max_tokens")) or None,
        modified_at=text(entry.get("created_at")) or None,
    )


def _capabilities(told: Any) -> frozenset[Capability] | None:
    """What is told of a model, and what every one of them can."""
    if not isinstance(told, dict):
        return None
    found: set[Capability] = {"completion", "tools"}
    for name, capability in _CAPABILITIES.items():
        support = told.get(name)
        if isinstance(support, dict) and support.get("supported") is True:
            found.add(capability)
    return frozenset(found)


def prefills(target: Target) -> bool:
    """Claudes before 4.6 do."""
    return claude.prefills(target.model)


CODEC = Codec(
    kind="anthropic",
    encode=encode,
    sign=sign,
    fresh=fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    patterns=("claude-*",),
    count=anthropic_count.count,
    counted=anthropic_count.counted,
    prefills=prefills,
)
