"""OpenRouter's wire format: OpenAI's routes with its own thinking, errors, comments, costs and list of models.

It is OpenAI's fake in other words; what OpenRouter takes beyond OpenAI's form is read here first. A field that nobody
knows is refused, where OpenRouter would pass it over: it would be a mistake of ours.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from attrs import evolve

from adapters.simulator import openai
from adapters.simulator import openai_errors as errors
from adapters.simulator.openai_sheet import pretty
from adapters.simulator.openrouter_rules import FIELDS, Refusal, faults, plain
from adapters.simulator.played import Played, whole
from adapters.simulator.reworded import Document, reworded
from adapters.simulator.scenario import Scenario
from pipeline.values.http import Headers, HttpRequest
from pipeline.values.targets import ModelFacts

PROVIDER = "openrouter"
PREFIX = "/openrouter/api/v1"
VENDOR = "Simulator"
PROCESSING = b": OPENROUTER PROCESSING\n\n"
DOLLARS = 0.000001

WORDS: Mapping[int, str] = {
    401: "User not found.",
    402: "Insufficient credits. Add more using https://openrouter.ai/settings/credits",
    408: "Request timed out",
    503: "No available model provider meets your routing requirements",
}
REASONS: Mapping[str, str] = {"length": "MAX_TOKENS", "tool_calls": "tool_use", "stop": "STOP"}


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What OpenRouter answers to `request`; `path` is what follows `/api/v1`."""
    if path == "/models":
        return _models(request, scenario)
    if refused := _denied(request.headers, scenario.key):
        return refuse(refused, scenario)
    if path not in FIELDS or request.method != "POST":
        return whole(404, {"content-type": "text/html"}, b"<!DOCTYPE html><title>Not Found</title>")
    body = _json(request.body)
    if body is None:
        return refuse(Refusal(400, "Invalid JSON in request body"), scenario)
    offered = scenario.models.get(PROVIDER, ())
    if refused := next(faults(body, path, offered), None):
        return refuse(refused, scenario)
    asked = HttpRequest("POST", request.url, {}, orjson.dumps(plain(body, offered)))
    played = openai.answer(asked, path, evolve(scenario, models={openai.PROVIDER: offered}, key=None))
    hidden = isinstance(body.get("reasoning"), dict) and body["reasoning"].get("exclude") is True
    return _told(played, scenario, hidden)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    extra = {} if retry_after is None else {"retry-after": str(retry_after)}
    return refuse(by_status(status, scenario), scenario, extra)


def by_status(status: int, scenario: Scenario) -> Refusal:
    """The provider's own error of that status, where nothing more is known."""
    if status == 403:
        flagged = {"reasons": ["violence"], "flagged_input": "...", "provider_name": VENDOR}
        return Refusal(403, "Your chosen model requires moderation and your input was flagged", flagged)
    if status == 429:
        reset = str(int((scenario.epoch + 60) * 1000))
        limit = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
        return Refusal(429, "Rate limit exceeded: free-models-per-min. ", {"headers": limit})
    if status in WORDS:
        return Refusal(status, WORDS[status])
    raw = orjson.dumps({"error": errors.by_status(status).error}).decode()
    return Refusal(status, "Provider returned error", {"raw": raw, "provider_name": VENDOR})


def refuse(refusal: Refusal, scenario: Scenario, extra: Headers | None = None) -> Played:
    """An error answer."""
    told = refusal.metadata.get("headers", {})
    headers = {
        "content-type": "application/json",
        **{name.lower(): value for name, value in told.items()},
        **(extra or {}),
    }
    return whole(refusal.status, headers, pretty(_error(refusal)), scenario.head_s)


def _error(refusal: Refusal) -> dict[str, Any]:
    metadata = {"metadata": refusal.metadata} if refusal.metadata else {}
    error = {"message": refusal.message, "code": refusal.status, **metadata}
    return {"error": error, "user_id": "user_simulated"}


def _denied(headers: Headers, key: str | None) -> Refusal | None:
    if key is None:
        return None
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        return Refusal(401, "Missing Authentication header")
    return None if shown == key else Refusal(401, "User not found.")


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _told(played: Played, scenario: Scenario, hidden: bool) -> Played:
    """OpenAI's answer in OpenRouter's words. `hidden`: thinking is kept back."""

    def document(status: int, found: Document) -> Mapping[str, Any]:
        if status != 200:
            return _error(_refusal(status, found["error"], scenario))
        if "choices" not in found:
            return {**found, "provider": VENDOR, "usage": _costly(found["usage"])}
        return _whole(found, hidden)

    def frames(found: Document) -> Iterable[Mapping[str, Any]]:
        return _frames(found, hidden)

    def headers(status: int, given: Headers) -> dict[str, str]:
        limits = by_status(429, scenario).metadata["headers"] if status == 429 else {}
        kept = {name: value for name, value in given.items() if name.startswith("content-")}
        return {**kept, **{name.lower(): value for name, value in limits.items()}}

    return reworded(played, headers, document, frames, before=(PROCESSING,))


def _refusal(status: int, error: Mapping[str, Any], scenario: Scenario) -> Refusal:
    """What OpenRouter makes of an error of the provider behind it."""
    if status in (401, 403, 429, 402, 503):
        return by_status(status, scenario)
    raw = orjson.dumps({"error": error}).decode()
    return Refusal(status, "Provider returned error", {"raw": raw, "provider_name": VENDOR})


def _head(found: Document) -> dict[str, Any]:
    return {
        "id": f"gen-{found['id'].rpartition('-')[2]}",
        "provider": VENDOR,
        "model": found["model"],
        "object": found["object"],
        "created": found["created"],
    }


def _whole(found: Document, hidden: bool) -> dict[str, Any]:
    name = "message" if "message" in found["choices"][0] else "text"
    choices = [_choice(choice, name, hidden) for choice in found["choices"]]
    return {**_head(found), "choices": choices, "usage": _costly(found["usage"])}


def _choice(choice: Mapping[str, Any], name: str, hidden: bool) -> dict[str, Any]:
    said = choice[name]
    reason = choice["finish_reason"]
    return {
        "logprobs": choice.get("logprobs"),
        "finish_reason": reason,
        "native_finish_reason": reason and REASONS.get(reason, reason),
        "index": choice["index"],
        name: _message(said, hidden) if isinstance(said, Mapping) else said,
    }


def _message(said: Mapping[str, Any], hidden: bool) -> dict[str, Any]:
    """A message or a delta: who speaks is said each time, and thinking is told twice."""
    kept = {name: value for name, value in said.items() if name not in ("reasoning_content", "annotations")}
    message: dict[str, Any] = {"role": "assistant", "content": "", **kept}
    thought = None if hidden else said.get("reasoning_content")
    message["reasoning"] = thought
    if thought:
        detail = {"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}
        message["reasoning_details"] = [detail]
    return message


def _frames(found: Document, hidden: bool) -> Iterator[Mapping[str, Any]]:
    if "error" in found:
        yield _broken()
        return
    if not found["choices"]:
        delta = {"role": "assistant", "content": ""}
        last = {"index": 0, "delta": delta, "finish_reason": None, "native_finish_reason": None}
        yield {**_head(found), "choices": [last], "usage": _costly(found["usage"])}
        return
    name = "delta" if "delta" in found["choices"][0] else "text"
    yield {**_head(found), "choices": [_choice(choice, name, hidden) for choice in found["choices"]]}


def _broken() -> dict[str, Any]:
    """How a stream ends whose provider failed."""
    error = {"code": 502, "message": "Provider disconnected unexpectedly"}
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error", "native_finish_reason": "error"}
    head = {
        "id": "gen-broken",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "",
        "provider": VENDOR,
    }
    return {**head, "error": error, "choices": [choice]}


def _costly(usage: Mapping[str, Any]) -> dict[str, Any]:
    cost = round(usage["total_tokens"] * DOLLARS, 9)
    return {
        **usage,
        "cost": cost,
        "is_byok": False,
        "cost_details": {"upstream_inference_cost": None},
    }


def _models(request: HttpRequest, scenario: Scenario) -> Played:
    listed = [_listed(facts, scenario) for facts in scenario.models.get(PROVIDER, ())]
    body = orjson.dumps({"data": listed})
    return whole(200, {"content-type": "application/json"}, body, scenario.head_s)


def _listed(facts: ModelFacts, scenario: Scenario) -> dict[str, Any]:
    can = facts.capabilities or frozenset()
    embeds = "embedding" in can
    extras = [name for name, able in (("tools", "tools" in can), ("reasoning", "thinking" in can)) if able]
    return {
        "id": facts.name,
        "canonical_slug": facts.name,
        "name": facts.name,
        "created": int(scenario.epoch),
        "description": "A simulated model.",
        "context_length": facts.context_length,
        "architecture": {
            "modality": "text->embeddings" if embeds else "text->text",
            "input_modalities": ["text", *(("image",) if "vision" in can else ())],
            "output_modalities": ["embeddings" if embeds else "text"],
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": {"prompt": "0.0000025", "completion": "0.00001", "input_cache_read": "0.00000125"},
        "top_provider": {
            "context_length": facts.context_length,
            "max_completion_tokens": 16384,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": [] if embeds else ["max_tokens", "temperature", "stop", *extras],
    }
