"""What the stages may reach under one configuration, and what is the same under all of them."""

import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import trio
from attrs import define, field, frozen

from adapters.catalogue import knowledge
from adapters.credentials import Credentials
from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of, proxy_of
from adapters.keys_file import Keyring
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.origins import ByOrigin
from adapters.providers import CODECS, CREDENTIALS
from adapters.reload import InForce
from adapters.silences import Silences
from adapters.simulator.demo import DEMO_MODELS, DEMO_PROVIDER, demo_scenario
from adapters.simulator.transport import SimulatorTransport
from adapters.store.sqlite import SqliteStore
from adapters.transport import httpx_transport
from commands.entrance import keyring_of
from pipeline.accounts import Accounts
from pipeline.config import Config
from pipeline.gate import Gate
from pipeline.leaves import Leaves
from pipeline.names import permits
from pipeline.overload import Overload
from pipeline.ports import Env, Transport, left_alone
from pipeline.state.board import Board
from pipeline.values.targets import Provider

log = logging.getLogger("ollama_proxy.reload")

T = TypeVar("T")

# How many attempts may wait for one provider's permits.
PROVIDER_QUEUE = 1000


def rolls(count: int) -> tuple[float, ...]:
    """Chance: it spreads load and guards nothing."""
    return tuple(random.random() for _ in range(count))


@frozen
class Kept:
    """What a house has from its start to its end, whatever it is configured to be meanwhile.

    `instance`: its mark in the hop header. `started`: by `time.monotonic`. `context`: of calls over TLS. `begun`: what it
    was configured to be at the start. `in_force`: what is told of the configuration.
    """

    begun: Config
    board: Board
    ledger: Ledger
    lifecycle: Lifecycle
    silences: Silences
    credentials: Credentials
    keyring: Keyring
    in_force: InForce
    instance: str
    started: float
    context: ssl.SSLContext
    accounts: Accounts
    overload: Overload = field(factory=Overload)


def kept_from(config: Config, shares: int) -> Kept:
    """What a house has that begins with `config`, as one of `shares` processes. Raises ConfigError for its file of keys."""
    return Kept(
        begun=config,
        board=Board(rolls),
        ledger=Ledger(SqliteStore(Path(config.server.data_dir) / "usage.db")),
        lifecycle=Lifecycle(),
        silences=Silences(),
        credentials=Credentials(CREDENTIALS),
        keyring=keyring_of(config),
        in_force=InForce(time.time),
        instance=secrets.token_hex(8),
        started=time.monotonic(),
        context=ssl.create_default_context(),
        accounts=Accounts(shares),
    )


@define(eq=False)
class Heirlooms:
    """What one environment takes over from those `before` it, and hands on to the next: values by key.

    Nothing taken over is changed before the new environment is in force: until then it may still be given up.
    """

    before: Mapping[Hashable, Any] = field(factory=dict)
    values: dict[Hashable, Any] = field(factory=dict, init=False)
    _adaptations: list[Callable[[], None]] = field(factory=list, init=False)

    def __call__(self, key: Hashable, make: Callable[[], T], adapt: Callable[[T], None] = left_alone) -> T:
        """As `pipeline.ports.Lasting` says."""
        if key in self.values:
            found: T = self.values[key]
            return found
        if key in self.before:
            value: T = self.before[key]
            self._adaptations.append(partial(adapt, value))
        else:
            value = make()
        self.values[key] = value
        return value

    def come_into_force(self) -> None:
        """What was taken over is made to fit from now on."""
        for adapt in self._adaptations:
            try:
                adapt()
            except Exception:
                # An operator's own stage may fail in any way; all others are in force.
                log.exception("what a stage has kept could not be made to fit")
        self._adaptations.clear()
        self.before = {}


def providers_of(config: Config) -> tuple[Provider, ...]:
    """The providers in use, the demonstration's among them where it is shown."""
    return (*config.providers, *((DEMO_PROVIDER,) if config.demo else ()))


def environment(config: Config, kept: Kept, lasting: Heirlooms, opened: Callable[[Gate], None]) -> Env:
    """What the stages may reach. `opened` is told of each gate that exchanges wait at."""
    board = kept.board
    providers = {provider.name: signing(provider, kept, lasting) for provider in providers_of(config)}
    gates = {name: provider_gate(provider, lasting) for name, provider in providers.items()}
    return Env(
        now=trio.current_time,
        epoch=time.time,
        rolls=rolls,
        snapshot=lambda: board.snapshot,
        providers=providers,
        codecs=CODECS,
        transports={name: transport_of(provider, kept, lasting) for name, provider in providers.items()},
        gates=gates,
        leaves=lasting(
            "leaves",
            lambda: Leaves(trio.current_time, lambda: board.snapshot, gates),
            lambda leaves: leaves.change(gates),
        ),
        models={**(DEMO_MODELS if config.demo else {}), **config.models},
        known=lasting(("known", config.equivalence), partial(knowledge, config.equivalence)),
        allowed=lasting(("allowed", config.models_filter), partial(permits, config.models_filter)),
        keep=kept.ledger.keep,
        opened=opened,
        accounts=kept.accounts,
        overload=kept.overload,
        lasting=lasting,
    )


def signing(provider: Provider, kept: Kept, lasting: Heirlooms) -> Provider:
    """The provider with the credential its calls are signed with; the very same one as long as nothing about it changes."""
    given = kept.credentials.given(provider)
    return lasting(("provider", given), lambda: given)


def provider_gate(provider: Provider, lasting: Heirlooms) -> Gate:
    """The permits of a provider: those who hold or await one under an older limit count under a newer one."""
    limit = provider.max_concurrent
    return lasting(
        ("gate", provider.name),
        lambda: Gate(provider.name, limit, PROVIDER_QUEUE),
        lambda gate: gate.resize(limit),
    )


def transport_of(provider: Provider, kept: Kept, lasting: Heirlooms) -> Transport:
    """What carries the calls of a provider: the same, with its connections, as long as the way there is."""
    listing = CODECS[provider.kind].list_models(provider).url
    way = (provider.name, provider.transport, provider.base_url, listing, provider.proxy)
    return lasting(("transport", way), lambda: transport(provider, listing, kept.context))


def transport(provider: Provider, listing: str, context: ssl.SSLContext) -> Transport:
    """A new one."""
    match provider.transport:
        case "simulator":
            return SimulatorTransport(demo_scenario())
        case "httpx":
            return httpx_transport(context, provider.proxy)
        case _:
            way = proxy_of(provider.proxy) if provider.proxy else None
            main = Http1Transport(origin_of(provider.base_url), context, way)
            # Where a provider lists its models elsewhere, its calls may go there as well, and nowhere else.
            other = origin_of(listing)
            if other == main.origin:
                return main
            return ByOrigin(main, {other: Http1Transport(other, context, way)})
