"""The stage protocol: a service with a wire, and the four lifts that let most stages be pure functions.

A service handles one exchange and returns when it is over; events go down its wire as they come. A stage wraps a
service in another. So the lifetime of all that is done for an exchange is the indentation of one call.

A lift that has nothing left to do once the inner service runs hands its awaitable on and does not wait for it: each
wait in the chain would be gone through again at every chunk.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, TypeVar

from attrs import frozen

from pipeline.values.events import Batch, Failed
from pipeline.values.exchange import Exchange
from pipeline.values.facts import Fact, Moved
from pipeline.values.problems import Kind, Problem


@frozen
class Wire:
    """Where an exchange's events and facts go.

    `emit` hands on a batch and waits when the client is slow. `tell` never waits, so it is safe while being cancelled.
    """

    emit: Callable[[Batch], Awaitable[None]]
    tell: Callable[[Fact], None]


Service: TypeAlias = Callable[[Exchange, Wire], Awaitable[None]]
Stage: TypeAlias = Callable[[Service], Service]

State = TypeVar("State")


def before(name: str, move: Callable[[Exchange], Exchange | Problem]) -> Stage:
    """A stage that rewrites the exchange before the call, or refuses it."""

    def stage(inner: Service) -> Service:
        def service(exchange: Exchange, wire: Wire) -> Awaitable[None]:
            moved = move(exchange)
            if isinstance(moved, Problem):
                return wire.emit(Batch((Failed(moved),)))
            wire.tell(Moved(name, moved))
            return inner(moved, wire)

        return service

    return stage


def through(begin: Callable[[Exchange], Callable[[Batch], Batch]]) -> Stage:
    """A stage that changes batches on their way to the client. `begin` gives the function for one exchange."""

    def stage(inner: Service) -> Service:
        def service(exchange: Exchange, wire: Wire) -> Awaitable[None]:
            change, onward = begin(exchange), wire.emit

            def emit(batch: Batch) -> Awaitable[None]:
                return onward(change(batch))

            return inner(exchange, Wire(emit, wire.tell))

        return service

    return stage


def always(batch: Batch) -> bool:
    """Where every batch matters."""
    return True


def folding(
    begin: Callable[[Exchange], State],
    step: Callable[[State, Batch | Fact], State],
    close: Callable[[State], None],
    matters: Callable[[Batch], bool] = always,
) -> Stage:
    """A stage that folds the batches and facts of an exchange into one value.

    A batch is folded when the client has taken it; those that do not matter pass without being waited for here.
    `close` is called exactly once, whoever hung up; it must not wait. An exception, which is a bug, is folded as the
    failure that the client will be told.
    """

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            state, onward = begin(exchange), wire.emit

            async def fold(batch: Batch) -> None:
                nonlocal state
                await onward(batch)
                state = step(state, batch)

            def emit(batch: Batch) -> Awaitable[None]:
                return fold(batch) if matters(batch) else onward(batch)

            def tell(fact: Fact) -> None:
                nonlocal state
                state = step(state, fact)
                wire.tell(fact)

            try:
                await inner(exchange, Wire(emit, tell))
            except Exception:
                state = step(state, Batch((Failed(Problem(Kind.INTERNAL)),)))
                raise
            finally:
                close(state)

        return service

    return stage


def holding(hold: Callable[[Exchange], AbstractAsyncContextManager[Fact | Problem]]) -> Stage:
    """A stage that holds something while the inner service runs. `hold` gives the fact of having it, or why not."""

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            async with hold(exchange) as held:
                if isinstance(held, Problem):
                    await wire.emit(Batch((Failed(held),)))
                    return
                wire.tell(held)
                await inner(exchange, wire)

        return service

    return stage
