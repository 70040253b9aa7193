"""Schemas as Google's models take them, and what is lost thereby."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.google_schema import json_schema, openapi
from adapters.simulator.google_rules import SCHEMA_FIELDS, schema_faults

STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected", "lost"),
    [
        pytest.param(
            {"$schema": "x", "title": "T", **STRING}, {"title": "T", **STRING}, False, id="what says nothing"
        ),
        pytest.param({"const": "a"}, {"enum": ["a"]}, False, id="one value"),
        pytest.param(
            {"allOf": [STRING], "description": "d"}, {**STRING, "description": "d"}, False, id="all of one"
        ),
        pytest.param({"allOf": [STRING, {"minLength": 1}]}, {}, True, id="all of several"),
        pytest.param({**STRING, "pattern": "a+", "minLength": 2}, STRING, True, id="what binds a text"),
        pytest.param(
            {"definitions": {"p": STRING}, "$ref": "#/definitions/p", "description": "d"},
            {"$ref": "#/$defs/p", "$defs": {"p": STRING}},
            False,
            id="an older place of definitions",
        ),
        pytest.param(
            {
                "type": ["array", "null"],
                "items": {"const": 1, "if": {}},
                "prefixItems": [STRING, {"not": {}}],
            },
            {"type": ["array", "null"], "items": {"enum": [1]}, "prefixItems": [STRING, {}]},
            True,
            id="inside of lists",
        ),
        pytest.param(
            {"additionalProperties": False, "properties": {"a": True}},
            {"additionalProperties": False, "properties": {"a": {}}},
            False,
            id="anything",
        ),
        pytest.param(
            {"additionalProperties": {"const": 1}, "properties": {"a": False}},
            {"additionalProperties": {"enum": [1]}, "properties": {"a": {}}},
            True,
            id="nothing",
        ),
    ],
)
def test_json_schema(schema, expected, lost):
    assert json_schema(schema) == (expected, lost)


@pytest.mark.parametrize(
    ("schema", "expected", "lost"),
    [
        pytest.param({"type": ["string", "null"]}, {**STRING, "nullable": True}, False, id="perhaps null"),
        pytest.param(
            {"type": ["string", "integer"]},
            {"anyOf": [STRING, {"type": "integer"}]},
            False,
            id="one of two types",
        ),
        pytest.param(
            {"anyOf": [STRING, {"type": "null"}], "title": "T"},
            {**STRING, "nullable": True, "title": "T"},
            False,
            id="as Python's writers say perhaps null",
        ),
        pytest.param({"oneOf": [STRING, {}]}, {"anyOf": [STRING, {}]}, False, id="one of several"),
        pytest.param(
            {"enum": ["a", None]}, {**STRING, "enum": ["a"], "nullable": True}, False, id="texts or null"
        ),
        pytest.param({"type": "integer", "enum": [1, 2]}, {"type": "integer"}, True, id="numbers"),
        pytest.param(
            {"enum": ["", "a"]}, {**STRING, "enum": ["a"]}, True, id="an empty text, which is refused"
        ),
        pytest.param({"const": "a"}, {**STRING, "enum": ["a"]}, False, id="one value"),
        pytest.param(
            {**STRING, "format": "date-time"}, {**STRING, "format": "date-time"}, False, id="a known format"
        ),
        pytest.param({**STRING, "format": "uri"}, STRING, True, id="an unknown format"),
        pytest.param(
            {"type": "object", "properties": {}, "additionalProperties": False, "required": ["a"]},
            {"type": "object"},
            False,
            id="an object without anything",
        ),
        pytest.param(
            {"type": "object", "additionalProperties": STRING},
            {"type": "object"},
            True,
            id="a table of texts",
        ),
        pytest.param(
            {
                "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}},
                "$ref": "#/$defs/n",
            },
            {"type": "object", "properties": {"next": {"type": "object"}}},
            True,
            id="what contains itself",
        ),
        pytest.param({"$ref": "#/$defs/none"}, {}, True, id="a reference to nothing"),
        pytest.param(
            {**STRING, "pattern": "a", "minLength": 1},
            {**STRING, "pattern": "a", "minLength": 1},
            False,
            id="a text",
        ),
    ],
)
def test_openapi(schema, expected, lost):
    assert openapi(schema) == (expected, lost)


def test_references_that_multiply_come_to_an_end():
    defs = {
        f"d{n}": {"type": "object", "properties": {name: {"$ref": f"#/$defs/d{n + 1}"} for name in "abcd"}}
        for n in range(30)
    }
    found, lost = openapi({"$defs": {**defs, "d30": STRING}, "$ref": "#/$defs/d0"})
    assert lost
    assert found["type"] == "object"


KEYS = st.sampled_from(
    [
        *sorted(SCHEMA_FIELDS),
        "$ref",
        "$defs",
        "definitions",
        "const",
        "oneOf",
        "allOf",
        "additionalProperties",
        "not",
    ]
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "null", "a", "#/$defs/a", "#"])
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.just("a"), inner, max_size=4),
).filter(lambda value: isinstance(value, dict))


@given(SCHEMAS)
def test_whatever_a_client_calls_a_schema_is_read(schema):
    for read in (json_schema, openapi):
        found, lost = read(schema)
        assert isinstance(found, dict)
        assert isinstance(lost, bool)
        assert read(schema) == (found, lost)


PLAIN = st.recursive(
    st.sampled_from([STRING, {"type": ["integer", "null"]}, {"const": "x"}, {"enum": ["a", None]}]),
    lambda inner: (
        st.dictionaries(st.sampled_from("abc"), inner).map(
            lambda fields: {
                "type": "object",
                "properties": fields,
                "required": list(fields),
                "additionalProperties": False,
            }
        )
        | inner.map(lambda items: {"type": "array", "items": items, "uniqueItems": True})
        | st.lists(inner, min_size=1, max_size=3).map(lambda several: {"anyOf": several})
    ),
)


@given(PLAIN)
def test_a_plain_schema_becomes_one_that_google_takes(schema):
    assert next(schema_faults(openapi(schema)[0], "schema"), None) is None
