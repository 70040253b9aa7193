"""Ollama's management of models on disk, of which the house has none: what it says instead, in Ollama's own order.

The checks a real server makes first are made too, so that a client with a fault of its own learns of that fault. All
functions are pure.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from adapters.dialects.body import Rules, json_kind, read_object
from adapters.dialects.fields import folded
from adapters.dialects.names import is_name
from pipeline.values.problems import Problem

DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")

ELSEWHERE = (
    "{action} is not done here: this gateway serves the models of its providers and keeps none itself. "
    "Ask the Ollama server itself (OLLAMA_HOST), or see /api/tags for what is served here"
)


@frozen
class Refusal:
    """An error answer in Ollama's form."""

    status: int
    text: str


Body: TypeAlias = Mapping[str, Any] | Refusal
Serves: TypeAlias = Callable[[str], bool]


def body_object(data: bytes, owner: str) -> Body:
    """The JSON object of a request body, keys in lower case as Ollama matches them. `owner`: what Ollama calls it."""
    value = read_object(data, Rules(owner, strict=False))
    return Refusal(value.http_status, value.detail) if isinstance(value, Problem) else folded(value)


def text_of(body: Mapping[str, Any], *names: str) -> str | Refusal:
    """The text under the first of `names` that is there; "" where none is."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            kind = json_kind(value)
            return Refusal(400, f"json: cannot unmarshal {kind} into Go struct field .{name} of type string")
        if value:
            return value
    return ""


def named(body: Body, nameless: str) -> str | Refusal:
    """The model a body names; `nameless`: what is said where it names none."""
    if isinstance(body, Refusal):
        return body
    name = text_of(body, "model", "name")
    if isinstance(name, Refusal):
        return name
    if not name.strip():
        return Refusal(400, nameless)
    return name if is_name(name.strip()) else Refusal(400, "invalid model name")


def pull(body: Body, serves: Serves) -> Refusal:
    """The answer of `/api/pull`."""
    return _not_here(named(body, "invalid model name"), "pulling models")


def push(body: Body, serves: Serves) -> Refusal:
    """The answer of `/api/push`."""
    return _not_here(named(body, "model is required"), "pushing models")


def create(body: Body, serves: Serves) -> Refusal:
    """The answer of `/api/create`."""
    return _not_here(named(body, "invalid model name"), "creating models")


def delete(body: Body, serves: Serves) -> Refusal:
    """The answer of `/api/delete`."""
    name = named(body, "model is required")
    if isinstance(name, str) and not serves(name):
        return Refusal(404, f"model '{name}' not found")
    return _not_here(name, "deleting models")


def copy(body: Body, serves: Serves) -> Refusal:
    """The answer of `/api/copy`."""
    if isinstance(body, Refusal):
        return body
    for field in ("source", "destination"):
        name = text_of(body, field)
        if isinstance(name, Refusal):
            return name
        if not is_name(name.strip()):
            return Refusal(400, f'{field} "{name}" is invalid')
    source = str(body["source"])
    return (
        _not_here(source, "copying models") if serves(source) else Refusal(404, f'model "{source}" not found')
    )


def blob(digest: str, upload: bool) -> Refusal:
    """The answer of `/api/blobs/DIGEST`: we have none."""
    if not DIGEST.fullmatch(digest):
        return Refusal(400, "invalid digest format")
    return _not_here("", "storing model files") if upload else Refusal(404, "blob not found")


def account() -> Refusal:
    """The answer of all routes that concern an account at Ollama's cloud, or are relayed to it."""
    return _not_here("", "anything that needs an account at Ollama's cloud")


def _not_here(name: str | Refusal, action: str) -> Refusal:
    return name if isinstance(name, Refusal) else Refusal(501, ELSEWHERE.format(action=action))
