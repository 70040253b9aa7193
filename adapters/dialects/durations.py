"""Durations as Go writes them: `5m`, `1h30m`, `300ms`, `0`, `-1m`."""

import re

UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "\u03bcs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
PIECE = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)")


def seconds(text: str) -> float | str:
    """How long `text` says, in seconds; or, as a string, what is wrong with it."""
    rest = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if rest == "0":
        return 0.0
    pieces = PIECE.findall(rest)
    if not pieces or "".join(number + unit for number, unit in pieces) != rest:
        return f'time: invalid duration "{text}"'
    total = 0.0
    for number, unit in pieces:
        if not unit:
            return f'time: missing unit in duration "{text}"'
        if unit not in UNITS:
            return f'time: unknown unit "{unit}" in duration "{text}"'
        total += float(number) * UNITS[unit]
    return -total if text.startswith("-") else total
