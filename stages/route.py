"""route: who can serve the request, and in what order they are asked.

Who can serve is decided by the model's name, then by what the request needs of the model; the strategy orders the rest.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from attrs import evolve, frozen

from pipeline.names import Lists, Served, everything, rule_of, who_serves
from pipeline.ports import Env
from pipeline.protocol import Stage, before
from pipeline.state.board import Snapshot
from pipeline.values.exchange import Exchange, Plan
from pipeline.values.messages import ChatRequest, EmbedRequest, Image, Request
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, ModelRule, Provider, Target
from pipeline.wiring import Entry
from stages.ranking import ranked


@frozen
class RouteOptions:
    """`[stage.route]`.

    `strategy` orders those who can serve: `capability_based` (those known to fit, then priority) or `priority`.
    `load_balancing`: false asks the first alone; the others are not even a fallback.
    """

    strategy: Literal["capability_based", "priority"] = "capability_based"
    load_balancing: bool = True


@frozen
class House:
    """What routing knows of the house, beside the snapshot."""

    providers: Mapping[str, Provider]
    models: Mapping[str, ModelRule]
    patterns: Mapping[str, tuple[str, ...]]
    allowed: Callable[..., bool] = everything


def needs_of(request: Request) -> tuple[Capability, ...]:
    """The capabilities a model must have for this request, in the order their lack is told."""
    if isinstance(request, EmbedRequest):
        return ("embedding",)
    if not isinstance(request, ChatRequest):
        return ()
    prompt = request.prompt
    images = any(isinstance(part, Image) for message in request.messages for part in message.parts)
    wanted: tuple[tuple[Capability, bool], ...] = (
        ("thinking", request.thinking is not None and request.thinking.on),
        ("completion", True),
        ("tools", bool(request.tools)),
        ("insert", prompt is not None and bool(prompt.suffix)),
        ("vision", images or (prompt is not None and bool(prompt.images))),
    )
    return tuple(capability for capability, needed in wanted if needed)


def lacking(target: Target, needs: tuple[Capability, ...]) -> Capability | None:
    """The first of `needs` that the model is known not to have; what is not known is tried."""
    known = target.facts.capabilities
    if known is None:
        return None
    return next((need for need in needs if need not in known), None)


def plan_for(
    exchange: Exchange, snapshot: Snapshot, now: float, options: RouteOptions, house: House
) -> Exchange | Problem:
    """The exchange with its plan, or why nobody can serve it."""
    request = exchange.request
    lists: Lists = {name: snapshot.provider(name).models for name in house.providers}

    def serving(name: str) -> Served | Problem:
        served = who_serves(name, house.providers, lists, house.models, house.patterns, house.allowed)
        return _preferred(served, exchange)

    served = serving(request.model)
    if isinstance(served, Problem):
        return served
    if not served.targets:
        return Problem(Kind.UNKNOWN_MODEL, subject=request.model)
    needs = needs_of(request)
    first = served.targets[0]
    if all(lacking(target, needs) for target in served.targets):
        return Problem(Kind.UNSUPPORTED, subject=lacking(first, needs), target=first.name)
    rule = rule_of(request.model, house.models)
    groups = (served, *(serving(name) for name in (rule.fallback if rule else ())))
    candidates = tuple(
        candidate
        for group in groups
        if isinstance(group, Served)
        for candidate in ranked(
            tuple(target for target in group.targets if lacking(target, needs) is None),
            snapshot,
            options.strategy,
            exchange.preference,
            now,
        )
    )
    kept = tuple(dict.fromkeys(candidates)) if options.load_balancing else candidates[:1]
    return evolve(exchange, plan=Plan(kept, f"{options.strategy} ({served.why})"))


def _preferred(served: Served, exchange: Exchange) -> Served | Problem:
    """`served` narrowed to the preferred providers where the client forbade all others."""
    preference = exchange.preference
    if not preference.only:
        return served
    targets = tuple(target for target in served.targets if target.provider.name in preference.providers)
    if served.targets and not targets:
        names = ", ".join(preference.providers)
        return Problem(
            Kind.UNKNOWN_MODEL,
            f"none of the asked providers ({names}) serves this model",
            exchange.request.model,
        )
    return evolve(served, targets=targets)


def build(options: RouteOptions, env: Env) -> Stage:
    """The stage."""
    patterns = {kind: codec.patterns for kind, codec in env.codecs.items()}
    house = House(env.providers, env.models, patterns, env.allowed)

    def move(exchange: Exchange) -> Exchange | Problem:
        return plan_for(exchange, env.snapshot(), env.now(), options, house)

    return before("route", move)


ENTRY = Entry(build, RouteOptions, side="request", gives=("plan",))
