"""openai-python, as OpenRouter's users use it, straight at the fake OpenRouter."""

import openai
import pytest
from attrs import evolve

from adapters.simulator.demo import standard_scenario
from tests.adapters.simulator.kit import NOARGS, WEATHER, user
from tests.adapters.simulator.test_server import serving


@pytest.fixture(scope="module")
def client():
    with (
        serving(evolve(standard_scenario(), key="sk-or")) as running,
        openai.OpenAI(base_url=f"{running.url}/openrouter/api/v1", api_key="sk-or", max_retries=0) as sdk,
    ):
        yield sdk


def test_chat(client):
    reply = client.chat.completions.create(model="anthropic/claude-sonnet-4", messages=user("hi"))
    assert reply.choices[0].message.content == "Hello world!"
    assert reply.usage.prompt_tokens == 11


def test_thinking_in_a_stream(client):
    chunks = client.chat.completions.create(
        model="deepseek/deepseek-r1:free",
        messages=user("hi"),
        stream=True,
        extra_body={"reasoning": {"effort": "low"}},
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(getattr(delta, "reasoning", None) or "" for delta in deltas) == "Let me think."
    assert "".join(delta.content or "" for delta in deltas) == "Hello world!"


def test_tools(client):
    reply = client.chat.completions.create(
        model="openai/gpt-4o", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS]
    )
    calls = reply.choices[0].message.tool_calls
    assert [(call.function.name, call.function.arguments) for call in calls] == [
        ("get_weather", '{"city":"Paris","n":2}'),
        ("noargs", "{}"),
    ]


def test_embeddings(client):
    reply = client.embeddings.create(model="openai/text-embedding-3-small", input=["a", "b"])
    assert [item.embedding for item in reply.data] == [[3.0, 4.0, 12.0, 0.0]] * 2


def test_models(client):
    assert "openai/gpt-4o" in {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("text", "model", "error"),
    [
        pytest.param("hi", "nope/nope", openai.BadRequestError, id="an unknown model"),
        pytest.param("@@ERR402", "chat", openai.APIStatusError, id="no credits"),
        pytest.param("@@ERR403", "chat", openai.PermissionDeniedError, id="flagged"),
        pytest.param("@@ERR429", "chat", openai.RateLimitError, id="a rate limit"),
        pytest.param("@@ERR502", "chat", openai.InternalServerError, id="the vendor is down"),
    ],
)
def test_errors(client, text, model, error):
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=model, messages=user(text))
    assert raised.value.body["message"]
