"""The proxy as an operator meets it: starting, failing to start, stopping, and what it says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import processes
from tests.processes import KEPT, ROOT, Process

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}

POLITE = """
from attrs import evolve, frozen
from pipeline.protocol import before
from pipeline.values.messages import ChatRequest, Message, Role, Text
from pipeline.wiring import Entry

@frozen
class PoliteOptions:
    words: str = "Answer politely."

def polite(exchange, options):
    request = exchange.request
    if not isinstance(request, ChatRequest):
        return exchange
    system = Message(Role.SYSTEM, (Text(options.words),))
    return evolve(exchange, request=request.rewritten(messages=(system, *request.messages)))

ENTRY = Entry(lambda options, env: before("polite", lambda x: polite(x, options)), PoliteOptions, side="request")
"""


def post(url, body, path="/api/chat"):
    asked = urllib.request.Request(
        f"{url}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=20) as reply:
        return reply.status, reply.read().decode()


def get(url, path):
    try:
        with urllib.request.urlopen(f"{url}{path}", timeout=5) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def started(folder: Path, *arguments, **environment):
    """`app.py` run to its end; (exit status, what it said)."""
    env = {name: os.environ[name] for name in KEPT if name in os.environ} | environment
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def slow():
    port = processes.free_port()
    with processes.app("simulate", "--port", str(port), "--delta-ms", "700", port=port) as running:
        yield running


def test_without_anything_the_demo_answers_and_says_so():
    with processes.app() as running:
        status, text = post(running.url, {**CHAT, "model": "demo"})
        assert status == 200
        lines = [json.loads(line) for line in text.splitlines()]
        assert lines[-1]["done"] is True
        assert "demonstration" in "".join(line["message"]["content"] for line in lines)
        assert {"demo:latest", "demo-tools:latest", "demo-embed:latest"} <= {
            model["name"] for model in json.loads(get(running.url, "/api/tags")[1])["models"]
        }
        said = running.output
    assert running.url in said
    assert "demo (healthy)" in said
    assert "curl " in said
    assert "OPENAI_API_KEY" in said


def test_the_demo_is_gone_with_a_real_provider(over_openai: Process):
    assert "demo" not in get(over_openai.url, "/api/tags")[1]
    assert get(over_openai.url, "/api/tags/openai")[0] == 200
    assert get(over_openai.url, "/api/tags/demo")[0] == 404


def test_a_taken_port_says_what_to_do(tmp_path):
    with processes.app() as running:
        status, said = started(tmp_path, PORT=str(running.port))
    assert status == 1
    assert f"{running.port}" in said
    assert "PORT=" in said
    assert "Traceback" not in said


def test_the_port_of_ollama_says_how_to_stand_before_it():
    from adapters.serving import taken_text

    text = taken_text("127.0.0.1", 11434)
    assert "PORT=11435" in text
    assert "OLLAMA_BASE_URL" in text


def test_all_faults_at_once_with_their_places(tmp_path):
    (tmp_path / "proxy.toml").write_text(
        '[pipeline]\nstages = ["normalise", "call", "route"]\n[server]\nport = "x"\n[providers.openai]\ntimout = 3\n'
    )
    status, said = started(tmp_path)
    assert status == 2
    assert 'pipeline.stages[0]: no stage is named "normalise"; did you mean "normalize"?' in said
    assert 'Move "route" before "call"' in said
    assert "proxy.toml:4" in said
    assert "proxy.toml:6" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        pytest.param(["route", "call"], 200, id="the least"),
        pytest.param(["limit", "route", "normalize", "call", "record", "transform"], 200, id="another order"),
        pytest.param(["call", "route"], 'Move "route" before "call"', id="the plan comes too late"),
        pytest.param(
            ["route", "transform", "call"], 'Move it behind "call"', id="a reply stage before the call"
        ),
        pytest.param(["route", "cal"], 'did you mean "call"?', id="a misspelt stage"),
        pytest.param(["route", "limit"], '"call" is missing', id="no call"),
    ],
)
def test_the_order_of_stages(stages, expected, tmp_path):
    config = f"[pipeline]\nstages = {json.dumps(stages)}\n"
    if expected == 200:
        with processes.app(config=config) as running:
            assert post(running.url, {**CHAT, "model": "demo"})[0] == 200
        return
    (tmp_path / "proxy.toml").write_text(config)
    status, said = started(tmp_path)
    assert status == 2
    assert expected in said


def test_an_operators_own_stage(tmp_path, simulator: Process):
    (tmp_path / "polite.py").write_text(POLITE)
    config = '[pipeline]\nstages = ["polite:ENTRY", "route", "call"]\n[stage."polite:ENTRY"]\nwords = "Be brief, XYZZY."\n'
    with processes.gateway(simulator, "openai", config, PYTHONPATH=str(tmp_path)) as running:
        assert post(running.url, {**CHAT, "model": "gpt-4o"})[0] == 200
    seen = json.loads(get(simulator.url, "/_sim/seen")[1])
    assert "XYZZY" in json.dumps(seen[-1]["body"])


def test_check_shows_what_is_in_force_and_no_secret(tmp_path):
    (tmp_path / "proxy.toml").write_text("[server]\nport = 12345\n")
    key = "sk-abcdefghijklmnopqrstuvwxyz"
    status, said = started(tmp_path, "check", OPENAI_API_KEY=key, LOG_LEVEL="debug")
    assert status == 0
    assert "server.port = 12345  # proxy.toml:2" in said
    assert 'server.log_level = "debug"  # environment' in said
    assert key not in said
    assert "abcdefghij" not in said


def test_a_near_miss_is_told(tmp_path):
    _, said = started(tmp_path, "check", OPENAI_APIKEY="x")
    assert "OPENAI_API_KEY" in said


def test_the_command_line_wins(tmp_path):
    (tmp_path / "proxy.toml").write_text("[server]\nport = 1111\n")
    (tmp_path / ".env").write_text("PORT=2222\n")
    _, said = started(tmp_path, "check", "--port", "4444", PORT="3333")
    assert "server.port = 4444  # command line" in said
    _, said = started(tmp_path, "check", PORT="3333")
    assert "server.port = 3333  # environment" in said
    _, said = started(tmp_path, "check")
    assert "server.port = 2222  # .env" in said


class Streaming:
    """A streamed call in a thread of its own."""

    def __init__(self, url: str) -> None:
        self.text = ""
        self.thread = threading.Thread(target=self._read, args=(url,))
        self.thread.start()

    def _read(self, url: str) -> None:
        asked = urllib.request.Request(f"{url}/api/chat", json.dumps(CHAT).encode())
        with urllib.request.urlopen(asked, timeout=30) as reply:
            for line in reply:
                self.text += line.decode()

    def until_begun(self) -> None:
        end = time.monotonic() + 10
        while not self.text and time.monotonic() < end:
            time.sleep(0.02)


def test_a_signal_lets_running_streams_end(slow: Process):
    with processes.gateway(slow, "openai") as running:
        stream = Streaming(running.url)
        stream.until_begun()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert get(running.url, "/health/ready")[0] == 503
        stream.thread.join(20)
        assert running.process.wait(10) == 0
    assert json.loads(stream.text.splitlines()[-1])["done"] is True


def test_a_second_signal_ends_them_with_an_error_frame(slow: Process):
    with processes.gateway(slow, "openai") as running:
        stream = Streaming(running.url)
        stream.until_begun()
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        stream.thread.join(20)
        assert running.process.wait(10) == 0
        assert time.monotonic() - began < 8
    assert json.loads(stream.text.splitlines()[-1]).keys() == {"error"}


def test_hypercorns_own_command_serves_the_same_app(tmp_path):
    port = processes.free_port()
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {"PYTHONPATH": str(ROOT), "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "hypercorn", "-k", "trio", "-b", f"127.0.0.1:{port}", "app:app"]
    process = subprocess.Popen(
        command, env=env, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                assert get(f"http://127.0.0.1:{port}", "/")[1] == "Ollama is running"
                break
            except OSError:
                time.sleep(0.1)
        status, text = post(f"http://127.0.0.1:{port}", {**CHAT, "model": "demo"})
        assert status == 200
        assert json.loads(text.splitlines()[-1])["done"] is True
        process.terminate()
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def test_production_logs_are_json_one_line_a_request():
    with processes.app(ENVIRONMENT="production") as running:
        post(running.url, {**CHAT, "model": "demo", "stream": False})
        time.sleep(0.5)
        lines = [json.loads(line) for line in running.output.splitlines() if line.startswith("{")]
        running.process.send_signal(signal.SIGTERM)  # twice: production takes its time to leave
        time.sleep(0.2)
    (line,) = [line for line in lines if line["logger"] == "ollama_proxy.request"]
    assert line["outcome"] == "ok"
    assert line["served"] == "demo/demo"
    assert "hi" not in json.dumps(line["model"])


def test_records_are_kept_on_disk(tmp_path):
    import sqlite3

    with processes.app(DATA_DIR=str(tmp_path)) as running:
        post(running.url, {**CHAT, "model": "demo", "stream": False})
        post(running.url, {**CHAT, "model": "demo"})
    with sqlite3.connect(tmp_path / "usage.db") as database:
        rows = database.execute(
            "select dialect, model, outcome, stream from exchanges order by number"
        ).fetchall()
    assert rows == [("ollama.chat", "demo", "ok", 0), ("ollama.chat", "demo", "ok", 1)]


def test_a_provider_that_is_the_proxy_itself_is_refused_at_start(tmp_path):
    status, said = started(tmp_path, OLLAMA_ENABLED="true")
    assert status == 2
    assert "OLLAMA_BASE_URL" in said
    assert "PORT" in said


def test_a_request_that_comes_back_is_a_loop_and_ends():
    """Two proxies that name each other as their provider."""
    ports = [processes.free_port() for _ in range(2)]
    config = '[models.m]\ntargets = ["openai/m"]\n'

    def pointing_at(port):
        return {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "x"}

    with (
        processes.app(config=config, port=ports[0], **pointing_at(ports[1])) as first,
        processes.app(config=config, port=ports[1], **pointing_at(ports[0])) as second,
    ):
        began = time.monotonic()
        with pytest.raises(urllib.error.HTTPError) as error:
            post(first.url, {**CHAT, "model": "m", "stream": False})
        error.value.close()
        assert error.value.code == 502
        assert time.monotonic() - began < 5
        time.sleep(0.3)
        assert first.output.count("ollama_proxy.request") == 1
        assert second.output.count("ollama_proxy.request") == 1
