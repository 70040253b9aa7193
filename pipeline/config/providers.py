"""From the tables of `[providers]` to Providers in use."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, optional

from pipeline.config.faults import Path, meant
from pipeline.config.layers import Layers
from pipeline.config.settings import ServerSettings
from pipeline.config.strict import NO, KeySource, Mismatch, Raw, structured
from pipeline.config.vendors import OTHER, VENDORS, Vendor
from pipeline.values.secrets import Secret
from pipeline.values.targets import NO_RATES, Provider, Rates

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]+", re.ASCII)
_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?|v1|preview|latest", re.ASCII)
_DEPLOYMENT = re.compile(r"([^=]*[^=\s][^=]*=\s*)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", re.ASCII)
_KEYS = ("api_key", "access_key", "secret_key", "session_token")


@frozen
class LimitsTable:
    """`[providers.NAME.limits.MODEL]`: what one model takes. `burst`: requests that may go at once."""

    requests_per_minute: float | None = field(default=None, validator=optional(gt(0)))
    tokens_per_minute: float | None = field(default=None, validator=optional(gt(0)))
    burst: int | None = field(default=None, validator=optional(ge(1)))
    max_concurrent_requests: int | None = field(default=None, validator=optional(ge(1)))


@frozen
class ProviderTable:
    """`[providers.NAME]`, as it may be written."""

    kind: str | None = None
    enabled: bool | None = None
    api_key: KeySource | None = None
    base_url: str | None = None
    priority: int | None = field(default=None, validator=optional(ge(0)))
    timeout: float = field(default=300.0, validator=gt(0))
    weight: float = field(default=1.0, validator=and_(gt(0), le(1000)))
    max_concurrent_requests: int = field(default=100, validator=ge(1))
    requests_per_minute: float | None = field(default=None, validator=optional(gt(0)))
    tokens_per_minute: float | None = field(default=None, validator=optional(gt(0)))
    burst: int | None = field(default=None, validator=optional(ge(1)))
    limits: Mapping[str, LimitsTable] = field(factory=dict)
    transport: Literal["http", "httpx"] = "http"
    proxy: str | None = None
    api_version: str | None = None
    deployments: tuple[str, ...] = ()
    referer: str | None = None
    title: str | None = None
    access_key: KeySource | None = None
    secret_key: KeySource | None = None
    session_token: KeySource | None = None
    region: str | None = None
    arns: tuple[str, ...] = ()


@frozen
class Account:
    """One table on its way to a Provider: its name and kind, what its kind's accounts have in common, what it says."""

    name: str
    kind: str
    vendor: Vendor
    table: ProviderTable

    def path(self, key: str) -> Path:
        """Of one of its settings."""
        return ("providers", self.name, key)


def read_providers(layers: Layers, kinds: Collection[str], server: ServerSettings) -> tuple[Provider, ...]:
    """The providers in use, by priority and name."""
    tables = layers.tree.get("providers", {})
    if not isinstance(tables, Mapping):
        layers.fault(("providers",), "must be a table: [providers.NAME]")
        return ()
    found = [_provider(name, table, layers, kinds) for name, table in tables.items()]
    providers = sorted(filter(None, found), key=lambda provider: (provider.priority, provider.name))
    for provider in providers:
        _refuse_loop(provider, server, layers)
    return tuple(providers)


def _provider(name: str, raw: Any, layers: Layers, kinds: Collection[str]) -> Provider | None:
    account = _account(name, raw, layers, kinds)
    if account is None or account.table.enabled is False:
        return None
    before = len(layers.faults)
    _refuse_strangers(account, layers)
    _refuse_misspelt(account, layers)
    keys = {key: _secret(account, key, layers) for key in _KEYS}
    base_url = _base_url(account, layers)
    if len(layers.faults) > before or not _used(account, keys, layers):
        return None
    if base_url is None:
        layers.fault(account.path("base_url"), _no_address(account))
        return None
    if bool(keys["access_key"]) != bool(keys["secret_key"]):
        layers.fault(
            account.path("secret_key"), "access_key and secret_key go together; one of them is not set"
        )
        return None
    return _made(account, keys, base_url, layers)


def _account(name: str, raw: Any, layers: Layers, kinds: Collection[str]) -> Account | None:
    path: Path = ("providers", name)
    if name == "demo":
        layers.fault(path, '"demo" is the name of the built-in demonstration; choose another')
    elif not _NAME.fullmatch(name):
        layers.fault(path, "must be a name of small letters, digits, dots, hyphens and underscores")
    elif isinstance(raw, Mapping) and (kind := _kind(name, raw, layers, kinds)):
        try:
            return Account(name, kind, VENDORS.get(kind, OTHER), structured(raw, ProviderTable))
        except Mismatch as mismatch:
            for below, text in mismatch.found:
                layers.fault((*path, *below), text)
    elif not isinstance(raw, Mapping):
        layers.fault(path, f"must be a table: [providers.{name}]")
    return None


def _kind(name: str, raw: Mapping[str, Any], layers: Layers, kinds: Collection[str]) -> str | None:
    """The kind of the account `name`; None where it has none or cannot be used, which is told."""
    path: Path = ("providers", name)
    known = {*VENDORS, *kinds}
    kind = raw.get("kind", name)
    if not isinstance(kind, str):
        layers.fault((*path, "kind"), f"must be a text in quotes{meant('', known)}")
    elif name in known and kind != name:
        layers.fault(
            (*path, "kind"), f'"{name}" is the name of a kind itself; give this account another name'
        )
    elif kind not in known:
        text = f'no kind of provider is named "{kind}"{meant(kind, known)}'
        if "kind" in raw:
            layers.fault((*path, "kind"), text)
        else:
            layers.fault(path, f'{text} (an account with another name says which: kind = "openai")')
    elif kind not in kinds:
        _refuse_kind(name, kind, raw, layers, kinds)
    else:
        return kind
    return None


def _refuse_kind(
    name: str, kind: str, raw: Mapping[str, Any], layers: Layers, kinds: Collection[str]
) -> None:
    """A kind this build has no codec for: a fault in proxy.toml, a notice where only the environment has it."""
    if _off(raw.get("enabled")):
        return
    in_file = layers.in_file.get("providers")
    if isinstance(in_file, Mapping) and name in in_file:
        text = f'this version cannot call "{kind}" yet; it can call {", ".join(sorted(kinds))}'
        layers.fault(("providers", name, "kind") if "kind" in raw else ("providers", name), text)
    elif any(key in raw for key in ("enabled", "base_url", *_KEYS)):
        layers.notice(f"{name} is configured, but this version cannot call {kind} yet: left out")


def _off(enabled: Any) -> bool:
    return enabled is False or (isinstance(enabled, Raw) and enabled.text.strip().lower() in NO)


def _refuse_strangers(account: Account, layers: Layers) -> None:
    for kind, vendor in VENDORS.items():
        for key in sorted(vendor.own - account.vendor.own):
            if getattr(account.table, key):
                layers.fault(
                    account.path(key), f'belongs to providers of kind "{kind}"; this one is "{account.kind}"'
                )


def _refuse_misspelt(account: Account, layers: Layers) -> None:
    """What would only show as a model that is not there."""
    version = account.table.api_version
    if version and not _VERSION.fullmatch(version):
        layers.fault(
            account.path("api_version"), "must be a version such as 2024-10-21, 2025-04-01-preview or v1"
        )
    if not all(_DEPLOYMENT.fullmatch(named.strip()) for named in account.table.deployments):
        layers.fault(
            account.path("deployments"),
            "must be deployment, or model=deployment; a deployment is of letters, digits, - _ .",
        )


def _secret(account: Account, key: str, layers: Layers) -> Secret:
    """The credential that `key` gives or names; empty where there is none. None of it is ever repeated in a message."""
    source: KeySource | None = getattr(account.table, key)
    path = account.path(key)
    wanted = account.table.enabled is None
    text = None if source is None else credential(source, path, layers, wanted, f"{account.name}: ")
    if text is None:
        return Secret()
    text = text.strip()
    if not all("!" <= letter <= "~" for letter in text):
        layers.fault(path, "must be visible ASCII in one line, without spaces")
        return Secret()
    return Secret(text)


def credential(
    source: KeySource, path: Path, layers: Layers, wanted: bool = True, about: str = ""
) -> str | None:
    """What a setting gives or names as a secret; None where it is not there. `wanted`: that is worth a word."""
    if source.env is not None:
        if not _VARIABLE.fullmatch(source.env):
            layers.fault((*path, "env"), "must be the name of an environment variable")
        elif source.env not in layers.variables and wanted:
            layers.notice(f"{layers.origin(path).where}: {about}the variable its {path[-1]} names is not set")
        return layers.variables.get(source.env)
    if source.file is not None:
        return layers.file(path, source.file)
    origin = layers.origin(path)
    if source.clear and origin.where.startswith(f"{layers.toml_name}:"):
        layers.notice(
            f'{origin.where}: a key in clear; rather write {{ env = "NAME" }} or {{ file = "path" }} there'
        )
    return source.clear.value


def _base_url(account: Account, layers: Layers) -> str | None:
    given = account.table.base_url
    region = _region(account, layers)
    if given is None and region:
        given = f"https://bedrock-runtime.{region}.amazonaws.com"
    if given is None:
        return account.vendor.base_url
    if fault := url_fault(given.strip()):
        layers.fault(account.path("base_url"), fault)
        return None
    return given.strip().rstrip("/")


def _region(account: Account, layers: Layers) -> str | None:
    """The region of an account at AWS: its own, else the one that all programs of AWS use."""
    if account.kind != "aws_bedrock":
        return None
    common = (layers.variables.get(name) for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    region = account.table.region or next(filter(None, common), None)
    if region is not None and not _REGION.fullmatch(region):
        layers.fault(account.path("region"), "must be the name of a region, such as us-east-1")
        return None
    return region


def url_fault(url: str) -> str | None:
    """Why `url` cannot be a base URL; None if it can. The URL itself is not repeated: it may hold a password."""
    if not all("!" <= letter <= "~" and letter not in '\\"<>^`{|}' for letter in url):
        return "must be an ASCII URL without spaces"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL; write it as https://host:port/path"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if "@" in parts.netloc:
        return "must not hold a user or password; the key goes into api_key"
    if not parts.hostname or port == 0:
        return "must name a host, as in https://host:port/path"
    if "?" in url or "#" in url:
        return 'must end with the path, without "?" or "#"'
    return None


def _no_address(account: Account) -> str:
    if account.kind == "aws_bedrock":
        return "is not set, nor is a region; set AWS_BEDROCK_REGION or region"
    if account.kind == "azure":
        return "is not set; set AZURE_BASE_URL or base_url to https://RESOURCE.openai.azure.com"
    return f"is not set, and providers of kind {account.kind} have no common address"


def _used(account: Account, keys: Mapping[str, Secret], layers: Layers) -> bool:
    """Whether the account is in use: it has a key, or it is Ollama with an address, or it is said to be enabled."""
    table = account.table
    if any(keys.values()) or (account.kind == "ollama" and table.base_url):
        return True
    if table.enabled:
        if account.vendor.needs_key and table.base_url is None:
            layers.fault(
                account.path("api_key"), f"is not set; set {_variable(account)}api_key, or enabled = false"
            )
        return not account.vendor.needs_key or table.base_url is not None
    if table.base_url is not None and table.api_key is None:
        layers.notice(
            f"{account.name} has an address but no key: not used; if it needs none, set enabled to true"
        )
    return False


def _variable(account: Account) -> str:
    return f"{account.name.upper()}_API_KEY or " if account.name in VENDORS else ""


def _made(account: Account, keys: Mapping[str, Secret], base_url: str, layers: Layers) -> Provider:
    table = account.table
    secret = keys["secret_key"] or keys["api_key"]
    parts = urlsplit(base_url)
    if secret and parts.scheme == "http" and not _loopback(parts.hostname or ""):
        layers.notice(f"{account.name}: its key travels unencrypted to {parts.hostname}; use https there")
    if "deployments" in account.vendor.own and not table.deployments:
        setting = "AZURE_DEPLOYMENTS or deployments" if account.name in VENDORS else "deployments"
        layers.notice(f"{account.name}: no deployments are named, so it lists no models; set {setting}")
    own = {
        "api_version": table.api_version,
        "deployments": table.deployments,
        "referer": table.referer,
        "title": table.title,
        "access_key": keys["access_key"],
        "session_token": keys["session_token"],
        "region": _region(account, layers),
        "arns": table.arns,
    }
    rates = {
        name: _rates(limits, (*account.path("limits"), name), layers) for name, limits in table.limits.items()
    }
    return Provider(
        account.name,
        account.kind,
        base_url,
        secret=secret,
        timeout_s=table.timeout,
        priority=account.vendor.priority if table.priority is None else table.priority,
        weight=table.weight,
        max_concurrent=table.max_concurrent_requests,
        transport=table.transport,
        proxy=_way_out(account, base_url, layers),
        settings={name: value for name, value in own.items() if value},
        rates=_rates(table, account.path("burst")[:-1], layers),
        limits=rates,
    )


def _rates(table: ProviderTable | LimitsTable, path: Path, layers: Layers) -> Rates:
    """What a table lets through. The permits of an account stand beside its rates, those of a model among them."""
    if table.burst is not None and table.requests_per_minute is None:
        layers.fault((*path, "burst"), "is a part of requests_per_minute, which is not set")
    concurrent = table.max_concurrent_requests if isinstance(table, LimitsTable) else None
    rates = Rates(table.requests_per_minute, table.tokens_per_minute, table.burst, concurrent)
    return NO_RATES if rates == NO_RATES else rates


def _way_out(account: Account, base_url: str, layers: Layers) -> str | None:
    """The proxy to be used: the account's own, else the environment's where PROXY_FROM_ENV allows it."""
    proxy, path = account.table.proxy, account.path("proxy")
    if proxy is None and layers.proxies:
        proxy, path = proxy_for(base_url, layers.variables), ("proxy_from_env",)
    if proxy is not None and (urlsplit(proxy).scheme != "http" or not urlsplit(proxy).hostname):
        layers.fault(
            path, "the proxy must be http://host:port, with user:password@ before the host if need be"
        )
    return proxy


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy that the usual variables (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case) name for `url`."""
    lowered = {name.lower(): value for name, value in environ.items()}
    parts = urlsplit(url)
    host = parts.hostname or ""
    for entry in lowered.get("no_proxy", "").split(","):
        name = entry.strip().lstrip("*").lstrip(".").partition(":")[0].lower()
        if entry.strip() == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return None
    return lowered.get(f"{parts.scheme}_proxy") or None


def _refuse_loop(provider: Provider, server: ServerSettings, layers: Layers) -> None:
    """A provider at our own address would have us call ourselves: the usual addresses of us and of Ollama are equal."""
    parts = urlsplit(provider.base_url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    if port != server.port or not _same_host(server.host, parts.hostname or ""):
        return
    other = "PORT=11435" if server.port == 11434 else f"PORT={server.port % 65535 + 1}"
    setting = (
        f"{provider.name.upper()}_BASE_URL"
        if provider.name in VENDORS
        else f"providers.{provider.name}.base_url"
    )
    layers.fault(
        ("providers", provider.name, "base_url"),
        f"{provider.base_url} is the address this proxy itself listens on, so it would call itself. "
        f"Move the proxy ({other}), or let {setting} name where {provider.name} really answers",
    )


def _same_host(ours: str, theirs: str) -> bool:
    """Whether a call to the host `theirs` arrives where we listen."""
    if ours.lower() == theirs.lower():
        return True
    return any(_meet(one, other) for one in _addresses(ours) for other in _addresses(theirs))


def _meet(one: Any, other: Any) -> bool:
    near = [address.is_loopback or address.is_unspecified for address in (one, other)]
    return one == other or (all(near) and (one.is_unspecified or other.is_unspecified))


def _addresses(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if host.lower().rstrip(".") == "localhost" or host.lower().endswith(".localhost"):
        return [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    return [getattr(address, "ipv4_mapped", None) or address]


def _loopback(host: str) -> bool:
    return any(address.is_loopback for address in _addresses(host))
