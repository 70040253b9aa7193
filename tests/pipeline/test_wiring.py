from itertools import permutations

import pytest
from attrs import evolve, frozen

from pipeline.protocol import Wire, before, through
from pipeline.values.events import Batch, Failed, TextDelta
from pipeline.values.exchange import Exchange, Plan
from pipeline.values.facts import Moved
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry, build_stages, compose, order_faults

EXCHANGE = Exchange("", ChatRequest("m"), "ollama.chat", arrived=0.0, deadline=9.0)


@frozen
class Options:
    """What the stages of this file are built with: a mark that they leave."""

    mark: str = ""


def on_request(options, env):
    return before(options.mark, lambda exchange: evolve(exchange, id=exchange.id + options.mark))


def route(options, env):
    def planned(exchange):
        return evolve(exchange, id=exchange.id + options.mark, plan=Plan((), "none"))

    return before(options.mark, planned)


def call(options, env):
    """Answers with the marks that the request has gathered."""

    def stage(inner):
        async def service(exchange, wire):
            await wire.emit(Batch((TextDelta(exchange.id + options.mark),)))

        return service

    return stage


def on_reply(options, env):
    def change(batch):
        marked = (
            TextDelta(event.text + options.mark) if isinstance(event, TextDelta) else event
            for event in batch.events
        )
        return Batch(tuple(marked))

    return through(lambda exchange: change)


CATALOG = {
    "normalize": Entry(on_request, Options, "request"),
    "route": Entry(route, Options, "request", gives=("plan",)),
    "limit": Entry(on_request, Options, "request", needs=("plan",)),
    "call": Entry(call, Options, "call", needs=("plan",), gives=("reply",)),
    "transform": Entry(on_reply, Options, "reply", needs=("reply",)),
    "record": Entry(on_reply, Options, "reply"),
}
GOOD = ["normalize", "route", "limit", "call", "transform", "record"]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        pytest.param(GOOD, [], id="the order of the house is without fault"),
        pytest.param(["route", "call"], [], id="the least that works"),
        pytest.param(
            ["normalize", "call", "route"],
            [
                'pipeline.stages[1]: "call" needs a plan; "route" gives one and stands later, at [2]. '
                'Move "route" before "call"',
                'pipeline.stages[2]: "route" works on the request, and "call" stands earlier. Move it before "call"',
            ],
            id="what is needed stands later",
        ),
        pytest.param(
            ["limit", "route", "call"],
            [
                'pipeline.stages[0]: "limit" needs a plan; "route" gives one and stands later, at [1]. '
                'Move "route" before "limit"'
            ],
            id="what is needed stands later, on the same side",
        ),
        pytest.param(
            ["normalize", "call"],
            ['pipeline.stages[1]: "call" needs a plan; "route" gives one. Add it before "call"'],
            id="what is needed is absent",
        ),
        pytest.param(
            ["route", "record"],
            ['pipeline.stages: "call" is missing; without it no provider is ever asked. Add "call"'],
            id="no call",
        ),
        pytest.param(
            [],
            ['pipeline.stages: "call" is missing; without it no provider is ever asked. Add "call"'],
            id="nothing at all",
        ),
        pytest.param(
            ["rout", "call"],
            [
                'pipeline.stages[0]: no stage is named "rout"; did you mean "route"?',
                'pipeline.stages[1]: "call" needs a plan; "route" gives one. Add it before "call"',
            ],
            id="a name misspelt",
        ),
        pytest.param(
            ["route", "call", "zzz"],
            [
                'pipeline.stages[2]: no stage is named "zzz". '
                "The stages are: call, limit, normalize, record, route, transform"
            ],
            id="a name that means nothing",
        ),
        pytest.param(
            ["route", "call", "record", "record"],
            ['pipeline.stages[3]: "record" is listed twice; remove one'],
            id="a stage twice",
        ),
        pytest.param(
            ["route", "call", "call"],
            ['pipeline.stages[2]: "call" is listed twice; remove one'],
            id="call twice",
        ),
        pytest.param(
            ["record", "route", "call"],
            [
                'pipeline.stages[0]: "record" works on the reply, and "call" stands later. Move it behind "call"'
            ],
            id="a stage of the reply before call",
        ),
        pytest.param(
            ["route", "call", "normalize"],
            [
                'pipeline.stages[2]: "normalize" works on the request, and "call" stands earlier. Move it before "call"'
            ],
            id="a stage of the request after call",
        ),
        pytest.param(
            ["transform", "route", "call"],
            [
                'pipeline.stages[0]: "transform" works on the reply, and "call" stands later. Move it behind "call"',
                'pipeline.stages[0]: "transform" needs a reply; "call" gives one and stands later, at [2]. '
                'Move "call" before "transform"',
            ],
            id="a stage may be wrong in two ways",
        ),
    ],
)
def test_faults_of_an_order(names, faults):
    assert list(order_faults(names, CATALOG)) == faults


def test_faults_name_the_list_they_stand_in():
    [fault] = order_faults(["route"], CATALOG, path="pipeline.embed.stages")
    assert fault.startswith('pipeline.embed.stages: "call" is missing')


def test_all_that_can_give_what_is_needed_are_named():
    catalog = {**CATALOG, "pin": Entry(route, Options, "request", gives=("plan",))}
    [fault] = order_faults(["call"], catalog)
    assert (
        fault == 'pipeline.stages[0]: "call" needs a plan; "pin" or "route" gives one. Add it before "call"'
    )


def test_a_need_that_no_stage_meets_is_said_to_be_so():
    catalog = {**CATALOG, "odd": Entry(on_request, Options, "request", needs=("moon",))}
    [fault] = order_faults(["odd", "route", "call"], catalog)
    assert fault == 'pipeline.stages[0]: "odd" needs a moon; no stage gives one. Remove "odd"'


# Each stage leaves the first letter of its name.
STAGES = build_stages({name: Options(name[0]) for name in CATALOG}, CATALOG, env=None)


async def heard(names):
    """What a service of `names` says, and which stages told of a move."""
    said, told = [], []

    async def emit(batch):
        said.append(batch)

    await compose(names, STAGES, CATALOG)(EXCHANGE, Wire(emit, told.append))
    return said, [fact.stage for fact in told if isinstance(fact, Moved)]


async def test_the_list_is_the_path_in_time():
    said, moved = await heard(GOOD)
    assert said == [Batch((TextDelta("nrlctr"),))]
    assert moved == ["n", "r", "l"]


ORDERS = [
    names for size in range(7) for names in permutations(CATALOG, size) if not order_faults(names, CATALOG)
]


@pytest.mark.parametrize("names", ORDERS, ids="-".join)
async def test_every_accepted_order_runs_as_it_stands(names):
    said, _ = await heard(names)
    assert said == [Batch((TextDelta("".join(name[0] for name in names)),))]


def test_there_are_accepted_orders_and_refused_ones():
    assert tuple(GOOD) in ORDERS
    assert 1 < len(ORDERS) < sum(1 for size in range(7) for _ in permutations(CATALOG, size))


async def test_a_refusal_on_the_way_passes_the_stages_of_the_reply():
    problem = Problem(Kind.NO_TARGET)
    refusing = Entry(
        lambda options, env: before("no", lambda exchange: problem), Options, "request", gives=("plan",)
    )
    seen, said = [], []

    def listening(options, env):
        return through(
            lambda exchange: lambda batch: seen.append((options.mark, exchange.id, batch)) or batch
        )

    catalog = {**CATALOG, "route": refusing, "record": Entry(listening, Options, "reply")}
    names = ["normalize", "route", "call", "record"]

    async def emit(batch):
        said.append(batch)

    stages = build_stages({name: Options(name) for name in catalog}, catalog, env=None)
    service = compose(names, stages, catalog)
    await service(evolve(EXCHANGE, id="as sent"), Wire(emit, lambda fact: None))
    assert said == [Batch((Failed(problem),))]
    assert seen == [("record", "as sent", said[0])]


def test_a_stage_is_built_once_with_its_own_options_and_shared_by_all_pipelines():
    built = []

    def building(options, env):
        built.append((options, env))
        return lambda inner: inner

    catalog = {"call": Entry(building, Options, "call"), "after": Entry(building, Options, "reply")}
    env = object()
    stages = build_stages({"call": Options("c"), "after": Options("a")}, catalog, env)
    for names in (["call"], ["call", "after"]):
        compose(names, stages, catalog)
    assert built == [(Options("c"), env), (Options("a"), env)]
