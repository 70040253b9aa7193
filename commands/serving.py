"""serve: in this process, alone, or by several workers."""

import math
import os
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import trio
from attrs import evolve

from adapters import listing
from adapters.banner import Opening, banner
from adapters.guard import is_loopback
from adapters.reloading import reloading
from adapters.serving import CannotListen, ServerOptions, bound, serve
from adapters.workers import Place, Slot, keep_workers, lifeline, place_of
from commands.assembly import VERSION, Assembled, assembled, with_lifespan
from commands.options import configured, logs
from pipeline.config import Config
from pipeline.state.health import condition

PRODUCTION_GRACE_S = 5.0
OPEN_NOTICE = "whoever reaches this address can spend your keys: clients need none in this version, so keep it behind a firewall"
DEMO_NOTICE = (
    "the demo provider only demonstrates; name a real one, such as OPENAI_API_KEY=..., and start again"
)


@click.command("serve")
@configured
def serve_command(config: Config) -> None:
    """Serve (the default)."""
    server = config.server
    if server.reload:
        environ = {**os.environ, "RELOAD": "false"}
        arguments = [argument for argument in sys.argv if argument != "--reload"]
        sys.exit(reloading([sys.executable, *arguments], environ, {Path(__file__).parent.parent, Path.cwd()}))
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
