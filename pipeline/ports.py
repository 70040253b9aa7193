"""What the outer rooms promise: codecs, dialects, transports, and the `Env` through which a stage meets them."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

from attrs import Factory, field, frozen

from pipeline.accounts import Accounts
from pipeline.gate import Gate
from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.leaves import Leaves
from pipeline.names import everything
from pipeline.overload import Overload
from pipeline.state.board import Snapshot
from pipeline.values.events import Batch
from pipeline.values.exchange import Losses, Record
from pipeline.values.facts import QuotaSeen
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest, Request
from pipeline.values.problems import Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, ModelRule, Provider, Target

T = TypeVar("T")


@frozen
class Encoded:
    """A request in a vendor's form, and what had to be lost on the way."""

    http: HttpRequest
    losses: Losses = ()


def all_listed(provider: Provider, listed: tuple[ModelFacts, ...]) -> tuple[ModelFacts, ...]:
    """An account serves all that its list names."""
    return listed


def never(target: Target) -> bool:
    """No model does."""
    return False


@frozen
class Codec:
    """One vendor's wire language, as pure functions: no socket, no clock.

    `encode(request, target)`: the unsigned request, or a Problem where this vendor cannot be asked that.
    `sign(http, secret, epoch_s)`: the one reader of a secret.
    `fresh(request)`: decoder state before the first byte of the reply to `request`, whose model is the target's own name.
    `decode(state, bytes)`: any split of the bytes gives the same events; a Batch may be empty. After `Finished` or
    `Failed` nothing more comes.
    `finish(state)`: what the end of the bytes means: nothing if the end was already told, else `Finished` or `Failed`.
    `classify(head, body)`: the Problem of a refused call (any status but 2xx); total. `body` may be cut at 64 KiB.
    `quota(target name, head, now)`: what the rate-limit headers say, None if nothing. Monotonic `now`.
    `list_models(provider)` and `models(body)`: the free call that lists models, and its answer read; () if unreadable.
    It is the health probe as well.
    `served(provider, listed)`: what an account serves of the models its list names; all, as a rule.
    `patterns`: shell patterns of model names that this vendor serves, for providers whose list is not known.
    `count(request, target)`: the unsigned call that counts the tokens of `request`, None where that is not offered; and
    `counted(body)`: what its answer says, None if unreadable.
    `prefills(target)`: the model goes on with the words of a last turn of its own, as if it had just said them.
    """

    kind: str
    encode: Callable[[ChatRequest | EmbedRequest, Target], Encoded | Problem]
    sign: Callable[[HttpRequest, Secret, float], HttpRequest]
    fresh: Callable[[ChatRequest | EmbedRequest], Any]
    decode: Callable[[Any, bytes], tuple[Any, Batch]]
    finish: Callable[[Any], Batch]
    classify: Callable[[ReplyHead, bytes], Problem]
    quota: Callable[[str, ReplyHead, float], QuotaSeen | None]
    list_models: Callable[[Provider], HttpRequest]
    models: Callable[[bytes], tuple[ModelFacts, ...]]
    patterns: tuple[str, ...] = ()
    served: Callable[[Provider, tuple[ModelFacts, ...]], tuple[ModelFacts, ...]] = all_listed
    count: Callable[[ChatRequest, Target], HttpRequest | None] | None = None
    counted: Callable[[bytes], int | None] | None = None
    prefills: Callable[[Target], bool] = never


@frozen
class Answer:
    """A whole reply: status, headers, body."""

    head: ReplyHead
    body: bytes


@frozen
class Dialect:
    """One client language on one route, the mirror of a codec; pure as well.

    `name`: its wire format (`ollama.chat`, `openai.chat` ...), equal to the format of a `Source` or `Verbatim` that fits.
    `read(http)`: the request, or a Problem to be answered by `refuse`.
    `fresh(request, exchange id, epoch_s)`: state of writing a reply that begins at that wall-clock time.
    `head(state)`: status and headers of a reply that went well.
    `write(state, batch, elapsed_s)`: the bytes of a streamed reply for this batch; `Failed` becomes the protocol's own
    error frame and the end. `elapsed_s` is counted from the exchange's arrival.
    `collect(state, batches, elapsed_s)`: the whole reply that is not streamed; its last event is never `Failed`.
    `refuse(problem, request | None, exchange id)`: the whole error answer, before anything was sent.
    `keep_alive(state, elapsed_s)`: what may be sent while nothing has come yet. `comments`: a line that begins with a
    colon may stand beside it, and clients pass over it.
    """

    name: str
    read: Callable[[HttpRequest], Request | Problem]
    fresh: Callable[[Request, str, float], Any]
    head: Callable[[Any], ReplyHead]
    write: Callable[[Any, Batch, float], tuple[Any, bytes]]
    collect: Callable[[Any, tuple[Batch, ...], float], Answer]
    refuse: Callable[[Problem, Request | None, str], Answer]
    keep_alive: Callable[[Any, float], tuple[Any, bytes]]
    comments: bool = False


Read: TypeAlias = Callable[[], Awaitable[bytes | Problem]]


@frozen
class Link:
    """How a call got its connection: a kept one, or seconds that resolving, connecting and TLS took."""

    reused: bool
    resolve_s: float = 0.0
    connect_s: float = 0.0
    tls_s: float = 0.0


@frozen
class Reply:
    """An upstream's reply whose head has come. `read` waits for more of the body: b"" is its end, a Problem the last.

    `link` is None where the transport does not know.
    """

    head: ReplyHead
    read: Read
    link: Link | None = None


class Transport(Protocol):
    """Carries one call. Leaving the block, by whatever way, ends the call and closes its connection at once."""

    def open(self, request: HttpRequest) -> AbstractAsyncContextManager[Reply | Problem]:
        """Send `request`; the reply when its head is here, or why it could not be had.

        Only connecting has a limit of its own; the caller cancels whatever else takes too long.
        Problems: `connect`, `tls_invalid`, `write_or_reset`, `garbled`; `read` gives `stream_error` and `garbled`.
        """
        ...

    async def aclose(self) -> None:
        """Close what is kept for later calls."""
        ...


def no_record(record: Record) -> None:
    """Where nobody keeps records."""


def left_alone(value: Any) -> None:
    """Where what is kept fits as it is."""


def unwatched(gate: Gate) -> None:
    """Where nobody shows who waits."""


class Lasting(Protocol):
    """What outlives the configuration it was made under, so that a new one begins where the old one stands.

    A stage that holds state asks for it here when it is built. It gets the value that the configuration before had under
    the same `key`, and only where there was none what `make` gives. A key that holds the options gives state that lasts as
    long as they do; under any other `adapt` is called once the new configuration is in force, to make the value fit it.
    """

    def __call__(self, key: Hashable, make: Callable[[], T], adapt: Callable[[T], None] = left_alone) -> T:
        """The value under `key`."""
        ...


def made_now(key: Hashable, make: Callable[[], T], adapt: Callable[[T], None] = left_alone) -> T:
    """Where nothing outlives its environment."""
    return make()


@frozen
class Env:
    """All that a stage may reach. Clock and chance enter here and nowhere else.

    `now`: monotonic seconds; `epoch`: wall clock, for records and signatures alone; `rolls(n)`: n floats in [0, 1).
    `providers` by name, `codecs` by kind, `transports` by provider, `gates` by provider; `models`: `[models]`.
    `known`: the catalogue of models.
    `allowed(*names)`: whether the house may serve a model known by these names. `keep`: where Records go.
    `opened(gate)`: a stage lets exchanges wait at this gate, for who shows how many do.
    `accounts`: what each key has taken of what it may have. `overload`: whether the process keeps up, and who is let in.
    `lasting(key, make)`: what a stage keeps when the configuration is read anew. `leaves`: the places at each target.
    """

    now: Callable[[], float]
    epoch: Callable[[], float]
    rolls: Callable[[int], tuple[float, ...]]
    snapshot: Callable[[], Snapshot]
    providers: Mapping[str, Provider]
    codecs: Mapping[str, Codec]
    transports: Mapping[str, Transport]
    gates: Mapping[str, Gate]
    models: Mapping[str, ModelRule] = field(factory=dict)
    known: Knowledge = NOTHING_KNOWN
    allowed: Callable[..., bool] = everything
    keep: Callable[[Record], None] = no_record
    opened: Callable[[Gate], None] = unwatched
    accounts: Accounts = field(factory=Accounts)
    overload: Overload = field(factory=Overload)
    lasting: Lasting = made_now
    leaves: Leaves = field(
        default=Factory(lambda env: Leaves(env.now, env.snapshot, env.gates), takes_self=True)
    )
