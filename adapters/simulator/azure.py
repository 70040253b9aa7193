"""Azure OpenAI's wire format: OpenAI's, at the addresses of deployments, with verdicts of its content filter.

The older surface has the deployment in its path and a dated version in its query, the newer one (`/openai/v1`) has the
deployment as the model.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from attrs import evolve

from adapters.simulator import openai
from adapters.simulator.openai_sheet import digest, pretty
from adapters.simulator.played import Played, whole
from adapters.simulator.reworded import Document, reworded
from adapters.simulator.scenario import Scenario
from pipeline.values.http import Headers, HttpRequest

PROVIDER = "azure"
PREFIX = "/azure"
V1 = "/openai/v1"
DEPLOYED = re.compile(r"/openai/deployments/([^/]+)(/.+)")
VERSION = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")
THINKING_SINCE = "2024-12-01"
NEWER = re.compile(r"(o\d|gpt-5)")
SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}

DENIED = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an"
    " active subscription and use a correct regional API endpoint for your resource."
)
NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes,"
    " please wait a moment and try again."
)
FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify"
    " your prompt and retry."
)


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What Azure answers to `request`; `path` is what follows the resource's host."""
    if not _let_in(request.headers, scenario.key):
        return refuse(401, {"code": "401", "message": DENIED}, request, scenario)
    version = parse_qs(urlsplit(request.url).query).get("api-version", [""])[-1]
    if path in ("/openai/models", f"{V1}/models") and request.method == "GET":
        return _models(request, scenario)
    deployed = DEPLOYED.fullmatch(path)
    if request.method != "POST" or not (deployed or path.startswith(f"{V1}/")):
        return _nowhere(request, scenario)
    if deployed:
        if not VERSION.fullmatch(version):
            return _nowhere(request, scenario)
        return _called(request, deployed[2], deployed[1], version, scenario)
    return _called(request, path.removeprefix(V1), None, "", scenario)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    extra = {}
    if retry_after is not None:
        extra = {"retry-after": str(retry_after), "retry-after-ms": str(1000 * retry_after)}
    return refuse(status, _error(status), request, scenario, extra)


def refuse(
    status: int,
    error: Mapping[str, Any],
    request: HttpRequest,
    scenario: Scenario,
    extra: Headers | None = None,
) -> Played:
    """An error answer."""
    headers = {
        "content-type": "application/json",
        "apim-request-id": digest(request.body)[:32],
        **(extra or {}),
    }
    return whole(status, headers, pretty({"error": error}), scenario.head_s)


def _let_in(headers: Headers, key: str | None) -> bool:
    return key is None or key in (
        headers.get("api-key"),
        headers.get("authorization", "").removeprefix("Bearer "),
    )


def _nowhere(request: HttpRequest, scenario: Scenario) -> Played:
    return refuse(404, {"code": "404", "message": "Resource not found"}, request, scenario)


def _called(
    request: HttpRequest, path: str, deployment: str | None, version: str, scenario: Scenario
) -> Played:
    """A call of a model; `deployment` None: the body names it."""
    body = _json(request.body)
    name = deployment or str(body.get("model", ""))
    if scenario.model(PROVIDER, name) is None:
        missing = {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": NO_DEPLOYMENT}
        return refuse(404, missing, request, scenario)
    if version and version < THINKING_SINCE:
        if NEWER.match(name):
            words = f"Model {name} is enabled only for api versions 2024-12-01-preview and later"
            return refuse(400, {"code": "BadRequest", "message": words}, request, scenario)
        if "reasoning_effort" in body:
            words = "Unrecognized request argument supplied: reasoning_effort"
            unknown = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
            return refuse(400, unknown, request, scenario)
    if b"@@FILTER" in request.body:
        return refuse(400, _filtered(), request, scenario)
    asked = HttpRequest(
        "POST", request.url, {}, orjson.dumps({**body, "model": name}) if body else request.body
    )
    offered = {openai.PROVIDER: scenario.models.get(PROVIDER, ())}
    played = openai.answer(asked, path, evolve(scenario, models=offered, key=None))
    return _told(played, request)


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _filtered() -> dict[str, Any]:
    verdict = {**SAFE, "violence": {"filtered": True, "severity": "high"}}
    return {
        "message": FILTERED,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict},
    }


def _error(status: int) -> dict[str, Any]:
    """The provider's own error of that status, where nothing more is known."""
    match status:
        case 401:
            return {"code": "401", "message": DENIED}
        case 404:
            return {"type": "invalid_request_error", "code": "DeploymentNotFound", "message": NO_DEPLOYMENT}
        case 429:
            words = "Requests to the ChatCompletions_Create Operation have exceeded call rate limit."
            return {"code": "RateLimitReached", "message": f"{words} Please retry after 1 second."}
        case 503:
            return {"code": "ServiceUnavailable", "message": "The engine is currently overloaded."}
    if status < 500:
        return {"code": "BadRequest", "message": "The request was refused."}
    return {
        "code": "InternalServerError",
        "message": "The server had an error processing your request. Sorry!",
    }


def _told(played: Played, request: HttpRequest) -> Played:
    """OpenAI's answer as Azure gives it."""
    verdicts = [{"prompt_index": 0, "content_filter_results": SAFE}]

    def document(status: int, found: Document) -> Mapping[str, Any]:
        if status != 200:
            error = found["error"]
            return {"error": error if error.get("param") or status == 400 else _error(status)}
        if "choices" not in found:
            return found
        judged = [
            {"content_filter_results": SAFE, **_thinking_once(choice, "message")}
            for choice in found["choices"]
        ]
        return {**found, "choices": judged, "prompt_filter_results": verdicts}

    def frames(found: Document) -> Iterable[Mapping[str, Any]]:
        choices = found.get("choices", ())
        judged = [
            {"content_filter_results": _judged(choice), **_thinking_once(choice, "delta")}
            for choice in choices
        ]
        return ({**found, "choices": judged} if judged else found,)

    def headers(status: int, given: Headers) -> dict[str, str]:
        kept = {name: value for name, value in given.items() if not name.startswith("openai-")}
        return {**kept, "apim-request-id": digest(request.body)[:32], "x-ms-rai-invoked": "true"}

    first = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": verdicts,
    }
    return reworded(played, headers, document, frames, before=(b"data: " + orjson.dumps(first) + b"\n\n",))


def _thinking_once(choice: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Azure tells thinking as `reasoning_content` alone."""
    said = choice.get(place)
    if not isinstance(said, Mapping):
        return dict(choice)
    return {**choice, place: {name: value for name, value in said.items() if name != "reasoning"}}


def _judged(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """Only what has words has a verdict."""
    delta = choice.get("delta")
    return SAFE if isinstance(delta, Mapping) and delta.get("content") else {}


def _models(request: HttpRequest, scenario: Scenario) -> Played:
    """The models that could be deployed, in their versions; which are, is not told."""
    listed = [
        {
            "id": f"{facts.name}-2024-08-06",
            "object": "model",
            "status": "succeeded",
            "created_at": int(scenario.epoch),
            "lifecycle_status": "generally-available",
            "capabilities": {
                "fine_tune": False,
                "inference": True,
                "completion": False,
                "chat_completion": "embedding" not in (facts.capabilities or ()),
                "embeddings": "embedding" in (facts.capabilities or ()),
            },
        }
        for facts in scenario.models.get(PROVIDER, ())
    ]
    headers = {"content-type": "application/json", "apim-request-id": digest(request.body)[:32]}
    return whole(200, headers, orjson.dumps({"object": "list", "data": listed}), scenario.head_s)
