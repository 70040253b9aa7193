"""A plausible value for a JSON schema, always the same one for the same schema."""

from collections.abc import Mapping
from math import ceil, floor, inf, isfinite
from typing import Any

# What a person would write into a field of that name.
BY_NAME = {
    "city": "Paris",
    "country": "France",
    "date": "2026-01-31",
    "email": "ada@example.com",
    "first_name": "Ada",
    "id": "a1",
    "language": "en",
    "last_name": "Lovelace",
    "location": "Paris",
    "name": "Ada",
    "path": "notes.txt",
    "query": "weather in Paris",
    "title": "A demonstration",
    "unit": "celsius",
    "url": "https://example.com/",
}
BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ada@example.com",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "3f2c6a52-6f0e-4f0b-9d51-2b9b6c1f9a10",
}
DEPTH = 8


def sample(schema: Any, name: str = "", root: Any = None, depth: int = 0) -> Any:
    """A value that fits a simple `schema`; null where it says nothing or goes too deep.

    `name` is the field it is for. `$ref` is followed within `root`, the whole schema (`schema` itself if not given).
    """
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > DEPTH:
        return None
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    if "default" in schema:
        return schema["default"]
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return sample(schema[key][0], name, root, depth + 1)
    if isinstance(schema.get("$ref"), str):
        return sample(_resolved(schema["$ref"], root), name, root, depth + 1)
    return _by_type(schema, name, root, depth)


def _resolved(ref: str, root: Any) -> Any:
    place = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        place = place.get(step) if isinstance(place, Mapping) and step else place
    return place


def _by_type(schema: Mapping[str, Any], name: str, root: Any, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None and "properties" in schema:
        kind = "object"
    match kind:
        case "object":
            fields = schema.get("properties")
            fields = fields if isinstance(fields, Mapping) else {}
            return {field: sample(inner, field, root, depth + 1) for field, inner in fields.items()}
        case "array":
            count = max(1, _number(schema, "minItems", 1))
            return [sample(schema.get("items", {}), name, root, depth + 1)] * int(count)
        case "integer" | "number":
            return _in_bounds(schema, kind == "integer")
        case "boolean":
            return True
        case "string":
            return _text(schema, name)
    return None


def _in_bounds(schema: Mapping[str, Any], whole: bool) -> float:
    """1 where the bounds allow it; else a whole number next to one of them, or one in the middle."""
    least, most = _number(schema, "minimum", -inf), _number(schema, "maximum", inf)
    above, below = _number(schema, "exclusiveMinimum", -inf), _number(schema, "exclusiveMaximum", inf)
    low, high = max(least, above), min(most, below)
    near = (number for bound in (low, high) if isfinite(bound) for number in _whole_beside(bound))
    for number in (1, *near):
        if least <= number <= most and above < number < below:
            return number
    # None of them fits: between the bounds there is no whole number, or nothing at all.
    return 1 if whole or not (isfinite(low) and isfinite(high)) else (low + high) / 2


def _whole_beside(bound: float) -> tuple[int, ...]:
    return ceil(bound), floor(bound), floor(bound) + 1, ceil(bound) - 1


def _number(schema: Mapping[str, Any], key: str, otherwise: float) -> float:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _text(schema: Mapping[str, Any], name: str) -> str:
    text = BY_FORMAT.get(str(schema.get("format"))) or BY_NAME.get(name.lower()) or "example"
    text = text.ljust(int(_number(schema, "minLength", 0)), ".")
    return text[: int(_number(schema, "maxLength", len(text)))]
