"""serve: in this process, alone, or by several workers."""

import math
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import trio
from attrs import evolve

from adapters import listing
from adapters.banner import Opening, banner
from adapters.guard import is_loopback
from adapters.reload import InForce, Read, Reloaded, reading
from adapters.reloading import reloading
from adapters.serving import CannotListen, ServerOptions, bound, serve
from adapters.workers import Place, Slot, keep_workers, lifeline, place_of
from commands.arrangement import VERSION
from commands.assembly import Assembled, assembled, with_lifespan
from commands.entrance import OPEN_NOTICE, first_key_lines, first_key_of, keys_row
from commands.options import configured_anew, logs
from pipeline.config import Config
from pipeline.state.health import condition

PRODUCTION_GRACE_S = 5.0
DEMO_NOTICE = (
    "the demo provider only demonstrates; name a real one, such as OPENAI_API_KEY=..., and start again"
)


@click.command("serve")
@configured_anew
def serve_command(config: Config, read: Read) -> None:
    """Serve (the default)."""
    server = config.server
    if server.reload:
        environ = {**os.environ, "RELOAD": "false"}
        arguments = [argument for argument in sys.argv if argument != "--reload"]
        sys.exit(reloading([sys.executable, *arguments], environ, {Path(__file__).parent.parent, Path.cwd()}))
    place = place_of(os.environ)
    try:
        # Made before there are several of us, and shown by whoever made it.
        first = first_key_of(config) if place is None else None
        if server.workers > 1 and place is None:
            if first is not None:
                click.echo(first_key_lines(first), err=True)
            keep(config, read)
        else:
            work(config, read, place, first)
    except CannotListen as error:
        raise click.ClickException(str(error)) from None


def work(config: Config, read: Read, place: Place | None, first_key: str | None = None) -> None:
    """Serve in this process, alone or as one of several workers. `first_key`: the one that was just made."""
    server = config.server
    count = 1 if place is None else place.count
    house = assembled(shared(config, count), lambda touch: shared(read(touch), count), count)
    options = ServerOptions(
        host=server.host,
        port=server.port,
        grace_s=PRODUCTION_GRACE_S if server.environment == "production" else 0.0,
        certfile=server.certfile,
        keyfile=server.keyfile,
        handover=place is not None,
    )
    application = with_lifespan(house.application, house.living)
    hangup = house.reload_soon
    with logs(config) as heard:
        house.heard = heard
        if place is None:
            serve(application, options, house.kept.lifecycle, announcing(house, first_key), hangup=hangup)
            return

        def ready(urls: Sequence[str]) -> None:
            if place.number == 0:
                announcing(house)(urls)
            place.is_ready()

        sockets = [socket.socket(fileno=descriptor) for descriptor in place.sockets]
        serve(application, options, house.kept.lifecycle, ready, sockets, place.orphaned, hangup)


def keep(config: Config, read: Read) -> None:
    """Keep as many workers as are configured, which share the port. They are replaced for what can be `read` alone."""
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
    in_force = InForce(time.time)

    async def usable() -> bool:
        found = await trio.to_thread.run_sync(reading, read)
        in_force.told(Reloaded() if isinstance(found.found, Config) else found.found, found.stamps)
        return not in_force.faults

    with logs(config):
        trio.run(keep_workers, slots, usable)
    os.close(held)


def shared(config: Config, count: int) -> Config:
    """The configuration of one of `count` workers: what they have together is divided among them."""
    if count == 1:
        return config

    def part(whole: int) -> int:
        return max(1, math.ceil(whole / count))

    limit = config.options["limit"]
    options = {**config.options, "limit": evolve(limit, max_concurrent=part(limit.max_concurrent))}
    providers = tuple(
        evolve(
            provider,
            max_concurrent=part(provider.max_concurrent),
            rates=provider.rates.part(count),
            limits={model: rates.part(count) for model, rates in provider.limits.items()},
        )
        for provider in config.providers
    )
    return evolve(config, options=options, providers=providers)


def announcing(house: Assembled, first_key: str | None = None) -> Callable[[Sequence[str]], None]:
    """What shows the banner of a house that is alive, given the URLs it listens on."""
    return lambda urls: click.echo(opening_of(house, first_key)(urls), err=True)


def opening_of(house: Assembled, first_key: str | None = None) -> Callable[[Sequence[str]], str]:
    """The banner of a house that is alive, given the addresses it listens on."""

    def shown(urls: Sequence[str]) -> str:
        found = listing.models(house.now.house.catalogue())
        snapshot, now = house.now.env.snapshot(), house.now.env.now()
        opening = Opening(
            version=VERSION,
            urls=urls,
            providers={name: condition(name, snapshot, now) for name in house.now.env.providers},
            model_count=len(found),
            model=next((model.name for model in found if "completion" in model.capabilities), None),
            data_dir=Path(house.now.config.server.data_dir),
            notices=tuple(house.now.config.notices + notices_of(house.now.config)),
            keys=keys_row(house.now.config, house.kept.keyring),
            first_key=first_key,
        )
        return banner(opening)

    return shown


def notices_of(config: Config) -> tuple[str, ...]:
    """What must be known of a house so configured, beside what its configuration says of itself."""
    opened = config.keys.open_network and not is_loopback(config.server.host)
    noted = ((config.demo, DEMO_NOTICE), (opened, OPEN_NOTICE))
    return tuple(notice for applies, notice in noted if applies)
