import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.bucket import Bucket, Rate

TEN_A_MINUTE = Rate(limit=10, period_s=60.0, burst=3)


@pytest.mark.parametrize(
    ("taken", "units", "now", "wait"),
    [
        pytest.param([], 1, 1000.0, 0.0, id="a fresh bucket is full"),
        pytest.param([], 3, 1000.0, 0.0, id="a whole burst may go at once"),
        pytest.param([(3, 1000.0)], 1, 1000.0, 6.0, id="after the burst one waits for a unit to flow back"),
        pytest.param([(3, 1000.0)], 2, 1000.0, 12.0, id="and for two twice as long"),
        pytest.param([(3, 1000.0)], 1, 1006.0, 0.0, id="then it may go"),
        pytest.param([(3, 1000.0)], 3, 1018.0, 0.0, id="in time the bucket is full again"),
        pytest.param([(3, 1000.0)], 3, 9999.0, 0.0, id="but never fuller"),
        pytest.param([(3, 1000.0)], 4, 9999.0, 0.0, id="more than a burst is given by a full bucket"),
        pytest.param([(1, 1000.0)], 4, 1000.0, 6.0, id="and by no other"),
        pytest.param([(5, 1000.0)], 1, 1000.0, 18.0, id="what was too much is debt"),
        pytest.param([(5, 1000.0)], 1, 1018.0, 0.0, id="that is paid in time"),
    ],
)
def test_a_bucket_says_how_long_to_wait(taken, units, now, wait):
    bucket = Bucket()
    for amount, at in taken:
        bucket = bucket.taken(amount, at, TEN_A_MINUTE)
    assert bucket.retry_after(units, now, TEN_A_MINUTE) == pytest.approx(wait)


@pytest.mark.parametrize(
    ("back", "wait"),
    [
        pytest.param(1, 0.0, id="what comes back may be taken again"),
        pytest.param(0.5, 3.0, id="in parts too"),
        pytest.param(99, 0.0, id="more than was taken fills it and no more"),
    ],
)
def test_a_refund(back, wait):
    bucket = Bucket().taken(3, 1000.0, TEN_A_MINUTE).given_back(back, 1000.0, TEN_A_MINUTE)
    assert bucket.retry_after(1, 1000.0, TEN_A_MINUTE) == pytest.approx(wait)
    assert bucket.retry_after(3.01, 1000.0, TEN_A_MINUTE) == pytest.approx(max(0.0, 6.0 * (3 - back)))


def test_a_new_rate_holds_at_once():
    bucket = Bucket().taken(3, 1000.0, TEN_A_MINUTE)
    assert bucket.retry_after(1, 1000.0, Rate(limit=10, period_s=60.0, burst=4)) == 0.0


rates = st.builds(
    Rate, limit=st.integers(1, 1000), period_s=st.sampled_from([1.0, 60.0]), burst=st.integers(1, 50)
)
asks = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 80)), min_size=1, max_size=40)


@given(rates, asks, st.floats(0, 1e6))
def test_no_window_sees_more_than_its_rate_and_a_burst_or_one_oversize(rate, steps, start):
    bucket, now, admitted = Bucket(), start, []
    for gap, units in steps:
        now += gap
        if bucket.retry_after(units, now, rate) == 0.0:
            bucket = bucket.taken(units, now, rate)
            admitted.append((now, units))
    for first in range(len(admitted)):
        total = 0
        for at, units in admitted[first:]:
            total += units
            bound = (at - admitted[first][0]) / rate.unit_s + max(rate.burst, units)
            assert total <= bound + 2e-6 * total / rate.unit_s


@given(rates, asks)
def test_who_waits_as_told_is_let_in(rate, steps):
    bucket, now = Bucket(), 1e6
    for gap, units in steps:
        now += gap
        now += bucket.retry_after(units, now, rate)
        assert bucket.retry_after(units, now, rate) == 0.0
        bucket = bucket.taken(units, now, rate)


@given(rates, asks, st.integers(1, 80))
def test_taking_and_giving_back_leaves_no_trace(rate, steps, units):
    bucket, now = Bucket(), 1000.0
    for gap, amount in steps:
        now += gap
        bucket = bucket.taken(amount, now, rate)
    again = bucket.taken(units, now, rate).given_back(units, now, rate)
    assert again.full_at == pytest.approx(max(bucket.full_at, now))
