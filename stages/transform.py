"""transform: the events the client wishes. The asked name is restored, unwanted thinking dropped, missing usage counted."""

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
from pipeline.values.messages import ChatRequest, Request
from pipeline.values.sizes import input_tokens, tokens_of
from pipeline.wiring import Entry


@frozen
class TransformOptions:
    """`[stage.transform]`.

    `thinking`: `keep` gives the model's thinking to the client unless the client switched it off, `drop` never does.
    `estimate_usage`: count tokens (bytes / 4, and 8 a message; marked as an estimate) where the provider reports none.
    """

    thinking: Literal["keep", "drop"] = "keep"
    estimate_usage: bool = True


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
                size += len(event.text.encode())
            elif isinstance(event, ThinkingDelta):
                size += len(event.text.encode())
                content_alone = content_alone and not self.drop_thinking
            elif isinstance(event, ToolCallDelta):
                size += len(event.arguments.encode())
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
        return Usage(input_tokens(self.request), tokens_of(self.output_bytes), estimated=True)


def _thinking_off(request: Request) -> bool:
    return isinstance(request, ChatRequest) and request.thinking is not None and not request.thinking.on


def build(options: TransformOptions, env: Env) -> Stage:
    """The stage."""

    def begin(exchange: Exchange) -> Callable[[Batch], Batch]:
        return Rewrite(exchange, options)

    return through(begin)


ENTRY = Entry(build, TransformOptions, side="reply", needs=("reply",))
