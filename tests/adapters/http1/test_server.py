"""The server of one connection, through raw sockets."""

import json
import random
import socket
import struct

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.asgi import LONG_BODY
from adapters.http1.channel import Plain
from adapters.http1.hangups import HangUps
from adapters.http1.server import Connection, Dates, Limits

LIMITS = Limits(idle_s=0.5, head_s=0.3, stall_s=0.3, body_s=1.0, slow_s=0.3)


class House:
    """A server on a free port, and what its application saw and did."""

    def __init__(self, app, limits=LIMITS):
        self.app, self.limits = app, limits
        self.connections: list[Connection] = []
        self.hangups = HangUps()
        self.port = 0

    async def run(self, task_status=trio.TASK_STATUS_IGNORED):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.hangups.run)
            await trio.serve_listeners(self.serve, listeners, task_status=task_status)

    async def serve(self, stream):
        sock = socket.socket(fileno=stream.socket.detach())
        sock.setblocking(False)
        connection = Connection(
            self.app,
            Plain(sock, self.limits.stall_s),
            self.hangups,
            sock.getpeername(),
            sock.getsockname(),
            self.limits,
            Dates(lambda: 0),
        )
        self.connections.append(connection)
        await connection.run()


class Echo:
    """Answers with what it was asked, as JSON; `calls` of it, and how they ended."""

    def __init__(self):
        self.calls = []
        self.left = 0

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.calls.append((scope["method"], scope["path"], body))
        if scope["path"] == "/wait":
            await self.wait(receive)
            return
        answer = json.dumps(
            {
                "method": scope["method"],
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "body": body.decode("latin-1"),
            }
        ).encode()
        sized = [(b"content-length", str(len(answer)).encode())] if scope["path"] != "/chunks" else []
        await send({"type": "http.response.start", "status": 200, "headers": sized})
        if scope["path"] == "/chunks":
            for part in (answer[:3], b"", answer[3:]):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body"})
        elif scope["path"] == "/boom":
            raise RuntimeError("as asked")
        elif scope["path"] == "/flood":
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                if await self.is_gone(receive):
                    self.left += 1
                    return
        else:
            await send({"type": "http.response.body", "body": answer})

    async def wait(self, receive):
        assert (await receive())["type"] == "http.disconnect"
        self.left += 1

    async def is_gone(self, receive):
        with trio.move_on_after(0.001):
            return (await receive())["type"] == "http.disconnect"
        return False


@pytest.fixture
async def echo(nursery):
    app = Echo()
    house = House(app)
    await nursery.start(house.run)
    app.house = house
    return app


async def talk(port, *pieces, pause_s=0.0, until_closed=True):
    """All that comes back for `pieces`."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        data = b""
        try:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(pause_s)
        except trio.BrokenResourceError:
            pass
        with trio.move_on_after(5) as patience:
            try:
                while part := await stream.receive_some(65536):
                    data += part
            except trio.BrokenResourceError:
                pass
        assert not patience.cancelled_caught or not until_closed, f"not closed after {data!r}"
        return bytes(data)


def post(path, body=b"", *extra, version="1.1"):
    lines = [f"POST {path} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *extra]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CLOSE = "Connection: close"


def answers(data):
    """[(status, headers, body)] of a whole conversation."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {
            k.lower().decode(): v.strip().decode() for k, _, v in (line.partition(b":") for line in lines[1:])
        }
        status = int(lines[0].split()[1])
        if status < 200:
            body, data = b"", rest
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size, _, rest = rest.partition(b"\r\n")
                if not int(size, 16):
                    data = rest[2:]
                    break
                body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        elif "content-length" in headers:
            length = int(headers["content-length"])
            body, data = rest[:length], rest[length:]
        else:
            body, data = rest, b""
        found.append((status, headers, body))
    return found


async def test_one_request(echo):
    ((status, headers, body),) = answers(await talk(echo.house.port, post("/a%20b?c=d", b"hi", CLOSE)))
    assert status == 200
    assert json.loads(body) == {"method": "POST", "path": "/a b", "query": "c=d", "body": "hi"}
    assert headers["connection"] == "close"
    assert headers["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


async def test_at_every_split(echo):
    raw = post("/x", b"hello", CLOSE)
    for cut in range(1, len(raw)):
        (answer,) = answers(await talk(echo.house.port, raw[:cut], raw[cut:], pause_s=0.001))
        assert json.loads(answer[2])["body"] == "hello"


async def test_a_chunked_request(echo):
    raw = b"POST /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;y=z\r\nlo\r\n0\r\nt: 1\r\n\r\n"
    (answer,) = answers(await talk(echo.house.port, raw[:90], raw[90:], pause_s=0.01))
    assert json.loads(answer[2])["body"] == "hello"


async def test_kept_alive_and_pipelined_requests_are_answered_in_order(echo):
    raw = b"".join(post(f"/{n}", str(n).encode()) for n in range(5)) + post("/last", b"", CLOSE)
    found = answers(await talk(echo.house.port, raw))
    assert [json.loads(body)["path"] for _, _, body in found] == ["/0", "/1", "/2", "/3", "/4", "/last"]
    assert len(echo.house.connections) == 1


async def test_chunked_replies(echo):
    raw = post("/chunks", b"x") + post("/chunks", b"y", CLOSE)
    assert [json.loads(body)["body"] for _, _, body in answers(await talk(echo.house.port, raw))] == [
        "x",
        "y",
    ]


async def test_http_1_0_is_answered_to_the_end_of_the_connection(echo):
    data = await talk(echo.house.port, post("/chunks", b"x", version="1.0"))
    ((status, headers, body),) = answers(data)
    assert status == 200
    assert "transfer-encoding" not in headers
    assert json.loads(body)["body"] == "x"


async def test_head_has_no_body(echo):
    raw = b"HEAD /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    data = await talk(echo.house.port, raw)
    assert data.endswith(b"\r\n\r\n")
    assert b"content-length: " in data


async def test_expect_is_met_before_the_body(echo):
    stream = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    async with stream:
        await stream.send_all(
            b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert await stream.receive_some(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(b"hi")
        data = b""
        while part := await stream.receive_some(1000):
            data += part
    assert answers(bytes(data))[0][0] == 200


BAD = {
    "no HTTP": b"hello\r\n\r\n",
    "a bad method": b"GE T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a bad chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
    "a NUL in a header": b"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "a blank before the colon": b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
}


async def test_an_offer_of_http_2_is_declined_and_the_request_served(echo):
    """As some clients send it with every first request."""
    offer = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAA"]
    found = answers(await talk(echo.house.port, post("/x", b"hello", *offer) + post("/y", b"z", CLOSE)))
    assert [json.loads(body)["body"] for _, _, body in found] == ["hello", "z"]
    assert [status for status, _, _ in found] == [200, 200]


async def test_no_tunnels(echo):
    raw = b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n"
    assert answers(await talk(echo.house.port, raw))[0][0] == 405
    assert echo.calls == []


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD.items()])
async def test_what_is_no_request_is_refused_and_the_connection_closed(echo, raw):
    ((status, headers, body),) = answers(await talk(echo.house.port, raw))
    assert status == 400
    assert headers["connection"] == "close"
    assert json.loads(body)["error"]
    assert [call for call in echo.calls if call[0] != "GET"] == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n", id="101 headers"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 33_000 + b"\r\n\r\n", id="a long header"),
        pytest.param(b"GET /" + b"x" * 33_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a long target"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 300_000, id="an endless header"),
    ],
)
async def test_large_heads(echo, raw):
    assert answers(await talk(echo.house.port, raw))[0][0] == 431
    assert echo.calls == []


async def test_a_slow_head_is_told_and_silence_is_not(echo):
    data = await talk(echo.house.port, b"POST / HT", b"TP/1.1\r\n", b"Host: x\r\n", pause_s=0.2)
    assert answers(data)[0][0] == 408
    assert await talk(echo.house.port) == b""


async def test_a_slow_body_is_told(echo):
    raw = post("/x", b"y" * 100_000)
    for pieces in ([raw[:-1]], [raw[:100], *(raw[at : at + 1] for at in range(100, 120))]):
        ((status, headers, body),) = answers(await talk(echo.house.port, *pieces, pause_s=0.05))
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body)["error"]
    assert echo.calls == []


async def test_a_body_may_take_long_where_the_application_says_so(nursery):
    """As long as it comes fast enough: a file of gigabytes, not one that is held back."""

    async def patient(scope, receive, send):
        scope[LONG_BODY]()
        await Echo()(scope, receive, send)

    house = House(patient)
    await nursery.start(house.run)
    raw = post("/x", b"y" * 24_000, CLOSE)
    pieces = [raw[at : at + 2000] for at in range(0, len(raw), 2000)]
    ((status, _, body),) = answers(await talk(house.port, *pieces, pause_s=0.11))
    assert (status, len(json.loads(body)["body"])) == (200, 24_000)
    slow = [raw[:100], *(raw[at : at + 1] for at in range(100, 120))]
    assert answers(await talk(house.port, *slow, pause_s=0.05))[0][0] == 408


async def test_an_idle_connection_is_closed_in_the_end(echo):
    assert len(answers(await talk(echo.house.port, post("/x")))) == 1


async def test_a_fault_behind_a_request_does_not_harm_it(echo):
    """One stray byte, or a second request that is none: the first is answered, then the connection ends."""
    found = answers(await talk(echo.house.port, post("/x", b"hi") + b"\x00"))
    assert [status for status, _, _ in found] == [200, 400]
    assert json.loads(found[0][2])["body"] == "hi"


@pytest.mark.parametrize("trailing", [b"", b"x", post("/next", b"y")], ids=["nothing", "a byte", "a request"])
@pytest.mark.parametrize("how", ["FIN", "RST", "half"])
async def test_a_client_who_leaves_is_seen(echo, how, trailing):
    stream = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    await stream.send_all(post("/wait", b"x") + trailing)
    while not echo.calls:
        await trio.sleep(0.001)
    if how == "RST":
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    left = trio.current_time()
    await (stream.send_eof() if how == "half" else stream.aclose())
    while not echo.left:
        await trio.sleep(0.001)
    assert trio.current_time() - left < 0.1
    await stream.aclose()


async def test_a_client_who_leaves_behind_much_read_ahead_is_seen(echo):
    stream = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    await stream.send_all(post("/wait", b"x"))
    with trio.move_on_after(0.5):
        await stream.send_all(post("/next", b"y" * 100_000))
    left = trio.current_time()
    await stream.aclose()
    while not echo.left:
        await trio.sleep(0.001)
    assert trio.current_time() - left < 0.15


async def test_a_client_who_does_not_read_is_given_up(echo):
    stream = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    await stream.send_all(post("/flood"))
    with trio.fail_after(3):
        while not echo.left:
            await trio.sleep(0.01)
    await stream.aclose()


async def test_a_bug_in_the_application_never_looks_like_an_answer(echo, caplog):
    data = await talk(echo.house.port, post("/boom"))
    assert data == b"" or answers(data)[0][0] == 500
    assert "the application failed" in caplog.text
    assert b"Traceback" not in data


async def test_a_header_with_a_line_end_is_never_sent(nursery, caplog):
    async def splitting(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"b\r\nX-Evil: 1")]})
        await send({"type": "http.response.body", "body": b"hi"})

    house = House(splitting)
    await nursery.start(house.run)
    data = await talk(house.port, post("/x", b"", CLOSE))
    assert answers(data)[0][0] == 500
    assert b"X-Evil" not in data


async def test_an_unread_body_ends_the_connection_but_not_the_answer(nursery):
    async def refusing(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    house = House(refusing)
    await nursery.start(house.run)
    data = await talk(house.port, post("/x", b"y" * 500_000))
    ((status, headers, body),) = answers(data)
    assert (status, headers["connection"], body) == (413, "close", b"no")


async def test_retiring_ends_idle_connections_at_once_and_others_after_their_answer(echo):
    idle = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    busy = await trio.open_tcp_stream("127.0.0.1", echo.house.port)
    await busy.send_all(post("/x", b"12345")[:-2])
    await trio.sleep(0.05)
    for connection in echo.house.connections:
        connection.retire()
    assert await idle.receive_some(100) == b""
    await busy.send_all(b"45")
    data = b""
    while part := await busy.receive_some(1000):
        data += part
    assert answers(bytes(data))[0][1]["connection"] == "close"
    await idle.aclose()
    await busy.aclose()


PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: 3\r\n", b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"\r\n", b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n",
        b"\x00", b"\xff" * 5, b"\n", b"\r", b"HTTP/9.9", b"Upgrade: websocket\r\n", b" ", b"CONNECT x:1 HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=8))
async def test_no_bytes_escape_as_an_exception_or_hang(pieces):
    """Whatever comes, the connection ends by itself and says nothing but HTTP."""
    house = House(Echo(), Limits(idle_s=0.02, head_s=0.02, stall_s=0.1))
    async with trio.open_nursery() as nursery:
        await nursery.start(house.run)
        data = await talk(house.port, b"".join(pieces))
        assert all(status != 500 for status, _, _ in answers(data))
        nursery.cancel_scope.cancel()


async def test_many_clients_at_once(echo):
    roll = random.Random(3)

    async def one(number):
        await trio.sleep(roll.random() * 0.1)
        found = answers(
            await talk(echo.house.port, post(f"/{number}", b"x"), post("/end", b"y", CLOSE), pause_s=0.01)
        )
        assert [json.loads(body)["path"] for _, _, body in found] == [f"/{number}", "/end"]

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, number)
