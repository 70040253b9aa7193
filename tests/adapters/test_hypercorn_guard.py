import logging
import socket
from contextlib import asynccontextmanager

import hypercorn.trio
import hypercorn.trio.run
import pytest
import trio
import trio.testing
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from quart_trio import QuartTrio

from adapters.hosting import Connections, install
from adapters.hypercorn_guard import GuardedConnection
from adapters.serving import bound
from tests.adapters.test_ledger import until

REPEATS = 200
# An answer needs no body, and is under way when what comes as the body turns out to be no chunk.
BAD_CHUNK = b"POST /nope HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc"
# An upgrade with a setting (2, ENABLE_PUSH) that has a value it cannot have (2).
BAD_SETTINGS = (
    b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAIAAAAC\r\n\r\n"
)
GET = b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
BODY = b"</p>\n"


@pytest.fixture(autouse=True)
def _unguarded_afterwards(monkeypatch):
    monkeypatch.setattr(hypercorn.trio.run, "TCPServer", TCPServer)


class App:
    """A plain Quart, which answers 404 at just the wrong moment; `/flood` sends until its client leaves."""

    def __init__(self):
        self.left = trio.Event()
        self.plain = QuartTrio(__name__, static_folder=None)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan" or scope["path"] != "/flood":
            await self.plain(scope, receive, send)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.flood, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()
        self.left.set()

    async def flood(self, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})


@asynccontextmanager
async def running(app):
    """Hypercorn on a free port, ended by cancellation; whatever ends it before is raised."""
    (listener,) = bound("127.0.0.1", 0)
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = logging.getLogger("hypercorn.error")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: hypercorn.trio.serve(app, config, task_status=task_status))
        yield port
        nursery.cancel_scope.cancel()


async def send_and_leave(port, data):
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(data)


async def answered(stream):
    """Whether a request on `stream` gets its answer."""
    await stream.send_all(GET)
    data = b""
    with trio.fail_after(5):
        while not data.endswith(BODY):
            part = await stream.receive_some(65536)
            if not part:
                return False
            data += part
    return data.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "sent", [pytest.param(BAD_CHUNK, id="chunk"), pytest.param(BAD_SETTINGS, id="settings")]
)
async def test_bad_connections_end_alone(sent):
    connections = install(Connections(own=False))
    async with running(App()) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as bystander:
            assert await answered(bystander)
            for _ in range(REPEATS // 20):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(send_and_leave, port, sent)
            assert await answered(bystander)
            async with await trio.open_tcp_stream("127.0.0.1", port) as newcomer:
                assert await answered(newcomer)
        await until(lambda: not connections.open)


async def test_without_the_guard_they_end_the_server():
    """If this fails, Hypercorn has been mended and half of the guard may go."""
    ended = False
    try:
        async with running(App()) as port:
            for _ in range(REPEATS):
                await send_and_leave(port, BAD_SETTINGS)
    except* (ProtocolError, OSError, trio.BrokenResourceError):
        ended = True
    assert ended


BUSY = trio.BusyResourceError("busy")
# As each task of a connection may leave it, alone or with others.
LEAVING = [
    pytest.param(BUSY, None, id="a fault"),
    pytest.param(ExceptionGroup("", [BUSY, ValueError()]), None, id="several"),
    pytest.param(
        BaseExceptionGroup("", [BUSY, KeyboardInterrupt()]), KeyboardInterrupt, id="a fault beside the end"
    ),
    pytest.param(KeyboardInterrupt(), KeyboardInterrupt, id="the end"),
]


@pytest.mark.parametrize(("leaving", "passed_on"), LEAVING)
async def test_only_faults_stay_inside_a_connection(leaving, passed_on, monkeypatch, caplog):
    async def leave(self):
        await trio.lowlevel.checkpoint()
        raise leaving

    monkeypatch.setattr(TCPServer, "run", leave)
    ours, theirs = trio.testing.memory_stream_pair()
    left = None
    try:
        await GuardedConnection(30.0, None, None, None, None, ours).run()
    except KeyboardInterrupt as end:
        left = type(end)
    except BaseExceptionGroup as group:
        (end,) = group.exceptions
        left = type(end)
    assert left is passed_on
    assert ("a connection failed" in caplog.text) == (leaving is not LEAVING[-1].values[0])
    assert await theirs.receive_some(1) == b"", "the connection is closed"


async def test_a_client_who_does_not_read_is_freed():
    app, connections = App(), install(Connections(own=False, stall_s=0.3))
    async with running(app) as port:
        stalled = socket.create_connection(("127.0.0.1", port))
        stalled.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.fail_after(5):
            await app.left.wait()
        await until(lambda: not connections.open)
        stalled.close()


async def test_a_client_who_reads_slowly_is_not():
    app, connections = App(), install(Connections(own=False, stall_s=0.5))
    async with running(app) as port, await trio.open_tcp_stream("127.0.0.1", port) as slow:
        await slow.send_all(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(20):
            assert await slow.receive_some(1_000_000)
            await trio.sleep(0.1)
        assert len(connections.open) == 1
        assert not app.left.is_set()


async def test_stalled_sends_can_be_given_up_at_once():
    app, connections = App(), install(Connections(own=False))
    async with running(app) as port:
        stalled = socket.create_connection(("127.0.0.1", port))
        stalled.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(0.5)
        assert not app.left.is_set()
        connections.abort()
        with trio.fail_after(5):
            await app.left.wait()
        stalled.close()


async def test_there_are_only_so_many_connections():
    install(Connections(own=False, limit=1))
    async with running(App()) as port, await trio.open_tcp_stream("127.0.0.1", port) as first:
        assert await answered(first)
        async with await trio.open_tcp_stream("127.0.0.1", port) as second:
            with trio.fail_after(5):
                assert await second.receive_some(1) == b""
        assert await answered(first)
