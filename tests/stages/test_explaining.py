"""explaining: what is told is what would happen."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from attrs import evolve, field, frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pipeline.names import permits
from pipeline.ports import Encoded
from pipeline.state.board import Board
from pipeline.values.events import Failed
from pipeline.values.exchange import How, Loss, Preference
from pipeline.values.facts import AttemptEnded, AttemptStarted, FirstToken, ModelsListed, Moved, ProbeEnded
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    EmbedRequest,
    Format,
    Image,
    LoadRequest,
    Message,
    Prompt,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts, ModelRule, Price
from pipeline.wiring import build_stages, compose
from stages import CATALOG
from stages.call import CallOptions
from stages.dry_run import DryRun, dry_services
from stages.explaining import Explainer
from stages.normalize import NormalizeOptions
from stages.route import RouteOptions
from stages.strategies import STRATEGIES
from tests.kit import SCRIPTED, Ear, Stand, exchange, provider, request

NOW = 1000.0
FAILS = ((0.0, 500),)
LIST = ("normalize", "route", "call")
IMPOSSIBLE = Problem(Kind.UNSUPPORTED, "it cannot be said there")


@frozen
class Told:
    """Something that happened `ago` seconds before now, `times` times over, at provider `place` and `model`."""

    place: int
    ago: float
    times: int = 1
    kind: Kind | None = None
    after_s: float = 0.5
    hint: float | None = None
    model: str = "m"
    check: bool = False


@frozen
class House:
    """A house, what happened in it, and one request. `unsayable` and `lossy`: providers by number."""

    models: tuple[tuple[ModelFacts, ...], ...]
    weights: tuple[float, ...]
    priorities: tuple[int, ...]
    told: tuple[Told, ...] = ()
    route: RouteOptions = RouteOptions()
    call: CallOptions = CallOptions()
    rule: ModelRule = ModelRule()
    others: dict = field(factory=dict)
    filtered: tuple[str, ...] = ()
    roll: float = 0.5
    unsayable: frozenset[int] = frozenset()
    lossy: frozenset[int] = frozenset()
    wished: dict = field(factory=dict)
    tools: bool = False
    thinking: Thinking | None = None
    said: dict = field(factory=dict)
    left_s: float = 1800.0

    def facts(self):
        for number, models in enumerate(self.models):
            yield ModelsListed(f"n{number}", 0.0, models)
        for one in sorted(self.told, key=lambda one: -one.ago):
            place, at = f"n{one.place % len(self.models)}", NOW - one.ago
            for _ in range(one.times):
                if one.check:
                    yield ProbeEnded(place, at, 0.1, one.kind)
                    continue
                target = f"{place}/{one.model}"
                yield AttemptStarted(1, target, at - one.after_s)
                if one.kind is None:
                    yield FirstToken(1, target, at, one.after_s)
                yield AttemptEnded(1, target, at, one.after_s, one.kind, retry_after=one.hint)

    def providers(self):
        return {
            f"n{number}": provider(f"n{number}", priority=priority, weight=weight)
            for number, (priority, weight) in enumerate(zip(self.priorities, self.weights, strict=True))
        }

    def encode(self, asked, target):
        number = int(target.provider.name[1:])
        if number in self.unsayable:
            return IMPOSSIBLE
        losses = (Loss("top_k", How.DROPPED),) if number in self.lossy else ()
        return Encoded(HttpRequest("POST", f"{target.provider.base_url}/"), losses)

    def asked(self):
        said = request(thinking=self.thinking, tools=(Tool("t"),) if self.tools else (), **self.said)
        changes = {"request": said, "deadline": NOW + self.left_s, "explain": True, **self.wished}
        return evolve(exchange(NOW), **changes)


def standing(house):
    """The house with all that happened in it: its Env, its board and its stages."""
    board = Board(lambda count: (house.roll,) * count)
    for fact in house.facts():
        board.tell(fact)
    names = house.providers()
    env = evolve(
        Stand(dict.fromkeys(names, FAILS), board=board).env,
        providers=names,
        codecs={"scripted": evolve(SCRIPTED, encode=house.encode)},
        rolls=lambda count: (house.roll,) * count,
        models={"m": house.rule, **house.others},
        allowed=permits(house.filtered),
    )
    options = {"normalize": NormalizeOptions(), "route": house.route, "call": house.call}
    catalog = {name: CATALOG[name] for name in LIST}
    return env, board, build_stages(options, catalog, env), catalog


def both(house):
    """What is told of the house's request, and then the ear that heard what became of it."""

    async def run():
        env, board, stages, catalog = standing(house)
        dry = DryRun(
            dry_services(dict.fromkeys(("chat", "embed", "load"), LIST), stages, catalog),
            Explainer(house.call, env),
        )
        before = board.snapshot
        told = await dry(house.asked())
        assert board.snapshot is before
        ear = Ear(board=board)
        await compose(LIST, stages, catalog)(house.asked(), ear.wire)
        return told, ear

    clock = MockClock(autojump_threshold=0)
    clock.jump(NOW)
    return trio.run(run, clock=clock)


def asked(ear):
    return [fact.target for fact in ear.told(AttemptStarted)]


def planned(ear):
    return next((fact.exchange.plan for fact in ear.told(Moved) if fact.exchange.plan), None)


kinds = st.sampled_from(
    [
        *(None, None, Kind.SERVER, Kind.SERVER, Kind.CONNECT, Kind.OVERLOADED, Kind.RATE_LIMITED),
        *(Kind.QUOTA, Kind.AUTH, Kind.NOT_FOUND, Kind.FIRST_BYTE, Kind.POLICY),
    ]
)
told = st.builds(
    Told,
    place=st.integers(0, 5),
    ago=st.floats(0.0, 30.0) | st.sampled_from([0.0, 5.1, 60.0, 400.0]),
    times=st.sampled_from([1, 2, 5, 20]),
    kind=kinds,
    after_s=st.floats(0.01, 20.0),
    hint=st.none() | st.floats(0.0, 400.0),
    model=st.sampled_from(["m", "m", "m", "n"]),
    check=st.integers(0, 5).map(lambda number: number == 0),
)
facts = st.builds(
    ModelFacts,
    name=st.just("m"),
    capabilities=st.none()
    | st.sampled_from([frozenset({"completion"}), frozenset({"completion", "tools", "thinking"})]),
    context_length=st.sampled_from([None, None, 4, 8000]),
    price=st.none() | st.builds(Price, st.floats(0, 10), st.floats(0, 10)),
)


def backwards(target, view):
    """A strategy of an operator's own."""
    return -int(target.provider.name[1:])


def wrong(target, view):
    """Another one, with faults."""
    if target.provider.name == "n0":
        raise KeyError("n0")
    return float("nan") if target.provider.name == "n1" else view.tokens


OWN = [f"{__name__}:{one.__name__}" for one in (backwards, wrong)]
strategies = st.sampled_from(sorted(STRATEGIES) * 2 + OWN)
NAMES = [
    "m",
    "m",
    "m",
    "M:latest",
    " m ",
    "n0/m",
    "N1/M:latest",
    "n1/nowhere",
    "al",
    "AL:latest",
    "n",
    "nobody/m",
    "",
]
ALIASED = ["n0/m", "n1/m", "n1/M", "n0/n", "n1/unlisted", "n0/m:latest"]
PICTURE = Message(Role.TOOL, (ToolResult("c", "f", "done"), Image(data="aGk=")))
WORDS = Message(Role.USER, (Text("word " * 200),))
SAID = st.sampled_from(
    [
        *({}, {}, {"messages": (WORDS,)}, {"messages": (WORDS, PICTURE)}),
        {"format": Format({"type": "object"})},
        {"messages": (), "prompt": Prompt("a", suffix="b")},
        {"choices": 3, "sampling": Sampling(max_tokens=7)},
    ]
)


@st.composite
def rules(draw):
    """What is said of a model: who stands in for it, be it itself, one that it stands in for, or nobody's."""
    others = st.lists(st.sampled_from(["n", "m", "al", "zz", "n0/n"]), max_size=3).map(tuple)
    return ModelRule(
        fallback=draw(others),
        longer_fallback=draw(others),
        policy_fallback=draw(others),
        strategy=draw(st.none() | strategies),
        context_length=draw(st.sampled_from([None, None, 4, 8000])),
        capabilities=draw(st.sampled_from([None, None, frozenset({"completion", "vision", "insert"})])),
    )


@st.composite
def houses(draw):
    count = draw(st.integers(2, 6))
    models = tuple(
        tuple(evolve(draw(facts), name=name) for name in draw(st.sampled_from(["m", "m", "mn", "n"])))
        for _ in range(count)
    )
    names = st.lists(st.sampled_from([f"n{number}" for number in range(count)]), max_size=3, unique=True)
    preferred = tuple(draw(names))
    return House(
        models,
        tuple(draw(st.sampled_from([0.5, 1.0, 1.0, 3.0])) for _ in range(count)),
        tuple(draw(st.integers(1, 3)) for _ in range(count)),
        tuple(draw(st.lists(told, max_size=14))),
        RouteOptions(draw(strategies), draw(st.sampled_from([True, True, True, False]))),
        CallOptions(
            fallback=draw(st.sampled_from(["none", "next_available", "retry_same", "best_alternative"])),
            max_attempts=draw(st.integers(1, 7)),
            last_resort=draw(st.sampled_from(["probe_only", "ignore_breakers", "fail_fast"])),
        ),
        draw(rules()),
        {
            "n": draw(rules()),
            "al": evolve(
                draw(rules()), targets=tuple(draw(st.lists(st.sampled_from(ALIASED), min_size=1, max_size=4)))
            ),
        },
        draw(st.sampled_from([(), (), (), ("!n",), ("*", "!n0/*"), ("m", "n1/*")])),
        draw(st.floats(0.0, 0.999999) | st.sampled_from([0.0, 0.01, 0.049, 0.999999])),
        frozenset(draw(st.sets(st.integers(0, 20), max_size=4))),
        frozenset(draw(st.sets(st.integers(0, 10), max_size=4))),
        {
            "preference": Preference(preferred, bool(preferred) and draw(st.booleans())),
            "strategy": draw(st.none() | strategies),
            "strict": draw(st.booleans()),
            "client_retry": draw(st.booleans()),
        },
        draw(st.booleans()),
        draw(st.sampled_from([None, Thinking(on=True), Thinking(on=True, wish=True)])),
        {**draw(SAID), "model": draw(st.sampled_from(NAMES))},
        draw(st.sampled_from([1800.0, 1800.0, 3.0, 0.9])),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(houses())
def test_what_is_told_is_what_happens(house):
    told, ear = both(house)
    plan = planned(ear)
    if plan is None:
        assert isinstance(told, Problem)
        assert ear.events == (Failed(told),)
        return
    assert told["order"] == asked(ear)
    assert told["strategy"] == plan.strategy
    assert len(set(told["order"])) == len(told["order"]) or house.call.fallback == "retry_same"
    names = [(one["target"], one["score"], one["group"]) for one in told["candidates"]]
    assert names == [(one.target.name, one.score, one.group) for one in plan.candidates]
    assert [(one["target"], one["why"]) for one in told["refused"]] == [
        (one.target.name, one.why) for one in plan.refused
    ]


MODEL = (ModelFacts("m", frozenset({"completion"})),)
TWO = House((MODEL, MODEL), (1.0, 1.0), (1, 2))


@pytest.mark.parametrize(
    ("house", "order"),
    [
        pytest.param(TWO, ["n0/m", "n1/m"], id="by priority"),
        pytest.param(
            evolve(TWO, call=CallOptions(fallback="retry_same")),
            ["n0/m", "n0/m", "n1/m"],
            id="the same again",
        ),
        pytest.param(
            evolve(TWO, call=CallOptions(fallback="retry_same"), told=(Told(0, 1.0, 4, Kind.SERVER),)),
            ["n0/m", "n1/m", "n1/m"],
            id="but not where its failure trips it",
        ),
        pytest.param(
            evolve(
                TWO,
                call=CallOptions(fallback="retry_same"),
                told=(Told(0, 1.0, 1, Kind.RATE_LIMITED, hint=200.0), Told(1, 1.0, 1, Kind.AUTH)),
            ),
            ["n0/m"],
            id="all are closed off: who opens first",
        ),
        pytest.param(
            evolve(TWO, unsayable=frozenset({0})), ["n1/m"], id="who cannot be told it is not asked"
        ),
        pytest.param(
            evolve(TWO, lossy=frozenset({0}), wished={"strict": True}),
            ["n1/m"],
            id="nor who would lose of it",
        ),
        pytest.param(evolve(TWO, lossy=frozenset({0})), ["n0/m", "n1/m"], id="unless that may be"),
        pytest.param(evolve(TWO, left_s=0.5), ["n0/m"], id="no time for a second"),
    ],
)
def test_the_order(house, order):
    told, ear = both(house)
    assert told["order"] == order == asked(ear)


def test_what_is_told_of_a_candidate():
    price = Price(1.0, 2.0)
    models = (
        (ModelFacts("m", frozenset({"completion"}), price=price),),
        MODEL,
        (ModelFacts("m", frozenset({"embedding"})),),
    )
    house = House(
        models,
        (1.0, 1.0, 1.0),
        (1, 2, 3),
        (Told(0, 10.0, 1, None, 0.4), Told(1, 2.0, 5, Kind.SERVER)),
        lossy=frozenset({0}),
        unsayable=frozenset({1}),
    )
    told, _ = both(house)
    first, second = told["candidates"]
    assert first["cost"] == pytest.approx((told["input_tokens"] * 1.0 + 500 * 2.0) / 1e6)
    assert first["first_token_s"] == pytest.approx(0.4, abs=0.05)
    assert (first["may_be_asked"], first["breaker"], first["weight"]) == (True, "closed", 1.0)
    assert (first["loses"], first["impossible"]) == ({"top_k": "dropped"}, None)
    assert (second["may_be_asked"], second["barred_by"], second["breaker"]) == (False, "breaker", "open")
    assert 0 < second["barred_for_s"] <= 5.0
    assert (second["cost"], second["impossible"]) == (None, IMPOSSIBLE.detail)
    assert told["refused"] == [{"target": "n2/m", "why": "has no completion"}]


def test_a_wish_to_think_is_told_as_the_call_would_send_it():
    house = evolve(TWO, thinking=Thinking(on=True, wish=True), wished={"strict": True})
    told, ear = both(house)
    assert told["order"] == asked(ear) == []
    assert "thinking" in told["candidates"][0]["impossible"]


def test_a_second_one_beside_the_first():
    assert both(TWO)[0]["hedge_after_s"] is None
    assert both(evolve(TWO, call=CallOptions(hedge="delay", hedge_after=0.7)))[0]["hedge_after_s"] == 0.7


@pytest.mark.parametrize("load", [LoadRequest("m"), LoadRequest("m", unload=True)], ids=["load", "unload"])
def test_loading_needs_no_provider(load):
    told, _ = both(evolve(TWO, wished={"request": load}))
    assert told == {"model": "m", "needs_no_provider": True}


def test_what_is_to_be_embedded():
    models = (ModelFacts("m", frozenset({"embedding"})),)
    house = evolve(TWO, models=(models, models), wished={"request": EmbedRequest("m", ("hi",))})
    told, ear = both(house)
    assert told["order"] == asked(ear) == ["n0/m", "n1/m"]


async def test_who_is_busy_is_passed_by(autojump_clock):
    env, _board, stages, catalog = standing(TWO)
    dry = DryRun(dry_services({"chat": LIST}, stages, catalog), Explainer(TWO.call, env))
    async with _full(env.gates["n0"]):
        told = await dry(evolve(TWO.asked(), deadline=trio.current_time() + 100.0))
    assert told["order"] == ["n1/m", "n0/m"]


@asynccontextmanager
async def _full(gate):
    async with AsyncExitStack() as stack:
        for _ in range(gate.limit):
            await stack.enter_async_context(gate.hold())
        yield
