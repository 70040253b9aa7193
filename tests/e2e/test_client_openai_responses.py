"""openai-python's Responses through the proxy: over OpenAI in both its forms, over Anthropic and over Ollama."""

import json

import openai
import pytest

from tests.e2e.test_clients import PIXEL
from tests.processes import Process

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather for a city",
    "strict": False,
    "parameters": {
        "type": "object",
        "required": ["city"],
        "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    },
}
NOARGS = {"type": "function", "name": "noargs", "parameters": {"type": "object", "properties": {}}}
# By kind of provider the names of a model that talks, of one that calls tools, of one that thinks. OpenAI's own models are
# asked for responses, all others for chats.
NAMES = ("chat", "tools", "think")
MODELS = {
    "openai": NAMES,
    "responses": ("gpt-4o", "gpt-4o", "o4-mini"),
    **dict.fromkeys(("anthropic", "google", "aws_bedrock", "ollama"), NAMES),
}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


@pytest.fixture(scope="module", params=MODELS)
def provider(request, over_kind):
    """The proxy over one kind of provider, and its models."""
    kind = "openai" if request.param == "responses" else request.param
    return over_kind(kind).url, MODELS[request.param]


@pytest.fixture(scope="module")
def client(provider):
    with openai.OpenAI(base_url=f"{provider[0]}/v1", api_key="x", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def chat(provider):
    return provider[1][0]


@pytest.fixture(scope="module")
def tools(provider):
    return provider[1][1]


@pytest.fixture(scope="module")
def think(provider):
    return provider[1][2]


def test_a_text(client, chat):
    reply = client.responses.create(model=chat, input="hi", instructions="be kind", metadata={"a": "b"})
    assert reply.output_text == "Hello world!"
    assert (reply.status, reply.store, reply.instructions) == ("completed", False, "be kind")
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (11, 3, 14)


def test_a_stream(client, chat):
    events = list(client.responses.create(model=chat, input="hi", stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "Hello world!"
    assert len(deltas) >= 2
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "Hello world!"
    assert events[-1].response.usage.total_tokens == 14


def test_the_streaming_helper(client, chat):
    with client.responses.stream(model=chat, input="hi") as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        reply = stream.get_final_response()
    assert snapshots[-1] == "Hello world!"
    assert reply.output_text == "Hello world!"


@pytest.mark.parametrize("helper", [False, True], ids=["whole", "streamed"])
def test_tools_and_their_results(client, tools, helper):
    """The loop of OpenAI's own documentation: what came out goes in again."""
    asked = {"model": tools, "tools": [WEATHER, NOARGS]}
    conversation = [{"role": "user", "content": "@@TOOL2"}]
    if helper:
        with client.responses.stream(input=conversation, **asked) as stream:
            reply = stream.get_final_response()
    else:
        reply = client.responses.create(input=conversation, **asked)
    calls = [item for item in reply.output if item.type == "function_call"]
    assert [(call.name, call.arguments.replace(" ", "")) for call in calls] == [
        ("get_weather", '{"city":"Paris","n":2}'),
        ("noargs", "{}"),
    ]
    conversation = [{"role": "user", "content": "weather?"}, *reply.output]
    conversation += [
        {"type": "function_call_output", "call_id": call.call_id, "output": "22"} for call in calls
    ]
    assert client.responses.create(input=conversation, **asked).output_text == "Hello world!"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking(client, think, stream):
    asked = {"model": think, "input": "hi", "reasoning": {"effort": "high", "summary": "auto"}}
    if stream:
        events = list(client.responses.create(stream=True, **asked))
        deltas = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
        assert "".join(deltas) == "Let me think."
        reply = events[-1].response
    else:
        reply = client.responses.create(**asked)
    # What a vendor wants back of its thinking may come behind the answer.
    thought, message, *sealed = reply.output
    assert (thought.type, thought.summary[0].text, message.type) == ("reasoning", "Let me think.", "message")
    assert reply.output_text == "Hello world!"
    assert all(item.type == "reasoning" and item.encrypted_content for item in sealed)


def test_thinking_goes_round(client, think):
    asked = {"model": think, "reasoning": {"effort": "low", "summary": "auto"}}
    first = client.responses.create(input="hi", **asked)
    again = [{"role": "user", "content": "hi"}, *first.output, {"role": "user", "content": "more"}]
    assert client.responses.create(input=again, **asked).output_text == "Hello world!"


def test_a_schema(client, chat):
    form = {"type": "json_schema", "name": "person", "schema": SCHEMA}
    reply = client.responses.create(model=chat, input="json", text={"format": form})
    assert json.loads(reply.output_text) == {"name": "x", "age": 3}


def test_an_answer_that_is_cut(client, chat):
    reply = client.responses.create(model=chat, input="hi", max_output_tokens=16 if "gpt" in chat else 2)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        pytest.param({"model": "no-such-model-zz"}, openai.NotFoundError, None, id="missing"),
        pytest.param({"store": True}, openai.BadRequestError, "store", id="to be stored"),
        pytest.param(
            {"previous_response_id": "resp_1"}, openai.BadRequestError, "previous_response_id", id="stored"
        ),
        pytest.param({"tool_choice": "some"}, openai.BadRequestError, "tool_choice", id="a bad field"),
        pytest.param({"input": "@@ERR400"}, openai.BadRequestError, None, id="invalid"),
        pytest.param({"input": "@@ERR429"}, openai.RateLimitError, None, id="limited"),
        pytest.param({"input": "@@ERR500"}, openai.InternalServerError, None, id="broken"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_errors(client, chat, fields, error, param, stream):
    with pytest.raises(error) as caught:
        client.responses.create(**{"model": chat, "input": "hi", "stream": stream, **fields})
    assert caught.value.body["message"]
    assert caught.value.body["param"] == param


def test_an_error_in_the_middle_of_a_stream(client, chat):
    text = ""
    with pytest.raises(openai.APIError):
        for event in client.responses.create(model=chat, input="@@MID", stream=True):
            text += event.delta if event.type == "response.output_text.delta" else ""
    assert text == "Hello world"


def test_a_client_that_leaves(client, chat):
    with client.responses.create(model=chat, input="hi", stream=True) as stream:
        assert next(iter(stream)).type == "response.created"
    assert client.responses.create(model=chat, input="hi").output_text == "Hello world!"


def test_a_picture(over_openai: Process):
    part = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    turn = {"role": "user", "content": [{"type": "input_text", "text": "what?"}, part]}
    with openai.OpenAI(base_url=f"{over_openai.url}/v1", api_key="x") as client:
        assert client.responses.create(model="gpt-4o", input=[turn]).output_text == "Hello world!"
