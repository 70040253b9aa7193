import re
from itertools import product

import pytest

from pipeline.values.events import (
    CONTENT,
    Batch,
    Embedded,
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    Verbatim,
    grammatical,
    joined,
)
from pipeline.values.problems import Kind, Problem

S, T, U, F = Started("m"), TextDelta("t"), UsageSeen(Usage(1, 2)), Finished("stop")
X = Failed(Problem(Kind.SERVER))


@pytest.mark.parametrize(
    ("events", "obeys"),
    [
        pytest.param([S, T, U, F], True, id="a whole reply"),
        pytest.param([S, F], True, id="an empty one"),
        pytest.param(
            [S, T, ThinkingDelta("t"), ToolCallDelta(0), RefusalDelta("r"), F], True, id="deltas of all kinds"
        ),
        pytest.param([S, Embedded(([0.1],)), U, F], True, id="vectors"),
        pytest.param([X], True, id="a refusal alone"),
        pytest.param([S, X], True, id="a failure right after the start"),
        pytest.param([S, T, X], True, id="a reply that broke off"),
        pytest.param([S, T, U, X], True, id="a failure after the usage"),
        pytest.param([], False, id="nothing"),
        pytest.param([S, T], False, id="no end"),
        pytest.param([S, U], False, id="usage is no end"),
        pytest.param([T, F], False, id="no start"),
        pytest.param([F], False, id="an end without a start"),
        pytest.param([U, F], False, id="usage without a start"),
        pytest.param([S, S, F], False, id="two starts"),
        pytest.param([S, F, F], False, id="two ends"),
        pytest.param([X, X], False, id="two failures"),
        pytest.param([S, F, T], False, id="more after the end"),
        pytest.param([X, S], False, id="more after a failure"),
        pytest.param([S, U, U, F], False, id="usage twice"),
        pytest.param([S, U, T, F], False, id="content after the usage"),
        pytest.param([S, U, S, F], False, id="a start after the usage"),
    ],
)
def test_the_reply_grammar(events, obeys):
    assert grammatical(events) is obeys


LETTERS = {"S": S, "T": T, "U": U, "F": F, "X": X}


@pytest.mark.parametrize("size", range(7))
def test_the_grammar_is_that_of_its_words(size):
    for letters in map("".join, product(LETTERS, repeat=size)):
        word = re.fullmatch("ST*U?[FX]|X", letters) is not None
        assert grammatical(LETTERS[letter] for letter in letters) is word, letters


@pytest.mark.parametrize(
    ("events", "content"),
    [
        pytest.param((), False, id="nothing"),
        pytest.param((S, U), False, id="a start and numbers"),
        pytest.param((X,), False, id="a failure"),
        pytest.param((S, T), True, id="text behind a start"),
        pytest.param((S, F), True, id="an end: an empty answer is one too"),
        *[
            pytest.param((event,), True, id=type(event).__name__)
            for event in (
                ThinkingDelta("t"),
                RefusalDelta("r"),
                ToolCallDelta(0),
                Embedded(()),
                ExtraDelta("f", {}),
            )
        ],
    ],
)
def test_what_commits(events, content):
    assert Batch(events).content is content


def test_no_kind_of_content_is_left_out_here():
    assert set(CONTENT) == {
        TextDelta,
        ThinkingDelta,
        RefusalDelta,
        ToolCallDelta,
        Embedded,
        ExtraDelta,
        Finished,
    }


def raw(data, *events, wire_format="openai.chat"):
    return Batch(events, Verbatim(wire_format, data))


@pytest.mark.parametrize(
    ("batches", "whole"),
    [
        pytest.param([], Batch(), id="nothing"),
        pytest.param([raw(b"a", S)], raw(b"a", S), id="one stays as it is"),
        pytest.param([raw(b"a", S), raw(b"b", T)], raw(b"ab", S, T), id="bytes of one format are joined"),
        pytest.param([Batch((S,)), Batch((T,))], Batch((S, T)), id="events without bytes"),
        pytest.param(
            [raw(b"a", S), Batch((T,))], Batch((S, T)), id="bytes cannot stand for events without bytes"
        ),
        pytest.param([Batch((S,)), raw(b"b", T)], Batch((S, T)), id="whichever comes first"),
        pytest.param(
            [raw(b"a", S), Batch(), raw(b"b", T)], raw(b"ab", S, T), id="an empty batch does no harm"
        ),
        pytest.param([raw(b":\n"), raw(b"b", T)], raw(b":\nb", T), id="bytes without events are kept"),
        pytest.param(
            [raw(b"a", S), raw(b"b", T, wire_format="ollama.chat")], Batch((S, T)), id="two formats"
        ),
    ],
)
def test_joining(batches, whole):
    assert joined(iter(batches)) == whole
