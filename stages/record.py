"""record: one Record of each exchange, closed exactly once, whoever hung up."""

from typing import Any

from attrs import evolve, field, frozen

from pipeline.ports import Env
from pipeline.protocol import Stage, folding
from pipeline.values.events import Batch, Failed, Finished, Usage, UsageSeen
from pipeline.values.exchange import Attempt, Exchange, Losses, Record
from pipeline.values.facts import Admitted, AttemptEnded, AttemptStarted, Connected, Fact, FirstToken, Moved
from pipeline.values.problems import Outcome, Problem
from pipeline.wiring import Entry


@frozen
class RecordOptions:
    """`[stage.record]` has no options."""


@frozen
class Draft:
    """What is known of an exchange so far."""

    exchange: Exchange
    attempts: tuple[Attempt, ...] = ()
    losses: Losses = ()
    usage: Usage = field(factory=Usage)
    queued_s: float = 0.0
    finished: bool = False
    problem: Problem | None = None
    strategy: str | None = None


def drafted(draft: Draft, seen: Batch | Fact) -> Draft:
    """The draft with what was seen added. Most batches of a stream change nothing."""
    match seen:
        case Batch(events):
            return (
                _counted(draft, seen)
                if events and isinstance(events[-1], UsageSeen | Finished | Failed)
                else draft
            )
        case Admitted(waited_s):
            return evolve(draft, queued_s=waited_s)
        case Moved(_, exchange) if exchange.plan is not None:
            return evolve(draft, strategy=exchange.plan.strategy)
        case AttemptStarted(number, target, at, losses):
            return evolve(draft, attempts=(*draft.attempts, Attempt(number, target, at)), losses=losses)
        case Connected(number, _, _, _, resolve_s, connect_s, tls_s):
            return _attempt(draft, number, connected_s=resolve_s + connect_s + tls_s)
        case FirstToken(number, _, at):
            return _attempt(draft, number, first=at, committed=True)
        case AttemptEnded(number, _, at, _, verdict, cancelled):
            return _attempt(draft, number, ended=at, verdict=verdict, cancelled=cancelled)
        case _:
            return draft


def _attempt(draft: Draft, number: int, **changes: Any) -> Draft:
    """The draft with attempt `number` changed."""
    attempts = draft.attempts
    changed = (evolve(attempt, **changes) if attempt.number == number else attempt for attempt in attempts)
    return evolve(draft, attempts=tuple(changed))


def _counted(draft: Draft, batch: Batch) -> Draft:
    for event in batch.events:
        match event:
            case UsageSeen(usage):
                draft = evolve(draft, usage=usage)
            case Finished():
                draft = evolve(draft, finished=True)
            case Failed(problem):
                draft = evolve(draft, problem=problem)
    return draft


def outcome_of(draft: Draft) -> Outcome:
    """How the exchange ended; without an end of its own the client has left."""
    committed = any(attempt.committed for attempt in draft.attempts)
    if draft.problem is not None:
        told = draft.problem.rule.outcome
        return "truncated" if committed and told == "upstream_error" else told
    return "ok" if draft.finished else "cancelled"


def closed(draft: Draft, now: float, epoch: float) -> Record:
    """The Record of an exchange that ended at `now` (monotonic) and `epoch` (wall clock)."""
    exchange = draft.exchange
    served = next((attempt for attempt in draft.attempts if attempt.committed), None)
    outcome = outcome_of(draft)
    status = 200 if draft.finished or served else draft.problem.http_status if draft.problem else None
    return Record(
        id=exchange.id,
        at=epoch - (now - exchange.arrived),
        caller=exchange.caller.key,
        dialect=exchange.dialect,
        operation=exchange.request.operation,
        model=exchange.request.model,
        stream=exchange.request.stream,
        outcome=outcome,
        problem=draft.problem.kind if draft.problem else None,
        status=status,
        served=served.target if served else None,
        attempts=draft.attempts,
        losses=draft.losses,
        usage=draft.usage,
        queued_s=draft.queued_s,
        ttft_s=served.first - exchange.arrived if served and served.first is not None else None,
        duration_s=now - exchange.arrived,
        strategy=draft.strategy,
    )


def build(options: RecordOptions, env: Env) -> Stage:
    """The stage."""
    return folding(Draft, drafted, lambda draft: env.keep(closed(draft, env.now(), env.epoch())))


ENTRY = Entry(build, RecordOptions, side="reply", needs=("reply",))
