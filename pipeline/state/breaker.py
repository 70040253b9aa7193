"""A breaker keeps calls away from what is failing, and finds out with single probes when it is well again.

                5 hard failures in a row, or at least half of 20 and more failed in 30 s
        closed ----------------------------------------------------------------------------> open
          ^                                                                                   |
          | two probes in a row went well                      its time is over, at the       |
          |                                                    next call (nothing polls)      v
          +------------------------------------- half-open <----------------------------------+
                                                     |                                        ^
                                                     +----------------------------------------+
                                                       a probe failed or was told to wait

Closed lets everything through, at a lower weight for 30 s after a bad time. Open lets nothing through. Half-open lets
one probe through at a time; its place is a lease that dies by itself, so that a lost probe wedges nothing.

Each change of mode, and each lease, begins a new generation. A result counts only in the generation its call began in:
five failures that land together are one trip, and what an old call brings home late says nothing about now.
"""

from typing import Literal, TypeAlias

from attrs import evolve, frozen

from pipeline.state.window import Shape, Window

Mode: TypeAlias = Literal["closed", "open", "half_open"]
Verdict: TypeAlias = Literal["ok", "hard", "soft", "cool_down", "neutral"]

RING = Window(Shape(slice_s=3.0, length=10, columns=4))
OK, HARD, SOFT, SLOW = range(4)
COLUMNS = {"ok": OK, "hard": HARD, "soft": SOFT}

# What a call is told that comes while a probe is out: its answer is a matter of moments.
PROBE_OUT_S = 1.0


@frozen
class BreakerOptions:
    """When a breaker trips and how it comes back. Times in seconds; `slow_first_byte_s` None: slowness never trips.

    `lease_s` should be the longest an attempt may take, and 5 s.
    """

    hard_in_a_row: int = 5
    least: int = 20
    failed_ratio: float = 0.5
    slow_ratio: float = 0.8
    slow_first_byte_s: float | None = None
    open_s: float = 5.0
    longest_open_s: float = 300.0
    forgive_s: float = 60.0
    lease_s: float = 305.0
    probes: int = 2
    ramp_s: float = 30.0
    ramp_floor: float = 0.1


DEFAULTS = BreakerOptions()


@frozen
class Admitted:
    """A call may go; its result is to be recorded under `generation`. `probe`: it holds the lease."""

    generation: int
    probe: bool = False


@frozen
class Refused:
    """No call may go for `retry_after` seconds."""

    retry_after: float


@frozen
class Breaker:
    """`since` is when the present generation began; `lease` when the lease of the probe that is out dies, else None.

    `trips`: how often it tripped of late; `probes_ok`: good probes in a row.
    """

    mode: Mode = "closed"
    generation: int = 0
    since: float = float("-inf")
    hard_in_a_row: int = 0
    seen: Window = RING
    trips: int = 0
    open_until: float = 0.0
    lease: float | None = None
    probes_ok: int = 0

    def closed_for(self, now: float) -> float:
        """Seconds until a call may go; 0.0: now."""
        if self.mode == "open":
            return max(0.0, self.open_until - now)
        if self.lease is not None and self.lease > now:
            return min(PROBE_OUT_S, self.lease - now)
        return 0.0

    def refuses(self, now: float) -> bool:
        """Whether a call had to wait."""
        return self.mode != "closed" and self.closed_for(now) > 0

    def weight(self, now: float, options: BreakerOptions = DEFAULTS) -> float:
        """What share of its calls it should get, in (0, 1]: less for a while after it has closed again."""
        if self.mode != "closed":
            return options.ramp_floor
        return max(options.ramp_floor, min(1.0, (now - self.since) / options.ramp_s))

    def failing(self, now: float) -> bool:
        """Whether it is not closed, or any failure is in its window."""
        return self.mode != "closed" or any(hard or soft for _, hard, soft, _ in self.seen.rows(now))

    def generation_of(self, started: float) -> int:
        """The generation a call belongs to that began at `started`, where nobody kept the number; older ones alike."""
        return self.generation if started >= self.since else self.generation - 1

    def admit(self, now: float, options: BreakerOptions = DEFAULTS) -> "tuple[Breaker, Admitted | Refused]":
        """Ask for one call. Gives the lease where the call is a probe."""
        if wait := self.closed_for(now):
            return self, Refused(wait)
        if self.mode == "closed":
            return self, Admitted(self.generation)
        probing = evolve(self._begun("half_open", now), lease=now + options.lease_s)
        return probing, Admitted(probing.generation, probe=True)

    def record(
        self,
        verdict: Verdict,
        now: float,
        generation: int,
        roll: float,
        hint: float | None = None,
        ratio: bool = True,
        options: BreakerOptions = DEFAULTS,
    ) -> "Breaker":
        """Take in one result of a call admitted in `generation`.

        `roll` in [0, 1) spreads the open time; `hint` is the upstream's own wish, in seconds. `ratio` False: shares of
        failures do not trip it (the last way out; a provider of which a single target fails).
        """
        if generation != self.generation:
            return self
        match self.mode:
            case "closed":
                return self._counted(verdict, now, roll, hint, ratio, options)
            case "half_open":
                return self._probed(verdict, now, roll, hint, options)
            case "open":
                # A call was forced through. Its success is worth a look; its failure is what was expected.
                return evolve(self._begun("half_open", now), probes_ok=1) if verdict == "ok" else self

    def delayed(
        self, after_s: float, now: float, generation: int, options: BreakerOptions = DEFAULTS
    ) -> "Breaker":
        """Take in that a first byte needed `after_s`; too many slow ones trip it with the next result."""
        limit = options.slow_first_byte_s
        if limit is None or after_s <= limit or generation != self.generation or self.mode != "closed":
            return self
        return evolve(self, seen=self.seen.added(SLOW, now))

    def eased(self, now: float) -> "Breaker":
        """A health check went well: an open breaker may be probed at once. It never closes one."""
        return self._begun("half_open", now) if self.mode == "open" else self

    def _counted(
        self,
        verdict: Verdict,
        now: float,
        roll: float,
        hint: float | None,
        ratio: bool,
        options: BreakerOptions,
    ) -> "Breaker":
        column = COLUMNS.get(verdict)
        if column is None:
            return self
        in_a_row = 0 if verdict == "ok" else self.hard_in_a_row + (verdict == "hard")
        counted = Breaker(
            self.mode,
            self.generation,
            self.since,
            in_a_row,
            self.seen.added(column, now),
            self.trips,
            self.open_until,
            self.lease,
            self.probes_ok,
        )
        if in_a_row >= options.hard_in_a_row or (ratio and counted._too_many(now, options)):
            forgiven = int(min(self.trips, (now - self.since) // options.forgive_s)) if self.trips else 0
            return counted._opened(self.trips - forgiven + 1, now, roll, hint, options)
        return counted

    def _too_many(self, now: float, options: BreakerOptions) -> bool:
        total = failed = slow = 0
        for ok, hard, soft, late in self.seen.rows(now):
            total += ok + hard + soft
            failed += hard + soft
            slow += late
        if total < options.least:
            return False
        return failed / total >= options.failed_ratio or slow / total >= options.slow_ratio

    def _probed(
        self, verdict: Verdict, now: float, roll: float, hint: float | None, options: BreakerOptions
    ) -> "Breaker":
        match verdict:
            case "neutral":
                return evolve(self, lease=None)
            case "ok" if self.probes_ok + 1 < options.probes:
                return evolve(self, lease=None, probes_ok=self.probes_ok + 1)
            case "ok":
                return self._begun("closed", now)
            case "cool_down":
                return self._opened(self.trips, now, roll, hint, options)
            case "hard" | "soft":
                return self._opened(self.trips + 1, now, roll, hint, options)

    def _opened(
        self, trips: int, now: float, roll: float, hint: float | None, options: BreakerOptions
    ) -> "Breaker":
        longest = options.longest_open_s
        # The exponent is bounded for a breaker that has not been well for days.
        most = min(longest, options.open_s * 2.0 ** min(trips - 1, 32))
        open_s = max(most / 2 + roll * most / 2, min(hint or 0.0, longest))
        return evolve(self._begun("open", now), trips=trips, open_until=now + open_s)

    def _begun(self, mode: Mode, now: float) -> "Breaker":
        """A new generation in `mode`, with what is remembered across generations."""
        return evolve(
            self,
            mode=mode,
            generation=self.generation + 1,
            since=now,
            hard_in_a_row=0,
            seen=self.seen.emptied(),
            lease=None,
            probes_ok=self.probes_ok if mode == self.mode == "half_open" else 0,
        )
