"""Google's Gemini by API key: https://ai.google.dev/api."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.providers import google_count
from adapters.providers.google_errors import classify
from adapters.providers.google_messages import NAMES
from adapters.providers.google_reply import EMBED, GENERATE, EmbeddingAnswer, GenerateAnswer, GoogleReader
from adapters.providers.google_request import encode
from adapters.providers.http import get
from adapters.providers.limits import quota
from adapters.providers.replies import State, Stream, Whole, count, decode, finish, parsed, text
from adapters.providers.tool_names import names_of
from pipeline.ports import Codec
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.secrets import Secret
from pipeline.values.targets import Capability, ModelFacts, Provider

# They answer with pictures or speech, or were made before tools: what they lack is not in the list.
_NO_TOOLS = re.compile(r"gemma-[1-3]|-image|-tts|nano-banana|native-audio")
_NO_SIGHT = re.compile(r"gemma-(?:[12]|3-1b|3n)|-tts|native-audio")


def sign(http: HttpRequest, secret: Secret, epoch_s: float) -> HttpRequest:
    """`Codec.sign`: the key is a header, never a part of the address, which others may log."""
    return http.with_headers({"x-goog-api-key": secret.value}) if secret else http


def fresh(request: ChatRequest | EmbedRequest) -> State:
    """`Codec.fresh`."""
    if isinstance(request, EmbedRequest):
        return Whole(EmbeddingAnswer(EMBED, request.model, len(request.input)))
    names: Mapping[str, str] = {}
    if request.source is None or request.source.format != GENERATE:
        names = names_of(request.tools, NAMES).told
    # Where tools have other names, the bytes of a reply are of no format that a client could have asked for.
    answer = GenerateAnswer(f"{GENERATE} translated" if names else GENERATE, request.model, names)
    return Stream(answer, GoogleReader()) if request.stream else Whole(answer)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`: 1000 is the longest page, and longer than the list."""
    return get(provider, "/models?pageSize=1000")


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`: those that converse or embed; makers of pictures and films speak otherwise."""
    document = parsed(body)
    listed = document.get("models") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    found = (_facts(entry) for entry in listed if isinstance(entry, dict))
    return tuple(facts for facts in found if facts is not None)


def _facts(entry: dict[str, Any]) -> ModelFacts | None:
    name = text(entry.get("name")).removeprefix("models/")
    methods = entry.get("supportedGenerationMethods")
    able = _capabilities(name, methods if isinstance(methods, list) else [], entry.get("thinking") is True)
    if not name or not able:
        return None
    return ModelFacts(
        name,
        able,
        context_length=count(entry.get("inputTokenLimit")) or None,
        output_limit=count(entry.get("outputTokenLimit")) or None if "completion" in able else None,
    )


def _capabilities(name: str, methods: list[Any], thinks: bool) -> frozenset[Capability]:
    found: set[Capability] = set()
    if "generateContent" in methods:
        found.add("completion")
        if not _NO_TOOLS.search(name):
            found.add("tools")
        if not _NO_SIGHT.search(name):
            found.add("vision")
        if thinks:
            found.add("thinking")
    if "embedContent" in methods or "batchEmbedContents" in methods:
        found.add("embedding")
    return frozenset(found)


# The vendor's families, for as long as its own list is not known.
PATTERNS = ("gemini-*", "gemma-[0-9]*-it", "learnlm-*")

CODEC = Codec(
    kind="google",
    encode=encode,
    sign=sign,
    fresh=fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    patterns=PATTERNS,
    count=google_count.count,
    counted=google_count.counted,
)
