"""Replies in Google's form, as events: generateContent, streamed or whole, and embedContent.

A chunk of a stream is a whole reply that says only what is new; nothing marks the end. Older models tell a reason to
finish in every chunk, so the end is where the bytes end after a reason was told. Usage comes in each chunk, the last
holds. An error in a stream may stand in it without a frame.
Sources (2026-11): https://ai.google.dev/api/generate-content, https://ai.google.dev/gemini-api/docs/thought-signatures.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.framing.frame import Frame
from adapters.framing.sse import SseReader
from adapters.providers import thoughts
from adapters.providers.google_errors import problem
from adapters.providers.replies import Answer, count, made_call_id, parsed, text
from adapters.providers.vectors import vectors
from pipeline.values.events import (
    CONTENT,
    Embedded,
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

GENERATE = "google.generate"
EMBED = "google.embed"

_REASONS: Mapping[str, Reason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# Ends at which the model has answered nothing that anybody could use: it is asked again, or another is.
_NO_ANSWER: Mapping[str, str] = {
    "MALFORMED_FUNCTION_CALL": "the model made a tool call that cannot be read",
    "UNEXPECTED_TOOL_CALL": "the model called a tool it was not offered",
    "TOO_MANY_TOOL_CALLS": "the model called tools without end",
    "MALFORMED_RESPONSE": "the model made an answer that cannot be read",
    "MISSING_THOUGHT_SIGNATURE": "the model misses a signature of its earlier thinking",
}
_NOTHING = "the provider answered nothing"
# Ends that are told whole by our own word for them.
_PLAIN_ENDS = frozenset({"STOP", "MAX_TOKENS"})

# Of a candidate, what comes while it is made and only this form can say.
_BESIDE = ("groundingMetadata", "urlContextMetadata", "citationMetadata")
# Of a candidate and of a reply, what has events of its own; the rest is told with the end.
_SPOKEN = frozenset({"content", "index", "finishReason", "logprobsResult", *_BESIDE})
_TOLD = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId"})
# What shows that a document is a reply at all.
_KNOWN = _TOLD | {"promptFeedback"}
_UNTOLD = Usage()
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_MOST_CHOICES = 128
# A part of nothing but a signature, or of nothing at all, is one of empty words.
_SIGNATURE = frozenset({"thoughtSignature", "thought"})


@define
class GoogleReader:
    """Cuts a stream into frames, and takes a bare JSON document among them for the error that it is."""

    overflown: bool = False
    _sse: SseReader = field(factory=SseReader, init=False)
    _framed: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The bytes of all frames that are now whole, and these frames."""
        shown, frames = self._sse.feed(data)
        self.overflown = self._sse.overflown
        if (frames or self._framed) and sum(frame.end - frame.start for frame in frames) < len(shown):
            frames = _with_bare(shown, frames, self._framed)
        self._framed = self._framed or bool(frames)
        return shown, frames

    def rest(self) -> tuple[bytes, Frame | None]:
        """What is left at the end, as bytes and as a frame."""
        left, frame = self._sse.rest()
        if frame is None and self._framed and left.strip() and not left.lstrip().startswith(b":"):
            frame = Frame(left, 0, len(left))
        return left, frame


def _with_bare(shown: bytes, frames: list[Frame], framed: bool) -> list[Frame]:
    """The frames, and those blocks between them that are bare JSON. `framed`: there were frames before."""
    found: list[Frame] = []
    begin = 0
    for frame in [*frames, Frame(b"", len(shown), len(shown))]:
        if framed or begin:
            found += _bare(shown, begin, frame.start)
        found.append(frame)
        begin = frame.end
    return found[:-1]


def _bare(shown: bytes, begin: int, end: int) -> list[Frame]:
    """The blocks of a piece of a stream that begin as a JSON object or list does."""
    found = []
    for blank in _BLANK.finditer(shown, begin, end):
        block = shown[begin : blank.start()]
        if block.lstrip()[:1] in (b"{", b"["):
            found.append(Frame(block, begin, blank.end()))
        begin = blank.end()
    return found


@define
class _Choice:
    """What is known of one candidate. `thought`: its thinking since the last signature; `beside`: told with the end."""

    calls: int = 0
    details: int = 0
    thought: list[str] = field(factory=list)
    spoken: bool = False
    reason: Reason | None = None
    word: str = ""
    beside: dict[str, Any] = field(factory=dict)


@define
class GenerateAnswer(Answer):
    """One reply of generateContent or streamGenerateContent.

    `names`: the client's name of each tool that was sent under another.
    """

    names: Mapping[str, str] = field(factory=dict)
    id: str | None = field(default=None, init=False)
    _choices: dict[int, _Choice] = field(factory=dict, init=False)
    _usage: Usage | None = field(default=None, init=False)
    _extra: dict[str, Any] = field(factory=dict, init=False)
    _cut: bool = field(default=False, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one chunk."""
        document = parsed(frame.data)
        if type(document) is list and len(document) == 1:
            (document,) = document
        if type(document) is not dict:
            self.fail(Kind.GARBLED, events)
        else:
            self._chunk(document, events)
        return True

    def readable(self, frame: Frame) -> bool:
        """Whether the last frame is whole; if it was cut, so was the answer."""
        whole = Answer.readable(self, frame)
        self._cut = not whole
        return whole

    def read_document(self, data: bytes, events: list[Event]) -> None:
        """Read a whole reply, or a stream that came as the list of its chunks."""
        document = parsed(data)
        chunks = document if type(document) is list and document else [document]
        for chunk in chunks:
            if type(chunk) is not dict:
                self.fail(Kind.GARBLED, events)
            else:
                self._chunk(chunk, events)
            if self.ended:
                return
        if not self.started:
            self.fail(Kind.GARBLED, events)
        else:
            self._end(events)

    def close(self, events: list[Event]) -> bytes | None:
        """The end of the bytes is the end of the answer, if a reason was told."""
        reasoned = any(choice.reason for choice in self._choices.values())
        if self._cut or not self.started or (self._choices and not reasoned):
            return None
        self._end(events)
        return b""

    def _end(self, events: list[Event]) -> None:
        """Tell the end. A reply may count the tokens of the prompt and say no more."""
        if self._choices:
            self._finish(events)
        else:
            self._unanswered(_NOTHING, events)

    def _chunk(self, chunk: dict[str, Any], events: list[Event]) -> None:
        if chunk.get("error"):
            self._refuse(chunk, events)
            return
        listed = chunk.get("candidates")
        candidates = [one for one in listed if type(one) is dict] if type(listed) is list else []
        for candidate in candidates:
            word = text(candidate.get("finishReason"))
            if word in _NO_ANSWER:
                self._unanswered(_NO_ANSWER[word], events)
                return
        feedback = chunk.get("promptFeedback")
        blocked = text(feedback.get("blockReason")) if type(feedback) is dict else ""
        if _KNOWN.isdisjoint(chunk):
            self.fail(Kind.GARBLED, events)
            return
        if not self.started:
            self.started = True
            self.id = text(chunk.get("responseId")) or None
            events.append(Started(text(chunk.get("modelVersion")) or self.model, self.id))
        for candidate in candidates:
            if not self.ended:
                self._candidate(candidate, events)
        if blocked and not candidates:
            self._block(blocked, events)
        self._usage = usage_of(chunk.get("usageMetadata")) or self._usage
        if not chunk.keys() <= _TOLD:
            self._extra.update({name: value for name, value in chunk.items() if name not in _TOLD})

    def _refuse(self, document: dict[str, Any], events: list[Event]) -> None:
        """The answer ends with an error that Google told inside it."""
        if self._told(events):
            self.fail(Kind.STREAM_ERROR, events)
            return
        self.ended = True
        events.append(Failed(problem(None, document, {})))

    def _unanswered(self, words: str, events: list[Event]) -> None:
        if self._told(events):
            self.fail(Kind.STREAM_ERROR, events)
            return
        self.ended = True
        events.append(Failed(Problem(Kind.RETRYABLE, words)))

    def _told(self, events: list[Event]) -> bool:
        return self.content or any(isinstance(event, CONTENT) for event in events)

    def _block(self, word: str, events: list[Event]) -> None:
        """The prompt was refused: words for those who look at nothing else."""
        choice = self._choices.setdefault(0, _Choice())
        if not choice.spoken:
            events.append(RefusalDelta(f"The provider refuses this prompt ({word})."))
        choice.spoken = True
        choice.reason = "content_filter"

    def _candidate(self, candidate: dict[str, Any], events: list[Event]) -> None:
        number = candidate.get("index", 0)
        if type(number) is not int or not 0 <= number < _MOST_CHOICES:
            number = 0
        choice = self._choices.setdefault(number, _Choice())
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        entries = _entries(candidate.get("logprobsResult"))
        if type(parts) is list:
            for part in parts:
                if type(part) is dict and not self.ended:
                    # The tokens of all parts of a chunk are told in one list; they go with its first words.
                    entries = self._part(part, number, choice, entries, events)
        if self.ended:
            return
        if entries:
            events.append(TextDelta("", number, entries))
        for name in _BESIDE:
            if candidate.get(name):
                events.append(ExtraDelta(GENERATE, {name: candidate[name]}, number))
        word = text(candidate.get("finishReason"))
        if word and word != "FINISH_REASON_UNSPECIFIED":
            choice.reason, choice.word = _REASONS.get(word, "stop"), word
            if word not in _PLAIN_ENDS:
                choice.beside["finishReason"] = word
        if not candidate.keys() <= _SPOKEN:
            choice.beside.update({name: value for name, value in candidate.items() if name not in _SPOKEN})

    def _part(
        self,
        part: dict[str, Any],
        number: int,
        choice: _Choice,
        entries: tuple[Mapping[str, Any], ...],
        events: list[Event],
    ) -> tuple[Mapping[str, Any], ...]:
        """Read one part; the token entries that found no words yet."""
        said, signature = part.get("text"), text(part.get("thoughtSignature"))
        if part.keys() <= _SIGNATURE:
            said = ""
        if type(said) is str:
            if part.get("thought") is True:
                choice.thought.append(said)
                if said:
                    events.append(ThinkingDelta(said, number))
            elif said:
                choice.spoken = True
                events.append(TextDelta(said, number, entries))
                entries = ()
            if signature:
                self._signed(signature, part.get("thought") is True, number, choice, events)
        elif type(part.get("functionCall")) is dict:
            self._call(part["functionCall"], signature, number, choice, events)
        else:
            choice.spoken = True
            events.append(ExtraDelta(GENERATE, {"content": {"role": "model", "parts": [part]}}, number))
        return entries

    def _signed(
        self, signature: str, thought: bool, number: int, choice: _Choice, events: list[Event]
    ) -> None:
        """Tell the signature of thoughts or words, which the client is to give back."""
        detail: dict[str, Any] = {"type": "reasoning.encrypted", "data": signature}
        if thought:
            whole = "".join(choice.thought)
            detail = {"type": "reasoning.text", "text": whole, "signature": signature}
            choice.thought.clear()
        self._detail(detail, number, choice, events)

    def _detail(self, detail: dict[str, Any], number: int, choice: _Choice, events: list[Event]) -> None:
        numbered = {**detail, "format": thoughts.GEMINI, "index": choice.details}
        choice.details += 1
        events.append(thoughts.told(numbered, number))

    def _call(
        self, call: dict[str, Any], signature: str, number: int, choice: _Choice, events: list[Event]
    ) -> None:
        name, arguments = text(call.get("name")), call.get("args")
        if not name:
            # A call of nothing cannot be made, and is no answer.
            self.fail(Kind.GARBLED, events)
            return
        id = text(call.get("id")) or made_call_id(f"{self.id} {number} {choice.calls}")
        spoken = orjson.dumps(arguments if type(arguments) is dict else {}).decode()
        events.append(ToolCallDelta(choice.calls, id, self.names.get(name, name), spoken, number))
        choice.calls += 1
        choice.spoken = True
        if signature:
            detail = {"type": "reasoning.encrypted", "data": signature, "id": id}
            self._detail(detail, number, choice, events)

    def _finish(self, events: list[Event]) -> None:
        """Tell the end, and for what was withheld whole, that it was."""
        for number, choice in sorted(self._choices.items()):
            if choice.reason == "content_filter" and not choice.spoken:
                words = f"The provider withholds this answer ({choice.word})."
                events.append(RefusalDelta(words, number))
        if self._usage is not None:
            events.append(UsageSeen(self._usage))
        last = max(self._choices, default=0)
        reasons = [_reason(self._choices.get(number)) for number in range(last + 1)]
        events.append(Finished(reasons[0], tuple(reasons[1:]), self._beside()))
        self.ended = True

    def _beside(self) -> dict[str, Any]:
        """All that the reply told beside its answers, as Google's own."""
        told = [
            {"index": number, **choice.beside}
            for number, choice in sorted(self._choices.items())
            if choice.beside
        ]
        own = {**({"candidates": told} if told else {}), **self._extra}
        return {GENERATE: own} if own else {}


def _reason(choice: _Choice | None) -> Reason:
    """Calls end with STOP, as all else does."""
    if choice is None or choice.reason is None:
        return "stop"
    return "tool_calls" if choice.calls and choice.reason == "stop" else choice.reason


@define
class EmbeddingAnswer(Answer):
    """One reply of embedContent or batchEmbedContents to `inputs` inputs."""

    inputs: int

    def read_document(self, data: bytes, events: list[Event]) -> None:
        """Read a whole reply."""
        document = parsed(data)
        if type(document) is not dict:
            self.fail(Kind.GARBLED, events)
        elif document.get("error"):
            self.ended = True
            events.append(Failed(problem(None, document, {})))
        else:
            self.whole(document, events)

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read the vectors."""
        one = document.get("embedding")
        listed = [one] if one is not None else document.get("embeddings")
        told = (
            [entry.get("values") for entry in listed if type(entry) is dict] if type(listed) is list else None
        )
        found = vectors(told, self.inputs)
        if found is None:
            self.fail(Kind.GARBLED, events)
            return
        self.started = self.ended = True
        events += [Started(self.model), Embedded(found)]
        usage = document.get("usageMetadata")
        tokens = count(usage.get("promptTokenCount")) if type(usage) is dict else None
        if tokens is not None:
            events.append(UsageSeen(Usage(tokens)))
        events.append(Finished("stop"))


def usage_of(usage: Any) -> Usage | None:
    """What Google's usage says; None if it says nothing. What its tools read is input, what it thinks is output."""
    if type(usage) is not dict:
        return None
    prompt, tools = count(usage.get("promptTokenCount")), count(usage.get("toolUsePromptTokenCount"))
    said, thought = count(usage.get("candidatesTokenCount")), count(usage.get("thoughtsTokenCount"))
    given = None if prompt is None and tools is None else (prompt or 0) + (tools or 0)
    made = None if said is None and thought is None else (said or 0) + (thought or 0)
    total = count(usage.get("totalTokenCount"))
    if made is None and total is not None and given is not None:
        # A count of 0 is left out.
        made = max(0, total - given)
    seen = Usage(given, made, count(usage.get("cachedContentTokenCount")), thought)
    return None if seen == _UNTOLD else seen


def _entries(logprobs: Any) -> tuple[Mapping[str, Any], ...]:
    """Token entries in OpenAI's form; Google tells the chosen tokens and the best ones in two lists."""
    if type(logprobs) is not dict or type(logprobs.get("chosenCandidates")) is not list:
        return ()
    tops = logprobs.get("topCandidates")
    ranked = tops if type(tops) is list else []
    found = []
    for place, chosen in enumerate(logprobs["chosenCandidates"]):
        if type(chosen) is not dict:
            continue
        others = (
            ranked[place].get("candidates") if place < len(ranked) and type(ranked[place]) is dict else None
        )
        listed = [_entry(other) for other in others if type(other) is dict] if type(others) is list else []
        found.append({**_entry(chosen), "top_logprobs": listed})
    return tuple(found)


def _entry(candidate: dict[str, Any]) -> dict[str, Any]:
    token = text(candidate.get("token"))
    return {"token": token, "logprob": candidate.get("logProbability"), "bytes": list(token.encode())}
