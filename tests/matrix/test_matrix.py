"""The same conversation through each language of clients, served by each kind of provider, over real sockets.

What a provider was asked is read by readers of this package and compared with what was said: each difference is told in
`X-Proxy-Lossy`, and nothing is told that is none; and it is what docs/fidelity.md has.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import pytest
from attrs import evolve, frozen

from adapters.providers import CODECS, fidelity
from adapters.simulator.core import answer
from adapters.simulator.demo import standard_scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.matrix import protocols, providers, readers
from tests.matrix.exceptions import BESIDE, REFUSED, UNSEALED
from tests.matrix.protocols import Protocol
from tests.matrix.providers import Served, alias
from tests.matrix.talk import Item, Reply, Talk, Tool, differences, turns, without
from tests.processes import Process

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    "required": ["city"],
}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = (
    Tool("get_weather", "The weather in a city.", json.dumps(CITY)),
    Tool("noargs", "Takes nothing.", json.dumps(NOTHING)),
)

SYSTEM = ("system", "text", "Be brief.\nBe kind.")
LOOK = (("user", "text", "What is in the picture? “ß” 😀"), ("user", "image", PICTURE))
THOUGHT = ("assistant", "thinking", "I shall look\nout of the window.")
CALLED: tuple[Item, ...] = (
    ("assistant", "text", "Looking."),
    ("assistant", "call", (0, "get_weather", {"city": "Köln", "n": 2})),
    ("assistant", "call", (1, "noargs", {})),
    ("tool", "result", (0, "rain & “wind”")),
    ("tool", "result", (1, '{"sky": "clear", "high": [1, 2.5, null]}')),
)
NOW = ("user", "text", "@@TOOL2 And now?")

RESULTS = ("rain", '{"sky": "clear"}')
FIRST = Talk((SYSTEM, NOW, LOOK[1]), TOOLS, None, 4000, thinking="low")
# What is asked for, and the names that docs/fidelity.md has for it.
ASKS: Mapping[str, Talk] = {
    "first": FIRST,
    "thoughtful": Talk((SYSTEM, *LOOK, THOUGHT, *CALLED, NOW), TOOLS, "auto", 4000, thinking="low"),
    "all": Talk((SYSTEM, *LOOK, THOUGHT, *CALLED, NOW), TOOLS, "auto", 4000, 0.5, ("<end>", "<stop>"), "low"),
    "sampled": Talk((SYSTEM, *LOOK, *CALLED, NOW), TOOLS, "auto", 4000, 0.5, ("<end>",)),
    "forced": Talk((SYSTEM, *LOOK, *CALLED, NOW), TOOLS, "required", 4000),
    "long": Talk((NOW,), max_tokens=200_000),
    "named": Talk((SYSTEM, *LOOK, *CALLED, NOW), TOOLS, "noargs", 4000),
}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
THROUGH = pytest.mark.parametrize("protocol", protocols.ALL, ids=lambda protocol: protocol.name)
AT = pytest.mark.parametrize("served", providers.ALL, ids=lambda served: served.name)


@frozen
class House:
    """The proxy, and the fake providers behind it."""

    proxy: httpx.Client
    simulator: httpx.Client


@frozen
class Asked:
    """What became of one request: the answer, and the call that a provider saw last."""

    response: httpx.Response
    seen: Mapping[str, Any]

    @property
    def told(self) -> frozenset[str]:
        """What is told to be lost, without how."""
        header = self.response.headers.get("x-proxy-lossy", "")
        return frozenset(name.rstrip("~") for name in header.split(", ") if name)

    @property
    def arrived(self) -> Talk:
        return readers.read(self.seen["path"], self.seen["body"])


@pytest.fixture(scope="module")
def house(simulator: Process) -> Iterator[House]:
    with (
        providers.gateway(simulator) as proxy,
        httpx.Client(base_url=proxy.url) as ours,
        httpx.Client(base_url=simulator.url) as theirs,
    ):
        yield House(ours, theirs)


def send(house: House, protocol: Protocol, served: Served, body: Any, stream: bool) -> Asked:
    house.simulator.delete("/_sim/seen")
    path = protocol.path(alias(served), stream)
    response = house.proxy.post(path, json=body, headers=dict(protocol.headers))
    (seen,) = (call for call in house.simulator.get("/_sim/seen").json() if call["method"] == "POST")
    return Asked(response, seen)


def ask(house: House, protocol: Protocol, served: Served, talk: Talk, stream: bool) -> Asked:
    return send(house, protocol, served, protocol.body(talk, alias(served), stream), stream)


def document(protocol: Protocol, response: httpx.Response, stream: bool) -> Any:
    assert response.status_code == 200, response.text
    return protocol.assembled(response.content) if stream else response.json()


@BOTH
@pytest.mark.parametrize("named", ASKS)
@AT
@THROUGH
def test_what_is_said_arrives_or_is_told_as_lost(
    house: House, protocol: Protocol, served: Served, named: str, stream: bool
) -> None:
    asked = ask(house, protocol, served, ASKS[named], stream)
    if (protocol.name, served.name, named) in REFUSED:
        assert asked.response.status_code == 400, "it is no exception any more"
        return
    assert asked.response.status_code == 200, asked.response.text
    lost = differences(protocol.said(ASKS[named]), asked.arrived)
    assert lost == asked.told, turns(asked.arrived.items)
    if own_form(protocol, asked):
        # What came in the provider's own form is not translated; only thinking of other models is left out.
        assert not asked.told - {"messages.thinking", "thinking"}
    else:
        usual = BESIDE.get((served.name, named), (frozenset(), ""))
        beside, reason = BESIDE.get((protocol.name, served.name, named), usual)
        page = promised(protocol.said(ASKS[named]), served)
        assert asked.told ^ page == beside, reason


def test_each_exception_names_what_is_asked() -> None:
    spoken, served = {one.name for one in protocols.ALL}, {one.name for one in providers.ALL}
    known = [spoken, served, set(ASKS)]
    assert all(name in names for row in REFUSED for name, names in zip(row, known, strict=True))
    assert all(name in names for row in BESIDE for name, names in zip(row[::-1], known[::-1], strict=False))
    assert all(name in names for row in UNSEALED for name, names in zip(row, known[:2], strict=True))


def own_form(protocol: Protocol, asked: Asked) -> bool:
    endings = {
        "ollama.chat": "/api/chat",
        "openai.chat": "/chat/completions",
        "azure": "/chat/completions",
        "openai.responses": "/responses",
        "anthropic.messages": "/messages",
        "google.generate": "enerateContent",
    }
    path: str = asked.seen["path"]
    return path.partition("?")[0].endswith(endings[protocol.name])


def promised(talk: Talk, served: Served) -> frozenset[str]:
    """The fields that docs/fidelity.md has as lost, feature by feature, for this model."""
    able = frozenset(providers.ALL_ABILITIES).difference(() if served.aloud else ("thinking",))
    provider = Provider("p", served.kind, "https://provider.example", settings={"region": "us-east-1"})
    target = Target(provider, ModelFacts(served.model, able, output_limit=64_000))
    features = {
        f"{group.name}/{feature.name}": feature for group in fidelity.TALK for feature in group.features
    }
    lost = (fidelity.Verdict.DROPPED, fidelity.Verdict.APPROXIMATED, fidelity.Verdict.EMULATED)
    return frozenset(
        field
        for field, name in named_features(talk)
        if fidelity.verdict(CODECS[served.kind], target, features[name]) in lost
    )


def named_features(talk: Talk) -> Iterator[tuple[str, str]]:
    if any(kind == "thinking" for _, kind, _ in talk.items):
        yield "messages.thinking", "Conversation/bare thinking of an earlier turn"
    if talk.thinking is not None:
        step = "budget of tokens" if isinstance(talk.thinking, int) else talk.thinking
        yield "thinking", f"Thinking/{step}"
    if talk.temperature is not None:
        yield "temperature", "Length and sampling/`temperature`"
    if talk.stop:
        yield "stop", "Length and sampling/one stop text"
    if talk.choice is not None:
        known = talk.choice in ("auto", "none", "required")
        yield "tool_choice", f"Tools/choice: {talk.choice if known else 'one by name'}"


def spoken(served: Served) -> Reply:
    """What the fake providers answer to `FIRST`."""
    thinks = served.aloud
    return Reply(
        ("thinking", "text", "call", "call") if thinks else ("text", "call", "call"),
        "Let me think." if thinks else "",
        "Calling.",
        (("get_weather", {"city": "Paris", "n": 2}), ("noargs", {})),
        (),
        "tool_calls",
        (11, 3),
    )


@BOTH
@AT
@THROUGH
def test_an_answer_comes_back_complete_and_arrives_when_it_is_given_back(
    house: House, protocol: Protocol, served: Served, stream: bool
) -> None:
    if (protocol.name, served.name, "first") in REFUSED:
        return
    body = protocol.body(FIRST, alias(served), stream)
    first = send(house, protocol, served, body, stream)
    answered = document(protocol, first.response, stream)
    told = protocol.told(answered)
    assert len(set(told.ids)) == 2
    assert evolve(told, ids=()) == spoken(served)

    body = protocol.again(body, answered, RESULTS)
    second = send(house, protocol, served, body, stream)
    assert second.response.status_code == 200, second.response.text
    sealed = seals_of(first)
    assert sealed or not served.seals
    if (protocol.name, served.name) in UNSEALED:
        assert second.arrived.signatures != sealed, "it is no exception any more"
    else:
        assert second.arrived.signatures == sealed
    said, arrived = protocol.said(evolve(FIRST, items=(*FIRST.items, *given_back(served)))), second.arrived
    if sealed and sealed == arrived.signatures and served.kind not in ("anthropic", "aws_bedrock"):
        # What is sealed holds the thought itself; only Claude wants its words as well.
        said, arrived = thoughtless(said), thoughtless(arrived)
    assert differences(said, arrived) == second.told, turns(second.arrived.items)


def thoughtless(talk: Talk) -> Talk:
    return evolve(talk, items=without(talk.items, "thinking"))


def given_back(served: Served) -> tuple[Item, ...]:
    """What the conversation has grown by: the answer and the results of its calls."""
    told = spoken(served)
    calls = enumerate(told.calls)
    return (
        ("assistant", "thinking", told.thinking),
        ("assistant", "text", told.text),
        *(("assistant", "call", (place, *call)) for place, call in calls),
        *(("tool", "result", (place, result)) for place, result in enumerate(RESULTS)),
    )


SEAL = re.compile(r'"(?:signature|thoughtSignature|encrypted_content)": ?"([^"]+)"')


def seals_of(asked: Asked) -> frozenset[str]:
    """What the provider sealed in its answer: it is asked the same once more."""
    headers = {name: "sim-key" if value == "****" else value for name, value in asked.seen["headers"].items()}
    if "authorization" in asked.seen["headers"]:
        headers["authorization"] = "Bearer sim-key"
    request = HttpRequest("POST", asked.seen["path"], headers, orjson.dumps(asked.seen["body"]))
    played = answer(request, standard_scenario())
    assert played.head is not None
    assert played.head.status == 200, played.body
    return frozenset(SEAL.findall(played.body.decode("latin-1")))
