"""The tokens of a request to Bedrock, counted for models of Anthropic's alone.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html (2026-11).
"""

import re

from attrs import evolve

from adapters.providers.bedrock_request import encode, http_of
from adapters.providers.replies import count as number
from adapters.providers.replies import parsed
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest
from pipeline.values.problems import Problem
from pipeline.values.targets import Target

# A profile cannot be asked, the model behind it can.
_COUNTING = re.compile(r"(?:[a-z-]+\.)?(anthropic\.claude-.+)")
_COUNTED = frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"})


def count(request: ChatRequest, target: Target) -> HttpRequest | None:
    """`Codec.count`."""
    found = _COUNTING.fullmatch(target.model)
    encoded = encode(evolve(request, stream=False), target) if found else None
    if found is None or encoded is None or isinstance(encoded, Problem):
        return None
    told = {name: value for name, value in parsed(encoded.http.body).items() if name in _COUNTED}
    model = evolve(target, facts=evolve(target.facts, name=found[1]))
    return http_of(model, "count-tokens", {"input": {"converse": told}}, "application/json")


def counted(body: bytes) -> int | None:
    """`Codec.counted`."""
    document = parsed(body)
    return number(document.get("inputTokens")) or None if isinstance(document, dict) else None
