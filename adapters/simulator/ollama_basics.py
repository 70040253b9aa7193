"""What all Ollama answers share: content types, refusals, names and timestamps."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from adapters.simulator import ollama_rules as rules
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.targets import ModelFacts

PROVIDER = "ollama"
JSON = {"content-type": "application/json; charset=utf-8"}
TEXT = {"content-type": "text/plain; charset=utf-8"}
LOAD_NS, PROMPT_NS, TOKEN_NS = 1_500_000, 15_000_000, 11_000_000


def refuse(refusal: rules.Refusal, scenario: Scenario) -> Played:
    """An error answer."""
    return whole(refusal.status, JSON, orjson.dumps({"error": refusal.error}), scenario.head_s)


def found(body: rules.Body, scenario: Scenario) -> ModelFacts | None:
    """The model that is meant: case does not count, nor a missing `:latest`."""
    wanted = rules.full_name(body["model"].strip())
    offered = scenario.models.get(PROVIDER, ())
    return next((facts for facts in offered if rules.full_name(facts.name) == wanted), None)


def stamp(epoch: float) -> str:
    """RFC 3339 in UTC, fraction digits without trailing zeros."""
    moment = datetime.fromtimestamp(epoch, UTC)
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if fraction else ''}Z"


def told(document: Mapping[str, Any], scenario: Scenario) -> Played:
    """A document, told as it is."""
    return whole(200, JSON, orjson.dumps(document), scenario.head_s)
