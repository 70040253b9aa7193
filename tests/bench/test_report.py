"""The tables of the bench."""

import pytest
from attrs import evolve

from bench.cases import Case, Kind
from bench.measuring import Result
from bench.report import case_table, ceilings, document, faults, table

WHOLE = Case("whole-4", Kind.WHOLE, 4)
PACED = Case("paced", Kind.PACED, 4, stamps=10, every_ms=20)
RESULT = Result(
    done=1000,
    failed=0,
    chunks=10_000,
    open_most=4,
    wall_s=2.0,
    load_cpu_s=0.1,
    upstream_cpu_s=0.2,
    gateway_cpu_s=0.5,
    kb_per_stream=None,
    total_p50_ms=3.0,
    total_p99_ms=4.0,
    delay_p50_ms=1.5,
    delay_p99_ms=2.5,
    fault="",
)
DIRECT = evolve(RESULT, gateway_cpu_s=None, total_p50_ms=1.0, delay_p50_ms=0.5, delay_p99_ms=1.0)


def cells(text: str, name: str) -> list[str]:
    """The cells of a row."""
    row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_table_is_aligned_and_its_numbers_stand_right() -> None:
    assert table(["", "n"], [["a", "1"], ["bcd", "1,000"]]).splitlines() == [
        "|     |     n |",
        "|-----|------:|",
        "| a   |     1 |",
        "| bcd | 1,000 |",
    ]


def test_a_row_of_whole_answers() -> None:
    text = case_table(
        WHOLE, {"direct": [DIRECT], "bare": [RESULT], "proxy": [evolve(RESULT, gateway_cpu_s=1.0)]}
    )
    assert cells(text, "direct") == ["direct", "-", "-", "500", "1.00", "4.00", "-", "0"]
    assert cells(text, "bare") == ["bare", "0.500", "1.00", "500", "3.00", "4.00", "2.00", "0"]
    assert cells(text, "proxy") == ["proxy", "1.000", "2.00", "500", "3.00", "4.00", "2.00", "0"]


def test_a_row_of_streams_is_counted_by_the_chunk() -> None:
    text = case_table(PACED, {"direct": [DIRECT], "bare": [RESULT]})
    assert cells(text, "bare") == ["bare", "50.0", "1.00", "1.50", "2.50", "1.00", "1.50", "0"]


def test_ratios_are_taken_within_a_round_and_then_their_median() -> None:
    cheap, dear = evolve(RESULT, gateway_cpu_s=0.1), evolve(RESULT, gateway_cpu_s=1.0)
    text = case_table(
        WHOLE, {"bare": [cheap, dear, dear], "proxy": [evolve(cheap, gateway_cpu_s=0.3), dear, dear]}
    )
    assert cells(text, "proxy")[1:3] == ["1.000", "1.00"]
    text = case_table(WHOLE, {"bare": [cheap, dear], "proxy": [evolve(cheap, gateway_cpu_s=0.3), dear]})
    assert cells(text, "proxy")[1:3] == ["0.650", "2.00"]


def test_a_round_that_one_has_missed_compares_nothing() -> None:
    text = case_table(WHOLE, {"direct": [DIRECT, None], "bare": [None, RESULT], "proxy": [RESULT, RESULT]})
    assert cells(text, "proxy")[2] == "1.00"
    assert "gone" not in case_table(WHOLE, {"bare": [RESULT], "gone": [None]})


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(evolve(RESULT, load_cpu_s=1.8), "proxy (!)", id="the load was busy all the time"),
        pytest.param(
            evolve(RESULT, upstream_cpu_s=1.8), "proxy (!)", id="the provider was busy all the time"
        ),
        pytest.param(evolve(RESULT, gateway_cpu_s=2.0), "proxy", id="only the gateway was"),
    ],
)
def test_speeds_that_the_tools_have_limited_are_marked(result: Result, expected: str) -> None:
    assert cells(case_table(WHOLE, {"proxy": [result]}), "proxy")[0] == expected


def test_nothing_that_was_answered_by_nobody_is_divided() -> None:
    nothing = evolve(
        RESULT,
        done=0,
        chunks=0,
        failed=7,
        wall_s=0.1,
        load_cpu_s=0.0,
        upstream_cpu_s=0.0,
        fault="connecting failed",
    )
    assert cells(case_table(WHOLE, {"direct": [DIRECT], "bare": [nothing]}), "bare") == [
        "bare", "-", "-", "0", "-", "-", "-", "7",
    ]  # fmt: skip


def test_ceilings_are_what_a_second_of_the_tools_is_enough_for() -> None:
    results = {"whole-4": {"direct": [DIRECT], "in tls": [evolve(RESULT, upstream_cpu_s=0.5)]}}
    text = ceilings([WHOLE], results, ["in tls"])
    assert cells(text, "whole-4") == ["whole-4", "requests", "10,000", "5,000", "2,000"]


def test_the_page_tells_command_machine_and_faults() -> None:
    results = {"whole-4": {"bare": [evolve(RESULT, failed=2, fault="connecting failed")]}}
    page = document("python bench/run.py", {"date": "today"}, ["x took no part: why"], [WHOLE], results, [])
    assert "`python bench/run.py`" in page
    assert "- date: today" in page
    assert "- x took no part: why" in page
    assert faults(results) == ["bare, whole-4: 2 failed; the first: connecting failed"]
    assert faults(results)[0] in page
