"""strategies: each as a table of cases, and what holds for all."""

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state import board
from pipeline.state.board import Snapshot, TargetState
from pipeline.state.breaker import RING, Breaker
from pipeline.state.ewma import Ewma
from pipeline.values.exchange import Candidate, Preference
from pipeline.values.facts import AttemptEnded, AttemptStarted
from pipeline.values.messages import EmbedRequest, Format, Sampling
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Price, Target
from stages.ranking import Ranking
from stages.strategies import STRATEGIES, strategy_named
from tests.kit import provider, request

NOW = 1000.0


def at(name, facts=None, **changes):
    return Target(provider(name, **changes), facts or ModelFacts("m"))


def ranked(strategy, targets, states=None, asked=None, roll=0.5, wish=(), cheapest_first=()):
    snapshot = Snapshot({f"{name}/m": state for name, state in (states or {}).items()})
    ranking = Ranking(STRATEGIES[strategy], asked or request(), Preference(wish), cheapest_first)
    found = ranking(tuple(Candidate(one, 0.0, "test") for one in targets), snapshot, NOW, roll)
    return [candidate.target.provider.name for candidate in found]


def priced(name, read, write=None, **changes):
    return at(name, ModelFacts("m", price=Price(read, write)), **changes)


def timed(seconds, ago=1.0, **changes):
    return TargetState(ttft=Ewma(value=seconds, at=NOW - ago), **changes)


def window(ok=0, hard=0):
    seen = RING
    for column, count in ((0, ok), (1, hard)):
        if count:
            seen = seen.added(column, NOW, count)
    return Breaker(seen=seen)


A, B, C = (at(name) for name in "abc")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            ranked("priority", [at("a", priority=2), at("b", priority=1)]),
            "ba",
            id="priority: the lower first",
        ),
        pytest.param(
            ranked("capability_based", [A, at("b", ModelFacts("m", frozenset({"completion"})))]),
            "ba",
            id="capability: known to fit before unknown",
        ),
        pytest.param(
            ranked(
                "capability_based",
                [at("a", ModelFacts("m", context_length=10)), at("b", ModelFacts("m", context_length=9000))],
                asked=request("x" * 64),
            ),
            "ba",
            id="capability: long enough before too short",
        ),
        pytest.param(
            ranked(
                "capability_based",
                [
                    at("a", ModelFacts("m", structured_output=False)),
                    at("b", ModelFacts("m", structured_output=True), priority=50),
                ],
                asked=request(format=Format({"type": "object"})),
            ),
            "ba",
            id="capability: who keeps to a schema, whatever its priority",
        ),
        pytest.param(
            ranked("cost_optimized", [priced("a", 3.0, 15.0), priced("b", 1.0, 5.0)]),
            "ba",
            id="cost: the cheaper",
        ),
        pytest.param(
            ranked("cost_optimized", [at("a", kind="x"), priced("b", 9.0, 9.0)]),
            "ba",
            id="cost: unknown is never free",
        ),
        pytest.param(
            ranked(
                "cost_optimized",
                [at("a", kind="dear"), at("b", kind="cheap")],
                cheapest_first=("cheap", "dear"),
            ),
            "ba",
            id="cost: the usual order where no price is known",
        ),
        pytest.param(
            ranked(
                "cost_optimized",
                [priced("a", 0.0, 100.0), priced("b", 10.0, 10.0)],
                asked=request("x" * 40, sampling=Sampling(max_tokens=1)),
            ),
            "ab",
            id="cost: a short answer makes the price of reading count",
        ),
        pytest.param(
            ranked(
                "cost_optimized",
                [priced("a", 1.0, None), priced("b", 2.0, None)],
                asked=EmbedRequest("m", ("x",)),
            ),
            "ab",
            id="cost: an embedding has no output",
        ),
        pytest.param(
            ranked("least_loaded", [A, B], {"a": TargetState(in_flight=2), "b": TargetState(in_flight=1)}),
            "ba",
            id="load: the less busy",
        ),
        pytest.param(
            ranked(
                "least_loaded",
                [at("a", weight=4.0), B],
                {"a": TargetState(in_flight=2), "b": TargetState(in_flight=1)},
            ),
            "ab",
            id="load: for its weight",
        ),
        pytest.param(
            ranked(
                "least_loaded",
                [A, B],
                {
                    "a": TargetState(breaker=window(hard=4)),
                    "b": TargetState(in_flight=5, breaker=window(ok=4)),
                },
            ),
            "ba",
            id="load: who fails fast is not idle",
        ),
        pytest.param(
            ranked("fastest_response", [A, B], {"a": timed(0.5), "b": timed(0.2)}),
            "ba",
            id="speed: the faster",
        ),
        pytest.param(
            ranked(
                "fastest_response",
                [A, B],
                {"a": timed(0.5, breaker=window(ok=5)), "b": timed(0.46)},
            ),
            "ab",
            id="speed: the favourite stays where the other is hardly better",
        ),
        pytest.param(
            ranked(
                "fastest_response",
                [A, B],
                {"a": timed(0.5, breaker=window(ok=5)), "b": timed(0.44)},
            ),
            "ba",
            id="speed: and goes where it is clearly better",
        ),
        pytest.param(
            ranked(
                "fastest_response",
                [A, B],
                {"a": timed(0.1, breaker=window(ok=5)), "b": timed(9.0, ago=6.0)},
                roll=0.04,
            ),
            "ba",
            id="speed: now and then one is tried that nobody has measured of late",
        ),
        pytest.param(
            ranked("priority", [A, B], {"a": TargetState(cooled_until=NOW + 1)}),
            "ba",
            id="the resting come last",
        ),
        pytest.param(ranked("priority", [A, B], wish=("b",)), "ba", id="the client's wish comes first"),
        pytest.param(
            ranked("priority", [A, B], {"b": TargetState(cooled_until=NOW + 1)}, wish=("b",)),
            "ba",
            id="even one that rests; whether it is asked is another question",
        ),
        pytest.param(
            ranked("priority", [A, B], {"a": TargetState(in_flight=3), "b": TargetState(in_flight=1)}),
            "ba",
            id="of two equals the less busy",
        ),
    ],
)
def test_order(found, expected):
    assert "".join(found) == expected


def test_of_many_equals_each_is_drawn():
    targets = [at(name) for name in "abcd"]
    first = Counter(ranked("priority", targets, roll=roll / 1000)[0] for roll in range(1000))
    assert set(first) == set("abcd")


@given(st.sampled_from(sorted(STRATEGIES)), st.floats(0, 1, exclude_max=True), st.integers(0, 6))
def test_nobody_is_lost_or_doubled(strategy, roll, count):
    targets = [at(name) for name in "abcdef"[:count]]
    assert sorted(ranked(strategy, targets, roll=roll)) == list("abcdef"[:count])


def turns(weights, picks, away=()):
    """How often each is picked in turn; `away`: rounds in which `a` cannot be."""
    targets = [at(name, weight=weight) for name, weight in weights.items()]
    ranking = Ranking(STRATEGIES["round_robin"], request(), Preference())
    snapshot, order = Snapshot(), []
    for round_ in range(picks):
        present = [one for one in targets if not (round_ in away and one.provider.name == "a")]
        first, *_ = ranking(tuple(Candidate(one, 0.0, "test") for one in present), snapshot, NOW, 0.3)
        order.append(first.target.provider.name)
        name = first.target.name
        snapshot = board.evolve(snapshot, AttemptStarted(1, name, NOW, turn=first.turn))
        snapshot = board.evolve(snapshot, AttemptEnded(1, name, NOW, 0.0))
    return order


@given(st.integers(2, 5), st.integers(1, 60))
def test_round_robin_is_even_within_one(count, picks):
    counts = Counter(turns(dict.fromkeys("abcde"[:count], 1.0), picks))
    assert max(counts.values()) - min(counts.get(name, 0) for name in "abcde"[:count]) <= 1


def test_round_robin_follows_the_weights_and_mixes():
    order = turns({"a": 3.0, "b": 1.0}, 40)
    assert Counter(order) == {"a": 30, "b": 10}
    assert "bb" not in "".join(order)


def test_who_comes_back_does_not_get_all_that_was_missed():
    order = turns({"a": 1.0, "b": 1.0}, 40, away=range(20))
    assert set(order[:20]) == {"b"}
    back = Counter(order[20:])
    assert abs(back["a"] - back["b"]) <= 2


def test_an_own_strategy_is_found_by_its_name():
    assert strategy_named("stages.strategies:by_priority") is STRATEGIES["priority"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("round_robbin", 'did you mean "round_robin"', id="a slip of the pen"),
        pytest.param("nowhere:NAME", "ModuleNotFoundError", id="no such module"),
        pytest.param("stages.strategies:nothing", "AttributeError", id="no such name"),
        pytest.param("stages.strategies:MILLION", "cannot be imported", id="not there any more"),
        pytest.param("stages.strategies:BETTER", "is no function", id="not a function"),
    ],
)
def test_a_name_that_means_nothing_is_refused(name, words):
    with pytest.raises(ValueError, match=words):
        strategy_named(name)


def test_the_penalty_of_a_failure_makes_a_target_look_slow():
    snapshot = board.evolve(Snapshot(), AttemptEnded(1, "a/m", NOW, 0.001, Kind.SERVER))
    assert evolve(snapshot.target("a/m")).ttft.read(NOW) >= 5.0
