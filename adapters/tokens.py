"""How many tokens a request has: asked of who would serve it, where they count, else guessed.

Counting is free and makes no model work, so it is no attempt: it holds no permit, and a failure harms no breaker.
"""

from collections.abc import Iterable
from typing import Literal

import trio
from attrs import frozen

from adapters import listing
from adapters.edge import forwarded
from adapters.health import may_be_asked
from adapters.house import House
from pipeline.ports import Env
from pipeline.serving import fitted
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.http import Headers, HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import input_tokens
from pipeline.values.targets import Target

LIMIT_S = 5.0
MOST_BYTES = 64 * 1024


@frozen
class Count:
    """A number of tokens, and who says so."""

    tokens: int
    by: Literal["provider", "estimate"]


async def counted(
    house: House, request: ChatRequest, headers: Headers, caller: Caller = ANYBODY
) -> Count | Problem:
    """The tokens of `request`; `headers`: those it came with. Problems: `unknown_model`, a bad header."""
    model = listing.find(request.model, house.catalogue(caller))
    if model is None:
        return Problem(Kind.UNKNOWN_MODEL, subject=request.model)
    handed_on = forwarded(headers, house.instance)
    if isinstance(handed_on, Problem):
        return handed_on
    tokens = None
    with trio.move_on_after(LIMIT_S):
        tokens = await _told(house.env, model.targets, request, handed_on)
    return Count(input_tokens(request), "estimate") if tokens is None else Count(tokens, "provider")


async def _told(env: Env, targets: Iterable[Target], request: ChatRequest, handed_on: Headers) -> int | None:
    """What the first of the well targets that counts says; None if it fails, or none does."""
    snapshot, now = env.snapshot(), env.now()
    well = (each for each in targets if may_be_asked(each.provider, snapshot, now))
    for target in sorted(well, key=lambda each: each.provider.priority):
        call = call_of(env, request, target)
        if call is not None:
            return await _asked(env, target, call.with_headers(handed_on))
    return None


def call_of(env: Env, request: ChatRequest, target: Target) -> HttpRequest | None:
    """The unsigned call that counts the tokens of `request` at `target`; None where that is not offered."""
    count = env.codecs[target.provider.kind].count
    asked = fitted(request, target)
    return count(asked, target) if count is not None and isinstance(asked, ChatRequest) else None


async def _asked(env: Env, target: Target, call: HttpRequest) -> int | None:
    codec, provider = env.codecs[target.provider.kind], target.provider
    signed = codec.sign(call, provider.secret, env.epoch())
    async with env.transports[provider.name].open(signed) as reply:
        if isinstance(reply, Problem) or reply.head.status != 200:
            return None
        data = b""
        while part := await reply.read():
            if isinstance(part, Problem) or len(data) > MOST_BYTES:
                return None
            data += part
    return codec.counted(data) if codec.counted is not None else None
