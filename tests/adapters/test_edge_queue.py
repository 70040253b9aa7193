"""What the edge tells of the queue: while one waits, and when one is refused."""

import pytest
import trio

from pipeline.values.events import Finished, Started, TextDelta
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.limit import LimitOptions
from tests.adapters.test_edge import CHAT, Plane, asking
from tests.kit import Stand

SLOW = [(0, Started("m")), (40, TextDelta("x")), (0, Finished("stop"))]
WHOLE = {**CHAT, "stream": False}
JSON = {"content-type": "application/json"}
STREAM = {**CHAT, "stream": True}


def plane(**options):
    made = Plane(Stand({"a": SLOW}))
    env = made.stand.env
    settings = {name: entry.options() for name, entry in CATALOG.items()} | {"limit": LimitOptions(**options)}
    service = compose(tuple(CATALOG), build_stages(settings, CATALOG, env), CATALOG)
    made.edge.services["chat"] = service
    return made


@pytest.mark.parametrize(
    ("path", "body", "sign"),
    [
        pytest.param("/v1/chat/completions", STREAM, ": queued position=1\n\n: keep-alive\n\n", id="openai"),
        pytest.param("/v1/messages", {**STREAM, "max_tokens": 9}, ": queued position=1\n\n", id="anthropic"),
    ],
)
async def test_a_stream_of_events_that_waits_is_told_where_it_stands(
    path, body, sign, autojump_clock, nursery
):
    house = plane(max_concurrent=1, queue_timeout=100)
    nursery.start_soon(house.serve, asking(WHOLE))
    await trio.sleep(1)
    client = asking(body, path=path, headers=JSON)
    await house.serve(client)
    assert client.text.startswith(sign)
    assert client.head["x-queue-position"] == "1"
    assert "x-queue-ms" not in client.head, "nobody knows it yet"
    assert client.text.count(": queued") == 2, "at 15 and 30 seconds; then it is served"
    assert client.over


async def test_a_stream_of_lines_that_waits_has_no_room_for_words(autojump_clock, nursery):
    house = plane(max_concurrent=1, queue_timeout=100)
    nursery.start_soon(house.serve, asking(WHOLE))
    await trio.sleep(1)
    client = asking(STREAM)
    await house.serve(client)
    assert client.head["x-queue-position"] == "1"
    assert all(set(line) >= {"model", "message", "done"} for line in client.lines)


async def test_a_refusal_tells_where_one_would_have_stood(autojump_clock, nursery):
    house = plane(max_concurrent=1, queue_size=0)
    nursery.start_soon(house.serve, asking(WHOLE))
    await trio.sleep(1)
    client = await house.serve(asking(STREAM, path="/v1/chat/completions", headers=JSON))
    assert client.status == 503
    assert client.head["retry-after"] == "1"
    assert (client.head["x-queue-position"], client.head["x-queue-ms"]) == ("1", "0.0")
    assert "number 1" in client.text
