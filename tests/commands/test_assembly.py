"""A house that is configured anew while it serves, in process and on virtual time."""

import gc
import weakref
from contextlib import asynccontextmanager
from functools import partial

import orjson
import pytest
import trio
import trio.testing
from attrs import evolve

from adapters import lateness
from adapters.providers import CODECS
from adapters.reload import Reloaded
from adapters.simulator.demo import standard_scenario
from adapters.simulator.transport import SimulatorTransport
from commands import assembly, environment
from commands.assembly import Assembled, assembled
from pipeline.config import Config, ConfigError, Fault, Sources, resolve
from pipeline.ports import Env
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider
from stages import CATALOG
from tests.adapters.asgi_kit import call

HEAD_S = 1.0
FAULT = Fault("proxy.toml:1", "server.port", "must be a number")


def provider(name, **changes):
    at = f"http://{name}.test/openai/v1"
    return evolve(Provider(name, "openai", at, secret=Secret("sim-key"), transport="simulator"), **changes)


A, B = provider("a", priority=1), provider("b", priority=2)


class Paper:
    """What is written in proxy.toml: a Config, or faults."""

    def __init__(self, tmp_path):
        self.data_dir = str(tmp_path)
        self.written = self.config()

    def config(self, toml="", providers=(A,), **changes):
        source = f"{toml}\n[server]\ndata_dir = {self.data_dir!r}\n"
        read = resolve(Sources(toml=source), catalog=CATALOG, kinds=CODECS)
        return evolve(read, providers=providers, demo=False, **changes)

    def limit(self, count, **changes):
        return self.config(f"[stage.limit]\nmax_concurrent = {count}\n", **changes)

    def __call__(self, touch):
        if isinstance(self.written, Config):
            return self.written
        raise ConfigError(self.written)


@pytest.fixture
def paper(tmp_path, monkeypatch, autojump_clock):
    # Virtual time stands still while a thread may be at work.
    autojump_clock.autojump_threshold = 0.01
    monkeypatch.setattr(lateness, "NAP_S", 60.0)
    monkeypatch.setattr(environment, "demo_scenario", lambda: evolve(standard_scenario(), head_s=HEAD_S))
    return Paper(tmp_path)


@asynccontextmanager
async def living(paper):
    house = assembled(paper.written, paper)
    async with house.living():
        await trio.sleep(2.0)  # the first reading, and the probes
        yield house


async def chat(house, into=None, model="chat"):
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False})
    began = trio.current_time()
    got = await call(house.application, "POST", "/api/chat", body=body)
    if into is not None:
        into.append((got.status, got.header("x-provider"), trio.current_time() - began))
    return got


async def reloaded(house, paper, config):
    paper.written = config
    return await house.reload()


def gates(house):
    return house.now.house.queues


async def test_a_request_goes_on_under_what_it_began_with(paper, autojump_clock):
    async with living(paper) as house:
        done = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chat, house, done)
            await trio.sleep(0.3)
            carrier = house.now.env.transports["a"]
            outcome = await reloaded(house, paper, paper.config(providers=(B,)))
            assert outcome == Reloaded(("providers.a", "providers.b"))
            assert len(house.leaving) == 1
            nursery.start_soon(chat, house, done)
        assert [(status, name) for status, name, _ in done] == [(200, "a"), (200, "b")]
        await trio.testing.wait_all_tasks_blocked()
        assert house.leaving == []
        assert carrier not in house.now.env.transports.values()
        assert "a" not in house.kept.board.snapshot.providers


async def test_what_is_about_to_come_into_force_keeps_what_it_has_taken_over(
    paper, monkeypatch, autojump_clock
):
    """Its forerunner leaves while it is introduced, and with that one nothing goes that both use."""
    pauses, shut = [0.0, 2.0], []

    async def introduced(*given):
        await trio.sleep(pauses.pop(0))

    async def aclose(self):
        shut.append(self)

    async with living(paper) as house:
        monkeypatch.setattr(assembly, "first_round", introduced)
        monkeypatch.setattr(SimulatorTransport, "aclose", aclose)
        carrier = house.now.env.transports["a"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(chat, house)
            await trio.sleep(0.2)
            await reloaded(house, paper, paper.config(providers=(B,)))
            assert len(house.leaving) == 1
            await reloaded(house, paper, paper.config(providers=(A, B)))
        assert house.now.env.transports["a"] is carrier
        assert shut == []
        assert "a" in house.kept.board.snapshot.providers
        assert (await chat(house)).status == 200


async def test_those_who_wait_are_not_lost_when_the_limit_changes(paper, autojump_clock):
    paper.written = paper.limit(1)
    async with living(paper) as house:
        (gate,), done = gates(house), []
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(chat, house, done)
            await trio.sleep(0.1)
            assert (gate.held, gate.waiting) == (1, 3)
            await reloaded(house, paper, paper.limit(4))
            assert gates(house) == [gate]
            assert (gate.limit, gate.held, gate.waiting) == (4, 4, 0)
        assert [status for status, _, _ in done] == [200] * 4
        assert max(seconds for _, _, seconds in done) < 2 * HEAD_S
        assert gate.held == 0


async def test_a_lower_limit_takes_nobody_his_place(paper, autojump_clock):
    paper.written = paper.limit(4)
    async with living(paper) as house:
        (gate,), done = gates(house), []
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(chat, house, done)
            await trio.sleep(0.1)
            await reloaded(house, paper, paper.limit(1))
            assert (gate.limit, gate.held) == (1, 4)
            nursery.start_soon(chat, house, done)
            await trio.sleep(0.1)
            assert gate.waiting == 1
        assert [status for status, _, _ in done] == [200] * 5
        assert gate.held == gate.waiting == 0


async def test_the_limit_of_a_provider_changes_without_another_gate_or_pool(paper, autojump_clock):
    async with living(paper) as house:
        before = house.now.env
        outcome = await reloaded(house, paper, paper.config(providers=(evolve(A, max_concurrent=3),)))
        after = house.now.env
        assert outcome == Reloaded(("providers.a.max_concurrent_requests",))
        assert after is not before
        assert after.gates["a"] is before.gates["a"]
        assert after.transports["a"] is before.transports["a"]
        assert after.gates["a"].limit == after.leaves.gates["a"].limit == 3


async def test_what_is_known_of_an_account_lasts_and_of_another_one_does_not(paper, autojump_clock):
    async with living(paper) as house:
        await chat(house)
        known = house.kept.board.snapshot.targets["a/chat"]
        await reloaded(house, paper, paper.config(providers=(evolve(A, weight=3.0), B)))
        assert house.kept.board.snapshot.targets["a/chat"] == known
        models = house.kept.board.snapshot.provider("a").models
        await reloaded(house, paper, paper.config(providers=(evolve(A, secret=Secret("another")), B)))
        assert "a/chat" not in house.kept.board.snapshot.targets
        assert house.kept.board.snapshot.provider("a").models == models


async def test_a_new_provider_has_told_its_models_before_anybody_asks_it(paper, autojump_clock):
    async with living(paper) as house:
        assert house.kept.board.snapshot.provider("b").models is None
        await reloaded(house, paper, paper.config(providers=(A, B)))
        assert house.kept.board.snapshot.provider("b").models


async def test_a_new_provider_that_does_not_answer_holds_up_nobody_for_long(
    paper, monkeypatch, autojump_clock
):
    slow = evolve(standard_scenario(), head_s=600.0)
    async with living(paper) as house:
        monkeypatch.setattr(environment, "demo_scenario", lambda: slow)
        began = trio.current_time()
        await reloaded(house, paper, paper.config(providers=(A, B)))
        assert trio.current_time() - began == pytest.approx(3.0, abs=0.2)
        assert set(house.now.env.providers) == {"a", "b"}


@pytest.mark.parametrize(
    ("written", "told"),
    [
        pytest.param(lambda paper: (FAULT,), "server.port", id="it cannot be read"),
        pytest.param(
            lambda paper: evolve(
                paper.limit(2, providers=(B,)),
                models={"x": environment.DEMO_MODELS["demo"].__class__(strategy="nobody's")},
            ),
            "models.x.strategy",
            id="a stage refuses it",
        ),
    ],
)
async def test_what_cannot_be_used_changes_nothing(written, told, paper, caplog, autojump_clock):
    async with living(paper) as house:
        before, (gate,) = house.now, gates(house)
        (fault,) = await reloaded(house, paper, written(paper))
        assert fault.path == told
        assert house.now is before
        assert (gate.limit, house.leaving) == (100, [])
        assert set(house.kept.board.snapshot.providers) == {"a"}
        assert caplog.text.count(told) == 1
        got = await call(house.application, "GET", "/health/detailed")
        assert [error["path"] for error in got.json["configuration"]["errors"]] == [told]
        assert (await chat(house)).status == 200
        await reloaded(house, paper, paper.config())
        assert (await call(house.application, "GET", "/health/detailed")).json["configuration"][
            "errors"
        ] == []


async def test_a_stage_that_breaks_while_it_is_built_changes_nothing(
    paper, monkeypatch, caplog, autojump_clock
):
    async with living(paper) as house:
        before = house.now

        def broken(options, env):
            raise RuntimeError("a bug of an operator")

        for name in ("record",):
            monkeypatch.setitem(CATALOG, name, evolve(CATALOG[name], build=broken))
        (fault,) = await reloaded(house, paper, paper.limit(3))
        assert "a bug of an operator" in fault.text
        assert house.now is before


async def test_what_needs_a_restart_is_told_and_left_alone(paper, caplog, autojump_clock):
    async with living(paper) as house:
        config = paper.config()
        wanted = evolve(config, server=evolve(config.server, port=9999, log_level="warning"))
        assert await reloaded(house, paper, wanted) == Reloaded(("server.log_level",), ("server.port",))
        assert house.now.config.server.port == 11434
        got = await call(house.application, "GET", "/health/detailed")
        assert got.json["configuration"]["needs_restart"] == ["server.port"]
        assert "needs a restart to take effect: server.port" in caplog.text


async def test_each_configuration_in_force_is_heard_of(paper, autojump_clock):
    async with living(paper) as house:
        heard = []
        house.heard = heard.append
        await reloaded(house, paper, paper.config())
        await reloaded(house, paper, (FAULT,))
        await reloaded(house, paper, paper.limit(3))
        assert [config.options["limit"].max_concurrent for config in heard] == [3]


async def test_the_operator_may_ask_for_it(paper, autojump_clock):
    async with living(paper) as house:
        for written, status, answer in [
            (paper.limit(3), 200, {"changed": ["stage.limit.max_concurrent"], "needs_restart": []}),
            (paper.limit(3), 200, {"changed": [], "needs_restart": []}),
        ]:
            paper.written = written
            got = await call(house.application, "POST", "/api/admin/reload")
            assert (got.status, got.json) == (status, answer)
        paper.written = (FAULT,)
        got = await call(house.application, "POST", "/api/admin/reload")
        assert (got.status, got.json["faults"][0]["where"]) == (422, "proxy.toml:1")


async def test_the_longest_body_changes_for_both_planes(paper, autojump_clock):
    async with living(paper) as house:
        config = paper.config()
        small = evolve(config, server=evolve(config.server, max_body_bytes=10))
        await reloaded(house, paper, small)
        assert (await chat(house)).status == 413
        assert (await call(house.application, "POST", "/api/show", body=b"x" * 11)).status == 413


async def test_who_leaves_while_it_is_read_leaves_it_to_be_read_again(paper, tmp_path, autojump_clock):
    file = tmp_path / "proxy.toml"
    file.write_text("a")

    def read(touch):
        touch(file)
        return paper(touch)

    house = assembled(paper.written, read)
    async with house.living():
        await trio.sleep(2.0)
        paper.written = paper.config(providers=(A, B))
        file.write_text("bb")
        with trio.move_on_after(0.1) as left:
            await house.reload()
        assert left.cancelled_caught
        assert set(house.now.env.providers) == {"a"}
        await trio.sleep(4.0)
        assert set(house.now.env.providers) == {"a", "b"}


def tasks(task=None):
    """How many tasks there are."""
    task = task or trio.lowlevel.current_root_task()
    return 1 + sum(tasks(child) for nursery in task.child_nurseries for child in nursery.child_tasks)


def alive(kind):
    gc.collect()
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def test_after_many_reloads_nothing_is_left_behind(paper, autojump_clock):
    turns = (
        paper.limit(3, providers=(A, B)),
        paper.limit(7, providers=(evolve(A, max_concurrent=2), provider("c"))),
        paper.config('[pipeline]\nstages = ["route", "limit", "call", "record"]\n', providers=(B,)),
        (FAULT,),
    )
    async with living(paper) as house:
        await chat(house)
        counts = []
        for number in range(40):
            await reloaded(house, paper, turns[number % len(turns)])
            assert (await chat(house)).status == 200
            if number in (3, 39):
                await trio.sleep(5.0)
                counts.append(
                    (
                        tasks(),
                        alive(Env),
                        alive(Assembled),
                        alive(SimulatorTransport),
                        alive(environment.Gate),
                    )
                )
        assert counts[0] == counts[1]
        assert house.leaving == []


async def test_an_arrangement_goes_with_its_last_guest_and_waits_for_no_collector(paper, autojump_clock):
    async with living(paper) as house:
        await reloaded(house, paper, paper.limit(3))
        await chat(house)
        old = weakref.ref(house.now.env)
        gc.disable()
        try:
            await reloaded(house, paper, paper.limit(4))
            await trio.sleep(1.0)
            assert old() is None
        finally:
            gc.enable()


async def test_two_who_ask_at_once_are_served_one_after_the_other(paper, autojump_clock):
    async with living(paper) as house:
        paper.written = paper.config(providers=(A, B))
        outcomes = []

        async def ask():
            outcomes.append(await house.reload())

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(ask)
        assert sorted(outcome.changed for outcome in outcomes) == [(), ("providers.b",)]


async def test_a_house_that_ends_while_somebody_is_served_under_an_older_arrangement_closes_all(
    paper, autojump_clock
):
    async with living(paper) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(chat, house))
            await trio.sleep(0.1)
            await reloaded(house, paper, paper.config(providers=(B,)))
            assert len(house.leaving) == 1
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert house.leaving == []
