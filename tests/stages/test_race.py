"""Two attempts at once: the second begins where the first is slow, the first with content wins."""

import pytest
import trio

from pipeline.state import board as boards
from pipeline.state.board import Board
from pipeline.values.events import Failed, Finished, Started, TextDelta
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken
from pipeline.values.problems import Kind
from stages.call import Call
from stages.moves import CallOptions
from tests.kit import Ear, Stand, exchange, target

NOW_OR_NEVER = CallOptions(hedge="delay", hedge_after=0.5, hedge_share=1.0)
OK = (Started("m"), TextDelta("hi"), Finished("stop"))


def spoken(after, *events):
    """A script: content after `after` seconds."""
    first, *rest = events or OK
    return ((after, first), *((0.0, event) for event in rest))


async def carried(scripts, options=NOW_OR_NEVER, known=(), groups=None):
    board = Board()
    for fact in known or accepted(200):
        board.tell(fact)
    stand = Stand(scripts, board=board)
    ear = Ear(board=board)
    plan = Plan(
        tuple(Candidate(target(name), 0.0, "", (groups or {}).get(name, 0)) for name in scripts), "test"
    )
    asked = exchange(trio.current_time())
    await Call(asked, plan, ear.wire, options, stand.env).carry_out()
    return stand, ear


def accepted(count, name="x/m"):
    """Facts of `count` quick exchanges."""
    for _ in range(count):
        yield AttemptStarted(1, name, 0.0)
        yield AttemptEnded(1, name, 0.0, 0.01)


def text(ear):
    return "".join(event.text for event in ear.events if isinstance(event, TextDelta))


def began(ear):
    return [(fact.target, fact.hedge) for fact in ear.told(AttemptStarted)]


async def test_a_quick_one_has_no_rival(autojump_clock):
    _stand, ear = await carried({"a": spoken(0.4), "b": spoken(0.0)})
    assert began(ear) == [("a/m", False)]


async def test_a_slow_one_is_overtaken_and_let_go_at_once(autojump_clock):
    stand, ear = await carried(
        {"a": spoken(9.0), "b": spoken(0.1, Started("m"), TextDelta("b"), Finished("stop"))}
    )
    assert began(ear) == [("a/m", False), ("b/m", True)]
    assert text(ear) == "b"
    assert stand.upstreams["a"].closed == pytest.approx([0.6], abs=0.01)
    ended = {fact.target: fact for fact in ear.told(AttemptEnded)}
    assert ended["a/m"].cancelled
    assert not ended["a/m"].committed
    assert ended["b/m"].verdict is None
    assert stand.held() == 0


async def test_the_first_may_still_win(autojump_clock):
    stand, ear = await carried({"a": spoken(0.7), "b": spoken(5.0)})
    assert [fact.target for fact in ear.told(FirstToken)] == ["a/m"]
    assert stand.upstreams["b"].closed == pytest.approx([0.7], abs=0.01)


async def test_two_that_are_ready_at_the_same_moment_speak_not_both(autojump_clock):
    _, ear = await carried({"a": spoken(0.6), "b": spoken(0.1)})
    assert text(ear) == "hi"
    assert len(ear.told(FirstToken)) == 1
    assert [type(event) for event in ear.events] == [Started, TextDelta, Finished]


async def test_zero_starts_two_at_once(autojump_clock):
    options = CallOptions(hedge="delay", hedge_after=0.0, hedge_share=1.0)
    stand, ear = await carried({"a": spoken(3.0), "b": spoken(0.2)}, options)
    assert stand.upstreams["b"].opened == [0.0]
    assert [fact.target for fact in ear.told(FirstToken)] == ["b/m"]


async def test_a_losers_failure_reaches_nobody(autojump_clock):
    _, ear = await carried({"a": spoken(2.0), "b": ((0.1, 500),)})
    assert text(ear) == "hi"
    assert [fact.verdict for fact in ear.told(AttemptEnded)] == [Kind.SERVER, None]


async def test_an_early_failure_moves_on_without_waiting(autojump_clock):
    stand, ear = await carried({"a": ((0.1, 500),), "b": spoken(0.0)})
    assert stand.upstreams["b"].opened == pytest.approx([0.1])
    assert began(ear) == [("a/m", False), ("b/m", False)]


async def test_where_both_fail_the_third_is_asked(autojump_clock):
    _, ear = await carried({"a": ((1.0, 500),), "b": ((0.2, 500),), "c": spoken(0.0)})
    assert text(ear) == "hi"
    assert [fact.number for fact in ear.told(AttemptStarted)] == [1, 2, 3]


async def test_where_all_fail_one_problem_is_told(autojump_clock):
    _, ear = await carried({"a": ((1.0, 500),), "b": ((0.2, 429),)})
    assert [event.problem.kind for event in ear.events if isinstance(event, Failed)] == [Kind.SERVER]


async def test_without_a_second_provider_there_is_no_rival(autojump_clock):
    _, ear = await carried({"a": spoken(9.0)})
    assert began(ear) == [("a/m", False)]


async def test_another_model_is_no_rival(autojump_clock):
    _, ear = await carried({"a": spoken(9.0), "b": spoken(0.0)}, groups={"b": 1})
    assert began(ear) == [("a/m", False)]


async def test_the_budget_bounds_rivals(autojump_clock):
    _, ear = await carried(
        {"a": spoken(9.0), "b": spoken(0.0)}, CallOptions(hedge="delay", hedge_share=0.001)
    )
    assert began(ear) == [("a/m", False)]


async def test_the_client_who_leaves_ends_both(autojump_clock):
    board = Board()
    for fact in accepted(200):
        board.tell(fact)
    stand, ear = Stand({"a": spoken(9.0), "b": spoken(9.0)}, board=board), Ear(board=board)
    plan = Plan(tuple(Candidate(target(name), 0.0, "") for name in "ab"), "test")
    with trio.move_on_after(2.0):
        await Call(exchange(), plan, ear.wire, NOW_OR_NEVER, stand.env).carry_out()
    assert [stand.upstreams[name].running for name in "ab"] == [0, 0]
    assert all(fact.cancelled for fact in ear.told(AttemptEnded))
    assert stand.held() == 0


def quick(count, seconds, name="a/m"):
    for _ in range(count):
        yield AttemptStarted(1, name, 0.0)
        yield FirstToken(1, name, 0.0, seconds, 0)
        yield AttemptEnded(1, name, 0.0, seconds)


@pytest.mark.parametrize("status", [pytest.param(451, id="refused"), pytest.param(400, id="invalid")])
async def test_what_one_of_two_refused_goes_to_no_third(status, autojump_clock):
    stand, ear = await carried({"a": ((0.6, status),), "b": ((0.3, 500),), "c": spoken(0.0)})
    assert began(ear) == [("a/m", False), ("b/m", True)]
    assert stand.upstreams["c"].opened == []
    assert [event.problem.rule.outcome for event in ear.events if isinstance(event, Failed)] == [
        "client_error"
    ]


@pytest.mark.parametrize(
    ("scripts", "most", "expected"),
    [
        pytest.param({"a": spoken(9.0), "b": spoken(0.0)}, 1, [("a/m", False)], id="one is all"),
        pytest.param(
            {"a": ((0.1, 500),), "b": spoken(9.0), "c": spoken(0.0)},
            2,
            [("a/m", False), ("b/m", False)],
            id="the second was the last",
        ),
        pytest.param(
            {"a": ((0.1, 500),), "b": spoken(9.0), "c": spoken(0.0)},
            3,
            [("a/m", False), ("b/m", False), ("c/m", True)],
            id="one is left",
        ),
    ],
)
async def test_a_second_one_is_an_attempt_like_any_other(scripts, most, expected, autojump_clock):
    options = CallOptions(hedge="delay", hedge_after=0.5, hedge_share=1.0, max_attempts=most)
    _, ear = await carried(scripts, options)
    assert began(ear) == expected


async def test_who_has_failed_is_nobodys_rival(autojump_clock):
    stand, ear = await carried({"a": ((0.1, 500),), "b": spoken(9.0)})
    assert began(ear) == [("a/m", False), ("b/m", False)]
    assert len(stand.upstreams["a"].opened) == 1


async def test_whoever_is_asked_beside_another_is_the_second_one(autojump_clock):
    """`a` has no place to give at first. Who is called meanwhile is the exchange's first attempt."""
    board = Board()
    for fact in accepted(200):
        board.tell(fact)
    before = board.snapshot
    stand, ear = Stand({"a": spoken(0.0), "b": spoken(9.0)}, board=board, max_concurrent=2), Ear(board=board)
    plan = Plan(tuple(Candidate(target(name), 0.0, "") for name in "ab"), "test")
    gates = stand.env.gates
    busy = Plan(plan.candidates, "test")
    async with trio.open_nursery() as nursery, gates["a"].hold(), gates["b"].hold(), gates["b"].hold():
        async with gates["a"].hold():
            call = Call(exchange(), busy, ear.wire, NOW_OR_NEVER, stand.env)
            nursery.start_soon(call.carry_out)
            await trio.sleep(0.1)
            gates["b"].leave()
            gates["b"].leave()
            await trio.sleep(0.9)
            assert began(ear) == [("b/m", False)]
        await trio.sleep(0.1)
        gates["b"].held += 2
    assert began(ear) == [("b/m", False), ("a/m", True)]
    assert text(ear) == "hi"
    retries, hedges = board.snapshot.retries, board.snapshot.hedges
    extras = retries.house.totals(1.0)[1] - before.retries.house.totals(1.0)[1]
    assert extras == 0, "no further attempt was made"
    assert hedges.calls.totals(1.0) == (201, 1)


async def test_p95_waits_as_long_as_most_calls_take(autojump_clock):
    options = CallOptions(hedge="p95", hedge_share=1.0)
    stand, _ear = await carried({"a": spoken(9.0), "b": spoken(0.0)}, options, known=quick(60, 0.4))
    assert stand.upstreams["b"].opened == pytest.approx([0.4], rel=0.1)


async def test_p95_is_silent_while_little_is_known(autojump_clock):
    options = CallOptions(hedge="p95", hedge_share=1.0)
    _, ear = await carried({"a": spoken(9.0), "b": spoken(0.0)}, options, known=quick(49, 0.4))
    assert began(ear) == [("a/m", False)]


def test_a_hedge_is_no_retry():
    before = boards.evolve(boards.Snapshot(), AttemptStarted(1, "a/m", 0.0))
    after = boards.evolve(before, AttemptStarted(2, "b/m", 0.0, hedge=True, cost=0.01))
    assert after.retries == before.retries
    assert after.hedges != before.hedges
