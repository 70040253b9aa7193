"""A gate whose limit changes while it runs, and the order in which its waiters come in."""

import math

import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from pipeline.gate import RETRY_LEAST_S, Gate, Waiter
from pipeline.state.queue import QueueRules
from pipeline.values.callers import Priority
from pipeline.values.problems import Kind, Problem


async def stay(gate, log, name, waiter=None, stay_s=1.0, timeout_s=math.inf):
    async with gate.hold(timeout_s, waiter or Waiter()) as waited:
        log.append((name, waited.kind if isinstance(waited, Problem) else trio.current_time()))
        if not isinstance(waited, Problem):
            await trio.sleep(stay_s)


async def test_classes_and_keys_have_their_turn_at_a_provider_as_well(autojump_clock):
    gate, log = Gate("openai", 1, 100), []
    waiters = [
        ("a1", Waiter(key="a")),
        ("a2", Waiter(key="a")),
        ("b", Waiter(key="b")),
        ("low", Waiter(Priority.LOW, "a")),
        ("urgent", Waiter(Priority.CRITICAL, "a")),
    ]
    async with trio.open_nursery() as nursery, gate.hold():
        for name, waiter in waiters:
            nursery.start_soon(stay, gate, log, name, waiter)
            await wait_all_tasks_blocked()
    assert [name for name, _ in log] == ["urgent", "a1", "low", "b", "a2"]


async def test_a_raised_limit_lets_in_who_waits(autojump_clock, nursery):
    gate, log = Gate("openai", 1, 9), []
    for name in "abcd":
        nursery.start_soon(stay, gate, log, name, None, 10.0)
        await wait_all_tasks_blocked()
    assert [name for name, _ in log] == ["a"]
    gate.resize(3)
    await wait_all_tasks_blocked()
    # Who is let in at the same moment runs in any order.
    assert sorted(name for name, _ in log) == ["a", "b", "c"]
    assert (gate.held, gate.waiting, gate.free) == (3, 1, False)


async def test_a_lowered_limit_takes_nothing_away_and_lets_nobody_in_above_it(autojump_clock, nursery):
    gate, log, t0 = Gate("openai", 3, 9), [], trio.current_time()
    for n, name in enumerate("abcde"):
        nursery.start_soon(stay, gate, log, name, None, 1.0 + n)
        await wait_all_tasks_blocked()
    gate.resize(1)
    assert (gate.held, gate.waiting) == (3, 2)
    await trio.sleep(2.5)
    assert (gate.held, gate.waiting) == (1, 2)
    await trio.sleep(5)
    assert [(name, at - t0) for name, at in log[3:]] == [("d", 3.0), ("e", 7.0)]


async def test_other_rules_hold_for_who_comes_next(autojump_clock, nursery):
    gate, log = Gate("the proxy", 1, 1), []
    nursery.start_soon(stay, gate, log, "a", None, 5.0)
    nursery.start_soon(stay, gate, log, "b", None, 5.0)
    await wait_all_tasks_blocked()
    gate.ruled(QueueRules(0))
    assert gate.waiting == 1
    await stay(gate, log, "c")
    assert log[-1] == ("c", Kind.QUEUE_FULL)


async def test_who_is_displaced_is_told_at_once(autojump_clock, nursery):
    gate, log = Gate("the proxy", 1, 2), []
    for name, priority in (
        ("holder", Priority.NORMAL),
        ("low 1", Priority.LOW),
        ("low 2", Priority.LOW),
        ("high", Priority.HIGH),
    ):
        nursery.start_soon(stay, gate, log, name, Waiter(priority), 5.0)
        await wait_all_tasks_blocked()
    assert log[1:] == [("low 2", Kind.QUEUE_FULL)]
    assert gate.waiting == 2


async def test_a_refusal_says_when_to_come_again_within_reason(autojump_clock):
    gate = Gate("the proxy", 1, 0)
    async with gate.hold(), gate.hold() as refusal:
        assert refusal.retry_after == RETRY_LEAST_S


async def test_waits_are_kept_to_be_shown(autojump_clock, nursery):
    gate = Gate("the proxy", 1, 9)
    for name in "abc":
        nursery.start_soon(stay, gate, [], name)
        await wait_all_tasks_blocked()
    await trio.sleep(5)
    assert list(gate.waits) == [1.0, 2.0]


quarters = st.integers(0, 12).map(lambda n: n / 4)
forever = st.just(math.inf)
visits = st.lists(
    st.tuples(
        quarters, quarters, st.one_of(forever, quarters), st.one_of(forever, quarters),
        st.sampled_from(list(Priority)), st.sampled_from("ab"),
    ),
    max_size=12,
)  # fmt: skip
changes = st.lists(st.tuples(quarters, st.integers(0, 4)), max_size=5)


@settings(max_examples=80, deadline=None)
@given(visits, changes, st.integers(1, 3), st.integers(0, 4), st.sampled_from([math.inf, 2.0]))
def test_any_visitors_and_any_limits_leave_the_gate_as_it_was(visits, changes, limit, queue, queue_timeout_s):
    gate, inside = Gate("the house", limit, queue, QueueRules(queue, queue_timeout_s)), set()

    async def visit(number, arrive_s, stay_s, timeout_s, leave_s, priority, key):
        with trio.move_on_after(leave_s):
            await trio.sleep(arrive_s)
            async with gate.hold(min(timeout_s, queue_timeout_s), Waiter(priority, key)) as waited:
                if isinstance(waited, Problem):
                    return
                inside.add(number)
                assert len(inside) <= gate.held
                assert gate.waiting <= queue
                assert waited <= min(timeout_s, queue_timeout_s) + 1e-9
                try:
                    await trio.sleep(stay_s)
                finally:
                    inside.remove(number)

    async def change(at_s, limit):
        await trio.sleep(at_s)
        held = gate.held
        gate.resize(limit)
        assert gate.held <= max(held, limit)
        assert not (gate.waiting and gate.held < limit), "nobody waits beside a free place"

    async def main():
        async with trio.open_nursery() as nursery:
            for number, times in enumerate(visits):
                nursery.start_soon(visit, number, *times)
            async with trio.open_nursery() as changing:
                for at_s, wanted in changes:
                    changing.start_soon(change, at_s, wanted)
            gate.resize(max(1, gate.limit))

    trio.run(main, clock=MockClock(autojump_threshold=0))
    assert (gate.held, gate.waiting) == (0, 0)
    assert not gate._seats
