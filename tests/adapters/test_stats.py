"""The numbers of a provider."""

import pytest

from adapters.stats import hedges_answer, retries_answer, stats_answer
from adapters.tally import Tally
from pipeline.gate import Gate
from pipeline.leaves import Leaves
from pipeline.state.board import Snapshot, evolve
from pipeline.state.hedge_budget import HedgeBudget
from pipeline.state.retry_budget import RetryBudget
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken, QuotaSeen
from pipeline.values.problems import Kind
from pipeline.values.targets import Rates
from tests.kit import provider

NOW = 100.0


def told(*facts, now=NOW, tally=None, given=None):
    snapshot = Snapshot()
    for fact in facts:
        snapshot = evolve(snapshot, fact)
    gate = Gate("a", 5, 10)
    leaves = Leaves(lambda: now, lambda: snapshot, {"a": gate})
    return stats_answer(given or provider("a"), snapshot, now, gate, tally or Tally(), leaves)


def attempt(number, target, verdict=None, first=0.5, again=False, **given):
    started = AttemptStarted(number, target, NOW - 2, again=again)
    firsts = [] if first is None else [FirstToken(number, target, NOW - 1, first)]
    return [started, *firsts, AttemptEnded(number, target, NOW, 2.0, verdict, **given)]


def test_a_provider_that_was_never_asked():
    answer = told()
    assert (answer["name"], answer["status"], answer["targets"]) == ("a", "unknown", [])
    assert answer["permits"] == {"held": 0, "limit": 5, "waiting": 0}
    assert set(answer["totals"].values()) == {0}
    assert answer["retries"]["another_allowed"] is True


def test_each_target_has_its_own_numbers():
    facts = [
        *attempt(1, "a/m"),
        *attempt(1, "a/m", Kind.SERVER, first=None),
        *attempt(1, "a/other"),
        *attempt(1, "b/m"),
        AttemptStarted(1, "a/m", NOW),
    ]
    answer = told(*facts)
    m, other = answer["targets"]
    assert (m["target"], m["model"], other["target"]) == ("a/m", "m", "a/other")
    assert (m["started"], m["succeeded"], m["failed"], m["in_flight"]) == (3, 1, 1, 1)
    assert (other["started"], other["succeeded"], other["failed"]) == (1, 1, 0)
    assert (m["last_problem"], other["last_problem"]) == ("server", None)
    assert answer["in_flight"] == 1


def test_times_until_the_first_content():
    facts = [fact for first in (0.1,) * 18 + (3.0,) * 2 for fact in attempt(1, "a/m", first=first)]
    found = told(*facts)["targets"][0]
    times = found["first_token_seconds"]
    assert times["count"] == 20
    assert times["p50"] == pytest.approx(0.1, rel=0.11)
    assert times["p95"] == pytest.approx(3.0, rel=0.11)
    assert times["average"] == pytest.approx(3.0, rel=0.01), "bad news are believed at once"
    assert found["latency_seconds"] == 2.0


def test_what_was_never_measured_is_not_guessed():
    found = told(AttemptStarted(1, "a/m", NOW))["targets"][0]
    assert found["first_token_seconds"] == {"average": None, "p50": None, "p95": None, "count": 0}
    assert (found["latency_seconds"], found["quota"]) == (None, None)


def test_why_a_target_is_not_asked():
    rests = told(*attempt(1, "a/m", Kind.RATE_LIMITED, first=None, retry_after=7.0))["targets"][0]
    assert (rests["eligible"], rests["barred_by"], rests["share"]) == (False, "resting", 0.0)
    assert rests["resting_seconds"] == rests["barred_for_seconds"] >= 7.0
    failing = [fact for _ in range(5) for fact in attempt(1, "a/m", Kind.SERVER, first=None)]
    trips = told(*failing)["targets"][0]
    assert (trips["breaker"], trips["breaker_trips"], trips["barred_by"]) == ("open", 1, "breaker")


def test_the_quota_runs_on():
    seen = QuotaSeen("a/m", 90.0, requests=7, tokens=900, requests_reset_s=12.0, tokens_reset_s=3.0)
    assert told(seen)["targets"][0]["quota"] == {
        "requests": 7,
        "requests_reset_seconds": 2.0,
        "tokens": 900,
        "tokens_reset_seconds": 0.0,
        "seen_seconds_ago": 10.0,
    }


def test_how_many_it_is_given_at_once_and_how_that_came_about():
    facts = [AttemptStarted(number, "a/m", 80.0) for number in range(5)]
    facts.append(AttemptEnded(1, "a/m", 90.0, 10.0, Kind.RATE_LIMITED, most=5))
    facts.append(AttemptEnded(2, "a/m", 96.0, 16.0, most=5))
    facts.append(AttemptEnded(3, "a/m", 97.0, 17.0, most=5))
    places = told(*facts)["targets"][0]["permits"]
    assert places == {
        "held": 0,
        "limit": 3,
        "waiting": 0,
        "maximum": 5,
        "curve": [{"seconds_ago": 10.0, "limit": 3}],
    }


def test_what_the_rates_still_give():
    rated = provider("a", rates=Rates(requests=60.0), limits={"m": Rates(tokens=6000.0)})
    answer = told(*attempt(1, "a/m"), *attempt(1, "a/other"), given=rated)
    assert answer["rates"] == {"requests_left": 10.0, "tokens_left": None}
    m, other = answer["targets"]
    assert m["rates"] == {"requests_left": None, "tokens_left": 1000.0}
    assert other["rates"] == {"requests_left": None, "tokens_left": None}


def test_what_nobody_can_read_is_counted():
    facts = [QuotaSeen("a/m", 90.0, requests=7), QuotaSeen("a/m", 95.0, unread=2)]
    found = told(*facts)["targets"][0]
    assert (found["unreadable_quotas"], found["quota"]["requests"]) == (2, 7)


def test_totals_are_those_of_all_time():
    totals = told(tally=Tally(7, 2, 1, 6, 100, 50))["totals"]
    assert totals == {
        "attempts": 10,
        "succeeded": 7,
        "failed": 2,
        "cancelled": 1,
        "answered_requests": 6,
        "input_tokens": 100,
        "output_tokens": 50,
    }


def test_retries_of_late():
    facts = [
        *attempt(1, "a/m", Kind.SERVER, first=None),
        *attempt(2, "a/m", again=True),
        *attempt(1, "b/m"),
    ]
    retries = told(*facts)["retries"]
    assert (retries["came_first"], retries["came_back"]) == (1, 1)
    assert retries["house"] == {
        "window_seconds": 10.0,
        "requests": 2,
        "extra_attempts": 1,
        "well": 2,
        "failed": 1,
    }
    assert retries_answer(RetryBudget(), NOW)["requests"] == 0
    assert told(*facts, now=NOW + 20)["retries"]["came_back"] == 0


def test_hedges_of_late():
    budget = HedgeBudget().accepted(NOW).accepted(NOW).hedged(0.002, NOW).spent(0.5, NOW)
    assert hedges_answer(budget, NOW) == {
        "window_seconds": 60.0,
        "requests": 2,
        "hedges": 1,
        "hour_cost": 0.5,
        "hour_cost_of_hedges": 0.002,
    }
