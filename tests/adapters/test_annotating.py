"""One more key in the last JSON object of an answer, and not another byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.annotating import Decision, annotated
from pipeline.values.exchange import Candidate, Plan, Refused
from pipeline.values.facts import AttemptEnded, AttemptStarted, Moved
from pipeline.values.problems import Kind
from tests.kit import exchange, target

WHY = {"strategy": "priority"}
X = b'"x_proxy":{"strategy":"priority"}'


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'{"a":1}', b'{"a":1,%b}' % X, id="a whole document"),
        pytest.param(b"{}", b"{%b}" % X, id="an empty one"),
        pytest.param(b" { } ", b" { %b} " % X, id="an empty one with room"),
        pytest.param(
            b'{"a":1.0,"b":1e2}\n', b'{"a":1.0,"b":1e2,%b}\n' % X, id="all else stays as it was written"
        ),
        pytest.param(
            b'{\n  "a": {"b": 1}\n}\n', b'{\n  "a": {"b": 1}\n,%b}\n' % X, id="a pretty-printed document"
        ),
        pytest.param(b'{"a":"}"}', b'{"a":"}",%b}' % X, id="a brace in a text"),
        pytest.param(
            b'{"done":false}\n{"done":true}\n',
            b'{"done":false}\n{"done":true,%b}\n' % X,
            id="lines of JSON: the last",
        ),
        pytest.param(
            b'{"done":false}\n{"done":true}',
            b'{"done":false}\n{"done":true,%b}' % X,
            id="a last line without end",
        ),
        pytest.param(
            b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
            b'data: {"a":1}\n\ndata: {"b":2,%b}\n\ndata: [DONE]\n\n' % X,
            id="server-sent events: the last before the end mark",
        ),
        pytest.param(
            b'event: message_delta\ndata: {"type":"message_delta"}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
            b'event: message_delta\ndata: {"type":"message_delta"}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop",%b}\n\n' % X,
            id="events with names",
        ),
        pytest.param(b'data:{"a":1}\r\n\r\n', b'data:{"a":1,%b}\r\n\r\n' % X, id="CRLF stays CRLF"),
        pytest.param(
            b'data: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n',
            b'data: {"a":1,%b}\r\n\r\ndata: [DONE]\r\n\r\n' % X,
            id="and with an end mark",
        ),
        pytest.param(
            b'{"a":1,"x_proxy":{"strategy":"theirs"}}',
            b'{"a":1,"x_proxy":{"strategy":"priority"}}',
            id="a gateway behind this one has spoken too: ours is told",
        ),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"data: [DONE]\n\n", b"data: [DONE]\n\n", id="an end mark alone"),
        pytest.param(b": ping\n\n", b": ping\n\n", id="a comment"),
        pytest.param(b'[{"a":1}]', b'[{"a":1}]', id="an array"),
        pytest.param(b'[\n{"a":1}\n]', b'[\n{"a":1}\n]', id="an array with an object on a line of its own"),
        pytest.param(b'"text"', b'"text"', id="a text"),
        pytest.param(b"<html>{}</html>\n", b"<html>{}</html>\n", id="no JSON"),
        pytest.param(b'{"a":', b'{"a":', id="half a document"),
        pytest.param(b"\xff\xfe\n{", b"\xff\xfe\n{", id="garbage"),
    ],
)
def test_annotated(data, expected):
    assert annotated(data, WHY) == expected


objects = st.dictionaries(st.text(), st.integers() | st.text() | st.none() | st.lists(st.text()), max_size=4)


@given(st.lists(objects, min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_lines_stay_what_they_were_but_for_the_key(lines, end, events):
    lead, gap = ("data: ", end * 2) if events else ("", end)
    text = "".join(f"{lead}{json.dumps(line)}{gap}" for line in lines)
    after = annotated(text.encode(), WHY).decode()
    read = [json.loads(line.removeprefix(lead)) for line in after.split(gap) if line]
    assert read == [*lines[:-1], {**lines[-1], "x_proxy": WHY}]


@given(st.binary(max_size=200))
def test_whatever_comes_it_stands_or_gains_the_key(data):
    after = annotated(data, WHY)
    assert after == data or b'"x_proxy"' in after


def seen(*facts):
    decision = Decision()
    for fact in facts:
        decision.see(fact)
    return decision.value()


PLAN = Plan(
    (Candidate(target("a"), 1.0, "listed"), Candidate(target("b"), 2.0, "listed", 1)), "priority (listed)"
)
REFUSED = (Refused(target("c"), "has no tools"),)


def test_nothing_was_decided():
    assert seen() == {"strategy": None, "candidates": [], "refused": [], "attempts": []}


def test_a_decision():
    plan = Plan(PLAN.candidates, PLAN.strategy, refused=REFUSED)
    told = seen(
        Moved("normalize", exchange()),
        Moved("route", exchange(plan=plan)),
        AttemptStarted(1, "a/m", 1.0),
        AttemptStarted(2, "b/m", 2.0, hedge=True),
        AttemptEnded(1, "a/m", 3.0, 2.0, Kind.SERVER),
        AttemptEnded(2, "b/m", 3.5, 1.5, cancelled=True),
        AttemptStarted(3, "a/m", 4.0, continues=True),
    )
    assert told == {
        "strategy": "priority (listed)",
        "candidates": [
            {"target": "a/m", "score": 1.0, "group": 0},
            {"target": "b/m", "score": 2.0, "group": 1},
        ],
        "refused": [{"target": "c/m", "why": "has no tools"}],
        "attempts": [
            {"target": "a/m", "hedge": False, "failed": "server", "took_s": 2.0},
            {"target": "b/m", "hedge": True, "failed": "cancelled", "took_s": 1.5},
            {"target": "a/m", "hedge": False, "failed": None, "continues": True},
        ],
    }
