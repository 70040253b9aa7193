"""moves: what to do next in an exchange that has no answer yet. A pure question; `call` carries the answer out."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import ge, gt

from pipeline.values.exchange import Candidate, Plan
from pipeline.values.problems import Kind, Problem, most_useful

Fallback: TypeAlias = Literal["none", "next_available", "retry_same"]

# An attempt that has less time than this could only fail.
LEAST_TIME_S = 1.0
SAME_ATTEMPTS = 2
BACKOFF_BASE_S, BACKOFF_MOST_S = 0.25, 8.0
HINT_MOST_S = 10.0


@frozen
class CallOptions:
    """`[stage.call]`. Times in seconds.

    `fallback`: what follows a failed attempt: `none`; `next_available`, the next candidate; `retry_same`, the same once
    more after a pause, then the next. `max_attempts`: upstream calls an exchange may make in all. `headers_timeout`:
    until a streamed reply's head; `idle_timeout`: silence after the first content; `stream_timeout`: a whole stream;
    `permit_timeout`: waiting for a provider that is at its own limit.
    """

    fallback: Fallback = "next_available"
    max_attempts: int = field(default=3, validator=ge(1))
    headers_timeout: float = field(default=60.0, validator=gt(0))
    idle_timeout: float = field(default=60.0, validator=gt(0))
    stream_timeout: float = field(default=1800.0, validator=gt(0))
    permit_timeout: float = field(default=30.0, validator=gt(0))


@frozen
class Try:
    """An attempt that failed before anything reached the client. `called`: whether the upstream was asked at all."""

    candidate: Candidate
    problem: Problem
    called: bool


@frozen
class Start:
    """Make an attempt at `candidate` after `delay_s` seconds."""

    candidate: Candidate
    delay_s: float = 0.0


@frozen
class GiveUp:
    """Tell the client `problem`."""

    problem: Problem


Move: TypeAlias = Start | GiveUp


def next_move(
    plan: Plan,
    tries: tuple[Try, ...],
    options: CallOptions,
    time_left_s: float,
    free: Callable[[Candidate], bool],
    roll: float,
) -> Move:
    """What to do after `tries`. `free`: whether a candidate has a permit to give now. `roll` in [0, 1) spreads pauses."""
    if not tries:
        return Start(_first_free(plan.candidates, free))
    called = tuple(attempt for attempt in tries if attempt.called)
    last = tries[-1]
    if not last.problem.rule.other and last.problem.rule.same == "no":
        return GiveUp(last.problem)
    if options.fallback == "none" or len(called) >= options.max_attempts:
        return GiveUp(_verdict(tries))
    if time_left_s < LEAST_TIME_S:
        return GiveUp(Problem(Kind.DEADLINE, "the request's own time ran out before a provider answered"))
    return (
        _again(last, called, options, time_left_s, roll)
        or _other(plan, tries, free)
        or GiveUp(_verdict(tries))
    )


def _again(
    last: Try, called: tuple[Try, ...], options: CallOptions, time_left_s: float, roll: float
) -> Move | None:
    """The same candidate once more, where the strategy and the problem allow it."""
    if options.fallback != "retry_same" or not last.called or last.problem.rule.same == "no":
        return None
    before = sum(attempt.candidate == last.candidate for attempt in called)
    if before >= SAME_ATTEMPTS:
        return None
    hint = last.problem.retry_after
    if hint is None:
        delay = roll * min(BACKOFF_MOST_S, BACKOFF_BASE_S * 2**before)
    else:
        delay = hint * (1 + 0.1 * roll)
    if (hint or 0) > HINT_MOST_S or delay + LEAST_TIME_S > time_left_s:
        return None
    return Start(last.candidate, delay)


def _other(plan: Plan, tries: tuple[Try, ...], free: Callable[[Candidate], bool]) -> Move | None:
    """The next candidate that was not tried yet."""
    if not tries[-1].problem.rule.other:
        return None
    tried = [attempt.candidate for attempt in tries]
    left = tuple(candidate for candidate in plan.candidates if candidate not in tried)
    return Start(_first_free(left, free)) if left else None


def _first_free(candidates: tuple[Candidate, ...], free: Callable[[Candidate], bool]) -> Candidate:
    """The first with a permit to give; the first of all where every one is busy, to be waited for."""
    for candidate in candidates:
        if free(candidate):
            return candidate
    return candidates[0]


def _verdict(tries: tuple[Try, ...]) -> Problem:
    return most_useful(tuple(attempt.problem for attempt in tries))
