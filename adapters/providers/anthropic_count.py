"""The tokens of a request in Anthropic's form: https://platform.claude.com/docs/en/api/messages-count-tokens (2026-11)."""

from attrs import evolve

from adapters.providers.anthropic_request import encode, path_to
from adapters.providers.http import post
from adapters.providers.replies import count as number
from adapters.providers.replies import parsed
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Problem
from pipeline.values.targets import Target

# How long the answer may be and how it is made is no part of what is counted, and refused.
_NOT_COUNTED = frozenset(
    {
        *("container", "diagnostics", "inference_geo", "max_tokens", "metadata", "service_tier"),
        *("stop_sequences", "stream", "temperature", "top_k", "top_p"),
    }
)


def count(request: ChatRequest, target: Target) -> HttpRequest | None:
    """`Codec.count`."""
    encoded = encode(evolve(request, stream=False), target)
    if isinstance(encoded, Problem):
        return None
    body = {name: value for name, value in parsed(encoded.http.body).items() if name not in _NOT_COUNTED}
    http = post(target.provider, path_to(target.provider, "/messages/count_tokens"), body)
    versions = {name: value for name, value in encoded.http.headers.items() if name.startswith("anthropic-")}
    return http.with_headers(versions)


def counted(body: bytes) -> int | None:
    """`Codec.counted`."""
    document = parsed(body)
    return number(document.get("input_tokens")) or None if isinstance(document, dict) else None
