"""Flap damping: who goes up and down all the time is left down for a while, until it has made up its mind.

Each change adds to a penalty that halves every minute. Above a high mark it is held down, until the penalty has fallen
below a low one, and never longer than five minutes.
"""

from math import exp2, log2

from attrs import frozen

CHANGE, HALF_LIFE_S = 1000.0, 60.0
ABOVE, BELOW = 2000.0, 750.0
LONGEST_S = 300.0


@frozen
class Flaps:
    """`penalty` as of `at`. `since`: when it was last held down, `until`: how long. Monotonic seconds."""

    penalty: float = 0.0
    at: float = 0.0
    since: float = 0.0
    until: float = 0.0

    def read(self, now: float) -> float:
        """The penalty as of `now`."""
        return self.penalty * exp2(-max(0.0, now - self.at) / HALF_LIFE_S)

    def holds(self, now: float) -> bool:
        """Whether it is held down."""
        return now < self.until

    def changed(self, now: float) -> "Flaps":
        """It went up or down once more."""
        penalty = self.read(now) + CHANGE
        held = self.holds(now)
        if not held and penalty <= ABOVE:
            return Flaps(penalty, now, self.since, self.until)
        since = self.since if held else now
        calm_s = HALF_LIFE_S * log2(penalty / BELOW)
        return Flaps(penalty, now, since, min(now + calm_s, since + LONGEST_S))
