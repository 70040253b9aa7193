"""Real client libraries, real sockets: ollama-python and openai-python, over each kind of provider and way of serving."""

import base64
from collections.abc import Iterator

import ollama
import openai
import pytest

from tests.processes import Process

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather for a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
        },
    },
}
NOARGS = {
    "type": "function",
    "function": {"name": "noargs", "parameters": {"type": "object", "properties": {}}},
}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()


@pytest.fixture(scope="session")
def ollama_client(served: Process) -> Iterator[ollama.Client]:
    with ollama.Client(served.url, verify=served.trust) as client:
        yield client


@pytest.fixture(scope="session")
def openai_client(served: Process) -> Iterator[openai.OpenAI]:
    trusting = openai.DefaultHttpxClient(verify=served.trust)
    with openai.OpenAI(
        base_url=f"{served.url}/v1", api_key="x", max_retries=0, http_client=trusting
    ) as client:
        yield client


def user(text):
    return [{"role": "user", "content": text}]


class TestOllama:
    """ollama-python."""

    def test_whole(self, ollama_client):
        reply = ollama_client.chat("chat", user("hi"))
        assert reply.message.content == "Hello world!"
        assert (reply.done_reason, reply.prompt_eval_count, reply.eval_count) == ("stop", 11, 3)

    def test_streamed(self, ollama_client):
        parts = list(ollama_client.chat("chat", user("hi"), stream=True))
        assert "".join(part.message.content for part in parts) == "Hello world!"
        assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
        assert len(parts) >= 3

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_thinking(self, ollama_client, stream):
        reply = ollama_client.chat("think", user("hi"), think=True, stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content for part in parts) == "Hello world!"

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_two_tools_in_one_turn(self, ollama_client, stream):
        reply = ollama_client.chat("tools", user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=stream)
        parts = list(reply) if stream else [reply]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]
        assert "".join(part.message.content or "" for part in parts) == "Calling."

    def test_results_of_tools_without_ids(self, ollama_client):
        call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        history = [
            *user("weather?"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [call, {"function": {"name": "noargs", "arguments": {}}}],
            },
            {"role": "tool", "tool_name": "get_weather", "content": "22"},
            {"role": "tool", "content": "ok"},
        ]
        assert ollama_client.chat("tools", history, tools=[WEATHER, NOARGS]).message.content == "Hello world!"

    def test_a_schema(self, ollama_client):
        schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
        assert (
            ollama_client.chat("chat", user("json"), format=schema).message.content
            == '{"name": "x", "age": 3}'
        )

    def test_a_picture(self, ollama_client):
        message = {"role": "user", "content": "what is this?", "images": [PIXEL]}
        assert ollama_client.chat("gpt-4o" if has(ollama_client, "gpt-4o") else "gemma3", [message]).done

    def test_generate(self, ollama_client):
        assert ollama_client.generate("chat", "hi").response == "Hello world!"
        parts = list(ollama_client.generate("chat", "hi", stream=True))
        assert "".join(part.response for part in parts) == "Hello world!"

    def test_embeddings(self, ollama_client):
        reply = ollama_client.embed("embed", ["a", "b c"])
        assert [list(vector) for vector in reply.embeddings] == [
            pytest.approx([3 / 13, 4 / 13, 12 / 13, 0], abs=1e-6)
        ] * 2
        assert list(ollama_client.embeddings("embed", "a").embedding) == [3, 4, 12, 0]

    def test_lists(self, ollama_client):
        assert "chat:latest" in {model.model for model in ollama_client.list().models}
        shown = ollama_client.show("think")
        assert "thinking" in shown.capabilities
        assert ollama_client.ps().models is not None

    @pytest.mark.parametrize(
        ("ask", "status", "text"),
        [
            pytest.param(
                lambda c: c.chat("no-such-model-zz", user("hi")),
                404,
                "model 'no-such-model-zz' not found",
                id="missing",
            ),
            pytest.param(lambda c: c.chat("chat", user("@@ERR500")), 502, "", id="the provider fails"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR429")), 429, "", id="the provider limits"),
            pytest.param(
                lambda c: c.chat("chat", user("@@ERR400")), 400, "", id="the provider calls it invalid"
            ),
            pytest.param(
                lambda c: c.chat("basic", user("x"), think=True),
                400,
                '"basic" does not support thinking',
                id="cannot think",
            ),
        ],
    )
    def test_errors(self, ollama_client, ask, status, text):
        with pytest.raises(ollama.ResponseError) as error:
            ask(ollama_client)
        assert error.value.status_code == status
        assert text in error.value.error
        assert error.value.error

    def test_an_error_in_the_middle_of_a_stream(self, ollama_client):
        parts = []
        with pytest.raises(ollama.ResponseError):
            for part in ollama_client.chat("chat", user("@@MID"), stream=True):
                parts.append(part.message.content)
        assert "".join(parts) == "Hello world"


def has(client, model):
    return f"{model}:latest" in {entry.model for entry in client.list().models}


class TestOpenAI:
    """openai-python."""

    def test_whole(self, openai_client):
        reply = openai_client.chat.completions.create(model="chat", messages=user("hi"))
        assert reply.choices[0].message.content == "Hello world!"
        assert reply.choices[0].finish_reason == "stop"
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (
            11,
            3,
            14,
        )

    @pytest.mark.parametrize("asked", [True, False], ids=["with usage", "without"])
    def test_streamed(self, openai_client, asked):
        options = {"stream_options": {"include_usage": True}} if asked else {}
        chunks = list(
            openai_client.chat.completions.create(model="chat", messages=user("hi"), stream=True, **options)
        )
        assert (
            "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            == "Hello world!"
        )
        used = [chunk.usage for chunk in chunks if chunk.usage]
        assert [usage.total_tokens for usage in used] == ([14] if asked else [])
        assert all(chunk.choices for chunk in chunks) is not asked

    def test_tools_streamed(self, openai_client):
        chunks = openai_client.chat.completions.create(
            model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=True
        )
        names, arguments = {}, {}
        for chunk in chunks:
            for call in (chunk.choices[0].delta.tool_calls or ()) if chunk.choices else ():
                names[call.index] = names.get(call.index) or call.function.name
                arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        assert names == {0: "get_weather", 1: "noargs"}
        assert arguments[0].replace(" ", "") == '{"city":"Paris","n":2}'
        assert arguments[1] in ("", "{}")

    def test_a_whole_turn_with_tools(self, openai_client):
        first = openai_client.chat.completions.create(model="tools", messages=user("@@TOOL"), tools=[WEATHER])
        (call,) = first.choices[0].message.tool_calls
        assert first.choices[0].finish_reason == "tool_calls"
        assert call.id
        history = [
            *user("weather"),
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22"},
        ]
        second = openai_client.chat.completions.create(model="tools", messages=history, tools=[WEATHER])
        assert second.choices[0].message.content == "Hello world!"

    def test_thinking(self, openai_client):
        reply = openai_client.chat.completions.create(
            model="think", messages=user("hi"), reasoning_effort="high"
        )
        assert reply.choices[0].message.reasoning_content == "Let me think."
        assert reply.choices[0].message.content == "Hello world!"

    def test_structured_output(self, openai_client):
        schema = {"name": "person", "schema": {"type": "object", "properties": {"name": {"type": "string"}}}}
        reply = openai_client.chat.completions.create(
            model="chat",
            messages=user("json"),
            response_format={"type": "json_schema", "json_schema": schema},
        )
        assert reply.choices[0].message.content == '{"name": "x", "age": 3}'

    @pytest.mark.parametrize("coding", ["float", "base64"])
    def test_embeddings(self, openai_client, coding):
        reply = openai_client.embeddings.create(model="embed", input=["a", "b"], encoding_format=coding)
        if coding == "float":
            assert len(reply.data) == 2
            assert all(
                entry.embedding == pytest.approx([3 / 13, 4 / 13, 12 / 13, 0], abs=1e-6)
                for entry in reply.data
            )
        else:
            assert [type(entry.embedding) for entry in reply.data] == [str, str]

    def test_models(self, openai_client):
        assert "chat" in {model.id.removesuffix(":latest") for model in openai_client.models.list()}

    @pytest.mark.parametrize(
        ("model", "text", "error"),
        [
            pytest.param("no-such-model-zz", "hi", openai.NotFoundError, id="missing"),
            pytest.param("chat", "@@ERR400", openai.BadRequestError, id="invalid"),
            pytest.param("chat", "@@ERR429", openai.RateLimitError, id="limited"),
            pytest.param("chat", "@@ERR500", openai.InternalServerError, id="failed"),
            pytest.param(
                "chat", "@@ERR401", openai.InternalServerError, id="our key is refused, not the client's"
            ),
        ],
    )
    def test_errors(self, openai_client, model, text, error):
        with pytest.raises(error) as raised:
            openai_client.chat.completions.create(model=model, messages=user(text))
        assert raised.value.response.headers["x-request-id"]
        assert raised.value.body["message"]

    def test_an_error_in_the_middle_of_a_stream(self, openai_client):
        text = ""
        with pytest.raises(openai.APIError):
            for chunk in openai_client.chat.completions.create(
                model="chat", messages=user("@@MID"), stream=True
            ):
                text += chunk.choices[0].delta.content or ""
        assert text == "Hello world"


def test_gpt_4o_by_both_protocols(over_openai: Process):
    """What the README promises: a cloud model through Ollama's API, with tools and, on a model that can, thinking."""
    with ollama.Client(over_openai.url) as client:
        reply = client.chat("gpt-4o", user("@@TOOL"), tools=[WEATHER])
        assert reply.model == "gpt-4o"
        assert reply.message.tool_calls[0].function.arguments == {"city": "Paris", "n": 2}
        assert client.chat("o4-mini", user("hi"), think="high").message.thinking == "Let me think."
    with openai.OpenAI(base_url=f"{over_openai.url}/v1", api_key="x") as own:
        raw = own.chat.completions.with_raw_response.create(model="gpt-4o", messages=user("hi"))
    assert raw.headers["x-provider"] == "openai"
    assert raw.headers["x-model"] == "gpt-4o"
    assert raw.headers["x-attempts"] == "1"
    assert raw.parse().model == "gpt-4o-2024-08-06"
