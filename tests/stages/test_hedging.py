"""hedging: whether a second target is asked beside a slow first one, when, and which."""

import pytest
from attrs import evolve

from pipeline.state.board import Snapshot, TargetState
from pipeline.state.breaker import Breaker
from pipeline.state.hedge_budget import HedgeBudget
from pipeline.state.histogram import Histogram
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.targets import ModelFacts, Price, Target
from stages.hedging import hedge_after, hedge_candidate
from stages.moves import CallOptions, World
from tests.kit import exchange, provider, request

NOW = 100.0
OFF, P95 = CallOptions(hedge="off"), CallOptions(hedge="p95")
DELAY = CallOptions(hedge="delay", hedge_after=0.7, hedge_share=0.1)


def candidate(name, group=0, price=None, model="m"):
    return Candidate(Target(provider(name), ModelFacts(model, price=price)), 0.0, "test", group)


A, B, C = (candidate(name) for name in "abc")


def measured(*seconds, count=50, at=NOW):
    histogram = Histogram()
    for number in range(count):
        histogram = histogram.seen(seconds[number % len(seconds)], at)
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


def after(options, *others, first=A, **known):
    return hedge_after(first, Plan((first, *others), "test"), options, world(known.get("targets")))


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
    ],
)
def test_when(found, expected):
    assert found == expected


def test_most_calls_are_quicker():
    seconds = [0.5] * 19 + [8.0]
    assert after(P95, B, targets={"a/m": measured(*seconds, count=60)}) == pytest.approx(0.5, rel=0.1)
    assert after(P95, B, targets={"a/m": measured(*seconds, 8.0, count=63)}) == pytest.approx(8.0, rel=0.1)


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
