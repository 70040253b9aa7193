"""Replies of `/v1/completions`: chunks of a stream, or one object.

This form has words for text and for nothing else: thinking and calls are left out, a refusal is said as text.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import evolve, field, frozen

from adapters.dialects.names import sent_name
from adapters.dialects.openai_errors import JSON, error_object
from adapters.dialects.openai_replies import DONE, KEEP_ALIVE, REASON_TOLD, SSE, usage_object
from pipeline.ports import Answer
from pipeline.values.events import (
    Batch,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    Usage,
    UsageSeen,
    joined,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Request

FORMAT = "openai.completions"
LOGPROBS = "logprobs"


@frozen
class Writing:
    """How far the writing of one reply has come.

    `verbatim`: the upstream's bytes stand for its events; None until the upstream has begun. `start`: how long the prompt
    is; `offsets`: where in prompt and answer each choice is. `told`: how it ended was said, in the upstream's bytes.
    """

    id: str
    exchange: str
    created: int
    sent: str
    model: str
    stream: bool
    usage_asked: bool
    start: int
    verbatim: bool | None = None
    offsets: Mapping[int, int] = field(factory=dict)
    told: bool = False
    usage: Usage | None = None
    ended: bool = False


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """The state before the first event."""
    chat = request if isinstance(request, ChatRequest) else None
    prompt = chat.prompt.text if chat and chat.prompt else ""
    options = chat.extra.get(FORMAT, {}).get("stream_options") if chat else None
    return Writing(
        id=f"cmpl-{exchange_id}",
        exchange=exchange_id,
        created=int(epoch_s),
        sent=sent_name(request),
        model=sent_name(request),
        stream=request.stream,
        usage_asked=bool(options and options.get("include_usage")),
        start=len(prompt),
    )


def head(state: Writing) -> ReplyHead:
    """Events for a stream, else one object."""
    return ReplyHead(200, SSE if state.stream else JSON)


def keep_alive(state: Writing, elapsed_s: float) -> tuple[Writing, bytes]:
    """A comment."""
    return state, KEEP_ALIVE if state.stream and not state.ended else b""


def write(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The chunks of one batch."""
    if state.ended:
        return state, b""
    chunks: list[bytes] = []
    if state.verbatim is None:
        state = _begun(state, batch)
    if state.verbatim and batch.verbatim is not None:
        return _passed(state, batch, batch.verbatim.data)
    for event in batch.events:
        state = _write_event(state, event, chunks)
        if state.ended:
            break
    return state, b"".join(chunks)


def _begun(state: Writing, batch: Batch) -> Writing:
    """The state once the upstream has begun."""
    started = next((event for event in batch.events if isinstance(event, Started)), None)
    if started is None:
        return state
    verbatim = batch.verbatim is not None and batch.verbatim.format == FORMAT
    shown = started.id if verbatim and started.id else state.id
    return evolve(state, id=shown, model=started.model, verbatim=verbatim)


def _passed(state: Writing, batch: Batch, data: bytes) -> tuple[Writing, bytes]:
    """The upstream's own bytes, and the end mark where it gave none."""
    told = state.told or REASON_TOLD.search(data) is not None
    ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
    if told != state.told or ended:
        state = evolve(state, told=told, ended=ended)
    return state, data if not ended or data.rstrip().endswith(b"[DONE]") else data + DONE


def _write_event(state: Writing, event: Event, chunks: list[bytes]) -> Writing:
    match event:
        case TextDelta(text, choice, logprobs):
            offset = state.offsets.get(choice, state.start)
            chunks.append(_chunk(state, choice, text, _columns(logprobs, offset)))
            if not logprobs and choice in state.offsets:
                # Offsets are told with tokens alone.
                return state
            return evolve(state, offsets={**state.offsets, choice: offset + len(text)})
        case RefusalDelta(text, choice):
            chunks.append(_chunk(state, choice, text))
        case UsageSeen(usage):
            return evolve(state, usage=usage)
        case Finished():
            return _close(state, event, chunks)
        case Failed(problem):
            error = error_object(problem, state.sent, state.exchange)
            chunks.append(b"data: " + orjson.dumps({"error": error}) + b"\n\n")
            return evolve(state, ended=True)
    return state


def _close(state: Writing, finished: Finished, chunks: list[bytes]) -> Writing:
    """How each choice ended, the usage if it was asked for, and the end mark."""
    if not state.told:
        count = max(1 + len(finished.others), 1 + max(state.offsets, default=0))
        chunks += [_chunk(state, choice, "", None, _reason(finished, choice)) for choice in range(count)]
    if state.usage_asked and state.usage is not None:
        chunks.append(_frame(state, [], usage_object(state.usage)))
    chunks.append(DONE)
    return evolve(state, ended=True)


def _reason(finished: Finished, choice: int) -> str:
    reason = (finished.reason, *finished.others)[min(choice, len(finished.others))]
    return reason if reason in ("length", "content_filter") else "stop"


def _chunk(
    state: Writing,
    choice: int,
    text: str,
    logprobs: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> bytes:
    value = {"text": text, "index": choice, LOGPROBS: logprobs, "finish_reason": reason}
    return _frame(state, [value], None)


def _frame(state: Writing, choices: list[Any], usage: Mapping[str, Any] | None) -> bytes:
    value = {**_head(state), "choices": choices, **({"usage": usage} if state.usage_asked else {})}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _head(state: Writing) -> dict[str, Any]:
    return {"id": state.id, "object": "text_completion", "created": state.created, "model": state.model}


def _columns(entries: Iterable[Mapping[str, Any]], offset: int) -> dict[str, Any] | None:
    """Token entries as columns, the older form; `offset`: where the first of the tokens stands."""
    rows = list(entries)
    if not rows:
        return None
    columns: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for row in rows:
        token = str(row.get("token") or "")
        columns["tokens"].append(token)
        columns["token_logprobs"].append(row.get("logprob"))
        others = row.get("top_logprobs") or ()
        columns["top_logprobs"].append({other["token"]: other.get("logprob") for other in others} or None)
        columns["text_offset"].append(offset)
        offset += len(token)
    return columns


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one object."""
    whole = joined(batches)
    if whole.verbatim is not None and whole.verbatim.format == FORMAT:
        return Answer(head(state), whole.verbatim.data)
    return Answer(head(state), orjson.dumps(_whole(state, whole.events)))


def _whole(state: Writing, events: tuple[Event, ...]) -> dict[str, Any]:
    model = next((event.model for event in events if isinstance(event, Started)), state.sent)
    usage = next((event.usage for event in events if isinstance(event, UsageSeen)), None)
    finished = next((event for event in events if isinstance(event, Finished)), Finished("stop"))
    said = [event for event in events if isinstance(event, TextDelta | RefusalDelta)]
    count = max(1 + len(finished.others), 1 + max((event.choice for event in said), default=0))
    return {
        **_head(evolve(state, model=model)),
        "choices": [
            _choice(state, [event for event in said if event.choice == choice], finished, choice)
            for choice in range(count)
        ],
        **({"usage": usage_object(usage)} if usage else {}),
    }


def _choice(
    state: Writing, said: list[TextDelta | RefusalDelta], finished: Finished, choice: int
) -> dict[str, Any]:
    entries = [entry for event in said if isinstance(event, TextDelta) for entry in event.logprobs]
    return {
        "text": "".join(event.text for event in said),
        "index": choice,
        LOGPROBS: _columns(entries, state.start),
        "finish_reason": _reason(finished, choice),
    }
