"""A provider at the end of a real socket, scripted byte by byte."""

import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from attrs import define, field

Handler = Callable[["Peer"], Awaitable[None]]


@define(eq=False)
class Peer:
    """One connection, seen from the provider's end."""

    stream: trio.abc.Stream
    number: int
    buffer: bytes = b""

    async def request(self) -> bytes:
        """The next whole request; b"" if the client has gone."""
        while b"\r\n\r\n" not in self.buffer:
            if not await self._more():
                return b""
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        while len(rest) < length:
            if not await self._more():
                return b""
            rest = self.buffer.partition(b"\r\n\r\n")[2]
        self.buffer = rest[length:]
        return head + b"\r\n\r\n" + rest[:length]

    async def _more(self) -> bool:
        data = bytes(await self.stream.receive_some(65536))
        self.buffer += data
        return bool(data)

    async def say(self, *pieces: bytes, pause_s: float = 0.005) -> None:
        """Each piece in a write of its own."""
        for piece in pieces:
            await self.stream.send_all(piece)
            if pause_s and len(pieces) > 1:
                await trio.sleep(pause_s)

    async def gone(self) -> float:
        """When the client hung up."""
        try:
            while await self.stream.receive_some(65536):
                pass
        except trio.BrokenResourceError:
            pass
        return trio.current_time()


@define(eq=False)
class Upstream:
    """`peers`: every connection so far; `open`: those that are now."""

    port: int
    peers: list[Peer] = field(factory=list)
    open: int = 0


@asynccontextmanager
async def upstream(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """A server on a free port of 127.0.0.1 that lets `handler` speak on each connection."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        here = Upstream(listeners[0].socket.getsockname()[1])

        async def serve(stream: trio.SocketStream) -> None:
            here.open += 1
            try:
                secured: trio.abc.Stream = stream
                if context:
                    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
                peer = Peer(secured, len(here.peers))
                here.peers.append(peer)
                async with secured:
                    await handler(peer)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                here.open -= 1
                await trio.aclose_forcefully(stream)

        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield here
        nursery.cancel_scope.cancel()


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A self-signed certificate for `name` and 127.0.0.1, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    subprocess.run(
        [*command, "-keyout", str(key), "-out", str(cert), "-days", "2", *subject],
        check=True,
        capture_output=True,
    )
    return cert, key
