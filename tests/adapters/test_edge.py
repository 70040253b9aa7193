"""The edge on virtual time: bodies, headers, leaving, keep-alives and last words, through plain ASGI."""

import json
import math

import pytest
import trio
from attrs import define, field

from adapters.asgi import CALLER, ON_LEAVE, REQUEST_ID
from adapters.dialects import dialect_at
from adapters.edge import Edge, Told, data_plane, usual_priority, wishes
from adapters.guard import HOP
from adapters.lifecycle import Lifecycle
from adapters.silences import Silences
from pipeline.values.callers import Caller, Priority
from pipeline.values.events import Finished, Started, TextDelta
from pipeline.values.exchange import How, Loss, Preference
from pipeline.values.facts import AttemptStarted, FirstToken, Reused
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from tests.kit import EPOCH, HELLO, Stand, Step, exchange

HELLO_SCRIPT: list[Step] = [(0.0, event) for event in HELLO]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@define(eq=False)
class Client:
    """One request to the edge: what it sends, when it leaves (seconds from now), and what it got."""

    body: bytes
    path: str = "/api/chat"
    headers: dict[str, str] = field(factory=dict)
    leaves_after: float = math.inf
    pieces: int = 1
    piece_s: float = 0.0
    sent: list[dict] = field(factory=list)
    times: list[float] = field(factory=list)
    _given: int = 0

    async def receive(self) -> dict:
        if self._given < self.pieces:
            size = math.ceil(len(self.body) / self.pieces)
            part = self.body[self._given * size : (self._given + 1) * size]
            self._given += 1
            await trio.sleep(self.piece_s)
            return {"type": "http.request", "body": part, "more_body": self._given < self.pieces}
        await trio.sleep(self.leaves_after)
        return {"type": "http.disconnect"}

    async def send(self, message: dict) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(message)
        self.times.append(trio.current_time())

    @property
    def status(self) -> int:
        return self.sent[0]["status"]

    @property
    def head(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def over(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False


@define(eq=False)
class Plane:
    """A data plane over scripted upstreams."""

    stand: Stand
    lifecycle: Lifecycle = field(factory=Lifecycle)
    silences: Silences = field(factory=Silences)
    max_body_bytes: int = 1000
    app: object = field(init=False)
    edge: Edge = field(init=False)

    def __attrs_post_init__(self) -> None:
        env = self.stand.env
        stages = build_stages({name: entry.options() for name, entry in CATALOG.items()}, CATALOG, env)
        service = compose(tuple(CATALOG), stages, CATALOG)
        edge = Edge(
            dialect_at=dialect_at,
            services=dict.fromkeys(("chat", "embed", "load"), service),
            providers=frozenset(env.providers),
            lifecycle=self.lifecycle,
            silences=self.silences,
            now=trio.current_time,
            epoch=lambda: EPOCH,
            tell=self.stand.board.tell,
            max_body_bytes=self.max_body_bytes,
            instance="me",
            strategies=frozenset({"priority", "round_robin"}),
        )
        self.edge = edge
        self.app = data_plane(edge, missing)

    async def serve(self, client: Client, more: dict | None = None) -> Client:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in client.headers.items()]
        scope = {"type": "http", "method": "POST", "path": client.path, "headers": headers, REQUEST_ID: "r1"}
        scope |= more or {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.silences.run)
            await self.app(scope, client.receive, client.send)
            nursery.cancel_scope.cancel()
        return client


async def missing(scope, receive, send):
    raise AssertionError("this is no model call")


def asking(body=CHAT, **changes) -> Client:
    return Client(json.dumps(body).encode(), **changes)


async def test_a_stream(autojump_clock):
    client = await Plane(Stand({"a": HELLO_SCRIPT})).serve(asking())
    assert client.status == 200
    assert client.head["content-type"] == "application/x-ndjson"
    assert "".join(line["message"]["content"] for line in client.lines) == "Hello"
    assert [line["done"] for line in client.lines][-1] is True
    assert client.over


async def test_a_whole_reply_has_its_length(autojump_clock):
    client = await Plane(Stand({"a": HELLO_SCRIPT})).serve(asking({**CHAT, "stream": False}))
    assert json.loads(client.text)["message"]["content"] == "Hello"
    assert client.head["content-length"] == str(len(client.text.encode()))


async def test_the_headers_tell_the_story(autojump_clock):
    scripts = {
        "a": [(2, Problem(Kind.CONNECT))],
        "b": [(1, Started("m")), (2, TextDelta("x")), (0, Finished("stop"))],
    }
    client = await Plane(Stand(scripts)).serve(asking())
    assert client.head["x-provider"] == "b"
    assert client.head["x-model"] == "m"
    assert client.head["x-attempts"] == "2"
    assert float(client.head["x-overhead-ms"]) == pytest.approx(0, abs=1)


@pytest.mark.parametrize(
    ("client", "status"),
    [
        pytest.param(Client(b"x" * 1001), 413, id="a body over the limit"),
        pytest.param(
            Client(b"{}", headers={"content-length": "1001"}), 413, id="a declared length over the limit"
        ),
        pytest.param(Client(b"{" * 100, pieces=50, piece_s=1), 408, id="a body that dribbles"),
    ],
)
async def test_bodies_that_are_not_taken_close_the_connection(client, status, autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    await Plane(stand).serve(client)
    assert client.status == status
    assert client.head["connection"] == "close"
    assert json.loads(client.text)["error"]
    assert stand.upstreams["a"].opened == []


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        pytest.param({"x-provider": "nobody"}, "X-Provider", id="an unknown provider"),
        pytest.param({"x-provider": ""}, "X-Provider", id="no provider"),
        pytest.param({"x-provider": "a; always"}, "X-Provider", id="a word that is not only"),
        pytest.param({"x-request-timeout": "soon"}, "X-Request-Timeout", id="not a number"),
        pytest.param({"x-request-timeout": "0.05"}, "X-Request-Timeout", id="too short"),
        pytest.param({"x-request-timeout": "1801"}, "X-Request-Timeout", id="too long"),
        pytest.param({"x-request-timeout": "nan"}, "X-Request-Timeout", id="not a time"),
        pytest.param({"x-priority": "urgent"}, "X-Priority", id="an unknown class"),
        pytest.param({"traceparent": "ä"}, "traceparent", id="a header handed on that is not plain"),
        pytest.param({"x-proxy-strict": "maybe"}, "X-Proxy-Strict", id="neither yes nor no"),
        pytest.param({"x-routing-strategy": "os:system"}, "X-Routing-Strategy", id="a strategy of no table"),
        pytest.param({"x-proxy-explain": "why"}, "X-Proxy-Explain", id="neither yes nor no again"),
    ],
)
async def test_wishes_that_cannot_be_read_are_refused(headers, text, autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    client = await Plane(stand).serve(asking(headers=headers))
    assert client.status == 400
    assert text in json.loads(client.text)["error"]
    assert stand.upstreams["a"].opened == []


async def test_where_a_request_came_from_is_handed_on(autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    await Plane(stand).serve(asking(headers={"traceparent": "00-1-2-01", HOP: "one", "cookie": "x"}))
    (asked,) = stand.upstreams["a"].requests
    assert asked.headers == {"traceparent": "00-1-2-01", HOP: "one, me"}


@pytest.mark.parametrize(
    ("highest", "wish", "given"),
    [
        pytest.param(Priority.CRITICAL, None, Priority.NORMAL, id="who says nothing is normal"),
        pytest.param(Priority.LOW, None, Priority.LOW, id="unless his key may not be"),
        pytest.param(Priority.HIGH, "critical", Priority.HIGH, id="a wish goes no higher than the key"),
        pytest.param(Priority.HIGH, "low", Priority.LOW, id="and may go lower"),
        pytest.param(Priority.LOW, "high", Priority.LOW, id="a low key stays low"),
    ],
)
def test_a_key_has_a_highest_class(highest, wish, given):
    caller = Caller("k1", highest=highest)
    before = exchange(caller=caller, priority=usual_priority(caller))
    headers = {} if wish is None else {"x-priority": wish}
    assert wishes(before, headers, Plane(Stand({"a": HELLO_SCRIPT})).edge).priority is given


async def test_who_asks_goes_with_the_request(autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT})
    caller = Caller("k1", "web", highest=Priority.LOW)
    await Plane(stand).serve(asking(), {CALLER: caller})
    assert stand.records[0].caller == "k1"


def test_wishes_are_read():
    headers = {
        "x-provider": "B, a ;only",
        "x-priority": "HIGH",
        "x-request-timeout": "2.5",
        "x-proxy-strict": "true",
        "x-routing-strategy": "Priority",
        "x-proxy-explain": "1",
        "x-stainless-retry-count": "1",
    }
    after = wishes(exchange(10.0), headers, Plane(Stand({"a": HELLO_SCRIPT, "b": HELLO_SCRIPT})).edge)
    assert after.preference == Preference(("b", "a"), only=True)
    assert after.priority is Priority.HIGH
    assert after.deadline == 12.5
    assert after.strict
    assert after.strategy == "priority"
    assert after.explain
    assert after.client_retry


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_who_asks_why_is_told_at_the_end(stream, autojump_clock):
    stand = Stand({"a": ((0.0, 500),), "b": HELLO_SCRIPT})
    body = {**CHAT, "stream": stream}
    client = await Plane(stand).serve(asking(body, headers={"x-proxy-explain": "true"}))
    *before, last = [json.loads(line) for line in client.text.splitlines()]
    assert last["done"]
    told = last["x_proxy"]
    assert [one["target"] for one in told["candidates"]] == ["a/m", "b/m"]
    assert [(one["target"], one["failed"]) for one in told["attempts"]] == [("a/m", "server"), ("b/m", None)]
    assert not any("x_proxy" in line for line in before)


async def test_a_server_that_tells_of_leaving_needs_no_task_that_waits_for_it(autojump_clock):
    """The exchange is cancelled by the call alone: such a server is asked for the body and for nothing after it."""

    class Telling(Client):
        async def receive(self):
            assert not self._given, "the body has been given"
            return await super().receive()

        async def leave(self, on_leave):
            await trio.sleep(self.leaves_after)
            on_leave[0]()

    stand = Stand({"a": [(1, Started("m")), (math.inf, TextDelta("x"))]})
    plane, client, taken = Plane(stand), Telling(json.dumps(CHAT).encode(), leaves_after=2), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.leave, taken)
        await plane.serve(client, {ON_LEAVE: taken.append})
    assert trio.current_time() < 3
    assert [record.outcome for record in stand.records] == ["cancelled"]
    assert stand.upstreams["a"].running == 0
    assert client.sent == []


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("moment", [0.5, 1.5, 2.5], ids=lambda at: f"after {at} s")
async def test_a_client_who_leaves_cancels_all(moment, stream, autojump_clock):
    stand = Stand({"a": [(1, Started("m")), (1, TextDelta("x")), (math.inf, TextDelta("y"))]})
    plane = Plane(stand)
    began = trio.current_time()
    await plane.serve(asking({**CHAT, "stream": stream}, leaves_after=moment))
    assert trio.current_time() - began <= moment + 0.1
    assert stand.upstreams["a"].running == 0
    assert stand.held() == 0
    assert [record.outcome for record in stand.records] == ["cancelled"]
    assert not plane.lifecycle.exchanges


async def test_a_client_who_leaves_while_sending_its_body_is_nobodys_exchange(autojump_clock):
    class Leaver(Client):
        async def receive(self):
            await trio.sleep(1)
            return {"type": "http.disconnect"}

    stand = Stand({"a": HELLO_SCRIPT})
    client = await Plane(stand).serve(Leaver(b""))
    assert client.sent == []
    assert stand.records == []


async def test_a_waiting_stream_is_kept_alive_and_still_may_fall_back(autojump_clock):
    stand = Stand({"a": [(40, Problem(Kind.CONNECT))], "b": HELLO_SCRIPT})
    began = trio.current_time()
    client = await Plane(stand).serve(asking())
    assert client.times[0] - began == pytest.approx(15)
    assert client.lines[0]["message"]["content"] == ""
    assert client.lines[0]["done"] is False
    assert "".join(line["message"]["content"] for line in client.lines) == "Hello"
    assert len(client.lines) == 4  # two signs of life, the answer, its end


async def test_after_a_sign_of_life_a_failure_is_an_error_frame(autojump_clock):
    client = await Plane(Stand({"a": [(20, Problem(Kind.CONNECT))]})).serve(asking())
    assert client.status == 200
    assert client.lines[-1].keys() == {"error"}
    assert client.over


async def test_a_whole_reply_is_waited_for_in_silence(autojump_clock):
    slow = [(100, Started("m")), *HELLO_SCRIPT[1:]]
    client = await Plane(Stand({"a": slow})).serve(asking({**CHAT, "stream": False}))
    assert len(client.sent) == 2


async def test_shutting_down_ends_a_stream_with_an_error_frame(autojump_clock):
    stand = Stand({"a": [(1, Started("m")), (1, TextDelta("x")), (math.inf, TextDelta("y"))]})
    plane = Plane(stand)
    client = asking()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.serve, client)
        await trio.sleep(5)
        await plane.lifecycle.drain(trio.Event(), grace_s=0, limit_s=3, flush_s=5)
    assert client.lines[-1].keys() == {"error"}
    assert client.over
    assert stand.upstreams["a"].running == 0


async def test_new_calls_are_refused_once_the_house_is_closing(autojump_clock):
    plane = Plane(Stand({"a": HELLO_SCRIPT}))
    await plane.lifecycle.drain(trio.Event(), grace_s=0, limit_s=0, flush_s=0)
    client = await plane.serve(asking())
    assert client.status == 503
    assert int(client.head["retry-after"]) >= 1


class Bomb:
    """A step whose decoding raises."""

    def __reduce__(self):
        return int, ("not a number",)


async def test_a_bug_is_an_error_of_the_protocol_and_nobody_elses_matter(autojump_clock, caplog):
    stand = Stand({"a": [(0, Started("m")), (0, Bomb())]})
    client = await Plane(stand).serve(asking({**CHAT, "stream": False}))
    assert client.status == 500
    assert "Traceback" not in client.text
    assert "an exchange failed" in caplog.text
    assert stand.held() == 0


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a\r\nX-Evil: 1", id="a line end"),
        pytest.param("a, b", id="what separates fields"),
        pytest.param("ä\x00", id="no ASCII"),
        pytest.param("x" * 100_000, id="very long"),
    ],
)
async def test_what_the_client_named_cannot_harm_the_head(name, autojump_clock):
    stand = Stand({"a": HELLO_SCRIPT}, losses=(Loss(name, How.DROPPED),) * 5000)
    client = await Plane(stand).serve(asking())
    assert client.status == 200
    told = client.head["x-proxy-lossy"]
    assert len(told) < 4000
    assert told.isascii()
    assert told.isprintable()
    assert told.count(",") == 32
    assert told.endswith("and 4968 more")


async def test_a_bug_is_recorded_as_one(autojump_clock):
    stand = Stand({"a": [(0, Started("m")), (0, Bomb())]})
    await Plane(stand).serve(asking())
    assert [(record.outcome, record.problem) for record in stand.records] == [
        ("upstream_error", Kind.INTERNAL)
    ]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(
            (AttemptStarted(1, "a/m", 0.0), AttemptStarted(2, "b/m", 1.0, hedge=True), FirstToken(1, "a/m", 2.0, 2.0)),
            {"x-provider": "a", "x-attempts": "2"},
            id="the first of two that run at once has content",
        ),
        pytest.param(
            (AttemptStarted(1, "a/m", 0.0), AttemptStarted(2, "b/m", 1.0, hedge=True), FirstToken(2, "b/m", 2.0, 1.0)),
            {"x-provider": "b", "x-attempts": "2"},
            id="the second of two",
        ),
        pytest.param(
            (Reused("cached", "x0", "a/m", 1.0),),
            {"x-provider": "a", "x-model": "m", "x-proxy-cache": "cached", "x-attempts": None},
            id="nobody was asked",
        ),
    ],
)  # fmt: skip
def test_the_headers_name_who_answers(facts, expected):
    told = Told()
    for fact in facts:
        told.see(fact)
    headers = {name.decode(): value.decode() for name, value in told.headers(3.0)}
    assert {name: headers.get(name) for name in expected} == expected
