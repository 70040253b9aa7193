"""Whoever is cancelled at whatever step from the limit to the answer, nothing of his stays taken anywhere."""

import pytest
import trio
import trio.testing
from attrs import define, evolve

from pipeline.state.board import Board
from pipeline.values.callers import Allowance, Caller, CallerLimits
from pipeline.values.events import Finished, Started, TextDelta, Usage, UsageSeen
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted
from pipeline.values.messages import Sampling
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Price, Rates
from stages.call import called
from stages.limit import LimitOptions, build
from stages.moves import CallOptions
from tests.kit import SCRIPTED, Ear, Stand, exchange, request, target

STEPS = 60
TEXT = TextDelta("hello world")
WHOLE = ((0.1, Started("m")), (0.5, TEXT), (0.1, UsageSeen(Usage(10, 20))), (0.1, Finished("stop")))
SLOW = ((0.1, Started("m")), (9.0, TEXT), (0.1, Finished("stop")))
BREAKS = ((0.1, Started("m")), (0.1, TEXT), (0.1, TEXT), (0.1, Problem(Kind.STREAM_ERROR)))
HEDGED = CallOptions(
    hedge="delay", hedge_after=0.3, hedge_share=1.0, hedge_max_cost=1.0, hedge_cost_share=1.0
)
KEY = Caller(
    key="web",
    limits=CallerLimits(requests=600, tokens=600_000, concurrent=9, budget=Allowance(1_000_000, "month")),
)
RATES = {"rates": Rates(requests=60.0, tokens=60_000.0, burst=2), "limits": {"m": Rates(concurrent=1)}}
SPENT_BEFORE = tuple(
    fact
    for _ in range(9)
    for fact in (AttemptStarted(1, "z/m", 0.0), AttemptEnded(1, "z/m", 0.0, 0.1, cost=1.0))
)


@define(eq=False)
class Steps(trio.abc.Instrument):
    """Cancels `scope` before the `left`th step of `task` and of all that runs for it."""

    left: int
    scope: trio.CancelScope
    name: str

    def before_task_step(self, task):
        if not self._his(task):
            return
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()

    def _his(self, task):
        while task is not None:
            if task.name == self.name:
                return True
            task = task.parent_nursery and task.parent_nursery.parent_task
        return False


def planned(scripts, options):
    candidates = []
    for rank, name in enumerate(scripts):
        one = target(name, priority=rank, **options)
        facts = evolve(one.facts, price=Price(1.0, 10.0))
        candidates.append(Candidate(evolve(one, facts=facts), 0.0, ""))
    return Plan(tuple(candidates), "test")


@pytest.mark.parametrize(
    ("scripts", "options", "configured", "crowd"),
    [
        pytest.param({"a": WHOLE}, CallOptions(), {}, 1, id="alone"),
        pytest.param({"a": WHOLE}, CallOptions(permit_timeout=30.0), {}, 3, id="behind others"),
        pytest.param({"a": WHOLE}, CallOptions(permit_timeout=30.0), RATES, 3, id="behind others and rates"),
        pytest.param({"a": SLOW, "b": WHOLE}, HEDGED, {}, 1, id="in a race"),
        pytest.param({"a": SLOW, "b": WHOLE}, HEDGED, RATES, 3, id="in a race with others"),
        pytest.param(
            {"a": BREAKS, "b": WHOLE}, CallOptions(mid_stream="continue"), {}, 1, id="while another goes on"
        ),
    ],
)
@pytest.mark.parametrize("places", [1, 3])
def test_nothing_stays_taken(scripts, options, configured, crowd, places):
    caught = sum(
        trio.run(cancelled_at, step, scripts, options, configured, crowd, places, clock=clock())
        for step in range(1, STEPS)
    )
    assert caught > 5


def clock():
    return trio.testing.MockClock(autojump_threshold=0)


async def cancelled_at(step, scripts, options, configured, crowd, places):
    """Whether it was cancelled at all."""
    gates, board = [], Board()
    for fact in SPENT_BEFORE:
        board.tell(fact)
    stand = Stand(scripts, max_concurrent=1, board=board)
    codecs = {"scripted": evolve(SCRIPTED, prefills=lambda target: True)}
    env = evolve(stand.env, opened=gates.append, codecs=codecs)
    plan = planned(scripts, configured)

    async def inner(exchange, wire):
        await called(exchange, plan, wire, options, env).carry_out()

    service = build(LimitOptions(max_concurrent=places, queue_size=9), env)(inner)

    async def come():
        asked = request(sampling=Sampling(max_tokens=50))
        await service(exchange(trio.current_time(), request=asked, caller=KEY), Ear(board=board).wire)

    async def victim():
        with scope:
            await come()

    scope = trio.CancelScope()
    instrument = Steps(step, scope, "the victim")
    trio.lowlevel.add_instrument(instrument)
    async with trio.open_nursery() as nursery:
        for n in range(crowd):
            nursery.start_soon(
                victim if n == crowd // 2 else come, name="the victim" if n == crowd // 2 else None
            )
            await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(instrument)
    account = env.accounts.of(KEY)
    assert (account.running, account.budget.reserved) == (0, 0)
    assert not account.requests.open
    assert not account.tokens.open
    assert (gates[0].held, gates[0].waiting) == (0, 0)
    assert all((gate.held, gate.waiting) == (0, 0) for gate in stand.gates.values())
    for candidate in plan.candidates:
        leaf = env.leaves.leaf(candidate.target)
        assert (leaf.held, leaf.waiting, leaf.ahead) == (0, 0, (0, 0))
        for rated in (leaf.own, leaf.shared):
            assert not rated.requests.open
            assert not rated.tokens.open
    assert all(upstream.running == 0 for upstream in stand.upstreams.values())
    assert all(state.in_flight == 0 for state in board.snapshot.targets.values())
    return scope.cancelled_caught
