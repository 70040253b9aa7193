"""A bucket whose takers may give back late what they did not use.

Who reserves for an answer of 4,000 tokens learns only a minute later that it had 200. By then part of what he reserved has
flowed back by itself; if all of the rest were given back too, what others have taken since would be given a second time,
and more would go than the rate allows. What is still owed to him is what the bucket would hold less today had he taken
only what he used: never more than the least that was missing in it since.
"""

import math
from collections.abc import Mapping

from attrs import evolve, field, frozen

from pipeline.state.bucket import Bucket, Rate


@frozen
class Meter:
    """What has been taken from one rate. `open`: by ticket, the least that was missing since it was taken, in seconds."""

    bucket: Bucket = Bucket()
    open: Mapping[int, float] = field(factory=dict)

    def retry_after(self, units: float, now: float, rate: Rate) -> float:
        """Seconds until `units` may be taken; 0.0: now."""
        return self.bucket.retry_after(units, now, rate)

    def behind(self, units: float, waiting: float, now: float, rate: Rate) -> float:
        """Seconds until `units` may be taken once those `waiting` before them have theirs."""
        if not waiting:
            return self.retry_after(units, now, rate)
        queued = Bucket(max(self.bucket.full_at, now) + waiting * rate.unit_s)
        return queued.retry_after(units, now, rate)

    def taken(self, ticket: int, units: float, now: float, rate: Rate) -> "Meter":
        """Without `units`, of which a part may come back by `settled(ticket, ...)`, which must come."""
        return Meter(
            self.bucket.taken(units, now, rate), {**_seen(self.open, self._missing(now)), ticket: math.inf}
        )

    def settled(self, ticket: int, unused: float, now: float, rate: Rate) -> "Meter":
        """After `ticket` has left `unused` of its units; less than none: it used more than it had reserved."""
        missing = self._missing(now)
        seen = _seen(self.open, missing)
        least = seen.pop(ticket, None)
        if least is None or not unused:
            return evolve(self, open=seen)
        if unused < 0:
            return Meter(self.bucket.taken(-unused, now, rate), seen)
        back_s = min(unused * rate.unit_s, least)
        bucket = self.bucket.given_back(back_s / rate.unit_s, now, rate)
        return Meter(bucket, {other: max(0.0, found - back_s) for other, found in seen.items()})

    def forgotten(self, ticket: int) -> "Meter":
        """After `ticket` is over, and nobody counts any more what it used."""
        return evolve(self, open={other: least for other, least in self.open.items() if other != ticket})

    def _missing(self, now: float) -> float:
        return max(0.0, self.bucket.full_at - now)


def _seen(open_: Mapping[int, float], missing: float) -> dict[int, float]:
    """The least that was missing, with what is missing now."""
    return {ticket: missing if missing < least else least for ticket, least in open_.items()}
