"""Logging: one line a record, without secrets, and never in the way of the event loop.

Whoever logs only puts the record into a bounded queue. A thread renders it, masks secrets in the finished line (so in
message, fields and traceback alike) and writes it. If nobody reads our output the thread waits, the queue fills, and
lines are dropped and counted; the house goes on.
"""

import json
import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import Any
from urllib.parse import quote

import orjson
from attrs import frozen

from pipeline.values.secrets import Secret

MASK = "****"
# A shorter key is a placeholder such as "ollama", and masking it would only make the lines unreadable.
SHORTEST_SECRET = 8

# Words that have the shape of a key, and whatever follows a word that announces one (which is kept).
KEY_SHAPES = (
    r"ollp_[a-z0-9]{4,}_[a-z0-9]{8,}",
    r"\bsk-[a-z0-9_-]{8,}",
    r"\bAIza[a-z0-9_-]{20,}",
    r"\b(?:AKIA|ASIA)[a-z0-9]{16}\b",
    r"\beyJ[a-z0-9_-]{8,}\.[a-z0-9_-]+\.[a-z0-9_-]*",
)
QUOTED = r"""(?:\\?["'])?"""
ANNOUNCED = (
    rf"(?P<kept>authorization{QUOTED}\s*[:=]\s*{QUOTED}(?:(?:bearer|basic)\s+)?"
    rf"|(?:api[-_]?key|access[-_]?token|secret[-_]?(?:access[-_]?)?key|password){QUOTED}\s*[:=]\s*{QUOTED}"
    r"|(?:key|token|secret|signature)="
    r"|\bbearer\s+)"
    r"""[^&\s"'\\,;}\])]+"""
)

# Without one of these in it no text has a shape.
HINTS = (
    "ollp_",
    "sk-",
    "aiza",
    "akia",
    "asia",
    "eyj",
    "key",
    "token=",
    "access-token",
    "access_token",
    "accesstoken",
    "secret=",
    "signature=",
    "password",
    "bearer",
    "authorization",
)

# What every record carries; all else was given as `extra` and is a field of the line.
STANDARD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})

# One line a request is ours to write; theirs would add a second one, with addresses that may hold a key. And that the
# house is open, its banner says.
QUIET = ("httpx", "httpcore", "hpack", "h2", "hypercorn.error")

COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def redactor(known: Iterable[Secret] = ()) -> Callable[[str], str]:
    """What masks in a text all `known` secrets, however they are written there, and whatever has the shape of a key."""
    spellings = sorted(
        {spelling for secret in known for spelling in _spellings(secret.value)}, key=len, reverse=True
    )
    shapes = re.compile("|".join((*KEY_SHAPES, ANNOUNCED)), re.IGNORECASE)

    def redacted(text: str) -> str:
        for spelling in spellings:
            text = text.replace(spelling, MASK)
        # Looking for shapes costs more than all the rest of a line, and nearly no line has one.
        lower = text.lower()
        if any(hint in lower for hint in HINTS):
            text = shapes.sub(lambda found: (found["kept"] or "") + MASK, text)
        return text

    return redacted


def _spellings(value: str) -> Iterator[str]:
    if len(value) >= SHORTEST_SECRET:
        yield from (value, quote(value, safe=""), json.dumps(value)[1:-1], orjson.dumps(value).decode()[1:-1])


Render = Callable[[logging.LogRecord], str]


def json_line(record: logging.LogRecord) -> str:
    """A record as one JSON object: time, level, logger, message, then its fields."""
    line: dict[str, Any] = {
        "time": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    line.update(
        {name: value for name, value in fields(record).items() if value is not None and name not in line}
    )
    if record.exc_text:
        line["traceback"] = record.exc_text
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def text_line(record: logging.LogRecord, colour: bool = False) -> str:
    """A record for people: time, level, logger, message, `name=value` for its fields; the traceback below."""
    level = f"{record.levelname:<7}"
    if colour:
        level = f"\x1b[{COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
    said = (f"{name}={value}" for name, value in fields(record).items() if value not in (None, ""))
    line = " ".join((harmless(record.getMessage()), *map(harmless, said)))
    moment = _moment(record).astimezone().strftime("%H:%M:%S.%f")[:-3]
    trace = f"\n{record.exc_text}" if record.exc_text else ""
    return f"{moment} {level} {record.name}: {line}{trace}"


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in STANDARD}


def harmless(text: str) -> str:
    """`text` on one line and without control characters: a client's words must not look like lines of ours."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


class Dropping(QueueHandler):
    """Puts records into a queue; where it is full they are dropped, and told of when there is room again.

    `redacted`: masks what no line may show.
    """

    def __init__(self, lines: "queue.Queue[logging.LogRecord | None]", known: Iterable[Secret]) -> None:
        super().__init__(lines)
        self.dropped = 0
        self._known = frozenset(secret.value for secret in known)
        self.redacted = redactor(map(Secret, self._known))

    def change(self, level: str, known: Iterable[Secret]) -> None:
        """Another level from now on, and more secrets: who came in earlier may still be served with the older ones."""
        logging.getLogger().setLevel(level.upper())
        newest = self._known | {secret.value for secret in known}
        if newest != self._known:
            self._known = newest
            self.redacted = redactor(map(Secret, newest))

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """The record with its text fixed: what it names may have changed when the thread comes to it."""
        record = copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Never waits."""
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            return
        if self.dropped:
            count, self.dropped = self.dropped, 0
            text = f"{count} log lines were dropped: nobody read our output"
            self.enqueue(
                logging.makeLogRecord({"name": __name__, "levelno": 30, "levelname": "WARNING", "msg": text})
            )


@frozen
class LogOptions:
    """`level` of the standard library's names; `as_json` for machines, else for people, in `colour` or not.

    `waiting_limit`: how many lines may wait to be written. `last_lines_s`: how long the end waits for them.
    """

    level: str = "INFO"
    as_json: bool = True
    colour: bool = False
    waiting_limit: int = 10_000
    last_lines_s: float = 2.0


def to_descriptor(descriptor: int) -> Callable[[bytes], None]:
    """What writes to an open file without a buffer: a buffer's lock would be held by a thread that waits for ever."""

    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return write


@contextmanager
def logging_to(
    write: Callable[[bytes], None], options: LogOptions, known: Iterable[Secret] = ()
) -> Iterator[Dropping]:
    """All loggers write their lines through `write` for the block; what waits at its end has `last_lines_s` seconds."""
    lines: queue.Queue[logging.LogRecord | None] = queue.Queue(options.waiting_limit)
    handler = Dropping(lines, known)

    def render(record: logging.LogRecord) -> str:
        return handler.redacted(json_line(record) if options.as_json else text_line(record, options.colour))

    writer = threading.Thread(target=_write_all, args=(lines, render, write), name="log writer", daemon=True)
    root = logging.getLogger()
    before, level_before = root.handlers[:], root.level
    quiet_before = {name: logging.getLogger(name).level for name in QUIET}
    root.handlers[:] = [handler]
    root.setLevel(options.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    writer.start()
    try:
        yield handler
    finally:
        root.handlers[:] = before
        root.setLevel(level_before)
        for name, level in quiet_before.items():
            logging.getLogger(name).setLevel(level)
        _end(lines, writer, options.last_lines_s)


def _write_all(
    lines: "queue.Queue[logging.LogRecord | None]", render: Render, write: Callable[[bytes], None]
) -> None:
    while (record := lines.get()) is not None:
        # A line that cannot be rendered, or output that was closed: there is nowhere left to say so.
        with suppress(Exception):
            write(render(record).encode("utf-8", "backslashreplace") + b"\n")


def _end(
    lines: "queue.Queue[logging.LogRecord | None]", writer: threading.Thread, last_lines_s: float
) -> None:
    try:
        lines.put(None, timeout=last_lines_s)
    except queue.Full:
        return
    writer.join(last_lines_s)
