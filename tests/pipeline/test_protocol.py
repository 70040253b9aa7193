from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve

from pipeline.protocol import Wire, before, folding, holding, through
from pipeline.values.events import Batch, Failed, Finished, Started, TextDelta, Verbatim
from pipeline.values.exchange import Exchange
from pipeline.values.facts import Admitted, AttemptStarted, Moved
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Kind, Problem

EXCHANGE = Exchange("x", ChatRequest("m"), "ollama.chat", arrived=0.0, deadline=9.0)
REFUSED = Problem(Kind.NO_TARGET, "nobody")
REPLY = (Batch((Started("m"), TextDelta("a"))), Batch((TextDelta("b"),)), Batch((Finished("stop"),)))
BEGUN = AttemptStarted(1, "p/m", 0.0)


class Ear:
    """A wire that keeps, in order, all it hears."""

    def __init__(self, slow_s=0.0):
        self.heard = []
        self.slow_s = slow_s

    @property
    def wire(self):
        return Wire(self.emit, self.heard.append)

    async def emit(self, batch):
        await trio.sleep(self.slow_s)
        self.heard.append(batch)


def upstream(seen=None, pause_s=1.0):
    """A service that tells a fact and then a batch each `pause_s`."""

    async def service(exchange, wire):
        if seen is not None:
            seen.append(exchange)
        wire.tell(BEGUN)
        for batch in REPLY:
            await trio.sleep(pause_s)
            await wire.emit(batch)

    return service


def renamed(exchange):
    return evolve(exchange, id="y")


async def test_before_hands_on_the_rewritten_exchange_and_tells_it(autojump_clock):
    ear, seen = Ear(), []
    await before("rename", renamed)(upstream(seen))(EXCHANGE, ear.wire)
    moved = evolve(EXCHANGE, id="y")
    assert seen == [moved]
    assert ear.heard == [Moved("rename", moved), BEGUN, *REPLY]


async def test_before_refuses_in_place_of_the_inner_service():
    ear, seen = Ear(), []
    await before("refuse", lambda exchange: REFUSED)(upstream(seen))(EXCHANGE, ear.wire)
    assert seen == []
    assert ear.heard == [Batch((Failed(REFUSED),))]


async def test_through_changes_batches_and_no_facts(autojump_clock):
    begun = []

    def begin(exchange):
        begun.append(exchange)
        return lambda batch: Batch((*batch.events, TextDelta("!")))

    ear = Ear()
    await through(begin)(upstream())(EXCHANGE, ear.wire)
    assert begun == [EXCHANGE]
    assert ear.heard == [BEGUN, *(Batch((*batch.events, TextDelta("!"))) for batch in REPLY)]


async def test_through_hands_on_the_very_batch_that_was_not_changed():
    batch, ear = Batch((TextDelta("a"),), Verbatim("openai.chat", b"a")), Ear()

    async def service(exchange, wire):
        await wire.emit(batch)

    await through(lambda exchange: lambda batch: batch)(service)(EXCHANGE, ear.wire)
    assert ear.heard[0] is batch


async def test_each_exchange_begins_anew_in_through(autojump_clock):
    def begin(exchange):
        count = 0

        def change(batch):
            nonlocal count
            count += 1
            return Batch((TextDelta(str(count)),))

        return change

    service, ears = through(begin)(upstream()), [Ear(), Ear()]
    async with trio.open_nursery() as nursery:
        for ear in ears:
            nursery.start_soon(service, EXCHANGE, ear.wire)
    for ear in ears:
        assert ear.heard[1:] == [Batch((TextDelta(n),)) for n in "123"]


def kept(closed):
    """A fold that lists what it sees and puts the list into `closed`."""
    return folding(lambda exchange: (), lambda state, seen: (*state, seen), closed.append)


async def test_folding_sees_all_and_closes_once(autojump_clock):
    ear, closed = Ear(), []
    await kept(closed)(upstream())(EXCHANGE, ear.wire)
    assert closed == [(BEGUN, *REPLY)]
    assert ear.heard == [BEGUN, *REPLY]


async def test_what_does_not_matter_to_a_fold_reaches_the_client_all_the_same(autojump_clock):
    ear, closed = Ear(), []
    lists = folding(lambda exchange: (), lambda state, seen: (*state, seen), closed.append, REPLY[2].__eq__)
    await lists(upstream())(EXCHANGE, ear.wire)
    assert closed == [(BEGUN, REPLY[2])]
    assert ear.heard == [BEGUN, *REPLY]


# The batches arrive at 1, 2 and 3 s, and each is with the client half a second later.
SECONDS = [0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 2.75, 3.0, 3.25, 4.0, 4.25, 4.5, 5.0]


@pytest.mark.parametrize("moment", SECONDS)
async def test_folding_closes_exactly_once_whenever_it_is_cancelled(moment, autojump_clock):
    ear, closed = Ear(slow_s=0.5), []
    with trio.move_on_after(moment):
        await kept(closed)(upstream())(EXCHANGE, ear.wire)
    assert closed == [tuple(ear.heard)]
    taken = sum(moment > at for at in (1.5, 3.0, 4.5))
    assert closed[0] in ((BEGUN, *REPLY[:taken]), (BEGUN, *REPLY[: taken + 1]))


# What an exception is folded as.
A_BUG = Batch((Failed(Problem(Kind.INTERNAL)),))


async def test_folding_closes_when_the_inner_service_breaks(autojump_clock):
    closed = []

    async def broken(exchange, wire):
        wire.tell(BEGUN)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await kept(closed)(broken)(EXCHANGE, Ear().wire)
    assert closed == [(BEGUN, A_BUG)]


async def test_folding_does_not_count_what_the_client_could_not_take():
    closed = []

    async def emit(batch):
        raise trio.BrokenResourceError

    with pytest.raises(trio.BrokenResourceError):
        await kept(closed)(upstream(pause_s=0))(EXCHANGE, Wire(emit, lambda fact: None))
    assert closed == [(BEGUN, A_BUG)]


class Place:
    """Something to hold: `held` now, `taken` in all."""

    def __init__(self, answer, wait_s=0.0):
        self.answer, self.wait_s = answer, wait_s
        self.held = self.taken = 0

    @asynccontextmanager
    async def hold(self, exchange):
        await trio.sleep(self.wait_s)
        self.held += 1
        self.taken += 1
        try:
            yield self.answer
        finally:
            self.held -= 1


async def test_holding_holds_while_the_inner_service_runs(autojump_clock):
    place, ear, during = Place(Admitted(0.5)), Ear(), []

    async def service(exchange, wire):
        during.append(place.held)
        await upstream()(exchange, wire)
        during.append(place.held)

    await holding(place.hold)(service)(EXCHANGE, ear.wire)
    assert during == [1, 1]
    assert place.held == 0
    assert ear.heard == [Admitted(0.5), BEGUN, *REPLY]


async def test_holding_refuses_in_place_of_the_inner_service():
    place, ear, seen = Place(REFUSED), Ear(), []
    await holding(place.hold)(upstream(seen))(EXCHANGE, ear.wire)
    assert (seen, place.held) == ([], 0)
    assert ear.heard == [Batch((Failed(REFUSED),))]


@pytest.mark.parametrize("moment", SECONDS)
async def test_nothing_stays_held_whenever_it_is_cancelled(moment, autojump_clock):
    place = Place(Admitted(0.5), wait_s=0.5)
    with trio.move_on_after(moment):
        await holding(place.hold)(upstream())(EXCHANGE, Ear(slow_s=0.5).wire)
    assert place.held == 0
    assert place.taken == (moment > 0.5) or moment == 0.5


async def test_a_refusal_inside_is_seen_by_the_stages_around_it():
    closed, ear = [], Ear()
    loud = through(lambda exchange: lambda batch: Batch((TextDelta("sorry"), *batch.events)))
    service = kept(closed)(loud(before("refuse", lambda exchange: REFUSED)(upstream())))
    await service(EXCHANGE, ear.wire)
    assert ear.heard == [Batch((TextDelta("sorry"), Failed(REFUSED)))]
    assert closed == [tuple(ear.heard)]
