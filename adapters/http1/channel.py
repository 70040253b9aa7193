"""A connected socket, plain or in TLS, as bytes that come and go.

Both kinds have the same few methods. `receive` and `send` wait only when the kernel says so; every so often they give
way all the same, so that a peer who is always ready cannot keep the others from running. Closing never waits.
"""

import math
import socket
import ssl
from contextlib import suppress
from typing import Protocol

import trio

READ_BYTES = 64 * 1024
# How many reads or writes may follow one another without giving way to other tasks.
BURST = 16


class Broken(Exception):
    """The connection is of no use any more: reset, cut in the middle of TLS, or closed by us."""


class Channel(Protocol):
    """What a connection is to those who speak HTTP over it."""

    async def receive(self) -> bytes:
        """The next bytes, b"" at the end. Raises Broken."""
        ...

    async def send(self, data: bytes) -> None:
        """All of `data` into the kernel. Raises Broken."""
        ...

    def quiet(self) -> bool:
        """Whether nothing has come that nobody asked for: neither bytes nor the end."""
        ...

    def close(self) -> None:
        """Close at once; harmless when repeated."""
        ...


class Plain:
    """A plain TCP connection. Takes over `sock`, which must be non-blocking.

    `stall_s`: a peer who takes nothing for so long is given up.
    """

    def __init__(self, sock: socket.socket, stall_s: float = math.inf) -> None:
        self.sock = sock
        self.stall_s = stall_s
        self._turns = 0
        self._drained = False

    async def receive(self) -> bytes:
        """See Channel."""
        # After a read that emptied the kernel's buffer a second one would only fail: wait first.
        if self._drained:
            await self._readable()
        while True:
            try:
                data = self.sock.recv(READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError as error:
                raise Broken from error
            self._drained = len(data) < READ_BYTES
            if not self._drained:
                await self._give_way()
            return data

    async def send(self, data: bytes) -> None:
        """See Channel."""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise Broken from error
        if sent == len(data):
            await self._give_way()
        else:
            await self._send_rest(memoryview(data)[sent:])

    async def _send_rest(self, rest: memoryview) -> None:
        while rest:
            try:
                with trio.move_on_after(self.stall_s) as patience:
                    await trio.lowlevel.wait_writable(self.sock)
                if patience.cancelled_caught:
                    raise Broken
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise Broken from error

    async def _readable(self) -> None:
        self._turns = 0
        try:
            await trio.lowlevel.wait_readable(self.sock)
        except (OSError, trio.ClosedResourceError) as error:
            raise Broken from error

    async def _give_way(self) -> None:
        self._turns += 1
        if self._turns >= BURST:
            self._turns = 0
            await trio.lowlevel.checkpoint()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()

    def quiet(self) -> bool:
        """See Channel."""
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """See Channel."""
        if self.sock.fileno() < 0:
            return
        with suppress(RuntimeError):  # outside of trio nobody waits
            trio.lowlevel.notify_closing(self.sock)
        self.sock.close()


class Tls:
    """TLS over a plain connection, by OpenSSL's memory buffers, so that bytes move in whole reads and writes."""

    def __init__(self, plain: Plain, context: ssl.SSLContext, name: str) -> None:
        self.plain = plain
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=name)

    async def handshake(self) -> None:
        """Agree on keys and check the peer's certificate. Raises ssl.SSLError, Broken."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def receive(self) -> bytes:
        """See Channel."""
        while True:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                raise Broken from error
            else:
                return data + self._more()

    def _more(self) -> bytes:
        """What other records have already come, so that one read of the network is one read of ours."""
        if not self._in.pending:
            return b""
        parts = []
        try:
            while part := self._tls.read(READ_BYTES):
                parts.append(part)
        except ssl.SSLError:
            pass  # an unfinished record, or the end: the next read meets it again
        return b"".join(parts)

    async def send(self, data: bytes) -> None:
        """See Channel."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise Broken from error
        await self._flush()

    async def _fill(self) -> None:
        data = await self.plain.receive()
        if not data:
            # Without the peer's own goodbye the end could be anybody's doing.
            raise Broken
        self._in.write(data)

    async def _flush(self) -> None:
        if self._out.pending:
            await self.plain.send(self._out.read())

    def quiet(self) -> bool:
        """See Channel. Session tickets and the like come unasked, and are taken in."""
        if not self.plain.quiet():
            try:
                data = self.plain.sock.recv(READ_BYTES)
            except OSError:
                return False
            if not data:
                return False
            self._in.write(data)
        try:
            self._tls.read(1)
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            return False
        return False

    def close(self) -> None:
        """See Channel."""
        self.plain.close()
