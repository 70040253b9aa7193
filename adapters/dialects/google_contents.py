"""Conversations of Google's routes: turns of `user` and `model`, each a list of parts.

What a part says is kept as the part every provider understands; what only Google understands stays as it is. Results of
tools belong to the call of their id, or where they have none to the one of their name.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.dialects.fields import Fields
from adapters.dialects.google_thoughts import DETAILS, GEMINI, decoded, unpacked
from adapters.dialects.media import as_part, media_type
from adapters.dialects.toolcalls import OpenCalls, made_id
from pipeline.values.messages import Image, Message, Opaque, Part, Reasoning, Role, Text, ToolCall, ToolResult

FORMAT = "google.generate"
CHAT = "openai.chat"
ROLES: Mapping[str, Role] = {"user": Role.USER, "model": Role.ASSISTANT, "function": Role.USER}
PDF = "application/pdf"
# What is said in part names no other field of a part tells.
_OF_GOOGLE_ALONE = ("videoMetadata", "mediaResolution")


@define
class Reader:
    """What is gathered while the turns of one request are read. `beside`: fields that have no place in the parts."""

    calls: OpenCalls = field(factory=OpenCalls)
    beside: dict[str, Any] = field(factory=dict)

    def system(self, fields: Fields) -> tuple[Message, ...]:
        """The instructions."""
        content = fields.inner("systemInstruction")
        if content is None:
            return ()
        parts = tuple(part for each in parts_of(content) for part in self._parts(each) if part != Text(""))
        return (Message(Role.SYSTEM, parts),) if parts else ()

    def messages(self, fields: Fields) -> tuple[Message, ...]:
        """The conversation, never empty."""
        if fields.values.get("contents") in (None, []):
            fields.faults.note("contents is required", "contents")
        if type(fields.values.get("contents")) is dict:
            fields = Fields({"contents": [fields.values["contents"]]}, fields.faults, fields.path)
        turns = enumerate(fields.objects("contents"))
        return tuple(message for turn, each in turns for message in self._turn(each, turn))

    def _turn(self, content: Fields, turn: int) -> Iterable[Message]:
        """A turn; results of tools stand apart, and before whatever else is said with them."""
        role = _role(content)
        parts: list[Part] = []
        for part in parts_of(content):
            if "functionResponse" in part.values:
                yield Message(Role.TOOL, self._result(part, turn))
            elif "functionCall" in part.values:
                parts += self._call(part, turn, len(parts))
            else:
                parts += self._parts(part)
        said = [part for part in _joined(parts) if part != Text("")]
        self.calls.add(part for part in said if isinstance(part, ToolCall))
        if said or (role is Role.USER and parts):
            yield Message(role, tuple(said or parts))

    def _parts(self, part: Fields) -> tuple[Part, ...]:
        """One part, whatever it is but a call or a result."""
        for name in _OF_GOOGLE_ALONE:
            if part.values.get(name):
                self.beside[f"contents.{name}"] = True
        if (blob := part.inner("inlineData")) is not None:
            return (_blob(blob, part),)
        if (file := part.inner("fileData")) is not None:
            return (_file(file, part),)
        said, signature = part.text("text"), part.text("thoughtSignature")
        if said is None and not signature:
            return (Opaque(FORMAT, part.values),)
        if part.flag("thought"):
            return _thought(said or "", signature)
        return (*_signed(signature), Text(said or ""))

    def _call(self, part: Fields, turn: int, place: int) -> tuple[Part, ...]:
        call = part.inner("functionCall") or Fields({}, part.faults, part.at("functionCall"))
        id, given = call.text("id") or made_id(turn, place), call.mapping("args") or {}
        found = ToolCall(id, required(call, "name"), orjson.dumps(given).decode())
        return (*_signed(part.text("thoughtSignature"), id), found)

    def _result(self, part: Fields, turn: int) -> tuple[Part, ...]:
        """The result, and the media that belong to it."""
        result = part.inner("functionResponse") or Fields({}, part.faults, part.at("functionResponse"))
        call_id, name = self.calls.answered(result.text("id") or "", required(result, "name"), turn)
        response = result.mapping("response") or {}
        failed = response.keys() == {"error"}
        media = (found for each in result.objects("parts") for found in self._parts(each))
        return (ToolResult(call_id, name, _told(response), failed), *media)


def parts_of(content: Fields) -> list[Fields]:
    """The parts of a turn; one may stand for a list of it."""
    value = content.values.get("parts")
    if type(value) is dict:
        return [Fields(value, content.faults, content.at("parts"))]
    if value in (None, []):
        content.faults.note(f"{content.at('parts')} is required", content.at("parts"))
    return content.objects("parts")


def required(fields: Fields, name: str) -> str:
    """A string that must be there and say something."""
    text = fields.text(name)
    if not text and fields.values.get(name) in (None, ""):
        fields.faults.note(f"{fields.at(name)} is required", fields.at(name))
    return text or ""


def _role(content: Fields) -> Role:
    sent = content.text("role") or "user"
    if sent not in ROLES:
        content.faults.note(f"{content.at('role')} must be user or model", content.at("role"))
    return ROLES.get(sent, Role.USER)


def _told(response: Mapping[str, Any]) -> str:
    """A result as text; what stands alone under `result` is one that was no object."""
    if response.keys() != {"result"}:
        return orjson.dumps(response).decode()
    only = response["result"]
    return only if isinstance(only, str) else orjson.dumps(only).decode()


def _blob(blob: Fields, part: Fields) -> Part:
    """Data with its type: pictures, sound and PDF files in the form every provider is told them in, texts as words."""
    kind, sent = required(blob, "mimeType"), required(blob, "data")
    data = decoded(sent)
    if data is None:
        blob.faults.note(f"{blob.at('data')} must be base64 data", blob.at("data"))
        return Image()
    standard = base64.b64encode(data).decode()
    if kind.startswith("image/"):
        return Image(data=standard, media_type=media_type(standard) or kind)
    if kind in ("audio/wav", "audio/mp3", "audio/x-wav", "audio/mpeg"):
        sound = "audio/wav" if "wav" in kind else "audio/mp3"
        return as_part(Image(data=standard, media_type=sound))
    if kind == PDF:
        name = blob.text("displayName") or "document.pdf"
        file = {"filename": name, "file_data": f"data:{PDF};base64,{standard}"}
        return Opaque(CHAT, {"type": "file", "file": file})
    if kind.startswith("text/"):
        try:
            return Text(data.decode())
        except UnicodeDecodeError:
            pass
    return Opaque(FORMAT, part.values)


def _file(file: Fields, part: Fields) -> Part:
    """A picture on the open web is one for everybody; what lies with Google only Google gets at."""
    uri, kind = required(file, "fileUri"), file.text("mimeType")
    googles = "://generativelanguage.googleapis.com/" in uri
    if uri.startswith(("https://", "http://")) and not googles and (kind or "").startswith("image/"):
        return Image(url=uri, media_type=kind)
    return Opaque(FORMAT, part.values)


def _thought(text: str, signature: str | None) -> tuple[Part, ...]:
    if not signature:
        return (Reasoning(text),) if text else ()
    carried = unpacked(signature)
    if carried is not None:
        return (Reasoning(text, {DETAILS: carried}),)
    detail = {"type": "reasoning.text", "text": text, "signature": signature, "format": GEMINI}
    return (Reasoning(text, {DETAILS: [detail]}),)


def _signed(signature: str | None, call_id: str = "") -> tuple[Part, ...]:
    """What the signature of words or of a call stands for."""
    if not signature:
        return ()
    carried = unpacked(signature)
    if carried is None:
        of = {"id": call_id} if call_id else {}
        carried = [{"type": "reasoning.encrypted", "data": signature, **of, "format": GEMINI}]
    return (Reasoning("", {DETAILS: carried}),) if carried else ()


def _joined(parts: Iterable[Part]) -> list[Part]:
    """The parts, with thoughts that were told in pieces as one, and what another vendor told of them with it."""
    found: list[Part] = []
    bare: int | None = None
    for part in parts:
        if not isinstance(part, Reasoning):
            found.append(part)
            continue
        thought = found[bare] if bare is not None else None
        if bare is None or not isinstance(thought, Reasoning) or _is_gemini(part):
            bare = len(found) if DETAILS not in part.extra else None
            found.append(part)
        elif DETAILS in part.extra:
            found[bare] = Reasoning(thought.text + part.text, part.extra)
            bare = None
        else:
            found[bare] = Reasoning(thought.text + part.text)
    return found


def _is_gemini(thought: Reasoning) -> bool:
    return any(detail.get("format") == GEMINI for detail in thought.extra.get(DETAILS, ()))
