"""openai-python's chats and embeddings through the proxy, over each kind of provider."""

import asyncio
import json
from contextlib import contextmanager

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.e2e.conftest import slow, somebody_left
from tests.e2e.test_clients import NOARGS, PIXEL, WEATHER

BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
PARIS = {"city": "Paris", "n": 2}


class Person(BaseModel):
    name: str
    age: int


@contextmanager
def connected(url, kind=openai.OpenAI):
    """A client that never tries again by itself."""
    with kind(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def client(over):
    with connected(over.url) as found:
        yield found


def user(text):
    return [{"role": "user", "content": text}]


def chatted(client, stream, model, messages, **asked):
    """The whole reply, however it came: streams are put together by the library's own helper."""
    if not stream:
        return client.chat.completions.create(model=model, messages=messages, **asked)
    asked["stream_options"] = {"include_usage": True}
    with client.chat.completions.stream(model=model, messages=messages, **asked) as events:
        return events.get_final_completion()


def calls_of(reply):
    calls = reply.choices[0].message.tool_calls or ()
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


@BOTH
def test_a_text(client, stream):
    reply = chatted(client, stream, "chat", user("hi"))
    (choice,) = reply.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "Hello world!",
        "stop",
    )
    assert (reply.model, reply.usage.prompt_tokens, reply.usage.completion_tokens) == ("chat", 11, 3)


@pytest.mark.parametrize("asked", [True, False], ids=["with usage", "without"])
def test_chunks(client, asked):
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(client.chat.completions.create(model="chat", messages=user("hi"), stream=True, **options))
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(text or "" for text in said) == "Hello world!"
    assert len([text for text in said if text]) >= 2
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([14] if asked else [])
    assert {chunk.id for chunk in chunks} == {chunks[0].id}


@BOTH
def test_an_answer_that_is_cut(client, stream):
    if stream:
        # What the library's helper makes of the reason.
        with pytest.raises(openai.LengthFinishReasonError):
            chatted(client, stream, "chat", user("hi"), max_tokens=2)
    else:
        assert chatted(client, stream, "chat", user("hi"), max_tokens=2).choices[0].finish_reason == "length"


@BOTH
def test_turns_with_two_tools(client, stream):
    """The loop of OpenAI's own documentation: the message of the calls goes back as it came, results by their ids."""
    asked = {"model": "tools", "tools": [WEATHER, NOARGS]}
    reply = chatted(client, stream, messages=user("@@TOOL2"), **asked)
    assert reply.choices[0].finish_reason == "tool_calls"
    assert reply.choices[0].message.content == "Calling."
    assert calls_of(reply) == [("get_weather", PARIS), ("noargs", {})]
    calls = reply.choices[0].message.tool_calls
    assert len({call.id for call in calls}) == 2
    # Results may come in any order.
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in calls]
    said = reply.choices[0].message.model_dump(exclude_none=True, exclude={"parsed"})
    for call in said["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
        call.pop("index", None)
    history = [*user("weather?"), said, *reversed(results), *user("and now?")]
    assert chatted(client, stream, messages=history, **asked).choices[0].message.content == "Hello world!"


@pytest.mark.parametrize(
    "choice",
    ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}],
    ids=["auto", "required", "named"],
)
def test_a_choice_of_tools(client, choice):
    reply = client.chat.completions.create(
        model="tools", messages=user("@@TOOL"), tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False
    )
    assert calls_of(reply) == [("get_weather", PARIS)]


@BOTH
def test_thinking_has_both_its_names_and_goes_round(client, over, stream):
    """OpenAI's own models take no thinking back; whoever gives it to them is answered all the same."""
    asked = {"model": "o4-mini" if over.kind == "openai" else "think", "reasoning_effort": "low"}
    message = chatted(client, stream, messages=user("hi"), **asked).choices[0].message
    assert message.content == "Hello world!"
    assert (message.reasoning, message.reasoning_content) == ("Let me think.", "Let me think.")
    said = message.model_dump(exclude_none=True, exclude={"parsed"})
    for dropped in ("reasoning", "reasoning_content"):
        history = [
            *user("hi"),
            {name: value for name, value in said.items() if name != dropped},
            *user("more"),
        ]
        assert chatted(client, False, messages=history, **asked).choices[0].message.content == "Hello world!"


@pytest.mark.parametrize("stream", [False, True], ids=["parsed", "streamed and parsed"])
def test_a_model_of_pydantic(client, stream):
    asked = {"model": "chat", "messages": user("json"), "response_format": Person}
    if stream:
        with client.chat.completions.stream(**asked) as events:
            reply = events.get_final_completion()
    else:
        reply = client.chat.completions.parse(**asked)
    assert reply.choices[0].message.parsed == Person(name="x", age=3)


@BOTH
def test_any_json(client, over, stream):
    reply = chatted(client, stream, "chat", user("as json"), response_format={"type": "json_object"})
    if over.kind == "anthropic":
        # It has no such mode: the model is told in words, which the simulator does not read.
        assert "JSON" in str(over.asked()["system"])
        return
    assert json.loads(reply.choices[0].message.content) == {"name": "x", "age": 3}


def test_a_picture(client, over):
    parts = [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    assert chatted(client, False, over.seeing, user(parts)).choices[0].message.content == "Hello world!"


@pytest.mark.parametrize("coding", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_embeddings(client, over, coding):
    if not over.embeds:
        with pytest.raises(openai.BadRequestError, match="does not support embedding"):
            client.embeddings.create(model="embed", input="a", **coding)
        return
    reply = client.embeddings.create(model="embed", input="a b", **coding)
    (entry,) = reply.data
    expected = [3 / 13, 4 / 13, 12 / 13, 0]
    if coding.get("encoding_format") == "base64":
        assert isinstance(entry.embedding, str)
    else:
        # Without being told, the library asks for base64 and unpacks it.
        assert entry.embedding == pytest.approx(expected, abs=1e-6)
    assert reply.usage.prompt_tokens >= 1


@pytest.mark.parametrize("tokens", [[1, 2, 3], [[1, 2], [3]]], ids=["tokens", "lists of tokens"])
def test_tokens_to_embed(client, over, tokens):
    """They mean something to OpenAI's models alone, so only a provider of that form gets them, as they came."""
    if over.kind == "openai":
        assert client.embeddings.create(model="embed", input=tokens, encoding_format="float").data
        assert over.asked()["input"] == tokens
        return
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="embed", input=tokens, encoding_format="float")
    assert caught.value.body["type"] == "invalid_request_error"
    if over.embeds:
        assert "input" in caught.value.body["message"]


@BOTH
@pytest.mark.parametrize(
    ("fields", "error", "code", "param"),
    [
        pytest.param({"model": "no-such-model-zz"}, openai.NotFoundError, None, None, id="missing"),
        pytest.param({"messages": []}, openai.BadRequestError, None, None, id="no messages"),
        pytest.param({"temperature": "hot"}, openai.BadRequestError, None, "temperature", id="a bad field"),
        pytest.param({"messages": user("@@ERR400")}, openai.BadRequestError, None, None, id="invalid"),
        pytest.param(
            {"messages": user("@@ERR429")}, openai.RateLimitError, "rate_limit_exceeded", None, id="limited"
        ),
        pytest.param({"messages": user("@@ERR500")}, openai.InternalServerError, None, None, id="broken"),
        pytest.param(
            {"messages": user("@@ERR401")},
            openai.InternalServerError,
            None,
            None,
            id="our key is refused, not the client's",
        ),
    ],
)
def test_errors(client, fields, error, code, param, stream):
    asked = {"model": "chat", "messages": user("hi"), "stream": stream, **fields}
    with pytest.raises(error) as caught:
        client.chat.completions.create(**asked)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.body["message"]
    assert caught.value.request_id


def test_an_error_in_the_middle_of_a_stream(client):
    text = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="chat", messages=user("@@MID"), stream=True):
            text += chunk.choices[0].delta.content or ""
    assert text == "Hello world"
    assert caught.value.body["type"] == "upstream_error"


def test_models(client):
    listed = {model.id for model in client.models.list()}
    assert "chat:latest" in listed
    assert client.models.retrieve("chat").id == "chat"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model-zz")


def test_asynchronous(over):
    async def talk():
        async with openai.AsyncOpenAI(base_url=f"{over.url}/v1", api_key="x", max_retries=0) as client:
            create = client.chat.completions.create
            several = await asyncio.gather(*(create(model="chat", messages=user("hi")) for _ in range(3)))
            stream = await create(model="chat", messages=user("hi"), stream=True)
            said = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return [reply.choices[0].message.content for reply in several], "".join(said)

    assert asyncio.run(talk()) == (["Hello world!"] * 3, "Hello world!")


@pytest.mark.parametrize("kind", ["openai", "google"])
def test_a_client_that_leaves_ends_the_call(kind):
    with slow(kind) as (running, upstream), connected(running.url) as client:
        with client.chat.completions.create(model="chat", messages=user("hi"), stream=True) as stream:
            next(iter(stream))
        assert somebody_left(upstream)


@pytest.mark.parametrize("way", [lambda name: name, lambda name: name.replace("/", "%2F")], ids=["/", "%2F"])
def test_a_model_whose_name_has_slashes(over_kind, way):
    """Through a socket, whichever way the slash is written."""
    models = f"{over_kind('openai').url}/v1/models"
    found = httpx.get(f"{models}/{way('openai/chat')}")
    assert (found.status_code, found.json()["id"]) == (200, "openai/chat")
    missing = httpx.get(f"{models}/{way('nobody/chat-zz')}")
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "not_found_error")
