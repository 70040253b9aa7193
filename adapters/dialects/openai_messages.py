"""Messages of `/v1/chat/completions`."""

import re
from collections.abc import Mapping
from typing import Any

from adapters.dialects.fields import Fields
from adapters.dialects.media import illegal_at, media_type
from adapters.dialects.toolcalls import OpenCalls, made_id
from adapters.raw_json import object_of
from pipeline.values.messages import Image, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult

FORMAT = "openai.chat"
# Signatures of thinking and the like, in the form in which all vendors' are told.
DETAILS = "reasoning_details"
ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
# Who can say nothing but words.
SPEAKERS = {name: role for name, role in ROLES.items() if role is not Role.TOOL}
DATA_URL = re.compile(r"data:([a-zA-Z0-9.+/-]*)(?:;[a-zA-Z0-9.=+/-]+)*;base64,")


def read_messages(fields: Fields) -> tuple[Message, ...]:
    """The conversation, never empty. Ids that are missing are made, and results tied to the calls they answer."""
    if "messages" not in fields.values or fields.values["messages"] in (None, []):
        # In Ollama's words, which name no field beside them.
        fields.faults.note("[] is too short - 'messages'")
    calls = OpenCalls()
    return tuple(
        _plain(each) or _message(fields.object("messages", turn, each), turn, calls)
        for turn, each in enumerate(fields.mappings("messages"))
    )


def _plain(message: Mapping[str, Any]) -> Message | None:
    """A message of a role and a text, as nearly all are."""
    role, content = message.get("role"), message.get("content")
    if len(message) != 2 or type(content) is not str or type(role) is not str or role not in SPEAKERS:
        return None
    return Message(SPEAKERS[role], (Text(content),))


def _message(fields: Fields, turn: int, calls: OpenCalls) -> Message:
    role = _role(fields)
    content = _content(fields)
    name = fields.text("name")
    if role is Role.TOOL:
        return Message(role, _result(fields, name or "", content, turn, calls))
    if role is not Role.ASSISTANT:
        if fields.values.get("content") is None:
            fields.faults.note(f"{fields.at('content')} is required", fields.at("content"))
        return Message(role, content, name)
    made = _calls(fields, turn)
    calls.add(call for call in made if isinstance(call, ToolCall))
    parts = (*_thinking(fields), *content, *_spoken(fields), *made)
    if not parts:
        fields.faults.note(
            f"{fields.at('content')} is required where there are no tool calls", fields.at("content")
        )
    return Message(role, parts, name)


def _role(fields: Fields) -> Role:
    sent = fields.text("role")
    if sent in ROLES:
        return ROLES[sent]
    if sent is not None or fields.values.get("role") is None:
        fields.faults.note(f"{fields.at('role')} must be one of {', '.join(ROLES)}", fields.at("role"))
    return Role.USER


def _content(fields: Fields) -> tuple[Part, ...]:
    match fields.values.get("content"):
        case None:
            return ()
        case str(text):
            return (Text(text),)
        case list():
            return tuple(_part(each) for each in fields.objects("content"))
        case _:
            fields.faults.note(
                f"{fields.at('content')} must be a string or an array of parts", fields.at("content")
            )
            return ()


def _part(fields: Fields) -> Part:
    match fields.text("type"):
        case "text":
            return Text(required(fields, "text"))
        case "refusal":
            return Text(required(fields, "refusal"))
        case "image_url":
            return _image(fields)
        case None:
            fields.faults.note(f"{fields.at('type')} is required", fields.at("type"))
    return Opaque(FORMAT, fields.values)


def required(fields: Fields, name: str) -> str:
    text = fields.text(name)
    if text is None:
        fields.faults.note(f"{fields.at(name)} is required", fields.at(name))
    return text or ""


def _image(fields: Fields) -> Image:
    """A picture, whose address stands in an object or in its place."""
    given = fields.values.get("image_url")
    bare = Fields({"url": given} if type(given) is str else {}, fields.faults, fields.at("image_url"))
    return picture(bare if type(given) is str else fields.inner("image_url") or bare, "url")


def picture(fields: Fields, name: str) -> Image:
    """A picture by `data:` address, or by one of the web for those providers that fetch it themselves."""
    url, detail = required(fields, name), fields.text("detail")
    if url.startswith(("https://", "http://")):
        return Image(url=url, detail=detail)
    head = DATA_URL.match(url)
    data = url[head.end() :] if head else ""
    if head is None or not data or illegal_at(data) is not None:
        fields.faults.note(
            f"{fields.at(name)} is an invalid image input: it must be a web address or base64 data",
            fields.at(name),
        )
        return Image()
    return Image(data=data, media_type=media_type(data) or head[1] or None, detail=detail)


def _thinking(fields: Fields) -> tuple[Reasoning, ...]:
    """What came as thinking, given back; under both names that are in use, with details for the vendor who told them."""
    text = fields.text("reasoning_content") or fields.text("reasoning") or ""
    details = fields.mappings(DETAILS)
    if not text:
        text = "".join(map(_words, details))
    return (Reasoning(text, {DETAILS: details} if details else {}),) if text or details else ()


def _words(detail: Mapping[str, Any]) -> str:
    """What a detail says in plain words; nothing if it is encrypted."""
    said = detail.get("text") or detail.get("summary")
    return said if type(said) is str else ""


def _spoken(fields: Fields) -> tuple[Part, ...]:
    refusal, audio = fields.text("refusal"), fields.mapping("audio")
    said: tuple[Part, ...] = (Text(refusal),) if refusal else ()
    return (*said, Opaque(FORMAT, {"audio": audio})) if audio else said


def _calls(fields: Fields, turn: int) -> tuple[ToolCall | Opaque, ...]:
    found: list[ToolCall | Opaque] = []
    for place, call in enumerate(fields.objects("tool_calls")):
        if call.text("type") in (None, "function"):
            found.append(_call(call, call.inner("function"), call.text("id") or made_id(turn, place)))
        else:
            found.append(Opaque(FORMAT, {"tool_calls": [call.values]}))
    if legacy := fields.inner("function_call"):
        found.append(_call(fields, legacy, made_id(turn, len(found))))
    return tuple(found)


def _call(fields: Fields, function: Fields | None, call_id: str) -> ToolCall:
    function = function or Fields({}, fields.faults, fields.at("function"))
    name = required(function, "name")
    given: Any = function.values.get("arguments")
    call = ToolCall(call_id, name, given if type(given) is str and given.strip() else "{}")
    if not (given is None or type(given) is str) or object_of(call.arguments) is None:
        place = function.at("arguments")
        function.faults.note(
            f"invalid tool call arguments: {place} must be the JSON text of an object", place
        )
    return call


def _result(
    fields: Fields, name: str, content: tuple[Part, ...], turn: int, calls: OpenCalls
) -> tuple[Part, ...]:
    """The result, its text joined; what is not text stands behind it."""
    call_id, known = calls.answered(fields.text("tool_call_id") or "", name, turn)
    text = "".join(part.text for part in content if isinstance(part, Text))
    return (ToolResult(call_id, known, text), *(part for part in content if not isinstance(part, Text)))
