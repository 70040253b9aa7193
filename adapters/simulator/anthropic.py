"""Anthropic's wire format: `/v1/messages`, `/v1/messages/count_tokens` and `/v1/models`."""

from typing import Any

import orjson

from adapters.simulator import anthropic_betas, anthropic_count
from adapters.simulator import anthropic_rules as rules
from adapters.simulator.anthropic_errors import Refusal, by_status, wrong
from adapters.simulator.anthropic_reply import headers_for, message, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

PROVIDER = "anthropic"
MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
MODELS = "/v1/models"


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What Anthropic answers to `request`; `path` is what follows its host."""
    if refusal := rules.denied(request.headers, scenario.key):
        return refuse(refusal, request, scenario)
    if path == MODELS or path.startswith(f"{MODELS}/"):
        return _models(request, path, scenario)
    if path not in (MESSAGES, COUNT):
        return refuse(Refusal(404, "Not found", "not_found_error"), request, scenario)
    if request.method != "POST":
        return refuse(Refusal(405, "Method Not Allowed"), request, scenario)
    body = _json(request.body)
    if body is None:
        return refuse(Refusal(400, "The request body is not valid JSON"), request, scenario)
    body = anthropic_betas.plain(body, request.headers)
    faults = anthropic_count.faults if path == COUNT else rules.common_faults
    if refusal := next(faults(body), None):
        return refuse(refusal, request, scenario)
    facts = scenario.model(PROVIDER, body["model"])
    if facts is None:
        return refuse(Refusal(404, f"model: {body['model']}", "not_found_error"), request, scenario)
    if path == COUNT:
        return anthropic_count.counted(body, facts, request, scenario)
    if refusal := next(rules.message_faults(body, facts), None):
        return refuse(refusal, request, scenario)
    return message(body, facts, request, scenario)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    extra = {} if retry_after is None else {"retry-after": str(retry_after)}
    return refuse(by_status(status), request, scenario, extra)


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _models(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    if request.method != "GET":
        return refuse(Refusal(405, "Method Not Allowed"), request, scenario)
    offered = [_listed(facts) for facts in scenario.models.get(PROVIDER, ())]
    ids = [entry["id"] for entry in offered]
    document: dict[str, Any] | None = {
        "data": offered,
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
    }
    name = path.removeprefix(MODELS).removeprefix("/")
    if name:
        document = next((entry for entry in offered if entry["id"] == name), None)
    if document is None:
        refusal = Refusal(404, wrong("model", name).message, "not_found_error")
        return refuse(refusal, request, scenario)
    headers = {
        "content-type": "application/json",
        "request-id": headers_for(request, scenario)["request-id"],
    }
    return whole(200, headers, orjson.dumps(document), scenario.head_s)


def _listed(facts: ModelFacts) -> dict[str, Any]:
    abilities = facts.capabilities or frozenset()
    return {
        "type": "model",
        "id": facts.name,
        "display_name": facts.name,
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": facts.context_length,
        "max_tokens": facts.output_limit,
        "capabilities": {
            "image_input": {"supported": "vision" in abilities},
            "thinking": {"supported": "thinking" in abilities},
        },
    }
