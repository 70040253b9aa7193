"""Why an answer comes from where it comes: asked of a running proxy, put into answers, and told in a terminal."""

import json
import os
import subprocess
import sys
from contextlib import closing

import anthropic
import httpx
import ollama
import openai
import pytest

from tests import processes
from tests.processes import KEPT, ROOT

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
WHY = {"X-Proxy-Explain": "true"}
USER = [{"role": "user", "content": "hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]

BODIES = [
    pytest.param("", {"model": "chat", "messages": USER}, id="a guess"),
    pytest.param("/api/chat", {"model": "chat", "messages": USER}, id="Ollama's chat"),
    pytest.param("/api/generate", {"model": "chat", "prompt": "hi"}, id="Ollama's generate"),
    pytest.param("/v1/chat/completions", {"model": "chat", "messages": USER}, id="OpenAI's chat"),
    pytest.param("/v1/completions", {"model": "chat", "prompt": "hi"}, id="OpenAI's completions"),
    pytest.param("/v1/responses", {"model": "chat", "input": "hi"}, id="OpenAI's responses"),
    pytest.param(
        "/v1/messages", {"model": "chat", "max_tokens": 9, "messages": USER}, id="Anthropic's messages"
    ),
    pytest.param("/v1beta/models/chat:generateContent", {"contents": CONTENTS}, id="Google's"),
    pytest.param("/openai/deployments/chat/chat/completions", {"messages": USER}, id="Azure's"),
]


def explained(over, route="", body=None, **headers):
    return httpx.post(
        f"{over.url}/api/route/explain", params={"route": route} if route else {}, json=body, headers=headers
    )


def calls(over):
    """What the provider was asked to do, without lists of its models."""
    return [call for call in httpx.get(f"{over.upstream.url}/_sim/seen").json() if call["method"] == "POST"]


@pytest.mark.parametrize(("route", "body"), BODIES)
def test_every_language_is_explained_and_nobody_is_asked(over, route, body):
    if over.kind == "ollama":
        body = json.loads(json.dumps(body).replace('"chat"', '"llama3.2"'))
        route = route.replace("/chat:", "/llama3.2:").replace("/deployments/chat/", "/deployments/llama3.2/")
    before = calls(over)
    reply = explained(over, route, body)
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert [one["target"] for one in told["candidates"]] == told["order"]
    assert all(name.startswith(f"{over.kind}/") for name in told["order"])
    assert calls(over) == before


@pytest.mark.parametrize(
    ("route", "body", "status", "words"),
    [
        pytest.param(
            "/api/chat", {"model": "nowhere", "messages": USER}, 404, "nowhere", id="an unknown model"
        ),
        pytest.param(
            "/api/embed",
            {"model": "basic", "input": "hi"},
            400,
            "basic: no provider has it with embedding",
            id="a lack",
        ),
        pytest.param(
            "/api/tags", {"model": "chat"}, 400, "no model is called at /api/tags", id="no call of a model"
        ),
        pytest.param("", {"contents": CONTENTS}, 400, "?route=", id="a body whose path is needed"),
        pytest.param("", {"model": "chat"}, 400, "neither", id="nothing to answer"),
    ],
)
def test_refusals(over_openai, route, body, status, words):
    reply = explained(over_openai, route, body)
    assert reply.status_code == status
    assert words in reply.text


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        pytest.param({"X-Provider": "nobody"}, "X-Provider", id="no such provider"),
        pytest.param({"X-Routing-Strategy": "best"}, "X-Routing-Strategy", id="no such strategy"),
    ],
)
def test_headers_are_read_as_of_a_call(over_openai, headers, words):
    reply = explained(over_openai, "", {"model": "chat", "messages": USER}, **headers)
    assert reply.status_code == 400
    assert words in reply.text


def test_loading_asks_nobody(over_openai):
    told = explained(over_openai, "/api/generate", {"model": "chat"}).json()
    assert told == {"model": "chat", "needs_no_provider": True}


# Answers that carry the decision still are what the clients' own libraries read.


def model_of(over):
    return "llama3.2" if over.kind == "ollama" else "chat"


def check(over, why):
    assert [one["failed"] for one in why["attempts"]] == [None]
    assert why["attempts"][0]["target"].startswith(f"{over.kind}/")
    assert why["candidates"][0]["target"] == why["attempts"][0]["target"]
    assert why["strategy"].startswith("capability_based")


@BOTH
def test_ollama(over, stream):
    """Its library drops what it does not know, so the wire is looked at too."""
    asked = {"model": model_of(over), "messages": USER, "stream": stream}
    with closing(ollama.Client(over.url, headers=WHY)) as client:
        replies = list(client.chat(**asked)) if stream else [client.chat(**asked)]
    assert "".join(reply.message.content for reply in replies) == "Hello world!"
    assert replies[-1].done
    said = httpx.post(f"{over.url}/api/chat", json=asked, headers=WHY)
    *before, last = map(json.loads, said.text.splitlines())
    assert last["done"]
    assert not any("x_proxy" in line for line in before)
    check(over, last["x_proxy"])


@BOTH
def test_openai_chat(over, stream):
    with openai.OpenAI(base_url=f"{over.url}/v1", api_key="x", max_retries=0, default_headers=WHY) as client:
        reply = client.chat.completions.create(model=model_of(over), messages=USER, stream=stream)
        if not stream:
            assert reply.choices[0].message.content == "Hello world!"
            check(over, reply.x_proxy)
            return
        chunks = list(reply)
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello world!"
    assert [hasattr(one, "x_proxy") for one in chunks] == [False] * (len(chunks) - 1) + [True]
    check(over, chunks[-1].x_proxy)


@BOTH
def test_openai_responses(over, stream):
    with openai.OpenAI(base_url=f"{over.url}/v1", api_key="x", max_retries=0, default_headers=WHY) as client:
        reply = client.responses.create(model=model_of(over), input="hi", stream=stream)
        if not stream:
            assert reply.output_text == "Hello world!"
            check(over, reply.x_proxy)
            return
        events = list(reply)
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Hello world!"
    check(over, events[-1].x_proxy)


@BOTH
def test_anthropic(over, stream):
    with anthropic.Anthropic(base_url=over.url, api_key="x", max_retries=0, default_headers=WHY) as client:
        reply = client.messages.create(model=model_of(over), max_tokens=99, messages=USER, stream=stream)
        if not stream:
            assert reply.content[0].text == "Hello world!"
            check(over, reply.x_proxy)
            return
        events = list(reply)
    assert events[-1].type == "message_stop"
    check(over, events[-1].x_proxy)


@BOTH
def test_google(over, stream):
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    url = f"{over.url}/v1beta/models/{model_of(over)}:{method}"
    said = httpx.post(url, json={"contents": CONTENTS}, headers=WHY)
    frames = [line.removeprefix("data: ") for line in said.text.splitlines() if line.startswith("data: ")]
    *before, last = map(json.loads, frames if stream else [said.text])
    assert not any("x_proxy" in one for one in before)
    check(over, last["x_proxy"])


@pytest.fixture(scope="module")
def paced():
    """A provider that thinks before each piece, so that each arrives by itself."""
    port = processes.free_port()
    with processes.app("simulate", "--port", str(port), "--delta-ms", "60", port=port) as running:
        yield running


def frames_of(text):
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith(("data: ", "{"))]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_a_stream_whose_end_comes_late_carries_it_in_its_last_object(kind, paced):
    asks = {
        "/api/chat": {"model": "chat", "messages": USER},
        "/v1/chat/completions": {"model": "chat", "messages": USER, "stream": True},
        "/v1/responses": {"model": "chat", "input": "hi", "stream": True},
        "/v1/messages": {"model": "chat", "messages": USER, "stream": True, "max_tokens": 99},
        "/v1beta/models/chat:streamGenerateContent?alt=sse": {"contents": CONTENTS},
    }
    with processes.gateway(paced, kind) as running:
        for route, body in asks.items():
            *before, last = frames_of(httpx.post(running.url + route, json=body, headers=WHY).text)
            assert not any("x_proxy" in one for one in before), route
            assert "x_proxy" in last, route


def test_google_as_an_array(over_openai):
    url = f"{over_openai.url}/v1beta/models/chat:streamGenerateContent"
    said = httpx.post(url, json={"contents": CONTENTS}, headers=WHY)
    assert isinstance(said.json(), list)


@BOTH
def test_refused_calls_say_why_too(over_openai, stream):
    body = {"model": "nowhere", "messages": USER, "stream": stream}
    said = httpx.post(f"{over_openai.url}/v1/chat/completions", json=body, headers=WHY)
    assert said.status_code == 404
    assert said.json()["x_proxy"]["attempts"] == []
    assert said.json()["error"]["message"]


# The command.

CONFIG = """
[models.gpt-4o]
capabilities = ["completion", "tools"]
[models.basic]
capabilities = ["completion"]
[models.both]
targets = ["openai/gpt-4o", "second/gpt-4o-mini"]
[providers.second]
kind = "openai"
api_key = "sim-key"
base_url = "{url}/openai/v1"
priority = 50
"""


@pytest.fixture
def told(simulator, tmp_path):
    (tmp_path / "proxy.toml").write_text(CONFIG.format(url=simulator.url))
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env |= {
        "DATA_DIR": str(tmp_path),
        "OPENAI_API_KEY": "sim-key",
        "OPENAI_BASE_URL": f"{simulator.url}/openai/v1",
    }

    def run(*arguments):
        command = [sys.executable, str(ROOT / "app.py"), "explain", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def test_the_command_tells_of_a_model(told):
    done = told("both")
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert first == "both: in the order of capability_based (alias); after a failure next_available"
    assert second.endswith("openai/gpt-4o, second/gpt-4o-mini")
    assert "ready" in done.stdout


def test_the_command_takes_wishes(told):
    done = told("both", "--provider", "second", "--tools", "--strategy", "cost_optimized")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("both: in the order of cost_optimized (alias)")
    lines = done.stdout.splitlines()
    assert lines[1].endswith(": second/gpt-4o-mini")
    assert "other providers only" in lines[lines.index("openai/gpt-4o") + 1]


def test_the_command_tells_of_embedding_models(told):
    done = told("text-embedding-3-small", "--embed")
    assert done.returncode == 0, done.stderr
    assert "\nopenai/text-embedding-3-small\n  ready; score 0; less than $0.000001\n" in done.stdout


def test_the_command_fits_a_terminal(told):
    for arguments in (["both", "--provider", "second", "--thinking"], ["gpt-4o", "--tools"]):
        done = told(*arguments)
        assert max(map(len, (done.stdout + done.stderr).splitlines())) <= 80, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["nowhere"], "Error: nowhere: the model was not found", id="an unknown model"),
        pytest.param(
            ["gpt-4o", "--provider", "nobody"],
            "Error: --provider names no provider of this proxy; it has: openai, second",
            id="an unknown provider",
        ),
        pytest.param(["gpt-4o", "--provider", ""], "Error: --provider names no provider", id="no provider"),
        pytest.param(
            ["text-embedding-3-small"],
            "Error: text-embedding-3-small: no provider has it with completion; for an embedding, add --embed",
            id="a lack",
        ),
    ],
)
def test_the_command_fails_with_a_sentence(told, arguments, words):
    done = told(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr
