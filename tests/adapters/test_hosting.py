"""Whose connections are served how: what several loops of one process have together."""

import json
import socket
import time

import hypercorn.trio.run
from attrs import evolve
from hypercorn.trio.tcp_server import TCPServer

from adapters.hosting import install
from adapters.simulator.demo import standard_scenario
from tests.adapters.simulator.test_server import serving

BODY = json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True}).encode()
HEAD = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
ASKED = HEAD + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


def test_loops_do_not_tell_each_others_connections(monkeypatch):
    monkeypatch.setattr(hypercorn.trio.run, "TCPServer", TCPServer)
    install()
    slow = evolve(standard_scenario(), delta_s=5.0)
    with serving(slow) as one, serving(slow) as other:
        for server in (one, other, one, other):
            with socket.create_connection(("127.0.0.1", server.port), 5) as leaver:
                leaver.sendall(ASKED)
                assert leaver.recv(1)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            seen = [call["left"] for server in (one, other) for call in server.seen()]
            if seen == [True] * 4:
                break
            time.sleep(0.02)
        assert seen == [True] * 4
