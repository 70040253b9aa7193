"""What a key has taken: all together or nothing, given back to the last unit, and never more money than there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pipeline.accounts import Accounts, dollars
from pipeline.values.callers import Allowance, Caller, CallerLimits
from pipeline.values.facts import Charged, Remaining
from pipeline.values.problems import Kind, Problem
from tests.pipeline.state.test_periods import NOW, at

DOLLAR = 1_000_000


def key(name="k", **limits):
    return Caller(key=name, limits=CallerLimits(**limits))


def entered(accounts, caller, tokens=0, now=0.0, epoch=NOW, free=False):
    """The seconds after which it may come again; None where it was let in."""
    found = accounts.enter(caller, tokens, now, epoch, free)
    if isinstance(found, Problem):
        assert found.kind is Kind.CALLER_LIMITED
        return found.retry_after
    return None


def test_requests_are_let_in_up_to_the_limit_and_then_as_they_flow_back():
    accounts, caller = Accounts(), key(requests=60)
    assert [entered(accounts, caller) for _ in range(60)] == [None] * 60
    assert entered(accounts, caller) == pytest.approx(1.0)
    assert entered(accounts, caller, now=0.25) == pytest.approx(0.75)
    assert entered(accounts, caller, now=1.0) is None


def test_exchanges_at_once():
    accounts, caller = Accounts(), key(concurrent=2)
    assert [entered(accounts, caller) for _ in range(3)] == [None, None, 1.0]
    accounts.leave(caller, 0, 0.0)
    assert entered(accounts, caller) is None


@pytest.mark.parametrize(
    ("limits", "full", "tokens"),
    [
        pytest.param({"requests": 60, "tokens": 10}, [10], 10, id="too many tokens take no request"),
        pytest.param({"requests": 1, "tokens": 600}, [5], 100, id="too many requests take no tokens"),
        pytest.param({"requests": 9, "tokens": 900, "concurrent": 1}, [5], 100, id="nor do too many at once"),
        pytest.param(
            {"requests": 9, "tokens": 99, "budget": Allowance(0)}, [], 9, id="nor does a spent budget"
        ),
    ],
)
def test_a_refusal_takes_nothing(limits, full, tokens):
    accounts, caller = Accounts(), key(**limits)
    for each in full:
        assert accounts.enter(caller, each, 0.0, NOW) >= 0
    before = accounts.of(caller)
    assert isinstance(accounts.enter(caller, tokens, 0.0, NOW), Problem)
    assert accounts.of(caller) == before


def test_the_longest_wait_is_told():
    accounts, caller = Accounts(), key(requests=1, tokens=600)
    accounts.enter(caller, 600, 0.0, NOW)
    problem = accounts.enter(caller, 300, 0.0, NOW)
    assert (problem.retry_after, problem.detail) == (
        pytest.approx(60.0),
        "this key may make 1 requests a minute; wait 60.0 s",
    )


def test_what_was_not_used_comes_back_and_what_was_used_beyond_is_owed():
    accounts, caller = Accounts(), key(requests=10, tokens=600)
    ticket = accounts.enter(caller, 500, 0.0, NOW)
    assert accounts.charged(caller, 0.0) == Charged(Remaining(10, 9, 6.0), Remaining(600, 100, 50.0))
    accounts.leave(caller, ticket, 0.0, requests=1, tokens=500)
    assert accounts.charged(caller, 0.0) == Charged(Remaining(10, 10, 0.0), Remaining(600, 600, 0.0))
    ticket = accounts.enter(caller, 100, 0.0, NOW)
    accounts.leave(caller, ticket, 0.0, tokens=-800)
    assert accounts.charged(caller, 0.0).tokens == Remaining(600, 0, 90.0)
    assert entered(accounts, caller, 100, now=0.0) == pytest.approx(40.0)


def test_keys_do_not_share():
    accounts = Accounts()
    assert entered(accounts, key("a", requests=1)) is None
    assert entered(accounts, key("b", requests=1)) is None
    assert entered(accounts, key("a", requests=1)) is not None


def test_processes_share_what_a_key_may_have():
    accounts, caller = Accounts(shares=4), key(requests=60, concurrent=100, budget=Allowance(4 * DOLLAR))
    assert sum(entered(accounts, caller) is None for _ in range(60)) == 15
    assert accounts.charged(caller, 0.0).requests == Remaining(60, 0, 60.0)
    assert accounts.left(caller, NOW) == DOLLAR
    accounts.restore(caller, 2 * DOLLAR, NOW)
    assert accounts.left(caller, NOW) == DOLLAR // 2


MONTHLY = key(budget=Allowance(DOLLAR, "month"))


def test_money_is_set_aside_and_settled():
    accounts = Accounts()
    assert accounts.reserve(MONTHLY, 600_000, NOW) is None
    assert accounts.left(MONTHLY, NOW) == 400_000
    accounts.settle(MONTHLY, 600_000, 250_000, NOW)
    assert accounts.left(MONTHLY, NOW) == 750_000


@pytest.mark.parametrize(
    ("spent", "reserved", "asked", "words", "retry_after"),
    [
        pytest.param(
            900_000,
            0,
            200_000,
            "this request may cost up to $0.20, and $0.10 are left of this key's budget of $1 a month, which renews at "
            "2026-12-01 00:00 UTC; until then ask for less (max_tokens) or for a cheaper model",
            at(2026, 12, 1) - NOW,
            id="more than is left",
        ),
        pytest.param(
            0,
            900_000,
            200_000,
            "this request may cost up to $0.20, and what is left of this key's budget of $1 a month is set aside for its "
            "requests that still run; try again when they are over",
            1.0,
            id="more than is left beside what runs",
        ),
        pytest.param(
            0,
            0,
            1_200_000,
            "this request may cost up to $1.20, which is more than the whole budget of this key, $1 a month; ask for less "
            "(max_tokens)",
            None,
            id="more than there ever is",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_when_it_may(spent, reserved, asked, words, retry_after):
    accounts = Accounts()
    accounts.restore(MONTHLY, spent, NOW)
    accounts.reserve(MONTHLY, reserved, NOW)
    problem = accounts.reserve(MONTHLY, asked, NOW)
    assert (problem.kind, problem.detail, problem.retry_after) == (Kind.BUDGET, words, retry_after)


def test_a_key_that_has_spent_all_is_told_at_the_door():
    accounts = Accounts()
    accounts.restore(MONTHLY, DOLLAR, NOW)
    problem = accounts.enter(MONTHLY, 0, 0.0, NOW)
    assert (problem.kind, problem.http_status) == (Kind.BUDGET, 402)
    assert problem.retry_after == at(2026, 12, 1) - NOW
    assert problem.detail == "this key has spent its budget of $1 a month; it renews at 2026-12-01 00:00 UTC"
    assert accounts.enter(MONTHLY, 0, 0.0, NOW, free=True) == 0, "but what costs nothing it may have"
    assert accounts.reserve(MONTHLY, 0, NOW) is None
    assert accounts.enter(MONTHLY, 0, 0.0, at(2026, 12, 1)) == 1, "and all else when it has renewed"


def test_a_clock_that_jumps_back_renews_nothing_and_tells_no_time_that_is_over():
    accounts, later = Accounts(), at(2026, 12, 1, 1)
    accounts.restore(MONTHLY, DOLLAR, later)
    problem = accounts.enter(MONTHLY, 0, 0.0, NOW)
    assert problem.kind is Kind.BUDGET
    assert problem.retry_after == at(2027, 1, 1) - NOW


@pytest.mark.parametrize(("before", "after"), [("month", "day"), ("day", "month"), ("hour", "week")])
def test_a_budget_whose_period_was_changed_still_renews(before, after):
    accounts = Accounts()
    accounts.restore(key(budget=Allowance(DOLLAR, before)), DOLLAR, NOW)
    changed = key(budget=Allowance(DOLLAR, after))
    assert accounts.left(changed, at(2027, 1, 15)) == DOLLAR


def test_what_was_spent_before_is_never_forgotten_by_restoring():
    accounts = Accounts()
    accounts.settle(MONTHLY, 0, 500_000, NOW)
    accounts.restore(MONTHLY, 300_000, NOW)
    assert accounts.left(MONTHLY, NOW) == 500_000


def test_revoked_keys_are_forgotten_once_nothing_comes_back():
    accounts, gone = Accounts(), key("gone", budget=Allowance(DOLLAR))
    accounts.reserve(gone, 10, NOW)
    ticket = accounts.enter(key("kept", requests=5), 0, 0.0, NOW)
    accounts.leave(key("kept", requests=5), ticket, 0.0)
    accounts.forget({"kept"})
    assert accounts.of(gone).budget.reserved == 10
    accounts.settle(gone, 10, 10, NOW)
    accounts.forget({"kept"})
    assert accounts.of(gone).budget.spent == 0
    assert accounts.charged(key("kept", requests=5), 0.0).requests.left == 4


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (20 * DOLLAR, "$20"),
        (250_000, "$0.25"),
        (200_000, "$0.20"),
        (12, "$0.000012"),
        (1_234_500_000, "$1,234.50"),
        (0, "$0"),
    ],
)
def test_money_for_people(micro, text):
    assert dollars(micro) == text


class Interleaved(RuleBasedStateMachine):
    """Exchanges of one key that come, reserve, cost something or nothing, and go, while the clock jumps to and fro."""

    def __init__(self):
        super().__init__()
        self.accounts = Accounts()
        self.caller = key(requests=20, tokens=2000, concurrent=5, budget=Allowance(1000, "hour"))
        self.now, self.epoch, self.calls, self.inside = 0.0, float(NOW), [], []

    exchanges = Bundle("exchanges")
    reservations = Bundle("reservations")

    @rule(target=exchanges, tokens=st.integers(0, 900))
    def comes(self, tokens):
        before = self.accounts.of(self.caller)
        ticket = self.accounts.enter(self.caller, tokens, self.now, self.epoch)
        if not isinstance(ticket, Problem):
            self.inside.append((ticket, tokens))
            return ticket, tokens
        assert self.accounts.of(self.caller) == before
        return None

    @rule(target=reservations, estimate=st.integers(0, 600))
    def reserves(self, estimate):
        if self.accounts.reserve(self.caller, estimate, self.epoch) is None:
            self.calls.append(estimate)
            return estimate
        return None

    @rule(reserved=consumes(reservations), share=st.floats(0, 1))
    def settles(self, reserved, share):
        if reserved is not None:
            self.calls.remove(reserved)
            self.accounts.settle(self.caller, reserved, int(reserved * share), self.epoch)

    @rule(reserved=consumes(reservations))
    def costs_nothing_after_all(self, reserved):
        if reserved is not None:
            self.calls.remove(reserved)
            self.accounts.settle(self.caller, reserved, 0, self.epoch)

    @rule(one=consumes(exchanges), used=st.integers(0, 900), answered=st.booleans())
    def goes(self, one, used, answered):
        if one is not None:
            self.inside.remove(one)
            ticket, tokens = one
            self.accounts.leave(self.caller, ticket, self.now, 1 - answered, tokens - used)

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds):
        self.now += seconds
        self.epoch += seconds

    @rule(seconds=st.integers(-10_000, 10_000))
    def the_wall_clock_jumps(self, seconds):
        self.epoch += seconds

    @rule()
    def keys_are_read_anew(self):
        if self.inside or self.calls:
            self.accounts.forget(set())

    @invariant()
    def nothing_is_overspent(self):
        budget = self.accounts.of(self.caller).budget
        assert budget.spent >= 0
        assert budget.spent + budget.reserved <= 1000

    @invariant()
    def what_is_taken_is_what_is_out(self):
        account = self.accounts.of(self.caller)
        assert account.budget.reserved == sum(self.calls)
        assert account.running == len(self.inside) <= 5

    def teardown(self):
        for reserved in self.calls:
            self.accounts.settle(self.caller, reserved, 0, self.epoch)
        for ticket, tokens in self.inside:
            self.accounts.leave(self.caller, ticket, self.now, 1, tokens)
        account = self.accounts.of(self.caller)
        assert not account.busy
        assert not account.requests.open
        assert not account.tokens.open


TestInterleaved = Interleaved.TestCase


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 20), st.integers(1, 8), st.booleans()), min_size=1, max_size=60),
)
def test_no_window_sees_more_requests_than_the_limit_and_a_burst(limit, steps):
    """Those who are refused later, and take nothing, are not among them."""
    accounts, caller, now, admitted = Accounts(), key(requests=limit), 0.0, []
    for gap, count, counts in steps:
        now += gap
        for _ in range(count):
            ticket = accounts.enter(caller, 0, now, NOW)
            if not isinstance(ticket, Problem):
                accounts.leave(caller, ticket, now, requests=0 if counts else 1)
                admitted += [now] * counts
    for first, begun in enumerate(admitted):
        for last in range(first, len(admitted)):
            allowed = limit + (admitted[last] - begun) * limit / 60
            assert last - first + 1 <= allowed + 1e-3


def test_tokens_given_back_late_are_not_taken_twice():
    """50 of the 100 taken a minute and a half ago flowed back long since: nobody may have them a second time."""
    accounts, caller = Accounts(), key(tokens=60)
    first = accounts.enter(caller, 60, 0.0, NOW)
    assert entered(accounts, caller, 55, now=56.0) is None
    accounts.leave(caller, first, 57.0, tokens=50)
    assert entered(accounts, caller, 50, now=57.0) is not None


@given(
    st.integers(1, 50),
    st.lists(
        st.tuples(st.floats(0, 40), st.booleans(), st.integers(1, 60), st.integers(0, 60)),
        min_size=1,
        max_size=60,
    ),
    st.randoms(use_true_random=False),
)
def test_no_window_sees_more_tokens_than_the_limit_and_a_burst_however_late_they_are_given_back(
    limit, steps, random
):
    """What is still out may be used in full. More than all at once is let in by an untouched account alone."""
    accounts, caller, now = Accounts(), key(tokens=limit), 0.0
    out, went = {}, {}
    for gap, comes, tokens, unused in steps:
        now += gap
        if comes:
            ticket = accounts.enter(caller, tokens, now, NOW)
            if not isinstance(ticket, Problem):
                out[ticket], went[ticket] = tokens, (now, tokens)
        elif out:
            ticket = random.choice(sorted(out))
            back = min(unused, out.pop(ticket))
            accounts.leave(caller, ticket, now, tokens=back)
            at_s, taken = went[ticket]
            went[ticket] = at_s, taken - back
    calls = sorted(went.values())
    for first, (begin, _) in enumerate(calls):
        used = largest = 0
        for at_s, tokens in calls[first:]:
            used, largest = used + tokens, max(largest, tokens)
            over = largest if largest > limit else 0
            assert used <= (at_s - begin) * limit / 60 + limit + over + 1e-3
