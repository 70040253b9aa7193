"""Replies of `/api/chat` and `/api/generate`: lines of JSON, or one object.

The two differ in where the answer stands in an object (`Shape`), and in nothing else.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeAlias

import orjson
from attrs import evolve, field, frozen

from adapters.dialects import ollama_context
from adapters.dialects.names import sent_name
from adapters.dialects.ollama_refusals import JSON, Words, error_json, error_text
from adapters.dialects.toolcalls import assembled
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
from pipeline.values.messages import ChatRequest, LoadRequest, Message, Request, Role, Text, ToolCall
from pipeline.values.problems import Kind, Problem

NDJSON = {"content-type": "application/x-ndjson"}
NS = 1_000_000_000
# No model says so many tokens a second: what seems to come faster was ready before, and came in one piece or two.
FASTEST = 10_000
UNREADABLE_CALL = Problem(Kind.GARBLED, "the model's tool call could not be read")

# Calls as Ollama writes them; fragments, and texts, as lists that grow at their end without being copied.
Calls: TypeAlias = Sequence[dict[str, Any]]
Fragments: TypeAlias = "tuple[Fragments, ToolCallDelta] | None"
Texts: TypeAlias = "tuple[Texts, str] | None"


@frozen
class Shape:
    """A route's form. `place(text, thinking, calls)`: the keys that carry the answer; `name` its wire format.

    `recalls`: the turns before the answer, where the answer's last object is to recall the conversation.
    `around`: these keys as JSON, up to a text that stands alone in them and from there on, with what makes it a piece.
    """

    name: str
    words: Words
    place: Callable[[str, str, Calls], dict[str, Any]]
    recalls: Callable[[Request], tuple[Message, ...]] = lambda request: ()
    around: tuple[bytes, bytes] = field(init=False)

    @around.default
    def _around(self) -> tuple[bytes, bytes]:
        before, after = orjson.dumps({**self.place("\0", "", ()), "done": False}).split(orjson.dumps("\0"))
        return before[1:], after + b"\n"


@frozen
class Writing:
    """How far the writing of one reply has come. `began_ns` is wall clock, `first_s` counted from the arrival.

    `verbatim`: the upstream's bytes can stand for its events, because they carry the name the client sent; None until
    the upstream has begun. `alternatives`: to each token, as the client asked; None: no logprobs. `opening`: what every
    line begins with, up to the time. `turns`: what was said before, if it is to be recalled; `said`: the answer to it.
    """

    shape: Shape
    sent: str
    exchange: str
    began_ns: int
    stream: bool
    idle: str | None
    alternatives: int | None
    opening: bytes
    turns: tuple[Message, ...] = ()
    verbatim: bool | None = None
    first_s: float | None = None
    usage: Usage = Usage()
    fragments: Fragments = None
    said: Texts = None
    ended: bool = False


def fresh(shape: Shape, request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """The state before the first event."""
    idle = ("unload" if request.unload else "load") if isinstance(request, LoadRequest) else None
    logprobs = request.logprobs if isinstance(request, ChatRequest) else None
    sent = sent_name(request)
    opening = orjson.dumps({"model": sent, "created_at": ""})[:-2]
    began_ns, turns = _ns(epoch_s), shape.recalls(request)
    return Writing(shape, sent, exchange_id, began_ns, request.stream, idle, logprobs, opening, turns)


def head(state: Writing) -> ReplyHead:
    """Lines for a stream, else one object."""
    return ReplyHead(200, NDJSON if state.stream else JSON)


def keep_alive(state: Writing, elapsed_s: float) -> tuple[Writing, bytes]:
    """A piece without content: clients take a blank line for an error."""
    if state.ended or not state.stream:
        return state, b""
    return state, _line(_piece(state, _stamp(state, elapsed_s), ""))


def write(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The lines of one batch."""
    if state.ended:
        return state, b""
    state = _noticed(state, batch, elapsed_s)
    if state.verbatim and batch.verbatim is not None:
        ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
        return (evolve(state, ended=True) if ended else state), batch.verbatim.data
    return _rendered_batch(state, batch, elapsed_s)


def _rendered_batch(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The lines of its events. They came in one read, so they have one time."""
    stamp = _stamp(state, elapsed_s)
    opening, after = state.shape.around
    before = b"".join((state.opening, stamp.encode(), b'",', opening))
    lines: list[bytes] = []
    if state.turns:
        state = evolve(state, said=(state.said, _text_of(batch.events)))
    for event in batch.events:
        if type(event) is TextDelta and not event.choice and not event.logprobs:
            # Nearly every event of nearly every stream.
            lines += (before, orjson.dumps(event.text), after)
            continue
        state = _write_event(state, event, stamp, elapsed_s, lines)
        if state.ended:
            break
    return state, b"".join(lines)


def _text_of(events: Iterable[Event]) -> str:
    """What the model said in them."""
    spoken = (event for event in events if isinstance(event, TextDelta | RefusalDelta) and not event.choice)
    return "".join(event.text for event in spoken)


def _noticed(state: Writing, batch: Batch, elapsed_s: float) -> Writing:
    """The state once it is known whether the bytes of a reply may stand, and when its content began."""
    if state.verbatim is None:
        started = next((event for event in batch.events if isinstance(event, Started)), None)
        if started is not None:
            state = evolve(state, verbatim=_fits(state, batch, started))
    if state.first_s is None and batch.content:
        state = evolve(state, first_s=elapsed_s)
    return state


def _fits(state: Writing, batch: Batch, started: Started) -> bool:
    verbatim = batch.verbatim
    return verbatim is not None and verbatim.format == state.shape.name and started.model == state.sent


def _write_event(state: Writing, event: Event, stamp: str, elapsed_s: float, lines: list[bytes]) -> Writing:
    match event:
        case TextDelta(text, 0, logprobs):
            lines.append(_line(_piece(state, stamp, text) | _logprobs(state, logprobs)))
        case RefusalDelta(text, 0):
            lines.append(_line(_piece(state, stamp, text)))
        case ThinkingDelta(text, 0):
            lines.append(_line(_piece(state, stamp, "", text)))
        case ExtraDelta(format, extra, 0) if format == state.shape.name:
            lines.append(_line(_with_extra(_piece(state, stamp, ""), extra)))
        case ToolCallDelta(choice=0):
            return evolve(state, fragments=(state.fragments, event))
        case UsageSeen(usage):
            return evolve(state, usage=usage)
        case Finished():
            lines.extend(_closing(state, event, stamp, elapsed_s))
            return evolve(state, ended=True)
        case Failed(problem):
            lines.append(_error_line(state, problem))
            return evolve(state, ended=True)
    return state


def _closing(state: Writing, finished: Finished, stamp: str, elapsed_s: float) -> list[bytes]:
    """The last lines: the calls in an object of their own, then the final one."""
    calls = _rendered(assembled(_unrolled(state.fragments)))
    if calls is None:
        return [_error_line(state, UNREADABLE_CALL)]
    said = "".join(_unrolled(state.said))
    final = _final(state, stamp, state.shape.place("", "", ()), finished, elapsed_s, said)
    return [*([_line(_piece(state, stamp, "", "", calls))] if calls else []), _line(final)]


def _unrolled(grown: Any) -> list[Any]:
    found = []
    while grown is not None:
        grown, last = grown
        found.append(last)
    return found[::-1]


def _rendered(calls: Iterable[ToolCall]) -> Calls | None:
    """The calls with their arguments as objects; None where the text of one is none."""
    found = []
    for index, call in enumerate(calls):
        arguments = object_of(call.arguments)
        if arguments is None:
            return None
        found.append({"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}})
    return found


def _error_line(state: Writing, problem: Problem) -> bytes:
    return error_json(error_text(problem, state.sent, state.exchange, state.shape.words)) + b"\n"


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _piece(state: Writing, stamp: str, text: str, thinking: str = "", calls: Calls = ()) -> dict[str, Any]:
    place = state.shape.place(text, thinking, calls)
    return {"model": state.sent, "created_at": stamp, **place, "done": False}


def _final(
    state: Writing, stamp: str, place: Mapping[str, Any], finished: Finished, elapsed_s: float, said: str
) -> dict[str, Any]:
    """The last object; `said` is all of the answer."""
    reason = finished.reason if finished.reason in ("length", "load", "unload") else "stop"
    value = {"model": state.sent, "created_at": stamp, **place, "done": True, "done_reason": reason}
    if reason in ("load", "unload"):
        return value
    own = finished.extra.get("ollama", {})
    context = {} if "context" in own else _context(state, said)
    measured = context | _metrics(state, elapsed_s) | own
    return value | {name: item for name, item in measured.items() if item and name not in value}


def _context(state: Writing, said: str) -> dict[str, Any]:
    """The conversation, for the client to bring along with its next prompt; an engine's own tokens take its place."""
    if not state.turns:
        return {}
    answer = Message(Role.ASSISTANT, (Text(said),))
    return {"context": ollama_context.written((*state.turns, answer))}


def _metrics(state: Writing, elapsed_s: float) -> dict[str, Any]:
    """What was measured here. Of a reply that came in one piece only its whole time is known, as answering."""
    total = max(1, _ns(elapsed_s))
    before = 0 if state.first_s is None else min(total - 1, _ns(state.first_s)) or 1
    if (total - before) * FASTEST < (state.usage.output or 1) * NS:
        before = 0
    return {
        "total_duration": total,
        "prompt_eval_count": state.usage.input,
        "prompt_eval_duration": before,
        "eval_count": state.usage.output,
        "eval_duration": max(1, total - before),
    }


def _with_extra(value: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The object with what only Ollama's messages hold put into its message."""
    return {**value, "message": {**value.get("message", {}), **extra}}


def _logprobs(state: Writing, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    if state.alternatives is None or not entries:
        return {}
    if state.alternatives == 0:
        entries = [{name: entry[name] for name in entry if name != "top_logprobs"} for entry in entries]
    return {"logprobs": list(entries)}


def _ns(seconds: float) -> int:
    """Nanoseconds; the whole seconds apart, or a float would not hold today's date to the microsecond."""
    whole = int(seconds)
    return whole * NS + int((seconds - whole) * NS)


def _stamp(state: Writing, elapsed_s: float) -> str:
    """The time as RFC 3339 in UTC, nanoseconds without zeros at the end."""
    seconds, ns = divmod(state.began_ns + _ns(elapsed_s), NS)
    return f"{_date(seconds)}.{ns:09d}".rstrip("0").rstrip(".") + "Z"


# All streams share the second that is running.
@lru_cache(maxsize=8)
def _date(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one object."""
    whole = joined(batches)
    started = next((event for event in whole.events if isinstance(event, Started)), None)
    if whole.verbatim is not None and started is not None and _fits(state, whole, started):
        return Answer(head(state), whole.verbatim.data)
    calls = _rendered(assembled(event for event in whole.events if isinstance(event, ToolCallDelta)))
    if calls is None:
        text = error_text(UNREADABLE_CALL, state.sent, state.exchange, state.shape.words)
        return Answer(ReplyHead(UNREADABLE_CALL.http_status, JSON), error_json(text))
    return Answer(head(state), orjson.dumps(_whole(state, whole.events, calls, elapsed_s)))


def _whole(state: Writing, events: tuple[Event, ...], calls: Calls, elapsed_s: float) -> dict[str, Any]:
    text: list[str] = []
    thinking: list[str] = []
    logprobs: list[Mapping[str, Any]] = []
    extra: dict[str, Any] = {}
    finished = Finished("stop")
    for event in events:
        match event:
            case TextDelta(piece, 0, entries):
                text.append(piece)
                logprobs.extend(entries)
            case RefusalDelta(piece, 0):
                text.append(piece)
            case ThinkingDelta(piece, 0):
                thinking.append(piece)
            case ExtraDelta(format, more, 0) if format == state.shape.name:
                extra |= more
            case UsageSeen(usage):
                state = evolve(state, usage=usage)
            case Finished():
                finished = event
    if state.idle:
        finished = Finished("unload" if state.idle == "unload" else "load")
    said = "".join(text)
    place = state.shape.place(said, "".join(thinking), calls)
    value = _final(state, _stamp(state, elapsed_s), place, finished, elapsed_s, said)
    value |= _logprobs(state, logprobs)
    return _with_extra(value, extra) if extra else value
