"""LiteLLM through the proxy, over each kind of provider: its `ollama/` and `ollama_chat/` on /api, its `openai/` on /v1."""

import gc
import os

import pytest

# Else it fetches a list of prices from the network as it is imported.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
import litellm

# It never closes its connections, and its own code is what most warnings are about.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def connections():
    """What is left open is gone before the tests of others begin."""
    yield
    gc.collect()


WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather for a city",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
        },
    },
}
NOARGS = {
    "type": "function",
    "function": {"name": "noargs", "parameters": {"type": "object", "properties": {}}},
}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
EACH = pytest.mark.parametrize("provider", ["ollama", "ollama_chat", "openai"])
TALKS = pytest.mark.parametrize("provider", ["ollama_chat", "openai"])


def user(text):
    return [{"role": "user", "content": text}]


def asked(over, provider, model, messages, **options):
    """A call. Tools would first be looked through for servers of MCP, which needs a package that is none of LiteLLM's own."""
    at = over.url if provider.startswith("ollama") else f"{over.url}/v1"
    return litellm.completion(
        model=f"{provider}/{model}",
        messages=messages,
        api_base=at,
        api_key="unused",
        num_retries=0,
        max_retries=0,
        _skip_mcp_handler=True,
        **options,
    )


@EACH
def test_completion(over, provider):
    reply = asked(over, provider, "chat", user("hi"), max_tokens=100)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("Hello world!", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (11, 3)


@EACH
def test_a_stream(over, provider):
    chunks = list(asked(over, provider, "chat", user("hi"), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello world!"
    assert chunks[-1].choices[0].finish_reason == "stop"


@TALKS
def test_a_turn_with_tools(over, provider):
    first = asked(over, provider, "tools", user("@@TOOL2"), tools=[WEATHER, NOARGS]).choices[0]
    calls = first.message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "noargs"]
    assert first.finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "22"} for call in calls]
    # What LiteLLM adds to a message of its own is nothing that it takes out again.
    said = first.message.model_dump(include={"role", "content", "tool_calls"})
    history = [*user("weather?"), said, *results]
    second = asked(over, provider, "tools", history, tools=[WEATHER, NOARGS]).choices[0]
    assert second.message.content == "Hello world!"


@TALKS
def test_tools_in_a_stream(over, provider):
    chunks = asked(over, provider, "tools", user("@@TOOL"), tools=[WEATHER], stream=True)
    whole = litellm.stream_chunk_builder(list(chunks)).choices[0].message
    (call,) = whole.tool_calls
    assert call.function.name == "get_weather"
    assert call.function.arguments.replace(" ", "") == '{"city":"Paris","n":2}'


@EACH
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_thinking(over, provider, stream):
    options = {"reasoning_effort": "low", "allowed_openai_params": ["reasoning_effort"]}
    reply = asked(over, provider, "think", user("hi"), stream=stream, **options)
    if stream:
        reply = litellm.stream_chunk_builder(list(reply))
    message = reply.choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me think.", "Hello world!")


@EACH
def test_a_schema(over, provider):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
    reply = asked(over, provider, "chat", user("json"), response_format=form)
    assert reply.choices[0].message.content.replace(" ", "") == '{"name":"x","age":3}'


@EACH
@pytest.mark.parametrize(
    ("model", "text", "error"),
    [
        pytest.param("no-such-model-zz", "hi", litellm.NotFoundError, id="a missing model"),
        pytest.param("chat", "@@ERR400", litellm.BadRequestError, id="a request that is called invalid"),
        pytest.param("chat", "@@ERR429", litellm.RateLimitError, id="too many requests"),
    ],
)
def test_errors(over, provider, model, text, error):
    with pytest.raises(error):
        asked(over, provider, model, user(text))


@pytest.mark.parametrize(("model", "able"), [("tools", True), ("basic", False)])
def test_whether_a_model_takes_tools(over, model, able):
    found = litellm.get_model_info(f"ollama_chat/{model}", api_base=over.url)
    assert found["supports_function_calling"] is able


@pytest.mark.parametrize("provider", ["ollama", "openai"])
def test_embeddings(over, provider):
    at = over.url if provider == "ollama" else f"{over.url}/v1"
    options = {"model": f"{provider}/embed", "input": ["a"], "api_base": at, "api_key": "unused"}
    if over.embeds:
        (found,) = litellm.embedding(**options).data
        assert sum(x * x for x in found["embedding"]) == pytest.approx(1)
    else:
        with pytest.raises(litellm.BadRequestError):
            litellm.embedding(**options)
