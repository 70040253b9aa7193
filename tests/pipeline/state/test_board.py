from collections import Counter
from typing import get_args

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.board import (
    MOST_TARGETS,
    Board,
    ProviderState,
    Snapshot,
    TargetState,
    evolve,
    provider_of,
)
from pipeline.state.breaker import Breaker
from pipeline.state.ewma import Ewma
from pipeline.state.flaps import Flaps
from pipeline.values.exchange import Exchange
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Charged,
    Connected,
    Fact,
    FirstToken,
    ModelsListed,
    Moved,
    ProbeEnded,
    ProviderReplaced,
    Queued,
    QuotaSeen,
    Reused,
    TurnedAway,
)
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts

T = "openai/gpt-4o"
EXCHANGE = Exchange("x", ChatRequest("m"), "ollama.chat", arrived=0.0, deadline=9.0)


def start(at=100.0, target=T, number=1, again=False):
    return AttemptStarted(number, target, at, again=again)


def end(verdict=None, at=100.0, after_s=0.0, target=T, **more):
    return AttemptEnded(1, target, at, after_s, verdict, **more)


def left(at=100.0, after_s=0.0, target=T):
    return end(None, at, after_s, target, cancelled=True)


def tried(verdict=None, at=100.0, target=T, **more):
    """One attempt that ends at the moment it began."""
    return start(at, target), end(verdict, at, 0.0, target, **more)


def after(*facts, snapshot=None):
    snapshot = snapshot or Snapshot()
    for fact in facts:
        snapshot = evolve(snapshot, fact, roll=0.0)
    return snapshot


def attempts(verdict, count, at=100.0, target=T):
    return [fact for _ in range(count) for fact in tried(verdict, at, target)]


def test_what_was_never_seen_has_a_state_too():
    assert Snapshot().target("nobody/knows") == TargetState()
    assert Snapshot().provider("nobody") == ProviderState()


@pytest.mark.parametrize(
    ("target", "provider"),
    [
        pytest.param("openai/gpt-4o", "openai", id="a plain name"),
        pytest.param("openrouter/openai/gpt-4o", "openrouter", id="a model with a slash of its own"),
    ],
)
def test_the_provider_of_a_target(target, provider):
    assert provider_of(target) == provider


@pytest.mark.parametrize("fact", [Moved("route", EXCHANGE), Admitted(1.0)])
def test_facts_of_the_exchange_change_nothing(fact):
    snapshot = after(start())
    assert evolve(snapshot, fact) is snapshot


FACTS = [
    Moved("route", EXCHANGE),
    Admitted(1.0),
    Charged(),
    Queued(lambda: None),
    TurnedAway(0.0),
    start(),
    Connected(1, T, 100.0, reused=False, connect_s=0.1),
    FirstToken(1, T, 100.0, 0.5),
    end(),
    QuotaSeen(T, 100.0),
    Reused("cached", "x0", T, 100.0),
    ProbeEnded("openai", 100.0, 0.1),
    ModelsListed("openai", 100.0, ()),
    ProviderReplaced("openai"),
]


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_every_fact_is_understood(fact):
    assert isinstance(evolve(Snapshot(), fact), Snapshot)


def test_no_kind_of_fact_is_left_out_here():
    assert {type(fact) for fact in FACTS} == set(get_args(Fact))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param([start()], {"in_flight": 1, "started": 1, "last_used": 100.0}, id="a start"),
        pytest.param(
            [start(), end(at=103.0, after_s=3.0)],
            {"in_flight": 0, "succeeded": 1, "last_used": 103.0},
            id="an end",
        ),
        pytest.param([start(), end(Kind.SERVER)], {"failed": 1, "last_verdict": Kind.SERVER}, id="a failure"),
        pytest.param(
            [*tried(Kind.SERVER), *tried()], {"failed": 1, "last_verdict": None}, id="a success after it"
        ),
        pytest.param(
            [start(), left()],
            {"in_flight": 0, "succeeded": 0, "failed": 0},
            id="a cancelled one is no verdict",
        ),
        pytest.param(
            [*tried(Kind.SERVER), start(), left()], {"last_verdict": Kind.SERVER}, id="nor hides the last"
        ),
        pytest.param([end()], {"in_flight": 0, "started": 0}, id="an end without a start takes nothing off"),
    ],
)
def test_counting_attempts(facts, expected):
    target = after(*facts).target(T)
    assert {name: getattr(target, name) for name in expected} == expected


# No two fields of a state that could be mistaken for one another are alike.
USED = Snapshot(
    {
        T: TargetState(
            in_flight=3,
            latency=Ewma(1.0, 0.2, 90.0),
            ttft=Ewma(1.0, 0.1, 90.0),
            breaker=Breaker(hard_in_a_row=2),
            started=40,
            succeeded=30,
            failed=7,
            last_verdict=Kind.SERVER,
            last_used=92.0,
            cooled_until=50.0,
            cool_downs=2,
            quota=QuotaSeen(T, 80.0),
        )
    },
    {
        "openai": ProviderState(
            healthy=True,
            checked_at=60.0,
            problem=Kind.CONNECT,
            in_flight=5,
            models=(ModelFacts("gpt-4o"),),
            listed_at=61.0,
            failures=1,
            successes=4,
            served_at=91.0,
            breaker=Breaker(hard_in_a_row=1),
            cooled_until=51.0,
            cool_downs=3,
            flaps=Flaps(1000.0, 60.0),
        )
    },
)


def changed(before, now):
    """The names of the fields in which two values of one class differ."""
    names = [one.name for one in attrs.fields(type(before))]
    return {name for name in names if getattr(before, name) != getattr(now, name)}


@pytest.mark.parametrize(
    ("fact", "target", "provider"),
    [
        pytest.param(start(), {"in_flight", "started", "last_used"}, {"in_flight"}, id="a start"),
        pytest.param(FirstToken(1, T, 100.0, 0.5), {"ttft", "first_tokens"}, set(), id="the first content"),
        pytest.param(
            end(after_s=0.5),
            {"in_flight", "latency", "breaker", "succeeded", "last_verdict", "last_used"},
            {"in_flight", "breaker", "served_at"},
            id="a success",
        ),
        pytest.param(
            end(Kind.INVALID),
            {"in_flight", "failed", "last_verdict", "last_used"},
            {"in_flight"},
            id="the client's own fault",
        ),
        pytest.param(
            end(Kind.AUTH),
            {"in_flight", "failed", "last_verdict", "last_used", "cooled_until", "cool_downs"},
            {"in_flight", "cooled_until", "cool_downs"},
            id="no rights",
        ),
        pytest.param(
            left(), {"in_flight", "last_used", "first_tokens"}, {"in_flight"}, id="one that we ended"
        ),
    ],
)
def test_an_attempt_changes_what_it_concerns_and_nothing_else(fact, target, provider):
    snapshot = evolve(USED, fact, roll=0.0)
    assert changed(USED.target(T), snapshot.target(T)) == target
    assert changed(USED.provider("openai"), snapshot.provider("openai")) == provider


names = st.sampled_from(["a/x", "a/y", "b/x"])
ends = st.sampled_from(["ok", "left", *Kind])


@given(st.lists(st.tuples(names, st.floats(0, 30), ends), max_size=40), st.randoms(use_true_random=False))
def test_in_flight_is_what_has_begun_and_not_ended(script, chance):
    snapshot, now, out, model = Snapshot(), 1000.0, [], Counter()

    def finish():
        name, began, how = out.pop(chance.randrange(len(out)))
        verdict = how if isinstance(how, Kind) else None
        model[name] -= 1
        return end(verdict, now, now - began, name, cancelled=how == "left")

    for name, gap, how in script:
        now += gap
        model[name] += 1
        out.append((name, now, how))
        snapshot = evolve(snapshot, start(now, name))
        while out and chance.random() < 0.5:
            now += chance.random()
            snapshot = evolve(snapshot, finish(), chance.random())
        assert {name: snapshot.target(name).in_flight for name in model} == model
        assert snapshot.provider("a").in_flight == model["a/x"] + model["a/y"]
    while out:
        snapshot = evolve(snapshot, finish(), chance.random())
    assert not any(state.in_flight for state in snapshot.targets.values())
    assert not any(state.in_flight for state in snapshot.providers.values())


@pytest.mark.parametrize(
    ("facts", "ttft", "latency"),
    [
        pytest.param([FirstToken(1, T, 100.0, 0.2)], 0.2, 1.0, id="the first content"),
        pytest.param([end(after_s=7.0)], 1.0, 7.0, id="a whole attempt"),
        pytest.param([end(Kind.SERVER, after_s=0.01)], 5.0, 5.0, id="to fail fast is not to be fast"),
        pytest.param([end(Kind.RATE_LIMITED, retry_after=40.0)], 40.0, 40.0, id="a hint is a time one waits"),
        pytest.param([end(Kind.RATE_LIMITED, retry_after=9e9)], 300.0, 300.0, id="up to a bound"),
        pytest.param([end(Kind.INVALID, after_s=9.0)], 1.0, 1.0, id="the client's own fault says nothing"),
        pytest.param([left(after_s=9.0)], 1.0, 9.0, id="one given up had lasted so long at least"),
        pytest.param([left(after_s=0.5)], 1.0, 1.0, id="one given up early says nothing"),
    ],
)
def test_durations(facts, ttft, latency):
    target = after(*facts).target(T)
    assert (target.ttft.read(100.0), target.latency.read(100.0)) == pytest.approx((ttft, latency))


@pytest.mark.parametrize(
    ("facts", "target_mode", "provider_mode"),
    [
        pytest.param(attempts(Kind.SERVER, 5), "open", "closed", id="a target's errors are its own"),
        pytest.param(attempts(Kind.CONNECT, 5), "open", "open", id="the way there is the provider's"),
        pytest.param(
            attempts(Kind.INVALID, 50), "closed", "closed", id="the client's own faults are nobody's"
        ),
        pytest.param(attempts(Kind.RATE_LIMITED, 50), "closed", "closed", id="a rate limit is none"),
        pytest.param(
            [fact for _ in range(50) for fact in (start(), left())],
            "closed",
            "closed",
            id="nor to be cancelled",
        ),
        pytest.param(attempts(Kind.OVERLOADED, 20), "open", "closed", id="soft failures trip by their share"),
    ],
)
def test_breakers(facts, target_mode, provider_mode):
    snapshot = after(*facts)
    assert snapshot.target(T).breaker.mode == target_mode
    assert snapshot.provider("openai").breaker.mode == provider_mode


def mixed(*targets):
    """Attempts at `targets`, of which half find no way there, never several in a row."""
    turns = [(target, verdict) for _ in range(12) for target in targets for verdict in (None, Kind.CONNECT)]
    return [fact for target, verdict in turns for fact in tried(verdict, target=target)]


@pytest.mark.parametrize(
    ("facts", "mode"),
    [
        pytest.param(mixed("openai/a"), "closed", id="one alone is the target's own trouble"),
        pytest.param(mixed("openai/a", "openai/b"), "open", id="two are the provider's"),
        pytest.param([*mixed("openai/a"), *mixed("google/b")], "closed", id="targets of others do not count"),
    ],
)
def test_a_provider_is_judged_by_several_of_its_targets(facts, mode):
    assert after(*facts).provider("openai").breaker.mode == mode


TRIPPED = after(*attempts(Kind.SERVER, 5))


def test_an_attempt_at_a_tripped_target_takes_the_lease_and_its_end_gives_it_back():
    snapshot = after(start(105.0), snapshot=TRIPPED)
    assert snapshot.target(T).breaker.refuses(105.0)
    for well in (end(at=107.3, after_s=2.3), left(107.3, 2.3)):
        breaker = after(well, snapshot=snapshot).target(T).breaker
        assert (breaker.mode, breaker.refuses(107.3)) == ("half_open", False)
    ill = after(end(Kind.SERVER, 107.3, 2.3), snapshot=snapshot).target(T).breaker
    assert (ill.mode, ill.trips) == ("open", 2)


def test_two_good_probes_bring_a_target_back():
    assert after(*tried(at=110.0), *tried(at=111.0), snapshot=TRIPPED).target(T).breaker.mode == "closed"


def test_attempts_from_before_the_trip_say_nothing():
    late = [end(at=110.0, after_s=30.0), end(Kind.SERVER, at=110.0, after_s=30.0)]
    assert after(*late, snapshot=TRIPPED).target(T).breaker == TRIPPED.target(T).breaker


@pytest.mark.parametrize(
    ("facts", "target_until", "provider_until"),
    [
        pytest.param(tried(Kind.RATE_LIMITED, retry_after=20.0), 120.0, 0.0, id="a hint is kept"),
        pytest.param(tried(Kind.RATE_LIMITED), 101.0, 0.0, id="without one a second"),
        pytest.param(
            [*tried(Kind.RATE_LIMITED), *tried(Kind.RATE_LIMITED, 101.0)], 103.0, 0.0, id="then two"
        ),
        pytest.param(tried(Kind.QUOTA), 400.0, 400.0, id="money is the account's"),
        pytest.param(tried(Kind.AUTH), 400.0, 400.0, id="rights are too"),
        pytest.param(
            tried(Kind.SERVER, retry_after=20.0), 0.0, 0.0, id="a broken target is the breaker's affair"
        ),
        pytest.param(
            [QuotaSeen(T, 100.0, requests=0, requests_reset_s=12.0)], 112.0, 0.0, id="no requests left"
        ),
        pytest.param([QuotaSeen(T, 100.0, tokens=0, tokens_reset_s=999.0)], 400.0, 0.0, id="no tokens left"),
        pytest.param(
            [QuotaSeen(T, 100.0, requests=1, requests_reset_s=12.0)], 0.0, 0.0, id="one left is enough"
        ),
        pytest.param([QuotaSeen(T, 100.0, requests=0)], 0.0, 0.0, id="none left, and nobody says until when"),
    ],
)
def test_rests(facts, target_until, provider_until):
    snapshot = after(*facts)
    assert snapshot.target(T).cooled_until == target_until
    assert snapshot.provider("openai").cooled_until == provider_until


def test_the_last_quota_is_kept():
    seen = QuotaSeen(T, 100.0, requests=3)
    assert after(QuotaSeen(T, 99.0, requests=4), seen).target(T).quota == seen


WELL, ILL = ProbeEnded("openai", 100.0, 0.1), ProbeEnded("openai", 100.0, 0.1, Kind.CONNECT)
NO_RIGHTS = ProbeEnded("openai", 100.0, 0.1, Kind.AUTH, unanswered=True)


@pytest.mark.parametrize(
    ("facts", "healthy"),
    [
        pytest.param([], None, id="at first nothing is known"),
        pytest.param([WELL], True, id="one good check tells what was unknown"),
        pytest.param([ILL, ILL], None, id="two bad ones tell nothing yet"),
        pytest.param([ILL] * 3, False, id="three do"),
        pytest.param([WELL, ILL, ILL], True, id="a well one may fail twice"),
        pytest.param([ILL, ILL, WELL, ILL, ILL], True, id="in a row means in a row"),
        pytest.param([WELL, ILL, ILL, ILL], False, id="and is down the third time"),
        pytest.param([*[ILL] * 3, WELL], False, id="one good check does not bring it back"),
        pytest.param([*[ILL] * 3, WELL, ILL, WELL], False, id="nor two with a bad one between"),
        pytest.param([*[ILL] * 3, WELL, WELL], True, id="two do"),
        pytest.param(
            [*tried(at=70.1), *[ILL] * 3], None, id="who has just served is not taken out by checks"
        ),
        pytest.param([*tried(at=70.0), *[ILL] * 3], False, id="who served half a minute ago is"),
        pytest.param(
            [*tried(Kind.SERVER, at=99.0), *[ILL] * 3], False, id="to have failed is not to have served"
        ),
    ],
)
def test_health(facts, healthy):
    assert after(*facts).provider("openai").healthy is healthy


@pytest.mark.parametrize(
    ("facts", "penalty"),
    [
        pytest.param([WELL], 0, id="to become known is no change"),
        pytest.param([WELL, ILL, ILL], 0, id="nor is a failure that does not count yet"),
        pytest.param([ILL] * 9, 1000, id="down"),
        pytest.param([*[ILL] * 3, WELL, WELL, WELL], 2000, id="and up again"),
        pytest.param([*[ILL] * 3, NO_RIGHTS], 2000, id="it can be reached again"),
        pytest.param([*[ILL] * 3, WELL, WELL, *[ILL] * 3], 3000, id="and down again"),
    ],
)
def test_each_change_of_health_is_remembered(facts, penalty):
    flaps = after(*facts).provider("openai").flaps
    assert flaps.read(100.0) == penalty
    assert flaps.holds(100.0) is (penalty > 2000)


def test_a_check_is_remembered():
    provider = after(WELL, ILL).provider("openai")
    assert (provider.checked_at, provider.problem, provider.failures, provider.successes) == (
        100.0,
        Kind.CONNECT,
        1,
        0,
    )
    assert after(ILL, WELL).provider("openai").problem is None


def test_a_good_check_lets_a_tripped_provider_be_probed():
    snapshot = after(*attempts(Kind.CONNECT, 5))
    assert snapshot.provider("openai").breaker.refuses(100.0)
    assert not after(WELL, snapshot=snapshot).provider("openai").breaker.refuses(100.0)


def test_a_list_stays_when_later_checks_fail():
    models = (ModelFacts("gpt-4o"),)
    provider = after(ModelsListed("openai", 50.0, models), ILL, ILL, ILL).provider("openai")
    assert (provider.models, provider.listed_at, provider.healthy) == (models, 50.0, False)


def test_an_empty_list_is_not_an_unknown_one():
    assert after(ModelsListed("openai", 50.0, ())).provider("openai").models == ()


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        pytest.param(tried(at=100.0), False, id="idle and closed"),
        pytest.param(tried(at=100.1), True, id="not idle long enough"),
        pytest.param([start()], True, id="still in flight"),
        pytest.param(attempts(Kind.SERVER, 5), True, id="a trip is not forgotten"),
        pytest.param(
            [*tried(Kind.QUOTA), *tried(Kind.QUOTA, 400.0, "openai/b")], False, id="a rest that is over"
        ),
        pytest.param(
            [QuotaSeen(T, 500.0, requests=0, requests_reset_s=300.0)], True, id="a rest that is not"
        ),
    ],
)
def test_what_is_forgotten_when_a_new_target_comes(facts, kept):
    assert (T in after(*facts, start(700.0, "google/new")).targets) is kept


def test_never_more_targets_than_the_bound_and_the_oldest_idle_one_goes():
    targets = {f"a/{n}": TargetState(last_used=1000.0 + n) for n in range(MOST_TARGETS)}
    targets["a/0"] = attrs.evolve(targets["a/0"], in_flight=1)
    snapshot = evolve(Snapshot(targets), start(1500.0, "b/new"))
    assert len(snapshot.targets) == MOST_TARGETS
    assert {"a/0", "a/2", "b/new"} <= snapshot.targets.keys()
    assert "a/1" not in snapshot.targets


def test_retries_are_counted():
    facts = [start(number=2, again=True)] * 10
    assert after(*facts[:9]).retries.allows("openai", True, 100.0)
    assert not after(*facts).retries.allows("openai", True, 100.0)


def test_failures_narrow_what_retries_may_cost():
    firsts = [start()] * 20 + [start(number=2)] * 14
    assert after(*firsts, *[end()] * 30).retries.allows("google", False, 100.0)
    assert not after(*firsts, *[end(Kind.SERVER)] * 30).retries.allows("google", False, 100.0)


def test_a_snapshot_is_never_changed():
    before = after(*tried())
    copy = attrs.evolve(before, targets=dict(before.targets), providers=dict(before.providers))
    for fact in FACTS:
        evolve(before, fact)
    assert before == copy


def test_the_board_holds_the_newest_and_rolls_for_failures_alone():
    rolled = []

    def rolls(count):
        rolled.append(count)
        return (0.0,) * count

    board = Board(rolls)
    old = board.snapshot
    for fact in [start(), FirstToken(1, T, 100.0, 0.1), end(), *attempts(Kind.SERVER, 5)]:
        board.tell(fact)
    assert old == Snapshot()
    assert rolled == [1] * 5
    assert board.snapshot.target(T).breaker.closed_for(100.0) == 2.5


def test_a_provider_is_believed_that_has_no_such_model_until_it_lists_it():
    gone = evolve(Snapshot(), end(Kind.NOT_FOUND, 100.0))
    assert gone.target(T).absent_until == 400.0
    listed = ModelsListed("openai", 110.0, (ModelFacts(T.partition("/")[2]),))
    assert evolve(gone, listed).target(T).absent_until == 0.0
    other = ModelsListed("openai", 110.0, (ModelFacts("other"),))
    assert evolve(gone, other).target(T).absent_until == 400.0


def test_another_account_begins_anew_with_the_list_of_the_old_one():
    models = (ModelFacts("gpt-4o"),)
    facts = [ModelsListed("openai", 90.0, models), *attempts(Kind.AUTH, 5), *tried(target="openai2/m")]
    snapshot = after(*facts, ProviderReplaced("openai"))
    assert snapshot.providers["openai"] == ProviderState(models=models)
    assert set(snapshot.targets) == {"openai2/m"}
    assert snapshot.retries == after(*facts).retries


def test_of_a_provider_that_is_gone_nothing_is_kept():
    snapshot = after(*tried(), *tried(target="openai2/m"), ProviderReplaced("openai", gone=True))
    assert set(snapshot.providers) == set(snapshot.retries.providers) == {"openai2"}
    assert set(snapshot.targets) == {"openai2/m"}


def test_an_attempt_at_the_old_account_may_still_end():
    snapshot = after(start(), ProviderReplaced("openai"), end())
    assert snapshot.target(T).in_flight == snapshot.provider("openai").in_flight == 0
