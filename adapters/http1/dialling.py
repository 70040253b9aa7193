"""Connecting to an upstream: its name resolved, its addresses tried, a proxy passed through, TLS agreed on."""

import errno
import socket
import ssl
from base64 import b64encode
from urllib.parse import unquote, urlsplit

import trio
from attrs import field, frozen

from adapters.http1.channel import Broken, Channel, Plain, Tls
from pipeline.ports import Link

# The next address is tried when one has been silent for so long (RFC 8305).
STAGGER_S = 0.25
MOST_PROXY_HEAD = 16 * 1024


class ProxyRefused(OSError):
    """The proxy would not let us through."""


@frozen
class Origin:
    """Where an upstream is. A credential belongs to exactly one of these."""

    scheme: str
    host: str
    port: int

    @property
    def secure(self) -> bool:
        """Whether it is spoken to in TLS."""
        return self.scheme == "https"


@frozen
class Proxy:
    """An HTTP proxy that tunnels by CONNECT. `credentials`: "user:password", or nothing."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL."""
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def proxy_of(url: str) -> Proxy:
    """The proxy that `http://user:password@host:port` names."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(parts.hostname or "", parts.port or 3128, f"{user}:{password}" if user else "")


async def dial(origin: Origin, context: ssl.SSLContext, proxy: Proxy | None = None) -> tuple[Channel, Link]:
    """A connection to `origin`, and how long each step took. Raises OSError, ssl.SSLError, Broken."""
    began = trio.current_time()
    host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
    addresses = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    resolved = trio.current_time()
    plain = Plain(await first_connected([(family, address) for family, _, _, _, address in addresses]))
    try:
        if proxy:
            await _tunnel(plain, origin, proxy)
        connected = trio.current_time()
        if not origin.secure:
            return plain, Link(False, resolved - began, connected - resolved, 0.0)
        tls = Tls(plain, context, origin.host)
        await tls.handshake()
        return tls, Link(False, resolved - began, connected - resolved, trio.current_time() - connected)
    except BaseException:
        plain.close()
        raise


async def first_connected(addresses: list[tuple[int, tuple[object, ...]]]) -> socket.socket:
    """A connected socket to whichever address answers first, each tried a little after the one before it.

    Raises OSError: the last one's, if none answers.
    """
    winner: socket.socket | None = None
    failure = OSError(errno.EHOSTUNREACH, "it has no address")

    async def attempt(family: int, address: tuple[object, ...], failed: trio.Event) -> None:
        nonlocal winner, failure
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await _connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
            failed.set()
        except BaseException:
            sock.close()
            raise
        else:
            if winner is not None:
                sock.close()
                return
            winner = sock
            nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for family, address in addresses:
                failed = trio.Event()
                nursery.start_soon(attempt, family, address, failed)
                with trio.move_on_after(STAGGER_S):
                    await failed.wait()
    except BaseException:
        if winner is not None:
            winner.close()
        raise
    if winner is None:
        raise failure
    return winner


async def _connect(sock: socket.socket, address: tuple[object, ...]) -> None:
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, "cannot connect")
    if code:
        await trio.lowlevel.wait_writable(sock)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, "cannot connect")


async def _tunnel(plain: Plain, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a connection to `origin`. Raises ProxyRefused, Broken."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"Host: {host}:{origin.port}"]
    if proxy.credentials:
        lines.append(f"Proxy-Authorization: Basic {b64encode(proxy.credentials.encode()).decode()}")
    await plain.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = await plain.receive()
        head += data
        if not data or len(head) > MOST_PROXY_HEAD:
            raise Broken
    status = head.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise ProxyRefused(errno.EACCES, "the proxy refused the connection")
