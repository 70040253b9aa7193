"""What an outage costs, in virtual time: one of two dies and comes back, and all fail at once."""

import json
from collections import Counter
from random import Random

import pytest
import trio

from adapters.asgi import REQUEST_ID
from pipeline.state.breaker import DEFAULTS
from tests.simulation.fleet import Fault
from tests.simulation.world import Client, Setting, World, lived

CROWD = 50
BODY = json.dumps({"model": "m0", "messages": [{"role": "user", "content": "hi"}], "stream": False}).encode()


class Steady(Random):
    """Chance that never lets a client leave or dawdle."""

    def random(self):
        return 0.99


async def asked(world, number, told):
    client = Client(f"x{number}", "/api/chat", False, Steady())
    scope = {"type": "http", "method": "POST", "path": "/api/chat", "headers": [], REQUEST_ID: client.id}
    await world.app(scope, client.receiving(BODY), client.send)
    record = world.watch.story(client.id).records[0]
    told.append((trio.current_time(), client.status, record))


async def crowd(world, until, told):
    """`CROWD` clients, each asking again and again."""
    numbers = iter(range(10**6))

    async def one():
        while trio.current_time() < until:
            await asked(world, next(numbers), told)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.silences.run)
        async with trio.open_nursery() as clients:
            for _ in range(CROWD):
                clients.start_soon(one)
        nursery.cancel_scope.cancel()


async def begun(world):
    world.list_models()


@pytest.mark.parametrize("seed", range(1, 5))
def test_one_of_two_dies_and_comes_back(seed):
    dead = (Fault("killed", 20.0, 50.0, 1.0),)
    told = []

    async def life(world):
        await begun(world)
        await crowd(world, 120.0, told)

    world = lived(Setting(seed, strategy="round_robin", nodes=2, models=1, faults=((), dead)), life)
    after = [status == 200 for at, status, _ in told if at >= 21.0]
    assert sum(after) >= 0.999 * len(after)
    asked = [
        attempt.started for _, _, record in told for attempt in record.attempts if attempt.target == "n1/m0"
    ]
    while_dead = [started for started in asked if 20.0 <= started < 50.0]
    # Five failures, and one look each time the breaker lets one through.
    assert len(while_dead) <= DEFAULTS.hard_in_a_row + 4
    late = Counter(record.served for at, _, record in told if at >= 110.0)
    assert late["n1/m0"] >= 0.45 * late.total()
    assert world.board.snapshot.provider("n1").breaker.mode == "closed"


def test_where_all_fail_nobody_is_asked_much_more_often():
    broken = (Fault("server", 0.0, 1e9, 1.0),)
    told = []

    async def life(world):
        await begun(world)
        await crowd(world, 60.0, told)

    lived(Setting(2, nodes=3, models=1, faults=(broken,) * 3), life)
    assert all(status in (502, 503) for _, status, _ in told)
    assert sum(len(record.attempts) for *_, record in told) <= 1.2 * len(told)
    assert len(told) > CROWD * 60


async def quiet(world: World) -> None:
    await begun(world)
    world._settled()


def test_a_world_without_faults_is_quiet():
    lived(Setting(3, nodes=2, models=1, faults=((), ())), quiet)
