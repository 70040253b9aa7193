"""What OpenAI refuses, as strictly as the provider, so that a mistake in a request shows up here.

Each rule yields what it refuses; the first one counts. Source: the provider's API reference and recorded answers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from adapters.simulator.openai_errors import (
    Refusal,
    empty_array,
    missing,
    out_of_range,
    unsupported_parameter,
    unsupported_value,
    wrong_type,
    wrong_value,
)
from adapters.simulator.openai_messages import all_text, conversation_faults
from pipeline.values.http import Headers
from pipeline.values.targets import ModelFacts

Body: TypeAlias = Mapping[str, Any]

CHAT_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)
COMPLETION_FIELDS = frozenset(
    {
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "model",
        "n",
        "presence_penalty",
        "prompt",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    }
)
EMBEDDING_FIELDS = frozenset(
    {
        "dimensions",
        "encoding_format",
        "input",
        "model",
        "user",
    }
)

# JSON types by field, and the word for each in a complaint.
TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "frequency_penalty": ("decimal", (int, float)),
    "logit_bias": ("object", (dict,)),
    "max_completion_tokens": ("integer", (int,)),
    "max_tokens": ("integer", (int,)),
    "metadata": ("object", (dict,)),
    "n": ("integer", (int,)),
    "parallel_tool_calls": ("boolean", (bool,)),
    "presence_penalty": ("decimal", (int, float)),
    "reasoning_effort": ("string", (str,)),
    "response_format": ("object", (dict,)),
    "seed": ("integer", (int,)),
    "store": ("boolean", (bool,)),
    "stream": ("boolean", (bool,)),
    "stream_options": ("object", (dict,)),
    "suffix": ("string", (str,)),
    "temperature": ("decimal", (int, float)),
    "tools": ("array of objects", (list,)),
    "top_logprobs": ("integer", (int,)),
    "top_p": ("decimal", (int, float)),
    "user": ("string", (str,)),
    "dimensions": ("integer", (int,)),
}
BOUNDS: Mapping[str, tuple[float, float]] = {
    "frequency_penalty": (-2, 2),
    "max_completion_tokens": (1, float("inf")),
    "max_tokens": (1, float("inf")),
    "n": (1, 128),
    "presence_penalty": (-2, 2),
    "temperature": (0, 2),
    "top_logprobs": (0, 20),
    "top_p": (0, 1),
    "dimensions": (1, float("inf")),
}

# Models that are served at `/responses` alone.
RESPONDING = re.compile(r"gpt-5(\.\d)?-(codex|pro)|o\d-pro|.*-deep-research|codex-mini|computer-use")

# Models whose thinking excludes the knobs of sampling, and the efforts each family takes.
REASONING = re.compile(r"(o\d|gpt-5)(?!.*chat)")
EFFORTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"o\d"), ("low", "medium", "high")),
    (re.compile(r"gpt-5(?!\.)"), ("minimal", "low", "medium", "high")),
    (re.compile(r""), ("none", "minimal", "low", "medium", "high", "xhigh", "max")),
)
NO_SAMPLING = (
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "stop",
)


def denied(headers: Headers, key: str | None) -> Refusal | None:
    """Why the caller is not let in; None where he is."""
    if key is None:
        return None
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        words = (
            "You didn't provide an API key. You need to provide your API key in an Authorization header using"
        )
        return Refusal(401, f"{words} Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")
    if shown != key:
        return Refusal(
            401,
            f"Incorrect API key provided: {shown[:3]}***{shown[-4:]}."
            " You can find your API key at https://platform.openai.com/account/api-keys.",
            code="invalid_api_key",
        )
    return None


def common_faults(body: Body, fields: frozenset[str] | None) -> Iterator[Refusal]:
    """The model, unknown fields (if `fields` are the known ones), types and ranges: the same on all routes."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        yield Refusal(400, "you must provide a model parameter")
    if fields is not None and (unknown := sorted(body.keys() - fields)):
        plural = "s" if len(unknown) > 1 else ""
        yield Refusal(400, f"Unrecognized request argument{plural} supplied: {', '.join(unknown)}")
    for name, value in body.items():
        if value is not None:
            yield from _value_faults(name, value)
    if body.get("stream_options") is not None and not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        yield Refusal(400, message, param="stream_options")


def _value_faults(name: str, value: Any) -> Iterator[Refusal]:
    words, types = TYPES.get(name, ("", ()))
    if types and (not isinstance(value, types) or (isinstance(value, bool) and bool not in types)):
        yield wrong_type(name, words, value)
    elif name in BOUNDS:
        low, high = BOUNDS[name]
        if value < low:
            yield out_of_range(name, words, "below minimum", ">=", low, value)
        if value > high:
            yield out_of_range(name, words, "above maximum", "<=", high, value)


def chat_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/chat/completions` refuses of a request to a model that is there."""
    abilities = facts.capabilities or frozenset()
    if RESPONDING.match(facts.name):
        message = "This model is only supported in v1/responses and not in v1/chat/completions."
        yield Refusal(404, message, param="model")
    if "completion" not in abilities:
        message = "This is not a chat model and thus not supported in the v1/chat/completions endpoint."
        yield Refusal(404, f"{message} Did you mean to use v1/completions?", param="model")
    yield from _model_faults(body, facts.name, thinks="thinking" in abilities, calls="tools" in abilities)
    yield from conversation_faults(body.get("messages"), sees="vision" in abilities)
    yield from _tool_faults(body)
    yield from _format_faults(body)
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        message = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        yield Refusal(400, message, param="top_logprobs")
    yield from _length_faults(body["messages"], facts.context_length)


def _model_faults(body: Body, model: str, thinks: bool, calls: bool) -> Iterator[Refusal]:
    effort = body.get("reasoning_effort")
    if effort is not None and not thinks:
        yield Refusal(400, "Unrecognized request argument supplied: reasoning_effort")
    if effort is not None:
        supported = next(efforts for family, efforts in EFFORTS if family.match(model))
        if effort not in supported:
            yield unsupported_value("reasoning_effort", effort, supported)
    if body.get("tools") and not calls:
        yield unsupported_parameter("tools")
    if REASONING.match(model):
        if body.get("max_tokens") is not None:
            yield unsupported_parameter("max_tokens", " Use 'max_completion_tokens' instead.")
        spared = () if effort != "none" else ("temperature", "top_p", "logprobs", "top_logprobs")
        if body.get("temperature") not in (None, 1) and not spared:
            value = body["temperature"]
            message = f"Unsupported value: 'temperature' does not support {value} with this model."
            message += " Only the default (1) value is supported."
            yield Refusal(400, message, param="temperature", code="unsupported_value")
        refused = [name for name in NO_SAMPLING if body.get(name) is not None and name not in spared]
        yield from map(unsupported_parameter, refused)
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        yield Refusal(400, message, param="max_tokens", code="invalid_parameter_combination")


def _tool_faults(body: Body) -> Iterator[Refusal]:
    tools = body.get("tools")
    if tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                words = f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified."
                yield Refusal(400, words, param=name)
        return
    if not tools:
        yield empty_array("tools")
    for index, tool in enumerate(tools):
        yield from _one_tool_faults(f"tools[{index}]", tool)
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        yield wrong_value("tool_choice", choice, ("none", "auto", "required"))
    if isinstance(choice, dict):
        named = (choice.get("function") or {}).get("name")
        if named not in [tool["function"]["name"] for tool in tools]:
            words = f"Invalid value for 'tool_choice': no function named '{named}' was specified in 'tools'."
            yield Refusal(400, words, param="tool_choice")


def _one_tool_faults(place: str, tool: Any) -> Iterator[Refusal]:
    if not isinstance(tool, dict):
        yield wrong_type(place, "object", tool)
    if "type" not in tool:
        yield missing(f"{place}.type")
    if tool["type"] != "function":
        yield wrong_value(f"{place}.type", tool["type"], ("function", "custom"))
    function = tool.get("function")
    if not isinstance(function, dict):
        yield missing(f"{place}.function")
        return
    if not isinstance(function.get("name"), str):
        yield missing(f"{place}.function.name")
    pattern = "^[a-zA-Z0-9_-]+$"
    if not re.match(pattern, function["name"]) or len(function["name"]) > 64:
        words = f"Invalid '{place}.function.name': string does not match pattern."
        words += f" Expected a string that matches the pattern '{pattern}'."
        yield Refusal(400, words, param=f"{place}.function.name", code="invalid_value")
    schema = function.get("parameters")
    if schema is not None and not isinstance(schema, dict):
        yield wrong_type(f"{place}.function.parameters", "object", schema)
    if schema and schema.get("type") != "object":
        words = f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"',"
        words += f" got 'type: \"{schema.get('type')}\"'."
        yield Refusal(400, words, param=f"{place}.function.parameters", code="invalid_function_parameters")


def _format_faults(body: Body) -> Iterator[Refusal]:
    form = body.get("response_format")
    if form is None:
        return
    if "type" not in form:
        yield missing("response_format.type")
    if form["type"] not in ("text", "json_object", "json_schema"):
        yield wrong_value("response_format.type", form["type"], ("json_object", "json_schema", "text"))
    if form["type"] == "json_object" and "json" not in all_text(body["messages"]).lower():
        words = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."
        yield Refusal(400, words, param="messages")
    if form["type"] == "json_schema":
        place = "response_format.json_schema"
        if not isinstance(form.get("json_schema"), dict):
            yield missing(place)
            return
        for name in ("name", "schema"):
            if name not in form["json_schema"]:
                yield missing(f"{place}.{name}")
        if not re.match(r"[a-zA-Z0-9_-]+$", form["json_schema"]["name"]):
            words = f"Invalid '{place}.name': string does not match pattern."
            words += " Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
            yield Refusal(400, words, param=f"{place}.name", code="invalid_value")


def _length_faults(messages: list[Mapping[str, Any]], limit: int | None) -> Iterator[Refusal]:
    tokens = len(all_text(messages).split())
    if limit is not None and tokens > limit:
        words = f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens}"
        words += " tokens. Please reduce the length of the messages."
        yield Refusal(400, words, param="messages", code="context_length_exceeded")


def completion_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/completions` refuses of a request to a model that is there."""
    if "insert" not in (facts.capabilities or ()):
        words = "This is a chat model and not supported in the v1/completions endpoint."
        yield Refusal(404, f"{words} Did you mean to use v1/chat/completions?", param="model")
    prompt = body.get("prompt")
    if prompt is not None and not isinstance(prompt, str | list):
        yield wrong_type("prompt", "string", prompt)
    logprobs = body.get("logprobs")
    if logprobs is not None and (isinstance(logprobs, bool) or not isinstance(logprobs, int)):
        yield wrong_type("logprobs", "integer", logprobs)


def embedding_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What `/embeddings` refuses of a request to a model that is there."""
    if "embedding" not in (facts.capabilities or ()):
        yield Refusal(403, "You are not allowed to generate embeddings from this model")
    given = body.get("input")
    if given is None:
        yield missing("input")
    texts = given if isinstance(given, list) else [given]
    if given in ("", []) or not (_all(texts, str) or _all(texts, int) or _all_lists(texts)):
        words = "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
        yield Refusal(400, words)
    if body.get("encoding_format") not in (None, "float", "base64"):
        yield wrong_value("encoding_format", body["encoding_format"], ("float", "base64"))


def _all(values: list[Any], kind: type) -> bool:
    return all(isinstance(value, kind) and not isinstance(value, bool) for value in values)


def _all_lists(values: list[Any]) -> bool:
    return all(isinstance(value, list) and value and _all(value, int) for value in values)
