"""The stage that holds a permit: who waits, who is refused and with what words, and what it costs the others."""

import pytest
import trio
from attrs import evolve
from trio.testing import wait_all_tasks_blocked

from pipeline.gate import Gate
from pipeline.overload import Overload
from pipeline.protocol import Wire
from pipeline.state.shedding import place
from pipeline.values.callers import Caller, Priority
from pipeline.values.facts import Admitted, Queued, TurnedAway
from pipeline.values.problems import Kind
from stages.limit import LimitOptions, build
from tests.kit import Stand, exchange


class Client:
    """One exchange through the stage: the facts of it, and the problem it ended in."""

    def __init__(self, key=None, priority=Priority.NORMAL, lasts_s=1800.0):
        self.caller, self.priority, self.lasts_s = Caller(key), priority, lasts_s
        self.facts, self.problem = [], None

    async def emit(self, batch):
        await trio.lowlevel.checkpoint()
        self.problem = batch.events[-1].problem

    async def ask(self, service):
        now = trio.current_time()
        asked = exchange(now, caller=self.caller, priority=self.priority, deadline=now + self.lasts_s)
        await service(asked, Wire(self.emit, self.facts.append))

    @property
    def fact(self):
        """The last one."""
        return self.facts[-1]


def stage_of(seconds=1.0, overload=None, **options):
    """The stage around a service that takes so long, and its gate."""
    gates: list[Gate] = []
    env = evolve(Stand({}).env, opened=gates.append, overload=overload or Overload())

    async def inner(exchange, wire):
        await trio.sleep(seconds)

    return build(LimitOptions(**options), env)(inner), gates[0]


async def test_who_finds_a_place_does_not_wait(autojump_clock):
    service, gate = stage_of(max_concurrent=1)
    client = Client()
    await client.ask(service)
    assert client.facts == [Admitted(0.0)]
    assert (gate.held, gate.waiting) == (0, 0)


async def test_who_waits_can_ask_where_he_stands(autojump_clock, nursery):
    service, _ = stage_of(max_concurrent=1)
    clients = [Client() for _ in range(4)]
    for client in clients:
        nursery.start_soon(client.ask, service)
        await wait_all_tasks_blocked()
    queued = [client.fact for client in clients[1:]]
    assert all(isinstance(fact, Queued) for fact in queued)
    assert [fact.standing().position for fact in queued] == [1, 2, 3]
    await trio.sleep(1.5)
    assert [fact.standing() and fact.standing().position for fact in queued] == [None, 1, 2]
    await trio.sleep(3)
    assert clients[3].facts[-1].waited_s == pytest.approx(3.0)


async def test_a_refusal_says_where_one_would_stand_and_when_to_come_again(autojump_clock, nursery):
    service, _ = stage_of(max_concurrent=1, queue_size=6)
    for _ in range(15):
        nursery.start_soon(Client().ask, service)
        await trio.sleep(0.5)
    client = Client()
    nursery.start_soon(client.ask, service)
    await wait_all_tasks_blocked()
    assert isinstance(client.fact, TurnedAway)
    assert client.problem.kind is Kind.QUEUE_FULL
    assert client.fact.stood.position == 7
    assert "number 7" in client.problem.detail
    # One is served a second.
    assert client.problem.retry_after == pytest.approx(7.0, rel=0.1)


async def test_who_would_wait_too_long_is_refused_at_once(autojump_clock, nursery):
    service, _ = stage_of(max_concurrent=1, queue_timeout=5.0)
    for _ in range(12):
        nursery.start_soon(Client().ask, service)
        await trio.sleep(0.6)
    patient, hasty = Client(), Client(lasts_s=2.0)
    for client in (patient, hasty):
        nursery.start_soon(client.ask, service)
        await wait_all_tasks_blocked()
    assert hasty.problem.kind is Kind.QUEUE_FULL
    assert "too long" in hasty.problem.detail
    assert isinstance(patient.fact, Queued)


async def test_who_waited_in_vain_is_told_how_long(autojump_clock, nursery):
    service, gate = stage_of(60.0, max_concurrent=1, queue_timeout=3.0)
    nursery.start_soon(Client().ask, service)
    await wait_all_tasks_blocked()
    client = Client()
    await client.ask(service)
    assert client.problem.kind is Kind.QUEUE_TIMEOUT
    assert client.fact == TurnedAway(pytest.approx(3.0), client.fact.stood)
    assert client.fact.stood.position == 1
    assert gate.waiting == 0
    nursery.cancel_scope.cancel()


async def test_an_urgent_one_takes_the_place_of_another_in_a_full_queue(autojump_clock, nursery):
    service, _ = stage_of(max_concurrent=1, queue_size=2)
    nursery.start_soon(Client().ask, service)
    await wait_all_tasks_blocked()
    first, second, urgent = Client(), Client(), Client(priority=Priority.CRITICAL)
    for client in (first, second, urgent):
        nursery.start_soon(client.ask, service)
        await wait_all_tasks_blocked()
    assert second.problem.kind is Kind.QUEUE_FULL
    assert "more urgent" in second.problem.detail
    await trio.sleep(4)
    assert urgent.fact.waited_s < first.fact.waited_s


async def test_without_priorities_nobody_is_urgent(autojump_clock, nursery):
    service, _ = stage_of(max_concurrent=1, prioritization=False)
    clients = [Client(priority=priority) for priority in (Priority.NORMAL, Priority.LOW, Priority.CRITICAL)]
    for client in clients:
        nursery.start_soon(client.ask, service)
        await wait_all_tasks_blocked()
    await trio.sleep(4)
    assert [client.fact.waited_s for client in clients] == pytest.approx([0.0, 1.0, 2.0])


async def test_who_is_shed_never_comes_in(autojump_clock):
    overload = Overload(level=place(Priority.NORMAL.rank, "k", trio.current_time()) - 1)
    service, gate = stage_of(overload=overload)
    client = Client("k")
    await client.ask(service)
    assert client.problem.kind is Kind.QUEUE_FULL
    assert client.problem.retry_after == 5.0
    assert client.facts == [TurnedAway(0.0)]
    urgent = Client("k", Priority.CRITICAL)
    await urgent.ask(service)
    assert urgent.facts == [Admitted(0.0)]
    assert (overload.shed, gate.held) == (1, 0)


@pytest.mark.parametrize("moment", [n / 4 for n in range(24)])
async def test_whoever_is_cancelled_whenever_nothing_stays_held(moment, autojump_clock):
    service, gate = stage_of(max_concurrent=2, queue_size=3, queue_timeout=2.0)
    with trio.move_on_after(moment):
        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(Client(f"k{n % 3}", list(Priority)[n % 4]).ask, service)
                await trio.sleep(0.25)
    assert (gate.held, gate.waiting) == (0, 0)


async def test_a_key_that_asks_twenty_times_as_often_takes_nothing_from_the_others(autojump_clock):
    service, _ = stage_of(0.2, max_concurrent=8, queue_size=100, queue_timeout=5.0)  # forty a second
    clients = {key: [] for key in ("a", "b", "c", "d", "flood")}

    async def come(key, every_s):
        async with trio.open_nursery() as nursery:
            for _ in range(int(60 / every_s)):
                client = Client(key)
                clients[key].append(client)
                nursery.start_soon(client.ask, service)
                await trio.sleep(every_s)

    async with trio.open_nursery() as nursery:
        for key in "abcd":
            nursery.start_soon(come, key, 1 / 8)
        nursery.start_soon(come, "flood", 1 / 160)
    served = {
        key: sum(isinstance(one.fact, Admitted) for one in asked) / len(asked)
        for key, asked in clients.items()
    }
    assert min(served[key] for key in "abcd") == 1.0
    assert 0.04 < served["flood"] < 0.07, "what the others leave"
    waits = sorted(one.fact.waited_s for key in "abcd" for one in clients[key])
    assert waits[int(0.99 * len(waits))] < 0.5


async def test_the_lowest_class_is_served_while_the_others_flood(autojump_clock):
    service, _ = stage_of(0.2, max_concurrent=8, queue_size=200, queue_timeout=20.0)
    served = dict.fromkeys(Priority, 0)

    async def come(priority):
        async with trio.open_nursery() as nursery:
            for _ in range(40 * 60):
                nursery.start_soon(ask, priority)
                await trio.sleep(1 / 40)

    async def ask(priority):
        client = Client(priority.value, priority)
        await client.ask(service)
        served[priority] += isinstance(client.fact, Admitted)

    async with trio.open_nursery() as nursery:
        for priority in Priority:
            nursery.start_soon(come, priority)
    shares = [count / sum(served.values()) for count in served.values()]
    assert shares[-1] >= 0.04
    assert shares[0] > 0.5
    assert shares == sorted(shares, reverse=True)
    assert sum(served.values()) > 0.97 * 40 * 60, "no place stands empty"
