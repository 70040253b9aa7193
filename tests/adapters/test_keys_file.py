"""The file of keys: written whole, read strictly, and kept fresh."""

import os
import stat
import threading
import time

import pytest
import trio
from attrs import evolve

from adapters.keys_file import KeyFile, Keyring, first_key, loaded, new_key, new_secret, read_keys, written
from pipeline.config import ConfigError
from pipeline.keys import Key, id_of, ring_of
from pipeline.values.callers import Allowance, CallerLimits, Priority
from pipeline.values.secrets import Secret

NOW = 1_790_000_000.0


@pytest.fixture
def file(tmp_path):
    return KeyFile(tmp_path / "data" / "keys.toml")


def made(file, name="web", **changes):
    with file.changing() as keys:
        return new_key(file, keys, evolve(Key("", "", name, created=NOW), **changes))


WHOLE = Key(
    "aeaqcaib",
    "ab" * 32,
    "web",
    ("gpt-4o*", "fast"),
    frozenset({"openai", "azure"}),
    frozenset({"client", "admin"}),
    Priority.HIGH,
    CallerLimits(60, 100_000, 4, Allowance(20_500_000, "month")),
    NOW,
    NOW + 1000,
    NOW + 500,
    True,
    "cd" * 32,
    NOW + 60,
)


@pytest.mark.parametrize("key", [WHOLE, Key("aeaqcaib", "ab" * 32)], ids=["all there is", "nearly nothing"])
def test_what_is_written_is_read_again(key):
    assert read_keys(written(ring_of([key])), "keys.toml") == ring_of([key])


def test_dates_may_stand_as_toml_has_them():
    text = f'[keys.aeaqcaib]\nhmac = "{"ab" * 32}"\nexpires = 2027-01-31\nrevoked = 2027-01-01T00:00:00Z\n'
    key = read_keys(text, "keys.toml").keys["aeaqcaib"]
    assert (key.expires, key.revoked) == (1_801_440_000.0, 1_798_761_600.0)


def test_all_faults_are_told_with_their_lines():
    text = """\
colour = "red"
[keys.BAD]
hmac = "xyz"
[keys.aeaqcaib]
rpm = 0
tpm = "many"
budget = "20/year"
priority = "urgent"
scopes = []
expires = "tomorrow"
modles = ["a"]
"""
    with pytest.raises(ConfigError) as error:
        read_keys(text, "keys.toml")
    told = str(error.value)
    for words in (
        "keys.toml:1: colour: unknown key",
        "keys.toml:2: keys.BAD: must be the id of a key",
        "keys.toml:3: keys.BAD.hmac: must be 64 digits",
        "keys.toml:6: keys.aeaqcaib.tpm: must be a whole number",
        "keys.toml:8: keys.aeaqcaib.priority: must be",
        'keys.toml:11: keys.aeaqcaib.modles: unknown key; did you mean "models"?',
        "keys.toml:4: keys.aeaqcaib.hmac: is missing",
    ):
        assert words in told


def test_values_out_of_range_are_told_too():
    text = (
        f'[keys.aeaqcaib]\nhmac = "{"ab" * 32}"\nrpm = 0\nbudget = "20/year"\nscopes = []\nexpires = "soon"\n'
    )
    with pytest.raises(ConfigError) as error:
        read_keys(text, "keys.toml")
    lines = str(error.value).splitlines()
    assert [line.split(": ")[1].rpartition(".")[2] for line in lines] == [
        "rpm",
        "budget",
        "scopes",
        "expires",
    ]


@pytest.mark.parametrize("name", ["models", "providers"])
def test_an_empty_list_is_no_way_to_allow_all(name):
    text = f'[keys.aeaqcaib]\nhmac = "{"ab" * 32}"\n{name} = []\n'
    with pytest.raises(ConfigError, match=rf"keys.toml:3: keys.aeaqcaib.{name}: must name one at least"):
        read_keys(text, "keys.toml")


@pytest.mark.parametrize("text", ["[keys", "keys = 1", "[keys]\naeaqcaib = 3"])
def test_what_is_no_file_of_keys(text):
    with pytest.raises(ConfigError):
        read_keys(text, "keys.toml")


def test_neither_file_holds_the_key_and_both_are_the_owner_s_alone(file):
    text = made(file)
    assert text.startswith("ollp_")
    secret = text.rpartition("_")[2]
    for path in (file.path, file.pepper_path):
        assert secret not in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.read().keys[id_of(text)].name == "web"


def test_who_has_the_file_without_the_pepper_can_show_nothing(file, tmp_path):
    text = made(file)
    stolen = KeyFile(tmp_path / "stolen.toml", Secret("a pepper somebody guessed"))
    stolen.path.write_text(file.path.read_text())
    digest = file.read().keys[id_of(text)].digest
    assert loaded(file).recognised(text.encode()).name == "web"
    assert loaded(stolen).recognised(text.encode()) is None
    assert loaded(file).recognised(f"ollp_{id_of(text)}_{digest[:52]}".encode()) is None


def test_a_given_pepper_lies_in_no_file(tmp_path):
    file = KeyFile(tmp_path / "keys.toml", Secret("a pepper from the environment"))
    text = made(file)
    assert not file.pepper_path.exists()
    assert loaded(file).recognised(text.encode()).name == "web"


def test_a_lost_pepper_is_told_and_never_made_anew(file):
    made(file)
    file.pepper_path.unlink()
    with pytest.raises(ConfigError, match="put it back"):
        loaded(file)
    with pytest.raises(ConfigError, match="put it back"):
        made(file, "other")
    assert not file.pepper_path.exists()


def test_a_change_that_fails_changes_nothing(file):
    made(file)
    before = file.path.read_bytes()
    with pytest.raises(RuntimeError), file.changing() as keys:
        keys.clear()
        raise RuntimeError
    assert file.path.read_bytes() == before
    assert sorted(path.name for path in file.path.parent.iterdir()) == [
        "keys.pepper",
        "keys.toml",
        "keys.toml.lock",
    ]


def test_changes_at_once_do_not_undo_each_other(file):
    threads = [threading.Thread(target=made, args=(file, f"k{number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.name for key in file.read().keys.values()} == {f"k{number}" for number in range(12)}


def test_of_several_that_start_at_once_one_makes_the_first_key(file):
    found = []
    threads = [threading.Thread(target=lambda: found.append(first_key(file, NOW))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (text,) = [one for one in found if one is not None]
    (key,) = file.read().keys.values()
    assert (key.id, key.first, key.scopes) == (id_of(text), True, {"client", "admin"})
    assert not file.read().made


def test_a_new_secret_for_the_same_key(file):
    old = made(file)
    with file.changing() as keys:
        key, new = new_secret(file, keys[id_of(old)], NOW, 60.0)
        keys[key.id] = key
    ring = loaded(file, lambda: NOW + 30)
    assert id_of(new) == id_of(old)
    assert new != old
    assert ring.recognised(new.encode()) is not None
    assert ring.recognised(old.encode()) == ring.recognised(new.encode())
    assert loaded(file, lambda: NOW + 61).recognised(old.encode()) is None


def test_a_file_that_is_not_there_holds_no_keys(file):
    ring = loaded(file)
    assert (ring.ring.keys, ring.made) == ({}, False)


def test_the_file_may_be_a_link(file, tmp_path):
    file.path.parent.mkdir()
    aim = tmp_path / "elsewhere.toml"
    aim.write_text("")
    file.path.symlink_to(aim)
    made(file)
    assert file.path.is_symlink()
    assert "web" in aim.read_text()


@pytest.fixture
async def live(file, nursery):
    ring = Keyring(file, poll_s=0.02)
    await nursery.start(ring.run)
    return ring


async def until(claim, limit_s=1.0):
    with trio.fail_after(limit_s):
        while not claim():
            await trio.sleep(0.01)


async def test_a_new_key_is_good_and_a_revoked_one_is_not_within_a_second(file, nursery):
    ring = Keyring(file)
    await nursery.start(ring.run)
    text = made(file).encode()
    await until(lambda: ring.recognised(text) is not None)
    with file.changing() as keys:
        for id, key in keys.items():
            keys[id] = evolve(key, revoked=time.time())
    await until(lambda: ring.recognised(text) is None)
    assert ring.made


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told_once(file, live, caplog):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    whole = file.path.read_text()
    file.path.write_text(whole + '\n[keys.aaaaaaaa]\nhmac = "x"\nrpm = "y"\n')
    await until(lambda: len(live.faults) == 2)
    os.utime(file.path, (NOW, NOW))
    await trio.sleep(0.1)
    assert live.recognised(text) is not None
    assert len([record for record in caplog.records if "stay as they were" in record.message]) == 2
    file.path.write_text(whole)
    await until(lambda: live.faults == ())
    assert live.recognised(text) is not None


async def test_whatever_stands_in_the_file_does_not_end_the_house(file, live, monkeypatch):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    whole = file.path.read_text()
    file.path.write_text(f"{whole}expires = 9999-12-31\n")
    await until(lambda: live.faults != ())
    assert "must be a date" in live.faults[0].text

    def unforeseen(self):
        raise OverflowError("with sk-a-secret in it")

    with monkeypatch.context() as broken:
        broken.setattr(KeyFile, "read", unforeseen)
        file.path.write_text(f"{whole}# touched\n")
        await until(lambda: "OverflowError" in live.faults[0].text)
    assert "secret" not in live.faults[0].text
    assert live.recognised(text) is not None
    file.path.write_text(whole)
    await until(lambda: live.faults == ())


async def test_half_a_file_lets_nobody_in(file, live):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    with file.changing() as keys:
        for id, key in keys.items():
            keys[id] = evolve(key, revoked=time.time())
    await until(lambda: live.recognised(text) is None)
    begin, end = file.path.read_text().split("revoked =")
    with file.path.open("w") as writing:
        writing.write(begin)
        writing.flush()
        await trio.sleep(0.08)
        assert live.recognised(text) is None
        writing.write(f"revoked ={end}")
    await trio.sleep(0.3)
    assert live.recognised(text) is None


async def test_a_file_that_never_rests_is_read_all_the_same(file, live, nursery):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)

    async def flap():
        while True:
            os.utime(file.path)
            await trio.sleep(0.03)

    nursery.start_soon(flap)
    with file.changing() as keys:
        for id, key in keys.items():
            keys[id] = evolve(key, revoked=time.time())
    await until(lambda: live.recognised(text) is None)


def test_a_link_that_leads_nowhere_is_no_open_house(file, tmp_path):
    file.path.parent.mkdir()
    file.path.symlink_to(tmp_path / "not mounted" / "keys.toml")
    with pytest.raises(ConfigError, match="which is not there"):
        loaded(file)


async def test_a_folder_in_its_place_changes_nothing(file, live):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    file.path.unlink()
    file.path.mkdir()
    await until(lambda: live.faults != ())
    assert live.recognised(text) is not None


@pytest.mark.parametrize("lose", [os.unlink, lambda path: os.truncate(path, 0)], ids=["gone", "empty"])
async def test_a_file_that_is_lost_opens_nothing(file, live, lose):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    lose(file.path)
    await until(lambda: live.faults != ())
    assert live.made
    assert live.recognised(text) is not None


async def test_keys_that_are_taken_out_are_refused_and_the_house_stays_closed(file, live):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    file.path.write_text("# none any more\n")
    await until(lambda: live.recognised(text) is None)
    assert live.made


async def test_rights_that_are_mended_are_seen(file, live):
    text = made(file).encode()
    await until(lambda: live.recognised(text) is not None)
    if os.geteuid() == 0:
        pytest.skip("to root every file is readable")
    file.path.chmod(0)
    await until(lambda: live.faults != ())
    file.path.chmod(0o600)
    await until(lambda: live.faults == ())
