"""strategies: which of several targets is asked first. A strategy is one function in one table, and pure.

It gives a target a score for this request, as things stand now; the lowest is asked first. All see the same `View`.
"""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from typing import TypeAlias

from attrs import define

from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Barred, eligibility
from pipeline.values.messages import ChatRequest, Request
from pipeline.values.sizes import input_tokens
from pipeline.values.targets import Target
from stages.costs import estimated_cost

# How much better another must be before the favourite changes.
BETTER = 0.9
# One pick in so many goes to a target that nobody has measured of late.
EXPLORED_PICKS = 20
UNMEASURED_S = 5.0

# A target that fails at once is never busy. It is taken for so many times busier as all its calls fail.
FAILING_FACTOR = 10.0
UNPRICED = 1e9


@define(eq=False, slots=False)
class View:
    """What a strategy sees. `roll` in [0, 1) is chance.

    `cheapest_first`: the kinds of providers by how dear they usually are, for models without a price.
    """

    targets: tuple[Target, ...]
    snapshot: Snapshot
    request: Request
    now: float
    roll: float = 0.5
    cheapest_first: tuple[str, ...] = ()

    @cached_property
    def tokens(self) -> int:
        """Tokens of the request, by estimate."""
        return input_tokens(self.request)

    @cached_property
    def favourite(self) -> str | None:
        """The target that was asked most of late."""
        counts = {target.name: self._asked(target) for target in self.targets}
        name = max(counts, key=lambda one: counts[one])
        return name if counts[name] else None

    def _asked(self, target: Target) -> int:
        return sum(self.snapshot.target(target.name).breaker.seen.totals(self.now)[:3])

    def weight(self, target: Target) -> float:
        """The share of calls it should get: as configured, and less for a while after a bad time."""
        found = eligibility(target, self.snapshot, self.now)
        return target.provider.weight * (1.0 if isinstance(found, Barred) else found.weight)


Strategy: TypeAlias = Callable[[Target, View], float]


def by_priority(target: Target, view: View) -> float:
    """The provider's configured priority."""
    return float(target.provider.priority)


def by_capability(target: Target, view: View) -> float:
    """How well the model fits the request, then the priority."""
    return 1000.0 * misfit(target, view) + target.provider.priority


def misfit(target: Target, view: View) -> int:
    """How many things speak against the model for this request: 0 is a model known to fit."""
    facts, request = target.facts, view.request
    unknown = facts.capabilities is None
    cramped = facts.context_length is not None and view.tokens > facts.context_length
    loose = (
        isinstance(request, ChatRequest)
        and request.format is not None
        and request.format.schema is not None
        and facts.structured_output is False
    )
    return 2 * cramped + unknown + loose


def by_cost(target: Target, view: View) -> float:
    """What the request is likely to cost, in US dollars; models without a price come last, by their kind of provider."""
    cost = estimated_cost(target, view.request, view.tokens)
    if cost is not None:
        return cost
    kinds = view.cheapest_first
    kind = target.provider.kind
    return UNPRICED + (kinds.index(kind) if kind in kinds else len(kinds))


def by_turn(target: Target, view: View) -> float:
    """Whose turn it is: each is asked as often as its weight says, evenly mixed."""
    return view.snapshot.target(target.name).turn


def next_turn(target: Target, view: View) -> float:
    """The turn of `target` once it has been asked: the further on, the smaller its weight.

    Who was away comes back one turn behind the others, not with all that it missed.
    """
    turns = {other: view.snapshot.target(other.name).turn for other in view.targets if other != target}
    longest = max((1 / view.weight(other) for other in turns), default=0.0)
    behind = min(turns.values(), default=0.0) - longest
    return max(view.snapshot.target(target.name).turn, behind) + 1 / view.weight(target)


def by_load(target: Target, view: View) -> float:
    """How busy it is for its weight. Who fails fast is not idle."""
    state = view.snapshot.target(target.name)
    ok, hard, soft, _ = state.breaker.seen.totals(view.now)
    failing = (hard + soft) / (ok + hard + soft) if hard + soft else 0.0
    return (state.in_flight + 1) * (1 + FAILING_FACTOR * failing) / view.weight(target)


def by_speed(target: Target, view: View) -> float:
    """Seconds until its first content, of late. The favourite has to be beaten clearly; now and then another is tried."""
    ttft = view.snapshot.target(target.name).ttft
    unmeasured = ttft.at is None or view.now - ttft.at > UNMEASURED_S
    if unmeasured and view.roll * EXPLORED_PICKS < 1 and target.name != view.favourite:
        return 0.0
    seconds = ttft.read(view.now)
    return seconds * BETTER if target.name == view.favourite else seconds


def strategy_named(name: str) -> Strategy:
    """The strategy of the table, or the operator's own, `package.module:NAME`. Raises ValueError, saying what would do."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    module, separator, attribute = name.partition(":")
    if not separator:
        close = get_close_matches(name, list(STRATEGIES), 1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise ValueError(f"must be one of {', '.join(STRATEGIES)}, or package.module:NAME{meant}")
    try:
        found: Strategy = getattr(import_module(module), attribute)
    except Exception as error:
        raise ValueError(f'"{name}" cannot be imported: {type(error).__name__}: {error}') from error
    if not callable(found):
        raise ValueError(f'"{name}" is no function of a target and a view')
    return found


STRATEGIES: Mapping[str, Strategy] = {
    "capability_based": by_capability,
    "cost_optimized": by_cost,
    "round_robin": by_turn,
    "least_loaded": by_load,
    "fastest_response": by_speed,
    "priority": by_priority,
}
