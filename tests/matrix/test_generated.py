"""Conversations that nobody thought of, from each language of clients to each form of a provider, without sockets.

A conversation is read by the protocol's dialect, encoded by the provider's codec, and read again by the readers of this
package. What it says must be there, in its order, calls tied to their results; what is not must be told as lost.
"""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from adapters.dialects import dialect_at
from adapters.providers import CODECS
from pipeline.ports import Dialect, Encoded
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.matrix import protocols, providers, readers
from tests.matrix.protocols import Protocol
from tests.matrix.providers import Served
from tests.matrix.talk import Item, Talk, Tool, differences, instructed, renamed

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PICTURES = tuple(PNG + letter * 4 for letter in "ABC")

# Words that begin and end in letters: blanks at the ends are white space that some trim, as they say.
TEXTS = st.one_of(
    st.sampled_from(
        ["", "hi", "äöü “ß” 😀", "a\nb\r\n\tc", '{"a": "b"}', "</thinking>", "data: [DONE]", "null"]
    ),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12),
)
NAMES = st.one_of(
    st.sampled_from(["get_weather", "a", "x" * 64, "mcp__server__tool-1"]),
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True),
)
# Names that not every vendor takes, and that differ only in what is refused.
WILD = st.one_of(
    NAMES, st.sampled_from(["files.read", "files/read", "files read", "наведи", "1st", "y" * 90, "y" * 91])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.text(max_size=6), VALUES, max_size=3)
SCHEMA = json.dumps({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})

# Converse takes no result without a word, and knows no choice of none.
NO_OUTPUT = "(The tool gave no output.)"
NO_TOOL = "Do not call any tool now."


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """A conversation: turns of the user and the model by turns, each call answered, the user last."""
    names = draw(st.lists(WILD, unique=True, max_size=4))
    items: list[Item] = [("system", "text", text) for text in draw(st.lists(TEXTS, max_size=1))]
    items += _user(draw)
    called = 0
    for _ in range(draw(st.integers(0, 3))):
        calls = draw(st.lists(st.tuples(st.sampled_from(names), ARGUMENTS), max_size=3)) if names else []
        items.append(("assistant", "thinking", draw(st.sampled_from(["", "", "Hm.", " \n"]))))
        items.append(("assistant", "text", draw(TEXTS) or ("" if calls else "Well.")))
        items += [("assistant", "call", (called + at, name, value)) for at, (name, value) in enumerate(calls)]
        places = draw(st.permutations(range(called, called + len(calls))))
        items += [("tool", "result", (place, draw(TEXTS))) for place in places]
        called += len(calls)
        if not calls or draw(st.booleans()):
            items += [
                ("system", "text", text) for text in draw(st.lists(st.just("Now be kind."), max_size=1))
            ]
            items += _user(draw)
    return Talk(
        tuple(items),
        tuple(Tool(name, f"Does {at}.", SCHEMA) for at, name in enumerate(names)),
        draw(st.sampled_from([None, "auto", "none", "required", *names])) if names else None,
        draw(st.integers(1, 40_000)),
        draw(st.sampled_from([None, 0, 0.5, 1])),
        tuple(
            draw(st.lists(st.sampled_from(["<a>", "\n\nUser:", "ß", " ", "b", "c"]), unique=True, max_size=6))
        ),
        draw(st.sampled_from([None, False, True, "low", "high", 1024, 5000])),
    )


def _user(draw: st.DrawFn) -> list[Item]:
    images = draw(st.lists(st.sampled_from(PICTURES), max_size=2))
    words = draw(TEXTS) or ("" if images else "hi")
    return [
        ("user", "text", words if words.strip() else "hi"),
        *(("user", "image", image) for image in images),
    ]


def dialect(protocol: Protocol) -> Dialect:
    found = dialect_at(protocol.path("m", False).partition("?")[0])
    assert found is not None
    return found


def target(served: Served) -> Target:
    provider = Provider("p", served.kind, "https://provider.example", settings={"region": "us-east-1"})
    able = frozenset(providers.ALL_ABILITIES)
    return Target(provider, ModelFacts(served.model, able, 200_000, output_limit=64_000))


def read(protocol: Protocol, body: bytes, stream: bool) -> ChatRequest:
    headers = {"content-type": "application/json", **protocol.headers}
    request = dialect(protocol).read(HttpRequest("POST", protocol.path("m", stream), headers, body))
    assert isinstance(request, ChatRequest), request
    return request


def same_names(asked: Talk, arrived: Talk) -> Talk:
    """What arrived with the tools' names as the client has them: another name stands for just one of them."""
    names = {there.name: ours.name for ours, there in zip(asked.tools, arrived.tools, strict=True)}
    assert len(names) == len(asked.tools), "two tools have become one"
    return renamed(arrived, names)


def trimmed(talk: Talk) -> Talk:
    """Without texts of white space alone, which say nothing and which Claude refuses; and what stands for what is not there."""

    def plain(item: Item) -> bool:
        return item[1] != "text" or item[2].strip() not in ("", NO_TOOL)

    def result(item: Item) -> Item:
        if item[1] == "result" and item[2][1].strip() in ("", NO_OUTPUT):
            return (*item[:2], (item[2][0], ""))
        return item

    return evolve(talk, items=tuple(result(item) for item in talk.items if plain(item)))


# By which it is told that what the system says comes earlier than the client has it.
MOVED = frozenset({"messages.role", "system"})


@pytest.mark.timeout(240)  # a machine that is busy otherwise
@pytest.mark.parametrize("protocol", protocols.ALL, ids=lambda protocol: protocol.name)
@settings(
    max_examples=100, deadline=None, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink)
)
@given(talk=talks(), stream=st.booleans())
def test_whatever_is_said_arrives_or_is_told_as_lost(protocol: Protocol, talk: Talk, stream: bool) -> None:
    asked = trimmed(protocol.said(talk))
    body = json.dumps(protocol.body(talk, "m", stream)).encode()
    request = read(protocol, body, stream)
    for served in providers.ALL:
        found = CODECS[served.kind].encode(request, target(served))
        assert isinstance(found, Encoded), (served.name, found)
        arrived = readers.read(found.http.url, json.loads(found.http.body))
        told = frozenset(loss.field for loss in found.losses)
        if len(arrived.tools) == len(asked.tools):
            arrived = same_names(asked, arrived)
        lost = differences(asked, trimmed(arrived))
        if told & MOVED:
            lost -= {"messages"}
            assert differences(instructed(asked), instructed(trimmed(arrived))) <= told, (
                served.name,
                asked,
                found.http.body,
            )
        assert lost <= told, (served.name, asked, found.http.body)
