"""hedging: whether a second target is asked beside a slow first one, when, and which."""

import pytest
import trio
from attrs import evolve

from pipeline.state.board import Board, Snapshot, TargetState
from pipeline.state.breaker import Breaker
from pipeline.state.hedge_budget import HedgeBudget
from pipeline.state.histogram import SizedHistogram
from pipeline.values.events import Finished, Started, TextDelta
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken
from pipeline.values.targets import ModelFacts, Price, Target
from stages.call import Call
from stages.hedging import hedge_after, hedge_candidate, size_of
from stages.moves import CallOptions, World
from tests.kit import Ear, Stand, exchange, provider, request

NOW = 100.0
OFF, P95 = CallOptions(hedge="off"), CallOptions(hedge="p95")
DELAY = CallOptions(hedge="delay", hedge_after=0.7, hedge_share=0.1)


def candidate(name, group=0, price=None, model="m"):
    return Candidate(Target(provider(name), ModelFacts(model, price=price)), 0.0, "test", group)


A, B, C = (candidate(name) for name in "abc")


def measured(*seconds, count=50, at=NOW, size=0, before=None):
    histogram = before.first_tokens if before else SizedHistogram()
    for number in range(count):
        histogram = histogram.seen(seconds[number % len(seconds)], at, size)
    return TargetState(first_tokens=histogram)


def budget(exchanges=100, hedges=0, spent=0.0, cost=None):
    after = HedgeBudget()
    for _ in range(exchanges):
        after = after.accepted(NOW)
    for _ in range(hedges):
        after = after.hedged(cost, NOW)
    return after.spent(spent, NOW)


def world(targets=None, hedges=None, busy=()):
    snapshot = Snapshot(targets or {}, hedges=hedges or budget())
    return World(snapshot, NOW, 100.0, lambda one: one not in busy, 0.5)


def after(options, *others, first=A, asked=None, **known):
    plan = Plan((first, *others), "test")
    return hedge_after(first, plan, asked or request(), options, world(known.get("targets")))


LONG = request("word " * 4_000)
SHORT_AND_LONG = measured(8.0, size=2, before=measured(0.5))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(after(OFF, B), None, id="off"),
        pytest.param(after(DELAY, B), 0.7, id="after a fixed time"),
        pytest.param(after(evolve(DELAY, hedge_after=0.0), B), 0.0, id="at once"),
        pytest.param(after(DELAY), None, id="there is nobody else"),
        pytest.param(after(DELAY, candidate("a", model="n")), None, id="nor at another provider"),
        pytest.param(after(DELAY, candidate("b", group=1)), None, id="another model is no second"),
        pytest.param(
            after(DELAY, candidate("c", group=1), first=candidate("b", group=1)),
            0.7,
            id="among those that stand in there may be one",
        ),
        pytest.param(after(P95, B), None, id="nothing is known of the first"),
        pytest.param(after(P95, B, targets={"a/m": measured(2.0, count=49)}), None, id="too little is"),
        pytest.param(
            after(P95, B, targets={"b/m": measured(2.0)}), None, id="what is known of the other is no help"
        ),
        pytest.param(
            after(P95, B, targets={"a/m": measured(0.01)}),
            0.25,
            id="however quick, not before a quarter second",
        ),
        pytest.param(
            after(P95, B, targets={"a/m": measured(2.0, at=NOW - 400.0)}),
            None,
            id="what is long ago is forgotten",
        ),
        pytest.param(
            after(P95, B, asked=LONG, targets={"a/m": measured(0.5)}),
            None,
            id="what short requests need tells nothing of long ones",
        ),
        pytest.param(
            after(P95, B, targets={"a/m": measured(8.0, size=2)}), None, id="nor the other way round"
        ),
        pytest.param(
            after(P95, B, targets={"a/m": measured(0.5, size=None)}), None, id="nor what nobody has measured"
        ),
        pytest.param(
            after(DELAY, B, asked=evolve(request(), stateful=True)),
            None,
            id="what leaves something behind would do so twice",
        ),
        pytest.param(
            after(evolve(DELAY, hedge_after=0.0), B, asked=evolve(request(), stateful=True)),
            None,
            id="and is no race either",
        ),
        pytest.param(
            after(P95, B, asked=evolve(request(), stateful=True), targets={"a/m": measured(0.5)}),
            None,
            id="nor when it is slow",
        ),
    ],
)
def test_when(found, expected):
    assert found == expected


def test_most_calls_are_quicker():
    seconds = [0.5] * 19 + [8.0]
    assert after(P95, B, targets={"a/m": measured(*seconds, count=60)}) == pytest.approx(0.5, rel=0.1)
    assert after(P95, B, targets={"a/m": measured(*seconds, 8.0, count=63)}) == pytest.approx(8.0, rel=0.1)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(request(), 0.5, id="a short one by what short ones need"),
        pytest.param(LONG, 8.0, id="a long one by what long ones need"),
    ],
)
def test_each_size_is_slow_by_its_own_measure(asked, seconds):
    found = after(P95, B, asked=asked, targets={"a/m": SHORT_AND_LONG})
    assert found == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        pytest.param(P95, 2, id="where slowness is told by size"),
        pytest.param(DELAY, None, id="not where it is told by a fixed time"),
        pytest.param(OFF, None, id="nor where nobody asks"),
    ],
)
def test_sizes_are_reckoned_only_where_they_count(options, size):
    assert size_of(LONG, options) == size


DEAR, CHEAP, FREE = Price(100_000.0, 1.0), Price(1.0, 1.0), Price(0.0, 0.0)
TRIPPED = TargetState(breaker=Breaker(mode="open", open_until=NOW + 5.0, since=NOW))


def second(*others, text="x" * 4000, options=DELAY, plan=None, **known):
    asked = evolve(exchange(NOW), request=request(text))
    plan = plan or Plan((A, *others), "test")
    found = hedge_candidate(A, plan, asked, options, world(**known))
    return found and found.target.name


def backwards(candidates, snapshot, now, roll):
    return candidates[::-1]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(second(B, C), "b/m", id="the next of the plan"),
        pytest.param(
            second(plan=Plan((A, B, C), "test", backwards)),
            "c/m",
            id="in the order that the strategy gives now",
        ),
        pytest.param(second(candidate("a", model="n"), B), "b/m", id="never one at the same provider"),
        pytest.param(second(candidate("b", group=1)), None, id="never another model"),
        pytest.param(second(B, C, busy=(B,)), "c/m", id="where there is no room the next"),
        pytest.param(second(B, busy=(B,)), None, id="no room anywhere"),
        pytest.param(second(B, C, targets={"b/m": TRIPPED}), "c/m", id="who is closed off is passed by"),
        pytest.param(
            second(B, C, targets={"b/m": TargetState(cooled_until=NOW + 1.0)}), "c/m", id="and who rests"
        ),
        pytest.param(second(B, hedges=budget(exchanges=9)), None, id="a share of the exchanges: none yet"),
        pytest.param(second(B, hedges=budget(exchanges=10)), "b/m", id="the first"),
        pytest.param(second(B, hedges=budget(exchanges=19, hedges=1)), None, id="and no second so soon"),
        pytest.param(second(candidate("b", price=DEAR)), None, id="one may cost a cent"),
        pytest.param(
            second(candidate("b", price=DEAR), candidate("c", price=CHEAP), hedges=budget(spent=1.0)),
            "c/m",
            id="a cheaper one may be asked in its place",
        ),
        pytest.param(
            second(candidate("b", price=CHEAP)), None, id="nothing was spent that it could be a share of"
        ),
        # 1000 tokens at a dollar a million are a tenth of a cent; 2 % of what was spent have to be that.
        pytest.param(
            second(candidate("b", price=CHEAP), hedges=budget(spent=0.049)), None, id="too little was"
        ),
        pytest.param(second(candidate("b", price=CHEAP), hedges=budget(spent=0.051)), "b/m", id="enough was"),
        pytest.param(
            second(candidate("b", price=CHEAP), hedges=budget(spent=0.051, hedges=1, cost=0.001)),
            None,
            id="but not for two",
        ),
        pytest.param(second(candidate("b", price=FREE)), "b/m", id="what is free is bounded by number alone"),
        pytest.param(second(B), "b/m", id="and so is what has no price"),
    ],
)
def test_which(found, expected):
    assert found == expected


def answer(after_s):
    return ((after_s, Started("m")), (0.0, TextDelta("hi")), (0.0, Finished("stop")))


def met(size, count, seconds=0.3):
    """Facts of `count` requests of one class of sizes at the first target."""
    for _ in range(count):
        yield AttemptStarted(1, "a/m", 0.0)
        yield FirstToken(1, "a/m", 0.0, seconds, size)
        yield AttemptEnded(1, "a/m", 0.0, seconds, size=size)


async def carried(asked, known, seconds):
    """What was told where `a` takes `seconds` until its first content and `b` none, and the board afterwards."""
    board = Board()
    for fact in known:
        board.tell(fact)
    stand, ear = Stand({"a": answer(seconds), "b": answer(0.0)}, board=board), Ear(board=board)
    plan = Plan((A, B), "test")
    await Call(exchange(trio.current_time(), request=asked), plan, ear.wire, P95, stand.env).carry_out()
    return ear, board.snapshot


@pytest.mark.parametrize(
    ("asked", "size", "targets"),
    [
        pytest.param(request(), 0, ["a/m", "b/m"], id="a short one is slow"),
        pytest.param(LONG, 2, ["a/m"], id="a long one need not be"),
    ],
)
async def test_a_call_is_measured_by_its_like(asked, size, targets, autojump_clock):
    ear, snapshot = await carried(asked, met(0, 100), 2.0)
    assert [fact.target for fact in ear.told(AttemptStarted)] == targets
    assert {fact.size for fact in (*ear.told(FirstToken), *ear.told(AttemptEnded))} == {size}
    first_tokens = snapshot.target("a/m").first_tokens
    known = {0: 100, 2: 0}
    assert first_tokens.of(size).count(ear.times[-1]) == known[size] + 1


async def test_fifty_long_ones_tell_what_is_slow_for_one(autojump_clock):
    ear, _ = await carried(LONG, [*met(0, 50), *met(2, 49, 1.0)], 5.0)
    assert [fact.target for fact in ear.told(AttemptStarted)] == ["a/m"]
    ear, _ = await carried(LONG, [*met(0, 50), *met(2, 50, 1.0)], 5.0)
    first, second = ear.told(AttemptStarted)
    assert second.at - first.at == pytest.approx(1.0, rel=0.1)


async def test_what_leaves_something_behind_is_waited_for(autojump_clock):
    ear, _ = await carried(evolve(request(), stateful=True), met(0, 100), 5.0)
    assert [fact.target for fact in ear.told(AttemptStarted)] == ["a/m"]
