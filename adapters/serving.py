"""Serving the house: a socket, Hypercorn on trio, and an end that comes by itself.

The socket is bound before anything else starts, so that a taken port is told at once and in plain words. The first
SIGTERM or SIGINT drains the house, the second cuts that short.
"""

import errno
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import hypercorn.trio
import trio
from attrs import frozen
from hypercorn.config import Config

from adapters.asgi import App
from adapters.hosting import Connections, install
from adapters.lifecycle import Lifecycle

OLLAMA_PORT = 11434

# How long the application may take to let go of what it holds: the ledger writes its last records.
LIFESPAN_S = 10.0
# What was accepted just before the listener closed has begun by then.
ACCEPTED_S = 0.1


class CannotListen(Exception):
    """The address cannot be listened on; the text says why, and what would help."""


class AddressTaken(CannotListen):
    """Somebody else listens there."""


@frozen
class ServerOptions:
    """Where and how to serve. Times in seconds.

    `grace_s`: how long a draining house still takes new calls, while whoever sends them sees that it is not ready; of
    use where somebody looks at readiness. `limit_s`: how long running exchanges may take then. `flush_s`: for last
    frames. `close_s`: for whatever else has a connection. `certfile` and `keyfile`: PEM files, to serve in TLS.
    `handover`: others listen on the same sockets and go on; so stop accepting at once, and refuse nobody.
    """

    host: str = "127.0.0.1"
    port: int = OLLAMA_PORT
    grace_s: float = 0.0
    limit_s: float = 120.0
    flush_s: float = 5.0
    close_s: float = 3.0
    keep_alive_s: float = 75.0
    backlog: int = 2048
    certfile: str = ""
    keyfile: str = ""
    handover: bool = False


def serve(
    app: App,
    options: ServerOptions,
    lifecycle: Lifecycle,
    announce: Callable[[Sequence[str]], None],
    sockets: Sequence[socket.socket] = (),
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
    hangup: Callable[[], None] | None = None,
) -> None:
    """Serve `app` until a signal comes or `until` is over. `announce` is given the URLs once all is up.

    `sockets`: those to listen on, if they exist already. `hangup`: called at each SIGHUP, which without it is a signal to
    end as any other. Raises CannotListen before anything has started.
    """
    check_certificate(options)
    listening = sockets or bound(options.host, options.port, options.backlog)
    trio.run(_serve, app, options, lifecycle, announce, listening, until, hangup)


def check_certificate(options: ServerOptions) -> None:
    """Raises CannotListen where the certificate cannot be used."""
    if not options.certfile:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.certfile, options.keyfile or None)
    except (OSError, ssl.SSLError) as fault:
        reason = fault.strerror or fault
        raise CannotListen(
            f"the certificate cannot be used ({reason}): TLS_CERTFILE={options.certfile} TLS_KEYFILE={options.keyfile} "
            "must name PEM files of a certificate and its key"
        ) from None


async def _serve(
    app: App,
    options: ServerOptions,
    lifecycle: Lifecycle,
    announce: Callable[[Sequence[str]], None],
    sockets: Sequence[socket.socket],
    until: Callable[[], Awaitable[None]],
    hangup: Callable[[], None] | None,
) -> None:
    stop = trio.Event()
    connections = install(Connections(idle_s=options.keep_alive_s))
    config = hypercorn_config(options, sockets)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            ending = Endings(signals, hangup)
            nursery.start_soon(_end_on_signal, ending, options, lifecycle, stop, connections, until)
            await hypercorn.trio.serve(
                cast(Any, app),  # Hypercorn's type of an app is narrower than what it calls
                config,
                shutdown_trigger=stop.wait,
                task_status=Announcement(announce),
                mode="asgi",
            )
            nursery.cancel_scope.cancel()


@frozen
class Announcement:
    """What Hypercorn tells when it is up."""

    announce: Callable[[Sequence[str]], None]

    def started(self, value: Sequence[str] | None = None) -> None:
        """It listens at these URLs."""
        self.announce(value or ())


@frozen
class Endings(AsyncIterator[int]):
    """The signals to end, of all `signals`. One that is waited for in vain may be waited for again."""

    signals: AsyncIterator[int]
    hangup: Callable[[], None] | None

    async def __anext__(self) -> int:
        """The next one."""
        while (received := await anext(self.signals)) == signal.SIGHUP and self.hangup is not None:
            self.hangup()
        return received


async def _end_on_signal(
    signals: AsyncIterator[int],
    options: ServerOptions,
    lifecycle: Lifecycle,
    stop: trio.Event,
    connections: Connections,
    until: Callable[[], Awaitable[None]],
) -> None:
    """At the first signal drain the house, then stop the server and let no connection hold it up."""
    await _either(partial(anext, signals), until)
    hurry = trio.Event()

    async def hurry_on_signal() -> None:
        await anext(signals)
        hurry.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hurry_on_signal)
        if options.handover:
            lifecycle.begin_drain()
            stop.set()
            connections.retire()
            await _closed(connections, hurry, options.limit_s)
            await lifecycle.drain(hurry, 0.0, 0.0, options.flush_s)
        else:
            await lifecycle.drain(hurry, options.grace_s, options.limit_s, options.flush_s)
        connections.retire()
        stop.set()
        while True:
            await trio.sleep(options.close_s)
            connections.abort()


async def _either(one: Callable[[], Awaitable[Any]], other: Callable[[], Awaitable[Any]]) -> None:
    """Wait until either is over."""
    async with trio.open_nursery() as nursery:

        async def first(wait: Callable[[], Awaitable[Any]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(first, one)
        nursery.start_soon(first, other)


async def _closed(connections: Connections, hurry: trio.Event, limit_s: float) -> None:
    """Wait until every connection has had its answer, not longer than `limit_s` and not past `hurry`."""
    await trio.sleep(ACCEPTED_S)
    with trio.move_on_after(limit_s):
        await _either(connections.wait_closed, hurry.wait)


def hypercorn_config(options: ServerOptions, sockets: Sequence[socket.socket]) -> Config:
    """Hypercorn's configuration for serving on `sockets`, which it takes over."""
    config = Config()
    config.bind = [f"fd://{taken.detach()}" for taken in sockets]
    config.backlog = options.backlog
    config.keep_alive_timeout = options.keep_alive_s
    config.keep_alive_max_requests = 100_000
    config.graceful_timeout = options.close_s
    if options.handover:
        # The listener is closed first, and what runs is waited for after it.
        config.graceful_timeout += options.limit_s + options.flush_s
    if options.certfile:
        config.certfile, config.keyfile = options.certfile, options.keyfile or None
    config.shutdown_timeout = LIFESPAN_S
    config.h11_max_incomplete_size = 64 * 1024
    config.include_server_header = False
    # One line a request is ours to write.
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


def bound(host: str, port: int, backlog: int = 2048, shared: bool = False) -> list[socket.socket]:
    """Sockets that listen on all addresses that `host` means. Port 0: any one free port.

    `shared`: others of ours may listen there too.
    """
    try:
        found = socket.getaddrinfo(
            host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as fault:
        raise CannotListen(f"HOST={host}: this is no address of this machine ({fault})") from None
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in addresses[:1] if port == 0 else addresses:
        try:
            sockets.append(_bound_one(family, address, backlog, shared))
        except OSError as fault:
            # localhost means ::1 too, which a machine without IPv6 does not have.
            if fault.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) and len(addresses) > 1:
                missing = fault
                continue
            for other in sockets:
                other.close()
            raise _told(fault, host, port) from None
    if not sockets and missing is not None:
        raise _told(missing, host, port)
    return sockets


def _bound_one(family: int, address: Any, backlog: int, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        # Two that start at once may both bind; only listening tells.
        made.listen(backlog)
    except OSError:
        made.close()
        raise
    return made


def _told(fault: OSError, host: str, port: int) -> CannotListen:
    """The fault in plain words."""
    where = f"{host}:{port}"
    if fault.errno == errno.EADDRINUSE:
        return AddressTaken(taken_text(host, port))
    if fault.errno == errno.EACCES:
        return CannotListen(
            f"{where}: this account may not listen there; take a port above 1023, as in PORT=11435"
        )
    if fault.errno == errno.EADDRNOTAVAIL:
        return CannotListen(
            f"{where}: this machine has no such address; HOST=127.0.0.1 or HOST=0.0.0.0 will do"
        )
    return CannotListen(f"{where}: {fault.strerror or fault}")


def taken_text(host: str, port: int) -> str:
    """What to do about a port that somebody else has."""
    free = port + 1 if port < 65535 else port - 1
    local = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104  compared, not bound
    if port != OLLAMA_PORT:
        return f"{host}:{port} is taken by another program. Stop that, or take another port: PORT={free}"
    return f"""{host}:{port} is taken by another program, most likely Ollama itself. To put the gateway in front of it:
  the gateway on another port, which your clients then use:
      PORT={free} OLLAMA_BASE_URL=http://{local}:{port}
  Ollama on another port, and the gateway here, so that no client has to change:
      OLLAMA_HOST={local}:{free} ollama serve
      OLLAMA_BASE_URL=http://{local}:{free}"""
