import time

import trio

from adapters.lateness import watch_lateness
from pipeline.overload import Overload


async def test_a_process_that_keeps_up_is_never_late(autojump_clock, nursery):
    overload = Overload()
    nursery.start_soon(watch_lateness, overload)
    await trio.sleep(10)
    assert not overload.late


async def test_one_that_works_too_long_in_one_go_is(nursery, caplog):
    overload = Overload()
    nursery.start_soon(watch_lateness, overload)
    until = trio.current_time() + 3.5
    while not overload.late and trio.current_time() < until:
        time.sleep(0.3)  # noqa: ASYNC251  to hold up the loop is what is tested
        await trio.sleep(0.01)
    assert overload.late
    await trio.sleep(0.15)
    assert "cannot keep up" in caplog.text
