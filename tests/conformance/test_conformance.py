"""The proxy as a process, in front of each kind of provider, against what the real Ollama server does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes
from tests.conformance.run_cases import fill, needed, run_case
from tests.e2e.conftest import SEEING
from tests.processes import Process

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())["cases"]
MODELS = {f"{name}_MODEL": name.lower() for name in ("CHAT", "BASIC", "TOOLS", "THINK", "EMBED", "INSERT")}
ENV = {**MODELS, "CHAT_MODEL_UPPER": "CHAT", "MISSING_MODEL": "no-such-model-zz"}
DEPLOYMENTS = ",".join(MODELS.values())
KINDS = ("openai", "ollama", "anthropic", "google", "openrouter", "azure", "aws_bedrock")
DOCS = Path(__file__).parents[2] / "docs" / "conformance.md"

# Cases that must not pass over these kinds of provider; docs/conformance.md says why.
TAKE_ADDRESSES = frozenset({"openai", "anthropic", "openrouter", "azure"})
PAID = frozenset(KINDS) - {"ollama"}
OTHERWISE = {
    "think-default-on": PAID,
    "v1-chat-image-url-400": TAKE_ADDRESSES,
    "v1-messages-image-url-400": TAKE_ADDRESSES,
    # Bytes of a provider that speaks the client's own language are handed on as they came.
    "v1-chat": {"openrouter"},
    "v1-chat-stream": {"openrouter", "azure"},
    "v1-chat-reasoning": {"azure"},
    "v1-messages-stream-tools": {"anthropic", "google"},
    # Thinking that only its vendor can read goes to the client, who gives it back.
    "v1-messages-thinking": {"openrouter"},
    "v1-responses-stream-tools": {"google"},
    # What a provider has not.
    "embed-string": {"anthropic"},
    "embed-dimensions": {"anthropic", "aws_bedrock"},
    "embeddings-legacy": {"anthropic"},
    "v1-embeddings": {"anthropic", "aws_bedrock"},
}


@pytest.fixture(scope="module", params=KINDS)
def over(request: pytest.FixtureRequest, simulator: Process) -> Iterator[tuple[str, Process]]:
    """Each kind of provider, and the proxy in front of it."""
    with processes.gateway(simulator, request.param, SEEING, AZURE_DEPLOYMENTS=DEPLOYMENTS) as running:
        yield request.param, running


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
def test_case(case, over):
    """Each case passes, but those that are known to differ, which must."""
    kind, running = over
    faults = run_case(running.url, case, ENV, 30.0)
    assert bool(faults) == (kind in OTHERWISE.get(case["id"], ())), faults


def test_cases_name_only_known_models():
    assert all(needed(fill(case, ENV)) == set() for case in CASES)


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_differs_is_a_case_and_explained(name):
    assert name in {case["id"] for case in CASES}
    rows = "".join(line for line in DOCS.read_text().splitlines() if f"`{name}`" in line)
    assert {kind for kind in OTHERWISE[name] if kind_of(kind) not in rows} == set()


def kind_of(kind: str) -> str:
    """What the docs call a kind of provider."""
    return {"openai": "OpenAI", "openrouter": "OpenRouter", "aws_bedrock": "Bedrock"}.get(kind, kind.title())
