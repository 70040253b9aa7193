"""Errors of Google's routes: `{"error": {"code", "message", "status", "details"}}`.

`status` is a word of Google's, `details` say which field is wrong and when to come again. Source: https://google.aip.dev/193.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from adapters.dialects.names import sent_name
from adapters.dialects.sentences import EXACT, RETRY_AFTER_MOST_S, explained, retry_after
from pipeline.ports import Answer
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

JSON = {"content-type": "application/json; charset=UTF-8"}

STATUSES: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_KINDS_OF_DETAILS = "type.googleapis.com/google.rpc."


def status_of(code: int) -> str:
    """Google's word for an HTTP status."""
    return STATUSES.get(code) or ("INVALID_ARGUMENT" if code < 500 else "INTERNAL")


def error_value(problem: Problem, sent: str, exchange_id: str) -> dict[str, Any]:
    """The whole JSON of an error; `sent` is the model's name as the client wrote it."""
    code = problem.http_status
    error: dict[str, Any] = {
        "code": code,
        "message": _message(problem, sent, exchange_id),
        "status": status_of(code),
    }
    if details := list(_details(problem)):
        error["details"] = details
    return {"error": error}


def _message(problem: Problem, sent: str, exchange_id: str) -> str:
    match problem.kind:
        case Kind.UNKNOWN_MODEL | Kind.NOT_FOUND if sent:
            return f"models/{sent} is not found"
        case Kind.UNSUPPORTED if sent and problem.subject and not problem.detail:
            return f"models/{sent} does not support {problem.subject}"
        case _:
            return explained(problem, exchange_id)


def _details(problem: Problem) -> Iterator[dict[str, Any]]:
    if problem.kind is Kind.BAD_REQUEST and problem.subject:
        violation = {"field": problem.subject, "description": problem.detail}
        yield {"@type": f"{_KINDS_OF_DETAILS}BadRequest", "fieldViolations": [violation]}
    if problem.http_status in (429, 503) and problem.retry_after:
        seconds = (
            problem.retry_after if problem.kind in EXACT else min(problem.retry_after, RETRY_AFTER_MOST_S)
        )
        yield {"@type": f"{_KINDS_OF_DETAILS}RetryInfo", "retryDelay": f"{seconds:g}s"}


def refuse(problem: Problem, request: Request | None, exchange_id: str) -> Answer:
    """The whole error answer."""
    value = error_value(problem, sent_name(request), exchange_id)
    return Answer(ReplyHead(problem.http_status, {**JSON, **retry_after(problem)}), orjson.dumps(value))
