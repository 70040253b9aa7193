"""What can go wrong, and what follows from it, in one table.

Expected failures are `Problem` values; exceptions are for bugs and for `ConfigError`. How a problem looks to a client
is the dialect's alone to say. A secret, or the text a provider wrote, never enters `detail`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from attrs import evolve, frozen


class Kind(StrEnum):
    """The classes of failure. The first group is the client's or the house's, the second an upstream's."""

    BAD_REQUEST = "bad_request"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    TIMED_OUT = "timed_out"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNKNOWN_MODEL = "unknown_model"
    CALLER_LIMITED = "caller_limited"
    BUDGET = "budget"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    NO_TARGET = "no_target"
    LOCAL_LIMIT = "local_limit"
    LOSSY = "lossy"
    DEADLINE = "deadline"
    SHUTTING_DOWN = "shutting_down"
    NOT_IMPLEMENTED = "not_implemented"
    LOOP = "loop"
    INTERNAL = "internal"

    CONNECT = "connect"
    TLS_INVALID = "tls_invalid"
    WRITE_OR_RESET = "write_or_reset"
    FIRST_BYTE = "first_byte"
    TOTAL = "total"
    RETRYABLE = "retryable"
    RATE_LIMITED = "rate_limited"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    SERVER = "server"
    AUTH = "auth"
    POLICY = "policy"
    INVALID = "invalid"
    CONTEXT_LENGTH = "context_length"
    NOT_FOUND = "not_found"
    GARBLED = "garbled"
    REDIRECT = "redirect"
    STREAM_ERROR = "stream_error"


Again: TypeAlias = Literal["yes", "once", "hint", "no"]
Signal: TypeAlias = Literal["hard", "soft", "cool_down", "neutral"]
Outcome: TypeAlias = Literal[
    "ok", "client_error", "rejected", "upstream_error", "truncated", "cancelled", "deadline"
]


@frozen
class Rule:
    """What follows from a kind, before the first content has reached the client (afterwards nothing is tried again).

    `same`: may the same target be asked again (`hint`: only after the upstream's own short hint). `other`: may the next
    target be asked. `signal`: how it counts against the target. `status`: the HTTP status the client sees.
    `usefulness`: which problem is told when all attempts failed, higher wins.
    """

    status: int
    same: Again = "no"
    other: bool = False
    signal: Signal = "neutral"
    outcome: Outcome = "upstream_error"
    usefulness: int = 0


RULES: Mapping[Kind, Rule] = {
    Kind.BAD_REQUEST: Rule(400, outcome="client_error"),
    Kind.UNSUPPORTED: Rule(400, other=True, outcome="client_error", usefulness=7),
    Kind.TOO_LARGE: Rule(413, outcome="client_error"),
    Kind.UNSUPPORTED_MEDIA: Rule(415, outcome="client_error"),
    Kind.TIMED_OUT: Rule(408, outcome="client_error"),
    Kind.UNAUTHORIZED: Rule(401, outcome="client_error"),
    Kind.FORBIDDEN: Rule(403, outcome="client_error"),
    Kind.UNKNOWN_MODEL: Rule(404, outcome="client_error"),
    Kind.CALLER_LIMITED: Rule(429, outcome="rejected"),
    Kind.BUDGET: Rule(402, other=True, outcome="rejected", usefulness=6),
    Kind.QUEUE_FULL: Rule(503, outcome="rejected"),
    Kind.QUEUE_TIMEOUT: Rule(503, outcome="rejected"),
    Kind.NO_TARGET: Rule(503, outcome="rejected"),
    Kind.LOCAL_LIMIT: Rule(503, other=True, outcome="rejected"),
    Kind.LOSSY: Rule(400, other=True, outcome="client_error", usefulness=3),
    Kind.DEADLINE: Rule(504, outcome="deadline"),
    Kind.SHUTTING_DOWN: Rule(503, outcome="rejected"),
    Kind.NOT_IMPLEMENTED: Rule(501, outcome="client_error"),
    Kind.LOOP: Rule(508, outcome="client_error"),
    Kind.INTERNAL: Rule(500),
    Kind.CONNECT: Rule(502, "yes", True, "hard", usefulness=1),
    Kind.TLS_INVALID: Rule(502, "no", True, "hard", usefulness=1),
    Kind.WRITE_OR_RESET: Rule(502, "once", True, "hard", usefulness=2),
    Kind.FIRST_BYTE: Rule(504, "no", True, "hard", usefulness=4),
    Kind.TOTAL: Rule(504, "no", True, "hard", usefulness=4),
    Kind.RETRYABLE: Rule(502, "yes", True, "soft", usefulness=2),
    Kind.RATE_LIMITED: Rule(429, "hint", True, "cool_down", usefulness=6),
    Kind.QUOTA: Rule(503, "no", True, "cool_down", usefulness=3),
    Kind.OVERLOADED: Rule(503, "yes", True, "soft", usefulness=5),
    Kind.SERVER: Rule(502, "yes", True, "hard", usefulness=3),
    Kind.AUTH: Rule(502, "no", True, "cool_down", usefulness=2),
    Kind.POLICY: Rule(400, "no", False, "neutral", "client_error", usefulness=8),
    Kind.INVALID: Rule(400, "no", False, "neutral", "client_error", usefulness=8),
    Kind.CONTEXT_LENGTH: Rule(400, "no", False, "neutral", "client_error", usefulness=8),
    Kind.NOT_FOUND: Rule(404, "no", True, "neutral", "client_error", usefulness=7),
    Kind.GARBLED: Rule(502, "once", True, "hard", usefulness=3),
    Kind.REDIRECT: Rule(502, "no", True, "hard", usefulness=3),
    Kind.STREAM_ERROR: Rule(502, "no", False, "hard", usefulness=3),
}


@frozen
class Problem:
    """One expected failure.

    `detail`: words for the client, in our own voice. `subject`: what it is about, for the dialect to phrase (a
    capability for `UNSUPPORTED`, the field of a bad request). `target`: the target's name. `status`: only where the
    answer must carry another status than the table's (an upstream's own 413, Ollama's 500 for a wrong option).
    `retry_after`: seconds from now.
    """

    kind: Kind
    detail: str = ""
    subject: str | None = None
    target: str | None = None
    retry_after: float | None = None
    status: int | None = None

    @property
    def rule(self) -> Rule:
        """The row of the table."""
        return RULES[self.kind]

    @property
    def http_status(self) -> int:
        """The status the client sees."""
        return self.status or RULES[self.kind].status

    def at(self, target: str) -> "Problem":
        """The same problem, met at `target`."""
        return evolve(self, target=target)


def most_useful(problems: tuple[Problem, ...]) -> Problem:
    """Of the problems of several failed attempts the one that tells the client most; the latest among equals.

    A rate limit is told as one only if every attempt met it, and so is a missing model: else the service as a whole is
    not what the status would claim.
    """
    everywhere = {Kind.RATE_LIMITED, Kind.NOT_FOUND}
    shared = {kind for kind in everywhere if all(problem.kind is kind for problem in problems)}
    pool = [problem for problem in problems if problem.kind not in everywhere - shared] or list(problems)
    return max(reversed(pool), key=lambda problem: problem.rule.usefulness)
