"""Requests that have the provider keep something or do something by itself are known as such in every language."""

import pytest

from adapters.dialects import dialect_at
from pipeline.values.messages import EmbedRequest, LoadRequest
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import post

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GOOGLE = "/v1beta/models/m:generateContent"
HI = [{"role": "user", "content": "hi"}]
SAID = {
    CHAT: {"messages": HI},
    "/v1/completions": {"prompt": "hi"},
    RESPONSES: {"input": "hi"},
    MESSAGES: {"messages": HI, "max_tokens": 9},
    GOOGLE: {"contents": [{"parts": [{"text": "hi"}]}]},
    "/api/chat": {"messages": HI},
    "/api/generate": {"prompt": "hi"},
}
FUNCTION = {"type": "function", "function": {"name": "f"}}
FLAT = {"type": "function", "name": "f"}
OWN = {"name": "f", "input_schema": {}}


def read(path, **fields):
    model = {} if path == GOOGLE else {"model": "m"}
    return dialect_at(path).read(post(path, {**model, **SAID[path], **fields}))


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        pytest.param(CHAT, {"store": True}, id="openai: an answer is kept"),
        pytest.param(CHAT, {"web_search_options": {}}, id="openai: the web is searched"),
        pytest.param(CHAT, {"tools": [FUNCTION, {"type": "mcp"}]}, id="openai: a server of tools"),
        pytest.param(CHAT, {"plugins": [{"id": "web"}]}, id="openai: a router's plugin"),
        pytest.param(CHAT, {"data_sources": [{"type": "index"}]}, id="openai: the cloud's own data"),
        pytest.param(RESPONSES, {"tools": [{"type": "web_search"}]}, id="responses: the web is searched"),
        pytest.param(
            RESPONSES,
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
            id="responses: code is run",
        ),
        pytest.param(
            RESPONSES,
            {"tools": [FLAT, {"type": "mcp", "server_url": "https://x"}]},
            id="responses: a server of tools",
        ),
        pytest.param(RESPONSES, {"prompt": {"id": "pmpt_1"}}, id="responses: a prompt that is kept there"),
        pytest.param(
            MESSAGES,
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            id="anthropic: the web is searched",
        ),
        pytest.param(
            MESSAGES,
            {"tools": [OWN, {"type": "code_execution_20250825", "name": "code_execution"}]},
            id="anthropic: code is run",
        ),
        pytest.param(MESSAGES, {"mcp_servers": [{"type": "url"}]}, id="anthropic: a server of tools"),
        pytest.param(MESSAGES, {"container": "c1"}, id="anthropic: a container that was used before"),
        pytest.param(GOOGLE, {"tools": [{"googleSearch": {}}]}, id="google: the web is searched"),
        pytest.param(
            GOOGLE, {"tools": [{"code_execution": {}}]}, id="google: code is run, by its other name"
        ),
        pytest.param(GOOGLE, {"store": True}, id="google: an answer is kept"),
    ],
)
def test_what_is_left_to_the_provider(path, fields):
    request = read(path, **fields)
    assert request.stateful
    assert request.rewritten(stream=True).stateful, "a stage that rewrites it changes nothing of that"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        *[pytest.param(path, {}, id=f"{path}: a question") for path in SAID],
        pytest.param(CHAT, {"store": False}, id="openai: nothing is kept"),
        pytest.param(CHAT, {"tools": [FUNCTION]}, id="openai: functions"),
        pytest.param(
            CHAT,
            {"tools": [FUNCTION, {"type": "custom", "custom": {"name": "c"}}]},
            id="openai: tools that take any text",
        ),
        pytest.param(CHAT, {"stream_options": {}, "metadata": {}}, id="openai: fields nobody else knows"),
        pytest.param(RESPONSES, {"store": False, "tools": [FLAT]}, id="responses: functions"),
        pytest.param(RESPONSES, {"tools": [{"type": "local_shell"}]}, id="responses: the client's own shell"),
        pytest.param(MESSAGES, {"tools": [OWN]}, id="anthropic: functions"),
        pytest.param(
            MESSAGES,
            {"tools": [{"type": "bash_20250124", "name": "bash"}]},
            id="anthropic: the client's own shell",
        ),
        pytest.param(GOOGLE, {"tools": [{"functionDeclarations": [{"name": "f"}]}]}, id="google: functions"),
        pytest.param(GOOGLE, {"tools": [{"computerUse": {}}]}, id="google: the client's own computer"),
        pytest.param(
            GOOGLE, {"cachedContent": "cachedContents/1"}, id="google: what was kept before is read"
        ),
        pytest.param(
            "/api/chat",
            {"tools": [FUNCTION], "keep_alive": "5m"},
            id="ollama: functions, and a model kept ready",
        ),
    ],
)
def test_what_is_not(path, fields):
    assert not read(path, **fields).stateful


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"store": True}, id="an answer is kept"),
        pytest.param({"previous_response_id": "resp_1"}, id="one goes on with it"),
        pytest.param({"conversation": "conv_1"}, id="a conversation"),
        pytest.param({"background": True}, id="an answer that nobody waits for"),
    ],
)
def test_what_would_need_a_store_of_ours_reaches_no_provider(fields):
    refused = read(RESPONSES, **fields)
    assert isinstance(refused, Problem)
    assert refused.kind is Kind.BAD_REQUEST


def test_other_operations():
    assert LoadRequest("m").stateful
    assert not EmbedRequest("m", ("hi",)).stateful
