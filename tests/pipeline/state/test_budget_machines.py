"""The budgets of retries and hedges, beside models that keep each event with its time."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.state.hedge_budget import HedgeBudget
from pipeline.state.retry_budget import RetryBudget

NAMES = ("a", "b", "c")
names = st.sampled_from(NAMES)
many = st.integers(1, 15)
costs = st.none() | st.floats(0.0, 0.05)


def fresh(events, now, slice_s):
    """What happened in the ten slices of time that end with the one of `now`."""
    return [what for at, what in events if int(at // slice_s) > int(now // slice_s) - 10]


class RetryMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.budget = RetryBudget()
        self.now = 100.0
        self.events = []

    @rule(gap=st.floats(0.0, 3.0) | st.just(10.0))
    def time_passes(self, gap):
        self.now += gap

    @rule(name=names, count=many)
    def exchanges_come(self, name, count):
        for _ in range(count):
            self.budget = self.budget.started(name, extra=False, again=False, now=self.now)
            self.events.append((self.now, ("accepted", name, False)))

    @rule(name=names)
    def a_clients_retry_comes(self, name):
        before = self.budget
        after = before.started(name, extra=False, again=False, now=self.now, client_retry=True)
        assert after is before

    @rule(name=names, again=st.booleans(), count=many, client_retry=st.booleans())
    def extra_attempts_are_made_as_allowed(self, name, again, count, client_retry):
        for _ in range(count):
            if self.budget.allows(name, again, self.now):
                self.budget = self.budget.started(name, True, again, self.now, client_retry)
                self.events.append((self.now, ("extra", name, again)))

    @rule(hard=st.booleans(), count=many)
    def attempts_end(self, hard, count):
        for _ in range(count):
            self.budget = self.budget.ended(hard, self.now)
            self.events.append((self.now, ("hard" if hard else "well", None, False)))

    @invariant()
    def it_allows_what_the_model_allows(self):
        seen = fresh(self.events, self.now, 1.0)
        accepted, extra, hard, well = (
            sum(what == kind for what, _, _ in seen) for kind in ("accepted", "extra", "hard", "well")
        )
        house = extra + 1 <= (0.2 if hard > well else 1.0) * accepted + 10
        for name in NAMES:
            again = sum(returns for _, place, returns in seen if place == name)
            first = sum(not returns for _, place, returns in seen if place == name)
            assert self.budget.allows(name, False, self.now) == house
            assert self.budget.allows(name, True, self.now) == (house and again + 1 <= 0.2 * first + 10)

    @invariant()
    def a_quiet_house_may_retry(self):
        assert self.budget.allows("a", True, self.now + 10.0)

    @invariant()
    def it_stays_small(self):
        assert len(self.budget.house.slices) <= 10
        assert all(len(window.slices) <= 10 for window in self.budget.providers.values())
        assert set(self.budget.providers) <= set(NAMES)


class HedgeMachine(RuleBasedStateMachine):
    """`calls` and `money` are events with their times; money in millionths, as it is counted."""

    SHARE, MOST, COST_SHARE = 0.1, 0.01, 0.05

    def __init__(self):
        super().__init__()
        self.budget = HedgeBudget()
        self.now = 1000.0
        self.calls = []
        self.money = []

    def allows(self, cost):
        return self.budget.allows(cost, self.now, self.SHARE, self.MOST, self.COST_SHARE)

    def sums(self):
        calls, money = fresh(self.calls, self.now, 6.0), fresh(self.money, self.now, 360.0)
        spent = sum(cost for kind, cost in money if kind == "spent")
        hedged = sum(cost for kind, cost in money if kind == "hedged")
        return calls.count("exchange"), calls.count("hedge"), spent, hedged

    @rule(gap=st.floats(0.0, 20.0) | st.sampled_from([60.0, 1500.0, 3600.0]))
    def time_passes(self, gap):
        self.now += gap

    @rule(count=st.integers(1, 30))
    def exchanges_come(self, count):
        for _ in range(count):
            self.budget = self.budget.accepted(self.now)
            self.calls.append((self.now, "exchange"))

    @rule(cost=costs, count=many)
    def attempts_cost(self, cost, count):
        for _ in range(count):
            self.budget = self.budget.spent(cost, self.now)
            self.money.append((self.now, ("spent", round((cost or 0.0) * 1e6))))

    @rule(cost=costs | st.floats(0.0, 0.001))
    def a_hedge_is_made_if_allowed(self, cost):
        exchanges, hedges, spent, hedged = self.sums()
        micro = round((cost or 0.0) * 1e6)
        few = hedges + 1 <= self.SHARE * exchanges
        cheap = not cost or (cost <= self.MOST and hedged + micro <= self.COST_SHARE * (spent + hedged))
        assert self.allows(cost) == (few and cheap)
        if few and cheap:
            self.budget = self.budget.hedged(cost, self.now)
            self.calls.append((self.now, "hedge"))
            self.money.append((self.now, ("hedged", micro)))

    @invariant()
    def it_counts_what_the_model_counts(self):
        exchanges, hedges, spent, hedged = self.sums()
        assert self.budget.calls.totals(self.now) == (exchanges, hedges)
        assert self.budget.money.totals(self.now) == (spent, hedged)

    @invariant()
    def what_may_be_dear_may_be_cheap(self):
        if self.allows(0.005):
            assert self.allows(0.001)
            assert self.allows(None)

    @precondition(lambda self: self.calls)
    @invariant()
    def a_quiet_minute_earns_none(self):
        assert not self.budget.allows(None, self.now + 66.0, self.SHARE, self.MOST, self.COST_SHARE)

    @invariant()
    def it_stays_small(self):
        assert len(self.budget.calls.slices) <= 10
        assert len(self.budget.money.slices) <= 10


TestRetries = RetryMachine.TestCase
TestRetries.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestHedges = HedgeMachine.TestCase
TestHedges.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
