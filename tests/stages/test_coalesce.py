"""coalesce: one call for all who ask for the same while it runs, and an end that is each one's own."""

from collections.abc import Callable

import pytest
import trio
from attrs import define, evolve, field

from pipeline.protocol import Wire
from pipeline.values.events import Batch, Event, Failed, Finished, Started, TextDelta
from pipeline.values.exchange import Exchange
from pipeline.values.facts import AttemptStarted, FirstToken, Reused
from pipeline.values.messages import Sampling
from pipeline.values.problems import Kind, Problem
from stages.coalesce import MOST_BEHIND, CoalesceOptions, build
from tests.kit import Ear, Stand, exchange, request

ANSWER: tuple[Event, ...] = (Started("m"), TextDelta("a"), TextDelta("b"), Finished("stop"))
HIT = Reused("shared", "x0", "a/m", 1.0)


@define(eq=False)
class Inner:
    """What stands inside the stage: it says one event a second, and remembers how its calls went."""

    answer: Callable[[int], tuple[Event | Exception, ...]] = lambda number: ANSWER
    calls: list[Exchange] = field(factory=list)
    ended: list[float] = field(factory=list)

    async def __call__(self, exchange: Exchange, wire: Wire) -> None:
        self.calls.append(exchange)
        number = len(self.calls)
        try:
            wire.tell(AttemptStarted(1, "a/m", trio.current_time()))
            for index, event in enumerate(self.answer(number)):
                await trio.sleep(1)
                if isinstance(event, Exception):
                    raise event
                if index == 0 and not isinstance(event, Failed):
                    wire.tell(FirstToken(1, "a/m", trio.current_time(), 1.0))
                await wire.emit(Batch((event,)))
        finally:
            self.ended.append(trio.current_time())


def asking(number: int, **changes):
    asked = request(sampling=Sampling(temperature=0))
    return exchange(id=f"x{number}", request=asked, deadline=trio.current_time() + 100, **changes)


def shared(inner: Inner):
    return build(CoalesceOptions(), Stand({}).env)(inner)


async def test_those_who_come_later_get_all_from_the_beginning(autojump_clock):
    inner, ears = Inner(), [Ear() for _ in range(3)]
    service, t0 = shared(inner), trio.current_time()

    async def one(number: int) -> None:
        await trio.sleep(number * 1.25)
        await service(asking(number), ears[number].wire)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(one, number)
    assert [ear.events for ear in ears] == [ANSWER] * 3
    assert [round(ear.times[0] - t0, 2) for ear in ears] == [1, 1.25, 2.5]
    assert len(inner.calls) == 1
    assert ears[0].told(Reused) == []
    assert [(fact.how, fact.exchange, fact.target) for ear in ears[1:] for fact in ear.told(Reused)] == [
        ("shared", "x0", "a/m")
    ] * 2
    assert [len(ear.told(AttemptStarted)) for ear in ears] == [1, 0, 0]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"explain": True}, id="who wants to know why"),
        pytest.param({"request": request()}, id="who leaves something to chance"),
    ],
)
async def test_some_ask_for_themselves(change, autojump_clock):
    inner, ears = Inner(), (Ear(), Ear())
    service = shared(inner)
    async with trio.open_nursery() as nursery:
        for ear in ears:
            nursery.start_soon(service, evolve(asking(0), **change), ear.wire)
    assert len(inner.calls) == 2
    assert [ear.events for ear in ears] == [ANSWER] * 2


async def test_who_comes_after_the_end_asks_anew(autojump_clock):
    inner, ears = Inner(), (Ear(), Ear())
    service = shared(inner)
    for ear in ears:
        await service(asking(0), ear.wire)
    assert len(inner.calls) == 2


async def test_a_leader_who_leaves_takes_nothing_from_the_others(autojump_clock):
    inner, ears = Inner(), (Ear(), Ear())
    service, leaver, t0 = shared(inner), trio.CancelScope(), trio.current_time()

    async def lead() -> None:
        with leaver:
            await service(asking(0), ears[0].wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await trio.sleep(1.5)
        nursery.start_soon(service, asking(1), ears[1].wire)
        await trio.sleep(1)
        leaver.cancel()
    assert ears[1].events == ANSWER
    assert ears[0].events == ANSWER[:2]
    assert inner.ended == [t0 + 4]


@pytest.mark.parametrize("first", [0, 1])
async def test_the_last_who_leaves_ends_the_call_at_once(first, autojump_clock):
    inner, ears = Inner(), (Ear(), Ear())
    service, leavers, t0 = shared(inner), (trio.CancelScope(), trio.CancelScope()), trio.current_time()

    async def one(number: int) -> None:
        with leavers[number]:
            await service(asking(number), ears[number].wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0)
        await trio.sleep(0.5)
        nursery.start_soon(one, 1)
        await trio.sleep(1)
        leavers[first].cancel()
        await trio.sleep(1)
        leavers[1 - first].cancel()
        await trio.sleep(0.05)
        late = Ear()
        nursery.start_soon(service, asking(2), late.wire)
    assert inner.ended[0] == t0 + 2.5
    assert late.events == ANSWER
    assert len(inner.calls) == 2


async def test_who_comes_while_a_deserted_call_still_ends_asks_anew(autojump_clock):
    inner, late = Inner(), Ear()
    service, leaver = shared(inner), trio.CancelScope()

    async def lead() -> None:
        with leaver:
            await service(asking(0), Ear().wire)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lead)
        await trio.sleep(1.5)
        leaver.cancel()
        await service(asking(1), late.wire)
    assert late.events == ANSWER


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        pytest.param(Kind.SERVER, 1, id="a provider that fails is everybody's"),
        pytest.param(Kind.INVALID, 1, id="a request that is wrong is everybody's"),
        pytest.param(Kind.DEADLINE, 2, id="the leader's time is his own"),
        pytest.param(Kind.BUDGET, 2, id="the leader's money is his own"),
    ],
)
async def test_a_failure_is_shared_where_it_is_not_the_leaders_own(kind, calls, autojump_clock):
    failed = Failed(Problem(kind))
    inner, ears = Inner(lambda number: (failed,) if number == 1 else ANSWER), (Ear(), Ear())
    service = shared(inner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service, asking(0), ears[0].wire)
        await trio.sleep(0.5)
        nursery.start_soon(service, asking(1), ears[1].wire)
    assert len(inner.calls) == calls
    assert ears[0].events == (failed,)
    assert ears[1].events == ((failed,) if calls == 1 else ANSWER)
    assert ears[1].told(Reused) == []


async def test_a_break_in_the_middle_is_everybodys(autojump_clock):
    broken = (*ANSWER[:2], Failed(Problem(Kind.STREAM_ERROR)))
    inner, ears = Inner(lambda number: broken), (Ear(), Ear())
    service = shared(inner)
    async with trio.open_nursery() as nursery:
        for number, ear in enumerate(ears):
            nursery.start_soon(service, asking(number), ear.wire)
    assert [ear.events for ear in ears] == [broken] * 2


async def test_a_fault_of_ours_ends_all_of_them(autojump_clock):
    inner, ears = Inner(lambda number: (Started("m"), RuntimeError("a bug"))), (Ear(), Ear())
    service = shared(inner)
    faults = []

    async def one(number: int) -> None:
        try:
            await service(asking(number), ears[number].wire)
        except* RuntimeError:
            faults.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0)
        await trio.sleep(0.1)
        nursery.start_soon(one, 1)
    assert faults == [0]
    assert isinstance(ears[1].events[-1], Failed)
    assert ears[1].events[-1].problem.kind is Kind.INTERNAL


async def test_each_has_his_own_time(autojump_clock):
    inner, ears = Inner(), (Ear(), Ear())
    service = shared(inner)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service, asking(0), ears[0].wire)
        await trio.sleep(0.1)
        hasty = evolve(asking(1), deadline=trio.current_time() + 2)
        nursery.start_soon(service, hasty, ears[1].wire)
    assert ears[0].events == ANSWER
    assert ears[1].events[:-1] == ANSWER[:2]
    assert ears[1].events[-1].problem.kind is Kind.DEADLINE


async def test_the_call_goes_as_fast_as_the_quickest_listener_and_no_faster(autojump_clock):
    inner, emitted = Inner(), []

    async def talkative(exchange: Exchange, wire: Wire) -> None:
        wire.tell(AttemptStarted(1, "a/m", 0.0))
        wire.tell(FirstToken(1, "a/m", 0.0, 0.0))
        for number in range(MOST_BEHIND * 3):
            await wire.emit(Batch((TextDelta(str(number)),)))
            emitted.append(number)
        await wire.emit(Batch((Finished("stop"),)))

    inner = talkative
    service = build(CoalesceOptions(), Stand({}).env)(inner)
    heard: list[Batch] = []

    async def slow(batch: Batch) -> None:
        await trio.sleep(1)
        heard.append(batch)
        assert len(emitted) <= len(heard) + MOST_BEHIND + 1

    await service(asking(0), Wire(slow, lambda fact: None))
    assert len(heard) == MOST_BEHIND * 3 + 1
