"""Over real sockets: the vendors' own SDKs talk to the fake providers, and breaks are real breaks."""

import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing, contextmanager

import ollama
import openai
import pytest
import trio
from attrs import evolve, frozen
from hypercorn.config import Config
from hypercorn.trio import serve

from adapters.simulator.demo import standard_scenario
from adapters.simulator.server import simulator_app
from tests.adapters.simulator.kit import NOARGS, WEATHER, user

SLOW_S = 0.3


@frozen
class Server:
    port: int
    stop: Callable[[], None]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            reply = connection.getresponse()
            return reply.status, reply.read()

    def seen(self):
        return json.loads(self.ask("GET", "/_sim/seen")[1])


@contextmanager
def serving(scenario):
    """The simulator on a port of its own, in a thread of its own."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = logging.getLogger("simulator.test")
    config.graceful_timeout = 0.1
    ready = threading.Event()
    found = []

    async def main():
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            binds = await nursery.start(
                lambda task_status: serve(
                    simulator_app(scenario), config, shutdown_trigger=stop.wait, task_status=task_status
                )
            )
            token = trio.lowlevel.current_trio_token()
            port = int(binds[0].rsplit(":", 1)[1])
            found.append(Server(port, lambda: token.run_sync_soon(stop.set)))
            ready.set()

    thread = threading.Thread(target=lambda: trio.run(main), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        found[0].stop()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server():
    with serving(evolve(standard_scenario(), key="sk-sim")) as running:
        yield running


@pytest.fixture(scope="module")
def open_server():
    with serving(standard_scenario()) as running:
        yield running


@pytest.fixture(scope="module")
def slow():
    with serving(evolve(standard_scenario(), delta_s=SLOW_S)) as running:
        yield running


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key="sk-sim", max_retries=0) as sdk:
        yield sdk


@pytest.fixture
def local(server):
    sdk = ollama.Client(host=f"{server.url}/ollama")
    yield sdk
    sdk._client.close()


def test_openai_chat(client):
    reply = client.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert (reply.choices[0].message.content, reply.usage.total_tokens) == ("Hello world!", 14)
    assert reply.model == "gpt-4o-2024-08-06"


def test_openai_stream(client):
    options = {"include_usage": True}
    with client.chat.completions.create(
        model="think", messages=user("hi"), reasoning_effort="low", stream=True, stream_options=options
    ) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Let me think."
    assert "".join(delta.content or "" for delta in deltas) == "Hello world!"
    assert chunks[-1].usage.prompt_tokens == 11


def test_openai_tools(client):
    with client.chat.completions.stream(
        model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS]
    ) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Calling."
    assert [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]


def test_openai_json(client):
    form = {"type": "json_schema", "json_schema": {"name": "p", "schema": {"type": "object"}}}
    reply = client.chat.completions.create(model="chat", messages=user("hi"), response_format=form)
    assert json.loads(reply.choices[0].message.content) == {"name": "x", "age": 3}


def test_openai_embeddings(client):
    reply = client.embeddings.create(model="embed", input=["a", "b"], encoding_format="float")
    assert [entry.embedding for entry in reply.data] == [[3, 4, 12, 0]] * 2
    assert reply.usage.prompt_tokens == 2


def test_openai_embeddings_as_the_sdk_asks_by_itself(client):
    assert list(client.embeddings.create(model="embed", input="a").data[0].embedding) == [3, 4, 12, 0]


def test_openai_completions(client):
    reply = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="def f(", suffix="return")
    assert reply.choices[0].text == "Hello world!"


def test_openai_models(client):
    assert {"chat", "gpt-4o"} <= {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("text", "model", "error", "code"),
    [
        pytest.param("@@ERR429", "chat", openai.RateLimitError, "rate_limit_exceeded", id="429"),
        pytest.param("@@ERR500", "chat", openai.InternalServerError, None, id="500"),
        pytest.param("@@ERR400", "chat", openai.BadRequestError, None, id="400"),
        pytest.param("hi", "nope", openai.NotFoundError, "model_not_found", id="404"),
    ],
)
def test_openai_errors(client, text, model, error, code):
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=model, messages=user(text))
    assert raised.value.code == code


def test_openai_wrong_key(client):
    with pytest.raises(openai.AuthenticationError) as raised:
        client.with_options(api_key="sk-other").models.list()
    assert raised.value.code == "invalid_api_key"


def test_openai_a_stream_that_breaks(client):
    texts = []
    with (
        client.chat.completions.create(model="chat", messages=user("@@MID"), stream=True) as stream,
        pytest.raises(openai.APIConnectionError),
    ):
        texts.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "".join(texts) == "Hello world"


@pytest.mark.parametrize("path", ["/openai/v1/chat/completions", "/ollama/api/chat"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_broken_answer_is_cut_on_the_wire(open_server, path, stream):
    connection = http.client.HTTPConnection("127.0.0.1", open_server.port, timeout=10)
    with closing(connection):
        connection.request(
            "POST", path, json.dumps({"model": "chat", "messages": user("@@MID"), "stream": stream})
        )
        reply = connection.getresponse()
        assert reply.status == 200
        with pytest.raises(http.client.IncompleteRead) as raised:
            reply.read()
    assert b"Hello" in raised.value.partial


def test_ollama_chat(local):
    reply = local.chat("llama3.2", user("hi"))
    assert (reply.message.content, reply.done_reason, reply.eval_count) == ("Hello world!", "stop", 3)


def test_ollama_stream(local):
    pieces = list(local.chat("qwen3", user("hi"), stream=True))
    assert "".join(piece.message.thinking or "" for piece in pieces) == "Let me think."
    assert "".join(piece.message.content or "" for piece in pieces) == "Hello world!"
    assert pieces[-1].done


def test_ollama_tools(local):
    reply = local.chat("tools", user("@@TOOL2"), tools=[WEATHER, NOARGS])
    assert [(call.function.name, call.function.arguments) for call in reply.message.tool_calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]


def test_ollama_json(local):
    assert json.loads(local.chat("chat", user("hi"), format="json").message.content) == {
        "name": "x",
        "age": 3,
    }


def test_ollama_generate(local):
    assert local.generate("insert", "a", suffix="b").response == "Hello world!"


def test_ollama_embeddings(local):
    assert local.embed("embed", ["a", "b"]).embeddings == [[0.23076923, 0.30769232, 0.9230769, 0]] * 2
    assert local.embeddings("embed", "a").embedding == [3, 4, 12, 0]


def test_ollama_lists(local):
    assert "llama3.2:latest" in {model.model for model in local.list().models}
    assert local.show("llama3.2").capabilities == ["completion", "tools"]
    assert local.ps().models == []


@pytest.mark.parametrize(("text", "model", "status"), [("@@ERR503", "chat", 503), ("hi", "nope", 404)])
def test_ollama_errors(local, text, model, status):
    with pytest.raises(ollama.ResponseError) as raised:
        local.chat(model, user(text))
    assert raised.value.status_code == status


def test_the_index_names_the_addresses(server):
    status, page = server.ask("GET", "/")
    assert status == 200
    assert f"{server.url}/openai/v1" in page.decode()
    assert f"{server.url}/ollama\n" in page.decode()


def test_what_was_asked_is_shown_without_secrets(server):
    assert server.ask("DELETE", "/_sim/seen") == (204, b"")
    with openai.OpenAI(base_url=f"{server.url}/openai/v1", api_key="sk-sim") as sdk:
        sdk.chat.completions.create(model="chat", messages=user("hi"))
    (call,) = server.seen()
    assert (call["method"], call["path"]) == ("POST", "/openai/v1/chat/completions")
    assert call["body"] == {"messages": user("hi"), "model": "chat"}
    assert (call["whole"], call["left"]) == (True, False)
    assert call["at"] <= call["ended"]
    assert call["headers"]["authorization"] == "****"


@pytest.mark.parametrize(
    "after_s", [pytest.param(0.1, id="before a piece"), pytest.param(SLOW_S + 0.1, id="between pieces")]
)
def test_who_leaves_is_seen_to_leave(slow, after_s):
    slow.ask("DELETE", "/_sim/seen")
    body = json.dumps({"model": "chat", "messages": user("hi"), "stream": True}).encode()
    head = f"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: sim\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", slow.port), 10) as connection:
        connection.sendall(head.encode() + body)
        connection.recv(10)
        time.sleep(after_s)
    left = time.time()
    while not (call := slow.seen()[0])["ended"] and time.time() < left + 5:
        time.sleep(0.01)
    assert (call["left"], call["whole"]) == (True, False)
    assert call["ended"] - left < 0.5


def test_pieces_are_sent_as_they_come(slow):
    start = time.monotonic()
    with openai.OpenAI(base_url=f"{slow.url}/openai/v1", api_key="x") as sdk:
        stream = sdk.chat.completions.create(model="chat", messages=user("hi"), stream=True)
        times = [time.monotonic() - start for chunk in stream if chunk.choices[0].delta.content]
    assert len(times) == 3
    assert times[1] - times[0] > SLOW_S / 2
    assert times[2] - times[1] > SLOW_S / 2
