"""How far the estimate of tokens is off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.ratio import LEAST, MOST, TokenRatio


def test_the_first_request_is_believed_and_later_ones_count_for_more_than_old_ones():
    ratio = TokenRatio().told(100, 150)
    assert ratio.value == 1.5
    for _ in range(200):
        ratio = ratio.told(100, 80)
    assert ratio.value == pytest.approx(0.8, rel=0.01)


def test_what_cannot_be_is_bounded():
    assert TokenRatio().told(1, 100_000).value == MOST
    assert TokenRatio().told(100_000, 1).value == LEAST
    assert TokenRatio().told(0, 2).value == 2.0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))))
def test_it_stays_within_its_bounds(told):
    ratio = TokenRatio()
    for estimated, real in told:
        ratio = ratio.told(estimated, real)
        assert LEAST - 1e-9 <= ratio.value <= MOST + 1e-9
