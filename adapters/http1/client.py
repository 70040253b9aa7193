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
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[Reply | Problem]:
        """As the port says."""
        connection = await self._answered(request)
        if isinstance(connection, Problem):
            yield connection
            return
        try:
            yield self._reply(connection)
            await self._rest(connection)
        finally:
            self._done(connection)

    async def aclose(self) -> None:
        """Close what is idle; connections of running calls end with these."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """The same without waiting."""
        while self._idle:
            self._idle.pop().channel.close()

    async def _answered(self, request: HttpRequest) -> Connection | Problem:
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

    def _reply(self, connection: Connection) -> Reply | Problem:
        head = connection.response.head
        assert head is not None
        if head.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            return COMPRESSED
        return Reply(head, connection.read, connection.link)

    async def _rest(self, connection: Connection) -> None:
        """Wait a moment for the end of a reply that has said all: often its last chunk is all that is missing."""
        if not connection.response.complete:
            with trio.move_on_after(REST_S):
                await connection.read()

    def _done(self, connection: Connection) -> None:
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
        parts = urlsplit(request.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if (parts.scheme, parts.hostname, port) != (self.origin.scheme, self.origin.host, self.origin.port):
            return None
        path = parts.path or "/"
        target = f"{path}?{parts.query}" if parts.query else path
        lines = [f"{request.method} {target} HTTP/1.1\r\nhost: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        if request.body or request.method == "POST":
            lines.append(f"content-length: {len(request.body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


REUSED = Link(True, 0.0, 0.0, 0.0)
