"""What OpenRouter takes beyond OpenAI's form: its own object for thinking, and options of sampling of other vendors.

It maps what it is told to each vendor's own way, so a step of effort or a budget may be told for any model.
Sources: https://openrouter.ai/docs/use-cases/reasoning-tokens, https://openrouter.ai/docs/api-reference/parameters
(2026-11).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import evolve

from adapters.providers.families import UNKNOWN, Family, Step, effort, family
from adapters.providers.losses import Lost
from adapters.providers.openai_request import Voice
from adapters.providers.thoughts import FORMAT
from pipeline.values.exchange import How
from pipeline.values.messages import Reasoning, Thinking
from pipeline.values.targets import Capability

_STEPS: Mapping[Step, str] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "xhigh",
}

# A model of any vendor but OpenAI.
ROUTED = Family(
    efforts=_STEPS,
    further={"top_k": "top_k", "min_p": "min_p", "repeat_penalty": "repetition_penalty"},
    json_word=False,
)
# The same, where the model always thinks: to be told not to, it answers with an error.
THOUGHTFUL = evolve(ROUTED, near={"off": "low"})
# A model that is known not to think.
THOUGHTLESS = evolve(ROUTED, efforts={})
# Whose models cache what they are told to.
_CACHING = ("anthropic", "google")

_ALWAYS = re.compile(
    r"gemini-(2\.5|[3-9][\d.]*)-pro|grok-4(?!.*(fast|\.\d))|deepseek-r1|minimax-m\d|gpt-oss|qwq|.*[-:]thinking"
)


@lru_cache(maxsize=1024)
def line(model: str, capabilities: frozenset[Capability] | None) -> Family:
    """How a model takes its parameters here: the names of the limit and of the system's role are the same for all."""
    vendor, _, name = model.lower().rpartition("/")
    # OpenRouter reads a bare name of OpenAI's as such.
    if vendor in ("openai", "") and (known := family(name)) is not UNKNOWN:
        return evolve(known, limit="max_tokens", system="system", parallel=True)
    thoughtless = capabilities is not None and "thinking" not in capabilities
    kin = THOUGHTFUL if _ALWAYS.match(name) else THOUGHTLESS if thoughtless else ROUTED
    return evolve(kin, marked=True) if vendor in _CACHING else kin


def think(thinking: Thinking, limit: int | None, line: Family, body: dict[str, Any], lost: Lost) -> None:
    """The object `reasoning`; what else the client put into it stays there."""
    if not line.efforts:
        # Nothing is switched off where nothing is on.
        if thinking.on:
            lost.add("thinking")
        return
    said, how = reasoning(thinking, line)
    own = body.get("reasoning")
    body["reasoning"] = {**(own if isinstance(own, Mapping) else {}), **said}
    budget = said.get("max_tokens")
    if budget is not None and limit is not None and budget >= limit > 1:
        # The budget is a part of the limit, and something must be left to answer with.
        body["reasoning"]["max_tokens"] = limit - 1
        how = How.APPROXIMATED
    if how is not None:
        lost.add("thinking", how)


def reasoning(thinking: Thinking, line: Family) -> tuple[dict[str, Any], How | None]:
    """What to say of thinking, and how the client's wish is lost thereby. A step and a budget exclude each other."""
    if thinking.on and thinking.effort is None:
        if thinking.budget is None:
            return {"enabled": True}, None
        # Models that know but steps are given the one next to it.
        return {"max_tokens": thinking.budget}, None if line.further else How.APPROXIMATED
    word, how = effort(thinking, line)
    if not thinking.on:
        if word is None:
            return {"enabled": False}, None
        # Who cannot but think may at least keep it to itself.
        return {"effort": word} if how is None else {"effort": word, "exclude": True}, how
    return {"effort": word}, How.APPROXIMATED if thinking.budget is not None else how


def recall(thought: Reasoning, message: dict[str, Any]) -> bool:
    """An earlier thought: its text, and each detail as it was told, whichever vendor understands it."""
    if thought.text:
        message["reasoning"] = message.get("reasoning", "") + thought.text
    details = thought.extra.get(FORMAT)
    if isinstance(details, list | tuple):
        message.setdefault("reasoning_details", []).extend(details)
    return True


VOICE = Voice(line=line, think=think, recall=recall)
