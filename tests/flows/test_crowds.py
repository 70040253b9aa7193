"""A provider that takes so many calls at once and refuses the rest, under a load that always has more to send."""

from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
from attrs import evolve

from adapters.providers import CODECS
from adapters.simulator.demo import standard_scenario
from adapters.simulator.scenario import Quota, narrowed
from adapters.simulator.transport import SimulatorTransport
from pipeline.gate import Gate
from pipeline.leaves import Leaves
from pipeline.ports import Env
from pipeline.state.board import Board
from pipeline.values.events import Failed
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.targets import ModelFacts, Provider, Rates, Target
from stages.call import called
from stages.moves import CallOptions
from tests.kit import EPOCH, Ear, exchange, request

OPENAI = Provider("a", "openai", "http://a.test/openai/v1")


class Crowd:
    """`clients` that each ask `target` again and again, whatever comes of it."""

    def __init__(self, scenario, clients, most=100, rates=None):
        self.board, self.chance = Board(), Random(1)
        self.provider = evolve(OPENAI, max_concurrent=most, rates=rates or Rates())
        self.target = Target(self.provider, ModelFacts("basic"))
        self.upstream = SimulatorTransport(scenario)
        gates = {"a": Gate("a", most, 1000)}
        self.leaves = Leaves(trio.current_time, lambda: self.board.snapshot, gates)
        self.env = Env(
            now=trio.current_time,
            epoch=lambda: EPOCH + trio.current_time(),
            rolls=lambda count: tuple(self.chance.random() for _ in range(count)),
            snapshot=lambda: self.board.snapshot,
            providers={"a": self.provider},
            codecs=CODECS,
            transports={"a": self.upstream},
            gates=gates,
            leaves=self.leaves,
        )
        self.clients, self.answered, self.failed = clients, 0, 0
        self.seen = (0.0, 0.0)

    @asynccontextmanager
    async def asking(self):
        """They ask for the block; when they are gone nothing is held."""
        async with trio.open_nursery() as nursery:
            for _ in range(self.clients):
                nursery.start_soon(self._client)
            yield self
            nursery.cancel_scope.cancel()
        standing = self.leaves.standing(self.target)
        assert (standing.held, standing.waiting) == (0, 0)

    async def _client(self):
        plan = Plan((Candidate(self.target, 0.0, ""),), "test")
        while True:
            ear, now = Ear(board=self.board), trio.current_time()
            asked = exchange(now, request=request(model="basic"))
            await called(asked, plan, ear.wire, CallOptions(), self.env).carry_out()
            if isinstance(ear.events[-1], Failed):
                self.failed += 1
                await trio.sleep(self.chance.uniform(0.2, 0.4))
            else:
                self.answered += 1

    async def mean(self, until):
        """How many calls the provider worked at on average, from the last look until then."""
        await trio.sleep(until - trio.current_time())
        journal = self.upstream.journal
        journal.move(trio.current_time())
        (at, busy_s), self.seen = self.seen, (until, journal.busy_s)
        return (journal.busy_s - busy_s) / (until - at)

    def takes(self, most):
        self.upstream.scenario = narrowed(self.upstream.scenario, most)


def slow(seconds):
    return evolve(standard_scenario(), head_s=seconds)


@pytest.mark.parametrize(
    ("most", "lasts_s", "status", "retry_after"),
    [
        pytest.param(20, 1.0, 429, None, id="it says no more than that"),
        pytest.param(20, 1.0, 429, 1, id="it says to come again in a moment"),
        pytest.param(20, 1.0, 503, None, id="it says that it is overloaded"),
        pytest.param(33, 8.0, 429, None, id="its calls last long"),
        pytest.param(5, 0.5, 429, None, id="it takes few"),
    ],
)
async def test_it_is_held_at_what_it_takes(most, lasts_s, status, retry_after, autojump_clock):
    async with Crowd(narrowed(slow(lasts_s), most, status, retry_after), clients=120).asking() as crowd:
        await crowd.mean(30.0)
        journal = crowd.upstream.journal
        refused = journal.refused
        assert await crowd.mean(50.0) == pytest.approx(most, rel=0.2)
        assert journal.refused - refused <= 20 * 2, (
            "what it takes is found out now and then, not all the time"
        )


async def test_when_it_takes_more_it_is_given_more_and_when_less_less(autojump_clock):
    async with Crowd(narrowed(slow(1.0), 10), clients=50, most=25).asking() as crowd:
        await crowd.mean(30.0)
        assert await crowd.mean(40.0) == pytest.approx(10, rel=0.2)
        crowd.takes(20)
        await crowd.mean(70.0)
        assert await crowd.mean(85.0) == pytest.approx(20, rel=0.2)
        crowd.takes(8)
        await crowd.mean(115.0)
        assert await crowd.mean(135.0) == pytest.approx(8, rel=0.2)
        crowd.upstream.scenario = slow(1.0)
        await crowd.mean(180.0)
        assert await crowd.mean(185.0) == pytest.approx(25, rel=0.01)
        assert crowd.board.snapshot.target("a/basic").adaptive.curve[-1][1] == 25


async def test_a_limit_of_requests_is_no_crowd_and_its_provider_is_left_alone(autojump_clock):
    """It refuses all of them for a while: two are told so, or few more, and nobody asks until the time has come."""
    async with Crowd(slow(1.0), clients=30).asking() as crowd:
        await trio.sleep(10.5)
        crowd.upstream.scenario = narrowed(slow(1.0), 1, 429, 20)
        await trio.sleep(2.0)
        asked = crowd.upstream.opened
        await trio.sleep(15.0)
        # `probe_only` finds out once a second whether it is still so.
        assert crowd.upstream.opened - asked <= 16


async def test_its_own_word_is_obeyed_before_it_must_refuse(autojump_clock):
    """It says again and again that eight are left."""
    told = evolve(slow(1.0), quota=Quota(requests=20, requests_left=8))
    async with Crowd(told, clients=30).asking() as crowd:
        await crowd.mean(5.0)
        assert 7 <= await crowd.mean(15.0) <= 9


async def test_a_configured_rate_is_never_exceeded_and_all_of_it_is_used(autojump_clock):
    async with Crowd(slow(0.5), clients=40, rates=Rates(requests=120, burst=5)).asking() as crowd:
        await trio.sleep(60.0)
        assert 120 <= crowd.upstream.opened <= 126
        assert crowd.upstream.journal.refused == 0
