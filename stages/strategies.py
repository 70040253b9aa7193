"""strategies: which of several targets is asked first. A strategy is one function in one table, and pure.

It gives a target a score for this request, as things stand now; the lowest is asked first. All see the same `View`.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property, lru_cache
from importlib import import_module
from inspect import iscoroutinefunction, signature
from typing import Any, TypeAlias

from attrs import define, field

from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Barred, Eligible, eligibility
from pipeline.values.exchange import Turn
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
# Longer ago than anything that was ever measured.
NEVER_S = 1e9

log = logging.getLogger("ollama_proxy.strategies")


class Sized:
    """A request. Its tokens are reckoned once, and only where somebody asks for them."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._tokens = 0

    @property
    def tokens(self) -> int:
        """Its tokens, by estimate."""
        self._tokens = self._tokens or input_tokens(self.request)
        return self._tokens


@define(eq=False, slots=False)
class View:
    """What a strategy sees. `roll` in [0, 1) is chance.

    `cheapest_first`: the kinds of providers by how dear they usually are, for models without a price.
    """

    targets: tuple[Target, ...]
    snapshot: Snapshot
    sized: Sized
    now: float
    roll: float = 0.5
    cheapest_first: tuple[str, ...] = ()
    _found: dict[str, Eligible | Barred] = field(factory=dict, init=False)

    @property
    def request(self) -> Request:
        """The request."""
        return self.sized.request

    @property
    def tokens(self) -> int:
        """Tokens of the request, by estimate."""
        return self.sized.tokens

    def eligibility(self, target: Target) -> Eligible | Barred:
        """Whether it may be asked now, found out once a view."""
        name = target.name
        if (found := self._found.get(name)) is None:
            found = self._found[name] = eligibility(target, self.snapshot, self.now)
        return found

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
        found = self.eligibility(target)
        return target.provider.weight * (1.0 if isinstance(found, Barred) else found.weight)


Strategy: TypeAlias = Callable[[Target, View], float]


def by_priority(target: Target, view: View) -> float:
    """The provider's configured priority."""
    return float(target.provider.priority)


def by_capability(target: Target, view: View) -> float:
    """How well the model fits the request."""
    return float(misfit(target, view))


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


def next_turns(targets: Sequence[Target], view: View) -> dict[str, Turn]:
    """How a call would move on each of `targets`, which are equals and may be asked now: the further, the smaller its weight.

    Who was away comes back one turn behind the others, not with all that it missed; and who is asked before its turn,
    because another has no place free, owes for one turn and not for all such calls. One alone has no turns.
    """
    if len(targets) < 2:
        return {}
    turns = {target.name: view.snapshot.target(target.name).turn for target in targets}
    steps = {target.name: 1 / view.weight(target) for target in targets}
    first = min(turns.values())
    *_, second_longest, longest = sorted(steps.values())
    return {
        name: Turn(
            step,
            first - (second_longest if step == longest else longest),
            # Those that wait for a place begin later than they were chosen: what is their turn is not cut short.
            math.inf if turns[name] == first else first + longest,
        )
        for name, step in steps.items()
    }


def by_load(target: Target, view: View) -> float:
    """How busy it is for its weight. Who fails fast is not idle."""
    state = view.snapshot.target(target.name)
    ok, hard, soft, _ = state.breaker.seen.totals(view.now)
    failing = (hard + soft) / (ok + hard + soft) if hard + soft else 0.0
    return (state.in_flight + 1) * (1 + FAILING_FACTOR * failing) / view.weight(target)


def by_speed(target: Target, view: View) -> float:
    """Seconds until its first content, of late. The favourite has to be beaten clearly; now and then another is tried, and
    of several the one that was measured longest ago.
    """
    ttft = view.snapshot.target(target.name).ttft
    unmeasured_s = NEVER_S if ttft.at is None else view.now - ttft.at
    if unmeasured_s > UNMEASURED_S and view.roll * EXPLORED_PICKS < 1 and target.name != view.favourite:
        return -unmeasured_s
    seconds = ttft.read(view.now)
    return seconds * BETTER if target.name == view.favourite else seconds


@define(eq=False)
class Own:
    """A strategy of the operator's, `name`. Its faults cost nobody an answer: what it cannot score comes last, and the log
    says so once.
    """

    name: str
    function: Callable[[Target, View], Any]
    _told: bool = field(default=False, init=False)

    def __call__(self, target: Target, view: View) -> float:
        """The score."""
        try:
            score = float(self.function(target, view))
            if not math.isnan(score):
                return score
            self._tell(target, None)
        except Exception as error:
            self._tell(target, error)
        return math.inf

    def _tell(self, target: Target, error: Exception | None) -> None:
        if not self._told:
            self._told = True
            log.error("%s gave %s no score, so it is asked last", self.name, target.name, exc_info=error)


def strategy_named(name: str) -> Strategy:
    """The strategy of the table, or the operator's own, `package.module:NAME`. Raises ValueError, saying what would do."""
    return STRATEGIES.get(name) or _own(name)


@lru_cache(maxsize=64)
def _own(name: str) -> Strategy:
    module, separator, attribute = name.partition(":")
    if not separator:
        close = get_close_matches(name, list(STRATEGIES), 1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise ValueError(f"must be one of {', '.join(STRATEGIES)}, or package.module:NAME{meant}")
    try:
        found: Strategy = getattr(import_module(module), attribute)
    except Exception as error:
        raise ValueError(f'"{name}" cannot be imported: {type(error).__name__}: {error}') from error
    if not _takes_a_target_and_a_view(found):
        raise ValueError(f'"{name}" is no function of a target and a view')
    return found if found in STRATEGIES.values() else Own(name, found)


def _takes_a_target_and_a_view(found: object) -> bool:
    if not callable(found) or iscoroutinefunction(found):
        return False
    try:
        signature(found).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True


STRATEGIES: Mapping[str, Strategy] = {
    "capability_based": by_capability,
    "cost_optimized": by_cost,
    "round_robin": by_turn,
    "least_loaded": by_load,
    "fastest_response": by_speed,
    "priority": by_priority,
}
