"""limit: how many exchanges run at once, and who waits how long for a place."""

from types import TracebackType

from attrs import define, field, frozen
from attrs.validators import ge, gt

from pipeline.gate import Gate, Permit
from pipeline.ports import Env
from pipeline.protocol import Stage, holding
from pipeline.values.exchange import Exchange
from pipeline.values.facts import Admitted, Fact
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry


@frozen
class LimitOptions:
    """`[stage.limit]`.

    `max_concurrent`: exchanges that run at once. `queue_size`: how many may wait. `queue_timeout`: seconds one waits.
    """

    max_concurrent: int = field(default=100, validator=ge(1))
    queue_size: int = field(default=1000, validator=ge(0))
    queue_timeout: float = field(default=30.0, validator=gt(0))


def patience(exchange: Exchange, now: float, options: LimitOptions) -> float:
    """Seconds this exchange may wait: the house's limit, or what is left of its own time."""
    return max(0.0, min(options.queue_timeout, exchange.deadline - now))


@define(eq=False)
class Place:
    """An exchange's permit for the length of a block; none where its own time ran out while it waited."""

    permit: Permit
    deadline: float
    env: Env

    async def __aenter__(self) -> Fact | Problem:
        """The fact of being admitted, or why not."""
        waited = await self.permit.__aenter__()
        if isinstance(waited, Problem):
            return waited
        if self.env.now() >= self.deadline:
            return Problem(Kind.DEADLINE, "the request's own time ran out while it waited for a place")
        return Admitted(waited)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the permit back."""
        self.permit.release()


def build(options: LimitOptions, env: Env) -> Stage:
    """The stage. Its gate is the one place where exchanges wait for each other."""
    gate = Gate("the proxy", options.max_concurrent, options.queue_size)
    env.opened(gate)

    def hold(exchange: Exchange) -> Place:
        return Place(gate.hold(patience(exchange, env.now(), options)), exchange.deadline, env)

    return holding(hold)


ENTRY = Entry(build, LimitOptions, side="request")
