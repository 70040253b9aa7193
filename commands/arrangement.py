"""The house under one configuration: all that is built from it, as one value, which a newer one replaces whole.

    what lasts (`Kept`), what is handed on (`Heirlooms`)  +  Config  ->  Env -> stages -> services -> the application

Nothing here is changed once it is built: who came in under an arrangement is served by it to the end.
"""

import socket
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from adapters.asgi import App
from adapters.dialects import dialect_at
from adapters.edge import TIMEOUT_MOST_S, Edge, data_plane, wishes
from adapters.guard import Guard, guarded, is_loopback, origins_pattern
from adapters.house import Explain, House
from adapters.listing import surely_served
from adapters.relaying import Relay, relayed
from adapters.reload import Reload
from commands.entrance import behind_door, told
from commands.environment import Heirlooms, Kept, environment
from commands.reading import OpenCatalog
from pipeline.config import Config
from pipeline.gate import Gate
from pipeline.ports import Env
from pipeline.protocol import Service
from pipeline.values.callers import Caller
from pipeline.values.exchange import Exchange
from pipeline.values.http import Headers
from pipeline.values.messages import Request
from pipeline.values.problems import Problem
from pipeline.values.targets import Provider
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.dry_run import DryRun, dry_services
from stages.explaining import Explainer
from stages.strategies import STRATEGIES

VERSION = "0.1.0"
OPERATIONS = ("chat", "embed", "load")


@define(eq=False)
class Guests:
    """Those who are served under one arrangement. `gone` once it takes in no more and the last has left."""

    count: int = 0
    closed: bool = False
    gone: trio.Event = field(factory=trio.Event, init=False)

    def enter(self) -> None:
        """One more."""
        self.count += 1

    def leave(self) -> None:
        """One fewer."""
        self.count -= 1
        if self.closed and not self.count:
            self.gone.set()

    def close(self) -> None:
        """Nobody comes in any more."""
        self.closed = True
        if not self.count:
            self.gone.set()


@frozen(eq=False)
class Arrangement:
    """The house as `config` wants it."""

    config: Config
    env: Env
    house: House
    application: App
    lasting: Heirlooms
    guests: Guests = field(factory=Guests)


def arrangement(config: Config, kept: Kept, lasting: Heirlooms, control: App, reload: Reload) -> Arrangement:
    """All that is built from `config`. `control`: the control plane. Raises ConfigError where a stage refuses it."""
    queues: list[Gate] = []
    env = environment(config, kept, lasting, queues.append)
    services, dry_run = services_of(config, env)
    edge = edge_of(config, kept, env, services)
    house = House(
        env=env,
        ledger=kept.ledger,
        lifecycle=kept.lifecycle,
        started=kept.started,
        version=VERSION,
        environment=config.server.environment,
        calls_models=calls_models,
        max_body_bytes=config.server.max_body_bytes,
        explain=explaining(dry_run, edge),
        instance=kept.instance,
        queues=queues,
        keys=partial(told, kept.keyring),
        configuration=kept.in_force.answer,
        reload=reload,
    )
    planes = data_plane(edge, relayed(relay_of(config, kept, house), control))
    application = guarded(behind_door(planes, config, kept.keyring), guard_of(config, kept))
    return Arrangement(config, env, house, application, lasting)


def calls_models(path: str) -> bool:
    """Whether models are called there."""
    return dialect_at(path) is not None


def services_of(config: Config, env: Env) -> tuple[Mapping[str, Service], DryRun]:
    """The pipeline of each operation, and what explains them; they share the stages."""
    catalog = {name: OpenCatalog(CATALOG)[name] for name in config.options}
    stages = build_stages(config.options, catalog, env)
    lists = {name: config.operations.get(name, config.stages) for name in OPERATIONS}
    services = {name: compose(names, stages, catalog) for name, names in lists.items()}
    explainer = Explainer(config.options["call"], env)
    return services, DryRun(dry_services(lists, stages, catalog), explainer)


def edge_of(config: Config, kept: Kept, env: Env, services: Mapping[str, Service]) -> Edge:
    """The data plane's part."""
    return Edge(
        dialect_at=dialect_at,
        services=services,
        providers=frozenset(env.providers),
        lifecycle=kept.lifecycle,
        silences=kept.silences,
        now=trio.current_time,
        epoch=time.time,
        tell=kept.board.tell,
        max_body_bytes=config.server.max_body_bytes,
        instance=kept.instance,
        strict=config.fidelity_strict,
        strategies=frozenset(STRATEGIES),
    )


def explaining(dry_run: DryRun, edge: Edge) -> Explain:
    """What explains a client's request, with the wishes of its headers."""

    async def explain(request: Request, headers: Headers, caller: Caller) -> dict[str, Any] | Problem:
        now = edge.now()
        deadline = now + TIMEOUT_MOST_S
        exchange = Exchange("explain", request, "explain", now, deadline, caller, strict=edge.strict)
        wished = wishes(exchange, headers, edge)
        return wished if isinstance(wished, Problem) else await dry_run(evolve(wished, explain=True))

    return explain


def relay_of(config: Config, kept: Kept, house: House) -> Relay:
    """The part of those who manage models."""
    ollamas = managed(config, house.env)
    return Relay(
        env=house.env,
        tell=kept.board.tell,
        lifecycle=kept.lifecycle,
        ollamas=ollamas,
        context=kept.context,
        instance=kept.instance,
        max_body_bytes=config.server.max_body_bytes,
        elsewhere=lambda name: surely_served(name, house.catalogue(), elsewhere=ollamas),
    )


def managed(config: Config, env: Env) -> dict[str, Provider]:
    """The Ollamas whose models may be managed through us, in the order they are asked."""
    return {
        provider.name: env.providers[provider.name]
        for provider in config.providers
        if config.management and provider.kind == "ollama"
    }


def guard_of(config: Config, kept: Kept) -> Guard:
    """The part of what stands before both planes."""
    lifecycle = kept.lifecycle
    return Guard(
        instance=kept.instance,
        loopback=is_loopback(config.server.host),
        names=frozenset({socket.gethostname().lower()}),
        origins=origins_pattern(config.server.origins),
        draining=lambda: lifecycle.draining,
    )
