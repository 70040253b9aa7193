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
ABSENT = ("/v1/completions", "/v1/responses", "/v1/messages", "/v1/audio", "/api/status")


def playable(case: dict[str, object]) -> bool:
    served = not str(case["endpoint"]).startswith(ABSENT)
    return case["level"] == "must" and served and not case.get("requires")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES if playable(case)])
def test_case(case, gateway: Process):
    assert run_case(gateway.url, case, ENV, 30.0) == []


def test_cases_name_only_known_models():
    assert all(needed(fill(case, ENV)) == set() for case in CASES)
