"""A frame: one whole message of a stream, and where its bytes stand in what it was read from."""

from attrs import define

# Longer than any message a provider sends; bounds what one stream can make us keep.
LIMIT = 8 * 1024 * 1024


@define
class Frame:
    """One message. `start` and `end`: its place, terminator included, in the bytes it was handed out with.

    Never changed. Not frozen, since one is made for each chunk of each stream and a frozen one costs three times as much.
    """

    data: bytes
    start: int
    end: int
    event: bytes = b""
