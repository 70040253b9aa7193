"""The table of scripted answers, in no vendor's form."""

import pytest

from adapters.simulator.script import (
    DEFAULT,
    THINKING,
    VECTOR,
    Ask,
    Script,
    calls_of,
    scripted,
    text_of,
    thinking_of,
)
from pipeline.values.events import TextDelta, Usage
from pipeline.values.messages import Format, Tool, ToolCall

TOOLS = (Tool("get_weather"), Tool("noargs"))
FIRST = ToolCall("call_abc12345", "get_weather", '{"city":"Paris","n":2}')
SECOND = ToolCall("call_def67890", "noargs", "{}")


@pytest.mark.parametrize(
    ("ask", "thinking", "text", "calls", "finish"),
    [
        pytest.param(Ask("hi"), "", "Hello world!", (), "stop", id="nothing special"),
        pytest.param(
            Ask("hi", thinking=True), "Let me think.", "Hello world!", (), "stop", id="thinking first"
        ),
        pytest.param(Ask("x", format=Format()), "", '{"name": "x", "age": 3}', (), "stop", id="JSON"),
        pytest.param(Ask("x", max_tokens=1), "", "Hello world!", (), "length", id="a limit of one token"),
        pytest.param(Ask("x", max_tokens=3), "", "Hello world!", (), "length", id="a limit of three tokens"),
        pytest.param(
            Ask("x", max_tokens=4), "", "Hello world!", (), "stop", id="a limit that is not reached"
        ),
        pytest.param(Ask("a @@TOOL b", tools=TOOLS), "", "", (FIRST,), "tool_calls", id="a tool"),
        pytest.param(Ask("@@TOOL"), "", "Hello world!", (), "stop", id="no tools offered, none called"),
        pytest.param(
            Ask("@@TOOL2", tools=TOOLS), "", "Calling.", (FIRST, SECOND), "tool_calls", id="two tools"
        ),
    ],
)
def test_the_table(ask, thinking, text, calls, finish):
    script = scripted(ask)
    said = script.said
    assert (thinking_of(said), text_of(said), calls_of(said)) == (thinking, text, calls)
    assert (script.finish, script.usage, script.status) == (finish, Usage(11, 3), None)


def test_the_arguments_of_a_call_come_in_fragments():
    fragments = [delta.arguments for delta in scripted(Ask("@@TOOL", tools=TOOLS)).deltas]
    assert len([fragment for fragment in fragments if fragment]) > 1


def test_json_comes_in_two_deltas():
    assert len(scripted(Ask(format=Format({"type": "object"}))).deltas) == 2


@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_an_error_comes_before_any_token(status):
    assert scripted(Ask(f"please @@ERR{status} now")) == Script(status=status)


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        pytest.param(False, (TextDelta("Hello"), TextDelta(" world")), id="after two pieces of text"),
        pytest.param(True, (*THINKING, *DEFAULT[:2]), id="also behind thinking"),
    ],
)
def test_a_break_in_the_middle(thinking, said):
    assert scripted(Ask("@@MID", thinking=thinking)).said == said


@pytest.mark.parametrize(
    ("texts", "tokens"),
    [
        pytest.param(("hello there",), 2, id="one token a word"),
        pytest.param(("a", "b c", ""), 4, id="at least one a text"),
        pytest.param(((1, 2, 3), (4,)), 4, id="tokens count as they are"),
    ],
)
def test_embeddings(texts, tokens):
    script = scripted(Ask(embed=texts))
    assert script.vectors == (VECTOR,) * len(texts)
    assert script.usage.input == tokens


def test_an_embedding_can_be_refused():
    assert scripted(Ask(embed=("fine", "@@ERR503"))).status == 503
