"""The fake providers as a plain ASGI application: real sockets, real breaks, for load tests, demos and drills."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import orjson
import trio
from attrs import define, evolve, field

from adapters.simulator.core import PROVIDERS, after, answer, is_model_call
from adapters.simulator.journal import Call, Journal
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario, narrowed
from pipeline.values.http import HttpRequest

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

SEEN, LOAD = "/_sim/seen", "/_sim/load"
MOST_KEPT = 1024 * 1024
SECRET_HEADERS = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token"}
)
JSON = {"content-type": "application/json"}
END = {"type": "http.response.body", "body": b"", "more_body": False}
TEXT = {"content-type": "text/plain; charset=utf-8"}


class ConnectionCut(Exception):
    """Leaves the application in the middle of an answer, so that its server cuts the connection.

    Before the head of an answer a server will say 500 instead; there is no way to ask it for less.
    """


def simulator_app(scenario: Scenario) -> Application:
    """An ASGI application (http and lifespan, on trio) that answers as `scenario` says."""
    return _Simulator(scenario).serve


@define(eq=False)
class _Simulator:
    scenario: Scenario
    journal: Journal = field(factory=Journal)

    async def serve(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        request = await _request(scope, receive)
        if request is None:
            return
        if own := self._own(request, scope):
            await _send_head_and_chunks(own, send, lambda: None)
            await send(END)
            return
        journal, works = self.journal, is_model_call(request)
        call = journal.begin(_kept(request), time.time(), works)
        played = answer(request, self.scenario, journal.works, journal.running)
        if works:
            journal.answered(call, played, call.at)

        def settle() -> None:
            self.scenario = after(request, played, self.scenario)

        try:
            await _play(played, call, receive, send, settle)
        finally:
            self.journal.end(call, time.time())
        if call.outcome == "broken":
            raise ConnectionCut("as the scenario wants it")

    def _own(self, request: HttpRequest, scope: Message) -> Played | None:
        """The simulator's own pages: an index, what it has seen, and how much it does and may do at once."""
        path, _, query = request.url.partition("?")
        if path == "/":
            return whole(200, TEXT, _index(request, scope))
        if path == LOAD:
            if request.method == "PUT":
                self.scenario = narrowed(self.scenario, int(dict(parse_qsl(query))["most"]))
            return whole(200, JSON, orjson.dumps(self._load()))
        if path != SEEN:
            return None
        if request.method == "DELETE":
            self.journal.calls.clear()
            return whole(204, {}, b"")
        return whole(200, JSON, orjson.dumps([_shown(call) for call in self.journal.calls]))

    def _load(self) -> dict[str, float]:
        """How many calls models work at. The growth of `busy_seconds` over that of `at` is how many it were on average."""
        journal = self.journal
        journal.move(time.time())
        return {
            "at": journal.moved_at,
            "running": journal.running,
            "busy_seconds": journal.busy_s,
            "refused": journal.refused,
        }


async def _request(scope: Message, receive: Receive) -> HttpRequest | None:
    """The whole request; None if the caller has left over it."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    query = scope.get("query_string", b"").decode("latin-1")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    url = f"{scope['path']}?{query}" if query else scope["path"]
    return HttpRequest(scope["method"], url, headers, b"".join(parts))


def _kept(request: HttpRequest) -> HttpRequest:
    """The request as the journal keeps it, without a body of gigabytes."""
    return request if len(request.body) <= MOST_KEPT else evolve(request, body=b"")


async def _play(played: Played, call: Call, receive: Receive, send: Send, settle: Callable[[], None]) -> None:
    """Send the answer in its time, unless the caller leaves before. `settle`: what it changes, before its last word."""
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch)
        await trio.sleep(played.head_s)
        await _send_head_and_chunks(played, send, settle)
        if played.ending == "hang":
            await trio.sleep_forever()
        # Settled before the last word is sent: from then on the caller may go without having left.
        call.outcome = "whole" if played.ending == "end" else "broken"
        if played.ending == "end":
            await send(END)
        nursery.cancel_scope.cancel()


async def _send_head_and_chunks(played: Played, send: Send, settle: Callable[[], None]) -> None:
    if played.head is None:
        return
    if not played.chunks:
        settle()
    headers = [(name.encode(), value.encode("latin-1")) for name, value in played.head.headers.items()]
    await send({"type": "http.response.start", "status": played.head.status, "headers": headers})
    for number, (delay_s, data) in enumerate(played.chunks, 1):
        await trio.sleep(delay_s)
        if number == len(played.chunks):
            settle()
        await send({"type": "http.response.body", "body": data, "more_body": True})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _index(request: HttpRequest, scope: Message) -> bytes:
    root = f"{scope.get('scheme', 'http')}://{request.headers.get('host', '127.0.0.1')}"
    lines = [f"  {root}{provider.prefix}" for provider in PROVIDERS]
    page = ["Simulated providers. Base URLs to use:", *lines, f"What was asked: {root}{SEEN}", ""]
    return "\n".join(page).encode()


def _shown(call: Call) -> dict[str, Any]:
    """One call for people and tests; times are epoch seconds, secrets are not shown."""
    request = call.request
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        body = request.body.decode("utf-8", "replace")
    headers = {name: "****" if name in SECRET_HEADERS else value for name, value in request.headers.items()}
    return {
        "method": request.method,
        "path": request.url,
        "headers": headers,
        "body": body,
        "at": call.at,
        "ended": call.ended,
        "whole": call.whole,
        "left": call.left,
    }
