"""Ollama's management of models on disk, of which the house has none of its own.

Where it is let through, it is for an Ollama among the providers: `directed` says for which, and by what names. Where it is
not, the house says so, in Ollama's own order: the checks a real server makes first are made too, so that a client with a
fault of its own learns of that fault. All functions are pure.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from adapters.dialects.body import Rules, json_kind, read_object
from adapters.dialects.fields import folded
from adapters.dialects.names import is_name
from pipeline.values.problems import Problem

DIGEST = re.compile(r"sha256[:-][0-9a-fA-F]{64}")

ELSEWHERE = (
    "{action} is not done here: this gateway serves the models of its providers and keeps none itself. "
    "Ask the Ollama server itself (OLLAMA_HOST), let it through to an Ollama among the providers "
    "(OLLAMA_ALLOW_MANAGEMENT=true), or see /api/tags for what is served here"
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


@frozen
class Directed:
    """A management request as an Ollama is to get it.

    `place`: the Ollama that its names name, if they do. `streams`: whether its progress is wanted as it comes.
    """

    body: bytes
    place: str | None
    streams: bool


def directed(data: bytes, owner: str, names: Iterable[str], places: Collection[str]) -> Directed | Refusal:
    """The request in `data` with each model called by its own name.

    Clients may call it by the Ollama that has it as well (`ollama/llama3`). `names`: the fields that name models; `places`:
    the Ollamas there are. Whatever else is in it is for the server to judge.
    """
    body = body_object(data, owner)
    if isinstance(body, Refusal):
        return body
    named = {name: body[name] for name in names if isinstance(body.get(name), str)}
    apart = {name: qualified(value, places) for name, value in named.items()}
    found = sorted({place for place, _ in apart.values() if place})
    if len(found) > 1:
        return Refusal(400, f"the models are at different servers: {', '.join(found)}")
    streams = body.get("stream") is not False
    if not found:
        return Directed(data, None, streams)
    own = {name: model for name, (_, model) in apart.items()}
    return Directed(json.dumps({**body, **own}).encode(), found[0], streams)


def qualified(name: str, places: Collection[str]) -> tuple[str | None, str]:
    """The place a model's name begins with, if that is one of `places`, and the rest of the name."""
    place, _, own = name.strip().partition("/")
    return (place.lower(), own) if own and place.lower() in places else (None, name)


def place_asked(header: str, places: Collection[str]) -> str | Refusal:
    """The first Ollama that `X-Provider` names."""
    wanted = (name.strip().lower() for name in header.partition(";")[0].split(","))
    found = next((name for name in wanted if name in places), None)
    if found is None:
        return Refusal(400, f"X-Provider names no Ollama of this proxy; it has: {', '.join(places)}")
    return found


@frozen
class Pulled:
    """The answer where the model is here already. `streams`: whether progress is wanted as it comes."""

    streams: bool

    @property
    def content_type(self) -> str:
        """Lines for a stream, else one object."""
        return "application/x-ndjson" if self.streams else "application/json; charset=utf-8"

    @property
    def body(self) -> bytes:
        """What Ollama says first and last."""
        return (
            b'{"status":"pulling manifest"}\n{"status":"success"}\n'
            if self.streams
            else b'{"status":"success"}'
        )


def pull(body: Body, serves: Serves) -> Refusal | Pulled:
    """The answer of `/api/pull`. Programs pull what they do not find in the list under the very name they know."""
    name = named(body, "invalid model name")
    if isinstance(name, Refusal) or isinstance(body, Refusal):
        return _not_here(name, "pulling models")
    return Pulled(body.get("stream") is not False) if serves(name) else _not_here(name, "pulling models")


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
