"""What all OpenAI answers share: headers, ids, frames, refusals, and the choice between a stream and one document."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import frozen

from adapters.simulator.openai_errors import Refusal, by_status
from adapters.simulator.openai_rules import Body
from adapters.simulator.played import Chunk, Played, halved, streamed, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Script
from pipeline.values.http import Headers, HttpRequest

DONE = b"data: [DONE]\n\n"


@frozen
class Sheet:
    """What all frames of one answer share. `id` comes from the request alone: the same request, the same bytes."""

    id: str
    model: str
    created: int
    body: Body
    request: HttpRequest
    scenario: Scenario

    @property
    def counts(self) -> bool:
        """Whether the client asked for usage in the stream."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def choices(self) -> range:
        """The indexes of the answers asked for."""
        return range(self.body.get("n") or 1)


def sheet_for(prefix: str, body: Body, request: HttpRequest, scenario: Scenario) -> Sheet:
    """The sheet of the answer to `request`."""
    model = scenario.snapshots.get(body["model"], body["model"])
    id = f"{prefix}-{digest(request.body)[:29]}"
    return Sheet(id, model, int(scenario.epoch), body, request, scenario)


def headers_for(request: HttpRequest, scenario: Scenario) -> dict[str, str]:
    """The headers of every answer to a model call."""
    quota = scenario.quota
    return {
        "content-type": "application/json",
        "openai-processing-ms": str(round(scenario.head_s * 1000)),
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": str(quota.requests),
        "x-ratelimit-limit-tokens": str(quota.tokens),
        "x-ratelimit-remaining-requests": str(quota.requests_left),
        "x-ratelimit-remaining-tokens": str(quota.tokens_left),
        "x-ratelimit-reset-requests": f"{8.64 * (quota.requests - quota.requests_left):.4g}s",
        "x-ratelimit-reset-tokens": "4ms",
        "x-request-id": f"req_{digest(request.body)[:32]}",
    }


def digest(data: bytes) -> str:
    """What looks random and is not."""
    return hashlib.sha256(data).hexdigest()


def pretty(value: Any) -> bytes:
    """A whole document, laid out as the provider does."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def frame(value: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def refuse(
    refusal: Refusal, request: HttpRequest, scenario: Scenario, extra: Headers | None = None
) -> Played:
    """An error answer."""
    kind = {"content-type": "application/json; charset=utf-8"}
    headers = {**headers_for(request, scenario), **(extra or {}), **kind}
    return whole(refusal.status, headers, pretty({"error": refusal.error}), scenario.head_s)


def answered(
    script: Script,
    sheet: Sheet,
    frames: Iterator[Chunk],
    document: Mapping[str, Any],
    failure: bytes | None = None,
) -> Played:
    """The answer in the asked form: refused, streamed or in one piece, and broken if the script says so.

    `frames`: each with how many times the pause between deltas it waits. `failure`: the event of a stream that breaks,
    where it is not the usual one.
    """
    scenario, broken = sheet.scenario, script.breaks_after is not None
    if script.status is not None:
        return refuse(by_status(script.status), sheet.request, scenario)
    headers = headers_for(sheet.request, scenario)
    if sheet.body.get("stream"):
        headers["content-type"] = "text/event-stream; charset=utf-8"
        paced = [(scenario.delta_s * weight, data) for weight, data in frames]
        if broken and scenario.broken == "event":
            paced.append((0.0, failure or frame({"error": by_status(500).error})))
        return streamed(headers, scenario.head_s, paced, cut=broken and scenario.broken == "reset")
    if broken and scenario.broken == "event":
        return refuse(by_status(500), sheet.request, scenario)
    wait_s = scenario.head_s + scenario.delta_s * len(script.deltas)
    played = whole(200, headers, pretty(document), wait_s)
    return halved(played) if broken else played
