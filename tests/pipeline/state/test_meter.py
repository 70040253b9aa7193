"""A rate whose takers may give back late what they did not use."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.bucket import Rate
from pipeline.state.meter import Meter

RATE = Rate(60, 60.0, 10)


def test_what_is_given_back_at_once_can_be_taken_again():
    meter = Meter().taken(1, 10, 0.0, RATE)
    assert meter.retry_after(5, 0.0, RATE) == 5.0
    assert meter.settled(1, 5, 0.0, RATE).retry_after(5, 0.0, RATE) == 0.0


def test_what_has_flowed_back_by_itself_is_not_given_back_again():
    """9 units flow back in 9 seconds, and another takes them; of the 5 that were not used only one is still missing."""
    meter = Meter().taken(1, 10, 0.0, RATE).taken(2, 9, 9.0, RATE)
    assert meter.retry_after(1, 9.0, RATE) == 0.0 + meter.bucket.full_at - 9.0 + 1 - 10
    back = meter.settled(1, 5, 9.0, RATE)
    assert meter.bucket.full_at - back.bucket.full_at == pytest.approx(1.0)


def test_while_others_take_all_that_flows_back_what_was_not_used_stays_to_be_given():
    meter = Meter().taken(0, 10, 0.0, RATE)
    for second in range(1, 60):
        meter = meter.taken(second, 1, float(second), RATE).settled(second, 0, float(second), RATE)
    back = meter.settled(0, 8, 60.0, RATE)
    assert meter.bucket.full_at - back.bucket.full_at == pytest.approx(8.0)


def test_what_was_used_beyond_the_reserve_is_owed():
    meter = Meter().taken(1, 2, 0.0, RATE).settled(1, -8, 0.0, RATE)
    assert meter.retry_after(1, 0.0, RATE) == pytest.approx(1.0)


def test_who_is_not_known_gives_nothing_back():
    meter = Meter().taken(1, 10, 0.0, RATE)
    assert meter.settled(7, 10, 0.0, RATE).bucket == meter.bucket
    settled = meter.settled(1, 4, 0.0, RATE)
    assert settled.settled(1, 4, 0.0, RATE) == settled


def test_who_stands_behind_others_waits_for_them_too():
    meter = Meter().taken(1, 10, 0.0, RATE)
    assert meter.behind(1, 0, 0.0, RATE) == 1.0
    assert meter.behind(1, 4, 0.0, RATE) == 5.0


moves = st.lists(
    st.tuples(st.sampled_from(["ask", "settle"]), st.integers(1, 14), st.integers(0, 14), st.floats(0, 8)),
    min_size=1,
    max_size=80,
)


@given(moves, st.integers(1, 10), st.randoms(use_true_random=False))
def test_what_is_used_in_any_window_is_within_the_rate_its_burst_and_one_oversize(found, burst, random):
    rate, meter, now = Rate(60, 60.0, burst), Meter(), 0.0
    open_: dict[int, int] = {}
    went: dict[int, list[float]] = {}
    for ticket, (what, units, unused, later_s) in enumerate(found):
        now += later_s
        if what == "ask" and meter.retry_after(units, now, rate) == 0.0:
            meter = meter.taken(ticket, units, now, rate)
            open_[ticket] = units
            went[ticket] = [now, units]
        elif what == "settle" and open_:
            one = random.choice(sorted(open_))
            back = min(unused, open_.pop(one))
            meter = meter.settled(one, back, now, rate)
            went[one][1] -= back
    # What is still open may be used in full: the bound must hold for it as well.
    calls = sorted(went.values())
    for first, (begin, _) in enumerate(calls):
        used, largest = 0.0, 0.0
        for at, units in calls[first:]:
            used += units
            largest = max(largest, units)
            over = largest if largest > burst else 0.0
            assert used <= (at - begin) / rate.unit_s + burst + over + 1e-3
    for ticket in list(open_):
        meter = meter.settled(ticket, 0, now, rate)
    assert meter.open == {}


@given(moves, st.integers(1, 10))
def test_what_nobody_used_is_all_there_again(found, burst):
    """Whoever takes and gives all back at the same moment has changed nothing."""
    rate, meter, now = Rate(60, 60.0, burst), Meter(), 0.0
    for ticket, (_, units, _, later_s) in enumerate(found):
        now += later_s
        meter = meter.taken(ticket, units, now, rate).settled(ticket, units, now, rate)
        assert meter.bucket.left(now, rate) == pytest.approx(burst, abs=1e-3)
    assert math.isfinite(meter.bucket.full_at)
