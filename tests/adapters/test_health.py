import pytest
from attrs import evolve

from adapters import health
from pipeline.gate import Gate
from pipeline.state.board import ProviderState, Snapshot
from pipeline.state.breaker import Breaker
from pipeline.values.problems import Kind
from pipeline.values.targets import Provider

P = Provider("p", "openai", "https://user:secret@host:8443/v1?key=secret")
WELL = ProviderState(healthy=True)
TRIPPED = Breaker(mode="open", open_until=110.0)
NOW = 100.0


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
    shown = health.provider_answer(P, Snapshot(providers={"p": state}), NOW, Gate("p", 9, 1))
    assert "secret" not in str(shown)
    assert shown["base_url"] == "https://host:8443/v1"
    assert (shown["status"], shown["problem"], shown["in_flight"]) == ("healthy", "auth", 2)
    assert (shown["model_count"], shown["checked_seconds_ago"], shown["served_seconds_ago"]) == (
        0,
        10.0,
        None,
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(
            WELL,
            {"eligible": True, "share": 1.0, "barred_by": None, "barred_for_seconds": 0.0},
            id="nothing speaks against it",
        ),
        pytest.param(
            evolve(WELL, breaker=evolve(TRIPPED, trips=3)),
            {
                "eligible": False,
                "share": 0.0,
                "barred_by": "provider's breaker",
                "barred_for_seconds": 10.0,
                "breaker": "open",
                "breaker_trips": 3,
            },
            id="its breaker is open",
        ),
        pytest.param(
            evolve(WELL, cooled_until=160.0),
            {"barred_by": "account resting", "barred_for_seconds": 60.0, "resting_seconds": 60.0},
            id="its account rests",
        ),
        pytest.param(
            evolve(WELL, breaker=Breaker(generation=3, since=85.0)),
            {"eligible": True, "share": 0.5, "status": "degraded"},
            id="its share grows back",
        ),
    ],
)
def test_a_provider_tells_whether_it_may_be_asked(state, expected):
    shown = health.provider_answer(P, Snapshot(providers={"p": state}), NOW, Gate("p", 9, 1))
    assert shown | expected == shown


async def test_a_provider_tells_its_permits():
    gate = Gate("p", 9, 1)
    async with gate.hold():
        shown = health.provider_answer(P, Snapshot(), NOW, gate)
    assert shown["permits"] == {"held": 1, "limit": 9, "waiting": 0}


async def test_all_queues_are_one():
    gates = (Gate("a", 5, 1), Gate("b", 3, 1))
    async with gates[0].hold(), gates[1].hold():
        assert health.queue_answer(gates) == {"running": 2, "limit": 8, "waiting": 0}
