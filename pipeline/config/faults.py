"""What is wrong with a configuration: every fault with its place, all of them in one error."""

import json
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeAlias

from attrs import frozen

Path: TypeAlias = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@frozen
class Fault:
    """One fault. `where` names the source (`proxy.toml:7`, `environment`, `.env:3`, `--port`), `path` the setting.

    `text`: what was wrong and what would be right; never a secret.
    """

    where: str
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.text) if part)


class ConfigError(Exception):
    """The configuration cannot be used. `faults` holds all that is wrong; the text gives each on its line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(map(str, self.faults))


def dotted(path: Path) -> str:
    """A path as one writes it: `providers.openai.timeout`, `pipeline.stages[1]`, `models."gpt 4"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (
                part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)
            )
    return text


def listed(names: Iterable[str]) -> str:
    """Names for a sentence: `"a", "b" or "c"`."""
    quoted = [f'"{name}"' for name in names]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a wrong name: the one that was perhaps meant, or else all there are."""
    names = sorted(known)
    close = get_close_matches(name.lower(), names, 1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known are {', '.join(names)}" if names else "; there are none here"
