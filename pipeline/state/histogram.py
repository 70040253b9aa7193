"""Quantiles of durations of the last minutes, from counts in buckets that grow by a tenth each.

What takes its time because it is long is not slow: where that matters each class of sizes has a histogram of its own.
Time is cut into slices that are dropped whole, so it forgets in steps of one slice. A quantile is told as the upper edge
of its bucket: never too low, and at most a tenth too high.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
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
        return sum(sum(counts.values()) for counts in self.fresh(now))

    def quantile(self, share: float, now: float) -> float | None:
        """The duration that `share` of all did not exceed; None where none is remembered."""
        return _quantile(share, self.fresh(now))

    def fresh(self, now: float) -> list[Mapping[int, int]]:
        """The counts of what is remembered, slice by slice."""
        oldest = int(now // SLICE_S) - SLICES
        return [counts for number, counts in self.slices if number > oldest]


NOTHING = Histogram()


@frozen
class SizedHistogram:
    """A histogram for each class of sizes; None is that of what nobody has measured. Classes are few, so it stays small."""

    classes: Mapping[int | None, Histogram] = field(factory=dict)

    def seen(self, seconds: float, now: float, size: int | None) -> "SizedHistogram":
        """One more duration of something of this class."""
        return SizedHistogram({**self.classes, size: self.of(size).seen(seconds, now)})

    def of(self, size: int | None) -> Histogram:
        """The durations of one class."""
        return self.classes.get(size, NOTHING)

    def count(self, now: float) -> int:
        """How many durations are remembered, of all sizes."""
        return sum(one.count(now) for one in self.classes.values())

    def quantile(self, share: float, now: float) -> float | None:
        """The duration that `share` of all did not exceed, whatever their size; None where none is remembered."""
        return _quantile(share, [counts for one in self.classes.values() for counts in one.fresh(now)])


def _quantile(share: float, slices: Iterable[Mapping[int, int]]) -> float | None:
    counts = Counter[int]()
    for one in slices:
        counts.update(one)
    rank = ceil(share * counts.total())
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0:
            return upper_edge(bucket)
    return None
