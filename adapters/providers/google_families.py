"""What each line of Google's models takes, told from a model's name.

How thinking is steered, in which form a schema is said, and which fields a line answers with 400 ("Penalty is not
enabled for this model"). Where a step of thinking is missing the nearest stands for it, and that is a loss.
Sources, all of 2026-11: https://ai.google.dev/gemini-api/docs/thinking, .../docs/thought-signatures,
.../docs/structured-output, .../docs/file-input-methods and
https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/thinking.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from adapters.providers import thoughts
from adapters.providers.families import effort_of_budget
from pipeline.values.exchange import How
from pipeline.values.messages import Effort, Thinking
from pipeline.values.targets import Capability


@frozen
class Family:
    """One line of models.

    `levels`: its word for each step of thinking; `budgets`: else the fewest and most tokens it thinks with; both empty:
    it does not think. `off`: thinking can be switched off. `json_schema`: schemas go as JSON Schema, else as the subset
    of OpenAPI that older lines know. `signed`: a call of the current turn is refused without a signature. `steered`:
    takes penalties and logprobs. `fetches`: loads pictures of the web itself. `both`: tools and a form of the answer
    in one request. `system`: takes system instructions. `calls`: takes tools. `files`: takes files and sound.
    """

    levels: Mapping[Effort, str] = field(factory=dict)
    budgets: tuple[int, int] | None = None
    off: bool = False
    json_schema: bool = True
    signed: bool = False
    steered: bool = False
    fetches: bool = True
    both: bool = False
    system: bool = True
    calls: bool = True
    files: bool = True


_HIGH: Mapping[Effort, str] = {"high": "high"}
_LOW_HIGH: Mapping[Effort, str] = {"low": "low", **_HIGH}
_LOW_TO_HIGH: Mapping[Effort, str] = {"low": "low", "medium": "medium", **_HIGH}
_MINIMAL_TO_HIGH: Mapping[Effort, str] = {"minimal": "minimal", **_LOW_TO_HIGH}

# Where a line has no word for a step, the next one that stands for it, in this order.
_NEAR: Mapping[Effort, tuple[Effort, ...]] = {
    "minimal": ("low",),
    "low": ("minimal",),
    "medium": ("high",),
    "high": (),
    "max": ("high",),
}

GEMINI_2 = Family(json_schema=False, steered=True, fetches=False)
GEMMA_3 = Family(json_schema=False, fetches=False, system=False, calls=False, files=False)
PLAIN_2_5 = Family()
PRO_2_5 = Family(budgets=(128, 32768))
FLASH_2_5 = Family(budgets=(1, 24576), off=True)
LITE_2_5 = Family(budgets=(512, 24576), off=True)
PRO_3 = Family(_LOW_HIGH, signed=True, both=True)
FLASH_3 = Family(_MINIMAL_TO_HIGH, signed=True, both=True)
# Pro since 3.1, Flash since 3.7, and what is newer than this table: the steps that all of them know.
CURRENT = Family(_LOW_TO_HIGH, signed=True, both=True)

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?![\d.])")
_OLD = re.compile(r"gemini-(?:exp|pro$|pro-vision|ultra)|learnlm|gemma-[123]")
# They make pictures and speech of Gemini 2.5 and do not think.
_NO_THINKER = re.compile(r"-(?:image|tts|native-audio)")


def family(model: str, capabilities: frozenset[Capability] | None = None) -> Family:
    """The line a model belongs to. `capabilities`: what is known of it; who is known not to think is not told to."""
    name = model.lower().rsplit("/", 1)[-1]
    line = _named(name)
    if capabilities is not None and "thinking" not in capabilities:
        return Family(
            json_schema=line.json_schema,
            signed=line.signed,
            steered=line.steered,
            fetches=line.fetches,
            both=line.both,
            system=line.system,
            calls=line.calls,
            files=line.files,
        )
    return line


def _named(name: str) -> Family:
    if name.startswith("gemma-3"):
        return GEMMA_3
    if _OLD.match(name):
        return GEMINI_2
    found = _VERSION.match(name)
    version = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    lite, flash = "flash-lite" in name, "flash" in name
    if version < (2, 5):
        return GEMINI_2
    if version < (3, 0):
        return _named_2_5(name, lite, flash)
    if lite or (flash and version < (3, 7)):
        return FLASH_3
    return PRO_3 if version == (3, 0) else CURRENT


def _named_2_5(name: str, lite: bool, flash: bool) -> Family:
    if _NO_THINKER.search(name):
        return PLAIN_2_5
    return LITE_2_5 if lite else FLASH_2_5 if flash else PRO_2_5


def thinking_config(
    thinking: Thinking, line: Family, max_tokens: int | None = None
) -> tuple[dict[str, Any] | None, How | None]:
    """What to send as `thinkingConfig` (None: nothing), and how the client's wish is lost thereby.

    The tokens of thinking count for `max_tokens`, so a budget stays below it.
    """
    if not line.levels and line.budgets is None:
        return None, How.DROPPED if thinking.on else None
    if not thinking.on:
        return _off(line)
    config: dict[str, Any] = {"includeThoughts": True}
    if line.budgets is None:
        level, how = _level(thinking, line)
        return (config if level is None else {**config, "thinkingLevel": level}), how
    tokens, how = _budget(thinking, line.budgets, max_tokens)
    return {**config, "thinkingBudget": tokens}, how


def _off(line: Family) -> tuple[dict[str, Any], How | None]:
    """Off where the line can; else as little as it can, and unseen."""
    if line.budgets is not None:
        tokens = 0 if line.off else line.budgets[0]
        return {"includeThoughts": False, "thinkingBudget": tokens}, None if line.off else How.APPROXIMATED
    least = next(iter(line.levels.values()))
    return {"includeThoughts": False, "thinkingLevel": least}, How.APPROXIMATED


def _level(thinking: Thinking, line: Family) -> tuple[str | None, How | None]:
    """The level to think at; None leaves it to the model."""
    step, how = thinking.effort, None
    if step is None:
        if thinking.budget is None:
            return None, None
        step, how = effort_of_budget(thinking.budget), How.APPROXIMATED
    if step in line.levels:
        return line.levels[step], how
    near = next(other for other in (*_NEAR[step], "high") if other in line.levels)
    return line.levels[near], How.APPROXIMATED


def _budget(thinking: Thinking, bounds: tuple[int, int], max_tokens: int | None) -> tuple[int, How | None]:
    """The tokens to think with; -1 leaves them to the model."""
    if thinking.budget is None and thinking.effort is None:
        return -1, None
    least, most = bounds
    if max_tokens is not None:
        most = max(least, min(most, max_tokens - 1))
    tokens = thoughts.budget(thinking, least, most)
    exact = thinking.effort is not None or tokens == thinking.budget
    return tokens, None if exact else How.APPROXIMATED
