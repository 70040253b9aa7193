"""Errors of Anthropic's routes: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.dialects.names import sent_name
from adapters.dialects.openai_errors import FINAL, SHED
from adapters.dialects.sentences import explained, retry_after
from pipeline.ports import Answer
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

JSON = {"content-type": "application/json"}

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# The status by which this API says that it is overloaded.
OVERLOADED = 529


def shown_id(exchange_id: str) -> str:
    """A request's id as this API shows it: by its first letters clients tell what kind of id it is."""
    return f"req_{exchange_id.removeprefix('req_')}"


def error_value(problem: Problem, sent: str, exchange_id: str) -> dict[str, Any]:
    """The whole JSON of an error; `sent` is the model's name as the client wrote it."""
    status = problem.http_status
    kind = TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": _message(problem, sent, exchange_id)}
    return {"type": "error", "error": error, "request_id": shown_id(exchange_id)}


def _message(problem: Problem, sent: str, exchange_id: str) -> str:
    match problem.kind:
        case Kind.UNKNOWN_MODEL | Kind.NOT_FOUND if sent:
            return f"model '{sent}' not found"
        case Kind.UNSUPPORTED if sent and problem.subject and not problem.detail:
            return f'"{sent}" does not support {problem.subject}'
        case _:
            return explained(problem, exchange_id)


def refuse(problem: Problem, request: Request | None, exchange_id: str) -> Answer:
    """The whole error answer."""
    status = OVERLOADED if problem.http_status == 503 else problem.http_status
    headers = {**JSON, "request-id": shown_id(exchange_id), **retry_after(problem), **_should_retry(problem)}
    value = error_value(problem, sent_name(request), exchange_id)
    return Answer(ReplyHead(status, headers), orjson.dumps(value))


def _should_retry(problem: Problem) -> Mapping[str, str]:
    """What Anthropic's client libraries obey; without it they judge by the status."""
    if problem.kind is Kind.DEADLINE or problem.http_status in FINAL:
        return {"x-should-retry": "false"}
    return {"x-should-retry": "true"} if problem.http_status in SHED else {}
