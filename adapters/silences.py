"""Signs of life: a stream whose first content has not come is told every so often that it is not forgotten."""

import logging
from typing import Protocol

import trio
from attrs import define, field

log = logging.getLogger("ollama_proxy.edge")

KEEP_ALIVE_S = 15.0


class Waiting(Protocol):
    """One who waits for his stream to begin."""

    async def keep_alive(self) -> None:
        """Give him a sign of life, if that is still possible."""
        ...


@define(eq=False)
class Silences:
    """All who wait, and when each is to hear of us, soonest first. One task for all of them, as long as `run` runs."""

    _due: dict[Waiting, float] = field(factory=dict, init=False)

    def begin(self, waiting: Waiting) -> None:
        """He waits from now on."""
        self._due[waiting] = trio.current_time() + KEEP_ALIVE_S

    def end(self, waiting: Waiting) -> None:
        """He has what he waited for, or nobody waits any more."""
        self._due.pop(waiting, None)

    async def run(self) -> None:
        """Give signs until cancelled. Who slept when somebody began to wait wakes before that one is due."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep_until(next(iter(self._due.values()), trio.current_time() + KEEP_ALIVE_S))
                now = trio.current_time()
                for waiting in [waiting for waiting, due in self._due.items() if due <= now]:
                    self.end(waiting)
                    self.begin(waiting)
                    nursery.start_soon(_sign, waiting)


async def _sign(waiting: Waiting) -> None:
    """One sign. The client's connection may be gone: that is his matter, and that of whoever writes to him next."""
    try:
        await waiting.keep_alive()
    except Exception as error:
        log.debug("a sign of life was not taken: %r", error)
