"""openai-python's own client of Azure, straight at the fake Azure."""

import openai
import pytest
from attrs import evolve

from adapters.simulator.demo import standard_scenario
from tests.adapters.simulator.kit import NOARGS, WEATHER, user
from tests.adapters.simulator.test_server import serving

VERSION = "2025-01-01-preview"


@pytest.fixture(scope="module")
def server():
    with serving(evolve(standard_scenario(), key="secret")) as running:
        yield running


@pytest.fixture
def client(server):
    address = f"{server.url}/azure"
    with openai.AzureOpenAI(
        azure_endpoint=address, api_key="secret", api_version=VERSION, max_retries=0
    ) as sdk:
        yield sdk


def test_chat(client):
    reply = client.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert reply.choices[0].message.content == "Hello world!"


def test_a_stream(client):
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=user("hi"), stream=True))
    assert chunks[0].choices == []
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Hello world!"


def test_tools(client):
    reply = client.chat.completions.create(model="gpt-4o", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS])
    assert [call.function.name for call in reply.choices[0].message.tool_calls] == ["get_weather", "noargs"]


def test_embeddings(client):
    reply = client.embeddings.create(model="text-embedding-3-small", input="a")
    assert reply.data[0].embedding == [3.0, 4.0, 12.0, 0.0]


def test_a_token(server):
    address = f"{server.url}/azure"
    with openai.AzureOpenAI(azure_endpoint=address, azure_ad_token="secret", api_version=VERSION) as sdk:
        assert sdk.chat.completions.create(model="gpt-4o", messages=user("hi")).choices


def test_the_newer_surface(server):
    with openai.OpenAI(base_url=f"{server.url}/azure/openai/v1", api_key="secret", max_retries=0) as sdk:
        assert sdk.chat.completions.create(model="o4-mini", messages=user("hi")).choices


@pytest.mark.parametrize(
    ("text", "model", "error", "code"),
    [
        pytest.param("hi", "nope", openai.NotFoundError, "DeploymentNotFound", id="no such deployment"),
        pytest.param("@@FILTER", "gpt-4o", openai.BadRequestError, "content_filter", id="the filter"),
        pytest.param("@@ERR429", "gpt-4o", openai.RateLimitError, "RateLimitReached", id="a rate limit"),
    ],
)
def test_errors(client, text, model, error, code):
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=model, messages=user(text))
    assert raised.value.code == code
