"""The proxy as a process, in front of each kind of provider, against what the real Ollama server does."""

import json
from pathlib import Path

import pytest

from tests.conformance.run_cases import fill, needed, run_case
from tests.processes import Process

CASES = json.loads((Path(__file__).parent / "cases.json").read_text())["cases"]
MODELS = {f"{name}_MODEL": name.lower() for name in ("CHAT", "BASIC", "TOOLS", "THINK", "EMBED", "INSERT")}
ENV = {**MODELS, "CHAT_MODEL_UPPER": "CHAT", "MISSING_MODEL": "no-such-model-zz"}

# Routes that are not served yet, and what only a real local Ollama can have.
# On `/v1` an error names its field and code as OpenAI's own does, and thinking is `reasoning_content`: docs/conformance.md.
OTHERWISE = frozenset(
    {
        *(
            "v1-chat-reasoning",
            "v1-chat-missing-404",
            "v1-chat-no-messages-400",
            "v1-embeddings-no-input-400",
        ),
        "v1-responses-missing-404",
    }
)
ABSENT = ("/v1/audio", "/api/status")


# What speaks OpenAI's own form is handed on to `/v1` as it came, with its own id, comments and first chunk.
AS_IT_CAME = {
    "openrouter": frozenset({"v1-chat", "v1-chat-stream"}),
    "azure": frozenset({"v1-chat-stream"}),
}


def playable(case: dict[str, object]) -> bool:
    served = not str(case["endpoint"]).startswith(ABSENT)
    due = case["level"] == "must" and case["id"] not in OTHERWISE
    return due and served and not case.get("requires")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES if playable(case)])
def test_case(case, gateway: Process):
    assert run_case(gateway.url, case, ENV, 30.0) == []


def about_chat(case: dict[str, object]) -> bool:
    """Cases of the routes that every provider serves."""
    return playable(case) and case["endpoint"] in ("/api/chat", "/api/generate", "/v1/chat/completions")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES if about_chat(case)])
def test_case_over_the_cloud(case, cloud: tuple[str, Process]):
    """Every provider, behind the gateway, is Ollama to its clients."""
    kind, running = cloud
    differs = case["id"] in AS_IT_CAME.get(kind, ())
    faults = run_case(running.url, case, ENV, 30.0)
    assert bool(faults) == differs, faults


def test_cases_name_only_known_models():
    assert all(needed(fill(case, ENV)) == set() for case in CASES)
