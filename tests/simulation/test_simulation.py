"""Worlds in which providers fail and clients leave, in virtual time. `SEED=7 pytest tests/simulation` sees one again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
