"""Schemas as structured output takes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.anthropic_schema import Fitted, fitted

NAME = {"type": "string"}


def closed(**properties):
    return {"type": "object", "properties": properties, "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param(closed(name=NAME), Fitted(closed(name=NAME), True), id="a closed object as it is"),
        pytest.param(
            {"type": "object", "properties": {"a": {"properties": {"b": NAME}}}, "required": ["a"]},
            Fitted(
                {
                    **closed(a={"properties": {"b": NAME}, "additionalProperties": False}),
                    "required": ["a"],
                },
                True,
            ),
            id="objects that say nothing are closed",
        ),
        pytest.param(
            {
                "type": "array",
                "items": {"type": "integer", "minimum": 1, "maximum": 9, "description": "a digit"},
            },
            Fitted(
                {
                    "type": "array",
                    "items": {"type": "integer", "description": "a digit (minimum: 1, maximum: 9)"},
                },
                False,
            ),
            id="bounds are told in words",
        ),
        pytest.param(
            {"type": "string", "format": "date", "title": "Day", "$schema": "x", "examples": ["y"]},
            Fitted({"type": "string", "format": "date", "title": "Day"}, True),
            id="remarks are no loss",
        ),
        pytest.param(
            {"type": "string", "format": "color"},
            Fitted({"type": "string", "description": '(format: "color")'}, False),
            id="a format that is not known",
        ),
        pytest.param({"oneOf": [NAME]}, Fitted({"anyOf": [NAME]}, False), id="one of several"),
        pytest.param(
            {"type": "array", "items": NAME, "minItems": 1},
            Fitted({"type": "array", "items": NAME, "minItems": 1}, True),
            id="at least one",
        ),
        pytest.param(
            {"$ref": "#/$defs/P", "$defs": {"P": {"properties": {"a": NAME}}}},
            Fitted(
                {
                    "$ref": "#/$defs/P",
                    "$defs": {"P": {"properties": {"a": NAME}, "additionalProperties": False}},
                },
                True,
            ),
            id="a definition",
        ),
        pytest.param({"type": "object"}, None, id="any object"),
        pytest.param({"type": "object", "additionalProperties": NAME}, None, id="a dictionary"),
        pytest.param(
            {"type": "object", "properties": {"a": NAME}, "additionalProperties": True},
            None,
            id="an open object",
        ),
        pytest.param({"patternProperties": {"^x": NAME}}, None, id="names by pattern"),
        pytest.param({"type": "array", "items": True}, None, id="anything"),
        pytest.param(
            {"$ref": "#/$defs/T", "$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}}}},
            None,
            id="one that contains itself",
        ),
        pytest.param({"properties": {"t": {"$ref": "#"}}}, None, id="a root that contains itself"),
        pytest.param({"$ref": "https://example.com/s.json"}, None, id="one from elsewhere"),
    ],
)
def test_schemas(schema, expected):
    assert fitted(schema) == expected


LEAVES = st.sampled_from([NAME, {"type": "integer", "minimum": 0}, {"type": "boolean"}, True, {}])
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(st.sampled_from("ab"), inner).map(lambda p: {"type": "object", "properties": p})
        | inner.map(lambda items: {"type": "array", "items": items})
        | st.lists(inner, max_size=2).map(lambda some: {"anyOf": some})
    ),
)


def objects(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@given(SCHEMAS.filter(lambda schema: isinstance(schema, dict)))
def test_whatever_fits_is_closed_and_fits_again(schema):
    found = fitted(schema)
    if found is not None:
        assert all(each["additionalProperties"] is False for each in objects(found.schema))
        assert fitted(found.schema) == Fitted(found.schema, True)
