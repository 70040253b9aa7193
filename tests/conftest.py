"""Processes that many tests share; each is started once, when the first test asks for it."""

from collections.abc import Iterator

import pytest

from tests import processes
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


@pytest.fixture(scope="session", params=["openai", "ollama"])
def gateway(request: pytest.FixtureRequest) -> Process:
    """The proxy, once over each kind of provider."""
    running: Process = request.getfixturevalue(f"over_{request.param}")
    return running
