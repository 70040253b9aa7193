"""How the lines of Claude models take their parameters, told from a model's name, wherever the model is hosted.

Up to 4.5 thinking is bought by a budget of tokens. From 4.6 on it is adaptive: the model decides, and an effort steers
it. From 4.7 on nothing steers sampling any more, and thinking keeps its text to itself unless asked; from 5 on it is on
by default, and some lines cannot switch it off. 5.5 takes no forced choice of tools.
Sources, all 2026-11: https://platform.claude.com/docs/en/build-with-claude/thinking, .../build-with-claude/effort,
.../models/overview, and the migration guides of each line below .../models/.
"""

import re
from collections.abc import Mapping
from typing import Literal

from attrs import evolve, field, frozen

from pipeline.values.messages import Effort

LEAST_BUDGET = 1024


@frozen
class Line:
    """One line of models.

    `limit`: the longest answer, in tokens. `manual`: thinks within a budget. `adaptive`: thinks as it sees fit, steered
    by `efforts`, its word for each step; `near`: the same where the word means something else. `off`: how thinking is
    switched off: by saying nothing, by one of two words, or never. `quiet`: the text of thinking must be asked for.
    `sampled`: takes temperature and its like; `one_sampler`: temperature or top_p, not both. `prefill`: goes on with
    the words of a last turn of its own. `forced`: can be made to call a tool. `schema`: has structured output.
    """

    limit: int | None = None
    manual: bool = False
    adaptive: bool = False
    efforts: Mapping[Effort, str] = field(factory=dict)
    near: Mapping[Effort, str] = field(factory=dict)
    off: Literal["omit", "disabled", "between_tools", "never"] = "omit"
    quiet: bool = False
    sampled: bool = True
    one_sampler: bool = False
    prefill: bool = True
    forced: bool = True
    schema: bool = False

    @property
    def thinks(self) -> bool:
        """Whether it thinks at all."""
        return self.manual or self.adaptive


_EFFORTS: Mapping[Effort, str] = {"low": "low", "medium": "medium", "high": "high", "max": "max"}
_NEAR: Mapping[Effort, str] = {"minimal": "low"}

# A model of somebody else behind this form, or a name that tells no version.
UNKNOWN = Line(manual=True)
CLAUDE_3 = Line(4096)
CLAUDE_3_5 = Line(8192)
CLAUDE_3_7 = Line(64_000, manual=True)
OPUS_4 = Line(32_000, manual=True)
OPUS_4_1 = evolve(OPUS_4, one_sampler=True)
CLAUDE_4_5 = Line(64_000, manual=True, one_sampler=True, schema=True)
CLAUDE_4_6 = Line(
    128_000,
    manual=True,
    adaptive=True,
    efforts=_EFFORTS,
    near=_NEAR,
    one_sampler=True,
    prefill=False,
    schema=True,
)
CLAUDE_4_7 = evolve(CLAUDE_4_6, manual=False, quiet=True, sampled=False)
CLAUDE_5 = evolve(CLAUDE_4_7, off="disabled")
FABLE_5 = evolve(CLAUDE_5, off="never")
OPUS_5_5 = evolve(FABLE_5, forced=False)
SONNET_5_5 = evolve(OPUS_5_5, off="between_tools")

_NEWER = re.compile(r"claude-([a-z]+)-(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_OLDER = re.compile(r"claude-(\d)(?:[-.](\d))?(?!\d)")
_ALWAYS_THINKING = re.compile(r"claude-(fable|mythos)")


def line(model: str) -> Line:
    """The line a model belongs to. A version that is newer than all that is known is taken as the newest known."""
    name = model.lower()
    always = _ALWAYS_THINKING.search(name) is not None
    if found := _NEWER.search(name):
        tier, version = found[1], (int(found[2]), int(found[3] or 0))
    elif found := _OLDER.search(name):
        tier, version = "", (int(found[1]), int(found[2] or 0))
    else:
        return FABLE_5 if always else UNKNOWN
    if version < (4, 0):
        return CLAUDE_3 if version < (3, 5) else CLAUDE_3_5 if version < (3, 7) else CLAUDE_3_7
    if version < (4, 5):
        return CLAUDE_3_7 if tier != "opus" else OPUS_4 if version < (4, 1) else OPUS_4_1
    if version < (5, 0):
        return CLAUDE_4_5 if version < (4, 6) else CLAUDE_4_6 if version < (4, 7) else CLAUDE_4_7
    if always:
        return FABLE_5 if version < (5, 1) else OPUS_5_5
    if version < (5, 5) or tier == "haiku":
        return CLAUDE_5
    return SONNET_5_5 if tier == "sonnet" else OPUS_5_5


def prefills(model: str) -> bool:
    """Whether it is a Claude that goes on with the words of a last turn of its own."""
    found = line(model)
    return found.prefill and found is not UNKNOWN
