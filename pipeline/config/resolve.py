"""From all that is given to one Config, or to all that is wrong with it."""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path as FilePath
from typing import Any, TypeVar, get_args

import attrs
from attrs import evolve, field, frozen
from attrs.validators import ge, optional

from pipeline.config.faults import ConfigError, Fault, Path, dotted, meant
from pipeline.config.filters import filter_lines, pattern_fault
from pipeline.config.layers import Layers, Sources, layered
from pipeline.config.providers import credential, read_providers
from pipeline.config.settings import Config, KeySettings, ServerSettings, effective, leaves
from pipeline.config.strict import KeySource, Mismatch, structured
from pipeline.config.vendors import VENDORS
from pipeline.values.messages import Request
from pipeline.values.secrets import Secret
from pipeline.values.targets import Capability, ModelRule, Price, Provider
from pipeline.wiring import Catalog, order_faults

T = TypeVar("T")

SHORTEST_PEPPER = 16
STAGES = ("normalize", "route", "limit", "call", "transform", "record")
OPERATIONS: tuple[str, ...] = tuple(request.operation for request in get_args(Request))


@frozen
class Switches:
    """What stands at the top of proxy.toml, before any table. `demo` None: where there is no provider.

    `equivalence`: whether a model is also asked for where it has another name.
    """

    models_filter: str | None = None
    multi_provider: bool = True
    demo: bool | None = None
    proxy_from_env: bool = False
    equivalence: bool = True


@frozen
class Fidelity:
    """`[fidelity]`. `strict`: refuse a request rather than lose something of it."""

    strict: bool = False


@frozen
class OllamaTable:
    """`[ollama]`. `allow_management`: let pull, push, create, copy and delete through to a local Ollama."""

    allow_management: bool = False


@frozen
class KeysTable:
    """`[keys]`, as it may be written."""

    file: str = ""
    pepper: KeySource | None = None
    open_network: bool = False


@frozen
class PriceTable:
    """`price` in `[models.NAME]`: US dollars per million tokens. What is left out is not known."""

    input: float | None = field(default=None, validator=optional(ge(0)))
    output: float | None = field(default=None, validator=optional(ge(0)))
    cached: float | None = field(default=None, validator=optional(ge(0)))


@frozen
class ModelTable:
    """`[models.NAME]`, as it may be written."""

    targets: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    longer_fallback: tuple[str, ...] = ()
    policy_fallback: tuple[str, ...] = ()
    strategy: str | None = None
    capabilities: frozenset[Capability] | None = None
    context_length: int | None = field(default=None, validator=optional(ge(1)))
    embedding_length: int | None = field(default=None, validator=optional(ge(1)))
    family: str | None = None
    parameter_size: str | None = None
    output_limit: int | None = field(default=None, validator=optional(ge(1)))
    price: PriceTable | None = None


@frozen
class StageList:
    """`[pipeline.OPERATION]`."""

    stages: tuple[str, ...]


def unnoticed(file: FilePath) -> None:
    """Where nobody asks which files are read."""


def load(
    path: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any],
    *,
    catalog: Catalog,
    kinds: Collection[str],
    touch: Callable[[FilePath], None] = unnoticed,
) -> Config:
    """The configuration of this start: proxy.toml at `path` (None: here, if there is one), `.env` beside it or here.

    `overrides`: options of the command line by their long names with underscores. `catalog`: the stages there are;
    `kinds`: the providers' kinds that can be called. `touch` is told of each file just before it is read, and of those
    that would be read if they were there. Raises ConfigError with all faults.
    """
    file = FilePath("proxy.toml" if path is None else path)
    beside, here = file.parent / ".env", FilePath(".env")
    for place in (file, beside, here):
        touch(place)
    dotenv = next((place for place in (beside, here) if place.is_file()), None)

    def read(name: str) -> str:
        named = FilePath(name).expanduser()
        touch(named)
        return named.read_text("utf-8-sig")

    sources = Sources(
        toml=_text(file) if path is not None or file.exists() else "",
        environ=environ,
        dotenv=_text(dotenv) if dotenv else "",
        overrides=overrides,
        toml_name=file.name,
        folder=str(file.parent),
        read=read,
    )
    return resolve(sources, catalog=catalog, kinds=kinds)


def _text(file: FilePath) -> str:
    try:
        return file.read_text("utf-8-sig")
    except OSError as problem:
        raise ConfigError([Fault(str(file), "", f"cannot be read: {problem.strerror}")]) from None
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise ConfigError([Fault(f"{file.name}:{line}", "", "must be UTF-8 text")]) from None


def resolve(sources: Sources, *, catalog: Catalog, kinds: Collection[str]) -> Config:
    """The Config that `sources` give. Raises ConfigError with all faults."""
    layers = layered(sources)
    _refuse_unknown_tables(layers)
    switches = _switches(layers)
    layers.proxies = switches.proxy_from_env
    server = _section(layers, ("server",), ServerSettings)
    providers = read_providers(layers, kinds, server)
    demo = not providers if switches.demo is None else switches.demo
    config = Config(
        server=server,
        stages=_stages(layers, catalog),
        operations=_operations(layers, catalog),
        options=_options(layers, catalog),
        providers=providers,
        models=_models(layers, providers, demo),
        fidelity_strict=_section(layers, ("fidelity",), Fidelity).strict,
        models_filter=_models_filter(layers, switches),
        multi_provider=switches.multi_provider,
        proxy_from_env=switches.proxy_from_env,
        equivalence=switches.equivalence,
        demo=demo,
        management=_section(layers, ("ollama",), OllamaTable).allow_management,
        keys=_keys(layers),
    )
    if layers.faults:
        raise ConfigError(sorted(layers.faults, key=lambda fault: _place(fault, sources.toml_name)))
    if not switches.multi_provider:
        config = _single(config)
    if config.management and all(provider.kind != "ollama" for provider in config.providers):
        layers.notice("ollama.allow_management is on, but no Ollama is in use: there is nothing to manage")
    return evolve(config, notices=tuple(layers.notices), origins_of=_origins_of(config, layers))


def _place(fault: Fault, toml_name: str) -> tuple[int, str, int]:
    """The order in which faults are told: proxy.toml, other files, the rest; each file from top to bottom."""
    file, _, line = fault.where.rpartition(":")
    if not line.isdigit():
        return (2, "", 0)
    return (0 if file == toml_name else 1, file, int(line))


_TABLES = ("server", "keys", "pipeline", "stage", "providers", "models", "fidelity", "ollama")


def _refuse_unknown_tables(layers: Layers) -> None:
    known = {*_TABLES, *(switch.name for switch in attrs.fields(Switches))}
    for name in layers.tree:
        if name not in known:
            layers.fault((name,), f"unknown key{meant(name, known)}")


def _section(layers: Layers, path: Path, wanted: type[T]) -> T:
    """The table at `path` as a `wanted`; its defaults, and the faults told, where it is wrong."""
    found: Any = layers.tree
    for name in path:
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return _read(layers, path, found, wanted) or wanted()


def _read(layers: Layers, path: Path, value: Any, wanted: type[T]) -> T | None:
    try:
        return structured(value, wanted)
    except Mismatch as mismatch:
        for below, text in mismatch.found:
            layers.fault((*path, *below), text)
    return None


def _keys(layers: Layers) -> KeySettings:
    table = _section(layers, ("keys",), KeysTable)
    path: Path = ("keys", "pepper")
    pepper = (credential(table.pepper, path, layers) if table.pepper is not None else None) or ""
    if pepper and len(pepper.strip()) < SHORTEST_PEPPER:
        layers.fault(path, f"must have {SHORTEST_PEPPER} characters at least")
    try:
        return KeySettings(table.file, Secret(pepper.strip()), table.open_network)
    except ValueError as problem:
        layers.fault(("keys", "file"), str(problem))
        return KeySettings()


def _table(layers: Layers, name: str) -> Mapping[str, Any]:
    """A table of tables, empty and a fault told where it is none."""
    table = layers.tree.get(name, {})
    if isinstance(table, Mapping):
        return table
    layers.fault((name,), "must be a table")
    return {}


def _switches(layers: Layers) -> Switches:
    names = [switch.name for switch in attrs.fields(Switches)]
    given = {name: layers.tree[name] for name in names if name in layers.tree}
    return _read(layers, (), given, Switches) or Switches()


def _stages(layers: Layers, catalog: Catalog) -> tuple[str, ...]:
    table = _table(layers, "pipeline")
    for name in table:
        if name not in ("stages", *OPERATIONS):
            layers.fault(("pipeline", name), f"unknown key{meant(name, ('stages', *OPERATIONS))}")
    if "stages" not in table:
        return _ordered(layers, ("pipeline",), STAGES, catalog)
    listed = _read(layers, ("pipeline",), {"stages": table["stages"]}, StageList)
    return _ordered(layers, ("pipeline",), listed.stages, catalog) if listed else ()


def _operations(layers: Layers, catalog: Catalog) -> dict[str, tuple[str, ...]]:
    table = layers.tree.get("pipeline")
    found = {}
    for name in OPERATIONS:
        if isinstance(table, Mapping) and name in table:
            listed = _read(layers, ("pipeline", name), table[name], StageList)
            if listed:
                found[name] = _ordered(layers, ("pipeline", name), listed.stages, catalog)
    return found


def _ordered(layers: Layers, above: Path, names: tuple[str, ...], catalog: Catalog) -> tuple[str, ...]:
    """The same names, with what is wrong with their order told."""
    path: Path = (*above, "stages")
    for fault in order_faults(names, catalog, dotted(path)):
        where, _, text = fault.partition(": ")
        index = re.search(r"\[(\d+)\]$", where)
        layers.fault((*path, int(index[1])) if index else path, text)
    return names


def _options(layers: Layers, catalog: Catalog) -> dict[str, Any]:
    """The options of each stage of the catalogue."""
    tables = _table(layers, "stage")
    in_file = layers.in_file.get("stage", {})
    for name in tables:
        if name not in catalog and name in in_file:
            layers.fault(("stage", name), f"no stage has this name{meant(name, catalog)}")
        elif name not in catalog:
            _no_effect(layers, ("stage", name))
    found: dict[str, Any] = {}
    for name, entry in catalog.items():
        table = tables.get(name, {})
        options = {option.name for option in attrs.fields(entry.options)}
        if isinstance(table, Mapping):
            for key in [
                key for key in table if key not in options and layers.origin(("stage", name, key)).name
            ]:
                _no_effect(layers, ("stage", name, key))
                table = {other: value for other, value in table.items() if other != key}
        found[name] = _read(layers, ("stage", name), table, entry.options)
    return found


def _no_effect(layers: Layers, path: Path) -> None:
    """A variable for an option that the stages of this version do not have."""
    for other, origin in layers.origins.items():
        if other[: len(path)] == path and origin.name:
            layers.notice(f"{origin.name} is set, but has no effect in this version")


def _models(layers: Layers, providers: tuple[Provider, ...], demo: bool) -> dict[str, ModelRule]:
    used = {provider.name for provider in providers} | ({"demo"} if demo else set())
    found = {}
    for name, raw in _table(layers, "models").items():
        table = _read(layers, ("models", name), raw, ModelTable)
        if table is None:
            continue
        for index, target in enumerate(table.targets):
            _check_target(layers, ("models", name, "targets", index), target, used)
        for field_name in ("fallback", "longer_fallback", "policy_fallback"):
            for index, other in enumerate(getattr(table, field_name)):
                if not other or other == name:
                    layers.fault(("models", name, field_name, index), "must be the name of another model")
        price = None if table.price is None else Price(**attrs.asdict(table.price))
        found[name] = ModelRule(**{**attrs.asdict(table, recurse=False), "price": price})
    return found


def _check_target(layers: Layers, path: Path, target: str, used: set[str]) -> None:
    provider, slash, model = target.partition("/")
    configured = layers.tree.get("providers", {})
    if not (provider and slash and model):
        layers.fault(path, f'must be "provider/its own model name", not "{target}"')
    elif provider in used:
        return
    elif isinstance(configured, Mapping) and provider in configured:
        layers.notice(f'{layers.origin(path).where}: target "{target}": {provider} is not in use')
    else:
        guess = meant(provider, used | {name for name in configured if isinstance(name, str)})
        variable = (
            f"; set {provider.upper()}_API_KEY or [providers.{provider}]" if provider in VENDORS else guess
        )
        layers.fault(path, f'no provider "{provider}" is configured{variable}')


def _models_filter(layers: Layers, switches: Switches) -> tuple[str, ...]:
    name = switches.models_filter
    text = layers.file(("models_filter",), name) if name else None
    lines = filter_lines(text or "")
    for number, pattern in lines:
        if fault := pattern_fault(pattern):
            layers.faults.append(Fault(f"{FilePath(name or '').name}:{number}", "models_filter", fault))
    return tuple(pattern for _, pattern in lines)


# What follows from `multi_provider = false`: nothing may spread or move a request.
_ALONE: Mapping[Path, Any] = {
    ("stage", "route", "load_balancing"): False,
    ("stage", "call", "fallback"): "none",
}


def _single(config: Config) -> Config:
    """The first provider alone."""
    options = dict(config.options)
    for (_, stage, option), value in _ALONE.items():
        if hasattr(options.get(str(stage)), str(option)):
            options[str(stage)] = evolve(options[str(stage)], **{str(option): value})
    return evolve(config, providers=config.providers[:1], options=options)


def _origins_of(config: Config, layers: Layers) -> dict[str, str]:
    decided = {} if config.multi_provider else dict.fromkeys(_ALONE, layers.origins[("multi_provider",)])
    origins = {**layers.origins, **decided}
    return {
        dotted(path): origins[path].shown if path in origins else "default"
        for path in leaves(effective(config))
    }
