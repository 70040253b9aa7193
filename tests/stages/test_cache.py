"""cache: an answer is given again while it is good, and nothing that was not a whole answer is kept."""

import pytest
import trio
from attrs import define, evolve, field

from pipeline.protocol import Wire
from pipeline.values.callers import Caller
from pipeline.values.events import (
    Batch,
    Embedded,
    Failed,
    Finished,
    Started,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    Verbatim,
)
from pipeline.values.exchange import Exchange
from pipeline.values.facts import AttemptStarted, FirstToken, Reused
from pipeline.values.messages import Sampling
from pipeline.values.problems import Kind, Problem
from stages.cache import CacheOptions, Shelf, Stored, build, size_of
from tests.kit import Ear, Stand, exchange, request

BYTES = Verbatim("openai.chat", b"data: {}\n\n")
ANSWER = (
    Batch((Started("m"), TextDelta("Hi")), BYTES),
    Batch((UsageSeen(Usage(1, 2)), Finished("stop"))),
)


@define(eq=False)
class Inner:
    answer: tuple[Batch, ...] = ANSWER
    calls: list[Exchange] = field(factory=list)

    async def __call__(self, exchange: Exchange, wire: Wire) -> None:
        self.calls.append(exchange)
        wire.tell(AttemptStarted(1, "a/m", 0.0))
        wire.tell(FirstToken(1, "a/m", 0.0, 0.0))
        for batch in self.answer:
            await wire.emit(batch)


def asking(text: str = "hi", **changes):
    return exchange(request=request(text, sampling=Sampling(temperature=0)), **changes)


def cached(inner: Inner, **options):
    return build(CacheOptions(**options), Stand({}).env)(inner)


async def answers(service, *asked):
    ears = [Ear() for _ in asked]
    for one, ear in zip(asked, ears, strict=True):
        await service(one, ear.wire)
    return ears


async def test_the_second_gets_what_the_first_got_with_its_bytes(autojump_clock):
    inner = Inner()
    first, second = await answers(cached(inner), asking(id="x1"), asking(id="x2"))
    assert len(inner.calls) == 1
    assert tuple(first.batches) == tuple(second.batches) == ANSWER
    assert [(fact.how, fact.exchange, fact.target) for fact in second.facts] == [("cached", "x1", "a/m")]
    assert first.told(Reused) == []


async def test_an_answer_is_good_for_its_time(autojump_clock):
    inner = Inner()
    service = cached(inner, ttl=10.0)
    await answers(service, asking())
    await trio.sleep(9.9)
    await answers(service, asking())
    assert len(inner.calls) == 1
    await trio.sleep(0.2)
    await answers(service, asking())
    assert len(inner.calls) == 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(asking(caller=Caller("k2")), id="another key"),
        pytest.param(asking("ho"), id="another text"),
        pytest.param(asking(explain=True), id="who wants to know why"),
        pytest.param(exchange(request=request("hi")), id="who leaves something to chance"),
    ],
)
async def test_it_is_given_to_nobody_else(other, autojump_clock):
    inner = Inner()
    await answers(cached(inner), asking(), other)
    assert len(inner.calls) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((Batch((Failed(Problem(Kind.SERVER)),)),), id="a failure"),
        pytest.param((*ANSWER[:1], Batch((Failed(Problem(Kind.STREAM_ERROR)),))), id="what broke off"),
        pytest.param((), id="nothing"),
        pytest.param((Batch((TextDelta("x" * 5000),)), ANSWER[1]), id="what is too long"),
        pytest.param((*ANSWER[:1], Batch((TextDelta("x" * 5000),)), ANSWER[1]), id="what grew too long"),
    ],
)
async def test_only_whole_answers_are_kept(answer, autojump_clock):
    inner = Inner(answer)
    await answers(cached(inner, max_answer_bytes=4000), asking(), asking())
    assert len(inner.calls) == 2


async def test_what_its_client_did_not_wait_for_is_not_kept(autojump_clock):
    inner = Inner()
    service = cached(inner)

    async def stuck(batch: Batch) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(1):
        await service(asking(), Wire(stuck, lambda fact: None))
    await answers(service, asking())
    assert len(inner.calls) == 2


def stored(size: int, until: float = 100.0) -> Stored:
    return Stored((), size, "x", "a/m", until)


def test_the_least_used_makes_room():
    shelf = Shelf(30)
    for mark in (b"a", b"b", b"c"):
        shelf.put(mark, stored(10))
    assert shelf.take(b"a", 0.0) is not None
    shelf.put(b"d", stored(15))
    assert [mark for mark in (b"a", b"b", b"c", b"d") if shelf.take(mark, 0.0)] == [b"a", b"d"]
    assert shelf.size == 25


def test_what_is_larger_than_all_is_not_kept_and_costs_nothing():
    shelf = Shelf(30)
    shelf.put(b"a", stored(10))
    shelf.put(b"b", stored(31))
    assert (len(shelf), shelf.size) == (1, 10)


def test_a_newer_answer_takes_the_place_of_the_older():
    shelf = Shelf(30)
    shelf.put(b"a", stored(10))
    shelf.put(b"a", stored(20))
    assert (len(shelf), shelf.size) == (1, 20)


def test_what_is_too_old_takes_no_room():
    shelf = Shelf(30)
    shelf.put(b"a", stored(10, until=5.0))
    assert shelf.take(b"a", 5.0) is None
    assert (len(shelf), shelf.size) == (0, 0)


@pytest.mark.parametrize(
    ("batch", "least"),
    [
        pytest.param(Batch((TextDelta("x" * 1000),)), 1000, id="text"),
        pytest.param(Batch((TextDelta(""),), Verbatim("f", b"x" * 1000)), 1000, id="bytes"),
        pytest.param(Batch((ToolCallDelta(0, "c", "f", "x" * 1000),)), 1000, id="arguments"),
        pytest.param(Batch((Embedded(([0.5] * 1000,)),)), 24_000, id="vectors"),
    ],
)
def test_the_size_of_a_batch_counts_what_it_holds(batch, least):
    assert least <= size_of(batch) <= 2 * least


async def test_two_tables_of_options_are_two_caches(autojump_clock):
    inner = Inner()
    one, other = cached(inner), cached(inner)
    await answers(one, asking())
    await answers(other, asking())
    assert len(inner.calls) == 2


async def test_a_shared_answer_is_kept_under_the_name_of_who_gave_it(autojump_clock):
    async def shared(exchange: Exchange, wire: Wire) -> None:
        wire.tell(Reused("shared", "x0", "b/m", 0.0))
        for batch in ANSWER:
            await wire.emit(batch)

    _, second = await answers(cached(shared), asking(), evolve(asking(), id="x2"))
    assert [(fact.how, fact.target) for fact in second.facts] == [("cached", "b/m")]
