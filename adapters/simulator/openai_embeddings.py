"""OpenAI's `/embeddings`: vectors as numbers or as base64 of little-endian single precision."""

import base64
import struct
from typing import Any

from adapters.simulator.openai_errors import by_status
from adapters.simulator.openai_rules import Body
from adapters.simulator.openai_sheet import headers_for, pretty, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Input
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts


def embed(body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    script = scenario.act(Ask(embed=_inputs(body["input"])))
    if script.status is not None:
        return refuse(by_status(script.status), request, scenario)
    size, coded = body.get("dimensions"), body.get("encoding_format") == "base64"
    vectors = [vector[:size] for vector in script.vectors]
    prompt, _ = script.tokens
    document = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if coded else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": scenario.snapshots.get(body["model"], body["model"]),
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt},
    }
    return whole(200, headers_for(request, scenario), pretty(document), scenario.head_s)


def _inputs(given: Any) -> tuple[Input, ...]:
    """The texts or token lists of an embedding request, whatever form it has."""
    if isinstance(given, str):
        return (given,)
    if all(isinstance(token, int) for token in given):
        return (tuple(given),)
    return tuple(text if isinstance(text, str) else tuple(text) for text in given)


def _base64(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
