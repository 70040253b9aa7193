"""Whether a target may be asked now."""

import pytest
from attrs import evolve

from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.state.breaker import Breaker
from pipeline.state.eligibility import CHECKED_AGAIN_S, Barred, Eligible, eligibility
from pipeline.state.flaps import Flaps
from tests.kit import target

NOW = 100.0
OPEN = Breaker(mode="open", generation=1, since=90.0, open_until=120.0)


def found(state=None, provider=None):
    snapshot = Snapshot({"a/m": state or TargetState()}, {"a": provider or ProviderState()})
    return eligibility(target("a"), snapshot, NOW)


@pytest.mark.parametrize(
    ("state", "provider", "expected"),
    [
        pytest.param(None, None, Eligible(1.0), id="nothing is known"),
        pytest.param(TargetState(cooled_until=107.0), None, Barred("resting", 107.0), id="resting"),
        pytest.param(
            None, ProviderState(cooled_until=400.0), Barred("account resting", 400.0), id="no money"
        ),
        pytest.param(
            None, ProviderState(healthy=False), Barred("unhealthy", NOW + CHECKED_AGAIN_S), id="unhealthy"
        ),
        pytest.param(
            None,
            ProviderState(healthy=True, flaps=Flaps(3000.0, 90.0, 90.0, 210.0)),
            Barred("flapping", 210.0),
            id="up and down all the time",
        ),
        pytest.param(TargetState(breaker=OPEN), None, Barred("breaker", 120.0), id="open"),
        pytest.param(
            None, ProviderState(breaker=OPEN), Barred("provider's breaker", 120.0), id="the provider's open"
        ),
        pytest.param(
            TargetState(cooled_until=107.0),
            ProviderState(cooled_until=400.0),
            Barred("account resting", 400.0),
            id="the longest is told",
        ),
        pytest.param(
            TargetState(breaker=evolve(OPEN, open_until=99.0)), None, Eligible(0.1), id="a probe is due"
        ),
        pytest.param(
            TargetState(breaker=evolve(OPEN, mode="half_open", lease=300.0)),
            None,
            Barred("breaker", 101.0),
            id="a probe is out",
        ),
        pytest.param(
            TargetState(breaker=Breaker(generation=3, since=85.0)),
            None,
            Eligible(0.5),
            id="half way up again",
        ),
        pytest.param(
            TargetState(breaker=Breaker(generation=3, since=85.0)),
            ProviderState(breaker=Breaker(generation=3, since=85.0)),
            Eligible(0.5),
            id="both at once, as they went down",
        ),
        pytest.param(
            TargetState(breaker=evolve(OPEN, mode="half_open", since=90.0)),
            ProviderState(breaker=evolve(OPEN, mode="half_open", since=90.0)),
            Eligible(0.1),
            id="both may be probed",
        ),
        pytest.param(TargetState(absent_until=300.0), None, Barred("absent", 300.0), id="no such model"),
        pytest.param(TargetState(cooled_until=NOW), None, Eligible(1.0), id="the rest is just over"),
    ],
)
def test_eligibility(state, provider, expected):
    assert found(state, provider) == expected
