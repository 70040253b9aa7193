"""What Google's errors mean: their status, and what stands in their details.

One number covers too much there: 429 is a limit of the minute or of the day, 400 a wrong key or a text too long. The
details of an error tell them apart, and when to come again.
Sources (2026-11): https://ai.google.dev/gemini-api/docs/troubleshooting, https://ai.google.dev/gemini-api/docs/rate-limits,
https://google.aip.dev/193.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import evolve, frozen

from adapters.providers.errors import WORDS, cleaned, complaint, problem_of, read_complaint
from adapters.providers.limits import duration
from pipeline.values.http import Headers, ReplyHead
from pipeline.values.problems import Kind, Problem

_REASONS: Mapping[str, Kind] = {
    "API_KEY_INVALID": Kind.AUTH,
    "API_KEY_EXPIRED": Kind.AUTH,
    "API_KEY_SERVICE_BLOCKED": Kind.AUTH,
    "SERVICE_DISABLED": Kind.AUTH,
    "CONSUMER_SUSPENDED": Kind.AUTH,
    "IAM_PERMISSION_DENIED": Kind.AUTH,
    "BILLING_DISABLED": Kind.QUOTA,
}
_BY_STATUS: Mapping[str, Kind] = {
    "UNAUTHENTICATED": Kind.AUTH,
    "UNAVAILABLE": Kind.OVERLOADED,
    "CANCELLED": Kind.RETRYABLE,
    "ABORTED": Kind.RETRYABLE,
}
_TOO_LONG = re.compile(r"token count.{0,60}exceeds|exceeds the maximum number of tokens", re.IGNORECASE)
_REGION = re.compile(r"location is not supported|not available in your (country|region)", re.IGNORECASE)
_PER_DAY = re.compile(r"PerDay", re.IGNORECASE)
# The kinds at which the client helps itself better with the provider's words.
_TOLD = frozenset({Kind.POLICY, Kind.CONTEXT_LENGTH})


@frozen
class _Details:
    """What an error's details say. `limited`: a limit was named; `spent`: one that no waiting of minutes mends."""

    reasons: tuple[str, ...] = ()
    retry_s: float | None = None
    limited: bool = False
    spent: bool = False


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify` of Google; total."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return problem_of(head.status, read_complaint(body), head.headers)
    return problem(head.status, document, head.headers)


def problem(status: int | None, document: Any, headers: Headers) -> Problem:
    """The Problem of an error document; `status` None: the one it names itself."""
    said, details = complaint(document), _details(document)
    code = status or said.status or 500
    found = problem_of(code, said, headers)
    kind = _kind(code, said.message, said.codes, details)
    if kind is not None and kind is not found.kind:
        told = cleaned(said.message) if kind in _TOLD else ""
        detail = f"{WORDS[kind]}: {told}" if told else WORDS[kind]
        found = Problem(kind, detail, retry_after=found.retry_after)
    return found if details.retry_s is None else evolve(found, retry_after=details.retry_s)


def _kind(code: int, message: str, codes: tuple[str, ...], details: _Details) -> Kind | None:
    """The kind, where Google's own words say more than the status and what all providers say."""
    by_reason = next((_REASONS[reason] for reason in details.reasons if reason in _REASONS), None)
    if by_reason is not None:
        return by_reason
    if code == 429 and (details.limited or details.retry_s is not None):
        # Its words speak of quota and billing whatever the limit is.
        return Kind.QUOTA if details.spent else Kind.RATE_LIMITED
    if code == 400 and _TOO_LONG.search(message):
        return Kind.CONTEXT_LENGTH
    if code in (400, 403) and _REGION.search(message):
        return Kind.POLICY
    return next((_BY_STATUS[word] for word in codes if word in _BY_STATUS), None)


def _details(document: Any) -> _Details:
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    listed = error.get("details") if isinstance(error, dict) else None
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    violations = [
        violation
        for entry in entries
        if isinstance(entry.get("violations"), list)
        for violation in entry["violations"]
        if isinstance(violation, dict)
    ]
    return _Details(
        tuple(entry["reason"] for entry in entries if isinstance(entry.get("reason"), str)),
        next((seconds for entry in entries if (seconds := _delay(entry)) is not None), None),
        bool(violations),
        any(_is_spent(violation) for violation in violations),
    )


def _delay(entry: dict[str, Any]) -> float | None:
    told = entry.get("retryDelay")
    return duration(told) if isinstance(told, str) else None


def _is_spent(violation: dict[str, Any]) -> bool:
    """A limit of the day, or one of 0: the model is not in this plan."""
    return bool(_PER_DAY.search(str(violation.get("quotaId")))) or str(violation.get("quotaValue")) == "0"
