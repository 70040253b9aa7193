"""Replies of `/v1/chat/completions`: chunks of a stream, or one object.

Thinking goes under both names that are in use, in chunks and in whole messages alike: OpenAI has no field for it, Ollama
and OpenRouter call it `reasoning`, and most clients read `reasoning_content`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import evolve, frozen

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
from adapters.dialects.toolcalls import assembled
from pipeline.ports import Answer
from pipeline.values.events import (
    Batch,
    Event,
    ExtraDelta,
    Failed,
    Finished,
    Reason,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageSeen,
)
from pipeline.values.messages import Request, ToolCall

FORMAT = "openai.chat"
# What the client is to give back with the thinking: signatures and the like, of whichever vendor.
DETAILS = "reasoning_details"
# Under which names thinking is given.
THINKING = ("reasoning", "reasoning_content")
# The choices of a chunk that is a text of the first one, around that text.
TEXT_BEFORE = b'[{"index":0,"delta":{"content":'
TEXT_AFTER = b'},"finish_reason":null}]'


@frozen(kw_only=True)
class ChatWriting(Writing):
    """How far the writing of one reply has come.

    `opening`: what every chunk begins with, up to its choices. `spoken`: choices whose role was said; `called`: those
    with tool calls. `legacy`: the client knows one function call, no tools.
    """

    legacy: bool
    opening: bytes = b""
    spoken: frozenset[int] = frozenset()
    called: frozenset[int] = frozenset()


def fresh(request: Request, exchange_id: str, epoch_s: float) -> ChatWriting:
    """The state before the first event."""
    body: Mapping[str, Any] = request.source.body if request.source else {}
    return ChatWriting(
        id=f"chatcmpl-{exchange_id}",
        exchange=exchange_id,
        created=int(epoch_s),
        sent=sent_name(request),
        stream=request.stream,
        usage_asked=asks_for_usage(request, FORMAT),
        legacy=bool(body.get("functions")) and not body.get("tools"),
    )


def write(state: ChatWriting, batch: Batch, elapsed_s: float) -> tuple[ChatWriting, bytes]:
    """The chunks of one batch."""
    if state.ended:
        return state, b""
    state = _begun(state, batch)
    if state.verbatim and batch.verbatim is not None:
        return passed(state, batch, batch.verbatim.data)
    before, after = state.opening + TEXT_BEFORE, TEXT_AFTER + _closing(state)
    chunks: list[bytes] = []
    for event in batch.events:
        if type(event) is TextDelta and not event.choice and not event.logprobs and 0 in state.spoken:
            # Nearly every event of nearly every stream.
            chunks += (before, orjson.dumps(event.text), after)
            continue
        state = _write_event(state, event, chunks)
        if state.ended:
            break
    return state, b"".join(chunks)


def _begun(state: ChatWriting, batch: Batch) -> ChatWriting:
    """The state once it is known whether the upstream's bytes may stand, and by which id and name the reply goes."""
    if state.verbatim is not None:
        return state
    started = next((event for event in batch.events if isinstance(event, Started)), None)
    if started is None:
        return state
    verbatim = batch.verbatim is not None and batch.verbatim.format == FORMAT
    shown = started.id if verbatim and started.id else state.id
    common = {
        "id": shown,
        "object": "chat.completion.chunk",
        "created": state.created,
        "model": started.model,
    }
    return evolve(state, verbatim=verbatim, opening=b"data: " + orjson.dumps(common)[:-1] + b',"choices":')


def _write_event(state: ChatWriting, event: Event, chunks: list[bytes]) -> ChatWriting:
    match event:
        case TextDelta(text, choice, logprobs):
            return _say(state, choice, {"content": text}, chunks, logprobs)
        case ThinkingDelta(text, choice):
            return _say(state, choice, dict.fromkeys(THINKING, text), chunks)
        case RefusalDelta(text, choice):
            return _say(state, choice, {"refusal": text}, chunks)
        case ToolCallDelta(choice=choice):
            state = _say(state, choice, _fragment(state, event), chunks)
            return state if choice in state.called else evolve(state, called=state.called | {choice})
        case ExtraDelta(format, value, choice) if format == FORMAT:
            return _say(state, choice, dict(value), chunks)
        case ExtraDelta(format, value, choice) if format == DETAILS:
            return _say(state, choice, {DETAILS: [value]}, chunks)
        case UsageSeen(usage):
            return evolve(state, usage=usage)
        case Finished():
            return _close(state, event, chunks)
        case Failed(problem):
            chunks.append(failure(state, problem))
            return evolve(state, ended=True)
    return state


def _say(
    state: ChatWriting,
    choice: int,
    delta: dict[str, Any],
    chunks: list[bytes],
    logprobs: Iterable[Mapping[str, Any]] = (),
) -> ChatWriting:
    """One chunk of a choice. Its first says who speaks; bytes passed on before have said so already."""
    if choice not in state.spoken:
        delta = delta if state.verbatim else {"role": "assistant", **delta}
        state = evolve(state, spoken=state.spoken | {choice})
    chunks.append(_chunk(state, choice, delta, None, logprobs))
    return state


def _chunk(
    state: ChatWriting,
    choice: int,
    delta: dict[str, Any],
    reason: str | None,
    logprobs: Iterable[Mapping[str, Any]] = (),
) -> bytes:
    value: dict[str, Any] = {"index": choice, "delta": delta, "finish_reason": reason}
    if entries := list(logprobs):
        value["logprobs"] = {"content": entries, "refusal": None}
    return _frame(state, [value], _closing(state))


def _closing(state: ChatWriting) -> bytes:
    """What ends each chunk of a choice."""
    return b',"usage":null}\n\n' if state.usage_asked else b"}\n\n"


def _frame(state: ChatWriting, choices: list[Any], closing: bytes) -> bytes:
    return b"".join((state.opening, orjson.dumps(choices), closing))


def _fragment(state: ChatWriting, event: ToolCallDelta) -> dict[str, Any]:
    """A fragment stays a fragment; the first of a call says which call it is."""
    function = (
        {"name": event.name, "arguments": event.arguments} if event.name else {"arguments": event.arguments}
    )
    if state.legacy:
        return {"function_call": function}
    named = {"id": event.id, "type": "function"} if event.id else {}
    return {"tool_calls": [{"index": event.index, **named, "function": function}]}


def _close(state: ChatWriting, finished: Finished, chunks: list[bytes]) -> ChatWriting:
    """How each choice ended, the usage if it was asked for, and the end mark."""
    if not state.told:
        for choice in range(max(1 + len(finished.others), 1 + max(state.spoken, default=0))):
            if choice not in state.spoken:
                state = _say(state, choice, {"content": ""}, chunks)
            reason = _reason(finished, choice, choice in state.called, state.legacy)
            chunks.append(_chunk(state, choice, {}, reason))
    if state.usage_asked and state.usage is not None:
        usage = orjson.dumps(usage_object(state.usage))
        chunks.append(_frame(state, [], b"".join((b',"usage":', usage, b"}\n\n"))))
    chunks.append(DONE)
    return evolve(state, ended=True)


def _reason(finished: Finished, choice: int, called: bool, legacy: bool) -> str:
    reason: Reason = (finished.reason, *finished.others)[min(choice, len(finished.others))]
    if reason in ("load", "unload"):
        return "stop"
    # Some providers stop plainly after calls; clients look for the calls only where the reason names them.
    if reason == "tool_calls" or (reason == "stop" and called):
        return "function_call" if legacy else "tool_calls"
    return reason


def collect(state: ChatWriting, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one object."""
    return gathered(state, batches, FORMAT, "chat.completion", _choice)


def _choice(state: ChatWriting, events: tuple[Event, ...], finished: Finished, choice: int) -> dict[str, Any]:
    said: dict[str, list[str]] = {"content": [], "refusal": [], "thinking": []}
    logprobs: list[Mapping[str, Any]] = []
    fragments: list[ToolCallDelta] = []
    extras: list[Mapping[str, Any]] = []
    for event in events:
        match event:
            case ExtraDelta(format, value, at) if format == FORMAT and at == choice:
                extras.append(value)
            case ExtraDelta(format, value, at) if format == DETAILS and at == choice:
                extras.append({DETAILS: [value]})
            case TextDelta(text, at, entries) if at == choice:
                said["content"].append(text)
                logprobs.extend(entries)
            case ThinkingDelta(text, at) if at == choice:
                said["thinking"].append(text)
            case RefusalDelta(text, at) if at == choice:
                said["refusal"].append(text)
            case ToolCallDelta(choice=at) if at == choice:
                fragments.append(event)
    calls = assembled(fragments, choice)
    texts = {name: "".join(pieces) for name, pieces in said.items()}
    empty = None if calls or texts["refusal"] else ""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": texts["content"] or empty,
        "refusal": texts["refusal"] or None,
        **(dict.fromkeys(THINKING, texts["thinking"]) if texts["thinking"] else {}),
        **(_calls(state, calls) if calls else {}),
    }
    for extra in extras:
        _merge(message, extra)
    return {
        "index": choice,
        "message": message,
        "logprobs": {"content": logprobs, "refusal": None} if logprobs else None,
        "finish_reason": _reason(finished, choice, bool(calls), state.legacy),
    }


def _calls(state: ChatWriting, calls: tuple[ToolCall, ...]) -> dict[str, Any]:
    functions = [{"name": call.name, "arguments": call.arguments or "{}"} for call in calls]
    if state.legacy:
        return {"function_call": functions[0]}
    pairs = zip(calls, functions, strict=True)
    return {
        "tool_calls": [{"id": call.id, "type": "function", "function": function} for call, function in pairs]
    }


def _merge(into: dict[str, Any], value: Mapping[str, Any]) -> None:
    """Lists grow, all else is replaced."""
    for name, item in value.items():
        known = into.get(name)
        into[name] = [*known, *item] if isinstance(known, list) and isinstance(item, list) else item
