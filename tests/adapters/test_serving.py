import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from adapters.serving import (
    AddressTaken,
    CannotListen,
    Endings,
    ServerOptions,
    bound,
    hypercorn_config,
    taken_text,
)

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A serving process, and how to talk to it."""

    def __init__(self, process):
        self.process = process
        line = process.stderr.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line + process.stderr.read()
        self.port = int(line.rsplit(":", 1)[1])

    def open(self, path):
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return peer

    def ask(self, path):
        with self.open(path) as peer:
            return until(peer, b"quick")

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def refuses(self):
        try:
            self.open("/quick").close()
        except OSError:
            return True
        return False

    def ended(self):
        """Its exit status, and what it said after its first line."""
        status = self.process.wait(20)
        return status, self.process.stderr.read()


@contextmanager
def serving(limit_s=5.0, grace_s=0.0):
    command = [sys.executable, "-m", "tests.adapters.serving_script", str(limit_s), str(grace_s)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Server(process)
        finally:
            process.kill()


def until(peer, end):
    """What comes until `end`."""
    data = b""
    while not data.endswith(end):
        part = peer.recv(65536)
        assert part, data
        data += part
    return data


def all_of(peer):
    """What comes until the connection ends."""
    data = b""
    while part := peer.recv(65536):
        data += part
    return data


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_house_ends_at_once_and_well(number):
    with serving() as server, server.open("/quick") as idle:
        assert until(idle, b"quick").startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        server.signal(number)
        assert server.ended() == (0, "let go\n")
        assert time.monotonic() - began < 3.0
        assert idle.recv(1) == b""


def test_what_runs_may_finish():
    with serving() as server, server.open("/stream?10") as peer:
        peer.recv(10)
        server.signal()
        assert b"done" in all_of(peer)
        assert server.ended()[0] == 0


def test_what_runs_too_long_is_told():
    with serving(limit_s=0.5) as server, server.open("/stream?600") as peer:
        peer.recv(10)
        server.signal()
        text = all_of(peer)
        assert b"closing" in text
        assert text.endswith(b"0\r\n\r\n"), "the body ends as a body ends"
        assert server.ended()[0] == 0


def test_a_second_signal_cuts_the_wait():
    with serving(limit_s=60.0) as server, server.open("/stream?600") as peer:
        peer.recv(10)
        server.signal()
        time.sleep(0.3)
        began = time.monotonic()
        server.signal()
        assert b"closing" in all_of(peer)
        assert server.ended()[0] == 0
        assert time.monotonic() - began < 3.0


def test_during_the_grace_new_calls_are_taken_and_then_refused():
    with serving(limit_s=5.0, grace_s=1.0) as server, server.open("/stream?25") as peer:
        peer.recv(10)
        server.signal()
        assert server.ask("/quick").startswith(b"HTTP/1.1 200")
        time.sleep(1.5)
        assert server.ask("/quick").startswith(b"HTTP/1.1 503")
        assert b"done" in all_of(peer)
        assert server.ended()[0] == 0


def test_a_client_who_does_not_read_holds_up_nothing():
    with serving(limit_s=0.3) as server, server.open("/flood") as peer:
        peer.recv(10)
        time.sleep(0.5)
        began = time.monotonic()
        server.signal()
        assert server.ended() == (0, "let go\n")
        assert time.monotonic() - began < 6.0


def test_a_house_that_has_ended_listens_no_more():
    with serving() as server:
        server.signal()
        server.ended()
        assert server.refuses()


def test_a_taken_port_is_told():
    (first,) = bound("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(AddressTaken, match=rf"127\.0\.0\.1:{port} is taken.*PORT={port + 1}"):
        bound("127.0.0.1", port)
    first.close()
    bound("127.0.0.1", port)[0].close()


def test_a_taken_port_is_told_before_anything_starts():
    (first,) = bound("127.0.0.1", 0)
    code = (
        "import sys; from adapters.serving import *; from adapters.lifecycle import Lifecycle\n"
        "try: serve(None, ServerOptions(port=int(sys.argv[1])), Lifecycle(), None)\n"
        "except CannotListen as why: print(why, file=sys.stderr); sys.exit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(first.getsockname()[1])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    first.close()
    assert done.returncode == 1
    assert "is taken by another program" in done.stderr
    assert "Traceback" not in done.stderr


def test_ollamas_port_tells_how_to_live_with_ollama():
    text = taken_text("127.0.0.1", 11434)
    for words in (
        "PORT=11435 OLLAMA_BASE_URL=http://127.0.0.1:11434",
        "OLLAMA_HOST=127.0.0.1:11435 ollama serve",
        "OLLAMA_BASE_URL=http://127.0.0.1:11435",
    ):
        assert words in text
    assert "OLLAMA_BASE_URL=http://127.0.0.1:11434" in taken_text("0.0.0.0", 11434)
    assert "Ollama" not in taken_text("127.0.0.1", 8080)


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        pytest.param("203.0.113.7", 18080, "no such address", id="another machine's address"),
        pytest.param("no such host", 18080, "no address of this machine", id="no address"),
        pytest.param(
            "127.0.0.1",
            80,
            "above 1023",
            id="a port of the system's",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may listen there"),
        ),
    ],
)
def test_an_address_that_cannot_be_had_is_told(host, port, words):
    with pytest.raises(CannotListen, match=words):
        bound(host, port)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", ""])
def test_hosts_are_bound(host):
    sockets = bound(host, 0)
    assert len(sockets) == 1
    for taken in sockets:
        taken.close()


def test_localhost_is_all_that_it_means():
    (probe,) = bound("127.0.0.1", 0)
    port = probe.getsockname()[1]
    probe.close()
    sockets = bound("localhost", port)
    assert {taken.getsockname()[0] for taken in sockets} <= {"127.0.0.1", "::1"}
    assert "127.0.0.1" in {taken.getsockname()[0] for taken in sockets}
    for taken in sockets:
        taken.close()


def test_hypercorn_is_told_what_matters():
    (taken,) = bound("127.0.0.1", 0)
    config = hypercorn_config(ServerOptions(), [taken])
    assert (config.backlog, config.keep_alive_timeout, config.read_timeout) == (2048, 75.0, None)
    assert (config.accesslog, config.include_server_header) == (None, False)
    os.close(int(config.bind[0].removeprefix("fd://")))


class Signals:
    """Signals that come one after the other."""

    def __init__(self, *received):
        self.left = list(received)

    def __aiter__(self):
        return self

    async def __anext__(self):
        await trio.lowlevel.checkpoint()
        return self.left.pop(0)


async def test_a_hangup_is_no_signal_to_end_where_somebody_takes_it():
    taken = []
    come = Signals(signal.SIGHUP, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    endings = Endings(come, lambda: taken.append("hangup"))
    assert [await anext(endings), await anext(endings)] == [signal.SIGTERM, signal.SIGINT]
    assert taken == ["hangup"] * 2
    assert await anext(Endings(Signals(signal.SIGHUP), None)) == signal.SIGHUP
