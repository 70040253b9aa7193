from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve

from adapters.probes import MOST_BYTES, ProbeOptions, Watch, due, pause_s, refresh
from adapters.providers.errors import classify
from pipeline.ports import Reply
from pipeline.state.board import ProviderState
from pipeline.state.breaker import Breaker
from pipeline.values.facts import AttemptEnded, AttemptStarted, ModelsListed, ProbeEnded
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts
from tests.kit import SCRIPTED, Stand

OPTIONS = ProbeOptions(interval_s=60.0, models_ttl_s=300.0, limit_s=5.0, first_round_s=3.0)


class Upstream:
    """Lists models: answers each call with the next of `replies`, then with the last one again and again."""

    def __init__(self, *replies, delay_s=0.0):
        self.replies, self.delay_s, self.asked, self.open_now = list(replies), delay_s, [], 0

    @asynccontextmanager
    async def open(self, request):
        self.asked.append((trio.current_time(), request))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.open_now += 1
        try:
            await trio.sleep(self.delay_s)
            if isinstance(reply, Exception):
                raise reply
            yield reply if isinstance(reply, Problem) else Reply(ReplyHead(reply[0]), reader(reply[1]))
        finally:
            self.open_now -= 1


def reader(body):
    parts = list(body) if isinstance(body, list) else [body]

    async def read():
        await trio.lowlevel.checkpoint()
        return parts.pop(0) if parts else b""

    return read


def models(body):
    return tuple(
        ModelFacts(name) for name in body.decode().strip('[]"').split(",") if name and "<" not in name
    )


CODEC = evolve(
    SCRIPTED,
    models=models,
    classify=classify,
    sign=lambda http, secret, epoch: http.with_headers({"authorization": f"signed {epoch:.0f}"}),
)
GOOD = (200, b'["m"]')


class Watched:
    """A stand whose providers are looked after."""

    def __init__(self, **upstreams):
        self.stand = Stand(dict.fromkeys(upstreams, ()))
        self.env = evolve(self.stand.env, transports=upstreams, codecs={"scripted": CODEC})
        self.facts = []

    def tell(self, fact):
        self.facts.append(fact)
        self.stand.board.tell(fact)

    @property
    def run(self):
        return Watch(self.env, self.tell, OPTIONS).run

    def told(self, kind, provider="a"):
        return [fact for fact in self.facts if isinstance(fact, kind) and fact.provider == provider]


async def watched_for(seconds, **upstreams):
    watched = Watched(**upstreams)
    with trio.move_on_after(seconds):
        await watched.run()
    return watched


@pytest.mark.parametrize(
    ("upstream", "problem", "listed"),
    [
        pytest.param(Upstream(GOOD), None, ("m",), id="well"),
        pytest.param(Upstream((200, [b'["m', b',n"]'])), None, ("m", "n"), id="in pieces"),
        pytest.param(Upstream((200, b"[]")), None, (), id="it serves nothing"),
        pytest.param(Upstream((200, b"<html>")), Kind.GARBLED, None, id="a page in place of a list"),
        pytest.param(Upstream((401, b"no")), Kind.AUTH, None, id="a refusal, read by the codec"),
        pytest.param(Upstream((403, b"no")), Kind.AUTH, None, id="no right to list"),
        pytest.param(Upstream((503, b"")), Kind.SERVER, None, id="a fault"),
        pytest.param(Upstream(Problem(Kind.CONNECT)), Kind.CONNECT, None, id="nobody there"),
        pytest.param(
            Upstream((200, [b"[", Problem(Kind.STREAM_ERROR)])), Kind.STREAM_ERROR, None, id="it broke off"
        ),
        pytest.param(Upstream((200, [b"x" * 2**20] * 20)), Kind.GARBLED, None, id="it never ends"),
        pytest.param(Upstream(GOOD, delay_s=60.0), Kind.FIRST_BYTE, None, id="it takes too long"),
    ],
)
async def test_what_a_probe_tells(upstream, problem, listed, autojump_clock):
    watched = await watched_for(30.0, a=upstream)
    (probe,) = watched.told(ProbeEnded)
    assert probe.problem == problem
    found = [tuple(facts.name for facts in fact.models) for fact in watched.told(ModelsListed)]
    assert found == ([] if listed is None else [listed])
    assert upstream.open_now == 0
    assert probe.after_s == pytest.approx(5.0 if problem is Kind.FIRST_BYTE else 0.0)
    assert MOST_BYTES < 20 * 2**20


async def test_a_list_can_be_asked_for_at_once(autojump_clock):
    watched = Watched(a=Upstream((200, b'["m"]'), (200, b'["n"]')))
    for _ in range(2):
        await refresh(watched.env, watched.tell, watched.env.providers["a"], 2.0)
    assert [fact.models[0].name for fact in watched.told(ModelsListed)] == ["m", "n"]
    late = Watched(a=Upstream(GOOD, delay_s=60.0))
    began = trio.current_time()
    await refresh(late.env, late.tell, late.env.providers["a"], 2.0)
    assert (late.told(ModelsListed), trio.current_time() - began) == ([], 2.0)


async def test_the_call_is_signed(autojump_clock):
    upstream = Upstream(GOOD)
    await watched_for(1.0, a=upstream)
    ((_, request),) = upstream.asked
    assert request.headers["authorization"] == "signed 1790000000"


@pytest.mark.parametrize(
    ("delay_s", "ready_s"),
    [
        pytest.param(0.0, 0.0, id="at once"),
        pytest.param(2.0, 2.0, id="when all have answered"),
        pytest.param(60.0, 3.0, id="but the start waits for nobody for long"),
    ],
)
async def test_the_house_opens_after_the_first_round(delay_s, ready_s, autojump_clock):
    began = trio.current_time()
    watched = Watched(a=Upstream(GOOD, delay_s=delay_s), b=Upstream(GOOD))
    async with trio.open_nursery() as nursery:
        await nursery.start(watched.run)
        assert trio.current_time() - began == pytest.approx(ready_s)
        nursery.cancel_scope.cancel()


async def test_a_provider_is_asked_again_and_again(autojump_clock):
    upstream = Upstream(GOOD)
    began = trio.current_time()
    await watched_for(250.0, a=upstream)
    assert [at - began for at, _ in upstream.asked] == pytest.approx([0, 60, 120, 180, 240])


async def test_real_traffic_makes_the_check_needless(autojump_clock):
    upstream = Upstream(GOOD)
    watched = Watched(a=upstream)
    began = trio.current_time()

    async def serve_well():
        while True:
            now = trio.current_time()
            watched.stand.board.tell(AttemptStarted(1, "a/m", now))
            watched.stand.board.tell(AttemptEnded(1, "a/m", now, 0.1))
            await trio.sleep(20.0)

    with trio.move_on_after(600.0):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_well)
            nursery.start_soon(watched.run)
    assert [at - began for at, _ in upstream.asked] == pytest.approx([0, 300]), (
        "only for the list, when it is old"
    )


@pytest.mark.parametrize(
    ("listed", "served", "expected"),
    [
        pytest.param(None, None, True, id="never asked"),
        pytest.param(90.0, None, True, id="nothing tells that it is well"),
        pytest.param(90.0, 30.0, True, id="nothing of late"),
        pytest.param(90.0, 95.0, False, id="it serves, and its list is fresh"),
        pytest.param(-210.0, 95.0, True, id="it serves, but its list is old"),
        pytest.param(None, 95.0, True, id="it serves, but never told its list"),
    ],
)
def test_when_a_provider_is_due(listed, served, expected):
    assert due(ProviderState(listed_at=listed, served_at=served), 100.0, OPTIONS) is expected


def test_a_provider_that_is_closed_off_is_due_whatever_it_served():
    tripped = Breaker(mode="open", open_until=110.0)
    assert due(ProviderState(listed_at=90.0, served_at=95.0, breaker=tripped), 100.0, OPTIONS)


@pytest.mark.parametrize(("roll", "expected"), [(0.0, 54.0), (0.5, 60.0), (1.0, 66.0)])
def test_the_loops_spread(roll, expected):
    assert pause_s(OPTIONS, roll) == pytest.approx(expected)


async def test_a_loop_that_fails_is_begun_again_and_disturbs_nobody(autojump_clock, caplog):
    broken, well = Upstream(RuntimeError("bug")), Upstream(GOOD)
    began = trio.current_time()
    watched = await watched_for(100.0, a=broken, b=well)
    assert [at - began for at, _ in broken.asked] == pytest.approx([0, 1, 3, 7, 15, 31, 63])
    assert len(watched.told(ProbeEnded, "b")) == 2
    assert "looking after a failed" in caplog.text


async def test_a_loop_that_recovers_goes_on_as_before(autojump_clock):
    upstream = Upstream(RuntimeError("bug"), GOOD)
    began = trio.current_time()
    await watched_for(100.0, a=upstream)
    assert [at - began for at, _ in upstream.asked] == pytest.approx([0, 1, 61])


async def test_only_changes_are_logged(autojump_clock, caplog):
    caplog.set_level("INFO", "ollama_proxy")
    upstream = Upstream(Problem(Kind.CONNECT), Problem(Kind.CONNECT), GOOD, GOOD)
    await watched_for(200.0, a=upstream)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_house_without_providers_opens_at_once(autojump_clock):
    watched = Watched()
    async with trio.open_nursery() as nursery:
        await nursery.start(watched.run)
        nursery.cancel_scope.cancel()


async def test_an_account_may_serve_less_than_its_list_names(autojump_clock):
    watched = Watched(a=Upstream(GOOD))
    chosen = evolve(CODEC, served=lambda provider, listed: (ModelFacts(f"{provider.name}-{listed[0].name}"),))
    watched.env = evolve(watched.env, codecs={"scripted": chosen})
    with trio.move_on_after(1):
        await watched.run()
    assert watched.told(ModelsListed)[0].models == (ModelFacts("a-m"),)


@pytest.mark.parametrize(
    ("replies", "healthy"),
    [
        pytest.param([(403, b"no")], None, id="a list that may not be seen tells nothing of health"),
        pytest.param([GOOD, (403, b"no")], True, id="who was well stays so"),
        pytest.param([(401, b"no")], False, id="a key that is not known does"),
        pytest.param(
            [Problem(Kind.CONNECT)] * 4 + [(403, b"no")], None, id="who can be reached again is not ill"
        ),
    ],
)
async def test_a_key_may_call_models_and_not_list_them(replies, healthy, autojump_clock, caplog):
    watched = await watched_for(600.0, a=Upstream(*replies))
    state = watched.env.snapshot().provider("a")
    assert state.healthy is healthy
    assert state.problem is Kind.AUTH
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


async def test_a_list_that_has_not_changed_stays_the_same_object(autojump_clock):
    watched = await watched_for(200.0, a=Upstream(GOOD, GOOD, (200, b'["m","n"]')))
    first, second, third, *_ = [fact.models for fact in watched.told(ModelsListed)]
    assert second is first
    assert third is not second
