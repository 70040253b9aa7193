"""The models of the house in Anthropic's form, page by page; for clients that name a version of its API.

Source: https://platform.claude.com/docs/en/api/models-list (2026-11).
"""

from collections.abc import Mapping
from typing import Any

from adapters.listing import Model

USUAL, MOST = 20, 1000


def page(found: tuple[Model, ...], query: Mapping[str, str]) -> dict[str, Any] | str:
    """The answer of `/v1/models`, or what is wrong with `limit`, `after_id` or `before_id`."""
    asked = query.get("limit", str(USUAL))
    if not (asked.isascii() and asked.isdecimal() and len(asked) < 10 and 1 <= int(asked) <= MOST):
        return f"limit must be a number from 1 to {MOST}"
    limit, names = int(asked), [model.name for model in found]
    for cursor in ("after_id", "before_id"):
        if query.get(cursor) and query[cursor] not in names:
            return f"{cursor} must be the id of a model that is listed"
    start, end = 0, len(found)
    if after := query.get("after_id"):
        start = names.index(after) + 1
    if before := query.get("before_id"):
        end = names.index(before)
        # The page that ends there, not the first one.
        start = max(start, end - limit)
        more = start > 0
    else:
        end = min(end, start + limit)
        more = end < len(found)
    shown = [entry(model, model.name) for model in found[start:end]]
    return {
        "data": shown,
        "has_more": more,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


def entry(model: Model, name: str) -> dict[str, Any]:
    """One model, called `name`."""
    facts = model.facts
    told: dict[str, Any] = {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": model.modified_at,
        "lifecycle": "active",
    }
    limits = {"max_input_tokens": facts.context_length, "max_tokens": facts.output_limit}
    return {**told, **{name: limit for name, limit in limits.items() if limit is not None}}
