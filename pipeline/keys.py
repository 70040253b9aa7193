"""Keys of clients: what is kept of one, and how one that is shown is recognised. All functions are pure.

    ollp_<id>_<secret>      the id finds what is kept; 256 bits of chance follow

Kept is `HMAC-SHA256(pepper, key)` alone, so who reads the file of keys can make none that works. A key is recognised by
the same steps whether it exists or not: one digest, two comparisons in constant time.
"""

import re
from base64 import b32encode
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hmac import compare_digest, digest
from typing import get_args

from attrs import evolve, field, frozen

from pipeline.values.callers import Allowance, Caller, CallerLimits, Period, Priority, Scope

ID_BYTES, SECRET_BYTES = 5, 32
ID = re.compile(r"[a-z2-7]{8}")
FORM = re.compile(rb"ollp_([a-z2-7]{8})_[a-z2-7]{52}")
DIGEST = re.compile(r"[0-9a-f]{64}")
# Of a longer text no more is looked at: it is no key, and must not take longer to refuse.
LOOKED_AT = 128

DURATION = re.compile(r"(\d{1,6}) ?(s|m|h|d|w)")
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Moments outside of these cannot be reckoned with, nor written down, everywhere.
FIRST_YEAR, LAST_YEAR = 1970, 9000
LONGEST_S = 1000 * 365 * UNITS_S["d"]
BUDGET = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)/(\w+)")
PERIODS: tuple[Period, ...] = get_args(Period)

CLIENT: frozenset[Scope] = frozenset({"client"})


@frozen
class Key:
    """What is kept of one key. Moments are epoch seconds.

    `digest`: of the key itself, in hex; `previous`: of the one it replaced, which is good until `previous_until`.
    `first`: made by the house itself at its first start, not by an operator. All else as of a Caller.
    """

    id: str
    digest: str = field(repr=False)
    name: str = ""
    models: tuple[str, ...] = ()
    providers: frozenset[str] = frozenset()
    scopes: frozenset[Scope] = CLIENT
    highest: Priority = Priority.NORMAL
    limits: CallerLimits = field(factory=CallerLimits)
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    first: bool = False
    previous: str = field(default="", repr=False)
    previous_until: float = 0.0
    caller: Caller = field(init=False, eq=False, repr=False)

    @caller.default
    def _who_shows_it(self) -> Caller:
        return Caller(self.id, self.name, self.models, self.providers, self.scopes, self.highest, self.limits)

    def state(self, epoch: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and epoch >= self.expires else "active"

    def replaced(self, digest: str, epoch: float, grace_s: float) -> "Key":
        """The key with a new secret; the one it had is good for `grace_s` more seconds."""
        if grace_s <= 0:
            return evolve(self, digest=digest, previous="", previous_until=0.0)
        return evolve(self, digest=digest, previous=self.digest, previous_until=epoch + grace_s)


# Compared with where there is no such key. No digest is equal to it, and if one were: it is revoked.
NOBODY = Key("", "0" * 64, revoked=0.0, previous="0" * 64)


@frozen
class Ring:
    """All keys by their ids. `made`: whether an operator has made any, be they still good or not."""

    keys: Mapping[str, Key] = field(factory=dict)
    made: bool = field(init=False)

    @made.default
    def _made_by_an_operator(self) -> bool:
        return any(not key.first for key in self.keys.values())


def ring_of(keys: Iterable[Key]) -> Ring:
    """A ring of these."""
    return Ring({key.id: key for key in keys})


def key_text(id: bytes, secret: bytes) -> str:
    """A key as it is shown once. `id`: ID_BYTES, `secret`: SECRET_BYTES of chance."""
    return f"ollp_{_letters(id)}_{_letters(secret)}"


def _letters(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=").lower()


def id_of(key: str) -> str:
    """The id in a key."""
    found = FORM.fullmatch(key.encode("utf-8", "replace"))
    return found[1].decode() if found else ""


def digest_of(presented: bytes, pepper: bytes) -> str:
    """What is kept of a key."""
    return digest(pepper, presented, "sha256").hex()


Compare = Callable[[str, str], bool]


def recognise(
    ring: Ring, presented: bytes, pepper: bytes, epoch: float, compare: Compare = compare_digest
) -> Caller | None:
    """Who shows this key; None where it is none, is not known, expired or was revoked."""
    looked_at = presented[:LOOKED_AT]
    form = FORM.fullmatch(presented) if len(presented) <= LOOKED_AT else None
    key = ring.keys.get(form[1].decode(), NOBODY) if form else NOBODY
    seen = digest_of(looked_at, pepper)
    # Both are always compared: what is shown decides nothing about how long it takes.
    current = compare(seen, key.digest)
    previous = compare(seen, key.previous or NOBODY.previous)
    right = current or (previous and epoch < key.previous_until)
    return key.caller if right and key.state(epoch) == "active" else None


def duration_s(text: str) -> float:
    """Seconds that `30d`, `12h`, `90 s` or `0` say. Raises ValueError."""
    found = DURATION.fullmatch(text.strip().lower())
    if text.strip() == "0":
        return 0.0
    if not found:
        raise ValueError(f'must be a number and one of s, m, h, d, w, such as 30d, not "{text}"')
    seconds = int(found[1]) * UNITS_S[found[2]]
    if seconds > LONGEST_S:
        raise ValueError("must be 1000 years at most")
    return float(seconds)


def moment(text: str) -> float:
    """Epoch seconds of `2027-01-31` (the end of that day, UTC) or `2027-01-31T12:00:00Z`. Raises ValueError."""
    words = text.strip()
    try:
        when = datetime.fromisoformat(words)
    except ValueError:
        raise ValueError(f'must be a date such as 2027-01-31, not "{text}"') from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValueError(f'must be a date from {FIRST_YEAR} to {LAST_YEAR}, not "{text}"')
    if len(words) <= len("2027-01-31"):
        when += timedelta(days=1)
    return when.timestamp()


def moment_text(epoch: float) -> str:
    """Epoch seconds as people and `moment` read them."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def allowance(text: str) -> Allowance:
    """What `20/month` allows: US dollars in each hour, day, week or month. Raises ValueError."""
    found = BUDGET.fullmatch(text.strip().lower().removeprefix("$"))
    period = next((period for period in PERIODS if found and found[2] == period), None)
    if not found or period is None:
        raise ValueError(f'must be US dollars and a period, such as 20/month or 0.5/day, not "{text}"')
    whole, _, part = found[1].partition(".")
    micro_usd = int(whole) * 1_000_000 + int(part.ljust(6, "0"))
    if not micro_usd:
        raise ValueError("must allow more than nothing")
    return Allowance(micro_usd, period)


def allowance_text(allowed: Allowance) -> str:
    """An allowance as `allowance` reads it."""
    whole, part = divmod(allowed.micro_usd, 1_000_000)
    fraction = f".{part:06d}".rstrip("0") if part else ""
    return f"{whole}{fraction}/{allowed.period}"
