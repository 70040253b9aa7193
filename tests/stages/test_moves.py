"""moves: what to do next, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.board import Snapshot, TargetState
from pipeline.state.breaker import Breaker
from pipeline.state.ewma import Ewma
from pipeline.state.retry_budget import RetryBudget
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.problems import Kind, Problem
from stages.moves import CallOptions, GiveUp, Start, Try, World, next_move
from tests.kit import target

A, B, C = (Candidate(target(name), 0.0, "test") for name in "abc")
PLAN = Plan((A, B, C), "test")
NEXT, SAME, NONE = (CallOptions(fallback=name) for name in ("next_available", "retry_same", "none"))


def tried(candidate, kind, hint=None, called=True):
    return Try(candidate, Problem(kind, retry_after=hint), called)


def move(options, *tries, left=100.0, busy=(), roll=0.5, crowd=dict.fromkeys((A, B, C), 0.0)):
    world = World(Snapshot(), 0.0, left, lambda candidate: candidate not in busy, roll, crowd.__getitem__)
    return next_move(PLAN, tries, options, world)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(move(NEXT), Start(A), id="the first first"),
        pytest.param(move(NEXT, busy=(A,)), Start(B), id="a busy one is passed by"),
        pytest.param(move(NEXT, busy=(A, B, C)), Start(A), id="all busy: wait for the first"),
        pytest.param(
            move(NEXT, busy=(A, B, C), crowd={A: 0.5, B: 0.25, C: 0.25}),
            Start(B),
            id="all busy: the shortest line",
        ),
        pytest.param(move(NEXT, tried(A, Kind.SERVER)), Start(B, extra=True), id="after a failure the next"),
        pytest.param(
            move(NEXT, tried(A, Kind.SERVER), busy=(B,)), Start(C, extra=True), id="the next that is free"
        ),
        pytest.param(
            move(SAME, tried(A, Kind.SERVER)),
            Start(A, 0.125, again=True, extra=True),
            id="the same again after a pause",
        ),
        pytest.param(
            move(SAME, tried(A, Kind.SERVER), tried(A, Kind.SERVER)),
            Start(B, extra=True),
            id="but only once",
        ),
        pytest.param(move(SAME, tried(A, Kind.AUTH)), Start(B, extra=True), id="not where that cannot help"),
        pytest.param(
            move(SAME, tried(A, Kind.RATE_LIMITED, hint=2.0)),
            Start(B, extra=True),
            id="a hint is not waited out where there are others",
        ),
        pytest.param(
            move(SAME, tried(A, Kind.RATE_LIMITED, hint=11.0)),
            Start(B, extra=True),
            id="a long hint is not",
        ),
        pytest.param(
            move(SAME, tried(A, Kind.RATE_LIMITED, hint=9.0), left=5.0),
            Start(B, extra=True),
            id="nor one past the deadline",
        ),
        pytest.param(
            move(NEXT, tried(A, Kind.LOSSY, called=False), tried(B, Kind.LOCAL_LIMIT, called=False)),
            Start(C, alone=True),
            id="who was not called costs no attempt",
        ),
    ],
)
def test_starts(given, expected):
    assert given == expected


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        pytest.param(move(NONE, tried(A, Kind.SERVER)), Kind.SERVER, id="none gives up at once"),
        pytest.param(move(NEXT, tried(A, Kind.INVALID)), Kind.INVALID, id="the client's fault"),
        pytest.param(move(SAME, tried(A, Kind.POLICY)), Kind.POLICY, id="a policy refusal"),
        pytest.param(
            move(NEXT, *(tried(x, Kind.SERVER) for x in (A, B, C))), Kind.SERVER, id="attempts are spent"
        ),
        pytest.param(move(NEXT, tried(A, Kind.SERVER), left=0.5), Kind.DEADLINE, id="no time left"),
        pytest.param(
            move(NEXT, tried(A, Kind.CONNECT), tried(B, Kind.OVERLOADED), tried(C, Kind.SERVER)),
            Kind.OVERLOADED,
            id="the most useful is told",
        ),
    ],
)
def test_gives_up(given, kind):
    assert isinstance(given, GiveUp)
    assert given.problem.kind is kind


SHUT = Breaker(mode="open", generation=1, since=0.0, open_until=20.0)


def snapshot_of(**states):
    return Snapshot({f"{name}/m": state for name, state in states.items()})


def moved(*tries, plan=PLAN, options=NEXT, now=10.0, left=100.0, busy=(), roll=0.5, **states):
    world = World(snapshot_of(**states), now, left, lambda candidate: candidate not in busy, roll)
    return next_move(plan, tries, options, world)


def test_a_target_that_is_closed_off_is_passed_by():
    assert moved(a=TargetState(breaker=SHUT)).candidate == B
    assert moved(tried(A, Kind.SERVER), b=TargetState(cooled_until=11.0)).candidate == C


def test_the_last_that_may_be_asked_is_told_so():
    alone = moved(a=TargetState(breaker=SHUT), b=TargetState(cooled_until=11.0))
    assert alone == Start(C, alone=True)


ALL_SHUT = {
    "a": TargetState(breaker=SHUT),
    "b": TargetState(cooled_until=12.0),
    "c": TargetState(cooled_until=90.0),
}


def test_where_all_are_closed_off_one_call_a_second_goes_to_who_opens_first():
    assert moved(**ALL_SHUT) == Start(B, alone=True)
    asked = {**ALL_SHUT, "b": TargetState(cooled_until=12.0, last_used=9.5)}
    refused = moved(**asked)
    assert isinstance(refused, GiveUp)
    assert (refused.problem.kind, refused.problem.retry_after) == (Kind.NO_TARGET, 2.0)


def test_the_wait_that_is_told_is_bounded():
    far = {name: TargetState(cooled_until=999.0, last_used=10.0) for name in "abc"}
    assert moved(**far).problem.retry_after == 60.0


def test_other_last_resorts():
    assert moved(options=CallOptions(last_resort="ignore_breakers"), **ALL_SHUT).candidate == A
    assert moved(options=CallOptions(last_resort="fail_fast"), **ALL_SHUT).problem.kind is Kind.NO_TARGET


def test_a_model_that_nobody_has_is_told_as_missing():
    gone = {name: TargetState(absent_until=300.0) for name in "abc"}
    assert moved(**gone) == GiveUp(Problem(Kind.NOT_FOUND, target="a/m"))
    assert isinstance(moved(**{**gone, "b": TargetState(cooled_until=300.0)}), Start)


def failing():
    """A house whose retry budget is used up."""
    budget = RetryBudget()
    for _ in range(60):
        budget = budget.started("x", True, False, 10.0)
    return budget


def test_without_budget_there_is_no_further_attempt():
    world = World(Snapshot(retries=failing()), 10.0, 100.0, lambda one: True, 0.5)
    refused = next_move(PLAN, (tried(A, Kind.SERVER),), NEXT, world)
    assert isinstance(refused, GiveUp)
    assert refused.problem.kind is Kind.SERVER


def test_who_was_not_asked_needs_no_budget():
    world = World(Snapshot(retries=failing()), 10.0, 100.0, lambda one: True, 0.5)
    assert next_move(PLAN, (tried(A, Kind.LOSSY, called=False),), NEXT, world).candidate == B


def test_no_attempt_begins_that_could_not_end_in_time():
    slow = TargetState(ttft=Ewma(value=30.0, at=10.0))
    assert moved(tried(A, Kind.SERVER), left=14.0, b=slow).candidate == C


BEST = CallOptions(fallback="best_alternative")


def backwards(candidates, snapshot, now, roll):
    return tuple(reversed(candidates))


def test_the_best_alternative_is_chosen_anew():
    plan = Plan((A, B, C), "test", backwards)
    assert moved(tried(A, Kind.SERVER), plan=plan, options=BEST).candidate == C
    assert moved(tried(A, Kind.SERVER), plan=plan, options=NEXT).candidate == B


STAND_INS = Plan(
    (
        A,
        Candidate(target("b"), 0.0, "", 1),
        Candidate(target("c"), 0.0, "", 2, Kind.CONTEXT_LENGTH),
        Candidate(target("d"), 0.0, "", 3, Kind.POLICY),
    ),
    "test",
)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(Kind.SERVER, "b", id="any failure that another may mend"),
        pytest.param(Kind.CONTEXT_LENGTH, "c", id="too long"),
        pytest.param(Kind.POLICY, "d", id="refused for what it is about"),
        pytest.param(Kind.INVALID, None, id="the client's fault"),
    ],
)
def test_each_stand_in_has_its_occasion(kind, name):
    move = moved(tried(A, kind), plan=STAND_INS)
    assert (None if isinstance(move, GiveUp) else move.candidate.target.provider.name) == name


@pytest.mark.parametrize(
    ("busy", "states", "name"),
    [
        pytest.param((A,), {}, "a", id="a place is waited for: busy is not failing"),
        pytest.param((), {"a": TargetState(cooled_until=99.0)}, "b", id="who rests is stood in for"),
    ],
)
def test_no_other_model_is_asked_for_want_of_a_place(busy, states, name):
    assert moved(plan=STAND_INS, busy=busy, **states).candidate.target.provider.name == name


E, F, G, H = (
    Candidate(target(name), 0.0, "", rank, kind)
    for rank, (name, kind) in enumerate(
        (
            ("e", Kind.CONTEXT_LENGTH),
            ("f", Kind.CONTEXT_LENGTH),
            ("g", Kind.POLICY),
            ("h", Kind.POLICY),
        ),
        2,
    )
)
MANY = Plan((A, B, E, F, G, H), "test")


@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        pytest.param(((A, Kind.POLICY), (G, Kind.SERVER)), "h", id="the next of those named for a refusal"),
        pytest.param(((A, Kind.CONTEXT_LENGTH), (E, Kind.SERVER)), "f", id="the next of the longer ones"),
        pytest.param(((A, Kind.CONTEXT_LENGTH), (E, Kind.POLICY)), "g", id="a longer one refuses it"),
        pytest.param(
            ((A, Kind.CONTEXT_LENGTH), (E, Kind.POLICY), (G, Kind.SERVER)), "h", id="and so it stays"
        ),
        pytest.param(
            ((A, Kind.POLICY), (G, Kind.CONTEXT_LENGTH)),
            "h",
            id="what was refused is not taken to longer ones",
        ),
        pytest.param(((A, Kind.POLICY), (B, Kind.SERVER)), "g", id="one of two that ran at once refused it"),
        pytest.param(((B, Kind.SERVER), (A, Kind.POLICY)), "g", id="the other of the two"),
        pytest.param(((A, Kind.INVALID), (B, Kind.SERVER)), None, id="one of two found it invalid"),
        pytest.param(
            ((A, Kind.POLICY), (G, Kind.SERVER), (H, Kind.SERVER)), None, id="nobody is left who is named"
        ),
    ],
)
@pytest.mark.parametrize("fallback", ["next_available", "best_alternative"])
def test_what_was_refused_goes_to_those_that_are_named_for_it_alone(fallback, tries, expected):
    options = CallOptions(fallback=fallback, max_attempts=9)
    move = moved(*(tried(*one) for one in tries), plan=MANY, options=options)
    assert (None if isinstance(move, GiveUp) else move.candidate.target.provider.name) == expected


@pytest.mark.parametrize("options", [NEXT, SAME])
@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.INVALID])
def test_nor_where_another_failed_beside_the_refusal(options, kind):
    assert moved(tried(A, kind), tried(B, Kind.SERVER), options=options) == GiveUp(Problem(kind))


def test_a_stand_in_that_failed_is_asked_once_more():
    again = moved(tried(A, Kind.POLICY), tried(G, Kind.SERVER), plan=MANY, options=SAME)
    assert (again.candidate, again.again) == (G, True)


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.SERVER, Kind.RATE_LIMITED])
@pytest.mark.parametrize("options", [NEXT, SAME])
def test_where_nobody_else_is_left_the_failure_is_told_and_not_that_time_is_short(options, kind):
    told = moved(tried(A, kind), plan=Plan((A,), "test"), options=options, left=0.5)
    assert told == GiveUp(Problem(kind))


def test_who_waited_for_a_place_until_his_time_was_over_is_told_that():
    told = moved(tried(A, Kind.LOCAL_LIMIT, called=False), plan=Plan((A,), "test"), left=0.0)
    assert told.problem.kind is Kind.DEADLINE


def test_who_was_not_asked_for_want_of_words_takes_no_time():
    assert moved(tried(A, Kind.LOSSY, called=False), left=0.5).candidate == B


def test_what_one_could_not_be_told_is_not_why_another_failed():
    told = moved(tried(A, Kind.LOSSY, called=False), tried(B, Kind.RATE_LIMITED), options=NEXT, c=GONE)
    assert told.problem.kind is Kind.RATE_LIMITED


def test_a_rest_that_others_have_lengthened_is_not_waited_out():
    limited, plan = tried(A, Kind.RATE_LIMITED, hint=2.0), Plan((A,), "test")
    assert moved(limited, plan=plan, options=SAME, a=TargetState(cooled_until=12.0)).delay_s == 2.0
    assert isinstance(moved(limited, plan=plan, options=SAME, a=TargetState(cooled_until=99.0)), GiveUp)


@pytest.mark.parametrize("hint", [0.0, -1.0])
def test_who_names_no_time_is_asked_again_after_a_pause_of_ours(hint):
    again = moved(tried(A, Kind.OVERLOADED, hint=hint), options=SAME)
    assert (again.candidate, again.delay_s) == (A, 0.125)
    limited = tried(A, Kind.RATE_LIMITED, hint=hint)
    assert isinstance(
        moved(limited, plan=Plan((A,), "test"), options=SAME, a=TargetState(cooled_until=11.0)), GiveUp
    )


GONE = TargetState(cooled_until=99.0)


@pytest.mark.parametrize(
    ("states", "alone"),
    [
        pytest.param({}, False, id="others may be asked"),
        pytest.param({"b": GONE, "c": GONE}, True, id="nobody else may"),
    ],
)
def test_who_is_asked_once_more_is_told_whether_it_is_the_last(states, alone):
    again = moved(tried(A, Kind.SERVER), options=SAME, **states)
    assert (again.candidate, again.alone) == (A, alone)


def test_all_that_are_closed_off_share_the_one_call_a_second():
    asked = {**ALL_SHUT, "c": TargetState(cooled_until=90.0, last_used=9.5)}
    assert moved(**asked).problem.kind is Kind.NO_TARGET
    assert moved(now=10.5, **asked) == Start(B, alone=True)


def test_a_stand_in_for_one_occasion_is_never_asked_first():
    plan = Plan((*STAND_INS.candidates[2:], A), "test")
    assert moved(plan=plan).candidate == A


KINDS = st.sampled_from(list(Kind))


@given(
    st.sampled_from(["none", "next_available", "retry_same", "best_alternative"]),
    st.lists(st.tuples(KINDS, st.none() | st.floats(0, 400)), max_size=12),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 60),
)
def test_it_always_ends_within_the_attempts_allowed(fallback, kinds, roll, left):
    options, tries, calls = CallOptions(fallback=fallback), (), 0
    script = iter(kinds)
    while isinstance(move := moved(*tries, options=options, left=left, roll=roll), Start):
        assert move.delay_s <= left
        kind, hint = next(script, (Kind.SERVER, None))
        tries, calls = (*tries, Try(move.candidate, Problem(kind, retry_after=hint), True)), calls + 1
    assert 1 <= calls <= (1 if fallback == "none" else options.max_attempts)
    if Kind.POLICY in [attempt.problem.kind for attempt in tries]:
        assert tries[-1].problem.kind is Kind.POLICY
