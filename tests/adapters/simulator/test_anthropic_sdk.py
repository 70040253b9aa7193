"""Anthropic's own client library, over a socket, straight at the simulator."""

from collections.abc import Iterator

import anthropic
import pytest

from tests.adapters.simulator.test_anthropic import NOARGS, PERSON, WEATHER
from tests.processes import Process


@pytest.fixture(scope="module")
def client(simulator: Process) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{simulator.url}/anthropic", api_key="k", max_retries=0) as made:
        yield made


def user(text):
    return [{"role": "user", "content": text}]


def test_whole(client):
    reply = client.messages.create(model="chat", max_tokens=50, messages=user("hi"))
    assert [block.text for block in reply.content] == ["Hello world!"]
    assert (reply.stop_reason, reply.usage.input_tokens, reply.usage.output_tokens) == ("end_turn", 11, 3)


def test_streamed(client):
    with client.messages.stream(model="chat", max_tokens=50, messages=user("hi")) as stream:
        assert "".join(stream.text_stream) == "Hello world!"
        assert stream.get_final_message().usage.output_tokens == 3


def test_thinking(client):
    budget = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(
        model="think", max_tokens=2000, messages=user("hi"), thinking=budget
    ) as stream:
        thought, words = stream.get_final_message().content
    assert (thought.thinking, words.text) == ("Let me think.", "Hello world!")
    history = [
        *user("hi"),
        {
            "role": "assistant",
            "content": [thought.model_dump(exclude_none=True), words.model_dump(exclude_none=True)],
        },
        *user("more"),
    ]
    reply = client.messages.create(model="think", max_tokens=2000, messages=history, thinking=budget)
    assert reply.content[-1].text == "Hello world!"


def test_a_turn_with_tools(client):
    tools = [WEATHER, NOARGS]
    with client.messages.stream(
        model="tools", max_tokens=50, messages=user("@@TOOL2"), tools=tools
    ) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "22"} for call in calls]
    said = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input} for call in calls]
    history = [*user("weather"), {"role": "assistant", "content": said}, *user(results)]
    second = client.messages.create(model="tools", max_tokens=50, messages=history, tools=tools)
    assert second.content[0].text == "Hello world!"


def test_structured_output(client):
    config = {"format": {"type": "json_schema", "schema": PERSON}}
    reply = client.messages.create(model="chat", max_tokens=50, messages=user("json"), output_config=config)
    assert reply.content[0].text == '{"name": "x", "age": 3}'


def test_models(client):
    assert "claude-sonnet-4-5" in {model.id for model in client.models.list()}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"model": "nobody"}, anthropic.NotFoundError),
        ({"messages": []}, anthropic.BadRequestError),
        ({"messages": user("@@ERR401")}, anthropic.AuthenticationError),
        ({"messages": user("@@ERR429")}, anthropic.RateLimitError),
        ({"messages": user("@@ERR529")}, anthropic.APIStatusError),
        ({"messages": user("@@ERR500")}, anthropic.InternalServerError),
    ],
)
def test_errors(client, fields, error):
    with pytest.raises(error):
        client.messages.create(**{"model": "chat", "max_tokens": 50, "messages": user("hi"), **fields})


def test_a_stream_that_breaks(client):
    words = []
    asked = client.messages.stream(model="chat", max_tokens=50, messages=user("@@MID"))
    with asked as stream, pytest.raises(Exception, match="incomplete chunked read"):
        words.extend(stream.text_stream)
    assert "".join(words) == "Hello world"
