"""ollama-js through the proxy, over each kind of provider: one run of the program asks all, and the tests read what it says."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Over, slow, somebody_left

HERE = Path(__file__).resolve().parent.parent / "node"
LIMIT_S = 120
HELLO = ["Hello", " world", "!"]

# Nothing but these two can run the library; the rest of the product needs neither.
pytestmark = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="node and npm are not installed"
)


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts and the packages they need."""
    folder = tmp_path_factory.mktemp("node")
    for file in HERE.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    return folder


def printed(folder: Path, script: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a script prints."""
    run = subprocess.run(
        ["node", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def answers(scripts: Path, over: Over) -> dict[str, Any]:
    return printed(scripts, "ollama.mjs", over.url, over.seeing)


def test_a_whole_chat(answers):
    reply = answers["chat"]
    assert reply["message"] == {"role": "assistant", "content": "Hello world!"}
    assert (reply["done_reason"], reply["prompt_eval_count"], reply["eval_count"]) == ("stop", 11, 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chat_streamed", lambda part: part["message"]["content"]),
        ("generate_streamed", lambda part: part["response"]),
    ],
)
def test_streams(answers, name, said):
    *parts, last = answers[name]
    assert "".join(said(part) for part in (*parts, last)) == "Hello world!"
    assert len(parts) >= 3
    assert [part["done"] for part in parts] == [False] * len(parts)
    assert (last["done"], last["eval_count"]) == (True, 3)


@pytest.mark.parametrize("name", ["tools", "tools_streamed"])
def test_a_turn_with_two_tools(answers, name):
    calls = [(call["name"], call["arguments"]) for call in answers[name]["calls"]]
    assert calls == [("get_weather", {"city": "Paris", "n": 2}), ("noargs", {})]
    assert answers[name]["answer"] == "Hello world!"


def test_thinking(answers):
    assert answers["thinking"]["message"]["thinking"] == "Let me think."
    parts = answers["thinking_streamed"]
    assert "".join(part["message"].get("thinking", "") for part in parts) == "Let me think."
    assert "".join(part["message"]["content"] for part in parts) == "Hello world!"


def test_a_picture(answers):
    assert answers["picture"]["message"]["content"] == "Hello world!"


def test_a_schema(answers):
    assert json.loads(answers["schema"]["message"]["content"]) == {"name": "x", "age": 3}


def test_generate(answers):
    assert answers["generate"]["response"] == "Hello world!"
    assert answers["context"] == {"response": "Hello world!", "longer": True}


def test_a_gap_to_fill(answers, over):
    if over.inserts:
        assert answers["gap"]["response"] == "Hello world!"
    else:
        assert answers["gap"]["status"] == 400
        assert "does not support insert" in answers["gap"]["words"]


def test_embeddings(answers, over):
    if over.embeds:
        (vector,) = answers["embed"]["embeddings"]
        assert sum(x * x for x in vector) == pytest.approx(1)
        assert answers["embeddings"]["embedding"]
    else:
        assert answers["embed"]["status"] == answers["embeddings"]["status"] == 400


def test_lists(answers):
    assert {"chat:latest", "think:latest"} <= {model["model"] for model in answers["list"]["models"]}
    assert "thinking" in answers["show"]["capabilities"]
    assert isinstance(answers["ps"]["models"], list)
    assert answers["version"]["version"].count(".") == 2


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("missing", 404, "model 'no-such-model-zz' not found"),
        ("missing_streamed", 404, "model 'no-such-model-zz' not found"),
        ("failing", 502, ""),
        ("pull", 501, ""),
    ],
)
def test_errors(answers, name, status, words):
    assert answers[name]["raised"] == "ResponseError"
    assert answers[name]["status"] == status
    assert words in answers[name]["words"]
    assert answers[name]["words"]


def test_an_error_in_the_middle_of_a_stream(answers):
    assert answers["breaking"]["raised"] == "Error"
    assert "Did not receive" not in answers["breaking"]["words"]


def test_an_aborted_stream(answers):
    assert answers["aborted"]["raised"] == "AbortError"


def test_a_client_who_aborts_ends_the_call(scripts: Path):
    with slow("openai") as (running, upstream):
        assert printed(scripts, "leaving.mjs", running.url) == {"raised": "AbortError"}
        assert somebody_left(upstream)
