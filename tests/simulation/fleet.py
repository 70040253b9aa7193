"""The providers of a simulated world: they answer in OpenAI's form, in their own time, and fail as their faults say."""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from attrs import define, field, frozen

from pipeline.ports import Reply, Transport
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.problems import Kind, Problem

JSON = {"content-type": "application/json"}
SSE = {"content-type": "text/event-stream"}
PIECES = 4
CONNECT_LIMIT_S = 5.0

# What a fault can be, and how likely it is drawn.
FAULTS = {
    "refused": 4,
    "hangs at connect": 1,
    "hangs at first byte": 1,
    "hangs in mid-stream": 1,
    "reset": 3,
    "cut": 2,
    "cut in a letter": 2,
    "error event": 2,
    "garbled": 2,
    "limited": 3,
    "limited with seconds": 3,
    "limited with milliseconds": 2,
    "no money": 1,
    "no rights": 1,
    "overloaded": 3,
    "server": 4,
    "bad gateway": 3,
    "slow": 4,
    "redirects": 1,
    "policy": 1,
    "invalid": 1,
    "too long": 1,
    "missing": 1,
    "flaps": 3,
}


@frozen
class Fault:
    """`kind` holds from `begins` to `ends` for a share of the calls. `killed` ends those that run as well."""

    kind: str
    begins: float
    ends: float
    share: float


@frozen
class Heard:
    """One call at a node, as the watch sees it: `what` is `opened`, `closed` or `spoke`."""

    what: str
    node: str
    call: int
    request: HttpRequest


@define(eq=False)
class Node(Transport):
    """One provider. `tell` hears of every call; `calls` counts them, `running` those that go on."""

    name: str
    random: Random
    tell: Callable[[Heard], None]
    usual_s: float
    faults: list[Fault] = field(factory=list)
    calls: int = 0
    running: int = 0

    def fault(self, now: float) -> str | None:
        """What goes wrong with a call that begins now."""
        for fault in self.faults:
            if fault.begins <= now < fault.ends and self.random.random() < fault.share:
                if fault.kind == "flaps":
                    return "server" if int(now / 7) % 2 else None
                return fault.kind
        return None

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[Reply | Problem]:
        self.calls += 1
        began = trio.current_time()
        call, fault = self.calls, self.fault(began)
        self.running += 1
        self.tell(Heard("opened", self.name, call, request))
        try:
            reply = await self._reply(call, request, fault)
            yield RESET if self._killed_since(began) and isinstance(reply, Reply) else reply
        finally:
            self.running -= 1
            self.tell(Heard("closed", self.name, call, request))

    def _killed_since(self, began: float) -> bool:
        now = trio.current_time()
        return any(fault.kind == "killed" and began < fault.begins <= now for fault in self.faults)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def _seconds(self) -> float:
        return self.usual_s * math.exp(self.random.gauss(0, 0.4))

    async def _reply(self, call: int, request: HttpRequest, fault: str | None) -> Reply | Problem:
        match fault:
            case "refused" | "killed":
                return Problem(Kind.CONNECT, "nobody listens")
            case "hangs at connect":
                await trio.sleep(CONNECT_LIMIT_S)
                return Problem(Kind.CONNECT, "no answer")
            case "hangs at first byte":
                await trio.sleep_forever()
            case "reset":
                await trio.sleep(self._seconds() / 2)
                return RESET
            case "slow":
                await trio.sleep(5.0)
        await trio.sleep(self._seconds())
        if fault in REFUSALS:
            status, headers, body = REFUSALS[fault]
            return _whole(status, {**JSON, **headers}, json.dumps(body).encode())
        if fault == "redirects":
            return _whole(302, {"location": "http://elsewhere.test/"}, b"")
        if fault == "garbled":
            return _whole(200, {"content-type": "text/html"}, b"<html>It works!</html>")
        wanted = json.loads(request.body)
        if not wanted.get("stream"):
            text = "".join(piece(self.name, call, number) for number in range(PIECES))
            return _whole(200, JSON, json.dumps(_document(text)).encode())
        return Reply(ReplyHead(200, SSE), self._stream(call, request, fault))

    def _stream(self, call: int, request: HttpRequest, fault: str | None) -> Any:
        """The reads of a streamed answer. Faults of the stream strike behind the first or the second piece."""
        parts = [_chunk(piece(self.name, call, number)) for number in range(PIECES)]
        tail = [_finish(), b"data: [DONE]\n\n"]
        broken = self.random.choice((0, 1, 2))
        ending: Problem | None = None
        match fault:
            case "cut":
                parts, tail = parts[:broken], [b""]
            case "cut in a letter":
                whole = _chunk("é")
                parts, tail = [*parts[:broken], whole[: whole.index("é".encode()) + 1]], []
                ending = Problem(Kind.STREAM_ERROR, "the connection broke")
            case "error event":
                parts, tail = (
                    [*parts[:broken], b'data: {"error": {"message": "kaput", "type": "server_error"}}\n\n'],
                    [],
                )
            case "hangs in mid-stream":
                parts, tail = parts[: broken + 1], []
        queue = [*parts, *tail]

        async def read() -> bytes | Problem:
            await trio.sleep(self._seconds() / 5)
            if queue:
                self.tell(Heard("spoke", self.name, call, request))
                return queue.pop(0)
            if fault == "hangs in mid-stream":
                await trio.sleep_forever()
            return ending or b""

        return read


RESET = Problem(Kind.WRITE_OR_RESET, "reset")

REFUSALS: dict[str, tuple[int, dict[str, str], Any]] = {
    "limited": (
        429,
        {},
        {"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}},
    ),
    "limited with seconds": (429, {"retry-after": "3"}, {"error": {"message": "slow down"}}),
    "limited with milliseconds": (429, {"retry-after-ms": "900"}, {"error": {"message": "slow down"}}),
    "no money": (
        429,
        {},
        {"error": {"message": "no credit", "code": "insufficient_quota", "type": "insufficient_quota"}},
    ),
    "no rights": (401, {}, {"error": {"message": "bad key", "code": "invalid_api_key"}}),
    "overloaded": (503, {}, {"error": {"message": "overloaded", "type": "overloaded_error"}}),
    "server": (500, {}, {"error": {"message": "oops"}}),
    "bad gateway": (502, {}, {"error": {"message": "oops"}}),
    "policy": (400, {}, {"error": {"message": "no", "code": "content_filter"}}),
    "invalid": (400, {}, {"error": {"message": "no", "code": None, "type": "invalid_request_error"}}),
    "too long": (400, {}, {"error": {"message": "too long", "code": "context_length_exceeded"}}),
    "missing": (404, {}, {"error": {"message": "no such model", "code": "model_not_found"}}),
}


def piece(node: str, call: int, number: int) -> str:
    """Piece `number` of the answer to a call: it says whose it is."""
    return f"<{node}.{call}.{number}>"


def _whole(status: int, headers: dict[str, str], body: bytes) -> Reply:
    left = [body] if body else []

    async def read() -> bytes | Problem:
        await trio.lowlevel.checkpoint()
        return left.pop() if left else b""

    return Reply(ReplyHead(status, headers), read)


def _chunk(text: str) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return _frame({"choices": [choice]})


def _finish() -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return _frame({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})


def _frame(body: dict[str, Any]) -> bytes:
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **body}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


def _document(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    }


def drawn_faults(random: Random, nodes: int, until: float, often: float) -> list[list[Fault]]:
    """For each node its faults until `until`, one every `often` seconds on average; the first node has none.

    Now and then all the others have the same at once.
    """
    found: list[list[Fault]] = [[] for _ in range(nodes)]
    kinds, weights = list(FAULTS), list(FAULTS.values())
    now = 0.0
    while True:
        now += random.expovariate(1 / often)
        if now >= until:
            return found
        kind = random.choices(kinds, weights)[0]
        lasts = min(until - now, random.expovariate(1 / 20))
        fault = Fault(kind, now, now + lasts, random.choice((0.3, 1.0, 1.0)))
        for one in range(1, nodes) if random.random() < 0.03 else (random.randrange(1, nodes),):
            found[one].append(fault)
