"""spending: what an attempt costs a key that has a budget, before it is made and when it is over. Pure.

    asked:     1,000 tokens in, "at most 2,000 out"  ->  set aside 1,000 x $1 + 2,000 x $4 a million = $0.009
    answered:  980 in, 210 out                       ->  spent     $0.00182, and the rest is free again

So that no answer can cost more than was set aside, the target is told to write no more than that.
"""

import math

from attrs import evolve

from pipeline.values.events import Batch, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta, Usage
from pipeline.values.exchange import Exchange, How, Loss, Losses
from pipeline.values.messages import ChatRequest, EmbedRequest, Request
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import LONGEST_ANSWER, input_tokens, tokens_of
from pipeline.values.targets import Target

SHORTENED = Loss("max_tokens", How.APPROXIMATED)
WORDS = (TextDelta, ThinkingDelta, RefusalDelta)
# After these nobody knows whether the provider was at work, and will be paid.
UNDECIDED = frozenset({Kind.FIRST_BYTE, Kind.TOTAL, Kind.DEADLINE})


def costs_nothing(target: Target) -> bool:
    """Whether a target is known to be free."""
    price = target.facts.price
    return price is not None and price.input == 0 and price.output in (0, None)


def estimate(request: Request, target: Target) -> int | None:
    """Micro-USD that `request` costs at most by estimate; None where the price is not known.

    A price of dollars a million tokens is one of micro-USD a token.
    """
    price = target.facts.price
    if price is None or price.input is None:
        return None
    cost = input_tokens(request) * price.input
    if isinstance(request, ChatRequest):
        if price.output is None:
            return None
        cost += request.choices * _longest(request, target) * price.output
    return math.ceil(cost)


def _longest(request: ChatRequest, target: Target) -> int:
    """The longest answer that must be paid for: by the client's word or the usual bound, and the model's own."""
    asked = request.sampling.max_tokens
    most = LONGEST_ANSWER if asked is None else asked
    cap = target.facts.output_limit
    return most if cap is None else min(most, cap)


def within_budget(exchange: Exchange, target: Target, left: int | None) -> tuple[Exchange, Losses]:
    """The exchange as a key that has `left` micro-USD to spend may ask it of `target`, and what it loses by that.

    Who said how long an answer may be gets it as long if he can pay for it, and of usual length if not. None: no budget.
    """
    request = exchange.request
    if left is None or not isinstance(request, ChatRequest) or costs_nothing(target):
        return exchange, ()
    asked, most = request.sampling.max_tokens, _longest(request, target)
    cost = estimate(request, target)
    if asked is not None and cost is not None and cost > left:
        most = min(most, LONGEST_ANSWER)
    if most == asked:
        return exchange, ()
    shorter = request.rewritten(sampling=evolve(request.sampling, max_tokens=most))
    return evolve(exchange, request=shorter), (SHORTENED,) if asked is not None else ()


def unpriced(target: Target) -> Problem:
    """Why a key with a budget is not served by a target whose price nobody knows."""
    text = (
        f"this key has a budget, and the price of {target.name} is not known, so it may not be used; "
        f'[models."{target.name}"] price = {{ input = ..., output = ... }} in proxy.toml sets one'
    )
    return Problem(Kind.BUDGET, text)


def written(batch: Batch) -> int:
    """Bytes of what the model wrote in a batch."""
    size = 0
    for event in batch.events:
        if isinstance(event, WORDS):
            text = event.text
        elif isinstance(event, ToolCallDelta):
            text = event.arguments + (event.name or "")
        else:
            continue
        size += len(text) if text.isascii() else len(text.encode())
    return size


def counted(told: Usage | None, request: ChatRequest | EmbedRequest, size: int) -> Usage:
    """The usage that was told; what of it was not is counted: the input by estimate, the output by its `size` in bytes."""
    whole = told is not None and told.input is not None
    if told is not None and whole and (told.output is not None or isinstance(request, EmbedRequest)):
        return told
    told = told or Usage()
    given = input_tokens(request) if told.input is None else told.input
    output = tokens_of(size) if told.output is None and isinstance(request, ChatRequest) else told.output
    return evolve(told, input=given, output=output, estimated=True)
