"""strategies: each as a table of cases, and what holds for all."""

import gc
import sys
import weakref
from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state import board
from pipeline.state.board import ProviderState, Snapshot, TargetState
from pipeline.state.breaker import RING, Breaker
from pipeline.state.ewma import Ewma
from pipeline.values.exchange import Candidate, Preference
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken
from pipeline.values.messages import EmbedRequest, Format, Sampling
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Price, Target
from stages.costs import estimated_cost
from stages.ranking import MOMENT_S, Ranking, Standing
from stages.strategies import STRATEGIES, Sized, strategy_named
from tests.kit import provider, request

NOW = 1000.0


def at(name, facts=None, **changes):
    return Target(provider(name, **changes), facts or ModelFacts("m"))


def ranked(strategy, targets, states=None, asked=None, roll=0.5, wish=(), cheapest_first=()):
    snapshot = Snapshot({f"{name}/m": state for name, state in (states or {}).items()})
    ranking = Ranking(STRATEGIES[strategy], Sized(asked or request()), Preference(wish), cheapest_first)
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
    ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())
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


def test_who_is_asked_because_another_has_no_place_owes_for_one_turn():
    targets = [at("a"), at("b")]
    ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())
    candidates = tuple(Candidate(one, 0.0, "test") for one in targets)
    snapshot, counts = Snapshot(), Counter()
    for _ in range(100):
        spilled = next(one for one in ranking(candidates, snapshot, NOW, 0.3) if one.target == targets[1])
        snapshot = board.evolve(snapshot, AttemptStarted(1, spilled.target.name, NOW, turn=spilled.turn))
    for _ in range(20):
        first, *_ = ranking(candidates, snapshot, NOW, 0.3)
        counts[first.target.provider.name] += 1
        snapshot = board.evolve(snapshot, AttemptStarted(1, first.target.name, NOW, turn=first.turn))
    assert abs(counts["a"] - counts["b"]) <= 2


def test_calls_that_waited_for_their_place_count_one_by_one():
    ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())
    candidates = tuple(Candidate(at(name), 0.0, "test") for name in "ab")
    snapshot = Snapshot()
    first, *_ = ranking(candidates, snapshot, NOW, 0.3)
    for _ in range(10):
        snapshot = board.evolve(snapshot, AttemptStarted(1, first.target.name, NOW, turn=first.turn))
    assert snapshot.target(first.target.name).turn == 10


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


def told(board_, facts):
    for fact in facts:
        board_ = board.evolve(board_, fact)
    return board_


def taken_turns(places, rounds, down):
    """Who is picked, round by round. `places`: targets by group; `down(round)`: the providers that fail their checks."""
    targets = {name: at(name) for names in places for name in names}
    ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())
    candidates = tuple(
        Candidate(targets[name], 0.0, "test", group) for group, names in enumerate(places) for name in names
    )
    snapshot, order = Snapshot(), ""
    for round_ in range(rounds):
        ill = {name: ProviderState(healthy=False) for name in down(round_)}
        first, *_ = ranking(candidates, evolve(snapshot, providers=ill), NOW, 0.3)
        name = first.target.name
        order += first.target.provider.name
        ended = AttemptEnded(1, name, NOW, 0.0)
        snapshot = told(snapshot, (AttemptStarted(1, name, NOW, turn=first.turn), ended))
    return order


@pytest.mark.parametrize(
    ("places", "down"),
    [
        pytest.param(["ab"], lambda round_: "a" if round_ < 20 else "", id="of two"),
        pytest.param(["ab", "c"], lambda round_: "a" if round_ < 20 else "", id="beside a stand-in never asked"),
        pytest.param(["abc"], lambda round_: "ac" if round_ < 20 else "c", id="while another stays away"),
    ],
)  # fmt: skip
def test_who_was_away_does_not_catch_up_whoever_else_there_is(places, down):
    order = taken_turns(places, 40, down)
    assert set(order[:20]) == {"b"}
    for end in range(20, 41):
        assert abs(order[20:end].count("a") - order[20:end].count("b")) <= 2


def test_a_call_that_had_no_choice_is_no_turn():
    """Who was wanted by name all morning gets his share of the rest in the afternoon."""
    targets = (at("a"), at("b"), at("c"))
    candidates = tuple(Candidate(one, 0.0, "test") for one in targets)
    snapshot = Snapshot()
    for wish, given_ in ((("b",), candidates), ((), candidates[1:2])):
        ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference(wish))
        for _ in range(100):
            first, *_ = ranking(given_, snapshot, NOW, 0.3)
            assert first.target.provider.name == "b"
            snapshot = told(snapshot, [AttemptStarted(1, first.target.name, NOW, turn=first.turn)])
    picks = Counter()
    for _ in range(30):
        first, *_ = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())(
            candidates, snapshot, NOW, 0.3
        )
        picks[first.target.provider.name] += 1
        snapshot = told(snapshot, [AttemptStarted(1, first.target.name, NOW, turn=first.turn)])
    assert set(picks.values()) == {10}


def test_many_targets_take_turns_in_little_time():
    """To reckon each turn anew for each of the others would take seconds."""
    eligibilities = []
    targets = tuple(at(f"n{number}") for number in range(500))

    class Snapshots(Snapshot):
        def provider(self, name):
            eligibilities.append(name)
            return super().provider(name)

    ranking = Ranking(STRATEGIES["round_robin"], Sized(request()), Preference())
    ranking(tuple(Candidate(one, 0.0, "test") for one in targets), Snapshots(), NOW, 0.3)
    assert len(eligibilities) <= 2 * len(targets)


def test_exploring_goes_to_who_was_measured_longest_ago():
    """Few requests come in five seconds, so all are unmeasured again when the next one is explored."""
    snapshot = Snapshot()
    states = {
        "a": timed(0.5, ago=1.0, breaker=window(ok=50)),
        "b": timed(0.6, ago=9.0),
        "c": timed(0.9, ago=99.0),
    }
    assert ranked("fastest_response", [A, B, C], states, roll=0.01) == ["c", "b", "a"]
    del states["c"]
    assert ranked("fastest_response", [A, B, C], states, roll=0.01)[0] == "c", "never measured"
    assert snapshot == Snapshot()


@given(st.integers(2, 6), st.floats(0, 0.049), st.floats(1.0, 60.0))
def test_everybody_is_explored_sooner_or_later(count, roll, pause_s):
    targets = [at(name) for name in "abcdef"[:count]]
    ranking = Ranking(STRATEGIES["fastest_response"], Sized(request()), Preference())
    snapshot, now, seen = Snapshot(), NOW, Counter()
    for _ in range(4 * count):
        first, *_ = ranking(tuple(Candidate(one, 0.0, "test") for one in targets), snapshot, now, roll)
        seen[first.target.provider.name] += 1
        took = 0.1 + 0.1 * "abcdef".index(first.target.provider.name)
        facts = (
            FirstToken(1, first.target.name, now + took, took),
            AttemptEnded(1, first.target.name, now + took, took),
        )
        snapshot = told(snapshot, (AttemptStarted(1, first.target.name, now), *facts))
        now += pause_s
    assert len(seen) == count


def test_no_priority_outweighs_what_the_request_needs():
    found = ranked(
        "capability_based", [at("a"), at("b", ModelFacts("m", frozenset({"completion"})), priority=5000)]
    )
    assert found == ["b", "a"]


def test_several_answers_cost_several_times():
    one = at("a", ModelFacts("m", price=Price(1.0, 4.0)))
    asked = request("x" * 40, choices=3, sampling=Sampling(max_tokens=100))
    assert estimated_cost(one, asked, 10) == pytest.approx((10 * 1.0 + 3 * 100 * 4.0) / 1e6)


def test_an_order_stands_until_something_happens():
    """Routing and calling ask within a moment: what nothing has changed is not reckoned twice."""
    candidates = tuple(Candidate(one, 0.0, "test") for one in (A, B, C))
    before, after = Snapshot({"a/m": timed(0.2)}), Snapshot({"b/m": timed(0.1)})
    ranking = Ranking(STRATEGIES["fastest_response"], Sized(request()), Preference())
    ordered = ranking(candidates, before, NOW, 0.9)
    standing = Standing.of(ranking, ordered, before, NOW)
    assert standing(ordered, before, NOW + MOMENT_S / 2, 0.1) is ordered
    for given_, snapshot, now in (
        (ordered, after, NOW),
        (ordered, before, NOW + 2 * MOMENT_S),
        (ordered[1:], before, NOW),
    ):
        assert standing(given_, snapshot, now, 0.1) == ranking(given_, snapshot, now, 0.1)
    assert standing(ordered, after, NOW, 0.9)[0].target is B


def test_a_plan_does_not_keep_what_was_known():
    snapshot = Snapshot({"a/m": timed(0.2)})
    ranking = Ranking(STRATEGIES["priority"], Sized(request()), Preference())
    standing, known = Standing.of(ranking, (), snapshot, NOW), weakref.ref(snapshot)
    del snapshot
    gc.collect()
    assert known() is None
    assert standing((), Snapshot(), NOW, 0.5) == ()


# Strategies of an operator's own: they may be wrong in any way, and cost nobody an answer.


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """A module of the operator's, with what a test writes into it."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"rules_{tmp_path.name}".replace("-", "_")

    def written(text):
        (tmp_path / f"{name}.py").write_text(text)
        return f"{name}:mine"

    yield written
    sys.modules.pop(name, None)


OWN = """
import math
def mine(target, view):
    if target.provider.name == "b":
        {fault}
    return {{"a": 2.0, "c": 1}}[target.provider.name]
"""


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("raise KeyError('no price')", id="it raises"),
        pytest.param("return math.nan", id="it gives no number"),
        pytest.param("return None", id="it gives nothing"),
        pytest.param("return 'first'", id="it gives a word"),
        pytest.param("return (1, 2)", id="it gives two"),
        pytest.param("return 10 ** 400", id="it gives more than a number holds"),
        pytest.param("return view.nothing", id="it asks for what is not there"),
    ],
)
def test_what_an_own_strategy_cannot_score_comes_last(fault, rules, caplog):
    name = rules(OWN.format(fault=fault))
    targets = [A, B, C]
    for _ in range(3):
        ranking = Ranking(strategy_named(name), Sized(request()), Preference())
        found = ranking(tuple(Candidate(one, 0.0, "test") for one in targets), Snapshot(), NOW, 0.5)
        assert [one.target.provider.name for one in found] == ["c", "a", "b"]
    (record,) = caplog.records
    assert name in record.getMessage()
    assert "b/m" in record.getMessage()


def test_an_own_strategy_may_score_without_bounds(rules):
    name = rules(
        "def mine(target, view): return {'a': 10**30, 'b': float('-inf'), 'c': False}[target.provider.name]"
    )
    ranking = Ranking(strategy_named(name), Sized(request()), Preference())
    found = ranking(tuple(Candidate(one, 0.0, "test") for one in (A, B, C)), Snapshot(), NOW, 0.5)
    assert [one.target.provider.name for one in found] == ["b", "c", "a"]


def test_an_own_strategy_is_looked_up_once(rules):
    name = rules("def mine(target, view): return 1.0")
    assert strategy_named(name) is strategy_named(name)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("async def mine(target, view): return 1.0", id="one that waits"),
        pytest.param("def mine(targets): return sorted(targets)", id="one that takes other things"),
        pytest.param("def mine(target, view, *, price): return 1.0", id="one that wants more"),
        pytest.param("class mine: pass", id="a class"),
    ],
)
def test_what_cannot_be_a_strategy_is_refused_before_anybody_asks(text, rules):
    with pytest.raises(ValueError, match="function of a target and a view"):
        strategy_named(rules(text))
