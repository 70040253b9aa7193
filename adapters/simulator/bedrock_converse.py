"""Converse's answers: blocks, as one document or message by message of a binary event stream."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import orjson
from attrs import evolve

from adapters.framing.eventstream import message
from adapters.simulator.bedrock_errors import Refusal, by_status
from adapters.simulator.bedrock_messages import content_of, text_of
from adapters.simulator.bedrock_rules import Body
from adapters.simulator.played import Chunk, Played, halved, streamed, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Delta, Script, calls_of, thinking_of
from adapters.simulator.script import text_of as said_in
from pipeline.values.events import TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Format, Tool
from pipeline.values.targets import ModelFacts

REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
CORAL = "http://internal.amazon.com/coral/com.amazon.bedrock/"


def converse(body: Body, facts: ModelFacts, stream: bool, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    script = _acted(body, facts, scenario)
    if script.status is not None:
        return refuse(by_status(script.status), request, scenario)
    broken = script.breaks_after is not None
    headers = headers_for(request)
    if stream:
        headers["content-type"] = "application/vnd.amazon.eventstream"
        paced = [(scenario.delta_s * weight, data) for weight, data in _frames(script, scenario)]
        if broken and scenario.broken == "event":
            paced.append((0.0, _exception("modelStreamErrorException", by_status(424).message)))
        return streamed(headers, scenario.head_s, paced, cut=broken and scenario.broken == "reset")
    if broken and scenario.broken == "event":
        return refuse(by_status(500), request, scenario)
    wait_s = scenario.head_s + scenario.delta_s * len(script.deltas)
    played = whole(200, headers, orjson.dumps(_document(script, scenario)), wait_s)
    return halved(played) if broken else played


def refuse(
    refusal: Refusal, request: HttpRequest, scenario: Scenario, extra: Mapping[str, str] | None = None
) -> Played:
    """An error answer."""
    headers = {**headers_for(request), **(extra or {}), "x-amzn-errortype": f"{refusal.name}:{CORAL}"}
    return whole(refusal.status, headers, orjson.dumps({"message": refusal.message}), scenario.head_s)


def headers_for(request: HttpRequest) -> dict[str, str]:
    """The headers of every answer."""
    digest = hashlib.sha256(request.body).hexdigest()
    id = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return {"content-type": "application/json", "x-amzn-requestid": id}


def signature_of(thought: str) -> str:
    """What seals a thought; it only looks like a signature."""
    return base64.b64encode(hashlib.sha256(thought.encode()).digest()).decode()


def _acted(body: Body, facts: ModelFacts, scenario: Scenario) -> Script:
    """The script's answer; a call of the forced tool where no other was made."""
    forced = _forced(body)
    script = scenario.act(_ask(body, facts, forced, scenario))
    if forced is None or script.finish == "tool_calls" or script.status is not None:
        return script
    opening = ToolCallDelta(0, "call_abc12345", forced["name"])
    rest = tuple(
        ToolCallDelta(0, arguments=delta.text) if isinstance(delta, TextDelta) else delta
        for delta in script.deltas
    )
    thoughts = sum(isinstance(delta, ThinkingDelta) for delta in rest)
    return evolve(script, deltas=(*rest[:thoughts], opening, *rest[thoughts:]), finish="tool_calls")


def _specs(body: Body) -> list[Mapping[str, Any]]:
    tools = body.get("toolConfig", {}).get("tools", [])
    return [tool["toolSpec"] for tool in tools if "toolSpec" in tool]


def _forced(body: Body) -> Mapping[str, Any] | None:
    """The tool that must be called, if nothing but a call will do: the named one, or the last."""
    match body.get("toolConfig", {}).get("toolChoice", {}):
        case {"tool": {"name": name}}:
            return next(spec for spec in _specs(body) if spec["name"] == name)
        case {"any": _}:
            return _specs(body)[-1]
    return None


def _ask(body: Body, facts: ModelFacts, forced: Mapping[str, Any] | None, scenario: Scenario) -> Ask:
    messages = body["messages"]
    last: Mapping[str, Any] = next(
        (turn for turn in reversed(messages) if turn["role"] == "user"), {"content": []}
    )
    results = content_of(messages[-1], "toolResult")
    return Ask(
        text=text_of(last["content"]),
        result=text_of(results[-1]["content"]) if results and not text_of(last["content"]) else None,
        tools=tuple(Tool(spec["name"], parameters=spec["inputSchema"]["json"]) for spec in _specs(body)),
        format=_format(body, forced),
        thinking=_thinks(body, facts, scenario),
        max_tokens=body.get("inferenceConfig", {}).get("maxTokens"),
        images=len(content_of(last, "image")),
    )


def _format(body: Body, forced: Mapping[str, Any] | None) -> Format | None:
    """The form of the answer: of a forced call, of the schema that was sent, or just JSON where the system asks for it."""
    if forced is not None:
        return Format(forced["inputSchema"]["json"])
    form = body.get("outputConfig", {}).get("textFormat")
    if form is not None:
        return Format(json.loads(form["structure"]["jsonSchema"]["schema"]))
    return Format() if "JSON" in text_of(body.get("system", [])) else None


def _thinks(body: Body, facts: ModelFacts, scenario: Scenario) -> bool:
    own = body.get("additionalModelRequestFields", {})
    if "thinking" not in (facts.capabilities or ()):
        return False
    told = own.get("thinking") or own.get("reasoningConfig")
    if told is None:
        return "reasoning_effort" in own or scenario.mode == "demonstration"
    return bool(told["type"] != "disabled")


def _document(script: Script, scenario: Scenario) -> dict[str, Any]:
    blocks = [_whole_block(list(deltas)) for _, deltas in groupby(script.deltas, _block_of)]
    return {
        "metrics": {"latencyMs": _latency(scenario)},
        "output": {"message": {"content": blocks, "role": "assistant"}},
        "stopReason": REASONS[script.finish],
        "usage": _usage(script),
    }


def _block_of(delta: Delta) -> tuple[str, int]:
    """What tells one block from the next."""
    match delta:
        case TextDelta():
            return "text", 0
        case ThinkingDelta():
            return "thinking", 0
        case ToolCallDelta(index=index):
            return "call", index


def _whole_block(deltas: list[Delta]) -> dict[str, Any]:
    match deltas[0]:
        case TextDelta():
            return {"text": said_in(deltas)}
        case ThinkingDelta():
            thought = thinking_of(deltas)
            sealed = {"signature": signature_of(thought), "text": thought}
            return {"reasoningContent": {"reasoningText": sealed}}
    (call,) = calls_of(deltas)
    given = json.loads(call.arguments or "{}")
    return {"toolUse": {"input": given, "name": call.name, "toolUseId": call.id}}


def _frames(script: Script, scenario: Scenario) -> Iterator[Chunk]:
    """The messages, each with how many times the pause between deltas it waits."""
    blocks = [list(deltas) for _, deltas in groupby(script.said, _block_of)]
    broken = script.breaks_after is not None
    yield 0.0, _event("messageStart", {"role": "assistant"})
    for place, deltas in enumerate(blocks):
        at = {"contentBlockIndex": place}
        if isinstance(opening := deltas[0], ToolCallDelta):
            use = {"name": opening.name, "toolUseId": opening.id}
            yield 0.0, _event("contentBlockStart", {**at, "start": {"toolUse": use}})
        for delta in _deltas(deltas):
            yield 1.0, _event("contentBlockDelta", {**at, "delta": delta})
        if not broken or place < len(blocks) - 1:
            yield 0.0, _event("contentBlockStop", at)
    if broken:
        return
    yield 0.0, _event("messageStop", {"stopReason": REASONS[script.finish]})
    yield 0.0, _event("metadata", {"metrics": {"latencyMs": _latency(scenario)}, "usage": _usage(script)})


def _deltas(deltas: list[Delta]) -> Iterator[dict[str, Any]]:
    for delta in deltas:
        match delta:
            case TextDelta(text=text):
                yield {"text": text}
            case ThinkingDelta(text=text):
                yield {"reasoningContent": {"text": text}}
            case ToolCallDelta(arguments=arguments):
                # The first of each call is empty.
                yield {"toolUse": {"input": arguments}}
    if isinstance(deltas[0], ThinkingDelta):
        yield {"reasoningContent": {"signature": signature_of(thinking_of(deltas))}}


def _event(name: str, value: Mapping[str, Any]) -> bytes:
    """One message. The provider pads them, so that their lengths tell nothing; this padding only looks as random."""
    digest = hashlib.sha256(orjson.dumps(value)).digest()
    payload = orjson.dumps({**value, "p": PADDING[: 1 + digest[0] % len(PADDING)]})
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, payload)


def _exception(name: str, words: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, orjson.dumps({"message": words}))


def _latency(scenario: Scenario) -> int:
    return round(scenario.head_s * 1000) + 1


def _usage(script: Script) -> dict[str, int]:
    prompt, answer = script.tokens
    cached = min(prompt, script.usage.cached or 0)
    return {
        "inputTokens": prompt - cached,
        "outputTokens": answer,
        "totalTokens": prompt + answer,
        "cacheReadInputTokens": cached,
        "cacheWriteInputTokens": 0,
    }
