"""What the fake providers were asked, and whether the caller stayed to the end: kept for tests and drills."""

from collections import deque
from typing import Literal

from attrs import define, field

from pipeline.values.http import HttpRequest

KEPT = 1000


@define(eq=False)
class Call:
    """One request. `at` and `ended` (None: still going on) are seconds of the keeper's clock.

    `outcome`: `whole`: the answer reached its end; `broken`: the scenario broke it off; `left`: the caller went before.
    """

    request: HttpRequest
    at: float
    ended: float | None = None
    outcome: Literal["open", "whole", "broken", "left"] = "open"

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
    """The last calls, oldest first; `opened` and `closed` count all, `works` those that asked a model for something."""

    calls: deque[Call] = field(factory=lambda: deque(maxlen=KEPT))
    opened: int = 0
    closed: int = 0
    works: int = 0

    def begin(self, request: HttpRequest, at: float, works: bool) -> Call:
        """Note a call that begins."""
        call = Call(request, at)
        self.calls.append(call)
        self.opened += 1
        self.works += works
        return call

    def end(self, call: Call, at: float) -> None:
        """Note that it is over; if its answer is still open, it was the caller who left."""
        call.ended = at
        self.closed += 1
        if call.outcome == "open":
            call.outcome = "left"
