"""Through the proxy to a model that is served at /responses alone: clients see nothing of that."""

import ollama
import openai
import pytest

from tests.e2e.test_clients import NOARGS, PIXEL, WEATHER, user
from tests.processes import Process

MODEL = "gpt-5-codex"
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture(scope="module")
def ollama_client(over_openai: Process):
    with ollama.Client(over_openai.url) as client:
        yield client


@pytest.fixture(scope="module")
def openai_client(over_openai: Process):
    with openai.OpenAI(base_url=f"{over_openai.url}/v1", api_key="x", max_retries=0) as client:
        yield client


class TestOllama:
    """ollama-python."""

    @STREAM
    def test_text(self, ollama_client, stream):
        reply = ollama_client.chat(MODEL, user("hi"), stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.content for part in parts) == "Hello world!"
        last = parts[-1]
        assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 11, 3)

    @STREAM
    def test_thinking(self, ollama_client, stream):
        reply = ollama_client.chat(MODEL, user("hi"), think="high", stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content for part in parts) == "Hello world!"

    @STREAM
    def test_tools_and_their_results(self, ollama_client, stream):
        asked = user("@@TOOL2")
        reply = ollama_client.chat(MODEL, asked, tools=[WEATHER, NOARGS], stream=stream)
        parts = list(reply) if stream else [reply]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]
        said = {"role": "assistant", "content": "", "tool_calls": [call.model_dump() for call in calls]}
        results = [{"role": "tool", "tool_name": call.function.name, "content": "22"} for call in calls]
        again = ollama_client.chat(MODEL, [*user("w"), said, *results], tools=[WEATHER, NOARGS])
        assert again.message.content == "Hello world!"

    def test_a_picture_and_a_schema(self, ollama_client):
        turn = [{"role": "user", "content": "see", "images": [PIXEL]}]
        reply = ollama_client.chat(MODEL, turn, format={"type": "object", "properties": {"name": {}}})
        assert reply.message.content == '{"name": "x", "age": 3}'

    def test_a_prompt_that_is_cut(self, ollama_client):
        reply = ollama_client.generate(MODEL, "go on", options={"num_predict": 2})
        assert (reply.response, reply.done_reason) == ("Hello world!", "length")

    def test_an_error(self, ollama_client):
        with pytest.raises(ollama.ResponseError) as caught:
            ollama_client.chat(MODEL, user("@@ERR400"))
        assert caught.value.status_code == 400


class TestOpenAI:
    """openai-python, which asks for a chat."""

    def test_whole(self, openai_client):
        reply = openai_client.chat.completions.create(
            model=MODEL, messages=user("hi"), reasoning_effort="low"
        )
        message = reply.choices[0].message
        assert (message.content, reply.choices[0].finish_reason) == ("Hello world!", "stop")
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 3)

    def test_a_stream(self, openai_client):
        chunks = list(
            openai_client.chat.completions.create(
                model=MODEL, messages=user("hi"), stream=True, stream_options={"include_usage": True}
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello world!"
        assert chunks[-1].usage.total_tokens == 14

    def test_thinking_goes_round(self, openai_client):
        """What is sealed comes with the answer, and is taken back where it came from."""
        asked = {"model": MODEL, "tools": [WEATHER], "reasoning_effort": "low"}
        reply = openai_client.chat.completions.create(messages=user("@@TOOL"), **asked)
        message = reply.choices[0].message
        assert [detail["format"] for detail in message.reasoning_details] == ["openai-responses-v1"]
        said = message.model_dump(exclude_none=True, include={"role", "tool_calls", "reasoning_details"})
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "22"}
        again = openai_client.chat.completions.create(messages=[*user("w"), said, result], **asked)
        assert again.choices[0].message.content == "Hello world!"

    @STREAM
    def test_an_error(self, openai_client, stream):
        with pytest.raises(openai.RateLimitError):
            openai_client.chat.completions.create(model=MODEL, messages=user("@@ERR429"), stream=stream)
