"""Details of thinking: put together from their pieces, and told once."""

import pytest

from adapters.providers.details import Details, visible


def text(said, **more):
    return {"type": "reasoning.text", "text": said, "index": 0, **more}


def summary(said, **more):
    return {"type": "reasoning.summary", "summary": said, "index": 0, **more}


def encrypted(data, **more):
    return {"type": "reasoning.encrypted", "data": data, "index": 0, **more}


ROWS = [
    pytest.param([text("a"), text("b")], [text("ab")], id="pieces of one text"),
    pytest.param([text("a"), text("b", index=1)], [text("a"), text("b", index=1)], id="two places"),
    pytest.param(
        [text("a"), summary("b"), summary("c")], [text("a"), summary("bc")], id="a text and a summary"
    ),
    pytest.param(
        [text("a"), text("", signature="s"), text("b")],
        [text("a", signature="s"), text("b")],
        id="a signature ends a text",
    ),
    pytest.param(
        [text(None), {"type": "reasoning.text", "index": 0, "signature": "s"}],
        [text("", signature="s")],
        id="a signature without words",
    ),
    pytest.param([encrypted("x"), encrypted("y")], [encrypted("x"), encrypted("y")], id="what is encrypted"),
    pytest.param(
        [text("a", id="1"), text("b"), text("c", id="2")],
        [text("ab", id="1"), text("c", id="2")],
        id="an id at the first piece",
    ),
    pytest.param(
        [text("a", format=None), text("b", format="google-gemini-v1")],
        [text("ab", format="google-gemini-v1")],
        id="a format that is told late",
    ),
    pytest.param([1, None, text("a"), "x"], [text("a")], id="what is no detail"),
    pytest.param(
        [{"type": "reasoning.new", "x": 1}, {"type": ["odd"]}, {}],
        [{"type": "reasoning.new", "x": 1}, {"type": ["odd"]}, {}],
        id="types nobody knows",
    ),
]


@pytest.mark.parametrize(("pieces", "whole"), ROWS)
def test_details_are_put_together(pieces, whole):
    for parts in ([pieces], [[piece] for piece in pieces]):
        details = Details()
        told = [detail for part in parts for detail in details.take(part)]
        assert [*told, *details.close()] == whole
        assert details.close() == []


def test_a_sealed_detail_is_told_at_once():
    details = Details()
    assert details.take([text("a")]) == []
    assert details.take([text("b", signature="s")]) == [text("ab", signature="s")]


def test_the_pieces_are_left_as_they_are():
    piece = text("a")
    details = Details()
    details.take([piece, text("b")])
    details.close()
    assert piece == text("a")


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        pytest.param([text("a"), summary("b"), encrypted("c")], "ab", id="text and summary"),
        pytest.param([text(3), {"type": {}}, None], "", id="none"),
    ],
)
def test_words_of_details(pieces, words):
    assert visible(pieces) == words
