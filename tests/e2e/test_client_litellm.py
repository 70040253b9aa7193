"""LiteLLM through the proxy. It cannot live beside the newest SDKs of its vendors, so it runs in an environment of its own."""

import subprocess

import pytest

from tests.processes import ROOT

PYTHON = ROOT / ".venv-litellm" / "bin" / "python"
CASES = "tests/e2e/litellm_client.py"


@pytest.mark.timeout(600)
def test_litellm():
    assert PYTHON.exists(), "its environment is missing: make install"
    command = [str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", CASES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout
