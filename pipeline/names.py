"""Model names: when two mean the same model, what is known of it, and who serves it.

One reading for all who ask: the stage that routes, the lists of models, and the explanations.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import evolve, frozen

from pipeline.values.targets import ModelFacts, ModelRule, Provider, Target

Lists: TypeAlias = Mapping[str, tuple[ModelFacts, ...] | None]


def canonical(name: str) -> str:
    """The spelling under which names are compared: without blanks around, case and the tag `latest`."""
    return name.strip().lower().removesuffix(":latest")


def resolve_facts(
    provider: str, model: str, listed: tuple[ModelFacts, ...] | None, rules: Mapping[str, ModelRule]
) -> ModelFacts:
    """What is known of `model` at `provider`: its own list, overlaid by `[models."provider/model"]` or `[models.model]`."""
    facts = by_name(listed).get(canonical(model)) or ModelFacts(model)
    rule = rule_of(f"{provider}/{facts.name}", rules) or rule_of(facts.name, rules)
    return facts if rule is None or rule.targets else overlaid(facts, rule)


def by_name(listed: tuple[ModelFacts, ...] | None) -> Mapping[str, ModelFacts]:
    """A provider's list by the names that are compared; the first of equal ones. Made once a list."""
    return _indexed(_Same(listed)) if listed else {}


class _Same:
    """A list as the one object it is, so that finding it again does not read through it."""

    __slots__ = ("listed",)

    def __init__(self, listed: tuple[ModelFacts, ...]) -> None:
        self.listed = listed

    def __hash__(self) -> int:
        return id(self.listed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.listed is self.listed


@lru_cache(maxsize=256)
def _indexed(same: _Same) -> Mapping[str, ModelFacts]:
    return {canonical(facts.name): facts for facts in reversed(same.listed)}


def rule_of(name: str, rules: Mapping[str, ModelRule]) -> ModelRule | None:
    """The `[models.NAME]` that `name` means, however it is spelt."""
    if name in rules:
        return rules[name]
    wanted = canonical(name)
    return next((rule for key, rule in rules.items() if canonical(key) == wanted), None)


def overlaid(facts: ModelFacts, rule: ModelRule) -> ModelFacts:
    """`facts` with all that `rule` states put over them."""
    stated: dict[str, Any] = {
        name: value
        for name in ("capabilities", "context_length", "embedding_length", "family", "parameter_size")
        if (value := getattr(rule, name)) is not None
    }
    return evolve(facts, **stated) if stated else facts


def permits(patterns: Iterable[str]) -> Callable[..., bool]:
    """The filter of models that `patterns` describe, asked with all names of one (`gpt-4o`, `openai/gpt-4o`).

    A name, in which `*` stands for anything, admits; with `!` before it, it excludes; the last that fits any of the names
    decides. Without any that admit, all is admitted that is not excluded.
    """
    rules = tuple((_matcher(pattern.removeprefix("!")), not pattern.startswith("!")) for pattern in patterns)
    default = not any(admits for _, admits in rules)

    def permitted(*names: str) -> bool:
        known = [canonical(name) for name in names]
        fits = (admits for matches, admits in reversed(rules) if any(map(matches, known)))
        return next(fits, default)

    return permitted


def _matcher(pattern: str) -> Callable[[str], object]:
    return re.compile(".*".join(map(re.escape, canonical(pattern).split("*"))), re.DOTALL).fullmatch


def everything(*names: str) -> bool:
    """The filter that admits all."""
    return True


@frozen
class Served:
    """Who serves a name: targets in the order they were named, and how they were found (`alias`, `qualified` ...)."""

    targets: tuple[Target, ...]
    why: str


def who_serves(
    name: str,
    providers: Mapping[str, Provider],
    lists: Lists,
    rules: Mapping[str, ModelRule],
    patterns: Mapping[str, tuple[str, ...]],
    allowed: Callable[..., bool] = everything,
) -> Served:
    """The targets that can serve `name`; the first of these that finds any decides. `allowed`: the model filter.

    An alias of `[models]`; a name qualified by its provider; the providers' own lists; the patterns of each kind's
    names, for providers that serve more than they list or have not told their list. `patterns` by provider kind.
    """
    served = _serving(name, providers, lists, rules, patterns)
    asked = name if served.why == "alias" else ""
    targets = tuple(
        target for target in served.targets if allowed(asked or target.model, target.model, target.name)
    )
    return Served(targets, served.why)


def _serving(
    name: str,
    providers: Mapping[str, Provider],
    lists: Lists,
    rules: Mapping[str, ModelRule],
    patterns: Mapping[str, tuple[str, ...]],
) -> Served:
    rule = rule_of(name, rules)
    if rule is not None and rule.targets:
        return Served(_aliased(rule, providers, lists, rules), "alias")

    def target(provider: Provider, model: str) -> Target:
        return Target(provider, resolve_facts(provider.name, model, lists.get(provider.name), rules))

    head, _, rest = name.strip().partition("/")
    if rest and head.lower() in providers:
        return Served((target(providers[head.lower()], rest),), "qualified")
    wanted = canonical(name)
    listed = tuple(
        target(provider, name.strip())
        for provider in providers.values()
        if wanted in by_name(lists.get(provider.name))
    )
    if listed:
        return Served(listed, "listed")
    matching = tuple(
        target(provider, name.strip())
        for provider in providers.values()
        if any(fnmatchcase(wanted, pattern) for pattern in patterns.get(provider.kind, ()))
    )
    return Served(matching, "pattern")


def _aliased(
    rule: ModelRule, providers: Mapping[str, Provider], lists: Lists, rules: Mapping[str, ModelRule]
) -> tuple[Target, ...]:
    targets = []
    for qualified in rule.targets:
        head, _, model = qualified.partition("/")
        if head in providers:
            facts = resolve_facts(head, model, lists.get(head), rules)
            targets.append(Target(providers[head], overlaid(facts, rule)))
    return tuple(targets)
