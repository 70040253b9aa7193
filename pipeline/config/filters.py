"""The model filter: which models are shown and served.

One name or `*` pattern a line; `!` in front excludes; `#` begins a comment. The lines are read from top to bottom and
the last one that matches a name decides. A name that no line matches is let through only where all lines exclude.
"""

import re


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
