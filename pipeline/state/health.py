"""How a provider is, and how the house: what health checks and calls have told, in one word.

It is read off the same answers that decide who may be asked, so that what is shown and what is done never differ.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from pipeline.state.board import Snapshot, of_provider
from pipeline.state.breaker import DEFAULTS, BreakerOptions
from pipeline.state.eligibility import (
    Barred,
    Eligible,
    is_down,
    provider_eligibility,
    target_eligibility,
)

Condition: TypeAlias = Literal["healthy", "degraded", "unhealthy", "unknown"]


def condition(name: str, snapshot: Snapshot, now: float, options: BreakerOptions = DEFAULTS) -> Condition:
    """How the provider `name` is.

    `degraded` still serves, at times, less than usual or not all of its models; `unknown` was not asked yet.
    """
    provider = snapshot.provider(name)
    if is_down(provider, now):
        return "unhealthy"
    if _held_back(provider_eligibility(provider, now, options)):
        return "degraded"
    targets = of_provider(snapshot.targets, name).values()
    if any(_held_back(target_eligibility(state, provider, now, options)) for state in targets):
        return "degraded"
    return "unknown" if provider.healthy is None else "healthy"


def _held_back(found: Eligible | Barred) -> bool:
    """Whether it gets less than its share. To be without a model is no failing."""
    return found.reason != "absent" if isinstance(found, Barred) else found.weight < 1


def overall(conditions: Iterable[Condition]) -> Condition:
    """How the house is: well if all its providers are, as long as one may serve it is only degraded."""
    seen = set(conditions)
    if not seen or seen == {"unhealthy"}:
        return "unhealthy"
    return "degraded" if seen & {"unhealthy", "degraded"} else "healthy"
