"""Newline-delimited JSON: a document a line. Blank lines are passed over; a CR before the LF is white space to JSON."""

from attrs import define, field

from adapters.framing.frame import LIMIT, Frame


@define
class NdjsonReader:
    """Cuts one stream into frames. Mutable: it holds what has come of the next line, and is never shared."""

    limit: int = LIMIT
    overflown: bool = False
    _pending: bytearray = field(factory=bytearray, init=False)

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The bytes that are now whole lines, and the frames in them.

        `overflown` is set when a line is longer than `limit`; nothing comes after it.
        """
        if self.overflown:
            return b"", []
        cut = data.rfind(b"\n") + 1
        if not cut:
            self._pending += data
            self.overflown = len(self._pending) > self.limit
            return b"", []
        whole = bytes(self._pending) + data[:cut] if self._pending else data[:cut]
        self._pending = bytearray(data[cut:])
        frames: list[Frame] = []
        begin = 0
        for line in whole[:-1].split(b"\n"):
            if len(line) > self.limit:
                self.overflown = True
                self._pending.clear()
                return whole[:begin], frames
            end = begin + len(line) + 1
            if line and not line.isspace():
                frames.append(Frame(line, begin, end))
            begin = end
        self.overflown = len(self._pending) > self.limit
        return whole, frames

    def rest(self) -> tuple[bytes, Frame | None]:
        """What is left at the end of the bytes: the last line, where no newline follows it."""
        left = bytes(self._pending)
        self._pending.clear()
        return left, Frame(left, 0, len(left)) if left.strip() else None
