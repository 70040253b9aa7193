"""A process that serves a small app, for tests: `python -m tests.adapters.serving_script LIMIT_S GRACE_S`.

`/stream?N` sends N pieces, ten a second, and tells if the house closes before; `/flood` sends without end; `/quick`.
"""

import sys

import trio

from adapters.asgi import send_whole
from adapters.lifecycle import Lifecycle
from adapters.serving import ServerOptions, serve

lifecycle = Lifecycle()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["path"] == "/quick":
        await send_whole(send, 200 if lifecycle.accepting else 503, [(b"content-length", b"5")], b"quick")
    else:
        await stream(scope, send)


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("let go", file=sys.stderr, flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def stream(scope, send):
    flood = scope["path"] == "/flood"
    pieces = sys.maxsize if flood else int(scope["query_string"])
    with lifecycle.exchange() as running:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with running:
            for _ in range(pieces):
                if not flood:
                    await trio.sleep(0.1)
                data = b"x" * 100_000 if flood else b"piece\n"
                await send({"type": "http.response.body", "body": data, "more_body": True})
        last = b"closing\n" if running.cancelled_caught and lifecycle.ended else b"done\n"
        await send({"type": "http.response.body", "body": last, "more_body": False})


if __name__ == "__main__":
    limit_s, grace_s = map(float, sys.argv[1:3])
    options = ServerOptions(port=0, grace_s=grace_s, limit_s=limit_s, flush_s=1.0, close_s=0.3)
    serve(app, options, lifecycle, lambda urls: print(f"listening on {urls[0]}", file=sys.stderr, flush=True))
