"""Providers that a test steers while it runs: how long they take, what they answer, and what they have seen."""

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

CHAT = "/v1/chat/completions"


def at_once() -> float:
    return 0.0


@define(eq=False)
class Steered:
    """One provider of OpenAI's form. `delay()`: seconds until the answer to a call begins; `status`: what it answers.

    `calls`: when each call came; `left_after`: for calls whose caller left, seconds from its leaving to its being seen.
    """

    port: int
    models: tuple[str, ...] = ("m",)
    delay: Callable[[], float] = at_once
    status: int = 200
    error: dict[str, Any] = field(factory=lambda: {"message": "oops"})
    headers: dict[str, str] = field(factory=dict)
    calls: list[float] = field(factory=list)
    running: int = 0
    most: int = 0
    left: list[float] = field(factory=list)
    lock: threading.Lock = field(factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def _handler(steered: Steered) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in steered.models]}
            self._whole(200, json.dumps(listed).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with steered.lock:
                steered.calls.append(time.monotonic())
                steered.running += 1
                steered.most = max(steered.most, steered.running)
            try:
                if self._stays(steered.delay()):
                    self._answer(body)
                else:
                    self.close_connection = True
            finally:
                with steered.lock:
                    steered.running -= 1

        def _stays(self, seconds: float) -> bool:
            """Wait; false as soon as the caller has hung up."""
            if seconds and select.select([self.connection], [], [], seconds)[0]:
                try:
                    gone = self.connection.recv(1, socket.MSG_PEEK) == b""
                except OSError:
                    gone = True
                if gone:
                    steered.left.append(time.monotonic())
                    return False
            return True

        def _answer(self, body: dict[str, Any]) -> None:
            if steered.status != 200:
                self._whole(steered.status, json.dumps({"error": steered.error}).encode())
            elif body.get("stream"):
                self._stream()
            else:
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": "hi"},
                    "finish_reason": "stop",
                }
                self._whole(
                    200,
                    json.dumps({"object": "chat.completion", **_same(body), "choices": [choice]}).encode(),
                )

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for delta, reason in (({"role": "assistant", "content": "hi"}, None), ({}, "stop")):
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                chunk = {"object": "chat.completion.chunk", **_same({}), "choices": [choice]}
                self._piece(f"data: {json.dumps(chunk)}\n\n".encode())
            self._piece(b"data: [DONE]\n\n")
            self._piece(b"")

        def _piece(self, data: bytes) -> None:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

        def _whole(self, status: int, data: bytes) -> None:
            self.send_response(status)
            for name, value in steered.headers.items():
                self.send_header(name, value)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


def _same(body: dict[str, Any]) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "created": 1, "model": body.get("model", "m"), "usage": usage}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, *given: Any) -> None:
        self.sockets: set[socket.socket] = set()
        super().__init__(*given)

    def process_request(self, request: Any, address: Any) -> None:
        self.sockets.add(request)
        super().process_request(request, address)

    def shutdown_request(self, request: Any) -> None:
        self.sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, address: Any) -> None:
        """Callers that leave are part of the tests."""


@contextmanager
def listening(steered: Steered) -> Iterator[Steered]:
    """`steered` answers for the block; at its end it is dead at once, with whatever it was doing."""
    server = _Server(("127.0.0.1", steered.port), _handler(steered))
    steered.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield steered
    finally:
        server.shutdown()
        server.server_close()
        for one in list(server.sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        thread.join()
