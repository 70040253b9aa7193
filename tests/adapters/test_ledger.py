import logging
import threading

import pytest
import trio
from attrs import evolve

from adapters.ledger import BATCH, Ledger, log_fields
from pipeline.values.events import Usage
from pipeline.values.exchange import Attempt, Record
from pipeline.values.problems import Kind

RECORD = Record(
    id="r",
    at=1.0,
    caller=None,
    dialect="ollama.chat",
    operation="chat",
    model="m",
    stream=True,
    outcome="ok",
    problem=None,
    status=200,
    served="a/m",
    attempts=(
        Attempt(1, "a/m", 5.0, 6.0, verdict=Kind.OVERLOADED),
        Attempt(2, "b/m", 6.0, 7.0, 6.5, None, True),
    ),
    losses=(),
    usage=Usage(11, 3),
    queued_s=0.001,
    ttft_s=0.25,
    duration_s=2.0,
)


def numbered(*numbers):
    return [evolve(RECORD, id=str(number)) for number in numbers]


class Disk:
    """A store in memory. `broken`: why nothing can be written; `gate`: writes wait for it."""

    def __init__(self, broken=None, gate=None):
        self.broken, self.gate, self.batches, self.opened, self.closed = broken, gate, [], 0, 0

    def open(self):
        self.opened += 1
        if self.broken:
            raise self.broken

    def put(self, records):
        if self.gate is not None:
            self.gate.wait(5)
        if self.broken:
            raise self.broken
        if records:
            self.batches.append([record.id for record in records])

    def close(self):
        self.closed += 1

    @property
    def ids(self):
        return [number for batch in self.batches for number in batch]


async def until(claim):
    for _ in range(1000):
        if claim():
            return
        await trio.sleep(0.01)
    pytest.fail("it never came true")


async def test_records_reach_the_store_in_order_and_in_batches():
    disk = Disk()
    ledger = Ledger(disk)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        for record in numbered(*range(1200)):
            ledger.keep(record)
        await until(lambda: len(disk.ids) == 1200)
        nursery.cancel_scope.cancel()
    assert disk.ids == [str(number) for number in range(1200)]
    assert max(map(len, disk.batches)) <= BATCH
    assert len(disk.batches) <= 4
    assert (disk.opened, disk.closed) == (1, 1)


async def test_what_is_kept_at_the_last_moment_is_written():
    disk = Disk()
    ledger = Ledger(disk)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        for record in numbered(*range(700)):
            ledger.keep(record)
        nursery.cancel_scope.cancel()
    assert len(disk.ids) == 700


async def test_the_end_does_not_wait_for_a_disk_that_hangs(caplog):
    disk = Disk(gate=threading.Event())
    ledger = Ledger(disk, flush_s=0.5)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        ledger.keep(RECORD)
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 3.0
    assert "could not be written before the end" in caplog.text
    disk.gate.set()


async def test_a_disk_that_fails_is_told_once_and_loses_nothing(caplog):
    caplog.set_level(logging.INFO)
    disk = Disk(broken=OSError("disk full"))
    ledger = Ledger(disk, again_s=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        assert not ledger.writable, "seen when it is opened, before any request came"
        for record in numbered(*range(3)):
            ledger.keep(record)
        await trio.sleep(0.5)
        assert not ledger.writable
        disk.broken = None
        await until(lambda: ledger.writable)
        assert disk.ids == ["0", "1", "2"]
        nursery.cancel_scope.cancel()
    told = [record.getMessage() for record in caplog.records if record.name == "ollama_proxy.ledger"]
    assert told == ["the ledger cannot be written: disk full", "the ledger can be written again"]


async def test_a_disk_that_is_well_again_is_found_out_without_requests():
    disk = Disk(broken=OSError("read-only"))
    ledger = Ledger(disk, again_s=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        disk.broken = None
        await until(lambda: ledger.writable)
        nursery.cancel_scope.cancel()


async def test_when_too_many_wait_the_oldest_go(caplog):
    disk = Disk(broken=OSError("disk full"))
    ledger = Ledger(disk, waiting_limit=10, again_s=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        for record in numbered(*range(25)):
            ledger.keep(record)
        assert ledger.dropped == 15
        disk.broken = None
        await until(lambda: len(disk.ids) == 10)
        nursery.cancel_scope.cancel()
    assert disk.ids == [str(number) for number in range(15, 25)]
    assert caplog.text.count("the oldest are lost") == 1


async def test_those_that_come_during_a_failed_write_count_too():
    disk = Disk(gate=threading.Event())
    ledger = Ledger(disk, waiting_limit=4, again_s=0.1)
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        for record in numbered(0, 1, 2):
            ledger.keep(record)
        await until(lambda: not ledger._waiting)
        for record in numbered(3, 4, 5):
            ledger.keep(record)
        disk.broken = OSError("disk full")
        disk.gate.set()
        await until(lambda: ledger.dropped == 2)
        disk.broken = None
        await until(lambda: disk.ids)
        nursery.cancel_scope.cancel()
    assert disk.ids == ["2", "3", "4", "5"]


async def test_without_a_store_the_newest_are_kept_in_memory():
    ledger = Ledger()
    await ledger.run()
    for record in numbered(*range(1500)):
        ledger.keep(record)
    assert ledger.requests == 1500
    assert [record.id for record in ledger.recent] == [str(number) for number in range(500, 1500)]
    assert ledger.writable


@pytest.mark.parametrize(
    ("outcome", "is_error"),
    [
        ("ok", False),
        ("client_error", False),
        ("cancelled", False),
        ("rejected", True),
        ("upstream_error", True),
        ("truncated", True),
        ("deadline", True),
    ],
)
def test_what_counts_as_an_error(outcome, is_error):
    ledger = Ledger()
    ledger.keep(evolve(RECORD, outcome=outcome))
    assert (ledger.requests, ledger.errors) == (1, int(is_error))


def test_a_request_is_one_line_of_numbers_and_names(caplog):
    caplog.set_level(logging.INFO)
    Ledger().keep(RECORD)
    (line,) = caplog.records
    assert (line.name, line.levelname) == ("ollama_proxy.request", "INFO")
    assert {name: getattr(line, name) for name in log_fields(RECORD)} == {
        "request_id": "r",
        "dialect": "ollama.chat",
        "model": "m",
        "served": "a/m",
        "outcome": "ok",
        "problem": None,
        "status": 200,
        "input_tokens": 11,
        "output_tokens": 3,
        "queued_ms": 1.0,
        "ttft_ms": 250.0,
        "duration_ms": 2000.0,
        "attempts": "a/m overloaded, b/m ok",
        "continued": 0,
    }
