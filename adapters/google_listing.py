"""The models of the house as Google's API lists them. All functions are pure.

What a model can do is told by the methods it takes. Limits that nobody knows are left out.
Source: https://ai.google.dev/api/models (2026-11).
"""

from typing import Any

from adapters.listing import Model

# As many models stand on a page where the client does not say, and at most.
PAGE, LONGEST_PAGE = 50, 1000
# No provider tells one, and clients want some.
_VERSION = "001"


def page(found: tuple[Model, ...], size: str, token: str) -> dict[str, Any] | None:
    """One page of `GET /v1beta/models`; `size` and `token` as the query says them. None: they mean nothing."""
    length, start = _count(size, PAGE), _count(token, 0)
    if length is None or start is None:
        return None
    end = start + min(length or PAGE, LONGEST_PAGE)
    told: dict[str, Any] = {"models": [entry(model, model.name) for model in found[start:end]]}
    return {**told, "nextPageToken": str(end)} if end < len(found) else told


def _count(text: str, otherwise: int) -> int | None:
    if not text:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def entry(model: Model, name: str) -> dict[str, Any]:
    """One model, called `name`."""
    able, facts = model.capabilities, model.facts
    told: dict[str, Any] = {"name": f"models/{name}", "version": _VERSION, "displayName": name}
    if facts.context_length is not None:
        told["inputTokenLimit"] = facts.context_length
    if facts.output_limit is not None:
        told["outputTokenLimit"] = facts.output_limit
    methods = ["generateContent", "countTokens"] if "completion" in able else []
    methods += ["embedContent"] if "embedding" in able else []
    told["supportedGenerationMethods"] = methods
    return {**told, "thinking": True} if "thinking" in able else told
