"""Processes of the bench: started, stopped, and read from /proc.

Each is started as the leader of a session of its own. Its tree is all processes of that session, so children count
whoever their parent has become; what dead children used is in the account of whoever waited for them.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import field, frozen

TICKS = os.sysconf("SC_CLK_TCK")
# What a process inherits: nothing that could name a provider or a key.
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR")
# How long an end is waited for; who is told twice should give up waiting for clients, of whom there are none.
PATIENCE_S = (0.3, 1.0)
QUIET_S = 0.25


class NotStarted(Exception):
    """A process does not do what it was started for; the text says what it printed."""


@frozen
class Launch:
    """How a process is started: in a folder that holds `files`, with `environment` and little else."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(factory=dict)
    files: Mapping[str, str] = field(factory=dict)


@frozen
class Stat:
    """One process, as /proc/PID/stat has it. `cpu_s` with that of the dead children it waited for."""

    session: int
    cpu_s: float


@frozen
class Running:
    """A started process and its tree."""

    process: "subprocess.Popen[bytes]" = field(repr=False)
    log: Path

    @property
    def output(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def cpu_s(self) -> float:
        """CPU seconds of the tree, user and system."""
        return sum(stat.cpu_s for _, stat in members(self.process.pid))

    def pss_kb(self) -> int:
        """Memory of the tree: what is shared is divided among those who share it."""
        return sum(pss_of(pid) for pid, _ in members(self.process.pid))

    def settled_cpu_s(self, limit_s: float = 3.0) -> float:
        """The same as `cpu_s`, once what was left to do has been done."""
        end, seen = time.monotonic() + limit_s, self.cpu_s()
        while time.monotonic() < end:
            time.sleep(QUIET_S)
            before, seen = seen, self.cpu_s()
            if seen - before <= 1 / TICKS:
                break
        return seen


def parsed_stat(text: str) -> Stat:
    """What stands in a /proc/PID/stat; the name may hold spaces and brackets."""
    fields = text.rpartition(")")[2].split()
    return Stat(session=int(fields[3]), cpu_s=sum(map(int, fields[11:15])) / TICKS)


def parsed_pss(text: str) -> int:
    """The kilobytes that a smaps_rollup calls Pss."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def members(session: int) -> Iterator[tuple[int, Stat]]:
    """The processes of a session."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = parsed_stat(Path(entry.path, "stat").read_text())
            except OSError:
                continue  # it has just ended
            if stat.session == session:
                yield int(entry.name), stat


def pss_of(pid: int) -> int:
    """Kilobytes of one process."""
    try:
        return parsed_pss(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return 0


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(launch: Launch, folder: Path, port: int, limit_s: float = 60.0) -> Iterator[Running]:
    """The process, from the moment it listens on `port` until the block ends. Raises NotStarted."""
    folder.mkdir()
    for name, text in launch.files.items():
        (folder / name).write_text(text)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            launch.command,
            env={**kept, **launch.environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running = Running(process, folder / "log")
    try:
        wait_until_open(running, port, limit_s)
        yield running
    finally:
        stop(process)


def wait_until_open(running: Running, port: int, limit_s: float) -> None:
    """Until somebody listens on `port`. Raises NotStarted."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and running.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise NotStarted(f"it does not listen (exit status {running.process.poll()}):\n{running.output}")


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End the process and all that is left of its session."""
    for patience_s in PATIENCE_S:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
            break
    for pid in [pid for pid, _ in members(process.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
