"""Messages of `/v1/messages`: turns whose content is a text or a list of blocks.

What a block says is kept as the part every provider understands; what only Anthropic understands stays as it is.
Fields of blocks that have no place there are noted in `beside`, so that whoever cannot be told them says so.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, evolve, field

from adapters.dialects.anthropic_details import CLAUDE, DETAILS, unpacked
from adapters.dialects.fields import Fields
from adapters.dialects.media import illegal_at, media_type
from adapters.dialects.toolcalls import OpenCalls, made_id
from pipeline.values.messages import Image, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult

FORMAT = "anthropic.messages"
CHAT = "openai.chat"
ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
BILLING = "x-anthropic-billing-header:"
PDF, PLAIN = "application/pdf", "text/plain"


@define
class Reader:
    """What is gathered while the turns of one request are read. `cached`: whether some of it may be kept for later."""

    calls: OpenCalls = field(factory=OpenCalls)
    beside: dict[str, Any] = field(factory=dict)
    cached: bool = False

    def system(self, fields: Fields) -> tuple[Message, ...]:
        """The instructions: a text, or blocks of text."""
        parts = tuple(part for part in self._content(fields, "system") if not _wordless(part))
        return (Message(Role.SYSTEM, parts),) if parts else ()

    def messages(self, fields: Fields) -> tuple[Message, ...]:
        """The conversation, never empty."""
        if fields.values.get("messages") in (None, []):
            fields.faults.note("messages is required", "messages")
        turns = enumerate(fields.objects("messages"))
        return tuple(message for turn, each in turns for message in self._turn(each, turn))

    def _turn(self, fields: Fields, turn: int) -> Iterable[Message]:
        """A turn; results of tools stand apart, and before whatever else the user says with them."""
        role = _role(fields)
        if fields.values.get("content") is None:
            fields.faults.note(f"{fields.at('content')} is required", fields.at("content"))
        parts: list[Part] = []
        for block in self._blocks(fields, "content"):
            match block.text("type"):
                case "tool_result":
                    yield Message(Role.TOOL, self._result(block, turn))
                case "tool_use":
                    parts.append(self._call(block, turn, len(parts)))
                case _:
                    parts += self._parts(block)
        parts = _joined(parts)
        self.calls.add(part for part in parts if isinstance(part, ToolCall))
        if parts or not fields.values.get("content"):
            yield Message(role, tuple(parts))

    def _content(self, fields: Fields, name: str) -> tuple[Part, ...]:
        return tuple(part for block in self._blocks(fields, name) for part in self._parts(block))

    def _blocks(self, fields: Fields, name: str) -> list[Fields]:
        """The blocks of a field; a text is one."""
        match fields.values.get(name):
            case None:
                return []
            case str(text):
                return [Fields({"type": "text", "text": text}, fields.faults, fields.at(name))]
            case list():
                return fields.objects(name)
            case _:
                path = fields.at(name)
                fields.faults.note(f"{path} must be a string or an array of blocks", path)
                return []

    def _parts(self, block: Fields) -> tuple[Part, ...]:
        """One block, whatever it is but a call or a result."""
        mark = self.mark(block)
        match block.text("type"):
            case "text":
                if block.values.get("citations"):
                    self.beside["messages.citations"] = True
                return (Text(required(block, "text"), cache=mark),)
            case "image":
                return (self._image(block, mark),)
            case "document":
                return _marked(self._document(block), mark)
            case "search_result":
                return _marked(self._found(block), mark)
            case "thinking":
                return (_thought(block),)
            case "redacted_thinking":
                return (_hidden(block),)
            case None:
                block.faults.note(f"{block.at('type')} is required", block.at("type"))
        return (Opaque(FORMAT, block.values),)

    def mark(self, block: Fields) -> Mapping[str, Any] | None:
        """The mark that all up to here may be cached."""
        found = block.mapping("cache_control") or None
        self.cached = self.cached or found is not None
        return found

    def _image(self, block: Fields, mark: Mapping[str, Any] | None) -> Image | Opaque:
        source = block.inner("source") or Fields({}, block.faults, block.at("source"))
        match source.text("type"):
            case "base64":
                data, kind = required(source, "data"), source.text("media_type")
                if not data or illegal_at(data) is not None:
                    source.faults.note(f"{source.at('data')} must be base64 data", source.at("data"))
                    return Image()
                return Image(data=data, media_type=media_type(data) or kind or None, cache=mark)
            case "url":
                url = required(source, "url")
                if not url.startswith(("https://", "http://")):
                    source.faults.note(f"{source.at('url')} must be a web address", source.at("url"))
                return Image(url=url, cache=mark)
            case None:
                source.faults.note(f"{source.at('type')} is required", source.at("type"))
        return Opaque(FORMAT, block.values)

    def _document(self, block: Fields) -> tuple[Part, ...]:
        """A file in OpenAI's form, which most providers can be told; words as words; others as they are."""
        source = block.inner("source") or Fields({}, block.faults, block.at("source"))
        title, about = block.text("title"), block.text("context")
        match source.values:
            case {"type": "base64", "media_type": "application/pdf", "data": str(data)} if not about:
                name = title or "document.pdf"
                self._note_citations(block)
                file = {"filename": name, "file_data": f"data:{PDF};base64,{data}"}
                return (Opaque(CHAT, {"type": "file", "file": file}),)
            case {"type": "text", "data": str(words)}:
                pass
            case {"type": "base64", "media_type": "text/plain", "data": str(data)} if (
                plain := _plain(data)
            ) is not None:
                words = plain
            case {"type": "content", "content": str(words)}:
                pass
            case {"type": "content", "content": list()}:
                self._note_citations(block)
                said = self._content(source, "content")
                return (*(Text(line) for line in (title, about) if line), *said)
            case _:
                return (Opaque(FORMAT, block.values),)
        self._note_citations(block)
        self.beside["document"] = True
        return (Text("\n".join(line for line in (title, about, words) if line)),)

    def _note_citations(self, block: Fields) -> None:
        match block.values.get("citations"):
            case {"enabled": True}:
                self.beside["document.citations"] = True

    def _found(self, block: Fields) -> tuple[Part, ...]:
        """What a search found, in words."""
        self.beside["search_result"] = True
        self._note_citations(block)
        heads = (block.text("title"), block.text("source"))
        return (*(Text(f"{line}\n") for line in heads if line), *self._content(block, "content"))

    def _call(self, block: Fields, turn: int, place: int) -> ToolCall:
        given = block.mapping("input")
        id, name = required(block, "id"), required(block, "name")
        arguments = orjson.dumps(given or {}).decode()
        return ToolCall(id or made_id(turn, place), name, arguments, cache=self.mark(block))

    def _result(self, block: Fields, turn: int) -> tuple[Part, ...]:
        """The result, its texts as one; what is not text stands behind it."""
        call_id, name = self.calls.answered(required(block, "tool_use_id"), "", turn)
        said = self._content(block, "content")
        text = "\n".join(part.text for part in said if isinstance(part, Text))
        failed = block.flag("is_error") or False
        others = (part for part in said if not isinstance(part, Text))
        return (ToolResult(call_id, name, text, failed, cache=self.mark(block)), *others)


def _wordless(part: Part) -> bool:
    """Whether a block of the instructions tells a model nothing. One is for who sends the bill, and for nobody else."""
    return isinstance(part, Text) and (not part.text or part.text.startswith(BILLING))


def _marked(parts: tuple[Part, ...], mark: Mapping[str, Any] | None) -> tuple[Part, ...]:
    """What a block says, with its mark behind the last of it. A block of Anthropic's own has it inside."""
    if mark is None or not parts:
        return parts
    *others, last = parts
    if isinstance(last, Text) or (isinstance(last, Opaque) and last.format == CHAT):
        last = evolve(last, cache=mark)
    return (*others, last)


def required(fields: Fields, name: str) -> str:
    """A string that must be there."""
    text = fields.text(name)
    if text is None and fields.values.get(name) is None:
        fields.faults.note(f"{fields.at(name)} is required", fields.at(name))
    return text or ""


def _role(fields: Fields) -> Role:
    sent = fields.text("role")
    if sent in ROLES:
        return ROLES[sent]
    if sent is not None or fields.values.get("role") is None:
        fields.faults.note(f"{fields.at('role')} must be user or assistant", fields.at("role"))
    return Role.USER


def _joined(parts: list[Part]) -> list[Part]:
    """The parts, with bare thinking and the details that another vendor told behind it as one."""
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if (
            isinstance(part, Reasoning)
            and isinstance(last, Reasoning)
            and _foreign(part)
            and not _claudes(last)
        ):
            details = [*last.extra.get(DETAILS, ()), *part.extra[DETAILS]]
            found[-1] = Reasoning(last.text, {DETAILS: details})
        else:
            found.append(part)
    return found


def _foreign(thought: Reasoning) -> bool:
    return DETAILS in thought.extra and not _claudes(thought)


def _claudes(thought: Reasoning) -> bool:
    return any(detail.get("format") == CLAUDE for detail in thought.extra.get(DETAILS, ()))


def _plain(data: str) -> str | None:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _thought(block: Fields) -> Reasoning:
    """Thinking with its signature; without one nobody takes it back, but it still is what was thought."""
    text, signature = block.text("thinking") or "", block.text("signature")
    if not signature:
        return Reasoning(text)
    detail = {"type": "reasoning.text", "text": text, "signature": signature, "format": CLAUDE}
    return Reasoning(text, {DETAILS: [detail]})


def _hidden(block: Fields) -> Reasoning:
    data = required(block, "data")
    detail = unpacked(data) or {"type": "reasoning.encrypted", "data": data, "format": CLAUDE}
    return Reasoning("", {DETAILS: [detail]})
