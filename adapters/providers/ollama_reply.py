"""Replies in Ollama's form, as events: /api/chat, /api/generate, /api/embed and /api/embeddings, streamed or whole.

A stream is a document a line; the last has `done` and what was counted and measured. Tool calls come whole, their
arguments as objects. An error inside a stream is a line of its own.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.framing.frame import Frame
from adapters.providers.errors import complaint
from adapters.providers.replies import Answer, count, made_call_id, text
from adapters.providers.vectors import vectors
from pipeline.values.events import (
    Embedded,
    Event,
    ExtraDelta,
    Finished,
    Reason,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.problems import Kind

CHAT = "ollama.chat"
GENERATE = "ollama.generate"
EMBED = "ollama.embed"
EMBEDDINGS = "ollama.embeddings"

# The name under which Ollama's own fields stand in `extra` and in `Finished.extra`.
FAMILY = "ollama"

_REASONS: Mapping[str, Reason] = {"stop": "stop", "length": "length", "load": "load", "unload": "unload"}

# Of a message, and of the last document, what has events of its own; all else travels as extra.
_SPOKEN = frozenset({"role", "content", "thinking", "tool_calls"})
_TOLD = frozenset(
    {
        "model",
        "created_at",
        "message",
        "response",
        "thinking",
        "tool_calls",
        "logprobs",
        "done",
        "done_reason",
        "prompt_eval_count",
        "eval_count",
        "embeddings",
        "embedding",
    }
)


@define
class ChatAnswer(Answer):
    """One reply of /api/chat or /api/generate."""

    _seed: str = field(default="", init=False)
    _calls: int = field(default=0, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one line."""
        try:
            line = orjson.loads(frame.data)
        except orjson.JSONDecodeError:
            line = None
        if type(line) is not dict:
            self.fail(Kind.GARBLED, events)
        elif line.get("error"):
            self.complain(complaint(line), events)
        else:
            self._line(line, events)
            if line.get("done") is True:
                self._finish(line, events)
        return True

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        if not isinstance(document.get("message"), dict) and not isinstance(document.get("response"), str):
            self.fail(Kind.GARBLED, events)
            return
        self._line(document, events)
        self._finish(document, events)

    def close(self, events: list[Event]) -> bytes | None:
        """Ollama always tells the end."""
        return None

    def _line(self, line: dict[str, Any], events: list[Event]) -> None:
        if not self.started:
            self.started = True
            # Ollama's replies have no id of their own; model and time are as good a seed.
            self._seed = f"{text(line.get('model'))} {text(line.get('created_at'))}"
            events.append(Started(text(line.get("model")) or self.model))
        message = line.get("message")
        if type(message) is dict:
            thinking, said, calls = message.get("thinking"), message.get("content"), message.get("tool_calls")
        else:
            message = {}
            thinking, said, calls = line.get("thinking"), line.get("response"), line.get("tool_calls")
        if thinking and type(thinking) is str:
            events.append(ThinkingDelta(thinking))
        logprobs = line.get("logprobs")
        if logprobs or (said and type(said) is str):
            events.append(TextDelta(text(said), 0, _entries(logprobs)))
        if type(calls) is list:
            for call in calls:
                self._call(call, events)
        if not message.keys() <= _SPOKEN:
            extra = {name: value for name, value in message.items() if name not in _SPOKEN and value}
            if extra:
                events.append(ExtraDelta(CHAT, extra))

    def _call(self, call: Any, events: list[Event]) -> None:
        function = call.get("function") if type(call) is dict else None
        if type(function) is not dict or not text(function.get("name")):
            return
        arguments = function.get("arguments")
        spoken = arguments if type(arguments) is str else orjson.dumps(arguments or {}).decode()
        id = text(call.get("id")) or made_call_id(f"{self._seed} {self._calls}")
        events.append(ToolCallDelta(self._calls, id, function["name"], spoken))
        self._calls += 1

    def _finish(self, line: dict[str, Any], events: list[Event]) -> None:
        usage = Usage(count(line.get("prompt_eval_count")), count(line.get("eval_count")))
        if usage != Usage():
            events.append(UsageSeen(usage))
        reason = _REASONS.get(text(line.get("done_reason")), "stop")
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        events.append(Finished(reason, extra=_extra(line)))
        self.ended = True


@define
class EmbeddingAnswer(Answer):
    """One reply of /api/embed, or of /api/embeddings, to `inputs` inputs."""

    inputs: int

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        found = document.get("embeddings") if self.format == EMBED else [document.get("embedding")]
        embedded = vectors(found, self.inputs)
        if embedded is None:
            self.fail(Kind.GARBLED, events)
            return
        self.started = self.ended = True
        events += [Started(text(document.get("model")) or self.model), Embedded(embedded)]
        tokens = count(document.get("prompt_eval_count"))
        if tokens is not None:
            events.append(UsageSeen(Usage(tokens)))
        events.append(Finished("stop", extra=_extra(document)))


def _extra(document: dict[str, Any]) -> dict[str, Any]:
    """Durations, context and all else that the last document says, as Ollama's own."""
    own = {name: value for name, value in document.items() if name not in _TOLD}
    return {FAMILY: own} if own else {}


def _entries(logprobs: Any) -> tuple[Mapping[str, Any], ...]:
    """Token entries; Ollama's have OpenAI's form."""
    if type(logprobs) is not list:
        return ()
    return tuple(entry for entry in logprobs if isinstance(entry, dict))
