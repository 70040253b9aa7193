"""dry_run: a request goes its own way as far as the call, and no further."""

import pytest
from attrs import evolve, frozen

from pipeline.protocol import before, through
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.messages import EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry
from stages import CATALOG
from stages.call import CallOptions
from stages.dry_run import DryRun, dry_services
from stages.explaining import Explainer
from tests.kit import HELLO, Stand, exchange, target


@frozen
class Nothing:
    """No options."""


def never(inner):
    async def service(asked, wire):
        raise AssertionError("a dry run calls nobody")

    return service


def counted(ran, name, change=lambda asked: asked):
    """A stage that notes that it ran."""

    def move(asked):
        ran.append(name)
        return change(asked)

    return before(name, move)


def stage_entry(side):
    return Entry(lambda options, env: None, Nothing, side=side)


def planned(asked):
    return asked.planned(Plan((Candidate(target("a"), 1.0, "test"),), "test"))


def dry(names, **stages):
    """A dry run through `stages` in the order of `names`, where `call` stands."""
    stand = Stand({"a": tuple((0.0, event) for event in HELLO)})
    entries = {name: stage_entry("reply" if name.startswith("after") else "request") for name in stages}
    catalog = {**entries, "call": CATALOG["call"]}
    services = dry_services(
        {"chat": names, "embed": [name for name in names if name != "first"]},
        {**stages, "call": never},
        catalog,
    )
    return DryRun(services, Explainer(CallOptions(), stand.env)), stand


async def test_what_stands_before_the_call_sees_the_request():
    ran = []
    run, stand = dry(
        ["first", "second", "call", "after"],
        first=counted(ran, "first"),
        second=counted(ran, "second", planned),
        after=through(lambda asked: ran.append),
    )
    told = await run(exchange())
    assert ran == ["first", "second"]
    assert told["order"] == ["a/m"]
    assert stand.upstreams["a"].opened == []


async def test_nobody_is_made_to_wait():
    ran = []
    run, _ = dry(
        ["limit", "second", "call"], limit=counted(ran, "limit"), second=counted(ran, "second", planned)
    )
    await run(exchange())
    assert ran == ["second"]


async def test_each_operation_has_its_own_stages():
    ran = []
    run, _ = dry(
        ["first", "second", "call"], first=counted(ran, "first"), second=counted(ran, "second", planned)
    )
    await run(evolve(exchange(), request=EmbedRequest("m", ("hi",))))
    assert ran == ["second"]


@pytest.mark.parametrize("refusing", ["first", "second"])
async def test_a_refusal_is_what_would_become_of_it(refusing):
    ran = []
    problem = Problem(Kind.UNKNOWN_MODEL, subject="m")
    stages = {"first": counted(ran, "first"), "second": counted(ran, "second", planned)}
    stages[refusing] = before(refusing, lambda asked: problem)
    run, _ = dry(["first", "second", "call"], **stages)
    assert await run(exchange()) == problem


async def test_without_a_plan_nobody_is_needed():
    ran = []
    run, _ = dry(["first", "call"], first=counted(ran, "first"))
    assert await run(exchange()) == {"model": "m", "needs_no_provider": True}
