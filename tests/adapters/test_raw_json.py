"""JSON text put into other JSON."""

import json

import orjson
import pytest

from adapters.raw_json import object_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (" ", {}),
        ('{"b":1,"a":2}', {"b": 1, "a": 2}),
        ("{", None),
        ("[1]", None),
        ('"{}"', None),
        ("null", None),
    ],
)
def test_objects(text, expected):
    found = object_of(text)
    assert (None if found is None else orjson.loads(orjson.dumps(found))) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"id":12345678901234567890123}',
        '{"id":\n12345678901234567890123}',
        '{"a":1.10}',
        '{\r\n  "a": "b\\n",\r\t"c": [\n 1,\n 2]\n}',
    ],
)
def test_no_digit_is_lost_and_all_is_one_line(text):
    written = orjson.dumps({"x": object_of(text)}).decode()
    assert "\n" not in written
    assert json.loads(written)["x"] == json.loads(text)


def test_however_deep_it_nests():
    text = '{"a":\n' + "[" * 1000 + "]" * 1000 + "}"
    assert orjson.dumps(object_of(text)).decode() == text.replace("\n", "")
