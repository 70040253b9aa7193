"""Typed fields of a JSON object. What does not fit is noted, and a neutral value stands in for it.

So a reader runs straight through and asks once, at its end, whether anything was noted; what it built is then thrown
away. The order of reading is the order of the faults, and the first is the one the client is told.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define, field, frozen

from pipeline.values.problems import Kind, Problem


@define
class Faults:
    """The faults of one request. `wording(path, value, wanted)` phrases a wrong type as the family of routes does."""

    wording: Callable[[str, Any, str], Problem]
    noted: list[Problem] = field(factory=list)

    def note(self, detail: str, subject: str | None = None, status: int | None = None) -> None:
        """Something is wrong."""
        self.noted.append(Problem(Kind.BAD_REQUEST, detail, subject, status=status))

    def wrong(self, path: str, value: Any, wanted: str) -> None:
        """The value at `path` is not of the type `wanted`."""
        self.noted.append(self.wording(path, value, wanted))

    @property
    def first(self) -> Problem | None:
        """What the client is told; None if all is well."""
        return self.noted[0] if self.noted else None


@frozen
class Fields:
    """One object of the request. Absent and null are the same: None, or an empty list.

    `folds`: keys match without regard to case, as Ollama's do.
    """

    values: Mapping[str, Any]
    faults: Faults
    path: str = ""
    folds: bool = False

    def at(self, name: str) -> str:
        """The path of a field, for words."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.values.get(name)
        if value is None or type(value) is str:
            return value
        self.faults.wrong(self.at(name), value, "string")
        return None

    def flag(self, name: str) -> bool | None:
        """true or false."""
        value = self.values.get(name)
        if value is None or type(value) is bool:
            return value
        self.faults.wrong(self.at(name), value, "boolean")
        return None

    def whole(self, name: str) -> int | None:
        """A whole number."""
        value = self.values.get(name)
        if value is None or type(value) is int:
            return value
        self.faults.wrong(self.at(name), value, "integer")
        return None

    def number(self, name: str) -> float | None:
        """Any number."""
        value = self.values.get(name)
        if value is None or type(value) is float or type(value) is int:
            return value
        self.faults.wrong(self.at(name), value, "number")
        return None

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        """An object as it was written, keys untouched."""
        value = self.values.get(name)
        if value is None or type(value) is dict:
            return value
        self.faults.wrong(self.at(name), value, "object")
        return None

    def items(self, name: str) -> list[Any]:
        """An array."""
        value = self.values.get(name)
        if value is None or type(value) is list:
            return value or []
        self.faults.wrong(self.at(name), value, "array")
        return []

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings."""
        found = self.items(name)
        for index, value in enumerate(found):
            if type(value) is not str:
                self.faults.wrong(f"{self.at(name)}[{index}]", value, "string")
                return ()
        return tuple(found)

    def inner(self, name: str) -> "Fields | None":
        """An object whose fields are to be read."""
        value = self.mapping(name)
        return None if value is None else self._below(value, self.at(name))

    def mappings(self, name: str) -> list[Mapping[str, Any]]:
        """An array of objects as they were written, keys untouched."""
        found = self.items(name)
        for index, value in enumerate(found):
            if type(value) is not dict:
                self.faults.wrong(f"{self.at(name)}[{index}]", value, "object")
                return []
        return found

    def objects(self, name: str) -> "list[Fields]":
        """An array of objects whose fields are to be read."""
        return [self.object(name, index, value) for index, value in enumerate(self.mappings(name))]

    def object(self, name: str, index: int, value: Mapping[str, Any]) -> "Fields":
        """One of the `mappings` of an array, whose fields are to be read."""
        return self._below(value, f"{self.at(name)}[{index}]")

    def has(self, names: frozenset[str]) -> bool:
        """Whether any of these fields stands here, with whatever value."""
        return not names.isdisjoint(self.values)

    def _below(self, value: Mapping[str, Any], path: str) -> "Fields":
        return Fields(folded(value) if self.folds else value, self.faults, path, self.folds)


def folded(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with its keys in lower case; of equal ones the last that is not null wins."""
    if "".join(values).islower():
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        if value is not None or name.lower() not in found:
            found[name.lower()] = value
    return found
