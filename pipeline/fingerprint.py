"""When two exchanges ask for the same, so that one answer is right for both."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import attrs
import orjson

from pipeline.values.exchange import Exchange
from pipeline.values.messages import ChatRequest, EmbedRequest, Request

# What a request says about itself and not about its answer.
OWN = frozenset(
    {"id", "arrived", "deadline", "caller", "priority", "forwarded", "plan", "client_retry", "explain"}
)


def repeatable(request: Request) -> bool:
    """Whether the same request asks for the same answer: nothing is left to chance. Vectors never are."""
    if isinstance(request, EmbedRequest):
        return True
    if not isinstance(request, ChatRequest) or request.stateful:
        return False
    return request.sampling.temperature == 0 or request.sampling.seed is not None


def fingerprint(exchange: Exchange) -> bytes:
    """Equal for exchanges of one key, under the same rules, that ask for the same in the same form, and for no others."""
    asked = [
        (name, _plain(getattr(exchange, name)))
        for name in (field.name for field in attrs.fields(Exchange))
        if name not in OWN
    ]
    caller = exchange.caller
    who = [caller.key, sorted(caller.models), sorted(caller.providers)]
    return sha256(orjson.dumps([who, asked], default=repr)).digest()


def _plain(value: Any) -> Any:
    """A value in lists alone, each with its type, so that only equal values look equal. Keys are put in order."""
    match value:
        case Mapping():
            return [[name, _plain(item)] for name, item in sorted(value.items())]
        case tuple() | list():
            return [type(value).__name__, *map(_plain, value)]
        case _ if attrs.has(type(value)):
            own = (_plain(getattr(value, field.name)) for field in attrs.fields(type(value)))
            return [type(value).__name__, *own]
    return value
