"""normalize: the request as the house will ask it. Names are renamed, the length of the answer is given or clamped."""

from collections.abc import Mapping

from attrs import evolve, field, frozen
from attrs.validators import ge, optional

from pipeline.names import canonical
from pipeline.ports import Env
from pipeline.protocol import Stage, before
from pipeline.values.exchange import Exchange
from pipeline.values.messages import ChatRequest, Request
from pipeline.wiring import Entry


def spelt_alike(rename: Mapping[str, str]) -> Mapping[str, str]:
    """`rename` by the spelling under which names are compared."""
    return {canonical(name): new for name, new in rename.items()}


@frozen
class NormalizeOptions:
    """`[stage.normalize]`.

    `rename`: asked name -> name that is asked for in its place; the answer keeps the client's name. `max_tokens`: no
    answer may be longer, in tokens. `default_max_tokens`: the limit where the client gave none.
    """

    rename: Mapping[str, str] = field(factory=dict, converter=spelt_alike)
    max_tokens: int | None = field(default=None, validator=optional(ge(1)))
    default_max_tokens: int | None = field(default=None, validator=optional(ge(1)))


def normalized(exchange: Exchange, options: NormalizeOptions) -> Exchange:
    """The exchange with its request rewritten as `options` say; the same exchange where nothing applies."""
    request = exchange.request
    if isinstance(request, ChatRequest):
        request = _limited(request, options)
    request = _renamed(request, options.rename)
    return exchange if request is exchange.request else evolve(exchange, request=request)


def _limited(request: ChatRequest, options: NormalizeOptions) -> ChatRequest:
    asked = request.sampling.max_tokens or options.default_max_tokens
    limit = asked if options.max_tokens is None else min(asked or options.max_tokens, options.max_tokens)
    if limit == request.sampling.max_tokens:
        return request
    return request.rewritten(sampling=evolve(request.sampling, max_tokens=limit))


def _renamed(request: Request, rename: Mapping[str, str]) -> Request:
    # The client's own JSON stays good: a codec puts the target's name in anyway.
    new = rename.get(canonical(request.model)) if rename else None
    return request if new is None else evolve(request, model=new)


def build(options: NormalizeOptions, env: Env) -> Stage:
    """The stage."""
    return before("normalize", lambda exchange: normalized(exchange, options))


ENTRY = Entry(build, NormalizeOptions, side="request")
