"""Thinking that a vendor wants back as it gave it: signatures, summaries and what is encrypted, in one common form.

The form is the list that OpenRouter calls `reasoning_details`. Its members are objects with a `type`
(`reasoning.text` {text, signature}, `reasoning.summary` {summary}, `reasoning.encrypted` {data}), the `format` of the
vendor who understands them, and, where there is one, an `id` and an `index`.
Source: https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-11).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.values.events import ExtraDelta
from pipeline.values.messages import Effort, Part, Reasoning, Thinking

FORMAT = "reasoning_details"

# The formats of details, by who understands them: Claude everywhere, Gemini everywhere, OpenAI's responses, Nova on
# Bedrock; and others there, of whom nobody knows that they want anything back.
CLAUDE = "anthropic-claude-v1"
GEMINI = "google-gemini-v1"
RESPONSES = "openai-responses-v1"
NOVA = "amazon-nova-v1"
BEDROCK = "bedrock-converse-v1"

# What a step of the common scale may spend, in tokens.
BUDGETS: Mapping[Effort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "max": 32768,
}


def told(detail: Mapping[str, Any], choice: int = 0) -> ExtraDelta:
    """The event that carries one detail to the client."""
    return ExtraDelta(FORMAT, detail, choice)


def given_back(said: Reasoning | Iterable[Part], format: str) -> tuple[Mapping[str, Any], ...]:
    """The details of `format` that a client gave back, in their order; `said` is one thought or all parts of a turn."""
    parts = (said,) if isinstance(said, Reasoning) else said
    return tuple(
        detail
        for part in parts
        if isinstance(part, Reasoning)
        for detail in _details(part)
        if detail.get("format") == format
    )


def _details(thought: Reasoning) -> Iterable[Mapping[str, Any]]:
    kept = thought.extra.get(FORMAT)
    return (
        [detail for detail in kept if isinstance(detail, Mapping)] if isinstance(kept, list | tuple) else []
    )


def budget(thinking: Thinking, least: int = 1024, most: int | None = None) -> int:
    """Tokens to think with, within the vendor's bounds: those asked for, else what the step may spend."""
    tokens = thinking.budget
    if tokens is None or thinking.effort is not None:
        tokens = BUDGETS[thinking.effort or "medium"]
    return max(least, tokens if most is None else min(tokens, most))
