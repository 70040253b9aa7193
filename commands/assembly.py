"""The composition root: configuration -> the house and its ASGI application of both planes."""

import gc
import os
import random
import secrets
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import trio
from attrs import evolve, frozen

from adapters.admin import control_plane
from adapters.asgi import App, Receive, Scope, Send
from adapters.catalogue import knowledge
from adapters.credentials import Credentials
from adapters.dialects import dialect_at
from adapters.edge import Edge, data_plane, wishes
from adapters.guard import Guard, guarded, is_loopback, origins_pattern
from adapters.house import Explain, House
from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of, proxy_of
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.listing import surely_served
from adapters.origins import ByOrigin
from adapters.probes import ProbeOptions, watch_providers
from adapters.providers import CODECS, CREDENTIALS
from adapters.relaying import Relay, relayed
from adapters.silences import Silences
from adapters.simulator.demo import DEMO_MODELS, DEMO_PROVIDER, demo_scenario
from adapters.simulator.transport import SimulatorTransport
from adapters.store.sqlite import SqliteStore
from adapters.transport import httpx_transport
from pipeline.config import Config, ConfigError, Fault, load
from pipeline.gate import Gate
from pipeline.names import permits
from pipeline.ports import Env, Transport, unwatched
from pipeline.protocol import Service
from pipeline.state.board import Board
from pipeline.values.exchange import Exchange
from pipeline.values.http import Headers
from pipeline.values.messages import Request
from pipeline.values.problems import Problem
from pipeline.values.targets import Provider
from pipeline.wiring import Catalog, Entry, build_stages, compose
from stages import CATALOG
from stages.dry_run import DryRun, dry_services
from stages.explaining import Explainer
from stages.strategies import STRATEGIES

VERSION = "0.1.0"
OPERATIONS = ("chat", "embed", "load")
# How many attempts may wait for one provider's permits.
PROVIDER_QUEUE = 1000
LAST_RECORDS_S = 5.0
# The time that an explained request is thought to have.
EXPLAINED_S = 300.0
COLLECT_AFTER = 20_000


def rolls(count: int) -> tuple[float, ...]:
    """Chance: it spreads load and guards nothing."""
    return tuple(random.random() for _ in range(count))


class OpenCatalog(Mapping[str, Entry]):
    """The house's own stages, and those that an operator names as `package.module:ENTRY`."""

    def __init__(self, own: Catalog) -> None:
        self._entries = dict(own)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries and ":" in name:
            self._entries[name] = _imported(name)
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _imported(name: str) -> Entry:
    """The entry that `package.module:NAME` names. Raises ConfigError: what an operator writes may fail in any way."""
    module, _, attribute = name.partition(":")
    try:
        entry = getattr(import_module(module), attribute)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            [Fault("proxy.toml", "pipeline.stages", f'"{name}" cannot be imported: {reason}')]
        ) from error
    if not isinstance(entry, Entry):
        text = f'"{name}" is no pipeline.wiring.Entry but of type {type(entry).__name__}'
        raise ConfigError([Fault("proxy.toml", "pipeline.stages", text)])
    return entry


def read_config(path: str | None, overrides: Mapping[str, Any]) -> Config:
    """The configuration of this process. Raises ConfigError with all faults."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # an operator's own stages stand beside proxy.toml
    return load(path, os.environ, overrides, catalog=OpenCatalog(CATALOG), kinds=CODECS)


def settle_memory() -> None:
    """Keep the collector of cycles from what lives as long as the house, and from looking too often.

    A request makes many small values and no cycles of note, so most of its passes find nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


@frozen
class Assembled:
    """The house, put together but not yet alive: `application` answers once `living` is entered."""

    config: Config
    env: Env
    board: Board
    ledger: Ledger
    lifecycle: Lifecycle
    silences: Silences
    house: House
    application: App
    credentials: Credentials

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """The loops of the house run for the block: probes, the ledger and signs of life."""
        server = self.config.server
        probes = ProbeOptions(interval_s=server.health_interval_s, models_ttl_s=server.models_ttl_s)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.ledger.run)
                await nursery.start(self.credentials.run)
                nursery.start_soon(self.silences.run)
                await nursery.start(watch_providers, self.env, self.board.tell, probes)
                settle_memory()
                yield
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(LAST_RECORDS_S, shield=True):
                for transport in self.env.transports.values():
                    await transport.aclose()


def assembled(config: Config) -> Assembled:
    """All parts of the house, from its configuration."""
    instance = secrets.token_hex(8)
    board, lifecycle, silences = Board(rolls), Lifecycle(), Silences()
    ledger = Ledger(SqliteStore(Path(config.server.data_dir) / "usage.db"))
    credentials = Credentials(CREDENTIALS)
    config = evolve(config, providers=tuple(map(credentials.given, config.providers)))
    queues: list[Gate] = []
    env = environment(config, board, ledger, queues.append)
    services, dry_run = services_of(config, env)
    edge = Edge(
        dialect_at=dialect_at,
        services=services,
        providers=frozenset(env.providers),
        lifecycle=lifecycle,
        silences=silences,
        now=trio.current_time,
        epoch=time.time,
        tell=board.tell,
        max_body_bytes=config.server.max_body_bytes,
        instance=instance,
        strict=config.fidelity_strict,
        strategies=frozenset(STRATEGIES),
    )
    house = House(
        env=env,
        ledger=ledger,
        lifecycle=lifecycle,
        started=time.monotonic(),
        version=VERSION,
        environment=config.server.environment,
        calls_models=lambda path: dialect_at(path) is not None,
        max_body_bytes=config.server.max_body_bytes,
        explain=explaining(dry_run, edge),
        instance=instance,
        queues=queues,
    )
    guard = Guard(
        instance=instance,
        loopback=is_loopback(config.server.host),
        names=frozenset({socket.gethostname().lower()}),
        origins=origins_pattern(config.server.origins),
        draining=lambda: lifecycle.draining,
    )
    ollamas = {provider.name: provider for provider in managed(config)}
    relay = Relay(
        env=env,
        tell=board.tell,
        lifecycle=lifecycle,
        ollamas=ollamas,
        context=ssl.create_default_context(),
        instance=instance,
        max_body_bytes=config.server.max_body_bytes,
        elsewhere=lambda name: surely_served(name, house.catalogue(), elsewhere=ollamas),
    )
    application = guarded(data_plane(edge, relayed(relay, control_plane(house))), guard)
    return Assembled(config, env, board, ledger, lifecycle, silences, house, application, credentials)


def explaining(dry_run: DryRun, edge: Edge) -> Explain:
    """What explains a client's request, with the wishes of its headers."""

    async def explain(request: Request, headers: Headers) -> dict[str, Any] | Problem:
        now = edge.now()
        exchange = Exchange("explain", request, "explain", now, now + EXPLAINED_S, strict=edge.strict)
        wished = wishes(exchange, headers, edge)
        return wished if isinstance(wished, Problem) else await dry_run(evolve(wished, explain=True))

    return explain


def environment(
    config: Config, board: Board, ledger: Ledger, opened: Callable[[Gate], None] = unwatched
) -> Env:
    """What the stages may reach."""
    demo = {DEMO_PROVIDER.name: DEMO_PROVIDER} if config.demo else {}
    providers = {provider.name: provider for provider in config.providers} | demo
    context = ssl.create_default_context()

    def transport(provider: Provider) -> Transport:
        match provider.transport:
            case "simulator":
                return SimulatorTransport(demo_scenario())
            case "httpx":
                return httpx_transport(context, provider.proxy)
            case _:
                way = proxy_of(provider.proxy) if provider.proxy else None
                main = Http1Transport(origin_of(provider.base_url), context, way)
                # Where a provider lists its models elsewhere, its calls may go there as well, and nowhere else.
                listing = origin_of(CODECS[provider.kind].list_models(provider).url)
                if listing == main.origin:
                    return main
                return ByOrigin(main, {listing: Http1Transport(listing, context, way)})

    return Env(
        now=trio.current_time,
        epoch=time.time,
        rolls=rolls,
        snapshot=lambda: board.snapshot,
        providers=providers,
        codecs=CODECS,
        transports={name: transport(provider) for name, provider in providers.items()},
        gates={
            name: Gate(name, provider.max_concurrent, PROVIDER_QUEUE) for name, provider in providers.items()
        },
        models={**(DEMO_MODELS if demo else {}), **config.models},
        known=knowledge(config.equivalence),
        allowed=permits(config.models_filter),
        keep=ledger.keep,
        opened=opened,
    )


def managed(config: Config) -> tuple[Provider, ...]:
    """The Ollamas whose models may be managed through us, in the order they are asked."""
    return tuple(provider for provider in config.providers if config.management and provider.kind == "ollama")


def services_of(config: Config, env: Env) -> tuple[Mapping[str, Service], DryRun]:
    """The pipeline of each operation, and what explains them; they share the stages."""
    catalog = {name: OpenCatalog(CATALOG)[name] for name in config.options}
    stages = build_stages(config.options, catalog, env)
    lists = {name: config.operations.get(name, config.stages) for name in OPERATIONS}
    services = {name: compose(names, stages, catalog) for name, names in lists.items()}
    explainer = Explainer(config.options["call"], env)
    return services, DryRun(dry_services(lists, stages, catalog), explainer)


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
