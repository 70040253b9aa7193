"""Server-sent events: a stream of blocks of lines, each ended by a blank line.

Bytes are cut, never decoded: a line ends at CR, LF or CRLF and nowhere else, so U+2028 inside a text does no harm.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import re

from attrs import define, field

from adapters.framing.frame import LIMIT, Frame

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_BOM = b"\xef\xbb\xbf"


@define
class SseReader:
    """Cuts one stream into frames. Mutable: it holds what has come of the next frame, and is never shared.

    A blank line whose CR ends a read ends its frame at once; an LF that follows is an empty line before the next one.
    """

    limit: int = LIMIT
    overflown: bool = False
    _pending: bytearray = field(factory=bytearray, init=False)
    _carriage: bool = field(default=False, init=False)
    _opened: bool = field(default=False, init=False)

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The bytes that are now whole blocks, and the frames in them; comments are blocks without a frame.

        `overflown` is set when a block is longer than `limit`; nothing comes after it.
        """
        if self.overflown:
            return b"", []
        if not self._carriage and b"\r" in data:
            self._carriage = True
        pending = self._pending
        if pending:
            # What is pending holds no end of a block; two bytes of it may belong to one.
            searched = max(0, len(pending) - 2)
            pending += data
            if not self._ends(pending, searched):
                self.overflown = self._too_long()
                return b"", []
            data = bytes(pending)
            pending.clear()
        plain = None if self._carriage or len(data) > self.limit else _plain(data)
        if plain is None:
            return self._blocks(data)
        self._opened = True
        end = len(plain[0])
        if end < len(data):
            pending += data[end:]
        return plain

    def rest(self) -> tuple[bytes, Frame | None]:
        """What is left at the end of the bytes, and the frame it would be had its blank line come."""
        left = bytes(self._pending)
        self._pending.clear()
        return left, self._frame(left, 0, len(left), len(left))

    def _ends(self, buffer: bytearray, searched: int) -> bool:
        """Whether a block ends in `buffer`, from `searched` on."""
        if self._carriage:
            return _BLANK.search(buffer, searched) is not None
        return buffer.find(b"\n\n", searched) >= 0

    def _blocks(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """What `feed` gives, of blocks of any form; what follows them is pending."""
        frames: list[Frame] = []
        begin = 0
        for blank in _BLANK.finditer(data):
            # An LF whose CR ended the block before is no part of this one.
            if blank.start() - begin - data.startswith(b"\n", begin) > self.limit:
                self.overflown = True
                return data[:begin], frames
            frame = self._frame(data, begin, blank.start(), blank.end())
            if frame is not None:
                frames.append(frame)
            begin = blank.end()
        self._pending += data[begin:]
        self.overflown = self._too_long()
        return data[:begin], frames

    def _too_long(self) -> bool:
        """Whether what is pending has outgrown the limit, with line ends around it that do not count."""
        return len(self._pending) > self.limit + 3

    def _frame(self, whole: bytes, begin: int, stop: int, end: int) -> Frame | None:
        start = begin
        if not self._opened:
            self._opened = True
            if whole.startswith(_BOM, begin):
                begin += len(_BOM)
        one_line = whole.find(b"\n", begin, stop) < 0 and not self._carriage
        if one_line and whole.startswith(b"data: ", begin):
            return Frame(whole[begin + 6 : stop], start, end)
        event, data = _fields(whole[begin:stop])
        return None if data is None else Frame(data, start, end, event)


def _plain(data: bytes) -> tuple[bytes, list[Frame]] | None:
    """The whole blocks of `data`, if each is one line of data that ends in an LF, as nearly all are; else None."""
    stop = data.rfind(b"\n\n")
    if stop < 0 or not data.startswith(b"data: "):
        return None
    lines = data[6:stop].split(b"\n\ndata: ")
    if data.count(b"\n", 0, stop) != 2 * len(lines) - 2:
        return None
    frames = []
    start = 0
    for line in lines:
        end = start + len(line) + 8
        frames.append(Frame(line, start, end))
        start = end
    return data[:start], frames


def _fields(block: bytes) -> tuple[bytes, bytes | None]:
    """Event name and data of a block of lines; data is None where no line gives any. `id` and `retry` are not used."""
    event, data = b"", []
    for line in _LINE_END.split(block):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return event, b"\n".join(data) if data else None
