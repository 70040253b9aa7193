"""transform: the events the client wishes. The asked name is restored, unwanted thinking dropped, missing usage counted."""

import math
from collections.abc import Callable
from typing import Literal

from attrs import frozen

from pipeline.ports import Env
from pipeline.protocol import Stage, through
from pipeline.values.events import (
    Batch,
    Event,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.exchange import Exchange
from pipeline.values.messages import ChatRequest, EmbedRequest, Request, Text, ToolResult
from pipeline.wiring import Entry

BYTES_A_TOKEN = 4


@frozen
class TransformOptions:
    """`[stage.transform]`.

    `thinking`: `keep` gives the model's thinking to the client unless the client switched it off, `drop` never does.
    `estimate_usage`: count tokens (bytes / 4, marked as an estimate) where the provider reports none.
    """

    thinking: Literal["keep", "drop"] = "keep"
    estimate_usage: bool = True


def input_bytes(request: Request) -> int:
    """Bytes of text in a request, for an estimate of its tokens."""
    if isinstance(request, EmbedRequest):
        return sum(
            len(text.encode()) if isinstance(text, str) else BYTES_A_TOKEN * len(text)
            for text in request.input
        )
    if not isinstance(request, ChatRequest):
        return 0
    prompt = request.prompt.text + (request.prompt.system or "") if request.prompt else ""
    parts = (part for message in request.messages for part in message.parts)
    return len(prompt.encode()) + sum(
        len(part.text.encode()) for part in parts if isinstance(part, Text | ToolResult)
    )


class Rewrite:
    """The change of one reply's batches. Holds how far the reply has come, and nothing else."""

    def __init__(self, exchange: Exchange, options: TransformOptions) -> None:
        self.request = exchange.request
        self.options = options
        self.drop_thinking = options.thinking == "drop" or _thinking_off(exchange.request)
        # The upstream's bytes no longer stand for the events. Where thinking is always dropped they never do: the rest of
        # them may still tell of what was dropped.
        self.rendered = options.thinking == "drop"
        self.counted = False
        self.output_bytes = 0

    def __call__(self, batch: Batch) -> Batch:
        """The batch as the client wishes it; most only bring content and are handed on as they are."""
        size, content_alone = 0, True
        for event in batch.events:
            if isinstance(event, TextDelta):
                size += len(event.text)
            elif isinstance(event, ThinkingDelta):
                size += len(event.text)
                content_alone = content_alone and not self.drop_thinking
            elif isinstance(event, ToolCallDelta):
                size += len(event.arguments)
            else:
                content_alone = False
        self.output_bytes += size
        if not content_alone:
            return self._rewritten(batch)
        return Batch(batch.events) if self.rendered and batch.verbatim is not None else batch

    def _rewritten(self, batch: Batch) -> Batch:
        events: list[Event] = []
        dropped = False
        for event in batch.events:
            if isinstance(event, ThinkingDelta) and self.drop_thinking:
                dropped = True
                continue
            if isinstance(event, Started) and self._goes_by_another_name(event):
                event = Started(self.request.model, event.id, event.asked)
                self.rendered = True
            elif isinstance(event, UsageSeen):
                self.counted = True
            elif isinstance(event, Finished) and self._must_count():
                # The bytes stay good: the estimate is the house's own, the upstream said nothing.
                events.append(UsageSeen(self._estimate()))
            events.append(event)
        return Batch(tuple(events), None if dropped or self.rendered else batch.verbatim)

    def _goes_by_another_name(self, started: Started) -> bool:
        return started.asked is not None and started.asked != self.request.model

    def _must_count(self) -> bool:
        return self.options.estimate_usage and not self.counted and self.request.operation != "load"

    def _estimate(self) -> Usage:
        tokens = math.ceil(input_bytes(self.request) / BYTES_A_TOKEN)
        return Usage(tokens, math.ceil(self.output_bytes / BYTES_A_TOKEN), estimated=True)


def _thinking_off(request: Request) -> bool:
    return isinstance(request, ChatRequest) and request.thinking is not None and not request.thinking.on


def build(options: TransformOptions, env: Env) -> Stage:
    """The stage."""

    def begin(exchange: Exchange) -> Callable[[Batch], Batch]:
        return Rewrite(exchange, options)

    return through(begin)


ENTRY = Entry(build, TransformOptions, side="reply", needs=("reply",))
