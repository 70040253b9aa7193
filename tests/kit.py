"""What tests share: a scripted upstream, a listening wire, and an Env to stand a stage or a whole pipeline in."""

import pickle
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio
from attrs import define, evolve, field

from pipeline.gate import Gate
from pipeline.leaves import Leaves
from pipeline.ports import Codec, Encoded, Env, Reply, Transport
from pipeline.protocol import Wire
from pipeline.state.board import Board
from pipeline.values.events import Batch, Event, Failed, Finished, Started, TextDelta
from pipeline.values.exchange import Exchange, Losses, Record
from pipeline.values.facts import Fact
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, Message, Role, Text
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts, Provider, Target

HELLO: tuple[Event, ...] = (Started("m"), TextDelta("Hello"), Finished("stop"))
EPOCH = 1_790_000_000.0


@define(eq=False)
class Ear:
    """A wire that remembers: `batches`, `facts`, and when each event came."""

    batches: list[Batch] = field(factory=list)
    facts: list[Fact] = field(factory=list)
    times: list[float] = field(factory=list)
    board: Board | None = None

    async def emit(self, batch: Batch) -> None:
        await trio.lowlevel.checkpoint()
        self.batches.append(batch)
        self.times.extend(trio.current_time() for _ in batch.events)

    def tell(self, fact: Fact) -> None:
        self.facts.append(fact)
        if self.board is not None:
            self.board.tell(fact)

    @property
    def wire(self) -> Wire:
        return Wire(self.emit, self.tell)

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(event for batch in self.batches for event in batch.events)

    def told(self, kind: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


# A script is what an upstream does: pauses in seconds, events to be decoded, a Problem of the transport, or a status.
Step = tuple[float, Event | Problem | int]


@define(eq=False)
class Scripted(Transport):
    """An upstream that plays its script on trio's clock; `opened`, `closed`: when calls began and ended."""

    script: tuple[Step, ...]
    opened: list[float] = field(factory=list)
    closed: list[float] = field(factory=list)
    requests: list[HttpRequest] = field(factory=list)

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[Reply | Problem]:
        self.opened.append(trio.current_time())
        self.requests.append(request)
        try:
            yield await self._answer()
        finally:
            self.closed.append(trio.current_time())

    async def _answer(self) -> Reply | Problem:
        steps = list(self.script)
        delay, first = steps[0]
        if isinstance(first, Problem | int):
            await trio.sleep(delay)
            return first if isinstance(first, Problem) else Reply(ReplyHead(first), _empty)

        async def read() -> bytes | Problem:
            if not steps:
                return b""
            wait, step = steps.pop(0)
            await trio.sleep(wait)
            if isinstance(step, Problem):
                return step
            return pickle.dumps(step)

        return Reply(ReplyHead(200), read)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    @property
    def running(self) -> int:
        return len(self.opened) - len(self.closed)


async def _empty() -> bytes:
    return b""


def _encode(request: Any, target: Target) -> Encoded | Problem:
    return Encoded(HttpRequest("POST", f"{target.provider.base_url}/{target.model}"))


def _decode(state: Any, data: bytes) -> tuple[Any, Batch]:
    return state, Batch((pickle.loads(data),))


def _classify(head: ReplyHead, body: bytes) -> Problem:
    kinds = {400: Kind.INVALID, 404: Kind.NOT_FOUND, 429: Kind.RATE_LIMITED, 401: Kind.AUTH, 451: Kind.POLICY}
    return Problem(kinds.get(head.status, Kind.SERVER))


SCRIPTED = Codec(
    kind="scripted",
    encode=_encode,
    sign=lambda http, secret, epoch: http,
    fresh=lambda request: None,
    decode=_decode,
    finish=lambda state: Batch((Failed(Problem(Kind.STREAM_ERROR, "broke off")),)),
    classify=_classify,
    quota=lambda target, head, now: None,
    list_models=lambda provider: HttpRequest("GET", provider.base_url),
    models=lambda body: (),
    patterns=("*",),
)


def provider(name: str, **changes: Any) -> Provider:
    return evolve(Provider(name, "scripted", f"http://{name}.test"), **changes)


def target(name: str, model: str = "m", **changes: Any) -> Target:
    return Target(provider(name, **changes), ModelFacts(model))


def request(text: str = "hi", **changes: Any) -> ChatRequest:
    return evolve(ChatRequest("m", (Message(Role.USER, (Text(text),)),), stream=True), **changes)


def exchange(now: float = 0.0, **changes: Any) -> Exchange:
    return evolve(Exchange("x1", request(), "ollama.chat", now, now + 1800.0), **changes)


@define(eq=False)
class Stand:
    """An Env of scripted upstreams, by provider name, and all that was kept in it."""

    scripts: Mapping[str, Iterable[Step]]
    max_concurrent: int = 100
    board: Board = field(factory=Board)
    records: list[Record] = field(factory=list)
    upstreams: dict[str, Scripted] = field(factory=dict)
    gates: dict[str, Gate] = field(factory=dict)
    options: dict[str, Any] = field(factory=dict)
    losses: Losses = ()
    _leaves: Leaves | None = None

    @property
    def leaves(self) -> Leaves:
        if self._leaves is None:
            self._leaves = Leaves(trio.current_time, lambda: self.board.snapshot, self.gates)
        return self._leaves

    @property
    def env(self) -> Env:
        for name, script in self.scripts.items():
            self.upstreams.setdefault(name, Scripted(tuple(script)))
            self.gates.setdefault(name, Gate(name, self.max_concurrent, 1000))
        providers = {
            name: provider(name, priority=rank, **self.options) for rank, name in enumerate(self.scripts)
        }
        return Env(
            now=trio.current_time,
            epoch=lambda: EPOCH + trio.current_time(),
            rolls=lambda n: (0.5,) * n,
            snapshot=lambda: self.board.snapshot,
            providers=providers,
            codecs={"scripted": evolve(SCRIPTED, encode=self._encode)},
            transports=self.upstreams,
            gates=self.gates,
            keep=self.records.append,
            leaves=self.leaves,
        )

    def _encode(self, request: Any, target: Target) -> Encoded | Problem:
        encoded = _encode(request, target)
        return evolve(encoded, losses=self.losses) if isinstance(encoded, Encoded) else encoded

    def held(self) -> int:
        return sum(gate.held for gate in self.gates.values())
