"""The floor of this house: its HTTP/1.1 server, hosted by Hypercorn, and its client, with nothing in between.

    python -m bench.bare PORT UPSTREAM_PORT

Bodies go through as they come. No route, no guard, no stage, no record: what the proxy costs above this is its own doing.
"""

import logging
import ssl
import sys
from typing import Any, cast

import hypercorn.trio
import trio
from attrs import frozen
from hypercorn.config import Config

from adapters.asgi import Receive, Scope, Send, send_whole
from adapters.hosting import install
from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Problem

# What belongs to one connection, and what the client writes itself.
OWN = frozenset({b"host", b"connection", b"content-length", b"transfer-encoding", b"keep-alive"})


@frozen
class PassThrough:
    """The ASGI application."""

    url: str
    transport: Http1Transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, answered with what the upstream answers."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"] if name not in OWN}
        sent = HttpRequest(scope["method"], self.url + scope["path"], headers, await body_of(receive))
        async with self.transport.open(sent) as reply:
            if isinstance(reply, Problem):
                await send_whole(send, 502, [], reply.detail.encode())
                return
            kept = [(name.encode(), value.encode()) for name, value in reply.head.headers.items()]
            head = [(name, value) for name, value in kept if name not in OWN or name == b"content-length"]
            await send({"type": "http.response.start", "status": reply.head.status, "headers": head})
            while data := await reply.read():
                if isinstance(data, Problem):
                    raise RuntimeError(data.detail)
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def live(receive: Receive, send: Send) -> None:
    """From the server's start to its end."""
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def main() -> None:
    """Serve until the process is ended."""
    url = f"http://127.0.0.1:{int(sys.argv[2])}"
    install()
    config = Config()
    config.bind = [f"127.0.0.1:{int(sys.argv[1])}"]
    config.backlog = 2048
    config.errorlog = logging.getLogger("hypercorn.error")
    app = PassThrough(url, Http1Transport(origin_of(url), ssl.create_default_context()))
    trio.run(lambda: hypercorn.trio.serve(cast(Any, app), config, mode="asgi"))


if __name__ == "__main__":
    main()
