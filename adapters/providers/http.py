"""Requests to providers, built from nothing: no header of a client reaches an upstream."""

from collections.abc import Mapping
from typing import Any

import orjson

from pipeline.values.http import HttpRequest
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider

USER_AGENT = "ollama-proxy/0.1"


def post(
    provider: Provider, path: str, body: Mapping[str, Any], accept: str = "application/json"
) -> HttpRequest:
    """The unsigned POST of `body` as JSON to `path` below the provider's base URL."""
    headers = {"content-type": "application/json", **_headers(accept)}
    return HttpRequest("POST", address(provider, path), headers, orjson.dumps(body))


def get(provider: Provider, path: str) -> HttpRequest:
    """The unsigned GET of `path` below the provider's base URL."""
    return HttpRequest("GET", address(provider, path), _headers("application/json"))


def address(provider: Provider, path: str) -> str:
    """`path` below the provider's base URL, which may end in a slash."""
    return provider.base_url.rstrip("/") + path


def _headers(accept: str) -> dict[str, str]:
    return {"accept": accept, "accept-encoding": "identity", "user-agent": USER_AGENT}


def sign_bearer(http: HttpRequest, secret: Secret, epoch_s: float) -> HttpRequest:
    """The request with `Authorization: Bearer`; unchanged without a secret, as servers on the own machine want it."""
    return http.with_headers({"authorization": f"Bearer {secret.value}"}) if secret else http
