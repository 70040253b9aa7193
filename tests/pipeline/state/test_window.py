from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.window import Shape, Window

EMPTY = Window(Shape(slice_s=3.0, length=10, columns=2))


@pytest.mark.parametrize(
    ("events", "now", "totals"),
    [
        pytest.param([], 0.0, (0, 0), id="an empty window counts nothing"),
        pytest.param([(0, 1.0), (0, 2.0), (1, 4.0)], 5.0, (2, 1), id="columns are counted apart"),
        pytest.param([(0, 1.0)], 29.9, (1, 0), id="the oldest slice still counts"),
        pytest.param([(0, 1.0)], 30.0, (0, 0), id="a slice is dropped whole"),
        pytest.param([(0, 1.0), (1, 100.0)], 100.0, (0, 1), id="a gap longer than the window clears it"),
        pytest.param([(0, 10.0), (1, 4.0)], 10.0, (1, 1), id="what is told late counts as told now"),
    ],
)
def test_a_window_counts(events, now, totals):
    window = EMPTY
    for column, at in events:
        window = window.added(column, at)
    assert window.totals(now) == totals


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 20)), max_size=40))
def test_it_counts_what_lies_in_its_slices_and_keeps_no_more_of_them(steps):
    window, now, slices = EMPTY, 0.0, []
    for column, gap in steps:
        now += gap
        window = window.added(column, now)
        slices.append((int(now // 3.0), column))
    counted = Counter(column for number, column in slices if number > int(now // 3.0) - 10)
    assert window.totals(now) == (counted[0], counted[1])
    assert len(window.slices) <= 10


def test_it_keeps_one_entry_a_slice_and_only_the_slices_that_count():
    window = EMPTY
    for step in range(60):
        window = window.added(0, step * 1.0)
    assert [number for number, _ in window.slices] == list(range(10, 20))


def test_its_rows_are_the_counts_of_each_slice_that_is_not_too_old():
    window = EMPTY.added(0, 1.0).added(1, 4.0).added(1, 5.0)
    assert window.rows(29.9) == [(1, 0), (0, 2)]
    assert window.rows(30.0) == [(0, 2)]


def test_an_emptied_window_keeps_its_shape():
    assert EMPTY.added(1, 5.0).emptied() == EMPTY
