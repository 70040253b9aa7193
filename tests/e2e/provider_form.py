"""What a client sees through the proxy, whichever provider of OpenAI's form is behind it: the same for all of them."""

import ollama
import openai
import pytest

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
        },
    },
}
NOARGS = {
    "type": "function",
    "function": {"name": "noargs", "parameters": {"type": "object", "properties": {}}},
}


def user(text):
    return [{"role": "user", "content": text}]


class OllamaClient:
    """ollama-python."""

    def test_whole(self, ollama_client):
        reply = ollama_client.chat("chat", user("hi"))
        assert reply.message.content == "Hello world!"
        assert (reply.done_reason, reply.prompt_eval_count, reply.eval_count) == ("stop", 11, 3)

    def test_streamed(self, ollama_client):
        parts = list(ollama_client.chat("chat", user("hi"), stream=True))
        assert "".join(part.message.content for part in parts) == "Hello world!"
        assert (parts[-1].done, parts[-1].prompt_eval_count, parts[-1].eval_count) == (True, 11, 3)

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    @pytest.mark.parametrize("think", [True, "low"], ids=["on", "a step"])
    def test_thinking(self, ollama_client, think, stream):
        reply = ollama_client.chat("think", user("hi"), think=think, stream=stream)
        parts = list(reply) if stream else [reply]
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content for part in parts) == "Hello world!"

    def test_no_thinking(self, ollama_client):
        assert not ollama_client.chat("think", user("hi"), think=False).message.thinking

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
    def test_two_tools_in_one_turn(self, ollama_client, stream):
        reply = ollama_client.chat("tools", user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=stream)
        parts = list(reply) if stream else [reply]
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]

    def test_a_tools_result(self, ollama_client):
        call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        turns = [
            *user("weather?"),
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [call]},
            {"role": "tool", "tool_name": "get_weather", "content": "22"},
        ]
        assert ollama_client.chat("tools", turns, tools=[WEATHER]).message.content == "Hello world!"

    def test_json(self, ollama_client):
        assert (
            ollama_client.chat("chat", user("x"), format="json").message.content == '{"name": "x", "age": 3}'
        )

    def test_embeddings(self, ollama_client):
        assert len(ollama_client.embed("embed", ["a", "b"]).embeddings) == 2

    def test_lists(self, ollama_client):
        assert "chat:latest" in {model.model for model in ollama_client.list().models}

    @pytest.mark.parametrize(
        ("model", "text", "status"),
        [
            pytest.param("no-such-model-zz", "hi", 404, id="no such model"),
            pytest.param("chat", "@@ERR400", 400, id="invalid"),
            pytest.param("chat", "@@ERR429", 429, id="limited"),
            pytest.param("chat", "@@ERR500", 502, id="broken"),
        ],
    )
    def test_errors(self, ollama_client, model, text, status):
        with pytest.raises(ollama.ResponseError) as error:
            ollama_client.chat(model, user(text))
        assert error.value.status_code == status

    def test_a_stream_that_breaks(self, ollama_client):
        with pytest.raises(ollama.ResponseError):
            list(ollama_client.chat("chat", user("@@MID"), stream=True))


class OpenAIClient:
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
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == "Hello world!"
        assert chunks[-1].usage.prompt_tokens == 11

    def test_tools(self, openai_client):
        reply = openai_client.chat.completions.create(
            model="tools", messages=user("@@TOOL"), tools=[WEATHER, NOARGS]
        )
        (call,) = reply.choices[0].message.tool_calls
        assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Paris","n":2}')
        assert reply.choices[0].finish_reason == "tool_calls"

    def test_errors(self, openai_client):
        with pytest.raises(openai.NotFoundError):
            openai_client.chat.completions.create(model="no-such-model-zz", messages=user("hi"))
