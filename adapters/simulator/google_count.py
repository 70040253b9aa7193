"""Counting tokens as Google does, but by words: the same request always has the same number."""

from collections.abc import Mapping
from typing import Any

from adapters.simulator import google_rules as rules
from adapters.simulator.google_contents import words_in
from adapters.simulator.google_errors import Refusal, unknown_name
from pipeline.values.targets import ModelFacts


def counted(body: Mapping[str, Any], facts: ModelFacts) -> dict[str, Any] | Refusal:
    """The answer to `:countTokens`: of bare contents, or of a whole request that names its model."""
    if extra := sorted(body.keys() - {"contents", "generateContentRequest"}):
        return unknown_name(extra[0], "")
    asked = body.get("generateContentRequest", body)
    if "generateContentRequest" in body and asked.get("model") != f"models/{facts.name}":
        return Refusal(400, "* CountTokensRequest.generate_content_request.model: must match the model")
    if refusal := next(rules.generate_faults(asked, facts), None):
        return refusal
    tokens = 5 + len(words_in(asked).split()) + len(asked.get("tools", ()))
    return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
