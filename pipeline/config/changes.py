"""What is different between two configurations, and what of it has to wait for the next start."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from attrs import evolve, frozen

from pipeline.config.faults import Path, dotted
from pipeline.config.settings import Config, KeySettings, ServerSettings, effective
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider

T = TypeVar("T", ServerSettings, KeySettings)

# What a process cannot change about itself: where it listens, who shares the port, where its data is, and what it is for.
LASTING = ("host", "port", "workers", "certfile", "keyfile", "data_dir", "environment", "reload")
# Tables of tables, by their names.
NAMED = ("providers", "models")
# A ring of keys belongs to its file.
LASTING_OF_KEYS = ("file", "pepper")


@frozen
class Settled:
    """A configuration as it can be in force now, and the settings of it that need a restart, by their dotted paths."""

    config: Config
    needs_restart: tuple[str, ...] = ()


def settled(wanted: Config, begun: Config) -> Settled:
    """`wanted`, with what only a start can change as it was when the process had `begun`."""
    server, later = _held(begun.server, wanted.server, LASTING)
    keys, later_too = _held(begun.keys, wanted.keys, LASTING_OF_KEYS)
    waiting = (*(f"server.{name}" for name in later), *(f"keys.{name}" for name in later_too))
    return Settled(evolve(wanted, server=server, keys=keys), waiting)


def _held(begun: T, wanted: T, names: tuple[str, ...]) -> tuple[T, list[str]]:
    """`wanted` with `names` as in `begun`, and those that it would have otherwise."""
    kept: dict[str, Any] = {name: getattr(begun, name) for name in names}
    held: T = evolve(wanted, **kept)
    return held, [name for name, value in kept.items() if getattr(wanted, name) != value]


def same(one: Config, other: Config) -> bool:
    """Whether two configurations say the same, wherever each value comes from."""
    return evolve(one, notices=(), origins_of={}) == evolve(other, notices=(), origins_of={})


def changes(before: Config, after: Config) -> tuple[str, ...]:
    """The dotted paths of all that `after` says otherwise, more or not any more. Secrets are compared, and not told."""
    one, other = effective(before), effective(after)
    values, others = dict(_values(one)), dict(_values(other))
    paths = {path for path in {*values, *others} if values.get(path, _NONE) != others.get(path, _NONE)}
    paths |= set(_secret_changes(before, after))
    return tuple(sorted({dotted(_told(path, one, other)) for path in paths}))


def _told(path: Path, one: Mapping[str, Any], other: Mapping[str, Any]) -> Path:
    """`path`, or the whole provider or model it is of, where that is there only before or only after."""
    table, name = path[0], path[1] if len(path) > 1 else None
    whole = table in NAMED and (name in one[table]) != (name in other[table])
    return path[:2] if whole else path


# What a setting is that is not there: equal to no value.
_NONE = object()


def _values(tree: Mapping[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each value of a nested dict with its path."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _values(value, (*above, name))
        else:
            yield (*above, name), value


def _secret_changes(before: Config, after: Config) -> Iterator[Path]:
    """The secrets that are others, though they may look alike where they are masked."""
    old = {provider.name: _secrets(provider) for provider in before.providers}
    for provider in after.providers:
        for name, secret in _secrets(provider).items():
            if old.get(provider.name, {}).get(name, secret) != secret:
                yield ("providers", provider.name, name)
    if before.keys.pepper != after.keys.pepper:
        yield ("keys", "pepper")


def _secrets(provider: Provider) -> Mapping[str, object]:
    """What of a provider is masked, and the way out, whose password is not shown."""
    own = {name: value for name, value in provider.settings.items() if isinstance(value, Secret)}
    return {"api_key": provider.secret, "proxy": provider.proxy, **own}
