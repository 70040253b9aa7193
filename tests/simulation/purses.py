"""What keys may have in a simulated world, and whether they ever had more."""

from collections.abc import Iterator, Sequence

from attrs import frozen

from pipeline.accounts import Accounts
from pipeline.state.budget import micro
from pipeline.values.callers import Caller, CallerLimits
from pipeline.values.exchange import Record

A_MINUTE_S = 60.0


@frozen
class Purses:
    """The accounts of keys that all have the same `limits`."""

    accounts: Accounts
    limits: CallerLimits

    def overspent(self) -> str | None:
        """The key that has spent and set aside more money than it has."""
        allowed = self.limits.budget
        if allowed is None:
            return None
        for key, account in self.accounts._accounts.items():
            budget = account.budget
            if budget.spent + budget.reserved > allowed.micro_usd or min(budget.spent, budget.reserved) < 0:
                return (
                    f"{key} has spent {budget.spent} and set aside {budget.reserved} of {allowed.micro_usd}"
                )
        return None

    def wrong(
        self, key: str, records: Sequence[Record], entered: Sequence[float]
    ) -> Iterator[tuple[int, str]]:
        """What of a key is wrong once nothing runs. `entered`: when those came in that reached a provider, in order."""
        account = self.accounts.of(Caller(key))
        if account.busy:
            yield 1, f"{key} still holds {account}"
        paid = sum(micro(attempt.cost) for record in records for attempt in record.attempts)
        if self.limits.budget is not None and account.budget.spent != paid:
            yield 11, f"{key} has spent {account.budget.spent}, and its records say {paid}"
        if (limit := self.limits.requests) is not None:
            for first, begun in enumerate(entered):
                for last in range(first, len(entered)):
                    most = limit + (entered[last] - begun) * limit / A_MINUTE_S
                    if last - first + 1 > most + 1e-3:
                        yield 18, f"{key} had {last - first + 1} requests in {entered[last] - begun:.3f} s"
