"""encoding: what a target would be sent of a request, and what the request would lose there. For asking and explaining."""

from attrs import evolve

from pipeline.ports import Codec, Encoded
from pipeline.serving import fitted
from pipeline.values.exchange import Exchange, How, Loss, Losses
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Target

# Thinking was a wish, and the model cannot.
WITHOUT_THINKING = Loss("thinking", How.DROPPED)


def fitted_to(exchange: Exchange, target: Target) -> ChatRequest | EmbedRequest:
    """The request of `exchange` as `target` is asked it."""
    request = exchange.request
    assert isinstance(request, ChatRequest | EmbedRequest)
    return fitted(request, target)


def encoded_for(
    exchange: Exchange,
    request: ChatRequest | EmbedRequest,
    target: Target,
    codec: Codec,
    lost: Losses = (),
) -> Encoded | Problem:
    """`request`, fitted to `target`, as it is sent there; or why it cannot be said, or may not, where nothing may be lost.

    `lost`: what it has lost already.
    """
    encoded = codec.encode(request, target)
    if isinstance(encoded, Problem):
        return encoded
    if request is not exchange.request:
        encoded = evolve(encoded, losses=(WITHOUT_THINKING, *encoded.losses))
    if lost:
        encoded = evolve(encoded, losses=(*lost, *encoded.losses))
    if exchange.strict and (names := _lost(encoded.losses)):
        return Problem(Kind.LOSSY, f"no provider can be told all of this request; lost: {names}", names)
    return encoded


def mattering(losses: Losses) -> Losses:
    """Those of `losses` that change what the model is asked."""
    return tuple([loss for loss in losses if loss.how is not How.MOOT])


def _lost(losses: Losses) -> str:
    """The names of what matters among `losses`, for people."""
    return ", ".join(loss.field for loss in mattering(losses))
