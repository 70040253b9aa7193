"""The layers of a configuration laid over one another, each value with its origin.

command line > environment > `.env` > proxy.toml > defaults
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import define, evolve, field, frozen

from pipeline.config.environment import VARIABLES, EnvFile, near_misses, read_env_file
from pipeline.config.faults import ConfigError, Fault, Path, dotted
from pipeline.config.lines import locate
from pipeline.config.strict import Raw


def no_files(path: str) -> str:
    """Where there are no files to read."""
    raise FileNotFoundError(2, "No such file or directory", path)


@frozen
class Sources:
    """All that is given, as values.

    `toml` and `dotenv` are texts, `toml_name` and `dotenv_name` what faults call them. `overrides`: options of the
    command line by their long names with underscores; None is not given. `folder`: the directory of proxy.toml, where
    its relative paths begin. `read` gives the text of a file that a setting names.
    """

    toml: str = field(default="", repr=False)
    environ: Mapping[str, str] = field(factory=dict, repr=False)
    dotenv: str = field(default="", repr=False)
    overrides: Mapping[str, Any] = field(factory=dict)
    toml_name: str = "proxy.toml"
    dotenv_name: str = ".env"
    folder: str = ""
    read: Callable[[str], str] = no_files


@frozen
class Origin:
    """Where a value came from: `where` for a fault, `shown` for people, `name` of the variable that gave it."""

    where: str
    shown: str
    name: str = ""


Origins: TypeAlias = Mapping[Path, Origin]

# The options of the command line; all others of [server] have their field's own name.
_OPTIONS: Mapping[str, Path] = {"models_filter": ("models_filter",)}


@define
class Layers:
    """What all sources say together: one tree of values, their origins, and what is found wrong or worth a word.

    The one value here that changes while a configuration is read: faults and notices are gathered in it. `proxies`:
    whether the proxies that the environment names are to be used.
    """

    tree: Mapping[str, Any] = field(repr=False)
    origins: Origins
    in_file: Mapping[str, Any] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    toml_name: str
    folder: str
    read: Callable[[str], str]
    faults: list[Fault] = field(factory=list)
    notices: list[str] = field(factory=list)
    proxies: bool = False

    def fault(self, path: Path, text: str) -> None:
        """Something is wrong at `path`."""
        origin = self.origin(path)
        self.faults.append(
            Fault(origin.where, dotted(path), f"{origin.name}: {text}" if origin.name else text)
        )

    def notice(self, text: str) -> None:
        """Something is worth a word."""
        self.notices.append(text)

    def origin(self, path: Path) -> Origin:
        """Where `path` was set; else the nearest place that has to do with it."""
        for length in range(len(path), 0, -1):
            start = path[:length]
            if start in self.origins:
                return self.origins[start]
            if near := next(
                (origin for other, origin in self.origins.items() if other[:length] == start), None
            ):
                return evolve(near, name="")
        return Origin(self.toml_name, self.toml_name)

    def file(self, path: Path, name: str) -> str | None:
        """The text of the file `name` that the setting at `path` names, a fault and None where it cannot be read.

        What proxy.toml names begins at its own directory.
        """
        origin = self.origin(path)
        begin = self.folder if origin.where.startswith(f"{self.toml_name}:") else ""
        try:
            return self.read(os.path.join(begin, name))
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8 text"
            self.fault(path, f"names a file that cannot be read: {reason}")
            return None


def layered(sources: Sources) -> Layers:
    """The layers of `sources` laid over one another. Raises ConfigError at once where proxy.toml is no valid TOML."""
    document = _parsed(sources)
    env_file = read_env_file(sources.dotenv, sources.dotenv_name, sources.environ)
    tree: dict[str, Any] = _copied(document)
    origins: dict[Path, Origin] = {}
    for path, line in locate(sources.toml).items():
        origins[path] = Origin(f"{sources.toml_name}:{line}", f"{sources.toml_name}:{line}")
    for path, value, origin in _settings(sources, env_file):
        if _put(tree, path, value):
            origins = {other: place for other, place in origins.items() if other[: len(path)] != path}
            origins[path] = origin
    variables = {**_given(env_file.values), **_given(sources.environ)}
    layers = Layers(
        tree,
        origins,
        document,
        variables,
        sources.toml_name,
        sources.folder,
        sources.read,
        list(env_file.faults),
    )
    for name, near in near_misses(variables):
        layers.notice(f"{name} is set, but not a variable of this program; did you mean {near}?")
    return layers


def _parsed(sources: Sources) -> Mapping[str, Any]:
    try:
        return tomllib.loads(sources.toml)
    except (ValueError, RecursionError) as problem:
        text = str(problem)
        at = re.search(r" \(at line (\d+), column \d+\)$", text)
        line = int(at[1]) if at else sources.toml.count("\n") + 1
        words = text[: at.start()] if at else text.removesuffix(" (at end of document)")
        raise ConfigError([Fault(f"{sources.toml_name}:{line}", "", f"not valid TOML: {words}")]) from None


def _settings(sources: Sources, env_file: EnvFile) -> Iterator[tuple[Path, Any, Origin]]:
    """What the upper layers set, from the lowest to the highest."""
    below, environ = _given(env_file.values), _given(sources.environ)
    for name, variable in VARIABLES.items():
        if name in below:
            where = f"{sources.dotenv_name}:{env_file.lines[name]}"
            yield variable.path, Raw(below[name]), Origin(where, ".env", name)
    for name, variable in VARIABLES.items():
        if name in environ:
            yield variable.path, Raw(environ[name]), Origin("environment", "environment", name)
    for name, value in sources.overrides.items():
        if value is not None:
            path = _OPTIONS.get(name, ("server", name))
            yield path, Raw(value) if isinstance(value, str) else value, Origin(_flag(name), "command line")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _given(variables: Mapping[str, str]) -> dict[str, str]:
    """Without the empty ones: `NAME=` is how one leaves a variable unset in an .env file."""
    return {name: value for name, value in variables.items() if value.strip()}


def _copied(table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in table.items()}


def _put(tree: dict[str, Any], path: Path, value: Any) -> bool:
    """Set `path` in the tree, unless a value that should be a table is in the way (which is found later)."""
    table: Any = tree
    for name in path[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            return False
    table[path[-1]] = value
    return True
