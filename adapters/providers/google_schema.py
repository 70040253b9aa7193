"""JSON Schema as Google's models take it: the keywords they know, and whether something was lost.

Current models take JSON Schema itself and know a part of it; older ones take a subset of OpenAPI 3.0, without
references, in which a type is one word and null is `nullable`.
Sources (2026-11): https://ai.google.dev/api/caching#Schema and https://ai.google.dev/api/generate-content
(`responseJsonSchema`, which lists the keywords that are supported).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define

# What current models know; `oneOf` they read as `anyOf`, and `const` goes as an `enum` of one.
_KNOWN = frozenset(
    {
        "$id",
        "$defs",
        "$ref",
        "$anchor",
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "oneOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    }
)
_KNOWN_OF_OPENAPI = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minProperties",
        "maxProperties",
        "pattern",
        "example",
        "default",
        "anyOf",
        "properties",
        "required",
        "propertyOrdering",
    }
)
# They bind no answer: to leave them out loses nothing.
_SAYS_NOTHING = frozenset({"$schema", "$comment", "$id", "title", "default", "examples", "deprecated"})
# The only formats OpenAPI's subset knows, by type.
_FORMATS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"enum", "date-time"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
# Deeper than any schema is written, and more than one has: what is put in for references can grow without end.
_DEEPEST = 32
_MOST = 10_000


@define
class _Reading:
    """One schema on its way. Mutable: `lost` is set when something that binds the answer was left out.

    `count`: schemas read; `within`: references being followed, so that none leads back to itself.
    """

    root: Mapping[str, Any]
    lost: bool = False
    count: int = 0
    within: tuple[str, ...] = ()

    def too_much(self, schema: Any, depth: int) -> bool:
        """Whether this is no schema to be read: none at all, too deep, or one too many. `true` allows anything."""
        self.count += 1
        refused = not isinstance(schema, Mapping) or depth > _DEEPEST or self.count > _MOST
        self.lost = self.lost or (refused and schema is not True)
        return refused

    def each(
        self, schemas: Any, read: Callable[["_Reading", Any, int], dict[str, Any]], depth: int
    ) -> dict[str, Any]:
        """A table of schemas, each read."""
        found = schemas if isinstance(schemas, Mapping) else {}
        return {name: read(self, inner, depth) for name, inner in found.items()}

    def all(
        self, schemas: Any, read: Callable[["_Reading", Any, int], dict[str, Any]], depth: int
    ) -> list[dict[str, Any]]:
        """A list of schemas, each read."""
        return [read(self, inner, depth) for inner in schemas] if isinstance(schemas, list) else []

    def left(self, names: Iterable[str]) -> None:
        """These keywords are left out."""
        self.lost = self.lost or not _SAYS_NOTHING.issuperset(names)


def json_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """`schema` in the keywords that current models know, and whether something was lost. Key order is kept."""
    reading = _Reading(schema)
    return _json(reading, schema, 0), reading.lost


def openapi(schema: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """`schema` in the subset of OpenAPI that older models know, and whether something was lost."""
    reading = _Reading(schema)
    return _openapi(reading, schema, 0), reading.lost


def _json(reading: _Reading, schema: Any, depth: int) -> dict[str, Any]:
    if reading.too_much(schema, depth):
        return {}
    if isinstance(schema.get("$ref"), str):
        return _json_reference(reading, schema, depth)
    found: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "properties" | "$defs":
                found[name] = reading.each(value, _json, depth + 1)
            case "definitions":
                found["$defs"] = {**found.get("$defs", {}), **reading.each(value, _json, depth + 1)}
            case "anyOf" | "oneOf" | "prefixItems":
                found[name] = reading.all(value, _json, depth + 1)
            case "items":
                found[name] = _json(reading, value, depth + 1)
            case "additionalProperties" if isinstance(value, Mapping):
                found[name] = _json(reading, value, depth + 1)
            case "const":
                found["enum"] = [value]
            case "allOf" if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
                found = {**_json(reading, value[0], depth + 1), **found}
            case _ if name in _KNOWN:
                found[name] = value
            case _:
                reading.left((name,))
    return _alone(found) if "$ref" in found else found


def _alone(found: dict[str, Any]) -> dict[str, Any]:
    """A reference without what may not stand beside it: all but what begins with `$`."""
    return {name: value for name, value in found.items() if name.startswith("$")}


def _json_reference(reading: _Reading, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """Beside a reference nothing else may stand; old places of definitions have moved."""
    found = {"$ref": schema["$ref"].replace("#/definitions/", "#/$defs/")}
    for name in ("$defs", "definitions"):
        if name in schema:
            found["$defs"] = reading.each(schema[name], _json, depth + 1)
    reading.left(name for name in schema if name not in ("$ref", "$defs", "definitions", "description"))
    return found


def _openapi(reading: _Reading, schema: Any, depth: int) -> dict[str, Any]:
    if reading.too_much(schema, depth):
        return {}
    outer = reading.within
    resolved = _resolved(reading, schema)
    # What contains itself ends as an object of any kind.
    found = {"type": "object"} if resolved is None else _openapi_of(reading, resolved, depth)
    reading.within = outer
    return found


def _openapi_of(reading: _Reading, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "type":
                found.update(_types(value))
            case "properties":
                # An object without any is refused.
                if inner := reading.each(value, _openapi, depth + 1):
                    found[name] = inner
            case "anyOf" | "oneOf":
                found.update(_alternatives(reading, value, depth))
            case "items":
                found[name] = _openapi(reading, value, depth + 1)
            case "enum" | "const":
                found.update(_enum(reading, value if name == "enum" else [value]))
            case "format":
                if isinstance(value, str) and value in _FORMATS.get(str(schema.get("type")), ()):
                    found[name] = value
                else:
                    reading.lost = True
            case "allOf" if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
                found = {**_openapi(reading, value[0], depth + 1), **found}
            case "$defs" | "definitions":
                pass  # put in where they are referred to
            case "additionalProperties" if isinstance(value, bool):
                pass  # these models add none
            case _ if name in _KNOWN_OF_OPENAPI:
                found[name] = value
            case _:
                reading.left((name,))
    needed = found.pop("required", None)
    known = found.get("properties", {})
    # Only what is there can be required.
    if isinstance(needed, list) and (
        kept := [name for name in needed if isinstance(name, str) and name in known]
    ):
        found["required"] = kept
    return found


def _resolved(reading: _Reading, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema with what its reference leads to put in; None where that leads back to itself."""
    while isinstance(ref := schema.get("$ref"), str):
        if ref in reading.within:
            reading.lost = True
            return None
        reading.within = (*reading.within, ref)
        aim: Any = reading.root
        for step in ref.removeprefix("#").strip("/").split("/"):
            aim = aim.get(step) if isinstance(aim, Mapping) and step else aim
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        reading.lost = reading.lost or not isinstance(aim, Mapping)
        schema = {**(aim if isinstance(aim, Mapping) else {}), **beside}
    return schema


def _types(kinds: Any) -> dict[str, Any]:
    """A type is one word; null beside it is `nullable`, several others are alternatives."""
    if not isinstance(kinds, list):
        return {"type": kinds}
    others = [kind for kind in kinds if kind != "null"]
    found: dict[str, Any] = {"nullable": True} if len(others) < len(kinds) else {}
    if len(others) == 1:
        return {"type": others[0], **found}
    return {"anyOf": [{"type": kind} for kind in others], **found} if others else {"type": "null"}


def _alternatives(reading: _Reading, schemas: Any, depth: int) -> dict[str, Any]:
    several = schemas if isinstance(schemas, list) else []
    others = [one for one in several if not (isinstance(one, Mapping) and one.get("type") == "null")]
    found: dict[str, Any] = {"nullable": True} if len(others) < len(several) else {}
    read = reading.all(others, _openapi, depth + 1)
    return {**read[0], **found} if len(read) == 1 else {"anyOf": read, **found}


def _enum(reading: _Reading, values: Any) -> dict[str, Any]:
    """Only texts can be listed, and then the type is a text."""
    values = values if isinstance(values, list) else []
    # An empty text may not be listed.
    listed = [value for value in values if value is not None and value != ""]
    reading.lost = reading.lost or "" in values
    if not listed or not all(isinstance(value, str) for value in listed):
        reading.lost = True
        return {}
    found: dict[str, Any] = {"type": "string", "enum": listed}
    return {**found, "nullable": True} if None in values else found
