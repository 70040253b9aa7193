"""Names of models as clients write them: which are names at all, and how an answer repeats them."""

import re
from collections.abc import Mapping
from typing import Any

from pipeline.values.messages import Request

# Ollama's names, and beyond them `@` (Azure: deployment@host), `:` before a `/` (Bedrock: ARNs), any number of parts.
NAME = re.compile(r"(?!.*(?:\.\.|//))[A-Za-z0-9_][A-Za-z0-9._:/@+-]{0,199}(?<![:/])")

# What a client may not say about how a provider is reached.
NOT_FROM_CLIENTS = (
    "api_base",
    "base_url",
    "api_key",
    "endpoint",
    "headers",
    "extra_headers",
    "proxy",
    "timeout",
)


_FORBIDDEN = frozenset(NOT_FROM_CLIENTS)


def is_name(name: str) -> bool:
    """Whether a model can be called so; no blanks around it."""
    return NAME.fullmatch(name) is not None


def sent_name(request: Request | None) -> str:
    """The model's name as the client wrote it, which is how answers repeat it: with the blanks around it, if any."""
    if request is None:
        return ""
    body: Mapping[str, Any] = request.source.body if request.source else {}
    return str(body.get("model", request.model))


def full_name(name: str) -> str:
    """A name with host, namespace and tag, as Ollama's errors write it."""
    head, slash, model = name.strip().rpartition("/")
    host, deeper, namespace = head.rpartition("/")
    tagged = model if ":" in model else f"{model}:latest"
    return f"{host if deeper else 'registry.ollama.ai'}/{namespace if slash else 'library'}/{tagged}"


def not_from_clients(names: Mapping[str, Any]) -> str | None:
    """The first of these names that a client may not set."""
    if _FORBIDDEN.isdisjoint(names):
        return None
    return next((name for name in NOT_FROM_CLIENTS if name in names), None)
