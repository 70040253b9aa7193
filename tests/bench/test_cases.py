"""The cases of the bench."""

import json

import pytest

from bench.cases import CASES, Case, Kind, body_of, picked, quick, warming

IDS = [case.name for case in CASES]


def test_every_case_has_a_name_of_its_own() -> None:
    assert len(set(IDS)) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_quick_case_is_the_same_kind_of_load_for_less_than_two_seconds(case: Case) -> None:
    short = quick(case)
    assert (short.name, short.kind, short.streamed) == (case.name, case.kind, case.streamed)
    timed = short.kind in (Kind.WHOLE, Kind.FLAT)
    lasting = short.seconds if timed else (short.ramp_ms + short.stamps * short.every_ms) / 1000
    assert lasting < 2
    assert warming(short) is None


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        pytest.param(Case("a", Kind.WHOLE, 4), "whole", id="whole answers"),
        pytest.param(Case("a", Kind.FLAT, 4, stamps=200), "flat-200", id="flat out"),
        pytest.param(Case("a", Kind.PACED, 4, stamps=100, every_ms=20), "paced-100-20", id="paced"),
        pytest.param(Case("a", Kind.OPEN, 4, stamps=40, every_ms=500), "paced-40-500", id="open streams"),
    ],
)
def test_the_model_tells_the_fake_provider_how_to_answer(case: Case, expected: str) -> None:
    assert case.model == expected
    request = json.loads(body_of(case))
    assert (request["model"], request["stream"]) == (expected, case.kind is not Kind.WHOLE)


def test_open_streams_are_all_open_at_once() -> None:
    for case in CASES:
        if case.kind is Kind.OPEN:
            assert case.requests == case.connections
            assert case.ramp_ms < case.stamps * case.every_ms


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param([], IDS, id="all where none is named"),
        pytest.param(["flat", "whole-16"], ["whole-16", "flat"], id="the named ones, in the bench's order"),
    ],
)
def test_cases_are_picked_by_name(names: list[str], expected: list[str]) -> None:
    assert [case.name for case in picked(CASES, names)] == expected


def test_an_unknown_case_is_told() -> None:
    with pytest.raises(ValueError, match="no 'flatt' among whole-1,"):
        picked(CASES, ["flatt"])
