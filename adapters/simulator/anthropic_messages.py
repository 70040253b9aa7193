"""What Anthropic refuses of a conversation: the form of its blocks, whose turn it is, and calls without answers."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from adapters.simulator.anthropic_errors import Refusal, missing, unknown, wrong

# The fields of each kind of block that may be sent, and those of them that must be.
BLOCKS: Mapping[str, tuple[frozenset[str], tuple[str, ...]]] = {
    "text": (frozenset({"type", "text", "cache_control", "citations"}), ("text",)),
    "image": (frozenset({"type", "source", "cache_control"}), ("source",)),
    "document": (
        frozenset({"type", "source", "title", "context", "citations", "cache_control"}),
        ("source",),
    ),
    "thinking": (frozenset({"type", "thinking", "signature"}), ("thinking", "signature")),
    "redacted_thinking": (frozenset({"type", "data"}), ("data",)),
    "tool_use": (
        frozenset({"type", "id", "name", "input", "cache_control", "caller"}),
        ("id", "name", "input"),
    ),
    "tool_result": (
        frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
        ("tool_use_id",),
    ),
}
OF_THE_MODEL = ("thinking", "redacted_thinking", "tool_use")
OF_THE_USER = ("image", "document", "tool_result")
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
ID = re.compile(r"[a-zA-Z0-9_-]+")


def conversation_faults(messages: Any, sees: bool, prefills: bool) -> Iterator[Refusal]:
    """What is wrong with `messages`. `sees`: the model takes pictures; `prefills`: it goes on with its own words."""
    if messages is None:
        yield missing("messages")
    if not isinstance(messages, list):
        yield wrong("messages", "Input should be a valid list")
    if not messages:
        yield wrong("messages", "at least one message is required")
    for index, message in enumerate(messages):
        yield from _message_faults(f"messages.{index}", message, sees, last=index == len(messages) - 1)
    yield from _order_faults(messages)
    yield from _pairing_faults(messages)
    if messages[-1]["role"] == "assistant":
        if not prefills:
            words = "This model does not support assistant message prefill. The conversation must end with a user message."
            yield Refusal(400, words)
        if text_of(messages[-1]) != text_of(messages[-1]).rstrip():
            yield wrong("messages", "final assistant content cannot end with trailing whitespace")


def signature_of(thinking: str) -> str:
    """What proves that a thought is the model's own."""
    return hashlib.sha256(f"signed {thinking}".encode()).hexdigest()


def blocks_of(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The content of a message as blocks."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(message: Mapping[str, Any]) -> str:
    """All text of one message, joined."""
    return "".join(block["text"] for block in blocks_of(message) if block["type"] == "text")


def system_text(system: Any) -> str:
    """All text of the system prompt."""
    return system if isinstance(system, str) else "".join(block["text"] for block in system or ())


def _message_faults(place: str, message: Any, sees: bool, last: bool) -> Iterator[Refusal]:
    if not isinstance(message, dict):
        yield wrong(place, "Input does not match the expected shape.")
    for name in ("role", "content"):
        if name not in message:
            yield missing(f"{place}.{name}")
    if extra := sorted(message.keys() - {"role", "content"}):
        yield unknown(f"{place}.{extra[0]}")
    role, content = message["role"], message["content"]
    if role not in ("user", "assistant"):
        words = f'Unexpected role "{role}". The Messages API accepts a top-level `system` parameter, not "system" as an'
        yield wrong("messages", f"{words} input message role.")
    if not isinstance(content, str | list):
        yield wrong(f"{place}.content", "Input should be a valid list")
    if not content and not (last and role == "assistant"):
        yield wrong(
            place, "all messages must have non-empty content except for the optional final assistant message"
        )
    for index, block in enumerate(blocks_of(message)):
        yield from block_faults(f"{place}.content.{index}", block, role, sees)


def block_faults(place: str, block: Any, role: str, sees: bool) -> Iterator[Refusal]:
    """What is wrong with one block, said by `role`."""
    if not isinstance(block, dict):
        yield wrong(place, "Input should be an object")
    kind = block.get("type")
    if kind not in BLOCKS:
        tags = ", ".join(f"'{tag}'" for tag in BLOCKS)
        words = f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        yield wrong(place, words)
    fields, needed = BLOCKS[kind]
    here = f"{place}.{kind}"
    if extra := sorted(block.keys() - fields):
        yield unknown(f"{here}.{extra[0]}")
    for name in needed:
        if name not in block:
            yield missing(f"{here}.{name}")
    if (role == "user" and kind in OF_THE_MODEL) or (role == "assistant" and kind in OF_THE_USER):
        yield wrong(place, f"`{kind}` blocks can not be in `{role}` messages")
    yield from _inner_faults(place, here, block, sees)


def _inner_faults(place: str, here: str, block: Mapping[str, Any], sees: bool) -> Iterator[Refusal]:
    match block["type"]:
        case "text":
            if not isinstance(block["text"], str):
                yield wrong(f"{here}.text", "Input should be a valid string")
            if not block["text"]:
                yield wrong("messages", "text content blocks must be non-empty")
            if not block["text"].strip():
                yield wrong("messages", "text content blocks must contain non-whitespace text")
        case "image":
            yield from _image_faults(f"{here}.source", block["source"], sees)
        case "thinking":
            if block["signature"] != signature_of(block["thinking"]):
                yield wrong(place, "Invalid `signature` in `thinking` block")
        case "tool_use":
            if not isinstance(block["id"], str) or not ID.fullmatch(block["id"]):
                yield wrong(f"{here}.id", "String should match pattern '^[a-zA-Z0-9_-]+$'")
            if not isinstance(block["input"], dict):
                yield wrong(f"{here}.input", "Input should be a valid dictionary")
        case "tool_result":
            content = block.get("content", "")
            inner = content if isinstance(content, list) else []
            for index, part in enumerate(inner):
                yield from block_faults(f"{here}.content.{index}", part, "user", sees)


def _image_faults(place: str, source: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(source, dict) or source.get("type") not in ("base64", "url", "file"):
        yield wrong(place, "Input tag does not match any of the expected tags: 'base64', 'url', 'file'")
    if source["type"] == "base64" and source.get("media_type") not in PICTURES:
        yield wrong(
            f"{place}.base64.media_type",
            "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
        )
    if source["type"] == "base64" and not source.get("data"):
        yield wrong(f"{place}.base64", "image cannot be empty")
    if not sees:
        yield Refusal(400, "This model does not support image inputs.")


def _order_faults(messages: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    if messages[0]["role"] != "user":
        yield wrong("messages", 'first message must use the "user" role')
    for before, after in pairwise(messages):
        if before["role"] == after["role"]:
            words = f'roles must alternate between "user" and "assistant", but found multiple "{after["role"]}" roles'
            yield wrong("messages", f"{words} in a row")


def _pairing_faults(messages: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Each call is answered at the beginning of the next turn, and nothing else is."""
    used: set[str] = set()
    open_ids: list[str] = []
    for index, message in enumerate(messages):
        blocks = blocks_of(message)
        if message["role"] == "assistant":
            open_ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
            if len(set(open_ids)) < len(open_ids) or used & set(open_ids):
                yield wrong(f"messages.{index}", "`tool_use` ids must be unique")
            used |= set(open_ids)
            if open_ids and index == len(messages) - 1:
                yield _unanswered(index, open_ids)
            continue
        first = [block["type"] for block in blocks].index("tool_result") if _answers(blocks) else 0
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if left := [id for id in open_ids if id not in answered]:
            yield _unanswered(index - 1, left)
        if first:
            yield _unanswered(index - 1, open_ids)
        if stray := [id for id in answered if id not in open_ids]:
            words = f"unexpected `tool_use_id` found in `tool_result` blocks: {stray[0]}. Each `tool_result` block must"
            yield wrong(
                f"messages.{index}.content.0",
                f"{words} have a corresponding `tool_use` block in the previous message.",
            )
        if len(set(answered)) < len(answered):
            yield wrong(f"messages.{index}", "each tool_use must have a single result")
        open_ids = []


def _answers(blocks: list[Mapping[str, Any]]) -> bool:
    return any(block["type"] == "tool_result" for block in blocks)


def _unanswered(index: int, ids: list[str]) -> Refusal:
    words = (
        f"`tool_use` ids were found without `tool_result` blocks immediately after: {', '.join(ids)}. Each"
    )
    words += " `tool_use` block must have a corresponding `tool_result` block in the next message."
    return wrong(f"messages.{index}", words)
