"""Google's own SDK, over a socket, against the fake Google."""

from collections.abc import Iterator

import pytest
from google import genai
from google.genai import errors, types

from adapters.simulator.demo import standard_scenario
from tests.adapters.simulator.test_server import serving

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
DECLARED = [
    types.FunctionDeclaration(name="get_weather", description="weather", parameters_json_schema=SCHEMA),
    types.FunctionDeclaration(name="noargs"),
]
TOOLS = [types.Tool(function_declarations=DECLARED)]


@pytest.fixture(scope="module")
def client() -> Iterator[genai.Client]:
    with serving(standard_scenario()) as server:
        options = types.HttpOptions(base_url=f"{server.url}/google", api_version="v1beta")
        with genai.Client(api_key="sim-key", http_options=options) as found:
            yield found


def test_text(client):
    reply = client.models.generate_content(model="chat", contents="hi")
    assert reply.text == "Hello world!"
    assert reply.candidates[0].finish_reason == types.FinishReason.STOP
    usage = reply.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count) == (11, 3, 14)


def test_a_stream(client):
    chunks = list(client.models.generate_content_stream(model="chat", contents="hi"))
    assert [chunk.text for chunk in chunks][:3] == ["Hello", " world", "!"]
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_thinking(client):
    config = types.GenerateContentConfig(
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level="low")
    )
    reply = client.models.generate_content(model="think", contents="hi", config=config)
    parts = reply.candidates[0].content.parts
    assert [(part.text, part.thought) for part in parts[:2]] == [
        ("Let me think.", True),
        ("Hello world!", None),
    ]
    assert reply.usage_metadata.thoughts_token_count == 2


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_tools(client, stream):
    config = types.GenerateContentConfig(
        tools=TOOLS, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    asked = {"model": "tools", "contents": "@@TOOL2", "config": config}
    ask = client.models.generate_content_stream if stream else client.models.generate_content
    replies = list(ask(**asked)) if stream else [ask(**asked)]
    calls = [call for reply in replies for call in reply.function_calls or ()]
    assert [(call.name, call.args) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]


def test_a_whole_turn_with_tools(client):
    config = types.GenerateContentConfig(
        tools=TOOLS, automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True)
    )
    question = types.UserContent("@@TOOL")
    first = client.models.generate_content(model="tools", contents=[question], config=config)
    (call,) = first.function_calls
    answer = types.Part.from_function_response(name=call.name, response={"result": 22})
    history = [
        question,
        first.candidates[0].content,
        types.UserContent([answer]),
        types.ModelContent("22"),
        types.UserContent("so?"),
    ]
    assert (
        client.models.generate_content(model="tools", contents=history, config=config).text == "Hello world!"
    )


def test_a_schema(client):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
    reply = client.models.generate_content(model="chat", contents="json", config=config)
    assert reply.parsed == {"name": "x", "age": 3}


def test_embeddings(client):
    reply = client.models.embed_content(model="embed", contents=["a", "b"])
    assert [entry.values for entry in reply.embeddings] == [[3, 4, 12, 0]] * 2


def test_models(client):
    names = {model.name for model in client.models.list()}
    assert {"models/chat", "models/gemini-2.5-flash"} <= names


@pytest.mark.parametrize(
    ("model", "text", "code", "status"),
    [
        pytest.param("nope", "hi", 404, "NOT_FOUND", id="no such model"),
        pytest.param("chat", "@@ERR429", 429, "RESOURCE_EXHAUSTED", id="a limit"),
        pytest.param("chat", "@@ERR500", 500, "INTERNAL", id="a failure"),
    ],
)
def test_errors(client, model, text, code, status):
    with pytest.raises(errors.APIError) as raised:
        client.models.generate_content(model=model, contents=text)
    assert (raised.value.code, raised.value.status) == (code, status)
