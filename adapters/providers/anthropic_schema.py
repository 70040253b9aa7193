"""JSON schemas as Claude's structured output takes them: every object closed, no recursion, no bounds.

What can be left out without making a valid answer invalid is left out and told in the description, where the model reads
it. A schema that would mean something else then (an object with any keys, one that contains itself) cannot be said.
Source: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (2026-11).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from attrs import define, frozen

_KEPT = frozenset({"type", "enum", "const", "title", "default", "required", "pattern", "$ref"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
# They say nothing of what is valid.
_REMARKS = frozenset(
    {"$schema", "$id", "$comment", "examples", "example", "deprecated", "readOnly", "writeOnly"}
)
_DEFINITIONS = ("$defs", "definitions")
_ALTERNATIVES = ("allOf", "anyOf", "oneOf")


@frozen
class Fitted:
    """A schema that can be sent; `exact`: it allows just what the client's own does."""

    schema: dict[str, Any]
    exact: bool


def fitted(schema: Mapping[str, Any]) -> Fitted | None:
    """The schema in the form that is taken; None if there is none that means the same."""
    if _recursive(schema):
        return None
    fitting = _Fitting()
    found = fitting.node(schema)
    return Fitted(found, fitting.exact) if fitting.possible else None


def rooted(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of a tool without alternatives at its root, which are refused there; None if it has none.

    It takes the properties of all of them, and wants what each of them wants.
    """
    held = [key for key in _ALTERNATIVES if key in schema]
    if not held:
        return None
    properties: dict[str, Any] = dict(schema.get("properties") or {})
    required = [name for name in schema.get("required") or () if isinstance(name, str)]
    for key in held:
        inner = [_led_to(one, schema) for one in schema[key]] if isinstance(schema[key], list) else []
        for one in inner:
            told = one.get("properties")
            for name, value in told.items() if isinstance(told, Mapping) else ():
                properties.setdefault(name, value)
        wanted = [set(filter(_is_name, one.get("required") or ())) for one in inner]
        if wanted:
            common = set.union(*wanted) if key == "allOf" else set.intersection(*wanted)
            required += sorted(common - set(required))
    kept = {name: value for name, value in schema.items() if name not in _ALTERNATIVES}
    kept["properties"] = properties
    if required:
        kept["required"] = required
    return kept


def _is_name(value: Any) -> bool:
    return isinstance(value, str)


def _led_to(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """An alternative, or the definition it refers to; nothing if it is no schema."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if isinstance(reference, str):
        place, _, name = reference.removeprefix("#/").partition("/")
        definitions = root.get(place) if place in _DEFINITIONS else None
        schema = definitions.get(name) if isinstance(definitions, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


@define
class _Fitting:
    """Walks one schema. Mutable: it notes what the walk came across."""

    exact: bool = True
    possible: bool = True

    def node(self, schema: Any) -> dict[str, Any]:
        if not isinstance(schema, Mapping):
            # `true` allows anything, `false` nothing; neither can be said.
            self.possible = False
            return {}
        found: dict[str, Any] = {}
        told: dict[str, Any] = {}
        for key, value in schema.items():
            self._keyword(key, value, found, told)
        if _is_object(schema):
            self._object(schema, found)
        if told:
            self.exact = False
            noted = ", ".join(f"{key}: {orjson.dumps(value).decode()}" for key, value in told.items())
            found["description"] = f"{found.get('description', '')} ({noted})".strip()
        return found

    def _keyword(self, key: str, value: Any, found: dict[str, Any], told: dict[str, Any]) -> None:
        if key in _KEPT:
            found[key] = value
        elif key == "description":
            if isinstance(value, str):
                found[key] = value
        elif key in ("properties", *_DEFINITIONS) and isinstance(value, Mapping):
            found[key] = {name: self.node(inner) for name, inner in value.items()}
        elif key == "items":
            found[key] = self.node(value)
        elif key in ("anyOf", "allOf", "oneOf") and isinstance(value, list):
            # Of several alternatives just one may fit: that is more than can be said.
            self.exact = self.exact and key != "oneOf"
            found["anyOf" if key == "oneOf" else key] = [self.node(inner) for inner in value]
        elif (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
            found[key] = value
        elif key == "patternProperties":
            self.possible = False
        elif key not in _REMARKS and key != "additionalProperties":
            told[key] = value

    def _object(self, schema: Mapping[str, Any], found: dict[str, Any]) -> None:
        """Only closed objects can be said. One that lists what it has and does not say that it is open is closed."""
        if schema.get("additionalProperties", False) is not False:
            self.possible = False
        if not schema.get("properties") and "additionalProperties" not in schema:
            self.possible = False
        found["additionalProperties"] = False


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in schema


def _recursive(schema: Mapping[str, Any]) -> bool:
    """Whether a definition contains itself, or a reference leads elsewhere than to a definition."""
    definitions: dict[str, Any] = {}
    for place in _DEFINITIONS:
        inner = schema.get(place)
        if isinstance(inner, Mapping):
            definitions |= {f"#/{place}/{name}": value for name, value in inner.items()}
    leads = {name: set(_references(value)) for name, value in definitions.items()}
    rest = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
    known = set(leads)
    if not set(_references(rest)) <= known or any(not found <= known for found in leads.values()):
        return True
    while leads:
        # Whatever refers to nothing that is left cannot be part of a circle.
        free = {name for name, found in leads.items() if not found & leads.keys()}
        if not free:
            return True
        leads = {name: found for name, found in leads.items() if name not in free}
    return False


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)
