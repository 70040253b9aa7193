import pytest
import trio
import trio.testing

from adapters.lifecycle import Lifecycle


async def run_exchange(lifecycle, work_s, told, last_words_s=0.0):
    """An exchange as the edge runs one."""
    with lifecycle.exchange() as scope:
        with scope:
            await trio.sleep(work_s)
        if scope.cancelled_caught and lifecycle.ended:
            await trio.sleep(last_words_s)
            told.append(trio.current_time())


async def drained(lifecycle, hurry_at=None, **limits):
    """How long a drain took."""
    hurry, began = trio.Event(), trio.current_time()
    async with trio.open_nursery() as nursery:
        if hurry_at is not None:
            nursery.start_soon(set_at, hurry, hurry_at)
        await lifecycle.drain(hurry, **limits)
        nursery.cancel_scope.cancel()
    return trio.current_time() - began


async def set_at(event, delay):
    await trio.sleep(delay)
    event.set()


def test_a_house_begins_by_serving():
    lifecycle = Lifecycle()
    assert (lifecycle.state, lifecycle.accepting, lifecycle.draining, lifecycle.ended) == (
        "serving",
        True,
        False,
        False,
    )


async def test_a_draining_house_still_takes_calls_for_a_while(autojump_clock):
    lifecycle, states = Lifecycle(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_exchange, lifecycle, 60.0, [])
        nursery.start_soon(drained, lifecycle)
        for pause in (0.1, 4.8, 0.2):
            await trio.sleep(pause)
            states.append((lifecycle.state, lifecycle.accepting, lifecycle.draining))
    assert states == [("draining", True, True), ("draining", True, True), ("refusing", False, True)]


@pytest.mark.parametrize(
    ("work_s", "hurry_at", "takes", "cut"),
    [
        pytest.param(None, None, 5.0, False, id="nothing runs: the grace alone"),
        pytest.param(1.0, None, 5.0, False, id="over within the grace"),
        pytest.param(60.0, None, 60.0, False, id="as long as the exchange"),
        pytest.param(500.0, None, 125.0, True, id="but not for ever: it is told that the house closes"),
        pytest.param(500.0, 10.0, 10.0, True, id="a second signal cuts the wait"),
        pytest.param(500.0, 2.0, 2.0, True, id="and the grace"),
    ],
)
async def test_how_long_a_drain_takes(work_s, hurry_at, takes, cut, autojump_clock):
    lifecycle, told = Lifecycle(), []
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        if work_s is not None:
            nursery.start_soon(run_exchange, lifecycle, work_s, told)
            await trio.testing.wait_all_tasks_blocked()
        took = await drained(lifecycle, hurry_at)
    assert took == pytest.approx(takes)
    assert [at - began for at in told] == ([pytest.approx(takes)] if cut else [])
    assert lifecycle.ended
    assert not lifecycle.exchanges


async def test_last_words_are_waited_for_but_not_for_ever(autojump_clock):
    lifecycle, told = Lifecycle(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_exchange, lifecycle, 500.0, told, 3.0)
        nursery.start_soon(run_exchange, lifecycle, 500.0, told, 50.0)
        await trio.testing.wait_all_tasks_blocked()
        took = await drained(lifecycle, grace_s=0.0, limit_s=10.0, flush_s=5.0)
        assert (took, len(told)) == (pytest.approx(15.0), 1)


async def test_who_comes_after_the_end_is_told_at_once(autojump_clock):
    lifecycle, told = Lifecycle(), []
    await drained(lifecycle)
    at = trio.current_time()
    await run_exchange(lifecycle, 500.0, told)
    assert told == [at]


async def test_an_exchange_that_fails_is_not_waited_for(autojump_clock):
    lifecycle = Lifecycle()
    with pytest.raises(ValueError, match="bug"), lifecycle.exchange():
        raise ValueError("bug")
    assert await drained(lifecycle, grace_s=0.0) == 0.0


async def test_a_client_that_leaves_is_not_told(autojump_clock):
    lifecycle, told = Lifecycle(), []
    with trio.move_on_after(1.0):
        await run_exchange(lifecycle, 500.0, told)
    assert told == []
    assert not lifecycle.exchanges


async def test_waiting_for_quiet_sees_every_exchange(autojump_clock):
    lifecycle, began = Lifecycle(), trio.current_time()
    async with trio.open_nursery() as nursery:
        for work_s in (1.0, 7.0, 3.0):
            nursery.start_soon(run_exchange, lifecycle, work_s, [])
        await trio.testing.wait_all_tasks_blocked()
        await lifecycle.wait_idle()
        assert trio.current_time() - began == pytest.approx(7.0)
