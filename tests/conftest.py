"""Processes that many tests share; each is started once, when the first test asks for it."""

from collections.abc import Iterator

import pytest

from tests import processes
from tests.adapters.http1.upstream import certificate
from tests.processes import Process


@pytest.fixture(scope="session")
def simulator() -> Iterator[Process]:
    with processes.simulator() as running:
        yield running


@pytest.fixture(scope="session")
def over_openai(simulator: Process) -> Iterator[Process]:
    """The proxy in front of the simulator as an OpenAI."""
    with processes.gateway(simulator, "openai") as running:
        yield running


@pytest.fixture(scope="session")
def over_ollama(simulator: Process) -> Iterator[Process]:
    """The proxy in front of the simulator as an Ollama."""
    with processes.gateway(simulator, "ollama") as running:
        yield running


@pytest.fixture(scope="session")
def over_hypercorn(simulator: Process) -> Iterator[Process]:
    """The proxy started by Hypercorn's own command."""
    with processes.gateway(simulator, "openai", hypercorn=True) as running:
        yield running


@pytest.fixture(scope="session")
def over_workers(simulator: Process) -> Iterator[Process]:
    """The proxy as two processes on one port."""
    with processes.gateway(simulator, "openai", WORKERS="2") as running:
        yield running


@pytest.fixture(scope="session")
def over_httpx(simulator: Process) -> Iterator[Process]:
    """The proxy with its calls carried by httpx."""
    config = processes.CONFORMANCE_MODELS + '[providers.openai]\ntransport = "httpx"\n'
    with processes.gateway(simulator, "openai", config) as running:
        yield running


@pytest.fixture(scope="session")
def over_tls(simulator: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The proxy in TLS."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"))
    with processes.gateway(simulator, "openai", TLS_CERTFILE=str(cert), TLS_KEYFILE=str(key)) as running:
        yield running


@pytest.fixture(scope="session", params=["openai", "ollama", "httpx", "hypercorn", "workers", "tls"])
def served(request: pytest.FixtureRequest) -> Process:
    """The proxy over each kind of provider, and served in each way there is."""
    running: Process = request.getfixturevalue(f"over_{request.param}")
    return running
