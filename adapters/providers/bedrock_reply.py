"""Replies in the form of Converse, as events: streamed or whole.

A reply is a list of blocks; a stream tells each as a start (which texts go without), deltas and a stop, then why it
stopped, and last what it cost. An error ends the stream as a message of its own kind. Blocks that only this form knows
(calls of the provider's own tools and their results, citations) travel as they are: no client could answer them.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html (2026-11).
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.framing.eventstream import EXCEPTION
from adapters.framing.frame import Frame
from adapters.providers.bedrock_errors import problem_named, told
from adapters.providers.errors import WORDS
from adapters.providers.replies import Answer, count, made_call_id, parsed, text
from adapters.providers.thoughts import CLAUDE
from adapters.providers.thoughts import told as detail
from pipeline.values.events import (
    CONTENT,
    Event,
    ExtraDelta,
    Failed,
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
from pipeline.values.problems import Kind, Problem

FORMAT = "bedrock.converse"

_REASONS: Mapping[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "refusal": "content_filter",
}
# Of the end, what has events of its own; `p` is padding.
_TOLD = frozenset({"output", "stopReason", "usage", "p", "role"})
_UNTOLD = Usage()


@define
class _Block:
    """One block of a stream. `call`: its place among the calls; `answer`: its input is the answer.

    `theirs`: it is the provider's own, and travels as it is.
    """

    call: int | None = None
    answer: bool = False
    theirs: dict[str, Any] | None = None
    pieces: list[str] = field(factory=list)
    thought: list[str] = field(factory=list)
    signature: str = ""
    sealed: list[str] = field(factory=list)


@define
class ConverseAnswer(Answer):
    """One reply of /converse or /converse-stream.

    `names`: the client's name of each tool that was sent under another. `answer`: the name of the tool whose input is the
    answer, None if there is none. `seal`: the format of what the model seals of its thinking.
    """

    names: Mapping[str, str] = field(factory=dict)
    answer: str | None = None
    seal: str = CLAUDE
    _blocks: dict[int, _Block] = field(factory=dict, init=False)
    _calls: int = field(default=0, init=False)
    _spoken: bool = field(default=False, init=False)
    _thoughts: int = field(default=0, init=False)
    _stop: str | None = field(default=None, init=False)
    _usage: Usage | None = field(default=None, init=False)
    _extra: dict[str, Any] = field(factory=dict, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one message; those of names not known are passed over."""
        said = parsed(frame.data)
        if frame.event.startswith(EXCEPTION):
            # Its name stands in the headers; there may be no document at all.
            self._refused(frame.event.removeprefix(EXCEPTION).decode("latin-1"), told(said)[1], events)
            return True
        if type(said) is not dict:
            self.fail(Kind.GARBLED, events)
            return True
        if not self.started:
            self.started = True
            events.append(Started(self.model))
        match frame.event:
            case b"contentBlockDelta":
                self._delta(self._block(said), said.get("delta"), events)
            case b"contentBlockStart":
                self._start(self._block(said), said.get("start"), events)
            case b"contentBlockStop":
                self._end(self._blocks.pop(_place(said), None), events)
            case b"messageStop":
                self._stop = text(said.get("stopReason")) or "end_turn"
                self._beside(said)
            case b"metadata":
                self._usage = usage_of(said.get("usage"))
                self._beside(said)
                self._finish(events)
        return True

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        message = _object(_object(document.get("output")).get("message"))
        content = message.get("content")
        if type(content) is not list:
            name, words = told(document)
            if name or words:
                self._refused(name, words, events)
            else:
                self.fail(Kind.GARBLED, events)
            return
        self.started = True
        events.append(Started(self.model))
        for block in content:
            if type(block) is dict and not self.ended:
                self._told(block, events)
        if self.ended:
            return
        self._stop = text(document.get("stopReason"))
        self._usage = usage_of(document.get("usage"))
        self._beside(document)
        self._finish(events)

    def close(self, events: list[Event]) -> bytes | None:
        """A stream that said why it stopped is whole without its last message."""
        if self._stop is None:
            return None
        self._finish(events)
        return b""

    def _refused(self, name: str, words: str, events: list[Event]) -> None:
        """The answer ends with an error of the provider."""
        if self.content or any(isinstance(event, CONTENT) for event in events):
            self.fail(Kind.STREAM_ERROR, events)
            return
        self.ended = True
        known = problem_named(name, words, {})
        events.append(Failed(known or Problem(Kind.SERVER, WORDS[Kind.SERVER])))

    def _block(self, said: Mapping[str, Any]) -> _Block:
        place = _place(said)
        block = self._blocks.get(place)
        if block is None:
            block = self._blocks[place] = _Block()
        return block

    def _start(self, block: _Block, start: Any, events: list[Event]) -> None:
        start = _object(start)
        use = start.get("toolUse")
        if type(use) is dict:
            self._call(block, use, events)
        elif start:
            block.theirs = start

    def _call(self, block: _Block, use: Mapping[str, Any], events: list[Event]) -> None:
        name = text(use.get("name"))
        if use.get("type") == "server_tool_use":
            block.theirs = {"toolUse": dict(use)}
        elif not name:
            self.fail(Kind.GARBLED, events)
        elif name == self.answer:
            block.answer = True
        else:
            block.call, self._calls = self._calls, self._calls + 1
            id = text(use.get("toolUseId")) or made_call_id(f"{self.model} {block.call}")
            events.append(ToolCallDelta(block.call, id, self.names.get(name, name)))

    def _delta(self, block: _Block, delta: Any, events: list[Event]) -> None:
        if type(delta) is not dict:
            return
        said = delta.get("text")
        if type(said) is str:
            if said:
                # Nearly every message of nearly every stream.
                self._spoken = True
                events.append(TextDelta(said))
        elif type(use := delta.get("toolUse")) is dict:
            self._argue(block, text(use.get("input")), events)
        elif type(thought := delta.get("reasoningContent")) is dict:
            self._think(block, thought, events)
        elif block.theirs is not None:
            block.theirs.setdefault("deltas", []).append(delta)
        elif delta:
            events.append(ExtraDelta(FORMAT, delta))

    def _argue(self, block: _Block, piece: str, events: list[Event]) -> None:
        if block.theirs is not None:
            block.pieces.append(piece)
        elif block.answer:
            if piece:
                self._spoken = True
                events.append(TextDelta(piece))
        elif block.call is None:
            self.fail(Kind.GARBLED, events)
        elif piece:
            block.pieces.append(piece)
            events.append(ToolCallDelta(block.call, arguments=piece))

    def _think(self, block: _Block, thought: Mapping[str, Any], events: list[Event]) -> None:
        if said := text(thought.get("text")):
            block.thought.append(said)
            events.append(ThinkingDelta(said))
        block.signature += text(thought.get("signature"))
        if sealed := text(thought.get("redactedContent")):
            block.sealed.append(sealed)

    def _end(self, block: _Block | None, events: list[Event]) -> None:
        """A block is over: what can only be told as a whole is told now."""
        if block is None:
            return
        if block.call is not None and not block.pieces:
            # A call without arguments comes without pieces.
            events.append(ToolCallDelta(block.call, arguments="{}"))
        if block.theirs is not None:
            use = block.theirs.get("toolUse")
            if block.pieces and type(use) is dict:
                joined = "".join(block.pieces)
                use["input"] = parsed(joined.encode()) or joined
            events.append(ExtraDelta(FORMAT, block.theirs))
        if block.signature:
            words = "".join(block.thought)
            self._seal({"type": "reasoning.text", "text": words, "signature": block.signature}, events)
        if block.sealed:
            data = "".join(map(unwrapped, block.sealed) if self.seal == CLAUDE else block.sealed)
            self._seal({"type": "reasoning.encrypted", "data": data}, events)

    def _seal(self, known: dict[str, Any], events: list[Event]) -> None:
        """Thinking that the model wants back as it is."""
        events.append(detail({**known, "format": self.seal, "index": self._thoughts}))
        self._thoughts += 1

    def _told(self, told: dict[str, Any], events: list[Event]) -> None:
        """One block of a whole reply."""
        block = _Block()
        if type(said := told.get("text")) is str:
            if said:
                self._spoken = True
                events.append(TextDelta(said))
        elif type(use := told.get("toolUse")) is dict:
            given = orjson.dumps(use.get("input")).decode() if "input" in use else ""
            self._call(block, use, events)
            if block.theirs is None and not self.ended:
                self._argue(block, given, events)
        elif type(thought := told.get("reasoningContent")) is dict:
            self._think(block, {**thought, **_object(thought.get("reasoningText"))}, events)
        elif type(cited := told.get("citationsContent")) is dict:
            self._cited(cited, events)
        elif told:
            block.theirs = told
        self._end(block, events)

    def _cited(self, cited: dict[str, Any], events: list[Event]) -> None:
        """Words with their sources: the words are the answer's, the sources only this form can tell."""
        content = cited.get("content")
        for piece in content if type(content) is list else ():
            if said := text(_object(piece).get("text")):
                self._spoken = True
                events.append(TextDelta(said))
        if cited.get("citations"):
            events.append(ExtraDelta(FORMAT, {"citationsContent": cited}))

    def _beside(self, said: Mapping[str, Any]) -> None:
        """Keep what is told beside the answer: metrics, traces of guardrails, tiers."""
        for name, value in said.items():
            if name not in _TOLD and value is not None:
                self._extra[name] = value

    def _finish(self, events: list[Event]) -> None:
        for block in self._blocks.values():
            self._end(block, events)
        reason = self._reason()
        if reason == "content_filter" and not self._spoken and not self._calls:
            # Words for those who look at nothing else.
            events.append(RefusalDelta(f"The provider withholds this answer ({self._stop})."))
        if self._usage is not None:
            events.append(UsageSeen(self._usage))
        extra = {FORMAT: self._extra} if self._extra else {}
        events.append(Finished(reason, extra=extra))
        self.ended = True

    def _reason(self) -> Reason:
        reason = _REASONS.get(self._stop or "", "stop")
        if reason == "tool_calls" and not self._calls:
            # The call it speaks of was the answer, or one of the provider's own.
            return "stop"
        return "tool_calls" if reason == "stop" and self._calls else reason


def usage_of(usage: Any) -> Usage | None:
    """What Converse counted; None if nothing. Its input leaves out what the cache gave and took."""
    if type(usage) is not dict:
        return None
    fresh, read, written = (
        count(usage.get(name)) for name in ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    )
    input = None if fresh is None else fresh + (read or 0) + (written or 0)
    seen = Usage(input, count(usage.get("outputTokens")), read)
    return None if seen == _UNTOLD else seen


def _place(said: Mapping[str, Any]) -> int:
    return count(said.get("contentBlockIndex")) or 0


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def unwrapped(sealed: str) -> str:
    """What is sealed as Claude itself would have given it: here it is wrapped in base64 once more."""
    try:
        return base64.b64decode(sealed, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return sealed
