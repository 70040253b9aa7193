"""What OpenAI refuses of a conversation: the form of its messages, and the order of calls and their answers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.simulator.openai_errors import (
    NAMES,
    Refusal,
    empty_array,
    missing,
    unknown_parameter,
    wrong_type,
    wrong_value,
)

MESSAGE_FIELDS = frozenset(
    {
        "annotations",
        "audio",
        "content",
        "function_call",
        "name",
        "refusal",
        "role",
        "tool_call_id",
        "tool_calls",
    }
)
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")


def conversation_faults(messages: Any, sees: bool) -> Iterator[Refusal]:
    """What is wrong with `messages`; `sees`: whether the model takes pictures."""
    if messages is None:
        yield missing("messages")
    if not isinstance(messages, list):
        yield wrong_type("messages", "array of objects", messages)
    if not messages:
        yield empty_array("messages")
    for index, message in enumerate(messages):
        yield from _message_faults(f"messages[{index}]", f"messages.[{index}]", message, sees)
    yield from _order_faults(messages)


def _message_faults(place: str, dotted: str, message: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(message, dict):
        yield wrong_type(place, "object", message)
    if "role" not in message:
        yield missing(f"{place}.role")
    if message["role"] not in ROLES:
        yield wrong_value(f"{place}.role", message["role"], ROLES)
    if unknown := sorted(message.keys() - MESSAGE_FIELDS):
        yield unknown_parameter(f"{place}.{unknown[0]}")
    if message["role"] == "tool" and "tool_call_id" not in message:
        yield missing(f"{place}.tool_call_id")
    calls = message.get("tool_calls")
    if calls is not None:
        yield from _call_faults(f"{place}.tool_calls", calls)
    yield from _content_faults(place, dotted, message, sees)


def _content_faults(place: str, dotted: str, message: Mapping[str, Any], sees: bool) -> Iterator[Refusal]:
    content = message.get("content")
    speaks = any(
        message.get(other) is not None for other in ("tool_calls", "refusal", "audio", "function_call")
    )
    if content is None:
        if not (message["role"] == "assistant" and speaks):
            words = "Invalid value for 'content': expected a string, got null."
            yield Refusal(400, words, param=f"{dotted}.content")
    elif isinstance(content, list):
        if not content:
            yield empty_array(f"{place}.content")
        for index, part in enumerate(content):
            yield from _part_faults(f"{place}.content[{index}]", f"{dotted}.content.[{index}]", part, sees)
    elif not isinstance(content, str):
        message_ = f"Invalid type for '{place}.content': expected one of a string or array of objects"
        got = NAMES[type(content)]
        yield Refusal(
            400, f"{message_}, but got {got} instead.", param=f"{place}.content", code="invalid_type"
        )


def _part_faults(place: str, dotted: str, part: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(part, dict):
        yield wrong_type(place, "object", part)
    if "type" not in part:
        yield missing(f"{place}.type")
    if part["type"] not in PARTS:
        yield wrong_value(f"{place}.type", part["type"], PARTS)
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        yield missing(f"{place}.text")
    if part["type"] == "image_url":
        yield from _image_faults(place, dotted, part.get("image_url"), sees)


def _image_faults(place: str, dotted: str, image: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(image, dict):
        yield wrong_type(f"{place}.image_url", "object", image)
    if not isinstance(image.get("url"), str):
        yield missing(f"{place}.image_url.url")
    if not sees:
        words = "Invalid content type. image_url is only supported by certain models."
        yield Refusal(400, words, param=f"{dotted}.type")
    if not re.match(r"https?://|data:image/(png|jpe?g|gif|webp);base64,[A-Za-z0-9+/]", image["url"]):
        words = (
            "You uploaded an unsupported image. Please make sure your image has of one the following formats:"
        )
        yield Refusal(400, f"{words} ['png', 'jpeg', 'gif', 'webp'].", code="invalid_image_format")


def _call_faults(place: str, calls: Any) -> Iterator[Refusal]:
    if not isinstance(calls, list):
        yield wrong_type(place, "array of objects", calls)
    if not calls:
        yield empty_array(place)
    for index, call in enumerate(calls):
        here = f"{place}[{index}]"
        if not isinstance(call, dict):
            yield wrong_type(here, "object", call)
        for name in ("id", "type", "function"):
            if name not in call:
                yield missing(f"{here}.{name}")
        if not isinstance(call["function"], dict):
            yield wrong_type(f"{here}.function", "object", call["function"])
        for name in ("name", "arguments"):
            if name not in call["function"]:
                yield missing(f"{here}.function.{name}")
            if not isinstance(call["function"][name], str):
                yield wrong_type(f"{here}.function.{name}", "string", call["function"][name])


def _order_faults(messages: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Each tool message answers a call of the assistant message before it, and each call is answered."""
    open_ids: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_ids:
                words = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with"
                yield Refusal(400, f"{words} 'tool_calls'.", param=f"messages.[{index}].role")
            open_ids.remove(message["tool_call_id"])
            continue
        if open_ids:
            yield _unanswered(open_ids, index)
        open_ids = [call["id"] for call in message.get("tool_calls") or ()]
    if open_ids:
        yield _unanswered(open_ids, len(messages) - 1)


def _unanswered(ids: list[str], index: int) -> Refusal:
    words = "An assistant message with 'tool_calls' must be followed by tool messages responding to each"
    words += f" 'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(ids)}"
    return Refusal(400, words, param=f"messages.[{index}].role")


def text_of(message: Mapping[str, Any]) -> str:
    """All text of one message, joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def all_text(messages: list[Mapping[str, Any]]) -> str:
    """All text of a conversation."""
    return "\n".join(map(text_of, messages))
