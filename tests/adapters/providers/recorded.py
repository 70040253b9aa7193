"""Recorded exchanges: what was sent, what came back, and an independent reading of it."""

import json
from base64 import b64decode
from collections import defaultdict
from pathlib import Path
from typing import Any

from attrs import frozen

from pipeline.ports import Codec
from pipeline.values.events import (
    Batch,
    Embedded,
    Event,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageSeen,
)
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Prompt, Role, Source, Text
from pipeline.values.targets import ModelFacts, Provider, Target

ROOT = Path(__file__).resolve().parents[2] / "recordings"


@frozen
class Recording:
    """One exchange. `body` is the reply's."""

    id: str
    api: str
    stream: bool
    status: int
    headers: dict[str, str]
    request: dict[str, Any]
    body: bytes


def load(path: Path) -> Recording:
    found = json.loads(path.read_text(encoding="utf-8"))
    reply = found["response"]
    return Recording(
        found["id"],
        found["api"].replace("ollama.openai_compat_", "openai."),
        found["stream"],
        reply["status"],
        reply["headers"],
        found["request"]["body"] or {},
        reply["body_text"].encode() if "body_text" in reply else b64decode(reply["body_base64"]),
    )


EVERY = [load(path) for path in sorted(ROOT.glob("*.json"))]
# Those of other vendors, and of other endpoints of these, have tests of their own.
ALL = [
    found for found in EVERY if found.api.startswith(("openai.", "ollama.")) and "responses" not in found.api
]
REFUSED = [found for found in ALL if found.status != 200]
ANSWERS = [found for found in ALL if found.status == 200 and not found.api.endswith((".models", ".show"))]


def target(kind: str = "openai", model: str = "m", **facts: Any) -> Target:
    base = "https://api.example/v1/" if kind == "openai" else "http://localhost:11434"
    return Target(Provider("p", kind, base), ModelFacts(model, **facts))


def request_for(found: Recording, usage: bool = False) -> ChatRequest | EmbedRequest:
    """The least request whose reply this could be; `usage`: the client asked for it in the stream."""
    if "embed" in found.api:
        return EmbedRequest("asked", ("one text",))
    extra = {"openai.chat": {"stream_options": {"include_usage": True}}} if usage else {}
    if found.api in ("openai.completions", "ollama.generate"):
        return ChatRequest("asked", prompt=Prompt("p", raw=True), stream=found.stream, extra=extra)
    said = (Message(Role.USER, (Text("p"),)),)
    source = Source("openai.chat", {"stream_options": {"include_usage": True}}) if usage else None
    return ChatRequest("asked", said, stream=found.stream, source=source)


def decoded(codec: Codec, request: ChatRequest | EmbedRequest, *pieces: bytes) -> list[Batch]:
    """All batches of a reply that came in these pieces."""
    state = codec.fresh(request)
    batches = []
    for piece in pieces:
        state, batch = codec.decode(state, piece)
        batches.append(batch)
    return [*batches, codec.finish(state)]


def events_of(batches: list[Batch]) -> tuple[Event, ...]:
    return tuple(event for batch in batches for event in batch.events)


def shown(batches: list[Batch]) -> bytes:
    return b"".join(batch.verbatim.data for batch in batches if batch.verbatim)


@frozen
class Reading:
    """What a reply says, in sum."""

    model: str
    text: dict[int, str]
    thinking: dict[int, str]
    refusal: dict[int, str]
    calls: dict[int, list[tuple[str | None, str, str]]]
    usage: tuple[int | None, ...] | None
    reasons: list[str]
    logprobs: int
    vectors: list[list[float]]


def reading_of(events: tuple[Event, ...]) -> Reading:
    """What events say."""
    model, usage, reasons, vectors, logprobs = "", None, [], [], 0
    words: dict[type, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    calls: dict[int, dict[int, list[Any]]] = defaultdict(dict)
    for event in events:
        match event:
            case Started(name):
                model = name
            case TextDelta(text, choice, entries):
                logprobs += len(entries)
                if text:
                    words[TextDelta][choice] += text
            case ThinkingDelta(text, choice) | RefusalDelta(text, choice):
                words[type(event)][choice] += text
            case ToolCallDelta(index, id, name, arguments, choice):
                if index not in calls[choice]:
                    assert id
                    assert name
                    calls[choice][index] = [id, name, arguments]
                else:
                    assert (id, name) == (None, None)
                    calls[choice][index][2] += arguments
            case UsageSeen(seen):
                usage = (seen.input, seen.output, seen.cached, seen.thinking)
            case Embedded(found):
                vectors = list(found)
            case Finished(reason, others):
                reasons = [reason, *others]
    for made in calls.values():
        assert list(made) == list(range(len(made)))
    return Reading(
        model,
        dict(words[TextDelta]),
        dict(words[ThinkingDelta]),
        dict(words[RefusalDelta]),
        {choice: [tuple(call) for call in made.values()] for choice, made in calls.items()},
        usage,
        reasons,
        logprobs,
        vectors,
    )
