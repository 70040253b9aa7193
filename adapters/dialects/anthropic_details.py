"""Thinking of other vendors, carried through Anthropic's form and back.

What a vendor wants back with the next turn (Gemini's signatures, encrypted reasoning of OpenAI) has no field here. But
clients give `redacted_thinking` back as they got it, so it travels in the data of one, behind a mark that no data of
Anthropic's begins with.
"""

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from adapters.dialects.body import nests_too_deep

# Signatures of thinking and the like, in the form in which all vendors' are told.
DETAILS = "reasoning_details"
# The format of the details that this form can say itself.
CLAUDE = "anthropic-claude-v1"
MARK = "carried:"


def packed(detail: Mapping[str, Any]) -> str:
    """A detail as the data of a `redacted_thinking`."""
    return MARK + base64.urlsafe_b64encode(orjson.dumps(detail)).decode()


def unpacked(data: str) -> Mapping[str, Any] | None:
    """The detail in `data`; None if it carries none of ours."""
    if not data.startswith(MARK):
        return None
    try:
        value = orjson.loads(base64.urlsafe_b64decode(data.removeprefix(MARK).encode()))
    except ValueError:
        return None
    return value if isinstance(value, dict) and not nests_too_deep(value) else None


def is_ours(block: Any) -> bool:
    """Whether a block of an earlier turn is thinking that no Claude gave, and that none takes back."""
    match block:
        case {"type": "thinking"}:
            return not block.get("signature")
        case {"type": "redacted_thinking", "data": str(data)}:
            return data.startswith(MARK)
    return False


def as_given(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The client's JSON without thinking that Anthropic would refuse; the same where there is none."""
    messages = body["messages"]
    if not any(_has_ours(message) for message in messages):
        return body
    kept = [_without_ours(message) if _has_ours(message) else message for message in messages]
    return {**body, "messages": [message for message in kept if message["content"] != []]}


def _has_ours(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return type(content) is list and any(map(is_ours, content))


def _without_ours(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**message, "content": [block for block in message["content"] if not is_ours(block)]}
