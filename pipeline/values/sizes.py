"""How many tokens a request has, by estimate: nobody but the model's vendor knows, and asking costs a call."""

from bisect import bisect_right
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
# What a picture of usual size costs, and what stands around a message.
PICTURE, TURN = 1600, 8
# An answer is reckoned to be no longer than this, whatever it may be.
LONGEST_ANSWER = 4096
# Where one class of sizes ends and the next begins, in tokens. They are few, so that each has its samples.
CLASS_EDGES = (1_000, 4_000, 16_000, 64_000)


def tokens_of(size: int) -> int:
    """Tokens of `size` bytes of text.

    English has about four bytes a token in the vocabularies of all vendors, and other languages, with longer letters, do
    not have many fewer. It is the only place where bytes become tokens.
    """
    return -(-size // BYTES_A_TOKEN)


def size_class(tokens: int) -> int:
    """Which of the few classes of sizes `tokens` belong to, from 0."""
    return bisect_right(CLASS_EDGES, tokens)


def reserved_tokens(request: Request, cap: int | None = None) -> int:
    """Tokens to be set aside for a request and its answer, until its usage is known.

    `cap`: the longest answer the model gives, if that is known. Each of several answers may be as long as one.
    """
    given = input_tokens(request)
    if not isinstance(request, ChatRequest):
        return given
    limits = [limit for limit in (request.sampling.max_tokens, cap) if limit is not None]
    return given + request.choices * min((LONGEST_ANSWER, *limits))


def input_tokens(request: Request) -> int:
    """Tokens of all that the model is told: its text, what stands around each message, and pictures. At least one."""
    if isinstance(request, EmbedRequest):
        return max(1, sum(map(_input_tokens, request.input)))
    if not isinstance(request, ChatRequest):
        return 1
    parts = [part for message in request.messages for part in message.parts]
    words = sum(map(_bytes, parts)) + sum(map(_tool_bytes, request.tools)) + _prompt_bytes(request.prompt)
    return max(
        1, tokens_of(words) + TURN * len(request.messages) + PICTURE * _pictures(parts, request.prompt)
    )


def _input_tokens(given: str | tuple[int, ...]) -> int:
    return tokens_of(len(given.encode())) if isinstance(given, str) else len(given)


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
