"""anthropic-python through the proxy, over each kind of provider."""

import base64
import json
import time
from collections.abc import Iterator

import anthropic
import httpx
import pytest

from tests import processes
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
[models.both]
targets = ["anthropic/claude-sonnet-4-5"]
"""
WEATHER = {
    "name": "get_weather",
    "description": "Weather for a city",
    "input_schema": {
        "type": "object",
        "required": ["city"],
        "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
    },
}
NOARGS = {"name": "noargs", "input_schema": {"type": "object", "properties": {}}}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
BUDGET = {"type": "enabled", "budget_tokens": 2000}


@pytest.fixture(scope="module", params=["openai", "anthropic", "ollama"])
def proxy(request: pytest.FixtureRequest, simulator: Process) -> Iterator[tuple[str, Process]]:
    config = MODELS if request.param == "anthropic" else MODELS.partition("[models.both]")[0]
    with processes.gateway(simulator, request.param, config) as running:
        yield request.param, running


@pytest.fixture(scope="module")
def client(proxy: tuple[str, Process]) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=proxy[1].url, api_key="x", max_retries=0) as found:
        yield found


def user(content):
    return [{"role": "user", "content": content}]


def said(client, stream, **asked):
    """The whole message, however it came."""
    asked = {"model": "chat", "max_tokens": 4000, "messages": user("hi"), **asked}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


@BOTH
def test_text(client, stream):
    message = said(client, stream, system="be kind", stop_sequences=["END"])
    assert [(block.type, block.text) for block in message.content] == [("text", "Hello world!")]
    assert (message.role, message.type, message.model) == ("assistant", "message", "chat")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 3)
    assert message.id.startswith("msg_")


def test_the_events_of_a_stream(client):
    events = client.messages.create(model="chat", max_tokens=99, messages=user("hi"), stream=True)
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


@BOTH
def test_an_answer_that_is_cut(client, stream):
    assert said(client, stream, max_tokens=2).stop_reason == "max_tokens"


@BOTH
def test_two_tools_in_one_turn(client, stream):
    message = said(client, stream, model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS])
    text, *calls = message.content
    assert text.text == "Calling."
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    assert message.stop_reason == "tool_use"


@BOTH
def test_a_whole_turn_with_tools(client, stream):
    first = said(client, stream, model="tools", messages=user("@@TOOL"), tools=[WEATHER])
    (call,) = first.content
    content = [{"type": "text", "text": "22"}]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": False}
    history = [*user("weather?"), {"role": "assistant", "content": first.content}, *user([result])]
    second = said(client, stream, model="tools", messages=history, tools=[WEATHER])
    assert second.content[0].text == "Hello world!"
    assert second.stop_reason == "end_turn"


@BOTH
def test_thinking(client, stream):
    message = said(client, stream, model="think", thinking=BUDGET)
    thought, text = message.content
    assert (thought.type, thought.thinking, text.text) == ("thinking", "Let me think.", "Hello world!")
    history = [*user("hi"), {"role": "assistant", "content": message.content}, *user("and?")]
    again = said(client, stream, model="think", thinking=BUDGET, messages=history)
    assert again.content[1].text == "Hello world!"


def test_thinking_of_claude_is_signed(client, proxy):
    thought, _ = said(client, True, model="think", thinking=BUDGET).content
    assert bool(thought.signature) == (proxy[0] == "anthropic")


@BOTH
def test_a_schema(client, stream):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    message = said(client, stream, model="chat", messages=user("json"), output_config=form)
    assert json.loads(message.content[0].text) == {"name": "x", "age": 3}


def test_a_picture(client, proxy):
    model = {"openai": "gpt-4o", "ollama": "gemma3", "anthropic": "chat"}[proxy[0]]
    assert said(client, False, model=model, messages=user([PICTURE, {"type": "text", "text": "?"}])).content


def test_counting(client):
    raw = client.messages.with_raw_response.count_tokens(model="chat", messages=user("x" * 400))
    assert raw.parse().input_tokens == 100
    assert raw.headers["x-token-count"] == "estimate"


@BOTH
@pytest.mark.parametrize(
    ("asked", "error", "kind"),
    [
        pytest.param({"model": "no-such-model-zz"}, anthropic.NotFoundError, "not_found_error", id="missing"),
        pytest.param({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", id="a bad field"),
        pytest.param(
            {"model": "basic", "thinking": BUDGET},
            anthropic.BadRequestError,
            "invalid_request_error",
            id="cannot think",
        ),
        pytest.param(
            {"messages": user("@@ERR400")}, anthropic.BadRequestError, "invalid_request_error", id="invalid"
        ),
        pytest.param(
            {"messages": user("@@ERR429")}, anthropic.RateLimitError, "rate_limit_error", id="limited"
        ),
        pytest.param({"messages": user("@@ERR500")}, anthropic.InternalServerError, "api_error", id="failed"),
        pytest.param(
            {"messages": user("@@ERR529")}, anthropic.InternalServerError, "overloaded_error", id="overloaded"
        ),
    ],
)
def test_errors(client, asked, error, kind, stream):
    with pytest.raises(error) as raised:
        said(client, stream, **asked)
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.body["error"]["message"]
    assert raised.value.request_id == raised.value.body["request_id"]


def test_an_error_in_the_middle_of_a_stream(client):
    text = ""
    with pytest.raises(anthropic.APIStatusError) as raised:
        for event in client.messages.create(model="chat", max_tokens=99, messages=user("@@MID"), stream=True):
            if event.type == "content_block_delta":
                text += event.delta.text
    assert text == "Hello world"
    assert raised.value.body["error"]["type"] == "api_error"


@pytest.mark.parametrize(("kind", "path"), [("openai", "/chat/completions"), ("anthropic", "/messages")])
def test_a_client_who_leaves_ends_the_call(kind, path):
    port = processes.free_port()
    slow = processes.app("simulate", "--port", str(port), "--delta-ms", "600", port=port)
    with slow as upstream, processes.gateway(upstream, kind, MODELS.partition("[models.both]")[0]) as running:

        def seen():
            calls = httpx.get(f"{upstream.url}/_sim/seen").json()
            return [call for call in calls if call["path"].endswith(path) and call["ended"]]

        with anthropic.Anthropic(base_url=running.url, api_key="x", max_retries=0) as client:
            events = client.messages.create(model="chat", max_tokens=99, messages=user("hi"), stream=True)
            assert next(event for event in events if event.type == "content_block_delta")
            events.close()
            end = time.monotonic() + 5
            while not seen() and time.monotonic() < end:
                time.sleep(0.02)
        (call,) = seen()
    assert call["left"]
    assert not call["whole"]


def test_a_claude_under_another_name_is_rendered_anew(client, proxy):
    if proxy[0] != "anthropic":
        pytest.skip("only there does this name lead to a Claude")
    message = said(
        client, True, model="both", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS], thinking=BUDGET
    )
    assert message.model == "both"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.content[0].signature
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "ok"} for block in message.content[2:]
    ]
    history = [*user("weather?"), {"role": "assistant", "content": message.content}, *user(results)]
    again = said(client, False, model="both", messages=history, tools=[WEATHER, NOARGS], thinking=BUDGET)
    assert again.content[-1].text == "Hello world!"
