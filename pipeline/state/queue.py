"""The queue of those who wait for a permit: who comes next, who must give way, and who is told at once not to wait.

Three questions decide who is next. Which class: each has a weight, and the one whose turn is earliest is served and its
turn moves on by one over its weight (stride scheduling), so the lowest is slow and never starved. Which key of the
class: all in turn, so who asks for much only waits longer himself. Which of a key's: the first to come; while overloaded
the last, because who has waited long has most likely given up. Overloaded means that for ten seconds nobody has come
through without waiting long; then those are shed who have waited for half of what anybody may, and whose turn would come
too late: who can still be served is kept, so that no place stands empty.

    critical  a a b     turn 3.06 \\
    high                           > the earliest turn: b of normal is next, behind it a and then b again
    normal    b b a     turn 3.00 /
    low       c c c c   turn 3.50

All is a value: each step takes a queue and gives the next. Lines are tuples, in the order of arrival and so of tickets,
because copying a thousand places takes a few microseconds, and nothing else is as simple.
"""

from bisect import bisect_left
from collections.abc import Mapping
from math import ceil, exp, inf
from operator import attrgetter
from typing import Literal, TypeAlias

from attrs import evolve, field, frozen

from pipeline.values.callers import Priority
from pipeline.values.standing import Standing

CLASSES = tuple(Priority)
NORMAL = Priority.NORMAL.rank
# The largest part of the queue that one key may have while others wait.
SHARE = 0.25
LOOKED_BACK_S = 10
# A rate is believed from so many samples on, and keeps at least so much of what it knew with each new one.
KNOWN_FROM, KEPT_LEAST = 3.0, 7 / 8
MEMORY_S = 10.0

_ticket = attrgetter("ticket")


@frozen
class QueueRules:
    """`size`: how many may wait; `timeout_s`: how long. `weights`: of the classes, most urgent first.

    `prioritization` False: all are of one class.
    """

    size: int
    timeout_s: float = inf
    prioritization: bool = True
    weights: tuple[int, ...] = (16, 4, 2, 1)

    @property
    def most_of_one(self) -> int:
        """How many places one key may have while others wait."""
        return max(1, int(SHARE * self.size))

    def kept_of(self, rank: int) -> int:
        """How many places of a full queue a class keeps, whoever comes: as many as it is served."""
        return max(1, self.size * self.weights[rank] // sum(self.weights))


@frozen(eq=False)
class Item:
    """One who waits. `ticket`: a number higher than that of all before; `rank` of the class; `until`: monotonic seconds
    up to which being served is of any use."""

    ticket: int
    rank: int
    key: str
    since: float
    until: float = inf


@frozen
class Pace:
    """How many come through in a second while anybody waits: both halves of an average that forgets.

    `at`: when the last one came through, or the first began to wait.
    """

    count: float = 0.0
    span_s: float = 0.0
    at: float = 0.0

    def begun(self, now: float) -> "Pace":
        """Somebody waits who found the queue empty."""
        return Pace(self.count, self.span_s, now)

    def served(self, now: float) -> "Pace":
        """One more came through."""
        after_s = max(0.0, now - self.at)
        keep = max(KEPT_LEAST, exp(-after_s / MEMORY_S))
        return Pace(self.count * keep + 1, self.span_s * keep + after_s, now)

    def rate(self, now: float) -> float | None:
        """How many a second; None where that is not known. It sinks while nobody comes through."""
        if self.count < KNOWN_FROM or self.span_s <= 0:
            return None
        silent_s = max(0.0, now - self.at - self.span_s / self.count)
        return self.count / (self.span_s + silent_s)


@frozen
class Lows:
    """The smallest wait in each of the last seconds, as (second, wait)."""

    seconds: tuple[tuple[int, float], ...] = ()

    def seen(self, wait_s: float, now: float) -> "Lows":
        """One more wait."""
        second, seconds = int(now), self.seconds
        if seconds and seconds[-1][0] >= second:
            second, lowest = seconds[-1]
            return self if wait_s >= lowest else Lows((*seconds[:-1], (second, wait_s)))
        kept = tuple([one for one in seconds if one[0] > second - LOOKED_BACK_S])
        return Lows((*kept, (second, wait_s)))

    def least(self, now: float) -> float:
        """The smallest of them all; 0.0 where they are of one second, which tells of no trend, or of none."""
        oldest = int(now) - LOOKED_BACK_S
        lately = [wait_s for second, wait_s in self.seconds if second > oldest]
        return min(lately) if len(lately) > 1 else 0.0


@frozen(eq=False)
class Line:
    """One class: its turn, its items in the order of arrival, and the same by key, the key that is next first."""

    turn: float = 0.0
    arrivals: tuple[Item, ...] = ()
    lanes: Mapping[str, tuple[Item, ...]] = field(factory=dict)


@frozen(eq=False)
class Queue:
    """`lines` by class; `held`: how many each key has; `turn`: that of the class which was served last."""

    lines: tuple[Line, ...] = (Line(),) * len(CLASSES)
    held: Mapping[str, int] = field(factory=dict)
    waiting: int = 0
    turn: float = 0.0
    pace: Pace = Pace()
    lows: Lows = Lows()

    def overloaded(self, now: float, rules: QueueRules) -> bool:
        """Whether nobody came through lately without waiting long."""
        return self.waiting > 0 and self.lows.least(now) > rules.timeout_s / 4

    def rate(self, now: float) -> float | None:
        """How many come through in a second; where nobody waits, as it was when last somebody did."""
        return self.pace.rate(now if self.waiting else self.pace.at)

    def oldest_s(self, now: float) -> float:
        """How long the one who came first has waited; 0.0 where nobody waits."""
        return max((now - line.arrivals[0].since for line in self.lines if line.arrivals), default=0.0)


EMPTY = Queue()


@frozen
class Queued:
    """He waits, as `item`."""

    item: Item
    standing: Standing


@frozen
class Displaced:
    """He waits, as `item`, in the place of `victim`."""

    item: Item
    standing: Standing
    victim: Item


@frozen
class Refused:
    """He must not wait: the queue is full, his key has its share of it, or it would take too long.

    `retry_after`: seconds in which all who wait now will have been served, None where nobody knows.
    """

    why: Literal["full", "share", "long"]
    standing: Standing

    @property
    def retry_after(self) -> float | None:
        """When to come again."""
        return self.standing.wait_s


Entered: TypeAlias = Queued | Displaced | Refused
Why: TypeAlias = Literal["shed", "late"]
Dropped: TypeAlias = tuple[tuple[Item, Why], ...]


def enqueue(queue: Queue, item: Item, now: float, rules: QueueRules) -> tuple[Queue, Entered]:
    """The queue with `item`, if it may wait; its ticket is higher than that of all who came before."""
    if not rules.prioritization and item.rank != NORMAL:
        item = evolve(item, rank=NORMAL)
    if not queue.waiting:
        # Whoever came before him did not wait.
        queue = evolve(queue, pace=queue.pace.begun(now), lows=queue.lows.seen(0.0, now))
    longer = _with(queue, item)
    victim = None
    held = queue.held.get(item.key, 0)
    if rules.most_of_one <= held < queue.waiting:
        return queue, Refused("share", _entering(longer, item, now, rules))
    if queue.waiting >= rules.size:
        victim = _gives_way(queue, item, now, rules)
        if victim is None:
            return queue, Refused("full", _entering(longer, item, now, rules))
        longer = _without(longer, victim)
    standing = _entering(longer, item, now, rules)
    # While overloaded, who has waited for half as long is shed.
    most_s = rules.timeout_s / 2 if queue.overloaded(now, rules) else rules.timeout_s
    if standing.wait_s is not None and standing.wait_s > min(most_s, item.until - now):
        return queue, Refused("long", standing)
    return longer, Queued(item, standing) if victim is None else Displaced(item, standing, victim)


def dequeue(queue: Queue, now: float, rules: QueueRules) -> tuple[Queue, Item | None, Dropped]:
    """The next to be served, None if nobody is; and who was dropped before him, being too late or shed."""
    dropped: list[tuple[Item, Why]] = []
    while queue.waiting:
        rank, key = _next(queue)
        lane = queue.lines[rank].lanes[key]
        queue = _noted(queue, now - lane[0].since, now)
        newest_first = queue.overloaded(now, rules)
        if newest_first and _in_vain(queue, old := _oldest(queue), now, rules):
            queue = _without(queue, old)
            dropped.append((old, "shed"))
            continue
        item = lane[-1] if newest_first else lane[0]
        if item.until < now:
            queue = _without(queue, item)
            dropped.append((item, "late"))
            continue
        return _served(queue, item, now, rules), item, tuple(dropped)
    return queue, None, tuple(dropped)


def left(queue: Queue, item: Item) -> Queue:
    """The queue without one who leaves it by himself; the same where he is not in it."""
    lane = queue.lines[item.rank].lanes.get(item.key, ())
    return _without(queue, item) if _place(lane, item) is not None else queue


def standing_of(queue: Queue, item: Item, now: float, rules: QueueRules) -> Standing | None:
    """Where one who waits stands now; None where he does not wait."""
    lane = queue.lines[item.rank].lanes.get(item.key, ())
    place = _place(lane, item)
    if place is None:
        return None
    ahead = len(lane) - 1 - place if queue.overloaded(now, rules) else place
    return _standing(queue, item, ahead + 1, now, rules)


def _entering(longer: Queue, item: Item, now: float, rules: QueueRules) -> Standing:
    """Where a newcomer stands, as if first come were always first served."""
    return _standing(longer, item, len(longer.lines[item.rank].lanes[item.key]), now, rules)


def _standing(queue: Queue, item: Item, place: int, now: float, rules: QueueRules) -> Standing:
    """The standing of the one at `place` of his lane: while he waits, his class goes through its keys `place` times, and
    the others are served as often as their weights say."""
    line = queue.lines[item.rank]
    own = min(len(line.arrivals), place * len(line.lanes))
    weight = rules.weights[item.rank]
    others = sum(
        min(len(other.arrivals), ceil(own * rules.weights[rank] / weight))
        for rank, other in enumerate(queue.lines)
        if rank != item.rank and other.arrivals
    )
    position = own + others
    rate = queue.rate(now)
    return Standing(position, None if rate is None else position / rate)


def _next(queue: Queue) -> tuple[int, str]:
    """Class and key whose turn it is; of equal turns the more urgent class has it."""
    _, rank = min((line.turn, rank) for rank, line in enumerate(queue.lines) if line.arrivals)
    return rank, next(iter(queue.lines[rank].lanes))


def _gives_way(queue: Queue, item: Item, now: float, rules: QueueRules) -> Item | None:
    """Who must leave a full queue for `item`: the newest of a key that has more than its share, else of the lowest class
    that has more than its part; of one above his own only where his own has less than its part."""
    if item.until <= now:
        return None
    over = _over_share(queue, item.key, rules)
    owed = len(queue.lines[item.rank].arrivals) < rules.kept_of(item.rank)
    for rank in range(len(CLASSES) - 1, -1, -1):
        line = queue.lines[rank]
        if over is not None and over in line.lanes:
            return line.lanes[over][-1]
        if over is None and (owed or rank > item.rank) and len(line.arrivals) > rules.kept_of(rank):
            return line.arrivals[-1]
    return None


def _over_share(queue: Queue, own: str, rules: QueueRules) -> str | None:
    most = rules.most_of_one
    # So many keys wait that none can have so much.
    if queue.waiting - len(queue.held) < most:
        return None
    key = max(queue.held, key=queue.held.__getitem__)
    return key if key != own and queue.held[key] > most else None


def _in_vain(queue: Queue, old: Item, now: float, rules: QueueRules) -> bool:
    """Whether the one who came first has waited long, and will not be served in time after all the others."""
    if old.since >= now - rules.timeout_s / 2:
        return False
    rate = queue.rate(now)
    return rate is not None and now + (queue.waiting - 1) / rate > old.until


def _oldest(queue: Queue) -> Item:
    return min((line.arrivals[0] for line in queue.lines if line.arrivals), key=_ticket)


def _place(lane: tuple[Item, ...], item: Item) -> int | None:
    place = bisect_left(lane, item.ticket, key=_ticket)
    return place if place < len(lane) and lane[place] is item else None


def _cut(lane: tuple[Item, ...], item: Item) -> tuple[Item, ...]:
    if lane[0] is item:
        return lane[1:]
    place = bisect_left(lane, item.ticket, key=_ticket)
    return lane[:place] + lane[place + 1 :]


def _with(queue: Queue, item: Item) -> Queue:
    line, key = queue.lines[item.rank], item.key
    # A class that was empty has saved up nothing.
    turn = line.turn if line.arrivals else max(line.turn, queue.turn)
    lanes = {**line.lanes, key: (*line.lanes.get(key, ()), item)}
    return Queue(
        _replaced(queue.lines, item.rank, Line(turn, (*line.arrivals, item), lanes)),
        {**queue.held, key: queue.held.get(key, 0) + 1},
        queue.waiting + 1,
        queue.turn,
        queue.pace,
        queue.lows,
    )


def _without(queue: Queue, item: Item) -> Queue:
    line, key = queue.lines[item.rank], item.key
    lanes = {**line.lanes, key: _cut(line.lanes[key], item)}
    if not lanes[key]:
        del lanes[key]
    return Queue(
        _replaced(queue.lines, item.rank, Line(line.turn, _cut(line.arrivals, item), lanes)),
        _one_less(queue.held, key),
        queue.waiting - 1,
        queue.turn,
        queue.pace,
        queue.lows,
    )


def _served(queue: Queue, item: Item, now: float, rules: QueueRules) -> Queue:
    """The queue without `item`, who was served: it is another class's turn now, and another key's."""
    line, key = queue.lines[item.rank], item.key
    lanes = dict(line.lanes)
    if lane := _cut(lanes.pop(key), item):
        lanes[key] = lane
    turn = line.turn + 1 / rules.weights[item.rank]
    return Queue(
        _replaced(queue.lines, item.rank, Line(turn, _cut(line.arrivals, item), lanes)),
        _one_less(queue.held, key),
        queue.waiting - 1,
        line.turn,
        queue.pace.served(now),
        queue.lows,
    )


def _noted(queue: Queue, wait_s: float, now: float) -> Queue:
    lows = queue.lows.seen(wait_s, now)
    return queue if lows is queue.lows else evolve(queue, lows=lows)


def _replaced(lines: tuple[Line, ...], rank: int, line: Line) -> tuple[Line, ...]:
    return (*lines[:rank], line, *lines[rank + 1 :])


def _one_less(held: Mapping[str, int], key: str) -> Mapping[str, int]:
    fewer = dict(held)
    if fewer[key] == 1:
        del fewer[key]
    else:
        fewer[key] -= 1
    return fewer
