"""How many second attempts the house may start beside slow first ones: a share of its exchanges, and of what it spends."""

from attrs import frozen

from pipeline.state.window import Shape, Window

EXCHANGES, HEDGES = range(2)
SPENT, HEDGED = range(2)
# Millionths of a US dollar, as windows count in whole numbers.
MICRO = 1_000_000

MINUTE = Window(Shape(slice_s=6.0, length=10, columns=2))
HOUR = Window(Shape(slice_s=360.0, length=10, columns=2))


@frozen
class HedgeBudget:
    """`calls` counts exchanges and hedges of a minute, `money` what all attempts and what hedges cost in an hour."""

    calls: Window = MINUTE
    money: Window = HOUR

    def accepted(self, now: float) -> "HedgeBudget":
        """One more exchange is called."""
        return HedgeBudget(self.calls.added(EXCHANGES, now), self.money)

    def hedged(self, cost: float | None, now: float) -> "HedgeBudget":
        """One more hedge, whose input is likely to cost `cost` US dollars."""
        return HedgeBudget(self.calls.added(HEDGES, now), self.money.added(HEDGED, now, _micro(cost)))

    def spent(self, cost: float | None, now: float) -> "HedgeBudget":
        """An attempt has cost `cost` US dollars."""
        return HedgeBudget(self.calls, self.money.added(SPENT, now, _micro(cost))) if cost else self

    def allows(
        self, cost: float | None, now: float, share: float, most_cost: float, cost_share: float
    ) -> bool:
        """Whether one more hedge is affordable; its `cost` None: not known, so that only its number counts."""
        exchanges, hedges = self.calls.totals(now)
        if hedges + 1 > share * exchanges:
            return False
        if cost is None:
            return True
        spent, hedged = self.money.totals(now)
        return cost <= most_cost and hedged + _micro(cost) <= cost_share * (spent + hedged) if cost else True


def _micro(cost: float | None) -> int:
    return round((cost or 0.0) * MICRO)
