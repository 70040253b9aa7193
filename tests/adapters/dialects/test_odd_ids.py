"""Ids of tool calls that are none, as a client may send anything."""

import pytest

from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Problem
from tests.adapters.dialects.calls import read


@pytest.mark.parametrize("odd", [{}, [], {"a": 1}, 1, None, True])
def test_an_id_that_is_no_text_is_no_bug(odd):
    call = {"id": odd, "function": {"name": "f", "arguments": {}}}
    turns = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    assert isinstance(read("/api/chat", {"model": "m", "messages": turns}), ChatRequest | Problem)
