"""Replies of `/v1/completions`: chunks of a stream, or one object.

This form has words for text and for nothing else: thinking and calls are left out, a refusal is said as text.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import evolve, field, frozen

from adapters.dialects.names import sent_name
from adapters.dialects.openai_writing import (
    DONE,
    Writing,
    asks_for_usage,
    failure,
    gathered,
    passed,
    usage_object,
)
from pipeline.ports import Answer
from pipeline.values.events import (
    Batch,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    UsageSeen,
)
from pipeline.values.messages import ChatRequest, Request

FORMAT = "openai.completions"
LOGPROBS = "logprobs"
# How an answer can end here; all else is a plain stop. `load`: there was nothing to go on with.
TOLD = ("length", "content_filter", "load")


@frozen(kw_only=True)
class CompletionWriting(Writing):
    """How far the writing of one reply has come.

    `start`: how long the prompt is; `offsets`: where in prompt and answer each choice is.
    """

    model: str
    start: int
    offsets: Mapping[int, int] = field(factory=dict)


def fresh(request: Request, exchange_id: str, epoch_s: float) -> CompletionWriting:
    """The state before the first event."""
    prompt = request.prompt if isinstance(request, ChatRequest) else None
    return CompletionWriting(
        id=f"cmpl-{exchange_id}",
        exchange=exchange_id,
        created=int(epoch_s),
        sent=sent_name(request),
        model=sent_name(request),
        stream=request.stream,
        usage_asked=asks_for_usage(request, FORMAT),
        start=len(prompt.text) if prompt else 0,
    )


def write(state: CompletionWriting, batch: Batch, elapsed_s: float) -> tuple[CompletionWriting, bytes]:
    """The chunks of one batch."""
    if state.ended:
        return state, b""
    chunks: list[bytes] = []
    if state.verbatim is None:
        state = _begun(state, batch)
    if state.verbatim and batch.verbatim is not None:
        return passed(state, batch, batch.verbatim.data)
    for event in batch.events:
        state = _write_event(state, event, chunks)
        if state.ended:
            break
    return state, b"".join(chunks)


def _begun(state: CompletionWriting, batch: Batch) -> CompletionWriting:
    """The state once the upstream has begun."""
    started = next((event for event in batch.events if isinstance(event, Started)), None)
    if started is None:
        return state
    verbatim = batch.verbatim is not None and batch.verbatim.format == FORMAT
    shown = started.id if verbatim and started.id else state.id
    return evolve(state, id=shown, model=started.model, verbatim=verbatim)


def _write_event(state: CompletionWriting, event: Event, chunks: list[bytes]) -> CompletionWriting:
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
            chunks.append(failure(state, problem))
            return evolve(state, ended=True)
    return state


def _close(state: CompletionWriting, finished: Finished, chunks: list[bytes]) -> CompletionWriting:
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
    return reason if reason in TOLD else "stop"


def _chunk(
    state: CompletionWriting,
    choice: int,
    text: str,
    logprobs: Mapping[str, Any] | None = None,
    reason: str | None = None,
) -> bytes:
    value = {"text": text, "index": choice, LOGPROBS: logprobs, "finish_reason": reason}
    return _frame(state, [value], None)


def _frame(state: CompletionWriting, choices: list[Any], usage: Mapping[str, Any] | None) -> bytes:
    value = {**_head(state), "choices": choices, **({"usage": usage} if state.usage_asked else {})}
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _head(state: CompletionWriting) -> dict[str, Any]:
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


def collect(state: CompletionWriting, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one object."""
    return gathered(state, batches, FORMAT, "text_completion", _choice)


def _choice(
    state: CompletionWriting, events: tuple[Event, ...], finished: Finished, choice: int
) -> dict[str, Any]:
    said = [
        event for event in events if isinstance(event, TextDelta | RefusalDelta) and event.choice == choice
    ]
    entries = [entry for event in said if isinstance(event, TextDelta) for entry in event.logprobs]
    return {
        "text": "".join(event.text for event in said),
        "index": choice,
        LOGPROBS: _columns(entries, state.start),
        "finish_reason": _reason(finished, choice),
    }
