"""OpenAI's `/responses`: a list of items in, a list of items out, and a stream that says each of them several times.

A model that thinks says so by an item of its own: sealed if that was asked for, summed up if that was.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from attrs import define, evolve, field, frozen

from adapters.simulator.logprobs import token_entry
from adapters.simulator.openai_errors import by_status
from adapters.simulator.openai_responses_rules import LEAST_OUTPUT, SEAL, items_of, text_of
from adapters.simulator.openai_rules import Body
from adapters.simulator.openai_sheet import Sheet, answered, digest, sheet_for
from adapters.simulator.played import Chunk, Played
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Delta, Script, thinking_of
from adapters.simulator.script import text_of as said_of
from pipeline.values.events import TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Format, Tool
from pipeline.values.targets import ModelFacts


@frozen
class Item:
    """One item of an answer: its form without what is said in it, and the deltas that say it."""

    kind: str
    id: str
    deltas: tuple[Delta, ...] = ()
    sealed: bool = False


def respond(body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    thinks = "thinking" in (facts.capabilities or ())
    script = scenario.act(_ask(body, thinks))
    sheet = evolve(sheet_for("resp", body, request, scenario), id=f"resp_{digest(request.body)[:48]}")
    frames = _Frames(sheet, script, thinks)
    error = by_status(500).error
    last = _frame("error", {"type": "error", "sequence_number": 0, "error": error})
    return answered(script, sheet, frames.all(), _document(sheet, script, thinks), last)


def _ask(body: Body, thinks: bool) -> Ask:
    items = items_of(body)
    last: Mapping[str, Any] = next((item for item in reversed(items) if item.get("role") == "user"), {})
    content = last.get("content")
    images = [part for part in content if part["type"] == "input_image"] if isinstance(content, list) else []
    answers = items[-1].get("type", "message").endswith("_output")
    limit = body.get("max_output_tokens")
    return Ask(
        text=text_of(last),
        result=text_of(items[-1]) if answers else None,
        tools=() if body.get("tool_choice") == "none" else tuple(_tools(body)),
        format=_format((body.get("text") or {}).get("format")),
        thinking=thinks and (body.get("reasoning") or {}).get("summary") is not None,
        # The least that may be asked for is too little for any answer.
        max_tokens=1 if limit == LEAST_OUTPUT else limit,
        images=len(images),
    )


def _tools(body: Body) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        if tool["type"] == "function":
            yield Tool(tool["name"], parameters=tool["parameters"])


def _format(form: Mapping[str, Any] | None) -> Format | None:
    if form is None or form["type"] == "text":
        return None
    return Format(form["schema"] if form["type"] == "json_schema" else None)


def _items(sheet: Sheet, deltas: tuple[Delta, ...], thinks: bool) -> list[Item]:
    """The items that deltas make: thinking first, then text and calls as they come."""
    random = digest(sheet.id.encode())
    effort = (sheet.body.get("reasoning") or {}).get("effort")
    items: list[Item] = []
    thoughts = tuple(delta for delta in deltas if isinstance(delta, ThinkingDelta))
    if thoughts or (thinks and effort != "none"):
        sealed = "reasoning.encrypted_content" in (sheet.body.get("include") or ())
        items.append(Item("reasoning", f"rs_{random[:48]}", thoughts, sealed))
    said = tuple(delta for delta in deltas if isinstance(delta, TextDelta))
    if said:
        items.append(Item("message", f"msg_{random[:48]}", said))
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    for opening in (delta for delta in calls if delta.id is not None):
        parts = tuple(delta for delta in calls if delta.index == opening.index)
        items.append(Item("function_call", f"fc_{random[opening.index : opening.index + 48]}", parts))
    return items


def _whole(item: Item, body: Body, status: str, told: bool = True) -> dict[str, Any]:
    """An item as an object; `told` False: as it is when nothing of it was said yet."""
    head = {"id": item.id, "type": item.kind}
    if item.kind == "reasoning":
        said = thinking_of(item.deltas) if told else ""
        sealed = {"encrypted_content": SEAL + digest(item.id.encode())} if item.sealed else {}
        return {**head, **sealed, "summary": [{"type": "summary_text", "text": said}] if said else []}
    if item.kind == "message":
        content = [_part(item, body)] if told else []
        return {**head, "status": status, "content": content, "role": "assistant"}
    opening, *rest = (delta for delta in item.deltas if isinstance(delta, ToolCallDelta))
    arguments = "".join(delta.arguments for delta in rest) if told else ""
    called = {"arguments": arguments, "call_id": opening.id, "name": opening.name}
    return {**head, "status": status, **called}


def _part(item: Item, body: Body) -> dict[str, Any]:
    return {
        "type": "output_text",
        "annotations": [],
        "logprobs": [entry for delta in item.deltas for entry in _logprobs(delta, body)],
        "text": said_of(item.deltas),
    }


def _logprobs(delta: Delta, body: Body) -> list[dict[str, Any]]:
    if "message.output_text.logprobs" not in (body.get("include") or ()) or not isinstance(delta, TextDelta):
        return []
    return [token_entry(delta.text, body.get("top_logprobs") or 0)]


def _streamed_logprobs(delta: Delta, body: Body) -> list[dict[str, Any]]:
    """In a stream the provider leaves out the bytes of tokens."""
    return [
        {**_short(entry), "top_logprobs": [_short(other) for other in entry["top_logprobs"]]}
        for entry in _logprobs(delta, body)
    ]


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry["token"], "logprob": entry["logprob"]}


def _frame(kind: str, fields: Mapping[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(fields) + b"\n\n"


@define
class _Frames:
    """The frames of one streamed answer. Mutable: it counts them."""

    sheet: Sheet
    script: Script
    thinks: bool
    _count: int = field(default=0, init=False)

    def all(self) -> Iterator[Chunk]:
        """The frames, each with how many times the pause between deltas it waits."""
        begun = _head(self.sheet, "in_progress")
        yield 0.0, self._event("response.created", response=begun)
        yield 0.0, self._event("response.in_progress", response=begun)
        broken = self.script.breaks_after is not None
        items = _items(self.sheet, self.script.said, self.thinks)
        for place, item in enumerate(items):
            yield from self._item(place, item, broken and item is items[-1])
        if broken:
            return
        document = _document(self.sheet, self.script, self.thinks)
        kind = "response.incomplete" if document["status"] == "incomplete" else "response.completed"
        yield 0.0, self._event(kind, response=document)

    def _event(self, kind: str, **fields: Any) -> bytes:
        told = {"type": kind, "sequence_number": self._count, **fields}
        self._count += 1
        return _frame(kind, told)

    def _item(self, place: int, item: Item, broken: bool) -> Iterator[Chunk]:
        body = self.sheet.body
        opening = _whole(item, body, "in_progress", told=False)
        yield 0.0, self._event("response.output_item.added", output_index=place, item=opening)
        if item.deltas:
            yield from self._told(place, item, broken)
        if not broken:
            done = _whole(item, body, "completed")
            yield 0.0, self._event("response.output_item.done", output_index=place, item=done)

    def _told(self, place: int, item: Item, broken: bool) -> Iterator[Chunk]:
        """What is said in an item: its pieces between the events that open and close its only part."""
        at: dict[str, Any] = {"item_id": item.id, "output_index": place}
        name, part_of, empty, full = self._part_of(item)
        at |= part_of
        if empty is not None:
            yield 0.0, self._event(f"response.{name[0]}.added", **at, part=empty)
        for delta in item.deltas:
            piece = delta.arguments if isinstance(delta, ToolCallDelta) else delta.text
            if piece:
                extra = (
                    {"logprobs": _streamed_logprobs(delta, self.sheet.body)} if item.kind == "message" else {}
                )
                padding = {"obfuscation": digest(piece.encode())[: 1 + len(piece) % 16]}
                yield 1.0, self._event(f"response.{name[1]}.delta", **at, delta=piece, **extra, **padding)
        if broken:
            return
        yield 0.0, self._event(f"response.{name[1]}.done", **at, **full)
        if empty is not None:
            yield 0.0, self._event(f"response.{name[0]}.done", **at, part={**empty, **full})

    def _part_of(
        self, item: Item
    ) -> tuple[tuple[str, str], dict[str, int], dict[str, Any] | None, dict[str, Any]]:
        """Names of the part's and of the pieces' events, where the part is, how it begins, and what it is in full."""
        whole = _whole(item, self.sheet.body, "completed")
        if item.kind == "reasoning":
            names = ("reasoning_summary_part", "reasoning_summary_text")
            return (
                names,
                {"summary_index": 0},
                {"type": "summary_text", "text": ""},
                {"text": whole["summary"][0]["text"]},
            )
        if item.kind == "message":
            full = {key: whole["content"][0][key] for key in ("text", "logprobs")}
            empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
            return ("content_part", "output_text"), {"content_index": 0}, empty, full
        arguments = {"arguments": whole["arguments"], "name": whole["name"]}
        return ("", "function_call_arguments"), {}, None, arguments


def _head(sheet: Sheet, status: str) -> dict[str, Any]:
    """The answer without what is said in it."""
    body = sheet.body
    reasoning = body.get("reasoning") or {}
    return {
        "id": sheet.id,
        "object": "response",
        "created_at": sheet.created,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": sheet.model,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }


def _document(sheet: Sheet, script: Script, thinks: bool) -> dict[str, Any]:
    status = "incomplete" if script.finish == "length" else "completed"
    items = _items(sheet, script.deltas, thinks)
    return {
        **_head(sheet, status),
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "output": [_whole(item, sheet.body, "completed") for item in items],
        "usage": _usage(script),
    }


def _usage(script: Script) -> dict[str, Any]:
    given, made = script.tokens
    thought = sum(isinstance(delta, ThinkingDelta) for delta in script.deltas)
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": script.usage.cached or 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": min(made, script.usage.thinking or thought)},
        "total_tokens": given + made,
    }
