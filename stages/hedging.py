"""hedging: whether a second target is asked beside a slow first one, and when. Pure; `call` carries it out."""

from pipeline.state.eligibility import Eligible, eligibility
from pipeline.values.exchange import Candidate, Exchange, Plan
from pipeline.values.messages import Request
from pipeline.values.sizes import input_tokens, size_class
from stages.costs import input_cost
from stages.moves import CallOptions, World

LEAST_SAMPLES = 50
LEAST_WAIT_S = 0.25
QUANTILE = 0.95


def hedge_after(
    candidate: Candidate, plan: Plan, request: Request, options: CallOptions, world: World
) -> float | None:
    """Seconds after which a second target would be asked beside `candidate`; None: never.

    A request that leaves something behind, or has the provider do something, would do so twice.
    """
    if options.hedge == "off" or request.stateful or not _others(candidate, plan):
        return None
    if options.hedge == "delay":
        return options.hedge_after
    first_tokens = world.snapshot.target(candidate.target.name).first_tokens.of(size_of(request, options))
    if first_tokens.count(world.now) < LEAST_SAMPLES:
        return None
    usual = first_tokens.quantile(QUANTILE, world.now)
    return None if usual is None else max(LEAST_WAIT_S, usual)


def size_of(request: Request, options: CallOptions) -> int | None:
    """The class of sizes by which it is told what is slow; None where nobody asks for that."""
    return size_class(input_tokens(request)) if options.hedge == "p95" else None


def hedge_candidate(
    candidate: Candidate, plan: Plan, exchange: Exchange, options: CallOptions, world: World
) -> Candidate | None:
    """Who is asked beside `candidate` now that it is slow; None where nobody can be, or the house cannot afford it."""
    for other in plan.order(_others(candidate, plan), world.snapshot, world.now, world.roll):
        able = isinstance(eligibility(other.target, world.snapshot, world.now), Eligible)
        if able and world.free(other) and _affordable(other, exchange, options, world):
            return other
    return None


def _others(candidate: Candidate, plan: Plan) -> tuple[Candidate, ...]:
    """The same model at other providers: what is slow may be slow for all that one provider serves."""
    own = candidate.target.provider.name
    return tuple(
        [
            other
            for other in plan.candidates
            if other.target.provider.name != own and other.group == candidate.group
        ]
    )


def _affordable(candidate: Candidate, exchange: Exchange, options: CallOptions, world: World) -> bool:
    cost = input_cost(candidate.target, input_tokens(exchange.request))
    return world.snapshot.hedges.allows(
        cost, world.now, options.hedge_share, options.hedge_max_cost, options.hedge_cost_share
    )
