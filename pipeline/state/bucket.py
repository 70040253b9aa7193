"""A bucket limits a rate and lets a burst through: the generic cell rate algorithm, which keeps one number.

`full_at` is the time at which all that was taken will have flowed back. Each unit taken moves it by `period / limit`;
it may stand at most `burst` units in the future. So nothing runs in the background, and an unused bucket costs nothing.

Several limits are asked together and charged together: ask each `retry_after`, and only if all say 0.0 take from each.
"""

from attrs import frozen

# Sums of floats miss the boundary by their rounding: without this a caller who waited exactly as told is refused again.
ROUNDING_S = 1e-6


@frozen
class Rate:
    """`limit` units every `period_s` seconds, up to `burst` of them at once."""

    limit: float
    period_s: float
    burst: float

    @property
    def unit_s(self) -> float:
        """Seconds in which one unit flows back."""
        return self.period_s / self.limit


@frozen
class Bucket:
    """What has been taken from one rate; the rate itself is the caller's to keep, so that it may change."""

    full_at: float = float("-inf")

    def retry_after(self, units: float, now: float, rate: Rate) -> float:
        """Seconds until `units` may be taken; 0.0: now. More than a burst at once is only given by a full bucket."""
        if units > rate.burst:
            wait = self.full_at - now
        else:
            wait = max(self.full_at, now) + (units - rate.burst) * rate.unit_s - now
        return wait if wait > ROUNDING_S else 0.0

    def left(self, now: float, rate: Rate) -> float:
        """Units that may be taken now."""
        return max(0.0, rate.burst - self.full_in(now) / rate.unit_s)

    def full_in(self, now: float) -> float:
        """Seconds until all that was taken has flowed back."""
        return max(0.0, self.full_at - now)

    def taken(self, units: float, now: float, rate: Rate) -> "Bucket":
        """The bucket without `units`, asked for or not: what turned out to be more than reserved runs into debt."""
        return Bucket(max(self.full_at, now) + units * rate.unit_s)

    def given_back(self, units: float, now: float, rate: Rate) -> "Bucket":
        """The bucket with `units` that were reserved and not used; never fuller than full."""
        return Bucket(max(now, self.full_at - units * rate.unit_s))
