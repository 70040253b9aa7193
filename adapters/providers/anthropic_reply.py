"""Replies in Anthropic's form, as events: /messages, streamed or whole.

A reply is a list of blocks; a stream tells each as a start, deltas and a stop. Both are read by the same steps. Blocks
that only this form knows (server tools and their results, citations) travel as they are.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11), and recorded replies.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, evolve, field

from adapters.framing.frame import Frame
from adapters.providers.anthropic_messages import FORMAT
from adapters.providers.errors import Complaint, complaint
from adapters.providers.replies import Answer, count, made_call_id, parsed, text
from adapters.providers.thoughts import CLAUDE, told
from pipeline.values.events import (
    Event,
    ExtraDelta,
    Finished,
    Reason,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.problems import Kind

END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

_REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Reasons that other forms say just as well.
_PLAIN_REASONS = frozenset({"end_turn", "max_tokens", "tool_use"})
# Of the end, what only this form can say.
_BESIDE = ("stop_sequence", "stop_details", "container")

_ADDRESS = re.compile(r"https?://\S+")
_FIELD = re.compile(r"([a-z_]+(?:\.[\w-]+)*): ")


def spoken(said: Complaint) -> Complaint:
    """What a complaint says, without the addresses of help pages, whose words mean nothing, and with its field."""
    named = _FIELD.match(said.message)
    return evolve(
        said, message=_ADDRESS.sub("", said.message), param=said.param or (named[1] if named else None)
    )


@define
class _Block:
    """One block of the answer, from its start on. `call`: its place among the calls, None if it is none."""

    place: int
    value: Mapping[str, Any]
    kind: str
    call: int | None = None
    pieces: list[str] = field(factory=list)
    signature: str = ""


@define
class MessageAnswer(Answer):
    """One reply of /messages.

    `names`: the client's name of each tool that was sent under another. `answer`: the name of the tool whose input is
    the answer, None if there is none.
    """

    names: Mapping[str, str] = field(factory=dict)
    answer: str | None = None
    id: str | None = field(default=None, init=False)
    _blocks: dict[int, _Block] = field(factory=dict, init=False)
    _calls: int = field(default=0, init=False)
    _spoken: bool = field(default=False, init=False)
    _reason: str | None = field(default=None, init=False)
    _usage: dict[str, Any] = field(factory=dict, init=False)
    _extra: dict[str, Any] = field(factory=dict, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one event of the stream; those of types not known are passed over, as the vendor asks for."""
        chunk = parsed(frame.data)
        if type(chunk) is not dict:
            self.fail(Kind.GARBLED, events)
            return True
        kind = chunk.get("type")
        if kind == "error" or chunk.get("error"):
            self.complain(complaint(chunk), events)
        elif kind == "content_block_delta":
            self._begun(events)
            self._delta(_place(chunk), _object(chunk.get("delta")), events)
        elif kind == "content_block_start":
            self._begun(events)
            self._start(_place(chunk), _object(chunk.get("content_block")), events)
        elif kind == "content_block_stop":
            self._stop(_place(chunk), events)
        elif kind == "message_start":
            if not self.started:
                self._begin(_object(chunk.get("message")), events)
        elif kind == "message_delta":
            self._begun(events)
            self._settle(_object(chunk.get("delta")))
            self._settle(chunk)
        elif kind == "message_stop":
            self._begun(events)
            self._finish(events)
        return True

    def complain(self, said: Complaint, events: list[Event]) -> None:
        """The answer ends with an error the provider told inside it."""
        Answer.complain(self, spoken(said), events)

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        content = document.get("content")
        if type(content) is not list:
            self.fail(Kind.GARBLED, events)
            return
        self._begin(document, events)
        for place, block in enumerate(content):
            if not self.ended:
                self._start(place, _object(block), events)
                self._stop(place, events)
        if not self.ended:
            self._settle(document)
            self._finish(events)

    def close(self, events: list[Event]) -> bytes | None:
        """A stream whose stop reason came is whole without its last event."""
        if self._reason is None:
            return None
        self._finish(events)
        return END

    def _begun(self, events: list[Event]) -> None:
        if not self.started:
            self._begin({}, events)

    def _begin(self, message: Mapping[str, Any], events: list[Event]) -> None:
        self.started = True
        self.id = text(message.get("id")) or None
        self._count(message.get("usage"))
        events.append(Started(text(message.get("model")) or self.model, self.id))

    def _start(self, place: int, value: Mapping[str, Any], events: list[Event]) -> None:
        kind = text(value.get("type"))
        block = self._blocks[place] = _Block(place, value, kind)
        if kind == "text":
            citations = value.get("citations")
            if citations and type(citations) is list:
                events.append(ExtraDelta(FORMAT, {"citations": citations}))
            self._say(text(value.get("text")), events)
        elif kind == "thinking":
            self._think(block, text(value.get("thinking")), events)
            block.signature = text(value.get("signature"))
        elif kind == "redacted_thinking":
            detail = {"type": "reasoning.encrypted", "data": text(value.get("data"))}
            events.append(told({**detail, "format": CLAUDE, "index": place}))
        elif kind == "tool_use":
            self._call(block, events)

    def _call(self, block: _Block, events: list[Event]) -> None:
        name = text(block.value.get("name"))
        if not name:
            # What has no name cannot be called.
            self.fail(Kind.GARBLED, events)
        elif name == self.answer:
            block.kind = "answer"
        else:
            block.call, self._calls = self._calls, self._calls + 1
            id = text(block.value.get("id")) or made_call_id(f"{self.id} {block.call}")
            events.append(ToolCallDelta(block.call, id, self.names.get(name, name)))

    def _delta(self, place: int, delta: Mapping[str, Any], events: list[Event]) -> None:
        kind = delta.get("type")
        if kind == "text_delta":
            self._say(text(delta.get("text")), events)
            return
        block = self._blocks.get(place)
        if kind == "input_json_delta":
            self._input(block, text(delta.get("partial_json")), events)
        elif kind == "thinking_delta":
            self._think(block, text(delta.get("thinking")), events)
        elif kind == "signature_delta":
            if block is not None:
                block.signature += text(delta.get("signature"))
        elif kind == "citations_delta":
            events.append(ExtraDelta(FORMAT, {"citations": [delta.get("citation")]}))
        elif delta:
            events.append(ExtraDelta(FORMAT, {"delta": delta}))

    def _say(self, said: str, events: list[Event]) -> None:
        if said:
            self._spoken = True
            events.append(TextDelta(said))

    def _think(self, block: _Block | None, thought: str, events: list[Event]) -> None:
        if thought:
            events.append(ThinkingDelta(thought))
            if block is not None:
                block.pieces.append(thought)

    def _input(self, block: _Block | None, piece: str, events: list[Event]) -> None:
        if block is None:
            # The call it belongs to was never named.
            self.fail(Kind.GARBLED, events)
        elif piece:
            block.pieces.append(piece)
            if block.call is not None:
                events.append(ToolCallDelta(block.call, arguments=piece))
            elif block.kind == "answer":
                self._say(piece, events)

    def _stop(self, place: int, events: list[Event]) -> None:
        block = self._blocks.pop(place, None)
        if block is None:
            return
        if block.kind == "thinking":
            if block.signature:
                detail = {"type": "reasoning.text", "text": "".join(block.pieces)}
                signed = {"signature": block.signature, "format": CLAUDE, "index": place}
                events.append(told({**detail, **signed}))
        elif block.kind in ("tool_use", "answer"):
            # A whole reply, and some servers' streams, tell the input with the block.
            given = block.value.get("input")
            if not block.pieces:
                self._input(block, orjson.dumps(given or {}).decode(), events)
        elif block.kind not in ("text", "redacted_thinking", ""):
            value = dict(block.value)
            if block.pieces:
                written = "".join(block.pieces)
                value["input"] = parsed(written.encode()) or written
            events.append(ExtraDelta(FORMAT, value))

    def _settle(self, told: Mapping[str, Any]) -> None:
        """Note what is said of the end."""
        self._reason = text(told.get("stop_reason")) or self._reason
        self._count(told.get("usage"))
        for name in _BESIDE:
            if told.get(name) is not None:
                self._extra[name] = told[name]

    def _count(self, usage: Any) -> None:
        """Note the usage; what comes later is more than what came before."""
        if type(usage) is dict:
            self._usage |= {name: value for name, value in usage.items() if value is not None}

    def _finish(self, events: list[Event]) -> None:
        for place in list(self._blocks):
            self._stop(place, events)
        if self.ended:
            return
        reason = _REASONS.get(self._reason or "", "stop")
        if reason == "content_filter" and not self._spoken and not self._calls:
            # Words for those who look at nothing else.
            events.append(RefusalDelta(f"The provider withholds this answer ({self._reason})."))
        usage = usage_of(self._usage)
        if usage is not None:
            events.append(UsageSeen(usage))
        if reason in ("stop", "tool_calls") and self._reason != "stop_sequence":
            # Without a call the only tool that was used is the answer itself.
            reason = "tool_calls" if self._calls else "stop"
        if self._reason is not None and self._reason not in _PLAIN_REASONS:
            self._extra["stop_reason"] = self._reason
        events.append(Finished(reason, (), {FORMAT: self._extra} if self._extra else {}))
        self.ended = True


def usage_of(usage: Mapping[str, Any]) -> Usage | None:
    """What a usage object says; None if it says nothing. What was read from or put into the cache is input as well."""
    fresh, cached = count(usage.get("input_tokens")), count(usage.get("cache_read_input_tokens"))
    stored = count(usage.get("cache_creation_input_tokens"))
    given = [tokens for tokens in (fresh, stored, cached) if tokens is not None]
    details = usage.get("output_tokens_details")
    thinking = count(details.get("thinking_tokens")) if type(details) is dict else None
    seen = Usage(sum(given) if given else None, count(usage.get("output_tokens")), cached, thinking)
    return None if seen == Usage() else seen


def _object(value: Any) -> Mapping[str, Any]:
    return value if type(value) is dict else {}


def _place(chunk: Mapping[str, Any]) -> int:
    place = chunk.get("index")
    return place if type(place) is int else 0
