"""What each key has taken of what it may have: requests and tokens a minute, exchanges at once, and money.

Requests, tokens and exchanges at once are asked together and taken together when an exchange comes in; what it did not
use is given back at its end. Money is set aside for each call of a provider, when its price is known, and settled when
the call is over (`pipeline/state/budget.py`).
"""

from collections.abc import Container
from datetime import UTC, datetime
from itertools import count

from attrs import define, evolve, field, frozen

from pipeline.state.bucket import Bucket, Rate
from pipeline.state.budget import Budget
from pipeline.state.meter import Meter
from pipeline.state.periods import beginning, following
from pipeline.values.callers import Allowance, Caller, CallerLimits
from pipeline.values.facts import Charged, Remaining
from pipeline.values.problems import Kind, Problem

A_MINUTE_S = 60.0
# Nobody knows when an exchange will be over.
SOON_S = 1.0


@frozen
class Account:
    """What one key has taken. `running`: its exchanges that run or wait."""

    requests: Meter = Meter()
    tokens: Meter = Meter()
    running: int = 0
    budget: Budget = Budget()

    def refusal(self, limits: CallerLimits, tokens: int, now: float, shares: int) -> Problem | None:
        """Why an exchange of so many tokens may not come in; None: it may."""
        if limits.concurrent is not None and self.running >= _part(limits.concurrent, shares):
            text = f"this key may have {limits.concurrent} requests at once, and they all still run; wait for one to end"
            return Problem(Kind.CALLER_LIMITED, text, retry_after=SOON_S)
        waits = []
        if limits.requests is not None:
            wait_s = self.requests.retry_after(1, now, _rate(limits.requests, shares))
            waits.append((wait_s, f"this key may make {limits.requests} requests a minute"))
        if limits.tokens is not None:
            wait_s = self.tokens.retry_after(tokens, now, _rate(limits.tokens, shares))
            text = f"this key may use {limits.tokens} tokens a minute, and this request may take {tokens}"
            waits.append((wait_s, text))
        wait_s, text = max(waits, default=(0.0, ""))
        return (
            Problem(Kind.CALLER_LIMITED, f"{text}; wait {wait_s:.1f} s", retry_after=wait_s)
            if wait_s
            else None
        )

    def entered(self, ticket: int, limits: CallerLimits, tokens: int, now: float, shares: int) -> "Account":
        """The account with one exchange of so many tokens more, which leaves by its `ticket`."""
        return Account(
            _taken(self.requests, ticket, limits.requests, 1, now, shares),
            _taken(self.tokens, ticket, limits.tokens, tokens, now, shares),
            self.running + 1,
            self.budget,
        )

    def left(
        self, ticket: int, limits: CallerLimits, requests: int, tokens: int, now: float, shares: int
    ) -> "Account":
        """The account with one exchange fewer, which gives back what it did not use; less than none: it used more."""
        return Account(
            _settled(self.requests, ticket, limits.requests, requests, now, shares),
            _settled(self.tokens, ticket, limits.tokens, tokens, now, shares),
            self.running - 1,
            self.budget,
        )

    @property
    def busy(self) -> bool:
        """Whether something will still come back."""
        return self.running > 0 or self.budget.reserved > 0


def _rate(a_minute: int, shares: int) -> Rate:
    limit = a_minute / shares
    return Rate(limit, A_MINUTE_S, max(1.0, limit))


def _part(limit: int, shares: int) -> int:
    return max(1, limit // shares)


def _taken(meter: Meter, ticket: int, limit: int | None, units: int, now: float, shares: int) -> Meter:
    return meter if limit is None else meter.taken(ticket, units, now, _rate(limit, shares))


def _settled(meter: Meter, ticket: int, limit: int | None, unused: int, now: float, shares: int) -> Meter:
    return meter if limit is None else meter.settled(ticket, unused, now, _rate(limit, shares))


def _remaining(bucket: Bucket, limit: int | None, now: float, shares: int) -> Remaining | None:
    """How a limit stands in all processes, as far as this one can tell."""
    if limit is None:
        return None
    left = int(bucket.left(now, _rate(limit, shares)) * shares)
    return Remaining(limit, min(limit, left), bucket.full_in(now))


@define(eq=False)
class Accounts:
    """The accounts of all keys that were seen. `shares`: how many processes share what a key may have, each its part."""

    shares: int = 1
    _accounts: dict[str, Account] = field(factory=dict, init=False)
    _tickets: "count[int]" = field(factory=count, init=False)

    def of(self, caller: Caller) -> Account:
        """What a key has taken."""
        return self._accounts.get(caller.key or "") or Account()

    def enter(
        self, caller: Caller, tokens: int, now: float, epoch: float, free: bool = False
    ) -> int | Problem:
        """Take one request, its tokens and its place, which must be left again by the ticket; or nothing at all, and why.

        `free`: it may be answered without costing anything. `epoch`: the wall clock.
        """
        account = self.of(caller)
        problem = None if free else self._spent(caller, epoch)
        problem = problem or account.refusal(caller.limits, tokens, now, self.shares)
        if problem is not None:
            return problem
        ticket = next(self._tickets)
        self._put(caller, account.entered(ticket, caller.limits, tokens, now, self.shares))
        return ticket

    def leave(self, caller: Caller, ticket: int, now: float, requests: int = 0, tokens: int = 0) -> None:
        """Leave the place, and give back the `requests` and `tokens` that were taken and not used; negative: used beyond."""
        self._put(caller, self.of(caller).left(ticket, caller.limits, requests, tokens, now, self.shares))

    def charged(self, caller: Caller, now: float) -> Charged:
        """How the limits of a key stand."""
        account, limits = self.of(caller), caller.limits
        return Charged(
            _remaining(account.requests.bucket, limits.requests, now, self.shares),
            _remaining(account.tokens.bucket, limits.tokens, now, self.shares),
        )

    def reserve(self, caller: Caller, estimate: int, epoch: float) -> Problem | None:
        """Set aside micro-USD for a call, which must be settled; or why that may not be. What costs nothing always may."""
        allowance = caller.limits.budget
        if allowance is None or estimate == 0:
            return None
        account, window = self.of(caller), beginning(allowance.period, epoch)
        budget = account.budget.reserve(estimate, self._limit(allowance), window)
        if budget is None:
            return self._unaffordable(account.budget.moved(window), allowance, estimate, epoch)
        self._put(caller, evolve(account, budget=budget))
        return None

    def settle(self, caller: Caller, estimate: int, actual: int, epoch: float) -> None:
        """A call for which `estimate` was set aside is over, and has cost `actual`."""
        allowance = caller.limits.budget
        if allowance is None or estimate == actual == 0:
            return
        account = self.of(caller)
        budget = account.budget.settle(estimate, actual, beginning(allowance.period, epoch))
        self._put(caller, evolve(account, budget=budget))

    def left(self, caller: Caller, epoch: float) -> int | None:
        """Micro-USD that may still be set aside; None: the key has no budget."""
        allowance = caller.limits.budget
        if allowance is None:
            return None
        return self.of(caller).budget.left(self._limit(allowance), beginning(allowance.period, epoch))

    def restore(self, caller: Caller, spent: int, epoch: float) -> None:
        """At least `spent` micro-USD were spent in the current period, by all processes in an earlier life."""
        if (allowance := caller.limits.budget) is not None:
            account = self.of(caller)
            budget = account.budget.moved(beginning(allowance.period, epoch))
            spent = max(budget.spent, -(-spent // self.shares))
            self._put(caller, evolve(account, budget=evolve(budget, spent=spent)))

    def forget(self, known: Container[str]) -> None:
        """Keep no account of a key that is not among those `known` any more, unless something will still come back."""
        self._accounts = {
            key: account for key, account in self._accounts.items() if key in known or account.busy
        }

    def _put(self, caller: Caller, account: Account) -> None:
        self._accounts[caller.key or ""] = account

    def _limit(self, allowance: Allowance) -> int:
        return allowance.micro_usd // self.shares

    def _spent(self, caller: Caller, epoch: float) -> Problem | None:
        """Why a key that has nothing left is not even heard."""
        if (allowance := caller.limits.budget) is None:
            return None
        budget = self.of(caller).budget.moved(beginning(allowance.period, epoch))
        if budget.spent < self._limit(allowance):
            return None
        renews = following(allowance.period, budget.window)
        text = f"this key has spent its budget of {_of(allowance)}; it renews at {_moment(renews)}"
        return Problem(Kind.BUDGET, text, retry_after=renews - epoch)

    def _unaffordable(self, budget: Budget, allowance: Allowance, estimate: int, epoch: float) -> Problem:
        limit = self._limit(allowance)
        asked = f"this request may cost up to {dollars(estimate)}"
        if estimate > limit:
            text = f"{asked}, which is more than the whole budget of this key, {_of(allowance)}; ask for less (max_tokens)"
            return Problem(Kind.BUDGET, text)
        if budget.spent + estimate <= limit:
            text = (
                f"{asked}, and what is left of this key's budget of {_of(allowance)} is set aside for its requests that "
                "still run; try again when they are over"
            )
            return Problem(Kind.BUDGET, text, retry_after=SOON_S)
        renews = following(allowance.period, budget.window)
        left = dollars(max(0, limit - budget.spent))
        text = (
            f"{asked}, and {left} are left of this key's budget of {_of(allowance)}, which renews at {_moment(renews)}; "
            "until then ask for less (max_tokens) or for a cheaper model"
        )
        return Problem(Kind.BUDGET, text, retry_after=renews - epoch)


def dollars(micro_usd: int) -> str:
    """Money for people: `$20`, `$0.25`, `$0.000012`."""
    whole, part = divmod(micro_usd, 1_000_000)
    digits = f"{part:06}".rstrip("0")
    return f"${whole:,}" + (f".{digits:0<2}" if digits else "")


def _of(allowance: Allowance) -> str:
    return f"{dollars(allowance.micro_usd)} a {allowance.period}"


def _moment(epoch: int) -> str:
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M} UTC"
