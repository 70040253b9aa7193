"""OpenAI's error answers, and the words they are told in."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen


@frozen
class Refusal:
    """An error answer: `status` and the four fields of its body."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None

    @property
    def error(self) -> dict[str, str | None]:
        """The inside of the body."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


NAMES: Mapping[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def by_status(status: int) -> Refusal:
    """The provider's own error of that status, where nothing more is known."""
    match status:
        case 401:
            return Refusal(401, "Incorrect API key provided.", code="invalid_api_key")
        case 403:
            return Refusal(403, "You are not allowed to use this model.", code="model_not_allowed")
        case 404:
            return unknown_model("model")
        case 429:
            message = "Rate limit reached on requests per min (RPM): Limit 10000, Used 10000, Requested 1."
            return Refusal(429, message, "requests", code="rate_limit_exceeded")
        case 503:
            message = "The engine is currently overloaded, please try again later."
            return Refusal(503, message, "service_unavailable_error", code="service_unavailable")
    if status < 500:
        return Refusal(status, "The request was refused.")
    return Refusal(
        status, "The server had an error while processing your request. Sorry about that!", "server_error"
    )


def unknown_model(name: str) -> Refusal:
    """A model that is not offered."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return Refusal(404, message, code="model_not_found")


def unknown_here(name: str) -> Refusal:
    """A model that is not offered, as the newest endpoint tells it."""
    message = f"The requested model '{name}' does not exist."
    return Refusal(400, message, param="model", code="model_not_found")


def unknown_url(method: str, path: str) -> Refusal:
    """An address that does not exist."""
    return Refusal(404, f"Invalid URL ({method} /v1{path})")


def wrong_method(method: str, path: str) -> Refusal:
    """An address that exists, asked in the wrong way."""
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(405, f"Not allowed to {method} on /v1{path}. {hint}")


UNREADABLE = Refusal(
    400,
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library"
    " correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
)


def wrong_type(place: str, wanted: str, value: Any) -> Refusal:
    """A value of another JSON type than the field has."""
    article = "an" if wanted[0] in "aeiou" else "a"
    message = (
        f"Invalid type for '{place}': expected {article} {wanted}, but got {NAMES[type(value)]} instead."
    )
    return Refusal(400, message, param=place, code="invalid_type")


def missing(place: str) -> Refusal:
    """A field that must be there."""
    message = f"Missing required parameter: '{place}'."
    return Refusal(400, message, param=place, code="missing_required_parameter")


def empty_array(place: str) -> Refusal:
    """A list that must not be empty."""
    message = f"Invalid '{place}': empty array. Expected an array with minimum length 1,"
    message += " but got an empty array instead."
    return Refusal(400, message, param=place, code="empty_array")


def out_of_range(place: str, kind: str, side: str, sign: str, bound: float, value: Any) -> Refusal:
    """A number beyond a bound; `side` is `below minimum` or `above maximum`."""
    message = (
        f"Invalid '{place}': {kind} {side} value. Expected a value {sign} {bound}, but got {value} instead."
    )
    code = f"{kind}_{side.replace('minimum', 'min').replace('maximum', 'max').replace(' ', '_')}_value"
    return Refusal(400, message, param=place, code=code)


def wrong_value(place: str, value: Any, supported: tuple[str, ...]) -> Refusal:
    """A word that is none of those supported."""
    listed = ", ".join(f"'{one}'" for one in supported[:-1]) + f", and '{supported[-1]}'"
    message = f"Invalid value: '{value}'. Supported values are: {listed}."
    return Refusal(400, message, param=place, code="invalid_value")


def unsupported_parameter(name: str, hint: str = "") -> Refusal:
    """A field this model does not take."""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
    return Refusal(400, message, param=name, code="unsupported_parameter")


def unsupported_value(name: str, value: str, supported: tuple[str, ...]) -> Refusal:
    """A value this model does not take."""
    listed = ", ".join(f"'{one}'" for one in supported[:-1]) + f", and '{supported[-1]}'"
    message = f"Unsupported value: '{name}' does not support '{value}' with this model. Supported values are: {listed}."
    return Refusal(400, message, param=name, code="unsupported_value")


def unknown_parameter(place: str) -> Refusal:
    """A field that does not exist, inside of another."""
    return Refusal(400, f"Unknown parameter: '{place}'.", param=place, code="unknown_parameter")
