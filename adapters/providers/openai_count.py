"""The tokens of a request to a model of OpenAI's, in the form of /responses.

Source: https://platform.openai.com/docs/api-reference/responses/input-tokens (2026-11).
"""

from collections.abc import Iterable
from typing import Any

from adapters.providers.families import family, only_chats, only_responds
from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.openai_responses_reply import RESPONSES
from adapters.providers.openai_responses_request import responses_body
from adapters.providers.replies import count as number
from adapters.providers.replies import parsed
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.targets import Target

_COUNTED = frozenset(
    {
        *("conversation", "input", "instructions", "model", "parallel_tool_calls", "previous_response_id"),
        *("reasoning", "text", "tool_choice", "tools", "truncation"),
    }
)


def count(request: ChatRequest, target: Target) -> HttpRequest | None:
    """`Codec.count`: of models that are known to be OpenAI's; others who speak this form have no such route."""
    model = target.model
    if "/" in model or request.prompt is not None or not (only_chats(model) or only_responds(model)):
        return None
    return post(target.provider, "/responses/input_tokens", dict(_told(request, target)))


def _told(request: ChatRequest, target: Target) -> Iterable[tuple[str, Any]]:
    if request.source is not None and request.source.format == RESPONSES:
        body = {**request.source.body, "model": target.model}
    else:
        line = family(target.model, target.facts.capabilities)
        body = responses_body(request, request.messages, target.model, line, Lost())
    return ((name, value) for name, value in body.items() if name in _COUNTED)


def counted(body: bytes) -> int | None:
    """`Codec.counted`."""
    document = parsed(body)
    return number(document.get("input_tokens")) or None if isinstance(document, dict) else None
