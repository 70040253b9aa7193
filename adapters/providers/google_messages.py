"""A conversation as Google's `contents`: turns of `user` and `model`, each a list of parts.

Turns of one speaker that follow each other are one turn, but for the results of tools: each call is answered in the turn
that follows it, which holds nothing else, in the order of the calls. Signatures go back to the parts they came with; a
call of the current turn whose signature the client did not keep gets the word by which Google lets such calls pass, or
current models would refuse it.
Source: https://ai.google.dev/gemini-api/docs/thought-signatures (2026-11).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from attrs import define, field

from adapters.providers import images, thoughts
from adapters.providers.google_families import Family
from adapters.providers.google_files import inline_data
from adapters.providers.losses import Lost
from adapters.providers.stopgaps import BEGINNING, NO_RESULT, retold
from adapters.providers.tool_names import Form, Names, names_of
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
# What names of tools may be.
NAMES = Form(64, re.compile(r"[^a-zA-Z0-9_.:-]"), re.compile(r"[a-zA-Z_]"))
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
    """What is said, as it is built.

    `tools`: names of those that are offered; `system`: parts of the system instruction; `names`: of calls, by their ids.
    """

    line: Family
    lost: Lost
    tools: Names
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
        if last is not None and last["role"] == role:
            last["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})


def conversation(request: ChatRequest, line: Family, lost: Lost) -> Conversation:
    """All that `request` says."""
    turns = request.messages if request.prompt is None else _turns_of(request.prompt, lost)
    found = Conversation(line, lost, names_of(request.tools, NAMES))
    for turn in turns:
        _say(turn, found)
    found.contents = _paired(found.contents, lost)
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
        found.say("user", _user_parts(turn.parts, found))


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


def _user_parts(parts: Iterable[Part], conversation: Conversation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(said) if said:
                found.append({"text": said})
            case Image():
                if part.detail not in (None, "auto"):
                    conversation.lost.add("detail")
                found.append(_picture(part))
            case ToolResult():
                found.append(_response(part, conversation))
            case Opaque():
                found += _other_part(part, conversation)
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
                said.append(_signed(_call(part, found), by_call.get(id)))
            case Image():
                found.lost.add("messages.images")
            case Opaque():
                said += _other_part(part, found)
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


def _call(call: ToolCall, found: Conversation) -> dict[str, Any]:
    arguments = object_of(call.arguments)
    if arguments is None:
        found.lost.add("messages.tool_calls", How.APPROXIMATED)
    given = {"arguments": call.arguments} if arguments is None else arguments
    return {"functionCall": {"id": call.id, "name": found.tools.sent(call.name), "args": given}}


def _response(result: ToolResult, found: Conversation) -> dict[str, Any]:
    """A result is an object; what is none stands in one as `result`, and what went wrong as `error`."""
    text = result.text.strip()
    value = object_of(text) if text.startswith("{") else None
    name = found.names.get(result.call_id) or result.name or result.call_id
    response: Any = {"result": result.text} if value is None else value
    if result.failed:
        response = {"error": result.text if value is None else value}
    return {"functionResponse": {"id": result.call_id, "name": found.tools.sent(name), "response": response}}


def _other_part(part: Opaque, found: Conversation) -> list[dict[str, Any]]:
    """A part in Google's own form, or a file or spoken words in OpenAI's."""
    if part.format.startswith(_OWN):
        return [dict(part.value)]
    data = inline_data(part) if found.line.files else None
    if data is None:
        found.lost.opaque(part)
    return [] if data is None else [{"inlineData": data}]


def _picture(image: Image) -> dict[str, Any]:
    if image.data is not None:
        # The bytes know better than the client.
        kind = images.media_type(image.data) or image.media_type or "image/jpeg"
        return {"inlineData": {"mimeType": kind, "data": image.data}}
    ending = urlsplit(image.url or "").path.rpartition(".")[2].lower()
    told = image.media_type or _ENDINGS.get(ending)
    return {"fileData": {**({"mimeType": told} if told else {}), "fileUri": image.url}}


def fetched(image: Image, line: Family) -> bool:
    """Whether Google gets at the picture by itself: its own storage, and for current models the open web."""
    url = image.url or ""
    if url.startswith(("gs://", "https://generativelanguage.googleapis.com/")):
        return True
    return line.fetches and url.startswith("https://")


def _paired(contents: list[dict[str, Any]], lost: Lost) -> list[dict[str, Any]]:
    """The turns, with each call answered once in the next one; a result of no call is told as text."""
    found: list[dict[str, Any]] = []
    for turn in contents:
        calls = _calls_in(found[-1]) if found else []
        if turn["role"] == "user":
            found += _answered(turn["parts"], calls, lost)
            continue
        if not found and _calls_in(turn):
            # Nobody calls before the user has spoken.
            lost.add("messages", How.APPROXIMATED)
            found.append({"role": "user", "parts": [{"text": BEGINNING}]})
        found.append(turn)
    return found


def _calls_in(turn: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [part["functionCall"] for part in turn["parts"] if "functionCall" in part]


def _answered(
    parts: list[dict[str, Any]], calls: list[Mapping[str, Any]], lost: Lost
) -> list[dict[str, Any]]:
    """Turns of the user: one with the results of `calls` in their order, and one with all else."""
    results: dict[int, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for part in parts:
        result = part.get("functionResponse")
        open = (at for at, call in enumerate(calls) if at not in results and _answers(result, call))
        if result is None:
            others.append(part)
        elif (at := next(open, None)) is not None:
            results[at] = part
        else:
            lost.add("messages.tool_results", How.APPROXIMATED)
            others.append({"text": retold(orjson.dumps(result.get("response")).decode())})
    for at, call in enumerate(calls):
        if at not in results:
            lost.add("messages.tool_results", How.APPROXIMATED)
            results[at] = {"functionResponse": {**_tied(call), "response": {"error": NO_RESULT}}}
    answers = [results[at] for at in range(len(calls))]
    return [{"role": "user", "parts": turn} for turn in (answers, others) if turn]


def _answers(result: Mapping[str, Any] | None, call: Mapping[str, Any]) -> bool:
    return result is not None and result.get("id") == call.get("id")


def _tied(call: Mapping[str, Any]) -> dict[str, Any]:
    return {name: call[name] for name in ("id", "name") if name in call}


def passable(contents: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A client's own turns, with the mark on calls of the current turn whose signature it does not have."""
    turns = [{**turn, "parts": [dict(part) for part in _listed(turn.get("parts"))]} for turn in contents]
    _let_pass(turns)
    return turns


def _listed(parts: Any) -> list[Any]:
    """One part may stand for a list of it."""
    return parts if isinstance(parts, list) else [] if parts is None else [parts]


def _let_pass(contents: list[dict[str, Any]]) -> None:
    """Mark the first call of each step of the current turn that has no signature; earlier turns are not looked at."""
    for turn in reversed(contents):
        first = next((part for part in turn["parts"] if "functionCall" in part), None)
        if first is not None:
            first.setdefault("thoughtSignature", _PASS)
        elif turn.get("role") in (None, "user") and any("text" in part for part in turn["parts"]):
            return
