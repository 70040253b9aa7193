"""What happened, told once. Facts are told in passing and never wait. `at` is monotonic seconds."""

from collections.abc import Callable
from typing import Literal, TypeAlias

from attrs import field, frozen

from pipeline.values.events import Usage
from pipeline.values.exchange import Exchange, Losses, Turn
from pipeline.values.problems import Kind
from pipeline.values.standing import Standing
from pipeline.values.targets import ModelFacts


@frozen
class Moved:
    """A stage has passed the exchange on, as it now is."""

    stage: str
    exchange: Exchange


@frozen
class Admitted:
    """The exchange got its permit after `waited_s` in the queue."""

    waited_s: float


@frozen
class Queued:
    """The exchange waits for its permit; `standing()` tells where it stands, whenever that is asked; None once it is over."""

    standing: Callable[[], Standing | None] = field(eq=False, repr=False)


@frozen
class TurnedAway:
    """The exchange got no permit, after `waited_s` in the queue. `stood`: where it would have stood, or stood at the end."""

    waited_s: float
    stood: Standing | None = None


@frozen
class Remaining:
    """One limit of a rate: `left` of `limit` may still be had, and all of it again in `reset_s` seconds."""

    limit: int
    left: int
    reset_s: float


@frozen
class Charged:
    """How the limits of the caller's key stand with this exchange, whether it was let in or not. None: no such limit."""

    requests: Remaining | None = None
    tokens: Remaining | None = None


@frozen
class AttemptStarted:
    """Attempt `number` (from 1) begins at `target` (`provider/model`). `losses`: what the request loses there.

    `again`: an earlier attempt of the exchange was at the same provider. `turn`: how it moves the target on, where
    several take turns. `client_retry`: the client's own library asks once more. `hedge`: another attempt is still running;
    `cost`: what its input is likely to cost then, in US dollars. `continues`: it goes on where another one broke off.
    """

    number: int
    target: str
    at: float
    losses: Losses = ()
    again: bool = False
    turn: Turn | None = None
    client_retry: bool = False
    hedge: bool = False
    cost: float | None = None
    continues: bool = False


@frozen
class Connected:
    """Attempt `number` has its connection: a kept one, or seconds that resolving, connecting and TLS took."""

    number: int
    target: str
    at: float
    reused: bool
    resolve_s: float = 0.0
    connect_s: float = 0.0
    tls_s: float = 0.0


@frozen
class FirstToken:
    """The first content of attempt `number` is here, `after_s` from the attempt's start.

    `size`: the class of sizes that what was asked belongs to; None where nobody has measured it.
    """

    number: int
    target: str
    at: float
    after_s: float
    size: int | None = None


@frozen
class AttemptEnded:
    """The verdict on attempt `number`: None is success, `cancelled` that we ended it ourselves.

    `after_s`: seconds from its start. `retry_after`: the upstream's own hint, in seconds. `alone`: nobody else could
    have been asked. `committed`: its content reached the client. `cost`: US dollars, None if that is not known.
    `usage`: the tokens it took, told or counted; None where it took none.
    `size`: as of `FirstToken`. `most`: so many may run at the target at once, `estimated`: its input was reckoned to have
    so many tokens; None where nobody asked.
    """

    number: int
    target: str
    at: float
    after_s: float
    verdict: Kind | None = None
    cancelled: bool = False
    retry_after: float | None = None
    alone: bool = False
    committed: bool = False
    cost: float | None = None
    usage: Usage | None = None
    size: int | None = None
    most: int | None = None
    estimated: int | None = None


@frozen
class Reused:
    """The answer is that of another exchange: its call is `shared`, or its answer was `cached`. No attempt is made.

    `exchange` is its id, `target` (`provider/model`) who gave the answer.
    """

    how: Literal["shared", "cached"]
    exchange: str
    target: str
    at: float


@frozen
class QuotaSeen:
    """What the provider's headers say is left. `requests` and `tokens` remain; resets are seconds from `at`.

    `unread`: headers that say something nobody can read.
    """

    target: str
    at: float
    requests: int | None = None
    tokens: int | None = None
    requests_reset_s: float | None = None
    tokens_reset_s: float | None = None
    unread: int = 0

    @property
    def readable(self) -> bool:
        """Whether anything is said that can be read."""
        told = (self.requests, self.tokens, self.requests_reset_s, self.tokens_reset_s)
        return any(one is not None for one in told)


@frozen
class ProbeEnded:
    """A health check of `provider` ended; `problem` None: it is well.

    `unanswered`: it answers, but will not say what was asked for want of rights, which tells nothing of its health.
    """

    provider: str
    at: float
    after_s: float
    problem: Kind | None = None
    unanswered: bool = False


@frozen
class ModelsListed:
    """`provider` told its models."""

    provider: str
    at: float
    models: tuple[ModelFacts, ...]


@frozen
class ProviderReplaced:
    """The name `provider` means another account from now on; `gone`: none."""

    provider: str
    gone: bool = False


Fact: TypeAlias = (
    Moved
    | Admitted
    | Queued
    | TurnedAway
    | Charged
    | AttemptStarted
    | Connected
    | FirstToken
    | AttemptEnded
    | Reused
    | QuotaSeen
    | ProbeEnded
    | ModelsListed
    | ProviderReplaced
)
