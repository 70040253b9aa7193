"""The fake providers behind the Transport port, in virtual time."""

import json
import math

import pytest
import trio
from attrs import evolve

from adapters.simulator.scenario import Fault
from adapters.simulator.transport import SimulatorTransport
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem
from tests.adapters.simulator.kit import STANDARD, user

SLOW = evolve(STANDARD, head_s=1.0, delta_s=0.5)


def request(text="hi", stream=True):
    body = json.dumps({"model": "chat", "messages": user(text), "stream": stream}).encode()
    return HttpRequest("POST", "http://sim/openai/v1/chat/completions", {"authorization": "Bearer x"}, body)


async def read_all(reply):
    """All pieces with their times, and what came last."""
    pieces = []
    while isinstance(data := await reply.read(), bytes) and data:
        pieces.append((trio.current_time(), data))
    return pieces, data


async def test_pieces_come_in_their_time(autojump_clock):
    transport = SimulatorTransport(SLOW)
    start = trio.current_time()
    async with transport.open(request()) as reply:
        assert trio.current_time() - start == pytest.approx(1.0)
        assert (reply.head.status, reply.head.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        pieces, last = await read_all(reply)
    assert last == b""
    assert await reply.read() == b""
    assert [at - start for at, _ in pieces] == pytest.approx([1.0, 1.5, 2.0, 2.5, 2.5, 2.5])
    assert pieces[-1][1] == b"data: [DONE]\n\n"


async def test_a_document_comes_when_all_is_said(autojump_clock):
    start = trio.current_time()
    async with SimulatorTransport(SLOW).open(request(stream=False)) as reply:
        assert trio.current_time() - start == pytest.approx(2.5)
        (piece,), _ = await read_all(reply)
    assert json.loads(piece[1])["object"] == "chat.completion"


async def test_what_was_asked_is_kept(autojump_clock):
    transport = SimulatorTransport(STANDARD)
    async with transport.open(request()) as reply:
        assert (transport.opened, transport.closed) == (1, 0)
        assert (transport.seen[0].ended, transport.seen[0].outcome) == (None, "open")
        await read_all(reply)
    assert (transport.opened, transport.closed) == (1, 1)
    assert transport.seen[0].request == request()
    assert transport.seen[0].whole


async def test_who_knows_the_end_need_not_read_on(autojump_clock):
    transport = SimulatorTransport(STANDARD)
    async with transport.open(request()) as reply:
        while b"[DONE]" not in await reply.read():
            pass
    assert transport.seen[0].whole


@pytest.mark.parametrize("after_s", [0.3, 1.2, 1.7, 2.2])
async def test_who_leaves_closes_the_call(autojump_clock, after_s):
    transport = SimulatorTransport(SLOW)
    start = trio.current_time()
    with trio.move_on_after(after_s):
        async with transport.open(request()) as reply:
            await read_all(reply)
    assert (transport.opened, transport.closed) == (1, 1)
    assert transport.seen[0].left
    assert transport.seen[0].ended - start == pytest.approx(after_s)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_break_in_the_middle_is_a_stream_error(autojump_clock, stream):
    transport = SimulatorTransport(STANDARD)
    async with transport.open(request("@@MID", stream)) as reply:
        pieces, last = await read_all(reply)
        again = await reply.read()
    assert pieces
    assert last.kind is Kind.STREAM_ERROR
    assert again == last
    assert transport.seen[0].outcome == "broken"


async def test_a_reset_before_the_head_is_told_as_one(autojump_clock):
    transport = SimulatorTransport(evolve(STANDARD, faults=(Fault(until=1),)))
    async with transport.open(request()) as refused:
        assert isinstance(refused, Problem)
        assert refused.kind is Kind.WRITE_OR_RESET
    async with transport.open(request()) as reply:
        assert reply.head.status == 200


@pytest.mark.parametrize(
    "after", [pytest.param(None, id="before the head"), pytest.param(2, id="after two pieces")]
)
async def test_a_hang_lasts(autojump_clock, after):
    transport = SimulatorTransport(evolve(STANDARD, faults=(Fault(ending="hang", after=after),)))
    with trio.move_on_after(1e6) as scope:
        async with transport.open(request()) as reply:
            await read_all(reply)
    assert scope.cancelled_caught
    assert transport.closed == 1


async def test_faults_count_model_calls_alone(autojump_clock):
    transport = SimulatorTransport(evolve(STANDARD, faults=(Fault(every=2, status=500),)))
    statuses = []
    for probe in (False, True, False, False):
        asked = HttpRequest("GET", "http://sim/openai/v1/models") if probe else request()
        async with transport.open(asked) as reply:
            statuses.append(reply.head.status)
    assert statuses == [200, 200, 500, 200]


async def test_memory_is_bounded(autojump_clock):
    transport = SimulatorTransport(STANDARD)
    for _ in range(1005):
        async with transport.open(HttpRequest("GET", "http://sim/ollama/")):
            pass
    assert len(transport.seen) == 1000
    assert transport.opened == transport.closed == 1005
    assert math.isfinite(transport.seen[-1].ended)
