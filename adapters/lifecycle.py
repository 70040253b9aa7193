"""The life of the house, from serving to its end, and the exchanges that run in it.

serving --signal--> draining --grace--> refusing --none runs, or the limit--> stopping
                    readiness fails,    no new       every exchange that still runs
                    replies close       exchanges    is cancelled and tells its client
"""

import math
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType

import trio
from attrs import define, field

from pipeline.values.problems import Kind, Problem

# What the edge answers to new model calls, and tells as the last event of those that are cut off.
SHUTTING_DOWN = Problem(
    Kind.SHUTTING_DOWN, "the gateway is shutting down; ask again in a moment", retry_after=5.0
)


class State(StrEnum):
    """Where the house stands."""

    SERVING = "serving"
    DRAINING = "draining"
    REFUSING = "refusing"
    STOPPING = "stopping"


@define(eq=False)
class Lifecycle:
    """One a house: its state, and a cancel scope for each exchange that runs."""

    state: State = field(default=State.SERVING, init=False)
    exchanges: set[trio.CancelScope] = field(factory=set, init=False)
    _idle: trio.Event = field(factory=trio.Event, init=False)

    @property
    def accepting(self) -> bool:
        """Whether new model calls are taken."""
        return self.state in (State.SERVING, State.DRAINING)

    @property
    def draining(self) -> bool:
        """Whether the house is on its way out: not ready, and every reply closes its connection."""
        return self.state is not State.SERVING

    @property
    def ended(self) -> bool:
        """Whether the exchanges that still ran were cancelled, each to tell its client why."""
        return self.state is State.STOPPING

    def exchange(self, deadline: float = math.inf) -> "Place":
        """A place among the running exchanges for the block, and the scope in which its work is to be done.

        The scope is handed out unentered: after it was cancelled the block still has to write its last frame, and until
        the block is left the house waits for it. `deadline`: of the scope, in monotonic seconds.

            with lifecycle.exchange() as scope:
                with scope:
                    await service(exchange, wire)
                if scope.cancelled_caught and lifecycle.ended:
                    ...  # the error frame
        """
        return Place(self, deadline)

    def enter(self, deadline: float) -> trio.CancelScope:
        """Take in one more exchange."""
        scope = trio.CancelScope(deadline=deadline)
        if self.ended:
            scope.cancel()
        self.exchanges.add(scope)
        return scope

    def leave(self, scope: trio.CancelScope) -> None:
        """This exchange is over."""
        self.exchanges.discard(scope)
        if not self.exchanges:
            self._idle.set()
            self._idle = trio.Event()

    def begin_drain(self) -> None:
        """Readiness fails from now on, and replies close their connections; new model calls are still taken."""
        if self.state is State.SERVING:
            self.state = State.DRAINING

    async def wait_idle(self) -> None:
        """Until no exchange runs."""
        while self.exchanges:
            await self._idle.wait()

    async def drain(
        self, hurry: trio.Event, grace_s: float = 5.0, limit_s: float = 120.0, flush_s: float = 5.0
    ) -> None:
        """From serving to the end, in at most `grace_s + limit_s + flush_s` seconds.

        `grace_s`: new calls are still taken, while whoever sends them learns to send them elsewhere. `limit_s`: those
        that run may finish. `flush_s`: the last frames go out. `hurry` cuts the first two short.
        """
        self.begin_drain()
        await _patiently(trio.sleep_forever, grace_s, hurry)
        self.state = State.REFUSING
        await _patiently(self.wait_idle, limit_s, hurry)
        self.state = State.STOPPING
        for scope in self.exchanges:
            scope.cancel()
        with trio.move_on_after(flush_s):
            await self.wait_idle()


@define(eq=False)
class Place:
    """A place among the running exchanges, as a block."""

    lifecycle: Lifecycle
    deadline: float
    _scope: trio.CancelScope | None = field(default=None, init=False)

    def __enter__(self) -> trio.CancelScope:
        """Take the place."""
        self._scope = self.lifecycle.enter(self.deadline)
        return self._scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        assert self._scope is not None
        self.lifecycle.leave(self._scope)


async def _patiently(wait: Callable[[], Awaitable[None]], limit_s: float, hurry: trio.Event) -> None:
    """Until `wait()` is over, but not longer than `limit_s` and not past `hurry`."""

    async def hurried(patience: trio.CancelScope) -> None:
        await hurry.wait()
        patience.cancel()

    with trio.move_on_after(limit_s):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hurried, nursery.cancel_scope)
            await wait()
            nursery.cancel_scope.cancel()
