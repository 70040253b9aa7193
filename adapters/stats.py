"""What the house has seen of its providers in numbers, made of one snapshot. All functions are pure."""

from typing import Any

from adapters.health import ago_s, eligible_answer, left_s, permits_answer
from adapters.tally import Tally
from pipeline.gate import Gate
from pipeline.leaves import Leaves, Left, Standing
from pipeline.state.board import Snapshot, TargetState, of_provider
from pipeline.state.eligibility import target_eligibility
from pipeline.state.ewma import Ewma
from pipeline.state.health import condition
from pipeline.state.hedge_budget import MICRO, HedgeBudget
from pipeline.state.retry_budget import PROVIDER, RetryBudget
from pipeline.values.facts import QuotaSeen
from pipeline.values.targets import ModelFacts, Provider, Target


def stats_answer(
    provider: Provider, snapshot: Snapshot, now: float, gate: Gate, tally: Tally, leaves: Leaves
) -> dict[str, Any]:
    """One provider and each target of it that was asked of late. Times in seconds, money in US dollars."""
    name, state = provider.name, snapshot.provider(provider.name)
    targets = of_provider(snapshot.targets, name)
    first, again = snapshot.retries.providers.get(name, PROVIDER).totals(now)
    return {
        "name": name,
        "status": condition(name, snapshot, now),
        "in_flight": state.in_flight,
        "permits": permits_answer(gate),
        "rates": _left(leaves.left(provider)),
        "totals": tally_answer(tally),
        "targets": [
            {
                **_target(target, targets[target], snapshot, now),
                **_places(leaves.standing(_named(provider, target)), targets[target], now),
            }
            for target in sorted(targets)
        ],
        "retries": {
            "window_seconds": PROVIDER.shape.slice_s * PROVIDER.shape.length,
            "came_first": first,
            "came_back": again,
            "another_allowed": snapshot.retries.allows(name, True, now),
            "house": retries_answer(snapshot.retries, now),
        },
        "hedges": hedges_answer(snapshot.hedges, now),
    }


def _target(name: str, state: TargetState, snapshot: Snapshot, now: float) -> dict[str, Any]:
    provider, _, model = name.partition("/")
    return {
        "target": name,
        "model": model,
        "started": state.started,
        "succeeded": state.succeeded,
        "failed": state.failed,
        "in_flight": state.in_flight,
        "last_problem": state.last_verdict,
        "used_seconds_ago": ago_s(state.last_used, now),
        "first_token_seconds": {
            "average": _average(state.ttft, now),
            "p50": _rounded(state.first_tokens.quantile(0.5, now)),
            "p95": _rounded(state.first_tokens.quantile(0.95, now)),
            "count": state.first_tokens.count(now),
        },
        "latency_seconds": _average(state.latency, now),
        **eligible_answer(target_eligibility(state, snapshot.provider(provider), now), now),
        "breaker": state.breaker.mode,
        "breaker_trips": state.breaker.trips,
        "resting_seconds": left_s(state.cooled_until, now),
        "quota": None if state.quota is None else _quota(state.quota, now),
    }


def _named(provider: Provider, target: str) -> Target:
    return Target(provider, ModelFacts(target.partition("/")[2]))


def _places(standing: Standing, state: TargetState, now: float) -> dict[str, Any]:
    """How many calls it is given at once, how that came about, and what its rates give now."""
    return {
        "permits": {
            "held": standing.held,
            "limit": standing.limit,
            "waiting": standing.waiting,
            "maximum": standing.maximum,
            "curve": [
                {"seconds_ago": round(now - at, 3), "limit": limit} for at, limit in state.adaptive.curve
            ],
        },
        "rates": _left(standing.left),
        "token_ratio": round(state.ratio.value, 3),
        "unreadable_quotas": state.unread,
    }


def _left(left: Left) -> dict[str, float | None]:
    return {"requests_left": _rounded(left.requests), "tokens_left": _rounded(left.tokens)}


def _average(seconds: Ewma, now: float) -> float | None:
    return None if seconds.at is None else round(seconds.read(now), 3)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _quota(quota: QuotaSeen, now: float) -> dict[str, Any]:
    """What was left when the provider last said so."""
    return {
        "requests": quota.requests,
        "requests_reset_seconds": _reset(quota.requests_reset_s, quota.at, now),
        "tokens": quota.tokens,
        "tokens_reset_seconds": _reset(quota.tokens_reset_s, quota.at, now),
        "seen_seconds_ago": ago_s(quota.at, now),
    }


def _reset(after_s: float | None, at: float, now: float) -> float | None:
    return None if after_s is None else left_s(at + after_s, now)


def tally_answer(tally: Tally) -> dict[str, int]:
    """All attempts since the house began that are over."""
    return {
        "attempts": tally.attempts,
        "succeeded": tally.succeeded,
        "failed": tally.failed,
        "cancelled": tally.cancelled,
        "answered_requests": tally.answers,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
    }


def retries_answer(budget: RetryBudget, now: float) -> dict[str, Any]:
    """What the house tried once more of late."""
    requests, extra, well, hard = budget.house.totals(now)
    shape = budget.house.shape
    return {
        "window_seconds": shape.slice_s * shape.length,
        "requests": requests,
        "extra_attempts": extra,
        "well": well,
        "failed": hard,
    }


def hedges_answer(budget: HedgeBudget, now: float) -> dict[str, Any]:
    """What the house tried beside slow first attempts of late, and the cost of an hour."""
    requests, hedges = budget.calls.totals(now)
    spent, hedged = budget.money.totals(now)
    shape = budget.calls.shape
    return {
        "window_seconds": shape.slice_s * shape.length,
        "requests": requests,
        "hedges": hedges,
        "hour_cost": spent / MICRO,
        "hour_cost_of_hedges": hedged / MICRO,
    }
