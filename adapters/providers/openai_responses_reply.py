"""Replies of OpenAI's /responses as events, streamed or whole.

A reply is a list of items: thinking, calls, messages in parts, and what tools of the provider's own did. A stream says
each piece several times: as it comes, when its part is done, when its item is done, and when all is done. It is told
here once, as early as it is known; what never came in pieces is told when its item is done.
Source: https://platform.openai.com/docs/api-reference/responses-streaming (2026-11).
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, evolve, field

from adapters.framing.frame import Frame
from adapters.providers.errors import Complaint, complaint
from adapters.providers.openai_reply import CHAT
from adapters.providers.replies import Answer, count, made_call_id, parsed, text
from adapters.providers.thoughts import RESPONSES as THOUGHTS
from adapters.providers.thoughts import told
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

RESPONSES = "openai.responses"

_REASONS: Mapping[str, Reason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
}
# Codes of a failed response that blame the request, which has no status of its own by then.
_BLAMING = (
    "invalid_",
    "image_",
    "empty_image",
    "failed_to_download_image",
    "unsupported_image",
    "bio_policy",
)
# What parts thoughts from each other: each begins with its own heading.
_GAP = "\n\n"


@define(eq=False)
class _Item:
    """What is known of one item. `call`: its place among the calls that were told; `held`: arguments before its name.

    `spoken`: some of its text, thinking or arguments was told; `noted`: some of its annotations; `done`: all was.
    """

    call: int | None = None
    held: str = ""
    spoken: bool = False
    noted: bool = False
    done: bool = False


@define
class ResponseAnswer(Answer):
    """One reply of /responses."""

    id: str | None = field(default=None, init=False)
    _items: dict[int | str, _Item] = field(factory=dict, init=False)
    _calls: int = field(default=0, init=False)
    _called: bool = field(default=False, init=False)
    _details: int = field(default=0, init=False)
    # Where the last thinking stood: its item, and its part of that.
    _thought: tuple[_Item, Any] | None = field(default=None, init=False)

    def take(self, frame: Frame, events: list[Event]) -> bool:
        """Read one event. Kinds that are not known here tell of progress alone."""
        chunk = parsed(frame.data)
        if type(chunk) is not dict:
            # Some servers end with the mark of /chat/completions, after the event that is the end.
            if frame.data.strip() not in (b"", b"[DONE]"):
                self.fail(Kind.GARBLED, events)
            return True
        kind = chunk.get("type")
        if kind == "error" or chunk.get("error"):
            self.complain(complaint(chunk), events)
            return True
        step = _STEPS.get(kind) if type(kind) is str else None
        if step is not None:
            if not self.started:
                self._start(chunk.get("response"), events)
            step(self, chunk, events)
        return True

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        if type(document.get("output")) is not list:
            self.fail(Kind.GARBLED, events)
        elif document.get("status") in ("failed", "cancelled"):
            self.complain(Complaint(), events)
        else:
            self._start(document, events)
            self.completed({"response": document}, events)

    def close(self, events: list[Event]) -> bytes | None:
        """Nothing but its last event makes a stream whole."""
        return None

    def complain(self, said: Complaint, events: list[Event]) -> None:
        """See `Answer`."""
        if said.status is None and any(code.startswith(_BLAMING) for code in said.codes):
            said = evolve(said, status=400)
        Answer.complain(self, said, events)

    def begun(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """The reply has begun, which `take` has told."""

    def text_delta(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A piece of a text, with the tokens it is made of."""
        said, entries = text(chunk.get("delta")), _entries(chunk.get("logprobs"))
        if said or entries:
            self._item(chunk).spoken = True
            events.append(TextDelta(said, 0, entries))

    def refusal_delta(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A piece of a refusal."""
        if said := text(chunk.get("delta")):
            self._item(chunk).spoken = True
            events.append(RefusalDelta(said))

    def thinking_delta(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A piece of thinking, or of what sums it up."""
        item = self._item(chunk)
        part = chunk.get("summary_index", chunk.get("content_index"))
        self._think(item, part, text(chunk.get("delta")), events)

    def annotation(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A note on the text: a citation, a file."""
        self._item(chunk).noted = True
        _note(chunk.get("annotation"), events)

    def arguments_delta(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A piece of a call's arguments."""
        item, piece = self._item(chunk), text(chunk.get("delta"))
        if item.call is None:
            item.held += piece
        elif piece:
            item.spoken = True
            events.append(ToolCallDelta(item.call, arguments=piece))

    def arguments_done(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """A call's arguments as a whole."""
        item = self._item(chunk)
        if item.call is not None:
            _argue(item, text(chunk.get("arguments")), events)

    def item_added(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """An item begins. Of a call we learn what is called; its arguments are yet to come."""
        given = chunk.get("item")
        if type(given) is dict and given.get("type") == "function_call":
            self._call(self._item(chunk), given, events)

    def item_done(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """An item is whole."""
        given = chunk.get("item")
        if type(given) is dict:
            self._whole_item(self._item(chunk), given, events)

    def completed(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """The end: what was not told of the items yet, what was used, and why it ends."""
        response = chunk.get("response")
        response = response if type(response) is dict else {}
        output = response.get("output")
        for place, given in enumerate(output if type(output) is list else ()):
            if type(given) is dict and not self.ended:
                item = self._item({"output_index": place, "item": given})
                self._whole_item(item, given, events)
        if self.ended:
            return
        if any(item.call is None and item.held for item in self._items.values()):
            self.fail(Kind.GARBLED, events)
            return
        usage = usage_of(response.get("usage"))
        if usage is not None:
            events.append(UsageSeen(usage))
        tier = text(response.get("service_tier"))
        extra = {CHAT: {"service_tier": tier}} if tier else {}
        events.append(Finished(self._reason(response), (), extra))
        self.ended = True

    def failed(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """The end of a reply that did not work out."""
        response = chunk.get("response")
        error = response.get("error") if type(response) is dict else None
        self.complain(complaint({"error": error}) if error else Complaint(), events)

    def _start(self, response: Any, events: list[Event]) -> None:
        self.started = True
        response = response if type(response) is dict else {}
        self.id = text(response.get("id")) or None
        events.append(Started(text(response.get("model")) or self.model, self.id))

    def _item(self, chunk: dict[str, Any]) -> _Item:
        """The item a piece belongs to. Its place tells; its id does where there is no place (ids may change on the way)."""
        place, given = chunk.get("output_index"), chunk.get("item")
        id = text(chunk.get("item_id")) or (text(given.get("id")) if type(given) is dict else "")
        known = self._items.get(place) if type(place) is int else None
        if known is None and id:
            known = self._items.get(id)
        if known is None:
            known = self._items[place if type(place) is int else id] = _Item()
        return known

    def _call(self, item: _Item, given: dict[str, Any], events: list[Event]) -> None:
        name = text(given.get("name"))
        if not name or item.call is not None:
            return
        item.call, self._calls, self._called = self._calls, self._calls + 1, True
        id = text(given.get("call_id")) or text(given.get("id"))
        known = id or made_call_id(f"{self.id} 0 {item.call}")
        item.spoken = bool(item.held)
        events.append(ToolCallDelta(item.call, known, name, item.held))

    def _whole_item(self, item: _Item, given: dict[str, Any], events: list[Event]) -> None:
        """Tell what was not told yet of an item that is done."""
        if item.done:
            return
        item.done = True
        kind = given.get("type")
        if kind == "function_call":
            self._call(item, given, events)
            if item.call is None:
                # What has no name cannot be called.
                self.fail(Kind.GARBLED, events)
            else:
                _argue(item, text(given.get("arguments")), events)
        elif kind == "message":
            _say(item, given.get("content"), events)
        elif kind == "reasoning":
            self._reasoning(item, given, events)
        elif type(kind) is str:
            events.append(ExtraDelta(RESPONSES, {"output": [given]}))
            if kind == "custom_tool_call":
                self._called = True
                events.append(ExtraDelta(CHAT, {"tool_calls": [_custom(given)]}))

    def _reasoning(self, item: _Item, given: dict[str, Any], events: list[Event]) -> None:
        if not item.spoken:
            for name in ("summary", "content"):
                parts = given.get(name)
                for place, part in enumerate(parts if type(parts) is list else ()):
                    if type(part) is dict:
                        self._think(item, (name, place), text(part.get("text")), events)
        data = text(given.get("encrypted_content"))
        if data:
            kept = {"type": "reasoning.encrypted", "data": data, "format": THOUGHTS, "index": self._details}
            id = text(given.get("id"))
            events.append(told({**kept, "id": id} if id else kept))
            self._details += 1

    def _think(self, item: _Item, part: Any, piece: str, events: list[Event]) -> None:
        if not piece:
            return
        place = (item, part)
        gap = _GAP if self._thought not in (None, place) else ""
        self._thought, item.spoken = place, True
        events.append(ThinkingDelta(gap + piece))

    def _reason(self, response: dict[str, Any]) -> Reason:
        details = response.get("incomplete_details")
        why = text(details.get("reason")) if type(details) is dict else ""
        if why in _REASONS:
            return _REASONS[why]
        return "tool_calls" if self._called else "stop"


_STEPS: Mapping[str, Callable[[ResponseAnswer, dict[str, Any], list[Event]], None]] = {
    "response.created": ResponseAnswer.begun,
    "response.queued": ResponseAnswer.begun,
    "response.in_progress": ResponseAnswer.begun,
    "response.output_item.added": ResponseAnswer.item_added,
    "response.output_item.done": ResponseAnswer.item_done,
    "response.output_text.delta": ResponseAnswer.text_delta,
    "response.output_text.annotation.added": ResponseAnswer.annotation,
    "response.refusal.delta": ResponseAnswer.refusal_delta,
    "response.reasoning_text.delta": ResponseAnswer.thinking_delta,
    "response.reasoning_summary_text.delta": ResponseAnswer.thinking_delta,
    "response.function_call_arguments.delta": ResponseAnswer.arguments_delta,
    "response.function_call_arguments.done": ResponseAnswer.arguments_done,
    "response.completed": ResponseAnswer.completed,
    "response.incomplete": ResponseAnswer.completed,
    "response.failed": ResponseAnswer.failed,
    "response.cancelled": ResponseAnswer.failed,
}


def is_response(data: bytes) -> bool:
    """Whether a document is one of /responses: a whole reply, or an event of its stream."""
    if b'"response' not in data and b'"error"' not in data:
        return False
    document = parsed(data)
    if type(document) is not dict:
        return False
    kind = text(document.get("type"))
    return document.get("object") == "response" or kind == "error" or kind.startswith("response.")


def usage_of(usage: Any) -> Usage | None:
    """What a usage object says; None if it says nothing."""
    if type(usage) is not dict:
        return None
    given, made = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    seen = Usage(
        count(usage.get("input_tokens")),
        count(usage.get("output_tokens")),
        count(given.get("cached_tokens")) if type(given) is dict else None,
        count(made.get("reasoning_tokens")) if type(made) is dict else None,
    )
    return None if seen == Usage() else seen


def _argue(item: _Item, arguments: str, events: list[Event]) -> None:
    """Tell the arguments of a call of which no piece has come."""
    if arguments and not item.spoken and item.call is not None:
        item.spoken = True
        events.append(ToolCallDelta(item.call, arguments=arguments))


def _say(item: _Item, content: Any, events: list[Event]) -> None:
    """Tell a message: its text if no piece of it has come, and its annotations likewise."""
    for part in content if type(content) is list else ():
        if type(part) is not dict:
            continue
        said, refused = text(part.get("text")), text(part.get("refusal"))
        if not item.spoken and said:
            events.append(TextDelta(said, 0, _entries(part.get("logprobs"))))
        if not item.spoken and refused:
            events.append(RefusalDelta(refused))
        notes = part.get("annotations")
        for note in notes if type(notes) is list and not item.noted else ():
            _note(note, events)


def _note(note: Any, events: list[Event]) -> None:
    """An annotation, in the form of both of OpenAI's endpoints where both have one for it."""
    if type(note) is not dict:
        return
    events.append(ExtraDelta(RESPONSES, {"annotations": [note]}))
    if note.get("type") == "url_citation":
        cited = {name: value for name, value in note.items() if name != "type"}
        events.append(ExtraDelta(CHAT, {"annotations": [{"type": "url_citation", "url_citation": cited}]}))


def _custom(given: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool that takes plain text, in the form of /chat/completions."""
    custom = {"name": text(given.get("name")), "input": text(given.get("input"))}
    return {"id": text(given.get("call_id")), "type": "custom", "custom": custom}


def _entries(logprobs: Any) -> tuple[Mapping[str, Any], ...]:
    """Token entries in the form of chat; in a stream they lack their bytes."""
    if not logprobs or type(logprobs) is not list:
        return ()
    return tuple(
        _entry(entry) for entry in logprobs if type(entry) is dict and type(entry.get("token")) is str
    )


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    others = entry.get("top_logprobs")
    ranked = [_token(other) for other in others if type(other) is dict] if type(others) is list else []
    return {**_token(entry), "top_logprobs": ranked}


def _token(entry: dict[str, Any]) -> dict[str, Any]:
    known = text(entry.get("token"))
    return {
        "token": known,
        "logprob": entry.get("logprob"),
        "bytes": entry.get("bytes") or list(known.encode()),
    }
