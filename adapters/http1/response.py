"""An HTTP/1.1 reply as it comes in: the head once it is complete, then whatever of the body each read brings."""

from typing import Any

import httptools

from pipeline.values.http import ReplyHead

MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 200


class Malformed(Exception):
    """The peer does not speak HTTP, or more of it than we take."""


class Response:
    """Reads replies of one connection, one after the other; `begin` before each."""

    def __init__(self) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """A new reply is expected."""
        self.head: ReplyHead | None = None
        self.complete = False
        self.begun = False
        self._headers: dict[str, str] = {}
        self._count = 0
        self._head_bytes = 0
        self._parts: list[bytes] = []
        self._informational = False
        self._extra = False
        self._keep_alive = False

    def feed(self, data: bytes) -> bytes:
        """Take in what came; the bytes of the body in it. Raises Malformed."""
        self.begun = True
        if self.head is None:
            if self._head_bytes > MOST_HEAD_BYTES:
                raise Malformed
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (
            httptools.HttpParserError,
            httptools.HttpParserCallbackError,
            httptools.HttpParserUpgrade,
        ) as error:
            raise Malformed from error
        parts = self._parts
        if not parts:
            return b""
        self._parts = []
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def sized(self) -> bool:
        """Whether the body's end is told by its length or by chunks; else it is the end of the connection."""
        headers = self._headers
        status = self.head.status if self.head else 0
        return "content-length" in headers or "transfer-encoding" in headers or status in (204, 304)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.complete and self.sized and not self._extra and self._keep_alive

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """The first byte of a reply; behind a complete one it is one that nobody asked for."""
        self._extra = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; repeated ones are joined."""
        self._count += 1
        if self._count > MOST_HEADERS:
            raise Malformed
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The end of a head; that of 100 and its kind is only an announcement."""
        status = self._parser.get_status_code()
        self._informational = 100 <= status < 200
        if self._informational:
            self._headers = {}
            return
        if not self._extra:
            self.head = ReplyHead(status, self._headers)
            self._keep_alive = bool(self._parser.should_keep_alive())

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._extra:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        """The end of a reply."""
        if not self._informational:
            self.complete = True
