"""What happened, told once. Facts are told in passing and never wait. `at` is monotonic seconds."""

from typing import TypeAlias

from attrs import frozen

from pipeline.values.exchange import Exchange, Losses
from pipeline.values.problems import Kind
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
class AttemptStarted:
    """Attempt `number` (from 1) begins at `target` (`provider/model`). `losses`: what the request loses there.

    `again`: an earlier attempt of the exchange was at the same provider. `turn`: when it is the target's turn again, where
    several take turns. `client_retry`: the client's own library asks once more. `hedge`: another attempt is still running;
    `cost`: what its input is likely to cost then, in US dollars. `continues`: it goes on where another one broke off.
    """

    number: int
    target: str
    at: float
    losses: Losses = ()
    again: bool = False
    turn: float | None = None
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
    """The first content of attempt `number` is here, `after_s` from the attempt's start."""

    number: int
    target: str
    at: float
    after_s: float


@frozen
class AttemptEnded:
    """The verdict on attempt `number`: None is success, `cancelled` that we ended it ourselves.

    `after_s`: seconds from its start. `retry_after`: the upstream's own hint, in seconds. `alone`: nobody else could
    have been asked. `committed`: its content reached the client. `cost`: US dollars, None if that is not known.
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


@frozen
class QuotaSeen:
    """What the provider's headers say is left. `requests` and `tokens` remain; resets are seconds from `at`."""

    target: str
    at: float
    requests: int | None = None
    tokens: int | None = None
    requests_reset_s: float | None = None
    tokens_reset_s: float | None = None


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


Fact: TypeAlias = (
    Moved
    | Admitted
    | AttemptStarted
    | Connected
    | FirstToken
    | AttemptEnded
    | QuotaSeen
    | ProbeEnded
    | ModelsListed
)
