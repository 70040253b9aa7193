"""What the fake providers were asked, and whether the caller stayed to the end: kept for tests and drills."""

from collections import deque
from typing import Literal

from attrs import define, field

from adapters.simulator.played import Played
from pipeline.values.http import HttpRequest

KEPT = 1000


@define(eq=False)
class Call:
    """One request. `at` and `ended` (None: still going on) are seconds of the keeper's clock.

    `busies`: a model works at it. `outcome`: `whole`: the answer reached its end; `broken`: the scenario broke it off;
    `left`: the caller went before.
    """

    request: HttpRequest
    at: float
    ended: float | None = None
    outcome: Literal["open", "whole", "broken", "left"] = "open"
    busies: bool = False

    @property
    def whole(self) -> bool:
        """Whether the answer reached its end."""
        return self.outcome == "whole"

    @property
    def left(self) -> bool:
        """Whether the caller went before."""
        return self.outcome == "left"


@define(eq=False)
class Journal:
    """The last calls, oldest first; `opened` and `closed` count all, `works` those that asked a model for something.

    `running`: those that a model works at now, `refused`: those that were turned away; `busy_s`: seconds of all that ran, up
    to `moved_at`, so that its growth over a time is how many ran in it on average.
    """

    calls: deque[Call] = field(factory=lambda: deque(maxlen=KEPT))
    opened: int = 0
    closed: int = 0
    works: int = 0
    running: int = 0
    refused: int = 0
    busy_s: float = 0.0
    moved_at: float = 0.0

    def begin(self, request: HttpRequest, at: float, works: bool) -> Call:
        """Note a call that begins."""
        call = Call(request, at)
        self.calls.append(call)
        self.opened += 1
        self.works += works
        return call

    def answered(self, call: Call, played: Played, at: float) -> None:
        """Note what it is answered: a model works at what is not refused."""
        call.busies = played.head is None or played.head.status < 400
        self.refused += not call.busies
        self.move(at, call.busies)

    def move(self, at: float, by: int = 0) -> None:
        """So many more run from now on."""
        self.busy_s += self.running * (at - self.moved_at)
        self.running, self.moved_at = self.running + by, at

    def end(self, call: Call, at: float) -> None:
        """Note that it is over; if its answer is still open, it was the caller who left."""
        call.ended = at
        self.closed += 1
        self.move(at, -call.busies)
        if call.outcome == "open":
            call.outcome = "left"
