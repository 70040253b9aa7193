"""Errors of OpenAI's routes: `{"error": {"message", "type", "param", "code"}}`, and whether to come again.

A missing model has no code, as at Ollama's own `/v1`: its type says it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.dialects.names import sent_name
from adapters.dialects.sentences import explained, retry_after
from pipeline.ports import Answer
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

JSON = {"content-type": "application/json"}

TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout",
    429: "rate_limit_error",
    500: "server_error",
    502: "upstream_error",
    503: "overloaded",
    504: "timeout",
}
CODES: Mapping[Kind, str] = {
    Kind.UNAUTHORIZED: "invalid_api_key",
    Kind.CALLER_LIMITED: "rate_limit_exceeded",
    Kind.BUDGET: "insufficient_quota",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA: "insufficient_quota",
    Kind.POLICY: "content_filter",
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.LOSSY: "unsupported_parameter",
}
# Statuses that mean: the same request will fare no better.
FINAL = frozenset({400, 401, 402, 403, 404, 413, 415, 501, 508})
SHED = frozenset({429, 503})


def error_object(problem: Problem, sent: str, exchange_id: str) -> dict[str, Any]:
    """The object under `error`; `sent` is the model's name as the client wrote it."""
    kind = TYPES.get(problem.http_status, "invalid_request_error")
    code = CODES.get(problem.kind)
    param = problem.subject if problem.kind is Kind.BAD_REQUEST else None
    return {"message": _message(problem, sent, exchange_id), "type": kind, "param": param, "code": code}


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
    error = error_object(problem, sent_name(request), exchange_id)
    headers = {**JSON, **retry_after(problem), **_should_retry(problem)}
    return Answer(ReplyHead(problem.http_status, headers), orjson.dumps({"error": error}))


def _should_retry(problem: Problem) -> Mapping[str, str]:
    """What OpenAI's client libraries obey; without it they judge by the status."""
    if problem.kind is Kind.DEADLINE or problem.http_status in FINAL:
        return {"x-should-retry": "false"}
    return {"x-should-retry": "true"} if problem.http_status in SHED else {}
