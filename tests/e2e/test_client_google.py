"""google-genai through the proxy, over each kind of provider."""

import asyncio
import gc
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest
from google import genai
from google.genai import errors, types

from adapters.dialects.google_chat import DIALECT
from pipeline.values.events import Batch, Finished, Started, TextDelta
from pipeline.values.http import HttpRequest
from tests import processes
from tests.processes import Process

HI = b'{"contents": [{"parts": [{"text": "hi"}]}]}'

MODELS = """
[models.chat]
capabilities = ["completion", "vision"]
[models.basic]
capabilities = ["completion"]
[models.tools]
capabilities = ["completion", "tools"]
[models.think]
capabilities = ["completion", "thinking"]
[models.embed]
capabilities = ["embedding"]
"""
WEATHER = types.FunctionDeclaration(
    name="get_weather",
    description="Weather for a city",
    parameters={
        "type": "OBJECT",
        "required": ["city"],
        "properties": {"city": {"type": "STRING"}, "n": {"type": "INTEGER"}},
    },
)
NOARGS = types.FunctionDeclaration(name="noargs")
PIXEL = b"\x89PNG\r\n\x1a\n" + b"\0" * 16
# The library leaves connections of streams that ended in an error to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
THINKS = types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)


@pytest.fixture(scope="module", params=["openai", "anthropic", "google", "aws_bedrock", "ollama"])
def proxy(request: pytest.FixtureRequest, simulator: Process) -> Iterator[tuple[str, Process]]:
    with processes.gateway(simulator, request.param, MODELS) as running:
        yield request.param, running


@pytest.fixture(scope="module")
def client(proxy: tuple[str, Process]) -> Iterator[genai.Client]:
    with connected(proxy[1]) as found:
        yield found
    gc.collect()


def connected(running: Process, version: str = "v1beta") -> genai.Client:
    return genai.Client(
        api_key="x", http_options=types.HttpOptions(base_url=running.url, api_version=version)
    )


def answered(client, stream, contents="hi", model="chat", **config):
    """All chunks of an answer; a whole one is one."""
    asked = {"model": model, "contents": contents, "config": types.GenerateContentConfig(**config)}
    if stream:
        return list(client.models.generate_content_stream(**asked))
    return [client.models.generate_content(**asked)]


def parts_of(chunks):
    return [part for chunk in chunks for part in chunk.candidates[0].content.parts]


def words_of(chunks):
    return "".join(part.text or "" for part in parts_of(chunks) if not part.thought)


@BOTH
def test_text(client, stream):
    chunks = answered(client, stream, system_instruction="be kind", stop_sequences=["END"], temperature=0.5)
    assert words_of(chunks) == "Hello world!"
    last = chunks[-1]
    assert last.candidates[0].finish_reason is types.FinishReason.STOP
    assert last.candidates[0].content.role == "model"
    assert last.model_version == "chat"
    assert last.response_id
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (11, 3, 14)
    assert (len(chunks) == 1) or stream


@BOTH
def test_an_answer_that_is_cut(client, stream):
    chunks = answered(client, stream, max_output_tokens=2)
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.MAX_TOKENS


@BOTH
def test_two_tools_in_one_turn_and_their_results(client, stream):
    tools = [types.Tool(function_declarations=[WEATHER, NOARGS])]
    said = types.UserContent("@@TOOL2")
    chunks = answered(client, stream, contents=[said], model="tools", tools=tools)
    parts = parts_of(chunks)
    calls = [part.function_call for part in parts if part.function_call]
    assert words_of(chunks) == "Calling."
    assert [(call.name, call.args) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    # In the other order, as their ids or names tell which is which.
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=call.id, name=call.name, response={"output": call.name}
            )
        )
        for call in reversed(calls)
    ]
    kept = [part for part in parts if part != types.Part(text="")]
    history = [types.UserContent("weather?"), types.ModelContent(kept), types.UserContent(results)]
    again = answered(client, stream, contents=history, model="tools", tools=tools)
    assert words_of(again) == "Hello world!"


@BOTH
def test_functions_that_are_called_by_the_library(client, stream):
    asked = []

    def get_weather(city: str, n: int = 1) -> str:
        """Weather for a city."""
        asked.append((city, n))
        return "22 degrees"

    limit = types.AutomaticFunctionCallingConfig(maximum_remote_calls=2)
    answered(client, stream, "@@TOOL", "tools", tools=[get_weather], automatic_function_calling=limit)
    # The fake model asks again as long as it is asked the same.
    assert set(asked) == {("Paris", 2)}


def test_a_call_that_is_demanded(client):
    config = types.ToolConfig(
        function_calling_config=types.FunctionCallingConfig(mode="ANY", allowed_function_names=["noargs"])
    )
    tools = [types.Tool(function_declarations=[WEATHER, NOARGS])]
    assert answered(client, False, model="tools", tools=tools, tool_config=config)


@BOTH
def test_thinking(client, stream):
    chunks = answered(client, stream, model="think", thinking_config=THINKS)
    thoughts = "".join(part.text for part in parts_of(chunks) if part.thought)
    assert (thoughts, words_of(chunks)) == ("Let me think.", "Hello world!")
    history = [
        types.UserContent("hi"),
        types.ModelContent(parts_of(chunks)),
        types.UserContent("and?"),
    ]
    again = answered(client, stream, contents=history, model="think", thinking_config=THINKS)
    assert words_of(again) == "Hello world!"


@BOTH
def test_thoughts_are_shown_to_those_alone_who_ask(client, stream):
    hidden = types.ThinkingConfig(thinking_budget=2000)
    assert not any(
        part.thought and part.text
        for part in parts_of(answered(client, stream, model="think", thinking_config=hidden))
    )


def test_a_model_that_cannot_think_answers_all_the_same(client):
    assert words_of(answered(client, False, model="basic", thinking_config=THINKS)) == "Hello world!"


@BOTH
def test_a_conversation_of_several_turns(client, stream):
    chat = client.chats.create(model="chat")
    for _ in range(2):
        if stream:
            assert "".join(chunk.text or "" for chunk in chat.send_message_stream("hi")) == "Hello world!"
        else:
            assert chat.send_message("hi").text == "Hello world!"
    # The library keeps only what it takes for a valid answer.
    roles = [content.role for content in chat.get_history(curated=True)]
    assert roles[:2] == ["user", "model"]
    assert roles.count("user") == 2


@BOTH
def test_a_schema(client, stream):
    schema = {"type": "OBJECT", "properties": {"name": {"type": "STRING"}}, "required": ["name"]}
    chunks = answered(
        client,
        stream,
        contents="json",
        response_mime_type="application/json",
        response_schema=schema,
    )
    assert json.loads(words_of(chunks)) == {"name": "x", "age": 3}


def test_a_picture(client, proxy):
    model = {"openai": "gpt-4o", "ollama": "gemma3"}.get(proxy[0], "chat")
    picture = types.Part.from_bytes(data=PIXEL, mime_type="image/png")
    assert words_of(answered(client, False, contents=[picture, "?"], model=model))


@pytest.mark.parametrize("texts", ["one", ["one", "two"]], ids=["one text", "two texts"])
def test_embeddings(client, proxy, texts):
    if proxy[0] == "anthropic" or (proxy[0] == "aws_bedrock" and len(texts) == 2):
        pytest.skip("it embeds nothing, or one text at a time")
    answer = client.models.embed_content(
        model="embed", contents=texts, config=types.EmbedContentConfig(output_dimensionality=256)
    )
    lengths = [len(embedding.values) for embedding in answer.embeddings]
    assert len(lengths) == (1 if texts == "one" else 2)
    assert len(set(lengths)) == 1


def test_counting(client, proxy):
    counted = client.models.count_tokens(model="chat", contents="x y " * 100).total_tokens
    if proxy[0] in ("google", "anthropic"):
        assert 200 <= counted <= 250, "counted by the provider, which counts words here"
    else:
        assert counted == 108, "an estimate"


def test_the_models(client):
    listed = list(client.models.list(config={"page_size": 2}))
    assert listed
    names = [model.name for model in listed]
    assert len(names) == len(set(names))
    got = client.models.get(model=names[0])
    assert got == listed[0]
    assert got.display_name
    assert got.supported_actions


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_other_versions(proxy, version):
    with connected(proxy[1], version) as client:
        assert words_of(answered(client, True)) == "Hello world!"


@BOTH
@pytest.mark.parametrize(
    ("asked", "code", "status"),
    [
        pytest.param({"model": "no-such-model-zz"}, 404, "NOT_FOUND", id="missing"),
        pytest.param({"max_output_tokens": 0}, 400, "INVALID_ARGUMENT", id="a bad field"),
        pytest.param(
            {"model": "basic", "tools": [types.Tool(function_declarations=[NOARGS])]},
            400,
            "INVALID_ARGUMENT",
            id="cannot call",
        ),
        pytest.param({"contents": "@@ERR400"}, 400, "INVALID_ARGUMENT", id="invalid"),
        pytest.param({"contents": "@@ERR429"}, 429, "RESOURCE_EXHAUSTED", id="limited"),
        pytest.param({"contents": "@@ERR500"}, 502, "INTERNAL", id="failed"),
        pytest.param({"contents": "@@ERR529"}, 503, "UNAVAILABLE", id="overloaded"),
    ],
)
def test_errors(client, proxy, asked, code, status, stream):
    if proxy[0] == "aws_bedrock" and "@@ERR529" in asked.values():
        pytest.skip("its own overload is 503, and 529 unknown")
    with pytest.raises(errors.APIError) as raised:
        answered(client, stream, **asked)
    assert (raised.value.code, raised.value.status) == (code, status)
    assert raised.value.message


def test_an_error_in_the_middle_of_a_stream(client):
    text = ""
    with pytest.raises(errors.ServerError) as raised:
        for chunk in client.models.generate_content_stream(model="chat", contents="@@MID"):
            text += chunk.text or ""
    assert text == "Hello world"
    assert (raised.value.code, raised.value.status) == (502, "INTERNAL")


def test_a_stream_without_events_is_one_list(proxy):
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    url = f"{proxy[1].url}/v1beta/models/chat:streamGenerateContent"
    answer = httpx.post(url, json=body)
    assert answer.headers["content-type"].startswith("application/json")
    chunks = [types.GenerateContentResponse.model_validate(each) for each in answer.json()]
    assert words_of(chunks) == "Hello world!"
    body["contents"][0]["parts"][0]["text"] = "@@MID"
    *_, last = httpx.post(url, json=body).json()
    assert last["error"]["status"] == "INTERNAL"


@pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")
def test_the_client_that_does_not_wait_for_others(proxy):
    async def ask():
        async with connected(proxy[1]).aio as client:
            stream = await client.models.generate_content_stream(model="chat", contents="hi")
            return "".join([chunk.text or "" async for chunk in stream])

    assert asyncio.run(ask()) == "Hello world!"


@pytest.mark.parametrize("kind", ["openai", "google"])
def test_a_client_who_leaves_ends_the_call(kind):
    port = processes.free_port()
    slow = processes.app("simulate", "--port", str(port), "--delta-ms", "600", port=port)
    with slow as upstream, processes.gateway(upstream, kind, MODELS) as running:

        def seen():
            calls = httpx.get(f"{upstream.url}/_sim/seen").json()
            return [call for call in calls if call["method"] == "POST" and call["ended"]]

        url = f"{running.url}/v1beta/models/chat:streamGenerateContent?alt=sse"
        body = {"contents": [{"parts": [{"text": "hi"}]}]}
        with httpx.stream("POST", url, json=body, timeout=10) as events:
            assert next(events.iter_bytes())
        end = time.monotonic() + 5
        while not seen() and time.monotonic() < end:
            time.sleep(0.02)
        (call,) = seen()
    assert call["left"]
    assert not call["whole"]


def test_what_was_carried_for_claude_comes_back_to_it(client, proxy):
    if proxy[0] != "anthropic":
        pytest.skip("only there thoughts are signed so")
    tools = [types.Tool(function_declarations=[WEATHER, NOARGS])]
    both = "claude-sonnet-4-5"
    said = types.UserContent("@@TOOL2")
    chunks = answered(client, True, contents=[said], model=both, tools=tools, thinking_config=THINKS)
    signed = [part for part in parts_of(chunks) if part.thought_signature]
    assert [bool(part.function_call) for part in signed] == [True]
    assert signed[0].thought_signature.startswith(b"carried:")
    calls = [part for part in parts_of(chunks) if part.function_call]
    results = [
        types.Part.from_function_response(name=part.function_call.name, response={"result": "ok"})
        for part in calls
    ]
    history = [said, types.ModelContent(calls), types.UserContent(results)]
    again = answered(client, False, contents=history, model=both, tools=tools, thinking_config=THINKS)
    assert words_of(again) == "Hello world!"


class Slow(BaseHTTPRequestHandler):
    """A stream that begins with the signs of life the proxy gives."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        events = (Started("m"), TextDelta("Hello"), Finished("stop"))
        http = HttpRequest("POST", self.path, {"content-type": "application/json"}, HI)
        state = DIALECT.fresh(DIALECT.read(http), "r", 0.0)
        self.send_response(200)
        for name, value in DIALECT.head(state).headers.items():
            self.send_header(name, value)
        self.end_headers()
        for _ in range(2):
            state, data = DIALECT.keep_alive(state, 1.0)
            self.wfile.write(data)
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(DIALECT.write(state, Batch(events), 1.0)[1])

    def log_message(self, *_: object) -> None:
        pass


def test_signs_of_life_are_passed_over():
    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.server_port}")
        with genai.Client(api_key="x", http_options=options) as client:
            assert words_of(answered(client, True)) == "Hello"
        thread.join()
