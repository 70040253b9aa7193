"""The input of `/v1/responses`: items as turns.

A turn of the model is several items here: thinking, a message, calls. They are put together again, as all other forms
have them in one message. Items that only this form knows stay as they are, in the turn of the model.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.dialects.fields import Fields
from adapters.dialects.openai_messages import picture, required
from adapters.dialects.openai_responses_thoughts import DETAILS, OPENAI, opened
from adapters.dialects.toolcalls import OpenCalls, made_id
from adapters.raw_json import object_of
from pipeline.values.messages import Image, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult

FORMAT = "openai.responses"
CHAT = "openai.chat"
ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
}
# What parts thoughts from each other.
GAP = "\n\n"
KEPT_NOWHERE = (
    "refers to what an earlier call stored; this proxy stores nothing (store is false), so send it whole"
)


def read_input(fields: Fields) -> tuple[Message, ...]:
    """The conversation, instructions first. Never empty."""
    turns = _Turns(fields)
    if instructions := fields.text("instructions"):
        turns.add(Role.SYSTEM, Text(instructions))
    given = fields.values.get("input")
    if given is None or given == []:
        # In Ollama's words, which name no field beside them.
        fields.faults.note("invalid input")
    elif type(given) is str:
        turns.add(Role.USER, Text(given))
    elif type(given) is list:
        for place, item in enumerate(fields.objects("input")):
            turns.take(item, place)
    else:
        fields.faults.note("input must be a string or an array of items", "input")
    return tuple(Message(role, tuple(parts)) for role, parts in turns.found)


@define
class _Turns:
    """The turns that items make. Mutable: it lives while one request is read.

    `said`: the last item was a message of the model, so another one is a turn of its own.
    """

    fields: Fields
    found: list[tuple[Role, list[Part]]] = field(factory=list, init=False)
    calls: OpenCalls = field(factory=OpenCalls, init=False)
    said: bool = field(default=False, init=False)

    def add(self, role: Role, *parts: Part) -> None:
        """A turn of its own."""
        self.found.append((role, list(parts)))
        self.said = False

    def model(self, *parts: Part) -> None:
        """What the model did besides speaking joins its turn."""
        self.said = False
        if self.found and self.found[-1][0] is Role.ASSISTANT:
            self.found[-1][1].extend(parts)
        else:
            self.add(Role.ASSISTANT, *parts)

    def take(self, item: Fields, place: int) -> None:
        """Read one item."""
        kind = item.text("type")
        if kind is None and item.values.get("role") is None:
            kind = "item_reference" if "id" in item.values else None
        reader = READERS.get(kind or "message")
        if reader is not None:
            reader(self, item, place)
        else:
            self.model(Opaque(FORMAT, item.values))

    def message(self, item: Fields, place: int) -> None:
        """Words of anybody."""
        sent = item.text("role")
        if sent not in ROLES:
            item.faults.note(f"{item.at('role')} must be one of {', '.join(ROLES)}", item.at("role"))
        role, parts = ROLES.get(sent or "", Role.USER), _content(item, "content")
        if role is not Role.ASSISTANT:
            self.add(role, *parts)
            return
        if self.said:
            self.add(role, *parts)
        else:
            self.model(*parts)
        self.said = True

    def call(self, item: Fields, place: int) -> None:
        """A call of a function."""
        id, name = item.text("call_id") or made_id(place, 0), required(item, "name")
        made = ToolCall(id, name, _arguments(item))
        self.calls.add((made,))
        self.model(made)

    def custom(self, item: Fields, place: int) -> None:
        """A call of a tool that takes plain text, which only OpenAI has."""
        custom = {"name": required(item, "name"), "input": item.text("input") or ""}
        call = {"id": item.text("call_id") or made_id(place, 0), "type": "custom", "custom": custom}
        self.model(Opaque(CHAT, {"tool_calls": [call]}))

    def result(self, item: Fields, place: int) -> None:
        """What a tool answered; what is not text stands behind it."""
        call_id, name = self.calls.answered(item.text("call_id") or "", "", place)
        if item.values.get("output") is None:
            item.faults.note(f"{item.at('output')} is required", item.at("output"))
        parts = _content(item, "output")
        text = "".join(part.text for part in parts if isinstance(part, Text))
        others = (part for part in parts if not isinstance(part, Text))
        self.add(Role.TOOL, ToolResult(call_id, name, text), *others)

    def thought(self, item: Fields, place: int) -> None:
        """Thinking, with what its vendor wants back."""
        told = [required(part, "text") for name in ("summary", "content") for part in item.objects(name)]
        content = item.text("encrypted_content")
        details = opened(content, place) if content else []
        if told and details and details[0].get("format") == OPENAI:
            summary = {"type": "reasoning.summary", "format": OPENAI, "index": place}
            details = [*({**summary, "summary": text} for text in told), *details]
        if told or details:
            self.model(Reasoning(GAP.join(told), {DETAILS: details} if details else {}))

    def reference(self, item: Fields, place: int) -> None:
        """An item that is said to be stored."""
        item.faults.note(f"{item.path} {KEPT_NOWHERE}", item.path)


READERS: Mapping[str, Callable[[_Turns, Fields, int], None]] = {
    "message": _Turns.message,
    "function_call": _Turns.call,
    "function_call_output": _Turns.result,
    "custom_tool_call": _Turns.custom,
    "custom_tool_call_output": _Turns.result,
    "reasoning": _Turns.thought,
    "item_reference": _Turns.reference,
}


def _arguments(item: Fields) -> str:
    """JSON text of an object. Some clients pack the text into a JSON string once more, which OpenAI takes as well."""
    given: Any = item.values.get("arguments")
    text = given if type(given) is str and given.strip() else "{}"
    if text.lstrip().startswith('"'):
        try:
            text = str(orjson.loads(text))
        except orjson.JSONDecodeError:
            text = ""
    if not (given is None or type(given) is str) or object_of(text) is None or not text:
        place = item.at("arguments")
        item.faults.note(f"invalid tool call arguments: {place} must be the JSON text of an object", place)
        return "{}"
    return text


def _content(item: Fields, name: str) -> tuple[Part, ...]:
    match item.values.get(name):
        case None:
            if name == "content":
                item.faults.note(f"{item.at(name)} is required", item.at(name))
            return ()
        case str(text):
            return (Text(text),)
        case list():
            return tuple(_part(each) for each in item.objects(name))
        case _:
            item.faults.note(f"{item.at(name)} must be a string or an array of parts", item.at(name))
            return ()


def _part(part: Fields) -> Part:
    match part.text("type"):
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return Text(required(part, "text"))
        case "refusal":
            return Text(required(part, "refusal"))
        case "input_image":
            return _image(part)
        case "input_file":
            return _file(part)
        case "input_audio":
            return Opaque(CHAT, part.values)
        case None:
            part.faults.note(f"{part.at('type')} is required", part.at("type"))
    return Opaque(FORMAT, part.values)


def _image(part: Fields) -> Image | Opaque:
    """A picture by its address; by the id of a file only where OpenAI itself is asked."""
    if part.values.get("file_id") is not None and part.values.get("image_url") is None:
        return Opaque(FORMAT, part.values)
    return picture(part, "image_url")


def _file(part: Fields) -> Opaque:
    """A file in the form of chat, which more providers understand; by its address chat has none."""
    if part.values.get("file_url") is not None:
        return Opaque(FORMAT, part.values)
    names = ("filename", "file_data", "file_id")
    file = {name: part.values[name] for name in names if part.values.get(name) is not None}
    return Opaque(CHAT, {"type": "file", "file": file})
