"""Messages and tools of `/api/chat`."""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.dialects.fields import Fields
from adapters.dialects.media import as_part
from adapters.dialects.ollama_fields import read_images
from adapters.dialects.toolcalls import OpenCalls, made_id
from pipeline.values.messages import Message, Part, Reasoning, Role, Text, Tool, ToolCall, ToolResult

ROLES = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.TOOL}
SILENT = Message(Role.ASSISTANT, (Text(""),))


def read_messages(fields: Fields) -> tuple[Message, ...]:
    """The conversation. Ids that are missing are made, and results tied to the calls they answer.

    Clients that give back a stream piece by piece end it with an empty message, which would part calls from results.
    """
    calls = OpenCalls()
    found: list[Message] = []
    for turn, each in enumerate(fields.mappings("messages")):
        message = _plain(each) or _message(fields.object("messages", turn, each), turn, calls)
        if not (calls.calls and message == SILENT):
            found.append(message)
    return tuple(found)


def _plain(message: Mapping[str, Any]) -> Message | None:
    """A message of a role and a text, as nearly all are."""
    said, content = message.get("role"), message.get("content")
    if len(message) != 2 or type(content) is not str or type(said) is not str:
        return None
    role = ROLES.get(said.lower(), Role.USER)
    return None if role is Role.TOOL else Message(role, (Text(content),))


def _message(fields: Fields, turn: int, calls: OpenCalls) -> Message:
    role = ROLES.get((fields.text("role") or "").lower(), Role.USER)
    content = fields.text("content") or ""
    thinking = fields.text("thinking")
    images = tuple(as_part(image) for image in read_images(fields))
    made = _tool_calls(fields, turn)
    named, call_id = fields.text("tool_name") or "", fields.text("tool_call_id") or ""
    parts: tuple[Part, ...]
    if role is Role.TOOL:
        answered, name = calls.answered(call_id, named, turn)
        parts = (ToolResult(answered, name, content), *images)
    else:
        given = [call.get("id") for call in fields.mappings("tool_calls")] if made else ()
        calls.add(made, {call.id for call in made if call.id not in given})
        said = (Text(content),) if content or not (thinking or images or made) else ()
        parts = (*((Reasoning(thinking),) if thinking else ()), *said, *images, *made)
    return Message(role, parts)


def _tool_calls(fields: Fields, turn: int) -> tuple[ToolCall, ...]:
    found = []
    for place, call in enumerate(fields.objects("tool_calls")):
        function = call.inner("function") or Fields({}, fields.faults)
        call_id = call.text("id") or made_id(turn, place)
        found.append(ToolCall(call_id, function.text("name") or "", _arguments(function)))
    return tuple(found)


def _arguments(function: Fields) -> str:
    match function.values.get("arguments"):
        case None:
            return "{}"
        case dict() as value:
            return orjson.dumps(value).decode()
        case str():
            text = "Value looks like object, but can't find closing '}' symbol"
            function.faults.note(text, function.at("arguments"))
        case other:
            function.faults.wrong(function.at("arguments"), other, "object")
    return "{}"


def read_tools(fields: Fields) -> tuple[Tool, ...]:
    """The functions offered to the model."""
    return tuple(_tool(each) for each in fields.objects("tools"))


def _tool(fields: Fields) -> Tool:
    fields.text("type")
    function = fields.inner("function")
    if function is None:
        fields.faults.note(f"{fields.at('function')} is required", fields.at("function"))
        return Tool("")
    name = function.text("name") or ""
    if not name:
        fields.faults.note(f"{function.at('name')} is required", function.at("name"))
    parameters = function.inner("parameters")
    if parameters is not None:
        _check_property_types(parameters)
    return Tool(name, function.text("description"), function.mapping("parameters"))


def _check_property_types(parameters: Fields) -> None:
    """Ollama insists that the type of a property is a string or several."""
    for name, value in (parameters.mapping("properties") or {}).items():
        kind: Any = value.get("type") if isinstance(value, dict) else None
        several = isinstance(kind, list) and all(type(item) is str for item in kind)
        if kind is not None and type(kind) is not str and not several:
            parameters.faults.wrong(f"{parameters.at('properties')}.{name}.type", kind, "string")
