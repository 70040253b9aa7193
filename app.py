"""The application for a server, and the command line.

python app.py [serve]           hypercorn -k trio app:app
"""

from functools import partial

import click
from attrs import define, field

from adapters import hosting
from adapters.asgi import Receive, Scope, Send
from commands.arrangement import VERSION
from commands.assembly import Assembled, assembled, with_lifespan
from commands.entrance import first_key_lines, first_key_of
from commands.keys import keys_command
from commands.options import logs
from commands.reading import read_config
from commands.serving import serve_command
from commands.showing import check, explain_command, models
from commands.simulating import simulate
from pipeline.config import ConfigError
from pipeline.config.resolve import unnoticed


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
            read = partial(read_config, None, {})
            config = read(unnoticed)
            first = first_key_of(config)
            house = assembled(config, read)
        except ConfigError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        if first is not None:
            click.echo(first_key_lines(first), err=True)
        self._house = house
        with logs(config) as heard:
            house.heard = heard
            await with_lifespan(house.application, house.living)(scope, receive, send)


hosting.install()
app = Lazy()


class Serving(click.Group):
    """Commands, of which `serve` need not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `serve` before options that no command was named for."""
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["serve", *args])


@click.group(cls=Serving)
def main() -> None:
    """A gateway for programs that speak the Ollama, OpenAI or Anthropic API. Without a command it serves."""


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(VERSION)


for command in (serve_command, check, models, explain_command, keys_command, simulate):
    main.add_command(command)


if __name__ == "__main__":
    main()
