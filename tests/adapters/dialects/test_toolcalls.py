"""Ids are made where a history has none, results find their calls, fragments become calls."""

import pytest

from adapters.dialects.toolcalls import OpenCalls, assembled, made_id
from pipeline.values.events import ToolCallDelta
from pipeline.values.messages import ToolCall


def test_made_ids_are_stable_and_differ():
    ids = {made_id(turn, place) for turn in range(20) for place in range(5)}
    assert len(ids) == 100
    assert made_id(3, 1) == made_id(3, 1)
    assert all(len(each) == 13 and each.startswith("call_") for each in ids)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param([("b", ""), ("a", "")], [("b", "g"), ("a", "f")], id="by id, whatever the order"),
        pytest.param([("", "g"), ("", "f")], [("b", "g"), ("a", "f")], id="by name"),
        pytest.param(
            [("", "f"), ("", "f")], [("a", "f"), ("c", "f")], id="of one name, in the order they were made"
        ),
        pytest.param([("", ""), ("", "")], [("a", "f"), ("b", "g")], id="by order alone"),
        pytest.param([("", "g"), ("", "")], [("b", "g"), ("a", "f")], id="by name, then by order"),
        pytest.param([("x", "g"), ("", "g")], [("x", "g"), ("b", "g")], id="an id that no call has stays"),
        pytest.param([("", "h")], [("a", "f")], id="by order where no call has the name"),
    ],
)
def test_results_find_their_calls(results, expected):
    calls = OpenCalls()
    calls.add([ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"), ToolCall("c", "f", "{}")])
    assert [calls.answered(call_id, name, 9) for call_id, name in results] == expected


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param([("x", ""), ("y", "")], [("a", "f"), ("b", "g")], id="by order"),
        pytest.param([("x", "g"), ("y", "f")], [("b", "g"), ("a", "f")], id="by name"),
        pytest.param([("c", ""), ("x", "")], [("c", "f"), ("a", "f")], id="but by id where a call has it"),
        pytest.param(
            [("x", ""), ("y", ""), ("z", "")],
            [("a", "f"), ("b", "g"), ("z", "")],
            id="never one that has an id",
        ),
    ],
)
def test_results_with_ids_find_calls_whose_ids_were_left_out(results, expected):
    calls = OpenCalls()
    given = [ToolCall("a", "f", "{}"), ToolCall("b", "g", "{}"), ToolCall("c", "f", "{}")]
    calls.add(given, made=["a", "b"])
    assert [calls.answered(call_id, name, 9) for call_id, name in results] == expected


def test_results_without_calls_keep_their_id_or_get_one():
    calls = OpenCalls()
    assert calls.answered("x", "f", 9) == ("x", "f")
    assert calls.answered("", "f", 9) == (made_id(9, 0), "f")


def test_fragments_become_calls():
    fragments = [
        ToolCallDelta(0, "a", "f"),
        ToolCallDelta(1, "b", "g", "{"),
        ToolCallDelta(0, arguments='{"x":'),
        ToolCallDelta(0, "z", "other", choice=1),
        ToolCallDelta(1, arguments="}"),
        ToolCallDelta(0, arguments="1}"),
    ]
    assert assembled(fragments) == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
