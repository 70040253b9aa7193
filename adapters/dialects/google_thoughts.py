"""Thinking that is to be given back, in Google's form: the signatures of parts.

Google's own signatures are signatures here too. What other vendors want back (Claude's signed thinking, encrypted
reasoning of OpenAI) has no field of its own; but clients give signatures back with the parts they came on, so it travels
in one, behind a mark that no signature of Google's begins with. A signature is base64, in whichever alphabet the client
writes it.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from adapters.dialects.body import nests_too_deep

# Signatures of thinking and the like, in the form in which all vendors' are told.
DETAILS = "reasoning_details"
# The format of the details that this form can say itself.
GEMINI = "google-gemini-v1"
MARK = b"carried:"


def packed(details: Iterable[Mapping[str, Any]]) -> str:
    """Details of other vendors as one signature."""
    return base64.b64encode(MARK + orjson.dumps(list(details))).decode()


def unpacked(signature: str) -> list[Mapping[str, Any]] | None:
    """The details that a signature carries; None if it is one of Google's own."""
    data = decoded(signature)
    if data is None or not data.startswith(MARK):
        return None
    try:
        value = orjson.loads(data.removeprefix(MARK))
    except orjson.JSONDecodeError:
        return []
    if not isinstance(value, list) or nests_too_deep(value):
        return []
    return [detail for detail in value if isinstance(detail, dict)]


def decoded(text: str) -> bytes | None:
    """The bytes that base64 of either alphabet says; None if it is none."""
    standard = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return binascii.a2b_base64(standard + "=" * (-len(standard) % 4), strict_mode=True)
    except ValueError:
        return None


def as_given(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The client's JSON without signatures that Google would refuse; the same where there is none."""
    turns = _listed(body.get("contents"))
    if not any(map(_has_ours, turns)):
        return body
    kept = [_without_ours(turn) if _has_ours(turn) else turn for turn in turns]
    return {**body, "contents": [turn for turn in kept if turn["parts"]]}


def _has_ours(turn: Mapping[str, Any]) -> bool:
    return any(map(_is_ours, _listed(turn.get("parts"))))


def _listed(value: Any) -> list[Any]:
    """A list, for which one of its members may stand."""
    if type(value) is list:
        return value
    return [] if value is None else [value]


def _is_ours(part: Mapping[str, Any]) -> bool:
    signature = part.get("thoughtSignature")
    return isinstance(signature, str) and unpacked(signature) is not None


def _without_ours(turn: Mapping[str, Any]) -> Mapping[str, Any]:
    parts = []
    for part in _listed(turn["parts"]):
        bare = {name: value for name, value in part.items() if name != "thoughtSignature"}
        if not _is_ours(part):
            parts.append(part)
        elif bare.get("text") != "":
            parts.append(bare)
    return {**turn, "parts": parts}
