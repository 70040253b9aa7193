"""Tasks that are kept running by what they are for: those begun that are wanted now, those ended that are not any more."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeAlias

import trio
from attrs import define, field

# Runs until it is cancelled. What it is given is set when it has done its first round.
Work: TypeAlias = Callable[[trio.Event], Awaitable[None]]


@define(eq=False)
class Crew:
    """One task for each key, in `nursery`."""

    nursery: trio.Nursery
    _members: dict[Hashable, tuple[trio.CancelScope, trio.Event]] = field(factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._members)

    def keep(self, wanted: Mapping[Hashable, Work]) -> None:
        """Exactly those of `wanted` run from now on. Who runs already goes on."""
        for key in [key for key in self._members if key not in wanted]:
            self._members.pop(key)[0].cancel()
        for key, work in wanted.items():
            if key not in self._members:
                scope, first = trio.CancelScope(), trio.Event()
                self._members[key] = scope, first
                self.nursery.start_soon(_within, scope, work, first)

    async def begun(self, limit_s: float) -> None:
        """Wait until all have done their first round, but not longer than `limit_s`."""
        with trio.move_on_after(limit_s):
            for _, first in tuple(self._members.values()):
                await first.wait()


async def _within(scope: trio.CancelScope, work: Work, first: trio.Event) -> None:
    with scope:
        await work(first)
