"""Thinking that is given back, and what a step may spend."""

import pytest

from adapters.providers.families import effort_of_budget
from adapters.providers.thoughts import BUDGETS, CLAUDE, FORMAT, GEMINI, budget, given_back, told
from pipeline.values.events import ExtraDelta
from pipeline.values.messages import Reasoning, Text, Thinking

MINE = {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": CLAUDE}
THEIRS = {"type": "reasoning.encrypted", "data": "d", "format": GEMINI}


def test_a_detail_is_told_as_what_it_is():
    assert told(MINE, 1) == ExtraDelta(FORMAT, MINE, 1)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(Reasoning("Hm", {FORMAT: [MINE, THEIRS, "x"]}), (MINE,), id="those of the format"),
        pytest.param(Reasoning("Hm", {FORMAT: "x"}), (), id="no list"),
        pytest.param(Reasoning("Hm"), (), id="none"),
        pytest.param(
            [Text("a"), Reasoning("", {FORMAT: [MINE]}), Reasoning("", {FORMAT: (MINE,)})],
            (MINE, MINE),
            id="all thoughts of a turn",
        ),
    ],
)
def test_details_are_given_back(said, expected):
    assert given_back(said, CLAUDE) == expected


@pytest.mark.parametrize(
    ("thinking", "most", "expected"),
    [
        (Thinking(True), None, 8192),
        (Thinking(True, "low"), None, 2048),
        (Thinking(True, "max"), 20_000, 20_000),
        (Thinking(True, None, 5000), None, 5000),
        (Thinking(True, None, 5), None, 1024),
        (Thinking(True, "high", 5000), None, 16_384),
        (Thinking(True, None, 5000), 2000, 2000),
    ],
)
def test_budgets(thinking, most, expected):
    assert budget(thinking, most=most) == expected


@pytest.mark.parametrize("step", [step for step in BUDGETS if step != "minimal"])
def test_what_a_step_may_spend_is_a_budget_of_that_step(step):
    assert effort_of_budget(budget(Thinking(True, step))) == step


@pytest.mark.parametrize(
    ("tokens", "step"),
    [
        (0, "minimal"),
        (1023, "minimal"),
        (1024, "low"),
        (8191, "low"),
        (8193, "medium"),
        (16383, "medium"),
        (31_999, "high"),
        (10**6, "max"),
    ],
)
def test_a_budget_between_two_steps_pays_for_the_lower(tokens, step):
    assert effort_of_budget(tokens) == step
