"""record: what is kept of an exchange, from what was seen of it."""

import pytest
from attrs import evolve

from pipeline.values.events import Batch, Failed, Finished, Started, TextDelta, Usage, UsageSeen, Verbatim
from pipeline.values.exchange import Attempt, Candidate, How, Loss, Plan
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Connected,
    FirstToken,
    Moved,
    QuotaSeen,
    Reused,
)
from pipeline.values.problems import Kind, Problem
from stages.record import Draft, closed, counts, drafted
from tests.kit import exchange, target

EXCHANGE = exchange(10.0)
PLANNED = evolve(EXCHANGE, plan=Plan((Candidate(target("a"), 0.0, "priority"),), "priority (listed)"))
LOSSES = (Loss("seed", How.DROPPED),)
BUSY = (
    AttemptStarted(1, "a/m", 11.0, LOSSES),
    Connected(1, "a/m", 11.1, False, 0.25, 0.5, 0.25),
    AttemptEnded(1, "a/m", 12.0, 1.0, Kind.OVERLOADED),
)
ANSWERED = (
    AttemptStarted(2, "b/m", 12.0),
    Connected(2, "b/m", 12.5, True),
    QuotaSeen("b/m", 12.5, requests=3),
    FirstToken(2, "b/m", 13.0, 1.0),
)
A_BUSY = Attempt(1, "a/m", 11.0, 12.0, verdict=Kind.OVERLOADED, connected_s=1.0)
B_OPEN = Attempt(2, "b/m", 12.0, first=13.0, committed=True, connected_s=0.0)


def recorded(*seen):
    draft = Draft(EXCHANGE)
    for one in seen:
        draft = drafted(draft, one)
    return closed(draft, 15.0, 1000.0)


def test_all_that_went_well_is_in_the_record():
    record = recorded(
        Moved("normalize", EXCHANGE),
        Moved("route", PLANNED),
        Admitted(0.5),
        *BUSY,
        *ANSWERED,
        Batch((TextDelta("x"), UsageSeen(Usage(3, 4)), Finished("stop"))),
        AttemptEnded(2, "b/m", 14.0, 2.0),
    )
    assert (record.id, record.at, record.duration_s) == (EXCHANGE.id, 995.0, 5.0)
    assert (record.outcome, record.problem, record.status) == ("ok", None, 200)
    assert (record.served, record.ttft_s, record.queued_s) == ("b/m", 3.0, 0.5)
    assert record.attempts == (A_BUSY, evolve(B_OPEN, ended=14.0))
    assert record.strategy == "priority (listed)"
    assert record.usage == Usage(3, 4)
    assert record.losses == (), "of the attempt that answered"


@pytest.mark.parametrize(
    ("seen", "outcome", "problem", "status", "attempts"),
    [
        pytest.param((), "cancelled", None, None, (), id="the client left before anything came"),
        pytest.param(
            (*BUSY, *ANSWERED, AttemptEnded(2, "b/m", 14.0, 2.0, cancelled=True)),
            "cancelled",
            None,
            200,
            (A_BUSY, evolve(B_OPEN, ended=14.0, cancelled=True)),
            id="the client left in the middle of the answer",
        ),
        pytest.param(
            (*BUSY, Batch((Failed(Problem(Kind.OVERLOADED)),))),
            "upstream_error",
            Kind.OVERLOADED,
            Problem(Kind.OVERLOADED).http_status,
            (A_BUSY,),
            id="nobody answered",
        ),
        pytest.param(
            (*BUSY, *ANSWERED, Batch((Failed(Problem(Kind.STREAM_ERROR)),))),
            "truncated",
            Kind.STREAM_ERROR,
            200,
            (A_BUSY, B_OPEN),
            id="the answer broke off",
        ),
        pytest.param(
            (Batch((Failed(Problem(Kind.UNKNOWN_MODEL)),)),),
            "client_error",
            Kind.UNKNOWN_MODEL,
            404,
            (),
            id="refused before anybody was asked",
        ),
    ],
)
def test_how_an_exchange_ended(seen, outcome, problem, status, attempts):
    record = recorded(*seen)
    assert (record.outcome, record.problem, record.status) == (outcome, problem, status)
    assert record.attempts == attempts


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        pytest.param(Batch((Started("m"), TextDelta("x"))), False, id="content"),
        pytest.param(Batch((), Verbatim("openai.chat", b":")), False, id="bytes without events"),
        pytest.param(Batch((TextDelta("x"), UsageSeen(Usage(1, 2)))), True, id="usage"),
        pytest.param(Batch((UsageSeen(Usage(1, 2)), Finished("stop"))), True, id="the end"),
        pytest.param(Batch((Failed(Problem(Kind.SERVER)),)), True, id="a failure"),
    ],
)
def test_what_counts_of_a_stream(batch, expected):
    assert counts(batch) is expected
    before, after = closed(Draft(EXCHANGE), 15.0, 1000.0), recorded(batch)
    assert (before != after) is expected


def test_the_losses_are_those_of_who_answered():
    hedge = AttemptStarted(2, "b/m", 12.0, hedge=True)
    first = AttemptStarted(1, "a/m", 11.0, LOSSES)
    won = recorded(first, hedge, FirstToken(1, "a/m", 13.0, 2.0), Batch((Finished("stop"),)))
    lost = recorded(first, hedge, FirstToken(2, "b/m", 13.0, 1.0), Batch((Finished("stop"),)))
    assert (won.losses, lost.losses) == (LOSSES, ())


def test_an_answer_of_another_exchange_is_recorded_as_that():
    reused = Reused("cached", "x0", "a/m", 11.0)
    record = recorded(reused, Batch((TextDelta("x"), UsageSeen(Usage(3, 4)), Finished("stop"))))
    assert (record.served, record.reused, record.attempts, record.cost) == ("a/m", "x0", (), None)
    assert (record.outcome, record.status, record.usage) == ("ok", 200, Usage(3, 4))


COUNTED = Usage(10, 5, estimated=True)


@pytest.mark.parametrize(
    ("seen", "usage", "cost"),
    [
        pytest.param(
            (*ANSWERED, AttemptEnded(2, "b/m", 14.0, 2.0, cancelled=True, cost=0.25, usage=COUNTED)),
            COUNTED,
            0.25,
            id="what was counted where nobody told",
        ),
        pytest.param(
            (
                *ANSWERED,
                Batch((UsageSeen(Usage(3, 4)), Finished("stop"))),
                AttemptEnded(2, "b/m", 14.0, 2.0, cost=0.25, usage=COUNTED),
            ),
            Usage(3, 4),
            0.25,
            id="what the client was told before what was counted",
        ),
        pytest.param(
            (
                AttemptStarted(1, "a/m", 11.0),
                *ANSWERED,
                AttemptEnded(1, "a/m", 14.0, 3.0, cancelled=True, cost=0.5, usage=Usage(7, 7)),
                AttemptEnded(2, "b/m", 14.0, 2.0, cost=0.25, usage=COUNTED),
            ),
            COUNTED,
            0.75,
            id="who was slower is paid for and is no part of the answer",
        ),
        pytest.param(
            (*ANSWERED, AttemptEnded(2, "b/m", 14.0, 2.0, usage=COUNTED)),
            COUNTED,
            None,
            id="a price nobody knows",
        ),
        pytest.param(BUSY, Usage(), None, id="nothing where nobody answered"),
    ],
)
def test_what_an_exchange_has_used_and_cost(seen, usage, cost):
    record = recorded(*seen)
    assert (record.usage, record.cost) == (usage, cost)
    assert sum(attempt.cost or 0.0 for attempt in record.attempts) == (cost or 0.0)
