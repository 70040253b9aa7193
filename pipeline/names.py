"""Model names: when two are spelt alike, the lists and rules they stand in, and the filter that admits them.

One reading for all who ask: the stage that routes, the lists of models, and the explanations.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from attrs import evolve

from pipeline.values.targets import ModelFacts, ModelRule

Lists: TypeAlias = Mapping[str, tuple[ModelFacts, ...] | None]

# The facts that `[models.NAME]` may state.
STATED = (
    "capabilities",
    "context_length",
    "output_limit",
    "embedding_length",
    "family",
    "parameter_size",
    "price",
)


LATEST = ":latest"


def canonical(name: str) -> str:
    """The spelling under which names are compared: without blanks around, case and the tag `latest`."""
    return name.strip().lower().removesuffix(LATEST)


def untagged(name: str) -> str:
    """`name` as it was sent, without blanks around and the tag `latest`."""
    sent = name.strip()
    return sent[: -len(LATEST)] if sent.lower().endswith(LATEST) else sent


def by_name(listed: tuple[ModelFacts, ...] | None) -> Mapping[str, ModelFacts]:
    """A provider's list by the names that are compared; the first of equal ones. Made once a list."""
    return _indexed(Same(listed)) if listed else {}


class Same:
    """A list as the one object it is, so that finding it again does not read through it."""

    __slots__ = ("listed",)

    def __init__(self, listed: tuple[ModelFacts, ...]) -> None:
        self.listed = listed

    def __hash__(self) -> int:
        return id(self.listed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.listed is self.listed


@lru_cache(maxsize=256)
def _indexed(same: Same) -> Mapping[str, ModelFacts]:
    return {canonical(facts.name): facts for facts in reversed(same.listed)}


def rule_of(name: str, rules: Mapping[str, ModelRule]) -> ModelRule | None:
    """The `[models.NAME]` that `name` means, however it is spelt."""
    if name in rules:
        return rules[name]
    wanted = canonical(name)
    return next((rule for key, rule in rules.items() if canonical(key) == wanted), None)


def overlaid(facts: ModelFacts, rule: ModelRule) -> ModelFacts:
    """`facts` with all that `rule` states put over them."""
    stated: dict[str, Any] = {name: value for name in STATED if (value := getattr(rule, name)) is not None}
    if "capabilities" in stated:
        stated["presumed"] = False
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
