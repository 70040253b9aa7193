"""What Google's routes share: the model and the method in the path, and numbers as protocol buffers' JSON takes them."""

import re
from typing import Any
from urllib.parse import parse_qs

from attrs import frozen

from adapters.dialects.body import read_request
from adapters.dialects.fields import Faults, Fields
from adapters.dialects.google_spelling import Shape, respelt
from adapters.dialects.names import not_from_clients
from adapters.dialects.openai_fields import STRICT, wrong_type
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem

VERSIONS = "v1beta|v1alpha|v1"
_PLACE = re.compile(rf"/(?:{VERSIONS})/(?:models/(.+)|(tunedModels/.+)):(\w+)")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?")


@frozen
class Place:
    """What the address of a call says. `framed`: a stream is to come as server-sent events."""

    model: str
    method: str
    framed: bool


def routes(*methods: str) -> re.Pattern[str]:
    """What matches the paths of these methods."""
    return re.compile(rf"/(?:{VERSIONS})/(?:models|tunedModels)/.+:(?:{'|'.join(methods)})")


def place(url: str) -> Place | Problem:
    """The model and the method that path and query name. The model's name may hold any `/` and `:`."""
    path, _, query = url.partition("?")
    found = _PLACE.fullmatch(path)
    if found is None:
        return Problem(Kind.BAD_REQUEST, "the path must end in models/MODEL:METHOD", "model")
    return Place(found[1] or found[2], found[3], parse_qs(query).get("alt") == ["sse"])


def open_fields(http: HttpRequest, model: str, shape: Shape) -> Fields | Problem:
    """The fields of a request's body, in camel case, with the model's name as `model`."""
    body = read_request(http, STRICT)
    if isinstance(body, Problem):
        return body
    fields = Fields({**respelt(body, http.body, shape), "model": model}, Faults(wrong_type))
    if unwanted := not_from_clients(body):
        fields.faults.note(f"{unwanted} is not accepted from clients", unwanted)
    return fields


def whole(fields: Fields, name: str) -> int | None:
    """A whole number, which may be written as a text or with a fraction of 0."""
    value: Any = fields.values.get(name)
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and _WHOLE.fullmatch(value):
        return int(value)
    return fields.whole(name)


def number(fields: Fields, name: str) -> float | None:
    """Any number, which may be written as a text."""
    value: Any = fields.values.get(name)
    return float(value) if type(value) is str and _NUMBER.fullmatch(value) else fields.number(name)


def word(fields: Fields, name: str) -> str:
    """A word of an enumeration, in capitals; what is not specified is nothing."""
    found = (fields.text(name) or "").upper()
    return "" if found.endswith("_UNSPECIFIED") else found
