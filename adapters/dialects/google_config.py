"""`generationConfig` of Google's routes: sampling, the form of the answer, and thinking."""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from adapters.dialects.fields import Fields
from adapters.dialects.google_fields import number, whole, word
from adapters.dialects.google_schemas import json_schema
from pipeline.values.messages import Effort, Format, Sampling, Thinking

LEVELS: Mapping[str, Effort] = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}
JSON, PLAIN = "application/json", "text/plain"
SCHEMAS = ("responseSchema", "responseJsonSchema")
# Fields that the canonical form always holds whole.
HELD = frozenset(
    {
        *("temperature", "topP", "topK", "maxOutputTokens", "stopSequences", "seed", "thinkingConfig"),
        *("presencePenalty", "frequencyPenalty", "candidateCount", "responseLogprobs", "logprobs"),
    }
)
# A budget of thinking by which the model decides itself.
_DYNAMIC = -1


@frozen
class Config:
    """What the configuration asks for. `others`: its fields that only Google understands."""

    sampling: Sampling = Sampling()
    thinking: Thinking | None = None
    format: Format | None = None
    logprobs: int | None = None
    choices: int = 1
    others: Mapping[str, Any] = {}


def config_of(fields: Fields) -> Config:
    """The configuration of a request."""
    config = fields.inner("generationConfig")
    if config is None:
        return Config()
    form, formed = _format(config)
    others = {
        name: value
        for name, value in config.values.items()
        if value is not None and name not in HELD and not (formed and name in formed)
    }
    return Config(_sampling(config), _thinking(config), form, _logprobs(config), _choices(config), others)


def _sampling(config: Fields) -> Sampling:
    return Sampling(
        max_tokens=_positive(config, "maxOutputTokens"),
        temperature=number(config, "temperature"),
        top_p=number(config, "topP"),
        top_k=whole(config, "topK"),
        seed=whole(config, "seed"),
        stop=config.texts("stopSequences"),
        presence_penalty=number(config, "presencePenalty"),
        frequency_penalty=number(config, "frequencyPenalty"),
    )


def _positive(config: Fields, name: str) -> int | None:
    value = whole(config, name)
    if value is not None and value <= 0:
        config.faults.note(f"{config.at(name)} must be at least 1", config.at(name))
    return value


def _choices(config: Fields) -> int:
    return _positive(config, "candidateCount") or 1


def _logprobs(config: Fields) -> int | None:
    """How many alternatives are wanted; without `responseLogprobs` none are told, and nothing else is."""
    most = whole(config, "logprobs")
    return (most or 0) if config.flag("responseLogprobs") else None


def _format(config: Fields) -> tuple[Format | None, frozenset[str]]:
    """The form of the answer, and the fields that say it. Other types than JSON stay what they are."""
    kind = config.text("responseMimeType")
    schema, json = config.mapping("responseSchema"), config.mapping("responseJsonSchema")
    if kind not in (None, JSON, PLAIN):
        return None, frozenset()
    held = frozenset({"responseMimeType", *SCHEMAS})
    if json is None and schema is not None:
        json = json_schema(schema)
    return (Format(json) if json is not None or kind == JSON else None), held


def _thinking(config: Fields) -> Thinking | None:
    """Whether to think. A model that cannot think is told to by many clients all the same, so it is but a wish."""
    asked = config.inner("thinkingConfig")
    if asked is None:
        return None
    budget, level = whole(asked, "thinkingBudget"), word(asked, "thinkingLevel")
    shown = asked.flag("includeThoughts") or False
    if level and level not in LEVELS:
        path = asked.at("thinkingLevel")
        asked.faults.note(f"{path} must be MINIMAL, LOW, MEDIUM or HIGH", path)
    if budget is not None and budget < _DYNAMIC:
        path = asked.at("thinkingBudget")
        asked.faults.note(f"{path} must be at least {_DYNAMIC}", path)
    if budget == 0:
        return Thinking(False)
    if level in LEVELS:
        return Thinking(True, LEVELS[level], wish=True)
    if budget == _DYNAMIC or (budget is None and shown):
        return Thinking(True, wish=True)
    return None if budget is None else Thinking(True, budget=budget, wish=True)
