"""What Converse refuses of a conversation: the form of its turns and blocks, and calls that are not answered."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from adapters.simulator.bedrock_errors import Refusal, malformed, unfit

BLOCKS = (
    *("text", "image", "document", "video", "audio", "toolUse", "toolResult", "guardContent"),
    *("cachePoint", "reasoningContent", "citationsContent", "searchResult"),
)
FIELDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "image": (frozenset({"format", "source"}), frozenset()),
    "document": (frozenset({"format", "name", "source"}), frozenset({"context", "citations"})),
    "toolUse": (frozenset({"toolUseId", "name", "input"}), frozenset({"type"})),
    "toolResult": (frozenset({"toolUseId", "content"}), frozenset({"status", "type"})),
    "cachePoint": (frozenset({"type"}), frozenset({"ttl"})),
}
IMAGES = ("png", "jpeg", "gif", "webp")


def content_of(message: Mapping[str, Any], kind: str) -> list[Any]:
    """What the blocks of that kind hold."""
    return [block[kind] for block in message["content"] if kind in block]


def text_of(blocks: Iterable[Mapping[str, Any]]) -> str:
    """All texts in these blocks, joined."""
    return "".join(block["text"] for block in blocks if isinstance(block.get("text"), str))


def conversation_faults(messages: Any, sees: bool) -> Iterator[Refusal]:
    """What is wrong with `messages`; `sees`: whether the model takes pictures."""
    if not isinstance(messages, list) or not messages:
        yield unfit("messages", "Member must have length greater than or equal to 1")
        return
    for index, message in enumerate(messages):
        yield from _message_faults(f"messages.{index + 1}.member", message, sees)
    if messages[0]["role"] != "user":
        words = "A conversation must start with a user message. Try again with a conversation that starts with a user message."
        yield Refusal(400, words)
    yield from _answer_faults(-1, {"content": []}, messages[0])
    for index, (one, other) in enumerate(pairwise(messages)):
        if one["role"] == other["role"]:
            words = 'messages: roles must alternate between "user" and "assistant", but found multiple "{}" roles in a row'
            yield malformed(words.format(one["role"]))
        yield from _answer_faults(index, one, other)
    yield from _answer_faults(len(messages) - 1, messages[-1], {"content": []})


def _message_faults(place: str, message: Any, sees: bool) -> Iterator[Refusal]:
    if not isinstance(message, dict) or message.keys() != {"role", "content"}:
        yield unfit(place, "Member must have the members role and content")
    if message["role"] not in ("user", "assistant"):
        yield unfit(f"{place}.role", "Member must satisfy enum value set: [user, assistant]")
    if not isinstance(message["content"], list) or not message["content"]:
        yield Refusal(
            400,
            f"The content field in the Message object at {place} is empty. Add a ContentBlock object and try again.",
        )
    for number, block in enumerate(message["content"]):
        yield from block_faults(f"{place}.content.{number + 1}.member", block)
    if content_of(message, "image") and not sees:
        yield Refusal(
            400,
            "This model doesn't support the image content block that you provided. Update the content block and try again.",
        )
    if content_of(message, "document") and not content_of(message, "text"):
        yield Refusal(400, "A text block is required when a document is included in a message.")


def block_faults(place: str, block: Any) -> Iterator[Refusal]:
    """What is wrong with one block of a turn or of a tool's result."""
    if not isinstance(block, dict) or len(block) != 1 or next(iter(block)) not in (*BLOCKS, "json"):
        yield unfit(place, "Member must be one of the known content blocks")
        return
    ((kind, value),) = block.items()
    if kind == "text" and (not isinstance(value, str) or not value.strip()):
        yield Refusal(
            400,
            f"The text field in the ContentBlock object at {place} is blank. Add text to the text field, and try again.",
        )
    required, optional = FIELDS.get(kind, (frozenset(), None))
    if optional is not None and (
        not isinstance(value, dict) or not required <= value.keys() <= required | optional
    ):
        yield unfit(f"{place}.{kind}", f"Member must have the members {', '.join(sorted(required))}")
    match block:
        case {"image": {"format": form}} if form not in IMAGES:
            yield unfit(f"{place}.image.format", f"Member must satisfy enum value set: [{', '.join(IMAGES)}]")
        case {"toolUse": {"toolUseId": id, "input": given}}:
            yield from _id_faults(place, id)
            if not isinstance(given, dict):
                yield Refusal(
                    400,
                    f"The format of the value at {place}.toolUse.input is invalid. Provide a json object and try again.",
                )
        case {"toolResult": {"toolUseId": id, "content": list(content)}}:
            yield from _id_faults(place, id)
            for number, inner in enumerate(content):
                yield from block_faults(f"{place}.toolResult.content.{number + 1}.member", inner)


def _id_faults(place: str, id: Any) -> Iterator[Refusal]:
    plain = isinstance(id, str) and id.replace("-", "").replace("_", "").isalnum() and id.isascii()
    if not plain or len(id) > 64:
        yield unfit(f"{place}.toolUseId", "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+")


def _answer_faults(index: int, message: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Refusal]:
    """Each call of a turn is answered in the next, and nothing else is."""
    called = [use["toolUseId"] for use in content_of(message, "toolUse")]
    given = [result["toolUseId"] for result in content_of(after, "toolResult")]
    if missing := [id for id in called if id not in given]:
        yield Refusal(
            400,
            f"Expected toolResult blocks at messages.{index + 1}.content for the following Ids: {', '.join(missing)}",
        )
    if [id for id in given if id not in called]:
        yield Refusal(
            400,
            f"The number of toolResult blocks at messages.{index + 1}.content exceeds the number of toolUse blocks.",
        )
