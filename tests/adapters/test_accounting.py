"""What keys have spent is known after a new start, and as soon as it can be where the store is not to be read then."""

import pytest
from attrs import define

from adapters.accounting import restore_later, restore_spending
from adapters.ledger import Ledger
from pipeline.accounts import Accounts
from pipeline.values.callers import Allowance, Caller, CallerLimits
from tests.pipeline.state.test_periods import NOW

WEB = Caller(key="web", limits=CallerLimits(budget=Allowance(1_000_000, "month")))


@define
class Key:
    caller: Caller


@define
class Ring:
    keys: dict[str, Key]


@define
class Keyring:
    ring: Ring


@define
class Locked:
    """A store that cannot be read the first `times`."""

    times: int

    def spent_since(self, since):
        if self.times:
            self.times -= 1
            raise OSError("database is locked")
        return dict.fromkeys(since, 0.75)


KEYRING = Keyring(Ring({"web": Key(WEB)}))


async def test_what_was_spent_is_restored():
    accounts = Accounts()
    assert await restore_spending(accounts, KEYRING, Ledger(Locked(0)), NOW)
    assert accounts.left(WEB, NOW) == 250_000


@pytest.mark.parametrize("times", [1, 3])
async def test_a_store_that_is_locked_at_the_start_is_read_later(autojump_clock, times):
    accounts, ledger = Accounts(), Ledger(Locked(times))
    assert not await restore_spending(accounts, KEYRING, ledger, NOW)
    assert accounts.left(WEB, NOW) == 1_000_000
    await restore_later(accounts, KEYRING, ledger, lambda: NOW)
    assert accounts.left(WEB, NOW) == 250_000


async def test_without_a_store_nothing_is_to_be_restored():
    assert await restore_spending(Accounts(), KEYRING, Ledger(None), NOW)
