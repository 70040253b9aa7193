"""Bedrock's error answers: the name of an exception in a header, and the words it is told in."""

from collections.abc import Mapping

from attrs import frozen


@frozen
class Refusal:
    """An error answer: its status, the name of its exception, and what is said."""

    status: int
    message: str
    name: str = "ValidationException"


_BY_STATUS: Mapping[int, tuple[str, str]] = {
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "The resource could not be found."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: (
        "ModelErrorException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}

UNKNOWN_TOKEN = Refusal(
    403, "The security token included in the request is invalid.", "UnrecognizedClientException"
)
NO_TOKEN = Refusal(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
INCOMPLETE = Refusal(
    403, "The request signature does not conform to AWS standards.", "IncompleteSignatureException"
)
UNREADABLE = Refusal(400, "Unexpected token in the request body.", "SerializationException")
UNKNOWN_MODEL = Refusal(400, "The provided model identifier is invalid.")
UNKNOWN_OPERATION = Refusal(404, "Unknown operation", "UnknownOperationException")


def by_status(status: int) -> Refusal:
    """The provider's own error of that status, where nothing more is known."""
    if status in _BY_STATUS:
        name, words = _BY_STATUS[status]
        return Refusal(status, words, name)
    if status == 401:
        return Refusal(403, UNKNOWN_TOKEN.message, UNKNOWN_TOKEN.name)
    if status < 500:
        return Refusal(status, "The request was refused.")
    return Refusal(
        status, "The system encountered an unexpected error during processing.", "InternalServerException"
    )


def malformed(words: str) -> Refusal:
    """A request that the model behind does not take."""
    return Refusal(
        400,
        f"The model returned the following errors: Malformed input request: {words}, please reformat your input and try again.",
    )


def unfit(place: str, constraint: str) -> Refusal:
    """A value against a constraint of the API."""
    words = f"Value at '{place}' failed to satisfy constraint: {constraint}"
    return Refusal(400, f"1 validation error detected: {words}")
