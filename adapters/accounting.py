"""The accounts of keys over the life of the house: what was spent before it began, and those of keys that are gone."""

import trio

from adapters.keys_file import Keyring
from adapters.ledger import Ledger
from pipeline.accounts import Accounts
from pipeline.state.budget import micro
from pipeline.state.periods import beginning

FORGET_EVERY_S = 60.0


async def restore_spending(accounts: Accounts, keyring: Keyring, ledger: Ledger, epoch: float) -> None:
    """What each key with a budget has spent in its current period, by the records of earlier lives."""
    callers = {id: key.caller for id, key in keyring.ring.keys.items()}
    since = {
        id: float(beginning(allowance.period, epoch))
        for id, caller in callers.items()
        if (allowance := caller.limits.budget) is not None
    }
    spent = await ledger.spent_since(since)
    for id, dollars in spent.items():
        accounts.restore(callers[id], micro(dollars), epoch)


async def forget_revoked(accounts: Accounts, keyring: Keyring) -> None:
    """Keep no accounts of keys that nobody can show any more."""
    while True:
        await trio.sleep(FORGET_EVERY_S)
        accounts.forget({id for id, key in keyring.ring.keys.items() if key.revoked is None})
