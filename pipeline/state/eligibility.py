"""Whether a target may be asked now, and if not, why and until when. One answer for routing, calling and explaining."""

from typing import Literal, TypeAlias

from attrs import frozen

from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.state.breaker import DEFAULTS, Breaker, BreakerOptions
from pipeline.values.targets import Target

Reason: TypeAlias = Literal[
    "absent", "unhealthy", "flapping", "account resting", "resting", "provider's breaker", "breaker"
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
# Since when a breaker is closed that has never been anything else.
NEVER = Breaker().since


def eligibility(
    target: Target, snapshot: Snapshot, now: float, options: BreakerOptions = DEFAULTS
) -> Eligible | Barred:
    """Whether `target` may be asked at `now`. What bars it longest is what is told."""
    state, provider = snapshot.target(target.name), snapshot.provider(target.provider.name)
    return target_eligibility(state, provider, now, options)


def target_eligibility(
    state: TargetState, provider: ProviderState, now: float, options: BreakerOptions = DEFAULTS
) -> Eligible | Barred:
    """The same of a target whose state is `state`, at a provider whose state is `provider`."""
    bars = [*_provider_bars(provider, now), *_target_bars(state, now)]
    if bars:
        return max(bars, key=lambda bar: bar.until)
    if state.breaker.since == provider.breaker.since == NEVER:
        return FULL
    return Eligible(min(state.breaker.weight(now, options), provider.breaker.weight(now, options)))


def provider_eligibility(
    provider: ProviderState, now: float, options: BreakerOptions = DEFAULTS
) -> Eligible | Barred:
    """Whether any target of the provider may be asked at `now`, as far as the provider itself is concerned."""
    bars = _provider_bars(provider, now)
    return max(bars, key=lambda bar: bar.until) if bars else Eligible(provider.breaker.weight(now, options))


def is_down(provider: ProviderState, now: float) -> bool:
    """Whether its checks say that it cannot be asked, or cannot make up their mind."""
    return provider.healthy is False or provider.flaps.holds(now)


def _provider_bars(provider: ProviderState, now: float) -> list[Barred]:
    bars = []
    if provider.healthy is False:
        bars.append(Barred("unhealthy", now + CHECKED_AGAIN_S))
    if provider.flaps.holds(now):
        bars.append(Barred("flapping", provider.flaps.until))
    if provider.cooled_until > now:
        bars.append(Barred("account resting", provider.cooled_until))
    if provider.breaker.mode != "closed" and (wait := provider.breaker.closed_for(now)):
        bars.append(Barred("provider's breaker", now + wait))
    return bars


def _target_bars(state: TargetState, now: float) -> list[Barred]:
    bars = []
    if state.absent_until > now:
        bars.append(Barred("absent", state.absent_until))
    if state.cooled_until > now:
        bars.append(Barred("resting", state.cooled_until))
    if state.breaker.mode != "closed" and (wait := state.breaker.closed_for(now)):
        bars.append(Barred("breaker", now + wait))
    return bars
