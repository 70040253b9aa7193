"""Quantiles of durations of the last minutes, from counts in buckets that grow by a tenth each.

Time is cut into slices that are dropped whole, so it forgets in steps of one slice. A quantile is told as the upper edge
of its bucket: never too low, and at most a tenth too high.
"""

from collections.abc import Mapping
from math import ceil, log

from attrs import field, frozen

SLICE_S, SLICES = 50.0, 6
LEAST_S, GROWTH = 0.001, 1.1
# The longest that is told apart is about three hours.
BUCKETS = 170
LONGEST_S = LEAST_S * GROWTH**BUCKETS
STEP = log(GROWTH)


def bucket_of(seconds: float) -> int:
    """The number of the bucket that holds a duration."""
    if seconds <= LEAST_S:
        return 0
    return min(BUCKETS - 1, ceil(log(min(seconds, LONGEST_S) / LEAST_S) / STEP - 1e-9))


def upper_edge(bucket: int) -> float:
    """The longest duration, in seconds, that falls into a bucket."""
    return LEAST_S * GROWTH**bucket


@frozen
class Histogram:
    """`slices` are (number, counts by bucket), oldest first."""

    slices: tuple[tuple[int, Mapping[int, int]], ...] = field(default=())

    def seen(self, seconds: float, now: float) -> "Histogram":
        """One more duration."""
        number, bucket = int(now // SLICE_S), bucket_of(seconds)
        slices = self.slices
        if slices and slices[-1][0] >= number:
            number, counts = slices[-1]
            kept = slices[:-1]
        else:
            counts = {}
            kept = tuple([one for one in slices if one[0] > number - SLICES])
        return Histogram((*kept, (number, {**counts, bucket: counts.get(bucket, 0) + 1})))

    def count(self, now: float) -> int:
        """How many durations are remembered."""
        return sum(sum(counts.values()) for counts in self._fresh(now))

    def quantile(self, share: float, now: float) -> float | None:
        """The duration that `share` of all did not exceed; None where none is remembered."""
        counts: dict[int, int] = {}
        for one in self._fresh(now):
            for bucket, count in one.items():
                counts[bucket] = counts.get(bucket, 0) + count
        rank = ceil(share * sum(counts.values()))
        for bucket in sorted(counts):
            rank -= counts[bucket]
            if rank <= 0:
                return upper_edge(bucket)
        return None

    def _fresh(self, now: float) -> list[Mapping[int, int]]:
        oldest = int(now // SLICE_S) - SLICES
        return [counts for number, counts in self.slices if number > oldest]
