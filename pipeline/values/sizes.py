"""How many tokens a request has, by estimate: nobody but the model's vendor knows, and asking costs a call."""

from collections.abc import Iterable
from typing import Any

import orjson

from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Image,
    Opaque,
    Part,
    Prompt,
    Reasoning,
    Request,
    Tool,
    ToolCall,
)

BYTES_A_TOKEN = 4
# What a picture of usual size costs.
PICTURE = 1600


def input_tokens(request: Request) -> int:
    """Tokens of all that the model is told, at least one."""
    if isinstance(request, EmbedRequest):
        return max(1, sum(map(_input_tokens, request.input)))
    if not isinstance(request, ChatRequest):
        return 1
    parts = [part for message in request.messages for part in message.parts]
    words = sum(map(_bytes, parts)) + sum(map(_tool_bytes, request.tools)) + _prompt_bytes(request.prompt)
    return max(1, -(-words // BYTES_A_TOKEN) + PICTURE * _pictures(parts, request.prompt))


def _input_tokens(given: str | tuple[int, ...]) -> int:
    return -(-len(given.encode()) // BYTES_A_TOKEN) if isinstance(given, str) else len(given)


def _pictures(parts: Iterable[Part], prompt: Prompt | None) -> int:
    return sum(isinstance(part, Image) for part in parts) + (len(prompt.images) if prompt else 0)


def _prompt_bytes(prompt: Prompt | None) -> int:
    if prompt is None:
        return 0
    texts = (prompt.text, prompt.suffix, prompt.system)
    return sum(len(text.encode()) for text in texts if text) + BYTES_A_TOKEN * len(prompt.context or ())


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
