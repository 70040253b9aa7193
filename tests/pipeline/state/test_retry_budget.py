import pytest

from pipeline.state.retry_budget import RetryBudget


def spent(first=0, extra=0, again=0, ok=0, hard=0, at=100.0):
    """A budget after so many first attempts at `a`, fallbacks to `b`, returns to `a`, and verdicts."""
    budget = RetryBudget()
    for _ in range(first):
        budget = budget.started("a", extra=False, again=False, now=at)
    for _ in range(extra):
        budget = budget.started("b", extra=True, again=False, now=at)
    for _ in range(again):
        budget = budget.started("a", extra=True, again=True, now=at)
    for _ in range(ok):
        budget = budget.ended(False, at)
    for _ in range(hard):
        budget = budget.ended(True, at)
    return budget


@pytest.mark.parametrize(
    ("budget", "provider", "again", "expected"),
    [
        pytest.param(spent(), "a", True, True, id="a quiet house may retry"),
        pytest.param(spent(extra=9), "b", False, True, id="ten extra ones are always affordable"),
        pytest.param(spent(extra=10), "b", False, False, id="eleven are not"),
        pytest.param(
            spent(first=20, extra=29, ok=49), "b", False, True, id="as many as were accepted, and ten"
        ),
        pytest.param(spent(first=20, extra=30, ok=50), "b", False, False, id="and not one more"),
        pytest.param(
            spent(first=20, extra=13, ok=10, hard=11), "b", False, True, id="a fifth while most fail"
        ),
        pytest.param(
            spent(first=20, extra=14, ok=10, hard=11), "b", False, False, id="and no more than that"
        ),
        pytest.param(
            spent(first=20, extra=14, ok=10, hard=10), "b", False, True, id="half failing is not most"
        ),
        pytest.param(
            spent(first=50, again=19), "a", True, True, id="a fifth back to the same provider, and ten"
        ),
        pytest.param(spent(first=50, again=20), "a", True, False, id="and not one more there"),
        pytest.param(spent(first=50, again=20), "b", False, True, id="while another may still be asked"),
        pytest.param(
            spent(first=50, extra=20), "b", True, True, id="fallbacks to a provider are no returns to it"
        ),
    ],
)
def test_what_is_affordable(budget, provider, again, expected):
    assert budget.allows(provider, again, 100.0) is expected


@pytest.mark.parametrize(
    ("budget", "provider", "again"),
    [
        pytest.param(spent(extra=10), "b", False, id="extra attempts"),
        pytest.param(spent(first=50, again=20), "a", True, id="returns to a provider"),
    ],
)
def test_after_ten_seconds_all_is_forgotten(budget, provider, again):
    assert not budget.allows(provider, again, 109.9)
    assert budget.allows(provider, again, 110.0)
