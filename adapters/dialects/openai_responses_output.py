"""The output of `/v1/responses` as it grows: items, and the events that tell of them.

A stream says each piece several times: as it comes, when its part is done, when its item is done, and when all is done.
One message and one thought are open at a time; calls, whose fragments may interleave, stay open until their arguments
are whole.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.dialects.openai_responses_thoughts import DETAILS, sealed
from adapters.raw_json import object_of
from pipeline.values.events import (
    Event,
    ExtraDelta,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)

FORMAT = "openai.responses"
CHAT = "openai.chat"


@define(eq=False)
class _Part:
    """The open part of a message. `index`: its place there."""

    kind: str
    index: int
    pieces: list[str] = field(factory=list)
    logprobs: list[Mapping[str, Any]] = field(factory=list)
    notes: list[Mapping[str, Any]] = field(factory=list)

    def whole(self) -> dict[str, Any]:
        """The part as it is now."""
        said = "".join(self.pieces)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": said}
        return {"type": "output_text", "annotations": self.notes, "logprobs": self.logprobs, "text": said}


@define(eq=False)
class _Message:
    """The open message; `done`: its parts that are whole."""

    place: int
    id: str
    part: _Part | None = None
    done: list[dict[str, Any]] = field(factory=list)

    def item(self, status: str) -> dict[str, Any]:
        """The message as it is now."""
        content = list(self.done)
        return {
            "id": self.id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }


@define(eq=False)
class _Thought:
    """The open thinking. `seal`: what its vendor wants back."""

    place: int
    id: str
    pieces: list[str] = field(factory=list)
    seal: str | None = None

    def item(self) -> dict[str, Any]:
        """The thinking as it is now."""
        summary = [{"type": "summary_text", "text": "".join(self.pieces)}] if self.pieces else []
        kept = {} if self.seal is None else {"encrypted_content": self.seal}
        return {"id": self.id, "type": "reasoning", **kept, "summary": summary}


@define(eq=False)
class _Call:
    """An open call."""

    place: int
    id: str
    call_id: str
    name: str
    pieces: list[str] = field(factory=list)

    def item(self, status: str) -> dict[str, Any]:
        """The call as it is now."""
        called = {"arguments": "".join(self.pieces), "call_id": self.call_id, "name": self.name}
        return {"id": self.id, "type": "function_call", "status": status, **called}


@define(eq=False)
class Output:
    """All items of one reply. Mutable, owned by that reply.

    `frames`: the events that are still to be sent, if the reply is `streamed`; `count`: how many there were.
    """

    exchange: str
    streamed: bool
    frames: list[bytes] = field(factory=list, init=False)
    count: int = field(default=0, init=False)
    _done: dict[int, dict[str, Any]] = field(factory=dict, init=False)
    _places: int = field(default=0, init=False)
    _message: _Message | None = field(default=None, init=False)
    _thought: _Thought | None = field(default=None, init=False)
    _calls: dict[int, _Call] = field(factory=dict, init=False)
    _called: set[int] = field(factory=set, init=False)
    # The upstream speaks this very form, so what it says in the form of chat it has said already.
    _native: bool = field(default=False, init=False)

    @property
    def items(self) -> list[dict[str, Any]]:
        """The items that are done."""
        return [self._done[place] for place in sorted(self._done)]

    def event(self, kind: str, **fields: Any) -> None:
        """Tell an event."""
        if self.streamed:
            data = orjson.dumps({"type": kind, "sequence_number": self.count, **fields})
            self.frames += (b"event: ", kind.encode(), b"\ndata: ", data, b"\n\n")
            self.count += 1

    def sent(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self.frames)
        self.frames.clear()
        return data

    def take(self, event: Event) -> None:
        """Add what one event says. There is one answer here, so other choices cannot come."""
        match event:
            case TextDelta(text, _, logprobs):
                self._say("output_text", text, logprobs)
            case ThinkingDelta(text):
                self._think(text)
            case RefusalDelta(text):
                self._say("refusal", text)
            case ToolCallDelta():
                self._call(event)
            case ExtraDelta(format, value) if format == DETAILS:
                self._seal(value)
            case ExtraDelta(format, value) if format == FORMAT:
                self._native = True
                self._extra(value)
            case ExtraDelta(format, value) if format == CHAT and not self._native:
                self._extra({"annotations": [_flat(note) for note in _objects(value.get("annotations"))]})

    def close(self, status: str) -> None:
        """No more is coming: whatever is open is done, `completed` or `incomplete`."""
        self._end_thought()
        self._end_message(status)
        for index in sorted(self._calls):
            self._end_call(index, status)

    def _added(self, item: dict[str, Any]) -> None:
        self.event("response.output_item.added", output_index=self._places - 1, item=item)

    def _finished(self, place: int, item: dict[str, Any]) -> None:
        self._done[place] = item
        self.event("response.output_item.done", output_index=place, item=item)

    def _new(self, prefix: str) -> tuple[int, str]:
        place, self._places = self._places, self._places + 1
        return place, f"{prefix}_{self.exchange}_{place}"

    def _say(self, kind: str, piece: str, logprobs: Iterable[Mapping[str, Any]] = ()) -> None:
        message, part = self._speaking(kind)
        part.pieces.append(piece)
        at = {"item_id": message.id, "output_index": message.place, "content_index": part.index}
        if kind == "refusal":
            self.event("response.refusal.delta", **at, delta=piece)
            return
        entries = list(logprobs)
        part.logprobs += entries
        self.event(
            "response.output_text.delta", **at, delta=piece, logprobs=[_short(entry) for entry in entries]
        )

    def _speaking(self, kind: str) -> tuple[_Message, _Part]:
        """The open message and its open part, which is of this kind."""
        message = self._message
        if message is None:
            self._end_thought()
            self._end_whole_calls()
            message = self._message = _Message(*self._new("msg"))
            self._added(message.item("in_progress"))
        if message.part is None or message.part.kind != kind:
            self._end_part(message)
            part = message.part = _Part(kind, len(message.done))
            self._part_event("added", message, part)
        return message, message.part

    def _part_event(self, what: str, message: _Message, part: _Part) -> None:
        at = {"item_id": message.id, "output_index": message.place, "content_index": part.index}
        self.event(f"response.content_part.{what}", **at, part=part.whole())

    def _end_part(self, message: _Message) -> None:
        part = message.part
        if part is None:
            return
        at = {"item_id": message.id, "output_index": message.place, "content_index": part.index}
        whole = part.whole()
        if part.kind == "refusal":
            self.event("response.refusal.done", **at, refusal=whole["refusal"])
        else:
            self.event("response.output_text.done", **at, text=whole["text"], logprobs=whole["logprobs"])
        self._part_event("done", message, part)
        message.done.append(whole)
        message.part = None

    def _end_message(self, status: str = "completed") -> None:
        if self._message is not None:
            self._end_part(self._message)
            self._finished(self._message.place, self._message.item(status))
            self._message = None

    def _think(self, piece: str) -> None:
        thought = self._thinking()
        at = {"item_id": thought.id, "output_index": thought.place, "summary_index": 0}
        if not thought.pieces:
            empty = {"type": "summary_text", "text": ""}
            self.event("response.reasoning_summary_part.added", **at, part=empty)
        thought.pieces.append(piece)
        self.event("response.reasoning_summary_text.delta", **at, delta=piece)

    def _thinking(self) -> _Thought:
        if self._thought is None:
            self._end_message()
            self._end_whole_calls()
            self._thought = _Thought(*self._new("rs"))
            self._added(self._thought.item())
        return self._thought

    def _seal(self, detail: Mapping[str, Any]) -> None:
        """What is to be given back with the thinking; it comes when that is over."""
        self._thinking().seal = sealed(detail)
        self._end_thought()

    def _end_thought(self) -> None:
        thought = self._thought
        if thought is None:
            return
        item = thought.item()
        for part in item["summary"]:
            at = {"item_id": thought.id, "output_index": thought.place, "summary_index": 0}
            self.event("response.reasoning_summary_text.done", **at, text=part["text"])
            self.event("response.reasoning_summary_part.done", **at, part=part)
        self._finished(thought.place, item)
        self._thought = None

    def _call(self, event: ToolCallDelta) -> None:
        call = self._calls.get(event.index)
        if call is None:
            if event.index in self._called:
                # Its arguments were whole already; what comes now can only be blanks.
                return
            self._end_thought()
            self._end_message()
            self._end_whole_calls()
            place, id = self._new("fc")
            call = self._calls[event.index] = _Call(place, id, event.id or id, event.name or "")
            self._called.add(event.index)
            self._added(call.item("in_progress"))
        if event.arguments:
            self._argue(call, event.arguments)

    def _argue(self, call: _Call, piece: str) -> None:
        call.pieces.append(piece)
        self.event(
            "response.function_call_arguments.delta", item_id=call.id, output_index=call.place, delta=piece
        )

    def _end_call(self, index: int, status: str) -> None:
        call = self._calls.pop(index)
        if not "".join(call.pieces).strip():
            # No arguments are an empty object, which is what clients can read.
            self._argue(call, "{}")
        item = call.item(status)
        self.event(
            "response.function_call_arguments.done",
            item_id=call.id,
            output_index=call.place,
            arguments=item["arguments"],
            name=call.name,
        )
        self._finished(call.place, item)

    def _end_whole_calls(self) -> None:
        for index, call in sorted(self._calls.items()):
            if call.pieces and object_of("".join(call.pieces)) is not None:
                self._end_call(index, "completed")

    def _extra(self, value: Mapping[str, Any]) -> None:
        """What only this form can say: notes on the text, and items of other kinds."""
        for note in _objects(value.get("annotations")):
            message, part = self._speaking("output_text")
            self.event(
                "response.output_text.annotation.added",
                item_id=message.id,
                output_index=message.place,
                content_index=part.index,
                annotation_index=len(part.notes),
                annotation=note,
            )
            part.notes.append(note)
        for item in _objects(value.get("output")):
            self._end_thought()
            self._end_message()
            place, _ = self._new("")
            self._added(dict(item))
            self._finished(place, dict(item))


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def _flat(note: Mapping[str, Any]) -> dict[str, Any]:
    """An annotation of chat, where what it says stands one level deeper."""
    kind = note.get("type")
    inner = note.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inner} if isinstance(inner, Mapping) else dict(note)


def _short(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A token entry as streams have it: without its bytes."""
    others = entry.get("top_logprobs")
    ranked = [_bare(other) for other in _objects(others)]
    return {**_bare(entry), "top_logprobs": ranked}


def _bare(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token"), "logprob": entry.get("logprob")}
