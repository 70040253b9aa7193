"""A gate: a bounded number of permits, and a bounded queue of those who wait for one, in the order of `pipeline.state.queue`.

A permit is a block: whoever leaves it, by whatever way, gives the place to the next who waits. A cancelled or timed-out
waiter leaves no trace. The limit may change while it runs: who holds a permit keeps it, and a higher limit lets in those
who wait.
"""

import math
from collections import deque
from types import TracebackType
from typing import Literal

import trio
from attrs import Factory, define, field, frozen

from pipeline.state.queue import (
    EMPTY,
    Displaced,
    Item,
    Queue,
    QueueRules,
    Refused,
    dequeue,
    enqueue,
    left,
    standing_of,
)
from pipeline.values.callers import Priority
from pipeline.values.problems import Kind, Problem
from pipeline.values.standing import Standing

# How many of the newest waits are kept, to be shown.
WAITS_KEPT = 256
RETRY_LEAST_S, RETRY_MOST_S = 1.0, 300.0


@frozen
class Waiter:
    """Who waits: his class, the key of whose share he takes, and when (monotonic seconds) it is no use any more."""

    priority: Priority = Priority.NORMAL
    key: str = ""
    until: float = math.inf


ANY_WAITER = Waiter()


@define(eq=False)
class Seat:
    """One who waits, until `end` says what became of him. Of no other end than these is told: he left by himself."""

    item: Item
    turn: trio.Event = field(factory=trio.Event)
    ended: Literal["served", "displaced", "shed", "late"] | None = None

    def end(self, how: Literal["served", "displaced", "shed", "late"]) -> None:
        """He is to know."""
        self.ended = how
        self.turn.set()


@define(eq=False)
class Gate:
    """`limit` permits; at most `queue` waiters. `name` is for the words of a refusal. `rules` of the queue, if not plain."""

    name: str
    limit: int
    queue: int
    rules: QueueRules = field(default=Factory(lambda gate: QueueRules(gate.queue), takes_self=True))
    held: int = field(default=0, init=False)
    waits: deque[float] = field(factory=lambda: deque(maxlen=WAITS_KEPT), init=False)
    state: Queue = field(default=EMPTY, init=False)
    _seats: dict[int, Seat] = field(factory=dict, init=False)
    _tickets: int = field(default=0, init=False)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self.state.waiting

    @property
    def free(self) -> bool:
        """Whether a permit could be had without waiting."""
        return self.held < self.limit and not self.state.waiting

    def hold(self, timeout_s: float = math.inf, waiter: Waiter = ANY_WAITER) -> "Permit":
        """A permit for an `async with` block: the seconds waited for it, or why there is none.

        Problems: `queue_full` at once or when another takes the place in the queue, `queue_timeout` after `timeout_s`.
        """
        return Permit(self, timeout_s, waiter)

    def resize(self, limit: int) -> None:
        """`limit` permits from now on. More let in those who wait; of fewer none is taken away."""
        self.limit = limit
        self._let_in()

    def ruled(self, rules: QueueRules) -> None:
        """Other rules from now on. Who waits stays."""
        self.queue, self.rules = rules.size, rules

    async def enter(self, permit: "Permit") -> float | Problem:
        """Take a place, which must be left again unless the answer is a problem."""
        if self.held < self.limit and not self.state.waiting:
            self.held += 1
            return 0.0
        since = trio.current_time()
        seat = self._seated(permit, since)
        if isinstance(seat, Problem):
            return seat
        permit.seat = seat
        try:
            with trio.move_on_after(permit.timeout_s):
                await seat.turn.wait()
        except BaseException:
            # Cancelled just as the place was handed over: it goes on to the next.
            if seat.ended == "served":
                self.leave()
            self._forget(seat)
            raise
        if seat.ended == "served":
            return trio.current_time() - since
        permit.stood = permit.stood or self.standing(seat)
        self._forget(seat)
        return self._turned_away(seat, permit)

    def leave(self) -> None:
        """Give the place to the next who waits, or free it."""
        self.held -= 1
        if self.state.waiting:
            self._let_in()

    def standing(self, seat: Seat) -> Standing | None:
        """Where one who waits stands; None where he does not wait any more."""
        return standing_of(self.state, seat.item, trio.current_time(), self.rules)

    def _seated(self, permit: "Permit", now: float) -> Seat | Problem:
        waiter = permit.waiter
        self._tickets += 1
        until = min(now + permit.timeout_s, waiter.until)
        item = Item(self._tickets, waiter.priority.rank, waiter.key, now, until)
        self.state, entered = enqueue(self.state, item, now, self.rules)
        if isinstance(entered, Refused):
            permit.stood = entered.standing
            return Problem(
                Kind.QUEUE_FULL, self._words(entered), retry_after=told_s(entered.retry_after, RETRY_LEAST_S)
            )
        if isinstance(entered, Displaced):
            self._seats.pop(entered.victim.ticket).end("displaced")
        seat = self._seats[item.ticket] = Seat(entered.item)
        return seat

    def _let_in(self) -> None:
        """Hand on what is free to those whose turn it is."""
        now = trio.current_time()
        while self.state.waiting and self.held < self.limit:
            self.state, item, dropped = dequeue(self.state, now, self.rules)
            for one, why in dropped:
                self._seats.pop(one.ticket).end(why)
            if item is not None:
                self.held += 1
                self.waits.append(now - item.since)
                self._seats.pop(item.ticket).end("served")

    def _forget(self, seat: Seat) -> None:
        if self._seats.pop(seat.item.ticket, None) is not None:
            self.state = left(self.state, seat.item)

    def _words(self, refused: Refused) -> str:
        at = f"the request would be number {refused.standing.position}"
        match refused.why:
            case "full":
                return f"{self.name} is at its limit and its queue is full ({at})"
            case "share":
                return f"{self.name} is at its limit, and this key has its share of the queue ({at})"
            case "long":
                return f"{self.name} is at its limit and the wait would be too long ({at})"

    def _turned_away(self, seat: Seat, permit: "Permit") -> Problem:
        at = f" (it was number {permit.stood.position})" if permit.stood else ""
        wait_s = permit.stood.wait_s if permit.stood else None
        if wait_s is None and (rate := self.state.rate(trio.current_time())) is not None:
            wait_s = self.state.waiting / rate
        match seat.ended:
            case "displaced":
                words = f"{self.name} is at its limit, and a more urgent request took this one's place in the queue"
                return Problem(Kind.QUEUE_FULL, words, retry_after=told_s(wait_s, RETRY_LEAST_S))
            case "shed":
                words = f"{self.name} is overloaded, and the request had waited for too long"
                return Problem(Kind.QUEUE_TIMEOUT, words, retry_after=told_s(wait_s, RETRY_LEAST_S))
        waited_s = min(permit.timeout_s, seat.item.until - seat.item.since)
        words = f"{self.name} was at its limit for {waited_s:.0f} s{at}"
        return Problem(Kind.QUEUE_TIMEOUT, words, retry_after=told_s(wait_s, waited_s))


def told_s(wait_s: float | None, unknown_s: float) -> float:
    """Seconds after which to come again: what was found out, or `unknown_s`; within reason."""
    return min(max(unknown_s if wait_s is None else wait_s, RETRY_LEAST_S), RETRY_MOST_S)


@define(eq=False)
class Permit:
    """A place for the length of a block. `stood`: where he stood who did not get it."""

    gate: Gate
    timeout_s: float
    waiter: Waiter = ANY_WAITER
    seat: Seat | None = field(default=None, init=False)
    stood: Standing | None = field(default=None, init=False)
    _held: bool = field(default=False, init=False)

    async def __aenter__(self) -> float | Problem:
        """Wait for the place."""
        waited = await self.gate.enter(self)
        self._held = not isinstance(waited, Problem)
        return waited

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    def standing(self) -> Standing | None:
        """Where he stands now, while he waits."""
        return None if self.seat is None else self.gate.standing(self.seat)

    def release(self) -> None:
        """Give the place back, if there was one."""
        if self._held:
            self._held = False
            self.gate.leave()
