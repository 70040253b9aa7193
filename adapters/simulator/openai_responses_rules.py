"""What OpenAI's `/responses` refuses, in the provider's words: fields, items and their order, tools, and what is asked back."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.simulator.openai_errors import (
    Refusal,
    empty_array,
    missing,
    out_of_range,
    unknown_parameter,
    unsupported_parameter,
    unsupported_value,
    wrong_type,
    wrong_value,
)
from adapters.simulator.openai_rules import EFFORTS, REASONING, Body
from pipeline.values.targets import ModelFacts

# Codex tells who it is in `client_metadata` on each call, and OpenAI takes it; its SDKs and pages do not name the field.
# Source: https://github.com/openai/codex/blob/main/codex-rs/codex-api/src/common.rs (2026-11).
UNPUBLISHED_FIELDS = frozenset({"client_metadata"})
# fmt: off
RESPONSE_FIELDS = UNPUBLISHED_FIELDS | frozenset({
    "access_programs", "background", "background_options", "context_management", "conversation", "image", "include",
    "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata", "model", "moderation",
    "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream", "stream_options",
    "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
})
INCLUDABLE = (
    "file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
    "message.input_image.image_url", "computer_call_output.output.image_url", "code_interpreter_call.outputs",
    "reasoning.encrypted_content", "message.output_text.logprobs",
)
ITEMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "message": (("role", "content"), ("id", "status", "phase")),
    "function_call": (("call_id", "name", "arguments"), ("id", "status")),
    "function_call_output": (("call_id", "output"), ("id", "status")),
    "custom_tool_call": (("call_id", "name", "input"), ("id", "status")),
    "custom_tool_call_output": (("call_id", "output"), ("id", "status")),
    "reasoning": (("summary",), ("id", "encrypted_content", "content", "status")),
}
# fmt: on
ROLES = ("assistant", "system", "developer", "user")
GIVEN = ("input_text", "input_image", "input_file")
MADE = ("output_text", "refusal")
FUNCTION_FIELDS = frozenset({"type", "name", "description", "parameters", "strict"})
LEAST_OUTPUT = 16
# What is encrypted begins like this; what does not was not encrypted here.
SEAL = "gAAAAA"


def response_faults(body: Body, facts: ModelFacts) -> Iterator[Refusal]:
    """What is refused of a request to a model that is there."""
    abilities = facts.capabilities or frozenset()
    yield from map(unknown_parameter, sorted(body.keys() - RESPONSE_FIELDS))
    if "completion" not in abilities:
        words = f"The requested model '{facts.name}' cannot be used with the Responses API."
        yield Refusal(400, words, param="model", code="unsupported_model")
    if body.get("input") is None:
        words = (
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided."
        )
        yield Refusal(400, words, param="input", code="missing_required_parameter")
    items = items_of(body)
    if not isinstance(items, list):
        yield wrong_type("input", "string", items)
    if not items:
        yield empty_array("input")
    for index, item in enumerate(items):
        yield from _item_faults(f"input[{index}]", item, "vision" in abilities)
    yield from _order_faults(items)
    yield from _limit_faults(body)
    yield from _model_faults(body, facts.name, "thinking" in abilities, "tools" in abilities)
    yield from _tool_faults(body)
    yield from _format_faults(body, items)
    if facts.context_length is not None and len(words_of(items).split()) > facts.context_length:
        words = "Your input exceeds the context window of this model. Please adjust your input and try again."
        yield Refusal(400, words, param="input", code="context_length_exceeded")


def items_of(body: Body) -> Any:
    """The input as items."""
    given = body["input"]
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def words_of(items: list[Any]) -> str:
    """All text of the input."""
    return "\n".join(text_of(item) for item in items)


def text_of(item: Mapping[str, Any]) -> str:
    """All text of one item, joined."""
    content = item.get("content") if item.get("type", "message") == "message" else item.get("output")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _item_faults(place: str, item: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(item, dict):
        yield wrong_type(place, "object", item)
    kind = item.get("type", "message")
    if kind not in ITEMS:
        yield wrong_value(place, kind, tuple(ITEMS))
    needed, allowed = ITEMS[kind]
    yield from (missing(f"{place}.{name}") for name in needed if item.get(name) is None)
    unknown = sorted(item.keys() - {"type", *needed, *allowed})
    yield from (unknown_parameter(f"{place}.{name}") for name in unknown)
    for name in ("call_id", "name", "arguments", "input"):
        if name in needed and not isinstance(item[name], str):
            yield wrong_type(f"{place}.{name}", "string", item[name])
    if kind == "message":
        yield from _message_faults(place, item, sees)
    if kind == "reasoning":
        yield from _thought_faults(place, item)
    if kind.endswith("_output") and isinstance(item["output"], list):
        yield from _content_faults(f"{place}.output", item["output"], GIVEN, sees)


def _message_faults(place: str, item: Mapping[str, Any], sees: bool) -> Iterator[Refusal]:
    if item["role"] not in ROLES:
        yield wrong_value(f"{place}.role", item["role"], ROLES)
    if isinstance(item["content"], list):
        kinds = MADE if item["role"] == "assistant" else GIVEN
        yield from _content_faults(f"{place}.content", item["content"], kinds, sees)
    elif not isinstance(item["content"], str):
        yield wrong_type(f"{place}.content", "string", item["content"])


def _content_faults(place: str, content: list[Any], kinds: tuple[str, ...], sees: bool) -> Iterator[Refusal]:
    for index, part in enumerate(content):
        here = f"{place}[{index}]"
        if not isinstance(part, dict):
            yield wrong_type(here, "object", part)
        if "type" not in part:
            yield missing(f"{here}.type")
        if part["type"] not in kinds:
            yield wrong_value(f"{here}.type", part["type"], kinds)
        if part["type"].endswith("_text") and not isinstance(part.get("text"), str):
            yield missing(f"{here}.text")
        if part["type"] == "input_image":
            yield from _image_faults(here, part, sees)


def _image_faults(place: str, part: Mapping[str, Any], sees: bool) -> Iterator[Refusal]:
    if not sees:
        yield Refusal(400, "This model does not support image inputs.", param=place)
    url = part.get("image_url")
    if not isinstance(url, str) or not re.match(
        r"https?://|data:image/(png|jpe?g|gif|webp);base64,[A-Za-z0-9+/]", url
    ):
        words = f"Invalid '{place}.image_url'. Expected a valid URL, but got a value with an invalid format."
        yield Refusal(400, words, param=f"{place}.image_url", code="invalid_value")


def _thought_faults(place: str, item: Mapping[str, Any]) -> Iterator[Refusal]:
    if not isinstance(item["summary"], list):
        yield wrong_type(f"{place}.summary", "array of objects", item["summary"])
    sealed = item.get("encrypted_content")
    if sealed is None:
        words = f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        yield Refusal(
            404,
            f"{words} Try again with `store` set to true, or remove this item from your input.",
            param="input",
        )
    elif not sealed.startswith(SEAL):
        words = "could not be verified. Reason: Encrypted content could not be decrypted or parsed."
        yield Refusal(400, f"The encrypted content {sealed[:4]}... {words}", code="invalid_encrypted_content")


def _order_faults(items: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Each call is answered later and each answer has its call; thinking stands before what came of it."""
    open_ids: list[str] = []
    for index, item in enumerate(items):
        kind = item.get("type", "message")
        if kind in ("function_call", "custom_tool_call"):
            open_ids.append(item["call_id"])
        elif kind.endswith("_output"):
            if item["call_id"] not in open_ids:
                words = f"No tool call found for function call output with call_id {item['call_id']}."
                yield Refusal(400, words, param="input")
            open_ids.remove(item["call_id"])
        elif kind == "reasoning":
            after = items[index + 1] if index + 1 < len(items) else {"role": "user"}
            if after.get("role", "assistant") != "assistant" or after.get("type", "").endswith("_output"):
                words = f"Item '{item.get('id')}' of type 'reasoning' was provided without its required following item."
                yield Refusal(400, words, param="input")
    if open_ids:
        yield Refusal(400, f"No tool output found for function call {open_ids[0]}.", param="input")


def _limit_faults(body: Body) -> Iterator[Refusal]:
    limit = body.get("max_output_tokens")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        yield wrong_type("max_output_tokens", "integer", limit)
    if limit is not None and limit < LEAST_OUTPUT:
        yield out_of_range("max_output_tokens", "integer", "below minimum", ">=", LEAST_OUTPUT, limit)
    for name, kind, words in (
        ("client_metadata", dict, "object"),
        ("instructions", str, "string"),
        ("reasoning", dict, "object"),
        ("text", dict, "object"),
    ):
        if body.get(name) is not None and not isinstance(body[name], kind):
            yield wrong_type(name, words, body[name])
    if body.get("truncation") not in (None, "auto", "disabled"):
        yield wrong_value("truncation", body["truncation"], ("auto", "disabled"))
    for index, name in enumerate(body.get("include") or ()):
        if name not in INCLUDABLE:
            yield wrong_value(f"include[{index}]", name, INCLUDABLE)


def _model_faults(body: Body, model: str, thinks: bool, calls: bool) -> Iterator[Refusal]:
    reasoning, include = body.get("reasoning") or {}, body.get("include") or ()
    effort = reasoning.get("effort")
    yield from (
        unknown_parameter(f"reasoning.{name}") for name in sorted(reasoning.keys() - {"effort", "summary"})
    )
    for name in ("effort", "summary"):
        if reasoning.get(name) is not None and not thinks:
            yield unsupported_parameter(f"reasoning.{name}")
    if reasoning.get("summary") not in (None, "auto", "concise", "detailed"):
        yield wrong_value("reasoning.summary", reasoning["summary"], ("auto", "concise", "detailed"))
    if effort is not None:
        supported = next(efforts for family, efforts in RESPONSE_EFFORTS if family.match(model))
        if effort not in supported:
            yield unsupported_value("reasoning.effort", effort, supported)
    if "reasoning.encrypted_content" in include and not thinks:
        yield Refusal(400, "Encrypted content is not supported with this model.", param="include")
    if body.get("tools") and not calls:
        yield unsupported_parameter("tools")
    if REASONING.match(model) and effort != "none":
        yield from (
            unsupported_parameter(name)
            for name in ("temperature", "top_p")
            if body.get(name) not in (None, 1)
        )
        if "message.output_text.logprobs" in include:
            yield Refusal(400, "logprobs are not supported with reasoning models.", param="include")
    searches = any(tool.get("type") not in ("function", "custom") for tool in body.get("tools") or ())
    if "deep-research" in model and not searches:
        words = "Deep research models require at least one of 'web_search_preview', 'mcp', or 'file_search' tools."
        yield Refusal(400, words, param="tools")
    if model.startswith("computer-use") and body.get("truncation") != "auto":
        yield unsupported_value("truncation", str(body.get("truncation")), ("auto",))


# The efforts of those that are served here alone, then those of all.
RESPONSE_EFFORTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(r"gpt-5(\.1)?-codex(?!-max)"), ("low", "medium", "high")),
    (re.compile(r"gpt-5.*-codex"), ("low", "medium", "high", "xhigh")),
    (re.compile(r"gpt-5-pro"), ("high",)),
    (re.compile(r"gpt-5.*-pro"), ("medium", "high", "xhigh")),
    (re.compile(r".*-deep-research"), ("medium",)),
    *EFFORTS,
)


def _tool_faults(body: Body) -> Iterator[Refusal]:
    tools = body.get("tools")
    for index, tool in enumerate(tools or ()):
        yield from _one_tool_faults(f"tools[{index}]", tool)
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        yield wrong_value("tool_choice", choice, ("none", "auto", "required"))
    if choice == "required" and not tools:
        words = "Tool choice 'required' must be specified with 'tools' parameter."
        yield Refusal(400, words, param="tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        if "function" in choice:
            yield unknown_parameter("tool_choice.function")
        if choice.get("name") not in [tool.get("name") for tool in tools or ()]:
            words = f"Tool choice '{choice.get('name')}' not found in 'tools' parameter."
            yield Refusal(400, words, param="tool_choice")


def _one_tool_faults(place: str, tool: Any) -> Iterator[Refusal]:
    if not isinstance(tool, dict):
        yield wrong_type(place, "object", tool)
    if "type" not in tool:
        yield missing(f"{place}.type")
    if tool["type"] not in ("function", "custom"):
        # Tools of the provider's own: they are there, and are never used.
        return
    if not isinstance(tool.get("name"), str):
        yield missing(f"{place}.name")
    pattern = "^[a-zA-Z0-9_-]+$"
    if not re.match(pattern, tool["name"]) or len(tool["name"]) > 64:
        words = f"Invalid '{place}.name': string does not match pattern."
        words += f" Expected a string that matches the pattern '{pattern}'."
        yield Refusal(400, words, param=f"{place}.name", code="invalid_value")
    if tool["type"] == "custom":
        return
    yield from (unknown_parameter(f"{place}.{name}") for name in sorted(tool.keys() - FUNCTION_FIELDS))
    if "parameters" not in tool:
        yield missing(f"{place}.parameters")
    schema = tool["parameters"]
    if schema is not None and not isinstance(schema, dict):
        yield wrong_type(f"{place}.parameters", "object", schema)
    fault = _schema_fault(schema or {"type": "object"}, tool.get("strict") is True)
    if fault:
        words = f"Invalid schema for function '{tool['name']}': {fault}"
        yield Refusal(400, words, param=f"{place}.parameters", code="invalid_function_parameters")


def _schema_fault(schema: Mapping[str, Any], strict: bool) -> str | None:
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    if strict and schema.get("additionalProperties") is not False:
        return "In context=(), 'additionalProperties' is required to be supplied and to be false."
    return None


def _format_faults(body: Body, items: list[Any]) -> Iterator[Refusal]:
    form = (body.get("text") or {}).get("format")
    if form is None:
        return
    if "type" not in form:
        yield missing("text.format.type")
    if form["type"] not in ("text", "json_object", "json_schema"):
        yield wrong_value("text.format.type", form["type"], ("json_object", "json_schema", "text"))
    if form["type"] == "json_object" and "json" not in words_of(items).lower():
        words = (
            "Response input messages must contain the word 'json' in some form to use 'text.format' of type"
        )
        yield Refusal(400, f"{words} 'json_object'.", param="input")
    if form["type"] == "json_schema":
        yield from (missing(f"text.format.{name}") for name in ("name", "schema") if name not in form)
