import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.shedding import HOUR_S, PLACES_EACH, TOP, adjusted, overloaded, place

arrivals = st.lists(st.integers(0, 9), min_size=TOP + 1, max_size=TOP + 1)


@pytest.mark.parametrize("rank", range(4))
def test_the_class_decides_before_the_key(rank):
    places = {place(rank, f"k{n}", 0.0) for n in range(500)}
    assert min(places) >= rank * PLACES_EACH
    assert max(places) < (rank + 1) * PLACES_EACH
    assert len(places) > 100, "keys are spread"


def test_a_key_keeps_its_place_for_an_hour_and_no_longer():
    assert place(2, "k", 10.0) == place(2, "k", HOUR_S - 1)
    assert len({place(2, "k", hour * HOUR_S) for hour in range(50)}) > 20


@pytest.mark.parametrize(
    ("late_s", "expected"),
    [
        pytest.param([], False, id="nothing was seen"),
        pytest.param([0.0] * 20, False, id="in time"),
        pytest.param([0.0] * 18 + [5.0, 5.0], False, id="one in ten may be late"),
        pytest.param([0.0] * 16 + [0.2] * 4, True, id="one in five may not"),
        pytest.param([0.1] * 20, False, id="just in time"),
    ],
)
def test_what_counts_as_overload(late_s, expected):
    assert overloaded(late_s) is expected


@given(arrivals, st.integers(0, TOP))
def test_overload_lets_in_one_in_twenty_fewer(arrived, level):
    lower = adjusted(level, arrived, True)
    admitted, now = sum(arrived[: level + 1]), sum(arrived[: lower + 1])
    assert lower <= level
    assert lower == 0 or now <= 0.95 * admitted
    if lower < level:
        assert sum(arrived[: lower + 2]) > 0.95 * admitted, "and no fewer than that"


@given(arrivals, st.integers(0, TOP))
def test_without_overload_one_in_a_hundred_more_come_in(arrived, level):
    higher = adjusted(level, arrived, False)
    assert higher >= level
    more = sum(arrived[level + 1 : higher + 1])
    assert higher == TOP or more >= 0.01 * sum(arrived)


@given(arrivals)
def test_all_come_in_again_in_the_end(arrived):
    level = 0
    for _ in range(101):
        level = adjusted(level, arrived, False)
    assert level == TOP
