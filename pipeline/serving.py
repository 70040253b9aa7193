"""Who serves a model, and what is known of it there.

One answer for all who ask: the stage that routes, the lists of models, and the explanations.
"""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import attrs
from attrs import evolve, frozen

from pipeline.identity import Identity, identity, regional
from pipeline.known import FREE, NOTHING_KNOWN, Knowledge, near
from pipeline.names import Lists, by_name, canonical, everything, overlaid, rule_of, untagged
from pipeline.values.messages import ChatRequest, EmbedRequest, Thinking
from pipeline.values.targets import Capability, ModelFacts, ModelRule, Provider, Target

Why: TypeAlias = Literal["alias", "qualified", "listed", "pattern", "equivalent"]

# A wish to think, made of a model that cannot.
UNGRANTED = Thinking(False, wish=True)

_KNOWABLE = tuple(fact.name for fact in attrs.fields(ModelFacts) if fact.name not in ("name", "presumed"))


def completed(facts: ModelFacts, other: ModelFacts) -> ModelFacts:
    """`facts`, and from `other` what they do not tell."""
    missing = {
        name: value
        for name in _KNOWABLE
        if getattr(facts, name) is None and (value := getattr(other, name)) is not None
    }
    return evolve(facts, **missing) if missing else facts


def resolve_facts(
    provider: Provider,
    model: str,
    listed: tuple[ModelFacts, ...] | None,
    rules: Mapping[str, ModelRule],
    known: Knowledge = NOTHING_KNOWN,
) -> ModelFacts:
    """What is known of `model` at `provider`, by its own list or without."""
    return all_facts(provider, by_name(listed).get(canonical(model)) or ModelFacts(model), rules, known)


def all_facts(
    provider: Provider, facts: ModelFacts, rules: Mapping[str, ModelRule], known: Knowledge = NOTHING_KNOWN
) -> ModelFacts:
    """What `provider` tells of a model, completed from the catalogue. What runs at home costs nothing.

    Over both lies what `[models."provider/model"]` or `[models.model]` states.
    """
    if general := known.facts(provider.kind, facts.name):
        facts = evolve(completed(facts, general), presumed=facts.capabilities is None)
    if facts.price is None and known.at_home(provider, facts.name):
        facts = evolve(facts, price=FREE)
    rule = rule_of(f"{provider.name}/{facts.name}", rules) or rule_of(facts.name, rules)
    return facts if rule is None or rule.targets else overlaid(facts, rule)


def lacking(target: Target, needs: tuple[Capability, ...]) -> Capability | None:
    """The first of `needs` that the model does not have, as far as is known; what is not known is tried."""
    known = target.facts.capabilities
    if known is None:
        return None
    return next((need for need in needs if need not in known), None)


def fitted(request: ChatRequest | EmbedRequest, target: Target) -> ChatRequest | EmbedRequest:
    """The request as `target` is asked it: thinking that is but a wish is not asked of a model that cannot think."""
    if not isinstance(request, ChatRequest) or (thinking := request.thinking) is None:
        return request
    if not (thinking.on and thinking.wish) or lacking(target, ("thinking",)) is None:
        return request
    return evolve(request, thinking=UNGRANTED)


@frozen
class Served:
    """Who serves a name: targets in the order they were found, and how the first of them was.

    `equivalent`: nobody has the name itself, only others for the same model.
    """

    targets: tuple[Target, ...]
    why: Why


def who_serves(
    name: str,
    providers: Mapping[str, Provider],
    lists: Lists,
    rules: Mapping[str, ModelRule],
    patterns: Mapping[str, tuple[str, ...]],
    allowed: Callable[..., bool] = everything,
    known: Knowledge = NOTHING_KNOWN,
) -> Served:
    """The targets that can serve `name`; the first of these that finds any decides. `allowed`: the model filter.

    An alias of `[models]`; a name qualified by its provider, unless he lists no such model and another one lists that very
    name (`openai/gpt-oss-20b`); the providers' own lists; the patterns of each kind's names, for providers that serve more
    than they list or have not told their list. `patterns` by provider kind. After what the lists or patterns found come
    the providers that have the same model under another name.
    """
    served = _serving(name, providers, lists, rules, patterns, known)
    targets = tuple(target for target in served.targets if allowed(name, target.model, target.name))
    return Served(targets, served.why)


def _serving(
    name: str,
    providers: Mapping[str, Provider],
    lists: Lists,
    rules: Mapping[str, ModelRule],
    patterns: Mapping[str, tuple[str, ...]],
    known: Knowledge,
) -> Served:
    def target(provider: Provider, model: str) -> Target:
        return Target(provider, resolve_facts(provider, model, lists.get(provider.name), rules, known))

    rule = rule_of(name, rules)
    if rule is not None and rule.targets:
        aliased = (target(providers[place], model) for place, model in _named(rule) if place in providers)
        return Served(tuple(Target(each.provider, overlaid(each.facts, rule)) for each in aliased), "alias")
    head, _, rest = name.strip().partition("/")
    wanted = canonical(name)
    listing = [provider for provider in providers.values() if wanted in by_name(lists.get(provider.name))]
    if rest and (provider := providers.get(head.lower())):
        own = _own_name(rest, provider, lists.get(provider.name), known)
        told = by_name(lists.get(provider.name))
        if not listing or not told or canonical(own) in told:
            return Served((target(provider, own),), "qualified")
    found = listing or _fitting(wanted, providers, patterns)
    why: Why = "listed" if listing else "pattern"
    targets = [
        target(provider, _own_name(name, provider, lists.get(provider.name), known)) for provider in found
    ]
    others = _equivalents(name, found, providers, lists, known)
    targets += [target(provider, model) for provider, model in others]
    return Served(tuple(targets), "equivalent" if others and not found else why)


def _named(rule: ModelRule) -> Iterable[tuple[str, str]]:
    """The targets of an alias, as provider and model."""
    for qualified in rule.targets:
        place, _, model = qualified.partition("/")
        yield place, model


def _fitting(
    wanted: str, providers: Mapping[str, Provider], patterns: Mapping[str, tuple[str, ...]]
) -> list[Provider]:
    """The providers of whose kind's names this is one. One that names a host is meant for no other."""
    hosted = identity(wanted).variant.startswith("@")
    return [
        provider
        for provider in providers.values()
        if any(
            fnmatchcase(wanted, pattern)
            for pattern in patterns.get(provider.kind, ())
            if "@" in pattern or not hosted
        )
    ]


def _own_name(name: str, provider: Provider, listed: tuple[ModelFacts, ...] | None, known: Knowledge) -> str:
    """What the provider itself calls the model `name`; the same where it knows that, or nothing tells better.

    Where models have no tags, `:latest` is the client's alone.
    """
    sent = name.strip() if provider.kind in known.tagged else untagged(name)
    if canonical(name) in (by_name(listed) if listed else known.models.get(provider.kind, {})):
        return sent
    if near(name, provider):
        return sent
    return known.name_at(provider, identity(name), listed, exact=True) or sent


def _equivalents(
    name: str, found: list[Provider], providers: Mapping[str, Provider], lists: Lists, known: Knowledge
) -> list[tuple[Provider, str]]:
    """The other providers that have the same model, each with its name there.

    There are none where somebody has, or may have, a model of this name that the catalogue does not know of his kind: it
    is another one, or one that is served at home and asked for there. Nor for a name that says in which region it is to run.
    """
    wanted = identity(name)
    if regional(name) or any(
        _keeps(canonical(name), wanted, provider, lists.get(provider.name), known) for provider in found
    ):
        return []
    return [
        (provider, own)
        for provider in providers.values()
        if provider not in found and (own := known.name_at(provider, wanted, lists.get(provider.name)))
    ]


def _keeps(
    spelt: str, wanted: Identity, provider: Provider, listed: tuple[ModelFacts, ...] | None, known: Knowledge
) -> bool:
    return not known.shares(provider.kind, wanted) and (not listed or spelt in by_name(listed))
