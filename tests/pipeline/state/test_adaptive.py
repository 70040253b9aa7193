"""How many calls a target is given at once."""

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.adaptive import CURVE_KEPT, Adaptive
from pipeline.values.problems import Kind

MOST = 100


def refused(state, in_flight, now, began=None, hint=None, most=MOST):
    meaning = state.meaning(in_flight - 1, now - 1 if began is None else began, hint)
    return state.lowered(Kind.RATE_LIMITED, meaning, in_flight, now, most)


def test_it_begins_with_all_that_is_configured():
    assert Adaptive().allowed(MOST) == MOST
    assert Adaptive().succeeded(50, 0.0, 1.0, MOST) == Adaptive(), "nothing is written where nothing changes"


@pytest.mark.parametrize(
    ("limit", "in_flight", "expected"),
    [
        pytest.param(math.inf, 100, 70, id="three tenths are taken off"),
        pytest.param(21.9, 22, 15, id="and the broken part"),
        pytest.param(2.0, 2, 1, id="never more than run beside"),
        pytest.param(100.0, 12, 11, id="who is refused frees no place"),
    ],
)
def test_what_a_refusal_takes_off(limit, in_flight, expected):
    assert refused(Adaptive(limit), in_flight, 5.0).allowed(MOST) == expected


@pytest.mark.parametrize("kind", [Kind.OVERLOADED, Kind.FIRST_BYTE])
def test_an_overload_and_a_late_first_content_take_off_as_much(kind):
    assert Adaptive().lowered(kind, "crowd", 100, 5.0, MOST).allowed(MOST) == 70


def test_a_late_first_content_never_goes_below_two():
    state = Adaptive()
    for second in range(30):
        state = state.lowered(Kind.FIRST_BYTE, "rate", 1, float(second), MOST)
    assert state.allowed(MOST) == 2
    assert Adaptive().lowered(Kind.FIRST_BYTE, "rate", 1, 0.0, 1).allowed(1) == 1


def test_at_most_once_a_second():
    state = Adaptive().lowered(Kind.FIRST_BYTE, "rate", 100, 5.0, MOST)
    again = state.lowered(Kind.FIRST_BYTE, "rate", 100, 5.9, MOST)
    assert again.allowed(MOST) == 70
    assert again.lowered(Kind.FIRST_BYTE, "rate", 100, 6.0, MOST).allowed(MOST) == 49


def test_a_burst_of_refusals_ends_at_what_is_carried():
    """100 at once, of which 20 are taken."""
    state = Adaptive()
    for in_flight in range(100, 20, -1):
        assert state.meaning(in_flight - 1, 0.0, None) == "crowd"
        state = refused(state, in_flight, 0.1, began=0.0)
    assert (state.allowed(MOST), state.carried) == (20, 20)


def test_a_round_of_answers_adds_one():
    state = Adaptive(20.0)
    for _ in range(21):
        state = state.succeeded(20, 1.0, 2.0, MOST)
    assert state.allowed(MOST) == 21


def test_who_does_not_use_what_he_has_is_not_given_more():
    assert Adaptive(20.0).succeeded(9, 1.0, 2.0, MOST) == Adaptive(20.0)
    assert Adaptive(20.0).succeeded(10, 1.0, 2.0, MOST).limit > 20


def test_the_way_back_to_what_was_carried_is_short():
    state = Adaptive(14.0, carried=20)
    for _ in range(3):
        state = state.succeeded(14, 1.0, 2.0, MOST)
    assert state.limit == 17.0
    assert state.succeeded(17, 1.0, 2.0, MOST).limit == pytest.approx(17 + 1 / 17)


def test_up_to_the_maximum_and_no_further():
    state = Adaptive(99.995)
    state = state.succeeded(100, 1.0, 2.0, MOST)
    assert state.limit == math.inf
    assert evolve(state, limit=50.0).allowed(30) == 30, "it may be configured to be less meanwhile"


@pytest.mark.parametrize(
    ("state", "beside", "began", "hint", "expected"),
    [
        pytest.param(Adaptive(), 20, 5.0, None, "crowd", id="the first refusal beside others"),
        pytest.param(Adaptive(), 0, 5.0, None, "rate", id="alone"),
        pytest.param(Adaptive(), 20, 5.0, 1.0, "crowd", id="a hint of a moment"),
        pytest.param(Adaptive(), 20, 5.0, 3.0, "rate", id="the provider says until when"),
        pytest.param(
            Adaptive(refused_at=4.0, carried=20, answered=False), 19, 5.0, None, "rate",
            id="again, with fewer beside it and nobody answered since",
        ),
        pytest.param(
            Adaptive(refused_at=4.0, carried=20, answered=False), 20, 5.0, None, "crowd",
            id="again, with as many beside it",
        ),
        pytest.param(
            Adaptive(refused_at=4.0, carried=20, answered=True), 19, 5.0, None, "crowd",
            id="somebody was answered since",
        ),
        pytest.param(
            Adaptive(refused_at=4.0, carried=20, answered=False), 19, 3.9, None, "crowd",
            id="of the same burst",
        ),
    ],
)  # fmt: skip
def test_what_a_refusal_means(state, beside, began, hint, expected):
    assert state.meaning(beside, began, hint) == expected


def test_only_who_began_after_the_refusal_shows_that_it_takes_calls_again():
    state = refused(Adaptive(), 20, 5.0)
    assert state.answering(4.0).answered is False
    assert state.succeeded(19, 4.0, 6.0, MOST).answered is False
    assert state.answering(5.5).answered is True


def test_the_curve_tells_each_change_once():
    state = refused(Adaptive(), 20, 5.0)
    state = refused(state, 19, 5.0)
    state = state.succeeded(18, 5.5, 6.0, MOST)
    assert state.curve == ((5.0, 18),)
    for _ in range(18):
        state = state.succeeded(18, 5.5, 7.0, MOST)
    assert state.curve == ((5.0, 18), (7.0, 19))


steps = st.lists(
    st.tuples(
        st.sampled_from(["ok", Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.FIRST_BYTE]),
        st.integers(1, 40),
        st.floats(0, 3),
        st.sampled_from([None, 0.5, 7.0]),
    ),
    max_size=300,
)


@given(steps, st.integers(1, 30))
def test_whatever_happens_it_stays_between_one_and_the_maximum(steps, most):
    state, now = Adaptive(), 0.0
    for what, in_flight, later_s, hint in steps:
        now += later_s
        if what == "ok":
            state = state.succeeded(in_flight, now - 1, now, most)
        else:
            meaning = state.meaning(in_flight - 1, now - 1, hint)
            state = state.lowered(what, meaning, in_flight, now, most)
        assert 1 <= state.allowed(most) <= most
        assert len(state.curve) <= CURVE_KEPT
        times = [at for at, _ in state.curve]
        assert times == sorted(set(times))
        assert not state.curve or state.curve[-1][1] == state.allowed(most)
