"""Thinking of other models in a request of Anthropic's own form: it is left out, told as lost, and stops no answer."""

import json
from typing import Any

import pytest

from adapters.dialects import DIALECTS
from adapters.providers import CODECS
from pipeline.ports import Encoded
from pipeline.values.exchange import How, Loss
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.targets import ModelFacts, Provider, Target

CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]}
FOREIGN = {"type": "thinking", "thinking": "Hm.", "signature": ""}
OWN = {"type": "thinking", "thinking": "Hm.", "signature": "sealed"}
TEXT = {"type": "text", "text": "Hello."}
BUDGET = {"type": "enabled", "budget_tokens": 2000}
ADAPTIVE = {"type": "adaptive"}
THOUGHTS, THINKING = Loss("messages.thinking", How.DROPPED), Loss("thinking", How.DROPPED)


@pytest.mark.parametrize(
    ("said", "thinking", "sent", "expected", "losses"),
    [
        pytest.param(
            [FOREIGN, CALL], BUDGET, [CALL], None, (THOUGHTS, THINKING), id="calls of another model"
        ),
        pytest.param([CALL], BUDGET, [CALL], None, (THINKING,), id="calls of a model that did not think"),
        pytest.param(
            [FOREIGN, CALL], ADAPTIVE, [CALL], ADAPTIVE, (THOUGHTS,), id="a model that thinks as it likes"
        ),
        pytest.param([FOREIGN, TEXT], BUDGET, [TEXT], BUDGET, (THOUGHTS,), id="words of another model"),
        pytest.param("Hello.", BUDGET, "Hello.", BUDGET, (), id="words alone"),
        pytest.param([OWN, CALL], BUDGET, [OWN, CALL], BUDGET, (), id="its own thinking"),
    ],
)
def test_thinking_of_earlier_turns(said, thinking, sent, expected, losses):
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}, RESULT]
    body = {"model": "asked", "max_tokens": 4000, "messages": turns, "thinking": thinking}
    http = HttpRequest(
        "POST", "/v1/messages", {"content-type": "application/json"}, json.dumps(body).encode()
    )
    request = DIALECTS["/v1/messages"].read(http)
    assert isinstance(request, ChatRequest)
    provider = Provider("anthropic", "anthropic", "https://api.anthropic.com")
    encoded = CODECS["anthropic"].encode(request, Target(provider, ModelFacts("claude-sonnet-4-5")))
    assert isinstance(encoded, Encoded)
    found = json.loads(encoded.http.body)
    assert found["messages"][1]["content"] == sent
    assert (found.get("thinking"), encoded.losses) == (expected, losses)
