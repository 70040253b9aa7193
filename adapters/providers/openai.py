"""OpenAI, and all who speak its form: https://platform.openai.com/docs/api-reference."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from adapters.framing.sse import SseReader
from adapters.providers import openai_count
from adapters.providers.errors import classify
from adapters.providers.http import get, sign_bearer
from adapters.providers.limits import quota
from adapters.providers.openai_reply import CHAT, COMPLETIONS, EMBEDDINGS, EmbeddingAnswer
from adapters.providers.openai_request import encode, endpoint, usage_asked
from adapters.providers.openai_responses import AnyAnswer
from adapters.providers.replies import State, Stream, Whole, count, decode, finish, parsed, text
from pipeline.ports import Codec
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.targets import ModelFacts, Provider


def fresh(request: ChatRequest | EmbedRequest) -> State:
    """`Codec.fresh`: the reply's own shape corrects the endpoint that is guessed here without the target."""
    if isinstance(request, EmbedRequest):
        return Whole(EmbeddingAnswer(EMBEDDINGS, request.model, len(request.input)))
    prompted = request.prompt is not None and endpoint(request, request.model) == COMPLETIONS
    format = COMPLETIONS if prompted else CHAT
    if not request.stream:
        return Whole(AnyAnswer(format, request.model))
    return Stream(AnyAnswer(format, request.model, usage_asked(request)), SseReader())


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`."""
    return get(provider, "/models")


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`. Servers that tell the context length do so under one of three names."""
    return tuple(_facts(entry) for entry in listed(body))


def listed(body: bytes) -> Iterator[dict[str, Any]]:
    """The entries of a list of models that name one."""
    document = parsed(body)
    entries = document.get("data") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and text(entry.get("id")):
            yield entry


def _facts(entry: dict[str, Any]) -> ModelFacts:
    lengths = (count(entry.get(key)) for key in ("context_length", "context_window", "max_model_len"))
    return ModelFacts(
        entry["id"],
        context_length=next((length for length in lengths if length), None),
        modified_at=day(entry.get("created")),
    )


def day(created: Any) -> str | None:
    """Epoch seconds as RFC 3339; 0 and what is later than the year 2100 is no time."""
    seconds = count(created)
    if not seconds or seconds > 4102444800:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# The vendor's families, for what its list does not name: dated snapshots, fine-tunes, or all while it is not reached.
PATTERNS = (
    *("gpt-[0-9]*", "chatgpt-*", "ft:gpt-*", "o[1-9]", "o[1-9]-*", "codex-*", "computer-use-*"),
    *("text-embedding-*", "davinci-*", "babbage-*"),
)

CODEC = Codec(
    kind="openai",
    encode=encode,
    sign=sign_bearer,
    fresh=fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    patterns=PATTERNS,
    count=openai_count.count,
    counted=openai_count.counted,
)
