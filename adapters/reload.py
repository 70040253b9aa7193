"""Reading the configuration anew: which files it comes from, when they have changed, and what is told of it.

in force --a file changes, SIGHUP, POST /api/admin/reload--> reading
    ^                                                          |
    +--faults: nothing has changed, they are told once---------+
    +--none: one reference is swapped--------------------------+
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import trio
from attrs import define, field, frozen

from pipeline.config import Config, ConfigError, Fault

log = logging.getLogger("ollama_proxy.reload")

POLL_S = 1.0
# An editor may write a file in several steps: it is read when it has been still for so long.
STILL_S = 0.2

# When a file was changed last, how long it is, and which one it is; None where there is none.
Stamp: TypeAlias = tuple[int, int, int] | None
Stamps: TypeAlias = Mapping[Path, Stamp]
Touch: TypeAlias = Callable[[Path], None]
Read: TypeAlias = Callable[[Touch], Config]


def stamp(file: Path) -> Stamp:
    """What tells one state of a file from another."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def stamps(files: Stamps) -> Stamps:
    """The same files as they are now. Blocks."""
    return {file: stamp(file) for file in files}


@frozen
class Reading:
    """What came of reading: a configuration, or all that is wrong with it. `stamps`: of the files, before they were read."""

    found: Config | tuple[Fault, ...]
    stamps: Stamps


def reading(read: Read) -> Reading:
    """Read the configuration. Blocks; never raises: what an operator's own stage does when it is imported is his."""
    seen: dict[Path, Stamp] = {}

    def touch(file: Path) -> None:
        seen.setdefault(file.absolute(), stamp(file))

    try:
        return Reading(read(touch), seen)
    except ConfigError as error:
        return Reading(error.faults, seen)
    except Exception as error:
        log.exception("the configuration could not be read")
        return Reading((unexpected(error),), seen)


def unexpected(error: Exception) -> Fault:
    """A failure that nobody foresaw, as a fault."""
    return Fault("configuration", "", f"it cannot be used: {type(error).__name__}: {error}")


@frozen
class Reloaded:
    """A configuration was taken. `changed`: the dotted paths of what is otherwise now; `needs_restart`: what is not."""

    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()


Outcome: TypeAlias = Reloaded | tuple[Fault, ...]
Reload: TypeAlias = Callable[[], Awaitable[Outcome]]


@define(eq=False)
class InForce:
    """What is told of the configuration: when the one in force was taken, from where, and what is wrong with a newer one.

    `loaded_at` and `tried_at`: seconds of the wall clock. `files`: those it was read from.
    """

    epoch: Callable[[], float]
    loaded_at: float = field(init=False)
    tried_at: float | None = field(default=None, init=False)
    files: tuple[str, ...] = field(default=(), init=False)
    faults: tuple[Fault, ...] = field(default=(), init=False)
    needs_restart: tuple[str, ...] = field(default=(), init=False)

    def __attrs_post_init__(self) -> None:
        self.loaded_at = self.epoch()

    def told(self, outcome: Outcome, seen: Stamps) -> None:
        """The configuration was read from the files that were `seen`, and this came of it."""
        self.tried_at = self.epoch()
        self.files = tuple(str(file) for file, found in seen.items() if found is not None)
        if isinstance(outcome, Reloaded):
            self._taken(outcome)
        else:
            self._refused(outcome)

    def _refused(self, faults: tuple[Fault, ...]) -> None:
        """It cannot be used. Each fault is logged, once as long as nothing else is wrong."""
        if faults != self.faults:
            for fault in faults:
                log.error("the configuration stays as it was: %s", fault)
        self.faults = faults

    def _taken(self, outcome: Reloaded) -> None:
        """It is in force, as far as it can be without a restart."""
        if outcome.changed or self.faults:
            self.loaded_at = self.epoch()
            log.info(
                "the configuration was read anew: %s", ", ".join(outcome.changed) or "nothing has changed"
            )
        if outcome.needs_restart != self.needs_restart and outcome.needs_restart:
            log.warning("needs a restart to take effect: %s", ", ".join(outcome.needs_restart))
        self.faults, self.needs_restart = (), outcome.needs_restart

    def answer(self) -> dict[str, Any]:
        """For `/health/detailed`."""
        return {
            "loaded_at": _moment(self.loaded_at),
            "tried_at": None if self.tried_at is None else _moment(self.tried_at),
            "files": list(self.files),
            "errors": [fault_answer(fault) for fault in self.faults],
            "needs_restart": list(self.needs_restart),
        }


def fault_answer(fault: Fault) -> dict[str, str]:
    """A fault as it is shown to programs."""
    return {"where": fault.where, "path": fault.path, "text": fault.text}


def reload_answer(outcome: Outcome) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer to who asked for it."""
    if isinstance(outcome, Reloaded):
        return 200, {"changed": list(outcome.changed), "needs_restart": list(outcome.needs_restart)}
    words = "the configuration cannot be used, and stays as it was"
    return 422, {"error": words, "faults": [fault_answer(fault) for fault in outcome]}


async def follow(seen: Callable[[], Stamps], reload: Callable[[], Awaitable[object]]) -> None:
    """Reload whenever a file is not as it was `seen` last, until cancelled. Files are looked at in a thread.

    The first look is a reading: what has changed since the start read them is not missed.
    """
    await reload()
    while True:
        if await _changed(seen()):
            await reload()
        await trio.sleep(POLL_S)


async def _changed(before: Stamps) -> bool:
    """Whether the files are others now, once they are still."""
    now = await _look(before)
    if now == before:
        return False
    while True:
        await trio.sleep(STILL_S)
        if (later := await _look(before)) == now:
            return True
        now = later


async def _look(files: Stamps) -> Stamps:
    return await trio.to_thread.run_sync(stamps, files, abandon_on_cancel=True)


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
