"""openai-python's AzureOpenAI, and its plain client at Azure's newer address, through the proxy over several providers."""

import asyncio
import json

import httpx
import openai
import pytest

from tests import processes
from tests.e2e.conftest import SEEING
from tests.e2e.test_client_openai import BOTH, PARIS, Person, calls_of, user
from tests.e2e.test_client_openai_responses import WEATHER as FLAT_WEATHER
from tests.e2e.test_clients import NOARGS, WEATHER

VERSION = "2024-10-21"
DEPLOYMENTS = "chat,tools,think,embed"


@pytest.fixture(scope="module", params=["openai", "azure", "anthropic", "google"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def url(kind, simulator, over_kind):
    if kind != "azure":
        yield over_kind(kind).url
        return
    with processes.gateway(simulator, kind, SEEING, AZURE_DEPLOYMENTS=DEPLOYMENTS) as running:
        yield running.url


def connect(url, cls=openai.AzureOpenAI, **given):
    return cls(azure_endpoint=url, api_version=VERSION, api_key="unused", max_retries=0, **given)


@pytest.fixture(scope="module", params=["deployments", "v1"])
def client(request, url):
    """The two addresses that Azure has: that of a deployment in the path, and the newer one, which is OpenAI's own."""
    if request.param == "v1":
        made = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="unused", max_retries=0)
    else:
        made = connect(url)
    with made as found:
        yield found


@BOTH
def test_a_chat(client, stream):
    reply = client.chat.completions.create(model="chat", messages=user("hi"), stream=stream)
    if stream:
        said = [choice.delta.content or "" for chunk in reply for choice in chunk.choices]
        assert "".join(said) == "Hello world!"
        return
    assert (reply.choices[0].message.content, reply.usage.total_tokens) == ("Hello world!", 14)


def test_turns_with_two_tools(client):
    asked = {"model": "tools", "tools": [WEATHER, NOARGS]}
    reply = client.chat.completions.create(messages=user("@@TOOL2"), **asked)
    assert calls_of(reply) == [("get_weather", PARIS), ("noargs", {})]
    message = reply.choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "22"} for call in message.tool_calls]
    history = [*user("weather?"), message.model_dump(exclude_none=True), *results]
    second = client.chat.completions.create(messages=history, **asked)
    assert second.choices[0].message.content == "Hello world!"


def test_a_model_of_pydantic(client):
    reply = client.chat.completions.parse(model="chat", messages=user("json"), response_format=Person)
    assert reply.choices[0].message.parsed == Person(name="x", age=3)


def test_a_prompt(client):
    assert client.completions.create(model="chat", prompt="hi").choices[0].text == "Hello world!"


def test_embeddings(client, kind):
    if kind == "anthropic":
        with pytest.raises(openai.BadRequestError, match="does not support embedding"):
            client.embeddings.create(model="embed", input="a")
        return
    (entry,) = client.embeddings.create(model="embed", input="a").data
    assert entry.embedding == pytest.approx([3 / 13, 4 / 13, 12 / 13, 0], abs=1e-6)


@BOTH
def test_responses(client, stream):
    if stream:
        with client.responses.stream(model="tools", input="@@TOOL", tools=[FLAT_WEATHER]) as events:
            reply = events.get_final_response()
    else:
        reply = client.responses.create(model="tools", input="@@TOOL", tools=[FLAT_WEATHER])
    (call,) = [item for item in reply.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", PARIS)


def test_models(client):
    assert "chat:latest" in {model.id for model in client.models.list()}
    assert client.models.retrieve("chat").id == "chat"


@BOTH
@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        pytest.param({"model": "no-such-model-zz"}, openai.NotFoundError, None, id="no such deployment"),
        pytest.param({"temperature": "hot"}, openai.BadRequestError, "temperature", id="a bad field"),
        pytest.param({"messages": user("@@ERR429")}, openai.RateLimitError, None, id="limited"),
        pytest.param({"messages": user("@@ERR500")}, openai.InternalServerError, None, id="broken"),
    ],
)
def test_errors(client, fields, error, param, stream):
    asked = {"model": "chat", "messages": user("hi"), "stream": stream, **fields}
    with pytest.raises(error) as caught:
        client.chat.completions.create(**asked)
    assert caught.value.param == param
    assert caught.value.body["message"]


def test_an_error_in_the_middle_of_a_stream(client):
    text = ""
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model="chat", messages=user("@@MID"), stream=True):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert text == "Hello world"


def test_the_deployment_stands_above_the_model(url):
    with connect(url, azure_deployment="chat") as client:
        reply = client.chat.completions.create(model="no-such-model-zz", messages=user("hi"))
        assert reply.choices[0].message.content == "Hello world!"
        assert client.responses.create(model="chat", input="hi").output_text == "Hello world!"
    with (
        connect(url, azure_deployment="no-such-model-zz") as client,
        pytest.raises(openai.NotFoundError, match="no-such-model-zz"),
    ):
        client.chat.completions.create(model="chat", messages=user("hi"))


def test_asynchronous(url):
    async def talk():
        async with connect(url, openai.AsyncAzureOpenAI, azure_deployment="chat") as client:
            create = client.chat.completions.create
            whole = await create(model="chat", messages=user("hi"))
            stream = await create(model="chat", messages=user("hi"), stream=True)
            said = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]
            return whole.choices[0].message.content, "".join(said)

    assert asyncio.run(talk()) == ("Hello world!", "Hello world!")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        pytest.param("", {}, id="without a version"),
        pytest.param("?api-version=preview", {"api-key": "k"}, id="with a key of Azure's kind"),
        pytest.param("?api-version=2099-01-01", {"authorization": "Bearer t"}, id="with a token"),
    ],
)
def test_versions_and_keys_are_taken_as_they_come(over_kind, query, headers):
    """Of a provider whose name for the model has a slash, too."""
    base = f"{over_kind('openai').url}/openai/deployments"
    for name in ("chat", "openai/chat", "openai%2Fchat"):
        reply = httpx.post(
            f"{base}/{name}/chat/completions{query}", json={"messages": user("hi")}, headers=headers
        )
        assert (reply.status_code, reply.json()["choices"][0]["message"]["content"]) == (200, "Hello world!")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/openai/deployments/chat/chat/completions", 405),
        ("POST", "/openai/deployments/chat/images/generations", 404),
        ("GET", "/openai/nothing", 404),
        ("GET", "/openai/models/no-such-model-zz", 404),
    ],
)
def test_other_faults_have_openais_form(over_kind, method, path, status):
    reply = httpx.request(method, over_kind("openai").url + path)
    assert reply.status_code == status
    assert list(reply.json()["error"]) == ["message", "type", "param", "code"]
