"""A simulated world: the decision core with its edge, a fleet of providers that fail, and clients who hurry, dawdle and leave."""

import json
import math
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import trio
import trio.testing
from attrs import define, field, frozen

from adapters.asgi import CALLER, REQUEST_ID
from adapters.dialects import dialect_at
from adapters.edge import Edge, data_plane
from adapters.lifecycle import Lifecycle
from adapters.providers import CODECS
from adapters.silences import Silences
from pipeline.gate import Gate
from pipeline.ports import Env
from pipeline.state.board import Board
from pipeline.state.cooldown import ACCOUNT
from pipeline.state.eligibility import Eligible, eligibility
from pipeline.values.callers import Caller, CallerLimits, Priority
from pipeline.values.facts import Fact, ModelsListed
from pipeline.values.targets import ModelFacts, Price, Provider, Target
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.call import CallOptions
from stages.limit import LimitOptions
from stages.route import RouteOptions
from tests.simulation.fleet import PIECES, Fault, Node, drawn_faults, piece
from tests.simulation.purses import Purses
from tests.simulation.watch import FREED_S, Broken, Watch, WatchedBoard

NODES, MODELS_EACH, MODELS = 7, 3, 7
EPOCH = 1_790_000_000.0
ROUTES = ("/api/chat", "/v1/chat/completions", "/v1/messages")
RECOVERY_S = 400.0
PERMIT_QUEUE = 100
LOOKED_EVERY_S = 1.0


@frozen
class Setting:
    """A world. Times in virtual seconds; `fault_every_s`: on average; `faults`: those of each node, instead of drawn ones.

    `at_once`: how many requests the house serves at once, `may_wait`: how many more may wait. `keys`: how many
    keys the clients have, the first of which asks as often as all others together; 0: none has any. `limits`: those of
    each key.
    """

    seed: int
    lasts_s: float = 7200.0
    requests: int = 5000
    fault_every_s: float = 12.0
    strategy: str = "capability_based"
    fallback: str = "next_available"
    hedge: str = "off"
    nodes: int = NODES
    models: int = MODELS
    faults: tuple[tuple[Fault, ...], ...] | None = None
    at_once: int = 40
    may_wait: int = 60
    keys: int = 0
    limits: CallerLimits = CallerLimits()


@frozen
class Outcome:
    """What a run came to. `longest`: how many ever waited at once, by queue."""

    trace: str
    requests: int
    faults: int
    outcomes: dict[str, int]
    hedges: int
    extras: int
    longest: dict[str, int]


@define(eq=False)
class World:
    """One run of one setting."""

    setting: Setting
    random: Random = field(init=False)
    watch: Watch = field(init=False)
    board: Board = field(init=False)
    nodes: dict[str, Node] = field(factory=dict)
    leaves: dict[str, Target] = field(factory=dict)
    lifecycle: Lifecycle = field(factory=Lifecycle)
    silences: Silences = field(factory=Silences)
    gates: dict[str, Gate] = field(factory=dict)
    limit: LimitOptions = field(init=False)
    outcomes: dict[str, int] = field(factory=dict)
    faults: int = 0
    call: CallOptions = field(init=False)
    env: Env = field(init=False)
    app: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.setting.seed)
        chance = Random(self.random.random())
        self.limit = LimitOptions(
            max_concurrent=self.setting.at_once, queue_size=self.setting.may_wait, queue_timeout=10.0
        )
        self.board = WatchedBoard(lambda count: tuple(chance.random() for _ in range(count)))
        self.call = CallOptions(
            fallback=self.setting.fallback,
            hedge=self.setting.hedge,
            hedge_after=1.0,
            hedge_share=0.05,
            idle_timeout=20.0,
            headers_timeout=20.0,
        )
        self.watch = Watch(
            self.board, self.call.max_attempts, self.limit.queue_timeout, self.call.hedge_share
        )
        providers = self._fleet()
        self.env = Env(
            now=trio.current_time,
            epoch=lambda: EPOCH + trio.current_time(),
            rolls=lambda count: tuple(chance.random() for _ in range(count)),
            snapshot=lambda: self.board.snapshot,
            providers=providers,
            codecs=CODECS,
            transports=self.nodes,
            gates=self.gates,
            keep=self.watch.kept,
            opened=lambda gate: self._queue(gate, self.setting.may_wait),
        )
        self.watch.purses = Purses(self.env.accounts, self.setting.limits)
        self.watch.places = lambda name: {
            leaf: self.env.leaves.standing(target)
            for leaf, target in self.leaves.items()
            if target.provider.name == name
        }
        self.app = self._application()

    def _fleet(self) -> dict[str, Provider]:
        faults = self._faults()
        self.faults = sum(map(len, faults))
        providers = {}
        for number in range(self.setting.nodes):
            name = f"n{number}"
            providers[name] = Provider(
                name,
                "openai",
                f"http://{name}.test/v1",
                timeout_s=30.0,
                priority=1 + number % 3,
                max_concurrent=12,
            )
            chance = Random(self.random.random())
            node = Node(name, chance, self.watch.heard, 0.2 + 0.1 * number, faults[number])
            self.nodes[name], self.gates[name] = node, Gate(name, 12, PERMIT_QUEUE)
            self._queue(self.gates[name], PERMIT_QUEUE)
            self.watch.limits[name] = 12
            for shift in range(min(MODELS_EACH, self.setting.models)):
                facts = ModelFacts(
                    f"m{(number + shift) % self.setting.models}",
                    frozenset({"completion"}),
                    price=Price(1.0, 2.0),
                )
                self.leaves[f"{name}/{facts.name}"] = Target(providers[name], facts)
        self.watch.running = lambda name: self.nodes[name].running
        return providers

    def _queue(self, gate: Gate, most: int) -> None:
        self.watch.queues[gate.name] = (lambda: gate.waiting, most)
        self.watch.gates[gate.name] = gate

    def _faults(self) -> list[list[Fault]]:
        setting = self.setting
        if setting.faults is not None:
            return [list(faults) for faults in setting.faults]
        until = setting.lasts_s - RECOVERY_S - 60
        return drawn_faults(self.random, setting.nodes, until, setting.fault_every_s)

    def _application(self) -> Any:
        options = {name: entry.options() for name, entry in CATALOG.items()}
        options |= {"route": RouteOptions(self.setting.strategy), "call": self.call, "limit": self.limit}
        stages = build_stages(options, CATALOG, self.env)
        service = compose(tuple(CATALOG), stages, CATALOG)
        watch, board = self.watch, self.board

        async def watched(exchange: Any, wire: Any) -> None:
            def tell(fact: Fact) -> None:
                watch.told(exchange.id, fact)
                wire.tell(fact)

            await service(exchange, type(wire)(wire.emit, tell))

        edge = Edge(
            dialect_at=dialect_at,
            services={"chat": watched},
            providers=frozenset(self.env.providers),
            lifecycle=self.lifecycle,
            silences=self.silences,
            now=trio.current_time,
            epoch=self.env.epoch,
            tell=board.tell,
            max_body_bytes=100_000,
        )
        return data_plane(edge, _missing)

    async def run(self) -> None:
        """Live through it all, and look at the end."""
        self.list_models()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.silences.run)
            nursery.start_soon(self._look)
            async with trio.open_nursery() as clients:
                await self._arrive(clients)
            self._settled()
            self._recovered()
            await self._drained()
            nursery.cancel_scope.cancel()

    def list_models(self) -> None:
        """Every node tells its models."""
        for name in self.nodes:
            listed = tuple(
                [target.facts for leaf, target in self.leaves.items() if leaf.startswith(f"{name}/")]
            )
            self.board.tell(ModelsListed(name, 0.0, listed))

    async def _look(self) -> None:
        while True:
            self.watch.look(self.leaves, trio.current_time())
            await trio.sleep(LOOKED_EVERY_S)

    async def _arrive(self, clients: trio.Nursery) -> None:
        """Clients come in bursts, and all in all as many as are wanted; two fifths of them while the fleet recovers."""
        recovers = self.setting.lasts_s - RECOVERY_S
        late = 2 * self.setting.requests // 5
        for number in range(self.setting.requests):
            recovering = trio.current_time() >= recovers
            gap = RECOVERY_S / late if recovering else recovers / (self.setting.requests - late)
            burst = self.random.random() < 0.3
            await trio.sleep(0.0 if burst else self.random.expovariate(1 / (gap / 0.7)))
            clients.start_soon(self._client, number, recovering, Random(self.random.random()))
        left = self.setting.lasts_s - trio.current_time()
        await trio.sleep(max(0.0, left))

    async def _client(self, number: int, recovering: bool, chance: Random) -> None:
        route = chance.choice(ROUTES)
        stream = chance.random() < 0.7
        client = Client(f"x{number}", route, stream, chance)
        body = {
            "model": f"m{chance.randrange(self.setting.models)}",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": stream,
            "max_tokens": 99,
        }
        headers = [(b"content-type", b"application/json")]
        if chance.random() < (0.7 if recovering else 0.05):
            # Who was out comes back by being asked; while the fleet recovers all are, in turn.
            provider, _, body["model"] = list(self.leaves)[number % len(self.leaves)].partition("/")
            headers.append((b"x-provider", provider.encode()))
        if chance.random() < 0.05:
            headers.append((b"x-stainless-retry-count", b"1"))
        if chance.random() < 0.1:
            headers.append((b"x-request-timeout", str(round(chance.uniform(0.5, 20), 1)).encode()))
        scope = {"type": "http", "method": "POST", "path": route, "headers": headers, REQUEST_ID: client.id}
        if self.setting.keys:
            key = 0 if chance.random() < 0.5 else chance.randrange(self.setting.keys)
            scope[CALLER] = Caller(f"k{key}", f"k{key}", limits=self.setting.limits)
            headers.append((b"x-priority", chance.choice(list(Priority)).encode()))
        await self.app(scope, client.receiving(json.dumps(body).encode()), client.send)
        if self.watch.broken:
            raise Broken(self.watch.broken)
        if client.left_at is not None:
            late = trio.current_time() - client.left_at
            self.watch.must(late <= FREED_S, 10, f"{client.id} left {late:.3f} s ago and is still served")
        self._settle(client)

    def _settle(self, client: "Client") -> None:
        story = self.watch.story(client.id)
        self.watch.must(len(story.records) == 1, 4, f"{client.id} has {len(story.records)} outcomes")
        outcome = story.records[0].outcome
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        text, whole = client.told()
        self.watch.note(client.id, "got", text, whole)
        if client.left_at is None:
            self.watch.must(whole, 22, f"{client.id}: what it was sent has no end of its protocol")
        if text:
            self._is_one_answer(client, story, text, outcome)

    def _is_one_answer(self, client: "Client", story: Any, text: str, outcome: str) -> None:
        node, call, _ = text[1:].split(".", 2)
        answer = "".join(piece(node, int(call), number) for number in range(PIECES))
        self.watch.must(answer.startswith(text.rstrip("é")), 8, f"{client.id} got {text}")
        served = story.records[0].served
        self.watch.must(
            served is not None and served.startswith(f"{node}/"), 8, f"{client.id}: {served} is not {node}"
        )
        if outcome == "ok":
            self.watch.must(text == answer, 8, f"{client.id} got a part for the whole: {text}")

    def _settled(self) -> None:
        """Nothing is held where nothing runs."""
        held = {name: gate.held + gate.waiting for name, gate in self.watch.gates.items()}
        for name, target in self.leaves.items():
            standing = self.env.leaves.standing(target)
            held[name] = standing.held + standing.waiting
        flying = {name: self.board.snapshot.target(name).in_flight for name in self.leaves}
        self.watch.must(not any(held.values()), 1, f"permits are held: {held}")
        self.watch.must(not any(flying.values()), 1, f"attempts run: {flying}")
        self.watch.must(not any(node.running for node in self.nodes.values()), 1, "calls run")
        self.watch.must(not self.lifecycle.exchanges, 1, "exchanges run")
        self.watch.settled(self.setting.keys)
        extras, accepted = self.watch.extras, self.watch.accepted
        self.watch.must(extras <= accepted + self.setting.lasts_s, 6, f"{extras} extra attempts")

    def _recovered(self) -> None:
        """Long after the last fault each leaf has its full share, and the one without faults was hardly ever out."""
        now = trio.current_time()
        for name, target in self.leaves.items():
            found = eligibility(target, self.board.snapshot, now)
            whole = isinstance(found, Eligible) and found.weight == 1.0
            # Money and rights do not come back in minutes: whoever lacked them is left alone for up to an hour.
            state = self.board.snapshot.target(name)
            account = (
                state.last_verdict in ACCOUNT
                or self.board.snapshot.provider(target.provider.name).cool_downs > 0
            )
            self.watch.must(whole or account, 16, f"{name} is not back: {found}")
            if name.startswith("n0/"):
                out = self.watch.barred_s.get(name, 0.0)
                self.watch.must(out <= 0.05 * self.setting.lasts_s, 17, f"{name} was out for {out:.0f} s")

    async def _drained(self) -> None:
        """The house closes while some are still served: each is told, and it ends in time."""
        async with trio.open_nursery() as clients:
            for number in range(20):
                clients.start_soon(self._client, self.setting.requests + number, False, Random(number))
            await trio.sleep(0.1)
            began = trio.current_time()
            await self.lifecycle.drain(trio.Event(), grace_s=0.0, limit_s=2.0, flush_s=1.0)
            took = trio.current_time() - began
            self.watch.must(took <= 3.0 + FREED_S, 19, f"draining took {took} s")
        self.watch.must(not self.lifecycle.exchanges, 19, "exchanges outlive the drain")


@define(eq=False)
class Client:
    """One request: whether it leaves early or reads slowly, and what it was sent."""

    id: str
    route: str
    stream: bool
    chance: Random
    left_at: float | None = field(default=None, init=False)
    status: int | None = field(default=None, init=False)
    sent: list[bytes] = field(factory=list, init=False)
    over: bool = field(default=False, init=False)
    pause_s: float = field(default=0.0, init=False)
    ending: bool = field(default=False, init=False)

    def receiving(self, body: bytes) -> Any:
        """What the app receives."""
        leaves_s = self.chance.expovariate(1.0) if self.chance.random() < 0.1 else math.inf
        given = False

        async def receive() -> dict[str, Any]:
            nonlocal given
            if not given:
                given = True
                await trio.lowlevel.checkpoint()
                return {"type": "http.request", "body": body, "more_body": False}
            await trio.sleep(leaves_s)
            if not self.ending:
                self.left_at = trio.current_time()
            return {"type": "http.disconnect"}

        self.pause_s = 0.5 if self.chance.random() < 0.05 else 0.0
        return receive

    async def send(self, message: dict[str, Any]) -> None:
        """What the app sends. Who leaves once the end is on its way has had all he came for."""
        sized = any(name == b"content-length" for name, _ in message.get("headers", ()))
        self.ending = self.ending or sized or message.get("more_body") is False
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        # What was handed over is sent, also where waiting for it is given up.
        self.sent.append(message.get("body", b""))
        self.over = not message.get("more_body", False)
        if self.pause_s:
            await trio.sleep(self.pause_s)
        else:
            await trio.lowlevel.checkpoint()

    def told(self) -> tuple[str, bool]:
        """The text it got, and whether that has an end. Raises where it is not of its protocol."""
        data = b"".join(self.sent)
        try:
            return self._read(data.decode())
        except (ValueError, KeyError, IndexError, TypeError) as error:
            if self.left_at is not None:
                return "", False
            raise Broken(f"invariant 22: {self.id} cannot read {data!r}: {error!r}") from error

    def _read(self, data: str) -> tuple[str, bool]:
        if not data:
            return "", False
        if self.status != 200 or not self.stream:
            value = json.loads(data)
            return ("" if self.status != 200 else _text_of(self.route, value)), self.over
        if self.route == "/api/chat":
            values = [json.loads(line) for line in data.splitlines()]
            text = "".join(value.get("message", {}).get("content", "") for value in values)
            return text, self.over and (values[-1].get("done") is True or "error" in values[-1])
        frames = [frame for frame in data.split("\n\n") if frame]
        datas = [
            line[5:].strip() for frame in frames for line in frame.split("\n") if line.startswith("data:")
        ]
        values = [json.loads(one) for one in datas if one != "[DONE]"]
        if self.route == "/v1/messages":
            text = "".join(value.get("delta", {}).get("text", "") for value in values)
            return text, self.over and values[-1]["type"] in ("message_stop", "error")
        text = "".join(
            choice["delta"].get("content") or "" for value in values for choice in value.get("choices", ())
        )
        return text, self.over and (datas[-1] == "[DONE]" or "error" in values[-1])


def _text_of(route: str, value: dict[str, Any]) -> str:
    if route == "/api/chat":
        return str(value["message"]["content"])
    if route == "/v1/messages":
        return "".join(block.get("text", "") for block in value["content"])
    return str(value["choices"][0]["message"]["content"])


async def _missing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("this is no model call")


def simulate(setting: Setting) -> Outcome:
    """Run a world to its end."""

    async def whole(world: World) -> None:
        await world.run()

    world = lived(setting, whole)
    return Outcome(
        world.watch.trace.hexdigest(),
        setting.requests,
        world.faults,
        world.outcomes,
        world.watch.hedges,
        world.watch.extras,
        world.watch.longest,
    )


def lived(setting: Setting, life: Callable[[World], Awaitable[None]]) -> World:
    """A world after `life`. What breaks is told with the seed, the virtual time and the last events."""
    run = trio._core._run
    before = run._ALLOW_DETERMINISTIC_SCHEDULING
    run._ALLOW_DETERMINISTIC_SCHEDULING = True
    run._r.seed(setting.seed)
    held: list[World] = []

    async def main() -> None:
        held.append(World(setting))
        await life(held[0])

    try:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    except Exception as error:
        last = "\n".join(held[0].watch.last) if held else ""
        broken = held[0].watch.broken if held else None
        raise Broken(
            f"{broken or error!r}\n{setting}\nto see it again: SEED={setting.seed}\nthe last events:\n{last}"
        ) from error
    finally:
        run._ALLOW_DETERMINISTIC_SCHEDULING = before
    return held[0]
