"""The fake provider in Python: the same as upstream.c, which see, for machines without a C compiler, and in TLS.

    python bench/upstream.py port=PORT models=NAME,NAME,... [cert=FILE key=FILE]

On asyncio, whose callbacks cost less than tasks do, and whose TLS writes through without a task of its own.
"""

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Callable

CHUNK = {
    "id": "chatcmpl-9f2c51e07ab34d68",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "",
    "service_tier": "default",
    "system_fingerprint": "fp_5b1c8e02",
}
PROSE = (
    "A lighthouse keeper counts ships as others count sheep, and writes each of them down before the fog takes it away. "
    "Every evening the lamp is wound up by hand, the lens is wiped with a soft cloth, and the log gets one more line: "
    "wind, sea, and who passed. Nobody has ever asked for the log, and yet it is never late, because a ship that is "
    "written down is a ship that was seen, and to be seen is what a coast is for."
)
USAGE = {"prompt_tokens": 120, "completion_tokens": 95, "total_tokens": 215}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


def stamp() -> str:
    """This moment, as it stands in the text."""
    return f"~{time.monotonic_ns() // 1000:016}~"


def pace(model: str) -> tuple[int, float]:
    """How many chunks a model of this name sends, and the seconds between them."""
    if found := re.match(r"paced-(\d+)-(\d+)", model):
        return int(found[1]), int(found[2]) / 1000
    found = re.match(r"flat-(\d+)", model)
    return (int(found[1]) if found else 10), 0.0


def framed(piece: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def event(value: object) -> bytes:
    """One event of a stream."""
    return b"data: %b\n\n" % json.dumps(value, separators=(",", ":")).encode()


def sized(value: object) -> bytes:
    """A whole reply."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def whole(model: str) -> bytes:
    """The reply to a request that asks for no stream."""
    message = {"role": "assistant", "content": f"{stamp()} {PROSE}", "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return sized({**CHUNK, "object": "chat.completion", "model": model, "choices": [choice], "usage": USAGE})


class Streamed:
    """One streamed reply, piece by piece."""

    def __init__(self, model: str, usage: bool) -> None:
        self.left, self.every_s = pace(model)
        self.usage = usage
        self.base = {**CHUNK, "model": model}
        mark = "*"
        before, _, after = self._piece({"content": f" {mark} ship"}).partition(mark.encode())
        self.before, self.after = before, after

    def _piece(self, delta: dict[str, object], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return event({**self.base, "choices": [choice], **({"usage": None} if self.usage else {})})

    def head(self) -> bytes:
        """What comes at once."""
        return STREAM_HEAD + framed(self._piece({"role": "assistant", "content": "", "refusal": None}))

    def chunk(self) -> bytes:
        """The next chunk."""
        return framed(self.before + stamp().encode() + self.after)

    def end(self) -> bytes:
        """What follows the last chunk."""
        usage = event({**self.base, "choices": [], "usage": USAGE}) if self.usage else b""
        return framed(self._piece({}, "stop") + usage + b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Provider(asyncio.Protocol):
    """One connection."""

    transport: asyncio.Transport

    def __init__(self, models: list[str]) -> None:
        self.models = models
        self.data = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self.timer:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self.data += data
        head, blank, rest = self.data.partition(b"\r\n\r\n")
        found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        length = int(found[1]) if found else 0
        if blank and len(rest) >= length:
            self.data = rest[length:]
            self.answer(head, rest[:length])

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer one request."""
        if head.startswith(b"GET "):
            listed = [{"id": name, "object": "model", "owned_by": "bench"} for name in self.models]
            self.transport.write(sized({"object": "list", "data": listed}))
            return
        request = json.loads(body)
        if not request.get("stream"):
            self.transport.write(whole(request["model"]))
            return
        usage = bool((request.get("stream_options") or {}).get("include_usage"))
        reply = Streamed(request["model"], usage)
        self.transport.write(reply.head())
        if reply.every_s:
            self.later(reply, asyncio.get_running_loop().time() + reply.every_s)
            return
        for _ in range(reply.left):
            self.transport.write(reply.chunk())
        self.transport.write(reply.end())

    def later(self, reply: Streamed, due: float) -> None:
        """Send the next chunk of a paced reply at `due`."""
        self.timer = asyncio.get_running_loop().call_at(due, self.tick, reply, due)

    def tick(self, reply: Streamed, due: float) -> None:
        """One chunk of a paced reply; the end right after the last."""
        self.transport.write(reply.chunk())
        reply.left -= 1
        if reply.left:
            self.later(reply, due + reply.every_s)
        else:
            self.transport.write(reply.end())


async def serve(port: int, made: Callable[[], Provider], context: ssl.SSLContext | None) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(
        made, "127.0.0.1", port, ssl=context, backlog=4096
    )
    await server.serve_forever()


def main() -> None:
    """Serve as the command line says."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    context = None
    if "cert" in given:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(given["cert"], given["key"])
    models = given["models"].split(",")
    asyncio.run(serve(int(given["port"]), lambda: Provider(models), context))


if __name__ == "__main__":
    main()
