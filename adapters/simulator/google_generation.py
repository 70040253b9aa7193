"""Google's generateContent and streamGenerateContent, which differ only in how the answer is cut.

Tool calls come whole. Thoughts are shown to those who ask for them, and counted all the same.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import frozen

from adapters.simulator.google_contents import text_of as words_of
from adapters.simulator.google_errors import by_status
from adapters.simulator.google_rules import OLD, Body
from adapters.simulator.played import Chunk, Played, halved, streamed, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Script, calls_of
from pipeline.values.events import TextDelta, ThinkingDelta
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Format, Tool, ToolCall
from pipeline.values.targets import ModelFacts

JSON = {"content-type": "application/json; charset=UTF-8"}
SSE = {"content-type": "text/event-stream"}
FINISH: Mapping[str, str] = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS"}


@frozen
class _Sheet:
    """What all pieces of one answer share. `id` comes from the request alone: the same request, the same bytes."""

    id: str
    model: str
    script: Script
    choices: range

    @property
    def usage(self) -> dict[str, Any]:
        """What the answer used; the thoughts are counted apart."""
        prompt, made = self.script.tokens
        thought = min(made, sum(isinstance(delta, ThinkingDelta) for delta in self.script.deltas))
        cached = self.script.usage.cached
        return {
            "promptTokenCount": prompt,
            **({"candidatesTokenCount": made - thought} if made > thought else {}),
            "totalTokenCount": prompt + made,
            **({"cachedContentTokenCount": cached} if cached else {}),
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
            **({"thoughtsTokenCount": thought} if thought else {}),
        }

    def document(self, parts: list[dict[str, Any]], finish: str | None) -> dict[str, Any]:
        """One reply with these parts of each choice."""
        end = {} if finish is None else {"finishReason": finish}
        candidates = [
            {"content": {"parts": parts, "role": "model"}, **end, "index": choice} for choice in self.choices
        ]
        return {
            "candidates": candidates,
            "usageMetadata": self.usage,
            "modelVersion": self.model,
            "responseId": self.id,
        }


def generate(
    body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario, stream: bool, framed: bool
) -> Played:
    """What is answered to a request that is in order. `framed`: as server-sent events, else as a list."""
    script = scenario.act(_ask(body, facts))
    if script.status is not None:
        return _refused(script.status, scenario)
    count = (body.get("generationConfig") or {}).get("candidateCount") or 1
    name = scenario.snapshots.get(facts.name, facts.name)
    sheet = _Sheet(hashlib.sha256(request.body).hexdigest()[:22], name, script, range(count))
    pieces = _pieces(script, facts)
    broken = script.breaks_after is not None
    if stream:
        return _stream(sheet, pieces, scenario, framed, broken)
    if broken and scenario.broken == "event":
        return _refused(500, scenario)
    parts = _joined(pieces)
    played = whole(
        200,
        JSON,
        _pretty(sheet.document(parts, FINISH[script.finish])),
        scenario.head_s + scenario.delta_s * len(script.deltas),
    )
    return halved(played) if broken else played


def _refused(status: int, scenario: Scenario) -> Played:
    return whole(status, JSON, _pretty({"error": by_status(status).error}), scenario.head_s)


def _ask(body: Body, facts: ModelFacts) -> Ask:
    contents = body["contents"]
    last: Body = next(
        (content for content in reversed(contents) if content.get("role") != "model" and words_of(content)),
        {"parts": []},
    )
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    results = [part["functionResponse"] for part in contents[-1]["parts"] if "functionResponse" in part]
    mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
    tools = [tool for given in body.get("tools") or () for tool in given.get("functionDeclarations") or ()]
    shown = bool(thinking.get("includeThoughts")) and thinking.get("thinkingBudget") != 0
    return Ask(
        text=words_of(last),
        result=orjson.dumps(results[-1].get("response")).decode() if results else None,
        tools=() if mode == "NONE" else tuple(map(_tool, tools)),
        format=_format(config),
        thinking=shown and "thinking" in (facts.capabilities or ()),
        max_tokens=config.get("maxOutputTokens"),
        images=sum("inlineData" in part or "fileData" in part for part in last["parts"]),
    )


def _tool(tool: Mapping[str, Any]) -> Tool:
    return Tool(tool["name"], parameters=tool.get("parametersJsonSchema") or tool.get("parameters"))


def _format(config: Mapping[str, Any]) -> Format | None:
    if config.get("responseMimeType") != "application/json":
        return None
    return Format(config.get("responseJsonSchema") or config.get("responseSchema"))


def _pieces(script: Script, facts: ModelFacts) -> list[dict[str, Any]]:
    """The parts in the order they come; the first call is signed by a model that thinks."""
    parts: list[dict[str, Any]] = []
    for delta in script.said:
        match delta:
            case TextDelta(text=text):
                parts.append({"text": text})
            case ThinkingDelta(text=text):
                parts.append({"text": text, "thought": True})
    for place, call in enumerate(calls_of(script.said)):
        part = _call(call, facts.name)
        if place == 0 and _signs(facts):
            part["thoughtSignature"] = _signature(call.id)
        parts.append(part)
    if not calls_of(script.said) and _signs(facts) and script.breaks_after is None:
        parts.append({"text": "", "thoughtSignature": _signature(facts.name)})
    return parts


def _signs(facts: ModelFacts) -> bool:
    return "thinking" in (facts.capabilities or ()) or not OLD.match(facts.name)


def _call(call: ToolCall, model: str) -> dict[str, Any]:
    """A call; models before Gemini 3 give it no id."""
    made: dict[str, Any] = {"name": call.name, "args": orjson.loads(call.arguments or "{}")}
    return {"functionCall": made if OLD.match(model) else {**made, "id": call.id}}


def _signature(of: str) -> str:
    return base64.b64encode(hashlib.sha256(of.encode()).digest()).decode()


def _joined(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a whole answer: neighbours of one kind are one."""
    found: list[dict[str, Any]] = []
    for part in parts:
        last = found[-1] if found else {}
        if "text" in part and "text" in last and part.get("thought") == last.get("thought"):
            found[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            found.append(part)
    return found


def _stream(
    sheet: _Sheet, pieces: list[dict[str, Any]], scenario: Scenario, framed: bool, broken: bool
) -> Played:
    chunks = list(_chunks(sheet, pieces, broken))
    if broken and scenario.broken == "event":
        chunks.append({"error": by_status(500).error})
    frames = _frames(chunks) if framed else _listed(chunks, broken)
    paced: list[Chunk] = [(scenario.delta_s, data) for data in frames]
    cut = broken and scenario.broken == "reset"
    return streamed(SSE if framed else JSON, scenario.head_s, paced, cut)


def _chunks(sheet: _Sheet, pieces: list[dict[str, Any]], broken: bool) -> Iterator[dict[str, Any]]:
    """A reply for each part; the last one says why it ends, and after calls that is one of empty words."""
    shown = pieces if broken or (pieces and "functionCall" not in pieces[-1]) else [*pieces, {"text": ""}]
    for place, part in enumerate(shown):
        last = place == len(shown) - 1 and not broken
        yield sheet.document([part], FINISH[sheet.script.finish] if last else None)


def _frames(chunks: list[dict[str, Any]]) -> Iterator[bytes]:
    return (b"data: " + orjson.dumps(chunk) + b"\r\n\r\n" for chunk in chunks)


def _listed(chunks: list[dict[str, Any]], broken: bool) -> Iterator[bytes]:
    for place, chunk in enumerate(chunks):
        yield (b",\r\n" if place else b"[") + _pretty(chunk) + b"\n"
    if not broken:
        yield b"]"


def _pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)
