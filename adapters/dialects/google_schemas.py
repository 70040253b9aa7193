"""Schemas as Google's older fields write them (a subset of OpenAPI 3.0), as JSON Schema.

There a type is a word in capitals, null is `nullable`, numbers of things are texts, and the order of properties is said
apart. Source: https://ai.google.dev/api/caching#Schema (2026-11).
"""

from collections.abc import Mapping
from typing import Any

from adapters.dialects.google_spelling import camel

_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})


def json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same schema as JSON Schema. What is not known stays as it was written."""
    found: dict[str, Any] = {}
    for written, value in schema.items():
        name = camel(written)
        match name, value:
            case "type", str():
                if value != "TYPE_UNSPECIFIED":
                    found["type"] = value.lower()
            case "properties", dict():
                found["properties"] = {key: _schema(inner) for key, inner in value.items()}
            case "items", dict():
                found["items"] = json_schema(value)
            case "anyOf", list():
                found["anyOf"] = [_schema(inner) for inner in value]
            case "example", _:
                found["examples"] = [value]
            case (("nullable" | "propertyOrdering"), _):
                pass
            case _:
                found[name] = int(value) if name in _COUNTS and _is_count(value) else value
    return _nullable(_ordered(found, schema), schema)


def _schema(value: Any) -> Any:
    return json_schema(value) if isinstance(value, dict) else value


def _is_count(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19


def _ordered(found: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """With the properties in the order that is asked for; they are answered in the order they stand in."""
    order = schema.get("propertyOrdering", schema.get("property_ordering"))
    properties = found.get("properties")
    if not isinstance(order, list) or not isinstance(properties, dict):
        return found
    first = {name: properties[name] for name in order if isinstance(name, str) and name in properties}
    return {**found, "properties": {**first, **properties}}


def _nullable(found: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    if schema.get("nullable") is not True:
        return found
    if isinstance(found.get("enum"), list):
        found = {**found, "enum": [*found["enum"], None]}
    if isinstance(found.get("type"), str) and found["type"] != "null":
        return {**found, "type": [found["type"], "null"]}
    if isinstance(found.get("anyOf"), list):
        return {**found, "anyOf": [*found["anyOf"], {"type": "null"}]}
    return found
