"""How many calls one target is given at once, found out by trying: additive increase, multiplicative decrease.

It begins with all that is configured. A refusal, an overload or a late first content takes off three tenths, at most once
a second; an answer adds one part of a whole, so that a full round of answers adds one. Below what the target has carried
of late the way back is quicker: each answer adds one.

    limit  40 |**********
              |          * 28           28           28
           20 |           ****    ***      ****   ***           the provider refuses above 20
              |               ****   ******    ***
              +------------------------------------------ time

Who is refused frees no place: a refusal also holds the limit down to what runs beside it. Else the next would be sent at
once to where one was just refused, and so on, as fast as refusals come.

The same refusal can mean two things, and asks for opposite answers. `crowd`: more were there at once than the target
carries; it goes on carrying those that are there, so it is given fewer and never left alone, which would empty it.
`rate`: it takes none for a while; then it must be left alone (`cooldown.py`). It is the crowd's as long as the target
carries what it carried before: somebody who began after the last refusal was answered, or at least as many run beside
this one as ran beside the last. It is no matter of the crowd where the provider names a time of its own that is longer
than a moment, or where nobody runs beside it.
"""

import math
from typing import Literal, TypeAlias

from attrs import evolve, field, frozen

from pipeline.values.problems import Kind

LEAST, SHARE, EVERY_S = 2, 0.7, 1.0
# Up to this share of what it carried of late the limit comes back at once.
REGAINED = 0.85
# A hint of no more than this says "not at this moment", not "not before then".
MOMENT_S = 1.0
CURVE_KEPT = 240

REFUSALS = frozenset({Kind.RATE_LIMITED, Kind.OVERLOADED})
LOWERING = REFUSALS | {Kind.FIRST_BYTE}

Meaning: TypeAlias = Literal["crowd", "rate"]
Curve: TypeAlias = tuple[tuple[float, int], ...]


@frozen
class Adaptive:
    """`limit` as it stands, infinite: all that is configured. Times are monotonic seconds.

    `lowered_at`: the last decrease; `refused_at`: the last refusal, beside which `carried` others ran (0: not known), and
    `answered`: whether somebody who began later was answered. `curve`: when the limit changed, to what; the newest last.
    """

    limit: float = math.inf
    lowered_at: float = -math.inf
    refused_at: float = -math.inf
    carried: int = 0
    answered: bool = True
    curve: Curve = field(default=(), repr=False)

    def allowed(self, maximum: int) -> int:
        """How many may run at once, of at most `maximum`."""
        return maximum if self.limit >= maximum else int(self.limit)

    def meaning(self, beside: int, began: float, hint: float | None) -> Meaning:
        """What a refusal means of an attempt that `began` then, with `beside` others that run."""
        if beside < 1 or (hint is not None and hint > MOMENT_S):
            return "rate"
        same_burst = began <= self.refused_at
        return "crowd" if same_burst or self.answered or beside >= self.carried else "rate"

    def answering(self, began: float) -> "Adaptive":
        """After the first sign that an attempt which `began` then is answered."""
        return self if self.answered or began <= self.refused_at else evolve(self, answered=True)

    def succeeded(self, in_flight: int, began: float, now: float, maximum: int) -> "Adaptive":
        """After an answer; `in_flight` with the one that ended. Who does not use what he has is not given more."""
        limit = self.limit
        if limit >= maximum:
            return self.answering(began)
        if 2 * in_flight >= limit:
            limit += 1.0 if limit + 1 <= REGAINED * self.carried else 1.0 / limit
        return self._moved(math.inf if limit >= maximum else limit, now, maximum).answering(began)

    def lowered(self, kind: Kind, meaning: Meaning, in_flight: int, now: float, maximum: int) -> "Adaptive":
        """After a failure of the kinds `LOWERING`; `in_flight` with the one that ended."""
        limit = min(self.limit, float(maximum))
        at, due = self.lowered_at, now - self.lowered_at >= EVERY_S
        if due:
            limit, at = max(float(min(LEAST, maximum)), math.floor(SHARE * limit)), now
        if kind not in REFUSALS:
            return evolve(self._moved(limit, now, maximum), lowered_at=at, carried=0)
        beside = max(0, in_flight - 1)
        if meaning == "crowd":
            limit = min(limit, float(max(1, beside)))
        moved = self._moved(limit, now, maximum)
        return evolve(moved, lowered_at=at, refused_at=now, carried=beside, answered=False)

    def _moved(self, limit: float, now: float, maximum: int) -> "Adaptive":
        """At another limit, and noted in the curve where that shows."""
        before, after = self.allowed(maximum), maximum if limit >= maximum else int(limit)
        if before == after:
            return evolve(self, limit=limit)
        curve = self.curve[:-1] if self.curve and self.curve[-1][0] == now else self.curve
        return evolve(self, limit=limit, curve=(*curve, (now, after))[-CURVE_KEPT:])
