"""The client: one pool of kept connections a provider, and calls that never cost it anything.

    idle --open--> calling --the reply's end--> idle
                     |  any other way out: cancelled, broken, cut short
                     v
                   closed

A connection belongs to one call at a time. Whoever leaves a call before its reply has ended closes the connection, at
once and without waiting, so a cancelled call is seen by the provider and leaves nothing behind.
"""

import math
import ssl
from contextlib import suppress
from types import TracebackType
from urllib.parse import urlsplit

import trio
from attrs import define, field

from adapters.http1.channel import Broken, Channel
from adapters.http1.dialling import Origin, Proxy, dial
from adapters.http1.response import Malformed, Response
from pipeline.ports import Link, Reply
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem

CONNECT_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 60.0
REST_S = 0.02
MOST_IDLE = 256
MOST_FIRST_LINES = 256
MOST_BODY_BYTES = 64 * 1024 * 1024

CUT = Problem(Kind.STREAM_ERROR, "the connection to the provider broke in the middle of its answer")
GARBLED = Problem(Kind.GARBLED, "the provider's answer is not HTTP")
TOO_LONG = Problem(Kind.GARBLED, "the provider's answer is too long")
COMPRESSED = Problem(Kind.GARBLED, "the provider sent a compressed answer that was not asked for")
UNANSWERED = Problem(Kind.WRITE_OR_RESET, "the connection to the provider broke before it answered")
UNREACHED = Problem(Kind.CONNECT, "the provider could not be reached")
UNTRUSTED = Problem(Kind.TLS_INVALID, "the provider's TLS certificate is not valid for its name")
ELSEWHERE = Problem(Kind.INTERNAL, "a call was addressed to another host than its provider's")


@define(eq=False)
class Connection:
    """One connection, and the reply that is being read from it."""

    channel: Channel
    link: Link
    response: Response = field(factory=Response)
    idle_since: float = -math.inf
    _pending: bytes = b""
    _taken: int = 0

    async def ask(self, data: bytes) -> None:
        """Send a request and read until the head of its reply is here. Raises Broken, Malformed."""
        response = self.response
        response.begin()
        self._pending, self._taken = b"", 0
        with suppress(
            Broken
        ):  # it may have answered before it hung up: a refusal of a large body comes like that
            await self.channel.send(data)
        while response.head is None:
            received = await self.channel.receive()
            if not received:
                raise Broken
            self._pending += response.feed(received)

    async def read(self) -> bytes | Problem:
        """What the port calls reading."""
        data, self._pending = self._pending, b""
        try:
            while not data and not self.response.complete:
                received = await self.channel.receive()
                if not received:
                    return CUT if self.response.sized else b""
                data = self.response.feed(received)
        except Broken:
            return CUT
        except Malformed:
            return GARBLED
        self._taken += len(data)
        return data if self._taken <= MOST_BODY_BYTES else TOO_LONG


@define(eq=False)
class Http1Transport:
    """Calls of one provider at `origin`, and no other. `proxy`: the way out of the house, if there is one."""

    origin: Origin
    context: ssl.SSLContext
    proxy: Proxy | None = None
    _idle: list[Connection] = field(factory=list, init=False)
    _first_lines: dict[tuple[str, str], str | None] = field(factory=dict, init=False)

    def open(self, request: HttpRequest) -> "Call":
        """As the port says."""
        return Call(self, request)

    async def aclose(self) -> None:
        """Close what is idle; connections of running calls end with these."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """The same without waiting."""
        while self._idle:
            self._idle.pop().channel.close()

    async def answered(self, request: HttpRequest) -> Connection | Problem:
        """A connection on which the head of the reply is here."""
        data = self._written(request)
        if data is None:
            return ELSEWHERE
        connection = self._kept()
        if connection is not None:
            answered = await self._asked(connection, data)
            if answered is not UNANSWERED or connection.response.begun:
                return answered
            # It had been closed by the other side while it was idle, so nobody has read the request.
        fresh = await self._connected()
        return fresh if isinstance(fresh, Problem) else await self._asked(fresh, data)

    async def _asked(self, connection: Connection, data: bytes) -> Connection | Problem:
        try:
            await connection.ask(data)
        except Broken:
            connection.channel.close()
            return UNANSWERED
        except Malformed:
            connection.channel.close()
            return GARBLED
        except BaseException:
            connection.channel.close()
            raise
        return connection

    def done(self, connection: Connection) -> None:
        """Keep the connection if its reply has ended and it may serve again; else close it."""
        if connection.response.reusable and len(self._idle) < MOST_IDLE:
            connection.idle_since = trio.current_time()
            connection.link = REUSED
            self._idle.append(connection)
        else:
            connection.channel.close()

    def _kept(self) -> Connection | None:
        """The connection that was used last, so that the others may grow old and be closed."""
        now = trio.current_time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < KEEP_ALIVE_S and connection.channel.quiet():
                self._forget_old(now)
                return connection
            connection.channel.close()
        return None

    def _forget_old(self, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since >= KEEP_ALIVE_S:
            self._idle.pop(0).channel.close()

    async def _connected(self) -> Connection | Problem:
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            try:
                channel, link = await dial(self.origin, self.context, self.proxy)
            except ssl.SSLCertVerificationError:
                return UNTRUSTED
            except (OSError, Broken):
                return UNREACHED
            return Connection(channel, link)
        return UNREACHED

    def _written(self, request: HttpRequest) -> bytes | None:
        """The request as it goes over the wire; None if it is not for this origin."""
        began = self._begun_with(request.method, request.url)
        if began is None:
            return None
        lines = [began, *[f"{name}: {value}" for name, value in request.headers.items()]]
        if request.body or request.method == "POST":
            lines.append(f"content-length: {len(request.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body

    def _begun_with(self, method: str, url: str) -> str | None:
        """The first two lines; None if it is not for this origin. Most calls have the same."""
        key = (method, url)
        if key not in self._first_lines:
            if len(self._first_lines) >= MOST_FIRST_LINES:
                self._first_lines.clear()
            self._first_lines[key] = first_lines(self.origin, method, url)
        return self._first_lines[key]


def first_lines(origin: Origin, method: str, url: str) -> str | None:
    """The request line and the host; None if the URL is not one of `origin`."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if (parts.scheme, parts.hostname, port) != (origin.scheme, origin.host, origin.port):
        return None
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    return f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}"


@define(eq=False)
class Call:
    """One call of a transport, for the length of a block."""

    transport: Http1Transport
    _request: HttpRequest | None
    _connection: Connection | None = field(default=None, init=False)

    async def __aenter__(self) -> Reply | Problem:
        """Ask, and wait for the head of the reply."""
        assert self._request is not None
        request, self._request = self._request, None
        answered = await self.transport.answered(request)
        if isinstance(answered, Problem):
            return answered
        self._connection = answered
        head = answered.response.head
        assert head is not None
        if head.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            return COMPRESSED
        return Reply(head, answered.read, answered.link)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the connection where the reply has ended; close it, without waiting, where the block was left early."""
        connection = self._connection
        if connection is None:
            return
        try:
            if kind is None and not connection.response.complete:
                # Often the last chunk of a reply that has said all is all that is missing. Nobody waits long for it.
                with trio.move_on_after(REST_S, shield=True):
                    await connection.read()
        finally:
            self.transport.done(connection)


REUSED = Link(True, 0.0, 0.0, 0.0)
