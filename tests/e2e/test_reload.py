"""The proxy is configured anew while it serves, over real sockets: nobody notices, and nothing is left behind."""

import json
import os
import signal
import time
import urllib.error
import urllib.request

import pytest

from tests import processes
from tests.e2e.test_serving import get, post
from tests.e2e.test_workers import CHAT, Load, children, ready, wait_for
from tests.processes import Process

RELOADS = int(os.environ.get("RELOADS", "10"))
PIPELINES = (
    '["normalize", "route", "limit", "call", "transform", "record"]',
    '["normalize", "route", "limit", "call", "record"]',
)


def provider(upstream: Process, name, permits=8):
    return f"""
[providers.{name}]
kind = "openai"
base_url = "{upstream.url}/openai/v1"
api_key = "sim-key"
max_concurrent_requests = {permits}
"""


def written(upstream: Process, *providers, limit=100, stages=PIPELINES[0], more=""):
    """A proxy.toml."""
    return (
        f"[pipeline]\nstages = {stages}\n[stage.limit]\nmax_concurrent = {limit}\n{more}\n"
        + processes.CONFORMANCE_MODELS
        + "".join(provider(upstream, name, permits) for name, permits in providers)
    )


def write(running: Process, text, name="proxy.toml"):
    """As an operator's editor does: the file is there whole or not at all."""
    new = running.log.parent / f"{name}.new"
    new.write_text(text)
    new.replace(running.log.parent / name)


def reload(running: Process):
    """Status and answer of a reload that is asked for."""
    asked = urllib.request.Request(f"{running.url}/api/admin/reload", b"{}", method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=20) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def taken(running: Process, changed):
    """It has read what is written: because it is asked to, or has seen it by itself just before."""
    assert reload(running)[0] == 200
    wait_for(lambda: f"read anew: {changed}\n" in running.output, 2.0)


def detailed(running: Process):
    return json.loads(get(running.url, "/health/detailed")[1])


def configuration(running: Process):
    return detailed(running)["configuration"]


def descriptors(running: Process):
    """The open files of the process, those of connections to clients and to providers among them."""
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))


@pytest.fixture
def served(simulator: Process):
    with processes.app(config=written(simulator, ("one", 8))) as running:
        yield running


def turn(simulator: Process, number):
    """What is written the `number`-th time, and whether it can be used."""
    if number % 5 == 4:
        broken = ("[stage.limit]\nqueue_size = -1\n", "[pipeline\n", "[providers.one]\nkind = 'nobody'\n")
        return broken[number // 5 % 3], False
    who = ((("one", 8),), (("one", 2), ("two", 8)), (("two", 3),), (("two", 8), ("one", 8)))[number % 4]
    limit, stages = (100, 3, 6)[number % 3], PIPELINES[number % 2]
    return written(simulator, *who, limit=limit, stages=stages), True


@pytest.mark.timeout(max(120, RELOADS * 5))
def test_reloading_under_load_loses_no_request_and_leaves_nothing_behind(simulator: Process, served: Process):
    rest = written(simulator, ("resting", 8))

    def at_rest():
        write(served, rest)
        assert reload(served)[0] == 200
        wait_for(lambda: detailed(served)["running_requests"] == 0)
        time.sleep(1.5)
        return descriptors(served)

    with Load(served.port, clients=2):
        time.sleep(0.3)
    before = at_rest()
    with Load(served.port, clients=6) as load:
        for number in range(RELOADS):
            text, usable = turn(simulator, number)
            write(served, text)
            status, answer = reload(served)
            assert status == (200 if usable else 422), answer
            assert bool(configuration(served)["errors"]) is not usable
            answered = load.answers
            wait_for(lambda answered=answered: load.answers > answered + 5 or load.lost)
    assert load.lost == [], served.output[-4000:]
    assert load.answers > 10 * RELOADS
    after = at_rest()
    told = detailed(served)
    assert after <= before, "an open file was left behind"
    assert told["queue"] == {"running": 0, "limit": 100, "waiting": 0}
    assert set(told["providers"]) == {"resting"}
    (shown,) = json.loads(get(served.url, "/api/providers")[1])["providers"]
    assert shown["name"] == "resting"
    assert "Traceback" not in served.output


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        pytest.param("proxy.toml", None, "stage.limit.max_concurrent", id="proxy.toml"),
        pytest.param(".env", "LOG_LEVEL=debug\n", "server.log_level", id="an .env that was not there"),
    ],
)
def test_a_change_of_a_file_is_noticed(name, text, path, simulator: Process, served: Process):
    write(served, text or written(simulator, ("one", 8), limit=7), name)
    wait_for(lambda: f"read anew: {path}" in served.output, 5.0)
    if text is None:
        assert detailed(served)["queue"]["limit"] == 7


def test_the_filter_of_models_is_followed(simulator: Process):
    config = 'models_filter = "allowed.txt"\n' + written(simulator, ("one", 8))
    with pytest.raises(RuntimeError, match="cannot be read"), processes.app(config=config):
        pass
    with processes.app(config=written(simulator, ("one", 8))) as running:
        write(running, config)
        status, answer = reload(running)
        assert (status, answer["faults"][0]["path"]) == (422, "models_filter")
        write(running, "chat\n", "allowed.txt")
        wait_for(lambda: not configuration(running)["errors"], 5.0)
        assert [model["name"] for model in json.loads(get(running.url, "/api/tags")[1])["models"]] == [
            "chat:latest"
        ]
        write(running, "basic\n", "allowed.txt")
        wait_for(lambda: "basic" in get(running.url, "/api/tags")[1], 5.0)
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(running.url, CHAT)
        assert refused.value.code == 404
        refused.value.close()


def test_a_hangup_reloads(simulator: Process, served: Process):
    write(served, written(simulator, ("one", 8), limit=7))
    served.process.send_signal(signal.SIGHUP)
    wait_for(lambda: detailed(served)["queue"]["limit"] == 7, 3.0)
    assert served.process.poll() is None
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(15) == 0


def test_a_stream_outlives_its_provider(simulator: Process):
    port = processes.free_port()
    with (
        processes.app("simulate", "--port", str(port), "--delta-ms", "400", port=port) as slow,
        processes.app(config=written(slow, ("slow", 8))) as running,
    ):
        asked = urllib.request.Request(
            f"{running.url}/api/chat",
            json.dumps({**CHAT, "stream": True}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=20) as reply:
            first = reply.readline()
            write(running, written(simulator, ("one", 8)))
            assert reload(running)[0] == 200
            assert set(detailed(running)["providers"]) == {"one"}
            lines = [json.loads(line) for line in (first, *reply)]
        assert lines[-1]["done"] is True
        assert "".join(line["message"]["content"] for line in lines) == "Hello world!"
        assert post(running.url, CHAT)[0] == 200


def test_what_needs_a_restart_is_told(simulator: Process):
    with processes.app(config=written(simulator, ("one", 8))) as running:
        write(running, written(simulator, ("one", 8), more="[server]\nworkers = 3\nlog_level = 'debug'"))
        taken(running, "server.log_level")
        assert reload(running) == (200, {"changed": [], "needs_restart": ["server.workers"]})
        assert configuration(running)["needs_restart"] == ["server.workers"]
        assert "needs a restart to take effect: server.workers" in running.output


def test_the_command_line_stays_above_what_is_written(simulator: Process):
    with processes.app("--log-level", "warning", config=written(simulator, ("one", 8))) as running:
        write(running, written(simulator, ("one", 8), limit=5, more="[server]\nlog_level = 'debug'"))
        assert reload(running)[0] == 200
        assert detailed(running)["queue"]["limit"] == 5
        assert "read anew" not in running.output


def test_a_new_key_shows_in_no_line(simulator: Process, served: Process):
    key = "planted-0123456789-secret"
    text = written(simulator, ("one", 8), more="[server]\nlog_level = 'debug'").replace("sim-key", key)
    write(served, text)
    taken(served, "providers.one.api_key, server.log_level")
    write(served, f"{text}\n[providers.two]\nkind = 'openai'\nbase_url = '{key}'\n")
    assert reload(served)[0] == 422
    post(served.url, CHAT)
    assert key not in served.output.replace(f'"{key}"', "")
    assert key not in get(served.url, "/health/detailed")[1]


def test_the_server_of_others_reloads_too(simulator: Process):
    with processes.gateway(simulator, "openai", hypercorn=True) as running:
        config = (running.log.parent / "proxy.toml").read_text()
        assert get(running.url, "/health/live")[0] == 200  # it listens before it has read anything
        write(running, f"{config}\n[stage.limit]\nmax_concurrent = 7\n")
        taken(running, "stage.limit.max_concurrent")
        write(running, f"{config}\n[stage.limit]\nmax_concurrent = 9\n")
        wait_for(lambda: detailed(running)["queue"]["limit"] == 9, 5.0)


@pytest.fixture
def two(simulator: Process):
    with processes.app(config=written(simulator, ("one", 8)), WORKERS="2") as running:
        wait_for(lambda: ready(running) == 2, 40.0)
        yield running


def test_each_worker_follows_the_files(simulator: Process, two: Process):
    before = children(two)
    write(two, written(simulator, ("one", 8), limit=7))
    wait_for(lambda: two.output.count("read anew: stage.limit.max_concurrent") == 2, 5.0)
    assert children(two) == before
    assert detailed(two)["queue"]["limit"] == 4, "each has its part"


def test_workers_are_not_replaced_by_such_as_could_not_begin(simulator: Process, two: Process):
    before = children(two)
    write(two, "[stage.limit]\nmax_concurrent = 0\n")
    two.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "not replaced" in two.output)
    time.sleep(0.5)
    assert children(two) == before
    assert post(two.url, CHAT)[0] == 200
    write(two, written(simulator, ("one", 8), limit=6))
    two.process.send_signal(signal.SIGHUP)
    wait_for(lambda: not set(before) & set(children(two)), 20.0)
    assert post(two.url, CHAT)[0] == 200
