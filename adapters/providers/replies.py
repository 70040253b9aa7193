"""The frame around every decoder: bytes in, batches out, for streams and for whole documents alike.

A vendor's file tells what its documents mean by an `Answer`; here stand what all of them share: the verbatim bytes that
go with the events, what is too long, what cannot be read, and what it means when the bytes end.
"""

from hashlib import blake2b
from typing import Any, Protocol

import orjson
from attrs import define, field

from adapters.framing.frame import Frame
from adapters.providers.errors import WORDS, Complaint, complaint, problem_within
from pipeline.values.events import CONTENT, Batch, Event, Failed, Verbatim
from pipeline.values.problems import Kind, Problem

# The longest whole reply that is kept.
DOCUMENT_LIMIT = 64 * 1024 * 1024
# The longest plain document in answer to a request for a stream: an error, as a rule.
STRAY_LIMIT = 1024 * 1024
NOTHING = Batch()


@define
class Answer:
    """One reply as its vendor's documents tell it. Mutable: it holds what the next document needs to know.

    `format`: the wire format of its bytes, for the verbatim lane. `started`: `Started` was told. `content`: something
    of the answer itself was told, so a failure can only break it off. `ended`: its last event was told.
    """

    format: str
    model: str
    started: bool = field(default=False, init=False)
    content: bool = field(default=False, init=False)
    ended: bool = field(default=False, init=False)

    def met(self, data: bytes) -> "Answer":
        """The answer that the first document shows this to be: some providers answer in more forms than one."""
        return self

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one frame of a stream. False: the client did not ask for it and shall not see its bytes."""
        raise NotImplementedError

    def shown(self, data: bytes) -> bytes:
        """The frames of `data` as the client would have got them without us."""
        return data

    def readable(self, frame: Frame) -> bool:
        """Whether a last frame without its terminator is whole all the same."""
        return parsed(frame.data) is not None

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply; it ends the answer."""
        raise NotImplementedError

    def close(self, events: list[Event]) -> bytes | None:
        """The stream ended without its mark: the mark's bytes if the answer is whole all the same, else None."""
        raise NotImplementedError

    def fail(self, kind: Kind, events: list[Event]) -> None:
        """The answer ends with a failure of our own finding."""
        self.ended = True
        events.append(Failed(Problem(kind, WORDS[kind])))

    def complain(self, said: Complaint, events: list[Event]) -> None:
        """The answer ends with an error the provider told inside it."""
        if self.content or _has_content(events):
            self.fail(Kind.STREAM_ERROR, events)
            return
        self.ended = True
        events.append(Failed(problem_within(said)))

    def read_document(self, data: bytes, events: list[Event]) -> None:
        """Read the bytes of a whole reply, whatever they are."""
        document = parsed(data)
        if not isinstance(document, dict):
            self.fail(Kind.GARBLED, events)
        elif document.get("error"):
            self.complain(complaint(document), events)
        else:
            self.whole(document, events)


def _has_content(events: list[Event]) -> bool:
    return any(isinstance(event, CONTENT) for event in events)


def parsed(data: bytes) -> Any:
    """The JSON value in `data`; None if it is none (or null)."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


class Reader(Protocol):
    """Cuts a stream into frames: `SseReader` or `NdjsonReader`."""

    overflown: bool

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The bytes of all frames that are now whole, and these frames."""

    def rest(self) -> tuple[bytes, Frame | None]:
        """What is left at the end, as bytes and as a frame."""


@define
class Stream:
    """Decoder state of a streamed reply. Mutable, owned by one reply, and handed back as its own next state."""

    answer: Answer
    reader: Reader
    # Bytes before the answer begins: a server that does not stream answers with a plain document.
    _stray: bytes = field(default=b"", init=False)
    _holding: bool = field(default=True, init=False)
    _framed: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> Batch:
        """The events of all frames that are whole with `data`, and the bytes of these frames."""
        answer = self.answer
        if answer.ended:
            return NOTHING
        shown, frames = self.reader.feed(data)
        events: list[Event] = []
        if frames:
            if not self._framed:
                answer = self.answer = answer.met(frames[0].data)
            shown = self._take(frames, shown, events)
        if self._holding:
            shown = self._first(frames, shown)
        if self.reader.overflown and not answer.ended:
            answer.fail(Kind.GARBLED, events)
        return self._batch(events, shown)

    def end(self) -> Batch:
        """What the end of the bytes means."""
        answer = self.answer
        if answer.ended:
            return NOTHING
        left, frame = self.reader.rest()
        events: list[Event] = []
        shown = whole = self._stray + left
        if not self._framed:
            answer = self.answer = answer.met(whole if frame is None else frame.data)
        if frame is not None:
            # A last frame that was cut inside is none; the bytes just ended too early.
            shown = self._stray + self._take([frame], left, events) if answer.readable(frame) else b""
        elif not self._framed and shown.lstrip()[:1] in (b"{", b"["):
            answer.read_document(shown, events)
            # The document is no frame of a stream, so its bytes cannot stand for the events.
            return Batch(tuple(events))
        if not answer.ended:
            mark = answer.close(events)
            if mark is None:
                # What never was an answer is not one that broke off.
                strange = not answer.started and whole.strip() and not _begun(frame)
                answer.fail(Kind.GARBLED if strange else Kind.STREAM_ERROR, events)
            else:
                shown = shown + b"\n\n" + mark if shown.strip() else shown + mark
        return self._batch(events, shown)

    def _first(self, frames: list[Frame], shown: bytes) -> bytes:
        """Hold back what comes before the answer begins, and give it out with its beginning."""
        self._framed = self._framed or bool(frames)
        self._stray += shown
        if not self.answer.started and len(self._stray) <= STRAY_LIMIT:
            return b""
        self._framed, self._holding = True, False
        shown, self._stray = self._stray, b""
        return shown

    def _take(self, frames: list[Frame], data: bytes, events: list[Event]) -> bytes:
        """Read the frames, and give the bytes of `data` that the client may see."""
        answer = self.answer
        hidden: list[Frame] = []
        for frame in frames:
            if not answer.take(frame, events):
                hidden.append(frame)
            if answer.ended:
                data = data[: frame.end]
                break
        for frame in reversed(hidden):
            data = data[: frame.start] + data[frame.end :]
        return answer.shown(data)

    def _batch(self, events: list[Event], data: bytes) -> Batch:
        if not events:
            return Batch((), Verbatim(self.answer.format, data)) if data else NOTHING
        if not self.answer.content:
            self.answer.content = _has_content(events)
        if isinstance(events[-1], Failed):
            return Batch(tuple(events))
        return Batch(tuple(events), Verbatim(self.answer.format, data))


def _begun(frame: Frame | None) -> bool:
    """Whether a frame that was cut could have become a document."""
    return frame is not None and frame.data.lstrip()[:1] == b"{"


@define
class Whole:
    """Decoder state of a reply that is one document. Mutable, owned by one reply, handed back as its own next state."""

    answer: Answer
    _data: bytearray = field(factory=bytearray, init=False)

    def feed(self, data: bytes) -> Batch:
        """Nothing: a document can be read when it is whole; or its failure, when it is too long."""
        if self.answer.ended:
            return NOTHING
        self._data += data
        if len(self._data) <= DOCUMENT_LIMIT:
            return NOTHING
        events: list[Event] = []
        self._data.clear()
        self.answer.fail(Kind.GARBLED, events)
        return Batch(tuple(events))

    def end(self) -> Batch:
        """All events of the document, and its bytes."""
        if self.answer.ended:
            return NOTHING
        data = bytes(self._data)
        self.answer = self.answer.met(data)
        events: list[Event] = []
        self.answer.read_document(data, events)
        if isinstance(events[-1], Failed):
            return Batch(tuple(events))
        return Batch(tuple(events), Verbatim(self.answer.format, data))


State = Stream | Whole


def decode(state: State, data: bytes) -> tuple[State, Batch]:
    """`Codec.decode` of every vendor."""
    return state, state.feed(data)


def finish(state: State) -> Batch:
    """`Codec.finish` of every vendor."""
    return state.end()


def text(value: Any) -> str:
    """`value` if it is a text, else none."""
    return value if type(value) is str else ""


def count(value: Any) -> int | None:
    """`value` if it counts something."""
    return value if type(value) is int and value >= 0 else None


def made_call_id(seed: str) -> str:
    """The id of a tool call whose upstream gave none: the same seed gives the same id."""
    return f"call_{blake2b(seed.encode(), digest_size=4).hexdigest()}"
