"""How a provider is, and that it never says other than what routing does."""

from typing import get_args

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.state.breaker import Breaker
from pipeline.state.eligibility import Eligible, eligibility, provider_eligibility
from pipeline.state.flaps import Flaps
from pipeline.state.health import Condition, condition, overall
from tests.kit import target

NOW = 100.0
WELL = ProviderState(healthy=True)
TRIPPED = Breaker(mode="open", generation=1, since=90.0, open_until=110.0)
DUE = evolve(TRIPPED, open_until=99.0)
RAMP = Breaker(generation=3, since=85.0)
HELD = Flaps(3000.0, 90.0, 90.0, 210.0)


def state_of(provider, **targets):
    return Snapshot({f"a/{name}": state for name, state in targets.items()}, {"a": provider})


@pytest.mark.parametrize(
    ("provider", "expected", "eligible"),
    [
        pytest.param(WELL, "healthy", True, id="well"),
        pytest.param(ProviderState(), "unknown", True, id="never asked: it may be tried"),
        pytest.param(ProviderState(healthy=False), "unhealthy", False, id="down"),
        pytest.param(evolve(WELL, flaps=HELD), "unhealthy", False, id="up and down all the time"),
        pytest.param(evolve(WELL, flaps=evolve(HELD, until=99.0)), "healthy", True, id="it has calmed down"),
        pytest.param(evolve(WELL, breaker=TRIPPED), "degraded", False, id="its breaker is open"),
        pytest.param(evolve(WELL, breaker=DUE), "degraded", True, id="a probe may go"),
        pytest.param(
            evolve(WELL, breaker=evolve(DUE, mode="half_open", lease=200.0)),
            "degraded",
            False,
            id="a probe is out",
        ),
        pytest.param(evolve(WELL, breaker=RAMP), "degraded", True, id="its share grows back"),
        pytest.param(evolve(WELL, cooled_until=101.0), "degraded", False, id="its account rests"),
        pytest.param(evolve(WELL, cooled_until=99.0), "healthy", True, id="that time is over"),
        pytest.param(
            ProviderState(healthy=False, cooled_until=900.0),
            "unhealthy",
            False,
            id="down is worse than resting",
        ),
    ],
)
def test_how_a_provider_is(provider, expected, eligible):
    assert condition("a", state_of(provider), NOW) == expected
    assert isinstance(provider_eligibility(provider, NOW), Eligible) is eligible


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        pytest.param({"x": TargetState()}, "healthy", id="well"),
        pytest.param({"x": TargetState(), "y": TargetState(breaker=TRIPPED)}, "degraded", id="one is broken"),
        pytest.param({"x": TargetState(cooled_until=130.0)}, "degraded", id="one rests"),
        pytest.param({"x": TargetState(breaker=RAMP)}, "degraded", id="one's share grows back"),
        pytest.param(
            {"x": TargetState(absent_until=130.0)}, "healthy", id="to be without a model is no failing"
        ),
    ],
)
def test_its_models_count(targets, expected):
    assert condition("a", state_of(WELL, **targets), NOW) == expected


def test_the_models_of_others_do_not_count():
    snapshot = Snapshot({"ab/x": TargetState(breaker=TRIPPED)}, {"a": WELL})
    assert condition("a", snapshot, NOW) == "healthy"


breakers = st.sampled_from([Breaker(), TRIPPED, DUE, RAMP, evolve(DUE, mode="half_open", lease=200.0)])
times = st.sampled_from([0.0, 99.0, 101.0, 400.0])
providers = st.builds(
    ProviderState,
    healthy=st.sampled_from([None, True, False]),
    breaker=breakers,
    cooled_until=times,
    flaps=st.sampled_from([Flaps(), HELD]),
)
targets = st.builds(TargetState, breaker=breakers, cooled_until=times, absent_until=times)


@given(providers, targets)
def test_health_and_routing_agree(provider, state):
    snapshot = Snapshot({"a/m": state}, {"a": provider})
    told, found = condition("a", snapshot, NOW), eligibility(target("a"), snapshot, NOW)
    if told == "unhealthy":
        assert found != Eligible()
        assert not isinstance(found, Eligible)
    if told in ("healthy", "unknown"):
        assert found == Eligible(1.0) or found.reason == "absent"
    if not isinstance(provider_eligibility(provider, NOW), Eligible):
        assert not isinstance(found, Eligible)
        assert told in ("unhealthy", "degraded")


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param(["healthy", "healthy"], "healthy", id="all well"),
        pytest.param(["healthy", "unknown"], "healthy", id="nothing bad is known"),
        pytest.param(["healthy", "unhealthy"], "degraded", id="one is down"),
        pytest.param(["degraded"], "degraded", id="one wavers"),
        pytest.param(["unhealthy", "unhealthy"], "unhealthy", id="all are down"),
        pytest.param([], "unhealthy", id="there are none"),
    ],
)
def test_how_the_house_is(conditions, expected):
    assert overall(conditions) == expected


@given(st.lists(st.sampled_from(get_args(Condition))))
def test_the_house_is_unhealthy_exactly_when_nobody_may_serve(conditions):
    assert (overall(conditions) == "unhealthy") is (not set(conditions) - {"unhealthy"})
