import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.budget import Budget

LIMIT = 100


@pytest.mark.parametrize(
    ("budget", "estimate", "window", "expected"),
    [
        pytest.param(Budget(), 100, 0, Budget(0, 0, 100), id="all of it may be reserved"),
        pytest.param(Budget(), 101, 0, None, id="not more"),
        pytest.param(Budget(0, 40, 40), 21, 0, None, id="spent and reserved count alike"),
        pytest.param(Budget(0, 40, 40), 20, 0, Budget(0, 40, 60), id="what is left may go"),
        pytest.param(Budget(0, 100, 0), 60, 1, Budget(1, 0, 60), id="a new window begins unspent"),
        pytest.param(Budget(0, 40, 50), 60, 1, None, id="but keeps what is still out"),
        pytest.param(Budget(5, 100, 0), 1, 4, None, id="a clock that jumps back opens no old window"),
        pytest.param(Budget(0, 130, 0), 0, 0, None, id="after an overrun nothing is granted"),
    ],
)
def test_a_reservation(budget, estimate, window, expected):
    assert budget.reserve(estimate, LIMIT, window) == expected


@pytest.mark.parametrize(
    ("actual", "window", "expected"),
    [
        pytest.param(30, 0, Budget(0, 30, 0), id="the rest comes back"),
        pytest.param(0, 0, Budget(0, 0, 0), id="a call that never took place costs nothing"),
        pytest.param(90, 0, Budget(0, 90, 0), id="what cost more is written down as it was"),
        pytest.param(30, 1, Budget(1, 30, 0), id="it is spent in the window of its end"),
    ],
)
def test_a_settlement(actual, window, expected):
    reserved = Budget().reserve(50, LIMIT, 0)
    assert reserved is not None
    assert reserved.settle(50, actual, window) == expected


@pytest.mark.parametrize(
    ("budget", "window", "left"),
    [
        pytest.param(Budget(0, 40, 20), 0, 40, id="less what is spent and reserved"),
        pytest.param(Budget(0, 40, 20), 1, 80, id="in a new window less what is reserved"),
        pytest.param(Budget(0, 140, 0), 0, 0, id="never below nothing"),
    ],
)
def test_what_is_left(budget, window, left):
    assert budget.left(LIMIT, window) == left


steps = st.lists(
    st.tuples(st.integers(0, 60), st.floats(0, 1), st.integers(-1, 1), st.booleans()), max_size=60
)


@given(steps)
def test_it_is_never_overspent_whatever_the_clock_does(steps):
    budget, window, out, settled = Budget(), 10, [], 0
    for estimate, share, step, settle in steps:
        window += step
        if settle and out:
            reserved = out.pop(0)
            before = budget.moved(window)
            budget = budget.settle(reserved, int(share * reserved), window)
            assert budget.spent == before.spent + int(share * reserved)
            settled += 1
        elif (granted := budget.reserve(estimate, LIMIT, window)) is not None:
            budget = granted
            out.append(estimate)
        assert budget.spent + budget.reserved <= LIMIT
        assert budget.reserved == sum(out)
