"""What the replies of `/v1/chat/completions` and `/v1/completions` have in common: frames, ends, usage, the whole object."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from attrs import evolve, frozen

from adapters.dialects.openai_errors import JSON, error_object
from pipeline.ports import Answer
from pipeline.values.events import Batch, Event, Finished, Started, Usage, UsageSeen, joined
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Request
from pipeline.values.problems import Problem

SSE = {"content-type": "text/event-stream", "cache-control": "no-cache"}
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
# Within a JSON string a quote is escaped, so these bytes can only be the key itself.
REASON_TOLD = re.compile(rb'"finish_reason"\s*:\s*"')


@frozen(kw_only=True)
class Writing:
    """How far the writing of one reply has come.

    `verbatim`: the upstream's bytes stand for its events; None until the upstream has begun. `told`: how it ended was
    said, in the upstream's bytes.
    """

    id: str
    exchange: str
    created: int
    sent: str
    stream: bool
    usage_asked: bool
    verbatim: bool | None = None
    told: bool = False
    usage: Usage | None = None
    ended: bool = False


W = TypeVar("W", bound=Writing)


def asks_for_usage(request: Request, form: str) -> bool:
    """Whether the client wants to see usage in its stream."""
    options = request.extra.get(form, {}).get("stream_options") if isinstance(request, ChatRequest) else None
    return bool(options and options.get("include_usage"))


def head(state: Writing) -> ReplyHead:
    """Events for a stream, else one object."""
    return ReplyHead(200, SSE if state.stream else JSON)


def keep_alive(state: W, elapsed_s: float) -> tuple[W, bytes]:
    """A comment."""
    return state, KEEP_ALIVE if state.stream and not state.ended else b""


def passed(state: W, batch: Batch, data: bytes) -> tuple[W, bytes]:
    """The upstream's own bytes, and the end mark where it gave none."""
    told = state.told or REASON_TOLD.search(data) is not None
    ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
    if told != state.told or ended:
        state = evolve(state, told=told, ended=ended)
    return state, data if not ended or data.rstrip().endswith(b"[DONE]") else data + DONE


def failure(state: Writing, problem: Problem) -> bytes:
    """The frame that ends a stream which broke off; no end mark follows."""
    error = error_object(problem, state.sent, state.exchange)
    return b"data: " + orjson.dumps({"error": error}) + b"\n\n"


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage in the words of both."""
    given, made = usage.input or 0, usage.output or 0
    value: dict[str, Any] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    if usage.cached is not None:
        value["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.thinking is not None:
        value["completion_tokens_details"] = {"reasoning_tokens": usage.thinking}
    return value


def gathered(
    state: W,
    batches: tuple[Batch, ...],
    form: str,
    kind: str,
    choice: Callable[[W, tuple[Event, ...], Finished, int], Mapping[str, Any]],
) -> Answer:
    """The whole reply as one object: the upstream's own, or one of that `kind`, whose choices `choice` writes."""
    whole = joined(batches)
    if whole.verbatim is not None and whole.verbatim.format == form:
        return Answer(head(state), whole.verbatim.data)
    events = whole.events
    model = next((event.model for event in events if isinstance(event, Started)), state.sent)
    usage = next((event.usage for event in events if isinstance(event, UsageSeen)), None)
    finished = next((event for event in events if isinstance(event, Finished)), Finished("stop"))
    spoken = {number for event in events if isinstance(number := getattr(event, "choice", None), int)}
    count = max(1 + len(finished.others), 1 + max(spoken, default=0))
    value = {
        **finished.extra.get(form, {}),
        "id": state.id,
        "object": kind,
        "created": state.created,
        "model": model,
        "choices": [choice(state, events, finished, number) for number in range(count)],
        **({"usage": usage_object(usage)} if usage else {}),
    }
    return Answer(head(state), orjson.dumps(value))
