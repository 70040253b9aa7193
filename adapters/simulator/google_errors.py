"""Google's error answers, and the words they are told in."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

WORDS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
MESSAGES: Mapping[int, str] = {
    401: "Request had invalid authentication credentials.",
    403: "The caller does not have permission",
    404: "Requested entity was not found.",
    429: "You exceeded your current quota, please check your plan and billing details.",
    500: "An internal error has occurred. Please retry or report.",
    503: "The model is overloaded. Please try again later.",
    504: "Deadline expired before operation could complete.",
}
_TYPE = "type.googleapis.com/google.rpc."
_METRIC = "generativelanguage.googleapis.com/generate_content_paid_tier_requests"


@frozen
class Refusal:
    """An error answer; the word of its status follows from the number."""

    status: int
    message: str
    details: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def error(self) -> dict[str, Any]:
        """The inside of the body."""
        word = WORDS.get(self.status, "INVALID_ARGUMENT" if self.status < 500 else "INTERNAL")
        error: dict[str, Any] = {"code": self.status, "message": self.message, "status": word}
        return {**error, "details": list(self.details)} if self.details else error


def by_status(status: int, retry_after: int | None = None) -> Refusal:
    """The provider's own error of that status, where nothing more is known."""
    message = MESSAGES.get(status, "Request contains an invalid argument.")
    refusal = Refusal(status, message, limit_details() if status == 429 else ())
    if retry_after is None:
        return refusal
    hint = {"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{retry_after}s"}
    return evolve(refusal, details=(*refusal.details, hint))


def limit_details() -> tuple[Mapping[str, Any], ...]:
    """Which limit was met: the requests of a minute."""
    violation = {"quotaMetric": _METRIC, "quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}
    return ({"@type": f"{_TYPE}QuotaFailure", "violations": [{**violation, "quotaValue": "1000"}]},)


NO_KEY = Refusal(
    403,
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other"
    " form of API consumer identity to call this API.",
)
WRONG_KEY = Refusal(
    400,
    "API key not valid. Please pass a valid API key.",
    (
        {
            "@type": f"{_TYPE}ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
            "metadata": {"service": "generativelanguage.googleapis.com"},
        },
    ),
)


def unreadable(message: str) -> Refusal:
    """A body that does not fit the message it should be."""
    whole = f"Invalid JSON payload received. {message}"
    violations = [{"description": whole}]
    return Refusal(400, whole, ({"@type": f"{_TYPE}BadRequest", "fieldViolations": violations},))


def unknown_name(name: str, place: str) -> Refusal:
    """A field that does not exist."""
    return unreadable(f'Unknown name "{name}"{f" at {place!r}" if place else ""}: Cannot find field.')


def wrong_value(place: str, kind: str, value: Any) -> Refusal:
    """A value of another type than the field has."""
    return unreadable(f"Invalid value at '{place}' ({kind}), {value!r}")


def unknown_model(name: str, method: str) -> Refusal:
    """A model that is not offered, or not for that."""
    message = f"models/{name} is not found for API version v1beta, or is not supported for {method}."
    return Refusal(
        404, f"{message} Call ListModels to see the list of available models and their supported methods."
    )
