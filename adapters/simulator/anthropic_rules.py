"""What Anthropic refuses, as strictly as the provider, so that a mistake in a request shows up here.

Each rule yields what it refuses; the first one counts. Sources: the provider's API reference, its migration guides of
each line of models, and recorded answers (2026-11).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from adapters.simulator.anthropic_errors import Refusal, missing, unknown, wrong
from adapters.simulator.anthropic_messages import (
    block_faults,
    blocks_of,
    conversation_faults,
    system_text,
    text_of,
)
from pipeline.values.http import Headers
from pipeline.values.targets import ModelFacts

Body: TypeAlias = Mapping[str, Any]

FIELDS = frozenset(
    {
        "cache_control",
        "container",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "service_tier",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "max_tokens": ("integer", (int,)),
    "metadata": ("dictionary", (dict,)),
    "output_config": ("dictionary", (dict,)),
    "stop_sequences": ("list", (list,)),
    "stream": ("boolean", (bool,)),
    "temperature": ("number", (int, float)),
    "thinking": ("dictionary", (dict,)),
    "tool_choice": ("dictionary", (dict,)),
    "tools": ("list", (list,)),
    "top_k": ("integer", (int,)),
    "top_p": ("number", (int, float)),
}
BOUNDS: Mapping[str, tuple[float, float]] = {
    "max_tokens": (1, 1_000_000),
    "temperature": (0, 1),
    "top_k": (0, 10_000),
    "top_p": (0, 1),
}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# Names of lines of models, by what they refuse.
ADAPTIVE = re.compile(r"claude-[a-z]+-(4-[6-9]|5)|claude-mythos")
ADAPTIVE_ALONE = re.compile(r"claude-[a-z]+-(4-[7-9]|5)")
BY_DEFAULT = re.compile(r"claude-[a-z]+-5|claude-mythos")
ALWAYS = re.compile(r"claude-(fable|mythos|opus-5-5)")
BETWEEN_TOOLS = re.compile(r"claude-sonnet-5-5")
UNFORCED = re.compile(r"claude-((opus|sonnet)-5-5|fable-5-[1-9])")
ONE_SAMPLER = re.compile(r"claude-(opus-4-1|[a-z]+-4-[56])")
UNSCHEMED = re.compile(r"claude-(3|[a-z]+-4(-2|-1|$))")
LIMITS: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"claude-3-5"), 8_192),
    (re.compile(r"claude-3-7|claude-sonnet-4-2|claude-[a-z]+-4-5"), 64_000),
    (re.compile(r"claude-3"), 4_096),
    (re.compile(r"claude-opus-4-[12]"), 32_000),
    (re.compile(r""), 128_000),
)
UNSUPPORTED_KEYWORDS = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "maxItems",
        "maxLength",
        "maximum",
        "minLength",
        "minimum",
        "multipleOf",
        "not",
        "oneOf",
        "patternProperties",
        "uniqueItems",
    }
)


def denied(headers: Headers, key: str | None) -> Refusal | None:
    """Why the caller is not let in; None where he is."""
    shown = headers.get("x-api-key", "")
    if key is not None and not shown:
        return Refusal(401, "x-api-key header is required", "authentication_error")
    if key is not None and shown != key:
        return Refusal(401, "invalid x-api-key", "authentication_error")
    return None if "anthropic-version" in headers else wrong("anthropic-version", "header is required")


def common_faults(body: Body) -> Iterator[Refusal]:
    """What is refused before the model is looked for: missing and unknown fields, types and ranges."""
    for name in ("model", "max_tokens", "messages"):
        if body.get(name) is None:
            yield missing(name)
    if extra := sorted(body.keys() - FIELDS):
        yield unknown(extra[0])
    for name, value in body.items():
        if value is None:
            yield wrong(name, "Input should not be null")
        words, types = TYPES.get(name, ("", ()))
        if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
            yield wrong(name, f"Input should be a valid {words}")
        if name in BOUNDS:
            low, high = BOUNDS[name]
            if value < low:
                yield wrong(name, f"Input should be greater than or equal to {low}")
            if value > high:
                yield wrong(name, f"Input should be less than or equal to {high}")


def message_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/messages` refuses of a request to a model that is there."""
    abilities = facts.capabilities or frozenset()
    if "completion" not in abilities:
        yield Refusal(400, f"'{facts.name}' does not support this endpoint.")
    limit = next(most for names, most in LIMITS if names.match(facts.name))
    if body["max_tokens"] > limit:
        words = f"{body['max_tokens']} > {limit}, which is the maximum allowed number of output tokens for"
        yield wrong("max_tokens", f"{words} {facts.name}")
    yield from _system_faults(body.get("system"))
    prefills = ADAPTIVE.match(facts.name) is None and not thinking_on(body, facts)
    yield from conversation_faults(body["messages"], "vision" in abilities, prefills)
    yield from _tool_faults(body, facts)
    yield from _thinking_faults(body, facts, "thinking" in abilities)
    yield from _sampling_faults(body, facts)
    yield from _output_faults(body, facts)
    yield from _length_faults(body, facts.context_length)


def thinking_on(body: Body, facts: ModelFacts) -> bool:
    """Whether the model thinks in answer to `body`."""
    if "thinking" not in (facts.capabilities or ()):
        return False
    by_default = "adaptive" if BY_DEFAULT.match(facts.name) else "disabled"
    return (body.get("thinking") or {}).get("type", by_default) in ("enabled", "adaptive")


def _system_faults(system: Any) -> Iterator[Refusal]:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        yield wrong("system", "Input should be a valid list")
    for index, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            yield wrong(f"system.{index}.type", "Input should be 'text'")
        yield from block_faults(f"system.{index}", block, "user", sees=False)


def _tool_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    tools, choice = body.get("tools") or [], body.get("tool_choice")
    for index, tool in enumerate(tools):
        yield from _one_tool_faults(f"tools.{index}", tool)
    names = [tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        yield wrong("tools", "Tool names must be unique.")
    if choice is None:
        return
    if not tools:
        yield wrong("tool_choice", "tool_choice may only be specified while providing tools.")
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        yield wrong("tool_choice", f"Input tag '{kind}' does not match any of: 'auto', 'any', 'tool', 'none'")
    allowed = {"tool": {"type", "name", "disable_parallel_tool_use"}, "none": {"type"}}
    if extra := sorted(choice.keys() - allowed.get(kind, {"type", "disable_parallel_tool_use"})):
        yield unknown(f"tool_choice.{kind}.{extra[0]}")
    if kind == "tool" and choice.get("name") not in names:
        yield wrong("tool_choice.tool.name", f"Tool '{choice.get('name')}' not found in provided tools.")
    if kind in ("any", "tool"):
        if UNFORCED.match(facts.name):
            yield Refusal(400, f'"tool_choice.type.{kind}" is not supported for this model.')
        if thinking_on(body, facts) and not ALWAYS.match(facts.name):
            yield Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")


def _one_tool_faults(place: str, tool: Any) -> Iterator[Refusal]:
    if not isinstance(tool, dict):
        yield wrong(place, "Input should be an object")
    here = f"{place}.custom"
    for name in ("name", "input_schema"):
        if name not in tool:
            yield missing(f"{here}.{name}")
    known = {"type", "name", "description", "input_schema", "strict", "cache_control", "input_examples"}
    if extra := sorted(tool.keys() - known):
        yield unknown(f"{here}.{extra[0]}")
    if not isinstance(tool["name"], str) or not NAME.fullmatch(tool["name"]):
        yield wrong(f"{here}.name", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'")
    if not isinstance(tool["input_schema"], dict):
        yield wrong(f"{here}.input_schema", "Input should be a valid dictionary")
    if tool["input_schema"].get("type") != "object":
        yield wrong(f"{here}.input_schema.type", "Input should be 'object'")
    if tool.get("strict"):
        yield from _schema_faults(f"{here}.input_schema", tool["input_schema"])


def _thinking_faults(body: Body, facts: ModelFacts, thinks: bool) -> Iterator[Refusal]:
    thinking, model = body.get("thinking"), facts.name
    if thinking is None:
        return
    kind = thinking.get("type")
    words = f'"thinking.type.{kind}" is not supported for this model. Use "thinking.type.adaptive" and'
    unsupported = Refusal(400, f'{words} "output_config.effort" to control thinking behavior.')
    if kind not in ("enabled", "adaptive", "disabled", "between_tools"):
        yield wrong("thinking", f"Input tag '{kind}' does not match any of the expected tags")
    allowed = {"enabled": {"type", "budget_tokens", "display"}, "adaptive": {"type", "display"}}
    if extra := sorted(thinking.keys() - allowed.get(kind, {"type"})):
        yield unknown(f"thinking.{kind}.{extra[0]}")
    if kind in ("enabled", "adaptive") and not thinks:
        yield Refusal(400, f"'{model}' does not support thinking.")
    if kind == "enabled":
        if ADAPTIVE_ALONE.match(model):
            yield unsupported
        yield from _budget_faults(thinking, body)
    if kind == "adaptive" and not ADAPTIVE.match(model):
        yield Refusal(400, "adaptive thinking is not supported on this model")
    if kind == "disabled" and (ALWAYS.match(model) or BETWEEN_TOOLS.match(model)):
        yield unsupported
    if kind == "between_tools" and not BETWEEN_TOOLS.match(model):
        yield unsupported


def _budget_faults(thinking: Mapping[str, Any], body: Body) -> Iterator[Refusal]:
    tokens = thinking.get("budget_tokens")
    if not isinstance(tokens, int):
        yield missing("thinking.enabled.budget_tokens")
        return
    if tokens < 1024:
        yield wrong("thinking.enabled.budget_tokens", "Input should be greater than or equal to 1024")
    if tokens >= body["max_tokens"]:
        yield Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    turns = [message for message in body["messages"] if message["role"] == "assistant"]
    if not turns:
        return
    kinds = [block["type"] for block in blocks_of(turns[-1])]
    if "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking"):
        index = max(place for place, message in enumerate(body["messages"]) if message is turns[-1])
        words = f"Expected `thinking` or `redacted_thinking`, but found `{kinds[0]}`. When `thinking` is enabled, a"
        words += " final `assistant` message must start with a thinking block."
        yield wrong(f"messages.{index}.content.0.type", words)


def _sampling_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    temperature, top_p, top_k = (body.get(name) for name in ("temperature", "top_p", "top_k"))
    if ADAPTIVE_ALONE.match(facts.name):
        for name, usual in (("temperature", 1), ("top_p", 1), ("top_k", None)):
            if body.get(name) not in (None, usual):
                yield Refusal(400, f"`{name}` is deprecated for this model.")
    if ONE_SAMPLER.match(facts.name) and temperature is not None and top_p is not None:
        words = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        yield Refusal(400, words)
    if thinking_on(body, facts):
        state = "when thinking is enabled or in adaptive mode."
        if temperature not in (None, 1):
            yield Refusal(400, f"`temperature` may only be set to 1 {state}")
        if top_p is not None and top_p < 0.95:
            yield Refusal(400, f"`top_p` must be greater than or equal to 0.95 or unset {state}")
        if top_k is not None:
            yield Refusal(400, f"`top_k` must be unset {state}")
    if any(not isinstance(stop, str) or not stop.strip() for stop in body.get("stop_sequences") or ()):
        yield wrong("stop_sequences", "each stop sequence must contain non-whitespace")


def _output_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    config = body.get("output_config") or {}
    if extra := sorted(config.keys() - {"effort", "format", "task_budget"}):
        yield unknown(f"output_config.{extra[0]}")
    if config.get("effort") not in (None, "low", "medium", "high", "xhigh", "max"):
        yield wrong("output_config.effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    form = config.get("format")
    if form is None:
        return
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        yield wrong("output_config.format.type", "Input should be 'json_schema'")
    if not isinstance(form.get("schema"), dict):
        yield missing("output_config.format.schema")
    if UNSCHEMED.match(facts.name):
        yield Refusal(400, f"'{facts.name}' does not support output format.")
    yield from _schema_faults("output_config.format.schema", form["schema"])


def _schema_faults(place: str, schema: Any) -> Iterator[Refusal]:
    """What is wrong with a schema that an answer is held to."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _schema_faults(place, inner)
    if not isinstance(schema, dict):
        return
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        yield wrong(place, "For 'object' type, 'additionalProperties' must be explicitly set to false")
    if refused := sorted(schema.keys() & UNSUPPORTED_KEYWORDS):
        yield wrong(place, f"For '{kind}' type, property '{refused[0]}' is not supported")
    for name, value in schema.items():
        if name in ("properties", "$defs", "definitions"):
            yield from _schema_faults(place, list(value.values()))
        elif name in ("items", "anyOf", "allOf"):
            yield from _schema_faults(place, value)


def _length_faults(body: Body, limit: int | None) -> Iterator[Refusal]:
    words = [*map(text_of, body["messages"]), system_text(body.get("system"))]
    tokens = len(" ".join(words).split())
    if limit is not None and tokens > limit:
        yield Refusal(400, f"prompt is too long: {tokens} tokens > {limit} maximum")
