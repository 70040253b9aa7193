"""Whatever comes over the wire: no exception escapes, no 500, nobody hangs. `FUZZ=100000 make test ARGS=tests/adapters/http1`
asks for more than the usual number of inputs; `FUZZ_SEED` for others.
"""

import os
import random
import ssl

import pytest
import trio

from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of
from adapters.http1.server import Limits
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Problem
from tests.adapters.http1.test_server import Echo, House, answers
from tests.adapters.http1.upstream import upstream

COUNT = int(os.environ.get("FUZZ", "2000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
AT_ONCE = 20

REQUEST = b"POST /x?y=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nA: b\r\n\r\nhello"
CHUNKED_REQUEST = (
    b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_REPLY = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
PIECES = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b":",
        b"\x00",
        b"\xff\xfe",
        b"0\r\n\r\n",
        b"ZZ\r\n",
        b"-1",
        b"99999999999",
    ),
    *(
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n",
        b"Connection: close\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ),
    *(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
        b"Content-Encoding: gzip\r\n",
        b"A: " + b"b" * 40_000 + b"\r\n",
    ),
    *(GET, REQUEST, CHUNKED_REQUEST, REPLY, CHUNKED_REPLY),
)


def mutated(roll: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """One of the seeds, with a few things done to it."""
    data = bytearray(roll.choice(seeds))
    for _ in range(roll.randrange(1, 5)):
        at = roll.randrange(len(data) + 1)
        match roll.randrange(5):
            case 0:
                data[at:at] = roll.choice(PIECES)
            case 1:
                del data[at : at + roll.randrange(1, 12)]
            case 2:
                data[at : at + 1] = bytes([roll.randrange(256)])
            case 3:
                data += roll.choice(seeds)
            case 4:
                data = data[:at] or bytearray(b"x")
    return bytes(data)


async def cut_up(roll, data, send):
    """Send `data` in one to three writes."""
    cuts = sorted(roll.randrange(len(data) + 1) for _ in range(roll.randrange(3)))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if data[begin:end]:
            await send(data[begin:end])


@pytest.mark.timeout(max(120, COUNT // 20))
async def test_the_server():
    roll = random.Random(SEED)
    house = House(Echo(), Limits(idle_s=0.01, head_s=0.01, stall_s=0.2, body_s=0.02, slow_s=0.02))
    wrong = []

    async def one(data):
        stream = await trio.open_tcp_stream("127.0.0.1", house.port)
        got = b""
        async with stream:
            with trio.move_on_after(5) as patience:
                try:
                    await cut_up(roll, data, stream.send_all)
                    while part := await stream.receive_some(65536):
                        got += part
                except trio.BrokenResourceError:
                    pass
        if patience.cancelled_caught or any(status == 500 for status, _, _ in answers(bytes(got))):
            wrong.append((data, bytes(got)))

    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        for _ in range(COUNT // AT_ONCE):
            async with trio.open_nursery() as round_of:
                for _ in range(AT_ONCE):
                    round_of.start_soon(one, mutated(roll, (REQUEST, CHUNKED_REQUEST, GET)))
        nursery.cancel_scope.cancel()
    assert wrong == []


@pytest.mark.timeout(max(120, COUNT // 20))
async def test_the_client():
    roll = random.Random(SEED + 1)
    wrong = []

    async def handler(peer):
        while await peer.request():
            data = mutated(roll, (REPLY, CHUNKED_REPLY))
            await cut_up(roll, data, peer.stream.send_all)
            if roll.random() < 0.7:
                return
            with trio.move_on_after(0.01):
                await peer.gone()
                return
            return

    async with upstream(handler) as here:
        carrier = Http1Transport(origin_of(f"http://127.0.0.1:{here.port}"), ssl.create_default_context())

        async def one():
            with trio.move_on_after(5) as patience:
                async with carrier.open(
                    HttpRequest("POST", f"http://127.0.0.1:{here.port}/", {}, b"{}")
                ) as reply:
                    while not isinstance(reply, Problem):
                        data = await reply.read()
                        if isinstance(data, Problem) or not data:
                            break
            if patience.cancelled_caught:
                wrong.append("hangs")

        for _ in range(COUNT // AT_ONCE):
            async with trio.open_nursery() as round_of:
                for _ in range(AT_ONCE):
                    round_of.start_soon(one)
        carrier.close()
    assert wrong == []
