"""Processes of the bench, and what is read of them."""

import sys
import time
from pathlib import Path

import pytest

from bench.processes import TICKS, Launch, NotStarted, free_port, members, parsed_pss, parsed_stat, started

STAT = "4242 (a (b) c) S 1 77 76 0 -1 4194560 9 8 7 6 100 50 20 5 20 0 3 0 1234 99 88"

# A parent that listens, and whose child does the work.
FAMILY = """
import socket, subprocess, sys
busy = "import time; end = time.process_time() + 0.3\\nwhile time.process_time() < end: pass\\ntime.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", busy])
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    child.wait()
"""


def test_a_stat_is_read_behind_the_last_bracket_of_the_name() -> None:
    stat = parsed_stat(STAT)
    assert stat.session == 76
    assert stat.cpu_s == pytest.approx(175 / TICKS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("head\nRss: 900 kB\nPss:   123 kB\nPss_Anon: 7 kB\n", 123, id="what is called Pss"),
        pytest.param("head\n", 0, id="nothing where it does not stand"),
    ],
)
def test_pss_is_read(text: str, expected: int) -> None:
    assert parsed_pss(text) == expected


def test_children_count_and_end_with_their_parent(tmp_path: Path) -> None:
    port = free_port()
    with started(Launch([sys.executable, "-c", FAMILY, str(port)]), tmp_path / "family", port) as running:
        session = running.process.pid
        end = time.monotonic() + 10
        while running.cpu_s() < 0.3 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(list(members(session))) == 2
        assert running.cpu_s() >= 0.3
        assert running.pss_kb() > 1000
    assert not [pid for pid, _ in members(session) if Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_what_does_not_start_tells_what_it_printed(tmp_path: Path) -> None:
    launch = Launch([sys.executable, "-c", "raise SystemExit('no such luck')"], files={"a.conf": "x"})
    with pytest.raises(NotStarted, match="no such luck"), started(launch, tmp_path / "it", free_port()):
        pass
    assert (tmp_path / "it" / "a.conf").read_text() == "x"
