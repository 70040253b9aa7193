"""The configuration: layers, places of faults, strictness, and secrets that never show."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import evolve, field, fields, frozen
from attrs.validators import ge, gt, optional
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from pipeline.config import (
    ENVIRONMENT,
    VENDORS,
    Config,
    ConfigError,
    ServerSettings,
    Sources,
    effective,
    load,
    resolve,
)
from pipeline.config.environment import VARIABLES
from pipeline.config.faults import dotted
from pipeline.config.lines import locate
from pipeline.config.providers import LimitsTable, ProviderTable
from pipeline.config.resolve import OPERATIONS, Fidelity, KeysTable, ModelTable, OllamaTable, Switches
from pipeline.config.settings import leaves
from pipeline.values.secrets import Secret
from pipeline.values.targets import Price, Rates
from pipeline.wiring import Entry
from stages import CATALOG as REAL_CATALOG

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "sk-test-0123456789abcdefghij"


@frozen
class RouteOptions:
    strategy: Literal["capability_based", "priority"] = "capability_based"
    weights: Mapping[str, float] = field(factory=dict)


@frozen
class LimitOptions:
    max_concurrent: int = field(default=100, validator=ge(1))
    queue_size: int = field(default=1000, validator=ge(0))
    queue_timeout: float | None = field(default=30.0, validator=optional(gt(0)))


@frozen
class CallOptions:
    fallback: Literal["none", "next_available"] = "next_available"
    max_attempts: int = field(default=3, validator=ge(1))
    least_s: float = 1.0
    most_s: float = field(default=5.0)

    @most_s.validator
    def _after_least(self, _: object, value: float) -> None:
        if value < self.least_s:
            raise ValueError("'most_s' must not be less than least_s")


@frozen
class NoOptions:
    pass


CATALOG = {
    "normalize": Entry(lambda options, env: lambda inner: inner, NoOptions, side="request"),
    "route": Entry(lambda options, env: lambda inner: inner, RouteOptions, side="request", gives=("plan",)),
    "limit": Entry(lambda options, env: lambda inner: inner, LimitOptions, side="request"),
    "call": Entry(
        lambda options, env: lambda inner: inner, CallOptions, side="call", needs=("plan",), gives=("reply",)
    ),
    "transform": Entry(lambda options, env: lambda inner: inner, NoOptions, side="reply"),
    "record": Entry(lambda options, env: lambda inner: inner, NoOptions, side="reply"),
}


def given(
    toml: str = "",
    env: Mapping[str, str] | None = None,
    dotenv: str = "",
    files: Mapping[str, str] | None = None,
    kinds: tuple[str, ...] = ("openai", "ollama"),
    **overrides: Any,
) -> Config:
    def read(path: str) -> str:
        if path not in (files or {}):
            raise FileNotFoundError(2, "No such file or directory", path)
        return (files or {})[path]

    sources = Sources(
        toml=toml, environ=env or {}, dotenv=dotenv, overrides=overrides, folder="etc", read=read
    )
    return resolve(sources, catalog=CATALOG, kinds=kinds)


def faults(*args: Any, **kwargs: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        given(*args, **kwargs)
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return [str(fault) for fault in caught.value.faults]


# ---- Precedence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "dotenv", "env", "flags", "port", "origin"),
    [
        pytest.param("", "", {}, {}, 11434, "default", id="nothing given is the default"),
        pytest.param(
            "[server]\nport = 1", "", {}, {}, 1, "proxy.toml:2", id="proxy.toml overrides the default"
        ),
        pytest.param("[server]\nport = 1", "PORT=2", {}, {}, 2, ".env", id=".env overrides proxy.toml"),
        pytest.param(
            "[server]\nport = 1", "PORT=2", {"PORT": "3"}, {}, 3, "environment", id="environment, .env"
        ),
        pytest.param(
            "", "PORT=2", {"PORT": "3"}, {"port": 4}, 4, "command line", id="the command line is on top"
        ),
        pytest.param(
            "", "PORT=2", {"PORT": ""}, {"port": None}, 2, ".env", id="empty and None are not given"
        ),
        pytest.param(
            "", "PORT=2\nPORT=5", {}, {}, 5, ".env", id="the last of two equal lines in .env counts"
        ),
        pytest.param(
            "", "export PORT='2' # two", {}, {}, 2, ".env", id=".env knows export, quotes and comments"
        ),
        pytest.param(
            "", "A=2\nPORT=${A}1", {"A": "3"}, {}, 31, ".env", id=".env takes up variables around it"
        ),
        pytest.param(
            "", "", {}, {"port": "4"}, 4, "command line", id="text of the command line is read by type"
        ),
    ],
)
def test_the_layers_lie_in_order(toml, dotenv, env, flags, port, origin):
    config = given(toml, env, dotenv, **flags)
    assert config.server.port == port
    assert config.origins_of["server.port"] == origin


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("HOST", "0.0.0.0", "server.host", "0.0.0.0"),
        ("ENVIRONMENT", "Production", "server.environment", "production"),
        ("LOG_LEVEL", "WARNING", "server.log_level", "warning"),
        ("DEBUG", "on", "server.debug", True),
        ("RELOAD", "1", "server.reload", True),
        ("DATA_DIR", "/var/lib/proxy", "server.data_dir", "/var/lib/proxy"),
        ("OLLAMA_ORIGINS", "https://a.org, app://*", "server.origins", ["https://a.org", "app://*"]),
        ("MAX_BODY_BYTES", "1024", "server.max_body_bytes", 1024),
        ("HEALTH_CHECK_INTERVAL", "2.5", "server.health_interval_s", 2.5),
        ("MODELS_TTL", "60", "server.models_ttl_s", 60.0),
        ("ROUTING_STRATEGY", "priority", "stage.route.strategy", "priority"),
        ("FALLBACK_STRATEGY", "none", "stage.call.fallback", "none"),
        ("MAX_CONCURRENT_REQUESTS", "7", "stage.limit.max_concurrent", 7),
        ("MAX_QUEUE_SIZE", "0", "stage.limit.queue_size", 0),
        ("MULTI_PROVIDER_ENABLED", "no", "multi_provider", False),
        ("MODELS_FILTER_PATH", "m.txt", "models_filter", ["gpt-*"]),
        ("MODELS_FILTER", "m.txt", "models_filter", ["gpt-*"]),
        ("DEMO_ENABLED", "false", "demo", False),
        ("OPENAI_PRIORITY", "9", "providers.openai.priority", 9),
        ("OPENAI_TIMEOUT", "2.5", "providers.openai.timeout", 2.5),
        ("OPENAI_MAX_CONCURRENT_REQUESTS", "5", "providers.openai.max_concurrent_requests", 5),
        (
            "OPENAI_BASE_URL",
            "https://eu.api.openai.com/v1/",
            "providers.openai.base_url",
            "https://eu.api.openai.com/v1",
        ),
    ],
)
def test_each_variable_reaches_its_setting(name, text, path, value):
    config = given(env={"OPENAI_API_KEY": KEY, name: text}, files={"m.txt": "gpt-*"})
    found: Any = effective(config)
    for part in path.split("."):
        found = found[part]
    assert found == value
    assert config.origins_of[path] == "environment"


def test_openrouter_may_be_told_who_asks():
    toml = '[providers.openrouter]\nreferer = "https://house.example"\ntitle = "House"\n'
    (router,) = given(toml, env={"OPENROUTER_API_KEY": KEY}, kinds=tuple(VENDORS)).providers
    assert router.settings == {"referer": "https://house.example", "title": "House"}


def test_each_variable_of_a_vendor_reaches_its_account():
    env = {
        "AZURE_API_KEY": KEY,
        "AZURE_BASE_URL": "https://r.openai.azure.com",
        "AZURE_API_VERSION": "2024-10-21",
        "AZURE_DEPLOYMENTS": "a, b",
        "AWS_BEDROCK_ACCESS_KEY": "AKIA",
        "AWS_BEDROCK_SECRET_KEY": KEY,
        "AWS_BEDROCK_SESSION_TOKEN": "token",
        "AWS_BEDROCK_REGION": "eu-west-1",
        "AWS_BEDROCK_ARNS": "arn:a, arn:b",
    }
    azure, bedrock = given(env=env, kinds=tuple(VENDORS)).providers
    assert azure.settings == {"api_version": "2024-10-21", "deployments": ("a", "b")}
    assert azure.base_url == "https://r.openai.azure.com"
    assert bedrock.secret == Secret(KEY)
    assert bedrock.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert bedrock.settings == {
        "access_key": Secret("AKIA"),
        "session_token": Secret("token"),
        "region": "eu-west-1",
        "arns": ("arn:a", "arn:b"),
    }


AZURE = {"AZURE_API_KEY": KEY, "AZURE_BASE_URL": "https://r.openai.azure.com", "AZURE_DEPLOYMENTS": "a"}


@pytest.mark.parametrize("version", ["2024-10-21", "2025-04-01-preview", "v1", "preview", "latest"])
def test_versions_of_azure(version):
    (azure,) = given(env={**AZURE, "AZURE_API_VERSION": version}, kinds=tuple(VENDORS)).providers
    assert azure.settings["api_version"] == version


@pytest.mark.parametrize("version", ["2024-10", "10-21-2024", "api-version=2024-10-21", "v1&x=y", "../x"])
def test_what_is_no_version_is_none(version):
    found = faults(env={**AZURE, "AZURE_API_VERSION": version}, kinds=tuple(VENDORS))
    assert found[0].startswith("environment: providers.azure.api_version: ")
    assert found[0].endswith("must be a version such as 2024-10-21, 2025-04-01-preview or v1")


@pytest.mark.parametrize("named", ["a b", "gpt-4o=pro/d", "gpt-4o=", "=prod", "x?y"])
def test_what_can_be_no_deployment_is_none(named):
    found = faults(env={**AZURE, "AZURE_DEPLOYMENTS": named}, kinds=tuple(VENDORS))
    assert found[0].startswith("environment: providers.azure.deployments: ")
    assert found[0].endswith(
        "must be deployment, or model=deployment; a deployment is of letters, digits, - _ ."
    )


def test_an_account_without_deployments_lists_nothing_which_is_worth_a_word():
    config = given(env={**AZURE, "AZURE_DEPLOYMENTS": ""}, kinds=tuple(VENDORS))
    assert config.notices == (
        "azure: no deployments are named, so it lists no models; set AZURE_DEPLOYMENTS or deployments",
    )
    assert [provider.name for provider in config.providers] == ["azure"]


@pytest.mark.parametrize(
    ("env", "region"),
    [
        pytest.param({"AWS_REGION": "eu-west-1"}, "eu-west-1", id="what all programs use"),
        pytest.param({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1", id="what older programs use"),
        pytest.param(
            {"AWS_REGION": "us-east-1", "AWS_BEDROCK_REGION": "us-gov-west-1"}, "us-gov-west-1", id="its own"
        ),
    ],
)
def test_an_account_at_aws_is_in_a_region(env, region):
    (bedrock,) = given(env={"AWS_BEDROCK_ENABLED": "true", **env}, kinds=tuple(VENDORS)).providers
    assert bedrock.settings == {"region": region}
    assert bedrock.base_url == f"https://bedrock-runtime.{region}.amazonaws.com"


def test_the_region_alone_enables_nothing():
    assert given(env={"AWS_REGION": "eu-west-1"}, kinds=tuple(VENDORS)).providers == ()


@pytest.mark.parametrize("region", ["evil.example/", "us-east-1.evil", "US", "us-east-"])
def test_what_is_no_region_is_none(region):
    found = faults(env={"AWS_BEDROCK_API_KEY": KEY, "AWS_BEDROCK_REGION": region}, kinds=tuple(VENDORS))
    assert found[0].startswith("environment: providers.aws_bedrock.region: ")
    assert found[0].endswith("must be the name of a region, such as us-east-1")


def test_an_upper_layer_replaces_a_whole_value():
    config = given(
        '[server]\norigins = ["a://x", "b://y"]\n[providers.openai]\napi_key = { env = "OTHER" }',
        env={"OLLAMA_ORIGINS": "c://z", "OPENAI_API_KEY": KEY, "OTHER": "other"},
    )
    assert config.server.origins == ("c://z",)
    assert config.providers[0].secret == Secret(KEY)


def test_a_fault_in_an_overridden_list_names_the_layer_that_gave_it():
    found = faults(
        '[pipeline]\nstages = ["call"]\n[server]\norigins = ["a://x"]', env={"OLLAMA_ORIGINS": "ab c"}
    )
    assert "environment: server.origins: OLLAMA_ORIGINS: must be web origins" in found[-1]


def test_with_nothing_given_the_demonstration_runs():
    config = given()
    assert config.server == ServerSettings()
    assert config.stages == ("normalize", "route", "limit", "call", "transform", "record")
    assert config.options["route"] == RouteOptions()
    assert (config.providers, config.demo, config.multi_provider, config.notices) == ((), True, True, ())
    assert set(config.origins_of.values()) == {"default"}


# ---- Faults and their places -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "found"),
    [
        pytest.param(
            "[server\n",
            "proxy.toml:1: not valid TOML: Expected ']' at the end of a table declaration",
            id="syntax",
        ),
        pytest.param(
            "\n\nport = ", "proxy.toml:3: not valid TOML: Invalid value", id="syntax at the very end"
        ),
        pytest.param(
            "[server]\nport = 1\nport = 2",
            "proxy.toml:3: not valid TOML: Cannot overwrite a value",
            id="a key twice",
        ),
        pytest.param(
            "[sever]", 'proxy.toml:1: sever: unknown key; did you mean "server"?', id="unknown table"
        ),
        pytest.param(
            "a = 1\nserver.prt = 1",
            "proxy.toml:1: a: unknown key; known are demo, equivalence, fidelity, keys, models, models_filter, "
            "multi_provider, ollama, pipeline, providers, proxy_from_env, server, stage\n"
            'proxy.toml:2: server.prt: unknown key; did you mean "port"?',
            id="unknown keys, all at once",
        ),
        pytest.param("server = 1", "proxy.toml:1: server: must be a table, not 1", id="a value for a table"),
        pytest.param(
            "[server]\nport = '80'",
            'proxy.toml:2: server.port: must be a whole number, not the text "80"',
            id="text is no number",
        ),
        pytest.param(
            "[server]\nport = 80.0",
            "proxy.toml:2: server.port: must be a whole number, not 80.0",
            id="a fraction is not whole",
        ),
        pytest.param(
            "[server]\nport = true",
            "proxy.toml:2: server.port: must be a whole number, not true",
            id="true is not 1",
        ),
        pytest.param("[server]\nport = 0", "proxy.toml:2: server.port: must be >= 1: 0", id="port 0"),
        pytest.param(
            "[server]\nport = 65536", "proxy.toml:2: server.port: must be <= 65535: 65536", id="port too high"
        ),
        pytest.param(
            "[server]\ndebug = 1",
            "proxy.toml:2: server.debug: must be true or false, not 1",
            id="1 is not true",
        ),
        pytest.param(
            "[server]\nhost = 1",
            "proxy.toml:2: server.host: must be a text in quotes, not 1",
            id="a number is no text",
        ),
        pytest.param(
            "[server]\nhost = 'http://a'",
            "proxy.toml:2: server.host: must be an address or a host name, such as 127.0.0.1",
            id="a URL is no host",
        ),
        pytest.param(
            "[server]\ndata_dir = ' '",
            "proxy.toml:2: server.data_dir: must be the path of a directory",
            id="no directory",
        ),
        pytest.param(
            "[server]\nlog_level = 'infos'",
            'proxy.toml:2: server.log_level: must be "debug", "info", "warning", "error" or "critical", not '
            'the text "infos"; did you mean "info"?',
            id="a level that is none",
        ),
        pytest.param(
            "[server]\nmodels_ttl_s = nan",
            "proxy.toml:2: server.models_ttl_s: must be a finite number, not nan",
            id="nan",
        ),
        pytest.param(
            "[server]\nmodels_ttl_s = false",
            "proxy.toml:2: server.models_ttl_s: must be a number, not false",
            id="false is no number",
        ),
        pytest.param(
            "[server]\norigins = 'a'",
            'proxy.toml:2: server.origins: must be a list, not the text "a"',
            id="text is no list",
        ),
        pytest.param(
            "[server]\norigins = [\n 'a',\n 2,\n]",
            "proxy.toml:4: server.origins[1]: must be a text in quotes, not 2",
            id="an element on its own line",
        ),
        pytest.param(
            "[pipeline]\nstages = [\n'route',\n'call',\n'limit']",
            'proxy.toml:5: pipeline.stages[2]: "limit" works on the request, and "call" stands earlier. '
            'Move it before "call"',
            id="order of stages",
        ),
        pytest.param(
            "[pipeline]\nstages = ['route']",
            'proxy.toml:2: pipeline.stages: "call" is missing; without it no provider is ever asked. Add "call"',
            id="no call",
        ),
        pytest.param(
            "[pipeline.embed]\nstages = ['call']",
            'proxy.toml:2: pipeline.embed.stages[0]: "call" needs a plan; "route" gives one. Add it before "call"',
            id="order of an operation's stages",
        ),
        pytest.param(
            "[pipeline.embd]\nstages = []",
            'proxy.toml:1: pipeline.embd: unknown key; did you mean "embed"?',
            id="unknown operation",
        ),
        pytest.param(
            "[pipeline]\nstages = false",
            "proxy.toml:2: pipeline.stages: must be a list, not false",
            id="false for a list that must be there",
        ),
        pytest.param(
            "[pipeline.embed]",
            "proxy.toml:1: pipeline.embed.stages: is missing",
            id="an operation without stages",
        ),
        pytest.param(
            "[stage.rout]",
            'proxy.toml:1: stage.rout: no stage has this name; did you mean "route"?',
            id="unknown stage",
        ),
        pytest.param(
            "[stage]\nroute = 1",
            "proxy.toml:2: stage.route: must be a table, not 1",
            id="a stage's value for a table",
        ),
        pytest.param(
            "[stage.limit]\nqueue = 1",
            'proxy.toml:2: stage.limit.queue: unknown key; did you mean "queue_size"?',
            id="unknown option",
        ),
        pytest.param(
            "[stage.limit]\nqueue_timeout = 0",
            "proxy.toml:2: stage.limit.queue_timeout: must be > 0: 0.0",
            id="option out of range",
        ),
        pytest.param(
            "[stage.limit]\nqueue_timeout = 'x'",
            'proxy.toml:2: stage.limit.queue_timeout: must be a number, not the text "x"',
            id="optional and wrong",
        ),
        pytest.param(
            "[stage.route]\nweights = {a = 1, b = true}",
            "proxy.toml:2: stage.route.weights.b: must be a number, not true",
            id="inside an inline table",
        ),
        pytest.param(
            "[stage.call]\nleast_s = 7.0\nmost_s = 6",
            "proxy.toml:3: stage.call.most_s: must not be less than least_s",
            id="one option against another",
        ),
        pytest.param(
            "[providers.opnai]\n",
            'proxy.toml:1: providers.opnai: no kind of provider is named "opnai"; did you mean "openai"? '
            '(an account with another name says which: kind = "openai")',
            id="a name that is no kind",
        ),
        pytest.param(
            "[providers.b]\nkind = 'opnai'",
            'proxy.toml:2: providers.b.kind: no kind of provider is named "opnai"; did you mean "openai"?',
            id="unknown kind",
        ),
        pytest.param(
            "[providers.openai]\nkind = 'ollama'",
            'proxy.toml:2: providers.openai.kind: "openai" is the name of a kind itself; give this account '
            "another name",
            id="a vendor's name for another kind",
        ),
        pytest.param(
            "[providers.google]\n",
            'proxy.toml:1: providers.google: this version cannot call "google" yet; it can call ollama, openai',
            id="no codec",
        ),
        pytest.param(
            "[providers.b]\nkind = 'google'",
            'proxy.toml:2: providers.b.kind: this version cannot call "google" yet; it can call ollama, openai',
            id="no codec for a kind",
        ),
        pytest.param(
            "[providers.demo]\nkind = 'openai'",
            'proxy.toml:1: providers.demo: "demo" is the name of the built-in demonstration; choose another',
            id="demo is taken",
        ),
        pytest.param(
            "[providers.'a/b']\nkind = 'openai'",
            'proxy.toml:1: providers."a/b": must be a name of small letters, digits, dots, hyphens and underscores',
            id="a slash in a name",
        ),
        pytest.param(
            "providers.b = 1",
            "proxy.toml:1: providers.b: must be a table: [providers.b]",
            id="a value for a provider",
        ),
        pytest.param(
            "providers = 1",
            "proxy.toml:1: providers: must be a table: [providers.NAME]",
            id="a value for all providers",
        ),
        pytest.param(
            "[providers.openai]\ntimout = 1",
            'proxy.toml:2: providers.openai.timout: unknown key; did you mean "timeout"?',
            id="unknown key of a provider",
        ),
        pytest.param(
            "[providers.openai]\ntimeout = 0",
            "proxy.toml:2: providers.openai.timeout: must be > 0: 0.0",
            id="no time at all",
        ),
        pytest.param(
            "[providers.openai]\npriority = -1",
            "proxy.toml:2: providers.openai.priority: must be >= 0: -1",
            id="a negative priority",
        ),
        pytest.param(
            "[providers.openai]\nregion = 'x'",
            'proxy.toml:2: providers.openai.region: belongs to providers of kind "aws_bedrock"; this one is "openai"',
            id="another kind's key",
        ),
        pytest.param(
            "[providers.openai]\nenabled = true",
            "proxy.toml:1: providers.openai.api_key: is not set; set OPENAI_API_KEY or api_key, or enabled = false",
            id="enabled without a key",
        ),
        pytest.param(
            "[providers.openai]\napi_key = { evn = 'A' }",
            'proxy.toml:2: providers.openai.api_key: must be { env = "NAME" }, { file = "path" } or a text',
            id="a key named wrongly",
        ),
        pytest.param(
            "[providers.openai]\napi_key = { env = 'A', file = 'b' }",
            'proxy.toml:2: providers.openai.api_key: must be { env = "NAME" }, { file = "path" } or a text',
            id="a key named twice",
        ),
        pytest.param(
            "[providers.openai]\napi_key = { env = 'sk-1' }",
            "proxy.toml:2: providers.openai.api_key.env: must be the name of an environment variable",
            id="a key for its name",
        ),
        pytest.param(
            "[providers.openai]\napi_key = { file = 'none' }",
            "proxy.toml:2: providers.openai.api_key: names a file that cannot be read: No such file or directory",
            id="a key's file is not there",
        ),
        pytest.param(
            "[models]\nfast = 1",
            "proxy.toml:2: models.fast: must be a table, not 1",
            id="a value for a model",
        ),
        pytest.param("models = 1", "proxy.toml:1: models: must be a table", id="a value for all models"),
        pytest.param(
            "[models.f]\ntargets = ['gpt']",
            'proxy.toml:2: models.f.targets[0]: must be "provider/its own model name", not "gpt"',
            id="a target without provider",
        ),
        pytest.param(
            "[models.f]\ntargets = ['openai/gpt']",
            'proxy.toml:2: models.f.targets[0]: no provider "openai" is configured; set OPENAI_API_KEY or '
            "[providers.openai]",
            id="a target nobody has",
        ),
        pytest.param(
            "[models.f]\nfallback = ['f']",
            "proxy.toml:2: models.f.fallback[0]: must be the name of another model",
            id="a fallback to itself",
        ),
        pytest.param(
            "[models.f]\ncapabilities = ['tool']",
            'proxy.toml:2: models.f.capabilities[0]: must be "completion", "tools", "vision", "thinking", '
            '"embedding", "insert", "audio" or "image", not the text "tool"; did you mean "tools"?',
            id="no such capability",
        ),
        pytest.param(
            "[models.f]\ncontext_length = 0",
            "proxy.toml:2: models.f.context_length: must be >= 1: 0",
            id="no context at all",
        ),
        pytest.param(
            "[models.f]\nprice = { input = -1, out = 2 }",
            'proxy.toml:2: models.f.price.out: unknown key; did you mean "output"?\n'
            "proxy.toml:2: models.f.price.input: must be >= 0: -1.0",
            id="a price below nothing, and one that is none",
        ),
        pytest.param(
            "models_filter = 'none.txt'",
            "proxy.toml:1: models_filter: names a file that cannot be read: No such file or directory",
            id="no filter file",
        ),
        pytest.param(
            "[fidelity]\nstrict = 'yes'",
            'proxy.toml:2: fidelity.strict: must be true or false, not the text "yes"',
            id="yes is not true",
        ),
        pytest.param(
            "[ollama]\nallow_management = 1",
            "proxy.toml:2: ollama.allow_management: must be true or false, not 1",
            id="1 does not allow management",
        ),
        pytest.param(
            "[ollama]\nallow_managment = true",
            'proxy.toml:2: ollama.allow_managment: unknown key; did you mean "allow_management"?',
            id="unknown key of [ollama]",
        ),
    ],
)
def test_a_fault_in_proxy_toml_stands_on_its_line(toml, found):
    assert "\n".join(faults(toml)) == found


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://host", "must begin with http:// or https://"),
        ("localhost:11434", "must begin with http:// or https://"),
        ("https://", "must name a host, as in https://host:port/path"),
        ("https://host:0", "must name a host, as in https://host:port/path"),
        ("https://host:99999", "is no URL; write it as https://host:port/path"),
        ("https://[::1", "is no URL; write it as https://host:port/path"),
        ("https://user:hunter2@host", "must not hold a user or password; the key goes into api_key"),
        ("https://host?a=1", 'must end with the path, without "?" or "#"'),
        ("https://host/#", 'must end with the path, without "?" or "#"'),
        ("https://ho st", "must be an ASCII URL without spaces"),
        ("https://h\\u00f6st", "must be an ASCII URL without spaces"),
        ("https://host\\\\@other", "must be an ASCII URL without spaces"),
    ],
)
def test_a_base_url_is_an_address_and_nothing_else(url, why):
    toml = f'[providers.openai]\napi_key = "{KEY}"\nbase_url = "{url}"'
    assert faults(toml) == [f"proxy.toml:3: providers.openai.base_url: {why}"]


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        ("sk-1", True),
        (" sk-1\n", True),
        ("sk-1\r\nX-Evil: 1", False),
        ("sk\0", False),
        ("sk-ö", False),
        ("two words", False),
    ],
)
@pytest.mark.parametrize("toml", ["", '[providers.openai]\napi_key = { file = "key" }'])
def test_a_key_fits_into_a_header(key, fits, toml):
    env, files = ({}, {"etc/key": key}) if toml else ({"OPENAI_API_KEY": key}, {})
    if fits:
        assert given(toml, env, files=files).providers[0].secret == Secret("sk-1")
    else:
        (found,) = faults(toml, env, files=files)
        assert found.endswith("must be visible ASCII in one line, without spaces")
        assert "sk" not in found.split("api_key")[1].lower()


def test_faults_outside_proxy_toml_name_their_source():
    found = faults(
        env={"PORT": "eighty", "OPENAI_ENABLED": "maybe"},
        dotenv='\n\n# all wrong\nHOST="a b"\nnonsense\nDEBUG=perhaps\n',
        log_level="loud",
    )
    assert found == [
        ".env:4: server.host: HOST: must be an address or a host name, such as 127.0.0.1",
        ".env:5: must be NAME=value",
        '.env:6: server.debug: DEBUG: must be true or false, not "perhaps"',
        'environment: server.port: PORT: must be a whole number, not "eighty"',
        '--log-level: server.log_level: must be "debug", "info", "warning", "error" or "critical", not "loud"',
        'environment: providers.openai.enabled: OPENAI_ENABLED: must be true or false, not "maybe"',
    ]


def test_all_faults_come_at_once_and_in_the_order_of_the_file():
    toml = """\
[models.a]
targets = ["x"]
[stage.limit]
max_concurrent = 0
queue_size = "many"
[server]
port = "x"
debug = 1
[providers.openai]
timeout = "x"
"""
    places = [line.split(": ")[:2] for line in faults(toml, env={"RELOAD": "perhaps"})]
    assert places == [
        ["proxy.toml:2", "models.a.targets[0]"],
        ["proxy.toml:4", "stage.limit.max_concurrent"],
        ["proxy.toml:5", "stage.limit.queue_size"],
        ["proxy.toml:7", "server.port"],
        ["proxy.toml:8", "server.debug"],
        ["proxy.toml:10", "providers.openai.timeout"],
        ["environment", "server.reload"],
    ]


@pytest.mark.parametrize("text", ["1_000", "1.0", "0x10", "", "١", "1e3", "9" * 40])
def test_a_number_from_the_environment_is_plain_digits(text):
    if text:
        assert faults(env={"MAX_BODY_BYTES": text})
    else:
        assert given(env={"MAX_BODY_BYTES": text}).server.max_body_bytes == 32 * 2**20


NAMES = st.sampled_from(
    ["server", "port", "origins", "pipeline", "stages", "embed", "stage", "route", "weights", "limit", "demo"]
) | st.sampled_from(
    ["providers", "openai", "own", "kind", "api_key", "env", "base_url", "deployments", "models", "targets"]
)
TREES = st.recursive(
    st.booleans()
    | st.integers(-9, 9)
    | st.floats()
    | st.sampled_from(["call", "openai", "openai/x", "http://[", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@drawn(
    st.dictionaries(NAMES, TREES, max_size=4),
    st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text(max_size=9)),
)
def test_whatever_is_given_there_is_a_config_or_faults_with_places(tree, env):
    text = "".join(f"{name} = {_written(value, '')}\n" for name, value in tree.items())
    text = re.sub(r"-?\b(NaN|Infinity)\b", "nan", text)
    try:
        config = given(text, env, kinds=("openai", "ollama", "azure"))
    except ConfigError as error:
        assert all(fault.where and fault.text for fault in error.faults)  # noqa: PT017
    else:
        assert set(config.origins_of) == {dotted(path) for path in leaves(effective(config))}


# ---- Lines -----------------------------------------------------------------------------------------------------------

AWKWARD = '''\
"top level" = 1
a.b . "c.d" = { e = "}", f = [1, { g = 2 }] } # { [ "

[ x . 'y z' ]
text = """
[not.a.header]
key = "no key" \\""" ends here: """""
raw = \'\'\'
also = 'none' \'\'\'
list = [ # a comment ]
  "one", # two = 2
  [ "]", 'it', \'\'\'t\'\'\' ],
  1979-05-27 07:32:00, inf,
]
last = 'end'

[[many]]
one = 1
[[many]]
two = 2
[many.sub]
three = 3
'''


def test_lines_are_found_in_awkward_toml():
    assert tomllib.loads(AWKWARD)["x"]["y z"]["last"] == "end"
    assert {dotted(path): line for path, line in locate(AWKWARD).items()} == {
        '"top level"': 1,
        "a": 2, "a.b": 2, 'a.b."c.d"': 2, 'a.b."c.d".e': 2, 'a.b."c.d".f': 2,
        'a.b."c.d".f[0]': 2, 'a.b."c.d".f[1]': 2, 'a.b."c.d".f[1].g': 2,
        'x."y z"': 4, 'x."y z".text': 5, 'x."y z".raw': 8,
        'x."y z".list': 10, 'x."y z".list[0]': 11, 'x."y z".list[1]': 12,
        'x."y z".list[1][0]': 12, 'x."y z".list[1][1]': 12, 'x."y z".list[1][2]': 12,
        'x."y z".list[2]': 13, 'x."y z".list[3]': 13, 'x."y z".last': 15,
        "many[0]": 17, "many[0].one": 18, "many[1]": 19, "many[1].two": 20, "many[1].sub": 21, "many[1].sub.three": 22,
    }  # fmt: skip


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def _written(value: Any, newline: str) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return "[" + "".join(f"{newline}{_written(item, newline)}," for item in value) + newline + "]"
        case dict():
            return (
                "{"
                + ", ".join(
                    f"{json.dumps(key, ensure_ascii=False)} = {_written(item, newline)}"
                    for key, item in value.items()
                )
                + "}"
            )
    return json.dumps(value, ensure_ascii=False)


@settings(deadline=None)
@drawn(st.lists(VALUES, min_size=1, max_size=5), st.booleans())
def test_each_key_is_found_on_the_line_it_was_written_on(values, spread):
    lines, places = [], {}
    for index, value in enumerate(values):
        places[f"key{index}"] = len("\n".join(lines).split("\n")) + 1 if lines else 1
        lines.append(f"key{index} = {_written(value, chr(10) if spread else '')} # [x]")
    text = "\n".join(lines)
    assert tomllib.loads(text).keys() == places.keys()
    found = {path[0]: line for path, line in locate(text).items() if len(path) == 1}
    assert found == places


# ---- Providers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "env", "names"),
    [
        pytest.param("", {"OPENAI_API_KEY": KEY}, ["openai"], id="a key is enough"),
        pytest.param(
            "", {"OPENAI_API_KEY": KEY, "OPENAI_ENABLED": "false"}, [], id="unless it is switched off"
        ),
        pytest.param("", {"OPENAI_TIMEOUT": "3"}, [], id="a setting alone is not enough"),
        pytest.param(
            "", {"OLLAMA_BASE_URL": "http://box:11434"}, ["ollama"], id="Ollama is there by its address"
        ),
        pytest.param("", {"OLLAMA_ENABLED": "true", "PORT": "1"}, ["ollama"], id="or because it is said"),
        pytest.param(
            "", {"OLLAMA_BASE_URL": "http://box", "OLLAMA_ENABLED": "no"}, [], id="unless it is off"
        ),
        pytest.param(
            "", {"OPENAI_ENABLED": "true", "OPENAI_BASE_URL": "http://box"}, ["openai"], id="no key needed"
        ),
        pytest.param(
            "",
            {"OPENAI_API_KEY": KEY, "OLLAMA_BASE_URL": "http://box"},
            ["ollama", "openai"],
            id="by priority",
        ),
        pytest.param(
            "[providers.b]\nkind = 'openai'\napi_key = 'k'\n[providers.a]\nkind = 'openai'\napi_key = 'k'",
            {},
            ["a", "b"],
            id="equal priority: by name",
        ),
        pytest.param(
            "[providers.z]\nkind = 'openai'\napi_key = 'k'\npriority = 0",
            {"OLLAMA_BASE_URL": "http://box"},
            ["z", "ollama"],
            id="own priority",
        ),
        pytest.param("[providers.google]\nenabled = false", {}, [], id="what is off needs no codec"),
    ],
)
def test_who_is_in_use(toml, env, names):
    config = given(toml, env)
    assert [provider.name for provider in config.providers] == names
    assert config.demo is not bool(names)


def test_default_priorities_and_addresses():
    env = {f"{kind.upper()}_API_KEY": KEY for kind in VENDORS} | {
        "AZURE_BASE_URL": "https://r.openai.azure.com", "AWS_BEDROCK_REGION": "us-east-1", "PORT": "1",
    }  # fmt: skip
    config = given(env=env, kinds=tuple(VENDORS))
    assert [(provider.name, provider.priority, provider.base_url) for provider in config.providers] == [
        ("ollama", 1, "http://127.0.0.1:11434"),
        ("openai", 2, "https://api.openai.com/v1"),
        ("anthropic", 3, "https://api.anthropic.com"),
        ("google", 4, "https://generativelanguage.googleapis.com/v1beta"),
        ("azure", 5, "https://r.openai.azure.com"),
        ("aws_bedrock", 6, "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ("openrouter", 7, "https://openrouter.ai/api/v1"),
    ]


@pytest.mark.parametrize(
    ("env", "found"),
    [
        (
            {"AZURE_API_KEY": KEY},
            "environment: providers.azure.base_url: is not set; set AZURE_BASE_URL or base_url to "
            "https://RESOURCE.openai.azure.com",
        ),
        (
            {"AWS_BEDROCK_ENABLED": "true"},
            "environment: providers.aws_bedrock.base_url: is not set, nor is a region; set "
            "AWS_BEDROCK_REGION or region",
        ),
        (
            {"AWS_BEDROCK_ACCESS_KEY": KEY, "AWS_BEDROCK_REGION": "us-east-1"},
            "environment: providers.aws_bedrock.secret_key: access_key and secret_key go together; one of "
            "them is not set",
        ),
    ],
)
def test_a_vendor_that_needs_more_says_so(env, found):
    assert faults(env=env, kinds=tuple(VENDORS)) == [found]


def test_a_kind_of_a_codec_of_ones_own_needs_an_address():
    toml = "[providers.mine]\nkind = 'own'\napi_key = { env = 'K' }"
    env = {"K": KEY}
    assert faults(toml, env, kinds=("own",)) == [
        "proxy.toml:1: providers.mine.base_url: is not set, and providers of kind own have no common address"
    ]
    (provider,) = given(f"{toml}\nbase_url = 'https://own.example'", env, kinds=("own",)).providers
    assert (provider.kind, provider.base_url, provider.priority) == ("own", "https://own.example", 10)


def test_several_accounts_of_one_kind():
    toml = """\
[providers.openai]
timeout = 5
[providers.team-b]
kind = "openai"
api_key = { env = "TEAM_B" }
max_concurrent_requests = 2
transport = "httpx"
[providers.team-c]
kind = "openai"
api_key = { file = "keys/c" }
"""
    config = given(toml, {"OPENAI_API_KEY": "a", "TEAM_B": "b"}, files={"etc/keys/c": "c\n"})
    openai, b, c = config.providers
    assert (openai.secret.value, b.secret.value, c.secret.value) == ("a", "b", "c")
    assert (openai.timeout_s, b.timeout_s, b.max_concurrent, b.transport) == (5.0, 300.0, 2, "httpx")
    assert {b.kind, c.kind, b.base_url, c.base_url} == {"openai", "https://api.openai.com/v1"}
    assert config.notices == ()


def test_what_a_provider_and_its_models_take_a_minute():
    toml = """\
[providers.openai]
requests_per_minute = 500
burst = 20
[providers.openai.limits."gpt-4o"]
tokens_per_minute = 30000.5
max_concurrent_requests = 7
"""
    config = given(
        toml, {"OPENAI_API_KEY": KEY, "OPENAI_TOKENS_PER_MINUTE": "90000", "OLLAMA_BASE_URL": "http://box"}
    )
    ollama, openai = config.providers
    assert openai.rates == Rates(500.0, 90000.0, 20)
    assert openai.limits == {"gpt-4o": Rates(tokens=30000.5, concurrent=7)}
    assert (ollama.rates, ollama.limits) == (Rates(), {})
    shown = effective(config)["providers"]["openai"]
    assert (shown["requests_per_minute"], shown["tokens_per_minute"], shown["burst"]) == (500.0, 90000.0, 20)
    assert shown["limits"] == {"gpt-4o": {"tokens_per_minute": 30000.5, "max_concurrent_requests": 7}}
    assert config.origins_of["providers.openai.tokens_per_minute"] == "environment"


def test_limits_that_cannot_be():
    toml = """\
[providers.openai]
requests_per_minute = 0
[providers.openai.limits.m]
burst = 5
[providers.openai.limits.n]
requests = 5
"""
    assert [line.split(": ")[:2] for line in faults(toml, env={"OPENAI_API_KEY": KEY})] == [
        ["proxy.toml:2", "providers.openai.requests_per_minute"],
        ["proxy.toml:6", "providers.openai.limits.n.requests"],
    ]
    alone = "[providers.openai.limits.m]\nburst = 5"
    assert faults(alone, env={"OPENAI_API_KEY": KEY}) == [
        "proxy.toml:2: providers.openai.limits.m.burst: is a part of requests_per_minute, which is not set"
    ]


def test_only_the_first_provider_where_one_is_wanted():
    toml = "multi_provider = false\n[models.f]\ntargets = ['openai/x', 'ollama/y']"
    config = given(toml, {"OPENAI_API_KEY": KEY, "OLLAMA_BASE_URL": "http://box"})
    assert [provider.name for provider in config.providers] == ["ollama"]
    assert config.options["call"].fallback == "none"
    assert config.options["call"].max_attempts == 3
    assert config.origins_of["stage.call.fallback"] == "proxy.toml:1"


# ---- The proxy never calls itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "url", "loops"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434", True),
        ("127.0.0.1", "http://localhost:11434/", True),
        ("127.0.0.1", "http://0.0.0.0:11434", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:11434", True),
        ("localhost", "http://127.0.0.1:11434", True),
        ("localhost", "http://[::1]:11434", True),
        ("0.0.0.0", "http://127.0.0.1:11434", True),
        ("0.0.0.0", "http://127.0.0.7:11434", True),
        ("0.0.0.0", "http://LocalHost:11434", True),
        ("::", "http://127.0.0.1:11434", True),
        ("Box.lan", "http://box.lan:11434", True),
        ("192.168.1.5", "http://192.168.1.5:11434", True),
        ("127.0.0.1", "http://127.0.0.1:11435", False),
        ("127.0.0.1", "http://127.0.0.1", False),
        ("127.0.0.1", "http://127.0.0.2:11434", False),
        ("127.0.0.1", "http://box.lan:11434", False),
        ("192.168.1.5", "http://127.0.0.1:11434", False),
        ("0.0.0.0", "http://192.168.1.6:11434", False),
    ],
)
def test_a_provider_at_our_own_address_is_refused(host, url, loops):
    env = {"HOST": host, "OLLAMA_BASE_URL": url}
    if not loops:
        assert given(env=env).providers
        return
    (found,) = faults(env=env)
    assert found == (
        f"environment: providers.ollama.base_url: OLLAMA_BASE_URL: {url.rstrip('/')} is the address this proxy itself "
        "listens on, so it would call itself. Move the proxy (PORT=11435), or let OLLAMA_BASE_URL name where ollama "
        "really answers"
    )


@pytest.mark.parametrize(
    ("toml", "env", "where", "words"),
    [
        pytest.param(
            "", {"OLLAMA_ENABLED": "true"}, "environment", "OLLAMA_BASE_URL", id="the usual addresses of both"
        ),
        pytest.param(
            "[providers.ollama]\nenabled = true", {}, "proxy.toml:1", "PORT=11435", id="in proxy.toml"
        ),
        pytest.param(
            "[server]\n"
            "port = 80\n"
            "[providers.us]\nkind = 'openai'\napi_key = { env = 'K' }\nbase_url = 'http://127.0.0.1/v1'",
            {"K": KEY},
            "proxy.toml:6",
            "providers.us.base_url",
            id="whatever the kind, with the scheme's own port",
        ),
    ],
)
def test_a_loop_is_told_where_it_was_made(toml, env, where, words):
    (found,) = faults(toml, env)
    assert found.startswith(f"{where}: ")
    assert words in found


# ---- Notices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("OPENAI_APIKEY", "OPENAI_API_KEY"),
        ("openai_api_key", "OPENAI_API_KEY"),
        ("OPEN_AI_API_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_KEYS", "OPENAI_API_KEY"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        ("OPENAI_BASEURL", "OPENAI_BASE_URL"),
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("MODEL_FILTER_PATH", "MODELS_FILTER_PATH"),
        ("MAX_CONCURENT_REQUESTS", "MAX_CONCURRENT_REQUESTS"),
    ],
)
def test_a_near_miss_is_told(name, near):
    text = f"{name} is set, but not a variable of this program; did you mean {near}?"
    assert given(env={name: "1"}).notices == (text,)
    assert given(dotenv=f"{name}=1").notices == (text,)


def test_a_near_miss_is_not_told_where_the_right_name_is_set():
    assert given(env={"OPENAI_APIKEY": KEY, "OPENAI_API_KEY": KEY}).notices == ()


@pytest.mark.parametrize(
    "name",
    [
        "HOSTNAME",
        "PATH",
        "PORTS",
        "HOME",
        "OLLAMA_HOST",
        "OLLAMA_MODELS",
        "OLLAMA_KEEP_ALIVE",
        "OLLAMA_NUM_PARALLEL",
        "AWS_REGION",
        "AWS_PROFILE",
        "AZURE_CLIENT_ID",
        "OPENAI_ORG_ID",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "PYTHONPATH",
        "HTTP_PROXY",
        "DEBUGINFOD_URLS",
    ],
)
def test_strangers_in_the_environment_are_left_in_peace(name):
    assert given(env={name: "1"}).notices == ()


@pytest.mark.parametrize(
    ("toml", "env", "notice"),
    [
        pytest.param(
            "",
            {"ENABLE_PRIORITIZATION": "true"},
            "ENABLE_PRIORITIZATION is set, but has no effect in this version",
            id="an option the stage does not have",
        ),
        pytest.param(
            "",
            {"ANTHROPIC_API_KEY": KEY},
            "anthropic is configured, but this version cannot call anthropic yet: left out",
            id="no codec",
        ),
        pytest.param(
            "",
            {"OPENAI_BASE_URL": "http://box"},
            "openai has an address but no key: not used; if it needs none, set enabled to true",
            id="an address alone",
        ),
        pytest.param(
            f"[providers.openai]\napi_key = '{KEY}'",
            {},
            'proxy.toml:2: a key in clear; rather write { env = "NAME" } or { file = "path" } there',
            id="a key in clear",
        ),
        pytest.param(
            "[providers.openai]\napi_key = { env = 'NONE' }\nbase_url = 'https://box'",
            {},
            "proxy.toml:2: openai: the variable its api_key names is not set",
            id="a variable that is not set",
        ),
        pytest.param(
            "",
            {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://box/v1"},
            "openai: its key travels unencrypted to box; use https there",
            id="a key in the open",
        ),
        pytest.param(
            "[providers.openai]\nenabled = false\n[models.f]\ntargets = ['openai/x']",
            {},
            'proxy.toml:4: target "openai/x": openai is not in use',
            id="a target that is off",
        ),
        pytest.param(
            "[ollama]\nallow_management = true",
            {"OPENAI_API_KEY": KEY},
            "ollama.allow_management is on, but no Ollama is in use: there is nothing to manage",
            id="nothing to manage",
        ),
    ],
)
def test_what_is_worth_a_word(toml, env, notice):
    assert given(toml, env).notices == (notice,)


def test_a_stage_that_is_not_in_the_catalogue_makes_its_variable_idle():
    small = {name: entry for name, entry in CATALOG.items() if name != "limit"}
    sources = Sources(toml="[pipeline]\nstages = ['route', 'call']", environ={"MAX_QUEUE_SIZE": "x"})
    config = resolve(sources, catalog=small, kinds=("openai",))
    assert config.notices == ("MAX_QUEUE_SIZE is set, but has no effect in this version",)


# ---- The rest of proxy.toml ------------------------------------------------------------------------------------------


def test_models_pipelines_and_promises():
    toml = """\
[pipeline.embed]
stages = ["route", "call"]
[fidelity]
strict = true
[ollama]
allow_management = true
[stage.route]
weights = { a = 1, b = 0.5 }
[models.fast]
targets = ["openai/gpt-4o-mini"]
fallback = ["other"]
capabilities = ["tools", "vision"]
context_length = 128000
output_limit = 16384
price = { input = 0.15, output = 0.6 }
[models."gpt-4.1"]
family = "gpt"
"""
    config = given(toml, {"OPENAI_API_KEY": KEY})
    assert config.operations == {"embed": ("route", "call")}
    assert (config.fidelity_strict, config.management) == (True, True)
    assert config.options["route"].weights == {"a": 1.0, "b": 0.5}
    assert config.models["fast"].targets == ("openai/gpt-4o-mini",)
    assert config.models["fast"].capabilities == frozenset({"tools", "vision"})
    assert config.models["fast"].output_limit == 16384
    assert config.models["fast"].price == Price(0.15, 0.6)
    assert config.models["gpt-4.1"].price is None
    assert config.models["gpt-4.1"].family == "gpt"
    assert config.origins_of['models."gpt-4.1".family'] == "proxy.toml:17"


PEPPER = "a pepper that nobody guesses"


def test_keys_by_the_environment():
    env = {"KEYS_FILE": "/etc/keys.toml", "KEYS_PEPPER": PEPPER, "OPEN_NETWORK": "true"}
    config = given("[keys]\nopen_network = false", env)
    assert (config.keys.file, config.keys.open_network) == ("/etc/keys.toml", True)
    assert config.keys.pepper.value == PEPPER
    assert PEPPER not in repr(config) + json.dumps(effective(config))
    assert config.origins_of["keys.open_network"] == "environment"


def test_a_pepper_is_named_in_proxy_toml():
    config = given('[keys]\npepper = { env = "OURS" }', {"OURS": f"{PEPPER}\n"})
    assert (config.keys.pepper.value, config.keys.file, config.keys.open_network) == (PEPPER, "", False)


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ('[keys]\npepper = "short"', "proxy.toml:2: keys.pepper: must have 16 characters at least"),
        ('[keys]\nfile = "var/"', "proxy.toml:2: keys.file: must be the path of a file"),
        ("[keys]\nopen_network = 1", "proxy.toml:2: keys.open_network: must be true or false, not 1"),
        (
            "[keys]\nopen_netwrk = true",
            'proxy.toml:2: keys.open_netwrk: unknown key; did you mean "open_network"?',
        ),
    ],
)
def test_what_is_wrong_with_the_settings_of_keys(toml, fault):
    with pytest.raises(ConfigError) as error:
        given(toml)
    assert str(error.value) == fault


def test_management_by_the_environment():
    env = {"OLLAMA_ALLOW_MANAGEMENT": "yes", "OLLAMA_BASE_URL": "http://127.0.0.1:11435"}
    config = given("[ollama]\nallow_management = false", env)
    assert (config.management, config.notices) == (True, ())
    assert config.origins_of["ollama.allow_management"] == "environment"
    assert effective(config)["ollama"] == {"allow_management": True}
    assert not given("", {"OLLAMA_BASE_URL": "http://127.0.0.1:11435"}).management


def test_the_demonstration_may_stay():
    config = given(
        "[models.f]\ntargets = ['demo/demo-tools']", {"OPENAI_API_KEY": KEY, "DEMO_ENABLED": "true"}
    )
    assert config.demo
    assert config.providers


@pytest.mark.parametrize(
    ("toml", "env", "flags", "file"),
    [
        pytest.param("models_filter = 'm.txt'", {}, {}, "etc/m.txt", id="proxy.toml's paths begin beside it"),
        pytest.param("", {"MODELS_FILTER_PATH": "m.txt"}, {}, "m.txt", id="the environment's begin here"),
        pytest.param(
            "",
            {"MODELS_FILTER": "o.txt", "MODELS_FILTER_PATH": "m.txt"},
            {},
            "m.txt",
            id="the longer name wins",
        ),
        pytest.param(
            "", {"MODELS_FILTER": "o.txt"}, {"models_filter": "m.txt"}, "m.txt", id="the command line"
        ),
    ],
)
def test_where_the_filter_is_read(toml, env, flags, file):
    text = "# mine\n\n gpt-* # all of them\n!gpt-3*\n"
    assert given(toml, env, files={file: text}, **flags).models_filter == ("gpt-*", "!gpt-3*")


def test_a_fault_in_the_filter_stands_on_its_line():
    assert faults(env={"MODELS_FILTER": "dir/m.txt"}, files={"dir/m.txt": "a\n!\nb c\n"}) == [
        'm.txt:2: models_filter: "!" must be followed by the name or pattern it excludes',
        "m.txt:3: models_filter: one name or pattern a line, without spaces",
    ]


# ---- Secrets ---------------------------------------------------------------------------------------------------------

SECRETS = [
    "sk-clear-0123456789abcdef",
    "sk-env-0123456789abcdefg",
    "sk-file-0123456789abcdef",
    "aws-0123456789abcdefghij",
]


def _with_secrets() -> tuple[str, dict[str, str], dict[str, str]]:
    toml = f"""\
[providers.clear]
kind = "openai"
api_key = "{SECRETS[0]}"
[providers.file]
kind = "openai"
api_key = {{ file = "key" }}
"""
    env = {
        "OPENAI_API_KEY": SECRETS[1],
        "AWS_BEDROCK_ACCESS_KEY": SECRETS[3],
        "AWS_BEDROCK_SECRET_KEY": SECRETS[3],
        "AWS_BEDROCK_REGION": "us-east-1",
    }
    return toml, env, {"etc/key": SECRETS[2]}


def test_no_secret_shows():
    toml, env, files = _with_secrets()
    config = given(toml, env, files=files, kinds=tuple(VENDORS))
    assert {provider.secret.value for provider in config.providers} == set(SECRETS)
    shown = [repr(config), str(config), f"{config}", json.dumps(effective(config)), repr(config.notices)]
    assert not [secret for secret in SECRETS for text in shown if secret in text]
    assert effective(config)["providers"]["clear"]["api_key"] == "****cdef"
    assert effective(config)["providers"]["aws_bedrock"]["access_key"] == "****ghij"


@pytest.mark.parametrize(
    ("toml", "env"),
    [
        pytest.param(
            f'[providers.openai]\napi_key = {{ env = "{KEY}" }}', {}, id="in place of a variable's name"
        ),
        pytest.param(f'[providers.openai]\napi_key = ["{KEY}"]', {}, id="in a list"),
        pytest.param(f'[providers.openai]\napi_key = {{ key = "{KEY}" }}', {}, id="under another name"),
        pytest.param(f'[providers.openai]\napi_key = {{ file = "{KEY}" }}', {}, id="in place of a path"),
        pytest.param(
            f'[providers.openai]\napi_key = "{KEY} "\nbase_url = "https://{KEY}@host"', {}, id="in an address"
        ),
        pytest.param(f"[providers.openai]\napi_key = {KEY}", {}, id="without quotes"),
        pytest.param(f'[providers.openai]\ntimeout = "{KEY}"', {}, id="in place of a number"),
        pytest.param(f'[providers.openai]\ntransport = "{KEY}"', {}, id="in place of a choice"),
        pytest.param("", {"OPENAI_API_KEY": f"{KEY}\n1"}, id="in two lines"),
        pytest.param("", {"OPENAI_TIMEOUT": KEY}, id="in the wrong variable"),
    ],
)
def test_no_fault_shows_a_secret(toml, env):
    with pytest.raises(ConfigError) as caught:
        given(toml, env)
    assert KEY not in f"{caught.value} {caught.value!r}"


@settings(deadline=None)
@drawn(
    st.sampled_from(sorted(VARIABLES)),
    st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=21),
)
def test_no_variable_shows_a_long_value_it_was_wrongly_given(name, text):
    try:
        config = given(env={name: text}, files={}, kinds=tuple(VENDORS))
    except ConfigError as error:
        assert text not in str(error)  # noqa: PT017
    else:
        assert not name.endswith("KEY") or text not in repr(config)


def test_sources_do_not_show_what_they_hold():
    toml, env, _ = _with_secrets()
    shown = repr(Sources(toml=toml, environ=env, dotenv=f"OPENAI_API_KEY={KEY}"))
    assert not [secret for secret in (*SECRETS, KEY) if secret in shown]


# ---- The effective configuration -------------------------------------------------------------------------------------


def test_each_effective_value_has_an_origin():
    toml, env, files = _with_secrets()
    config = given(toml, env, files=files, kinds=tuple(VENDORS), port=9)
    assert set(config.origins_of) == {dotted(path) for path in leaves(effective(config))}
    assert config.origins_of["providers.clear.api_key"] == "proxy.toml:3"
    assert config.origins_of["providers.openai.api_key"] == "environment"
    assert config.origins_of["server.port"] == "command line"


def test_the_effective_configuration_leaves_out_what_is_not_set():
    tree = effective(shipped("[models.f]\nfamily = 'gpt'"))
    assert tree["stage"]["normalize"] == {"rename": {}}
    assert tree["models"]["f"] == {"targets": [], "fallback": [], "family": "gpt"}


def test_the_effective_configuration_configures_the_same():
    first = given(
        "[stage.limit]\nqueue_size = 5\n[models.f]\ntargets = ['openai/x']\nprice = {input = 1}",
        {"OPENAI_API_KEY": KEY},
    )
    tree = effective(first)
    del tree["models_filter"]
    tree["providers"]["openai"]["api_key"] = {"env": "K"}
    text = _toml(tree)
    second = given(text, {"K": KEY})
    assert evolve(second, origins_of={}) == evolve(first, origins_of={})


def _toml(tree: Mapping[str, Any], above: str = "") -> str:
    plain = {name: value for name, value in tree.items() if not isinstance(value, Mapping)}
    tables = {name: value for name, value in tree.items() if isinstance(value, Mapping)}
    text = f"[{above}]\n" if above else ""
    text += "".join(f"{name} = {json.dumps(value)}\n" for name, value in plain.items())
    return text + "".join(
        _toml(table, f"{above}.{name}" if above else name) for name, table in tables.items()
    )


# ---- Files -----------------------------------------------------------------------------------------------------------


def loaded(path: Path | None, **environ: str) -> Config:
    return load(None if path is None else str(path), environ, {}, catalog=CATALOG, kinds=("openai",))


def test_files_are_read_from_where_proxy_toml_is(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ".env").write_text("PORT=8")
    (tmp_path / "proxy.toml").write_text(
        '\ufeffmodels_filter = "m.txt"\n[providers.openai]\napi_key = {file = "k"}\n'
    )
    (tmp_path / ".env").write_text("PORT=9")
    (tmp_path / "m.txt").write_text("gpt-*")
    (tmp_path / "k").write_text(KEY)
    config = loaded(tmp_path / "proxy.toml")
    assert (config.server.port, config.models_filter) == (9, ("gpt-*",))
    assert config.providers[0].secret == Secret(KEY)


def test_without_any_file_the_defaults_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert loaded(None).server == ServerSettings()
    (tmp_path / "proxy.toml").write_text("[server]\nport = 7")
    (tmp_path / ".env").write_text("HOST=localhost")
    assert loaded(None).server == ServerSettings(port=7, host="localhost")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        pytest.param(
            None,
            "{path}: cannot be read: No such file or directory",
            id="a file that was named must be there",
        ),
        pytest.param(
            b"# one\n[server]\n# \xff\n", "proxy.toml:3: must be UTF-8 text", id="bytes that are no text"
        ),
        pytest.param(
            b"# one\r\n[server]\r\nport = 0\r\n",
            "proxy.toml:3: server.port: must be >= 1: 0",
            id="Windows lines",
        ),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, monkeypatch, content, found):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "proxy.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        loaded(path)
    assert str(caught.value) == found.format(path=path)


# ---- What we ship ----------------------------------------------------------------------------------------------------

SHIPPED = (ROOT / "proxy.toml").read_text("utf-8")
EXAMPLE = (ROOT / ".env.example").read_text("utf-8")


def uncommented(text: str) -> str:
    """With each setting that is commented out in force: `#` and no space."""
    return re.sub(r"(?m)^#(?=[\w\[])", "", text)


def shipped(toml: str, **env: str) -> Config:
    sources = Sources(toml=toml, environ=env, read=lambda path: "")
    return resolve(sources, catalog=REAL_CATALOG, kinds=tuple(VENDORS))


def test_the_shipped_proxy_toml_changes_nothing():
    plain, file = shipped(""), shipped(SHIPPED)
    assert evolve(file, origins_of={}) == evolve(plain, origins_of={})
    assert set(file.origins_of.values()) == {"default"}


def test_each_setting_in_the_shipped_proxy_toml_exists_and_shows_its_default():
    full = shipped(uncommented(SHIPPED), OPENAI_API_KEY=KEY, SECOND_OPENAI_KEY=KEY)
    assert full.server == ServerSettings()
    assert full.stages == shipped("").stages
    for name, options in full.options.items():
        for option in fields(type(options)):
            standard = getattr(type(options)(), option.name)
            assert getattr(options, option.name) == standard or not standard, f"stage.{name}.{option.name}"
    assert [provider.name for provider in full.providers] == ["ollama", "openai", "second"]
    openai = full.providers[1]
    assert evolve(openai, name="second", proxy=None, rates=Rates(), limits={}) == full.providers[2]


def test_each_setting_there_is_stands_in_the_shipped_proxy_toml():
    tree = tomllib.loads(uncommented(SHIPPED))
    classes = {
        "server": ServerSettings, "keys": KeysTable, "fidelity": Fidelity, "ollama": OllamaTable,
        "models.fast": ModelTable,
        **{f"stage.{name}": entry.options for name, entry in REAL_CATALOG.items()},
    }  # fmt: skip
    wanted = {f"{table}.{option.name}" for table, kind in classes.items() for option in fields(kind)}
    wanted |= {switch.name for switch in fields(Switches)} | {"pipeline.stages", "providers.second.kind"}
    own = {key for vendor in VENDORS.values() for key in vendor.own}
    wanted |= {f"providers.openai.{key.name}" for key in fields(ProviderTable)} - {"providers.openai.kind"}
    wanted -= {f"providers.openai.{key}" for key in own} | {"providers.openai.limits"}
    wanted |= {f"providers.openai.limits.gpt-4o.{key.name}" for key in fields(LimitsTable)}
    here = set(map(dotted, locate(uncommented(SHIPPED))))
    assert sorted(wanted - here) == []
    assert set(tree["pipeline"]) <= {"stages", *OPERATIONS}


def test_the_example_of_dotenv_names_each_variable_there_is():
    names = re.findall(r"(?m)^#?([A-Z][A-Z0-9_]*)=", EXAMPLE)
    assert sorted(set(names)) == sorted(ENVIRONMENT)


def test_the_example_of_dotenv_changes_nothing_and_its_values_are_right():
    config = resolve(Sources(dotenv=EXAMPLE), catalog=REAL_CATALOG, kinds=("openai",))
    assert evolve(config, origins_of={}) == evolve(shipped(""), origins_of={})
    keys = {f"{kind.upper()}_API_KEY": KEY for kind in VENDORS}
    full = resolve(
        Sources(dotenv=uncommented(EXAMPLE), environ=keys, read=lambda path: ""),
        catalog=REAL_CATALOG,
        kinds=tuple(VENDORS),
    )
    assert evolve(full.server, origins=()) == ServerSettings()
    assert [(provider.name, provider.priority) for provider in full.providers] == [
        (kind, vendor.priority) for kind, vendor in VENDORS.items()
    ]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, None, id="none named"),
        pytest.param({"HTTPS_PROXY": "http://p:1"}, "http://p:1", id="named for https"),
        pytest.param({"https_proxy": "http://p:1"}, "http://p:1", id="in lower case"),
        pytest.param({"HTTP_PROXY": "http://p:1"}, None, id="named for http alone"),
        pytest.param(
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, .openai.com"}, None, id="not for this domain"
        ),
        pytest.param({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None, id="for nobody"),
        pytest.param(
            {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "penai.com"}, "http://p:1", id="a name is not a part"
        ),
    ],
)
def test_the_proxy_that_the_environment_names(environ, expected):
    given = {"OPENAI_API_KEY": KEY, **environ}
    assert shipped("", **given).providers[0].proxy is None, "it is not taken unless asked for"
    assert shipped("", PROXY_FROM_ENV="true", **given).providers[0].proxy == expected


def test_a_proxy_of_the_account_and_its_password():
    text = '[providers.openai]\nproxy = "http://me:secret@p.example:3128"\n'
    config = shipped(text, OPENAI_API_KEY=KEY)
    assert config.providers[0].proxy == "http://me:secret@p.example:3128"
    assert "secret@" not in repr(config)
    assert effective(config)["providers"]["openai"]["proxy"] == "http://p.example:3128"
    with pytest.raises(
        ConfigError, match=r"proxy\.toml:2: providers\.openai\.proxy: the proxy must be http://"
    ):
        shipped('[providers.openai]\nproxy = "socks5://p:1"\n', OPENAI_API_KEY=KEY)
