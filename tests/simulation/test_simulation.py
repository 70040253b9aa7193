"""Worlds in which providers fail and clients leave, in virtual time. `SEED=7 pytest tests/simulation` sees one again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from pipeline.state.bucket import Bucket
from pipeline.state.budget import Budget
from pipeline.state.queue import QueueRules
from pipeline.values.callers import Allowance, CallerLimits
from stages.limit import LimitOptions
from stages.strategies import STRATEGIES
from tests.simulation.watch import Broken
from tests.simulation.world import Setting, World, simulate

SEED = int(os.environ.get("SEED", "1"))
WORLDS = int(os.environ.get("WORLDS", "1"))
FALLBACKS = ("next_available", "retry_same", "best_alternative")
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(SEED, SEED + WORLDS))
def test_two_hours(seed):
    outcome = simulate(Setting(seed, fault_every_s=11.0))
    assert outcome.requests >= 5000
    assert outcome.faults >= 500
    assert outcome.outcomes["ok"] > 0.85 * outcome.requests


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("fallback", FALLBACKS)
def test_each_way_of_choosing(strategy, fallback):
    seed = SEED + 10 * sorted(STRATEGIES).index(strategy) + FALLBACKS.index(fallback)
    hedge = "delay" if seed % 2 else "off"
    setting = Setting(seed, 1000.0, 400, strategy=strategy, fallback=fallback, hedge=hedge)
    outcome = simulate(setting)
    assert outcome.outcomes["ok"] > 0.7 * outcome.requests
    assert (outcome.hedges > 0) == (hedge == "delay")


# A house so small that many wait, and some find no place to.
CROWDED = Setting(4, 600.0, 1500, at_once=3, may_wait=5)


def test_a_queue_is_never_longer_than_it_may_be():
    outcome = simulate(CROWDED)
    assert outcome.longest["the proxy"] == CROWDED.may_wait
    assert outcome.outcomes["rejected"] > 0


# One key floods it, four classes wait, and some leave before it is their turn.
FLOODED = Setting(5, 600.0, 2500, at_once=3, may_wait=24, keys=5)


def test_a_flooded_house_keeps_its_promises():
    outcome = simulate(FLOODED)
    assert outcome.longest["the proxy"] == FLOODED.may_wait
    assert outcome.outcomes["rejected"] > 0
    assert outcome.outcomes["cancelled"] > 0


def test_a_key_that_has_more_than_its_share_is_found_out(monkeypatch):
    monkeypatch.setattr(QueueRules, "most_of_one", property(lambda rules: rules.size))
    with pytest.raises(Broken, match="invariant 14"):
        simulate(FLOODED)


def test_a_class_that_starves_is_found_out(monkeypatch):
    monkeypatch.setattr(
        "stages.limit.QueueRules", lambda *given: QueueRules(*given, weights=(10**6, 10**4, 10**3, 1))
    )
    with pytest.raises(Broken, match="invariant 13"):
        simulate(FLOODED)


def one_place_too_many(queue_size, **others):
    return LimitOptions(queue_size=queue_size + 1, **others)


def test_a_queue_that_grows_too_long_is_found_out(monkeypatch):
    monkeypatch.setattr("tests.simulation.world.LimitOptions", one_place_too_many)
    with pytest.raises(Broken, match="invariant 3: 6 wait at the proxy, where 5 may"):
        simulate(CROWDED)


# Each key may have a part of what its clients ask for, and the first spends its budget.
LIMITS = CallerLimits(requests=60, tokens=6000, concurrent=8, budget=Allowance(6000, "month"))
LIMITED = Setting(6, 1500.0, 2500, keys=4, hedge="delay", limits=LIMITS)


def test_keys_never_have_more_than_they_may():
    outcome = simulate(LIMITED)
    assert outcome.outcomes["rejected"] > 100
    assert outcome.outcomes["ok"] > 500


def granted(budget, estimate, limit, window):
    return evolve(budget.moved(window), reserved=budget.reserved + estimate)


def test_a_budget_that_is_overspent_is_found_out(monkeypatch):
    monkeypatch.setattr(Budget, "reserve", granted)
    with pytest.raises(Broken, match="invariant 12"):
        simulate(LIMITED)


def test_a_rate_that_is_not_kept_is_found_out(monkeypatch):
    monkeypatch.setattr(Bucket, "retry_after", lambda *given: 0.0)
    with pytest.raises(Broken, match="invariant 18"):
        simulate(evolve(LIMITED, seed=7, limits=CallerLimits(requests=6)))


SMALL = "from tests.simulation.world import Setting, simulate; print(simulate(Setting(5, 700.0, 100, hedge='delay')).trace)"


def trace(hash_seed):
    command = [sys.executable, "-c", SMALL]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": hash_seed}, check=True, capture_output=True
    ).stdout


def test_the_same_seed_is_the_same_world():
    assert trace("1") == trace("2") != b""


def test_another_seed_is_another_world():
    assert simulate(Setting(1, 700.0, 50)).trace != simulate(Setting(2, 700.0, 50)).trace


def test_what_breaks_is_told_with_its_seed(monkeypatch):
    monkeypatch.setattr(World, "_settled", lambda world: world.watch.must(False, 1, "made up"))
    with pytest.raises(Broken, match="SEED=3") as told:
        simulate(Setting(3, 500.0, 20))
    assert "AttemptStarted" in str(told.value)


def nothing_is_known(candidate, world):
    return True


def test_a_house_that_is_broken_on_purpose_is_found_out(monkeypatch):
    monkeypatch.setattr("stages.moves.may_be_asked", nothing_is_known)
    with pytest.raises(Broken, match=r"invariant (5|15)"):
        simulate(Setting(1, 2000.0, 800))


def test_budgets_that_are_not_kept_are_found_out(monkeypatch):
    monkeypatch.setattr("stages.hedging._affordable", lambda *given: True)
    with pytest.raises(Broken, match="invariant 7"):
        simulate(Setting(1, 2000.0, 800, hedge="delay"))
