"""One request with all that becomes of it."""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias

from attrs import field, frozen

from pipeline.values.callers import ANYBODY, Caller, Priority
from pipeline.values.events import Usage
from pipeline.values.http import Headers
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Outcome
from pipeline.values.targets import Target


@frozen
class Preference:
    """`X-Provider`: providers to be tried first, in this order; `only` forbids all others."""

    providers: tuple[str, ...] = ()
    only: bool = False


@frozen
class Turn:
    """How a call moves its target on, where several take turns: by `step` from where it stands then, which counts as not
    before `low` and not behind `high`.
    """

    step: float
    low: float = -math.inf
    high: float = math.inf

    def after(self, turn: float) -> float:
        """Where a target stands after the call that stood at `turn`."""
        return min(max(turn, self.low), self.high) + self.step


@frozen
class Candidate:
    """A target that could serve. Lower `score` first; `why` is for people.

    `group`: 0 for the model that was asked for, higher for those that stand in for it, in order. `instead_of`: it stands
    in only after a failure of this kind; None: after any that another target may mend. `turn`: how a call moves it on, where
    several take turns.
    """

    target: Target
    score: float
    why: str
    group: int = 0
    instead_of: Kind | None = None
    turn: Turn | None = None


Order: TypeAlias = Callable[[tuple[Candidate, ...], Any, float, float], tuple[Candidate, ...]]


def as_planned(
    candidates: tuple[Candidate, ...], snapshot: Any, now: float, roll: float
) -> tuple[Candidate, ...]:
    """The order they have."""
    return candidates


@frozen
class Refused:
    """A target that has the model and is no candidate; `why` is for people."""

    target: Target
    why: str


@frozen
class Plan:
    """Candidates in the order they would be asked now, and the strategy that ordered them.

    `order(candidates, snapshot, now, roll)`: the same question asked again later, of those that are left. `refused`: who
    is no candidate, where that was asked for.
    """

    candidates: tuple[Candidate, ...]
    strategy: str
    order: Order = field(default=as_planned, eq=False, repr=False)
    refused: tuple[Refused, ...] = ()


@frozen
class Exchange:
    """One request on its way. `arrived` and `deadline` are monotonic seconds; `dialect` is the client's wire language.

    `strict`: refuse rather than lose something the client asked for. `forwarded`: headers that every upstream is sent.
    `strategy`: how targets are to be ordered, by the client's wish. `client_retry`: his own library asks once more.
    `explain`: he wants to know why he got whom.
    """

    id: str
    request: Request
    dialect: str
    arrived: float
    deadline: float
    caller: Caller = ANYBODY
    preference: Preference = Preference()
    priority: Priority = Priority.NORMAL
    strict: bool = False
    forwarded: Headers = field(factory=dict)
    plan: Plan | None = None
    strategy: str | None = None
    client_retry: bool = False
    explain: bool = False

    def planned(self, plan: Plan) -> "Exchange":
        """The exchange with its plan."""
        # Every request gets one, and `evolve` would cost more than twice as much.
        return Exchange(
            self.id,
            self.request,
            self.dialect,
            self.arrived,
            self.deadline,
            self.caller,
            self.preference,
            self.priority,
            self.strict,
            self.forwarded,
            plan,
            self.strategy,
            self.client_retry,
            self.explain,
        )


class How(StrEnum):
    """How something of the request was lost.

    `MOOT`: it concerns an engine the target does not have (memory, threads, keeping a model loaded): nothing changes.
    """

    DROPPED = "dropped"
    APPROXIMATED = "approximated"
    EMULATED = "emulated"
    MOOT = "moot"


@frozen
class Loss:
    """One field of the request that the target could not be told as it was."""

    field: str
    how: How


Losses: TypeAlias = tuple[Loss, ...]


@frozen
class Attempt:
    """One try at one target. Times are monotonic seconds; `verdict` None: it went well.

    `first` is when the first content came, None if none came. `committed`: its content reached the client. `cancelled`:
    we ended it ourselves. `connected_s`: what getting a connection took, 0 for a kept one, None if that is not known.
    `cost`: US dollars, None if that is not known.
    """

    number: int
    target: str
    started: float
    ended: float | None = None
    first: float | None = None
    verdict: Kind | None = None
    committed: bool = False
    cancelled: bool = False
    connected_s: float | None = None
    cost: float | None = None


@frozen
class Record:
    """What became of one exchange; closed exactly once. `at` is epoch seconds, durations are seconds.

    `served` is `provider/model` of the attempt whose content the client got. `problem` is the kind the client was told.
    `continued`: how often another went on with the answer where one broke off. `usage`: of the answer, counted where nobody
    told it. `cost`: US dollars of all attempts, as far as their prices are known; None where none is.
    `reused`: the answer is that of the exchange of this id.
    """

    id: str
    at: float
    caller: str | None
    dialect: str
    operation: str
    model: str
    stream: bool
    outcome: Outcome
    problem: Kind | None
    status: int | None
    served: str | None
    attempts: tuple[Attempt, ...]
    losses: Losses
    usage: Usage
    queued_s: float
    ttft_s: float | None
    duration_s: float
    strategy: str | None = None
    continued: int = 0
    cost: float | None = None
    reused: str | None = None
