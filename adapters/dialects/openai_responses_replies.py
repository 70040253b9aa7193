"""Replies of `/v1/responses`: events of a stream, or the response as one object."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field

from adapters.dialects.names import sent_name
from adapters.dialects.openai_errors import JSON, error_object
from adapters.dialects.openai_responses_output import CHAT, FORMAT, Output
from adapters.dialects.openai_writing import KEEP_ALIVE, SSE
from pipeline.ports import Answer
from pipeline.values.events import Batch, Event, Failed, Finished, Reason, Started, Usage, UsageSeen, joined
from pipeline.values.http import ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Problem

INCOMPLETE: Mapping[Reason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d+)')
# What a response says of its request, and what that is where the client did not say. None of it is kept here.
ECHOED: Mapping[str, Any] = {
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
STATELESS: Mapping[str, Any] = {"background": False, "previous_response_id": None, "store": False}


@define(eq=False)
class Writing:
    """How far the writing of one reply has come. Mutable, owned by one reply, and handed back as its own next state.

    `verbatim`: the upstream's bytes stand for its events; None until the upstream has begun. `passed`: the last of these
    bytes. `body`: the request, which the response repeats.
    """

    exchange: str
    created: float
    sent: str
    stream: bool
    body: Mapping[str, Any]
    output: Output
    id: str
    model: str
    verbatim: bool | None = field(default=None, init=False)
    passed: bytes = field(default=b"", init=False)
    begun: bool = field(default=False, init=False)
    usage: Usage | None = field(default=None, init=False)
    ended: bool = field(default=False, init=False)


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """The state before the first event."""
    return Writing(
        exchange=exchange_id,
        created=epoch_s,
        sent=sent_name(request),
        stream=request.stream,
        body=request.source.body if request.source else {},
        output=Output(exchange_id, request.stream),
        id=f"resp_{exchange_id}",
        model=sent_name(request),
    )


def head(state: Writing) -> ReplyHead:
    """Events for a stream, else one object."""
    return ReplyHead(200, SSE if state.stream else JSON)


def keep_alive(state: Writing, elapsed_s: float) -> tuple[Writing, bytes]:
    """A comment."""
    return state, KEEP_ALIVE if state.stream and not state.ended else b""


def write(state: Writing, batch: Batch, elapsed_s: float) -> tuple[Writing, bytes]:
    """The events of one batch."""
    if state.ended:
        return state, b""
    if state.verbatim is None:
        started = next((event for event in batch.events if isinstance(event, Started)), None)
        if started is not None:
            state.verbatim = batch.verbatim is not None and batch.verbatim.format == FORMAT
            state.model = started.model
            state.id = (started.id if state.verbatim else None) or state.id
    if state.verbatim and batch.verbatim is not None:
        return state, _passed(state, batch, batch.verbatim.data)
    for event in batch.events:
        _take(state, event, elapsed_s)
    return state, state.output.sent()


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The whole reply as one object."""
    whole = joined(batches)
    if whole.verbatim is not None and whole.verbatim.format == FORMAT:
        return Answer(head(state), whole.verbatim.data)
    finished = Finished("stop")
    for event in whole.events:
        match event:
            case Started(model):
                state.model = model
            case UsageSeen(usage):
                state.usage = usage
            case Finished():
                finished = event
            case _:
                state.output.take(event)
    return Answer(head(state), orjson.dumps(_ended(state, finished, elapsed_s)))


def _passed(state: Writing, batch: Batch, data: bytes) -> bytes:
    """The upstream's own bytes."""
    state.begun = True
    state.passed = data or state.passed
    state.ended = bool(batch.events) and isinstance(batch.events[-1], Finished)
    return data


def _take(state: Writing, event: Event, elapsed_s: float) -> None:
    if not state.begun:
        _begin(state)
    match event:
        case Started():
            pass
        case UsageSeen(usage):
            state.usage = usage
        case Finished():
            response = _ended(state, event, elapsed_s)
            state.output.event(f"response.{response['status']}", response=response)
            state.ended = True
        case Failed(problem):
            _fail(state, problem)
        case _:
            state.output.take(event)


def _begin(state: Writing) -> None:
    state.begun = True
    response = _response(state, "in_progress")
    state.output.event("response.created", response=response)
    state.output.event("response.in_progress", response=response)


def _fail(state: Writing, problem: Problem) -> None:
    """The error, and the response that failed by it; both count on from what went before."""
    if numbers := NUMBER.findall(state.passed):
        state.output.count = int(numbers[-1]) + 1
    error = error_object(problem, state.sent, state.exchange)
    state.output.event("error", error=error)
    told = {"code": error["code"] or "server_error", "message": error["message"]}
    state.output.event("response.failed", response=_response(state, "failed", error=told))
    state.ended = True


def _ended(state: Writing, finished: Finished, elapsed_s: float) -> dict[str, Any]:
    """The response as it is at its end."""
    why = INCOMPLETE.get(finished.reason)
    status = "incomplete" if why else "completed"
    state.output.close(status)
    tier = finished.extra.get(CHAT, {}).get("service_tier") or state.body.get("service_tier")
    return _response(
        state,
        status,
        completed_at=None if why else int(state.created + elapsed_s),
        incomplete_details={"reason": why} if why else None,
        service_tier=tier or "default",
        usage=_usage(state.usage) if state.usage else None,
    )


def _response(state: Writing, status: str, **fields: Any) -> dict[str, Any]:
    body = state.body
    said = {name: default if body.get(name) is None else body[name] for name, default in ECHOED.items()}
    reasoning, text = _set(body.get("reasoning")), _set(body.get("text"))
    return {
        "id": state.id,
        "object": "response",
        "created_at": int(state.created),
        "status": status,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": state.model,
        "output": state.output.items,
        **STATELESS,
        **said,
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "service_tier": body.get("service_tier") or "auto",
        "text": {"format": {"type": "text"}, "verbosity": "medium", **text},
        "usage": None,
        **fields,
    }


def _set(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (fields or {}).items() if value is not None}


def _usage(usage: Usage) -> dict[str, Any]:
    given, made = usage.input or 0, usage.output or 0
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": usage.cached or 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.thinking or 0},
        "total_tokens": given + made,
    }
