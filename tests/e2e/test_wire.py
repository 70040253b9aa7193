"""Hostile wires at a running proxy: our own connections in plain, Hypercorn's in TLS. Status, fate, and no provider asked."""

import json
import os
import signal
import socket
import ssl
import time
import urllib.request
from contextlib import ExitStack

import pytest

from tests import processes
from tests.adapters.http1.upstream import certificate
from tests.processes import Process

BODY = json.dumps(
    {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": False}
).encode()
HEAD = b"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
GOOD = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


@pytest.fixture(scope="module")
def upstream():
    with processes.simulator() as running:
        yield running


@pytest.fixture(scope="module", params=["plain", "TLS"])
def proxy(request, upstream: Process, tmp_path_factory):
    """(the proxy, what makes a connection to it)."""
    with ExitStack() as stack:
        environ, context = {}, None
        if request.param == "TLS":
            cert, key = certificate(tmp_path_factory.mktemp("tls"))
            environ = {"TLS_CERTFILE": str(cert), "TLS_KEYFILE": str(key)}
            context = ssl.create_default_context(cafile=str(cert))
        running = stack.enter_context(processes.gateway(upstream, "openai", **environ))

        def connect():
            plain = socket.create_connection(("127.0.0.1", running.port), 10)
            return context.wrap_socket(plain, server_hostname="localhost") if context else plain

        yield running, connect


def said(client, limit_s=8.0):
    """(all that comes until the other side closes or is silent for half a second, whether it closed)."""
    data = b""
    end = time.monotonic() + limit_s
    client.settimeout(0.7)
    while time.monotonic() < end:
        try:
            part = client.recv(65536)
        except TimeoutError:
            return data, False
        except OSError:
            return data, True
        if not part:
            return data, True
        data += part
    return data, False


def status_of(data):
    return int(data.split(b" ", 2)[1]) if data.startswith(b"HTTP/") else None


def forget(upstream: Process):
    """Let the simulator forget what it was asked: it keeps a thousand calls, and counts must not fall."""
    request = urllib.request.Request(f"{upstream.url}/_sim/seen", method="DELETE")
    urllib.request.urlopen(request, timeout=5).close()


def model_calls(upstream: Process):
    with urllib.request.urlopen(f"{upstream.url}/_sim/seen", timeout=5) as reply:
        return sum(call["method"] == "POST" for call in json.load(reply))


ROWS = [
    pytest.param(GOOD.replace(b"Host: 127.0.0.1\r\n", b""), {400}, id="no Host"),
    pytest.param(GOOD.replace(b"Host:", b"Host: a\r\nHost:"), {400}, id="two Hosts"),
    pytest.param(GOOD.replace(b"Host: 127.0.0.1", b"Host: a/b"), {400}, id="a Host that is none"),
    pytest.param(
        GOOD.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
        {400},
        id="length and chunks",
    ),
    pytest.param(
        GOOD.replace(b"Content-Length", b"Content-Length: 1\r\nContent-Length"), {400}, id="two lengths"
    ),
    pytest.param(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\nabc", {400, None}, id="a chunk that is none"
    ),
    pytest.param(HEAD + b"a: b\r\n" * 101 + b"\r\n", {431}, id="101 headers"),
    pytest.param(HEAD + b"a: " + b"b" * 70_000 + b"\r\n\r\n", {431}, id="a long header"),
    pytest.param(
        b"CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n", {400, 405}, id="CONNECT"
    ),
    pytest.param(b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", {405}, id="TRACE"),
    pytest.param(GOOD.replace(b"/api/chat", b"http://127.0.0.1/api/chat", 1), {400}, id="an absolute target"),
    pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", {400, 405}, id="the target *"),
    pytest.param(GOOD.replace(b"/api/chat", b"/api/chat%00", 1), {400}, id="a NUL in the target"),
    pytest.param(GOOD.replace(b"/api/chat", b"/api/%zz", 1), {400}, id="a bad escape"),
    pytest.param(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 20, {400, 405, None}, id="HTTP/2 by prior knowledge"
    ),
    pytest.param(b"\x16\x03\x01\x00\xa5" + b"\0" * 50, {400, None}, id="TLS where it does not belong"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nA: \x00\r\n\r\n", {400}, id="a NUL in a header"),
]


@pytest.mark.parametrize(("raw", "expected"), ROWS)
def test_a_row(proxy, upstream, raw, expected):
    _, connect = proxy
    forget(upstream)
    with connect() as client:
        client.sendall(raw)
        data, closed = said(client)
    assert status_of(data) in expected, data[:200]
    assert closed
    assert b"Traceback" not in data
    assert b"<html" not in data.lower()
    assert model_calls(upstream) == 0
    with connect() as client:
        client.sendall(GOOD)
        assert status_of(said(client)[0]) == 200, "the server lives"


def test_an_offer_of_h2c_is_declined(proxy, upstream):
    """The request is served as HTTP/1.1 or refused; the connection never changes its protocol."""
    _, connect = proxy
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    with connect() as client:
        client.sendall(GOOD.replace(b"Content-Length", offer + b"Content-Length"))
        data, _ = said(client)
    assert status_of(data) in (200, 400)


CRASHES = int(os.environ.get("CRASHES", "200"))


@pytest.mark.timeout(max(120, CRASHES // 10))
def test_the_inputs_that_ended_servers(proxy):
    """An early answer with an invalid chunk behind it, and an upgrade with invalid settings."""
    running, connect = proxy
    inputs = [
        b"POST /nope HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !!\r\n\r\n",
    ]
    for turn in range(CRASHES):
        with connect() as client:
            client.sendall(inputs[turn % 2])
    assert running.process.poll() is None
    end = time.monotonic() + 20
    while (
        True
    ):  # so many at once reach the limit of connections of one address, for as long as they are worked off
        with connect() as client:
            client.sendall(GOOD)
            if status_of(said(client)[0]) == 200:
                break
        assert time.monotonic() < end


def descriptors(running: Process):
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))


def resident_kb(running: Process):
    with open(f"/proc/{running.process.pid}/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


REQUESTS = int(os.environ.get("REQUESTS", "600"))


@pytest.mark.timeout(max(120, REQUESTS // 20))
def test_many_requests_leave_nothing_behind(proxy):
    """Descriptors are what they were; memory too, once the records of the last thousand requests are kept."""
    running, connect = proxy

    def ask(count):
        with connect() as client:
            for _ in range(count):
                client.sendall(GOOD)
                data = b""
                while b'"done":true' not in data:
                    data += client.recv(65536)

    ask(max(1200, REQUESTS))
    before = descriptors(running), resident_kb(running)
    ask(REQUESTS)
    time.sleep(0.3)
    after = descriptors(running), resident_kb(running)
    assert after[0] <= before[0] + 1
    # So few requests as a quick run makes are told apart from a page more here or there by 2 % alone.
    assert after[1] <= before[1] * (1.01 if REQUESTS >= 10_000 else 1.02)


def test_readers_who_stop_do_not_hold_up_the_end(upstream, tmp_path):
    """50 clients who never read, and a drain that ends in time all the same."""
    port = processes.free_port()
    with (
        processes.app("simulate", "--port", str(port), "--delta-ms", "300", port=port) as slow,
        processes.gateway(slow, "openai") as running,
    ):
        asked = GOOD.replace(b'"stream": false', b'"stream": true ')
        clients = []
        for _ in range(50):
            client = socket.create_connection(("127.0.0.1", running.port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.sendall(asked)
            clients.append(client)
        time.sleep(0.5)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0
        assert time.monotonic() - began < 8
        for client in clients:
            client.close()
