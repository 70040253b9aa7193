"""What every command takes: where the configuration comes from, and logging as it says."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from adapters.logs import LogOptions, logging_to, to_descriptor
from commands.assembly import read_config
from pipeline.config import Config, ConfigError


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
