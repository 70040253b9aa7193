"""The real thing: the proxy and the simulator as processes of their own, on free ports of 127.0.0.1."""

import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

ROOT = Path(__file__).parent.parent

# What a test's process inherits: nothing that could name a provider or a key.
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "PYTHONHASHSEED", "TMPDIR")

CONFORMANCE_MODELS = """
[models.chat]
capabilities = ["completion"]
[models.basic]
capabilities = ["completion"]
[models.tools]
capabilities = ["completion", "tools"]
[models.think]
capabilities = ["completion", "thinking"]
[models.embed]
capabilities = ["embedding"]
[models.insert]
capabilities = ["completion", "insert"]
"""

UNDAUNTED = """
[stage.call]
last_resort = "ignore_breakers"
"""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@frozen
class Process:
    """A running `app.py`; `log` is the file of all it printed."""

    port: int
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)
    certificate: str = ""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self.certificate else f"http://127.0.0.1:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext | bool:
        """What a client has to be told so that it trusts this process."""
        return ssl.create_default_context(cafile=self.certificate) if self.certificate else True

    @property
    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def app(
    *arguments: str, config: str = "", port: int | None = None, hypercorn: bool = False, **environment: str
) -> Iterator[Process]:
    """`python app.py` with `config` as its proxy.toml, in an empty folder, from the moment it accepts connections.

    `hypercorn`: by Hypercorn's own command in its place.
    """
    chosen = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "proxy.toml").write_text(config)
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        env |= {"PORT": str(chosen), "DATA_DIR": folder, **environment}
        log = home / "log"
        with log.open("wb") as out:
            command = [sys.executable, str(ROOT / "app.py"), *arguments]
            if hypercorn:
                env["PYTHONPATH"] = str(ROOT)
                command = [
                    sys.executable,
                    "-m",
                    "hypercorn",
                    "-k",
                    "trio",
                    "-b",
                    f"127.0.0.1:{chosen}",
                    "app:app",
                ]
            process = subprocess.Popen(command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        running = Process(chosen, log, process, environment.get("TLS_CERTFILE", ""))
        try:
            _wait(running)
            yield running
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(running: Process, limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end and running.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", running.port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"it does not listen (exit {running.process.poll()}):\n{running.output}")


@contextmanager
def simulator() -> Iterator[Process]:
    """All providers, faked."""
    port = free_port()
    with app("simulate", "--port", str(port), port=port) as running:
        yield running


@contextmanager
def gateway(
    upstream: Process,
    kind: str,
    config: str = CONFORMANCE_MODELS,
    hypercorn: bool = False,
    **environment: str,
) -> Iterator[Process]:
    """The proxy with `upstream` as its only provider, asked in the language of `kind`.

    Tests of languages make it fail again and again, one after the other: it is asked all the same.
    """
    path = {
        "openai": "/openai/v1",
        "ollama": "/ollama",
        "openrouter": "/openrouter/api/v1",
        "azure": "/azure",
        "anthropic": "/anthropic",
        "google": "/google/v1beta",
        "aws_bedrock": "/aws_bedrock",
    }[kind]
    named = {f"{kind.upper()}_BASE_URL": upstream.url + path, f"{kind.upper()}_API_KEY": "sim-key"}
    given: dict[str, Any] = {**named, **environment}
    with app(
        config=("" if kind == "ollama" else config) + UNDAUNTED, hypercorn=hypercorn, **given
    ) as running:
        yield running
