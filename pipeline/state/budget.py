"""A budget of money for one window of time: an estimate is reserved before a call, what it cost is settled after it.

Money is whole micro-USD. `spent + reserved` never passes the limit by a reservation. A call that cost more than was
reserved for it is still written down as it was; until the next window nothing more is granted then.

Windows are numbered by the caller from the wall clock, for example days since the epoch. A budget only moves on to a
later window: if the clock jumps back, nothing is granted twice. What is reserved moves on with it, and is spent in the
window in which it is settled.
"""

import math

from attrs import evolve, frozen

MILLION = 1_000_000


@frozen
class Budget:
    """What one key has `spent` in `window`, and what is `reserved` for calls that are still out."""

    window: int = 0
    spent: int = 0
    reserved: int = 0

    def left(self, limit: int, window: int) -> int:
        """What may still be reserved."""
        return max(0, limit - self.moved(window)._taken)

    def reserve(self, estimate: int, limit: int, window: int) -> "Budget | None":
        """The budget with `estimate` set aside; None where that is more than is left."""
        budget = self.moved(window)
        if budget._taken + estimate > limit:
            return None
        return evolve(budget, reserved=budget.reserved + estimate)

    def settle(self, estimate: int, actual: int, window: int) -> "Budget":
        """The budget after a call for which `estimate` was reserved has cost `actual` (0: it never took place)."""
        budget = self.moved(window)
        return evolve(budget, reserved=budget.reserved - estimate, spent=budget.spent + actual)

    def moved(self, window: int) -> "Budget":
        """The budget in `window`, or in its own if that is later."""
        return evolve(self, window=window, spent=0) if window > self.window else self

    @property
    def _taken(self) -> int:
        return self.spent + self.reserved


def micro(cost: float | None) -> int:
    """A cost in US dollars as whole micro-USD, never less than it was; 0 for one that is not known."""
    return 0 if cost is None else math.ceil(round(cost * MILLION, 6))
