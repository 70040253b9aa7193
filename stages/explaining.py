"""explaining: what would become of an exchange, told for people. The questions are those that are asked for real."""

from typing import Any

from attrs import frozen

from pipeline.ports import Encoded, Env
from pipeline.state.eligibility import Barred, eligibility
from pipeline.values.exchange import Candidate, Exchange, How, Plan
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import input_tokens
from stages.costs import estimated_cost
from stages.hedging import hedge_after
from stages.moves import CallOptions, Start, Try, World, next_move


@frozen
class Explainer:
    """Explains planned exchanges of the house `env`, which are called by `options`."""

    options: CallOptions
    env: Env

    def explained(self, exchange: Exchange) -> dict[str, Any]:
        """Everything about `exchange`, whose plan was made with `explain`. JSON; times in seconds, money in US dollars."""
        plan = exchange.plan
        if plan is None:
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
            asked.append(move.candidate.target.name)
            tries = (*tries, Try(move.candidate, Problem(Kind.SERVER), called=True))
        return asked

    def _world(self, exchange: Exchange) -> World:
        env = self.env
        now = env.now()
        return World(env.snapshot(), now, exchange.deadline - now, self._free, 0.5)

    def _free(self, candidate: Candidate) -> bool:
        return self.env.gates[candidate.target.provider.name].free

    def _hedge_after(self, exchange: Exchange, plan: Plan) -> float | None:
        return hedge_after(plan.candidates[0], plan, self.options, self._world(exchange))

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
            **self._encoded(exchange, candidate),
        }

    def _encoded(self, exchange: Exchange, candidate: Candidate) -> dict[str, Any]:
        """What the request would lose there, or why it cannot be said there at all."""
        request = exchange.request
        assert isinstance(request, ChatRequest | EmbedRequest)
        encoded = self.env.codecs[candidate.target.provider.kind].encode(request, candidate.target)
        if isinstance(encoded, Encoded):
            losses = [loss for loss in encoded.losses if loss.how is not How.MOOT]
            return {"loses": {loss.field: loss.how.value for loss in losses}, "impossible": None}
        return {"loses": {}, "impossible": encoded.detail or encoded.kind.value}
