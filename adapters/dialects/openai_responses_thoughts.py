"""Thinking that is to be given back, as the `encrypted_content` of a reasoning item and as details again.

What OpenAI encrypted stands there as it is. The details of other vendors (signatures, redacted thinking) are sealed into
the same field, so that a client who knows nothing of them carries them from turn to turn. What is sealed here has a dot,
which nothing that OpenAI encrypted has.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

DETAILS = "reasoning_details"
OPENAI = "openai-responses-v1"
MARK = "reasoning_details."


def sealed(detail: Mapping[str, Any]) -> str:
    """The `encrypted_content` that stands for a detail."""
    data = detail.get("data")
    own = detail.get("type") == "reasoning.encrypted" and detail.get("format") == OPENAI
    if own and type(data) is str and "." not in data:
        return data
    return MARK + base64.urlsafe_b64encode(orjson.dumps(detail)).decode()


def opened(content: str, place: int) -> list[Mapping[str, Any]]:
    """The details that an `encrypted_content` stands for, none if it is damaged; `place` tells items from each other."""
    if not content.startswith(MARK):
        return [{"type": "reasoning.encrypted", "data": content, "format": OPENAI, "index": place}]
    try:
        detail = orjson.loads(base64.urlsafe_b64decode(content[len(MARK) :]))
    except (binascii.Error, ValueError):
        return []
    return [detail] if type(detail) is dict else []
