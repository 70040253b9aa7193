"""What an exchange takes of the limits of its key, and what it gives back, whatever becomes of it."""

import pytest
import trio
from attrs import evolve

from pipeline.protocol import Wire
from pipeline.values.callers import Allowance, Caller, CallerLimits
from pipeline.values.events import Batch, Failed, Usage
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, Charged
from pipeline.values.messages import LoadRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import reserved_tokens
from pipeline.values.targets import Price
from stages.charging import charging
from tests.kit import HELLO, Ear, Stand, exchange, request, target

SET_ASIDE = reserved_tokens(request())
LIMITS = CallerLimits(requests=100, tokens=100_000, concurrent=3)
WEB = Caller(key="web", limits=LIMITS)


@pytest.fixture
def env():
    return Stand({}).env


def told(wire, *facts):
    for fact in facts:
        wire.tell(fact)


async def answered(exchange, wire):
    told(wire, AttemptStarted(1, "a/m", 0.0), AttemptEnded(1, "a/m", 1.0, 1.0, usage=Usage(10, 20)))
    await wire.emit(Batch(HELLO))


async def raced(exchange, wire):
    told(
        wire,
        AttemptStarted(1, "a/m", 0.0),
        AttemptStarted(2, "b/m", 0.0, hedge=True),
        AttemptEnded(1, "a/m", 1.0, 1.0, cancelled=True, usage=Usage(10, 3, estimated=True)),
        AttemptEnded(2, "b/m", 1.0, 1.0, usage=Usage(10, None)),
    )
    await wire.emit(Batch(HELLO))


async def failed(exchange, wire):
    told(wire, AttemptStarted(1, "a/m", 0.0), AttemptEnded(1, "a/m", 1.0, 1.0, Kind.SERVER))
    await wire.emit(Batch((Failed(Problem(Kind.SERVER)),)))


async def answered_from_memory(exchange, wire):
    await wire.emit(Batch(HELLO))


async def turned_away(exchange, wire):
    await wire.emit(Batch((Failed(Problem(Kind.QUEUE_FULL)),)))


async def broke(exchange, wire):
    raise ZeroDivisionError


async def run(env, service, **changes):
    ear = Ear()
    await charging(env)(service)(exchange(caller=WEB, **changes), ear.wire)
    return ear


@pytest.mark.parametrize(
    ("service", "requests", "tokens"),
    [
        pytest.param(answered, 1, 30, id="an answer takes what it used"),
        pytest.param(raced, 1, 23, id="with all that was asked for it"),
        pytest.param(failed, 1, 0, id="a failure takes a request"),
        pytest.param(answered_from_memory, 1, 0, id="so does an answer that nobody had to give"),
        pytest.param(turned_away, 0, 0, id="a refusal takes nothing"),
    ],
)
async def test_the_end_of_an_exchange(autojump_clock, env, service, requests, tokens):
    await run(env, service)
    now = env.now()
    charged = env.accounts.charged(WEB, now)
    assert charged.requests.reset_s == pytest.approx(requests * 60 / 100)
    assert charged.tokens.reset_s == pytest.approx(tokens * 60 / 100_000)
    assert env.accounts.of(WEB).running == 0


async def test_all_is_taken_while_it_runs_and_the_client_is_told(autojump_clock, env):
    seen = []

    async def service(exchange, wire):
        seen.append(env.accounts.of(WEB).running)
        await wire.emit(Batch(HELLO))

    ear = await run(env, service)
    (charged,) = ear.told(Charged)
    assert seen == [1]
    assert (charged.requests.left, charged.tokens.left) == (99, 100_000 - SET_ASIDE)
    assert ear.events == HELLO


async def test_a_bug_gives_all_back(autojump_clock, env):
    with pytest.raises(ZeroDivisionError):
        await run(env, broke)
    assert env.accounts.of(WEB).running == 0
    assert env.accounts.charged(WEB, env.now()).requests.left == 100


async def test_a_bug_in_who_is_told_gives_all_back(autojump_clock, env):
    def deaf(fact):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await charging(env)(answered)(exchange(caller=WEB), Wire(Ear().emit, deaf))
    assert env.accounts.of(WEB).running == 0


@pytest.mark.parametrize(("began", "left"), [(False, 100), (True, 99)])
async def test_who_leaves_gives_back_what_he_did_not_use(autojump_clock, env, began, left):
    async def service(exchange, wire):
        try:
            if began:
                wire.tell(AttemptStarted(1, "a/m", 0.0))
            await trio.sleep_forever()
        finally:
            if began:
                usage = Usage(10, 5, estimated=True)
                wire.tell(AttemptEnded(1, "a/m", 1.0, 1.0, cancelled=True, usage=usage))

    with trio.move_on_after(0.001):
        await run(env, service)
    charged = env.accounts.charged(WEB, env.now())
    assert charged.requests.left == left
    assert charged.tokens.reset_s == pytest.approx(0.009 if began else 0.0, abs=2e-3)
    assert env.accounts.of(WEB).running == 0


async def test_those_that_are_too_many_at_once_are_refused_at_once(autojump_clock, env):
    ears = []

    async def slow(exchange, wire):
        await trio.sleep(5)
        await wire.emit(Batch(HELLO))

    async def come():
        ears.append(await run(env, slow))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(come)
        await trio.sleep(1)
        (refused,) = ears
        (failed,) = refused.events
        assert (failed.problem.kind, failed.problem.retry_after) == (Kind.CALLER_LIMITED, 1.0)
    assert [ear.events for ear in ears[1:]] == [HELLO] * 3


@pytest.mark.parametrize(
    "caller",
    [
        pytest.param(Caller(), id="nobody in particular"),
        pytest.param(Caller(key="free"), id="a key without limits"),
    ],
)
async def test_whoever_has_no_limits_passes_as_if_it_were_not_there(autojump_clock, env, caller):
    passed = []

    async def inner(exchange, wire):
        passed.append(wire)

    wire = Wire(Ear().emit, Ear().tell)
    await charging(env)(inner)(exchange(caller=caller), wire)
    assert passed == [wire]
    assert passed[0] is wire


SPENT = Caller(key="spent", limits=CallerLimits(budget=Allowance(1)))


def plan(*prices):
    def candidate(price):
        one = target("a")
        return Candidate(evolve(one, facts=evolve(one.facts, price=price)), 0.0, "")

    return Plan(tuple(map(candidate, prices)), "test")


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        pytest.param({}, False, id="nobody knows yet who will answer"),
        pytest.param({"plan": plan(Price(1.0, 1.0))}, False, id="who will answer costs something"),
        pytest.param(
            {"plan": plan(Price(1.0, 1.0), Price(0.0, 0.0))}, True, id="somebody answers for nothing"
        ),
        pytest.param({"plan": plan(None)}, False, id="an unknown price is not nothing"),
        pytest.param({"request": LoadRequest("m")}, True, id="loading a model asks nobody"),
    ],
)
async def test_a_spent_key_is_heard_only_where_it_need_not_pay(autojump_clock, env, changes, heard):
    env.accounts.restore(SPENT, 1, env.epoch())
    ear = Ear()
    await charging(env)(answered_from_memory)(exchange(caller=SPENT, **changes), ear.wire)
    if heard:
        assert ear.events == HELLO
    else:
        (failed,) = ear.events
        assert failed.problem.kind is Kind.BUDGET
        assert failed.problem.retry_after > 0
    assert env.accounts.of(SPENT).running == 0
