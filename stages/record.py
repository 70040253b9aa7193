"""record: one Record of each exchange, closed exactly once, whoever hung up."""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from attrs import define, field, frozen

from pipeline.ports import Env
from pipeline.protocol import Stage, folding
from pipeline.values.events import Batch, Failed, Finished, Usage, UsageSeen
from pipeline.values.exchange import Attempt, Exchange, Losses, Record
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Connected,
    Fact,
    FirstToken,
    Moved,
    Reused,
    TurnedAway,
)
from pipeline.values.problems import Kind, Outcome, Problem
from pipeline.wiring import Entry
from stages.continuing import added


@frozen
class RecordOptions:
    """`[stage.record]` has no options."""


@define(eq=False)
class Trial:
    """An attempt on its way to being one: what `Attempt` says, grown in place."""

    number: int
    target: str
    started: float
    ended: float | None = None
    first: float | None = None
    verdict: Kind | None = None
    cancelled: bool = False
    connected_s: float | None = None
    continues: bool = False
    cost: float | None = None
    usage: Usage | None = None
    losses: Losses = ()

    def closed(self) -> Attempt:
        """The attempt. What has a first content was committed by it."""
        return Attempt(
            self.number,
            self.target,
            self.started,
            self.ended,
            self.first,
            self.verdict,
            self.first is not None,
            self.cancelled,
            self.connected_s,
            self.cost,
        )


@define(eq=False)
class Draft:
    """What is known of an exchange so far; `trials` by number. It belongs to one exchange, and grows in place: a new one
    for each of the ten things that are seen of a request would cost as much as all other stages.
    """

    exchange: Exchange
    trials: dict[int, Trial] = field(factory=dict)
    usage: Usage | None = None
    queued_s: float = 0.0
    finished: bool = False
    problem: Problem | None = None
    strategy: str | None = None
    reused: Reused | None = None


def drafted(draft: Draft, seen: Batch | Fact) -> Draft:
    """The draft with what was seen added."""
    add = SEEN.get(type(seen))
    if add is not None:
        add(draft, seen)
    return draft


RECORDED = frozenset({UsageSeen, Finished, Failed})


def counts(batch: Batch) -> bool:
    """Whether a batch says anything that is recorded. Most batches of a stream do not."""
    return bool(batch.events) and type(batch.events[-1]) in RECORDED


def _ending(draft: Draft, batch: Batch) -> None:
    # Behind the usage nothing comes but the end.
    for event in batch.events[-2:]:
        if isinstance(event, UsageSeen):
            draft.usage = event.usage
        elif isinstance(event, Finished):
            draft.finished = True
        elif isinstance(event, Failed):
            draft.problem = event.problem


def _moved(draft: Draft, fact: Moved) -> None:
    if fact.exchange.plan is not None:
        draft.strategy = fact.exchange.plan.strategy


def _admitted(draft: Draft, fact: Admitted | TurnedAway) -> None:
    draft.queued_s = fact.waited_s


def _started(draft: Draft, fact: AttemptStarted) -> None:
    trial = Trial(fact.number, fact.target, fact.at, continues=fact.continues, losses=fact.losses)
    draft.trials[fact.number] = trial


def _connected(draft: Draft, fact: Connected) -> None:
    draft.trials[fact.number].connected_s = fact.resolve_s + fact.connect_s + fact.tls_s


def _reused(draft: Draft, fact: Reused) -> None:
    draft.reused = fact


def _first(draft: Draft, fact: FirstToken) -> None:
    draft.trials[fact.number].first = fact.at


def _ended(draft: Draft, fact: AttemptEnded) -> None:
    trial = draft.trials[fact.number]
    trial.ended, trial.verdict, trial.cancelled = fact.at, fact.verdict, fact.cancelled
    trial.cost, trial.usage = fact.cost, fact.usage


SEEN: Mapping[type, Callable[[Draft, Any], None]] = {
    Batch: _ending,
    Moved: _moved,
    Admitted: _admitted,
    TurnedAway: _admitted,
    AttemptStarted: _started,
    Connected: _connected,
    FirstToken: _first,
    AttemptEnded: _ended,
    Reused: _reused,
}


def outcome_of(draft: Draft, committed: bool) -> Outcome:
    """How the exchange ended; without an end of its own the client has left."""
    if draft.problem is not None:
        told = draft.problem.rule.outcome
        return "truncated" if committed and told == "upstream_error" else told
    return "ok" if draft.finished else "cancelled"


def _served_by(attempts: tuple[Attempt, ...]) -> Attempt | None:
    for attempt in attempts:
        if attempt.committed:
            return attempt
    return None


def _usage(draft: Draft) -> Usage:
    """What the answer has used: as the client was told, or else what its parts have; those of all attempts, if it has none."""
    if draft.usage is not None:
        return draft.usage
    trials = list(draft.trials.values())
    parts = [trial for trial in trials if trial.first is not None] or trials
    return reduce(added, [trial.usage for trial in parts if trial.usage is not None], Usage())


def _losses(draft: Draft) -> Losses:
    """What the request lost at who answered, or at the last who was asked."""
    trials = list(draft.trials.values())
    answered = [trial for trial in trials if trial.first is not None] or trials[-1:]
    return answered[0].losses if answered else ()


def _cost(attempts: tuple[Attempt, ...]) -> float | None:
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    return sum(costs) if costs else None


def closed(draft: Draft, now: float, epoch: float) -> Record:
    """The Record of an exchange that ended at `now` (monotonic) and `epoch` (wall clock)."""
    exchange, problem = draft.exchange, draft.problem
    request, arrived = exchange.request, exchange.arrived
    attempts = tuple([trial.closed() for trial in draft.trials.values()])
    served = _served_by(attempts)
    status = 200 if draft.finished or served or draft.reused else problem.http_status if problem else None
    return Record(
        id=exchange.id,
        at=epoch - (now - arrived),
        caller=exchange.caller.key,
        dialect=exchange.dialect,
        operation=request.operation,
        model=request.model,
        stream=request.stream,
        outcome=outcome_of(draft, served is not None or draft.reused is not None),
        problem=problem.kind if problem else None,
        status=status,
        served=served.target if served else draft.reused.target if draft.reused else None,
        attempts=attempts,
        losses=_losses(draft),
        usage=_usage(draft),
        queued_s=draft.queued_s,
        ttft_s=served.first - arrived if served and served.first is not None else None,
        duration_s=now - arrived,
        strategy=draft.strategy,
        continued=sum(trial.continues and trial.first is not None for trial in draft.trials.values()),
        cost=_cost(attempts),
        reused=draft.reused.exchange if draft.reused else None,
    )


def build(options: RecordOptions, env: Env) -> Stage:
    """The stage."""
    return folding(Draft, drafted, lambda draft: env.keep(closed(draft, env.now(), env.epoch())), counts)


ENTRY = Entry(build, RecordOptions, side="reply", needs=("reply",))
