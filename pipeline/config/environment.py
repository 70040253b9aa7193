"""The environment variables that are understood, and those that look like a slip of the pen."""

import io
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from attrs import frozen
from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from pipeline.config.faults import Fault, Path
from pipeline.config.vendors import VENDORS


@frozen
class Variable:
    """One environment variable: the setting it gives, and a line for people."""

    path: Path
    about: str


_HOUSE = {
    "HOST": Variable(("server", "host"), "address to listen on"),
    "PORT": Variable(("server", "port"), "port to listen on"),
    "ENVIRONMENT": Variable(("server", "environment"), "development or production"),
    "LOG_LEVEL": Variable(("server", "log_level"), "debug, info, warning, error or critical"),
    "DEBUG": Variable(("server", "debug"), "show more of what goes wrong"),
    "RELOAD": Variable(("server", "reload"), "start anew when a file of the program changes"),
    "DATA_DIR": Variable(("server", "data_dir"), "directory for what is kept between starts"),
    "OLLAMA_ORIGINS": Variable(("server", "origins"), "further web origins that may call, comma-separated"),
    "MAX_BODY_BYTES": Variable(("server", "max_body_bytes"), "largest request body, in bytes"),
    "HEALTH_CHECK_INTERVAL": Variable(
        ("server", "health_interval_s"), "seconds between health checks of a provider"
    ),
    "MODELS_TTL": Variable(("server", "models_ttl_s"), "seconds a provider's list of models is kept"),
    "TLS_CERTFILE": Variable(("server", "certfile"), "PEM file of the certificate, to serve in TLS"),
    "TLS_KEYFILE": Variable(("server", "keyfile"), "PEM file of the certificate's key"),
    "WORKERS": Variable(("server", "workers"), "processes that share the port"),
    "ROUTING_STRATEGY": Variable(("stage", "route", "strategy"), "how those who can serve are ordered"),
    "ENABLE_LOAD_BALANCING": Variable(("stage", "route", "load_balancing"), "spread requests over providers"),
    "FALLBACK_STRATEGY": Variable(("stage", "call", "fallback"), "what follows a failed attempt"),
    "MAX_CONCURRENT_REQUESTS": Variable(("stage", "limit", "max_concurrent"), "requests that run at once"),
    "MAX_QUEUE_SIZE": Variable(("stage", "limit", "queue_size"), "requests that may wait"),
    "ENABLE_PRIORITIZATION": Variable(("stage", "limit", "prioritization"), "let urgent requests wait less"),
    "MULTI_PROVIDER_ENABLED": Variable(("multi_provider",), "false: only the first provider, no fallback"),
    "MODELS_FILTER": Variable(("models_filter",), "the same as MODELS_FILTER_PATH"),
    "MODELS_FILTER_PATH": Variable(("models_filter",), "file that says which models are shown"),
    "PROXY_FROM_ENV": Variable(("proxy_from_env",), "reach providers through HTTPS_PROXY and its kind"),
    "OLLAMA_ALLOW_MANAGEMENT": Variable(
        ("ollama", "allow_management"), "let pull, push, create, copy and delete through to an Ollama"
    ),
    "KEYS_FILE": Variable(("keys", "file"), "file of the clients' keys"),
    "KEYS_PEPPER": Variable(("keys", "pepper"), "secret the clients' keys are stirred with"),
    "OPEN_NETWORK": Variable(
        ("keys", "open_network"), "let other machines call as long as there are no keys"
    ),
    "DEMO_ENABLED": Variable(("demo",), "show the built-in demonstration provider"),
}

_PROVIDER = {
    "ENABLED": ("enabled", "whether {} is used"),
    "API_KEY": ("api_key", "the key of {}"),
    "BASE_URL": ("base_url", "where {} answers"),
    "TIMEOUT": ("timeout", "longest wait for {}'s first content, in seconds"),
    "PRIORITY": ("priority", "rank of {}, lower is asked first"),
    "MAX_CONCURRENT_REQUESTS": ("max_concurrent_requests", "requests to {} that run at once"),
    "REQUESTS_PER_MINUTE": ("requests_per_minute", "requests that {} takes a minute"),
    "TOKENS_PER_MINUTE": ("tokens_per_minute", "tokens that {} takes a minute, in and out"),
}

_OWN = {
    "AZURE_API_VERSION": Variable(("providers", "azure", "api_version"), "version of the Azure API"),
    "AZURE_DEPLOYMENTS": Variable(
        ("providers", "azure", "deployments"), "deployments, comma-separated: deployment or model=deployment"
    ),
    "AWS_BEDROCK_ACCESS_KEY": Variable(("providers", "aws_bedrock", "access_key"), "AWS access key id"),
    "AWS_BEDROCK_SECRET_KEY": Variable(("providers", "aws_bedrock", "secret_key"), "AWS secret access key"),
    "AWS_BEDROCK_SESSION_TOKEN": Variable(("providers", "aws_bedrock", "session_token"), "AWS session token"),
    "AWS_BEDROCK_REGION": Variable(("providers", "aws_bedrock", "region"), "AWS region of the models"),
    "AWS_BEDROCK_ARNS": Variable(
        ("providers", "aws_bedrock", "arns"), "ARNs of models that may be called, comma-separated"
    ),
}

# Where two names give one setting, the later one wins.
VARIABLES: Mapping[str, Variable] = {
    **_HOUSE,
    **{
        f"{kind.upper()}_{suffix}": Variable(("providers", kind, key), about.format(kind))
        for kind in VENDORS
        for suffix, (key, about) in _PROVIDER.items()
    },
    **_OWN,
}

ENVIRONMENT: Mapping[str, str] = {name: variable.about for name, variable in VARIABLES.items()}
"""Every environment variable that is understood, with a line about it."""

# What other programs call the same things.
_ELSEWHERE = {
    "GEMINI_API_KEY": "GOOGLE_API_KEY",
    "CLAUDE_API_KEY": "ANTHROPIC_API_KEY",
    "OPENAI_API_BASE": "OPENAI_BASE_URL",
    "AZURE_OPENAI_API_KEY": "AZURE_API_KEY",
    "AZURE_OPENAI_ENDPOINT": "AZURE_BASE_URL",
    "AWS_BEARER_TOKEN_BEDROCK": "AWS_BEDROCK_API_KEY",
}


def near_misses(names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Of the variables that are set, those nobody reads, each with the one that was perhaps meant and is not set."""
    for name in sorted(set(names) - VARIABLES.keys()):
        near = _ELSEWHERE.get(name) or _respelled(name)
        if near and near not in names:
            yield name, near


def _respelled(name: str) -> str | None:
    letters = _letters(name)
    for known in VARIABLES:
        if _letters(known) == letters:
            return known
    # Within a vendor's own prefix a looser likeness is enough; elsewhere the environment is full of strangers.
    prefix = next(
        (f"{kind.upper()}_" for kind in VENDORS if name.upper().startswith(f"{kind.upper()}_")), None
    )
    if prefix is None and len(name) < 8:
        return None
    pool = [known for known in VARIABLES if known.startswith(prefix or "")]
    return next(iter(get_close_matches(name.upper(), pool, 1, 0.8 if prefix else 0.9)), None)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.upper() if letter.isalnum())


@frozen
class EnvFile:
    """What a `.env` file holds: values and line numbers by name, and the lines that cannot be read."""

    values: Mapping[str, str]
    lines: Mapping[str, int]
    faults: tuple[Fault, ...]


def read_env_file(text: str, name: str, environ: Mapping[str, str]) -> EnvFile:
    """A `.env` file read: quotes, `export` and `${OTHER}` as usual; the last of two equal names counts."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults = []
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original.string
        line = binding.original.line + original[: len(original) - len(original.lstrip())].count("\n")
        if binding.error or (binding.key and binding.value is None):
            faults.append(Fault(f"{name}:{line}", "", "must be NAME=value"))
        elif binding.key and binding.value is not None:
            around = {**values, **environ}
            values[binding.key] = "".join(atom.resolve(around) for atom in parse_variables(binding.value))
            lines[binding.key] = line
    return EnvFile(values, lines, tuple(faults))
