"""The configuration as values."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs
from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

from pipeline.config.faults import Path
from pipeline.config.strict import Raw
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelRule, Provider, Rates


def _host(instance: object, attribute: object, value: str) -> None:
    if not value or not all(letter.isalnum() or letter in ".-:_%" for letter in value):
        raise ValueError("must be an address or a host name, such as 127.0.0.1")


def _directory(instance: object, attribute: object, value: str) -> None:
    if not value.strip() or "\0" in value:
        raise ValueError("must be the path of a directory")


def _origins(instance: object, attribute: object, value: tuple[str, ...]) -> None:
    if not all(origin and all("!" <= letter <= "~" for letter in origin) for origin in value):
        raise ValueError('must be web origins without spaces, such as "https://chat.example.org"')


@frozen
class ServerSettings:
    """`[server]`. Times in seconds.

    `certfile` and `keyfile`: PEM files, to serve in TLS. `workers`: processes that share the port.
    `origins`: web origins that may call beside the local ones, with `*` as a wildcard. `health_interval_s`: between two
    health checks of a provider. `models_ttl_s`: how long a provider's list of models counts as fresh.
    """

    host: str = field(default="127.0.0.1", validator=_host)
    port: int = field(default=11434, validator=and_(ge(1), le(65535)))
    environment: Literal["development", "production"] = "development"
    log_level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    debug: bool = False
    reload: bool = False
    data_dir: str = field(default="var", validator=_directory)
    origins: tuple[str, ...] = field(default=(), validator=_origins)
    max_body_bytes: int = field(default=32 * 2**20, validator=and_(ge(1), le(2**40)))
    health_interval_s: float = field(default=60.0, validator=gt(0))
    models_ttl_s: float = field(default=300.0, validator=gt(0))
    certfile: str = ""
    keyfile: str = ""
    workers: int = field(default=1, validator=and_(ge(1), le(256)))


def _file(instance: object, attribute: object, value: str) -> None:
    if "\0" in value or value.endswith("/"):
        raise ValueError("must be the path of a file")


@frozen
class KeySettings:
    """`[keys]`: the keys of clients. `file`: where they are kept, none: `keys.toml` in `data_dir`.

    `pepper`: what they are stirred with, none: it is in a file beside theirs. `open_network`: while no key has been made,
    other machines may call without one.
    """

    file: str = field(default="", validator=_file)
    pepper: Secret = Secret()
    open_network: bool = False


@frozen
class Config:
    """All that is configured. A secret never shows in its repr.

    `operations`: stages of the operations that have their own list. `options`: an instance of each stage's options
    class. `providers`: those in use, in the order they are asked. `models_filter`: patterns for `pipeline.names.permits`.
    `equivalence`: whether a model is also asked for where it has another name. `demo`: whether the built-in demonstration
    provider is shown. `management`: whether model management reaches a local Ollama. `keys`: of clients.
    `notices`: what is worth a word at start. `origins_of`: dotted path -> where its value came from (`default`,
    `proxy.toml:7`, `.env`, `environment`, `command line`).
    """

    server: ServerSettings
    stages: tuple[str, ...]
    operations: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Any]
    providers: tuple[Provider, ...]
    models: Mapping[str, ModelRule]
    fidelity_strict: bool = False
    models_filter: tuple[str, ...] = ()
    multi_provider: bool = True
    proxy_from_env: bool = False
    equivalence: bool = True
    demo: bool = False
    management: bool = False
    keys: KeySettings = KeySettings()
    notices: tuple[str, ...] = ()
    origins_of: Mapping[str, str] = field(factory=dict)


def effective(config: Config) -> dict[str, Any]:
    """The configuration in the shape of proxy.toml, of values TOML can say, with every secret masked."""
    return {
        "models_filter": list(config.models_filter),
        "multi_provider": config.multi_provider,
        "proxy_from_env": config.proxy_from_env,
        "equivalence": config.equivalence,
        "demo": config.demo,
        "server": _plain(config.server),
        "keys": _plain(config.keys),
        "pipeline": {
            "stages": list(config.stages),
            **{operation: {"stages": list(stages)} for operation, stages in config.operations.items()},
        },
        "stage": {name: _given(_plain(options)) for name, options in config.options.items()},
        "providers": {provider.name: _provider(provider) for provider in config.providers},
        "models": {name: _rule(rule) for name, rule in config.models.items()},
        "fidelity": {"strict": config.fidelity_strict},
        "ollama": {"allow_management": config.management},
    }


def _rule(rule: ModelRule) -> dict[str, Any]:
    """A rule as it would be written: lists that nobody filled are left out."""
    return {
        name: value
        for name, value in _given(_plain(rule)).items()
        if value or name not in ("longer_fallback", "policy_fallback")
    }


def leaves(tree: Mapping[str, Any], above: Path = ()) -> list[Path]:
    """The path of each value in a nested dict; a list is one value."""
    return [
        path
        for name, value in tree.items()
        for path in (leaves(value, (*above, name)) if isinstance(value, Mapping) else [(*above, name)])
    ]


def _provider(provider: Provider) -> dict[str, Any]:
    return {
        "kind": provider.kind,
        "base_url": provider.base_url,
        "api_key": provider.secret.masked,
        "priority": provider.priority,
        "weight": provider.weight,
        "timeout": provider.timeout_s,
        "max_concurrent_requests": provider.max_concurrent,
        **_rates(provider.rates),
        "transport": provider.transport,
        **({"proxy": without_password(provider.proxy)} if provider.proxy else {}),
        **{name: _plain(value) for name, value in provider.settings.items()},
        **(
            {"limits": {name: _rates(rates) for name, rates in provider.limits.items()}}
            if provider.limits
            else {}
        ),
    }


def _rates(rates: Rates) -> dict[str, Any]:
    """Rates as they would be written."""
    return _given(
        {
            "requests_per_minute": rates.requests,
            "tokens_per_minute": rates.tokens,
            "burst": rates.burst,
            "max_concurrent_requests": rates.concurrent,
        }
    )


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _given(value) if isinstance(value, Mapping) else value
        for name, value in table.items()
        if value is not None
    }


def _plain(value: Any) -> Any:
    match value:
        case Secret():
            return value.masked
        case Raw():
            raise TypeError("a value was never read")
        case Mapping():
            return {str(name): _plain(item) for name, item in value.items()}
        case tuple() | list():
            return [_plain(item) for item in value]
        case set() | frozenset():
            return sorted(_plain(item) for item in value)
        case _ if attrs.has(type(value)):
            return {option.name: _plain(getattr(value, option.name)) for option in attrs.fields(type(value))}
    return value
