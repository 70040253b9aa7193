"""dry_run: what would become of a request, without asking any provider.

The request goes its own way through the pipeline as far as `call`, which only looks at what arrives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from pipeline.protocol import Service, Stage, Wire
from pipeline.values.events import Batch, Failed
from pipeline.values.exchange import Exchange
from pipeline.values.facts import Fact, Moved
from pipeline.values.problems import Problem
from pipeline.wiring import Catalog, compose
from stages.explaining import Explainer

# These hold a request up or ask somebody, and decide nothing about its targets.
LEFT_OUT = frozenset({"limit", "cache", "coalesce"})


@frozen
class DryRun:
    """`services` by operation: the stages before `call`, and in its place nothing."""

    services: Mapping[str, Service]
    explainer: Explainer

    async def __call__(self, exchange: Exchange) -> dict[str, Any] | Problem:
        """What would become of `exchange`, or why nothing would."""
        seen = Seen(exchange)
        await self.services[exchange.request.operation](exchange, Wire(seen.emit, seen.tell))
        return seen.problem or self.explainer.explained(seen.exchange)


@define(eq=False)
class Seen:
    """What arrives at `call`."""

    exchange: Exchange
    problem: Problem | None = field(default=None, init=False)

    async def emit(self, batch: Batch) -> None:
        """A stage refuses the request."""
        for event in batch.events:
            if isinstance(event, Failed):
                self.problem = event.problem

    def tell(self, fact: Fact) -> None:
        """A stage has passed it on."""
        if isinstance(fact, Moved):
            self.exchange = fact.exchange


async def _nothing(exchange: Exchange, wire: Wire) -> None:
    """Instead of calling anybody."""


def _called_by_nobody(inner: Service) -> Service:
    return _nothing


def dry_services(
    lists: Mapping[str, Sequence[str]], stages: Mapping[str, Stage], catalog: Catalog
) -> Mapping[str, Service]:
    """The way of each operation as far as `call`. `lists`: its stages."""
    silent = {
        name: _called_by_nobody if entry.side == "call" else stages[name] for name, entry in catalog.items()
    }
    return {
        operation: compose(
            [name for name in names if catalog[name].side != "reply" and name not in LEFT_OUT],
            silent,
            catalog,
        )
        for operation, names in lists.items()
    }
