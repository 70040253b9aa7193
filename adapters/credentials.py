"""Credentials that grow old: each is fetched in a thread, held in one place, and fetched again before it expires.

    start --fetched--> good --RENEW_S--> fetched again
              | failed
              v
            the last one is kept, and it is tried again, later each time

Whoever signs reads the newest one at that moment and waits for nothing.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TypeAlias

import trio
from attrs import define, evolve, field

from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider

log = logging.getLogger("ollama_proxy.credentials")

# What fetches keeps what is good for longer, so asking it is free; a key must live longer than this once fetched.
RENEW_S = 60.0
LONGEST_PAUSE_S = 60.0
# How long the start of the house waits for the first ones.
FIRST_S = 5.0

# Gives the newest credential; blocks, and raises where there is none.
Fetch: TypeAlias = Callable[[], str]
Source: TypeAlias = Callable[[Provider], Secret | Fetch]


class Renewed(Secret):
    """A credential whose value is the newest that was fetched; empty until then."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        object.__setattr__(self, "_newest", "")

    @property
    def value(self) -> str:
        """The newest one."""
        newest: str = object.__getattribute__(self, "_newest")
        return newest

    def renew(self, value: str) -> None:
        """Hold `value` from now on."""
        object.__setattr__(self, "_newest", value)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


@define(eq=False)
class Credentials:
    """The credentials of the house's providers. `sources`: by kind, where one is not just a key in the configuration."""

    sources: Mapping[str, Source]
    _fetched: dict[str, tuple[Renewed, Fetch]] = field(factory=dict, init=False)

    def given(self, provider: Provider) -> Provider:
        """The provider with the credential its calls are signed with."""
        source = self.sources.get(provider.kind)
        if source is None:
            return provider
        found = source(provider)
        if isinstance(found, Secret):
            return evolve(provider, secret=found)
        renewed = Renewed()
        self._fetched[provider.name] = (renewed, found)
        return evolve(provider, secret=renewed)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all of them fresh until cancelled. `started` once each was fetched, or `FIRST_S` have passed."""
        async with trio.open_nursery() as nursery:
            firsts = []
            for name, (renewed, fetch) in self._fetched.items():
                first = trio.Event()
                firsts.append(first)
                nursery.start_soon(self._keep, name, renewed, fetch, first)
            with trio.move_on_after(FIRST_S):
                for first in firsts:
                    await first.wait()
            task_status.started()

    async def _keep(self, name: str, renewed: Renewed, fetch: Fetch, first: trio.Event) -> None:
        failures = 0
        while True:
            try:
                renewed.renew(await trio.to_thread.run_sync(fetch, abandon_on_cancel=True))
            except Exception as error:
                failures += 1
                if failures == 1:
                    # Its words may hold what it was given; its type tells enough.
                    log.warning("%s: no credentials could be fetched (%s)", name, type(error).__name__)
            else:
                if failures:
                    log.info("%s: credentials are fetched again", name)
                failures = 0
            first.set()
            await trio.sleep(pause_s(failures))


def pause_s(failures: int) -> float:
    """Seconds until a credential is fetched again, after so many failures in a row."""
    return min(LONGEST_PAUSE_S, 2.0 ** min(failures - 1, 6)) if failures else RENEW_S
