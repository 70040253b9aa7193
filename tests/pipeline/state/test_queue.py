"""The queue against a naive model of the same rules, and the shares that it promises."""

import math
from collections import Counter
from itertools import count

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.state.queue import (
    EMPTY,
    LOOKED_BACK_S,
    Displaced,
    Item,
    Lows,
    Pace,
    Queued,
    QueueRules,
    Refused,
    dequeue,
    enqueue,
    left,
    standing_of,
)

CRITICAL, HIGH, NORMAL, LOW = range(4)
WEIGHTS = QueueRules(1).weights


def item(ticket, rank=NORMAL, key="", since=0.0, until=math.inf):
    return Item(ticket, rank, key, since, until)


def filled(items, rules, now=0.0):
    queue = EMPTY
    for one in items:
        queue, entered = enqueue(queue, one, now, rules)
        assert isinstance(entered, Queued)
    return queue


def emptied(queue, rules, now=0.0, most=math.inf):
    """Tickets in the order they are served."""
    served = []
    while len(served) < most:
        queue, one, _ = dequeue(queue, now, rules)
        if one is None:
            break
        served.append(one.ticket)
    return served


ORDERS = [
    pytest.param([(NORMAL, "")] * 4, [0, 1, 2, 3], id="first come, first served"),
    pytest.param(
        [(NORMAL, "a"), (NORMAL, "a"), (NORMAL, "a"), (NORMAL, "b"), (NORMAL, "c")],
        [0, 3, 4, 1, 2],
        id="keys take turns",
    ),
    pytest.param([(LOW, ""), (NORMAL, ""), (HIGH, ""), (CRITICAL, "")], [3, 2, 1, 0], id="urgent ones first"),
    pytest.param(
        [(LOW, "")] * 2 + [(CRITICAL, "")] * 20,
        [2, 0, *range(3, 19), 1, *range(19, 22)],
        id="the lowest class has its turn after sixteen critical ones",
    ),
]


@pytest.mark.parametrize(("who", "served"), ORDERS)
def test_the_order_of_turns(who, served):
    rules = QueueRules(100)
    assert emptied(filled([item(n, *one) for n, one in enumerate(who)], rules), rules) == served


def test_without_priorities_all_are_of_one_class():
    rules = QueueRules(100, prioritization=False)
    queue = filled([item(0, LOW), item(1, CRITICAL), item(2, HIGH)], rules)
    assert len(queue.lines[NORMAL].arrivals) == 3
    assert emptied(queue, rules) == [0, 1, 2]


def test_a_key_has_a_quarter_while_others_wait_and_all_of_it_while_none_does():
    rules = QueueRules(8)
    alone = filled([item(n, key="a") for n in range(8)], rules)
    assert isinstance(enqueue(alone, item(8, key="a"), 0.0, rules)[1], Refused)
    shared = filled([item(0, key="b"), item(1, key="a"), item(2, key="a")], rules)
    _, entered = enqueue(shared, item(3, key="a"), 0.0, rules)
    assert isinstance(entered, Refused)
    assert entered.why == "share"


def test_who_filled_the_queue_alone_gives_way_to_others_down_to_his_share():
    rules = QueueRules(8)
    queue = filled([item(n, CRITICAL, "a") for n in range(8)], rules)
    for ticket in range(8, 14):
        queue, entered = enqueue(queue, item(ticket, LOW, f"k{ticket}"), 0.0, rules)
        assert isinstance(entered, Displaced)
        assert entered.victim.ticket == 15 - ticket
    assert queue.held["a"] == 2
    _, entered = enqueue(queue, item(14, LOW, "k14"), 0.0, rules)
    assert isinstance(entered, Refused)
    assert entered.why == "full"


def test_a_full_queue_gives_the_newest_of_the_lowest_class_for_a_higher_one():
    rules = QueueRules(4)
    queue = filled([item(0, LOW, "a"), item(1, LOW, "b"), item(2, NORMAL, "c"), item(3, NORMAL, "d")], rules)
    queue, entered = enqueue(queue, item(4, HIGH, "e"), 0.0, rules)
    assert isinstance(entered, Displaced)
    assert entered.victim.ticket == 1
    _, entered = enqueue(queue, item(5, LOW, "f"), 0.0, rules)
    assert isinstance(entered, Refused)


def test_a_class_keeps_its_part_of_a_full_queue():
    rules = QueueRules(46)
    queue = filled([item(n, LOW, f"k{n}") for n in range(46)], rules)
    for ticket in range(46, 46 + 44):
        queue, entered = enqueue(queue, item(ticket, CRITICAL, f"k{ticket}"), 0.0, rules)
        assert isinstance(entered, Displaced)
    _, entered = enqueue(queue, item(90, CRITICAL, "k90"), 0.0, rules)
    assert isinstance(entered, Refused)
    assert len(queue.lines[LOW].arrivals) == 2


def test_a_class_that_has_less_than_its_part_of_a_full_queue_takes_it_from_who_has_more():
    """Else those who flood would fill each place that becomes free, and the lowest would never even wait."""
    rules = QueueRules(46)
    queue = filled([item(n, CRITICAL, f"k{n}") for n in range(46)], rules)
    for ticket in (46, 47):
        queue, entered = enqueue(queue, item(ticket, LOW, f"k{ticket}"), 0.0, rules)
        assert isinstance(entered, Displaced)
        assert entered.victim.rank == CRITICAL
    _, entered = enqueue(queue, item(48, LOW, "k48"), 0.0, rules)
    assert isinstance(entered, Refused)


def test_who_has_no_time_left_takes_nobodys_place():
    rules = QueueRules(2)
    queue = filled([item(0, LOW, "a"), item(1, LOW, "b")], rules)
    _, entered = enqueue(queue, item(2, CRITICAL, "c", until=5.0), 5.0, rules)
    assert isinstance(entered, Refused)


@pytest.mark.parametrize("size", [10, 100])
def test_the_lowest_class_has_its_share_however_fast_the_urgent_fill_the_queue(size):
    rules, queue, tickets, low = QueueRules(size), EMPTY, count(), 0
    for _ in range(1000):
        for n in range(4):
            one = item(next(tickets), CRITICAL if n < 3 else LOW, f"k{n}{next(tickets) % 50}")
            queue, _ = enqueue(queue, one, 0.0, rules)
        queue, served, _ = dequeue(queue, 0.0, rules)
        low += served.rank == LOW
    assert low >= 0.04 * 1000


def paced(queue, a_second):
    """A queue that is known to serve so many a second."""
    return evolve(queue, pace=Pace(8.0, 8.0 / a_second, 0.0))


def test_who_would_wait_too_long_is_told_at_once_and_when_to_come_again():
    rules = QueueRules(1000, timeout_s=30.0)
    queue = paced(filled([item(n) for n in range(59)], rules), 2.0)
    queue, entered = enqueue(queue, item(59, until=30.0), 0.0, rules)
    assert isinstance(entered, Queued)
    assert (entered.standing.position, entered.standing.wait_s) == (60, 30.0)
    _, entered = enqueue(queue, item(60, until=40.0), 0.0, rules)
    assert isinstance(entered, Refused)
    assert (entered.why, entered.retry_after) == ("long", 30.5)


def test_who_has_less_time_of_his_own_is_refused_the_earlier():
    rules = QueueRules(1000, timeout_s=30.0)
    queue = paced(filled([item(n) for n in range(9)], rules), 2.0)
    assert isinstance(enqueue(queue, item(9, until=5.0), 0.0, rules)[1], Queued)
    assert isinstance(enqueue(queue, item(9, until=4.9), 0.0, rules)[1], Refused)


def test_nobody_is_refused_for_a_pace_that_is_not_known():
    rules = QueueRules(1000, timeout_s=1.0)
    queue = filled([item(n) for n in range(500)], rules)
    assert standing_of(queue, item(500), 0.0, rules) is None


def test_a_more_urgent_one_stands_further_ahead():
    rules = QueueRules(1000)
    queue = filled([item(n, LOW) for n in range(50)], rules)
    positions = []
    for rank in (CRITICAL, HIGH, NORMAL, LOW):
        _, entered = enqueue(queue, item(50, rank), 0.0, rules)
        positions.append(entered.standing.position)
    assert positions == [2, 2, 2, 51]


def test_who_comes_too_late_is_dropped_at_the_exit():
    rules = QueueRules(9)
    queue = filled([item(0, until=1.0), item(1, until=2.0), item(2)], rules)
    queue, served, dropped = dequeue(queue, 2.0, rules)
    assert (served.ticket, [(one.ticket, why) for one, why in dropped]) == (1, [(0, "late")])


def overloaded(rules, a_second=1.0):
    """Somebody came each second from 0 to 6; one came through at 11 and waited, and so it goes on."""
    queue = EMPTY
    for n in range(7):
        queue, _ = enqueue(queue, item(n, since=float(n), until=n + rules.timeout_s), float(n), rules)
    queue, served, _ = dequeue(queue, 11.0, rules)
    assert served.ticket == 0
    return evolve(paced(queue, a_second), lows=queue.lows.seen(11.0, 12.0))


def test_newest_first_while_overloaded():
    rules = QueueRules(100, timeout_s=40.0)
    queue = overloaded(rules)
    assert queue.overloaded(12.0, rules)
    assert emptied(queue, rules, 13.0) == [6, 5, 4, 3, 2, 1]


def test_who_waited_long_and_in_vain_is_shed_and_who_can_be_served_is_not():
    rules = QueueRules(100, timeout_s=24.0)
    queue = overloaded(rules, 0.25)
    queue, served, dropped = dequeue(queue, 15.0, rules)
    # One in four seconds: behind four others the turn of 2 comes at 31, and it must go at 26; and 1 the more so.
    assert (served.ticket, [(one.ticket, why) for one, why in dropped]) == (6, [(1, "shed"), (2, "shed")])
    alone = evolve(queue, pace=Pace())
    for gone in (3, 4):
        alone = left(alone, next(one for one in alone.lines[NORMAL].arrivals if one.ticket == gone))
    assert emptied(paced(alone, 0.01), rules, 20.0) == [5], "no place stands empty for it"


def test_first_come_first_served_again_once_somebody_did_not_wait_long():
    rules = QueueRules(100, timeout_s=40.0)
    queue = overloaded(rules)
    queue, entered = enqueue(queue, item(7, CRITICAL, since=12.0), 12.0, rules)
    queue, served, _ = dequeue(queue, 12.5, rules)
    assert served is entered.item
    assert emptied(queue, rules, 12.5) == [1, 2, 3, 4, 5, 6]


def test_a_queue_without_a_limit_of_time_is_never_overloaded():
    rules = QueueRules(100)
    queue = overloaded(rules)
    _, served, dropped = dequeue(queue, 1e6, rules)
    assert (served.ticket, dropped) == (1, ())


def test_the_smallest_wait_is_of_the_last_ten_seconds():
    lows = Lows().seen(3.0, 0.0).seen(1.0, 0.9).seen(5.0, 5.0)
    assert [lows.least(now) for now in (5.0, 9.9, 10.0, 14.9, 15.0)] == [1.0, 1.0, 0.0, 0.0, 0.0]
    for n in range(100):
        lows = lows.seen(1.0, float(n))
    assert len(lows.seconds) <= LOOKED_BACK_S


@pytest.mark.parametrize("every_s", [0.01, 1.0, 30.0])
def test_the_pace_is_learned_whatever_it_is(every_s):
    pace, now = Pace().begun(0.0), 0.0
    assert pace.rate(0.0) is None
    for _ in range(40):
        now += every_s
        pace = pace.served(now)
    assert pace.rate(now) == pytest.approx(1 / every_s)
    assert pace.rate(now + 20 * every_s) < 0.8 / every_s, "it sinks while nobody comes through"


def test_a_queue_that_is_empty_has_the_pace_it_had():
    queue = paced(EMPTY, 4.0)
    assert queue.rate(1000.0) == 4.0
    queue, _ = enqueue(queue, item(0, since=1000.0), 1000.0, QueueRules(9))
    assert queue.rate(1000.0) == 4.0
    assert queue.rate(1010.0) < 1.0


def test_the_time_in_which_nobody_waits_says_nothing_of_the_pace():
    pace = Pace().begun(0.0)
    for n in range(1, 9):
        pace = pace.served(float(n))
    pace = pace.begun(1000.0).served(1001.0)
    assert pace.rate(1001.0) == pytest.approx(1.0)


class Naive:
    """The same rules over one plain list, without a thought for what it costs."""

    def __init__(self, rules):
        self.rules, self.items = rules, []
        self.turns, self.turn = [0.0] * 4, 0.0
        self.rings = [[] for _ in range(4)]  # the keys of each class, whose turn is next first
        self.waits = []

    def of(self, rank=None, key=None):
        return [i for i in self.items if rank in (None, i.rank) and key in (None, i.key)]

    def overloaded(self, now):
        lately = [(int(at), wait) for at, wait in self.waits if int(at) > int(now) - LOOKED_BACK_S]
        if not self.items or len({second for second, _ in lately}) < 2:
            return False
        return min(wait for _, wait in lately) > self.rules.timeout_s / 4

    def enter(self, one, now):
        if not self.items:
            self.waits.append((now, 0.0))
        mine = self.of(key=one.key)
        most = max(1, int(self.rules.size / 4))
        if len(mine) >= most and len(self.items) > len(mine):
            return "share", None
        victim = None
        if len(self.items) >= self.rules.size:
            if one.until <= now:
                return "full", None
            held = Counter(i.key for i in self.items)
            greedy = [key for key, count in held.items() if count > most and key != one.key]
            if greedy:
                most_held = max(held[key] for key in greedy)
                pool = [i for i in self.items if i.key in greedy and held[i.key] == most_held]
                # Of two who have equally much either may have to give way.
                lowest = max(i.rank for i in pool)
                victim = [i for i in pool if i.rank == lowest]
            else:
                kept = [max(1, int(self.rules.size * weight / sum(WEIGHTS))) for weight in WEIGHTS]
                first = 0 if len(self.of(one.rank)) < kept[one.rank] else one.rank + 1
                ranks = [rank for rank in range(first, 4) if len(self.of(rank)) > kept[rank]]
                if not ranks:
                    return "full", None
                victim = [max(self.of(max(ranks)), key=lambda i: i.ticket)]
        return "in", victim

    def add(self, one):
        if not self.of(one.rank):
            self.turns[one.rank] = max(self.turns[one.rank], self.turn)
        if one.key not in self.rings[one.rank]:
            self.rings[one.rank].append(one.key)
        self.items.append(one)

    def remove(self, one):
        self.items.remove(one)
        if not self.of(one.rank, one.key):
            self.rings[one.rank].remove(one.key)

    def serve(self, now, rate):
        dropped = []
        while self.items:
            rank = min({i.rank for i in self.items}, key=lambda rank: (self.turns[rank], rank))
            key = self.rings[rank][0]
            lane = sorted(self.of(rank, key), key=lambda i: i.ticket)
            self.waits.append((now, now - lane[0].since))
            newest = self.overloaded(now)
            oldest = min(self.items, key=lambda i: i.ticket)
            long = oldest.since < now - self.rules.timeout_s / 2
            if newest and long and rate is not None and now + (len(self.items) - 1) / rate > oldest.until:
                self.remove(oldest)
                dropped.append((oldest, "shed"))
                continue
            one = lane[-1] if newest else lane[0]
            if one.until < now:
                self.remove(one)
                dropped.append((one, "late"))
                continue
            self.turn = self.turns[rank]
            self.turns[rank] += 1 / WEIGHTS[rank]
            self.rings[rank].append(self.rings[rank].pop(0))
            self.remove(one)
            return one, tuple(dropped)
        return None, tuple(dropped)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("enter"),
            st.integers(0, 3),
            st.sampled_from("abcde"),
            st.sampled_from([math.inf, 0.5, 3.0]),
        ),
        st.tuples(st.just("serve")),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 4.0, 11.0])),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(0, 9), st.sampled_from([4.0, 20.0, math.inf]), st.booleans())
def test_any_sequence_is_as_the_naive_model_has_it(steps, size, timeout_s, prioritization):
    rules = QueueRules(size, timeout_s, prioritization)
    queue, naive, now = EMPTY, Naive(rules), 0.0
    for ticket, step in enumerate(steps):
        match step:
            case ("enter", rank, key, lasts_s):
                one = item(ticket, rank, key, now, now + min(lasts_s, timeout_s))
                given_, queue = queue, queue
                queue, entered = enqueue(queue, one, now, rules)
                if isinstance(entered, Refused) and entered.why == "long":
                    # That the estimate is right is for other tests; what was there must stay.
                    assert {i.ticket for i in naive.items} == tickets(queue)
                    if not naive.items:
                        naive.waits.append((now, 0.0))
                    continue
                kept = one if prioritization else evolve(one, rank=NORMAL)
                expected, victims = naive.enter(kept, now)
                if isinstance(entered, Refused):
                    assert entered.why == expected
                    assert tickets(queue) == tickets(given_)
                    continue
                assert expected == "in"
                if victims is not None:
                    assert isinstance(entered, Displaced)
                    assert entered.victim in victims
                    naive.remove(entered.victim)
                naive.add(entered.item)
            case ("serve",):
                rate = queue.pace.rate(now)
                queue, served, dropped = dequeue(queue, now, rules)
                assert (served, dropped) == naive.serve(now, rate)
            case ("leave", place):
                if naive.items:
                    gone = naive.items[place % len(naive.items)]
                    queue = left(queue, gone)
                    naive.remove(gone)
                    assert left(queue, gone) is queue
            case ("wait", seconds):
                now += seconds
        holds(queue, rules)
        assert tickets(queue) == {i.ticket for i in naive.items}
        assert queue.overloaded(now, rules) == naive.overloaded(now)


def tickets(queue):
    return {one.ticket for line in queue.lines for one in line.arrivals}


def holds(queue, rules):
    """Its parts agree, and its bound is kept."""
    assert queue.waiting == sum(len(line.arrivals) for line in queue.lines) <= rules.size
    assert queue.held == Counter(one.key for line in queue.lines for one in line.arrivals)
    for rank, line in enumerate(queue.lines):
        assert sorted(line.arrivals, key=lambda one: one.ticket) == list(line.arrivals)
        assert all(lane for lane in line.lanes.values())
        for key, lane in line.lanes.items():
            assert list(lane) == [one for one in line.arrivals if one.key == key]
        assert all(one.rank == rank for one in line.arrivals)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abcd")), min_size=50, max_size=200), st.data())
def test_while_a_class_waits_it_has_its_share_of_what_is_served(others, data):
    """Invariant 13: the lowest class is served at least once in 23 turns while it waits."""
    rules = QueueRules(10_000)
    queue = filled([item(n, LOW, "low") for n in range(50)], rules)
    since_low, ticket = 0, 50
    for rank, key in others:
        for _ in range(data.draw(st.integers(0, 2))):
            queue, _ = enqueue(queue, item(ticket, rank, key), 0.0, rules)
            ticket += 1
        queue, served, _ = dequeue(queue, 0.0, rules)
        since_low = 0 if served.rank == LOW else since_low + 1
        assert since_low <= 23


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("aaaaab")), max_size=120), st.integers(4, 24))
def test_a_key_never_grows_beyond_its_share_while_others_wait(arrivals, size):
    """Invariant 14."""
    rules = QueueRules(size)
    queue = EMPTY
    for ticket, (rank, key) in enumerate(arrivals):
        before = queue
        queue, entered = enqueue(queue, item(ticket, rank, key), 0.0, rules)
        others = before.waiting - before.held.get(key, 0)
        if not isinstance(entered, Refused) and others:
            assert queue.held[key] <= rules.most_of_one
        if isinstance(entered, Refused) and entered.why == "full":
            greedy = [one for one, count in before.held.items() if count > rules.most_of_one and one != key]
            assert greedy == [], "nobody is kept out by one who has more than his share"
