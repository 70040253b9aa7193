"""What Google refuses, as strictly as the provider, so that a mistake in a request shows up here.

Each rule yields what it refuses; the first one counts. Names may be written in camel case or with underscores, as
protocol buffers have it. Sources: https://ai.google.dev/api/generate-content, the field reference of the API, and
recorded answers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from adapters.simulator.google_contents import conversation_faults, words_in
from adapters.simulator.google_errors import NO_KEY, WRONG_KEY, Refusal, unknown_name, wrong_value
from pipeline.values.http import Headers
from pipeline.values.targets import ModelFacts

Body: TypeAlias = Mapping[str, Any]

REQUEST_FIELDS = frozenset(
    {
        "cachedContent",
        "contents",
        "generationConfig",
        "model",
        "safetySettings",
        "serviceTier",
        "store",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
CONFIG_FIELDS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "candidateCount": ("TYPE_INT32", (int,)),
    "enableEnhancedCivicAnswers": ("TYPE_BOOL", (bool,)),
    "frequencyPenalty": ("TYPE_FLOAT", (int, float)),
    "logprobs": ("TYPE_INT32", (int,)),
    "maxOutputTokens": ("TYPE_INT32", (int,)),
    "mediaResolution": ("TYPE_ENUM", (str,)),
    "presencePenalty": ("TYPE_FLOAT", (int, float)),
    "responseJsonSchema": ("type.googleapis.com/google.protobuf.Value", (dict, bool)),
    "responseLogprobs": ("TYPE_BOOL", (bool,)),
    "responseMimeType": ("TYPE_STRING", (str,)),
    "responseModalities": ("TYPE_ENUM", (list,)),
    "responseSchema": ("type.googleapis.com/google.ai.generativelanguage.v1beta.Schema", (dict,)),
    "seed": ("TYPE_INT32", (int,)),
    "speechConfig": ("type.googleapis.com/google.ai.generativelanguage.v1beta.SpeechConfig", (dict,)),
    "imageConfig": ("type.googleapis.com/google.ai.generativelanguage.v1beta.ImageConfig", (dict,)),
    "stopSequences": ("TYPE_STRING", (list,)),
    "temperature": ("TYPE_FLOAT", (int, float)),
    "thinkingConfig": ("type.googleapis.com/google.ai.generativelanguage.v1beta.ThinkingConfig", (dict,)),
    "topK": ("TYPE_INT32", (int,)),
    "topP": ("TYPE_FLOAT", (int, float)),
}
SCHEMA_FIELDS = frozenset(
    {
        "anyOf",
        "default",
        "description",
        "enum",
        "example",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
TOOL_FIELDS = frozenset(
    {"codeExecution", "computerUse", "fileSearch", "functionDeclarations", "googleMaps", "googleSearch"}
    | {"googleSearchRetrieval", "urlContext"}
)
DECLARATION_FIELDS = frozenset(
    {
        "behavior",
        "description",
        "name",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    }
)
THINKING_FIELDS = frozenset({"includeThoughts", "thinkingBudget", "thinkingLevel"})
BOUNDS: Mapping[str, tuple[float, float]] = {
    "candidateCount": (1, 8),
    "frequencyPenalty": (-2, 2),
    "logprobs": (0, 20),
    "maxOutputTokens": (1, 65536),
    "presencePenalty": (-2, 2),
    "temperature": (0, 2),
    "topK": (1, 64),
    "topP": (0, 1),
}
MODES = ("AUTO", "ANY", "NONE", "VALIDATED", "MODE_UNSPECIFIED")
TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
NAME = re.compile(r"[a-zA-Z_][\w.:-]{0,127}", re.ASCII)

# Which budgets of thinking, or which levels, a line takes.
BUDGETS: tuple[tuple[re.Pattern[str], tuple[int, int]], ...] = (
    (re.compile(r"gemini-2\.5-pro"), (128, 32768)),
    (re.compile(r"gemini-2\.5-flash-lite"), (512, 24576)),
    (re.compile(r"gemini-2\.5"), (0, 24576)),
)
LEVELS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"gemini-3-pro"), ("LOW", "HIGH")),
    (re.compile(r"gemini-3(\.[0-6])?-flash"), ("MINIMAL", "LOW", "MEDIUM", "HIGH")),
    (re.compile(r""), ("LOW", "MEDIUM", "HIGH")),
)
OLD = re.compile(r"gemini-2\.|gemini-1|gemma-3")
OLDEST = re.compile(r"gemini-2\.0|gemini-1|gemma-3")


def denied(headers: Headers, key: str | None) -> Refusal | None:
    """Why the caller is not let in; None where he is."""
    if key is None:
        return None
    shown = headers.get("x-goog-api-key")
    return None if shown == key else WRONG_KEY if shown else NO_KEY


def camel(value: Any) -> Any:
    """The names of a message as the reference writes them; what a client names itself stays."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {re.sub(r"_([a-z])", lambda at: at[1].upper(), name): inner for name, inner in value.items()}
    found = {name: inner if name in _THEIRS else camel(inner) for name, inner in found.items()}
    # One part may stand for a list of it.
    parts = found.get("parts")
    return {**found, "parts": [parts]} if isinstance(parts, dict) else found


# Fields that hold what a client has named.
_THEIRS = frozenset(
    {
        "args",
        "response",
        "parametersJsonSchema",
        "responseJsonSchema",
        "responseSchema",
        "parameters",
        "properties",
    }
)


def generate_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What generateContent refuses of a request to a model that is there."""
    yield from _names(body, REQUEST_FIELDS, "")
    abilities = facts.capabilities or frozenset()
    thinks = "thinking" in abilities
    signed = not OLD.match(facts.name)
    yield from conversation_faults(body, "vision" in abilities, signed and "tools" in abilities)
    if body.get("systemInstruction") is not None and facts.name.startswith("gemma-3"):
        yield Refusal(400, f"Developer instruction is not enabled for models/{facts.name}")
    yield from _tools_faults(body, facts.name, "tools" in abilities)
    config = body.get("generationConfig")
    if config is not None:
        yield from _config_faults(config, body, facts.name, thinks)
    tokens = len(words_in(body).split())
    if facts.context_length is not None and tokens > facts.context_length:
        words = f"The input token count ({tokens}) exceeds the maximum number of tokens allowed"
        yield Refusal(400, f"{words} ({facts.context_length}).")


def _names(message: Any, known: frozenset[str], place: str) -> Iterator[Refusal]:
    if not isinstance(message, dict):
        yield wrong_value(place, "type.googleapis.com/google.protobuf.Message", message)
        return
    for name in message:
        if name not in known:
            yield unknown_name(name, place)


def _config_faults(config: Any, body: Body, model: str, thinks: bool) -> Iterator[Refusal]:
    place = "generation_config"
    yield from _names(config, frozenset(CONFIG_FIELDS), place)
    for name, value in config.items():
        words, types = CONFIG_FIELDS[name]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield wrong_value(f"{place}.{_snake(name)}", words, value)
        low, high = BOUNDS.get(name, (None, None))
        if low is not None and high is not None and not low <= value <= high:
            yield Refusal(
                400, f"* GenerateContentRequest.{place}.{_snake(name)}: must be in the range [{low}, {high}]."
            )
    if "seed" in config and not -(2**31) <= config["seed"] < 2**31:
        yield wrong_value(f"{place}.seed", "TYPE_INT32", config["seed"])
    if len(config.get("stopSequences", ())) > 5:
        yield Refusal(
            400, "* GenerateContentRequest.generation_config.stop_sequences: at most 5 are allowed."
        )
    yield from _steering_faults(config, model)
    yield from _form_faults(config, body, model)
    if "thinkingConfig" in config:
        yield from _thinking_faults(config["thinkingConfig"], model, thinks)


def _steering_faults(config: Body, model: str) -> Iterator[Refusal]:
    if OLDEST.match(model):
        return
    if config.get("presencePenalty") or config.get("frequencyPenalty"):
        yield Refusal(400, "Penalty is not enabled for this model")
    if config.get("responseLogprobs") or "logprobs" in config:
        yield Refusal(400, f"Logprobs is not enabled for models/{model}")


def _form_faults(config: Body, body: Body, model: str) -> Iterator[Refusal]:
    form = config.get("responseMimeType")
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if name in config]
    if form not in (None, "text/plain", "application/json", "text/x.enum"):
        allowed = "allowed mimetypes are `text/plain`, `application/json`, `text/x.enum`"
        yield Refusal(400, f"* GenerateContentRequest.generation_config.response_mime_type: {allowed}.")
    if schemas and form in (None, "text/plain"):
        place = f"GenerateContentRequest.generation_config.{_snake(schemas[0])}"
        yield Refusal(400, f"* {place}: only allowed when mime type is `application/json` or `text/x.enum`.")
    if len(schemas) == 2:
        yield Refusal(400, "Only one of response_schema and response_json_schema may be set.")
    if form == "application/json" and model.startswith("gemma-3"):
        yield Refusal(400, f"JSON mode is not enabled for models/{model}")
    if form == "application/json" and body.get("tools") and OLD.match(model):
        mode = ((body.get("toolConfig") or {}).get("functionCallingConfig") or {}).get("mode")
        if mode != "NONE":
            words = "Function calling with a response mime type: 'application/json' is unsupported"
            yield Refusal(400, words)
    if "responseJsonSchema" in config and OLDEST.match(model):
        yield Refusal(400, f"response_json_schema is not supported for models/{model}")
    if "responseSchema" in config:
        yield from schema_faults(config["responseSchema"], "generation_config.response_schema")


def _thinking_faults(config: Any, model: str, thinks: bool) -> Iterator[Refusal]:
    yield from _names(config, THINKING_FIELDS, "generation_config.thinking_config")
    budget, level = config.get("thinkingBudget"), config.get("thinkingLevel")
    if not thinks:
        yield Refusal(400, "Thinking is not enabled for this model.")
    if budget is not None and level is not None:
        yield Refusal(400, "You can only set only one of thinking budget and thinking level.")
    bounds = next((bounds for line, bounds in BUDGETS if line.match(model)), None)
    if level is not None:
        levels = next(levels for line, levels in LEVELS if line.match(model))
        if bounds is not None or str(level).upper() not in levels:
            yield Refusal(400, f"Thinking level {level} is not supported for this model.")
    if budget is not None and bounds is not None:
        low, high = bounds
        off = budget == 0 and low != 128
        if not isinstance(budget, int) or not (budget == -1 or off or low <= budget <= high):
            words = (
                f"The thinking budget {budget} is invalid. Please choose a value between {low} and {high}."
            )
            yield Refusal(400, words)


def _tools_faults(body: Body, model: str, calls: bool) -> Iterator[Refusal]:
    declared: list[str] = []
    yield from _lists(body, ("tools",), "")
    for index, tool in enumerate(body.get("tools") or ()):
        yield from _names(tool, TOOL_FIELDS, f"tools[{index}]")
        yield from _lists(tool, ("functionDeclarations",), f"tools[{index}].")
        for at, function in enumerate(tool.get("functionDeclarations") or ()):
            yield from _declaration_faults(function, f"tools[{index}].function_declarations[{at}]", model)
            declared.append(function["name"])
    if declared and not calls:
        yield Refusal(400, f"Function calling is not enabled for models/{model}")
    config = body.get("toolConfig")
    if config is None:
        return
    yield from _names(config, frozenset({"functionCallingConfig", "retrievalConfig"}), "tool_config")
    calling = config.get("functionCallingConfig")
    if calling is None:
        return
    place = "tool_config.function_calling_config"
    yield from _names(calling, frozenset({"mode", "allowedFunctionNames"}), place)
    if not declared:
        yield Refusal(400, "Function calling config is set without function_declarations.")
    if calling.get("mode") not in MODES:
        yield wrong_value(f"{place}.mode", "TYPE_ENUM", calling.get("mode"))
    yield from _lists(calling, ("allowedFunctionNames",), f"{place}.")
    allowed = calling.get("allowedFunctionNames")
    if allowed is not None and calling["mode"] not in ("ANY", "VALIDATED"):
        yield Refusal(400, f"* GenerateContentRequest.{place}.allowed_function_names: only with mode ANY.")
    for name in allowed or ():
        if name not in declared:
            yield Refusal(
                400, f"* GenerateContentRequest.{place}.allowed_function_names: {name} is not declared."
            )


def _declaration_faults(function: Any, place: str, model: str) -> Iterator[Refusal]:
    yield from _names(function, DECLARATION_FIELDS, place)
    name = function.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        words = "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z,"
        words += " 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128."
        yield Refusal(400, f"* GenerateContentRequest.{place}.name: {words}")
    if "parameters" in function and "parametersJsonSchema" in function:
        yield Refusal(400, "Only one of parameters and parameters_json_schema may be set.")
    if "parametersJsonSchema" in function and OLDEST.match(model):
        yield Refusal(400, f"parameters_json_schema is not supported for models/{model}")
    if "parameters" in function:
        yield from schema_faults(function["parameters"], f"{place}.parameters")
        if not function["parameters"].get("properties") and OLDEST.match(model):
            words = "properties: should be non-empty for OBJECT type"
            yield Refusal(400, f"* GenerateContentRequest.{place}.parameters.{words}")


def schema_faults(schema: Any, place: str) -> Iterator[Refusal]:
    """What is refused of a schema in the subset of OpenAPI."""
    yield from _names(schema, SCHEMA_FIELDS, place)
    yield from _lists(schema, ("enum", "required", "anyOf"), f"{place}.")
    if not isinstance(schema.get("properties") or {}, dict):
        yield wrong_value(
            f"{place}.properties", "type.googleapis.com/google.protobuf.Struct", schema["properties"]
        )
    kind = schema.get("type")
    if kind is not None and (not isinstance(kind, str) or kind.upper() not in TYPES):
        yield wrong_value(f"{place}.type", "TYPE_ENUM", kind)
    for value in schema.get("enum") or ():
        if not isinstance(value, str):
            yield wrong_value(f"{place}.enum", "TYPE_STRING", value)
    for name, inner in (schema.get("properties") or {}).items():
        yield from schema_faults(inner, f"{place}.properties[{name}]")
    for name in schema.get("required") or ():
        if name not in (schema.get("properties") or {}):
            yield Refusal(400, f"* GenerateContentRequest.{place}.required: property {name} is not defined")
    if "items" in schema:
        yield from schema_faults(schema["items"], f"{place}.items")
    elif isinstance(kind, str) and kind.upper() == "ARRAY":
        yield Refusal(400, f"* GenerateContentRequest.{place}.items: missing field.")
    for index, inner in enumerate(schema.get("anyOf") or ()):
        yield from schema_faults(inner, f"{place}.any_of[{index}]")


def embed_faults(body: Body) -> Iterator[Refusal]:
    """What embedContent refuses of one request."""
    known = frozenset({"content", "model", "outputDimensionality", "taskType", "title", "autoTruncate"})
    yield from _names(body, known | {"embedContentConfig"}, "")
    content = body.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        yield Refusal(400, "* EmbedContentRequest.content: contents is not specified\n")
        return
    if any(not isinstance(part, dict) or not isinstance(part.get("text"), str) for part in parts):
        yield Refusal(
            400, "* EmbedContentRequest.content.parts: required oneof field 'data' must be initialized"
        )
    size = body.get("outputDimensionality")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        yield wrong_value("output_dimensionality", "TYPE_INT32", size)


def _lists(message: Body, names: tuple[str, ...], place: str) -> Iterator[Refusal]:
    for name in names:
        if not isinstance(message.get(name) or [], list):
            yield wrong_value(f"{place}{_snake(name)}", "repeated", message[name])


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda at: f"_{at[0].lower()}", name)
