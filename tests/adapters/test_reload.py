"""Which files a configuration comes from, when they have changed, and what is told of it."""

import logging
import os

import pytest
import trio

from adapters.providers import CODECS
from adapters.reload import POLL_S, InForce, Reloaded, follow, reading, reload_answer, stamp, stamps
from pipeline.config import Config, ConfigError, Fault, load
from stages import CATALOG

FAULT = Fault("proxy.toml:3", "stage.limit.queue", "unknown key")
OTHER = Fault("proxy.toml:4", "server.port", "must be a number")


def read_from(folder):
    return lambda touch: load(str(folder / "proxy.toml"), {}, {}, catalog=CATALOG, kinds=CODECS, touch=touch)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "proxy.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("change", "other"),
    [
        pytest.param(lambda file: None, False, id="untouched"),
        pytest.param(lambda file: file.write_text("bb"), True, id="longer"),
        pytest.param(lambda file: os.utime(file, ns=(5, 5)), True, id="written again, as long as before"),
        pytest.param(lambda file: file.unlink(), True, id="gone"),
    ],
)
def test_what_tells_one_state_of_a_file_from_another(change, other, tmp_path):
    file = tmp_path / "a"
    file.write_text("a")
    before = stamp(file)
    change(file)
    assert (stamp(file) != before) is other


def test_a_file_that_took_the_place_of_another_is_another(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for file in (one, other):
        file.write_text("a")
        os.utime(file, ns=(5, 5))
    before = stamp(one)
    other.replace(one)
    assert stamp(one) != before


def test_all_files_are_watched_that_it_comes_from_or_would_come_from(home):
    (home / "models.txt").write_text("gpt-*")
    (home / "proxy.toml").write_text(
        'models_filter = "models.txt"\n[providers.openai.api_key]\nfile = "key"\n'
    )
    (home / "key").write_text("sk-0123456789")
    found = reading(read_from(home))
    assert isinstance(found.found, Config)
    assert {file.name: seen is not None for file, seen in found.stamps.items()} == {
        "proxy.toml": True,
        ".env": False,
        "models.txt": True,
        "key": True,
    }


def test_the_files_of_a_reading_that_failed_are_watched_too(home):
    (home / "proxy.toml").write_text('models_filter = "later.txt"\n[server]\nport = "x"\n')
    found = reading(read_from(home))
    assert sorted(fault.path for fault in found.found) == ["models_filter", "server.port"]
    assert found.stamps[home / "later.txt"] is None


def test_a_file_that_changes_while_it_is_read_is_read_again(home):
    def read(touch):
        touch(home / "proxy.toml")
        (home / "proxy.toml").write_text("# changed under us")
        raise ConfigError([FAULT])

    found = reading(read)
    assert stamps(found.stamps) != found.stamps


def test_a_failure_that_nobody_foresaw_is_a_fault(caplog):
    def read(touch):
        raise RuntimeError("a stage of my own")

    (fault,) = reading(read).found
    assert "RuntimeError: a stage of my own" in str(fault)
    assert "could not be read" in caplog.text


class Desk:
    """Reads what is on it, and remembers when."""

    def __init__(self, *files):
        self.files, self.times = files, []
        self.seen = {}

    async def reload(self):
        self.times.append(trio.current_time())
        self.seen = {file: stamp(file) for file in self.files}


@pytest.fixture
def patient(autojump_clock):
    """Virtual time stands still while a thread may be at work."""
    autojump_clock.autojump_threshold = 0.02


async def followed(desk, *steps):
    """`steps` of (seconds, what is done then) while the files are followed; the seconds of the readings."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, lambda: desk.seen, desk.reload)
        for seconds, step in steps:
            await trio.sleep_until(began + seconds)
            step()
        await trio.sleep(4 * POLL_S)
        nursery.cancel_scope.cancel()
    return [at - began for at in desk.times]


async def test_it_is_read_at_once_and_then_after_changes_alone(autojump_clock, patient, tmp_path):
    file = tmp_path / "proxy.toml"
    desk = Desk(file)
    times = await followed(desk, (2.5, lambda: file.write_text("a")), (5.5, file.unlink))
    assert times == pytest.approx([0.0, 3.2, 6.4], abs=0.25)


async def test_a_file_that_is_being_written_is_left_alone_until_it_is_still(
    autojump_clock, patient, tmp_path
):
    file = tmp_path / "proxy.toml"
    desk = Desk(file)
    steps = [
        (0.95 + number / 10, lambda number=number: file.write_text("a" * number)) for number in range(1, 12)
    ]
    times = await followed(desk, *steps)
    assert len(times) == 2
    assert times[1] > 2.0
    assert desk.seen[file] == stamp(file)


def force(epoch=None):
    ticks = iter(range(1_790_000_000, 1_790_001_000))
    return InForce(epoch or (lambda: next(ticks)))


def test_each_fault_is_logged_once_as_long_as_nothing_else_is_wrong(caplog):
    caplog.set_level(logging.INFO, "ollama_proxy.reload")
    told = force()
    for outcome in [(FAULT, OTHER), (FAULT, OTHER), (FAULT,), Reloaded(), (FAULT,)]:
        told.told(outcome, {})
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "ERROR", "ERROR", "INFO", "ERROR"]
    assert "proxy.toml:3: stage.limit.queue: unknown key" in caplog.text


def test_what_needs_a_restart_is_logged_once(caplog):
    told = force()
    for outcome in [Reloaded(("server.debug",), ("server.port",)), Reloaded((), ("server.port",))]:
        told.told(outcome, {})
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "server.port" in warning.getMessage()


def test_what_is_shown_of_the_configuration(tmp_path):
    told = force()
    began = told.answer()
    assert began["errors"] == began["needs_restart"] == began["files"] == []
    assert began["tried_at"] is None
    told.told((FAULT,), {tmp_path / "proxy.toml": (1, 2, 3), tmp_path / ".env": None})
    after = told.answer()
    assert after["errors"] == [{"where": "proxy.toml:3", "path": "stage.limit.queue", "text": "unknown key"}]
    assert after["files"] == [str(tmp_path / "proxy.toml")]
    assert after["loaded_at"] == began["loaded_at"] < after["tried_at"]
    told.told(Reloaded(("server.debug",), ("server.port",)), {})
    last = told.answer()
    assert (last["errors"], last["needs_restart"]) == ([], ["server.port"])
    assert last["loaded_at"] > after["tried_at"]


@pytest.mark.parametrize(
    ("outcome", "status", "answer"),
    [
        (Reloaded(("a",), ("b",)), 200, {"changed": ["a"], "needs_restart": ["b"]}),
        (
            (FAULT,),
            422,
            {
                "error": "the configuration cannot be used, and stays as it was",
                "faults": [{"where": "proxy.toml:3", "path": "stage.limit.queue", "text": "unknown key"}],
            },
        ),
    ],
)
def test_what_is_answered_to_who_asks_for_a_reload(outcome, status, answer):
    assert reload_answer(outcome) == (status, answer)
