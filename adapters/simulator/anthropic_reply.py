"""Anthropic's answers to `/messages`: blocks, as one document or event by event."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import orjson
from attrs import evolve, frozen

from adapters.simulator.anthropic_errors import Refusal, by_status
from adapters.simulator.anthropic_messages import blocks_of, signature_of, text_of
from adapters.simulator.anthropic_rules import ADAPTIVE_ALONE, Body, thinking_on
from adapters.simulator.played import Chunk, Played, halved, streamed, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Delta, Script, calls_of, thinking_of
from adapters.simulator.script import text_of as said_in
from pipeline.values.events import TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.values.http import Headers, HttpRequest
from pipeline.values.messages import Format, Tool
from pipeline.values.targets import ModelFacts

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


@frozen
class Sheet:
    """What all events of one answer share. `id` comes from the request alone. `shows`: thinking is told in words."""

    id: str
    model: str
    shows: bool
    body: Body
    request: HttpRequest
    scenario: Scenario


def message(body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    script = _acted(body, facts, scenario)
    if script.status is not None:
        return refuse(by_status(script.status), request, scenario)
    shown = (body.get("thinking") or {}).get("display", "omitted" if ADAPTIVE_ALONE.match(facts.name) else "")
    id = f"msg_{_digest(request.body)[:24]}"
    model = scenario.snapshots.get(body["model"], body["model"])
    sheet = Sheet(id, model, shown != "omitted", body, request, scenario)
    return _answered(script, sheet)


def refuse(
    refusal: Refusal, request: HttpRequest, scenario: Scenario, extra: Headers | None = None
) -> Played:
    """An error answer."""
    headers = {**headers_for(request, scenario), **(extra or {}), "content-type": "application/json"}
    document = refusal.document(headers["request-id"])
    return whole(refusal.status, headers, orjson.dumps(document), scenario.head_s)


def headers_for(request: HttpRequest, scenario: Scenario) -> dict[str, str]:
    """The headers of every answer to a model call."""
    quota = scenario.quota
    full = datetime.fromtimestamp(scenario.epoch + 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    limits = {
        "requests": (quota.requests, quota.requests_left),
        "tokens": (quota.tokens, quota.tokens_left),
        "input-tokens": (quota.tokens, quota.tokens_left),
        "output-tokens": (quota.tokens, quota.tokens_left),
    }
    headers = {"content-type": "application/json", "request-id": f"req_{_digest(request.body)[:24]}"}
    for name, (most, left) in limits.items():
        headers[f"anthropic-ratelimit-{name}-limit"] = str(most)
        headers[f"anthropic-ratelimit-{name}-remaining"] = str(left)
        headers[f"anthropic-ratelimit-{name}-reset"] = full
    return headers


def _digest(data: bytes) -> str:
    """What looks random and is not."""
    return hashlib.sha256(data).hexdigest()


def _acted(body: Body, facts: ModelFacts, scenario: Scenario) -> Script:
    """The script's answer; a call of the forced tool where no other was made."""
    forced = _forced(body)
    script = scenario.act(_ask(body, facts, forced))
    if forced is None or script.finish == "tool_calls" or script.status is not None:
        return script
    opening = ToolCallDelta(0, "call_abc12345", forced["name"])
    rest = tuple(
        ToolCallDelta(0, arguments=delta.text) if isinstance(delta, TextDelta) else delta
        for delta in script.deltas
    )
    thoughts = sum(isinstance(delta, ThinkingDelta) for delta in rest)
    return evolve(script, deltas=(*rest[:thoughts], opening, *rest[thoughts:]), finish="tool_calls")


def _forced(body: Body) -> Mapping[str, Any] | None:
    """The tool that must be called, if nothing but a call will do: the named one, or the last."""
    choice, tools = body.get("tool_choice") or {}, body.get("tools") or []
    if choice.get("type") == "tool":
        tools = [tool for tool in tools if tool["name"] == choice["name"]]
    forced: Mapping[str, Any] | None = tools[-1] if choice.get("type") in ("tool", "any") else None
    return forced


def _ask(body: Body, facts: ModelFacts, forced: Mapping[str, Any] | None) -> Ask:
    messages = body["messages"]
    last: Mapping[str, Any] = next(
        (turn for turn in reversed(messages) if turn["role"] == "user"), {"content": ""}
    )
    blocks = blocks_of(messages[-1])
    results = [block for block in blocks if block["type"] == "tool_result"]
    tools = () if (body.get("tool_choice") or {}).get("type") == "none" else body.get("tools") or ()
    form = (body.get("output_config") or {}).get("format")
    format = None if form is None else Format(form["schema"])
    return Ask(
        text=text_of(last),
        result=_result(results[-1]) if results and not text_of(last) else None,
        tools=tuple(Tool(tool["name"], parameters=tool["input_schema"]) for tool in tools),
        format=format if forced is None else Format(forced["input_schema"]),
        thinking=thinking_on(body, facts),
        max_tokens=body["max_tokens"],
        images=sum(block["type"] == "image" for block in blocks_of(last)),
    )


def _result(block: Mapping[str, Any]) -> str:
    content = block.get("content", "")
    return content if isinstance(content, str) else text_of({"content": content})


def _answered(script: Script, sheet: Sheet) -> Played:
    scenario, broken = sheet.scenario, script.breaks_after is not None
    headers = headers_for(sheet.request, scenario)
    if sheet.body.get("stream"):
        headers["content-type"] = "text/event-stream; charset=utf-8"
        paced = [(scenario.delta_s * weight, data) for weight, data in _frames(script, sheet)]
        if broken and scenario.broken == "event":
            paced.append((0.0, _frame(by_status(529).document(headers["request-id"]))))
        return streamed(headers, scenario.head_s, paced, cut=broken and scenario.broken == "reset")
    if broken and scenario.broken == "event":
        return refuse(by_status(500), sheet.request, scenario)
    wait_s = scenario.head_s + scenario.delta_s * len(script.deltas)
    played = whole(200, headers, orjson.dumps(_document(script, sheet)), wait_s)
    return halved(played) if broken else played


def _document(script: Script, sheet: Sheet) -> dict[str, Any]:
    blocks = [_whole_block(list(deltas), sheet) for _, deltas in groupby(script.deltas, _block_of)]
    return {
        **_head(sheet, _usage(script)),
        "content": blocks,
        "stop_reason": REASONS[script.finish],
        "stop_sequence": None,
    }


def _head(sheet: Sheet, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": sheet.model,
        "id": sheet.id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _block_of(delta: Delta) -> tuple[str, int]:
    """What tells one block from the next."""
    match delta:
        case TextDelta():
            return "text", 0
        case ThinkingDelta():
            return "thinking", 0
        case ToolCallDelta(index=index):
            return "tool_use", index


def _whole_block(deltas: list[Delta], sheet: Sheet) -> dict[str, Any]:
    match deltas[0]:
        case TextDelta():
            return {"type": "text", "text": said_in(deltas)}
        case ThinkingDelta():
            thought = thinking_of(deltas) if sheet.shows else ""
            return {"type": "thinking", "thinking": thought, "signature": signature_of(thought)}
    (call,) = calls_of(deltas)
    return {**_opening(deltas[0], sheet), "input": json.loads(call.arguments or "{}")}


def _opening(delta: Delta, sheet: Sheet) -> dict[str, Any]:
    """A block as it is before any of its deltas."""
    match delta:
        case TextDelta():
            return {"type": "text", "text": ""}
        case ThinkingDelta():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case ToolCallDelta(id=id, name=name):
            call: dict[str, Any] = {"type": "tool_use", "id": id, "name": name, "input": {}}
            return {**call, "caller": {"type": "direct"}}


def _frames(script: Script, sheet: Sheet) -> Iterator[Chunk]:
    """The events, each with how many times the pause between deltas it waits."""
    usage, broken = _usage(script), script.breaks_after is not None
    blocks = [list(deltas) for _, deltas in groupby(script.said, _block_of)]
    yield 0.0, _frame({"type": "message_start", "message": _head(sheet, {**usage, "output_tokens": 1})})
    for place, deltas in enumerate(blocks):
        block = _opening(deltas[0], sheet)
        yield 0.0, _frame({"type": "content_block_start", "index": place, "content_block": block})
        if not place:
            yield 0.0, _frame({"type": "ping"})
        for delta in _deltas(deltas, sheet):
            yield 1.0, _frame({"type": "content_block_delta", "index": place, "delta": delta})
        if not broken or place < len(blocks) - 1:
            yield 0.0, _frame({"type": "content_block_stop", "index": place})
    if broken:
        return
    end = {"stop_reason": REASONS[script.finish], "stop_sequence": None}
    yield 0.0, _frame({"type": "message_delta", "delta": end, "usage": usage})
    yield 0.0, _frame({"type": "message_stop"})


def _deltas(deltas: list[Delta], sheet: Sheet) -> Iterator[dict[str, Any]]:
    for delta in deltas:
        match delta:
            case TextDelta(text=text):
                yield {"type": "text_delta", "text": text}
            case ThinkingDelta(text=text) if sheet.shows:
                yield {"type": "thinking_delta", "thinking": text}
            case ToolCallDelta(arguments=arguments):
                # The first of each call is empty.
                yield {"type": "input_json_delta", "partial_json": arguments}
    if isinstance(deltas[0], ThinkingDelta):
        thought = thinking_of(deltas) if sheet.shows else ""
        yield {"type": "signature_delta", "signature": signature_of(thought)}


def _frame(value: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    return b"event: " + str(value["type"]).encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"


def _usage(script: Script) -> dict[str, Any]:
    prompt, answer = script.tokens
    cached = min(prompt, script.usage.cached or 0)
    thought = script.usage.thinking or sum(isinstance(delta, ThinkingDelta) for delta in script.deltas)
    return {
        "input_tokens": prompt - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": answer,
        "output_tokens_details": {"thinking_tokens": min(answer, thought)},
        "service_tier": "standard",
    }
