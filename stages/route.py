"""route: who can serve the request, and in what order they are asked.

Who can serve is decided by the model's name, then by what the request needs of the model; the strategy orders the rest.
The first depends on the name, the providers' lists and the configuration alone, so it is found out once a name.
"""

from collections.abc import Callable, Mapping
from operator import is_not
from typing import Literal, Protocol

from attrs import define, field, frozen

from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.names import Lists, everything, rule_of
from pipeline.ports import Env
from pipeline.protocol import Stage, before
from pipeline.serving import Served, lacking, who_serves
from pipeline.state.board import Snapshot
from pipeline.values.exchange import Exchange, Plan, Preference
from pipeline.values.messages import ChatRequest, EmbedRequest, Image, Request
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, ModelFacts, ModelRule, Provider, Target
from pipeline.wiring import Entry
from stages.ranking import ranked

# What a model is made for, and cannot learn.
SORTS = frozenset({"completion", "embedding", "insert"})

MOST_NAMES = 1024
LONGEST_NAME = 256


@frozen
class RouteOptions:
    """`[stage.route]`.

    `strategy` orders those who can serve: `capability_based` (those known to fit, then priority) or `priority`.
    `load_balancing`: false asks the first alone; the others are not even a fallback.
    """

    strategy: Literal["capability_based", "priority"] = "capability_based"
    load_balancing: bool = True


class Serving(Protocol):
    """What knows who serves a name."""

    def serving(self, name: str, snapshot: Snapshot) -> tuple[Served, ...]:
        """Who serves `name`, then who serves each model that stands in for it; no target twice."""
        ...


@frozen
class House:
    """What routing knows of the house, beside the snapshot. `known`: the catalogue of models."""

    providers: Mapping[str, Provider]
    models: Mapping[str, ModelRule]
    patterns: Mapping[str, tuple[str, ...]]
    allowed: Callable[..., bool] = everything
    known: Knowledge = NOTHING_KNOWN

    def serving(self, name: str, snapshot: Snapshot) -> tuple[Served, ...]:
        """Who serves `name`, then who serves each model that stands in for it; no target twice."""
        lists: Lists = {provider: snapshot.provider(provider).models for provider in self.providers}
        rule = rule_of(name, self.models)
        known: set[Target] = set()
        groups = []
        for asked in (name, *(rule.fallback if rule else ())):
            served = who_serves(
                asked, self.providers, lists, self.models, self.patterns, self.allowed, self.known
            )
            new = tuple(target for target in dict.fromkeys(served.targets) if target not in known)
            known.update(new)
            groups.append(Served(new, served.why))
        return tuple(groups)


@define(eq=False)
class Memory:
    """A house with what it said of the names asked so far. It is forgotten when a provider tells another list."""

    house: House
    _lists: list[tuple[ModelFacts, ...] | None] = field(factory=list, init=False)
    _found: dict[str, tuple[Served, ...]] = field(factory=dict, init=False)

    def serving(self, name: str, snapshot: Snapshot) -> tuple[Served, ...]:
        """What the house says."""
        lists = [snapshot.provider(provider).models for provider in self.house.providers]
        # Another list is another object; to compare what is in them would take longer than to ask the house.
        if any(map(is_not, lists, self._lists)):
            self._found.clear()
        found = self._found.get(name)
        if found is None:
            found = self.house.serving(name, snapshot)
            self._lists = lists
            self._keep(name, found)
        return found

    def _keep(self, name: str, found: tuple[Served, ...]) -> None:
        # Clients choose the names, so there may be any number of them, of any length.
        if len(name) > LONGEST_NAME:
            return
        if len(self._found) >= MOST_NAMES:
            self._found.clear()
        self._found[name] = found


def needs_of(request: Request) -> tuple[Capability, ...]:
    """The capabilities a model must have for this request, in the order their lack is told.

    Thinking that is but a wish is none of them.
    """
    if isinstance(request, EmbedRequest):
        return ("embedding",)
    if not isinstance(request, ChatRequest):
        return ()
    needs: list[Capability] = ["completion"]
    if request.thinking is not None and request.thinking.on and not request.thinking.wish:
        needs.insert(0, "thinking")
    if request.tools:
        needs.append("tools")
    if request.prompt is not None and request.prompt.suffix:
        needs.append("insert")
    if _shows_images(request):
        needs.append("vision")
    return tuple(needs)


def wishes_of(request: Request) -> tuple[Capability, ...]:
    """The capabilities that a model had better have."""
    thinking = request.thinking if isinstance(request, ChatRequest) else None
    return ("thinking",) if thinking is not None and thinking.on and thinking.wish else ()


def _shows_images(request: ChatRequest) -> bool:
    if request.prompt is not None and request.prompt.images:
        return True
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Image):
                return True
    return False


def surely_lacking(target: Target, needs: tuple[Capability, ...]) -> Capability | None:
    """The first of `needs` that the model is known for certain not to have.

    The catalogue knows for certain what sort of model it is. What else a model can do it may know too late.
    """
    if target.facts.presumed:
        needs = tuple(need for need in needs if need in SORTS)
    return lacking(target, needs)


def plan_for(
    exchange: Exchange, snapshot: Snapshot, now: float, options: RouteOptions, house: Serving
) -> Exchange | Problem:
    """The exchange with its plan, or why nobody can serve it."""
    request, preference = exchange.request, exchange.preference
    served, *others = house.serving(request.model, snapshot)
    targets = _preferred(served.targets, preference)
    if not targets:
        return _nobody(request.model, served, preference)
    needs = needs_of(request)
    wished = wishes_of(request)
    able = _able(targets, needs, wished)
    if not able:
        first = targets[0]
        return Problem(Kind.UNSUPPORTED, subject=surely_lacking(first, needs), target=first.name)
    candidates = ranked(able, snapshot, options.strategy, preference, now)
    for other in others:
        able = _able(_preferred(other.targets, preference), needs, wished)
        candidates += ranked(able, snapshot, options.strategy, preference, now)
    kept = candidates if options.load_balancing else candidates[:1]
    return exchange.planned(Plan(kept, f"{options.strategy} ({served.why})"))


def _preferred(targets: tuple[Target, ...], preference: Preference) -> tuple[Target, ...]:
    """`targets` narrowed to the preferred providers where the client forbade all others."""
    if not preference.only:
        return targets
    return tuple(target for target in targets if target.provider.name in preference.providers)


def _able(
    targets: tuple[Target, ...], needs: tuple[Capability, ...], wished: tuple[Capability, ...]
) -> tuple[Target, ...]:
    """Those that can do it, and what is wished as well; where none is known to, those that are not certain to be unable."""
    able = tuple([target for target in targets if lacking(target, needs) is None])
    if wished:
        able = tuple([target for target in able if lacking(target, wished) is None]) or able
    return able or tuple([target for target in targets if surely_lacking(target, needs) is None])


def _nobody(model: str, served: Served, preference: Preference) -> Problem:
    """Why there is nobody to ask: the model is served by none, or by none of those the client admits."""
    if not served.targets:
        return Problem(Kind.UNKNOWN_MODEL, subject=model)
    names = ", ".join(preference.providers)
    return Problem(
        Kind.UNKNOWN_MODEL, f"none of the asked providers ({names}) serves this model", subject=model
    )


def build(options: RouteOptions, env: Env) -> Stage:
    """The stage."""
    patterns = {kind: codec.patterns for kind, codec in env.codecs.items()}
    memory = Memory(House(env.providers, env.models, patterns, env.allowed, env.known))

    def move(exchange: Exchange) -> Exchange | Problem:
        return plan_for(exchange, env.snapshot(), env.now(), options, memory)

    return before("route", move)


ENTRY = Entry(build, RouteOptions, side="request", gives=("plan",))
