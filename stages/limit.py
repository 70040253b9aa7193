"""limit: how many exchanges run at once, and who waits how long for a place."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import field, frozen
from attrs.validators import ge, gt

from pipeline.gate import Gate
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


def build(options: LimitOptions, env: Env) -> Stage:
    """The stage. Its gate is the one place where exchanges wait for each other."""
    gate = Gate("the proxy", options.max_concurrent, options.queue_size)

    @asynccontextmanager
    async def hold(exchange: Exchange) -> AsyncIterator[Fact | Problem]:
        async with gate.hold(patience(exchange, env.now(), options)) as waited:
            if not isinstance(waited, Problem):
                yield Admitted(waited)
            elif env.now() >= exchange.deadline:
                yield Problem(Kind.DEADLINE, "the request's own time ran out while it waited for a place")
            else:
                yield waited

    return holding(hold)


ENTRY = Entry(build, LimitOptions, side="request")
