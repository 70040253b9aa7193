"""Ollama, on the own machine or hosted: https://github.com/ollama/ollama/blob/main/docs/api.md."""

import re
from typing import Any, get_args

from adapters.framing.ndjson import NdjsonReader
from adapters.providers import errors
from adapters.providers.http import get, sign_bearer
from adapters.providers.limits import quota
from adapters.providers.ollama_reply import ChatAnswer, EmbeddingAnswer
from adapters.providers.ollama_request import encode, endpoint
from adapters.providers.replies import State, Stream, Whole, count, decode, finish, parsed, text
from pipeline.ports import Codec
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, ModelFacts, Provider, Target

# Ollama answers these with 500, but the request is what is wrong.
_CLIENTS_FAULT = re.compile(r'option "[^"]*" must be of type|^invalid format|^template: ', re.IGNORECASE)

_CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability))


def fresh(request: ChatRequest | EmbedRequest) -> State:
    """`Codec.fresh`."""
    format = endpoint(request)
    if isinstance(request, EmbedRequest):
        return Whole(EmbeddingAnswer(format, request.model, len(request.input)))
    answer = ChatAnswer(format, request.model)
    return Stream(answer, NdjsonReader()) if request.stream else Whole(answer)


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify`: as everywhere, but for what Ollama calls its own failure and is the client's."""
    said = errors.read_complaint(body)
    if head.status == 500 and _CLIENTS_FAULT.search(said.message):
        detail = f"{errors.WORDS[Kind.INVALID]}: {errors.cleaned(said.message)}"
        return Problem(Kind.INVALID, detail, status=500)
    return errors.problem_of(head.status, said, head.headers)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`."""
    return get(provider, "/api/tags")


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`. Servers before 0.12 tell no capabilities, and no lengths."""
    document = parsed(body)
    listed = document.get("models") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(_facts(entry) for entry in listed if isinstance(entry, dict) and _name(entry))


def _name(entry: dict[str, Any]) -> str:
    return text(entry.get("model")) or text(entry.get("name"))


def _facts(entry: dict[str, Any]) -> ModelFacts:
    details = entry.get("details")
    details = details if isinstance(details, dict) else {}
    told = entry.get("capabilities")
    return ModelFacts(
        _name(entry),
        frozenset(name for name in _CAPABILITIES if name in told) if isinstance(told, list) else None,
        count(details.get("context_length")),
        count(details.get("embedding_length")),
        text(details.get("family")) or None,
        text(details.get("parameter_size")) or None,
        text(details.get("quantization_level")) or None,
        count(entry.get("size")),
        text(entry.get("digest")) or None,
        text(entry.get("modified_at")) or None,
    )


# Open models that Ollama's library is asked for most, for as long as its own list is not known. A maker's name with a dot
# behind it begins the names of another vendor.
PATTERNS = (
    *(
        "llama*",
        "codellama*",
        "mistral",
        "mistral[!.]*",
        "mixtral*",
        "codestral*",
        "devstral*",
        "magistral*",
        "qwen[!.]*",
        "qwq*",
        "gemma*",
    ),
    *(
        "codegemma*",
        "phi[0-9]*",
        "deepseek[!.]*",
        "gpt-oss*",
        "granite*",
        "starcoder*",
        "llava*",
        "tinyllama*",
        "smollm*",
    ),
    *(
        "command-r*",
        "aya*",
        "nomic-embed*",
        "mxbai-embed*",
        "all-minilm*",
        "bge-*",
        "snowflake-arctic-embed*",
    ),
)


def prefills(target: Target) -> bool:
    """Every template leaves a last turn of the model's open."""
    return True


CODEC = Codec(
    kind="ollama",
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
    prefills=prefills,
)
