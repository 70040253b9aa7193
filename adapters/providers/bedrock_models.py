"""What the lines of models behind Converse take, told from a model's id.

Converse has one form for all of them, but each refuses what it does not know: a top_k, a system text, a choice among
tools. Claude's lines are told in `claude`; a line that nobody here knows is asked in the plainest form.
Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference-supported-models-features.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html,
https://docs.aws.amazon.com/nova/latest/nova2-userguide/extended-thinking.html (2026-11).
"""

import re
from functools import lru_cache
from typing import Literal

from attrs import evolve, frozen

from adapters.providers import claude, thoughts
from pipeline.values.targets import Capability


@frozen
class Line:
    """One line of models.

    `claude`: what it takes of what Claude takes; that of a model of another vendor says nothing of thinking. `thinks`: how
    such a model is told to think: by an effort of Nova's, by OpenAI's word; or it always does, or never. `top_k`: where
    that stands in the model's own fields, () if nowhere. `system`: takes a system text. `named`: can be made to call a
    certain tool. `stops`: most stop texts, None: enough. `failures`: takes word that a tool failed. `bare`: takes of the
    schema of a tool nothing but its type, properties and what of these is required. `caches`: where it takes cache points.
    """

    claude: claude.Line
    thinks: Literal["claude", "nova", "word", "always", "never"] = "never"
    top_k: tuple[str, ...] = ()
    system: bool = True
    named: bool = True
    stops: int | None = None
    failures: bool = False
    bare: bool = False
    caches: frozenset[Literal["messages", "system", "tools"]] = frozenset()


_PLAIN = claude.Line(forced=False, prefill=False)
_FORCED = claude.Line(prefill=False)
_SCHEMA = claude.Line(forced=False, prefill=False, schema=True)

OTHER = Line(_PLAIN, named=False)
NOVA = Line(
    claude.Line(),
    top_k=("inferenceConfig", "topK"),
    stops=4,
    failures=True,
    bare=True,
    caches=frozenset(("messages", "system")),
)
# The first Claudes that cache. Source: https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html (2026-11).
_CACHING = re.compile(r"claude-(3-5-haiku|3-5-sonnet-20241022|3-7|[a-z]+-[4-9])|claude-mythos")

_LINES: tuple[tuple[re.Pattern[str], Line], ...] = tuple(
    (re.compile(pattern), line)
    for pattern, line in (
        (r"claude-(v\d|instant)", Line(_PLAIN, top_k=("top_k",), named=False)),
        (r"nova-2", evolve(NOVA, thinks="nova")),
        (r"nova-", NOVA),
        (r"gpt-oss", Line(_SCHEMA, thinks="word", named=False)),
        (r"deepseek\.r1|kimi-k2-thinking|magistral", Line(_PLAIN, thinks="always", named=False)),
        (
            r"deepseek\.v3|qwen3|gemma-3|minimax|kimi-k2|nemotron|ministral|mistral-large-3",
            Line(_SCHEMA, named=False),
        ),
        (r"mistral-(large|small)", Line(_FORCED, top_k=("top_k",), named=False)),
        (r"mistral-7b|mixtral", Line(_PLAIN, top_k=("top_k",), system=False, named=False)),
        (r"titan-text|j2-|command-(text|light)", Line(_PLAIN, system=False, named=False)),
        (r"command-r", Line(_PLAIN, top_k=("k",), named=False)),
    )
)


@lru_cache(maxsize=1024)
def line_of(model: str, capabilities: frozenset[Capability] | None = None) -> Line:
    """The line a model belongs to, by its id, its profile's id, or the end of its ARN.

    `capabilities`: what is known of it, which decides where the name tells nothing: what thinks is asked as Claude.
    """
    name = model.lower().rsplit("/", 1)[-1]
    for pattern, line in _LINES:
        if pattern.search(name):
            return line
    thinks = capabilities is not None and "thinking" in capabilities
    return _claude(claude.line(name), name) if thinks or "claude" in name else OTHER


def seal_of(model: str) -> str:
    """The format of what a model seals of its thinking. Behind a name that tells nothing may be a Claude."""
    line = line_of(model)
    if line.thinks == "nova":
        return thoughts.NOVA
    return thoughts.CLAUDE if line.thinks == "claude" or line is OTHER else thoughts.BEDROCK


def _claude(kin: claude.Line, name: str) -> Line:
    # Between 4.7 and 5 Converse takes no schema for Claude.
    return Line(
        evolve(kin, schema=False) if kin is claude.CLAUDE_4_7 else kin,
        thinks="claude",
        failures=True,
        top_k=("top_k",) if kin.sampled else (),
        caches=frozenset(("messages", "system", "tools")) if _CACHING.search(name) else frozenset(),
    )
