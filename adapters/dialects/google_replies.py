"""Replies of Google's routes: chunks of a stream, or one whole reply.

A chunk is a whole reply that says only what is new, so each batch of events becomes one. A stream is server-sent events
where the client asked for them (`?alt=sse`), else one list that grows. Calls are told whole, in their order.
Comments of server-sent events break Google's own client libraries, so the sign of life is an empty line.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.dialects.google_contents import FORMAT
from adapters.dialects.google_errors import JSON, error_value
from adapters.dialects.google_thoughts import DETAILS, GEMINI, packed
from adapters.dialects.names import sent_name
from adapters.raw_json import object_of
from pipeline.ports import Answer
from pipeline.values.events import (
    Batch,
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
    joined,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Request

SSE = {"content-type": "text/event-stream", "cache-control": "no-cache"}
REASONS: Mapping[Reason, str] = {"length": "MAX_TOKENS", "content_filter": "SAFETY"}
BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
LINE = re.compile(rb"\r\n|\n|\r")
# A chunk that is a piece of text, around that text and what every chunk ends with.
TEXT = b'{"candidates":[{"content":{"parts":[{"text":%b}],"role":"model"},"index":0}],%b'


@define
class Call:
    """A call as far as it has come."""

    id: str
    name: str
    pieces: list[str] = field(factory=list)

    @property
    def whole(self) -> bool:
        """Whether its arguments are an object, after which nothing can follow."""
        return bool(self.pieces) and self.pieces[-1].rstrip().endswith("}") and self.arguments is not None

    @property
    def arguments(self) -> Any:
        """The object of its arguments; None if they are none."""
        return object_of("".join(self.pieces))


@define
class Chunk:
    """One reply on its way: its candidates by index, and what stands beside them."""

    candidates: dict[int, dict[str, Any]] = field(factory=dict)
    beside: dict[str, Any] = field(factory=dict)

    def candidate(self, choice: int) -> dict[str, Any]:
        """One of the answers."""
        return self.candidates.setdefault(
            choice, {"content": {"parts": [], "role": "model"}, "index": choice}
        )

    def parts(self, choice: int) -> list[dict[str, Any]]:
        """What one of the answers says in this chunk."""
        found: list[dict[str, Any]] = self.candidate(choice)["content"]["parts"]
        return found

    def say(self, part: dict[str, Any], choice: int) -> None:
        """Add words to those that are just being said."""
        parts = self.parts(choice)
        if parts and parts[-1].keys() == part.keys():
            parts[-1]["text"] += part["text"]
        else:
            parts.append(part)

    def holds(self, event: Event) -> bool:
        """Whether a field that the event tells stands here already: a chunk tells each once."""
        if not isinstance(event, ExtraDelta) or event.format != FORMAT or event.choice not in self.candidates:
            return False
        return not (event.value.keys() - {"content"}).isdisjoint(self.candidates[event.choice])

    def document(self) -> dict[str, Any]:
        """The chunk, without what all of them end with. A candidate that says nothing has empty words."""
        for candidate in self.candidates.values():
            candidate["content"]["parts"] = candidate["content"]["parts"] or [{"text": ""}]
        listed = [self.candidates[choice] for choice in sorted(self.candidates)]
        return {"candidates": listed, **self.beside}


@define
class Writing:
    """How far the writing of one reply has come. Mutable, owned by one reply, and handed back as its own next state.

    `framed`: as server-sent events. `thinks`: the client wants to see thoughts. `calls`: by answer those not told yet, in
    order; `made`: how many were told; `carried`: what other vendors want back, to go with the first call or the end.
    """

    exchange: str
    request: Request
    sent: str
    framed: bool
    thinks: bool
    id: str
    begun: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)
    usage: Usage | None = field(default=None, init=False)
    calls: dict[int, dict[int, Call]] = field(factory=dict, init=False)
    carried: dict[int, list[Mapping[str, Any]]] = field(factory=dict, init=False)
    tail: bytes = field(default=b"", init=False)

    def closing(self) -> dict[str, Any]:
        """What every chunk ends with."""
        return {"modelVersion": self.sent, "responseId": self.id}

    def take(self, event: Event, chunk: Chunk) -> None:
        """Tell an event."""
        match event:
            case Started(id=id):
                self.id, self.tail = id or self.id, b""
            case TextDelta(text, choice, entries):
                if text:
                    chunk.say({"text": text}, choice)
                if entries:
                    _add_logprobs(chunk.candidate(choice), entries)
            case RefusalDelta(text, choice):
                chunk.say({"text": text}, choice)
            case ThinkingDelta(text, choice):
                if self.thinks:
                    chunk.say({"text": text, "thought": True}, choice)
            case ToolCallDelta():
                self._fragment(event, chunk)
            case ExtraDelta(format, value, choice) if format == DETAILS:
                self._detail(value, choice, chunk)
            case ExtraDelta(format, value, choice) if format == FORMAT:
                _own(value, chunk.candidate(choice))
            case UsageSeen(usage):
                self.usage = usage
            case Finished():
                self._finish(event, chunk)

    def _fragment(self, event: ToolCallDelta, chunk: Chunk) -> None:
        calls = self.calls.setdefault(event.choice, {})
        if event.name is not None:
            calls[event.index] = Call(event.id or "", event.name)
        call = calls.get(event.index)
        if call is None:
            # Of a call that was told nothing but white space can come.
            return
        if event.arguments:
            call.pieces.append(event.arguments)
        self._release(event.choice, chunk)

    def _release(self, choice: int, chunk: Chunk, last: bool = False) -> None:
        """Tell the calls that are whole, up to the first that is not; `last`: all of them, as they are."""
        calls = self.calls.get(choice, {})
        for index in sorted(calls):
            call = calls[index]
            if not (last or call.whole):
                return
            arguments = call.arguments
            # What is no object stands in one.
            given = {"INVALID_JSON": "".join(call.pieces)} if arguments is None else arguments
            part: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": given}}
            if details := self.carried.pop(choice, None):
                part["thoughtSignature"] = packed(details)
            chunk.parts(choice).append(part)
            del calls[index]

    def _detail(self, detail: Mapping[str, Any], choice: int, chunk: Chunk) -> None:
        """What is to be given back: signatures of Google's own where they belong, of others with the first call."""
        match detail if detail.get("format") == GEMINI else {}:
            case {"type": "reasoning.text", "signature": str(signature)}:
                chunk.parts(choice).append({"text": "", "thought": True, "thoughtSignature": signature})
            case {"type": "reasoning.encrypted", "data": str(data)}:
                signed = _call_of(chunk.parts(choice), detail.get("id"))
                if signed is None:
                    chunk.parts(choice).append({"text": "", "thoughtSignature": data})
                else:
                    signed["thoughtSignature"] = data
            case _:
                self.carried.setdefault(choice, []).append(detail)

    def _finish(self, finished: Finished, chunk: Chunk) -> None:
        """What has waited, and how each answer ended."""
        told = dict(finished.extra.get(FORMAT, {}))
        beside = {candidate.get("index", 0): candidate for candidate in told.pop("candidates", ())}
        for choice, reason in enumerate((finished.reason, *finished.others)):
            self._release(choice, chunk, last=True)
            if details := self.carried.pop(choice, None):
                chunk.parts(choice).append({"text": "", "thoughtSignature": packed(details)})
            candidate = chunk.candidate(choice)
            candidate["finishReason"] = REASONS.get(reason, "STOP")
            candidate.update(beside.get(choice, {}))
        chunk.beside.update(told)
        if self.usage is not None:
            chunk.beside["usageMetadata"] = usage_of(self.usage)


def _call_of(parts: list[dict[str, Any]], id: Any) -> dict[str, Any] | None:
    """The part with the call of this id."""
    return next((part for part in parts if id and part.get("functionCall", {}).get("id") == id), None)


def _own(value: Mapping[str, Any], candidate: dict[str, Any]) -> None:
    """What only this form can say: parts nobody else knows, and fields beside the words."""
    for name, inner in value.items():
        if name == "content":
            candidate["content"]["parts"] += inner.get("parts", ())
        else:
            candidate[name] = inner


def _add_logprobs(candidate: dict[str, Any], entries: Iterable[Mapping[str, Any]]) -> None:
    """Token entries in OpenAI's form as the two lists of Google's."""
    told = candidate.setdefault("logprobsResult", {"chosenCandidates": [], "topCandidates": []})
    for entry in entries:
        told["chosenCandidates"].append(_token(entry))
        told["topCandidates"].append({"candidates": [_token(top) for top in entry.get("top_logprobs") or ()]})


def _token(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token"), "logProbability": entry.get("logprob")}


def usage_of(usage: Usage) -> dict[str, Any]:
    """A usage object. What was thought stands apart from what was said."""
    told: dict[str, Any] = {}
    if usage.input is not None:
        told["promptTokenCount"] = usage.input
    if usage.output is not None:
        told["candidatesTokenCount"] = max(0, usage.output - (usage.thinking or 0))
    if usage.thinking is not None:
        told["thoughtsTokenCount"] = usage.thinking
    if usage.cached is not None:
        told["cachedContentTokenCount"] = usage.cached
    return {**told, "totalTokenCount": (usage.input or 0) + (usage.output or 0)}


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """The state before the first event. How a stream is framed, and what is shown, only the client's own words say."""
    source = request.source
    framed = source is not None and source.headers.get("alt") == "sse"
    return Writing(exchange_id, request, sent_name(request), framed, _wants_thoughts(request), exchange_id)


def _wants_thoughts(request: Request) -> bool:
    """Whether thoughts are to be told; this API hides them from those who do not ask."""
    if not isinstance(request, ChatRequest) or request.source is None:
        return False
    config = request.source.body.get("generationConfig") or {}
    return bool((config.get("thinkingConfig") or {}).get("includeThoughts"))


def head(state: Writing) -> ReplyHead:
    """Events or a list for a stream, else one object."""
    return ReplyHead(200, SSE if state.request.stream and state.framed else JSON)


def keep_alive(state: Writing, elapsed_s: float) -> tuple[Writing, bytes]:
    """An empty line: between events, and before the list begins."""
    return state, b"\r\n" if state.request.stream and not state.ended else b""


def write(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The chunk that one batch is."""
    if state.ended:
        return state, b""
    verbatim = batch.verbatim
    if verbatim is not None and verbatim.format == FORMAT:
        state.ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
        if state.framed:
            return state, verbatim.data
        return state, _listed(state, documents(verbatim.data))
    return state, _rendered(state, batch)


def _rendered(state: Writing, batch: Batch) -> bytes:
    events = batch.events
    if len(events) == 1 and type(event := events[0]) is TextDelta and not (event.choice or event.logprobs):
        # Nearly every event of nearly every stream.
        state.tail = state.tail or orjson.dumps(state.closing())[1:]
        return _sent(state, [TEXT % (orjson.dumps(event.text), state.tail)])
    chunks, error = [Chunk()], b""
    for event in events:
        if isinstance(event, Failed):
            error = orjson.dumps(error_value(event.problem, state.sent, state.exchange))
            state.ended = True
        else:
            if chunks[-1].holds(event):
                chunks.append(Chunk())
            state.take(event, chunks[-1])
            state.ended = isinstance(event, Finished)
    found = [orjson.dumps({**chunk.document(), **state.closing()}) for chunk in chunks if chunk.candidates]
    if not error:
        return _sent(state, found)
    if state.framed:
        # Google's own servers tell it bare, and by that its client libraries know it.
        return _sent(state, found) + error + b"\n"
    return _sent(state, [*found, error])


def _sent(state: Writing, found: Iterable[bytes]) -> bytes:
    if not state.framed:
        return _listed(state, found)
    return b"".join(b"data: %b\r\n\r\n" % document for document in found)


def _listed(state: Writing, found: Iterable[bytes]) -> bytes:
    """The next members of the list that a stream is."""
    out = []
    for document in found:
        out.append(b",\r\n" if state.begun else b"[")
        out.append(document)
        state.begun = True
    if state.ended:
        out.append(b"]" if state.begun else b"[]")
    return b"".join(out)


def documents(data: bytes) -> list[bytes]:
    """The documents in whole server-sent events, just as they stand there."""
    found = []
    for block in BLANK.split(data):
        lines = [line for line in LINE.split(block) if line.startswith(b"data:")]
        if lines:
            found.append(b"\n".join(line.removeprefix(b"data:").removeprefix(b" ") for line in lines))
    return found


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply."""
    whole = joined(batches)
    if whole.verbatim is not None and whole.verbatim.format == FORMAT:
        return Answer(head(state), whole.verbatim.data)
    chunk = Chunk()
    for event in whole.events:
        state.take(event, chunk)
    return Answer(head(state), orjson.dumps({**chunk.document(), **state.closing()}))
