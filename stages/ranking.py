"""ranking: in what order targets are asked. A strategy is one function in one table; lower scores come first."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.values.exchange import Candidate, Preference
from pipeline.values.targets import Target

Score = Callable[[Target, Snapshot], float]


def by_priority(target: Target, snapshot: Snapshot) -> float:
    """The provider's configured priority."""
    return float(target.provider.priority)


def by_capability(target: Target, snapshot: Snapshot) -> float:
    """The priority, among those that are known to fit before those of which nothing is known."""
    return target.provider.priority + (0.0 if target.facts.capabilities is not None else 0.5)


SCORES: Mapping[str, Score] = {"capability_based": by_capability, "priority": by_priority}


def ranked(
    targets: tuple[Target, ...], snapshot: Snapshot, strategy: str, preference: Preference, now: float
) -> tuple[Candidate, ...]:
    """All `targets` as candidates, in order: preferred providers, then healthy ones, then by score; ties by name."""
    score = SCORES[strategy]
    wish = preference.providers

    def key(candidate: Candidate) -> tuple[Any, ...]:
        target = candidate.target
        place = wish.index(target.provider.name) if target.provider.name in wish else len(wish)
        return (place, not _well(target, snapshot, now), candidate.score, target.name)

    candidates = [Candidate(target, score(target, snapshot), strategy) for target in targets]
    if len(candidates) > 1:
        candidates.sort(key=key)
    return tuple(candidates)


def _well(target: Target, snapshot: Snapshot, now: float) -> bool:
    """Whether nothing speaks against asking `target` first. The unwell are asked last, never not at all."""
    provider = snapshot.provider(target.provider.name)
    if provider.healthy is False or _resting(provider, now):
        return False
    return not _resting(snapshot.target(target.name), now)


def _resting(state: TargetState | ProviderState, now: float) -> bool:
    return state.cooled_until > now or state.breaker.refuses(now)
