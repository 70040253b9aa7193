"""Who is let in while the process itself cannot keep up, so that those who are can be served in time.

Every request has a place from 0 to 511: its class decides first, and within the class a number made of its key, another
each hour, so that nobody is always the one who is left out. Let in are the places up to a level. While overloaded the
level sinks so far that one in twenty fewer of the last window would have been let in; else it rises by one in a hundred.

    0         128         256         384         511
    |critical |high       |normal     |low        |
                                  ^ level: low is left out, and so are some keys of normal
"""

from collections.abc import Sequence
from zlib import crc32

from pipeline.values.callers import Priority

PLACES_EACH = 128
TOP = PLACES_EACH * len(Priority) - 1
FEWER, MORE = 0.05, 0.01
LATE_S, LATE_SHARE = 0.1, 0.9
HOUR_S = 3600.0


def place(rank: int, key: str, now: float) -> int:
    """Where a request of this class and key stands; lower is let in for longer."""
    return rank * PLACES_EACH + crc32(key.encode(), int(now // HOUR_S)) % PLACES_EACH


def overloaded(late_s: Sequence[float]) -> bool:
    """Whether a task that slept woke too late, too often: nine in ten must not be later than a tenth of a second."""
    if not late_s:
        return False
    return sorted(late_s)[int(LATE_SHARE * (len(late_s) - 1))] > LATE_S


def adjusted(level: int, arrived: Sequence[int], late: bool) -> int:
    """The level for the next window. `arrived`: how many came at each place in the last one, let in or not."""
    return _lowered(level, arrived) if late else _raised(level, arrived)


def _lowered(level: int, arrived: Sequence[int]) -> int:
    admitted = sum(arrived[: level + 1])
    most = admitted * (1 - FEWER)
    while level > 0 and admitted > most:
        admitted -= arrived[level]
        level -= 1
    return level


def _raised(level: int, arrived: Sequence[int]) -> int:
    least, more = MORE * sum(arrived), 0
    while level < TOP:
        level += 1
        more += arrived[level]
        if more and more >= least:
            break
    return level
