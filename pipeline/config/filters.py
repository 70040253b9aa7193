"""The model filter: which models are shown and served.

One name or `*` pattern a line; `!` in front excludes; `#` begins a comment. The lines are read from top to bottom and
the last one that matches a name decides. A name that no line matches is let through only where all lines exclude.
"""

import re
from collections.abc import Sequence


def filter_lines(text: str) -> tuple[tuple[int, str], ...]:
    """Line number and pattern of each line that holds one."""
    lines = (
        (number, re.sub(r"(^|\s)#.*", "", line).strip()) for number, line in enumerate(text.splitlines(), 1)
    )
    return tuple((number, pattern) for number, pattern in lines if pattern)


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with one pattern; None if nothing."""
    if not pattern.removeprefix("!").strip():
        return '"!" must be followed by the name or pattern it excludes'
    if re.search(r"\s", pattern):
        return "one name or pattern a line, without spaces"
    return None


def allows(patterns: Sequence[str], *names: str) -> bool:
    """Whether a model known by `names` (`gpt-4o`, `openai/gpt-4o`) passes. Case and `:latest` do not matter."""
    allowed = all(pattern.startswith("!") for pattern in patterns)
    for pattern in patterns:
        if any(_matches(pattern.removeprefix("!"), name) for name in names):
            allowed = not pattern.startswith("!")
    return allowed


def _matches(pattern: str, name: str) -> bool:
    regex = ".*".join(map(re.escape, _plain(pattern).split("*")))
    return re.fullmatch(regex, _plain(name), re.DOTALL) is not None


def _plain(name: str) -> str:
    return name.casefold().removesuffix(":latest")
