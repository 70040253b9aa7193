"""What OpenRouter refuses beyond what the fake of OpenAI does, and its requests with all that is its own taken out."""

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from adapters.simulator.openai_rules import CHAT_FIELDS, COMPLETION_FIELDS, EMBEDDING_FIELDS, Body
from pipeline.values.targets import ModelFacts

OWN_FIELDS = frozenset(
    {
        "include_reasoning",
        "min_p",
        "models",
        "plugins",
        "preset",
        "provider",
        "reasoning",
        "repetition_penalty",
        "route",
        "session_id",
        "structured_outputs",
        "top_a",
        "top_k",
        "trace",
        "transforms",
        "usage",
    }
)
FIELDS: Mapping[str, frozenset[str]] = {
    "/chat/completions": CHAT_FIELDS | OWN_FIELDS,
    "/completions": COMPLETION_FIELDS | OWN_FIELDS,
    "/embeddings": EMBEDDING_FIELDS | {"provider", "input_type"},
}
# Numbers of its own, with their bounds.
NUMBERS: Mapping[str, tuple[float, float]] = {
    "min_p": (0, 1),
    "repetition_penalty": (0, 2),
    "top_a": (0, 1),
    "top_k": (0, float("inf")),
}
EFFORTS = ("xhigh", "high", "medium", "low", "minimal", "none")
REASONING_FIELDS = frozenset({"effort", "max_tokens", "exclude", "enabled", "summary"})
DETAILS = ("reasoning.text", "reasoning.summary", "reasoning.encrypted")
# What a turn of the model may give back beyond OpenAI's form.
THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details")


@frozen
class Refusal:
    """An error answer: its status, which is its code too, its words, and what is told beside them."""

    status: int
    message: str
    metadata: Mapping[str, Any] = field(factory=dict)


def faults(body: Body, path: str, offered: tuple[ModelFacts, ...]) -> Iterator[Refusal]:
    """What is refused in a request, before it reaches a provider."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        yield Refusal(400, "No models provided")
    if unknown := sorted(body.keys() - FIELDS[path]):
        yield Refusal(400, f"Unrecognized key(s) in object: {', '.join(unknown)}")
    facts = next((facts for facts in offered if facts.name == model), None)
    if facts is None:
        yield Refusal(400, f"{model} is not a valid model ID")
        return
    for name, (low, high) in NUMBERS.items():
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            yield Refusal(400, f"Invalid input: {name} must be a number from {low} to {high}")
    can = facts.capabilities or frozenset()
    if body.get("tools") and "tools" not in can:
        yield Refusal(404, "No endpoints found that support tool use.")
    yield from _reasoning_faults(body)
    yield from _thought_faults(body.get("messages"))


def _reasoning_faults(body: Body) -> Iterator[Refusal]:
    asked = body.get("reasoning")
    if asked is None:
        return
    if not isinstance(asked, dict) or asked.keys() - REASONING_FIELDS:
        yield Refusal(400, "Invalid input: reasoning")
        return
    if asked.get("effort") is not None and asked["effort"] not in EFFORTS:
        yield Refusal(400, f"Invalid input: reasoning.effort must be one of {', '.join(EFFORTS)}")
    if asked.get("effort") is not None and asked.get("max_tokens") is not None:
        yield Refusal(400, 'Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified')
    budget, limit = asked.get("max_tokens"), body.get("max_tokens")
    if type(budget) is int and type(limit) is int and budget >= limit:
        yield Refusal(400, "max_tokens must be greater than reasoning.max_tokens")


def _thought_faults(messages: Any) -> Iterator[Refusal]:
    for place, message in enumerate(messages if isinstance(messages, list) else ()):
        details = message.get("reasoning_details") if isinstance(message, dict) else None
        if details is None:
            continue
        known = isinstance(details, list) and all(
            isinstance(detail, dict) and detail.get("type") in DETAILS for detail in details
        )
        if not known:
            yield Refusal(400, f"Invalid input: messages[{place}].reasoning_details")


def plain(body: Body, offered: tuple[ModelFacts, ...]) -> dict[str, Any]:
    """The request without what is OpenRouter's own. Whoever cannot do a thing is not asked to: that is passed over."""
    thinks = any(
        facts.name == body["model"] and "thinking" in (facts.capabilities or ()) for facts in offered
    )
    kept = {name: value for name, value in body.items() if name not in OWN_FIELDS | {"input_type"}}
    effort = _effort(body) if thinks else None
    kept.pop("reasoning_effort", None)
    if effort is not None:
        kept["reasoning_effort"] = effort
    if kept.get("response_format") == {"type": "json_object"} and not body["model"].startswith("openai/"):
        # Other vendors do not ask for a word about JSON, as OpenAI does of this mode.
        kept["response_format"] = {"type": "json_schema", "json_schema": {"name": "any", "schema": {}}}
    if isinstance(kept.get("messages"), list):
        kept["messages"] = [_plain_message(message) for message in kept["messages"]]
    return kept


def _plain_message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {name: value for name, value in message.items() if name not in THOUGHTS}


def _effort(body: Body) -> str | None:
    """The step of thinking that is asked for, whichever way; None where nobody said."""
    asked = body.get("reasoning")
    if not isinstance(asked, dict):
        effort = body.get("reasoning_effort")
        return effort if isinstance(effort, str) else None
    if asked.get("enabled") is False or asked.get("effort") == "none":
        return "none"
    wanted = asked.get("effort") or ("medium" if asked.get("enabled") or asked.get("max_tokens") else None)
    # The least step is one that thinks here.
    return "low" if wanted == "minimal" else wanted
