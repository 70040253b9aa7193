"""moves: what to do next in an exchange that has no answer yet. A pure question; `call` carries the answer out."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Barred, Eligible, eligibility
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.problems import Kind, Problem, most_useful

Fallback: TypeAlias = Literal["none", "next_available", "retry_same", "best_alternative"]
LastResort: TypeAlias = Literal["probe_only", "ignore_breakers", "fail_fast"]

# An attempt that has less time than this, or than half of what the target needs, could only fail.
LEAST_TIME_S, LEAST_SHARE = 1.0, 0.5
SAME_ATTEMPTS = 2
BACKOFF_BASE_S, BACKOFF_MOST_S = 0.25, 8.0
HINT_MOST_S, HINT_SPREAD = 10.0, 0.1
# Where all are closed off, one call a second finds out whether that is still so.
FORCED_EVERY_S = 1.0
SOONEST_S, LATEST_S = 1.0, 60.0


@frozen
class CallOptions:
    """`[stage.call]`. Times in seconds.

    `fallback`: what follows a failed attempt: `none`; `next_available`, the next candidate of the plan; `retry_same`, the
    same once more after a pause, then the next; `best_alternative`, the first of those left, ordered anew.
    `max_attempts`: upstream calls an exchange may make in all. `last_resort`: what is done while every candidate is closed
    off: `probe_only`, one call a second; `ignore_breakers`, all calls; `fail_fast`, none.
    `mid_stream`: an answer that breaks off ends with an `error`, or another target is asked to `continue` it, where that
    is possible.
    `hedge`: a second target is asked too where the first is slow: `off`, `p95` (slower than 95 % of its calls of late) or
    `delay` (after `hedge_after`; 0 asks two at once). `hedge_share`: hedges may be this share of all exchanges of a minute;
    `hedge_max_cost`: US dollars that the input of one may cost, `hedge_cost_share`: their share of an hour's spend.
    `headers_timeout`: until a streamed reply's head; `idle_timeout`: silence after the first content; `stream_timeout`: a
    whole stream; `permit_timeout`: waiting for a provider that is at its own limit.
    """

    fallback: Fallback = "next_available"
    max_attempts: int = field(default=3, validator=ge(1))
    last_resort: LastResort = "probe_only"
    mid_stream: Literal["error", "continue"] = "error"
    hedge: Literal["off", "p95", "delay"] = "off"
    hedge_after: float = field(default=0.5, validator=ge(0))
    hedge_share: float = field(default=0.02, validator=and_(ge(0), le(1)))
    hedge_max_cost: float = field(default=0.01, validator=ge(0))
    hedge_cost_share: float = field(default=0.02, validator=and_(ge(0), le(1)))
    headers_timeout: float = field(default=60.0, validator=gt(0))
    idle_timeout: float = field(default=60.0, validator=gt(0))
    stream_timeout: float = field(default=1800.0, validator=gt(0))
    permit_timeout: float = field(default=30.0, validator=gt(0))


@frozen
class Try:
    """An attempt that failed, as a rule before anything reached the client. `called`: whether the upstream was asked at all."""

    candidate: Candidate
    problem: Problem
    called: bool


def nobody_waits(candidate: Candidate) -> float:
    """Where no line is known."""
    return 0.0


@frozen
class World:
    """What the moves look at beside the plan. `free`: whether a candidate has a permit to give now; `crowd`: how many wait
    there for each permit.

    `left_s`: what the exchange has left of its time. `roll` in [0, 1) is chance: it spreads pauses and picks.
    """

    snapshot: Snapshot
    now: float
    left_s: float
    free: Callable[[Candidate], bool]
    roll: float
    crowd: Callable[[Candidate], float] = nobody_waits


@frozen
class Start:
    """Make an attempt at `candidate` after `delay_s` seconds. `again`: its provider was asked before.

    `alone`: nobody else could be asked. `extra`: it is not the first of its exchange, so the house must afford it.
    """

    candidate: Candidate
    delay_s: float = 0.0
    again: bool = False
    alone: bool = False
    extra: bool = False


@frozen
class GiveUp:
    """Tell the client `problem`."""

    problem: Problem


Move: TypeAlias = Start | GiveUp


def next_move(plan: Plan, tries: tuple[Try, ...], options: CallOptions, world: World) -> Move:
    """What to do after `tries`."""
    if not tries:
        return _first(plan, options, world)
    called = tuple([attempt for attempt in tries if attempt.called])
    if options.fallback == "none" or len(called) >= options.max_attempts:
        return GiveUp(_verdict(tries))
    left = _left(plan, tries)
    waited = tries[-1].problem.kind is Kind.LOCAL_LIMIT
    if world.left_s < LEAST_TIME_S and (waited or (called and left)):
        return GiveUp(Problem(Kind.DEADLINE, "the request's own time ran out before a provider answered"))
    return (
        _again(left, tries, options, world)
        or another(left, plan, tries, options, world)
        or GiveUp(_verdict(tries))
    )


def _first(plan: Plan, options: CallOptions, world: World) -> Move:
    candidates = _ordered(tuple([one for one in plan.candidates if one.instead_of is None]), plan, world)
    if len(candidates) == 1 and options.last_resort == "ignore_breakers":
        return Start(candidates[0], alone=True)
    return _pick(candidates, world) or _last_resort(candidates, options, world)


def _ordered(candidates: tuple[Candidate, ...], plan: Plan, world: World) -> tuple[Candidate, ...]:
    """The candidates in the strategy's order as things stand now."""
    return (
        plan.order(candidates, world.snapshot, world.now, world.roll) if len(candidates) > 1 else candidates
    )


def _pick(
    candidates: tuple[Candidate, ...], world: World, asked: frozenset[str] = frozenset()
) -> Start | None:
    """The first that may be asked and has a permit; where every one is busy, the one with the shortest line for its size.

    While any who has the model itself may be asked nobody stands in for it: to be busy is not to fail. `asked`: the
    providers that the exchange was at before.
    """
    able = [one for one in candidates if may_be_asked(one, world)]
    if not able:
        return None
    own = [one for one in able if one.group == 0] or able
    chosen = next((one for one in own if world.free(one)), None) or min(own, key=world.crowd)
    again = chosen.target.provider.name in asked
    return Start(chosen, again=again, alone=len(able) == 1, extra=bool(asked))


def may_be_asked(candidate: Candidate, world: World) -> bool:
    """Whether nothing speaks against asking it now."""
    return isinstance(eligibility(candidate.target, world.snapshot, world.now), Eligible)


def may_begin(start: Start, snapshot: Snapshot, now: float, left_s: float) -> bool:
    """Whether an attempt that was chosen earlier, and had to wait since, may still be made."""
    if not isinstance(eligibility(start.candidate.target, snapshot, now), Eligible):
        return False
    if not start.extra:
        return True
    return left_s >= LEAST_TIME_S and snapshot.retries.allows(
        start.candidate.target.provider.name, start.again, now
    )


def _last_resort(candidates: tuple[Candidate, ...], options: CallOptions, world: World) -> Move:
    """Every candidate is closed off: what still may be done about it."""
    if options.last_resort == "ignore_breakers":
        return Start(next((one for one in candidates if world.free(one)), candidates[0]))
    if all(_is_absent(one, world) for one in candidates):
        return GiveUp(Problem(Kind.NOT_FOUND, target=candidates[0].target.name))
    bars = [(_reopens(one, world), one) for one in candidates]
    soonest, candidate = min(bars, key=lambda bar: bar[0])
    used = [world.snapshot.target(one.target.name).last_used for one in candidates]
    rested = all(last is None or world.now - last >= FORCED_EVERY_S for last in used)
    if options.last_resort == "probe_only" and rested:
        return Start(candidate, alone=True)
    wait_s = min(LATEST_S, max(SOONEST_S, soonest - world.now))
    detail = "every provider of this model is failing or resting just now"
    return GiveUp(Problem(Kind.NO_TARGET, detail, retry_after=wait_s))


def _is_absent(candidate: Candidate, world: World) -> bool:
    found = eligibility(candidate.target, world.snapshot, world.now)
    return isinstance(found, Barred) and found.reason == "absent"


def _reopens(candidate: Candidate, world: World) -> float:
    found = eligibility(candidate.target, world.snapshot, world.now)
    return found.until if isinstance(found, Barred) else world.now


def _again(
    left: tuple[Candidate, ...], tries: tuple[Try, ...], options: CallOptions, world: World
) -> Start | None:
    """The same candidate once more, where the strategy and the problem allow it. `left`: the others."""
    last = tries[-1]
    rule, candidate = last.problem.rule, last.candidate
    if options.fallback != "retry_same" or not last.called or rule.same == "no":
        return None
    if candidate.instead_of is not _stood_in_for(tries):
        return None
    alone = not any(may_be_asked(one, world) for one in left)
    if rule.same == "hint" and not alone:
        return None
    before = sum(attempt.called and attempt.candidate.target == candidate.target for attempt in tries)
    delay_s = _pause_s(last.problem, before, candidate, world)
    if before >= SAME_ATTEMPTS or delay_s is None or delay_s + LEAST_TIME_S > world.left_s:
        return None
    if not world.snapshot.retries.allows(candidate.target.provider.name, True, world.now):
        return None
    return Start(candidate, delay_s, again=True, alone=alone, extra=True)


def _pause_s(problem: Problem, before: int, candidate: Candidate, world: World) -> float | None:
    """Seconds until the same may be asked once more; None where that is too long, or cannot be known."""
    # A hint of 0 is none, as it is for rests.
    hint = problem.retry_after if problem.retry_after and problem.retry_after > 0 else None
    found = eligibility(candidate.target, world.snapshot, world.now)
    if isinstance(found, Eligible):
        if hint is None:
            return world.roll * min(BACKOFF_MOST_S, BACKOFF_BASE_S * 2.0 ** (before - 1))
        return hint * (1 + HINT_SPREAD * world.roll) if hint <= HINT_MOST_S else None
    if found.reason != "resting" or hint is None or hint > HINT_MOST_S:
        return None
    # It rests because it said so: for that long, and not a moment less. What it said to others may be longer.
    rest_s = found.until - world.now
    return rest_s if rest_s <= HINT_MOST_S * (1 + HINT_SPREAD) else None


def another(
    left: tuple[Candidate, ...], plan: Plan, tries: tuple[Try, ...], options: CallOptions, world: World
) -> Start | None:
    """The next of those that are `left` that can be afforded. Where nobody was called so far it is the first, and costs
    nothing.
    """
    if options.fallback == "best_alternative":
        left = _ordered(left, plan, world)
    called = any(attempt.called for attempt in tries)
    asked = frozenset(attempt.candidate.target.provider.name for attempt in tries if attempt.called)
    able = tuple(
        [
            one
            for one in left
            if not called
            or (_in_time(one, world) and world.snapshot.retries.allows(*_costs(one, asked), world.now))
        ]
    )
    return _pick(able, world, asked)


def _left(plan: Plan, tries: tuple[Try, ...]) -> tuple[Candidate, ...]:
    """Who was not tried yet and may be."""
    kind = _stood_in_for(tries)
    tried = {attempt.candidate.target.name for attempt in tries}
    return tuple([one for one in plan.candidates if one.target.name not in tried and one.instead_of is kind])


def _stood_in_for(tries: tuple[Try, ...]) -> Kind | None:
    """The failure that just any other cannot mend: from then on only those are asked that stand in for it by name.

    What was refused for what it is about stays that, whatever those who stand in say. None: there was no such failure.
    """
    final = [attempt.problem.kind for attempt in tries if not attempt.problem.rule.other]
    if Kind.POLICY in final:
        return Kind.POLICY
    return final[-1] if final else None


def _costs(candidate: Candidate, asked: frozenset[str]) -> tuple[str, bool]:
    """What the retry budget is asked for."""
    provider = candidate.target.provider.name
    return provider, provider in asked


def _in_time(candidate: Candidate, world: World) -> bool:
    """Whether there is time enough for what the target usually needs until its first content."""
    ttft = world.snapshot.target(candidate.target.name).ttft
    usual_s = 0.0 if ttft.at is None else ttft.read(world.now)
    return world.left_s >= max(LEAST_TIME_S, LEAST_SHARE * usual_s)


def _verdict(tries: tuple[Try, ...]) -> Problem:
    """What the client is told. Who could not be told the request says nothing of how the others failed."""
    heard = [one for one in tries if one.called or one.problem.kind is Kind.LOCAL_LIMIT] or tries
    return most_useful(tuple([attempt.problem for attempt in heard]))
