"""charging: what an exchange takes of the limits of its caller's key, for as long as it lasts. The stage `limit` does it.

All is taken when it comes in, before it waits for a place, and settled at its end by what the attempts have used. What
never reached a provider and was not answered has taken nothing.
"""

from collections.abc import Awaitable

from attrs import define

from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.callers import CallerLimits
from pipeline.values.events import Batch, Failed, Finished
from pipeline.values.exchange import Exchange
from pipeline.values.facts import AttemptEnded, AttemptStarted, Fact
from pipeline.values.messages import LoadRequest
from pipeline.values.problems import Problem
from pipeline.values.sizes import reserved_tokens
from stages.spending import costs_nothing


@define(eq=False)
class Bill:
    """What one exchange has used so far: whether anything at all, and how many tokens. It grows in place."""

    wire: Wire
    used: bool = False
    tokens: int = 0

    def emit(self, batch: Batch) -> Awaitable[None]:
        """A batch for the client. An answer counts, whoever gave it."""
        if batch.events and type(batch.events[-1]) is Finished:
            self.used = True
        return self.wire.emit(batch)

    def tell(self, fact: Fact) -> None:
        """A fact of the exchange."""
        if isinstance(fact, AttemptStarted):
            self.used = True
        elif isinstance(fact, AttemptEnded) and fact.usage is not None:
            self.tokens += (fact.usage.input or 0) + (fact.usage.output or 0)
        self.wire.tell(fact)


def limited(limits: CallerLimits) -> bool:
    """Whether there is anything to be counted."""
    return (
        limits.requests is not None
        or limits.tokens is not None
        or limits.concurrent is not None
        or limits.budget is not None
    )


def charging(env: Env) -> Stage:
    """The stage. Whoever has no key, or one without limits, passes as if it were not there."""

    def stage(inner: Service) -> Service:
        def service(exchange: Exchange, wire: Wire) -> Awaitable[None]:
            if exchange.caller.key is None or not limited(exchange.caller.limits):
                return inner(exchange, wire)
            return charged(exchange, wire)

        async def charged(exchange: Exchange, wire: Wire) -> None:
            caller, accounts = exchange.caller, env.accounts
            tokens = tokens_at_entry(exchange)
            entered = accounts.enter(caller, tokens, env.now(), env.epoch(), may_be_free(exchange))
            if isinstance(entered, Problem):
                wire.tell(accounts.charged(caller, env.now()))
                await wire.emit(Batch((Failed(entered),)))
                return
            bill = Bill(wire)
            try:
                wire.tell(accounts.charged(caller, env.now()))
                await inner(exchange, Wire(bill.emit, bill.tell))
            finally:
                accounts.leave(
                    caller, entered, env.now(), requests=1 - bill.used, tokens=tokens - bill.tokens
                )

        return service

    return stage


def tokens_at_entry(exchange: Exchange) -> int:
    """Tokens to be taken for an exchange until its usage is known; none where no provider will be asked."""
    request = exchange.request
    if exchange.caller.limits.tokens is None or isinstance(request, LoadRequest):
        return 0
    return reserved_tokens(request)


def may_be_free(exchange: Exchange) -> bool:
    """Whether it may be answered without costing anything, so that a key whose budget is spent is heard all the same."""
    if isinstance(exchange.request, LoadRequest):
        return True
    plan = exchange.plan
    return plan is not None and any(costs_nothing(one.target) for one in plan.candidates)
