"""costs: what a request costs at a target, in US dollars. None wherever a price is not known, which is never free."""

from pipeline.values.events import Usage
from pipeline.values.messages import ChatRequest, EmbedRequest, Request
from pipeline.values.targets import Price, Target

# An answer of usual length, in tokens.
USUAL_OUTPUT = 500
MILLION = 1_000_000


def input_cost(target: Target, tokens: int) -> float | None:
    """What reading `tokens` costs."""
    price = target.facts.price
    return None if price is None or price.input is None else price.input * tokens / MILLION


def estimated_cost(target: Target, request: Request, tokens: int) -> float | None:
    """What a request of `tokens` is likely to cost with its answers."""
    read, price = input_cost(target, tokens), target.facts.price or Price()
    if read is None or isinstance(request, EmbedRequest):
        return read
    if price.output is None:
        return None
    limit, answers = None, 1
    if isinstance(request, ChatRequest):
        limit, answers = request.sampling.max_tokens, request.choices
    return read + price.output * answers * min(limit or USUAL_OUTPUT, USUAL_OUTPUT) / MILLION


def cost_of(target: Target, usage: Usage | None) -> float | None:
    """What an answer of `usage` has cost."""
    price = target.facts.price
    if price is None or price.input is None or usage is None or usage.input is None:
        return None
    if usage.output and price.output is None:
        return None
    # Some tell more that was kept than was given: an answer never costs less than none.
    cached = min(usage.cached or 0, usage.input)
    at_cache = price.input if price.cached is None else price.cached
    written = (price.output or 0.0) * (usage.output or 0)
    return ((usage.input - cached) * price.input + cached * at_cache + written) / MILLION
