"""Vectors of an embedding reply, as JSON numbers or as base64 of little-endian float32."""

import base64
import binascii
import sys
from array import array
from typing import Any


def vector(value: Any) -> list[float] | None:
    """One vector; None if it is none."""
    if isinstance(value, str):
        return _packed(value)
    if not isinstance(value, list):
        return None
    try:
        # The array looks at each number in C.
        return array("d", value).tolist()
    except (TypeError, OverflowError):
        return None


def vectors(values: Any, count: int) -> tuple[list[float], ...] | None:
    """`count` vectors; None if they are not that many or one is none."""
    if not isinstance(values, list):
        return None
    found = [one for value in values if (one := vector(value)) is not None]
    return tuple(found) if len(found) == count else None


def _packed(text: str) -> list[float] | None:
    try:
        numbers = array("f", base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
