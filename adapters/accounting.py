"""The accounts of keys over the life of the house: what was spent before it began, and those of keys that are gone."""

from collections.abc import Callable

import trio

from adapters.keys_file import Keyring
from adapters.ledger import Ledger
from pipeline.accounts import Accounts
from pipeline.state.budget import micro
from pipeline.state.periods import beginning

FORGET_EVERY_S, AGAIN_S = 60.0, 5.0


async def restore_spending(accounts: Accounts, keyring: Keyring, ledger: Ledger, epoch: float) -> bool:
    """What each key with a budget has spent in its current period, by the records of earlier lives.

    False: the store cannot be read, and until it can nobody knows.
    """
    callers = {id: key.caller for id, key in keyring.ring.keys.items()}
    since = {
        id: float(beginning(allowance.period, epoch))
        for id, caller in callers.items()
        if (allowance := caller.limits.budget) is not None
    }
    spent = await ledger.spent_since(since)
    for id, dollars in (spent or {}).items():
        accounts.restore(callers[id], micro(dollars), epoch)
    return spent is not None


async def restore_later(
    accounts: Accounts, keyring: Keyring, ledger: Ledger, epoch: Callable[[], float]
) -> None:
    """Restore as soon as a store can be read that could not when the house began."""
    while True:
        await trio.sleep(AGAIN_S)
        if await restore_spending(accounts, keyring, ledger, epoch()):
            return


async def forget_revoked(accounts: Accounts, keyring: Keyring) -> None:
    """Keep no accounts of keys that nobody can show any more."""
    while True:
        await trio.sleep(FORGET_EVERY_S)
        accounts.forget({id for id, key in keyring.ring.keys.items() if key.revoked is None})
