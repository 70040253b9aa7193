"""Thinking of earlier turns in a chat of OpenAI's form: who takes it back, and who refuses a word about it."""

import json
from typing import Any

import pytest
from attrs import evolve

from adapters.providers import CODECS
from pipeline.ports import Encoded
from pipeline.values.exchange import How, Loss
from pipeline.values.messages import ChatRequest, Message, Role, Source, Text
from pipeline.values.targets import ModelFacts, Provider, Target

ASK = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),))
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1"}
USER: dict[str, Any] = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "Hello."}
LOST = (Loss("messages.thinking", How.DROPPED),)


def sent(
    kind: str, model: str, messages: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], tuple[Loss, ...]]:
    request = evolve(ASK, source=Source("openai.chat", {"model": "asked", "messages": messages, "n": 1}))
    encoded = CODECS[kind].encode(
        request, Target(Provider("p", kind, "https://p.example"), ModelFacts(model))
    )
    assert isinstance(encoded, Encoded)
    body = json.loads(encoded.http.body)
    assert body["n"] == 1
    return body["messages"], encoded.losses


@pytest.mark.parametrize("kind", ["openai", "azure"])
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5-mini", "o4-mini"])
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param({**SAID, "reasoning_content": "Hm."}, SAID, id="words of thinking"),
        pytest.param({**SAID, "reasoning": "Hm.", "reasoning_details": [DETAIL]}, SAID, id="with its seal"),
        pytest.param(
            {"role": "assistant", "reasoning_content": "Hm.", "tool_calls": [CALL]},
            {"role": "assistant", "tool_calls": [CALL]},
            id="before a call",
        ),
        pytest.param(
            {"role": "assistant", "reasoning_content": "Hm."},
            {"role": "assistant", "content": ""},
            id="nothing but thinking",
        ),
    ],
)
def test_openai_is_not_given_thinking_back_in_a_chat(kind, model, told, expected):
    assert sent(kind, model, [USER, told, USER]) == ([USER, expected, USER], LOST)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        pytest.param("openai", "deepseek-reasoner", id="a server of somebody else"),
        pytest.param("openai", "openai/gpt-4o", id="a gateway"),
        pytest.param("openrouter", "openai/gpt-5-mini", id="OpenRouter"),
    ],
)
def test_others_are_given_it_as_the_client_has_it(kind, model):
    told = {**SAID, "reasoning_content": "Hm.", "reasoning_details": [DETAIL]}
    assert sent(kind, model, [USER, told]) == ([USER, told], ())


def test_without_any_all_goes_out_as_it_came():
    assert sent("openai", "gpt-4.1", [USER, SAID]) == ([USER, SAID], ())
