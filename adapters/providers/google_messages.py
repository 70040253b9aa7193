"""A conversation as Google's `contents`: turns of `user` and `model`, each a list of parts.

Turns of one speaker that follow each other are one turn, but for the results of tools, which stand in a turn of their
own, in the order of their calls. Signatures go back to the parts they came with; a call of the current turn whose
signature the client did not keep gets the word by which Google lets such calls pass, or current models would refuse it.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures (2026-11).
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from adapters.providers import images, thoughts
from adapters.providers.google_families import Family
from adapters.providers.losses import Lost
from adapters.raw_json import object_of
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    Image,
    Message,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)

# Signatures that Google lets pass unread, for calls that were not its own or whose signature is gone.
_PASS = "skip_thought_signature_validator"
_OWN = "google."
# The kinds of pictures that Google takes, by the ends of their addresses.
_ENDINGS: Mapping[str, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
}


@define
class Conversation:
    """What is said, as it is built. `system`: parts of the system instruction; `names`: of calls, by their ids."""

    line: Family
    lost: Lost
    system: list[dict[str, Any]] = field(factory=list)
    contents: list[dict[str, Any]] = field(factory=list)
    names: dict[str, str] = field(factory=dict)

    def instruct(self, text: str) -> None:
        """Add to the system instruction, or to the first words where the line takes none."""
        if self.line.system:
            self.system.append({"text": text})
        else:
            self.contents[0]["parts"].insert(0, {"text": text})

    def say(self, role: str, parts: list[dict[str, Any]]) -> None:
        """Add parts to the turn that is going on, or begin one."""
        if not parts:
            return
        last = self.contents[-1] if self.contents else None
        if last is not None and last["role"] == role and "functionResponse" not in last["parts"][0]:
            last["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def answer(self, responses: list[dict[str, Any]]) -> None:
        """Add results of tools, which are in one turn if nothing else was said between them."""
        last = self.contents[-1] if self.contents else None
        if last is not None and "functionResponse" in last["parts"][0]:
            last["parts"] += responses
        elif responses:
            self.contents.append({"role": "user", "parts": responses})


def conversation(request: ChatRequest, line: Family, lost: Lost) -> Conversation:
    """All that `request` says."""
    turns = request.messages if request.prompt is None else _turns_of(request.prompt, lost)
    found = Conversation(line, lost)
    for turn in turns:
        _say(turn, found)
    _in_order(found.contents)
    if line.signed:
        _let_pass(found.contents)
    if found.system and not (line.system and found.contents):
        # Somebody has to say it: these models take no instruction, and none takes an instruction alone.
        found.contents[:1] = _told_by_user(found.system, found.contents[:1])
        found.system = []
        lost.add("system", How.EMULATED)
    if not found.contents:
        found.contents.append({"role": "user", "parts": [{"text": ""}]})
    return found


def _told_by_user(system: list[dict[str, Any]], first: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The instruction as the first words of the user, who may say more."""
    if first and first[0]["role"] == "user" and "functionResponse" not in first[0]["parts"][0]:
        return [{"role": "user", "parts": [*system, *first[0]["parts"]]}]
    return [{"role": "user", "parts": system}, *first]


def _turns_of(prompt: Prompt, lost: Lost) -> tuple[Message, ...]:
    """A prompt as a conversation of one turn."""
    lost.drop(template=prompt.template or None, context=prompt.context)
    if prompt.raw:
        lost.add("raw", How.EMULATED)
    said = Message(Role.USER, (Text(prompt.text), *prompt.images))
    return (Message(Role.SYSTEM, (Text(prompt.system),)), said) if prompt.system else (said,)


def _say(turn: Message, found: Conversation) -> None:
    if turn.name is not None:
        found.lost.add("messages.name")
    if turn.role is Role.SYSTEM:
        _instruct(turn, found)
    elif turn.role is Role.ASSISTANT:
        found.say("model", _model_parts(turn.parts, found))
    else:
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        found.answer([_response(result, found) for result in results])
        found.say("user", _user_parts(turn.parts, found.lost))


def _instruct(turn: Message, found: Conversation) -> None:
    """System messages are gathered; one that came later is said earlier than it was meant."""
    said = [{"text": part.text} for part in turn.parts if isinstance(part, Text) and part.text]
    if said and found.contents:
        found.lost.add("system", How.APPROXIMATED)
    found.lost.drop(**{"messages.images": any(isinstance(part, Image) for part in turn.parts)})
    for part in turn.parts:
        if isinstance(part, Opaque):
            found.lost.opaque(part)
    found.system += said


def _user_parts(parts: Iterable[Part], lost: Lost) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(said) if said:
                found.append({"text": said})
            case Image():
                if part.detail not in (None, "auto"):
                    lost.add("detail")
                found.append(_picture(part))
            case Opaque():
                found += _own_part(part, lost)
            case _:
                pass
    return found


def _model_parts(parts: tuple[Part, ...], found: Conversation) -> list[dict[str, Any]]:
    """A turn of the model: its signed thoughts, then what it said and called, with the signatures that belong there."""
    details = thoughts.given_back(parts, thoughts.GEMINI)
    by_call = {detail.get("id"): detail.get("data") for detail in details if detail.get("id")}
    said = _signed_thoughts(details)
    if not details and any(isinstance(part, Reasoning) and part.text for part in parts):
        # Google takes no thoughts back but what it has signed.
        found.lost.add("messages.thinking")
    for part in parts:
        match part:
            case Text(text) if text:
                said.append({"text": text})
            case ToolCall(id, name):
                found.names[id] = name
                said.append(_signed(_call(part, found.lost), by_call.get(id)))
            case Image():
                found.lost.add("messages.images")
            case Opaque():
                said += _own_part(part, found.lost)
            case _:
                pass
    loose = [detail["data"] for detail in details if _is_loose(detail)]
    return _signed_at_end(said, loose[-1]) if loose else said


def _signed_thoughts(details: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"text": detail.get("text") or "", "thought": True, "thoughtSignature": detail["signature"]}
        for detail in details
        if detail.get("type") == "reasoning.text" and isinstance(detail.get("signature"), str)
    ]


def _is_loose(detail: Mapping[str, Any]) -> bool:
    """Whether this is the signature of what was said, not of a call."""
    return (
        detail.get("type") == "reasoning.encrypted"
        and not detail.get("id")
        and isinstance(detail.get("data"), str)
    )


def _signed_at_end(said: list[dict[str, Any]], signature: str) -> list[dict[str, Any]]:
    """With the signature on the last words, or on empty ones, as it may come in a stream."""
    for part in reversed(said):
        if "text" in part and "thought" not in part:
            part["thoughtSignature"] = signature
            return said
    return [*said, {"text": "", "thoughtSignature": signature}]


def _signed(part: dict[str, Any], signature: Any) -> dict[str, Any]:
    return {**part, "thoughtSignature": signature} if isinstance(signature, str) else part


def _call(call: ToolCall, lost: Lost) -> dict[str, Any]:
    arguments = object_of(call.arguments)
    if arguments is None:
        lost.add("messages.tool_calls", How.APPROXIMATED)
    given = {"arguments": call.arguments} if arguments is None else arguments
    return {"functionCall": {"id": call.id, "name": call.name, "args": given}}


def _response(result: ToolResult, found: Conversation) -> dict[str, Any]:
    """A result is an object; what is none stands in one as `result`."""
    text = result.text.strip()
    value = object_of(text) if text.startswith("{") else None
    name = found.names.get(result.call_id) or result.name or result.call_id
    response = {"result": result.text} if value is None else value
    return {"functionResponse": {"id": result.call_id, "name": name, "response": response}}


def _own_part(part: Opaque, lost: Lost) -> list[dict[str, Any]]:
    if part.format.startswith(_OWN):
        return [dict(part.value)]
    lost.opaque(part)
    return []


def _picture(image: Image) -> dict[str, Any]:
    if image.data is not None:
        sniffed = image.media_type or images.media_type(image.data) or "image/jpeg"
        return {"inlineData": {"mimeType": sniffed, "data": image.data}}
    ending = urlsplit(image.url or "").path.rpartition(".")[2].lower()
    kind = image.media_type or _ENDINGS.get(ending)
    return {"fileData": {**({"mimeType": kind} if kind else {}), "fileUri": image.url}}


def fetched(image: Image, line: Family) -> bool:
    """Whether Google gets at the picture by itself: its own storage, and for current models the open web."""
    url = image.url or ""
    if url.startswith(("gs://", "https://generativelanguage.googleapis.com/")):
        return True
    return line.fetches and url.startswith("https://")


def _in_order(contents: list[dict[str, Any]]) -> None:
    """Results in the order of the calls they answer."""
    for calls, results in pairwise(contents):
        if "functionResponse" not in results["parts"][0]:
            continue
        asked = [part["functionCall"]["id"] for part in calls["parts"] if "functionCall" in part]
        place = {id: at for at, id in enumerate(asked)}
        results["parts"].sort(key=lambda part: place.get(part["functionResponse"]["id"], len(place)))


def _let_pass(contents: list[dict[str, Any]]) -> None:
    """Mark the first call of each step of the current turn that has no signature; earlier turns are not looked at."""
    for turn in reversed(contents):
        first = next((part for part in turn["parts"] if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", _PASS)
        elif turn["role"] == "user" and any("text" in part for part in turn["parts"]):
            return
