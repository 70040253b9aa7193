"""Real client libraries through the proxy, with Anthropic behind it."""

import json
from collections.abc import Iterator

import ollama
import openai
import pytest

from tests import processes
from tests.e2e.test_clients import NOARGS, PIXEL, WEATHER, user
from tests.processes import Process

MODELS = """
[models.chat]
capabilities = ["completion", "vision"]
[models.basic]
capabilities = ["completion"]
[models.tools]
capabilities = ["completion", "tools"]
[models.think]
capabilities = ["completion", "thinking"]
"""


@pytest.fixture(scope="module")
def proxy(simulator: Process) -> Iterator[Process]:
    with processes.gateway(simulator, "anthropic", MODELS) as running:
        yield running


@pytest.fixture(scope="module")
def olla(proxy: Process) -> Iterator[ollama.Client]:
    with ollama.Client(proxy.url) as client:
        yield client


@pytest.fixture(scope="module")
def oai(proxy: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="x", max_retries=0) as client:
        yield client


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
CLAUDES = [
    "claude-3-5-haiku-latest",
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-sonnet-5",
    "claude-opus-5-5",
]


def parts_of(reply, stream):
    return list(reply) if stream else [reply]


class TestOllama:
    """ollama-python."""

    @BOTH
    @pytest.mark.parametrize("model", ["chat", *CLAUDES])
    def test_chat(self, olla, model, stream):
        parts = parts_of(olla.chat(model, user("hi"), stream=stream), stream)
        assert "".join(part.message.content or "" for part in parts) == "Hello world!"
        last = parts[-1]
        assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 11, 3)

    def test_options_that_no_claude_takes_do_no_harm(self, olla):
        options = {"temperature": 0.2, "top_p": 0.5, "top_k": 5, "seed": 1, "num_ctx": 8192, "stop": ["\n"]}
        for model in CLAUDES:
            assert olla.chat(model, user("hi"), options=options).message.content == "Hello world!"

    @BOTH
    @pytest.mark.parametrize("model", ["think", *CLAUDES[1:]])
    @pytest.mark.parametrize("think", [True, "low", "high"])
    def test_thinking(self, olla, model, think, stream):
        parts = parts_of(olla.chat(model, user("hi"), think=think, stream=stream), stream)
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content or "" for part in parts) == "Hello world!"

    @pytest.mark.parametrize("model", CLAUDES[1:])
    def test_thinking_switched_off(self, olla, model):
        reply = olla.chat(model, user("hi"), think=False)
        assert not reply.message.thinking
        assert reply.message.content == "Hello world!"

    @BOTH
    @pytest.mark.parametrize("model", ["tools", *CLAUDES])
    def test_two_tools_in_one_turn(self, olla, model, stream):
        reply = olla.chat(model, user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=stream)
        parts = parts_of(reply, stream)
        calls = [call for part in parts for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]
        assert "".join(part.message.content or "" for part in parts) == "Calling."

    @pytest.mark.parametrize("think", [None, True], ids=["plain", "thinking"])
    @pytest.mark.parametrize("model", CLAUDES[1:])
    def test_results_of_tools_without_ids(self, olla, model, think):
        call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        other = {"function": {"name": "noargs", "arguments": {}}}
        history = [
            {"role": "system", "content": "be kind"},
            *user("weather?"),
            {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [call, other]},
            {"role": "tool", "tool_name": "get_weather", "content": "22"},
            {"role": "tool", "content": "ok"},
        ]
        reply = olla.chat(model, history, tools=[WEATHER, NOARGS], think=think)
        assert reply.message.content == "Hello world!"

    @BOTH
    @pytest.mark.parametrize(
        ("model", "schema"),
        # The newest cannot be held to an open object: it is asked in words, which the script does not hear.
        [
            *((model, PERSON) for model in ["chat", *CLAUDES]),
            *((model, {"type": "object"}) for model in CLAUDES[:-1]),
        ],
    )
    def test_a_schema(self, olla, model, schema, stream):
        parts = parts_of(olla.chat(model, user("json"), format=schema, stream=stream), stream)
        assert json.loads("".join(part.message.content or "" for part in parts)) == {"name": "x", "age": 3}
        assert not any(part.message.tool_calls for part in parts)

    def test_a_picture(self, olla):
        message = {"role": "user", "content": "what is this?", "images": [PIXEL]}
        assert olla.chat("claude-sonnet-4-5", [message]).done

    def test_generate(self, olla):
        assert olla.generate("chat", "hi", system="be kind").response == "Hello world!"
        parts = list(olla.generate("chat", "hi", stream=True))
        assert "".join(part.response for part in parts) == "Hello world!"

    @pytest.mark.parametrize(
        ("call", "status"),
        [
            pytest.param(lambda c: c.chat("no-such-model-zz", user("hi")), 404, id="missing"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR400")), 400, id="invalid"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR429")), 429, id="limited"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR500")), 502, id="failed"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR529")), 503, id="overloaded"),
            pytest.param(lambda c: c.embed("chat", ["a"]), 400, id="embeddings"),
            pytest.param(lambda c: c.generate("chat", "def f(", suffix="x"), 400, id="a gap"),
        ],
    )
    def test_errors(self, olla, call, status):
        with pytest.raises(ollama.ResponseError) as error:
            call(olla)
        assert error.value.status_code == status
        assert error.value.error

    def test_an_error_in_the_middle_of_a_stream(self, olla):
        words = []
        with pytest.raises(ollama.ResponseError):
            for part in olla.chat("chat", user("@@MID"), stream=True):
                words.append(part.message.content)
        assert "".join(words) == "Hello world"

    def test_the_list(self, olla):
        assert {f"{name}:latest" for name in CLAUDES} <= {entry.model for entry in olla.list().models}


class TestOpenAI:
    """openai-python."""

    def test_whole(self, oai):
        reply = oai.chat.completions.create(model="claude-sonnet-4-5", messages=user("hi"))
        assert reply.choices[0].message.content == "Hello world!"
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage.total_tokens == 14

    def test_streamed(self, oai):
        options = {"include_usage": True}
        chunks = list(
            oai.chat.completions.create(
                model="chat", messages=user("hi"), stream=True, stream_options=options
            )
        )
        words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(words) == "Hello world!"
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [14]

    @pytest.mark.parametrize(
        "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
    )
    @pytest.mark.parametrize("model", CLAUDES)
    def test_a_whole_turn_with_tools(self, oai, model, choice):
        first = oai.chat.completions.create(
            model=model,
            messages=user("@@TOOL"),
            tools=[WEATHER],
            tool_choice=choice,
            parallel_tool_calls=False,
        )
        (call,) = first.choices[0].message.tool_calls
        assert first.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "get_weather"
        history = [
            *user("weather"),
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22"},
        ]
        second = oai.chat.completions.create(model=model, messages=history, tools=[WEATHER])
        assert second.choices[0].message.content == "Hello world!"

    @pytest.mark.parametrize("model", CLAUDES[1:])
    def test_thinking_is_given_back_with_its_signature(self, oai, model):
        first = oai.chat.completions.create(
            model=model, messages=user("@@TOOL"), tools=[WEATHER], reasoning_effort="high"
        )
        said = first.choices[0].message.model_dump(exclude_none=True)
        (detail,) = said["reasoning_details"]
        assert (detail["text"], detail["format"]) == ("Let me think.", "anthropic-claude-v1")
        assert detail["signature"]
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "22"}
        second = oai.chat.completions.with_raw_response.create(
            model=model, messages=[*user("x"), said, result], tools=[WEATHER], reasoning_effort="high"
        )
        assert second.parse().choices[0].message.reasoning_content == "Let me think."
        assert "thinking" not in second.headers.get("x-proxy-lossy", "")

    def test_losses_are_told(self, oai):
        raw = oai.chat.completions.with_raw_response.create(
            model="claude-sonnet-4-5", messages=user("hi"), seed=1, temperature=1.5
        )
        assert raw.headers["x-proxy-lossy"] == "temperature~, seed"

    def test_strict_refuses_losses(self, oai):
        with pytest.raises(openai.BadRequestError):
            oai.chat.completions.create(
                model="claude-sonnet-4-5",
                messages=user("hi"),
                seed=1,
                extra_headers={"x-proxy-strict": "true"},
            )
