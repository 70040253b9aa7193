"""Real client libraries through the proxy, with Bedrock behind it, by signature and by API key."""

import json
from collections.abc import Iterator

import httpx
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
[models.embed]
capabilities = ["embedding"]
[models."us.amazon.nova-2-lite-v1:0"]
capabilities = ["completion", "tools", "vision", "thinking"]
"""
PAIR = {
    "AWS_BEDROCK_ACCESS_KEY": "AKIAEXAMPLE",
    "AWS_BEDROCK_SECRET_KEY": "a-secret-of-the-pair",
    "AWS_BEDROCK_SESSION_TOKEN": "a-token-of-the-pair",
    "AWS_BEDROCK_REGION": "us-east-1",
}
SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "us.anthropic.claude-opus-4-6-v1"
QUIET = "us.anthropic.claude-opus-4-7"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
GPT_OSS = "openai.gpt-oss-20b-1:0"
THINKERS = [SONNET, OPUS, QUIET, NOVA_2, GPT_OSS]
TOOLED = [
    *THINKERS,
    "amazon.nova-micro-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
]


@pytest.fixture(scope="module")
def proxy(simulator: Process) -> Iterator[Process]:
    with processes.gateway(simulator, "aws_bedrock", MODELS, **PAIR) as running:
        yield running


@pytest.fixture(scope="module")
def olla(proxy: Process) -> Iterator[ollama.Client]:
    with ollama.Client(proxy.url) as client:
        yield client


@pytest.fixture(scope="module")
def oai(proxy: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{proxy.url}/v1", api_key="x", max_retries=0) as client:
        yield client


BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def parts_of(reply, stream):
    return list(reply) if stream else [reply]


def test_calls_are_signed(simulator, olla):
    httpx.delete(f"{simulator.url}/_sim/seen")
    olla.chat(SONNET, user("hi"))
    last = httpx.get(f"{simulator.url}/_sim/seen").json()[-1]
    assert last["headers"]["authorization"] == "****"
    assert {"x-amz-date", "x-amz-security-token"} <= last["headers"].keys()


def test_an_api_key_will_do(simulator):
    with (
        processes.gateway(simulator, "aws_bedrock", MODELS) as running,
        ollama.Client(running.url) as client,
    ):
        assert client.chat("chat", user("hi")).message.content == "Hello world!"


def test_what_aws_programs_use_will_do(simulator):
    environment = {
        "AWS_BEDROCK_ENABLED": "true",
        "AWS_BEDROCK_BASE_URL": f"{simulator.url}/aws_bedrock",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-chain",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with processes.app(config=MODELS, **environment) as running, ollama.Client(running.url) as client:
        assert client.chat("chat", user("hi")).message.content == "Hello world!"
        assert "a-secret-of-the-chain" not in running.output
    last = httpx.get(f"{simulator.url}/_sim/seen").json()[-1]
    assert "x-amz-date" in last["headers"]


def test_no_secret_is_printed(proxy):
    assert not [secret for secret in PAIR.values() if len(secret) > 12 and secret in proxy.output]


class TestOllama:
    """ollama-python."""

    @BOTH
    @pytest.mark.parametrize("model", ["chat", *TOOLED, "amazon.titan-text-express-v1"])
    def test_chat(self, olla, model, stream):
        turns = [{"role": "system", "content": "be kind"}, *user("hi")]
        parts = parts_of(olla.chat(model, turns, stream=stream), stream)
        assert "".join(part.message.content or "" for part in parts) == "Hello world!"
        last = parts[-1]
        assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 11, 3)

    def test_options_that_not_all_take_do_no_harm(self, olla):
        options = {
            "temperature": 1.2,
            "top_p": 0.5,
            "top_k": 5,
            "seed": 1,
            "num_ctx": 8192,
            "stop": ["\n", "x"],
        }
        for model in TOOLED:
            assert olla.chat(model, user("hi"), options=options).message.content == "Hello world!"

    @BOTH
    @pytest.mark.parametrize("model", ["think", *THINKERS])
    @pytest.mark.parametrize("think", [True, "low", "high"])
    def test_thinking(self, olla, model, think, stream):
        parts = parts_of(olla.chat(model, user("hi"), think=think, stream=stream), stream)
        assert "".join(part.message.thinking or "" for part in parts) == "Let me think."
        assert "".join(part.message.content or "" for part in parts) == "Hello world!"

    @pytest.mark.parametrize("model", [SONNET, OPUS, NOVA_2])
    def test_thinking_switched_off(self, olla, model):
        assert not olla.chat(model, user("hi"), think=False).message.thinking

    @BOTH
    @pytest.mark.parametrize("model", ["tools", *TOOLED])
    def test_two_tools_in_one_turn(self, olla, model, stream):
        reply = olla.chat(model, user("@@TOOL2"), tools=[WEATHER, NOARGS], stream=stream)
        calls = [call for part in parts_of(reply, stream) for call in part.message.tool_calls or ()]
        assert [(call.function.name, dict(call.function.arguments)) for call in calls] == [
            ("get_weather", {"city": "Paris", "n": 2}),
            ("noargs", {}),
        ]

    @pytest.mark.parametrize("think", [None, True], ids=["plain", "thinking"])
    @pytest.mark.parametrize("model", THINKERS)
    def test_results_of_tools_without_ids(self, olla, model, think):
        call = {"function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
        other = {"function": {"name": "noargs", "arguments": {}}}
        history = [
            *user("weather?"),
            {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [call, other]},
            {"role": "tool", "tool_name": "get_weather", "content": "22"},
            {"role": "tool", "content": "ok"},
        ]
        reply = olla.chat(model, history, tools=[WEATHER, NOARGS], think=think)
        assert reply.message.content == "Hello world!"

    @BOTH
    @pytest.mark.parametrize("model", ["chat", *TOOLED])
    @pytest.mark.parametrize(
        "schema",
        [
            {
                "type": "object",
                "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
            },
            {"type": "object"},
        ],
        ids=["closed", "open"],
    )
    def test_a_schema(self, olla, model, schema, stream):
        parts = parts_of(olla.chat(model, user("json"), format=schema, stream=stream), stream)
        said = "".join(part.message.content or "" for part in parts)
        assert json.loads(said) == {"name": "x", "age": 3}

    def test_a_picture(self, olla):
        message = {"role": "user", "content": "what is this?", "images": [PIXEL]}
        assert olla.chat(SONNET, [message]).done

    def test_generate(self, olla):
        assert olla.generate("chat", "hi", system="be kind").response == "Hello world!"
        parts = list(olla.generate("chat", "hi", stream=True))
        assert "".join(part.response for part in parts) == "Hello world!"

    def test_embeddings(self, olla):
        assert len(olla.embed("cohere.embed-english-v3", ["a", "b"]).embeddings) == 2
        assert len(olla.embed("amazon.titan-embed-text-v2:0", "a").embeddings) == 1

    @pytest.mark.parametrize(
        ("call", "status"),
        [
            pytest.param(lambda c: c.chat("no-such-model-zz", user("hi")), 404, id="missing"),
            pytest.param(
                lambda c: c.chat("anthropic.no-such-model", user("hi")), 404, id="missing at the provider"
            ),
            pytest.param(lambda c: c.chat("arn:aws:bedrock:us-east-1:1:x/y", user("hi")), 404, id="an ARN"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR400")), 400, id="invalid"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR429")), 429, id="limited"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR500")), 502, id="failed"),
            pytest.param(lambda c: c.chat("chat", user("@@ERR503")), 503, id="overloaded"),
            pytest.param(lambda c: c.embed("amazon.titan-embed-text-v2:0", ["a", "b"]), 400, id="two texts"),
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
        assert {SONNET, OPUS, NOVA_2, "meta.llama3-1-8b-instruct-v1:0"} <= {
            entry.model.removesuffix(":latest") for entry in olla.list().models
        }


class TestOpenAI:
    """openai-python."""

    def test_whole(self, oai):
        reply = oai.chat.completions.create(model=SONNET, messages=user("hi"))
        assert reply.choices[0].message.content == "Hello world!"
        assert (reply.choices[0].finish_reason, reply.usage.total_tokens) == ("stop", 14)

    def test_streamed(self, oai):
        chunks = list(
            oai.chat.completions.create(
                model="chat", messages=user("hi"), stream=True, stream_options={"include_usage": True}
            )
        )
        words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
        assert "".join(words) == "Hello world!"
        assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [14]

    @pytest.mark.parametrize(
        "choice", ["required", "none", {"type": "function", "function": {"name": "get_weather"}}]
    )
    @pytest.mark.parametrize("model", TOOLED)
    def test_a_whole_turn_with_tools(self, oai, model, choice):
        first = oai.chat.completions.create(
            model=model, messages=user("@@TOOL"), tools=[WEATHER, NOARGS], tool_choice=choice
        )
        if choice == "none":
            assert first.choices[0].message.tool_calls is None
            return
        (call,) = first.choices[0].message.tool_calls
        assert first.choices[0].finish_reason == "tool_calls"
        assert call.function.name == "get_weather"
        history = [
            *user("weather"),
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22"},
        ]
        for offered in ({"tools": [WEATHER]}, {}):
            second = oai.chat.completions.create(model=model, messages=history, **offered)
            assert second.choices[0].message.content == "Hello world!"

    @pytest.mark.parametrize("model", [SONNET, OPUS])
    def test_thinking_is_given_back_with_its_signature(self, oai, model):
        first = oai.chat.completions.create(
            model=model, messages=user("@@TOOL"), tools=[WEATHER], reasoning_effort="high"
        )
        said = first.choices[0].message.model_dump(exclude_none=True)
        (detail,) = said["reasoning_details"]
        assert (detail["text"], detail["format"]) == ("Let me think.", "anthropic-claude-v1")
        result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "22"}
        second = oai.chat.completions.with_raw_response.create(
            model=model, messages=[*user("x"), said, result], tools=[WEATHER], reasoning_effort="high"
        )
        assert second.parse().choices[0].message.reasoning_content == "Let me think."
        assert "thinking" not in second.headers.get("x-proxy-lossy", "")

    def test_a_document(self, oai):
        file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}
        content = [{"type": "text", "text": "read it"}, {"type": "file", "file": file}]
        reply = oai.chat.completions.with_raw_response.create(
            model=SONNET, messages=[{"role": "user", "content": content}]
        )
        assert reply.parse().choices[0].message.content == "Hello world!"
        assert "x-proxy-lossy" not in reply.headers

    def test_losses_are_told(self, oai):
        raw = oai.chat.completions.with_raw_response.create(
            model=SONNET, messages=user("hi"), seed=1, temperature=1.5
        )
        assert raw.headers["x-proxy-lossy"] == "temperature~, seed"

    def test_errors(self, oai):
        with pytest.raises(openai.NotFoundError):
            oai.chat.completions.create(model="no-such-model-zz", messages=user("hi"))
