"""Credentials that grow old: each is fetched in a thread, held in one place, and fetched again before it expires.

    start --fetched--> good --RENEW_S--> fetched again
              | failed
              v
            the last one is kept, and it is tried again, later each time

Whoever signs reads the newest one at that moment and waits for nothing.
"""

import logging
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

import trio
from attrs import define, evolve, field

from adapters.crew import Crew, Work
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
    """The credentials of the house's accounts. `sources`: by kind, where one is not just a key in the configuration."""

    sources: Mapping[str, Source]
    _fetched: dict[Provider, tuple[Renewed, Fetch]] = field(factory=dict, init=False)
    _crew: Crew | None = field(default=None, init=False)

    def given(self, provider: Provider) -> Provider:
        """The provider with the credential its calls are signed with; the same one for the same account."""
        source = self.sources.get(provider.kind)
        if source is None:
            return provider
        if (known := self._fetched.get(account(provider))) is not None:
            return evolve(provider, secret=known[0])
        found = source(provider)
        if isinstance(found, Secret):
            return evolve(provider, secret=found)
        renewed = Renewed()
        self._fetched[account(provider)] = (renewed, found)
        return evolve(provider, secret=renewed)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all of them fresh until cancelled. `started` once each was fetched, or `FIRST_S` have passed."""
        async with trio.open_nursery() as nursery:
            self._crew = Crew(nursery)
            await self.begun()
            task_status.started()
            await trio.sleep_forever()

    async def begun(self) -> None:
        """Those given since are kept fresh too. It returns once each was fetched, or `FIRST_S` have passed."""
        if self._crew is not None:
            self._crew.keep(self._loops())
            await self._crew.begun(FIRST_S)

    def keep(self, providers: Iterable[Provider]) -> None:
        """Hold those of the accounts of `providers` from now on, and no others."""
        wanted = {account(provider) for provider in providers}
        self._fetched = {key: kept for key, kept in self._fetched.items() if key in wanted}
        if self._crew is not None:
            self._crew.keep(self._loops())

    def _loops(self) -> dict[Hashable, Work]:
        return {
            key: partial(_keep_fresh, key.name, renewed, fetch)
            for key, (renewed, fetch) in self._fetched.items()
        }


def account(provider: Provider) -> Provider:
    """`provider` without what may change while it stays the same account at the same place."""
    return Provider(
        provider.name, provider.kind, provider.base_url, secret=provider.secret, settings=provider.settings
    )


async def _keep_fresh(name: str, renewed: Renewed, fetch: Fetch, first: trio.Event) -> None:
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
