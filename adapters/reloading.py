"""Start a program anew whenever its files change: for those who work on it."""

import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PATTERNS = ("*.py", "proxy.toml", ".env")
SKIPPED = frozenset({".venv", ".git", "__pycache__", "build", "var"})
POLL_S = 0.5
END_S = 15.0

Stamp = tuple[int, int]


def stamps(folders: Iterable[Path]) -> Mapping[Path, Stamp]:
    """When each watched file was changed last, and how long it is."""
    found: dict[Path, Stamp] = {}
    for folder in folders:
        for pattern in PATTERNS:
            for file in folder.rglob(pattern):
                if not SKIPPED.intersection(file.relative_to(folder).parts) and file.is_file():
                    status = file.stat()
                    found[file] = (status.st_mtime_ns, status.st_size)
    return found


def reloading(command: Sequence[str], environ: Mapping[str, str], watched: Iterable[Path]) -> int:
    """Run `command`, anew after each change below `watched`, until it is interrupted; its exit status.

    A program that ended by itself is started again by the next change, so that a mistake need not end the session.
    """
    folders = tuple(watched)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        before = stamps(folders)
        process = subprocess.Popen(command, env=dict(environ))
        try:
            while stamps(folders) == before:
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            return end(process)
        end(process)


def end(process: "subprocess.Popen[bytes]") -> int:
    """Ask `process` to end, and wait until it has."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
