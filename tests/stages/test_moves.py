"""moves: what to do next, as a table."""

import pytest

from pipeline.values.exchange import Candidate, Plan
from pipeline.values.problems import Kind, Problem
from stages.moves import CallOptions, GiveUp, Start, Try, next_move
from tests.kit import target

A, B, C = (Candidate(target(name), 0.0, "test") for name in "abc")
PLAN = Plan((A, B, C), "test")
NEXT, SAME, NONE = (CallOptions(fallback=name) for name in ("next_available", "retry_same", "none"))


def tried(candidate, kind, hint=None, called=True):
    return Try(candidate, Problem(kind, retry_after=hint), called)


def move(options, *tries, left=100.0, busy=(), roll=0.5):
    return next_move(PLAN, tries, options, left, lambda candidate: candidate not in busy, roll)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(move(NEXT), Start(A), id="the first first"),
        pytest.param(move(NEXT, busy=(A,)), Start(B), id="a busy one is passed by"),
        pytest.param(move(NEXT, busy=(A, B, C)), Start(A), id="all busy: wait for the first"),
        pytest.param(move(NEXT, tried(A, Kind.SERVER)), Start(B), id="after a failure the next"),
        pytest.param(move(NEXT, tried(A, Kind.SERVER), busy=(B,)), Start(C), id="the next that is free"),
        pytest.param(move(SAME, tried(A, Kind.SERVER)), Start(A, 0.25), id="the same again after a pause"),
        pytest.param(move(SAME, tried(A, Kind.SERVER), tried(A, Kind.SERVER)), Start(B), id="but only once"),
        pytest.param(move(SAME, tried(A, Kind.AUTH)), Start(B), id="not where that cannot help"),
        pytest.param(
            move(SAME, tried(A, Kind.RATE_LIMITED, hint=2.0)), Start(A, 2.1), id="a hint is waited out"
        ),
        pytest.param(move(SAME, tried(A, Kind.RATE_LIMITED, hint=11.0)), Start(B), id="a long hint is not"),
        pytest.param(
            move(SAME, tried(A, Kind.RATE_LIMITED, hint=9.0), left=5.0),
            Start(B),
            id="nor one past the deadline",
        ),
        pytest.param(
            move(NEXT, tried(A, Kind.LOSSY, called=False), tried(B, Kind.LOCAL_LIMIT, called=False)),
            Start(C),
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
