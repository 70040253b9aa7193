"""Whole pipelines on virtual time: what the client gets, what the upstreams see, and what is left behind."""

import math
from itertools import pairwise

import pytest
import trio
from attrs import evolve

from pipeline.values.events import (
    Batch,
    Failed,
    Finished,
    Started,
    TextDelta,
    Usage,
    UsageSeen,
    grammatical,
)
from pipeline.values.exchange import How, Loss
from pipeline.values.facts import AttemptEnded, AttemptStarted
from pipeline.values.messages import LoadRequest, Thinking
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelRule
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.limit import LimitOptions
from stages.moves import CallOptions
from tests.kit import HELLO, Ear, Stand, Step, exchange, request

ORDER = ("normalize", "route", "limit", "call", "transform", "record")
HELLO_SCRIPT: tuple[Step, ...] = tuple((0.0, event) for event in HELLO)
RESET = Problem(Kind.WRITE_OR_RESET)
CUT = Problem(Kind.STREAM_ERROR)


def pipeline(stand: Stand, order=ORDER, **options):
    chosen = {name: entry.options() for name, entry in CATALOG.items()} | options
    return compose(order, build_stages(chosen, CATALOG, stand.env), CATALOG)


async def played(stand: Stand, asked=None, **options) -> Ear:
    ear = Ear(board=stand.board)
    service = pipeline(stand, **options)
    await service(asked or exchange(trio.current_time()), ear.wire)
    return ear


def said(ear: Ear) -> str:
    return "".join(event.text for event in ear.events if isinstance(event, TextDelta))


def end(ear: Ear):
    last = ear.events[-1]
    return last.problem.kind if isinstance(last, Failed) else last.reason


@pytest.mark.parametrize(
    ("scripts", "options", "expected", "called"),
    [
        pytest.param({"a": HELLO_SCRIPT}, CallOptions(), "stop", ["a/m"], id="one target answers"),
        pytest.param(
            {"a": [(0, RESET)], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="a reset falls back",
        ),
        pytest.param(
            {"a": [(0, 503)], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="a refusal falls back",
        ),
        pytest.param(
            {"a": [(0, Started("m")), (0, CUT)], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="a stream that broke before its first content falls back",
        ),
        pytest.param(
            {"a": [(0, Started("m")), (0, Failed(Problem(Kind.SERVER)))], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="an error before the first content falls back",
        ),
        pytest.param(
            {"a": [(0, RESET)], "b": HELLO_SCRIPT},
            CallOptions(fallback="none"),
            Kind.WRITE_OR_RESET,
            ["a/m"],
            id="none makes exactly one call",
        ),
        pytest.param(
            {"a": [(0, 503)], "b": HELLO_SCRIPT},
            CallOptions(fallback="retry_same"),
            "stop",
            ["a/m", "a/m", "b/m"],
            id="retry_same asks the same once more and then the next",
        ),
        pytest.param(
            {name: [(0, RESET)] for name in "abcde"},
            CallOptions(),
            Kind.WRITE_OR_RESET,
            ["a/m", "b/m", "c/m"],
            id="at most three attempts",
        ),
        pytest.param(
            {"a": [(0, 400)], "b": HELLO_SCRIPT},
            CallOptions(),
            Kind.INVALID,
            ["a/m"],
            id="the client's fault stays his",
        ),
        pytest.param(
            {"a": [(0, 451)], "b": HELLO_SCRIPT},
            CallOptions(),
            Kind.POLICY,
            ["a/m"],
            id="a policy refusal goes nowhere else",
        ),
        pytest.param(
            {"a": [(0, 429)], "b": [(0, 500)]},
            CallOptions(),
            Kind.SERVER,
            ["a/m", "b/m"],
            id="one rate limit is not all",
        ),
        pytest.param(
            {"a": [(0, 429)], "b": [(0, 429)]},
            CallOptions(),
            Kind.RATE_LIMITED,
            ["a/m", "b/m"],
            id="all are limited",
        ),
        pytest.param(
            {"a": [(61, Started("m")), *HELLO_SCRIPT[1:]], "b": [(0, 500)]},
            CallOptions(),
            "stop",
            ["a/m"],
            id="slow content is not slow headers",
        ),
        pytest.param(
            {"a": [(301, Started("m"))], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="no content in time",
        ),
        pytest.param(
            {"a": [(61, 503)], "b": HELLO_SCRIPT},
            CallOptions(),
            "stop",
            ["a/m", "b/m"],
            id="no headers in time",
        ),
    ],
)
async def test_what_the_client_gets_and_who_was_asked(scripts, options, expected, called, autojump_clock):
    stand = Stand(scripts)
    ear = await played(stand, call=options)
    assert end(ear) == expected
    assert grammatical(ear.events)
    assert [fact.target for fact in ear.told(AttemptStarted)] == called
    assert len(ear.told(AttemptEnded)) == len(called)
    assert stand.held() == 0
    assert all(upstream.running == 0 for upstream in stand.upstreams.values())
    (record,) = stand.records
    assert [attempt.target for attempt in record.attempts] == called


async def test_after_the_first_content_a_failure_is_the_end(autojump_clock):
    stand = Stand({"a": [(0, Started("m")), (1, TextDelta("Hel")), (1, CUT)], "b": HELLO_SCRIPT})
    ear = await played(stand)
    assert said(ear) == "Hel"
    assert end(ear) == Kind.STREAM_ERROR
    assert len(stand.upstreams["b"].opened) == 0
    assert stand.records[0].outcome == "truncated"


async def test_silence_in_the_middle_is_cut_after_the_idle_limit(autojump_clock):
    stand = Stand({"a": [(0, Started("m")), (1, TextDelta("Hel")), (math.inf, TextDelta("lo"))]})
    ear = await played(stand)
    assert end(ear) == Kind.STREAM_ERROR
    assert 61 <= trio.current_time() <= 63
    assert said(ear) == "Hel"


async def test_a_steady_stream_outlives_the_idle_limit(autojump_clock):
    pieces = [(50.0, TextDelta("x"))] * 10
    stand = Stand({"a": [(0, Started("m")), *pieces, (0, Finished("stop"))]})
    ear = await played(stand)
    assert said(ear) == "x" * 10
    assert end(ear) == "stop"


async def test_a_client_who_takes_his_time_is_not_the_upstreams_silence(autojump_clock):
    class Slow(Ear):
        async def emit(self, batch: Batch) -> None:
            await trio.sleep(100)
            await super().emit(batch)

    stand = Stand({"a": [(0, Started("m")), (1, TextDelta("a")), (1, TextDelta("b")), (1, Finished("stop"))]})
    ear = Slow(board=stand.board)
    await pipeline(stand)(exchange(trio.current_time()), ear.wire)
    assert end(ear) == "stop"
    assert stand.records[0].outcome == "ok"


async def test_nothing_reaches_the_client_before_the_first_content(autojump_clock):
    stand = Stand({"a": [(0, Started("m")), (5, TextDelta("Hi")), (5, Finished("stop"))]})
    ear = await played(stand)
    assert ear.batches[0].events[:2] == (Started("m", asked="m"), TextDelta("Hi"))
    assert ear.times[0] == pytest.approx(5)


async def test_the_requests_own_deadline_cuts_and_blames_nobody(autojump_clock):
    stand = Stand({"a": [(100, Started("m"))], "b": HELLO_SCRIPT})
    now = trio.current_time()
    ear = await played(stand, exchange(now, deadline=now + 10))
    assert end(ear) == Kind.DEADLINE
    assert trio.current_time() - now == pytest.approx(10)
    assert stand.records[0].outcome == "deadline"
    assert not stand.board.snapshot.target("a/m").breaker.refuses(trio.current_time())


async def test_usage_is_estimated_where_the_provider_told_none(autojump_clock):
    ear = await played(Stand({"a": HELLO_SCRIPT}), exchange(trio.current_time(), request=request("12345678")))
    (seen,) = [event for event in ear.events if isinstance(event, UsageSeen)]
    assert seen.usage == Usage(input=10, output=2, estimated=True)


async def test_load_is_answered_without_asking_anybody(autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    ear = await played(stand, exchange(trio.current_time(), request=LoadRequest("m")))
    assert ear.events == (Started("m"), Finished("load"))
    assert stand.upstreams["a"].opened == []


async def test_a_busy_provider_is_passed_by_while_another_is_free(autojump_clock):
    slow = [(0, Started("m")), (10, TextDelta("slow")), (0, Finished("stop"))]
    stand = Stand({"a": slow, "b": HELLO_SCRIPT}, max_concurrent=1)
    ears = [Ear(), Ear()]
    service = pipeline(stand)
    async with trio.open_nursery() as nursery:
        for ear in ears:
            nursery.start_soon(service, exchange(trio.current_time()), ear.wire)
    assert sorted(said(ear) for ear in ears) == ["Hello", "slow"]


async def test_the_queue_is_bounded_and_in_order(autojump_clock):
    slow = [(0, Started("m")), (10, TextDelta("x")), (0, Finished("stop"))]
    stand = Stand({"a": slow})
    service = pipeline(stand, limit=LimitOptions(max_concurrent=1, queue_size=2, queue_timeout=15))
    ears = [Ear() for _ in range(4)]
    async with trio.open_nursery() as nursery:
        for ear in ears:
            nursery.start_soon(service, exchange(trio.current_time()), ear.wire)
            await trio.sleep(0.1)
    assert [end(ear) for ear in ears] == ["stop", "stop", Kind.QUEUE_TIMEOUT, Kind.QUEUE_FULL]
    assert ears[2].events[-1].problem.retry_after is not None


LEAVING: list[Step] = [
    (1, Started("m")),
    (1, TextDelta("a")),
    (1, TextDelta("b")),
    (1, Finished("stop")),
]


@pytest.mark.parametrize(
    "moment", [0.05 + 0.5 * step for step in range(14)], ids=lambda at: f"after {at:.2f} s"
)
@pytest.mark.parametrize(
    "first", [[(0.7, 503)], [(0.7, RESET)], LEAVING], ids=["refused", "reset", "answered"]
)
async def test_whoever_leaves_takes_all_with_him(first, moment, autojump_clock):
    """Cancelled at any moment: no permit held, no call open, one Record, as many attempts ended as started."""
    stand = Stand({"a": first, "b": LEAVING})
    service = pipeline(stand, limit=LimitOptions(max_concurrent=1))
    ears = [Ear(board=stand.board), Ear(board=stand.board)]
    left = trio.current_time() + moment
    async with trio.open_nursery() as nursery:
        for ear in ears:  # the second waits in the queue while the first is served
            nursery.start_soon(leaving, service, ear, moment)
    for upstream in stand.upstreams.values():
        assert upstream.running == 0
        assert all(closed <= left + 0.1 for closed in upstream.closed)
    assert stand.held() == 0
    assert len(stand.records) == 2
    for ear in ears:
        assert len(ear.told(AttemptStarted)) == len(ear.told(AttemptEnded))
    for state in stand.board.snapshot.targets.values():
        assert state.in_flight == 0
    ear = Ear()
    await service(exchange(trio.current_time()), ear.wire)  # the place is free again
    assert isinstance(ear.events[-1], Finished)


async def leaving(service, ear, moment):
    with trio.move_on_after(moment):
        await service(exchange(trio.current_time()), ear.wire)


async def test_a_client_who_left_is_recorded_as_cancelled(autojump_clock):
    stand = Stand({"a": LEAVING})
    await leaving(pipeline(stand), Ear(), 2.5)
    assert stand.records[0].outcome == "cancelled"
    assert stand.records[0].served == "a/m"


async def test_a_slow_client_slows_the_upstream(autojump_clock):
    read_at: list[float] = []

    class Slow(Ear):
        async def emit(self, batch: Batch) -> None:
            read_at.append(trio.current_time())
            await trio.sleep(3)

    stand = Stand({"a": [(0, Started("m")), *[(0, TextDelta("x"))] * 3, (0, Finished("stop"))]})
    await pipeline(stand)(exchange(trio.current_time()), Slow().wire)
    assert [later - earlier for earlier, later in pairwise(read_at)] == [3, 3, 3]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(("route", "call"), id="the least that works"),
        pytest.param(("limit", "route", "normalize", "call", "record", "transform"), id="another order"),
        pytest.param(("route", "call", "record"), id="nothing transformed"),
    ],
)
async def test_accepted_orders_run(order, autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    ear = await played(stand, order=order)
    assert said(ear) == "Hello"


WITHOUT_THINKING = {"m": ModelRule(capabilities=frozenset({"completion"}))}


@pytest.mark.parametrize(
    ("strict", "expected", "lost"),
    [
        pytest.param(False, "stop", [(Loss("thinking", How.DROPPED),)], id="it is told as lost"),
        pytest.param(True, Kind.LOSSY, [], id="who may lose nothing is refused"),
    ],
)
async def test_a_wish_to_think_that_cannot_be_granted(strict, expected, lost, autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    env = evolve(stand.env, models=WITHOUT_THINKING)
    chosen = {name: entry.options() for name, entry in CATALOG.items()}
    ear = Ear(board=stand.board)
    asked = exchange(request=request(thinking=Thinking(True, wish=True)), strict=strict)
    await compose(ORDER, build_stages(chosen, CATALOG, env), CATALOG)(asked, ear.wire)
    assert end(ear) == expected
    assert [fact.losses for fact in ear.told(AttemptStarted)] == lost
