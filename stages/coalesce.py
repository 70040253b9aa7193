"""coalesce: exchanges that ask for the same at the same time share one call of a provider.

The first of them leads: what it asks for is carried out in its own task, behind a shield, until it is over or the last who
listens has left. So a leader who leaves does not take the answer from the others, and whoever is the last to leave ends it.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio
from attrs import define, field, frozen

from pipeline.fingerprint import fingerprint, repeatable
from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.events import Batch, Failed, Finished
from pipeline.values.exchange import Exchange
from pipeline.values.facts import AttemptStarted, Fact, FirstToken, Reused
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry

# How far the quickest listener may be behind before the call is made to wait.
MOST_BEHIND = 64
# What became of a leader for reasons of its own says nothing to the others: they ask for themselves.
OWN_REASONS = frozenset(
    {
        Kind.DEADLINE,
        Kind.CALLER_LIMITED,
        Kind.BUDGET,
        Kind.QUEUE_FULL,
        Kind.QUEUE_TIMEOUT,
        Kind.SHUTTING_DOWN,
    }
)
FAULT = Problem(Kind.INTERNAL, "the proxy failed; this is a fault of the proxy")
TOO_LATE = Problem(Kind.DEADLINE, "the request's own time ran out")


@frozen
class CoalesceOptions:
    """`[stage.coalesce]` has no options: to list the stage is to want it."""


@define(eq=False)
class Flight:
    """One call with all who listen to it. `batches`: all that came so far; `served`: the target whose content it is.

    `deserted`: nobody listens any more, so it is about to end.
    """

    leader: str
    batches: list[Batch] = field(factory=list, init=False)
    served: str | None = field(default=None, init=False)
    problem: Problem | None = field(default=None, init=False)
    deserted: bool = field(default=False, init=False)
    _over: bool = field(default=False, init=False)
    _scope: trio.CancelScope = field(factory=lambda: trio.CancelScope(shield=True), init=False)
    _places: dict[object, int] = field(factory=dict, init=False)
    _asked: dict[int, str] = field(factory=dict, init=False)
    _news: trio.Event = field(factory=trio.Event, init=False)
    _taken: trio.Event = field(factory=trio.Event, init=False)

    async def run(self, inner: Service, exchange: Exchange, tell: Callable[[Fact], None]) -> None:
        """Make the call, for as long as somebody listens."""

        def see(fact: Fact) -> None:
            if isinstance(fact, AttemptStarted):
                self._asked[fact.number] = fact.target
            elif isinstance(fact, FirstToken):
                self.served = self._asked[fact.number]
            tell(fact)

        try:
            with self._scope:
                await inner(exchange, Wire(self._keep, see))
        except Exception:
            self.problem = FAULT
            raise
        finally:
            self._over = True
            self._news.set()

    async def _keep(self, batch: Batch) -> None:
        last = batch.events[-1] if batch.events else None
        if isinstance(last, Failed):
            self.problem = last.problem
        self.batches.append(batch)
        self._news.set()
        self._news = trio.Event()
        while self._places and max(self._places.values()) < len(self.batches) - MOST_BEHIND:
            await self._taken.wait()

    async def listen(self, emit: Callable[[Batch], Awaitable[None]]) -> None:
        """Hand on all that comes, from the first batch on, until it is over. The last to leave ends the call."""
        me = object()
        self._places[me] = 0
        try:
            while (batch := await self._at(self._places[me])) is not None:
                await emit(batch)
                self._places[me] += 1
                self._taken.set()
                self._taken = trio.Event()
        finally:
            del self._places[me]
            if not self._places:
                self.deserted = True
                self._scope.cancel()

    async def _at(self, place: int) -> Batch | None:
        """The batch at `place`, waited for; None where the call ended without it."""
        while place >= len(self.batches):
            if self._over:
                return None
            await self._news.wait()
        return self.batches[place]

    @property
    def open(self) -> bool:
        """Whether others may join: somebody listens, and there is something to be had."""
        return not self.deserted and not self.vain

    @property
    def vain(self) -> bool:
        """Whether it failed before anything came of it, for reasons that are the leader's own."""
        own = self.problem is not None and self.problem.kind in OWN_REASONS
        return own and not any(batch.content for batch in self.batches)


Flights: TypeAlias = dict[bytes, Flight]


async def lead(flights: Flights, mark: bytes, inner: Service, exchange: Exchange, wire: Wire) -> None:
    """Make the call for all who come while it runs."""
    flight = flights[mark] = Flight(exchange.id)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flight.run, inner, exchange, wire.tell)
            await flight.listen(wire.emit)
    finally:
        # Where all had left, somebody else may lead by now.
        if flights.get(mark) is flight:
            del flights[mark]


@define(eq=False)
class Joined:
    """One who listens to the call of another. `ended`: he has had its end."""

    flight: Flight
    wire: Wire
    env: Env
    ended: bool = field(default=False, init=False)
    _began: bool = field(default=False, init=False)

    async def emit(self, batch: Batch) -> None:
        """Hand on what is the answer; what became of the leader alone is not."""
        if self.flight.vain:
            return
        if not self._began and self.flight.served is not None:
            self._began = True
            self.wire.tell(Reused("shared", self.flight.leader, self.flight.served, self.env.now()))
        self.ended = bool(batch.events) and isinstance(batch.events[-1], Finished | Failed)
        await self.wire.emit(batch)

    async def listen(self, deadline: float) -> bool:
        """Listen to the end, or to the end of one's own time. False: he must ask for himself."""
        with trio.move_on_after(deadline - self.env.now()) as scope:
            await self.flight.listen(self.emit)
        if self.flight.vain and not scope.cancelled_caught:
            return False
        if not self.ended:
            problem = TOO_LATE if scope.cancelled_caught else self.flight.problem
            await self.wire.emit(Batch((Failed(problem or FAULT),)))
        return True


def build(options: CoalesceOptions, env: Env) -> Stage:
    """The stage. Its flights are those of all pipelines that list it."""
    flights: Flights = {}

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            if exchange.explain or not repeatable(exchange.request):
                await inner(exchange, wire)
                return
            mark = fingerprint(exchange)
            while (flight := flights.get(mark)) is not None and flight.open:
                if await Joined(flight, wire, env).listen(exchange.deadline):
                    return
            await lead(flights, mark, inner, exchange, wire)

        return service

    return stage


ENTRY = Entry(build, CoalesceOptions, side="request")
