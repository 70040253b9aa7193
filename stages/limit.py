"""limit: how many exchanges run at once, who waits how long for a place, and who is told at once that there is none."""

from attrs import field, frozen
from attrs.validators import ge, gt

from pipeline.gate import Gate, Permit, Waiter
from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.state.queue import QueueRules
from pipeline.values.events import Batch, Failed
from pipeline.values.exchange import Exchange
from pipeline.values.facts import Admitted, Queued, TurnedAway
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry
from stages.charging import charging

OUT_OF_TIME = Problem(Kind.DEADLINE, "the request's own time ran out while it waited for a place")
# The level of who is let in is set anew every two seconds, and a few of them make a difference.
SHED = Problem(
    Kind.QUEUE_FULL, "the proxy cannot keep up and lets fewer requests in for a while", retry_after=5.0
)


@frozen
class LimitOptions:
    """`[stage.limit]`.

    `max_concurrent`: exchanges that run at once. `queue_size`: how many may wait. `queue_timeout`: seconds one waits.
    `prioritization`: more urgent classes wait less; without it all are of one class.
    """

    max_concurrent: int = field(default=100, validator=ge(1))
    queue_size: int = field(default=1000, validator=ge(0))
    queue_timeout: float = field(default=30.0, validator=gt(0))
    prioritization: bool = True

    @property
    def rules(self) -> QueueRules:
        """The rules of the queue."""
        return QueueRules(self.queue_size, self.queue_timeout, self.prioritization)


def patience(exchange: Exchange, now: float, options: LimitOptions) -> float:
    """Seconds this exchange may wait: the house's limit, or what is left of its own time."""
    return max(0.0, min(options.queue_timeout, exchange.deadline - now))


def waiter_of(exchange: Exchange) -> Waiter:
    """The exchange as one who waits."""
    return Waiter(exchange.priority, exchange.caller.key or "", exchange.deadline)


def build(options: LimitOptions, env: Env) -> Stage:
    """The stage. Its gate is the one place where exchanges wait for each other."""

    def fitted(gate: Gate) -> None:
        gate.ruled(options.rules)
        gate.resize(options.max_concurrent)

    gate = env.lasting(
        "limit", lambda: Gate("the proxy", options.max_concurrent, options.queue_size, options.rules), fitted
    )
    env.opened(gate)
    charge, queue = charging(env), queueing(gate, options, env)
    return lambda inner: charge(queue(inner))


def queueing(gate: Gate, options: LimitOptions, env: Env) -> Stage:
    """What holds a permit of `gate` while an exchange runs."""

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            now = env.now()
            if not env.overload.admits(exchange.priority.rank, exchange.caller.key or exchange.id, now):
                await refuse(SHED, wire, TurnedAway(0.0))
                return
            permit = asked(gate, exchange, wire, patience(exchange, now, options))
            async with permit as waited:
                if isinstance(waited, Problem):
                    await refuse(waited, wire, TurnedAway(env.now() - now, permit.stood))
                elif waited and env.now() >= exchange.deadline:
                    permit.release()
                    await refuse(OUT_OF_TIME, wire, TurnedAway(waited))
                else:
                    wire.tell(Admitted(waited))
                    await inner(exchange, wire)

        return service

    return stage


def asked(gate: Gate, exchange: Exchange, wire: Wire, patience_s: float) -> Permit:
    """A permit that is about to be had or waited for."""
    if gate.free:
        return gate.hold()
    permit = gate.hold(patience_s, waiter_of(exchange))
    wire.tell(Queued(permit.standing))
    return permit


async def refuse(problem: Problem, wire: Wire, turned_away: TurnedAway) -> None:
    """Tell the client that there is no place for him."""
    wire.tell(turned_away)
    await wire.emit(Batch((Failed(problem),)))


ENTRY = Entry(build, LimitOptions, side="request")
