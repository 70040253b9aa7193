"""What is learned of durations, and rests, beside models that keep each event with its time."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.state.cooldown import Rest
from pipeline.state.ewma import Ewma
from pipeline.state.histogram import BUCKETS, GROWTH, SLICE_S, SLICES, SizedHistogram
from pipeline.values.problems import Kind

gaps = st.floats(0.0, 40.0) | st.sampled_from([0.0, 300.0, 3000.0])
NEARLY = 1 + 1e-9
SIZES = (None, 0, 2, 4)


class EwmaMachine(RuleBasedStateMachine):
    """`value` is the average by its own definition: a peak, or the blend, whichever is more."""

    def __init__(self):
        super().__init__()
        self.ewma = Ewma()
        self.now = 10.0
        self.samples = []
        self.value = 1.0
        self.last = None

    @rule(gap=gaps)
    def time_passes(self, gap):
        self.now += gap

    @rule(seconds=st.floats(0.001, 600.0), late=st.floats(0.0, 5.0) | st.just(0.0))
    def a_sample_comes(self, seconds, late):
        at = self.now - late
        self.ewma = self.ewma.seen(seconds, at)
        if self.last is None:
            self.value, self.last = seconds, at
        else:
            keep = math.exp(-max(0.0, at - self.last) / 30.0)
            self.value = max(seconds, keep * self.value + (1 - keep) * seconds)
            self.last = max(self.last, at)
        self.samples.append(seconds)
        assert self.ewma.value * NEARLY >= seconds

    @invariant()
    def it_is_what_the_model_says(self):
        assert math.isclose(self.ewma.value, self.value, rel_tol=1e-9)
        assert self.ewma.at == self.last

    @invariant()
    def it_lies_between_its_samples_and_its_prior(self):
        if not self.samples:
            assert self.ewma.read(self.now) == 1.0
            return
        assert min(self.samples) / NEARLY <= self.ewma.value <= max(self.samples) * NEARLY
        low, high = min(1.0, *self.samples), max(1.0, *self.samples)
        assert low / NEARLY <= self.ewma.read(self.now) <= high * NEARLY

    @invariant()
    def with_time_it_comes_nearer_to_the_prior(self):
        near, far = self.ewma.read(self.now + 100.0), self.ewma.read(self.now)
        assert abs(near - 1.0) <= abs(far - 1.0)
        assert math.isclose(self.ewma.read(self.now + 12_000.0), 1.0, rel_tol=1e-9)


class RestMachine(RuleBasedStateMachine):
    """`rests`: how many began one after the other since the last was forgotten."""

    def __init__(self):
        super().__init__()
        self.rest = Rest()
        self.now = 1000.0
        self.rests = 0
        self.account = False

    @rule(gap=st.floats(0.0, 90.0) | st.sampled_from([60.0, 330.0, 3600.0]))
    def time_passes(self, gap):
        self.now += gap

    @rule(to=st.sampled_from([0.0, 59.9, 60.1]))
    def its_end_comes(self, to):
        self.now = max(self.now, self.rest.until + to)

    @rule(
        kind=st.sampled_from([Kind.RATE_LIMITED, Kind.RATE_LIMITED, Kind.QUOTA, Kind.AUTH]),
        hint=st.none() | st.floats(-10.0, 100_000.0),
        roll=st.floats(0.0, 0.999),
    )
    def it_is_refused(self, kind, hint, roll):
        before = self.rest
        resting = self.now < before.until
        self.rests += not (resting and self.rests)
        self.rest = before.asked(kind, self.now, hint, roll)
        account = kind is not Kind.RATE_LIMITED
        asked = self.rest.until - self.now
        if account:
            assert asked >= min(3600.0, 300.0 * 2.0 ** (self.rests - 1)) - 1e-6
        elif hint is None:
            assert asked >= min(60.0, 2.0 ** (self.rests - 1)) - 1e-6
        else:
            assert asked >= min(max(hint, 0.0), 300.0) - 1e-6
        if not resting:
            self.account = account
            # A hint of theirs is spread by up to a tenth.
            assert 0.0 <= asked <= (3600.0 if account else 330.0) + 1e-6
        self.account = self.account or account
        assert self.rest.until >= before.until

    @rule()
    def it_answers(self):
        long_over = self.now - self.rest.until >= 60.0
        self.rest = self.rest.forgotten(self.now)
        if long_over:
            self.rests = 0

    @invariant()
    def it_counts_rests_in_a_row(self):
        assert self.rest.times == self.rests

    @invariant()
    def it_is_never_longer_than_may_be(self):
        assert self.rest.until >= 0.0
        assert self.rest.until - self.now <= (3600.0 if self.account else 330.0) + 1e-6

    @precondition(lambda self: self.rests)
    @invariant()
    def a_success_long_after_forgets_all(self):
        assert self.rest.forgotten(self.rest.until + 60.1).times == 0
        assert self.rest.forgotten(self.rest.until + 59.9).times == self.rests


class HistogramMachine(RuleBasedStateMachine):
    """`samples` are all that ever came, with their time and their class of sizes."""

    def __init__(self):
        super().__init__()
        self.histogram = SizedHistogram()
        self.now = 0.0
        self.samples = []

    def fresh(self, *sizes):
        oldest = int(self.now // SLICE_S) - SLICES
        wanted = sizes or SIZES
        return sorted(
            seconds for at, seconds, size in self.samples if size in wanted and int(at // SLICE_S) > oldest
        )

    @rule(gap=st.floats(0.0, 30.0) | st.sampled_from([49.9, 50.0, 250.0, 300.0]))
    def time_passes(self, gap):
        self.now += gap

    @rule(seconds=st.lists(st.floats(0.001, 9000.0), min_size=1, max_size=12), size=st.sampled_from(SIZES))
    def samples_come(self, seconds, size):
        for one in seconds:
            self.histogram = self.histogram.seen(one, self.now, size)
            self.samples.append((self.now, one, size))

    @invariant()
    def it_counts_what_is_fresh(self):
        assert self.histogram.count(self.now) == len(self.fresh())
        for size in SIZES:
            assert self.histogram.of(size).count(self.now) == len(self.fresh(size))

    @rule(share=st.floats(0.01, 1.0), size=st.sampled_from(SIZES))
    def a_quantile_is_asked(self, share, size):
        self.is_the_true_one(share, self.fresh(), self.histogram.quantile(share, self.now))
        self.is_the_true_one(share, self.fresh(size), self.histogram.of(size).quantile(share, self.now))

    def is_the_true_one(self, share, fresh, told):
        if not fresh:
            assert told is None
            return
        true = fresh[math.ceil(share * len(fresh)) - 1]
        assert true / NEARLY <= told <= true * GROWTH * NEARLY

    @invariant()
    def quantiles_are_in_order(self):
        if self.fresh():
            told = [self.histogram.quantile(share, self.now) for share in (0.05, 0.5, 0.95, 1.0)]
            assert told == sorted(told)

    @invariant()
    def it_stays_small(self):
        assert len(self.histogram.classes) <= len(SIZES)
        for size in SIZES:
            slices = self.histogram.of(size).slices
            assert len(slices) <= SLICES
            assert all(0 <= bucket < BUCKETS for _, counts in slices for bucket in counts)


SETTINGS = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestEwma = EwmaMachine.TestCase
TestEwma.settings = SETTINGS
TestRest = RestMachine.TestCase
TestRest.settings = SETTINGS
TestHistogram = HistogramMachine.TestCase
TestHistogram.settings = SETTINGS
