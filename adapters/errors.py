"""How an error outside a model call looks to a client: the form of the family of routes it was asked on.

`/v1/messages` speaks Anthropic's form, the rest of `/v1` OpenAI's, everything else Ollama's. Model calls themselves are
refused by their dialect.
"""

from typing import Any

import orjson

from adapters.dialects.anthropic_errors import TYPES as ANTHROPIC_TYPES
from adapters.dialects.anthropic_errors import shown_id
from adapters.dialects.openai_errors import TYPES as OPENAI_TYPES


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
    elif is_openai(path):
        kind = OPENAI_TYPES.get(status) or _type(status)
        value = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    else:
        value = {"error": message}
    return orjson.dumps(value)


def json_type(path: str) -> str:
    """The content type of JSON on the routes of `path`'s family."""
    return "application/json" if is_openai(path) or is_anthropic(path) else "application/json; charset=utf-8"


def is_anthropic(path: str) -> bool:
    """Whether `path` is one of Anthropic's routes."""
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def is_openai(path: str) -> bool:
    """Whether `path` is one of OpenAI's routes."""
    return path.startswith("/v1/") and not is_anthropic(path)


def _type(status: int) -> str:
    return "invalid_request_error" if status < 500 else "api_error"
