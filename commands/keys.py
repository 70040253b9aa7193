"""keys: make, show, change and revoke the keys of clients."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from attrs import evolve

from adapters.keys_file import new_key, new_secret, table_of
from commands.entrance import key_file
from commands.reading import read_config
from pipeline.config import Config, ConfigError
from pipeline.keys import Key, allowance, allowance_text, duration_s, moment, moment_text
from pipeline.values.callers import CallerLimits, Priority


class Words(click.ParamType[Any, Any]):
    """A text that `read` makes something of; what it refuses is told as click tells it."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name, self.read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What the text means."""
        if not isinstance(value, str):
            return value
        try:
            return None if value.strip().lower() == "none" else self.read(value)
        except ValueError as problem:
            self.fail(str(problem), param, ctx)


def until(text: str) -> float:
    """The moment that `30d` (from now) or a date says."""
    try:
        return time.time() + duration_s(text)
    except ValueError:
        pass
    try:
        return moment(text)
    except ValueError:
        raise ValueError(
            f'must be a time such as 30d or 12h, or a date such as 2027-01-31, not "{text}"'
        ) from None


def count(text: str) -> int:
    """A number of at least 1."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError("must be a whole number of at least 1, or none")
    return int(text)


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them. None at all is no way to say all: a variable of the shell may be empty."""
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not found:
        raise ValueError("must name one at least; none takes the limit away")
    return found


def printable(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """The name of a key: it stands in tables and in the log."""
    if value is not None and (not value.strip() or not value.isprintable()):
        raise click.BadParameter(
            "must have a letter at least, and nothing that cannot be printed", ctx, param
        )
    return value


LIMITS = (
    click.option(
        "--models",
        type=Words("NAMES", names),
        help="Models it may ask for: names or patterns, 'gpt-4o*,fast'. Default: all.",
    ),
    click.option(
        "--providers", type=Words("NAMES", names), help="Providers that may answer it. Default: all."
    ),
    click.option("--rpm", type=Words("NUMBER", count), help="Requests a minute. Default: no limit."),
    click.option(
        "--tpm", type=Words("NUMBER", count), help="Tokens a minute, in and out. Default: no limit."
    ),
    click.option(
        "--max-concurrent", type=Words("NUMBER", count), help="Requests at once. Default: no limit."
    ),
    click.option(
        "--budget",
        type=Words("USD/PERIOD", allowance),
        help="US dollars in each hour, day, week or month: 20/month. Default: no limit.",
    ),
    click.option(
        "--priority",
        type=click.Choice([priority.value for priority in Priority]),
        help="The most urgent class it may wait in. Default: normal.",
    ),
    click.option(
        "--expires",
        type=Words("WHEN", until),
        help="After 30d, 12h, or with a date, 2027-01-31. Default: never.",
    ),
    click.option(
        "--admin/--no-admin",
        default=None,
        help="Whether it may see and manage the gateway itself. Default: no.",
    ),
)


def limited(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the limits of a key."""
    for option in reversed(LIMITS):
        command = option(command)
    return command


@click.group("keys")
@click.option("--config", "path", type=click.Path(dir_okay=False), help="The proxy.toml to read.")
@click.pass_context
def keys_command(context: click.Context, path: str | None) -> None:
    """Make, show, change and revoke the keys of clients.

    A client shows its key as "Authorization: Bearer KEY", "x-api-key", "api-key" or "x-goog-api-key", as its own library
    does with the API key it is given. As long as there are no keys, programs on this machine need none; with the first
    one that you make, every client needs one. What is changed here takes effect within a second, without a new start.

    \b
    python app.py keys create --name web --models 'gpt-4o*' --rpm 60 --budget 20/month
    python app.py keys list
    python app.py keys edit web --budget 40/month
    python app.py keys rotate web --grace 24h
    python app.py keys revoke web
    """
    with telling():
        context.obj = read_config(path, {})


@contextmanager
def telling() -> Iterator[None]:
    """Faults of the configuration or of the file of keys are told all at once, with status 2."""
    try:
        yield
    except ConfigError as error:
        click.echo(error, err=True)
        raise SystemExit(2) from None


def hint(text: str) -> None:
    """A word to the operator, beside what is printed."""
    click.echo(text, err=True)


def named(keys: dict[str, Key], name: str) -> Key:
    """The key of this id or name. Raises where there is none, or more than one."""
    if name in keys:
        return keys[name]
    found = [key for key in keys.values() if key.name == name]
    live = [key for key in found if key.revoked is None]
    if len(live) == 1 or len(found) == 1:
        return (live or found)[0]
    if found:
        ids = ", ".join(key.id for key in found)
        raise click.ClickException(f'several keys are named "{name}": {ids}; say which by its id')
    raise click.ClickException(f'there is no key "{name}"; `keys list` shows those there are')


def changed(key: Key, given: dict[str, Any], ctx: click.Context) -> Key:
    """The key with what was given on the command line; `none` takes a limit away."""
    said = {
        name for name in given if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }
    limits: dict[str, str] = {
        "rpm": "requests",
        "tpm": "tokens",
        "max_concurrent": "concurrent",
        "budget": "budget",
    }
    changes: dict[str, Any] = {
        "limits": evolve(key.limits, **{limits[name]: given[name] for name in said & limits.keys()})
    }
    if "models" in said:
        changes["models"] = given["models"] or ()
    if "providers" in said:
        changes["providers"] = frozenset(name.lower() for name in given["providers"] or ())
    if "priority" in said:
        changes["highest"] = Priority(given["priority"])
    if "expires" in said:
        changes["expires"] = given["expires"]
    if "admin" in said:
        changes["scopes"] = frozenset({"client", "admin"} if given["admin"] else {"client"})
    return evolve(key, **changes)


def told_apart(config: Config, key: Key) -> None:
    """Say what of a key has perhaps no effect."""
    known = {provider.name for provider in config.providers} | ({"demo"} if config.demo else set())
    if unknown := sorted(key.providers - known):
        hint(f"Note: no provider of this configuration is called {', '.join(unknown)}.")
    if "admin" in key.scopes and (key.models or key.providers):
        hint("Note: with a list of models or providers it may not pull, create, copy or delete models.")


@keys_command.command()
@click.option(
    "--name", required=True, callback=printable, help="What people call it: a program, a person, a team."
)
@limited
@click.pass_context
def create(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Make a key and print it, this once.

    It alone goes to standard output: KEY=$(python app.py keys create --name web).
    """
    config: Config = ctx.obj
    file = key_file(config)
    with telling(), file.changing() as keys:
        if any(key.name == name and key.revoked is None for key in keys.values()):
            raise click.ClickException(
                f'there is a key named "{name}" already; choose another name, or rotate it'
            )
        first = all(key.first for key in keys.values())
        like = changed(Key("", "", name, created=time.time()), given, ctx)
        text = new_key(file, keys, like)
    click.echo(text)
    hint("Keep it now: it is shown this once, and no copy is kept.")
    if first:
        hint("It is the first of your keys: from now on every client needs one, on this machine as well.")
    told_apart(config, like)


@keys_command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def list_keys(ctx: click.Context, as_json: bool) -> None:
    """List the keys there are, the newest last. No key itself is ever shown."""
    with telling():
        keys = sorted(key_file(ctx.obj).read().keys.values(), key=lambda key: key.created)
    now = time.time()
    if as_json:
        click.echo(orjson.dumps([shown(key, now) for key in keys], option=orjson.OPT_INDENT_2).decode())
        return
    if not keys:
        hint("There are no keys. Make one: python app.py keys create --name NAME")
        return
    click.echo(row("ID", "NAME", "STATE", "MAY USE", "LIMITS", "EXPIRES"))
    for key in keys:
        may = ",".join((*key.models, *sorted(key.providers))) or "all"
        click.echo(row(key.id, key.name, key.state(now), may, limits_text(key.limits), day(key.expires)))


WIDTHS = (8, 14, 7, 14, 19, 10)


def row(*cells: str) -> str:
    """One line of a table, 80 letters long at most."""
    cut = (
        text if len(text) <= width else f"{text[: width - 1]}…"
        for text, width in zip(cells, WIDTHS, strict=True)
    )
    return " ".join(f"{text:<{width}}" for text, width in zip(cut, WIDTHS, strict=True)).rstrip()


def limits_text(limits: CallerLimits) -> str:
    """The limits of a key in few letters, the dearest first."""
    parts = [
        f"${allowance_text(limits.budget)}" if limits.budget else "",
        f"{limits.requests}rpm" if limits.requests else "",
        f"{limits.tokens}tpm" if limits.tokens else "",
        f"{limits.concurrent} at once" if limits.concurrent else "",
    ]
    return " ".join(filter(None, parts)) or "none"


def day(epoch: float | None) -> str:
    """The day of a moment."""
    return "never" if epoch is None else datetime.fromtimestamp(epoch, UTC).date().isoformat()


def shown(key: Key, now: float) -> dict[str, Any]:
    """All that may be known of a key."""
    hidden = {"hmac", "previous_hmac"}
    told = {name: value for name, value in table_of(key).items() if name not in hidden}
    return {"id": key.id, "state": key.state(now), **told}


@keys_command.command()
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def show(ctx: click.Context, key: str, as_json: bool) -> None:
    """Show all about KEY, an id or a name; never the key itself."""
    with telling():
        found = named(dict(key_file(ctx.obj).read().keys), key)
    told = shown(found, time.time())
    if as_json:
        click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in told.items():
        text = ", ".join(value) if isinstance(value, list) else str(value).lower() if value is True else value
        click.echo(f"{name.replace('_', ' '):<15} {text}")


@keys_command.command()
@click.argument("key")
@click.pass_context
def revoke(ctx: click.Context, key: str) -> None:
    """Refuse KEY, an id or a name, from now on: within a second, and for good."""
    with telling(), key_file(ctx.obj).changing() as keys:
        found = named(keys, key)
        if found.revoked is None:
            keys[found.id] = evolve(found, revoked=time.time(), previous="", previous_until=0.0)
        left = any(other.state(time.time()) == "active" for other in keys.values())
        made = any(not other.first for other in keys.values())
    was = "is" if found.revoked is None else "was already"
    hint(f'The key "{found.name}" ({found.id}) {was} revoked; it is refused within a second.')
    if not left and made:
        hint("No key is left that works: nobody is let in until you make one (keys create).")


@keys_command.command()
@click.argument("key")
@click.option(
    "--grace",
    type=Words("TIME", duration_s),
    default="1h",
    show_default=True,
    help="How long the old one still works: 24h, 7d; 0: not at all.",
)
@click.pass_context
def rotate(ctx: click.Context, key: str, grace: float | None) -> None:
    """Give KEY, an id or a name, a new secret, and print the new key, this once; its limits stay."""
    file, now = key_file(ctx.obj), time.time()
    with telling(), file.changing() as keys:
        found = named(keys, key)
        if found.state(now) != "active":
            raise click.ClickException(
                f'the key "{found.name}" is {found.state(now)}; make a new one (keys create)'
            )
        keys[found.id], text = new_secret(file, found, now, grace or 0.0)
    click.echo(text)
    end = f"works until {moment_text(now + grace)}" if grace else "is refused within a second"
    hint(f"Keep it now: it is shown this once. The one before {end}.")


@keys_command.command()
@click.argument("key")
@click.option("--name", callback=printable, help="Another name.")
@limited
@click.pass_context
def edit(ctx: click.Context, /, key: str, name: str | None, **given: Any) -> None:
    """Change what KEY, an id or a name, may do. What is not named stays as it is; `none` takes a limit away."""
    with telling(), key_file(ctx.obj).changing() as keys:
        found = named(keys, key)
        new = changed(found, given, ctx)
        if name is not None:
            if any(other.name == name and other.id != found.id for other in keys.values()):
                raise click.ClickException(f'there is a key named "{name}" already')
            new = evolve(new, name=name)
        keys[found.id] = new
    hint(
        f'The key "{new.name}" ({new.id}) is changed; it takes effect within a second.'
        if new != found
        else "Nothing is changed."
    )
    told_apart(ctx.obj, new)
