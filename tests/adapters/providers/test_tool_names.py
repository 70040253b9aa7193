"""Names of tools: whatever a client calls them, each is sent in the vendor's form and known again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.tool_names import Form, names_of
from pipeline.values.messages import Tool

PLAIN = Form(64)
LETTER_FIRST = Form(64, re.compile(r"[^a-zA-Z0-9_.-]"), re.compile(r"[a-zA-Z_]"))
# Long ones that begin alike, and those that become alike.
ODD = st.text(max_size=80) | st.text("ab.", min_size=60, max_size=70) | st.sampled_from(["", "a.b", "a_b"])


@given(st.lists(ODD, max_size=6), st.sampled_from([PLAIN, LETTER_FIRST]))
def test_every_name_is_taken_and_known_again(given_, form):
    names = names_of(map(Tool, given_), form)
    sent = {name: names.sent(name) for name in given_}
    assert all(map(form.takes, sent.values()))
    assert len(set(sent.values())) == len(sent)
    assert all(names.told.get(wire, wire) == name for name, wire in sent.items())


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param("plain", "plain", id="a name that is taken"),
        pytest.param("a b", "a_b", id="a letter that is not"),
        pytest.param("", "_", id="no name"),
        pytest.param("x" * 64, "x" * 64, id="the longest"),
        pytest.param("x" * 65, "x" * 47 + "_dc05afb2", id="one too long"),
    ],
)
def test_how_a_name_is_sent(name, sent):
    assert PLAIN.fitted(name) == sent


def test_a_tool_that_was_called_once_and_is_not_offered_any_more():
    assert names_of((Tool("now"),), PLAIN).sent("a b") == "a_b"
