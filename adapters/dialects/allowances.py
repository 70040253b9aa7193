"""What a reply's headers say of the limits of the caller's key, as the client libraries of each API read it.

Where the API has no such headers, none are sent. Sources: https://platform.openai.com/docs/guides/rate-limits,
https://docs.anthropic.com/en/api/rate-limits (2026-11).
"""

import math
from collections.abc import Iterator
from time import gmtime, strftime

from pipeline.values.facts import Charged, Remaining


def limit_headers(dialect: str, charged: Charged, epoch: float) -> list[tuple[bytes, bytes]]:
    """The headers for a client that speaks `dialect`; `epoch`: the wall clock."""
    limits = (("requests", charged.requests), ("tokens", charged.tokens))
    told = [
        header
        for name, remaining in limits
        if remaining is not None
        for header in _headers(dialect.partition(".")[0], name, remaining, epoch)
    ]
    return [(name.encode(), value.encode()) for name, value in told]


def _headers(family: str, name: str, remaining: Remaining, epoch: float) -> Iterator[tuple[str, str]]:
    match family:
        case "openai":
            yield f"x-ratelimit-limit-{name}", str(remaining.limit)
            yield f"x-ratelimit-remaining-{name}", str(remaining.left)
            yield f"x-ratelimit-reset-{name}", duration(remaining.reset_s)
        case "anthropic":
            yield f"anthropic-ratelimit-{name}-limit", str(remaining.limit)
            yield f"anthropic-ratelimit-{name}-remaining", str(remaining.left)
            yield f"anthropic-ratelimit-{name}-reset", moment(epoch + remaining.reset_s)
        case _:
            pass


def duration(seconds: float) -> str:
    """A duration as OpenAI writes it: `20ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


def moment(epoch: float) -> str:
    """A moment as Anthropic writes it, never too early: RFC 3339 in whole seconds."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(math.ceil(epoch)))
