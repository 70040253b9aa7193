"""A frame: one whole message of a stream, and where its bytes stand in what it was read from."""

from typing import NamedTuple

# Longer than any message a provider sends; bounds what one stream can make us keep.
LIMIT = 8 * 1024 * 1024


class Frame(NamedTuple):
    """One message. `start` and `end`: its place, terminator included, in the bytes it was handed out with.

    A tuple and no attrs class, since one is made for each chunk of each stream.
    """

    data: bytes
    start: int
    end: int
    event: bytes = b""
