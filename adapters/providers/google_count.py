"""The tokens of a request in Google's form: https://ai.google.dev/api/tokens (2026-11)."""

from urllib.parse import unquote

import orjson
from attrs import evolve

from adapters.providers.google_request import encode
from adapters.providers.http import address
from adapters.providers.replies import count as number
from adapters.providers.replies import parsed
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Problem
from pipeline.values.targets import Target

_GENERATE, _COUNT = ":generateContent", ":countTokens"


def count(request: ChatRequest, target: Target) -> HttpRequest | None:
    """`Codec.count`: the whole request, so that tools and instructions are counted too. It has to name its model."""
    encoded = encode(evolve(request, stream=False), target)
    if isinstance(encoded, Problem):
        return None
    url = encoded.http.url.removesuffix(_GENERATE)
    model = unquote(url.removeprefix(address(target.provider, "/")))
    body = {"generateContentRequest": {"model": model, **parsed(encoded.http.body)}}
    return evolve(encoded.http, url=url + _COUNT, body=orjson.dumps(body))


def counted(body: bytes) -> int | None:
    """`Codec.counted`."""
    document = parsed(body)
    return number(document.get("totalTokens")) or None if isinstance(document, dict) else None
