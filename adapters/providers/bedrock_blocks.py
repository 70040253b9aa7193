"""Blocks of a conversation in Claude's form, said in that of Converse.

A cache mark on a block becomes a cache point behind it. What travels as `OURS` is Converse's own already.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html (2026-11).
"""

import base64
import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

from adapters.providers.losses import Lost
from pipeline.values.exchange import How

Block: TypeAlias = dict[str, Any]

# The type of a block that is Converse's own, under `value`.
OURS = "bedrock"

_FORMATS = {"application/pdf": "pdf", "text/plain": "txt"}
_UNTITLED = re.compile(r"[^a-zA-Z0-9()\[\]-]+")
# Said where Converse wants words and there are none.
_NO_OUTPUT = "(The tool gave no output.)"
_READ_IT = "(See the document.)"


def turn_of(message: Mapping[str, Any], lost: Lost) -> Block:
    """One message. Documents are refused without a word beside them."""
    content = blocks_of(message["content"], lost)
    if any("document" in block for block in content) and not any("text" in block for block in content):
        lost.add("messages", How.APPROXIMATED)
        content.append({"text": _READ_IT})
    return {"role": message["role"], "content": content}


def names_of(messages: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The tools that are called in these messages, each once."""
    called = (block["toolUse"] for turn in messages for block in turn["content"] if "toolUse" in block)
    return tuple(dict.fromkeys(call["name"] for call in called))


def blocks_of(blocks: Iterable[Mapping[str, Any]], lost: Lost) -> list[Block]:
    """The blocks in Converse's words, each followed by its cache point if it has one."""
    found: list[Block] = []
    for block in blocks:
        ours = _block(block, lost)
        if ours is None:
            lost.add(str(block.get("type")))
            continue
        found.append(ours)
        if mark := block.get("cache_control"):
            found.append(cache_point(mark))
    return found


def cache_point(mark: Mapping[str, Any]) -> Block:
    """The point that says what a mark says. Five minutes are the default, and only newer models know another time."""
    ttl = mark.get("ttl")
    return {"cachePoint": {"type": "default", **({"ttl": ttl} if ttl not in (None, "5m") else {})}}


def unmarked(blocks: Iterable[Mapping[str, Any]]) -> list[Block]:
    """The blocks without their marks, for a model that does not cache."""
    return [{name: value for name, value in block.items() if name != "cache_control"} for block in blocks]


def _block(block: Mapping[str, Any], lost: Lost) -> Block | None:
    match block:
        case {"type": "text", "text": text}:
            return {"text": text}
        case {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}:
            return {"image": {"format": kind.rpartition("/")[2], "source": {"bytes": data}}}
        case {"type": "document", "source": source}:
            return _document(source, block.get("title"))
        case {"type": "thinking", "thinking": text, "signature": signature}:
            return {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}}
        case {"type": "redacted_thinking", "data": data}:
            return {"reasoningContent": {"redactedContent": base64.b64encode(data.encode()).decode()}}
        case {"type": "tool_use", "id": id, "name": name, "input": given}:
            return {"toolUse": {"toolUseId": id, "name": name, "input": given}}
        case {"type": "tool_result", "tool_use_id": id}:
            return {"toolResult": _result(id, block, lost)}
        case {"type": "bedrock", "value": value}:
            return dict(value)
    return None


def _result(id: str, block: Mapping[str, Any], lost: Lost) -> Block:
    said = block.get("content")
    blocks = [{"type": "text", "text": said}] if isinstance(said, str) and said.strip() else said
    content = blocks_of(blocks, lost) if isinstance(blocks, list) else []
    result: Block = {"toolUseId": id, "content": content or [{"text": _NO_OUTPUT}]}
    return {**result, "status": "error"} if block.get("is_error") else result


def _document(source: Mapping[str, Any], title: Any) -> Block | None:
    kind, data = _FORMATS.get(source.get("media_type", "")), source.get("data")
    if kind is None or not isinstance(data, str):
        return None
    if source.get("type") == "text":
        data = base64.b64encode(data.encode()).decode()
    named = _UNTITLED.sub(" ", title.rpartition(".")[0] or title).strip() if isinstance(title, str) else ""
    # No two documents of a conversation may have one name.
    name = named or f"document-{blake2b(data.encode(), digest_size=4).hexdigest()}"
    return {"document": {"format": kind, "name": name[:200], "source": {"bytes": data}}}
