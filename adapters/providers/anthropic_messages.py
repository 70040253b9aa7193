"""Conversations in Anthropic's form: system blocks apart, and turns of user and assistant by turns.

What the API insists on is made true here, and told as approximated where that changes what was said: the user speaks
first, nobody twice in a row, no text is empty, and the results of all calls of a turn stand first in the next one.
Source: https://platform.claude.com/docs/en/api/messages (2026-11).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from adapters.providers.claude import Line
from adapters.providers.images import media_type
from adapters.providers.losses import Lost
from adapters.providers.stopgaps import BEGINNING, CONTINUE, NO_RESULT, retold
from adapters.providers.thoughts import CLAUDE, given_back
from adapters.providers.tool_names import Form, Names, unlike
from adapters.raw_json import object_of
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem

FORMAT = "anthropic.messages"

Block: TypeAlias = dict[str, Any]

# What names of tools, and ids of calls, may be.
NAMES = Form(128)

_THOUGHTS = ("thinking", "redacted_thinking")
_PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_FILE = re.compile(r"data:(application/pdf|text/plain)(?:;[^,;]+)*;base64,")


def conversation(
    turns: Iterable[Message], line: Line, names: Names, lost: Lost
) -> tuple[list[Block], list[Block]]:
    """System blocks, and messages in strict alternation, the first of the user, all calls answered."""
    system: list[Block] = []
    said: list[Block] = []
    for turn in turns:
        if turn.name is not None:
            lost.add("messages.name")
        blocks = [block for part in turn.parts for block in _blocks(part, turn.role, line, names, lost)]
        if turn.role is Role.SYSTEM:
            if said:
                lost.add("messages.role", How.APPROXIMATED)
            system += blocks
        elif blocks:
            _append(said, "assistant" if turn.role is Role.ASSISTANT else "user", blocks)
    said = _without_last_thoughts(said, lost)
    if not said and system:
        lost.add("messages.role", How.APPROXIMATED)
        said, system = [{"role": "user", "content": system}], []
    if said and said[0]["role"] == "assistant":
        lost.add("messages", How.APPROXIMATED)
        said.insert(0, {"role": "user", "content": [_text(BEGINNING)]})
    return system, _paired(said, names.form, lost)


def closed(messages: list[Block], prefill: bool, lost: Lost) -> None:
    """Make the last turn one that can be answered. `prefill`: the model goes on with its own words."""
    last = messages[-1]
    if last["role"] == "user":
        return
    if prefill and last["content"][-1]["type"] == "text":
        # It takes no thoughts there while it does not think, and words to go on with must not end in white space.
        *others, words = last["content"]
        kept = [block for block in others if block["type"] not in _THOUGHTS]
        if len(kept) < len(others):
            lost.add("messages.thinking")
        last["content"] = [*kept, {**words, "text": words["text"].rstrip()}]
        return
    lost.add("messages", How.APPROXIMATED)
    messages.append({"role": "user", "content": [_text(CONTINUE)]})


def thoughtless(messages: list[Block]) -> bool:
    """Whether the calls that are being answered came with thinking that was not given back.

    A model that thinks within a budget refuses such a conversation while it is to think.
    """
    spoken = [message["content"] for message in messages if message["role"] == "assistant"]
    if not spoken or not any(block["type"] == "tool_use" for block in spoken[-1]):
        return False
    return spoken[-1][0]["type"] not in _THOUGHTS


def _without_last_thoughts(said: list[Block], lost: Lost) -> list[Block]:
    """The turns without thoughts that nothing follows: those of an answer that was cut are not taken back."""
    found: list[Block] = []
    for turn in said:
        blocks = turn["content"]
        while turn["role"] == "assistant" and blocks and blocks[-1]["type"] in _THOUGHTS:
            lost.add("messages.thinking")
            blocks = blocks[:-1]
        if blocks:
            _append(found, turn["role"], blocks)
    return found


def _append(said: list[Block], role: str, blocks: list[Block]) -> None:
    if said and said[-1]["role"] == role:
        said[-1]["content"] += blocks
    else:
        said.append({"role": role, "content": blocks})


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _blocks(part: Part, role: Role, line: Line, names: Names, lost: Lost) -> list[Block]:
    """One part as blocks, with its mark of what may be cached."""
    blocks = _plain_blocks(part, role, line, names, lost)
    if not isinstance(part, Reasoning) and part.cache is not None and blocks:
        blocks[-1] = {**blocks[-1], "cache_control": dict(part.cache)}
    return blocks


def _plain_blocks(part: Part, role: Role, line: Line, names: Names, lost: Lost) -> list[Block]:
    """One part as blocks; none where it says nothing, or what cannot be said."""
    match part:
        case Text(said):
            # A text of white space alone is refused.
            return [_text(said)] if said.strip() else []
        case Image() if role is Role.USER or role is Role.TOOL:
            return [_image(part, lost)]
        case Image():
            lost.add("messages.images")
        case Reasoning():
            return _thoughts(part, line, lost)
        case ToolCall(id, name, arguments):
            return [
                {
                    "type": "tool_use",
                    "id": id,
                    "name": names.sent(name),
                    "input": _input(arguments, lost),
                }
            ]
        case ToolResult(id, _, said, failed):
            result: Block = {"type": "tool_result", "tool_use_id": id}
            if failed:
                result["is_error"] = True
            return [{**result, "content": said} if said.strip() else result]
        case Opaque(format, value) if format == FORMAT:
            return [dict(value)]
        case Opaque():
            if document := _document(part):
                return [document]
            lost.opaque(part)
    return []


def refused_picture(request: ChatRequest) -> Problem | None:
    """Why a picture cannot be shown at all: its kind is not taken."""
    shown = [turn for turn in request.messages if turn.role in (Role.USER, Role.TOOL)]
    images = [part for turn in shown for part in turn.parts if isinstance(part, Image)]
    images += request.prompt.images if request.prompt else ()
    if all(image.data is None or _kind(image) in _PICTURES for image in images):
        return None
    return Problem(
        Kind.UNSUPPORTED, "this model takes pictures as JPEG, PNG, GIF or WebP", subject="image type"
    )


def _kind(image: Image) -> str:
    """The bytes know better than the client: a wrong media type is refused."""
    kind = (media_type(image.data or "") or image.media_type or "image/jpeg").lower()
    return "image/jpeg" if kind == "image/jpg" else kind


def _image(image: Image, lost: Lost) -> Block:
    if image.detail not in (None, "auto"):
        lost.add("messages.images.detail")
    if image.data is None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    source = {"type": "base64", "media_type": _kind(image), "data": image.data}
    return {"type": "image", "source": source}


def _document(part: Opaque) -> Block | None:
    """A file as other forms say it: PDF or plain text, as data."""
    file = part.value.get("file")
    if not isinstance(file, Mapping) or not isinstance(file.get("file_data"), str):
        return None
    head = _FILE.match(file["file_data"])
    if head is None:
        return None
    data = file["file_data"][head.end() :]
    source = {"type": "base64", "media_type": head[1], "data": data}
    if head[1] == "text/plain":
        try:
            words = base64.b64decode(data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        source = {"type": "text", "media_type": head[1], "data": words}
    document: Block = {"type": "document", "source": source}
    if isinstance(file.get("filename"), str):
        document["title"] = file["filename"]
    return document


def _thoughts(thought: Reasoning, line: Line, lost: Lost) -> list[Block]:
    """Thinking with its signature, as the model gave it. Without one it is not taken back."""
    details = given_back(thought, CLAUDE) if line.thinks else ()
    blocks: list[Block] = []
    for detail in details:
        match detail:
            case {"type": "reasoning.text", "signature": str(signature)} if signature:
                text = detail.get("text") or ""
                blocks.append({"type": "thinking", "thinking": text, "signature": signature})
            case {"type": "reasoning.encrypted", "data": str(data)}:
                blocks.append({"type": "redacted_thinking", "data": data})
    if not blocks:
        lost.add("messages.thinking")
    return blocks


def _input(arguments: str, lost: Lost) -> Any:
    """The arguments as an object. What is none is wrapped, in the form the vendor's documentation names for that."""
    found = object_of(arguments)
    if found is None:
        lost.add("messages.tool_calls.arguments", How.APPROXIMATED)
        return {"INVALID_JSON": arguments}
    return found


def _paired(said: list[Block], ids: Form, lost: Lost) -> list[Block]:
    """The same turns, with the calls of each answered at the beginning of the next."""
    messages: list[Block] = []
    used: set[str] = set()
    calls: list[tuple[str, str]] = []
    for message in said:
        content = message["content"]
        if message["role"] == "assistant":
            content, calls = _called(content, ids, used)
        else:
            content, calls = _answered(content, calls, lost), []
        messages.append({**message, "content": content})
    if calls:
        messages.append({"role": "user", "content": _answered([], calls, lost)})
    return messages


def _called(content: list[Block], ids: Form, used: set[str]) -> tuple[list[Block], list[tuple[str, str]]]:
    """The blocks with ids that are valid and were never used before, and each call's own id beside the new one."""
    calls: list[tuple[str, str]] = []
    blocks: list[Block] = []
    for block in content:
        if block["type"] == "tool_use":
            wire = unlike(ids.fitted(block["id"]), used)
            used.add(wire)
            calls.append((block["id"], wire))
            block = {**block, "id": wire}
        blocks.append(block)
    return blocks, calls


def _answered(content: list[Block], calls: list[tuple[str, str]], lost: Lost) -> list[Block]:
    """The results of `calls` first, in the order of these; a result of no call is told as text."""
    results: dict[str, Block] = {}
    others: list[Block] = []
    for block in content:
        if block["type"] != "tool_result":
            others.append(block)
            continue
        answers = (wire for id, wire in calls if id == block.get("tool_use_id") and wire not in results)
        wire = next(answers, None)
        if wire is None:
            lost.add("messages.tool_results", How.APPROXIMATED)
            others += _retold(block)
        else:
            results[wire] = {**block, "tool_use_id": wire}
    for _, wire in calls:
        if wire not in results:
            lost.add("messages.tool_results", How.APPROXIMATED)
            missing = {"type": "tool_result", "tool_use_id": wire, "content": NO_RESULT, "is_error": True}
            results[wire] = missing
    return [*(results[wire] for _, wire in calls), *others]


def _retold(result: Block) -> list[Block]:
    """What a tool said, as content of the user; never nothing."""
    content = result.get("content")
    if isinstance(content, list) and content:
        return content
    return [_text(retold(content if isinstance(content, str) else ""))]
