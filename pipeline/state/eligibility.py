"""Whether a target may be asked now, and if not, why and until when. One answer for routing, calling and explaining."""

from typing import Literal, TypeAlias

from attrs import frozen

from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.state.breaker import DEFAULTS, BreakerOptions
from pipeline.values.targets import Target

Reason: TypeAlias = Literal[
    "absent", "unhealthy", "account resting", "resting", "provider's breaker", "breaker"
]

# How soon a provider that fails its checks is looked at again: two good checks bring it back.
CHECKED_AGAIN_S = 30.0


@frozen
class Eligible:
    """It may be asked; `weight` in (0, 1] is the share of calls it should get, less for a while after a bad time."""

    weight: float = 1.0


@frozen
class Barred:
    """It should not be asked before `until` (monotonic seconds)."""

    reason: Reason
    until: float


FULL = Eligible()


def eligibility(
    target: Target, snapshot: Snapshot, now: float, options: BreakerOptions = DEFAULTS
) -> Eligible | Barred:
    """Whether `target` may be asked at `now`. What bars it longest is what is told."""
    state, provider = snapshot.target(target.name), snapshot.provider(target.provider.name)
    bars = [*_account(provider, now), *_bars(state, provider, now)]
    if bars:
        return max(bars, key=lambda bar: bar.until)
    if state.breaker.since == provider.breaker.since:
        return FULL
    weight = min(state.breaker.weight(now, options), provider.breaker.weight(now, options))
    return Eligible(weight)


def _account(provider: ProviderState, now: float) -> list[Barred]:
    bars = []
    if provider.healthy is False:
        bars.append(Barred("unhealthy", now + CHECKED_AGAIN_S))
    if provider.cooled_until > now:
        bars.append(Barred("account resting", provider.cooled_until))
    return bars


def _bars(state: TargetState, provider: ProviderState, now: float) -> list[Barred]:
    bars = []
    if state.absent_until > now:
        bars.append(Barred("absent", state.absent_until))
    if state.cooled_until > now:
        bars.append(Barred("resting", state.cooled_until))
    if state.breaker.mode != "closed" and (wait := state.breaker.closed_for(now)):
        bars.append(Barred("breaker", now + wait))
    if provider.breaker.mode != "closed" and (wait := provider.breaker.closed_for(now)):
        bars.append(Barred("provider's breaker", now + wait))
    return bars
