"""Counting tokens as Bedrock does, but by words: the same request always has the same number."""

from collections.abc import Mapping
from typing import Any

import orjson

from adapters.simulator import bedrock_errors as errors
from adapters.simulator import bedrock_rules as rules
from adapters.simulator.bedrock_converse import headers_for, refuse
from adapters.simulator.bedrock_messages import text_of
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

FIELDS = frozenset({"additionalModelRequestFields", "messages", "system", "toolConfig"})
NOT_COUNTED = errors.Refusal(400, "The provided model doesn't support counting tokens.")


def counted(body: Mapping[str, Any], facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """The answer to CountTokens."""
    if not facts.name.startswith("anthropic."):
        return refuse(NOT_COUNTED, request, scenario)
    given = body.get("input")
    asked = given.get("converse") if isinstance(given, dict) else None
    if not isinstance(asked, dict) or body.keys() != {"input"}:
        return refuse(errors.malformed("#: required key [input] not found"), request, scenario)
    if extra := sorted(asked.keys() - FIELDS):
        return refuse(errors.malformed(f"extraneous key [{extra[0]}] is not permitted"), request, scenario)
    if refusal := next(rules.converse_faults(asked, facts), None):
        return refuse(refusal, request, scenario)
    words = [text_of(message["content"]) for message in asked["messages"]]
    words += [block.get("text", "") for block in asked.get("system", ())]
    tokens = 6 + len(" ".join(words).split()) + len(asked.get("toolConfig", {}).get("tools", ()))
    return whole(200, headers_for(request), orjson.dumps({"inputTokens": tokens}), scenario.head_s)
