"""What a provider's error means, read off its status and the few forms in which providers say what is wrong.

The provider's own words decide nothing that its status or code does, and never reach a client but where the client
itself is at fault; then short, and with all that looks like a secret masked.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import frozen

from adapters.providers.limits import retry_after
from pipeline.values.http import Headers, ReplyHead
from pipeline.values.problems import Kind, Problem

WORDS: Mapping[Kind, str] = {
    Kind.REDIRECT: "the provider sent us elsewhere, and we do not follow",
    Kind.AUTH: "the provider does not accept our credentials",
    Kind.QUOTA: "our quota at the provider is used up",
    Kind.RATE_LIMITED: "the provider limits our rate",
    Kind.OVERLOADED: "the provider is overloaded",
    Kind.NOT_FOUND: "the provider does not have this model",
    Kind.RETRYABLE: "the provider asks to be called again",
    Kind.SERVER: "the provider failed",
    Kind.GARBLED: "the provider's answer cannot be read",
    Kind.STREAM_ERROR: "the provider's answer broke off",
    Kind.POLICY: "the provider refuses this content",
    Kind.INVALID: "the provider does not accept this request",
    Kind.CONTEXT_LENGTH: "the request is too long for this model",
}

# Kinds at which the client helps itself better with the provider's words.
_TOLD = frozenset({Kind.POLICY, Kind.INVALID, Kind.CONTEXT_LENGTH})

_BY_STATUS: Mapping[int, Kind] = {
    401: Kind.AUTH,
    402: Kind.QUOTA,
    403: Kind.AUTH,
    404: Kind.NOT_FOUND,
    405: Kind.NOT_FOUND,
    407: Kind.AUTH,
    408: Kind.RETRYABLE,
    409: Kind.RETRYABLE,
    410: Kind.NOT_FOUND,
    425: Kind.RETRYABLE,
    429: Kind.RATE_LIMITED,
    451: Kind.POLICY,
    529: Kind.OVERLOADED,
}

# The statuses at which a code or the words say more than the status, and what may be read there.
_FINER: Mapping[int, tuple[Kind, ...]] = {
    400: (Kind.CONTEXT_LENGTH, Kind.POLICY, Kind.QUOTA, Kind.NOT_FOUND, Kind.AUTH),
    403: (Kind.QUOTA, Kind.POLICY, Kind.NOT_FOUND),
    413: (Kind.CONTEXT_LENGTH,),
    422: (Kind.CONTEXT_LENGTH, Kind.POLICY),
    429: (Kind.QUOTA,),
    500: (Kind.OVERLOADED,),
    503: (Kind.OVERLOADED,),
}

_CODES: Mapping[str, Kind] = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "string_above_max_length": Kind.CONTEXT_LENGTH,
    "content_policy_violation": Kind.POLICY,
    "content_filter": Kind.POLICY,
    "invalid_prompt": Kind.POLICY,
    "moderation_blocked": Kind.POLICY,
    "unsupported_country_region_territory": Kind.POLICY,
    "insufficient_quota": Kind.QUOTA,
    "billing_hard_limit_reached": Kind.QUOTA,
    "billing_not_active": Kind.QUOTA,
    "quota_exceeded": Kind.QUOTA,
    "access_terminated": Kind.AUTH,
    "account_deactivated": Kind.AUTH,
    "invalid_api_key": Kind.AUTH,
    "authentication_error": Kind.AUTH,
    "model_not_found": Kind.NOT_FOUND,
    "unknown_model": Kind.NOT_FOUND,
    "server_overloaded": Kind.OVERLOADED,
    "engine_overloaded": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "overloaded": Kind.OVERLOADED,
}

_PHRASES: tuple[tuple[Kind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile("|".join(patterns), re.IGNORECASE))
    for kind, patterns in (
        (
            Kind.CONTEXT_LENGTH,
            (
                r"context (length|window|size)",
                r"maximum context",
                r"(prompt|input|message)s? (is |are |has |have )?(too long|exceed)",
                r"(prompt|input) length",
                r"too many (input )?tokens",
            ),
        ),
        (
            Kind.POLICY,
            (
                r"content[ _](policy|filter|management)",
                r"usage polic(y|ies)",
                r"safety system",
                r"country, region",
            ),
        ),
        (
            Kind.QUOTA,
            (
                r"insufficient (quota|balance|credit|funds)",
                r"exceeded your current quota",
                r"billing",
                r"(usage|spend|key) limit",
            ),
        ),
        (
            Kind.NOT_FOUND,
            (
                r"model.{0,80}(not found|not exist|not have access)",
                r"not have access.{0,20}model",
                r"not a valid model",
            ),
        ),
        (Kind.AUTH, (r"(invalid|incorrect|expired) api key", r"api key (not valid|expired)")),
        (Kind.OVERLOADED, (r"overload", r"server busy", r"at capacity", r"slow down")),
    )
)

# Statuses by the type of an error that came inside a 200 and names no status.
_TYPES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "tokens": 429,
    "requests": 429,
    "overloaded_error": 529,
    "billing_error": 402,
    "timeout_error": 504,
}


@frozen
class Complaint:
    """What a provider said is wrong; empty where it did not say. `status`: the one it named inside the body."""

    message: str = ""
    codes: tuple[str, ...] = ()
    param: str | None = None
    status: int | None = None


def complaint(document: Any) -> Complaint:
    """What an error document says, in any of the forms providers use; total.

    Forms: `{"error": {"message", "type", "code", "param"}}`, the same without `error`, `{"error": "text"}`, and a list
    with one of these. What a router tells of the server behind it, in `metadata`, counts as well.
    """
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return Complaint()
    inner = document.get("error") or document
    if isinstance(inner, str):
        return Complaint(inner)
    if not isinstance(inner, dict):
        return Complaint()
    said, metadata = _said(inner), inner.get("metadata")
    return _handed_on(said, metadata) if isinstance(metadata, dict) else said


def _said(inner: dict[str, Any]) -> Complaint:
    message, param = inner.get("message"), inner.get("param")
    codes = tuple(inner[key] for key in ("code", "type", "status") if isinstance(inner.get(key), str))
    return Complaint(
        message if isinstance(message, str) else "",
        codes,
        param if isinstance(param, str) else None,
        next(
            (_status(inner.get(key)) for key in ("code", "status", "status_code") if _status(inner.get(key))),
            None,
        ),
    )


def _handed_on(said: Complaint, metadata: dict[str, Any]) -> Complaint:
    """A router's complaint with that of the server it asked: their words and codes tell more than its own."""
    behind, raw = Complaint(), metadata.get("raw")
    if isinstance(raw, str):
        document = _document(raw)
        inner = document.get("error", document) if isinstance(document, dict) else document
        behind = (
            _said(inner) if isinstance(inner, dict) else Complaint(inner if isinstance(inner, str) else "")
        )
    kind = metadata.get("error_type")
    flagged = bool(metadata.get("reasons")) or "flagged_input" in metadata
    codes = (("moderation_blocked",) if flagged else ()) + ((kind,) if isinstance(kind, str) else ())
    return Complaint(
        behind.message or said.message,
        (*codes, *said.codes, *behind.codes),
        said.param or behind.param,
        said.status,
    )


def _document(text: str) -> Any:
    """The JSON in a text; else the text, unless it is a page."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return "" if text.lstrip().startswith("<") else text


def _status(value: Any) -> int | None:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def read_complaint(body: bytes) -> Complaint:
    """What an error body says. Plain text speaks for itself; a page of some machine between us says nothing."""
    try:
        return complaint(orjson.loads(body))
    except orjson.JSONDecodeError:
        said = body[:2000].decode("utf-8", "replace").strip()
        return Complaint("" if said.startswith("<") else said)


def classify(head: ReplyHead, body: bytes) -> Problem:
    """The Problem of a refused call; total over statuses and bodies."""
    return problem_of(head.status, read_complaint(body), head.headers)


def problem_within(said: Complaint) -> Problem:
    """The Problem of an error that came inside a 200, before any content."""
    status = said.status or next((_TYPES[code] for code in said.codes if code in _TYPES), None)
    if status is None:
        kind = next((_CODES[code] for code in said.codes if code in _CODES), None)
        status = 400 if kind in _FINER[400] else 503 if kind else 500
    return problem_of(status, said, {})


def problem_of(status: int, said: Complaint, headers: Headers) -> Problem:
    """The Problem of a status and what was said with it."""
    kind = _kind(status, said)
    detail = WORDS[kind]
    subject = None
    if kind in _TOLD:
        told = cleaned(said.message)
        detail = f"{detail}: {told}" if told else detail
        subject = said.param if said.param and re.fullmatch(r"[\w.\[\]-]{1,100}", said.param) else None
    return Problem(
        kind,
        detail,
        subject=subject,
        retry_after=retry_after(headers, said.message),
        status=status if _tells_more(kind, status) else None,
    )


def _tells_more(kind: Kind, status: int) -> bool:
    """Whether the client is better served with the provider's own status than with that of the kind."""
    return (kind is Kind.INVALID and status in (413, 422)) or (kind is Kind.SERVER and status in (503, 504))


def _kind(status: int, said: Complaint) -> Kind:
    if 300 <= status < 400:
        return Kind.REDIRECT
    finer = _FINER.get(status, ())
    by_code = next((_CODES[code] for code in said.codes if code in _CODES), None)
    if by_code in finer:
        return by_code
    for kind, pattern in _PHRASES:
        if kind in finer and pattern.search(said.message):
            return kind
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return Kind.INVALID
    return Kind.SERVER if status >= 500 else Kind.GARBLED


_SECRETS = re.compile(
    r"\b(?:sk|pk|rk|key|gsk|xai|AIza|ghp|hf)[-_][\w*.-]{4,}|AIza[\w-]{10,}|\bBearer\s+\S+|[A-Za-z0-9+/_=*-]{20,}",
    re.IGNORECASE,
)
_PLAIN_WORD = re.compile(r"[A-Za-z]+(?:[_-][A-Za-z]+)*")


def cleaned(message: str) -> str:
    """A provider's words as a client may see them: one line, at most 300 characters, keys and tokens masked."""
    line = " ".join("".join(char if char.isprintable() else " " for char in message[:2000]).split())
    # Long words of letters alone, such as names of parameters, are no secrets.
    masked = _SECRETS.sub(lambda found: found[0] if _PLAIN_WORD.fullmatch(found[0]) else "***", line)
    return masked if len(masked) <= 300 else masked[:299] + "…"
