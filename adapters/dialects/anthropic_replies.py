"""Replies of `/v1/messages`: the events of a stream, or one message.

A message is a list of blocks, each told from its start to its stop before the next begins. So while a tool call is not
yet whole, what belongs to other blocks waits; with providers that tell one call after the other nothing ever does.
Every reply is made of the same steps, which a stream tells one by one, and a whole reply puts together.
Source: https://platform.claude.com/docs/en/build-with-claude/streaming (2026-11), and recorded replies.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import orjson
from attrs import define, field

from adapters.dialects.anthropic_blocks import FORMAT
from adapters.dialects.anthropic_details import CLAUDE, DETAILS, packed
from adapters.dialects.anthropic_errors import JSON, error_value, shown_id
from adapters.dialects.names import sent_name
from adapters.raw_json import object_of
from pipeline.ports import Answer
from pipeline.values.events import (
    Batch,
    Event,
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    joined,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.sizes import input_tokens

Step: TypeAlias = dict[str, Any]

SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
# A step that is a piece of text, around that text.
TEXT = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
TEXT_END = b"}}\n\n"
REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
UNFIT_FOR_IDS = re.compile(r"[^a-zA-Z0-9_-]")

# What is looked for in an upstream's own bytes; inside a JSON string the quotes would be escaped.
STARTED, STOPPED, SETTLED = b'"content_block_start"', b'"content_block_stop"', b'"message_delta"'
INDEX = re.compile(rb'"index"\s*:\s*(\d+)')
KIND = re.compile(rb'"content_block"\s*:\s*\{[^{}]*?"type"\s*:\s*"(\w+)"')
# The call of a block that an upstream's bytes have opened, until a fragment tells.
SOME_CALL = -1


@define
class Writing:
    """How far the writing of one reply has come. Mutable, owned by one reply, and handed back as its own next state.

    `verbatim`: the upstream's bytes stand for its events; None until the upstream has begun. `place` and `kind`: the
    open block, or the next one where `kind` is empty. `call`: the open call, `arguments` its text so far; `made`: all
    calls that were told; `held`: what waits for its end.
    """

    exchange: str
    request: Request
    verbatim: bool | None = field(default=None, init=False)
    place: int = field(default=0, init=False)
    kind: str = field(default="", init=False)
    call: int = field(default=SOME_CALL, init=False)
    arguments: list[str] = field(factory=list, init=False)
    made: set[int] = field(factory=set, init=False)
    held: list[Event] = field(factory=list, init=False)
    refused: bool = field(default=False, init=False)
    settled: bool = field(default=False, init=False)
    usage: Usage | None = field(default=None, init=False)
    ended: bool = field(default=False, init=False)
    # The upstream's own words on the block it opened last.
    _opened: bytes = field(default=b"", init=False)

    def passed(self, batch: Batch, data: bytes) -> bytes:
        """The upstream's own bytes, and the end where it gave none."""
        start, stop = data.rfind(STARTED), data.rfind(STOPPED)
        if start >= 0:
            self._opened = data[data.rfind(b"\n", 0, start) + 1 :].partition(b"\n")[0]
            self.kind = "?"
        if stop > start:
            self.kind = ""
        self.settled = self.settled or SETTLED in data
        self.ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
        return data if not self.ended or b'"message_stop"' in data else data + STOP

    def take_over(self) -> None:
        """From here on the bytes are ours: find out in which block the upstream's have left us."""
        self.verbatim = False
        if not self._opened:
            return
        index, kind = INDEX.search(self._opened), KIND.search(self._opened)
        self.place = int(index[1]) if index else 0
        if self.kind:
            self.kind = kind[1].decode() if kind else "text"
        else:
            self.place += 1

    def take(self, event: Event, steps: list[Step]) -> None:
        """The steps that tell an event."""
        if self.kind == "tool_use" and self._waits(event):
            self.held.append(event)
            return
        match event:
            case Started(model):
                steps.append({"type": "message_start", "message": self._message(model)})
            case TextDelta(text, 0):
                self._say(text, steps)
            case RefusalDelta(text, 0):
                self.refused = True
                self._say(text, steps)
            case ThinkingDelta(text, 0):
                self._open("thinking", {"thinking": "", "signature": ""}, steps)
                self._delta({"type": "thinking_delta", "thinking": text}, steps)
            case ToolCallDelta(choice=0):
                self._fragment(event, steps)
            case ExtraDelta(format, value, 0) if format == DETAILS:
                self._detail(value, steps)
            case ExtraDelta(format, value, 0) if format == FORMAT:
                self._own(value, steps)
            case UsageSeen(usage):
                self.usage = usage
            case Finished():
                self._finish(event, steps)
            case Failed(problem):
                error = error_value(problem, sent_name(self.request), self.exchange)
                steps.append(error)
                self.ended = True

    def _message(self, model: str) -> Step:
        """The message before anything is said. Its usage is a guess, until the end tells the true one."""
        return {
            "id": f"msg_{self.exchange}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(Usage(input_tokens(self.request), 0)),
        }

    def _open(self, kind: str, value: Mapping[str, Any], steps: list[Step]) -> None:
        """Begin a block, unless one of its kind is open."""
        if self.kind != kind:
            self._new(kind, value, steps)

    def _new(self, kind: str, value: Mapping[str, Any], steps: list[Step]) -> None:
        self._close(steps)
        self.kind = kind
        block = {"type": kind, **value}
        steps.append({"type": "content_block_start", "index": self.place, "content_block": block})

    def _close(self, steps: list[Step]) -> None:
        if self.kind:
            steps.append({"type": "content_block_stop", "index": self.place})
            self.place, self.kind, self.call = self.place + 1, "", SOME_CALL
            self.arguments.clear()

    def _delta(self, delta: Mapping[str, Any], steps: list[Step]) -> None:
        steps.append({"type": "content_block_delta", "index": self.place, "delta": delta})

    def _say(self, text: str, steps: list[Step]) -> None:
        self._open("text", {"text": ""}, steps)
        self._delta({"type": "text_delta", "text": text}, steps)

    def _waits(self, event: Event) -> bool:
        """Whether an event belongs to another block than the call that is open and not yet whole."""
        if isinstance(event, ToolCallDelta):
            if event.name is None and self.call == SOME_CALL:
                self.call = event.index
            if event.index == self.call or event.choice:
                return False
        elif not isinstance(event, TextDelta | RefusalDelta | ThinkingDelta | ExtraDelta):
            return False
        return bool(self.held) or not self._whole()

    def _whole(self) -> bool:
        # A call that has said nothing yet may still do so.
        return bool(self.arguments) and object_of("".join(self.arguments)) is not None

    def _fragment(self, event: ToolCallDelta, steps: list[Step]) -> None:
        if event.index != self.call or self.kind != "tool_use":
            if event.index in self.made:
                # Of a call that is whole nothing but white space can come.
                return
            named = {"id": UNFIT_FOR_IDS.sub("_", event.id or ""), "name": event.name or "", "input": {}}
            self._new("tool_use", named, steps)
            self.call = event.index
            self.made.add(event.index)
        if event.arguments:
            self.arguments.append(event.arguments)
            self._delta({"type": "input_json_delta", "partial_json": event.arguments}, steps)
            if self.held and self._whole():
                self._release(steps)

    def _release(self, steps: list[Step]) -> None:
        """Tell what has waited for the end of the open call."""
        self._close(steps)
        held, self.held = self.held, []
        for event in held:
            self.take(event, steps)

    def _detail(self, detail: Mapping[str, Any], steps: list[Step]) -> None:
        """What is to be given back with the thinking: a signature ends its block, other things are blocks."""
        match detail if detail.get("format") == CLAUDE else {}:
            case {"type": "reasoning.text", "signature": str(signature)}:
                if self.kind != "thinking" and detail.get("text"):
                    # Its words were told long ago, or are not to be told.
                    self._carry(packed(detail), steps)
                    return
                self._open("thinking", {"thinking": "", "signature": ""}, steps)
                self._delta({"type": "signature_delta", "signature": signature}, steps)
                self._close(steps)
            case {"type": "reasoning.encrypted", "data": str(data)}:
                self._carry(data, steps)
            case _ if (
                self.kind == "text" and "id" not in detail and detail.get("type") == "reasoning.encrypted"
            ):
                # A signature of words alone, which nobody insists on: clients take the last block for the answer.
                return
            case _:
                self._carry(packed(detail), steps)

    def _carry(self, data: str, steps: list[Step]) -> None:
        self._new("redacted_thinking", {"data": data}, steps)
        self._close(steps)

    def _own(self, value: Mapping[str, Any], steps: list[Step]) -> None:
        """What only this form can say: citations of a text, deltas nobody else knows, whole blocks."""
        match value:
            case {"citations": list(citations)}:
                self._open("text", {"text": ""}, steps)
                for citation in citations:
                    self._delta({"type": "citations_delta", "citation": citation}, steps)
            case {"delta": dict(delta)}:
                if self.kind:
                    self._delta(delta, steps)
            case {"type": str(kind)}:
                self._new(kind, value, steps)
                self._close(steps)

    def _finish(self, finished: Finished, steps: list[Step]) -> None:
        """What has waited, how it ended, and the true usage."""
        while self.held:
            self._release(steps)
        self._close(steps)
        if not self.settled:
            told = dict(finished.extra.get(FORMAT, {}))
            reason = told.pop("stop_reason", None) or self._reason(finished)
            delta = {"stop_reason": reason, "stop_sequence": told.pop("stop_sequence", None), **told}
            usage = usage_of(self.usage or Usage(output=0))
            steps.append({"type": "message_delta", "delta": delta, "usage": usage})
        steps.append({"type": "message_stop"})
        self.ended = True

    def _reason(self, finished: Finished) -> str:
        if self.refused and finished.reason == "stop":
            return "refusal"
        # Some providers stop plainly after calls; clients look for the calls only where the reason names them.
        if finished.reason == "stop" and self.made:
            return "tool_use"
        return REASONS.get(finished.reason, "end_turn")


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """The state before the first event."""
    return Writing(exchange_id, request)


def head(state: Writing) -> ReplyHead:
    """Events for a stream, else one object."""
    return ReplyHead(200, {**(SSE if state.request.stream else JSON), "request-id": shown_id(state.exchange)})


def keep_alive(state: Writing, elapsed_s: float) -> tuple[Writing, bytes]:
    """A ping, which may stand anywhere."""
    return state, PING if state.request.stream and not state.ended else b""


def write(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The events of one batch."""
    if state.ended:
        return state, b""
    same = batch.verbatim is not None and batch.verbatim.format == FORMAT
    if state.verbatim is None and any(isinstance(event, Started) for event in batch.events):
        state.verbatim = same
    if state.verbatim:
        if same and batch.verbatim is not None:
            return state, state.passed(batch, batch.verbatim.data)
        if batch.events:
            state.take_over()
    out: list[bytes] = []
    for event in batch.events:
        if type(event) is TextDelta and state.kind == "text" and not event.choice:
            # Nearly every event of nearly every stream.
            out += (TEXT % state.place, orjson.dumps(event.text), TEXT_END)
            continue
        steps: list[Step] = []
        state.take(event, steps)
        out += map(framed, steps)
    return state, b"".join(out)


def framed(step: Step) -> bytes:
    """A step as an event of a stream."""
    return b"".join((b"event: ", step["type"].encode(), b"\ndata: ", orjson.dumps(step), b"\n\n"))


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one message."""
    whole = joined(batches)
    if whole.verbatim is not None and whole.verbatim.format == FORMAT:
        return Answer(head(state), whole.verbatim.data)
    steps: list[Step] = []
    for event in whole.events:
        state.take(event, steps)
    return Answer(head(state), orjson.dumps(gathered(steps)))


def gathered(steps: Iterable[Step]) -> Step:
    """The message that the steps of a whole stream tell."""
    message: Step = {}
    blocks: list[Step] = []
    pieces: list[str] = []
    for step in steps:
        match step:
            case {"type": "message_start", "message": opened}:
                message = opened
            case {"type": "content_block_start", "content_block": block}:
                blocks.append(dict(block))
                pieces = []
            case {"type": "content_block_delta", "delta": delta}:
                _add(blocks[-1], delta, pieces)
            case {"type": "content_block_stop"}:
                _seal(blocks[-1], "".join(pieces))
            case {"type": "message_delta", "delta": delta, "usage": usage}:
                message |= {**delta, "usage": usage}
    return {**message, "content": blocks}


def _add(block: Step, delta: Mapping[str, Any], pieces: list[str]) -> None:
    match delta:
        case {"type": "text_delta", "text": str(piece)} | {"type": "thinking_delta", "thinking": str(piece)}:
            pieces.append(piece)
        case {"type": "input_json_delta", "partial_json": str(piece)}:
            pieces.append(piece)
        case {"type": "signature_delta", "signature": str(signature)}:
            block["signature"] = signature
        case {"type": "citations_delta", "citation": citation}:
            block.setdefault("citations", []).append(citation)


def _seal(block: Step, said: str) -> None:
    """A block with all its pieces. Arguments that are no object stand in one, under the vendor's own name for that."""
    match block["type"]:
        case "text":
            block["text"] = said
        case "thinking":
            block["thinking"] = said
        case "tool_use":
            given = object_of(said or "{}")
            block["input"] = {"INVALID_JSON": said} if given is None else given


def usage_of(usage: Usage) -> dict[str, Any]:
    """A usage object. What was read from the cache stands apart from the other input."""
    cached = usage.cached or 0
    told: dict[str, Any] = {} if usage.input is None else {"input_tokens": max(0, usage.input - cached)}
    told |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": cached}
    told["output_tokens"] = usage.output or 0
    if usage.thinking is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.thinking}
    return told
