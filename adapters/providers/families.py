"""How the lines of OpenAI's models take their parameters, told from a model's name.

Reasoning models refuse what steers sampling, name the limit of the answer `max_completion_tokens`, and each line knows
its own steps of effort. Where a step is missing the nearest stands for it, and that is a loss.
Sources: https://platform.openai.com/docs/guides/reasoning, https://platform.openai.com/docs/guides/latest-model.
"""

import re
from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from adapters.providers.thoughts import BUDGETS
from pipeline.values.exchange import How
from pipeline.values.messages import Effort, Thinking
from pipeline.values.targets import Capability

Step = Literal["off", "minimal", "low", "medium", "high", "max"]


@frozen
class Family:
    """One line of models.

    `sampled`: takes temperature and its like. `limit`: its name of the token limit. `system`: its name of that role.
    `parallel`: takes `parallel_tool_calls`. `efforts`: its word for each step; `near`: the same where the word means
    something else. A step in neither is not said. `further`: its names for options of sampling that OpenAI does not have.
    `json_word`: refuses JSON mode unless a message speaks of JSON. `marked`: takes marks of what may be cached.
    """

    sampled: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system: Literal["system", "developer"] = "system"
    parallel: bool = True
    efforts: Mapping[Step, str] = field(factory=dict)
    near: Mapping[Step, str] = field(factory=dict)
    further: Mapping[str, str] = field(factory=dict)
    json_word: bool = True
    marked: bool = False


_LOW_TO_HIGH: Mapping[Step, str] = {"low": "low", "medium": "medium", "high": "high"}

PLAIN = Family()
CHAT_5 = Family(limit="max_completion_tokens")
O_SERIES = Family(
    False,
    "max_completion_tokens",
    "developer",
    False,
    _LOW_TO_HIGH,
    {"off": "low", "minimal": "low", "max": "high"},
)
GPT_5 = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"minimal": "minimal", **_LOW_TO_HIGH},
    {"off": "minimal", "max": "high"},
)
GPT_5_1 = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"off": "none", **_LOW_TO_HIGH},
    {"minimal": "low", "max": "high"},
)
GPT_5_2 = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"off": "none", **_LOW_TO_HIGH, "max": "xhigh"},
    {"minimal": "low"},
)
# Those that write code think at three or four steps and cannot do without; those that think longest know fewer.
CODEX = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    _LOW_TO_HIGH,
    {"off": "low", "minimal": "low", "max": "high"},
)
CODEX_MAX = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {**_LOW_TO_HIGH, "max": "xhigh"},
    {"off": "low", "minimal": "low"},
)
PRO = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"high": "high"},
    {"off": "high", "minimal": "high", "low": "high", "medium": "high", "max": "high"},
)
PRO_2 = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"medium": "medium", "high": "high", "max": "xhigh"},
    {"off": "medium", "minimal": "medium", "low": "medium"},
)
RESEARCH = Family(
    False,
    "max_completion_tokens",
    "developer",
    True,
    {"medium": "medium"},
    {"off": "medium", "minimal": "medium", "low": "medium", "high": "medium", "max": "medium"},
)
COMPUTERS = Family(False, "max_completion_tokens", "developer")
# A model of somebody else behind OpenAI's form. `off` is not said: most have nothing to switch off, and refuse the
# word.
UNKNOWN = Family(efforts={"minimal": "minimal", **_LOW_TO_HIGH}, near={"max": "high"})

_GPT = re.compile(r"gpt-(\d+)(?:\.(\d+))?(?![\d.])")
_PLAIN = re.compile(r"gpt-3|chatgpt-|davinci|babbage")
_O_SERIES = re.compile(r"o[1-9]\d*(?![a-z0-9])")
_RESEARCH = re.compile(r"(?:o[1-9]\d*|gpt-\d+(?:\.\d+)?)-(?:mini-)?deep-research")
_COMPUTERS = re.compile(r"computer-use-")
# Answered at /responses alone: https://platform.openai.com/docs/models (2026-11).
_RESPONDING = re.compile(
    rf"gpt-\d+(?:\.\d+)?-(?:codex|pro)(?![a-z])|o[1-9]\d*-pro(?![a-z])|codex-mini|{_RESEARCH.pattern}|{_COMPUTERS.pattern}"
)
_COMPLETING = re.compile(r"gpt-3\.5-turbo-instruct|davinci|babbage")
_WELL_KNOWN_CHAT = re.compile(r"gpt-[3-9]|chatgpt-|o[1-9]\d*(?![a-z0-9])")


def base_name(model: str) -> str:
    """The name without vendor and fine tuning: `ft:gpt-4o:house::id` and `openai/gpt-4o` are `gpt-4o`."""
    name = model.lower().rsplit("/", 1)[-1]
    return name.split(":")[1] if name.startswith("ft:") else name


def family(model: str, capabilities: frozenset[Capability] | None = None) -> Family:
    """The line a model belongs to. `capabilities`: what is known of it, which decides where the name tells nothing."""
    name = base_name(model)
    if _RESEARCH.match(name):
        return RESEARCH
    if _COMPUTERS.match(name):
        return COMPUTERS
    if _O_SERIES.match(name) or name.startswith("codex-mini"):
        return O_SERIES
    if _PLAIN.match(name):
        return PLAIN
    if found := _GPT.match(name):
        version = (int(found[1]), int(found[2] or 0))
        if version < (5, 0):
            return PLAIN
        if "-chat" in name:
            return CHAT_5
        if "-codex" in name:
            return CODEX_MAX if version >= (5, 2) or "-max" in name else CODEX
        if "-pro" in name:
            return PRO if version < (5, 2) else PRO_2
        return GPT_5 if version < (5, 1) else GPT_5_1 if version < (5, 2) else GPT_5_2
    return PLAIN if capabilities is not None and "thinking" not in capabilities else UNKNOWN


def only_completes(model: str) -> bool:
    """Whether the model is known to answer at /completions alone."""
    return _COMPLETING.match(base_name(model)) is not None


def only_responds(model: str) -> bool:
    """Whether the model is known to answer at /responses alone.

    A name with a vendor before it is one of a gateway, and these answer for every model at /chat/completions.
    """
    return "/" not in model and _RESPONDING.match(base_name(model)) is not None


def researches(model: str) -> bool:
    """Whether the model is one that searches before it answers, and so must be given something to search in."""
    return _RESEARCH.match(base_name(model)) is not None


def uses_computers(model: str) -> bool:
    """Whether the model is one that moves a mouse."""
    return _COMPUTERS.match(base_name(model)) is not None


def only_chats(model: str) -> bool:
    """Whether the model is known to answer at /chat/completions and not at /completions."""
    return not only_completes(model) and _WELL_KNOWN_CHAT.match(base_name(model)) is not None


def effort(thinking: Thinking, line: Family) -> tuple[str | None, How | None]:
    """What to send as `reasoning_effort` (None: nothing), and how the client's wish is lost thereby."""
    step: Step = "off"
    how: How | None = None
    if thinking.on:
        step = thinking.effort or "medium"
        if thinking.effort is None and thinking.budget is not None:
            step, how = effort_of_budget(thinking.budget), How.APPROXIMATED
        if not line.efforts:
            return None, How.DROPPED
        if thinking.effort is None and how is None and step not in line.efforts:
            # It thinks as much as it does.
            return None, None
    if step in line.efforts:
        return line.efforts[step], how
    if step in line.near:
        return line.near[step], How.APPROXIMATED
    return None, how


def effort_of_budget(tokens: int) -> Effort:
    """The step that a budget pays for. What a step may spend is a budget of that very step.

    But for the least: nobody takes a smaller budget, so it is what those say who want some thinking, and not almost none.
    """
    if tokens < BUDGETS["minimal"]:
        return "minimal"
    dearer: tuple[Effort, ...] = ("max", "high", "medium")
    return next((step for step in dearer if tokens >= BUDGETS[step]), "low")
