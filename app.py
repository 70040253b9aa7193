"""The composition root: configuration -> the house and its ASGI application of both planes, and the command line.

python app.py [serve]           hypercorn -k trio app:app
"""

import gc
import logging
import math
import os
import random
import secrets
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import orjson
import trio
from attrs import define, evolve, field, frozen

from adapters import hosting, listing
from adapters.admin import control_plane
from adapters.asgi import App, Receive, Scope, Send
from adapters.banner import Opening, banner
from adapters.catalogue import knowledge
from adapters.credentials import Credentials
from adapters.dialects import dialect_at
from adapters.edge import Edge, data_plane, wishes
from adapters.explanations import explanation_text, refusal_words
from adapters.guard import Guard, guarded, is_loopback, origins_pattern
from adapters.house import Explain, House
from adapters.http1.client import Http1Transport
from adapters.http1.dialling import origin_of, proxy_of
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.listing import surely_served
from adapters.logs import LogOptions, logging_to, to_descriptor
from adapters.origins import ByOrigin
from adapters.probes import ProbeOptions, watch_providers
from adapters.providers import CODECS, CREDENTIALS
from adapters.relaying import Relay, relayed
from adapters.reloading import reloading
from adapters.serving import CannotListen, ServerOptions, bound, serve
from adapters.silences import Silences
from adapters.simulator.core import PROVIDERS as SIMULATED
from adapters.simulator.demo import DEMO_MODELS, DEMO_PROVIDER, demo_scenario, standard_scenario
from adapters.simulator.server import simulator_app
from adapters.simulator.transport import SimulatorTransport
from adapters.store.sqlite import SqliteStore
from adapters.transport import httpx_transport
from adapters.workers import Place, Slot, keep_workers, lifeline, place_of
from pipeline.config import Config, ConfigError, Fault, effective, load
from pipeline.gate import Gate
from pipeline.names import permits
from pipeline.ports import Env, Transport, unwatched
from pipeline.protocol import Service
from pipeline.state.board import Board
from pipeline.state.health import condition
from pipeline.values.exchange import Exchange
from pipeline.values.http import Headers
from pipeline.values.messages import ChatRequest, Message, Request, Role, Text, Thinking, Tool
from pipeline.values.problems import Problem
from pipeline.values.targets import Price, Provider
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
PRODUCTION_GRACE_S = 5.0
OPEN_NOTICE = "whoever reaches this address can spend your keys: clients need none in this version, so keep it behind a firewall"
DEMO_NOTICE = (
    "the demo provider only demonstrates; name a real one, such as OPENAI_API_KEY=..., and start again"
)

log = logging.getLogger("ollama_proxy")


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


@define
class Lazy:
    """The application for `hypercorn app:app`: it is configured by the environment and ./proxy.toml when it starts."""

    _house: Assembled | None = field(default=None, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif self._house is not None:
            await self._house.application(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            config = read_config(None, {})
        except ConfigError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        with logs(config):
            self._house = assembled(config)
            await with_lifespan(self._house.application, self._house.living)(scope, receive, send)


hosting.install()
app = Lazy()


@contextmanager
def logs(config: Config) -> Iterator[None]:
    """Logging for the block: JSON lines in production, readable ones otherwise, to standard error."""
    server = config.server
    options = LogOptions(
        level="DEBUG" if server.debug else server.log_level,
        as_json=server.environment == "production",
        colour=sys.stderr.isatty(),
    )
    known = [provider.secret for provider in config.providers]
    with logging_to(to_descriptor(sys.stderr.fileno()), options, known):
        yield


CONFIG_OPTIONS = (
    click.option("--config", "path", type=click.Path(dir_okay=False), help="The proxy.toml to read."),
    click.option("--host", help="Address to listen on."),
    click.option("--port", type=int, help="Port to listen on."),
    click.option("--workers", type=int, help="Processes that share the port."),
    click.option("--certfile", help="PEM file of a certificate, to serve in TLS."),
    click.option("--keyfile", help="PEM file of the certificate's key."),
    click.option("--log-level", help="debug, info, warning or error."),
    click.option("--reload", is_flag=True, default=None, help="Start anew when the code changes."),
    click.option("--models-filter", help="File of the model names that may be served."),
)

# What the configuration is given of these.
SETTINGS = frozenset(
    {"host", "port", "workers", "certfile", "keyfile", "log_level", "reload", "models_filter"}
)


def configured(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is given the Config, and what else it asks for; faults are told all at once, with status 2."""

    @click.pass_context
    def given(context: click.Context, /, path: str | None, **options: Any) -> None:
        own = {name: options.pop(name) for name in list(options) if name not in SETTINGS}
        try:
            config = read_config(path, {name: value for name, value in options.items() if value is not None})
        except ConfigError as error:
            click.echo(error, err=True)
            context.exit(2)
        command(config, **own)

    given.__doc__ = command.__doc__
    for option in reversed(CONFIG_OPTIONS):
        given = option(given)
    return given


class Serving(click.Group):
    """Commands, of which `serve` need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` before options that no command was named for."""
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["serve", *args])


@click.group(cls=Serving)
def main() -> None:
    """A gateway for programs that speak the Ollama, OpenAI or Anthropic API. Without a command it serves."""


@main.command("serve")
@configured
def serve_command(config: Config) -> None:
    """Serve (the default)."""
    server = config.server
    if server.reload:
        environ = {**os.environ, "RELOAD": "false"}
        arguments = [argument for argument in sys.argv if argument != "--reload"]
        sys.exit(reloading([sys.executable, *arguments], environ, {Path(__file__).parent, Path.cwd()}))
    place = place_of(os.environ)
    try:
        if server.workers > 1 and place is None:
            keep(config)
        else:
            work(config, place)
    except CannotListen as error:
        raise click.ClickException(str(error)) from None


def work(config: Config, place: Place | None) -> None:
    """Serve in this process, alone or as one of several workers."""
    server = config.server
    house = assembled(config if place is None else shared(config, place.count))
    options = ServerOptions(
        host=server.host,
        port=server.port,
        grace_s=PRODUCTION_GRACE_S if server.environment == "production" else 0.0,
        certfile=server.certfile,
        keyfile=server.keyfile,
        handover=place is not None,
    )
    application = with_lifespan(house.application, house.living)
    with logs(config):
        if place is None:
            serve(application, options, house.lifecycle, announcing(house))
            return

        def ready(urls: Sequence[str]) -> None:
            if place.number == 0:
                announcing(house)(urls)
            place.is_ready()

        sockets = [socket.socket(fileno=descriptor) for descriptor in place.sockets]
        serve(application, options, house.lifecycle, ready, sockets, place.orphaned)


def keep(config: Config) -> None:
    """Keep as many workers as are configured, which share the port."""
    server = config.server
    first = bound(server.host, server.port, shared=True)
    port = first[0].getsockname()[1]
    rest = [bound(server.host, port, shared=True) for _ in range(server.workers - 1)]
    theirs, held = lifeline()
    command = [sys.executable, *sys.argv]
    slots = [
        Slot(command, os.environ, sockets, number, server.workers, theirs)
        for number, sockets in enumerate([first, *rest])
    ]
    with logs(config):
        trio.run(keep_workers, slots)
    os.close(held)


def shared(config: Config, count: int) -> Config:
    """The configuration of one of `count` workers: what they have together is divided among them."""

    def part(whole: int) -> int:
        return max(1, math.ceil(whole / count))

    limit = config.options["limit"]
    options = {**config.options, "limit": evolve(limit, max_concurrent=part(limit.max_concurrent))}
    providers = tuple(
        evolve(provider, max_concurrent=part(provider.max_concurrent)) for provider in config.providers
    )
    return evolve(config, options=options, providers=providers)


def announcing(house: Assembled) -> Callable[[Sequence[str]], None]:
    """What shows the banner of a house that is alive, given the URLs it listens on."""
    return lambda urls: click.echo(opening_of(house)(urls), err=True)


def opening_of(house: Assembled) -> Callable[[Sequence[str]], str]:
    """The banner of a house that is alive, given the addresses it listens on."""

    def shown(urls: Sequence[str]) -> str:
        found = listing.models(house.house.catalogue())
        snapshot, now = house.env.snapshot(), house.env.now()
        opening = Opening(
            version=VERSION,
            urls=urls,
            providers={name: condition(name, snapshot, now) for name in house.env.providers},
            model_count=len(found),
            model=next((model.name for model in found if "completion" in model.capabilities), None),
            data_dir=Path(house.config.server.data_dir),
            notices=tuple(house.config.notices + notices_of(house.config)),
        )
        return banner(opening)

    return shown


def notices_of(config: Config) -> tuple[str, ...]:
    """What must be known of a house so configured, beside what its configuration says of itself."""
    noted = ((config.demo, DEMO_NOTICE), (not is_loopback(config.server.host), OPEN_NOTICE))
    return tuple(notice for applies, notice in noted if applies)


@main.command("check")
@configured
def check(config: Config) -> None:
    """Check the configuration and print what is in force, and where it came from."""
    for path, value in flat(effective(config)):
        origin = config.origins_of.get(path, "default")
        click.echo(f"{path} = {orjson.dumps(value).decode()}  # {origin}")
    for notice in config.notices + notices_of(config):
        click.echo(f"note: {notice}", err=True)


def flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a nested dict with its dotted path."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


@main.command("models")
@configured
def models(config: Config) -> None:
    """List the models that would be served: context, price per million tokens in and out, abilities, targets."""
    for model in trio.run(found_models, config):
        targets = ", ".join(target.name for target in model.targets)
        length = model.facts.context_length
        context = f"{length:,}" if length else "?"
        can = ", ".join(model.capabilities)
        click.echo(f"{model.name:40} {context:>10} {price_of(model.facts.price):>18}  {can:30} {targets}")


def price_of(price: Price | None) -> str:
    """What a million tokens cost, in and out."""
    known = (price or Price()).input, (price or Price()).output
    return " / ".join("?" if cost is None else f"${cost:g}" for cost in known)


@main.command("explain")
@click.argument("model")
@click.option("--provider", help="Only this provider, or several with commas.")
@click.option("--tools", is_flag=True, help="As if the request offered tools.")
@click.option("--thinking", is_flag=True, help="As if the request asked for thinking.")
@click.option("--strategy", type=click.Choice(sorted(STRATEGIES)), help="As if the client wished for it.")
@configured
def explain_command(
    config: Config, model: str, provider: str | None, tools: bool, thinking: bool, strategy: str | None
) -> None:
    """Show who would be asked for MODEL, in what order, and who would not, and why. No model is called."""
    wished = {
        "x-provider": f"{provider}; only" if provider else None,
        "x-routing-strategy": strategy,
    }
    request = ChatRequest(
        model,
        (Message(Role.USER, (Text("Hello"),)),),
        tools=(Tool("example"),) if tools else (),
        thinking=Thinking(on=True) if thinking else None,
    )
    told = trio.run(explained, config, request, {name: text for name, text in wished.items() if text})
    if isinstance(told, Problem):
        raise click.ClickException(refusal_words(told, model))
    click.echo(explanation_text(told))


async def explained(config: Config, request: Request, headers: Headers) -> dict[str, Any] | Problem:
    """What would become of `request`, as things are just after the start."""
    house = assembled(config)
    async with house.living():
        return await house.house.explain(request, headers)


async def found_models(config: Config) -> tuple[listing.Model, ...]:
    """The models of all providers, asked now."""
    house = assembled(config)
    async with house.living():
        return listing.models(house.house.catalogue())


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--head-ms", default=0.0, help="Milliseconds until a reply begins.")
@click.option("--delta-ms", default=0.0, help="Milliseconds before each piece of a streamed reply.")
def simulate(host: str, port: int, head_ms: float, delta_ms: float) -> None:
    """Serve a fake of the providers, for tests, demonstrations and drills."""
    scenario = evolve(standard_scenario(), head_s=head_ms / 1000, delta_s=delta_ms / 1000)
    try:
        serve(
            simulator_app(scenario),
            ServerOptions(host=host, port=port),
            Lifecycle(),
            lambda urls: click.echo(simulator_banner(urls), err=True),
        )
    except CannotListen as error:
        raise click.ClickException(str(error)) from None


def simulator_banner(urls: Sequence[str]) -> str:
    """Where the fakes are, and how the proxy is pointed at them."""
    lines = [f"Simulated providers on {urls[0]}; to put the proxy in front of one or several of them:"]
    for provider in SIMULATED:
        name = provider.prefix.split("/")[1].upper()
        key = "" if name == "OLLAMA" else f"{name}_API_KEY=x "
        lines.append(f"  {key}{name}_BASE_URL={urls[0]}{provider.prefix} python app.py")
    return "\n".join(lines)


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(VERSION)


if __name__ == "__main__":
    main()
