"""What a provider says of its limits: when to come again, and what is left of its quota.

Times are counted from the reply's own `date` header where they are dates, so no clock of ours is asked.
Sources: RFC 9110 10.2.3; https://platform.openai.com/docs/guides/rate-limits.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipeline.values.facts import QuotaSeen
from pipeline.values.http import Headers, ReplyHead

_UNITS = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
    "us": 1e-6,
    "\u00b5s": 1e-6,
    "ns": 1e-9,
}
_PART = r"\d+(?:\.\d+)?(?:ms|us|\u00b5s|ns|d|h|m|s)"
_DURATION = re.compile(rf"(?:{_PART})+", re.ASCII)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|us|\u00b5s|ns|d|h|m|s)", re.ASCII)
_AGAIN = re.compile(rf"(?:try again|retry) (?:in|after) ((?:{_PART})+)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
# Requests and tokens that are left, and when each is full again.
_QUOTA = (
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
)
_ANY_QUOTA = frozenset(_QUOTA)
# Longer than any limit lasts: a number above it is a date, in epoch seconds or milliseconds.
_DATES_S = 1e9


def retry_after(headers: Headers, message: str = "") -> float | None:
    """Seconds until the provider wants to be called again; None where it does not say.

    Forms: `retry-after-ms`, then `retry-after` as seconds or an HTTP date (needs a `date` header), then words in the
    error's `message` ("try again in 6.2s"). Past dates give 0; what cannot be read counts as not said.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    told = headers.get("retry-after", "").strip()
    seconds = _number(told)
    if seconds is not None:
        return seconds
    at, now = _http_date(told), _http_date(headers.get("date", ""))
    if at is not None and now is not None:
        return max(0.0, at - now)
    match = _AGAIN.search(message)
    return duration(match[1]) if match else None


def duration(text: str) -> float | None:
    """Seconds in a duration such as `6m0s`, `1.5s`, `20ms`, or in bare seconds; None if it is neither."""
    text = text.strip()
    if _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(text))
        return seconds if math.isfinite(seconds) else None
    return _number(text)


def reset(text: str, now: float | None) -> float | None:
    """Seconds until a limit is reset, told as a duration, as epoch seconds or milliseconds, or as an RFC 3339 time.

    `now`: epoch seconds by the provider's clock, None if it did not say; without it only durations can be read.
    """
    seconds = duration(text)
    if seconds is None:
        at = _rfc3339(text.strip())
    elif seconds < _DATES_S:
        return seconds
    else:
        at = seconds / 1000 if seconds >= 1e12 else seconds
    return None if at is None or now is None else max(0.0, at - now)


def quota(target: str, head: ReplyHead, now: float) -> QuotaSeen | None:
    """What the `x-ratelimit-*` headers say is left for `target`; None if nothing readable. Monotonic `now`."""
    return None if _ANY_QUOTA.isdisjoint(head.headers) else left(target, head, now, _QUOTA)


def left(target: str, head: ReplyHead, now: float, names: tuple[str, str, str, str]) -> QuotaSeen | None:
    """What headers of these `names` say is left: requests and tokens that remain, and when each is full again.

    What cannot be read is left out, and counted.
    """
    headers = head.headers
    told = requests, tokens, requests_in, tokens_in = tuple([headers.get(name, "") for name in names])
    found = _count(requests), _count(tokens), _reset(requests_in, headers), _reset(tokens_in, headers)
    unread = sum(bool(text) and value is None for text, value in zip(told, found, strict=True))
    if not unread and found == (None, None, None, None):
        return None
    return QuotaSeen(target, now, *found, unread)


def reset_within(headers: Headers, name: str) -> float | None:
    """Seconds until the limit is reset that the header `name` tells of; None where that is not known."""
    return _reset(headers.get(name, ""), headers)


def _reset(text: str, headers: Headers) -> float | None:
    """Seconds until a limit is reset; the provider's clock is read only where they are told as a date."""
    seconds = duration(text)
    if seconds is not None and seconds < _DATES_S:
        return seconds
    return reset(text, _http_date(headers.get("date", ""))) if text else None


def _number(text: str) -> float | None:
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _count(text: str) -> int | None:
    text = text.strip()
    return int(text) if _COUNT.fullmatch(text) else None


def _http_date(text: str) -> float | None:
    return _timestamp(parsedate_to_datetime, text)


def _rfc3339(text: str) -> float | None:
    return _timestamp(datetime.fromisoformat, text)


def _timestamp(read: Callable[[str], datetime], text: str) -> float | None:
    """Epoch seconds of a time told as `text`; without a zone it is taken as UTC."""
    try:
        at = read(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
