"""How an error outside a model call looks to a client: the form of the family of routes it was asked on.

`/v1/messages` speaks Anthropic's form, `/v1beta` and Google's methods on models Google's, the rest of `/v1` and all of
`/openai` OpenAI's, everything else Ollama's. Model calls themselves are refused by their dialect.
"""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from adapters.dialects.anthropic_chat import VERSION
from adapters.dialects.anthropic_errors import TYPES as ANTHROPIC_TYPES
from adapters.dialects.anthropic_errors import shown_id
from adapters.dialects.google_errors import JSON as GOOGLE_JSON
from adapters.dialects.google_errors import status_of
from adapters.dialects.openai_errors import TYPES as OPENAI_TYPES

ANTHROPIC_VERSION = VERSION.encode()

# Where only Google's clients ask; and on a path of OpenAI's, what no tag of a model is.
# The word at the end is looked at first: so each part of a path is read once, however many colons and words it has.
GOOGLE = re.compile(
    r"(?:/upload)?/v1(?:beta|alpha)(?:/.*)?|/v1/tunedModels/.*"
    r"|/v1/models/.*:(?=\w+\Z)(?:\w*(?:[gG]enerate|[eE]mbed)[A-Z]\w*|countTokens|predict\w*)",
    re.DOTALL,
)


def error_body(path: str, status: int, message: str, request_id: str) -> bytes:
    """The JSON of an error answer to a request for `path`."""
    value: dict[str, Any]
    if is_anthropic(path):
        kind = ANTHROPIC_TYPES.get(status) or _type(status)
        value = {
            "type": "error",
            "error": {"type": kind, "message": message},
            "request_id": shown_id(request_id),
        }
    elif is_google(path):
        value = {"error": {"code": status, "message": message, "status": status_of(status)}}
    elif is_openai(path):
        kind = OPENAI_TYPES.get(status) or _type(status)
        value = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    else:
        value = {"error": message}
    return orjson.dumps(value)


def json_type(path: str) -> str:
    """The content type of JSON on the routes of `path`'s family."""
    if is_google(path):
        return GOOGLE_JSON["content-type"]
    return "application/json" if is_openai(path) or is_anthropic(path) else "application/json; charset=utf-8"


def form_of(path: str, headers: Iterable[tuple[bytes, bytes]]) -> str:
    """A path of the family whose form an answer to `path` has: a route that two families share is told by the headers."""
    if is_openai(path) and any(name == ANTHROPIC_VERSION for name, _ in headers):
        return "/v1/messages"
    return path


def shows_key_in_query(path: str) -> bool:
    """Whether clients of `path` may show their key in the query."""
    return is_google(path)


def is_anthropic(path: str) -> bool:
    """Whether `path` is one of Anthropic's routes."""
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def is_openai(path: str) -> bool:
    """Whether `path` is one of OpenAI's routes, or of those that Azure has for them."""
    return path.startswith(("/v1/", "/openai/")) and not is_anthropic(path)


def is_google(path: str) -> bool:
    """Whether `path` is one of Google's routes."""
    return GOOGLE.fullmatch(path) is not None


def _type(status: int) -> str:
    return "invalid_request_error" if status < 500 else "api_error"
