"""Calls over httpx, for a provider that asks for it: the same promises as our own client's, where httpx lets them be kept."""

import ssl

import pytest
import trio
from attrs import evolve

from adapters.transport import httpx_transport
from pipeline.values.problems import Kind
from tests.adapters.http1.test_client import ANNOUNCED, CHUNKED, CLOSING, HEAD, SIZED, asking, whole
from tests.adapters.http1.upstream import certificate, upstream

CONTEXT = ssl.create_default_context()


@pytest.fixture
async def carrier():
    made = httpx_transport(CONTEXT)
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(SIZED, id="sized"),
        pytest.param(CHUNKED, id="chunked"),
        pytest.param(CLOSING, id="to the end of the connection"),
        pytest.param(ANNOUNCED, id="announced by 100 and 103"),
    ],
)
async def test_every_framing(carrier, raw):
    async def handler(peer):
        await peer.request()
        await peer.say(raw[:40], raw[40:])

    async with upstream(handler) as here:
        assert (await whole(carrier, asking(here.port)))[:3] == (200, b"hello", None)


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(b"hello\r\n\r\n", Kind.GARBLED, id="not HTTP"),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", Kind.GARBLED, id="compressed"
        ),
        pytest.param(b"", Kind.WRITE_OR_RESET, id="closed without a word"),
        pytest.param(
            HEAD + b"Content-Length: 9\r\n\r\nhello", Kind.STREAM_ERROR, id="shorter than its length"
        ),
    ],
)
async def test_peers_that_do_not_answer_well(carrier, raw, kind):
    async def handler(peer):
        await peer.request()
        await peer.say(raw)

    async with upstream(handler) as here:
        assert (await whole(carrier, asking(here.port)))[2] is kind


async def test_nobody_there(carrier):
    async with upstream(lambda peer: peer.request()) as here:
        port = here.port
    assert (await whole(carrier, asking(port)))[2] is Kind.CONNECT


async def test_a_certificate_that_is_not_trusted(carrier, tmp_path):
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*certificate(tmp_path))
    async with upstream(lambda peer: peer.request(), server) as here:
        assert (await whole(carrier, asking(here.port, "https")))[2] is Kind.TLS_INVALID


async def test_who_leaves_closes_the_connection_at_once(carrier):
    gone = []

    async def handler(peer):
        await peer.request()
        await peer.say(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        gone.append(await peer.gone())

    async with upstream(handler) as here:
        async with carrier.open(asking(here.port)) as reply:
            assert await reply.read() == b"hello"
            with trio.move_on_after(0.01):
                await reply.read()
            left = trio.current_time()
        with trio.fail_after(2):
            while not gone:
                await trio.sleep(0.005)
    assert gone[0] - left < 0.1


@pytest.mark.parametrize("length", [{"content-length": "5"}, {}], ids=["with a length", "in chunks"])
async def test_a_body_is_sent_on_as_it_comes(carrier, length):
    came, seen = trio.Event(), []

    async def handler(peer):
        while b"he" not in peer.buffer.partition(b"\r\n\r\n")[2]:
            await peer._more()
        came.set()
        while not peer.buffer.endswith((b"hello", b"0\r\n\r\n")):
            await peer._more()
        seen.append(peer.buffer.partition(b"\r\n\r\n")[2])
        await peer.say(SIZED)

    class Parts:
        left = (b"he", b"llo")

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            if len(self.left) == 1:
                await came.wait()
            part, *self.left = self.left
            return part

    async with upstream(handler) as here:
        request = evolve(asking(here.port), headers=length)
        async with carrier.open(request, Parts()) as reply:
            assert reply.head.status == 200
    assert seen == [b"hello" if length else b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"]
