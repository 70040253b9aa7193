"""Periods of the calendar: when each begins, and the next."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.periods import beginning, following

PERIODS = ("hour", "day", "week", "month")


def at(*moment):
    return int(datetime(*moment, tzinfo=UTC).timestamp())


# A Tuesday.
NOW = at(2026, 11, 24, 16, 59, 59)


@pytest.mark.parametrize(
    ("period", "epoch", "begun", "next_one"),
    [
        pytest.param("hour", NOW, at(2026, 11, 24, 16), at(2026, 11, 24, 17), id="an hour"),
        pytest.param("day", NOW, at(2026, 11, 24), at(2026, 11, 25), id="a day"),
        pytest.param("week", NOW, at(2026, 11, 23), at(2026, 11, 30), id="a week begins on Monday"),
        pytest.param(
            "week", at(2026, 11, 22, 23, 59), at(2026, 11, 16), at(2026, 11, 23), id="and ends on Sunday"
        ),
        pytest.param(
            "week", at(2026, 11, 23), at(2026, 11, 23), at(2026, 11, 30), id="its first second is in it"
        ),
        pytest.param("month", NOW, at(2026, 11, 1), at(2026, 12, 1), id="a month"),
        pytest.param(
            "month", at(2026, 12, 31, 23), at(2026, 12, 1), at(2027, 1, 1), id="after December comes January"
        ),
        pytest.param("month", at(2028, 2, 29), at(2028, 2, 1), at(2028, 3, 1), id="a month with a leap day"),
    ],
)
def test_a_period(period, epoch, begun, next_one):
    assert beginning(period, epoch) == begun
    assert beginning(period, epoch + 0.75) == begun
    assert following(period, begun) == next_one


@given(st.sampled_from(PERIODS), st.floats(0, 4e9))
def test_periods_follow_each_other_without_a_gap(period, epoch):
    begun = beginning(period, epoch)
    ends = following(period, begun)
    assert begun <= epoch < ends
    assert beginning(period, begun) == begun
    assert beginning(period, ends) == ends
    assert beginning(period, ends - 1) == begun
