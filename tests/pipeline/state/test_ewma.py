from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.ewma import Ewma


@pytest.mark.parametrize(
    ("samples", "now", "expected"),
    [
        pytest.param([], 50.0, 1.0, id="without a sample the prior is expected"),
        pytest.param([(0.2, 10.0)], 10.0, 0.2, id="the first sample is taken as it is"),
        pytest.param([(0.2, 10.0), (7.0, 10.1)], 10.1, 7.0, id="a peak is believed at once"),
        pytest.param(
            [(7.0, 0.0), (1.0, 30.0)], 30.0, 7 * exp(-1) + (1 - exp(-1)), id="a fast answer pulls it down"
        ),
        pytest.param([(7.0, 0.0), (1.0, 0.0)], 0.0, 7.0, id="not by several at the same moment"),
        pytest.param([(7.0, 0.0)], 300.0, 1 + 6 * exp(-1), id="a slow past drifts to the prior"),
        pytest.param([(0.2, 0.0)], 300.0, 1 - 0.8 * exp(-1), id="a fast past does too"),
        pytest.param([(2.0, 10.0), (1.0, 5.0)], 10.0, 2.0, id="a sample told late does not turn time back"),
    ],
)
def test_the_average_reads(samples, now, expected):
    average = Ewma()
    for seconds, at in samples:
        average = average.seen(seconds, at)
    assert average.read(now) == pytest.approx(expected)


def test_reading_writes_nothing():
    average = Ewma().seen(7.0, 0.0)
    average.read(1000.0)
    assert average.read(0.0) == 7.0


durations = st.floats(0, 1000)


@given(st.lists(st.tuples(durations, st.floats(0, 500)), min_size=1), st.floats(0, 2000), durations)
def test_it_stays_between_its_samples_and_its_prior(steps, age, prior):
    average, now = Ewma(prior=prior), 0.0
    for seconds, gap in steps:
        now += gap
        average = average.seen(seconds, now)
    samples = [seconds for seconds, _ in steps]
    slack = 1e-9 * max(*samples, prior, 1.0)
    assert min(samples) - slack <= average.read(now) <= max(samples) + slack
    assert min(*samples, prior) - slack <= average.read(now + age) <= max(*samples, prior) + slack


@given(durations, st.floats(0, 1000), st.floats(0, 1000))
def test_with_time_it_only_comes_nearer_to_the_prior(seconds, age, more):
    average = Ewma().seen(seconds, 0.0)
    assert abs(average.read(age + more) - 1.0) <= abs(average.read(age) - 1.0) + 1e-9
