"""From a request to what is played back: the provider by the address, then whatever the scenario lets go wrong.

Pure: the same request, scenario and count give the same bytes.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote, urlsplit

import orjson
from attrs import evolve, frozen

from adapters.simulator import (
    anthropic,
    azure,
    bedrock,
    google,
    ollama,
    ollama_management,
    openai,
    openrouter,
)
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest


@frozen
class Provider:
    """One fake provider: `prefix` of its address, `answer(request, rest of the path, scenario)`, its own errors."""

    prefix: str
    answer: Callable[[HttpRequest, str, Scenario], Played]
    refused_with: Callable[[int, int | None, HttpRequest, Scenario], Played]


OLLAMA_PREFIX = "/ollama"

PROVIDERS: tuple[Provider, ...] = (
    Provider("/openai/v1", openai.answer, openai.refused_with),
    Provider(OLLAMA_PREFIX, ollama.answer, ollama.refused_with),
    Provider("/anthropic", anthropic.answer, anthropic.refused_with),
    Provider(openrouter.PREFIX, openrouter.answer, openrouter.refused_with),
    Provider(azure.PREFIX, azure.answer, azure.refused_with),
    Provider("/google/v1beta", google.answer, google.refused_with),
    Provider(bedrock.PREFIX, bedrock.answer, bedrock.refused_with),
)

# The routes that make a model work; only these are counted, and only these are met by faults.
WORK = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/v1/messages",
    ":generateContent",
    ":streamGenerateContent",
    ":embedContent",
    ":batchEmbedContents",
    "/converse",
    "/converse-stream",
    "/invoke",
)

# Where the address names the model: `/models/NAME:method`, `/model/NAME/method`.
_MODEL_IN_PATH = re.compile(r"/models?/(.+?)(?::\w+|/(?:converse|converse-stream|invoke))$")


def answer(request: HttpRequest, scenario: Scenario, count: int = 1, beside: int = 0) -> Played:
    """What is played back for `request`, the model call number `count` (see `is_model_call`), with `beside` others under way."""
    path = _path(request)
    provider = next((one for one in PROVIDERS if _under(path, one.prefix)), None)
    if provider is None:
        return whole(404, {"content-type": "text/plain; charset=utf-8"}, b"no provider is simulated here\n")
    fault = scenario.fault(count, _model(request), beside) if is_model_call(request) else None
    if fault is not None and fault.status is not None:
        return provider.refused_with(fault.status, fault.retry_after, request, scenario)
    played = provider.answer(request, path.removeprefix(provider.prefix), scenario)
    if request.method == "HEAD":
        played = evolve(played, chunks=())
    return played.cut(fault.ending, fault.after) if fault else played


def after(request: HttpRequest, played: Played, scenario: Scenario) -> Scenario:
    """The scenario that the next request meets: an Ollama keeps what it was told to pull, create, copy or delete."""
    path = _path(request)
    if not _under(path, OLLAMA_PREFIX):
        return scenario
    return ollama_management.after(request, path.removeprefix(OLLAMA_PREFIX), played, scenario)


def is_model_call(request: HttpRequest) -> bool:
    """Whether the request asks a model for something: lists and probes are not counted."""
    return request.method == "POST" and _path(request).endswith(WORK)


def _path(request: HttpRequest) -> str:
    return unquote(urlsplit(request.url).path)


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _model(request: HttpRequest) -> str:
    in_path = _MODEL_IN_PATH.search(_path(request))
    if in_path:
        return in_path[1]
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return ""
    name = body.get("model") if isinstance(body, Mapping) else None
    return name if isinstance(name, str) else ""
