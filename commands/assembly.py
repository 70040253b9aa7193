"""The composition root: a configuration -> a house that can be served, and that takes a newer configuration while it is.

    Assembled: what lasts (`Kept`), and the one reference `now` to the arrangement that newcomers meet

`commands/environment.py` tells what lasts and what is handed on, `commands/arrangement.py` what is built anew each time.
"""

import gc
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, field

from adapters.accounting import forget_revoked, restore_later, restore_spending
from adapters.admin import control_plane
from adapters.asgi import App, Receive, Scope, Send
from adapters.credentials import account
from adapters.lateness import watch_lateness
from adapters.probes import ProbeOptions, Watch, first_round
from adapters.reload import Outcome, Read, Reloaded, Stamps, follow, log, reading, unexpected
from commands.arrangement import Arrangement, arrangement
from commands.environment import Heirlooms, Kept, kept_from, providers_of
from pipeline.config import Config, ConfigError
from pipeline.config.changes import changes, same, settled
from pipeline.ports import Transport
from pipeline.values.facts import ProviderReplaced

LAST_RECORDS_S = 5.0
COLLECT_AFTER = 20_000


def settle_memory() -> None:
    """Keep the collector of cycles from what lives as long as the house, and from looking too often.

    A request makes many small values and no cycles of note, so most of its passes find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def unheard(config: Config) -> None:
    """Where nothing outside the house follows its configuration."""


@define(eq=False)
class Assembled:
    """The house, put together but not yet alive: `application` answers once `living` is entered.

    `read`: reads the configuration again; None: it stays as it is. `heard` is told of each one that has come into force.
    `now`: what newcomers meet. `leaving`: older arrangements, under which somebody is still served; `coming`: the one that
    is being introduced.
    """

    kept: Kept
    read: Read | None = None
    heard: Callable[[Config], None] = unheard
    now: Arrangement = field(init=False)
    leaving: list[Arrangement] = field(factory=list, init=False)
    coming: Arrangement | None = field(default=None, init=False)
    _control: App = field(init=False)
    _watch: Watch = field(init=False)
    _seen: Stamps = field(factory=dict, init=False)
    _reading: trio.Lock = field(factory=trio.Lock, init=False)
    _nursery: trio.Nursery | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._control = control_plane(lambda: self.now.house)
        self.now = self._arranged(self.kept.begun)
        self.now.lasting.come_into_force()
        self._watch = Watch(self.now.env, self.kept.board.tell, probing(self.now.config))

    async def application(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: served to the end under the arrangement that is in force now."""
        arranged = self.now
        arranged.guests.enter()
        try:
            await arranged.application(scope, receive, send)
        finally:
            arranged.guests.leave()

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """The loops of the house run for the block: probes, the ledger, signs of life, and who sees that files change."""
        kept = self.kept
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(kept.ledger.run)
                if not await restore_spending(kept.accounts, kept.keyring, kept.ledger, time.time()):
                    nursery.start_soon(restore_later, kept.accounts, kept.keyring, kept.ledger, time.time)
                nursery.start_soon(forget_revoked, kept.accounts, kept.keyring)
                await nursery.start(kept.credentials.run)
                await nursery.start(kept.keyring.run)
                nursery.start_soon(kept.silences.run)
                nursery.start_soon(watch_lateness, kept.overload)
                await nursery.start(self._watch.run)
                settle_memory()
                self._nursery = nursery
                if self.read is not None:
                    nursery.start_soon(follow, lambda: self._seen, self.reload)
                yield
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(LAST_RECORDS_S, shield=True):
                await close_all(transports_of(self._arrangements()))

    def reload_soon(self) -> None:
        """Read the configuration again, while the caller goes on."""
        if self._nursery is not None:
            self._nursery.start_soon(self.reload)

    async def reload(self) -> Outcome:
        """Read the configuration again. If it can be used it is in force afterwards; else nothing has changed."""
        if self.read is None:
            return Reloaded()
        async with self._reading:
            read = await trio.to_thread.run_sync(reading, self.read)
            outcome = await self._tried(read.found) if isinstance(read.found, Config) else read.found
            self._seen = read.stamps
            self.kept.in_force.told(outcome, read.stamps)
            return outcome

    async def _tried(self, wanted: Config) -> Outcome:
        """Put `wanted` in force, as far as a running process can."""
        later = settled(wanted, self.kept.begun)
        before = self.now.config
        if same(before, later.config):
            return Reloaded((), later.needs_restart)
        try:
            after = self.coming = self._arranged(later.config)
            await self._introduced(after)
            self._succeed(after)
        except ConfigError as error:
            return error.faults
        except Exception as error:
            log.exception("the configuration could not be put in force")
            return (unexpected(error),)
        finally:
            self.coming = None
            self._forget_strangers()
        return Reloaded(changes(before, later.config), later.needs_restart)

    def _arranged(self, config: Config) -> Arrangement:
        inherited = {key: value for one in self._arrangements() for key, value in one.lasting.values.items()}
        return arrangement(config, self.kept, Heirlooms(inherited), self._control, self.reload)

    async def _introduced(self, after: Arrangement) -> None:
        """What is new has its credentials, and has told its models, or had the time to, before anybody asks it."""
        await self.kept.credentials.begun()
        known = self.kept.board.snapshot.providers
        strangers = [provider for name, provider in after.env.providers.items() if name not in known]
        await first_round(after.env, self.kept.board.tell, strangers, probing(after.config))

    def _succeed(self, after: Arrangement) -> None:
        """`after` is in force for whoever comes in from now on. Nobody waits in here, so it happens at once."""
        before, self.now = self.now, after
        after.lasting.come_into_force()
        for name in other_accounts(before, after):
            self.kept.board.tell(ProviderReplaced(name))
        self._watch.change(after.env, probing(after.config))
        self.heard(after.config)
        before.guests.close()
        self.leaving.append(before)
        assert self._nursery is not None
        self._nursery.start_soon(self._see_off, before)

    async def _see_off(self, before: Arrangement) -> None:
        """Once the last who came in under it has left, close what nobody uses any more."""
        await before.guests.gone.wait()
        self.leaving.remove(before)
        self._forget_strangers()
        needed = transports_of(self._arrangements())
        await close_all({key: value for key, value in transports_of([before]).items() if key not in needed})

    def _forget_strangers(self) -> None:
        """Nothing is kept of providers that nobody is served by any more."""
        arrangements = self._arrangements()
        self.kept.credentials.keep(provider for one in arrangements for provider in providers_of(one.config))
        names = {name for one in arrangements for name in one.env.providers}
        self.now.env.leaves.keep(names)
        for name in self.kept.board.snapshot.providers.keys() - names:
            self.kept.board.tell(ProviderReplaced(name, gone=True))

    def _arrangements(self) -> tuple[Arrangement, ...]:
        """All under which somebody is or will be served, the newest last."""
        coming = () if self.coming is None else (self.coming,)
        return (*self.leaving, *((self.now,) if hasattr(self, "now") else ()), *coming)


def assembled(config: Config, read: Read | None = None, shares: int = 1) -> Assembled:
    """All parts of the house, from its configuration; one of `shares` processes that share what there is.

    Raises ConfigError where a stage or the file of keys refuses it.
    """
    return Assembled(kept_from(config, shares), read)


def probing(config: Config) -> ProbeOptions:
    """How providers are looked after."""
    return ProbeOptions(interval_s=config.server.health_interval_s, models_ttl_s=config.server.models_ttl_s)


def other_accounts(before: Arrangement, after: Arrangement) -> tuple[str, ...]:
    """The names that mean another account than before: what is known of the old one says nothing of it."""
    new = after.env.providers
    return tuple(
        name
        for name, provider in before.env.providers.items()
        if name in new and account(new[name]) != account(provider)
    )


def transports_of(arrangements: Iterable[Arrangement]) -> dict[int, Transport]:
    """Their transports by identity."""
    return {id(carrier): carrier for one in arrangements for carrier in one.env.transports.values()}


async def close_all(transports: Mapping[int, Transport]) -> None:
    """Close what they keep for later calls."""
    for carrier in transports.values():
        try:
            await carrier.aclose()
        except Exception:
            log.exception("the connections to a provider could not be closed")


def with_lifespan(application: App, living: Callable[[], Any]) -> App:
    """`application`, alive from the server's start to its end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        await receive()
        async with living():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app
