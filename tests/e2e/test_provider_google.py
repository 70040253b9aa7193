"""Real clients through a real proxy, with a fake Google behind it."""

import base64
from collections.abc import Iterator

import httpx
import ollama
import openai
import pytest

from tests import processes
from tests.e2e.test_clients import NOARGS, WEATHER, user
from tests.processes import Process

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()


@pytest.fixture(scope="module")
def over_google(simulator: Process) -> Iterator[Process]:
    with processes.gateway(simulator, "google") as running:
        yield running


@pytest.fixture(scope="module")
def ollama_client(over_google: Process) -> Iterator[ollama.Client]:
    with ollama.Client(over_google.url) as client:
        yield client


@pytest.fixture(scope="module")
def openai_client(over_google: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{over_google.url}/v1", api_key="x", max_retries=0) as client:
        yield client


class TestOllama:
    """ollama-python."""

    def test_whole(self, ollama_client):
        reply = ollama_client.chat("chat", user("hi"))
        assert reply.message.content == "Hello world!"
        assert (reply.done_reason, reply.prompt_eval_count, reply.eval_count) == ("stop", 11, 3)

    def test_streamed(self, ollama_client):
        parts = list(ollama_client.chat("chat", user("hi"), stream=True))
        assert "".join(part.message.content for part in parts) == "Hello world!"
        assert len(parts) >= 3

    @pytest.mark.parametrize("model", ["think", "gemini-2.5-flash", "gemini-3.1-pro-preview"])
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_thinking(self, ollama_client, model, stream):
        reply = ollama_client.chat(model, user("hi"), think="low", stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content for part in parts) == "Hello world!"

    @pytest.mark.parametrize("model", ["think", "gemini-2.5-flash", "gemini-2.5-pro"])
    def test_thinking_is_not_shown_when_it_is_off(self, ollama_client, model):
        assert not ollama_client.chat(model, user("hi"), think=False).message.thinking

    @pytest.mark.parametrize("model", ["tools", "gemini-2.0-flash", "gemini-2.5-flash"])
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_two_tools_in_one_turn(self, ollama_client, model, stream):
        reply = ollama_client.chat(model, user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=stream)
        parts = list(reply) if stream else [reply]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]

    @pytest.mark.parametrize("model", ["tools", "gemini-2.0-flash"])
    def test_results_of_tools_of_a_client_that_keeps_neither_ids_nor_signatures(self, ollama_client, model):
        calls = [
            {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}},
            {"function": {"name": "noargs", "arguments": {}}},
        ]
        history = [
            *user("weather?"),
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_name": "noargs", "content": "ok"},
            {"role": "tool", "content": "22"},
        ]
        assert ollama_client.chat(model, history, tools=[WEATHER, NOARGS]).message.content == "Hello world!"

    def test_a_schema(self, ollama_client):
        schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
        for model in ("chat", "gemini-2.0-flash"):
            reply = ollama_client.chat(model, user("json"), format=schema)
            assert reply.message.content == '{"name": "x", "age": 3}'

    def test_a_picture(self, ollama_client):
        message = {"role": "user", "content": "what is this?", "images": [PNG]}
        assert ollama_client.chat("gemini-2.5-flash", [message]).done

    def test_embeddings(self, ollama_client):
        reply = ollama_client.embed("embed", ["a", "b c"])
        assert [list(vector) for vector in reply.embeddings] == [
            pytest.approx([3 / 13, 4 / 13, 12 / 13, 0], abs=1e-6)
        ] * 2
        assert reply.prompt_eval_count == 3

    def test_lists(self, ollama_client):
        listed = {model.model for model in ollama_client.list().models}
        assert {"chat:latest", "gemini-2.5-flash:latest"} <= listed
        assert {"completion", "tools", "vision", "thinking"} <= set(
            ollama_client.show("gemini-2.5-pro").capabilities
        )

    @pytest.mark.parametrize(
        ("model", "text", "status"),
        [
            pytest.param("no-such-model-zz", "hi", 404, id="missing"),
            pytest.param("chat", "@@ERR500", 502, id="the provider fails"),
            pytest.param("chat", "@@ERR503", 503, id="the provider is overloaded"),
            pytest.param("chat", "@@ERR429", 429, id="the provider limits"),
            pytest.param("chat", "@@ERR400", 400, id="the provider calls it invalid"),
            pytest.param("chat", "@@ERR403", 502, id="our key is refused, not the client's"),
        ],
    )
    def test_errors(self, ollama_client, model, text, status):
        with pytest.raises(ollama.ResponseError) as error:
            ollama_client.chat(model, user(text))
        assert error.value.status_code == status

    def test_an_error_in_the_middle_of_a_stream(self, ollama_client):
        parts = []
        with pytest.raises(ollama.ResponseError):
            for part in ollama_client.chat("chat", user("@@MID"), stream=True):
                parts.append(part.message.content)
        assert "".join(parts) == "Hello world"


class TestOpenAI:
    """openai-python."""

    def test_whole(self, openai_client):
        reply = openai_client.chat.completions.create(model="chat", messages=user("hi"))
        assert reply.choices[0].message.content == "Hello world!"
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 3)

    def test_streamed(self, openai_client):
        chunks = list(
            openai_client.chat.completions.create(
                model="chat", messages=user("hi"), stream=True, stream_options={"include_usage": True}
            )
        )
        said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(said) == "Hello world!"
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [14]

    def test_tools_streamed(self, openai_client):
        chunks = openai_client.chat.completions.create(
            model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=True
        )
        names, arguments, reason = {}, {}, None
        for chunk in chunks:
            for choice in chunk.choices:
                reason = choice.finish_reason or reason
                for call in choice.delta.tool_calls or ():
                    names[call.index] = names.get(call.index) or call.function.name
                    arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
        assert names == {0: "get_weather", 1: "noargs"}
        assert arguments == {0: '{"city":"Paris","n":2}', 1: "{}"}
        assert reason == "tool_calls"

    def test_a_whole_turn_with_tools(self, openai_client):
        ask = openai_client.chat.completions.create
        first = ask(model="tools", messages=user("@@TOOL"), tools=[WEATHER])
        (call,) = first.choices[0].message.tool_calls
        history = [
            *user("weather"),
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22"},
        ]
        assert (
            ask(model="tools", messages=history, tools=[WEATHER]).choices[0].message.content == "Hello world!"
        )

    def test_thinking(self, openai_client):
        reply = openai_client.chat.completions.create(
            model="think", messages=user("hi"), reasoning_effort="high"
        )
        assert reply.choices[0].message.reasoning_content == "Let me think."

    def test_what_is_lost_is_told(self, openai_client):
        raw = openai_client.chat.completions.with_raw_response.create(
            model="gemini-2.5-flash", messages=user("hi"), presence_penalty=0.5, reasoning_effort="high"
        )
        assert raw.headers["x-proxy-lossy"] == "presence_penalty"

    def test_signatures_come_back_with_the_calls_they_belong_to(self, openai_client, simulator):
        ask = openai_client.chat.completions.create
        first = ask(model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS]).choices[0].message
        (detail,) = first.reasoning_details
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": "22"} for call in reversed(first.tool_calls)
        ]
        history = [*user("weather"), first.model_dump(exclude_none=True), *results]
        assert ask(model="tools", messages=history, tools=[WEATHER, NOARGS]).choices[0].message.content
        seen = httpx.get(f"{simulator.url}/_sim/seen").json()[-1]["body"]["contents"]
        one, other = (part for part in seen[1]["parts"] if "functionCall" in part)
        assert one["thoughtSignature"] == detail["data"]
        assert "thoughtSignature" not in other
        assert [part["functionResponse"]["id"] for part in seen[2]["parts"]] == [
            call.id for call in first.tool_calls
        ]

    def test_a_client_that_keeps_no_signature_is_let_pass(self, openai_client, simulator):
        call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        history = [
            *user("weather"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "22"},
        ]
        openai_client.chat.completions.create(model="tools", messages=history, tools=[WEATHER])
        seen = httpx.get(f"{simulator.url}/_sim/seen").json()[-1]["body"]["contents"]
        assert seen[1]["parts"][0]["thoughtSignature"] == "skip_thought_signature_validator"
