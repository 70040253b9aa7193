"""A gate: a bounded number of permits, and a bounded queue of those who wait for one, first come, first served.

A permit is a block: whoever leaves it, by whatever way, gives the place to the next who waits. The order of waiting is
the order of arrival; a cancelled or timed-out waiter leaves no trace.
"""

import math
from collections import OrderedDict
from types import TracebackType

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

    def hold(self, timeout_s: float = math.inf) -> "Permit":
        """A permit for an `async with` block: the seconds waited for it, or why there is none.

        Problems: `queue_full` at once, `queue_timeout` after `timeout_s`.
        """
        return Permit(self, timeout_s)

    async def enter(self, timeout_s: float) -> float | Problem:
        """Take a place, which must be left again unless the answer is a problem."""
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
                self.leave()
            raise
        if self._waiters.pop(ticket, None) is not None:
            return Problem(
                Kind.QUEUE_TIMEOUT,
                f"{self.name} was at its limit for {timeout_s:.0f} s",
                retry_after=timeout_s,
            )
        return trio.current_time() - since

    def leave(self) -> None:
        """Give the place to the first waiter, or free it."""
        if self._waiters and self.held <= self.limit:
            _, turn = self._waiters.popitem(last=False)
            turn.set()
        else:
            self.held -= 1


@define(eq=False)
class Permit:
    """A place for the length of a block."""

    gate: Gate
    timeout_s: float
    _held: bool = field(default=False, init=False)

    async def __aenter__(self) -> float | Problem:
        """Wait for the place."""
        waited = await self.gate.enter(self.timeout_s)
        self._held = not isinstance(waited, Problem)
        return waited

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    def release(self) -> None:
        """Give the place back, if there was one."""
        if self._held:
            self._held = False
            self.gate.leave()
