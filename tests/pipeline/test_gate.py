import math

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pipeline.gate import Gate
from pipeline.values.problems import Kind, Problem


async def stay(gate, log, name, stay_s=1.0, timeout_s=math.inf, arrive_s=0.0):
    """Come to the gate, stay, and write down what was had, as (name, outcome, when)."""
    await trio.sleep(arrive_s)
    async with gate.hold(timeout_s) as waited:
        log.append((name, waited.kind if isinstance(waited, Problem) else waited, trio.current_time()))
        if not isinstance(waited, Problem):
            await trio.sleep(stay_s)


def quiet(gate):
    return (gate.held, gate.waiting, gate.free) == (0, 0, True)


async def test_permits_are_had_at_once_while_there_are_any(autojump_clock):
    gate = Gate("the house", limit=2, queue=0)
    async with gate.hold() as first, gate.hold() as second:
        assert (first, second) == (0.0, 0.0)
        assert (gate.held, gate.free) == (2, False)
    assert quiet(gate)


async def test_waiters_are_served_in_the_order_they_came(autojump_clock):
    gate, log, t0 = Gate("the house", limit=1, queue=9), [], trio.current_time()
    async with trio.open_nursery() as nursery:
        for n, name in enumerate("abcd"):
            nursery.start_soon(stay, gate, log, name, 1.0, math.inf, n / 10)
    assert [(name, pytest.approx(at - t0)) for name, _, at in log] == [
        ("a", 0.0),
        ("b", 1.0),
        ("c", 2.0),
        ("d", 3.0),
    ]
    assert [waited for _, waited, _ in log] == pytest.approx([0.0, 0.9, 1.8, 2.7])
    assert quiet(gate)


async def test_a_newcomer_does_not_overtake_one_to_whom_the_place_was_just_given(autojump_clock):
    gate, log = Gate("the house", limit=1, queue=9), []
    async with trio.open_nursery() as nursery:
        async with gate.hold():
            nursery.start_soon(stay, gate, log, "waiter")
            await wait_all_tasks_blocked()
        assert not gate.free
        await stay(gate, log, "newcomer")
    assert [name for name, _, _ in log] == ["waiter", "newcomer"]


async def test_a_full_queue_refuses_at_once(autojump_clock):
    gate, log = Gate("the house", limit=1, queue=1), []
    async with trio.open_nursery() as nursery:
        for n, name in enumerate("abc"):
            nursery.start_soon(stay, gate, log, name, 5.0, math.inf, n / 10)
        await trio.sleep(0.5)
        assert (gate.held, gate.waiting) == (1, 1)
        assert [(name, outcome) for name, outcome, _ in log] == [("a", 0.0), ("c", Kind.QUEUE_FULL)]
    assert quiet(gate)


async def test_a_waiter_gives_up_in_time_and_leaves_no_trace(autojump_clock):
    gate, log, t0 = Gate("the house", limit=1, queue=9), [], trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay, gate, log, "holder", 5.0)
        nursery.start_soon(stay, gate, log, "hasty", 5.0, 2.0, 0.1)
        nursery.start_soon(stay, gate, log, "patient", 5.0, math.inf, 0.2)
        await trio.sleep(3.0)
        assert (gate.held, gate.waiting) == (1, 1)
    assert [(name, at - t0) for name, _, at in log] == [
        ("holder", 0.0),
        ("hasty", pytest.approx(2.1)),
        ("patient", pytest.approx(5.0)),
    ]
    assert log[1][1] is Kind.QUEUE_TIMEOUT
    assert quiet(gate)


async def test_refusals_say_what_was_full_and_when_to_come_back(autojump_clock):
    gate = Gate('the queue of "openai"', limit=1, queue=1)
    async with gate.hold():
        async with gate.hold(3.0) as refusal:
            assert isinstance(refusal, Problem)
            assert refusal.retry_after == 3.0
            assert 'the queue of "openai"' in refusal.detail
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay, gate, [], "waiter", 0.0, 1.0)
            await wait_all_tasks_blocked()
            async with gate.hold() as refusal:
                assert isinstance(refusal, Problem)
                assert refusal.retry_after is not None
                assert 'the queue of "openai"' in refusal.detail


async def test_a_block_that_raises_frees_its_place():
    gate = Gate("the house", limit=1, queue=0)
    with pytest.raises(ZeroDivisionError):
        async with gate.hold():
            raise ZeroDivisionError
    assert quiet(gate)


@pytest.mark.parametrize("order", ["cancelled, then handed over", "handed over, then cancelled"])
async def test_a_place_handed_to_one_who_leaves_goes_on_to_the_next(order, autojump_clock):
    gate, log, leaver = Gate("the house", limit=1, queue=9), [], trio.CancelScope()

    async def leave():
        with leaver:
            await stay(gate, log, "leaver")

    async with trio.open_nursery() as nursery:
        async with gate.hold():
            nursery.start_soon(leave)
            await wait_all_tasks_blocked()
            nursery.start_soon(stay, gate, log, "next")
            await wait_all_tasks_blocked()
            if order == "cancelled, then handed over":
                leaver.cancel()
        if order == "handed over, then cancelled":
            leaver.cancel()
    assert [name for name, _, _ in log][-1] == "next"
    assert quiet(gate)


async def test_a_place_handed_over_at_the_moment_of_giving_up_is_not_lost(autojump_clock):
    gate, log = Gate("the house", limit=1, queue=9), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stay, gate, log, "holder", 2.0)
        nursery.start_soon(stay, gate, log, "hasty", 1.0, 1.0, 1.0)
        nursery.start_soon(stay, gate, log, "next", 1.0, math.inf, 1.5)
    assert [name for name, _, _ in log] == ["holder", "hasty", "next"]
    assert log[2][1] != Kind.QUEUE_TIMEOUT
    assert quiet(gate)


@pytest.mark.parametrize("moment", [n / 4 for n in range(16)])
async def test_whoever_is_cancelled_whenever_no_permit_stays_held(moment, autojump_clock):
    gate, log = Gate("the house", limit=2, queue=2), []
    with trio.move_on_after(moment):
        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(stay, gate, log, n, 1.0, 0.75 if n % 2 else math.inf, n / 4)
    assert quiet(gate)


# Quarters, so that arrivals, ends, timeouts and cancellations fall on the same moment again and again.
quarters = st.integers(0, 12).map(lambda n: n / 4)
visits = st.lists(
    st.tuples(
        quarters, quarters, st.one_of(st.just(math.inf), quarters), st.one_of(st.just(math.inf), quarters)
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(visits, st.integers(1, 3), st.integers(0, 4))
def test_any_visitors_leave_the_gate_as_it_was(visits, limit, queue):
    gate, inside, entered = Gate("the house", limit, queue), set(), []

    async def visit(number, arrive_s, stay_s, timeout_s, leave_s):
        with trio.move_on_after(leave_s):
            await trio.sleep(arrive_s)
            async with gate.hold(timeout_s) as waited:
                if isinstance(waited, Problem):
                    return
                assert waited <= timeout_s
                entered.append(number)
                inside.add(number)
                assert len(inside) <= limit
                assert len(inside) <= gate.held <= limit
                assert gate.waiting <= queue
                try:
                    await trio.sleep(stay_s)
                finally:
                    inside.remove(number)

    async def main():
        async with trio.open_nursery() as nursery:
            for number, times in enumerate(visits):
                nursery.start_soon(visit, number, *times)

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert quiet(gate)
    assert entered or not any(arrive_s < leave_s for arrive_s, _, _, leave_s in visits)
