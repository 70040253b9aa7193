"""Binary event streams of AWS: a message is a length, headers, a payload, and two checksums over them.

    total length | headers length | CRC of these | headers | payload | CRC of all before
         4       |       4        |      4       |   ...   |   ...   |        4

Numbers are big-endian. A frame's `data` is the payload. Its `event` is the value of `:event-type`; of an exception it is
`EXCEPTION` and the value of `:exception-type`, or of `:error-code`.
Source: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html#streaming-event-stream (2026-11).
"""

from collections.abc import Mapping
from struct import Struct
from struct import error as Unpackable
from zlib import crc32

from attrs import define, field

from adapters.framing.frame import LIMIT, Frame

EXCEPTION = b"exception:"

_PRELUDE = Struct(">III")
_CRC = Struct(">I")
_AROUND = _PRELUDE.size + _CRC.size
_SHORT = Struct(">H")
_TEXTS = (6, 7)
# Lengths of the values of each other type: true, false, byte, short, integer, long, time, UUID.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
# The headers of one stream are few and come again and again.
_MOST_KNOWN = 64


class Broken(ValueError):
    """Bytes that are no event stream."""


@define
class EventStreamReader:
    """Cuts one stream into frames. Mutable: it holds what has come of the next frame, and is never shared.

    A first byte that begins a JSON text begins no message (it would be gigabytes long), so such bytes are kept whole for
    `rest`: a server between us may answer with a document.
    """

    limit: int = LIMIT
    overflown: bool = False
    _pending: bytearray = field(factory=bytearray, init=False)
    _opened: bool = field(default=False, init=False)
    _known: dict[bytes, bytes] = field(factory=dict, init=False)

    def feed(self, data: bytes) -> tuple[bytes, list[Frame]]:
        """The bytes of all messages that are now whole, and these messages.

        `overflown` is set where a message is longer than `limit` or its checksums are wrong; nothing comes after it.
        """
        if self.overflown:
            return b"", []
        pending = self._pending
        pending += data
        if self._plain():
            self.overflown = len(pending) > self.limit
            return b"", []
        frames: list[Frame] = []
        begin = 0
        try:
            while (end := self._end(begin)) is not None:
                frames.append(self._frame(begin, end))
                begin = end
        except Broken:
            self.overflown = True
        self._opened = self._opened or bool(frames)
        whole = bytes(pending[:begin])
        del pending[:begin]
        if self.overflown:
            pending.clear()
        return whole, frames

    def rest(self) -> tuple[bytes, Frame | None]:
        """What is left at the end, if it is something else than part of a message; that is nothing."""
        # No message is so long that its length would begin with anything but a zero.
        strange = not self._opened and self._pending[:1] != b"\0"
        left = bytes(self._pending) if strange else b""
        self._pending.clear()
        return left, None

    def _plain(self) -> bool:
        return not self._opened and self._pending.startswith((b"{", b"["))

    def _end(self, begin: int) -> int | None:
        """Where the message that begins there ends; None if not all of it is here. Raises Broken."""
        pending = self._pending
        if len(pending) - begin < _PRELUDE.size:
            return None
        total, headers, checksum = _PRELUDE.unpack_from(pending, begin)
        if crc32(pending[begin : begin + 8]) != checksum:
            raise Broken
        if not _AROUND + headers <= total <= self.limit:
            raise Broken
        end: int = begin + total
        return end if end <= len(pending) else None

    def _frame(self, begin: int, end: int) -> Frame:
        pending = self._pending
        body = end - _CRC.size
        if crc32(pending[begin:body]) != _CRC.unpack_from(pending, body)[0]:
            raise Broken
        headers = begin + _PRELUDE.size
        payload = headers + _PRELUDE.unpack_from(pending, begin)[1]
        event = self._event(bytes(pending[headers:payload]))
        return Frame(bytes(pending[payload:body]), begin, end, event)

    def _event(self, headers: bytes) -> bytes:
        known = self._known.get(headers)
        if known is None:
            known = event_of(texts_of(headers))
            if len(self._known) < _MOST_KNOWN:
                self._known[headers] = known
        return known


def event_of(headers: Mapping[bytes, bytes]) -> bytes:
    """What a message says it is."""
    if headers.get(b":message-type", b"event") == b"event":
        return headers.get(b":event-type", b"")
    return EXCEPTION + (headers.get(b":exception-type") or headers.get(b":error-code") or b"")


def texts_of(headers: bytes) -> dict[bytes, bytes]:
    """The headers whose values are texts or bytes. Raises Broken."""
    found: dict[bytes, bytes] = {}
    at = 0
    try:
        while at < len(headers):
            start = at + 1
            stop = start + headers[at]
            name, kind, at = headers[start:stop], headers[stop], stop + 1
            if kind in _TEXTS:
                value = at + _SHORT.size
                at = value + _SHORT.unpack_from(headers, at)[0]
                found[name] = headers[value:at]
            else:
                at += _FIXED[kind]
    except (IndexError, KeyError, Unpackable) as error:
        raise Broken from error
    if at != len(headers):
        raise Broken
    return found


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message as it goes over the wire, for whoever speaks this language himself."""
    head = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + _SHORT.pack(len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = Struct(">II").pack(_AROUND + len(head) + len(payload), len(head))
    whole = lengths + _CRC.pack(crc32(lengths)) + head + payload
    return whole + _CRC.pack(crc32(whole))
