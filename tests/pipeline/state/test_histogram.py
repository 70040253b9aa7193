"""Quantiles of durations."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.histogram import (
    BUCKETS,
    GROWTH,
    LEAST_S,
    SLICE_S,
    SLICES,
    Histogram,
    SizedHistogram,
    bucket_of,
    upper_edge,
)

durations = st.floats(LEAST_S, 1000.0)


def filled(seconds, now=1000.0):
    histogram = Histogram()
    for one in seconds:
        histogram = histogram.seen(one, now)
    return histogram


@given(durations)
def test_a_duration_lies_in_its_bucket(seconds):
    bucket = bucket_of(seconds)
    assert seconds <= upper_edge(bucket) * (1 + 1e-9)
    assert bucket == 0 or seconds > upper_edge(bucket - 1) * (1 - 1e-9)


@given(st.floats(allow_nan=False, min_value=0, allow_infinity=False))
def test_every_duration_has_a_bucket(seconds):
    assert 0 <= bucket_of(seconds) < BUCKETS


@given(st.lists(durations, min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_a_tenth_above_the_true_one(seconds, share):
    true = sorted(seconds)[math.ceil(share * len(seconds)) - 1]
    assert true * (1 - 1e-9) <= filled(seconds).quantile(share, 1000.0) <= true * GROWTH * (1 + 1e-9)


def test_nothing_seen_has_no_quantile():
    assert Histogram().quantile(0.95, 0.0) is None


def test_what_is_too_old_is_forgotten():
    histogram = filled([9.0], now=0.0).seen(1.0, SLICE_S)
    assert histogram.count(SLICE_S * (SLICES - 0.5)) == 2
    assert histogram.count(SLICE_S * (SLICES + 0.5)) == 1
    assert histogram.count(SLICE_S * (SLICES + 1.5)) == 0


@given(st.lists(st.tuples(durations, st.floats(0, 50)), max_size=80))
def test_it_never_holds_more_than_its_slices(seen):
    histogram, now = Histogram(), 0.0
    for seconds, gap in seen:
        now += gap
        histogram = histogram.seen(seconds, now)
    assert len(histogram.slices) <= SLICES + 1
    assert histogram.count(now) <= len(seen)


sizes = st.sampled_from([None, 0, 1, 4])


@given(st.lists(st.tuples(durations, sizes), max_size=60), st.floats(0.01, 1.0))
def test_each_size_has_a_histogram_and_all_have_one(seen, share):
    histogram = SizedHistogram()
    for seconds, size in seen:
        histogram = histogram.seen(seconds, 1000.0, size)
    for size in (None, 0, 1, 2, 4):
        own = [seconds for seconds, one in seen if one == size]
        assert histogram.of(size) == filled(own)
    whole = filled([seconds for seconds, _ in seen])
    assert histogram.count(1000.0) == whole.count(1000.0)
    assert histogram.quantile(share, 1000.0) == whole.quantile(share, 1000.0)
