"""The client through real sockets: every framing at every split, the pool, leaving, TLS, proxies, and bad peers."""

import random
import ssl

import pytest
import trio

from adapters.http1 import client as http1
from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of, proxy_of
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem
from tests.adapters.http1.upstream import certificate, upstream

CONTEXT = ssl.create_default_context()


MADE: list[Http1Transport] = []


@pytest.fixture(autouse=True)
def closed_in_the_end():
    yield
    while MADE:
        MADE.pop().close()


def transport(port, scheme="http", host="127.0.0.1", context=CONTEXT, proxy=None):
    MADE.append(Http1Transport(origin_of(f"{scheme}://{host}:{port}"), context, proxy))
    return MADE[-1]


def asking(port, scheme="http", host="127.0.0.1", body=b"{}"):
    return HttpRequest(
        "POST", f"{scheme}://{host}:{port}/v1/x?y=1", {"content-type": "application/json"}, body
    )


async def whole(carrier, request):
    """(status, body, problem, link) of one call, read to its end."""
    async with carrier.open(request) as reply:
        if isinstance(reply, Problem):
            return None, b"", reply.kind, None
        parts = []
        while True:
            data = await reply.read()
            if isinstance(data, Problem):
                return reply.head.status, b"".join(parts), data.kind, reply.link
            if not data:
                return reply.head.status, b"".join(parts), None, reply.link
            parts.append(data)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
SIZED = HEAD + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n"
CLOSING = HEAD + b"\r\nhello"
ANNOUNCED = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + SIZED
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "status", "body", "kept"),
    [
        pytest.param(SIZED, 200, b"hello", True, id="sized"),
        pytest.param(CHUNKED, 200, b"hello", True, id="chunked, with an extension and a trailer"),
        pytest.param(CLOSING, 200, b"hello", False, id="to the end of the connection"),
        pytest.param(ANNOUNCED, 200, b"hello", True, id="announced by 100 and 103"),
        pytest.param(EMPTY, 204, b"", True, id="without a body"),
        pytest.param(SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"), 200, b"hello", False, id="HTTP/1.0"),
        pytest.param(
            SIZED.replace(b"content-type", b"connection: close\r\nx"),
            200,
            b"hello",
            False,
            id="told to close",
        ),
    ],
)
async def test_every_framing_at_every_split(raw, status, body, kept):
    splits = range(len(raw)) if len(raw) < 90 else range(0, len(raw), 5)

    async def handler(peer):
        while await peer.request():
            cut = cuts.pop()
            await peer.say(*(piece for piece in (raw[:cut], raw[cut:]) if piece), pause_s=0.001)
            if not kept:
                return

    cuts = list(splits)
    async with upstream(handler) as here:
        carrier = transport(here.port)
        for _ in splits:
            got = await whole(carrier, asking(here.port))
            assert got[:3] == (status, body, None)
        assert len(here.peers) == (1 if kept else len(splits))
        carrier.close()


async def test_what_is_sent():
    seen = []

    async def handler(peer):
        seen.append(await peer.request())
        await peer.say(SIZED)

    async with upstream(handler) as here:
        await whole(transport(here.port), asking(here.port, body=b'{"a":1}'))
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.decode().split("\r\n") == [
        "POST /v1/x?y=1 HTTP/1.1",
        f"host: 127.0.0.1:{here.port}",
        "content-type: application/json",
        "content-length: 7",
    ]


async def test_one_read_is_all_that_came():
    async def handler(peer):
        await peer.request()
        await peer.say(
            HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%d\r\n" % n for n in range(9))
        )
        await trio.sleep(0.05)
        await peer.say(b"0\r\n\r\n")

    async with upstream(handler) as here, transport(here.port).open(asking(here.port)) as reply:
        assert await reply.read() == b"012345678"
        assert await reply.read() == b""


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(b"hello\r\n\r\n", Kind.GARBLED, id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: \x00\r\n\r\n", Kind.GARBLED, id="a NUL in a header"),
        pytest.param(HEAD + b"a: b\r\n" * 300 + b"\r\n", Kind.GARBLED, id="too many headers"),
        pytest.param(HEAD + b"a: " + b"b" * 200_000, Kind.GARBLED, id="an endless header"),
        pytest.param(
            HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", Kind.GARBLED, id="two lengths"
        ),
        pytest.param(
            HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Kind.GARBLED,
            id="length and chunks",
        ),
        pytest.param(
            HEAD + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", Kind.GARBLED, id="compressed"
        ),
        pytest.param(b"", Kind.WRITE_OR_RESET, id="closed without a word"),
        pytest.param(HEAD, Kind.WRITE_OR_RESET, id="closed in the head"),
    ],
)
async def test_peers_that_do_not_answer(raw, kind):
    async def handler(peer):
        await peer.request()
        await peer.say(raw)

    async with upstream(handler) as here:
        assert (await whole(transport(here.port), asking(here.port)))[2] is kind


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        pytest.param(
            HEAD + b"Content-Length: 9\r\n\r\nhello", Kind.STREAM_ERROR, id="shorter than its length"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Kind.STREAM_ERROR,
            id="without its last chunk",
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n",
            Kind.GARBLED,
            id="a chunk that is none",
        ),
    ],
)
async def test_bodies_that_break_off(raw, kind):
    async def handler(peer):
        await peer.request()
        await peer.say(raw[:-4], raw[-4:])

    async with upstream(handler) as here:
        status, body, problem, _ = await whole(transport(here.port), asking(here.port))
        assert (status, problem) == (200, kind)
        assert body in (b"hello", b"h", b"")


async def test_a_body_without_end_is_cut_at_the_limit(monkeypatch):
    monkeypatch.setattr(http1, "MOST_BODY_BYTES", 1000)

    async def handler(peer):
        await peer.request()
        await peer.say(CLOSING + b"x" * 2000)

    async with upstream(handler) as here:
        assert (await whole(transport(here.port), asking(here.port)))[2] is Kind.GARBLED


async def test_another_host_gets_nothing():
    """A credential is bound to its origin."""
    async with upstream(lambda peer: peer.request()) as here:
        carrier = transport(here.port)
        for url in (
            f"http://localhost:{here.port}/",
            f"https://127.0.0.1:{here.port}/",
            "http://127.0.0.1:1/",
        ):
            async with carrier.open(HttpRequest("POST", url)) as reply:
                assert isinstance(reply, Problem)
                assert reply.kind is Kind.INTERNAL
        assert here.peers == []


async def test_nobody_there():
    async with upstream(lambda peer: peer.request()) as here:
        port = here.port
    assert (await whole(transport(port), asking(port)))[2] is Kind.CONNECT
    assert (await whole(transport(1, host="no-such-host.invalid"), asking(1, host="no-such-host.invalid")))[
        2
    ] is Kind.CONNECT


async def answering(peer):
    while await peer.request():
        await peer.say(SIZED)


async def test_connections_are_kept_and_told():
    async with upstream(answering) as here:
        carrier = transport(here.port)
        first, second = [(await whole(carrier, asking(here.port)))[3] for _ in range(2)]
        assert not first.reused
        assert first.connect_s > 0
        assert second.reused
        assert len(here.peers) == 1
        carrier.close()
        await trio.sleep(0.05)
        assert here.open == 0


async def test_a_stale_connection_is_tried_once_more():
    async def handler(peer):
        await peer.request()
        await peer.say(SIZED)
        if peer.number == 0:
            await peer.request()  # taken, and hung up on without a word

    async with upstream(handler) as here:
        carrier = transport(here.port)
        assert (await whole(carrier, asking(here.port)))[:3] == (200, b"hello", None)
        assert (await whole(carrier, asking(here.port)))[:3] == (200, b"hello", None)
        assert len(here.peers) == 2


async def test_a_fresh_connection_is_not():
    async def handler(peer):
        await peer.request()

    async with upstream(handler) as here:
        assert (await whole(transport(here.port), asking(here.port)))[2] is Kind.WRITE_OR_RESET
        assert len(here.peers) == 1


async def test_a_connection_with_unasked_bytes_is_not_used_again():
    async def handler(peer):
        while await peer.request():
            await peer.say(SIZED + (SIZED if peer.number == 0 else b""))

    async with upstream(handler) as here:
        carrier = transport(here.port)
        for _ in range(3):
            assert (await whole(carrier, asking(here.port)))[1] == b"hello"
        assert len(here.peers) == 2


async def test_a_reply_that_said_all_may_lack_its_last_chunk_for_a_moment():
    async def handler(peer):
        while await peer.request():
            await peer.say(
                HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n", b"0\r\n\r\n", pause_s=0.005
            )

    async with upstream(handler) as here:
        carrier = transport(here.port)
        for _ in range(3):
            async with carrier.open(asking(here.port)) as reply:
                assert await reply.read() == b"hello"
        assert len(here.peers) == 1


async def test_an_early_refusal_of_a_large_body_is_heard():
    async def handler(peer):
        await peer.stream.receive_some(1000)
        await peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        with trio.move_on_after(0.2):
            await peer.gone()

    async with upstream(handler) as here:
        assert (await whole(transport(here.port), asking(here.port, body=b"x" * 10_000_000)))[0] == 413


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """(server's context, a client's context that trusts it)."""
    folder = tmp_path_factory.mktemp("tls")
    cert, key = certificate(folder)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


async def test_tls(tls):
    server, trusting = tls
    async with upstream(answering, server) as here:
        carrier = transport(here.port, "https", context=trusting)
        results = [await whole(carrier, asking(here.port, "https")) for _ in range(3)]
        assert [result[:3] for result in results] == [(200, b"hello", None)] * 3
        assert results[0][3].tls_s > 0
        assert results[1][3].reused
        assert len(here.peers) == 1
        carrier.close()


async def test_tls_moves_large_bodies(tls):
    server, trusting = tls
    big = b"x" * 3_000_000

    async def handler(peer):
        assert len(await peer.request()) > len(big)
        await peer.say(HEAD + b"content-length: %d\r\n\r\n" % len(big) + big)

    async with upstream(handler, server) as here:
        carrier = transport(here.port, "https", context=trusting)
        assert (await whole(carrier, asking(here.port, "https", body=big)))[1] == big


async def test_a_certificate_that_is_not_trusted(tls):
    async with upstream(answering, tls[0]) as here:
        assert (await whole(transport(here.port, "https"), asking(here.port, "https")))[2] is Kind.TLS_INVALID


async def test_tls_cut_without_goodbye_is_no_end(tls):
    server, trusting = tls

    async def handler(peer):
        await peer.request()
        await peer.say(CLOSING)
        await trio.aclose_forcefully(peer.stream.transport_stream)

    async with upstream(handler, server) as here:
        carrier = transport(here.port, "https", context=trusting)
        assert (await whole(carrier, asking(here.port, "https")))[2] is Kind.STREAM_ERROR


@pytest.mark.parametrize("refused", [False, True], ids=["let through", "refused"])
async def test_a_proxy(refused, tls):
    server, trusting = tls
    asked = []

    async def proxying(peer):
        asked.append(await peer.request())
        if refused:
            await peer.say(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            return
        await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with (
            await trio.open_tcp_stream("127.0.0.1", here.port) as onward,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(pour, peer.stream, onward)
            await pour(onward, peer.stream)
            nursery.cancel_scope.cancel()

    async def pour(source, sink):
        while data := await source.receive_some(65536):
            await sink.send_all(data)

    async with upstream(answering, server) as here, upstream(proxying) as way:
        carrier = transport(
            here.port, "https", context=trusting, proxy=proxy_of(f"http://me:secret@127.0.0.1:{way.port}")
        )
        result = await whole(carrier, asking(here.port, "https"))
        carrier.close()
    assert result[2] is (Kind.CONNECT if refused else None)
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{here.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in asked[0]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.timeout(120)
async def test_cancelled_calls_cost_the_pool_nothing(secure, tls):
    """2,000 calls cancelled at random moments: no socket left, and the pool serves at once."""
    server, trusting = tls
    roll = random.Random(7)
    scheme = "https" if secure else "http"

    async def handler(peer):
        while await peer.request():
            await peer.say(
                HEAD + b"transfer-encoding: chunked\r\n\r\n",
                b"5\r\nhello\r\n",
                b"5\r\nworld\r\n0\r\n\r\n",
                pause_s=0.002,
            )

    async with upstream(handler, server if secure else None) as here:
        carrier = transport(here.port, scheme, context=trusting)

        async def cancelled():
            with trio.move_on_after(roll.random() * 0.015):
                await whole(carrier, asking(here.port, scheme))

        for _ in range(100):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(cancelled)
        with trio.fail_after(2):
            assert (await whole(carrier, asking(here.port, scheme)))[:3] == (200, b"helloworld", None)
        carrier.close()
        with trio.move_on_after(2):
            while here.open:
                await trio.sleep(0.01)
        assert here.open == 0


async def test_who_leaves_closes_the_connection_at_once():
    left, gone = [], []

    async def handler(peer):
        await peer.request()
        await peer.say(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        gone.append(await peer.gone())

    async with upstream(handler) as here:
        for _ in range(20):
            async with transport(here.port).open(asking(here.port)) as reply:
                assert await reply.read() == b"hello"
                with trio.move_on_after(0.01):
                    await reply.read()
                left.append(trio.current_time())
        await trio.sleep(0.2)
    assert len(gone) == 20
    assert max(after - before for before, after in zip(left, gone, strict=True)) < 0.1
