"""A moving average of durations that believes bad news at once and good news slowly.

A sample above the average replaces it (a peak), a lower one pulls it down the more, the longer the last sample is ago:
`e = r if r > e else e*w + r*(1-w)` with `w = exp(-dt/30)`. The weight hangs on time and not on the number of samples,
so a busy target and a quiet one forget alike. What nobody has measured for a while drifts back to the prior when it is
read: `p + (e-p)*exp(-age/300)`. So a target that was slow once is tried again, and nothing has to be written for that.
"""

from math import exp

from attrs import frozen

MEMORY_S = 30.0
DRIFT_S = 300.0


@frozen
class Ewma:
    """Seconds. `value` as of `at`, the time of the last sample; `at` None: no sample yet, the value is the prior's."""

    prior: float = 1.0
    value: float = 1.0
    at: float | None = None

    def seen(self, seconds: float, now: float) -> "Ewma":
        """The average after one more sample. The first sample is taken as it is."""
        value, at = self.value, self.at
        if at is None:
            return Ewma(self.prior, seconds, now)
        if seconds > value:
            value = seconds
        elif now > at:
            keep = exp((at - now) / MEMORY_S)
            value = value * keep + seconds * (1 - keep)
        return Ewma(self.prior, value, now if now > at else at)

    def read(self, now: float) -> float:
        """The average projected to `now`."""
        if self.at is None:
            return self.prior
        if now <= self.at:
            return self.value
        return self.prior + (self.value - self.prior) * exp((self.at - now) / DRIFT_S)
