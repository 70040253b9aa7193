"""Ollama's two embedding routes: `/api/embed` scales each vector to length 1, the older `/api/embeddings` does not."""

import math
import struct
from collections.abc import Iterator
from typing import Any

import orjson

from adapters.simulator import ollama_rules as rules
from adapters.simulator.ollama_basics import JSON, LOAD_NS, PROMPT_NS, found, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Script
from pipeline.values.http import HttpRequest


def embed(request: HttpRequest, scenario: Scenario) -> Played:
    body = rules.read(request.body)
    if isinstance(body, rules.Refusal):
        return refuse(body, scenario)
    given = body.get("input")
    refusal = next(_embed_faults(body, given), None)
    if refusal:
        return refuse(refusal, scenario)
    if found(body, scenario) is None:
        return refuse(_not_pulled(body), scenario)
    texts = tuple(given) if isinstance(given, list) else (given,) if given else ()
    if not texts:
        return whole(200, JSON, orjson.dumps({"model": body["model"], "embeddings": []}), scenario.head_s)
    script = scenario.act(Ask(embed=texts))
    if script.status is not None:
        return refuse(rules.by_status(script.status), scenario)
    document = {
        "model": body["model"],
        "embeddings": [_unit(vector, body.get("dimensions", 0)) for vector in script.vectors],
        "total_duration": LOAD_NS + PROMPT_NS,
        "load_duration": LOAD_NS,
        "prompt_eval_count": script.usage.input,
    }
    return whole(200, JSON, orjson.dumps(document), scenario.head_s)


def _embed_faults(body: rules.Body, given: Any) -> Iterator[rules.Refusal]:
    yield from rules.type_faults(body, "EmbedRequest")
    yield from rules.embed_input_faults(given)
    yield from rules.name_faults(body, rules.Refusal(404, "model '' not found"))
    yield from rules.option_faults(body)


def _not_pulled(body: rules.Body) -> rules.Refusal:
    return rules.Refusal(404, f'model "{body["model"]}" not found, try pulling it first')


def _unit(vector: tuple[float, ...], size: int) -> list[float]:
    """The vector at length 1, cut to `size` before if that makes it shorter."""
    kept = vector[:size] if 0 < size < len(vector) else vector
    length = math.sqrt(sum(value * value for value in kept)) or 1.0
    return [_shortest(_single(value / length)) for value in kept]


def _single(value: float) -> float:
    """The value in single precision."""
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


def _shortest(value: float) -> float:
    """In the fewest digits that tell a single-precision number from its neighbours."""
    return next(short for digits in range(6, 10) if _single(short := float(f"{value:.{digits}g}")) == value)


def embeddings(request: HttpRequest, scenario: Scenario) -> Played:
    body = rules.read(request.body)
    if isinstance(body, rules.Refusal):
        return refuse(body, scenario)
    refusal = next(_legacy_faults(body), None)
    if refusal:
        return refuse(refusal, scenario)
    if found(body, scenario) is None:
        return refuse(_not_pulled(body), scenario)
    script = scenario.act(Ask(embed=(body["prompt"],))) if body.get("prompt") else Script(vectors=((),))
    if script.status is not None:
        return refuse(rules.by_status(script.status), scenario)
    return whole(200, JSON, orjson.dumps({"embedding": script.vectors[0]}), scenario.head_s)


def _legacy_faults(body: rules.Body) -> Iterator[rules.Refusal]:
    yield from rules.type_faults(body, "EmbeddingRequest")
    yield from rules.name_faults(body, rules.Refusal(400, "model is required"))
    yield from rules.option_faults(body)
