"""Anthropic's error answers, and the words they are told in."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

INVALID = "invalid_request_error"


@frozen
class Refusal:
    """An error answer: its status, what is said, and the type of the error."""

    status: int
    message: str
    type: str = INVALID

    def document(self, request_id: str) -> dict[str, Any]:
        """The body."""
        error = {"type": self.type, "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}


_BY_STATUS: Mapping[int, tuple[str, str]] = {
    401: ("invalid x-api-key", "authentication_error"),
    402: ("Your credit balance is too low to access the Anthropic API.", "billing_error"),
    403: ("Your API key does not have permission to use the specified resource.", "permission_error"),
    404: ("model: model", "not_found_error"),
    413: ("Request exceeds the maximum size", "request_too_large"),
    429: (
        "This request would exceed your organization's rate limit of 50 requests per minute. View your current limits"
        " at https://console.anthropic.com/settings/limits. To raise this limit, purchase credits at"
        " https://console.anthropic.com/settings/billing.",
        "rate_limit_error",
    ),
    504: ("Request timed out", "timeout_error"),
    529: ("Overloaded", "overloaded_error"),
}


def by_status(status: int) -> Refusal:
    """The provider's own error of that status, where nothing more is known."""
    words, kind = _BY_STATUS.get(status, ("", ""))
    if words:
        return Refusal(status, words, kind)
    if status < 500:
        return Refusal(status, "The request was refused.")
    return Refusal(status, "Internal server error", "api_error")


def wrong(place: str, words: str) -> Refusal:
    """A value that is not as it should be."""
    return Refusal(400, f"{place}: {words}")


def missing(place: str) -> Refusal:
    """A field that must be there."""
    return wrong(place, "Field required")


def unknown(place: str) -> Refusal:
    """A field that does not exist."""
    return wrong(place, "Extra inputs are not permitted")
