"""Counting tokens as Anthropic does, but by words: the same request always has the same number."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from adapters.simulator import anthropic_rules as rules
from adapters.simulator.anthropic_errors import Refusal, missing, unknown
from adapters.simulator.anthropic_messages import conversation_faults, system_text, text_of
from adapters.simulator.anthropic_reply import headers_for, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

FIELDS = frozenset(
    {
        *("cache_control", "messages", "model", "output_config", "output_format", "speed", "system"),
        *("thinking", "tool_choice", "tools"),
    }
)


def faults(body: Mapping[str, Any]) -> Iterator[Refusal]:
    """What is refused before the model is looked for."""
    for name in ("model", "messages"):
        if body.get(name) is None:
            yield missing(name)
    if extra := sorted(body.keys() - FIELDS):
        yield unknown(extra[0])


def counted(body: Mapping[str, Any], facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """The count of a request to a model that is there."""
    abilities = facts.capabilities or frozenset()
    prefills = rules.ADAPTIVE.match(facts.name) is None and not rules.thinking_on(body, facts)
    if refusal := next(conversation_faults(body["messages"], "vision" in abilities, prefills), None):
        return refuse(refusal, request, scenario)
    words = " ".join([*map(text_of, body["messages"]), system_text(body.get("system"))]).split()
    tools = orjson.dumps(body.get("tools") or []).split(b",")
    tokens = 7 + len(words) + len(tools)
    headers = {
        "content-type": "application/json",
        "request-id": headers_for(request, scenario)["request-id"],
    }
    return whole(200, headers, orjson.dumps({"input_tokens": tokens}), scenario.head_s)
