"""How many extra attempts the house can afford: a share of what it was asked to do, over the last 10 s.

Retries multiply the load on what is already failing. So an exchange may be tried again only while the extra attempts
of all exchanges stay a share of the first ones, with a small reserve that lets a quiet house retry at all.
"""

from collections.abc import Mapping

from attrs import field, frozen

from pipeline.state.window import Shape, Window

RESERVE = 10
SAME_PROVIDER = 0.2
ANYWHERE, ANYWHERE_WHEN_FAILING = 1.0, 0.2

FIRST, AGAIN = range(2)
ACCEPTED, EXTRA, WELL, FAILED = range(4)

PROVIDER = Window(Shape(slice_s=1.0, length=10, columns=2))
HOUSE = Window(Shape(slice_s=1.0, length=10, columns=4))


@frozen
class RetryBudget:
    """`house` counts exchanges accepted, extra attempts, attempts that their targets failed and those that they did not.

    `providers`: for each the exchanges that came to it first, and the attempts by which they came back.
    """

    house: Window = HOUSE
    providers: Mapping[str, Window] = field(factory=dict)

    def started(
        self, provider: str, extra: bool, again: bool, now: float, client_retry: bool = False
    ) -> "RetryBudget":
        """One more attempt. `extra`: not the first of its exchange; `again`: the exchange was at `provider` before.

        `client_retry`: the exchange is itself a client's retry, which earns no further ones.
        """
        if client_retry and not extra:
            return self
        window = self.providers.get(provider, PROVIDER).added(AGAIN if again else FIRST, now)
        house = self.house.added(EXTRA if extra else ACCEPTED, now)
        return RetryBudget(house, {**self.providers, provider: window})

    def ended(self, failed: bool, now: float) -> "RetryBudget":
        """One attempt has its verdict. `failed`: broken, overloaded or over a limit, whatever the target calls it."""
        return RetryBudget(self.house.added(FAILED if failed else WELL, now), self.providers)

    def forgotten(self, provider: str) -> "RetryBudget":
        """The budget without a provider that there is no more."""
        return RetryBudget(self.house, {name: at for name, at in self.providers.items() if name != provider})

    def allows(self, provider: str, again: bool, now: float) -> bool:
        """Whether one more extra attempt is affordable, at `provider`, `again` or for the first time."""
        accepted, extra, well, failed = self.house.totals(now)
        share = ANYWHERE_WHEN_FAILING if failed > well else ANYWHERE
        if extra + 1 > share * accepted + RESERVE:
            return False
        if not again:
            return True
        first, before = self.providers.get(provider, PROVIDER).totals(now)
        return before + 1 <= SAME_PROVIDER * first + RESERVE
