from functools import partial

import trio
import trio.testing

from adapters.crew import Crew


class Shift:
    """What went on: who began and who ended, by name."""

    def __init__(self, first_s=0.0):
        self.told, self.first_s = [], first_s

    async def work(self, name, first):
        self.told.append(f"{name} begins")
        try:
            await trio.sleep(self.first_s)
            first.set()
            await trio.sleep_forever()
        finally:
            self.told.append(f"{name} ends")

    def of(self, *names):
        return {name: partial(self.work, name) for name in names}


async def test_those_wanted_run_and_no_others(autojump_clock):
    shift = Shift()
    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        crew.keep(shift.of("a", "b"))
        await crew.begun(1.0)
        crew.keep(shift.of("b", "c"))
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(shift.told) == ["a begins", "a ends", "b begins", "c begins"]
        assert (len(crew), len(nursery.child_tasks)) == (2, 2)
        crew.keep({})
        await trio.testing.wait_all_tasks_blocked()
        assert (len(crew), len(nursery.child_tasks)) == (0, 0)


async def test_who_comes_back_begins_anew(autojump_clock):
    shift = Shift()
    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        for names in (("a",), (), ("a",)):
            crew.keep(shift.of(*names))
        await crew.begun(1.0)
        assert len(crew) == 1
        assert shift.told.count("a begins") - shift.told.count("a ends") == 1
        nursery.cancel_scope.cancel()


async def test_the_first_round_is_not_waited_for_for_ever(autojump_clock):
    async with trio.open_nursery() as nursery:
        crew = Crew(nursery)
        crew.keep(Shift(first_s=60.0).of("slow"))
        began = trio.current_time()
        await crew.begun(3.0)
        assert trio.current_time() - began == 3.0
        nursery.cancel_scope.cancel()
