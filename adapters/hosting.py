"""Whose connections are served how, put in at the one place where Hypercorn's trio worker names its server class.

Hypercorn is the host: configuration, binds, lifespan, TLS, HTTP/2, shutdown. A plain HTTP/1.1 connection is ours, because
Hypercorn's own costs ten times as much and cannot be made safe; a TLS connection stays Hypercorn's, behind the guard.

Tried with Hypercorn 0.18.0, to which the requirements are held. `install` must be called before a worker starts; under the
`hypercorn` command that is when the application is imported.
"""

import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any, Protocol

import hypercorn.trio.run as worker
import trio
from attrs import define, field

from adapters.asgi import App
from adapters.http1.channel import Plain
from adapters.http1.hangups import HangUps
from adapters.http1.server import Connection, Dates, Limits
from adapters.hypercorn_guard import GuardedConnection

log = logging.getLogger("ollama_proxy.connection")

TRIED = "0.18.0"
STALL_S = 30.0
# Each connection may come with one to an upstream; the system's own limit of open files is often reached earlier.
MOST_CONNECTIONS = 8192
MOST_A_PEER = 256


class Hosted(Protocol):
    """A connection, as the house sees it when it closes."""

    def retire(self) -> None:
        """End after what is being served; at once if nothing is."""
        ...

    def give_up(self) -> None:
        """Wait no longer for the client."""
        ...


@define(eq=False)
class Connections:
    """The open connections of a worker. `stall_s`: how long a send may stand still; `limit` of all, `peer_limit` of one
    address; `own`: whether plain connections are ours, or Hypercorn's like all others.
    """

    stall_s: float = STALL_S
    limit: int = MOST_CONNECTIONS
    peer_limit: int = MOST_A_PEER
    own: bool = True
    idle_s: float = 75.0
    open: set[Hosted] = field(factory=set, init=False)
    _empty: trio.Event = field(factory=trio.Event, init=False)
    _peers: Counter[str] = field(factory=Counter, init=False)
    _hangups: trio.lowlevel.RunVar[HangUps | None] = field(
        factory=lambda: trio.lowlevel.RunVar("hangups", None), init=False
    )
    _dates: Dates = field(factory=lambda: Dates(time.time), init=False)

    def retire(self) -> None:
        """Let every connection end: the idle ones now, the others after their answer."""
        for connection in tuple(self.open):
            connection.retire()

    async def wait_closed(self) -> None:
        """Until none is open."""
        while self.open:
            await self._empty.wait()

    def abort(self) -> None:
        """End every connection that stands still in a send; the others end by themselves when told to."""
        for connection in tuple(self.open):
            connection.give_up()

    async def serve(self, app: Any, config: Any, context: Any, state: Any, stream: Any) -> None:
        """One connection from its first byte to its last."""
        peer = address_of(stream)
        if len(self.open) >= self.limit or self._peers[peer] >= self.peer_limit:
            log.warning(
                "too many connections (%d, %d of %s): one was refused",
                len(self.open),
                self._peers[peer],
                peer,
            )
            await trio.aclose_forcefully(stream)
            return
        if self.own and isinstance(stream, trio.SocketStream):
            connection: Any = self._plain(app.app, context.terminated.is_set, stream)
        else:
            connection = GuardedConnection(self.stall_s, app, config, context, state, stream)
        self.open.add(connection)
        self._peers[peer] += 1
        try:
            await connection.run()
        finally:
            self.open.discard(connection)
            if not self.open:
                self._empty.set()
                self._empty = trio.Event()
            self._peers[peer] -= 1
            if not self._peers[peer]:
                del self._peers[peer]

    def _plain(self, app: App, ending: Callable[[], bool], stream: trio.SocketStream) -> Connection:
        sock = socket.socket(fileno=stream.socket.detach())
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.stall_s * 1000))
        return Connection(
            app, Plain(sock, self.stall_s), self._watching(), name_of(sock.getpeername), name_of(sock.getsockname),
            Limits(idle_s=self.idle_s, stall_s=self.stall_s), self._dates, ending,
        )  # fmt: skip

    def _watching(self) -> HangUps:
        """Who tells of clients that hang up. It lives as long as the loop: the connections have no nursery of ours."""
        hangups = self._hangups.get()
        if hangups is None:
            hangups = HangUps()
            self._hangups.set(hangups)
            trio.lowlevel.spawn_system_task(hangups.run)
        return hangups


def name_of(ask: Callable[[], Any]) -> tuple[str, int] | None:
    """(address, port) as ASGI names an end of a connection; None for what has none, or is gone already."""
    try:
        name = ask()
    except OSError:
        return None
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None


def address_of(stream: Any) -> str:
    """The peer's address; all who have none count as one."""
    plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    name = name_of(plain.socket.getpeername)
    return name[0] if name else ""


class Served:
    """What Hypercorn makes for each connection, and waits for."""

    def __init__(self, connections: Connections, *given: Any) -> None:
        self.connections = connections
        self.given = given

    def __await__(self) -> Generator[Any, None, None]:
        return self.connections.serve(*self.given).__await__()


def install(connections: Connections | None = None) -> Connections:
    """Serve all connections that Hypercorn's trio workers of this process take from now on. Raises RuntimeError."""
    held = connections or Connections()
    if not hasattr(worker, "TCPServer"):
        raise RuntimeError(f"this Hypercorn has no hypercorn.trio.run.TCPServer; it was tried with {TRIED}")

    def served(*given: Any) -> Served:
        return Served(held, *given)

    worker.TCPServer = served
    return held
