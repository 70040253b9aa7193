"""Requests of clients, and replies read back."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from adapters.dialects import DIALECTS
from pipeline.values.events import Batch, Event, Verbatim
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Request
from pipeline.values.problems import Problem

BEGAN = 1_700_000_000.25
ID = "r1"


def post(path: str, body: Any, **headers: str) -> HttpRequest:
    """A POST of `body`, which is JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpRequest("POST", path, {"content-type": "application/json", **headers}, data)


def read(path: str, body: Any, **headers: str) -> Request | Problem:
    return DIALECTS[path].read(post(path, body, **headers))


def begun(path: str, body: Any) -> Any:
    """The state of the reply to a request that reads well."""
    request = read(path, body)
    assert not isinstance(request, Problem), request
    return DIALECTS[path].fresh(request, ID, BEGAN)


def written(path: str, body: Any, batches: Iterable[Batch | Sequence[Event]], every_s: float = 1.0) -> bytes:
    """The streamed reply to `body`, a batch after each `every_s` seconds."""
    dialect, state, out = DIALECTS[path], begun(path, body), b""
    for number, batch in enumerate(batches, 1):
        whole = batch if isinstance(batch, Batch) else Batch(tuple(batch))
        state, data = dialect.write(state, whole, number * every_s)
        out += data
    return out


def collected(
    path: str, body: Any, *batches: Batch | Sequence[Event], elapsed_s: float = 2.0
) -> tuple[int, Any]:
    """Status and JSON of the whole reply to `body`."""
    whole = tuple(batch if isinstance(batch, Batch) else Batch(tuple(batch)) for batch in batches)
    answer = DIALECTS[path].collect(begun(path, body), whole, elapsed_s)
    return answer.head.status, json.loads(answer.body)


def lines(data: bytes) -> list[Any]:
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def frames(data: bytes) -> list[Any]:
    """The data of SSE frames; comments are none, the end mark stays a string."""
    assert data == b"" or data.endswith(b"\n\n")
    found = [frame.removeprefix(b"data: ") for frame in data.split(b"\n\n") if frame.startswith(b"data: ")]
    return [frame.decode() if frame == b"[DONE]" else json.loads(frame) for frame in found]


def verbatim(format: str, data: bytes, *events: Event) -> Batch:
    return Batch(events, Verbatim(format, data))
