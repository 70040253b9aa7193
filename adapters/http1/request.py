"""HTTP/1.1 requests as they come in on one connection: each with its head, its body so far, and its faults."""

from collections import deque
from typing import Any

import httptools

MOST_HEAD_BYTES = 32 * 1024
MOST_HEADERS = 100


class Refused(Exception):
    """What came is no request that we take; the connection ends with `status`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Request:
    """One request. `parts`: what has come of its body and was not given away; `complete`: there will be no more."""

    __slots__ = ("complete", "expects", "headers", "keep_alive", "method", "parts", "target", "version")

    def __init__(self, method: str, target: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.parts: list[bytes] = []
        self.complete = False
        self.keep_alive = True
        self.expects = False

    def taken(self) -> bytes:
        """The body so far, which is then forgotten."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Requests:
    """Reads requests. `ready`: those whose head is complete, in order; a client may send the next before its turn.

    `fault`: what came next cannot be read; what was ready before it still is, and nothing follows.
    """

    def __init__(self) -> None:
        self.ready: deque[Request] = deque()
        self.fault: Refused | None = None
        self._parser: Any = httptools.HttpRequestParser(self)
        self._reading: Request | None = None
        self._in_head = False
        self._head_bytes = 0
        self._forget()

    def _forget(self) -> None:
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._expects = False

    @property
    def begun(self) -> bool:
        """Whether a head has begun that is not complete."""
        return self._in_head

    def feed(self, data: bytes) -> None:
        """Take in what came; behind a fault it is ignored."""
        if self.fault is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._declined(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self.fault = cause if isinstance(cause, Refused) else UNREADABLE
        except httptools.HttpParserError:
            self.fault = UNREADABLE
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > 2 * MOST_HEAD_BYTES:
            self.fault = TOO_LARGE

    def _declined(self, rest: bytes) -> None:
        """Go on without the change of protocol that a client has offered: it is served as if it had not.

        The parser stops at such a head for good, so a new one is given the head without the offer, and then the rest.
        """
        request = self.ready.pop()
        if request.method == "CONNECT":
            self.fault = NO_TUNNEL
            return
        kept = [(name, value) for name, value in request.headers if name not in OFFERS]
        head = [b"%b %b HTTP/%b\r\n" % (request.method.encode(), request.target, request.version.encode())]
        head += [b"%b: %b\r\n" % line for line in kept]
        self._parser = httptools.HttpRequestParser(self)
        self.feed(b"".join(head) + b"\r\n" + rest)

    # What llhttp calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True
        self._forget()

    def on_url(self, data: bytes) -> None:
        """A piece of the target."""
        self._target += data
        self._grow(len(data))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        name = name.lower()
        self._headers.append((name, value))
        self._grow(len(name) + len(value) + 4)
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"
        if len(self._headers) > MOST_HEADERS:
            raise TOO_LARGE

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MOST_HEAD_BYTES:
            raise TOO_LARGE

    def on_headers_complete(self) -> None:
        """The end of a head."""
        parser = self._parser
        request = Request(
            parser.get_method().decode("ascii"), self._target, parser.get_http_version(), self._headers
        )
        request.keep_alive = parser.should_keep_alive()
        request.expects = self._expects
        self._in_head = False
        self._reading = request
        self.ready.append(request)

    def on_body(self, data: bytes) -> None:
        """A piece of a body."""
        if self._reading is not None:
            self._reading.parts.append(data)

    def on_message_complete(self) -> None:
        """The end of a request."""
        if self._reading is not None:
            self._reading.complete = True


UNREADABLE = Refused(400, "the request is not valid HTTP/1.1")
NO_TUNNEL = Refused(405, "this server makes no tunnels")
# Headers by which a client offers another protocol, and those that only mean this connection.
OFFERS = frozenset({b"upgrade", b"http2-settings", b"connection"})
TOO_LARGE = Refused(
    431, f"the head of the request is larger than {MOST_HEAD_BYTES} bytes or {MOST_HEADERS} lines"
)
