"""Replies in OpenAI's form, as events: /chat/completions, /completions and /embeddings, streamed or whole.

The shape of a reply says which endpoint it comes from (`object`), so servers that answer one with the other are read
too. Many servers speak this form with habits of their own; each is named where it is met.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.framing.frame import Frame
from adapters.providers.alike import Alike
from adapters.providers.details import Details, visible
from adapters.providers.errors import complaint
from adapters.providers.replies import Answer, count, made_call_id, text
from adapters.providers.thoughts import FORMAT, told
from adapters.providers.vectors import vectors
from pipeline.values.events import (
    Embedded,
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

CHAT = "openai.chat"
COMPLETIONS = "openai.completions"
EMBEDDINGS = "openai.embeddings"

DONE = b"data: [DONE]\n\n"

# Asked for usage, OpenAI adds this to each chunk; two ways to write it are in use.
_NO_USAGE = (b',"usage":null', b', "usage": null')

_REASONS: Mapping[str, Reason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}

# Of a delta, what has events of its own; all else travels as ExtraDelta.
_SPOKEN = frozenset(
    {
        *("role", "content", "refusal", "tool_calls", "function_call"),
        *("reasoning", "reasoning_content", FORMAT),
    }
)
# A delta of nothing but text.
_PLAIN = frozenset({"role", "content"})
# Of a whole reply, what has events of its own, and `obfuscation`, which is padding.
_TOLD = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
_UNTOLD = Usage()
# OpenAI gives at most 128 choices.
_MOST_CHOICES = 128


@define
class _Call:
    """One tool call of a choice. `index`: its place among those told; None until its name has come."""

    given: str | None = None
    index: int | None = None
    held: str = ""


@define
class _Choice:
    """What is known of one choice: its calls in the order they came, and by the upstream's index.

    `details`: of its thinking, while these are coming. `thought`: its thinking came as plain text.
    """

    calls: list[_Call] = field(factory=list)
    by_index: dict[int, _Call] = field(factory=dict)
    told: int = 0
    reason: Reason | None = None
    details: Details | None = None
    thought: bool = False

    @property
    def nameless(self) -> bool:
        """Whether a call never got its name. Those that did are told."""
        return self.told < len(self.calls)

    def call(self, index: int | None, id: str, name: str) -> _Call:
        """The call a fragment belongs to. Some servers leave out the index, or give all calls the same one."""
        if index is not None:
            known = self.by_index.get(index)
            if known is None or (id and name and known.given and known.given != id):
                known = self.by_index[index] = self._begun(id)
            return known
        if id:
            same = [call for call in self.calls if call.given == id]
            return same[0] if same else self._begun(id)
        return self._begun("") if name or not self.calls else self.calls[-1]

    def _begun(self, id: str) -> _Call:
        call = _Call(id or None)
        self.calls.append(call)
        return call


@define
class ChatAnswer(Answer):
    """One reply of /chat/completions or /completions. `usage_asked`: the client wants to see usage in the stream."""

    usage_asked: bool = False
    id: str | None = field(default=None, init=False)
    _choices: dict[int, _Choice] = field(factory=dict, init=False)
    _usage: Usage | None = field(default=None, init=False)
    _extra: dict[str, Any] = field(factory=dict, init=False)
    _alike: Alike = field(factory=Alike, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one frame: a chunk, the end mark, or an error."""
        data = frame.data
        said = None if frame.event else self._alike.text(data)
        if said is not None:
            if said:
                events.append(TextDelta(said, self._alike.choice))
            return True
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._no_chunk(data.strip(), events)
            return True
        if type(chunk) is not dict:
            self.fail(Kind.GARBLED, events)
            return True
        if frame.event == b"error" or chunk.get("error"):
            self.complain(complaint(chunk), events)
            return True
        choices = chunk.get("choices")
        if not self.started:
            if not choices and not chunk.get("model") and not chunk.get("usage"):
                # A verdict on the prompt, as some servers send it before the answer begins.
                self._beside(chunk)
                return True
            self._start(chunk, events)
        alone = None
        if type(choices) is list:
            for choice in choices:
                if type(choice) is dict and not self.ended:
                    alone = self._choice(choice, choice.get("delta"), events)
        if self.ended:
            return True
        usage = chunk.get("usage")
        if usage:
            self._usage = usage_of(usage) or self._usage
        elif alone is not None and type(choices) is list and len(choices) == 1:
            self._alike.learn(data, alone)
        if choices:
            return True
        self._beside(chunk)
        return self.usage_asked or not usage

    def shown(self, data: bytes) -> bytes:
        """Without the empty usage in each chunk, which is there because we asked. No text can hold these bytes."""
        if not self.usage_asked:
            for padding in _NO_USAGE:
                data = data.replace(padding, b"")
        return data

    def readable(self, frame: Frame) -> bool:
        """The end mark counts without its blank line as well."""
        return frame.data.strip() == b"[DONE]" or Answer.readable(self, frame)

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        told = document.get("choices")
        choices = [choice for choice in told if type(choice) is dict] if type(told) is list else []
        if not choices:
            self.fail(Kind.GARBLED, events)
            return
        self._start(document, events)
        for choice in choices:
            if not self.ended:
                self._choice(choice, _numbered(choice.get("message")), events)
        if self.ended:
            return
        self._usage = usage_of(document.get("usage"))
        self._finish(events)

    def close(self, events: list[Event]) -> bytes | None:
        """A stream whose finish reason came is whole without its mark."""
        if not any(choice.reason for choice in self._choices.values()):
            return None
        self._finish(events)
        return DONE

    def _no_chunk(self, data: bytes, events: list[Event]) -> None:
        if data == b"[DONE]" and self.started:
            self._finish(events)
        elif data:
            self.fail(Kind.GARBLED, events)

    def _start(self, chunk: dict[str, Any], events: list[Event]) -> None:
        self.started = True
        self.id = text(chunk.get("id")) or None
        kind = text(chunk.get("object"))
        if kind == "text_completion":
            self.format = COMPLETIONS
        elif kind.startswith("chat.completion"):
            self.format = CHAT
        self._beside(chunk)
        events.append(Started(text(chunk.get("model")) or self.model, self.id))

    def _beside(self, chunk: dict[str, Any]) -> None:
        """Keep what a chunk tells beside its choices: service tier, moderation and the like."""
        for name, value in chunk.items():
            if name not in _TOLD and value is not None:
                self._extra[name] = value

    def _choice(self, choice: dict[str, Any], delta: Any, events: list[Event]) -> TextDelta | None:
        """Read one choice of a chunk; its event, if that is all it says."""
        reason = choice.get("finish_reason")
        if reason == "error" or choice.get("error"):
            self.complain(complaint(choice), events)
            return None
        number = choice.get("index", 0)
        if type(number) is not int or not 0 <= number < _MOST_CHOICES:
            number = 0
        state = self._choices.get(number)
        if state is None:
            state = self._choices[number] = _Choice()
        if reason:
            state.reason = _REASONS.get(text(reason), "stop")
        logprobs = choice.get("logprobs")
        entries = _entries(logprobs) if logprobs else ()
        if type(delta) is not dict:
            if text(choice.get("text")) or entries:
                events.append(TextDelta(text(choice.get("text")), number, entries))
            return None
        said = delta.get("content")
        if entries or state.details or type(said) is not str or not delta.keys() <= _PLAIN:
            self._delta(delta, number, state, entries, events)
        elif said:
            # Nearly every chunk of nearly every stream.
            event = TextDelta(said, number)
            events.append(event)
            return None if reason else event
        return None

    def _delta(
        self,
        delta: dict[str, Any],
        number: int,
        state: _Choice,
        entries: tuple[Mapping[str, Any], ...],
        events: list[Event],
    ) -> None:
        # Servers that send both names for thinking send the same text twice.
        thinking = delta.get("reasoning_content") or delta.get("reasoning")
        if thinking and type(thinking) is str:
            events.append(ThinkingDelta(thinking, number))
            state.thought = True
        details = delta.get(FORMAT)
        if details and type(details) is list:
            self._details(details, number, state, events)
        content = delta.get("content")
        if state.details and (content or delta.get("tool_calls")):
            # What is to be given back is told before that which was thought about.
            self._end_details(number, state, events)
        if type(content) is list:
            thinking, content = _parts(content)
            if thinking:
                events.append(ThinkingDelta(thinking, number))
        if content and type(content) is str:
            events.append(TextDelta(content, number, entries))
        elif entries:
            events.append(TextDelta("", number, entries))
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            events.append(RefusalDelta(refusal, number))
        calls = delta.get("tool_calls")
        if type(calls) is list:
            for call in calls:
                self._tool_call(call, number, state, events)
        legacy = delta.get("function_call")
        if type(legacy) is dict:
            self._fragment(0, "", legacy, number, state, events)
        if not delta.keys() <= _SPOKEN:
            extra = {name: value for name, value in delta.items() if name not in _SPOKEN and value}
            if extra:
                events.append(ExtraDelta(CHAT, extra, number))

    def _details(self, pieces: list[Any], number: int, state: _Choice, events: list[Event]) -> None:
        """Read details of thinking: their words stand for it where it is not told as plain text as well."""
        words = "" if state.thought else visible(pieces)
        if words:
            events.append(ThinkingDelta(words, number))
        if state.details is None:
            state.details = Details()
        events += [told(detail, number) for detail in state.details.take(pieces)]

    def _end_details(self, number: int, state: _Choice, events: list[Event]) -> None:
        """No more details are coming for now."""
        if state.details is not None:
            events += [told(detail, number) for detail in state.details.close()]
            state.details = None

    def _tool_call(self, call: Any, number: int, state: _Choice, events: list[Event]) -> None:
        if type(call) is not dict:
            return
        function = call.get("function")
        if type(function) is not dict:
            # A call of another kind ("custom"), which only this format knows.
            events.append(ExtraDelta(CHAT, {"tool_calls": [call]}, number))
            return
        index = call.get("index")
        self._fragment(
            index if type(index) is int else None, text(call.get("id")), function, number, state, events
        )

    def _fragment(
        self,
        index: int | None,
        id: str,
        function: dict[str, Any],
        number: int,
        state: _Choice,
        events: list[Event],
    ) -> None:
        name, arguments = text(function.get("name")), _arguments(function.get("arguments"))
        call = state.call(index, id, name)
        if call.index is not None:
            if arguments:
                events.append(ToolCallDelta(call.index, None, None, arguments, number))
            return
        call.given = call.given or id or None
        if not name:
            call.held += arguments
            return
        call.index, state.told = state.told, state.told + 1
        known = call.given or made_call_id(f"{self.id} {number} {call.index}")
        events.append(ToolCallDelta(call.index, known, name, call.held + arguments, number))

    def _finish(self, events: list[Event]) -> None:
        """Tell the end. A call that never got a name cannot be called, and is no answer."""
        for choice in self._choices.values():
            if choice.nameless:
                self.fail(Kind.GARBLED, events)
                return
        for number, choice in self._choices.items():
            self._end_details(number, choice, events)
        if self._usage is not None:
            events.append(UsageSeen(self._usage))
        last = max(self._choices, default=0)
        reasons = [self._reason(number) for number in range(last + 1)]
        extra = {CHAT: self._extra} if self._extra else {}
        events.append(Finished(reasons[0], tuple(reasons[1:]), extra))
        self.ended = True

    def _reason(self, number: int) -> Reason:
        choice = self._choices.get(number)
        if choice is None:
            return "stop"
        # A forced call ends with "stop" at OpenAI, and each call does at some other servers.
        return "tool_calls" if choice.told and choice.reason in (None, "stop") else choice.reason or "stop"


@define
class EmbeddingAnswer(Answer):
    """One reply of /embeddings to `inputs` inputs."""

    inputs: int

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        found = _ordered(document.get("data"), self.inputs)
        if found is None:
            self.fail(Kind.GARBLED, events)
            return
        self.started = self.ended = True
        events += [Started(text(document.get("model")) or self.model), Embedded(found)]
        usage = usage_of(document.get("usage"))
        if usage is not None:
            events.append(UsageSeen(usage))
        events.append(Finished("stop"))


def usage_of(usage: Any) -> Usage | None:
    """What OpenAI's usage object says; None if it says nothing."""
    if type(usage) is not dict:
        return None
    given, made = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    asked, said = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    thought = count(made.get("reasoning_tokens")) if type(made) is dict else None
    if (
        asked is not None
        and said is not None
        and thought
        and usage.get("total_tokens") == asked + said + thought
    ):
        # Some count the thinking beside the answer and not in it (xAI): the sum tells.
        said += thought
    cached = count(given.get("cached_tokens")) if type(given) is dict else None
    seen = Usage(asked, said, cached, thought)
    return None if seen == _UNTOLD else seen


def _numbered(message: Any) -> Any:
    """A whole message whose calls have their places as indexes; they stand for themselves, whatever their ids."""
    if not isinstance(message, dict) or not isinstance(message.get("tool_calls"), list):
        return message
    calls = [
        {**call, "index": place} if isinstance(call, dict) else call
        for place, call in enumerate(message["tool_calls"])
    ]
    return {**message, "tool_calls": calls}


def _arguments(value: Any) -> str:
    """A piece of JSON text; some servers send the object itself."""
    if type(value) is str:
        return value
    return orjson.dumps(value).decode() if isinstance(value, dict) else ""


def _parts(content: list[Any]) -> tuple[str, str]:
    """Thinking and text of a content that comes in typed parts (Mistral)."""
    thinking, said = [], []
    for part in content:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            thinking += (
                [text(piece.get("text")) for piece in inner if isinstance(piece, dict)]
                if isinstance(inner, list)
                else [text(inner)]
            )
        else:
            said.append(text(part.get("text")))
    return "".join(thinking), "".join(said)


def _entries(logprobs: Any) -> tuple[Mapping[str, Any], ...]:
    """Token entries in the form of chat; /completions tells them in columns."""
    if type(logprobs) is not dict:
        return ()
    content = logprobs.get("content")
    if isinstance(content, list):
        return tuple(entry for entry in content if isinstance(entry, dict))
    tokens, chosen = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(chosen, list):
        return ()
    tops = logprobs.get("top_logprobs")
    others = tops if isinstance(tops, list) and len(tops) == len(tokens) else [None] * len(tokens)
    return tuple(_entry(*row) for row in zip(tokens, chosen, others, strict=False) if isinstance(row[0], str))


def _entry(token: str, logprob: Any, top: Any) -> dict[str, Any]:
    ranked: Iterable[tuple[str, Any]] = top.items() if isinstance(top, dict) else ()
    return {
        "token": token,
        "logprob": logprob,
        "bytes": list(token.encode()),
        "top_logprobs": [
            {"token": other, "logprob": value, "bytes": list(other.encode())} for other, value in ranked
        ],
    }


def _ordered(data: Any, inputs: int) -> tuple[list[float], ...] | None:
    """The vectors in the order of the inputs, which each tells as its index."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        return None
    places = [item.get("index") for item in data]
    if all(type(place) is int for place in places):
        data = sorted(data, key=lambda item: int(item["index"]))
    return vectors([item.get("embedding") for item in data], inputs)
