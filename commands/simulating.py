"""simulate: a fake of the providers."""

from collections.abc import Sequence

import click
from attrs import evolve

from adapters.lifecycle import Lifecycle
from adapters.serving import CannotListen, ServerOptions, serve
from adapters.simulator.core import PROVIDERS as SIMULATED
from adapters.simulator.demo import standard_scenario
from adapters.simulator.scenario import narrowed
from adapters.simulator.server import simulator_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--head-ms", default=0.0, help="Milliseconds until a reply begins.")
@click.option("--delta-ms", default=0.0, help="Milliseconds before each piece of a streamed reply.")
@click.option(
    "--most", default=0, type=click.IntRange(0), help="Calls at once; more are refused. 0: no limit."
)
def simulate(host: str, port: int, head_ms: float, delta_ms: float, most: int) -> None:
    """Serve a fake of the providers, for tests, demonstrations and drills."""
    scenario = evolve(standard_scenario(), head_s=head_ms / 1000, delta_s=delta_ms / 1000)
    scenario = narrowed(scenario, most) if most else scenario
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
