"""OpenAI's wire format: `/chat/completions`, `/completions`, `/responses`, `/embeddings` and `/models`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import orjson

from adapters.simulator import openai_errors as errors
from adapters.simulator import openai_rules as rules
from adapters.simulator.openai_chat import chat
from adapters.simulator.openai_completions import complete
from adapters.simulator.openai_embeddings import embed
from adapters.simulator.openai_responses import respond
from adapters.simulator.openai_responses_rules import response_faults
from adapters.simulator.openai_sheet import headers_for, pretty, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

PROVIDER = "openai"


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What OpenAI answers to `request`; `path` is what follows `/v1`."""
    if refusal := rules.denied(request.headers, scenario.key):
        return refuse(refusal, request, scenario)
    if path == "/models" or path.startswith("/models/"):
        return _models(request, path, scenario)
    if path not in ROUTES:
        return refuse(errors.unknown_url(request.method, path), request, scenario)
    if request.method != "POST":
        return refuse(errors.wrong_method(request.method, path), request, scenario)
    body = _json(request.body)
    if body is None:
        return refuse(errors.UNREADABLE, request, scenario)
    return _called(body, path, request, scenario)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    extra = {} if retry_after is None else {"retry-after": str(retry_after)}
    return refuse(errors.by_status(status), request, scenario, extra)


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _called(body: dict[str, Any], path: str, request: HttpRequest, scenario: Scenario) -> Played:
    fields, faults, play = ROUTES[path]
    if refusal := next(rules.common_faults(body, fields), None):
        return refuse(refusal, request, scenario)
    facts = scenario.model(PROVIDER, body["model"])
    if facts is None:
        unknown = errors.unknown_here if path == "/responses" else errors.unknown_model
        return refuse(unknown(body["model"]), request, scenario)
    if refusal := next(faults(body, facts), None):
        return refuse(refusal, request, scenario)
    return play(body, facts, request, scenario)


def _models(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    if request.method != "GET":
        return refuse(errors.wrong_method(request.method, path), request, scenario)
    offered = [_listed(facts, scenario) for facts in scenario.models.get(PROVIDER, ())]
    document: dict[str, Any] | None = {"object": "list", "data": offered}
    name = path.removeprefix("/models").removeprefix("/")
    if name:
        document = next((entry for entry in offered if entry["id"] == name), None)
    if document is None:
        message = f"The model '{name}' does not exist"
        return refuse(errors.Refusal(404, message, param="model", code="model_not_found"), request, scenario)
    headers = {
        "content-type": "application/json",
        "x-request-id": headers_for(request, scenario)["x-request-id"],
    }
    return whole(200, headers, pretty(document), scenario.head_s)


def _listed(facts: ModelFacts, scenario: Scenario) -> dict[str, Any]:
    return {"id": facts.name, "object": "model", "created": int(scenario.epoch), "owned_by": "system"}


Play: TypeAlias = Callable[[rules.Body, ModelFacts, HttpRequest, Scenario], Played]
Faults: TypeAlias = Callable[[rules.Body, ModelFacts], Iterator[errors.Refusal]]

ROUTES: Mapping[str, tuple[frozenset[str] | None, Faults, Play]] = {
    "/chat/completions": (rules.CHAT_FIELDS, rules.chat_faults, chat),
    "/completions": (rules.COMPLETION_FIELDS, rules.completion_faults, complete),
    "/embeddings": (rules.EMBEDDING_FIELDS, rules.embedding_faults, embed),
    # It names unknown fields in words of its own.
    "/responses": (None, response_faults, respond),
}
