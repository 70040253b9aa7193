"""What an error of Bedrock means, by the name of its exception; where that says too little, by its words.

A refused call names it in the header `x-amzn-errortype`, a stream in the message that ends it, some bodies in `__type`.
Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html (2026-11).
"""

import re
from collections.abc import Mapping
from typing import Any

from adapters.providers import errors
from adapters.providers.errors import WORDS, cleaned
from adapters.providers.limits import retry_after
from adapters.providers.replies import parsed
from pipeline.values.http import Headers, ReplyHead
from pipeline.values.problems import Kind, Problem

_NAMED: Mapping[str, Kind] = {
    "throttling": Kind.RATE_LIMITED,
    "toomanyrequests": Kind.RATE_LIMITED,
    "requestlimitexceeded": Kind.RATE_LIMITED,
    "servicequotaexceeded": Kind.QUOTA,
    "accessdenied": Kind.AUTH,
    "unrecognizedclient": Kind.AUTH,
    "invalidclienttokenid": Kind.AUTH,
    "invalidsignature": Kind.AUTH,
    "signaturedoesnotmatch": Kind.AUTH,
    "incompletesignature": Kind.AUTH,
    "missingauthenticationtoken": Kind.AUTH,
    "expiredtoken": Kind.AUTH,
    "requestexpired": Kind.AUTH,
    "requesttimetooskewed": Kind.AUTH,
    "notauthorized": Kind.AUTH,
    "optinrequired": Kind.AUTH,
    "resourcenotfound": Kind.NOT_FOUND,
    "unknownoperation": Kind.NOT_FOUND,
    "modelnotready": Kind.OVERLOADED,
    "serviceunavailable": Kind.OVERLOADED,
    "modeltimeout": Kind.RETRYABLE,
    "conflict": Kind.RETRYABLE,
    "modelerror": Kind.SERVER,
    "modelstreamerror": Kind.SERVER,
    "internalserver": Kind.SERVER,
    "internalfailure": Kind.SERVER,
    "validation": Kind.INVALID,
    "serialization": Kind.INVALID,
    "requestentitytoolarge": Kind.INVALID,
}

# What the words of one kind make of it.
_FINER: Mapping[Kind, tuple[tuple[Kind, re.Pattern[str]], ...]] = {
    kind: tuple((finer, re.compile(pattern, re.IGNORECASE)) for finer, pattern in patterns)
    for kind, patterns in {
        Kind.INVALID: (
            (
                Kind.CONTEXT_LENGTH,
                r"(input|prompt|request) is too long|too many (input )?tokens|context (length|window|limit)"
                r"|input tokens? .{0,40}exceed|maximum (number of )?(input )?tokens|max input tokens",
            ),
            (Kind.POLICY, r"content filter|blocked by .{0,40}(policy|filter|guardrail)|usage polic"),
            (
                Kind.NOT_FOUND,
                r"model identifier is invalid|on-demand throughput|end of its life|not have access to the model"
                r"|model.{0,80}not (found|supported in this region)",
            ),
            (Kind.AUTH, r"operation not allowed|security token"),
        ),
        Kind.AUTH: ((Kind.NOT_FOUND, r"access to the model|model access|use case details"),),
        Kind.RATE_LIMITED: ((Kind.QUOTA, r"per day"),),
    }.items()
}
_PROFILE = re.compile(r"on-demand throughput", re.IGNORECASE)
_PROFILE_WANTED = (
    "the provider has this model only under the id of a profile: us., eu., apac. or global. before its name"
)
_TOLD = frozenset({Kind.POLICY, Kind.INVALID, Kind.CONTEXT_LENGTH})


def classify(head: ReplyHead, body: bytes) -> Problem:
    """`Codec.classify`."""
    document = parsed(body)
    name, message = told(document)
    name = head.headers.get("x-amzn-errortype") or name
    known = problem_named(name, message, head.headers)
    if known is not None:
        return known
    if head.status == 400 and message:
        return _problem(Kind.INVALID, message, head.headers)
    if head.status == 403 and message:
        return _problem(Kind.AUTH, message, head.headers)
    if head.status == 424:
        return _problem(Kind.SERVER, message, head.headers)
    return errors.classify(head, body)


def told(document: Any) -> tuple[str, str]:
    """The name of the exception and the message in a body, each empty where it does not say."""
    if not isinstance(document, dict):
        return "", ""
    words = (document.get(key) for key in ("message", "Message", "errorMessage"))
    names = (document.get(key) for key in ("__type", "code"))
    return (
        next((name for name in names if isinstance(name, str)), ""),
        next((word for word in words if isinstance(word, str)), ""),
    )


def problem_named(name: str, message: str, headers: Headers) -> Problem | None:
    """The Problem of an exception of that name; None if nobody knows it.

    Forms: `ValidationException:http://...`, `com.amazon.coral.validate#ValidationException`, `validationException`.
    """
    short = name.partition(":")[0].rpartition("#")[2].lower().removesuffix("exception")
    kind = _NAMED.get(short) or _NAMED.get(short.removesuffix("error"))
    return None if kind is None else _problem(kind, message, headers)


def _problem(kind: Kind, message: str, headers: Headers) -> Problem:
    kind = next((finer for finer, words in _FINER.get(kind, ()) if words.search(message)), kind)
    detail = WORDS[kind]
    if kind in _TOLD and message:
        detail = f"{detail}: {cleaned(message)}"
    elif kind is Kind.NOT_FOUND and _PROFILE.search(message):
        detail = _PROFILE_WANTED
    return Problem(kind, detail, retry_after=retry_after(headers, message))
