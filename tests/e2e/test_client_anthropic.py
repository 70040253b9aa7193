"""anthropic-python through the proxy, over each kind of provider."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import anthropic
import httpx
import pytest
import trio

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


ADAPTIVE = {"type": "adaptive"}
# A name that leads there before any list of models has come.
CLAUDE = "claude-opus-4-6"
# Who counts tokens by itself, and what its simulator says of two words.
COUNTERS = {"anthropic": 10, "google": 7}


@pytest.fixture(scope="module", params=["openai", "anthropic", "google", "aws_bedrock", "ollama"])
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


def shown(message):
    """The blocks of a message without those in which signatures of other vendors travel."""
    return [block for block in message.content if block.type != "redacted_thinking"]


@BOTH
def test_text(client, stream):
    message = said(client, stream, system="be kind", stop_sequences=["END"])
    assert [(block.type, block.text) for block in shown(message)] == [("text", "Hello world!")]
    assert (message.role, message.type, message.model) == ("assistant", "message", "chat")
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (11, 3)
    assert message.id.startswith("msg_")


def test_the_events_of_a_stream(client):
    events = client.messages.create(model="chat", max_tokens=99, messages=user("hi"), stream=True)
    types = [event.type for event in events]
    assert types[:6] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
    ]
    # Gemini's signature is a block of its own.
    assert types[6:-2] in ([], ["content_block_start", "content_block_stop"])
    assert types[-2:] == ["message_delta", "message_stop"]


@BOTH
def test_an_answer_that_is_cut(client, stream):
    assert said(client, stream, max_tokens=2).stop_reason == "max_tokens"


@BOTH
def test_two_tools_in_one_turn(client, stream):
    message = said(client, stream, model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS])
    text, *calls = shown(message)
    assert text.text == "Calling."
    assert [(call.name, call.input) for call in calls] == [
        ("get_weather", {"city": "Paris", "n": 2}),
        ("noargs", {}),
    ]
    assert message.stop_reason == "tool_use"


@BOTH
def test_a_whole_turn_with_tools(client, stream):
    first = said(client, stream, model="tools", messages=user("@@TOOL"), tools=[WEATHER])
    (call,) = shown(first)
    content = [{"type": "text", "text": "22"}]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": content, "is_error": False}
    history = [*user("weather?"), {"role": "assistant", "content": first.content}, *user([result])]
    second = said(client, stream, model="tools", messages=history, tools=[WEATHER])
    assert shown(second)[0].text == "Hello world!"
    assert second.stop_reason == "end_turn"


@BOTH
def test_thinking(client, stream):
    message = said(client, stream, model="think", thinking=BUDGET)
    thought, text, *_ = message.content
    assert (thought.type, thought.thinking, text.text) == ("thinking", "Let me think.", "Hello world!")
    history = [*user("hi"), {"role": "assistant", "content": message.content}, *user("and?")]
    again = said(client, stream, model="think", thinking=BUDGET, messages=history)
    assert again.content[1].text == "Hello world!"


def test_thinking_of_claude_is_signed(client, proxy):
    thought, *_ = said(client, True, model="think", thinking=BUDGET).content
    assert bool(thought.signature) == (proxy[0] in ("anthropic", "aws_bedrock"))


@BOTH
@pytest.mark.parametrize("thinking", [BUDGET, ADAPTIVE], ids=["enabled", "adaptive"])
def test_a_model_that_cannot_think_answers_all_the_same(client, stream, thinking):
    message = said(client, stream, model="basic", thinking=thinking, output_config={"effort": "high"})
    assert [block.type for block in shown(message)] == ["text"]


def test_what_was_not_granted_is_told(client):
    asked = {"model": "basic", "max_tokens": 4000, "messages": user("hi"), "thinking": ADAPTIVE}
    raw = client.messages.with_raw_response.create(**asked)
    assert "thinking" in raw.headers["x-proxy-lossy"]
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(**asked, extra_headers={"X-Proxy-Strict": "true"})
    assert "thinking" in raised.value.message


@BOTH
def test_marks_of_a_cache_are_no_loss(client, stream):
    mark = {"cache_control": {"type": "ephemeral"}}
    system, words = ({"type": "text", "text": text, **mark} for text in ("be kind", "hi"))
    message = said(
        client, stream, system=[system], messages=user([words]), extra_headers={"X-Proxy-Strict": "true"}
    )
    assert message.content[0].text == "Hello world!"


@BOTH
def test_a_tool_that_failed(client, stream):
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "no such city", "is_error": True}
    history = [*user("weather?"), {"role": "assistant", "content": [call]}, *user([result])]
    assert said(client, stream, model="tools", messages=history, tools=[WEATHER]).content[0].text


@BOTH
def test_the_beta_namespace(client, stream):
    asked = {
        "model": "chat",
        "max_tokens": 99,
        "messages": user("hi"),
        "betas": ["context-management-2025-06-27"],
    }
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    if stream:
        with client.beta.messages.stream(**asked, context_management=edits) as events:
            message = events.get_final_message()
    else:
        message = client.beta.messages.create(**asked, context_management=edits)
    assert message.content[0].text == "Hello world!"


@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21", None])
def test_every_version_is_spoken(proxy, version):
    headers = {} if version is None else {"anthropic-version": version}
    asked = {"model": "chat", "max_tokens": 99, "messages": user("hi"), "temperature": 0.5}
    answer = httpx.post(f"{proxy[1].url}/v1/messages", json=asked, headers=headers)
    assert (answer.status_code, answer.json()["content"][0]["text"]) == (200, "Hello world!")


def test_no_other_version_is(proxy):
    asked = {"model": "chat", "max_tokens": 99, "messages": user("hi")}
    answer = httpx.post(
        f"{proxy[1].url}/v1/messages", json=asked, headers={"anthropic-version": "2020-01-01"}
    )
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_models(client):
    listed = list(client.models.list(limit=2))
    names = [model.id for model in listed]
    assert len(names) == len(set(names)) > 2, "page by page"
    assert listed[0].type == "model"
    assert listed[0].created_at.year >= 2024
    assert client.models.retrieve(names[0]).display_name == names[0]
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.models.retrieve("no-such-model-zz")
    assert raised.value.body["error"]["type"] == "not_found_error"


def test_batches_are_not_here(client):
    asked = {"custom_id": "a", "params": {"model": "chat", "max_tokens": 9, "messages": user("hi")}}
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.batches.create(requests=[asked])
    assert raised.value.body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list()


def test_a_key_may_come_as_a_bearer(proxy):
    with anthropic.Anthropic(base_url=proxy[1].url, auth_token="x", max_retries=0) as found:
        assert said(found, False).content[0].text == "Hello world!"


def test_the_async_client(proxy):
    async def text():
        async with anthropic.AsyncAnthropic(base_url=proxy[1].url, api_key="x", max_retries=0) as found:
            asked = {"model": "chat", "max_tokens": 99, "messages": user("hi")}
            async with found.messages.stream(**asked) as events:
                return "".join([piece async for piece in events.text_stream])

    assert trio.run(text) == "Hello world!"


@BOTH
def test_a_schema(client, stream):
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    message = said(client, stream, model="chat", messages=user("json"), output_config=form)
    assert json.loads(message.content[0].text) == {"name": "x", "age": 3}


def test_a_picture(client, proxy):
    model = {"openai": "gpt-4o", "ollama": "gemma3"}.get(proxy[0], "chat")
    assert said(client, False, model=model, messages=user([PICTURE, {"type": "text", "text": "?"}])).content


def test_counting(client, proxy):
    raw = client.messages.with_raw_response.count_tokens(model="chat", messages=user("x " * 200))
    counted = proxy[0] in COUNTERS
    assert raw.headers["x-token-count"] == ("provider" if counted else "estimate")
    assert raw.parse().input_tokens == (COUNTERS[proxy[0]] + 198 if counted else 108)


def test_counting_in_full(client):
    found = client.messages.count_tokens(
        model="tools",
        system=[{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}],
        messages=user("hi"),
        tools=[WEATHER],
        thinking=ADAPTIVE,
        tool_choice={"type": "auto"},
    )
    assert found.input_tokens > 5
    beta = client.beta.messages.count_tokens(model="chat", messages=user("hi"), betas=["x-1"])
    assert beta.input_tokens > 0


def test_nobodys_tokens_are_not_counted(client):
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.count_tokens(model="no-such-model-zz", messages=user("hi"))
    assert raised.value.body["error"]["message"] == "model 'no-such-model-zz' not found"


@BOTH
@pytest.mark.parametrize(
    ("asked", "error", "kind"),
    [
        pytest.param({"model": "no-such-model-zz"}, anthropic.NotFoundError, "not_found_error", id="missing"),
        pytest.param({"max_tokens": 0}, anthropic.BadRequestError, "invalid_request_error", id="a bad field"),
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
def test_errors(client, proxy, asked, error, kind, stream):
    if proxy[0] == "aws_bedrock" and kind == "overloaded_error":
        pytest.skip("Bedrock knows no such status")
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


@contextmanager
def slowly(kind, *delays):
    """A proxy before a slow upstream, and what calls of which path that upstream has seen."""
    port = processes.free_port()
    slow = processes.app("simulate", "--port", str(port), *delays, port=port)
    with slow as upstream, processes.gateway(upstream, kind, MODELS.partition("[models.both]")[0]) as running:

        def seen(path):
            calls = httpx.get(f"{upstream.url}/_sim/seen", timeout=30).json()
            return [call for call in calls if call["path"].endswith(path) and call["ended"]]

        # Until the upstream was asked for its models, or has been too slow with them, nothing is answered.
        httpx.get(f"{running.url}/health/live", timeout=30)
        with anthropic.Anthropic(base_url=running.url, api_key="x", max_retries=0, timeout=60) as client:
            yield client, seen


def in_time(found, limit_s=5):
    end = time.monotonic() + limit_s
    while not found() and time.monotonic() < end:
        time.sleep(0.02)
    return found()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("openai", "/chat/completions"),
        ("anthropic", "/messages"),
        ("google", ":streamGenerateContent?alt=sse"),
        ("aws_bedrock", "/converse-stream"),
    ],
)
def test_a_client_who_leaves_ends_the_call(kind, path):
    with slowly(kind, "--delta-ms", "600") as (client, seen):
        events = client.messages.create(model="chat", max_tokens=99, messages=user("hi"), stream=True)
        assert next(event for event in events if event.type == "content_block_delta")
        events.close()
        (call,) = in_time(lambda: seen(path))
    assert call["left"]
    assert not call["whole"]


def test_who_leaves_while_tokens_are_counted_ends_that_call():
    with slowly("anthropic", "--head-ms", "2500") as (client, seen):
        with pytest.raises(anthropic.APITimeoutError):
            client.with_options(timeout=0.5).messages.count_tokens(model=CLAUDE, messages=user("hi"))
        (call,) = in_time(lambda: seen("/count_tokens"))
    assert call["left"]
    assert call["ended"] - call["at"] < 2


def test_tokens_are_guessed_where_counting_takes_too_long():
    with slowly("anthropic", "--head-ms", "6000") as (client, _):
        raw = client.messages.with_raw_response.count_tokens(model=CLAUDE, messages=user("hi"))
        assert raw.headers["x-token-count"] == "estimate"


def test_pings_keep_a_silent_stream_alive():
    with slowly("anthropic", "--head-ms", "17000") as (client, _):
        asked = {"model": CLAUDE, "max_tokens": 99, "messages": user("hi"), "stream": True}
        with client.messages.with_streaming_response.create(**asked) as answer:
            lines = list(answer.iter_lines())
        named = [line for line in lines if line.startswith("event: ")]
        assert named[0] == "event: ping"
        assert named[-1] == "event: message_stop"


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
