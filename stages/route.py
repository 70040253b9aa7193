"""route: who can serve the request, and in what order they are asked.

Who can serve is decided by the model's name, then by what the request needs of the model; the strategy orders the rest.
The first depends on the name, the providers' lists and the configuration alone, so it is found out once a name.
"""

from collections.abc import Callable, Mapping
from operator import is_not
from typing import Protocol

from attrs import define, evolve, field, frozen

from pipeline.config import ConfigError, Fault
from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.names import Lists, everything, rule_of
from pipeline.ports import Env
from pipeline.protocol import Stage, before
from pipeline.serving import Served, lacking, who_serves
from pipeline.state.board import Snapshot
from pipeline.values.callers import Caller
from pipeline.values.exchange import Candidate, Exchange, Plan, Preference, Refused
from pipeline.values.messages import ChatRequest, EmbedRequest, Image, Request
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, ModelFacts, ModelRule, Provider, Target
from pipeline.wiring import Entry
from stages.ranking import Ranking, Standing
from stages.strategies import Sized, strategy_named

# What a model is made for, and cannot learn.
SORTS = frozenset({"completion", "embedding", "insert"})

# How many times longer than a model's context a request must seem before it is not even tried: estimates are rough.
SURELY = 2

UNBALANCED = "load balancing is off, so the first alone is asked"

MOST_NAMES = 1024
LONGEST_NAME = 256


def strategy_name(instance: object, attribute: object, value: str) -> None:
    """Raises ValueError where `value` names no strategy."""
    strategy_named(value)


@frozen
class RouteOptions:
    """`[stage.route]`.

    `strategy` orders those who can serve: one of `stages.strategies.STRATEGIES`, or an own one, `package.module:NAME`.
    `load_balancing`: false asks the first alone; the others are not even a fallback.
    """

    strategy: str = field(default="capability_based", validator=strategy_name)
    load_balancing: bool = True


@frozen
class Group:
    """Who serves one model, called `name`.

    `instead_of`: it stands in for the one asked for, after a failure of this kind alone.
    """

    served: Served
    instead_of: Kind | None = None
    name: str = ""


@frozen
class Found:
    """What is known of an asked name: the groups in order, the model's own first, and the strategy of its own, if any."""

    groups: tuple[Group, ...]
    strategy: str | None = None


class Serving(Protocol):
    """What knows who serves a name. `cheapest_first`: the kinds of providers by how dear they usually are."""

    @property
    def cheapest_first(self) -> tuple[str, ...]:
        """The kinds, cheapest first."""
        ...

    def serving(self, name: str, snapshot: Snapshot) -> Found:
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

    @property
    def cheapest_first(self) -> tuple[str, ...]:
        """The kinds of providers, cheapest first."""
        return self.known.cheapest_first

    def serving(self, name: str, snapshot: Snapshot) -> Found:
        """Who serves `name`, then who serves each model that stands in for it; no target twice for one occasion."""
        lists: Lists = {provider: snapshot.provider(provider).models for provider in self.providers}
        rule = rule_of(name, self.models)
        known: set[tuple[Target, Kind | None]] = set()
        own: frozenset[Target] = frozenset()
        groups: list[Group] = []
        for asked, instead_of in ((name, None), *(stand_ins(rule) if rule else ())):
            served = who_serves(
                asked, self.providers, lists, self.models, self.patterns, self.allowed, self.known
            )
            new = tuple(
                target
                for target in dict.fromkeys(served.targets)
                if target not in own and (target, instead_of) not in known
            )
            known.update((target, instead_of) for target in new)
            if not groups:
                own = frozenset(new)
            groups.append(Group(Served(new, served.why), instead_of, asked))
        return Found(tuple(groups), rule.strategy if rule else None)


def stand_ins(rule: ModelRule) -> tuple[tuple[str, Kind | None], ...]:
    """The models that stand in, each with the kind of failure after which alone it does."""
    lists: tuple[tuple[tuple[str, ...], Kind | None], ...] = (
        (rule.fallback, None),
        (rule.longer_fallback, Kind.CONTEXT_LENGTH),
        (rule.policy_fallback, Kind.POLICY),
    )
    return tuple((name, kind) for names, kind in lists for name in names)


@define(eq=False)
class Memory:
    """A house with what it said of the names asked so far. It is forgotten when a provider tells another list."""

    house: House
    _lists: list[tuple[ModelFacts, ...] | None] = field(factory=list, init=False)
    _found: dict[str, Found] = field(factory=dict, init=False)

    @property
    def cheapest_first(self) -> tuple[str, ...]:
        """The kinds of providers, cheapest first."""
        return self.house.cheapest_first

    def serving(self, name: str, snapshot: Snapshot) -> Found:
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

    def _keep(self, name: str, found: Found) -> None:
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
    exchange: Exchange, snapshot: Snapshot, now: float, roll: float, options: RouteOptions, house: Serving
) -> Exchange | Problem:
    """The exchange with its plan, or why nobody can serve it."""
    request, preference = exchange.request, exchange.preference
    found = house.serving(request.model, snapshot)
    if exchange.caller.models or exchange.caller.providers:
        found = permitted(found, exchange.caller)
    own = found.groups[0].served
    if not _preferred(own.targets, preference):
        return _nobody(request.model, own, preference)
    wanted = Wanted(request)
    candidates = tuple(
        [
            Candidate(target, 0.0, group.served.why, number, group.instead_of)
            for number, group in enumerate(found.groups)
            for target in _fitting(_preferred(group.served.targets, preference), wanted)
        ]
    )
    if not candidates or candidates[0].group != 0:
        first = _preferred(own.targets, preference)[0]
        return Problem(Kind.UNSUPPORTED, subject=surely_lacking(first, wanted.needs), target=first.name)
    candidates = _longer_first(candidates, wanted)
    strategy = exchange.strategy or found.strategy or options.strategy
    ranking = Ranking(strategy_named(strategy), wanted, preference, house.cheapest_first)
    refused: tuple[Refused, ...] = ()
    if len(candidates) > 1 or exchange.explain:
        # The score of one alone is only told.
        candidates = ranking(candidates, snapshot, now, roll)
    if exchange.explain:
        refused = refusals(found, preference, wanted)
    order = Standing.of(ranking, candidates, snapshot, now)
    if not options.load_balancing:
        refused += tuple([Refused(one.target, UNBALANCED) for one in candidates[1:]])
        candidates = candidates[:1]
    return exchange.planned(Plan(candidates, f"{strategy} ({own.why})", order, refused))


def permitted(found: Found, caller: Caller) -> Found:
    """What is left for the caller: to him the models and providers that he may not use are none."""
    groups = []
    for group in found.groups:
        may_ask = caller.may_ask_for(group.name)
        targets = [one for one in group.served.targets if may_ask and caller.may_use(one.provider.name)]
        groups.append(evolve(group, served=Served(tuple(targets), group.served.why)))
    return evolve(found, groups=tuple(groups))


def refusals(found: Found, preference: Preference, wanted: "Wanted") -> tuple[Refused, ...]:
    """Who has the model, or stands in for it, and is no candidate; and why."""
    told = []
    for group in found.groups:
        admitted = _preferred(group.served.targets, preference)
        fitting = _fitting(admitted, wanted)
        for target in group.served.targets:
            if target not in admitted:
                told.append(Refused(target, "the client admits other providers only"))
            elif target not in fitting:
                told.append(Refused(target, _why_unfit(target, wanted)))
    return tuple(told)


def _why_unfit(target: Target, wanted: "Wanted") -> str:
    if (need := lacking(target, (*wanted.needs, *wanted.wished))) is not None:
        return f"has no {need}"
    return f"takes {target.facts.context_length} tokens, and the request has about {wanted.tokens}"


class Wanted(Sized):
    """A request with what a model must have for it, and had better have."""

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.needs = needs_of(request)
        self.wished = wishes_of(request)

    def surely_exceeds(self, limit: int | None) -> bool:
        """Whether it is longer than `limit` tokens by so much that the estimate cannot be wrong."""
        return limit is not None and self.tokens > SURELY * limit


def _fitting(targets: tuple[Target, ...], wanted: Wanted) -> tuple[Target, ...]:
    """Those that can do it, without those that are surely too short where others are not. What none can take is for the
    provider to say: some cut what is too long.
    """
    able = _able(targets, wanted.needs, wanted.wished)
    if len(able) < 2:
        return able
    return tuple([one for one in able if not wanted.surely_exceeds(one.facts.context_length)]) or able


def _longer_first(candidates: tuple[Candidate, ...], wanted: Wanted) -> tuple[Candidate, ...]:
    """Where the request is surely too long for the model: those first that stand in for it then, without a vain attempt."""
    longer = [one for one in candidates if one.instead_of is Kind.CONTEXT_LENGTH]
    own = [one for one in candidates if one.group == 0]
    if not longer or not all(wanted.surely_exceeds(one.target.facts.context_length) for one in own):
        return candidates
    promoted = [evolve(one, instead_of=None, group=one.group - longer[0].group) for one in longer]
    behind = promoted[-1].group + 1
    rest = [evolve(one, group=one.group + behind) for one in candidates if one not in longer]
    return (*promoted, *rest)


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
    """The stage. Raises ConfigError where a model's own strategy is none."""
    for name, rule in env.models.items():
        _check_strategy(name, rule)
    patterns = {kind: codec.patterns for kind, codec in env.codecs.items()}
    memory = Memory(House(env.providers, env.models, patterns, env.allowed, env.known))

    def move(exchange: Exchange) -> Exchange | Problem:
        return plan_for(exchange, env.snapshot(), env.now(), env.rolls(1)[0], options, memory)

    return before("route", move)


def _check_strategy(name: str, rule: ModelRule) -> None:
    try:
        strategy_named(rule.strategy or "priority")
    except ValueError as error:
        raise ConfigError([Fault("proxy.toml", f"models.{name}.strategy", str(error))]) from error


ENTRY = Entry(build, RouteOptions, side="request", gives=("plan",))
