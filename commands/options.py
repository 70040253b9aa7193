"""What every command takes: where the configuration comes from, and logging as it says."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from adapters.logs import LogOptions, logging_to, to_descriptor
from adapters.reload import Read
from commands.reading import read_config
from pipeline.config import Config, ConfigError
from pipeline.config.resolve import unnoticed
from pipeline.values.secrets import Secret


@contextmanager
def logs(config: Config) -> Iterator[Callable[[Config], None]]:
    """Logging for the block: JSON lines in production, readable ones otherwise, to standard error.

    Gives what is to be told of each configuration that comes into force within the block.
    """
    options = LogOptions(
        level=level_of(config),
        as_json=config.server.environment == "production",
        colour=sys.stderr.isatty(),
    )
    with logging_to(to_descriptor(sys.stderr.fileno()), options, secrets_of(config)) as handler:
        yield lambda newer: handler.change(level_of(newer), secrets_of(newer))


def level_of(config: Config) -> str:
    """The lowest level that is logged."""
    return "DEBUG" if config.server.debug else config.server.log_level


def secrets_of(config: Config) -> list[Secret]:
    """What no line may show."""
    return [
        secret
        for provider in config.providers
        for secret in (provider.secret, *provider.settings.values())
        if isinstance(secret, Secret)
    ]


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
    return _command(command, lambda read, own: command(read(unnoticed), **own))


def configured_anew(command: Callable[..., None]) -> Callable[..., None]:
    """A command that is given the Config, and what reads it again. Faults are told as by `configured`."""
    return _command(command, lambda read, own: command(read(unnoticed), read, **own))


def _command(
    command: Callable[..., None], run: Callable[[Read, dict[str, Any]], None]
) -> Callable[..., None]:
    @click.pass_context
    def given(context: click.Context, /, path: str | None, **options: Any) -> None:
        own = {name: options.pop(name) for name in list(options) if name not in SETTINGS}
        overrides = {name: value for name, value in options.items() if value is not None}
        try:
            run(partial(read_config, path, overrides), own)
        except ConfigError as error:
            click.echo(error, err=True)
            context.exit(2)

    given.__doc__ = command.__doc__
    for option in reversed(CONFIG_OPTIONS):
        given = option(given)
    return given
