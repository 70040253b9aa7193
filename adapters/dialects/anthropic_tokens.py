"""How many tokens a request has, by estimate: nobody but the model's vendor knows, and asking costs a call."""

from collections.abc import Iterable
from typing import Any

import orjson

from pipeline.values.messages import ChatRequest, Image, Opaque, Part, Reasoning, Request, Tool, ToolCall

BYTES_A_TOKEN = 4
# What a picture of usual size costs.
PICTURE = 1600


def estimate(request: Request) -> int:
    """Tokens of all that the model is told, at least one."""
    if not isinstance(request, ChatRequest):
        return 1
    parts = [part for message in request.messages for part in message.parts]
    words = sum(map(_bytes, parts)) + sum(map(_tool_bytes, request.tools))
    return max(1, -(-words // BYTES_A_TOKEN) + _pictures(parts))


def _pictures(parts: Iterable[Part]) -> int:
    return sum(PICTURE for part in parts if isinstance(part, Image))


def _bytes(part: Part) -> int:
    match part:
        case Image():
            return 0
        case ToolCall(_, name, arguments):
            return len(name) + len(arguments.encode())
        case Opaque(_, value):
            # Files are long as text, and short as what the model makes of them.
            return min(len(_json(value)), PICTURE * BYTES_A_TOKEN)
        case Reasoning(text):
            return len(text.encode())
        case _:
            return len(part.text.encode())


def _tool_bytes(tool: Tool) -> int:
    return len(tool.name) + len((tool.description or "").encode()) + len(_json(tool.parameters or {}))


def _json(value: Any) -> bytes:
    return orjson.dumps(value)
