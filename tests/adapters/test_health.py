import pytest
from attrs import evolve

from adapters import health
from pipeline.state.board import ProviderState, Snapshot
from pipeline.state.breaker import Breaker
from pipeline.values.problems import Kind
from pipeline.values.targets import Provider

P = Provider("p", "openai", "https://user:secret@host:8443/v1?key=secret")
WELL = ProviderState(healthy=True)
TRIPPED = Breaker(mode="open", open_until=110.0)
NOW = 100.0


@pytest.mark.parametrize(
    ("state", "condition", "eligible"),
    [
        pytest.param(WELL, "healthy", True, id="well"),
        pytest.param(ProviderState(), "unknown", True, id="never asked: it may be tried"),
        pytest.param(ProviderState(healthy=False), "unhealthy", False, id="down"),
        pytest.param(evolve(WELL, breaker=TRIPPED), "degraded", False, id="its breaker is open"),
        pytest.param(
            evolve(WELL, breaker=evolve(TRIPPED, open_until=99.0)), "degraded", True, id="a probe may go"
        ),
        pytest.param(evolve(WELL, cooled_until=101.0), "degraded", False, id="it wants to be left alone"),
        pytest.param(evolve(WELL, cooled_until=99.0), "healthy", True, id="that time is over"),
    ],
)
def test_how_a_provider_is(state, condition, eligible):
    assert health.condition(state, NOW) == condition
    assert health.eligible(state, NOW) is eligible


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
    assert health.overall(conditions) == expected


def test_the_numbers_of_health():
    counts = health.Counts(uptime_s=1.23456, models=3, requests=8, errors=1)
    assert health.health_answer("healthy", counts, "production") == {
        "status": "healthy",
        "uptime_seconds": 1.235,
        "model_count": 3,
        "request_count": 8,
        "error_count": 1,
        "error_rate": 0.125,
        "environment": "production",
    }
    assert health.health_answer("healthy", evolve(counts, requests=0, errors=0), "x")["error_rate"] == 0.0


@pytest.mark.parametrize(
    ("state", "draining", "writable", "reasons"),
    [
        pytest.param(WELL, False, True, 0, id="ready"),
        pytest.param(WELL, True, True, 1, id="draining"),
        pytest.param(ProviderState(healthy=False), False, True, 1, id="nobody to ask"),
        pytest.param(WELL, False, False, 1, id="the ledger cannot be written"),
        pytest.param(ProviderState(healthy=False), True, False, 3, id="all at once"),
    ],
)
def test_why_a_house_is_not_ready(state, draining, writable, reasons):
    snapshot = Snapshot(providers={"p": state})
    found = health.unready([P], snapshot, NOW, draining, writable)
    assert len(set(found)) == len(found) == reasons


def test_a_provider_is_shown_without_secrets():
    state = evolve(WELL, checked_at=90.0, problem=Kind.AUTH, models=(), in_flight=2)
    shown = health.provider_answer(P, Snapshot(providers={"p": state}), NOW)
    assert "secret" not in str(shown)
    assert shown["base_url"] == "https://host:8443/v1"
    assert (shown["status"], shown["problem"], shown["in_flight"]) == ("healthy", "auth", 2)
    assert (shown["model_count"], shown["checked_seconds_ago"], shown["served_seconds_ago"]) == (
        0,
        10.0,
        None,
    )
