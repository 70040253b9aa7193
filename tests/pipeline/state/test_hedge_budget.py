"""How many hedges the house can afford."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.hedge_budget import HedgeBudget


def allows(budget, cost=None, now=0.0, share=0.1):
    return budget.allows(cost, now, share, 0.01, 0.02)


def after(exchanges, hedges=0, spent=0.0, cost=None):
    budget = HedgeBudget()
    for _ in range(exchanges):
        budget = budget.accepted(0.0)
    for _ in range(hedges):
        budget = budget.hedged(cost, 0.0)
    return budget.spent(spent, 0.0)


def test_a_house_that_has_done_nothing_affords_none():
    assert not allows(HedgeBudget())


def test_hedges_are_a_share_of_the_exchanges():
    assert allows(after(10))
    assert not allows(after(9))
    assert not allows(after(19, hedges=1))
    assert allows(after(20, hedges=1))


def test_a_minute_later_nothing_counts():
    assert not allows(after(100, hedges=10))
    assert not allows(after(100), now=61.0)


def test_money_is_a_share_of_what_is_spent():
    assert not allows(after(100), cost=0.001)
    assert allows(after(100, spent=0.05), cost=0.001)
    assert not allows(after(100, spent=0.05, hedges=1, cost=0.001), cost=0.001)


def test_one_hedge_has_a_limit_of_its_own():
    assert not allows(after(100, spent=100.0), cost=0.011)
    assert allows(after(100, spent=100.0), cost=0.009)


def test_what_costs_nothing_is_bounded_by_number_alone():
    assert allows(after(100), cost=0.0)


@given(st.lists(st.sampled_from(["exchange", "hedge"]), max_size=300), st.floats(0.0, 0.5))
def test_hedges_that_were_allowed_stay_within_the_share(script, share):
    budget, exchanges, hedges = HedgeBudget(), 0, 0
    for step in script:
        if step == "exchange":
            budget, exchanges = budget.accepted(0.0), exchanges + 1
        elif allows(budget, share=share):
            budget, hedges = budget.hedged(None, 0.0), hedges + 1
    assert hedges <= share * exchanges
