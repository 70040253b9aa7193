"""How the process itself keeps up, and who is let in meanwhile: the one holder of that level.

The loop that notices how late it wakes lives outside; it tells `woke` each time.
"""

from attrs import define, field

from pipeline.state.shedding import TOP, adjusted, overloaded, place

WINDOW_S = 2.0


@define(eq=False)
class Overload:
    """`level`: the places let in; `late`: whether the process was overloaded in the last window; `shed`: how many were
    not let in so far."""

    level: int = TOP
    late: bool = False
    shed: int = 0
    _arrived: list[int] = field(factory=lambda: [0] * (TOP + 1), init=False)
    _late_s: list[float] = field(factory=list, init=False)
    _since: float | None = field(default=None, init=False)

    @property
    def share(self) -> float:
        """How much of all places is let in, from 0 to 1."""
        return round((self.level + 1) / (TOP + 1), 3)

    def admits(self, rank: int, key: str, now: float) -> bool:
        """Whether a request may come in now; it is counted."""
        at = place(rank, key, now)
        self._arrived[at] += 1
        if at <= self.level:
            return True
        self.shed += 1
        return False

    def woke(self, late_s: float, now: float) -> None:
        """A task that slept woke so much too late. At the end of each window the level is set anew."""
        if self._since is None:
            self._since = now
        self._late_s.append(late_s)
        if now - self._since < WINDOW_S:
            return
        self.late = overloaded(self._late_s)
        if self.late or self.level < TOP:
            self.level = adjusted(self.level, self._arrived, self.late)
        self._arrived = [0] * (TOP + 1)
        self._late_s.clear()
        self._since = now
