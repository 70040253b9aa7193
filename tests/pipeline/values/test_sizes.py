"""Tokens by estimate: of a request, of its answer, and of the classes they fall into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Image,
    LoadRequest,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from pipeline.values.sizes import (
    CLASS_EDGES,
    LONGEST_ANSWER,
    PICTURE,
    TURN,
    input_tokens,
    reserved_tokens,
    size_class,
    tokens_of,
)


def said(*parts, turns=1, **changes):
    message = Message(Role.USER, parts)
    return ChatRequest("m", (message,) * turns, **changes)


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(1, 1, id="a letter"),
        pytest.param(4, 1, id="a token"),
        pytest.param(5, 2, id="what is begun counts"),
        pytest.param(400, 100, id="a text"),
    ],
)
def test_bytes_become_tokens(size, tokens):
    assert tokens_of(size) == tokens


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        pytest.param(said(Text("x" * 400)), 100 + TURN, id="a text and what stands around it"),
        pytest.param(said(Text("é" * 200)), 100 + TURN, id="bytes, not letters"),
        pytest.param(said(Text("x" * 4), turns=3), 3 + 3 * TURN, id="each turn has its frame"),
        pytest.param(said(Text("ab"), Text("cd")), 1 + TURN, id="parts are one text"),
        pytest.param(said(Image(data="A" * 9_000)), PICTURE + TURN, id="a picture, whatever its bytes"),
        pytest.param(
            said(Image(url="https://x"), Text("xxxx")), PICTURE + 1 + TURN, id="a picture and a text"
        ),
        pytest.param(said(ToolCall("id", "name", '{"a":1}')), 3 + TURN, id="a call"),
        pytest.param(said(ToolResult("id", "name", "x" * 8)), 2 + TURN, id="its result"),
        pytest.param(said(Reasoning("x" * 8)), 2 + TURN, id="a thought"),
        pytest.param(said(Opaque("f", {"a": "x" * 10**6})), PICTURE + TURN, id="a file is as a picture"),
        pytest.param(
            said(Text("hi!!"), tools=(Tool("name", "desc", {}),)), 4 + TURN, id="tools are told too"
        ),
        pytest.param(ChatRequest("m", prompt=Prompt("x" * 8, system="x" * 4)), 3, id="a bare prompt"),
        pytest.param(ChatRequest("m", prompt=Prompt("", context=(1, 2, 3))), 3, id="tokens of an engine"),
        pytest.param(EmbedRequest("m", ("x" * 8, (1, 2, 3))), 5, id="texts and tokens to embed"),
        pytest.param(EmbedRequest("m", ("",)), 1, id="never none"),
        pytest.param(LoadRequest("m"), 1, id="nor where nothing is asked"),
    ],
)
def test_tokens_of_a_request(asked, tokens):
    assert input_tokens(asked) == tokens


HI = TURN + 1


@pytest.mark.parametrize(
    ("asked", "cap", "tokens"),
    [
        pytest.param(said(Text("hi")), None, HI + LONGEST_ANSWER, id="no limit is known"),
        pytest.param(said(Text("hi")), 1_000, HI + 1_000, id="the model has one"),
        pytest.param(said(Text("hi")), 100_000, HI + LONGEST_ANSWER, id="more than is reckoned with"),
        pytest.param(
            said(Text("hi"), sampling=Sampling(max_tokens=50)),
            1_000,
            HI + 50,
            id="the client has a lower one",
        ),
        pytest.param(
            said(Text("hi"), sampling=Sampling(max_tokens=2_000)), 1_000, HI + 1_000, id="or a higher one"
        ),
        pytest.param(
            said(Text("hi"), sampling=Sampling(max_tokens=50)), None, HI + 50, id="only the client has one"
        ),
        pytest.param(
            said(Text("hi"), sampling=Sampling(max_tokens=50), choices=3),
            None,
            HI + 150,
            id="several answers",
        ),
        pytest.param(EmbedRequest("m", ("x" * 8,)), 1_000, 2, id="nothing is written to an embedding"),
        pytest.param(LoadRequest("m"), 1_000, 1, id="nor to a load"),
    ],
)
def test_what_is_set_aside(asked, cap, tokens):
    assert reserved_tokens(asked, cap) == tokens


@pytest.mark.parametrize(
    ("tokens", "number"),
    [
        pytest.param(1, 0, id="the smallest"),
        pytest.param(999, 0, id="the last of the first"),
        pytest.param(1_000, 1, id="the first of the second"),
        pytest.param(63_999, 3, id="the last but one"),
        pytest.param(10**9, 4, id="there is no greater"),
    ],
)
def test_classes_of_sizes(tokens, number):
    assert size_class(tokens) == number


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_more_tokens_are_no_lower_class(one, other):
    low, high = sorted((one, other))
    assert 0 <= size_class(low) <= size_class(high) <= len(CLASS_EDGES)
