"""What Bedrock refuses, as strictly as the provider, so that a mistake in a request shows up here.

Each rule yields what it refuses; the first one counts. Source: the provider's API reference and recorded answers
(2026-11).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from adapters.simulator.bedrock_errors import INCOMPLETE, NO_TOKEN, UNKNOWN_TOKEN, Refusal, malformed, unfit
from adapters.simulator.bedrock_messages import content_of, conversation_faults, text_of
from pipeline.values.http import Headers
from pipeline.values.targets import ModelFacts

Body: TypeAlias = Mapping[str, Any]

FIELDS = frozenset(
    {
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "inferenceConfig",
        "messages",
        "outputConfig",
        "performanceConfig",
        "promptVariables",
        "requestMetadata",
        "serviceTier",
        "system",
        "toolConfig",
    }
)
INFERENCE: Mapping[str, tuple[float, float]] = {
    "maxTokens": (1, 1_000_000),
    "temperature": (0, 1),
    "topP": (0, 1),
}
SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/[a-z0-9-]+/bedrock/aws4_request, "
    r"SignedHeaders=([a-z0-9;-]+), Signature=[0-9a-f]{64}"
)
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CHOOSING = re.compile(r"claude|nova")
CHOOSING_ANY = re.compile(r"claude|nova|mistral-(large|small)")
NATIVE = re.compile(r"claude-[a-z]+-(4-[56]|5)|qwen3|gpt-oss|deepseek\.v3|gemma-3")
UNSYSTEMATIC = re.compile(r"titan-text|mistral-7b|mixtral")
ADAPTIVE_ALONE = re.compile(r"claude-[a-z]+-(4-[7-9]|5)")
ONE_SAMPLER = re.compile(r"claude-(opus-4-1|[a-z]+-4-[56])")


def denied(headers: Headers, key: str | None) -> Refusal | None:
    """Why the caller is not let in; None where he is. `key` is an API key or the id of a key pair."""
    shown = headers.get("authorization", "")
    if shown.startswith("AWS4-"):
        signature = SIGNATURE.fullmatch(shown)
        date = headers.get("x-amz-date", "")
        if signature is None or not date.startswith(signature[2]):
            return INCOMPLETE
        if not {"host", "x-amz-date"} <= set(signature[3].split(";")):
            return INCOMPLETE
        return None if key in (None, signature[1]) else UNKNOWN_TOKEN
    if key is None:
        return None
    scheme, _, token = shown.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return NO_TOKEN
    return None if token == key else UNKNOWN_TOKEN


def converse_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What Converse refuses of a request to a model that is there."""
    abilities = facts.capabilities or frozenset()
    if unknown := sorted(body.keys() - FIELDS):
        yield malformed(f"extraneous key [{unknown[0]}] is not permitted")
    if "completion" not in abilities:
        yield Refusal(
            400,
            "This action doesn't support the model that you provided. Try again with a supported text or chat model.",
        )
    yield from conversation_faults(body.get("messages"), "vision" in abilities)
    yield from _system_faults(body, facts.name)
    yield from _inference_faults(body)
    yield from _tool_faults(body, facts)
    yield from _own_faults(body, facts)
    yield from _format_faults(body, facts.name)
    words = sum(len(text_of(message["content"]).split()) for message in body["messages"])
    if facts.context_length is not None and words > facts.context_length:
        yield Refusal(400, "Input is too long for requested model.")


def _system_faults(body: Body, model: str) -> Iterator[Refusal]:
    system = body.get("system", [])
    if not isinstance(system, list):
        yield unfit("system", "Member must be a list")
    for number, block in enumerate(system):
        if (
            not isinstance(block, dict)
            or len(block) != 1
            or not block.keys() <= {"text", "guardContent", "cachePoint"}
        ):
            yield unfit(f"system.{number + 1}.member", "Member must be one of text, guardContent, cachePoint")
        if "text" in block and not block["text"].strip():
            yield Refusal(
                400,
                f"The text field in the ContentBlock object at system.{number} is blank. Add text to it, and try again.",
            )
    if system and UNSYSTEMATIC.search(model):
        yield Refusal(
            400,
            "This model doesn't support system messages. Try again without a system message or use another model.",
        )


def _inference_faults(body: Body) -> Iterator[Refusal]:
    config = body.get("inferenceConfig", {})
    if unknown := sorted(config.keys() - INFERENCE.keys() - {"stopSequences"}):
        yield malformed(f"extraneous key [{unknown[0]}] is not permitted")
    for name, (low, high) in INFERENCE.items():
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield unfit(f"inferenceConfig.{name}", "Member must be a number")
        if not low <= value <= high:
            yield unfit(f"inferenceConfig.{name}", f"Member must have value between {low} and {high}")
    for stop in config.get("stopSequences", []):
        if not isinstance(stop, str) or not stop.strip():
            yield malformed("stop_sequences: each stop sequence must contain non-whitespace")


def _tool_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    config = body.get("toolConfig")
    if config is None:
        spoken = [
            turn for turn in body["messages"] if content_of(turn, "toolUse") or content_of(turn, "toolResult")
        ]
        if spoken:
            yield Refusal(
                400, "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        return
    if unknown := sorted(config.keys() - {"tools", "toolChoice"}):
        yield malformed(f"extraneous key [{unknown[0]}] is not permitted")
    if "tools" not in (facts.capabilities or ()):
        yield Refusal(400, "This model doesn't support tool use.")
    if not config.get("tools"):
        yield unfit("toolConfig.tools", "Member must have length greater than or equal to 1")
    for number, tool in enumerate(config["tools"]):
        yield from _spec_faults(f"toolConfig.tools.{number + 1}.member", tool)
    names = [tool["toolSpec"]["name"] for tool in config["tools"] if "toolSpec" in tool]
    if len(set(names)) < len(names):
        yield malformed("tools: Tool names must be unique.")
    match config.get("toolChoice"):
        case None | {"auto": {}}:
            return
        case {"any": {}} if CHOOSING_ANY.search(facts.name):
            return
        case {"tool": {"name": name}} if CHOOSING.search(facts.name) and name in names:
            return
    kind = next(iter(config["toolChoice"]), "")
    yield Refusal(
        400,
        f"This model doesn't support the toolConfig.toolChoice.{kind} field. Remove toolConfig.toolChoice.{kind} and try again.",
    )


def _spec_faults(place: str, tool: Any) -> Iterator[Refusal]:
    if isinstance(tool, dict) and tool.keys() in ({"cachePoint"}, {"systemTool"}):
        return
    spec = tool.get("toolSpec") if isinstance(tool, dict) else None
    if not isinstance(spec, dict) or not spec.keys() <= {"name", "description", "inputSchema", "strict"}:
        yield unfit(place, "Member must be a toolSpec")
        return
    if not isinstance(spec.get("name"), str) or not NAME.fullmatch(spec["name"]):
        yield unfit(
            f"{place}.toolSpec.name", "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
        )
    if "description" in spec and not spec["description"]:
        yield unfit(f"{place}.toolSpec.description", "Member must have length greater than or equal to 1")
    schema = spec.get("inputSchema", {}).get("json")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield Refusal(
            400, f"The value at {place}.toolSpec.inputSchema.json.type must be one of the following: object."
        )


def _own_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What the model refuses of its own fields, and of the common ones because of them."""
    own, config = body.get("additionalModelRequestFields", {}), body.get("inferenceConfig", {})
    thinking = own.get("thinking")
    if thinking is not None and "thinking" not in (facts.capabilities or ()):
        yield malformed("extraneous key [thinking] is not permitted")
    thinks = thinking is not None and thinking["type"] in ("enabled", "adaptive")
    if thinking is not None and thinking["type"] == "enabled":
        if ADAPTIVE_ALONE.search(facts.name):
            yield malformed(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"'
            )
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < 1024:
            yield malformed("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= config.get("maxTokens", 64_000):
            yield malformed("`max_tokens` must be greater than `thinking.budget_tokens`")
    if thinks and (config.get("temperature", 1) != 1 or config.get("topP", 1) < 0.95 or "top_k" in own):
        yield malformed("`temperature` may only be set to 1 when thinking is enabled")
    if thinks and {"any", "tool"} & body.get("toolConfig", {}).get("toolChoice", {}).keys():
        yield malformed("Thinking may not be enabled when tool_choice forces tool use.")
    if ONE_SAMPLER.search(facts.name) and {"temperature", "topP"} <= config.keys():
        yield malformed("`temperature` and `top_p` cannot both be specified for this model")
    if ADAPTIVE_ALONE.search(facts.name) and ({"temperature", "topP"} & config.keys() or "top_k" in own):
        yield malformed("temperature is deprecated for this model.")


def _format_faults(body: Body, model: str) -> Iterator[Refusal]:
    form = body.get("outputConfig", {}).get("textFormat")
    if form is None:
        return
    if not NATIVE.search(model):
        yield Refusal(
            400,
            "This model doesn't support the outputConfig.textFormat field. Remove outputConfig.textFormat and try again.",
        )
    match form:
        case {"type": "json_schema", "structure": {"jsonSchema": {"schema": str()}}}:
            return
    yield unfit("outputConfig.textFormat", "Member must be a json_schema")
