"""record: one Record of each exchange, closed exactly once, whoever hung up."""

from typing import Any

from attrs import define, evolve, frozen

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


@define(eq=False)
class Draft:
    """What is known of an exchange so far. It belongs to one exchange, and grows in place: a new one for each of the ten
    things that are seen of a request would cost as much as all other stages.
    """

    exchange: Exchange
    attempts: tuple[Attempt, ...] = ()
    losses: Losses = ()
    usage: Usage = Usage()
    queued_s: float = 0.0
    finished: bool = False
    problem: Problem | None = None
    strategy: str | None = None


def drafted(draft: Draft, seen: Batch | Fact) -> Draft:
    """The draft with what was seen added. Most batches of a stream change nothing."""
    match seen:
        case Batch(events):
            if events and isinstance(events[-1], UsageSeen | Finished | Failed):
                _count(draft, seen)
        case Admitted(waited_s):
            draft.queued_s = waited_s
        case Moved(_, exchange) if exchange.plan is not None:
            draft.strategy = exchange.plan.strategy
        case AttemptStarted(number, target, at, losses):
            draft.attempts = (*draft.attempts, Attempt(number, target, at))
            draft.losses = losses
        case Connected(number, _, _, _, resolve_s, connect_s, tls_s):
            _change(draft, number, connected_s=resolve_s + connect_s + tls_s)
        case FirstToken(number, _, at):
            _change(draft, number, first=at, committed=True)
        case AttemptEnded(number, _, at, _, verdict, cancelled):
            _change(draft, number, ended=at, verdict=verdict, cancelled=cancelled)
    return draft


def _change(draft: Draft, number: int, **changes: Any) -> None:
    """Change attempt `number`."""
    draft.attempts = tuple(
        evolve(attempt, **changes) if attempt.number == number else attempt for attempt in draft.attempts
    )


def _count(draft: Draft, batch: Batch) -> None:
    for event in batch.events:
        match event:
            case UsageSeen(usage):
                draft.usage = usage
            case Finished():
                draft.finished = True
            case Failed(problem):
                draft.problem = problem


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
