"""A breaker under whatever happens, beside a model that keeps plain lists."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.state.breaker import Admitted, Breaker, BreakerOptions, Refused

OPTIONS = BreakerOptions(slow_first_byte_s=2.0)
SLICE_S, SLICES = 3.0, 10

rolls = st.floats(0.0, 0.999)
hints = st.none() | st.floats(0.0, 1000.0)
verdicts = st.sampled_from(["ok", "ok", "hard", "hard", "hard", "soft", "cool_down", "neutral"])


class BreakerMachine(RuleBasedStateMachine):
    """`out`: calls that were let through and have no result yet; `counted` and `late`: what this generation has seen."""

    def __init__(self):
        super().__init__()
        self.breaker = Breaker()
        self.now = 1000.0
        self.out = []
        self.counted = []
        self.late = []
        self.good_probes = 0
        self.opened = 0
        self.shut_until = 0.0
        self.taken_until = 0.0

    def becomes(self, after):
        """Take `after` as the breaker that is; what holds of every change is looked at here."""
        before, self.breaker = self.breaker, after
        assert after.generation >= before.generation
        if after.mode != before.mode or after.lease not in (None, before.lease):
            assert after.generation == before.generation + 1
        if after.generation != before.generation:
            self.counted, self.late = [], []
            self.taken_until = 0.0
        if after.mode == "open" and after.generation != before.generation:
            self.opened += 1
            self.good_probes = 0
            self.shut_until = after.open_until
            longest = min(300.0, 5.0 * 2.0 ** (after.trips - 1))
            assert longest / 2 <= after.open_until - self.now <= 300.0
        if after.mode == "closed" and before.mode != "closed":
            assert before.mode == "half_open"
            assert self.good_probes == 2

    def fresh(self, first):
        number = int(self.now // SLICE_S) - SLICES
        return [one for one in first if int(one[0] // SLICE_S) > number]

    def should_trip(self, ratio):
        """Of a closed breaker with a result that is already in `counted`."""
        if self.hard_in_a_row() >= 5:
            return True
        fresh, late = self.fresh(self.counted), self.fresh(self.late)
        if not ratio or len(fresh) < 20:
            return False
        failed = sum(verdict != "ok" for _, verdict in fresh)
        return failed / len(fresh) >= 0.5 or len(late) / len(fresh) >= 0.8

    def hard_in_a_row(self):
        hard = 0
        for _, verdict in reversed(self.counted):
            if verdict == "ok":
                break
            hard += verdict == "hard"
        return hard

    @rule(gap=st.floats(0.0, 20.0) | st.sampled_from([30.0, 60.0, 300.0, 306.0]))
    def time_passes(self, gap):
        self.now += gap

    @rule(calls=st.integers(1, 3))
    def calls_ask(self, calls):
        for _ in range(calls):
            self.ask()

    def ask(self):
        before = self.breaker
        after, answer = before.admit(self.now, OPTIONS)
        shut = before.mode == "open" and self.now < self.shut_until
        taken = self.now < self.taken_until
        assert isinstance(answer, Refused) == (shut or taken)
        if isinstance(answer, Refused):
            assert after is before
            assert 0 < answer.retry_after <= 300.0
            if shut:
                assert answer.retry_after == self.shut_until - self.now
            return
        assert isinstance(answer, Admitted)
        assert answer.probe == (before.mode != "closed")
        assert answer.generation == after.generation
        self.becomes(after)
        self.out.append(answer)
        if answer.probe:
            self.taken_until = self.now + OPTIONS.lease_s

    @precondition(lambda self: self.out)
    @rule(pick=st.integers(0, 1000), verdict=verdicts, roll=rolls, hint=hints, ratio=st.booleans())
    def a_result_comes(self, pick, verdict, roll, hint, ratio):
        self.result(self.out.pop(pick % len(self.out)).generation, verdict, roll, hint, ratio)

    @precondition(lambda self: self.breaker.mode != "closed")
    @rule(
        results=st.lists(st.sampled_from(["ok", "ok", "hard", "neutral"]), min_size=1, max_size=4), roll=rolls
    )
    def probes_go_one_after_the_other(self, results, roll):
        for verdict in results:
            self.now = max(self.now, self.shut_until, self.taken_until)
            if self.breaker.mode != "closed":
                self.ask()
                self.result(self.out.pop().generation, verdict, roll, None, True)

    @rule(verdict=verdicts, count=st.integers(1, 12), roll=rolls, ratio=st.booleans())
    def many_results_come(self, verdict, count, roll, ratio):
        """Of calls that all began when the first of them did."""
        generation = self.breaker.generation
        if self.breaker.mode == "closed":
            for _ in range(count):
                self.result(generation, verdict, roll, None, ratio)

    @precondition(lambda self: self.breaker.mode == "open")
    @rule(verdict=verdicts, roll=rolls)
    def a_call_is_forced_through(self, verdict, roll):
        self.result(self.breaker.generation, verdict, roll, None, True)

    def result(self, generation, verdict, roll, hint, ratio):
        before = self.breaker
        after = before.record(verdict, self.now, generation, roll, hint, ratio, OPTIONS)
        if generation != before.generation:
            assert after is before
            return
        if before.mode == "closed":
            if verdict in ("ok", "hard", "soft"):
                self.counted.append((self.now, verdict))
            trips = verdict in ("ok", "hard", "soft") and self.should_trip(ratio)
            assert after.mode == ("open" if trips else "closed")
        else:
            self.good_probes += verdict == "ok"
            self.taken_until = 0.0 if before.mode == "half_open" else self.taken_until
        if before.mode == "half_open" and verdict in ("hard", "soft", "cool_down"):
            assert after.mode == "open"
        if before.mode == "open":
            assert after.mode == ("half_open" if verdict == "ok" else "open")
        self.becomes(after)

    @precondition(lambda self: self.breaker.mode == "closed")
    @rule(after_s=st.floats(0.0, 5.0), count=st.integers(1, 20), stale=st.booleans())
    def first_bytes_come(self, after_s, count, stale):
        for _ in range(count):
            before = self.breaker
            generation = before.generation - stale
            after = before.delayed(after_s, self.now, generation, OPTIONS)
            if stale or after_s <= 2.0:
                assert after is before
            else:
                self.late.append((self.now, "late"))
            self.becomes(after)

    @rule()
    def a_check_goes_well(self):
        before = self.breaker
        after = before.eased(self.now)
        assert after.mode == ("half_open" if before.mode == "open" else before.mode)
        self.becomes(after)

    @invariant()
    def at_most_one_probe_is_out(self):
        live = [one for one in self.out if one.probe and one.generation == self.breaker.generation]
        assert len(live) <= 1
        if self.breaker.mode == "closed":
            assert not live

    @invariant()
    def trips_are_bounded(self):
        assert 0 <= self.breaker.trips <= self.opened

    @invariant()
    def nothing_is_shut_for_ever(self):
        assert self.breaker.closed_for(self.now) <= 300.0
        assert self.breaker.closed_for(self.now + 306.0) == 0.0

    @invariant()
    def the_weight_is_a_share(self):
        weight = self.breaker.weight(self.now)
        assert 0.1 <= weight <= 1.0
        assert self.breaker.mode == "closed" or weight == 0.1

    @invariant()
    def it_stays_small(self):
        assert len(self.breaker.seen.slices) <= SLICES


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
