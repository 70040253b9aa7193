"""Who goes up and down all the time is left down for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.flaps import BELOW, LONGEST_S, Flaps


def after(*times):
    flaps = Flaps()
    for at in times:
        flaps = flaps.changed(at)
    return flaps


@pytest.mark.parametrize(
    ("changes", "now", "held"),
    [
        pytest.param((), 0.0, False, id="it never changed"),
        pytest.param((100.0, 101.0), 101.0, False, id="down and up once"),
        pytest.param((100.0, 101.0, 102.0), 102.0, True, id="down, up and down again"),
        pytest.param((100.0, 160.0, 220.0, 280.0), 280.0, False, id="once a minute is not too often"),
        pytest.param((100.0, 100.0, 100.0), 219.0, True, id="3000 are 750 after two minutes: not yet"),
        pytest.param((100.0, 100.0, 100.0), 220.0, False, id="now"),
        pytest.param((0.0,) * 30, 299.0, True, id="30000 would take five minutes"),
        pytest.param((0.0,) * 200, 300.0, False, id="and nothing takes longer"),
        pytest.param((0.0, 0.0, 0.0, 100.0), 150.0, True, id="a change meanwhile makes it longer"),
        pytest.param(
            tuple(map(float, range(299))), 302.0, False, id="but not longer than that from the first"
        ),
    ],
)
def test_how_long_it_is_held_down(changes, now, held):
    assert after(*changes).holds(now) is held


def test_the_penalty_halves_in_a_minute():
    assert after(100.0).read(160.0) == 500.0
    assert after(100.0, 160.0).read(160.0) == 1500.0


@given(st.lists(st.floats(0, 90), max_size=60))
def test_it_is_let_go_when_it_is_calm_or_after_five_minutes(gaps):
    flaps, now = Flaps(), 1000.0
    for gap in gaps:
        now += gap
        flaps = flaps.changed(now)
        assert flaps.until - flaps.since <= LONGEST_S + 1e-6
    if flaps.holds(now):
        calm = flaps.read(flaps.until) <= BELOW + 1e-6
        assert calm or flaps.until == pytest.approx(flaps.since + LONGEST_S)
