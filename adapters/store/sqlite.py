"""Records in SQLite, by SQLAlchemy Core. Everything here blocks: it is called from a worker thread.

`BEGIN IMMEDIATE` takes the write lock before anything is read, so that several processes wait for each other in place
of failing with "database is locked"; WAL lets readers read meanwhile.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    Table,
    Text,
    create_engine,
    event,
    func,
    literal_column,
    select,
)

from pipeline.values.exchange import Record

VERSION = 2
# An exchange is never longer. It is paid for when it ends, and found by when it began.
LONGEST_S = 7200.0
BUSY_S = 5.0

METADATA = MetaData()

EXCHANGES = Table(
    "exchanges",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("caller", Text),
    Column("dialect", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("problem", Text),
    Column("status", Integer),
    Column("served", Text),
    Column("strategy", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("thinking_tokens", Integer),
    Column("estimated", Boolean, nullable=False),
    Column("queued_s", Float, nullable=False),
    Column("ttft_s", Float),
    Column("duration_s", Float, nullable=False),
    Column("losses", Text, nullable=False),
    Column("cost", Float),
    Index("exchanges_at", "at"),
    Index("exchanges_id", "id"),
)
# What a key has spent is read from this alone. The index is only used where it is asked for in these very words.
PAID = EXCHANGES.c.cost > literal_column("0")
Index(
    "exchanges_spent",
    EXCHANGES.c.caller,
    EXCHANGES.c.at,
    EXCHANGES.c.duration_s,
    EXCHANGES.c.cost,
    sqlite_where=PAID,
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("exchange", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("target", Text, nullable=False),
    Column("after_s", Float, nullable=False),
    Column("ttft_s", Float),
    Column("duration_s", Float),
    Column("verdict", Text),
    Column("committed", Boolean, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("connected_s", Float),
    Column("cost", Float),
)

# What leads from each version of the tables to the next. Columns are only ever added, at the end.
MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    1: ("ALTER TABLE exchanges ADD COLUMN cost FLOAT", "ALTER TABLE attempts ADD COLUMN cost FLOAT"),
}

# Every SQLite takes 999 values a statement, and an exchange has 23.
ROWS_A_STEP = 40


def insertion(table: Table, rows: int) -> str:
    """The statement that inserts `rows` rows, given as one run of values in the order of the table's columns.

    One step of the database takes many rows. A step for each would take and give Python's lock each time, and so slow
    down everything else in the process.
    """
    names = ", ".join(column.name for column in table.columns)
    row = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name} ({names}) VALUES {', '.join([row] * rows)}"  # noqa: S608  names of our own


def _insert(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    for start in range(0, len(rows), ROWS_A_STEP):
        part = rows[start : start + ROWS_A_STEP]
        connection.exec_driver_sql(insertion(table, len(part)), tuple(chain.from_iterable(part)))


class StoreError(Exception):
    """The store cannot be used, and what would help."""


@define(eq=False)
class SqliteStore:
    """A database file, to be used by one thread at a time."""

    path: Path
    _engine: Engine | None = field(default=None, init=False)

    def open(self) -> None:
        """Make the file and its tables where they are missing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            f"sqlite:///{self.path}", connect_args={"timeout": BUSY_S}, hide_parameters=True
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        with engine.begin() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if version > VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer version; use that one, or another data_dir"
                )
            for step in range(version, VERSION) if version else ():
                for statement in MIGRATIONS[step]:
                    connection.exec_driver_sql(statement)
            METADATA.create_all(connection)
            # Of tables that were there before, what is new of their indices is not made with them.
            for index in EXCHANGES.indexes:
                index.create(connection, checkfirst=True)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        self._engine = engine

    def put(self, records: Sequence[Record]) -> None:
        """Keep `records`, all or none; without any it only sees whether it could."""
        if self._engine is None:
            self.open()
        assert self._engine is not None
        with self._engine.begin() as connection:
            first = _newest(connection) + 1
            exchanges = [exchange_row(first + place, record) for place, record in enumerate(records)]
            attempts = [
                row for place, record in enumerate(records) for row in attempt_rows(first + place, record)
            ]
            _insert(connection, EXCHANGES, exchanges)
            _insert(connection, ATTEMPTS, attempts)

    def spent_since(self, since: Mapping[str, float]) -> Mapping[str, float]:
        """US dollars that each caller has spent since that time, by what ended then or later."""
        if self._engine is None:
            self.open()
        assert self._engine is not None
        with self._engine.begin() as connection:
            return {
                caller: float(connection.execute(spending(caller, begun)).scalar_one())
                for caller, begun in since.items()
            }

    def close(self) -> None:
        """Let go of the file."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _newest(connection: Connection) -> int:
    """The number of the newest exchange; ours until the transaction ends, as it holds the write lock."""
    newest: int = connection.execute(select(func.coalesce(func.max(EXCHANGES.c.number), 0))).scalar_one()
    return newest


def spending(caller: str, since: float) -> Select[Any]:
    """The question what a caller has spent since a time."""
    columns = EXCHANGES.c
    return select(func.coalesce(func.sum(columns.cost), 0.0)).where(
        columns.caller == caller,
        columns.at >= since - LONGEST_S,
        columns.at + columns.duration_s >= since,
        PAID,
    )


def _prepare(connection: Any, _: Any) -> None:
    # The driver would begin transactions on its own, and deferred ones at that.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def exchange_row(number: int, record: Record) -> tuple[Any, ...]:
    """The row of a record, in the order of the columns."""
    usage = record.usage
    return (
        number,
        record.id,
        record.at,
        record.caller,
        record.dialect,
        record.operation,
        record.model,
        record.stream,
        record.outcome,
        record.problem,
        record.status,
        record.served,
        record.strategy,
        usage.input,
        usage.output,
        usage.cached,
        usage.thinking,
        usage.estimated,
        record.queued_s,
        record.ttft_s,
        record.duration_s,
        json.dumps({loss.field: loss.how for loss in record.losses}) if record.losses else "{}",
        record.cost,
    )


def attempt_rows(number: int, record: Record) -> list[tuple[Any, ...]]:
    """The rows of a record's attempts; `after_s` counts from the start of the first."""
    return [
        (
            number,
            attempt.number,
            attempt.target,
            attempt.started - record.attempts[0].started,
            None if attempt.first is None else attempt.first - attempt.started,
            None if attempt.ended is None else attempt.ended - attempt.started,
            attempt.verdict,
            attempt.committed,
            attempt.cancelled,
            attempt.connected_s,
            attempt.cost,
        )
        for attempt in record.attempts
    ]
