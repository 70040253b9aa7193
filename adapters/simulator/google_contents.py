"""What Google refuses of a conversation: the form of its turns, and the order of calls and their answers."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from adapters.simulator.google_errors import Refusal, unknown_name, wrong_value

CONTENT_FIELDS = frozenset({"parts", "role"})
# What a part can be, of which it is exactly one.
DATA = frozenset(
    {
        "codeExecutionResult",
        "executableCode",
        "fileData",
        "functionCall",
        "functionResponse",
        "inlineData",
        "text",
        "toolCall",
        "toolResponse",
    }
)
PART_FIELDS = DATA | {"mediaResolution", "partMetadata", "thought", "thoughtSignature", "videoMetadata"}
CALL_FIELDS: Mapping[str, frozenset[str]] = {
    "functionCall": frozenset({"args", "id", "name"}),
    "functionResponse": frozenset({"id", "name", "parts", "response", "scheduling", "willContinue"}),
    "inlineData": frozenset({"data", "displayName", "mimeType"}),
    "fileData": frozenset({"fileUri", "mimeType"}),
}


def conversation_faults(body: Mapping[str, Any], sees: bool, signed: bool) -> Iterator[Refusal]:
    """What is wrong with the turns; `sees`: the model takes pictures; `signed`: its calls must carry signatures."""
    contents = body.get("contents")
    if not contents:
        yield Refusal(400, "* GenerateContentRequest.contents: contents is not specified\n")
    if not isinstance(contents, list):
        yield wrong_value(
            "contents", "type.googleapis.com/google.ai.generativelanguage.v1beta.Content", contents
        )
        return
    for index, content in enumerate(contents):
        yield from _content_faults(content, f"contents[{index}]", sees)
        if content.get("role") not in (None, "user", "model"):
            yield Refusal(400, "Please use a valid role: user, model.")
    system = body.get("systemInstruction")
    if system is not None:
        yield from _content_faults(system, "system_instruction", sees=False)
    yield from _order_faults(contents)
    if signed:
        yield from _signature_faults(contents)


def _content_faults(content: Any, place: str, sees: bool) -> Iterator[Refusal]:
    if not isinstance(content, dict):
        yield wrong_value(place, "type.googleapis.com/google.ai.generativelanguage.v1beta.Content", content)
        return
    for name in content:
        if name not in CONTENT_FIELDS:
            yield unknown_name(name, place)
    parts = content.get("parts")
    if not parts or not isinstance(parts, list):
        yield Refusal(400, f"* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n")
        return
    for index, part in enumerate(parts):
        yield from _part_faults(part, f"{place}.parts[{index}]", sees)


def _part_faults(part: Any, place: str, sees: bool) -> Iterator[Refusal]:
    if not isinstance(part, dict):
        yield wrong_value(place, "type.googleapis.com/google.ai.generativelanguage.v1beta.Part", part)
        return
    for name in part:
        if name not in PART_FIELDS:
            yield unknown_name(name, place)
    kinds = DATA & part.keys()
    if len(kinds) != 1:
        words = "required oneof field 'data' must have one initialized field"
        yield Refusal(400, f"* GenerateContentRequest.{place}.data: {words}\n")
        return
    (kind,) = kinds
    inner = part[kind]
    if kind == "text":
        if not isinstance(inner, str):
            yield wrong_value(f"{place}.text", "TYPE_STRING", inner)
        return
    if not isinstance(inner, dict):
        yield wrong_value(place, "type.googleapis.com/google.protobuf.Message", inner)
        return
    for name in inner:
        if name not in CALL_FIELDS.get(kind, inner.keys()):
            yield unknown_name(name, place)
    yield from _kind_faults(kind, inner, place, sees)


def _kind_faults(kind: str, inner: Mapping[str, Any], place: str, sees: bool) -> Iterator[Refusal]:
    if kind in ("functionCall", "functionResponse"):
        if not isinstance(inner.get("name"), str) or not inner["name"]:
            yield Refusal(400, f"* GenerateContentRequest.{place}.{kind}.name: Name cannot be empty.\n")
        key = "args" if kind == "functionCall" else "response"
        if not isinstance(inner.get(key, {}), dict):
            yield wrong_value(f"{place}.{key}", "type.googleapis.com/google.protobuf.Struct", inner[key])
    if kind in ("inlineData", "fileData") and not sees:
        yield Refusal(400, "Image input modality is not enabled for this model")
    if kind == "inlineData":
        if not inner.get("mimeType"):
            yield Refusal(400, "Unsupported MIME type: ")
        try:
            base64.b64decode(inner.get("data", ""), altchars=b"-_", validate=False)
        except (binascii.Error, ValueError, TypeError):
            yield wrong_value(f"{place}.inline_data.data", "TYPE_BYTES", inner.get("data"))
    if kind == "fileData" and not str(inner.get("fileUri", "")).startswith(("https://", "gs://")):
        yield Refusal(400, "Invalid or unsupported file uri.")


def _order_faults(turns: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    """Each call is answered in the turn that follows it, and only calls are answered.

    What the model says in several turns is one: Google's own client library gives the pieces of a stream back so.
    """
    contents: list[Mapping[str, Any]] = []
    for turn in turns:
        if contents and contents[-1].get("role") == turn.get("role") == "model":
            contents[-1] = {**turn, "parts": [*contents[-1]["parts"], *turn["parts"]]}
        else:
            contents.append(turn)
    for index, content in enumerate(contents):
        answers = _count(content, "functionResponse")
        calls = _count(contents[index - 1], "functionCall") if index else 0
        if answers and not calls:
            words = "function response turn comes immediately after a function call turn."
            yield Refusal(400, f"Please ensure that {words}")
        if index and calls != answers:
            words = (
                "the number of function response parts is equal to the number of function call parts of the"
            )
            yield Refusal(400, f"Please ensure that {words} function call turn.")
        if _count(content, "functionCall") and not index:
            words = (
                "function call turn comes immediately after a user turn or after a function response turn."
            )
            yield Refusal(400, f"Please ensure that {words}")


def _count(content: Mapping[str, Any], kind: str) -> int:
    return sum(kind in part for part in content["parts"])


def _signature_faults(contents: list[Mapping[str, Any]]) -> Iterator[Refusal]:
    """The first call of each step of the current turn must be signed."""
    for index in range(len(contents) - 1, -1, -1):
        content = contents[index]
        call = next((part for part in content["parts"] if "functionCall" in part), None)
        if call is None:
            if content.get("role") != "model" and not _count(content, "functionResponse"):
                return
        elif not call.get("thoughtSignature"):
            name = call["functionCall"]["name"]
            words = "Function call is missing a thought_signature in functionCall parts. This is required for tools to"
            words += (
                f" work correctly. Additional data, function call `default_api:{name}`, position {index + 1}."
            )
            yield Refusal(400, words)


def text_of(content: Mapping[str, Any]) -> str:
    """All words of one turn, joined."""
    return "".join(part.get("text", "") for part in content["parts"] if not part.get("thought"))


def words_in(body: Mapping[str, Any]) -> str:
    """All words of a request."""
    system = body.get("systemInstruction")
    return "\n".join(text_of(content) for content in [*([system] if system else []), *body["contents"]])
