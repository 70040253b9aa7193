"""explaining: what would become of an exchange, told for people. The questions are those that are asked for real."""

from functools import partial, reduce
from typing import Any

from attrs import evolve, frozen

from pipeline.ports import Encoded, Env
from pipeline.state import board
from pipeline.state.eligibility import Barred, eligibility
from pipeline.values.exchange import Candidate, Exchange, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted
from pipeline.values.messages import LoadRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import input_tokens
from stages.attempt import CLOSED_MEANWHILE
from stages.costs import estimated_cost
from stages.encoding import encoded_for, fitted_to, mattering
from stages.hedging import hedge_after
from stages.moves import CallOptions, Start, Try, World, may_be_asked, next_move

# What every attempt is thought to end in.
FAILED = Problem(Kind.SERVER)


@frozen
class Explainer:
    """Explains planned exchanges of the house `env`, which are called by `options`."""

    options: CallOptions
    env: Env

    def explained(self, exchange: Exchange) -> dict[str, Any]:
        """Everything about `exchange`, whose plan was made with `explain`. JSON; times in seconds, money in US dollars."""
        plan = exchange.plan
        if plan is None or isinstance(exchange.request, LoadRequest):
            return {"model": exchange.request.model, "needs_no_provider": True}
        tokens = input_tokens(exchange.request)
        return {
            "model": exchange.request.model,
            "strategy": plan.strategy,
            "fallback": self.options.fallback,
            "input_tokens": tokens,
            "order": self.order(exchange, plan),
            "hedge_after_s": self._hedge_after(exchange, plan),
            "candidates": [self._candidate(exchange, one, tokens) for one in plan.candidates],
            "refused": [{"target": one.target.name, "why": one.why} for one in plan.refused],
        }

    def order(self, exchange: Exchange, plan: Plan) -> list[str]:
        """Who would be asked, one after the other, if each attempt failed with a server's error now."""
        world = self._world(exchange)
        tries: tuple[Try, ...] = ()
        asked: list[str] = []
        while isinstance(move := next_move(plan, tries, self.options, world), Start):
            world = _later(world, move.delay_s)
            problem = self._unasked(exchange, move, world)
            if problem is None:
                asked.append(move.candidate.target.name)
                world = _after_failure(world, exchange, move, len(asked))
            tries = (*tries, Try(move.candidate, problem or FAILED, called=problem is None))
        return asked

    def _unasked(self, exchange: Exchange, move: Start, world: World) -> Problem | None:
        """Why an attempt would end before the upstream is asked."""
        if move.delay_s and not may_be_asked(move.candidate, world):
            return CLOSED_MEANWHILE
        encoded = self._encoded(exchange, move.candidate)
        return encoded if isinstance(encoded, Problem) else None

    def _encoded(self, exchange: Exchange, candidate: Candidate) -> Encoded | Problem:
        target = candidate.target
        codec = self.env.codecs[target.provider.kind]
        return encoded_for(exchange, fitted_to(exchange, target), target, codec)

    def _world(self, exchange: Exchange) -> World:
        env = self.env
        now = env.now()
        return World(env.snapshot(), now, exchange.deadline - now, self._free, env.rolls(1)[0], self._crowd)

    def _crowd(self, candidate: Candidate) -> float:
        return self.env.leaves.crowd(candidate.target)

    def _free(self, candidate: Candidate) -> bool:
        return self.env.leaves.free(candidate.target)

    def _hedge_after(self, exchange: Exchange, plan: Plan) -> float | None:
        """After how long a second one would be asked beside the first."""
        world = self._world(exchange)
        first = next_move(plan, (), self.options, world)
        if not isinstance(first, Start):
            return None
        return hedge_after(first.candidate, plan, exchange.request, self.options, world)

    def _candidate(self, exchange: Exchange, candidate: Candidate, tokens: int) -> dict[str, Any]:
        target, snapshot, now = candidate.target, self.env.snapshot(), self.env.now()
        state, provider = snapshot.target(target.name), snapshot.provider(target.provider.name)
        found = eligibility(target, snapshot, now)
        return {
            "target": target.name,
            "score": candidate.score,
            "found_by": candidate.why,
            "group": candidate.group,
            "only_after": candidate.instead_of,
            "may_be_asked": not isinstance(found, Barred),
            "barred_by": found.reason if isinstance(found, Barred) else None,
            "barred_for_s": round(found.until - now, 3) if isinstance(found, Barred) else 0.0,
            "weight": 0.0 if isinstance(found, Barred) else round(found.weight, 3),
            "breaker": state.breaker.mode,
            "provider_breaker": provider.breaker.mode,
            "resting_s": round(max(0.0, state.cooled_until - now, provider.cooled_until - now), 3),
            "in_flight": state.in_flight,
            "first_token_s": None if state.ttft.at is None else round(state.ttft.read(now), 3),
            "cost": estimated_cost(target, exchange.request, tokens),
            **self._told_there(exchange, candidate),
        }

    def _told_there(self, exchange: Exchange, candidate: Candidate) -> dict[str, Any]:
        """What the request would lose there, or why it cannot be said there at all."""
        encoded = self._encoded(exchange, candidate)
        if isinstance(encoded, Problem):
            return {"loses": {}, "impossible": encoded.detail or encoded.kind.value}
        return {
            "loses": {loss.field: loss.how.value for loss in mattering(encoded.losses)},
            "impossible": None,
        }


def _later(world: World, seconds: float) -> World:
    """`world` when `seconds` have gone by in which nothing happened."""
    return evolve(world, now=world.now + seconds, left_s=world.left_s - seconds)


def _after_failure(world: World, exchange: Exchange, move: Start, number: int) -> World:
    """`world` when the attempt that `move` begins has failed at once: the board learns from it before the next move."""
    candidate, now = move.candidate, world.now
    name = candidate.target.name
    facts = (
        AttemptStarted(
            number,
            name,
            now,
            again=move.again,
            turn=candidate.turn,
            client_retry=exchange.client_retry,
        ),
        AttemptEnded(number, name, now, 0.0, FAILED.kind, alone=move.alone),
    )
    return evolve(world, snapshot=reduce(partial(board.evolve, roll=world.roll), facts, world.snapshot))
