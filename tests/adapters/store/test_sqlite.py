import sqlite3
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from stat import S_IRUSR

import pytest
import trio
from attrs import evolve

from adapters.ledger import Ledger
from adapters.store.sqlite import (
    ATTEMPTS,
    EXCHANGES,
    MIGRATIONS,
    ROWS_A_STEP,
    VERSION,
    SqliteStore,
    StoreError,
    spending,
)
from pipeline.values.exchange import How, Loss
from tests.adapters.test_ledger import RECORD, numbered, until


def rows(path, query):
    connection = sqlite3.connect(path)
    try:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


def test_a_record_is_kept_with_its_attempts(tmp_path):
    store = SqliteStore(tmp_path / "deep" / "usage.db")
    store.open()
    store.put([evolve(RECORD, losses=(Loss("seed", How.DROPPED), Loss("top_k", How.APPROXIMATED)))])
    store.close()
    (exchange,) = rows(store.path, "select * from exchanges")
    assert exchange == {
        "number": 1,
        "id": "r",
        "at": 1.0,
        "caller": None,
        "dialect": "ollama.chat",
        "operation": "chat",
        "model": "m",
        "stream": 1,
        "outcome": "ok",
        "problem": None,
        "status": 200,
        "served": "a/m",
        "strategy": None,
        "input_tokens": 11,
        "output_tokens": 3,
        "cached_tokens": None,
        "thinking_tokens": None,
        "estimated": 0,
        "queued_s": 0.001,
        "ttft_s": 0.25,
        "duration_s": 2.0,
        "losses": '{"seed": "dropped", "top_k": "approximated"}',
        "cost": None,
    }
    assert rows(
        store.path, "select target, after_s, ttft_s, duration_s, verdict, committed from attempts"
    ) == [
        {
            "target": "a/m",
            "after_s": 0,
            "ttft_s": None,
            "duration_s": 1,
            "verdict": "overloaded",
            "committed": 0,
        },
        {"target": "b/m", "after_s": 1, "ttft_s": 0.5, "duration_s": 1, "verdict": None, "committed": 1},
    ]


def test_records_are_added_to_those_of_earlier_lives(tmp_path):
    for number in range(3):
        store = SqliteStore(tmp_path / "usage.db")
        store.open()
        store.put(numbered(number))
        store.close()
    assert [row["id"] for row in rows(store.path, "select id from exchanges order by number")] == [
        "0",
        "1",
        "2",
    ]


@pytest.mark.parametrize("count", [1, ROWS_A_STEP - 1, ROWS_A_STEP, ROWS_A_STEP + 1, 3 * ROWS_A_STEP + 7])
def test_any_number_of_records_is_kept_in_order(count, tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    store.put(numbered(*range(count)))
    store.close()
    kept = rows(
        store.path, "select id, target from exchanges join attempts on exchange = exchanges.number order by 1"
    )
    assert sorted((int(row["id"]), row["target"]) for row in kept) == [
        (number, target) for number in range(count) for target in ("a/m", "b/m")
    ]


@pytest.mark.parametrize("table", [EXCHANGES, ATTEMPTS])
def test_a_step_has_no_more_values_than_every_sqlite_takes(table):
    assert ROWS_A_STEP * len(table.columns) <= 999


def test_the_same_id_may_come_twice(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    store.put([RECORD, RECORD])
    store.close()
    assert len(rows(store.path, "select * from exchanges")) == 2
    assert len(rows(store.path, "select * from attempts")) == 4


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    with pytest.raises(Exception, match="NOT NULL"):
        store.put([RECORD, evolve(RECORD, model=None)])
    store.put([])
    store.close()
    assert rows(store.path, "select * from exchanges") == []


def test_a_fault_names_no_values(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    with pytest.raises(Exception, match="NOT NULL") as fault:
        store.put([evolve(RECORD, id="a-private-word", model=None)])
    store.close()
    assert "a-private-word" not in str(fault.value)


def file_of_version_1(path):
    connection = sqlite3.connect(path)
    connection.executescript((Path(__file__).parent / "version1.sql").read_text())
    connection.close()


def made(path):
    """The tables and indices of a file: names, and of tables the columns."""
    found = rows(path, "select type, name from sqlite_master where sql is not null order by name")
    names = [(row["type"], row["name"]) for row in found]
    columns = [
        (name, row["name"], row["type"], row["notnull"])
        for kind, name in names
        if kind == "table"
        for row in rows(path, f"pragma table_info({name})")
    ]
    return names, sorted(columns)


def test_a_file_of_the_first_version_is_brought_up_to_date_and_keeps_what_is_in_it(tmp_path):
    file_of_version_1(tmp_path / "usage.db")
    store, new = SqliteStore(tmp_path / "usage.db"), SqliteStore(tmp_path / "new.db")
    new.open()
    store.open()
    store.put([evolve(RECORD, id="new", cost=0.5)])
    for each in (store, new):
        each.close()
    assert made(store.path) == made(new.path)
    kept = rows(store.path, "select id, caller, cost, duration_s from exchanges order by number")
    assert [tuple(row.values()) for row in kept] == [
        ("old-1", "web", None, 2.0),
        ("old-2", None, None, 2.0),
        ("new", None, 0.5, 2.0),
    ]
    assert rows(store.path, "select count(*) as n from attempts") == [{"n": 6}]
    assert rows(store.path, "pragma user_version") == [{"user_version": VERSION}]
    again = SqliteStore(tmp_path / "usage.db")
    again.open()
    again.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    file_of_version_1(tmp_path / "usage.db")
    before = made(tmp_path / "usage.db")
    monkeypatch.setitem(MIGRATIONS, 1, (*MIGRATIONS[1], "ALTER TABLE nowhere ADD COLUMN cost FLOAT"))
    with pytest.raises(Exception, match="no such table"):
        SqliteStore(tmp_path / "usage.db").open()
    assert made(tmp_path / "usage.db") == before
    assert rows(tmp_path / "usage.db", "pragma user_version") == [{"user_version": 1}]


def paid(caller, at, cost, duration_s=2.0):
    return evolve(RECORD, caller=caller, at=at, cost=cost, duration_s=duration_s)


def test_what_callers_have_spent(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    store.put(
        [
            paid("a", 900.0, 1.0),
            paid("a", 999.0, 2.0),
            paid("a", 1000.0, 4.0),
            paid("a", 5000.0, None),
            paid("b", 5000.0, 8.0),
            paid("c", 5000.0, 16.0),
            paid(None, 5000.0, 32.0),
        ]
    )
    spent = store.spent_since({"a": 1000.0, "b": 6000.0, "c": 0.0, "nobody": 0.0})
    assert spent == {"a": 6.0, "b": 0.0, "c": 16.0, "nobody": 0.0}, "what ended in the period counts"
    store.close()


def test_what_a_caller_has_spent_is_read_from_an_index_alone(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    store.open()
    query = str(spending("a", 1.0).compile(compile_kwargs={"literal_binds": True}))
    (step,) = rows(store.path, f"explain query plan {query}")
    store.close()
    assert "USING COVERING INDEX exchanges_spent (caller=? AND at>?)" in step["detail"]


def test_attempts_are_kept_with_their_costs(tmp_path):
    first, second = RECORD.attempts
    store = SqliteStore(tmp_path / "usage.db")
    store.put([evolve(RECORD, attempts=(evolve(first, cost=0.25), second), cost=0.25)])
    store.close()
    assert [row["cost"] for row in rows(store.path, "select cost from attempts order by number")] == [
        0.25,
        None,
    ]


def test_a_file_of_a_newer_version_is_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "usage.db")
    connection.execute(f"pragma user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        SqliteStore(tmp_path / "usage.db").open()


def test_any_thread_may_write(tmp_path):
    store = SqliteStore(tmp_path / "usage.db")
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        for number in range(4):
            (first if number % 2 else second).submit(store.put, numbered(number)).result()
    store.close()
    assert len(rows(store.path, "select * from exchanges")) == 4


def write_some(path, count):
    store = SqliteStore(path)
    for _ in range(count):
        store.put([RECORD])
    store.close()


def test_processes_that_share_a_file_wait_for_each_other(tmp_path):
    context, path = get_context("spawn"), tmp_path / "usage.db"
    processes = [context.Process(target=write_some, args=(path, 50)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert rows(path, "select count(*) as n, count(distinct number) as m from exchanges") == [
        {"n": 150, "m": 150}
    ]


async def test_a_ledger_on_a_disk(tmp_path):
    ledger = Ledger(SqliteStore(tmp_path / "usage.db"))
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        for record in numbered(*range(600)):
            ledger.keep(record)
        nursery.cancel_scope.cancel()
    assert rows(tmp_path / "usage.db", "select count(*) as n from exchanges") == [{"n": 600}]


async def test_a_directory_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(S_IRUSR)
    ledger = Ledger(SqliteStore(tmp_path / "file" / "usage.db"))
    async with trio.open_nursery() as nursery:
        await nursery.start(ledger.run)
        ledger.keep(RECORD)
        await until(lambda: not ledger.writable)
        nursery.cancel_scope.cancel()
    assert ledger.requests == 1
