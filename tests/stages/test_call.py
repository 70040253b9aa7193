"""call and attempt: what is told of attempts, and how a call goes on when the world changes while it waits."""

import pickle

import pytest
import trio
from attrs import evolve

from pipeline.protocol import Wire
from pipeline.state.board import ABSENT_S, Board
from pipeline.state.eligibility import Barred, Eligible, eligibility
from pipeline.values.events import Batch, Failed, Finished, Started, TextDelta
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, ModelsListed
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts
from stages.call import Call
from stages.moves import CallOptions
from tests.kit import HELLO, SCRIPTED, Ear, Scripted, Stand, exchange, request, target

NEXT, SAME = (CallOptions(fallback=name) for name in ("next_available", "retry_same"))
OK = tuple((0.0, event) for event in HELLO)
FAILS = ((0.0, 500),)


def plan(*names):
    return Plan(tuple(Candidate(target(name), 0.0, "test") for name in names), "test")


async def carried(stand, options=NEXT, names=None, **changes):
    ear = Ear(board=stand.board)
    asked = evolve(exchange(trio.current_time()), **changes)
    await Call(asked, plan(*(names or stand.scripts)), ear.wire, options, stand.env).carry_out()
    return ear


def started(ear):
    return [(fact.target, fact.again) for fact in ear.told(AttemptStarted)]


def problems(ear):
    return [event.problem.kind for event in ear.events if isinstance(event, Failed)]


def answered(ear):
    return "".join(event.text for event in ear.events if isinstance(event, TextDelta)) == "Hello"


def failed(board, name, count, kind=Kind.SERVER, at=0.0, alone=False, hint=None):
    for _ in range(count):
        board.tell(AttemptStarted(1, f"{name}/m", at))
        board.tell(AttemptEnded(1, f"{name}/m", at, 0.0, kind, alone=alone, retry_after=hint))


@pytest.mark.parametrize(
    ("names", "before", "expected"),
    [
        pytest.param("a", {}, [True], id="with one there is nobody else"),
        pytest.param("ab", {}, [False, True], id="the last one left is alone"),
        pytest.param("ab", {"b": 5}, [True], id="nor is who is closed off somebody else"),
        pytest.param("abc", {"b": 5}, [False, True], id="but one more is"),
        pytest.param("abc", {}, [False, False, True], id="of three"),
    ],
)
async def test_who_was_alone(names, before, expected, autojump_clock):
    stand = Stand(dict.fromkeys(names, FAILS))
    for name, count in before.items():
        failed(stand.board, name, count)
    ear = await carried(stand)
    assert [fact.alone for fact in ear.told(AttemptEnded)] == expected


async def test_the_last_way_out_is_not_shut_for_a_share_of_failures(autojump_clock):
    stand, options = Stand({"a": ((0.0, 503),)}), CallOptions(fallback="none")
    for _ in range(10):
        for kind in (None, Kind.OVERLOADED, Kind.OVERLOADED):
            stand.board.tell(AttemptStarted(1, "a/m", 0.0))
            stand.board.tell(AttemptEnded(1, "a/m", 0.0, 0.0, kind, alone=True))
    assert stand.board.snapshot.target("a/m").breaker.mode == "closed"
    await carried(stand, options)
    assert stand.board.snapshot.target("a/m").breaker.mode == "closed"


async def test_one_of_two_is_shut_for_a_share_of_failures(autojump_clock):
    stand = Stand({"a": FAILS, "b": OK})
    for _ in range(10):
        for kind in (None, Kind.OVERLOADED, Kind.OVERLOADED):
            stand.board.tell(AttemptStarted(1, "a/m", 0.0))
            stand.board.tell(AttemptEnded(1, "a/m", 0.0, 0.0, kind, alone=True))
    await carried(stand)
    assert stand.board.snapshot.target("a/m").breaker.mode == "open"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(NEXT, [("a/m", False), ("b/m", False)], id="the next is not asked again"),
        pytest.param(SAME, [("a/m", False), ("a/m", True), ("b/m", False)], id="the same is"),
    ],
)
async def test_who_is_asked_again(options, expected, autojump_clock):
    assert started(await carried(Stand({"a": FAILS, "b": FAILS}), options)) == expected


async def test_another_model_of_a_provider_that_was_asked_is_asked_again(autojump_clock):
    stand = Stand({"a": FAILS})
    both = Plan(tuple(Candidate(target("a", model), 0.0, "test") for model in ("m", "n")), "test")
    ear = Ear(board=stand.board)
    await Call(exchange(), both, ear.wire, NEXT, stand.env).carry_out()
    assert started(ear) == [("a/m", False), ("a/n", True)]


def house(board, now=0.0):
    """Exchanges accepted and extra attempts of the last seconds."""
    return board.snapshot.retries.house.totals(now)[:2]


@pytest.mark.parametrize(
    ("client_retry", "expected"),
    [
        pytest.param(False, (1, 1), id="an exchange earns what its fallback spends"),
        pytest.param(True, (0, 1), id="a client's own retry earns nothing, and spends all the same"),
    ],
)
async def test_what_a_clients_retry_earns(client_retry, expected, autojump_clock):
    stand = Stand({"a": FAILS, "b": OK})
    ear = await carried(stand, client_retry=client_retry)
    assert house(stand.board) == expected
    assert all(fact.client_retry == client_retry for fact in ear.told(AttemptStarted))


async def test_clients_who_only_retry_get_no_further_attempts(autojump_clock):
    stand = Stand({"a": FAILS, "b": OK})
    begun = [len(started(await carried(stand, client_retry=True, names="ab"))) for _ in range(4)]
    assert begun == [2, 2, 2, 2]
    stand.board = Board()
    for _ in range(10):
        stand.board.tell(AttemptStarted(2, "b/m", 0.0, client_retry=True))
        stand.board.tell(AttemptEnded(2, "b/m", 0.0, 0.0))
    assert started(await carried(stand, client_retry=True)) == [("a/m", False)]
    assert started(await carried(stand)) == [("a/m", False), ("b/m", False)]


async def test_who_waited_for_what_is_closed_meanwhile_goes_on_to_another(autojump_clock):
    """The place of `a` is held while it fails; who waits for it goes to `b`, whose place is free by then."""
    stand = Stand({"a": OK, "b": OK}, max_concurrent=1)
    env, ears = stand.env, []
    async with trio.open_nursery() as nursery, env.gates["a"].hold(), env.gates["b"].hold():

        async def call():
            ears.append(await carried(stand))

        nursery.start_soon(call)
        await trio.sleep(2.0)
        assert env.gates["a"].waiting == 1
        failed(stand.board, "a", 5, at=2.0)
    (ear,) = ears
    assert [fact.target for fact in ear.told(AttemptStarted)] == ["b/m"]
    assert answered(ear)
    assert stand.upstreams["a"].opened == []
    assert stand.held() == 0
    # It was asked nothing, so nobody has to pay for it.
    assert house(stand.board, 2.0) == (5 + 1, 0)


async def test_who_waited_for_the_only_one_is_told_that_it_fails(autojump_clock):
    stand = Stand({"a": OK}, max_concurrent=1)
    ears = []
    async with trio.open_nursery() as nursery, stand.env.gates["a"].hold():

        async def call():
            ears.append(await carried(stand))

        nursery.start_soon(call)
        await trio.sleep(2.0)
        failed(stand.board, "a", 5, at=2.0)
    assert problems(ears[0]) == [Kind.LOCAL_LIMIT]
    assert stand.upstreams["a"].opened == []


async def test_where_breakers_are_ignored_so_is_what_came_meanwhile(autojump_clock):
    stand = Stand({"a": OK}, max_concurrent=1)
    ears = []
    async with trio.open_nursery() as nursery, stand.env.gates["a"].hold():

        async def call():
            ears.append(await carried(stand, CallOptions(last_resort="ignore_breakers")))

        nursery.start_soon(call)
        await trio.sleep(2.0)
        failed(stand.board, "a", 5, at=2.0)
    assert answered(ears[0])


async def test_who_did_not_wait_is_not_looked_at_again(autojump_clock):
    """The last resort has chosen it although it is closed."""
    stand = Stand({"a": OK})
    failed(stand.board, "a", 5)
    await trio.sleep(1.5)
    assert answered(await carried(stand))


async def test_a_pause_is_over_when_the_target_is_closed_meanwhile(autojump_clock):
    stand = Stand({"a": FAILS, "b": OK})
    async with trio.open_nursery() as nursery:
        ears = []

        async def call():
            ears.append(await carried(stand, SAME))

        nursery.start_soon(call)
        # The pause is 0.125 s.
        await trio.sleep(0.1)
        assert len(stand.upstreams["a"].opened) == 1
        failed(stand.board, "a", 5, at=0.1)
    assert started(ears[0]) == [("a/m", False), ("b/m", False)]
    assert len(stand.upstreams["a"].opened) == 1


@pytest.mark.parametrize(
    ("hint", "opened"),
    [
        pytest.param(2.0, [0.0, 2.1], id="its own time is waited out, and a little more"),
        pytest.param(11.0, [0.0], id="a long one is not"),
        pytest.param(None, [0.0], id="none was named"),
    ],
)
async def test_where_there_is_nobody_else(hint, opened, autojump_clock):
    limited = Problem(Kind.RATE_LIMITED, retry_after=hint)
    stand = Stand({"a": ((0.0, limited),)})
    assert problems(await carried(stand, SAME)) == [Kind.RATE_LIMITED]
    assert stand.upstreams["a"].opened == pytest.approx(opened, abs=0.01)


async def test_a_model_that_is_not_there_is_remembered(autojump_clock):
    stand = Stand({"a": ((0.0, 404),), "b": OK})
    first, second = await carried(stand), await carried(stand)
    assert started(first) == [("a/m", False), ("b/m", False)]
    assert started(second) == [("b/m", False)]
    found = eligibility(target("a"), stand.board.snapshot, trio.current_time())
    assert found == Barred("absent", ABSENT_S)
    await trio.sleep(ABSENT_S - 1.0)
    assert started(await carried(stand)) == [("b/m", False)]
    await trio.sleep(1.0)
    assert started(await carried(stand)) == [("a/m", False), ("b/m", False)]


async def test_unless_a_list_names_it(autojump_clock):
    stand = Stand({"a": ((0.0, 404),), "b": OK})
    await carried(stand)
    stand.board.tell(ModelsListed("a", 1.0, (ModelFacts("other"),)))
    assert isinstance(eligibility(target("a"), stand.board.snapshot, 2.0), Barred)
    stand.board.tell(ModelsListed("a", 1.0, (ModelFacts("m"),)))
    assert isinstance(eligibility(target("a"), stand.board.snapshot, 2.0), Eligible)


async def test_where_nobody_has_it_the_client_is_told_so_without_a_call(autojump_clock):
    stand = Stand({"a": ((0.0, 404),)})
    assert problems(await carried(stand)) == [Kind.NOT_FOUND]
    assert problems(await carried(stand)) == [Kind.NOT_FOUND]
    assert len(stand.upstreams["a"].opened) == 1


def counted(ear):
    return [(fact.verdict, fact.cancelled) for fact in ear.told(AttemptEnded)]


async def burst(stand, count, options):
    """`count` exchanges that begin at once; what all of them told."""
    ears = []
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(lambda: _carried_into(ears, stand, options))
    return [start for ear in ears for start in ear.told(AttemptStarted)]


async def _carried_into(ears, stand, options):
    ears.append(await carried(stand, options))


OVERLOADED = ((0.1, Problem(Kind.OVERLOADED)),)


async def test_a_pause_is_no_way_around_the_budget(autojump_clock):
    """All fail at once and all pause; when they wake up, some have spent what there was."""
    starts = await burst(Stand({"a": OVERLOADED}), 200, SAME)
    extras = sum(start.number > 1 for start in starts)
    assert 0 < extras <= 0.2 * 200 + 10


async def test_nor_is_waiting_for_a_place(autojump_clock):
    stand = Stand({"a": ((0.1, 500),), "b": ((0.1, HELLO[0]), *OK[1:])}, max_concurrent=200)
    stand.env.gates["b"].limit = 10
    starts = await burst(stand, 200, NEXT)
    extras = sum(start.number > 1 for start in starts)
    assert 0 < extras <= 0.2 * 200 + 10


async def test_whose_own_time_is_nearly_over_begins_nothing_further_after_waiting(autojump_clock):
    stand = Stand({"a": FAILS, "b": OK}, max_concurrent=1)
    ears = []
    async with trio.open_nursery() as nursery, stand.env.gates["b"].hold():

        async def call():
            ears.append(await carried(stand, deadline=trio.current_time() + 3.0))

        nursery.start_soon(call)
        await trio.sleep(2.5)
    assert started(ears[0]) == [("a/m", False)]
    assert problems(ears[0]) == [Kind.DEADLINE]


async def test_what_it_said_itself_is_told_where_it_may_not_be_asked_after_a_pause(autojump_clock):
    stand = Stand({"a": ((0.0, Problem(Kind.RATE_LIMITED, retry_after=2.0)),)})
    ears = []
    async with trio.open_nursery() as nursery:

        async def call():
            ears.append(await carried(stand, SAME))

        nursery.start_soon(call)
        await trio.sleep(1.0)
        failed(stand.board, "a", 1, Kind.RATE_LIMITED, at=1.0, hint=60.0)
    assert problems(ears[0]) == [Kind.RATE_LIMITED]


class AtOnce(Scripted):
    """An upstream whose whole answer comes in one piece."""

    async def _answer(self):
        pieces = [pickle.dumps(HELLO)]

        async def read():
            await trio.sleep(2.0)
            return pieces.pop()

        return evolve(await super()._answer(), read=read)


@pytest.mark.parametrize("stream", [True, False])
async def test_however_long_the_client_takes_for_the_end_he_gets_it(stream, autojump_clock):
    stand = Stand({"a": ()}, options={"timeout_s": 5.0}, upstreams={"a": AtOnce(OK)})
    joined = evolve(SCRIPTED, decode=lambda state, data: (state, Batch(pickle.loads(data))))
    ear = Ear(board=stand.board)

    async def emit(batch):
        await trio.sleep(50.0)
        await ear.emit(batch)

    asked = exchange(request=evolve(request(), stream=stream), deadline=trio.current_time() + 10.0)
    env = evolve(stand.env, codecs={"scripted": joined})
    await Call(asked, plan("a"), Wire(emit, ear.tell), NEXT, env).carry_out()
    assert ear.events[-1] == Finished("stop")
    assert counted(ear) == [(None, False)]


@pytest.mark.parametrize(
    ("options", "deadline"),
    [
        pytest.param(CallOptions(idle_timeout=2.1), 10.0, id="the request's own time"),
        pytest.param(CallOptions(idle_timeout=2.0, stream_timeout=10.0), 900.0, id="the limit of streams"),
    ],
)
async def test_a_steady_stream_that_is_cut_for_its_length_is_not_blamed(options, deadline, autojump_clock):
    stand = Stand({"a": ((0.0, Started("m")), *(((0.3, TextDelta("a")),) * 100))})
    ear = await carried(stand, options, deadline=trio.current_time() + deadline)
    assert problems(ear) == [Kind.DEADLINE]
    assert 9.0 <= trio.current_time() <= 10.0
    assert stand.board.snapshot.target("a/m").breaker.hard_in_a_row == 0


async def test_a_refusal_whose_words_do_not_come_is_one_all_the_same(autojump_clock):
    class Mute(Scripted):
        async def _answer(self):
            answer = await super()._answer()
            return evolve(answer, read=trio.sleep_forever)

    stand = Stand({"a": (), "b": OK}, upstreams={"a": Mute(((0.0, 400),))})
    ear = await carried(stand)
    assert problems(ear) == [Kind.INVALID]
    assert started(ear) == [("a/m", False)]
    assert trio.current_time() <= 10.0


@pytest.mark.parametrize("kind", [Kind.STREAM_ERROR, Kind.GARBLED])
async def test_a_connection_that_breaks_behind_the_end_costs_nothing(kind, autojump_clock):
    """The last piece told the end, and only the mark behind it is missing."""
    stand = Stand({"a": ((0.0, Started("m")), (0.0, TextDelta("Hello")), (0.0, Problem(kind)))})
    env = stand.env
    ended = evolve(SCRIPTED, finish=lambda state: Batch((Finished("stop"),)))
    ear = Ear(board=stand.board)
    await Call(exchange(), plan("a"), ear.wire, NEXT, evolve(env, codecs={"scripted": ended})).carry_out()
    assert answered(ear)
    assert problems(ear) == ([] if kind is Kind.STREAM_ERROR else [kind])


@pytest.mark.parametrize("hint", [0.0, -5.0])
async def test_who_names_no_time_to_wait_is_left_alone_for_a_while(hint, autojump_clock):
    stand = Stand({"a": ((0.0, Problem(Kind.RATE_LIMITED, retry_after=hint)),)})
    await carried(stand)
    assert isinstance(eligibility(target("a"), stand.board.snapshot, trio.current_time()), Barred)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(500, id="errors"),
        pytest.param(Problem(Kind.OVERLOADED), id="overload"),
        pytest.param(Problem(Kind.RATE_LIMITED), id="limits"),
        pytest.param(Problem(Kind.RATE_LIMITED, retry_after=0.0), id="limits that are over at once"),
        pytest.param(Problem(Kind.RATE_LIMITED, retry_after=0.05), id="limits that are over soon"),
        pytest.param(401, id="refused keys"),
        pytest.param(404, id="no such model"),
        pytest.param(Problem(Kind.STREAM_ERROR), id="cut before the first word"),
    ],
)
@pytest.mark.parametrize("options", [NEXT, SAME])
async def test_whatever_all_fail_with_nobody_is_asked_much_more_often(options, answer, autojump_clock):
    stand = Stand(dict.fromkeys("abc", ((0.02, answer),)))
    requests, calls = 0, 0

    async def client():
        nonlocal requests, calls
        while trio.current_time() < 60.0:
            ear = await carried(stand, options)
            requests, calls = requests + 1, calls + len(started(ear))
            await trio.sleep(0.25)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(client)
    # One a second is always affordable.
    assert calls <= 1.2 * requests + 60
    assert requests > 500
