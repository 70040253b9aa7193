"""The server of one plain HTTP/1.1 connection, for an ASGI application.

    idle --first byte--> head --complete--> serving --answered, body read--> idle
      |  idle limit        |  head limit       |  client gone, stalled, close
      v                    v                   v
    closed <---------------------------------------

One request is served at a time, in order. While the application works nothing is read: bytes that come are the next
request and stay in the kernel, and it is the kernel that tells when the client hangs up.
"""

import logging
import math
import socket
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson
import trio
from attrs import define, field, frozen

from adapters.asgi import LONG_BODY, ON_LEAVE, App, Message
from adapters.http1.channel import Broken, Plain
from adapters.http1.hangups import HangUps
from adapters.http1.request import Refused, Request, Requests

log = logging.getLogger("ollama_proxy.connection")

LINGER_S = 1.0
# How long one who has just connected to a server that closes may take to ask.
FRESH_S = 1.0
LINGER_BYTES = 1024 * 1024

GONE: Message = {"type": "http.disconnect"}
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
BODILESS = frozenset({204, 304})


@frozen
class Limits:
    """Seconds: `idle_s` between requests, `head_s` for a head from its first byte, `stall_s` for a send that rests.

    A body has `body_s` in all, and after its first `slow_s` must have come at `least_rate` bytes a second.
    """

    idle_s: float = 75.0
    head_s: float = 5.0
    stall_s: float = 30.0
    body_s: float = 30.0
    slow_s: float = 5.0
    least_rate: float = 1024.0


class Dates:
    """The `date` line, made once a second."""

    def __init__(self, epoch: Callable[[], float]) -> None:
        self._epoch = epoch
        self._second = -1
        self._line = b""

    def line(self) -> bytes:
        """The line for now."""
        now = int(self._epoch())
        if now != self._second:
            self._second = now
            self._line = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
        return self._line


def never() -> bool:
    """Of a server that goes on."""
    return False


@define(eq=False)
class Connection:
    """One connection. `peer` and `own` are (address, port) as ASGI names them; `ending`: whether the server closes.

    One cancel scope holds the limits of time between requests: its deadline is moved, and taken off while one is served.
    """

    app: App
    channel: Plain
    hangups: HangUps
    peer: tuple[str, int] | None
    own: tuple[str, int] | None
    limits: Limits
    dates: Dates
    ending: Callable[[], bool] = never
    idle: bool = field(default=True, init=False)
    hung_up: bool = field(default=False, init=False)
    _turn: "Turn | None" = field(default=None, init=False)
    _retired: bool = field(default=False, init=False)
    _served: bool = field(default=False, init=False)
    _patience: trio.CancelScope = field(factory=trio.CancelScope, init=False)
    _requests: Requests = field(factory=Requests, init=False)

    async def run(self) -> None:
        """Serve until either side has had enough."""
        self.hangups.watch(self.channel.sock, self.left)
        try:
            with self._patience:
                await self._serve_all()
            if self._patience.cancelled_caught and self._requests.begun:
                await self._refuse(Refused(408, "the head of the request did not arrive in time"))
        except Refused as refusal:
            await self._refuse(refusal)
        except Broken:
            pass
        finally:
            self.hangups.forget(self.channel.sock)
            self.channel.close()

    async def _serve_all(self) -> None:
        """One request after the other. Raises Refused, Broken."""
        while (request := await self._next()) is not None:
            self._turn = turn = Turn(self, request)
            await turn.serve()
            self._turn = None
            self._served = True
            if turn.unanswered and self.fault is not None:
                raise self.fault
            if not turn.reusable:
                await self._linger(request)
                return

    def left(self) -> None:
        """The client has hung up, or takes nothing more: what is being done for it can end."""
        self.hung_up = True
        if self._turn is not None:
            self._turn.left()

    def retire(self) -> None:
        """Close after the request that is being served; at once if there is none."""
        self._retired = True
        # What has come by now is a request that was sent in good faith: it is read and answered first.
        if not self.idle or not self.channel.quiet():
            return
        if self._served:
            self.channel.close()
        else:
            # Who has just connected is about to ask.
            self._patience.deadline = min(self._patience.deadline, trio.current_time() + FRESH_S)

    def give_up(self) -> None:
        """Close, whatever is going on."""
        self.channel.close()

    @property
    def retiring(self) -> bool:
        """Whether the connection ends after this request."""
        return self._retired or self.ending()

    async def more(self) -> int:
        """Read once and take in what came: how many bytes that was. Raises Broken."""
        data = await self.channel.receive()
        if data:
            self._requests.feed(data)
        return len(data)

    def refuse(self, refusal: Refused) -> None:
        """End the connection with `refusal`."""
        self._requests.fault = refusal

    @property
    def fault(self) -> Refused | None:
        """What is wrong with what came last."""
        return self._requests.fault

    async def _next(self) -> Request | None:
        """The next request, None if there is none. Raises Refused, Broken."""
        requests, limits = self._requests, self.limits
        while not requests.ready:
            if requests.fault is not None:
                raise requests.fault
            if self.retiring and self._served:
                return None
            if not requests.begun:
                self.idle = True
                self._patience.deadline = trio.current_time() + (FRESH_S if self.retiring else limits.idle_s)
            elif self.idle or self._patience.deadline == math.inf:
                self.idle = False
                self._patience.deadline = trio.current_time() + limits.head_s
            if not await self.more():
                return None
        self.idle = False
        self._patience.deadline = math.inf
        return requests.ready.popleft()

    async def _refuse(self, refusal: Refused) -> None:
        """The answer to what is no request; the connection ends with it."""
        body = orjson.dumps({"error": refusal.text})
        head = STATUS_LINES[refusal.status] + self.dates.line()
        head += b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(
            body
        )
        try:
            await self.channel.send(head + body)
            await self._discard()
        except Broken:
            pass

    async def _linger(self, request: Request) -> None:
        """Let the client read the answer: closing on bytes that nobody read would cut it off."""
        if not request.complete or not self.channel.quiet():
            await self._discard()

    async def _discard(self) -> None:
        """Say that no more will come, and read for a while what nobody wants. Raises Broken."""
        try:
            self.channel.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise Broken from error
        taken = 0
        with trio.move_on_after(LINGER_S):
            while taken < LINGER_BYTES and (data := await self.channel.receive()):
                taken += len(data)


class Turn:
    """One request and its answer: the ASGI `receive` and `send` of it."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.gone = False
        self.over = False
        self._told: Callable[[], None] | None = None
        self._waiting: trio.Event | None = None
        self._given = False
        self._body_began = -1.0
        self._body_bytes = 0
        self._body_s = connection.limits.body_s
        self._head: bytes | None = None
        self._begun = False
        self._chunked = False
        self._close = not request.keep_alive or request.version != "1.1"
        self._bodiless = False

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self.over and not self.gone and not self._close and self.request.complete

    @property
    def unanswered(self) -> bool:
        """Whether nothing has been sent yet."""
        return not self._begun

    async def serve(self) -> None:
        """Let the application answer."""
        try:
            await self.connection.app(self._scope(), self.receive, self.send)
        except Exception:
            log.exception("the application failed")
        if self.over or self.gone or self.connection.hung_up or self.connection.fault is not None:
            return
        if self._begun:
            # A reply that broke off must not look like one that ended: no last chunk.
            self.gone = True
            return
        self._close = True
        await self.send(
            {"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"0")]}
        )
        await self.send({"type": "http.response.body", "body": b""})

    def _scope(self) -> dict[str, Any]:
        request, connection = self.request, self.connection
        path, _, query = request.target.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version,
            "method": request.method,
            "scheme": "http",
            "path": unquote(path.decode("latin-1")),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": request.headers,
            "client": connection.peer,
            "server": connection.own,
            "state": {},
            "extensions": {},
            ON_LEAVE: self.on_leave,
            LONG_BODY: self.on_long_body,
        }

    async def receive(self) -> Message:
        """The next piece of the body; after the last one, when the client leaves."""
        request = self.request
        if self._given:
            await self._until_gone()
            return GONE
        try:
            if not request.parts and not request.complete:
                if request.expects:
                    request.expects = False
                    await self.connection.channel.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                await self._more_of_body()
        except Broken:
            self.gone = True
            return GONE
        self._given = request.complete
        return {"type": "http.request", "body": request.taken(), "more_body": not request.complete}

    async def _more_of_body(self) -> None:
        """Wait for the next bytes of the body, as long as they may take. Raises Broken."""
        connection, limits = self.connection, self.connection.limits
        if self._body_began < 0:
            self._body_began = trio.current_time()
        allowed_s = min(self._body_s, limits.slow_s + self._body_bytes / limits.least_rate)
        with trio.CancelScope(deadline=self._body_began + allowed_s) as patience:
            while not self.request.parts and not self.request.complete:
                came = 0 if connection.fault is not None else await connection.more()
                if not came:
                    raise Broken
                self._body_bytes += came
        if patience.cancelled_caught:
            connection.refuse(Refused(408, "the body of the request did not arrive in time"))
            raise Broken

    def on_long_body(self) -> None:
        """The body may take as long as it comes fast enough."""
        self._body_s = math.inf

    def on_leave(self, told: Callable[[], None]) -> None:
        """Call `told` when the client leaves; at once if it has left already."""
        if self.connection.hung_up:
            told()
        else:
            self._told = told

    def left(self) -> None:
        """Tell of it that the client has left, unless it has had all it came for. It may still read what is sent."""
        if self.over:
            return
        if self._told is not None:
            self._told()
        if self._waiting is not None:
            self._waiting.set()

    async def _until_gone(self) -> None:
        if not (self.connection.hung_up or self.over):
            self._waiting = trio.Event()
            await self._waiting.wait()

    async def send(self, message: Message) -> None:
        """A head, held back until there is something to go with it, or a piece of the body."""
        if self.gone or self.over:
            return
        if message["type"] == "http.response.start":
            self._head = self._rendered(message["status"], message.get("headers", ()))
            return
        body = message.get("body", b"")
        more = message.get("more_body", False)
        data = self._framed(body, more)
        if self._head is not None:
            data, self._head, self._begun = self._head + data, None, True
        self.over = not more
        if self.over and self._waiting is not None:
            self._waiting.set()
        if not data:
            return
        try:
            await self.connection.channel.send(data)
        except Broken:
            self.gone = True
            self.connection.channel.close()
            self.connection.left()

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self._bodiless:
            return b""
        if not self._chunked:
            return body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return chunk if more else chunk + b"0\r\n\r\n"

    def _rendered(self, status: int, headers: Any) -> bytes:
        """The head, with how the body's end will be known."""
        lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        sized = self._chunked = False
        for name, value in headers:
            lines.append(b"%b: %b\r\n" % (name, value))
            lowered = name.lower()
            if lowered == b"content-length":
                sized = True
            elif lowered == b"connection" and value.lower() == b"close":
                self._close = True
        lines.append(self.connection.dates.line())
        self._bodiless = status in BODILESS or self.request.method == "HEAD"
        if not sized and not self._bodiless:
            self._chunked = self.request.version == "1.1"
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self._close = True
        if self.connection.retiring or not self.request.complete:
            self._close = True
        if self._close and b"connection: close\r\n" not in lines:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or b"\0" in head:
            raise ValueError("a header holds a line end or a NUL")
        return head
