"""Azure OpenAI: OpenAI's form at a resource of one's own, each model under the name of its deployment.

Two surfaces are in use. The older names the deployment in the path and a dated version in the query; `v1` names the
deployment as the model, and knows what models of today take.
Source: https://learn.microsoft.com/azure/ai-services/openai/reference (2026-11).
"""

import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, frozen

from adapters.providers import errors, openai
from adapters.providers.http import get, post, sign_bearer
from adapters.providers.limits import quota
from adapters.providers.openai_request import PATHS, Voice, body_of, endpoint, impossible, usage_asked
from adapters.providers.openai_responses_reply import RESPONSES
from adapters.providers.replies import decode, finish
from pipeline.names import canonical
from pipeline.ports import Codec, Encoded
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

V1 = "v1"
# The last dated version that is no preview.
DATED = "2024-10-21"
# Dated versions before this refuse to be asked for the usage of a stream.
_USAGE_SINCE = "2024-09-01"
# Dated versions before this know neither how much to think nor the models that do.
_THINKING_SINCE = "2024-12-01"

_DEPLOYMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)
# What an address may hold behind that of the resource: a surface, or a deployment as the portal shows it.
_SURFACE = re.compile(r"(?<=[^/])/openai(?:/v1|/deployments(?:/.*)?)?$")
_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


@frozen
class Deployment:
    """A model at a resource: `name` of the deployment, and the `model` behind it, as far as it is known."""

    name: str
    model: str


def deployments(provider: Provider) -> tuple[Deployment, ...]:
    """Those the operator named, as `deployment` or as `model=deployment`."""
    return _read(tuple(provider.settings.get("deployments", ())))


@lru_cache(maxsize=64)
def _read(told: tuple[str, ...]) -> tuple[Deployment, ...]:
    pairs = (entry.partition("=") for entry in told)
    return tuple(Deployment((name if mark else model).strip(), model.strip()) for model, mark, name in pairs)


def deployment_of(target: Target) -> Deployment | None:
    """The deployment that a target's name means; None if it can be none at this resource.

    A name is that of a model or of a deployment, or `deployment@host` with the very host of the resource.
    """
    asked = target.model[:-7] if target.model.lower().endswith(":latest") else target.model
    name, mark, host = asked.rpartition("@")
    known = deployments(target.provider)
    if mark:
        if not host.isascii() or host.lower() != urlsplit(target.provider.base_url).hostname:
            return None
    else:
        name = host
    wanted = canonical(name)
    # What names a host names a deployment, and no model.
    found = None if mark else next((one for one in known if canonical(one.model) == wanted), None)
    found = found or next((one for one in known if canonical(one.name) == wanted), Deployment(name, name))
    return found if _DEPLOYMENT.fullmatch(found.name) else None


def behind(target: Target) -> str:
    """The name of the model behind a target."""
    found = deployment_of(target)
    return target.model if found is None else found.model


VOICE = Voice(behind=behind)


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode` of Azure. Problems: `not_found` for names that mean nothing at this resource."""
    deployment = deployment_of(target)
    if deployment is None:
        return Problem(Kind.NOT_FOUND, errors.WORDS[Kind.NOT_FOUND], target=target.name)
    if problem := impossible(request, deployment.model):
        return problem
    body, lost = body_of(request, target, VOICE)
    body["model"] = deployment.name
    format = endpoint(request, deployment.model, target.facts.capabilities)
    version = _version(target, deployment, format, body)
    built = request.source is None or request.source.format != format
    if built and _dated(version) and version < _THINKING_SINCE and body.pop("reasoning_effort", None):
        lost.add("thinking")
    if _dated(version) and version < _USAGE_SINCE and not _usage_asked(request):
        body.pop("stream_options", None)
    accept = "text/event-stream" if request.stream else "application/json"
    return Encoded(
        post(*_place(target.provider, version, PATHS[format], deployment), body, accept), lost.losses
    )


def _usage_asked(request: ChatRequest | EmbedRequest) -> bool:
    return isinstance(request, ChatRequest) and usage_asked(request)


def _version(target: Target, deployment: Deployment, format: str, body: dict[str, Any]) -> str:
    """The configured version; else the dated one, or `v1` for what that does not know."""
    told = _configured(target.provider)
    if format == RESPONSES:
        return V1 if told is None or _dated(told) else told
    if told is not None:
        return told
    line = VOICE.line(deployment.model, target.facts.capabilities)
    return V1 if "reasoning_effort" in body or line.limit == "max_completion_tokens" else DATED


def _configured(provider: Provider) -> str | None:
    told = provider.settings.get("api_version")
    if told:
        return str(told)
    return V1 if provider.base_url.rstrip("/").endswith("/openai/v1") else None


def _dated(version: str) -> bool:
    return version[:1].isdigit()


def _place(
    provider: Provider, version: str, path: str, deployment: Deployment | None = None
) -> tuple[Provider, str]:
    """Where `path` is: the provider at its root, and the path below it. The base URL may name the surface already."""
    root = _SURFACE.sub("", provider.base_url.rstrip("/"))
    provider = provider if root == provider.base_url else evolve(provider, base_url=root)
    if _dated(version):
        below = f"/openai/deployments/{deployment.name}{path}" if deployment else f"/openai{path}"
        return provider, f"{below}?api-version={version}"
    return provider, f"/openai/v1{path}" if version == V1 else f"/openai/v1{path}?api-version={version}"


def sign(http: HttpRequest, secret: Secret, epoch_s: float) -> HttpRequest:
    """`Codec.sign`: a key in a header of its own; a token of Entra ID, told by its form, as a bearer's."""
    if not secret or _TOKEN.fullmatch(secret.value):
        return sign_bearer(http, secret, epoch_s)
    return http.with_headers({"api-key": secret.value})


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify`: as everywhere; where the milliseconds to wait are told as 0, the seconds beside them count."""
    headers = head.headers
    if headers.get("retry-after-ms", "").strip() == "0" and "retry-after" in headers:
        headers = {name: value for name, value in headers.items() if name != "retry-after-ms"}
    return errors.classify(ReplyHead(head.status, headers), body)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`: what could be deployed at the resource. What is deployed, no key may ask."""
    return get(*_place(provider, _configured(provider) or DATED, "/models"))


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`."""
    return tuple(_facts(entry) for entry in openai.listed(body))


def _facts(entry: dict[str, Any]) -> ModelFacts:
    told = entry.get("capabilities")
    can = {name for name, able in told.items() if able is True} if isinstance(told, dict) else set()
    embeds = "embeddings" in can and can.isdisjoint(("chat_completion", "completion"))
    # Of chat models the list does not tell whether they call tools, see or think.
    return ModelFacts(
        entry["id"],
        capabilities=frozenset(("embedding",)) if embeds else None,
        modified_at=openai.day(entry.get("created_at")),
    )


def served(provider: Provider, listed: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """`Codec.served`: the deployments the operator named, each with what is told of the model behind it."""
    return tuple(_known(deployment, listed) for deployment in deployments(provider))


def _known(deployment: Deployment, listed: tuple[ModelFacts, ...]) -> ModelFacts:
    """The list names each version of a model: `gpt-4o-2024-08-06`, `text-embedding-ada-002-2`."""
    model = canonical(deployment.model)
    versions = [facts for facts in listed if f"{canonical(facts.name)}-".startswith(f"{model}-")]
    alike = {facts.capabilities for facts in versions}
    return ModelFacts(deployment.model, capabilities=alike.pop() if len(alike) == 1 else None)


# `deployment@host`, by the hosts that resources have.
PATTERNS = ("*@*.openai.azure.com", "*@*.cognitiveservices.azure.com", "*@*.services.ai.azure.com")

CODEC = Codec(
    kind="azure",
    encode=encode,
    sign=sign,
    fresh=openai.fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    served=served,
    patterns=PATTERNS,
)
