"""What the attempts of an exchange cost a key that has a budget, whatever becomes of them."""

import pytest
import trio
from attrs import evolve, frozen

from pipeline.ports import Env
from pipeline.state.board import Board
from pipeline.values.callers import Allowance, Caller, CallerLimits
from pipeline.values.events import Failed, Finished, Started, TextDelta, Usage, UsageSeen
from pipeline.values.exchange import Candidate, How, Loss, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted
from pipeline.values.messages import Sampling
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import input_tokens
from pipeline.values.targets import Price
from stages.attempt import Attempt
from stages.call import Call
from stages.moves import CallOptions
from tests.kit import Ear, Stand, exchange, request, target

ASKED = request(sampling=Sampling(max_tokens=50))
INPUT = input_tokens(ASKED)
PRICE = Price(1.0, 10.0)
# What one call may cost, and what one costs that writes "hello world" and tells no usage.
MOST, CUT = INPUT + 500, INPUT + 30
TEXT = TextDelta("hello world")
WHOLE = ((0.0, Started("m")), (0.0, TEXT), (0.0, UsageSeen(Usage(10, 20))), (0.0, Finished("stop")))
PAID = 10 + 200


def key(micro_usd):
    return Caller(key="web", limits=CallerLimits(budget=Allowance(micro_usd)))


@frozen
class Paid:
    """What became of an exchange: micro-USD that are `spent`, what was told, and what the upstreams got."""

    env: Env
    ear: Ear
    caller: Caller

    @property
    def spent(self):
        budget = self.env.accounts.of(self.caller).budget
        assert budget.reserved == 0
        return budget.spent

    @property
    def began(self):
        return [fact.target for fact in self.ear.told(AttemptStarted)]

    @property
    def problem(self):
        last = self.ear.events[-1]
        return last.problem if isinstance(last, Failed) else None

    def costs(self):
        return [fact.cost for fact in self.ear.told(AttemptEnded)]


def planned(scripts, prices):
    candidates = []
    for rank, name in enumerate(scripts):
        one = target(name, priority=rank)
        price = prices.get(name, PRICE)
        candidates.append(Candidate(evolve(one, facts=evolve(one.facts, price=price)), 0.0, ""))
    return Plan(tuple(candidates), "test")


async def paid(scripts, left, prices=None, options=CallOptions(), limit_s=None, before=(), **changes):
    board = Board()
    stand, ear, caller = Stand(scripts, board=board), Ear(board=board), key(10_000)
    for fact in before:
        board.tell(fact)
    env = stand.env
    env.accounts.restore(caller, 10_000 - left, env.epoch())
    begun = env.accounts.of(caller).budget.spent
    asked = exchange(trio.current_time(), **{"request": ASKED, "caller": caller, **changes})
    with trio.move_on_after(limit_s if limit_s is not None else 1e6):
        await Call(asked, planned(scripts, prices or {}), ear.wire, options, env).carry_out()
    found = Paid(env, ear, caller)
    return found, found.spent - begun


# So much that the house can afford to ask a second target.
SPENT_BEFORE = tuple(
    fact
    for _ in range(9)
    for fact in (AttemptStarted(1, "z/m", 0.0), AttemptEnded(1, "z/m", 0.0, 0.1, cost=1.0))
)
BROKEN = Problem(Kind.STREAM_ERROR)


@pytest.mark.parametrize(
    ("script", "cost", "limit_s"),
    [
        pytest.param(WHOLE, PAID, None, id="what was told that it used"),
        pytest.param((*WHOLE[:2], *WHOLE[3:]), CUT, None, id="what it wrote where nobody told"),
        pytest.param((*WHOLE[:2], (0.0, BROKEN)), CUT, None, id="what it wrote until it broke off"),
        pytest.param((*WHOLE[:2], (99.0, TEXT)), CUT, 5.0, id="what it wrote until the client left"),
        pytest.param((*WHOLE[:2], (99.0, TEXT)), CUT, None, id="what it wrote until it fell silent"),
        pytest.param(((5.0, Started("m")),), INPUT, 1.0, id="what it was told by a client who left then"),
        pytest.param(((999.0, Started("m")),), INPUT, None, id="what it was told where it never answers"),
        pytest.param(((0.0, Problem(Kind.CONNECT)),), 0, None, id="nothing where nobody was there"),
        pytest.param(((0.0, 429),), 0, None, id="nothing where it refused"),
        pytest.param(
            ((0.0, Started("m")), (0.0, BROKEN)), 0, None, id="nothing where it broke before it spoke"
        ),
    ],
)
async def test_an_attempt_costs(autojump_clock, script, cost, limit_s):
    found, spent = await paid({"a": script}, 5000, limit_s=limit_s)
    assert found.began == ["a/m"]
    assert spent == cost
    assert found.costs() == [pytest.approx(cost / 1e6) if cost else None]


async def test_all_attempts_are_paid_for(autojump_clock):
    scripts = {"a": ((999.0, Started("m")),), "b": WHOLE}
    found, spent = await paid(scripts, 5000, options=CallOptions(headers_timeout=3.0))
    assert found.began == ["a/m", "b/m"]
    assert spent == INPUT + PAID


async def test_who_was_slower_is_paid_for_too(autojump_clock):
    scripts = {"a": ((0.0, Started("m")), (9.0, TEXT)), "b": ((1.0, Started("m")), *WHOLE[1:])}
    options = CallOptions(
        hedge="delay", hedge_after=0.5, hedge_share=1.0, hedge_max_cost=1.0, hedge_cost_share=1.0
    )
    found, spent = await paid(scripts, 5000, options=options, before=SPENT_BEFORE)
    assert found.began == ["a/m", "b/m"]
    assert spent == INPUT + PAID


@pytest.mark.parametrize(
    ("left", "prices", "began", "kind"),
    [
        pytest.param(MOST, {}, ["a/m"], None, id="what fits is asked"),
        pytest.param(MOST - 1, {}, [], Kind.BUDGET, id="what does not is not"),
        pytest.param(MOST - 1, {"b": Price(0.5, 1.0)}, ["b/m"], None, id="who is cheaper is asked instead"),
        pytest.param(0, {"b": Price(0.0, 0.0)}, ["b/m"], None, id="and always who costs nothing"),
        pytest.param(MOST, {"a": None}, ["b/m"], None, id="nobody whose price is not known"),
        pytest.param(MOST, {"a": None, "b": Price(1.0)}, [], Kind.BUDGET, id="not even if there is no other"),
    ],
)
async def test_who_is_asked(autojump_clock, left, prices, began, kind):
    found, _ = await paid({"a": WHOLE, "b": WHOLE}, left, prices)
    assert found.began == began
    assert (found.problem and found.problem.kind) == kind


async def test_who_is_refused_is_told_when_the_budget_renews(autojump_clock):
    found, spent = await paid({"a": WHOLE}, MOST - 1)
    assert spent == 0
    assert found.problem.http_status == 402
    assert found.problem.retry_after > 3600
    assert "renews at" in found.problem.detail


async def test_calls_at_once_set_aside_no_more_than_there_is(autojump_clock):
    stand, caller = Stand({"a": ((5.0, Started("m")), *WHOLE[1:])}), key(3 * MOST + 10)
    env, ears = stand.env, [Ear() for _ in range(10)]
    async with trio.open_nursery() as nursery:
        for ear in ears:
            asked = exchange(trio.current_time(), request=ASKED, caller=caller)
            plan = planned({"a": ()}, {})
            nursery.start_soon(Call(asked, plan, ear.wire, CallOptions(), env).carry_out)
        await trio.sleep(1)
        assert env.accounts.of(caller).budget.reserved == 3 * MOST
        refused = [ear.events[-1].problem for ear in ears if ear.events]
        assert [problem.retry_after for problem in refused] == [1.0] * 7
    assert env.accounts.of(caller).budget == evolve(
        env.accounts.of(caller).budget, spent=3 * PAID, reserved=0
    )


@pytest.mark.parametrize(
    ("wanted", "lost"),
    [
        pytest.param(9000, (Loss("max_tokens", How.APPROXIMATED),), id="he asked for more"),
        pytest.param(None, (), id="he did not say"),
    ],
)
async def test_a_shorter_answer_is_told(autojump_clock, wanted, lost):
    asked = request(sampling=Sampling(max_tokens=wanted))
    found, _ = await paid({"a": WHOLE}, 5000, {"a": Price(1.0, 1.0)}, request=asked)
    (began,) = found.ear.told(AttemptStarted)
    assert began.losses == lost


async def test_a_strict_client_rather_gets_nothing_than_a_shorter_answer(autojump_clock):
    asked = request(sampling=Sampling(max_tokens=9000))
    found, _ = await paid({"a": WHOLE}, 5000, {"a": Price(1.0, 1.0)}, request=asked, strict=True)
    assert (found.began, found.problem.kind) == ([], Kind.LOSSY)


async def test_a_budget_is_asked_of_none_who_has_none(autojump_clock):
    found, spent = await paid({"a": WHOLE}, 5000, {"a": None}, caller=Caller(key="free"))
    assert (found.began, spent) == (["a/m"], 0)


@pytest.mark.parametrize(
    ("broken", "spent"),
    [
        pytest.param("_beginning", 0, id="before the call, which costs nothing"),
        pytest.param("_took", MOST, id="after it, and it costs what was set aside for it"),
    ],
)
async def test_a_bug_leaves_nothing_set_aside(autojump_clock, monkeypatch, broken, spent):
    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(Attempt, broken, bug)
    env, caller = Stand({"a": WHOLE}).env, key(10_000)
    asked = exchange(trio.current_time(), request=ASKED, caller=caller)
    with pytest.raises(ZeroDivisionError):
        await Call(asked, planned({"a": ()}, {}), Ear().wire, CallOptions(), env).carry_out()
    budget = env.accounts.of(caller).budget
    assert (budget.reserved, budget.spent) == (0, spent)
