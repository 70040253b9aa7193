"""The command line that makes, shows, changes and revokes keys."""

import json

import pytest
from click.testing import CliRunner

from adapters.keys_file import KeyFile, loaded
from commands.keys import keys_command
from pipeline.keys import FORM, id_of, moment
from pipeline.values.callers import Allowance, Priority


@pytest.fixture
def keys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))

    def run(*arguments, status=0):
        done = CliRunner().invoke(keys_command, arguments)
        assert done.exit_code == status, done.output
        return done

    run.file = KeyFile(tmp_path / "keys.toml")
    return run


def test_a_key_is_printed_alone(keys):
    done = keys("create", "--name", "web")
    assert FORM.fullmatch(done.stdout.strip().encode())
    assert done.stdout.count("\n") == 1
    assert "shown this once" in done.stderr
    assert "every client needs one" in done.stderr
    assert "every client needs one" not in keys("create", "--name", "other").stderr


def test_what_a_key_may_do_is_said_when_it_is_made(keys):
    limits = ["--rpm", "60", "--tpm", "9000", "--max-concurrent", "2", "--budget", "20/month"]
    rules = ["--models", "gpt-4o*, fast", "--providers", "OpenAI", "--priority", "high", "--admin"]
    text = keys("create", "--name", "web", *limits, *rules, "--expires", "2099-01-31").stdout.strip()
    key = keys.file.read().keys[id_of(text)]
    assert (key.models, key.providers) == (("gpt-4o*", "fast"), {"openai"})
    assert (key.limits.requests, key.limits.tokens, key.limits.concurrent) == (60, 9000, 2)
    assert key.limits.budget == Allowance(20_000_000, "month")
    assert (key.highest, key.scopes) == (Priority.HIGH, {"client", "admin"})
    assert key.expires == moment("2099-02-01T00:00:00Z")


def test_a_key_says_nothing_by_itself(keys):
    text = keys("create", "--name", "web").stdout.strip()
    key = keys.file.read().keys[id_of(text)]
    assert (key.scopes, key.highest, key.expires, key.first) == ({"client"}, Priority.NORMAL, None, False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rpm", "0"),
        ("--rpm", "1.5"),
        ("--budget", "20"),
        ("--budget", "20/year"),
        ("--priority", "urgent"),
        ("--expires", "soon"),
        ("--expires", "9999-12-31"),
        ("--expires", "999999w"),
        ("--models", ""),
        ("--name", " "),
        ("--name", "a\x1b[31mb"),
        ("--providers", " , "),
        ("--max-concurrent", "-1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(keys, arguments):
    assert "Invalid value" in keys("create", "--name", "web", *arguments, status=2).stderr
    assert keys.file.read().keys == {}


def test_names_are_told_apart(keys):
    keys("create", "--name", "web")
    assert "already" in keys("create", "--name", "web", status=1).stderr
    keys("revoke", "web")
    keys("create", "--name", "web")
    assert "no key" in keys("show", "nobody", status=1).stderr


def test_a_list_fits_80_columns_and_shows_no_key(keys):
    text = keys(
        *("create", "--name", "a-long-name-of-a-team-somewhere", "--models", "gpt-4o*,claude-*,gemini-*"),
        *("--rpm", "100000", "--tpm", "100000000", "--budget", "1000.5/month", "--expires", "30d"),
    ).stdout.strip()
    keys("create", "--name", "b")
    listed = keys("list").stdout
    assert max(map(len, listed.splitlines())) <= 80
    assert len(listed.splitlines()) == 3
    secret, digest = text.rpartition("_")[2], keys.file.read().keys[id_of(text)].digest
    for shown in (listed, keys("list", "--json").stdout, keys("show", id_of(text)).stdout):
        assert secret not in shown
        assert digest not in shown
    assert [key["name"] for key in json.loads(keys("list", "--json").stdout)][1] == "b"


def test_an_empty_list_says_what_to_do(keys):
    assert "keys create" in keys("list").stderr


def test_a_change_touches_what_it_names(keys):
    text = keys("create", "--name", "web", "--rpm", "60", "--budget", "5/day", "--admin").stdout.strip()
    keys("edit", "web", "--rpm", "none", "--name", "site", "--no-admin", "--models", "fast")
    key = keys.file.read().keys[id_of(text)]
    assert (key.name, key.limits.requests, key.models, key.scopes) == ("site", None, ("fast",), {"client"})
    assert key.limits.budget == Allowance(5_000_000, "day")
    assert loaded(keys.file).recognised(text.encode()).name == "site"
    assert "Nothing is changed" in keys("edit", "site").stderr


def test_a_rotated_key_keeps_its_id(keys):
    old = keys("create", "--name", "web").stdout.strip()
    new = keys("rotate", "web").stdout.strip()
    ring = loaded(keys.file)
    assert id_of(new) == id_of(old)
    assert ring.recognised(old.encode()) == ring.recognised(new.encode())
    newest = keys("rotate", "web", "--grace", "0").stdout.strip()
    ring = loaded(keys.file)
    assert [ring.recognised(text.encode()) is not None for text in (old, new, newest)] == [False, False, True]


def test_a_revoked_key_stays_so(keys):
    text = keys("create", "--name", "web").stdout.strip()
    assert "nobody is let in" in keys("revoke", "web").stderr
    assert loaded(keys.file).recognised(text.encode()) is None
    assert "already" in keys("revoke", "web").stderr
    assert "revoked" in keys("rotate", "web", status=1).stderr


def test_a_broken_file_is_told_and_left_alone(keys):
    keys.file.path.write_text("[keys.web]\nrpm = 0\n")
    for arguments in (("list",), ("create", "--name", "web"), ("revoke", "web")):
        assert "keys.toml:1: keys.web" in keys(*arguments, status=2).stderr
    assert keys.file.path.read_text() == "[keys.web]\nrpm = 0\n"


@pytest.mark.parametrize("command", ["create", "list", "show", "edit", "rotate", "revoke"])
def test_help_fits_80_columns(keys, command):
    assert max(map(len, keys(command, "--help").stdout.splitlines())) <= 80
