"""Where Records go: counts and the newest ones in memory, a log line each, and all of them into the store.

Keeping a record never waits and never fails: a writer task takes what has gathered and hands it to a worker thread.
While the disk cannot be written the records wait; when too many wait, the oldest are dropped and counted.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import trio
from attrs import define, evolve, field

from adapters.logs import redactor
from adapters.tally import Tally, count
from pipeline.values.exchange import Record

log = logging.getLogger("ollama_proxy.ledger")
requests_log = logging.getLogger("ollama_proxy.request")

BATCH = 500
KEY_MARK = "ollp_"
redacted = redactor()

# Outcomes that are no error of the house: it went well, the client was wrong, or he left.
NO_ERROR = frozenset({"ok", "client_error", "cancelled"})


class Store(Protocol):
    """What keeps records for good. All of it blocks and may raise; `put` keeps all of its records or none."""

    def open(self) -> None:
        """Make ready, as often as it takes."""
        ...

    def put(self, records: Sequence[Record]) -> None:
        """Keep `records`; without any, only see whether it could."""
        ...

    def spent_since(self, since: Mapping[str, float]) -> Mapping[str, float]:
        """US dollars that each caller has spent since that time (epoch seconds)."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


@define(eq=False)
class Ledger:
    """`store` None: nothing outlives the process. `waiting_limit`: how many records may wait for the disk.

    Seconds: `gather_s` that records wait for company, `again_s` until a disk that failed is tried again, `flush_s` for
    what is left at the end.
    """

    store: Store | None = None
    waiting_limit: int = 20_000
    gather_s: float = 0.2
    again_s: float = 2.0
    flush_s: float = 5.0
    recent: deque[Record] = field(factory=lambda: deque(maxlen=1000), init=False)
    requests: int = field(default=0, init=False)
    errors: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    # By provider.
    tallies: defaultdict[str, Tally] = field(factory=lambda: defaultdict(Tally), init=False)
    writable: bool = field(default=True, init=False)
    _waiting: deque[Record] = field(factory=deque, init=False)
    _more: trio.Event = field(factory=trio.Event, init=False)
    # One thread at a time, and none of those that everybody shares.
    _thread: trio.CapacityLimiter = field(factory=lambda: trio.CapacityLimiter(1), init=False)

    @property
    def waiting(self) -> int:
        """How many records wait for the disk."""
        return len(self._waiting)

    def keep(self, record: Record) -> None:
        """Take a record; it will be in the store soon."""
        if KEY_MARK in record.model:
            # The name of a model is the client's own word, and some paste their key there.
            record = evolve(record, model=redacted(record.model))
        self.requests += 1
        self.errors += record.outcome not in NO_ERROR
        self.recent.append(record)
        count(record, self.tallies)
        if requests_log.isEnabledFor(logging.INFO):
            requests_log.handle(log_line(record))
        if self.store is None:
            return
        if len(self._waiting) >= self.waiting_limit:
            self._waiting.popleft()
            self._drop(1)
        self._waiting.append(record)
        self._more.set()

    def _drop(self, count: int) -> None:
        if self.dropped == 0:
            log.error("too many records wait for the disk: the oldest are lost from now on")
        self.dropped += count

    async def spent_since(self, since: Mapping[str, float]) -> Mapping[str, float] | None:
        """US dollars that each caller has spent since that time (epoch seconds); None: the store cannot be read."""
        spent: dict[str, float] = {}
        if self.store is None or not since:
            return spent
        store = self.store
        return spent if await self._call(lambda: spent.update(store.spent_since(since))) else None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; what waits then is written in `flush_s` seconds, or lost and told."""
        if self.store is None:
            task_status.started()
            return
        try:
            await self._call(self.store.open)
            task_status.started()
            await self._write_on(self.store)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.flush_s):
                await self._flush(self.store)
            if self._waiting:
                log.error("%d records could not be written before the end", len(self._waiting))

    async def _write_on(self, store: Store) -> None:
        while True:
            # A disk that failed is tried without new records too: while it fails the house is not ready and gets none.
            if self.writable:
                await self._more.wait()
                if len(self._waiting) < BATCH:
                    await trio.sleep(self.gather_s)
            else:
                await trio.sleep(self.again_s)
            await self._write_batch(store)

    async def _flush(self, store: Store) -> None:
        while self._waiting:
            if not await self._write_batch(store, leave=True):
                break
        with suppress(Exception):  # what could not be written was told already
            await trio.to_thread.run_sync(store.close, limiter=self._thread, abandon_on_cancel=True)

    async def _write_batch(self, store: Store, leave: bool = False) -> bool:
        """Whether the oldest of those that wait are in the store now."""
        batch = tuple(self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting))))
        written = False
        try:
            written = await self._call(store.put, batch, leave=leave)
        finally:
            if not written:
                self._put_back(batch)
            if not self._waiting:
                self._more = trio.Event()
        return written

    def _put_back(self, batch: Sequence[Record]) -> None:
        room = self.waiting_limit - len(self._waiting)
        kept = batch[-room:] if room > 0 else ()
        self._waiting.extendleft(reversed(kept))
        if lost := len(batch) - len(kept):
            self._drop(lost)

    async def _call(self, work: Any, *given: Any, leave: bool = False) -> bool:
        """Let a thread do `work`, and whether it could; `leave`: do not stay for it when cancelled.

        What the disk says is told once, when it begins and when it is over.
        """
        try:
            await trio.to_thread.run_sync(work, *given, limiter=self._thread, abandon_on_cancel=leave)
        except Exception as fault:
            if self.writable:
                log.error("the ledger cannot be written: %s", str(fault).partition("\n")[0])
            self.writable = False
            return False
        if not self.writable:
            log.warning("the ledger can be written again")
        self.writable = True
        return True


def log_line(record: Record) -> logging.LogRecord:
    """The log's line of a request."""
    # Made here, as `info` would search the stack for who speaks, which costs a fifth of a line and is never shown.
    return requests_log.makeRecord(
        requests_log.name, logging.INFO, __file__, 0, "request", (), None, extra=log_fields(record)
    )


def log_fields(record: Record) -> Mapping[str, Any]:
    """What the log says of a request: numbers and names, never content."""
    usage = record.usage
    return {
        "request_id": record.id,
        "dialect": record.dialect,
        "model": record.model,
        "served": record.served,
        "outcome": record.outcome,
        "problem": record.problem,
        "status": record.status,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "queued_ms": _ms(record.queued_s),
        "ttft_ms": _ms(record.ttft_s),
        "duration_ms": _ms(record.duration_s),
        "attempts": tried(record),
        "continued": record.continued,
    }


def tried(record: Record) -> str:
    """Each attempt with how it went: `openai/gpt-4o overloaded, azure/gpt-4o ok`."""
    return ", ".join(_attempts(record))


def _attempts(record: Record) -> Iterable[str]:
    for attempt in record.attempts:
        ended = "left" if attempt.cancelled else attempt.verdict or "ok"
        yield f"{attempt.target} {ended}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
