"""Who asks, and what he may have."""

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from attrs import field, frozen

Scope: TypeAlias = Literal["client", "admin"]
Period: TypeAlias = Literal["hour", "day", "week", "month"]

EVERY_SCOPE: frozenset[Scope] = frozenset({"client", "admin"})


class Priority(StrEnum):
    """Classes of waiting, most urgent first."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return RANKS[self]

    def at_most(self, highest: "Priority") -> "Priority":
        """This class, or the highest that is allowed."""
        return max(self, highest, key=RANKS.__getitem__)


RANKS = {priority: rank for rank, priority in enumerate(Priority)}


@frozen
class Allowance:
    """Money a key may spend in each period of the calendar (UTC): whole micro-USD, more than none."""

    micro_usd: int
    period: Period = "month"


@frozen
class CallerLimits:
    """How much a key may ask for. None: no limit of its own.

    `requests` and `tokens` a minute, tokens in and out; `concurrent`: exchanges that run or wait at once.
    """

    requests: int | None = None
    tokens: int | None = None
    concurrent: int | None = None
    budget: Allowance | None = None


@frozen
class Caller:
    """Who asks. `key` is the id of the key that was shown, None for an open house; `name` is for people.

    `models`: shell patterns of the names it may ask for, `providers`: those that may answer it; none: all. `highest`: the
    most urgent class of waiting it may have, and what it has unless it says otherwise is `NORMAL`, or that if it is lower.
    """

    key: str | None = None
    name: str = ""
    models: tuple[str, ...] = ()
    providers: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = EVERY_SCOPE
    highest: Priority = Priority.CRITICAL
    limits: CallerLimits = field(factory=CallerLimits)

    def may_ask_for(self, model: str) -> bool:
        """Whether a model may be asked for by this name; `:latest` and case are no difference."""
        name = model.lower().removesuffix(":latest")
        return not self.models or any(
            fnmatchcase(name, pattern.lower().removesuffix(":latest")) for pattern in self.models
        )

    def may_use(self, provider: str) -> bool:
        """Whether a provider may answer it."""
        return not self.providers or provider in self.providers


ANYBODY = Caller()
