"""Tokens of a request: asked of who would serve it, else guessed; whatever goes wrong there, an answer comes."""

from contextlib import asynccontextmanager

import orjson
import pytest
import trio
from attrs import define, evolve, field

from adapters.house import House
from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.tokens import LIMIT_S, Count, counted
from pipeline.ports import Reply, Transport
from pipeline.values.facts import ModelsListed, ProbeEnded
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import Thinking
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts
from tests.kit import Stand, request

GUESS = Count(9, "estimate")


@define(eq=False)
class Upstream(Transport):
    """One that answers `status` and `parts`, each after `delay_s`."""

    status: int = 200
    parts: tuple[bytes | Problem, ...] = (b'{"n":', b"42}")
    delay_s: float = 0.0
    refused: Problem | None = None
    requests: list[HttpRequest] = field(factory=list)
    closed: int = 0

    @asynccontextmanager
    async def open(self, request):
        self.requests.append(request)
        await trio.sleep(self.delay_s)
        parts = list(self.parts)

        async def read():
            await trio.sleep(self.delay_s)
            return parts.pop(0) if parts else b""

        try:
            yield self.refused or Reply(ReplyHead(self.status), read)
        finally:
            self.closed += 1

    async def aclose(self):
        pass


def count(request, target):
    thinks = request.thinking is not None and request.thinking.on
    return HttpRequest(
        "POST", f"http://{target.provider.name}/{target.model}/count", {}, b"thinks" if thinks else b""
    )


def number(body):
    try:
        return orjson.loads(body)["n"]
    except orjson.JSONDecodeError:
        return None


def house(codec=None, facts=None, **upstreams):
    """A house in which every provider lists the model `m`."""
    stand = Stand(dict.fromkeys(upstreams, ()))
    scripted = evolve(stand.env.codecs["scripted"], **(codec or {"count": count, "counted": number}))
    env = evolve(stand.env, codecs={"scripted": scripted}, transports=upstreams)
    for name in upstreams:
        stand.board.tell(ModelsListed(name, 0.0, (facts or ModelFacts("m"),)))
        stand.board.tell(ProbeEnded(name, 0.0, 0.1))
    return House(env, Ledger(), Lifecycle(), 0.0, "1", instance="us"), stand


async def test_the_providers_own_count():
    a = Upstream()
    found, stand = house(a=a)
    before = stand.board.snapshot
    assert await counted(found, request(), {"x-ollama-proxy-hop": "them", "traceparent": "t"}) == Count(
        42, "provider"
    )
    (sent,) = a.requests
    assert sent.url == "http://a/m/count"
    assert sent.headers["x-ollama-proxy-hop"] == "them, us", "so that a circle is noticed"
    assert sent.headers["traceparent"] == "t"
    assert stand.board.snapshot == before, "nothing is counted as an attempt"
    assert stand.held() == 0


@pytest.mark.parametrize(
    "upstream",
    [
        pytest.param(Upstream(status=404), id="it has no such route"),
        pytest.param(Upstream(status=500), id="it fails"),
        pytest.param(Upstream(status=429), id="it limits"),
        pytest.param(Upstream(refused=Problem(Kind.CONNECT)), id="it is not reached"),
        pytest.param(Upstream(parts=(b'{"n"', Problem(Kind.STREAM_ERROR))), id="it breaks off"),
        pytest.param(Upstream(parts=(b"<html>",)), id="it says something else"),
        pytest.param(Upstream(parts=(b" " * 50_000,) * 9), id="it says too much"),
        pytest.param(Upstream(delay_s=LIMIT_S * 2), id="it takes too long"),
        pytest.param(Upstream(delay_s=LIMIT_S / 2), id="it takes too long in all"),
    ],
)
async def test_whatever_goes_wrong_it_is_guessed(upstream, autojump_clock):
    found, stand = house(a=upstream)
    before = stand.board.snapshot
    began = trio.current_time()
    assert await counted(found, request(), {}) == GUESS
    assert trio.current_time() - began <= LIMIT_S + 0.1
    assert stand.board.snapshot == before, "nor is it held against the provider"


async def test_where_nobody_counts_nobody_is_asked():
    a = Upstream()
    found, _ = house({}, a=a)
    found = evolve(found, env=evolve(found.env, codecs={"scripted": Stand({}).env.codecs["scripted"]}))
    assert await counted(found, request(), {}) == GUESS
    assert a.requests == []


async def test_who_is_down_is_not_asked():
    a, b = Upstream(), Upstream()
    found, stand = house(a=a, b=b)
    for at in range(4):
        stand.board.tell(ProbeEnded("a", float(at), 0.1, Kind.CONNECT))
    assert await counted(found, request(), {}) == Count(42, "provider")
    assert (len(a.requests), len(b.requests)) == (0, 1)


async def test_who_comes_first_is_asked_and_nobody_after():
    a, b = Upstream(status=500), Upstream()
    found, _ = house(a=a, b=b)
    assert await counted(found, request(), {}) == GUESS
    assert (len(a.requests), len(b.requests)) == (1, 0)


async def test_thinking_is_not_asked_of_a_model_that_cannot():
    a = Upstream()
    wish = request(thinking=Thinking(True, wish=True))
    found, _ = house(a=a, facts=ModelFacts("m", frozenset({"completion"})))
    await counted(found, wish, {})
    found, _ = house(a=a)
    await counted(found, wish, {})
    assert [sent.body for sent in a.requests] == [b"", b"thinks"]


async def test_a_model_of_nobodys():
    found, _ = house({"count": count, "counted": number, "patterns": ()}, a=Upstream())
    problem = await counted(found, request(model="zz"), {})
    assert (problem.kind, problem.subject) == (Kind.UNKNOWN_MODEL, "zz")


async def test_a_header_that_cannot_be_handed_on():
    found, _ = house(a=Upstream())
    assert (await counted(found, request(), {"traceparent": "\u00e9"})).kind is Kind.BAD_REQUEST


async def test_who_is_cancelled_leaves_nothing_open(autojump_clock):
    a = Upstream(delay_s=1.0)
    found, _ = house(a=a)
    with trio.move_on_after(1.5):
        await counted(found, request(), {})
    assert a.closed == len(a.requests) == 1
