"""How long something is left alone that asked for it: a target over its rate, a credential without money or rights."""

from attrs import frozen

from pipeline.values.problems import Kind

SHORT_S, LONGEST_SHORT_S = 1.0, 60.0
LONG_S, LONGEST_LONG_S = 300.0, 3600.0
LONGEST_HINT_S = 300.0
FORGET_S = 60.0

# These belong to the account, not to one model: all of its targets rest.
ACCOUNT = frozenset({Kind.QUOTA, Kind.AUTH})


def cool_down_s(kind: Kind, times: int, hint: float | None, roll: float) -> float:
    """Seconds of rest after `kind`, met after `times` earlier rests; `roll` in [0, 1) spreads those who wait.

    The upstream's own `hint` holds where it gave one (at most 300 s, and up to a tenth more), else 1, 2, 4 .. 60 s. One of
    0 is none: who refuses and may be asked at once would be asked again and again.
    Quota and rights do not come back in seconds: 300 s, doubling to 3600 s.
    """
    doubled = 2.0 ** min(times, 16)
    if kind in ACCOUNT:
        return min(LONG_S * doubled, LONGEST_LONG_S)
    if hint is not None and hint > 0:
        return min(hint, LONGEST_HINT_S) * (1 + 0.1 * roll)
    return min(SHORT_S * doubled, LONGEST_SHORT_S)


@frozen
class Rest:
    """A rest until `until`, the `times`-th in a row. Monotonic seconds."""

    until: float = 0.0
    times: int = 0

    def asked(self, kind: Kind, now: float, hint: float | None, roll: float) -> "Rest":
        """The rest after one more refusal. Those that land during a rest may lengthen it, but are one time with it."""
        times = self.times if now >= self.until else self.times - 1
        until = now + cool_down_s(kind, max(0, times), hint, roll)
        return Rest(max(self.until, until), max(0, times) + 1)

    def forgotten(self, now: float) -> "Rest":
        """After a success: the next rest is a first one again if the last is long over."""
        return Rest(self.until) if now - self.until >= FORGET_S else self
