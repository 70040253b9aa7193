"""The proxy in front of each kind of provider, as its clients find it; each is started once."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from attrs import field, frozen

from tests import processes
from tests.processes import Process

SEEING = processes.CONFORMANCE_MODELS.replace(
    '[models.chat]\ncapabilities = ["completion"]', '[models.chat]\ncapabilities = ["completion", "vision"]'
)
EMBEDS = frozenset({"openai", "google", "aws_bedrock", "ollama"})
INSERTS = frozenset({"openai", "ollama"})


@frozen
class Over:
    """A proxy whose only provider is of `kind`."""

    kind: str
    proxy: Process
    upstream: Process = field(repr=False)

    @property
    def url(self) -> str:
        return self.proxy.url

    @property
    def embeds(self) -> bool:
        """Whether this kind has models that embed."""
        return self.kind in EMBEDS

    @property
    def inserts(self) -> bool:
        """Whether this kind fills gaps."""
        return self.kind in INSERTS

    @property
    def seeing(self) -> str:
        """A model that takes pictures."""
        return "gemma3" if self.kind == "ollama" else "chat"

    def asked(self) -> dict[str, Any]:
        """The body of the last call of a model that the provider got."""
        calls = httpx.get(f"{self.upstream.url}/_sim/seen").json()
        found: dict[str, Any] = next(call["body"] for call in reversed(calls) if call["method"] == "POST")
        return found


@pytest.fixture(scope="session")
def over_kind(simulator: Process) -> Iterator[Callable[[str], Over]]:
    """The proxy over a kind of provider, running from its first use on."""
    running: dict[str, Over] = {}
    with ExitStack() as stack:

        def started(kind: str) -> Over:
            if kind not in running:
                proxy = stack.enter_context(processes.gateway(simulator, kind, SEEING))
                running[kind] = Over(kind, proxy, simulator)
            return running[kind]

        yield started


@pytest.fixture(scope="session", params=["openai", "anthropic", "google", "aws_bedrock", "ollama"])
def over(request: pytest.FixtureRequest, over_kind: Callable[[str], Over]) -> Over:
    """The proxy over each kind in turn."""
    return over_kind(request.param)


@contextmanager
def slow(kind: str) -> Iterator[tuple[Process, Process]]:
    """A proxy, and the provider of `kind` behind it, which thinks for a while before each piece."""
    port = processes.free_port()
    pace = ("--head-ms", "400", "--delta-ms", "400")
    provider = processes.app("simulate", "--port", str(port), *pace, port=port)
    with provider as upstream, processes.gateway(upstream, kind, SEEING) as running:
        yield running, upstream


def somebody_left(upstream: Process, limit_s: float = 5.0) -> bool:
    """Whether a call of `upstream` was left before its end; it may take a while until that is seen."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if any(call["left"] for call in httpx.get(f"{upstream.url}/_sim/seen").json()):
            return True
        time.sleep(0.02)
    return False
