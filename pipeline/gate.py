"""A gate: a bounded number of permits, and a bounded queue of those who wait for one, first come, first served.

A permit is a block: whoever leaves it, by whatever way, gives the place to the next who waits. The order of waiting is
the order of arrival; a cancelled or timed-out waiter leaves no trace.
"""

import math
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from pipeline.values.problems import Kind, Problem


@define(eq=False)
class Gate:
    """`limit` permits; at most `queue` waiters. `name` is for the words of a refusal."""

    name: str
    limit: int
    queue: int
    held: int = field(default=0, init=False)
    _waiters: "OrderedDict[int, trio.Event]" = field(factory=OrderedDict, init=False)
    _arrivals: int = field(default=0, init=False)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    @property
    def free(self) -> bool:
        """Whether a permit could be had without waiting."""
        return self.held < self.limit and not self._waiters

    @asynccontextmanager
    async def hold(self, timeout_s: float = math.inf) -> AsyncIterator[float | Problem]:
        """A permit for the block: the seconds waited for it, or why there is none.

        Problems: `queue_full` at once, `queue_timeout` after `timeout_s`.
        """
        waited = await self._enter(timeout_s)
        if isinstance(waited, Problem):
            yield waited
            return
        try:
            yield waited
        finally:
            self._leave()

    async def _enter(self, timeout_s: float) -> float | Problem:
        if self.free:
            self.held += 1
            return 0.0
        if len(self._waiters) >= self.queue:
            return Problem(
                Kind.QUEUE_FULL, f"{self.name} is at its limit and its queue is full", retry_after=1.0
            )
        self._arrivals += 1
        ticket, turn, since = self._arrivals, trio.Event(), trio.current_time()
        self._waiters[ticket] = turn
        try:
            with trio.move_on_after(timeout_s):
                await turn.wait()
        except BaseException:
            # Cancelled just as the place was handed over: it goes on to the next.
            if self._waiters.pop(ticket, None) is None:
                self._leave()
            raise
        if self._waiters.pop(ticket, None) is not None:
            return Problem(
                Kind.QUEUE_TIMEOUT,
                f"{self.name} was at its limit for {timeout_s:.0f} s",
                retry_after=timeout_s,
            )
        return trio.current_time() - since

    def _leave(self) -> None:
        """Give the place to the first waiter, or free it."""
        if self._waiters and self.held <= self.limit:
            _, turn = self._waiters.popitem(last=False)
            turn.set()
        else:
            self.held -= 1
