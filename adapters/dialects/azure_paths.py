"""The addresses of Azure OpenAI: OpenAI's languages, where the older ones name the deployment in the path.

A deployment is a model like any other here, so whatever provider serves the name may answer; a name may have slashes. The
version of the API in the query (`api-version`) changes nothing, so any is taken, and none.
"""

import re
from collections.abc import Callable, Mapping

from attrs import evolve

from adapters.dialects import openai_chat, openai_completions, openai_embeddings, openai_responses
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Request
from pipeline.values.problems import Problem

DEPLOYMENTS = "/openai/deployments/"

# Where the body names the model.
DIALECTS: Mapping[str, Dialect] = {
    "/openai/v1/chat/completions": openai_chat.DIALECT,
    "/openai/v1/completions": openai_completions.DIALECT,
    "/openai/v1/embeddings": openai_embeddings.DIALECT,
    "/openai/v1/responses": openai_responses.DIALECT,
    "/openai/responses": openai_responses.DIALECT,
}


def deployed(
    operation: str, dialect: Dialect, read: Callable[[HttpRequest, str | None], Request | Problem]
) -> tuple[re.Pattern[str], Dialect]:
    """The addresses of an operation of any deployment, and `dialect` with the model read from there."""

    path = f"{DEPLOYMENTS}([^/].*?){operation}"
    address = re.compile(rf"{path}(?:\?.*)?")

    def read_at(http: HttpRequest) -> Request | Problem:
        found = address.fullmatch(http.url)
        return read(http, found[1] if found else "")

    return re.compile(path), evolve(dialect, read=read_at)


# Where the path does; it stands above the body.
PATTERNS = (
    deployed("/chat/completions", openai_chat.DIALECT, openai_chat.read),
    deployed("/completions", openai_completions.DIALECT, openai_completions.read),
    deployed("/embeddings", openai_embeddings.DIALECT, openai_embeddings.read),
)
