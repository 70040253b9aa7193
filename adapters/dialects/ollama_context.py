"""`context` of `/api/generate` where no engine keeps tokens: the conversation itself, as integers.

Ollama gives the tokens of a conversation with each answer and takes them back with the next prompt. A provider in the
cloud has no tokens to give, and nothing is stored here; so what was said travels in their place: MARK, the number of
bytes, and the bytes, three to an integer. The bytes are the turns as JSON, compressed.
"""

import zlib
from collections.abc import Iterable, Sequence

import orjson

from pipeline.values.messages import Message, Role, Text

# Beyond every vocabulary, so no tokens are taken for a conversation; within 32 bits, which is all that some clients hold.
MARK = 0x4F500001

# Text that is kept, in bytes. Nothing that compresses badly may grow beyond what a request may hold in elements.
MOST_BYTES = 256 * 1024
_FRAMING = 64
_MOST_TURNS = 4096
_ROLES = {role.value: role for role in (Role.SYSTEM, Role.USER, Role.ASSISTANT)}


def is_conversation(context: Sequence[int]) -> bool:
    """Whether these integers are a conversation written here, and no engine's tokens."""
    return bool(context) and context[0] == MARK


def written(turns: Iterable[Message]) -> list[int]:
    """The turns as integers. Of a conversation that is too long the oldest are forgotten, but not what the system said.

    [] where not even the last question and its answer can be kept.
    """
    kept = _newest(tuple((turn.role.value, turn.text) for turn in turns))
    if not kept:
        return []
    data = zlib.compress(orjson.dumps(kept))
    groups = (data[start : start + 3] for start in range(0, len(data), 3))
    return [MARK, len(data), *(int.from_bytes(group, "big") for group in groups)]


def read(context: Sequence[int]) -> tuple[Message, ...] | None:
    """The turns that `context` is; None if it was changed since it was written."""
    try:
        turns = orjson.loads(_expanded(context))
        return tuple(_turn(*turn) for turn in turns) if len(turns) <= _MOST_TURNS else None
    except (ValueError, OverflowError, KeyError, TypeError, IndexError, zlib.error):
        return None


def _turn(role: str, text: str) -> Message:
    if type(text) is not str:
        raise TypeError("a turn is a text")
    return Message(_ROLES[role], (Text(text),))


def _expanded(context: Sequence[int]) -> bytes:
    size, groups = context[1], context[2:]
    if not 0 < size <= 3 * len(groups) < size + 3:
        raise ValueError("a piece is missing")
    *whole, last = groups
    data = b"".join(group.to_bytes(3, "big") for group in whole)
    data += last.to_bytes(size - len(data), "big")
    reader = zlib.decompressobj()
    # JSON writes a character with up to six bytes.
    found = reader.decompress(data, 6 * MOST_BYTES + _MOST_TURNS * _FRAMING)
    if not reader.eof or reader.unused_data:
        raise ValueError("it does not end, or goes on behind its end")
    return found


def _newest(turns: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The turns that may be kept: what the system said, and the last of the others, from a question on."""
    system = tuple(turn for turn in turns if turn[0] == Role.SYSTEM.value)
    others = tuple(turn for turn in turns if turn[0] != Role.SYSTEM.value)
    left = MOST_BYTES - sum(_size(turn) for turn in system)
    first = len(others)
    while first > 0 and len(others) - first < _MOST_TURNS - len(system):
        left -= _size(others[first - 1])
        if left < 0:
            break
        first -= 1
    kept = others[first:]
    while kept and kept[0][0] != Role.USER.value:
        kept = kept[1:]
    return (*system, *kept) if kept else ()


def _size(turn: tuple[str, str]) -> int:
    return len(turn[1].encode())
