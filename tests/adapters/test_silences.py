"""When who waits is given a sign of life."""

import trio
from attrs import define, field

from adapters.silences import Silences


@define(eq=False)
class Ear:
    """Who waits, and when it heard of us."""

    faulty: bool = False
    heard: list[float] = field(factory=list)

    async def keep_alive(self):
        self.heard.append(trio.current_time())
        if self.faulty:
            raise OSError("gone")


async def test_each_hears_every_fifteen_seconds_until_it_ends(autojump_clock, nursery):
    silences, first, second = Silences(), Ear(), Ear()
    nursery.start_soon(silences.run)
    began = trio.current_time()
    await trio.sleep(3)
    silences.begin(first)
    await trio.sleep(5)
    silences.begin(second)
    await trio.sleep(31)
    silences.end(first)
    silences.end(first)
    await trio.sleep(20)
    assert [round(at - began) for at in first.heard] == [18, 33]
    assert [round(at - began) for at in second.heard] == [23, 38, 53]


async def test_one_who_cannot_be_told_is_nobody_elses_matter(autojump_clock, nursery):
    silences, gone, there = Silences(), Ear(faulty=True), Ear()
    nursery.start_soon(silences.run)
    silences.begin(gone)
    silences.begin(there)
    await trio.sleep(31)
    assert len(gone.heard) == len(there.heard) == 2
