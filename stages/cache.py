"""cache: an answer that was given is given again to who asks for the same, for a while."""

from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field, frozen
from attrs.validators import ge, gt

from pipeline.fingerprint import fingerprint, repeatable
from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.events import (
    Batch,
    Embedded,
    Event,
    ExtraDelta,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from pipeline.values.exchange import Exchange
from pipeline.values.facts import AttemptStarted, Fact, FirstToken, Reused
from pipeline.wiring import Entry

# What an event and a batch take beside their text, about.
EVENT_BYTES = 200
NUMBER_BYTES = 32


@frozen
class CacheOptions:
    """`[stage.cache]`.

    `max_bytes`: what all answers may take in memory together, about; `max_answer_bytes`: one of them. `ttl`: seconds an
    answer is good.
    """

    max_bytes: int = field(default=64 * 2**20, validator=ge(0))
    max_answer_bytes: int = field(default=2**20, validator=ge(0))
    ttl: float = field(default=300.0, validator=gt(0))


@frozen
class Stored:
    """An answer as it came. `exchange` is the id of who got it first, `target` who gave it; `until` is monotonic."""

    batches: tuple[Batch, ...]
    size: int
    exchange: str
    target: str
    until: float


@define(eq=False)
class Shelf:
    """Answers by fingerprint, in the order they were last of use. Those that were of none for longest make room."""

    most_bytes: int
    size: int = field(default=0, init=False)
    _stored: "OrderedDict[bytes, Stored]" = field(factory=OrderedDict, init=False)

    def __len__(self) -> int:
        return len(self._stored)

    def take(self, mark: bytes, now: float) -> Stored | None:
        """The answer, if there is one that is still good."""
        stored = self._stored.get(mark)
        if stored is None:
            return None
        if now >= stored.until:
            self._drop(mark)
            return None
        self._stored.move_to_end(mark)
        return stored

    def put(self, mark: bytes, stored: Stored) -> None:
        """Keep an answer, unless it alone is more than fits."""
        if mark in self._stored:
            self._drop(mark)
        if stored.size > self.most_bytes:
            return
        while self.size + stored.size > self.most_bytes:
            self._drop(next(iter(self._stored)))
        self._stored[mark] = stored
        self.size += stored.size

    def _drop(self, mark: bytes) -> None:
        self.size -= self._stored.pop(mark).size


def size_of(batch: Batch) -> int:
    """Bytes that a batch takes, about."""
    written = len(batch.verbatim.data) if batch.verbatim else 0
    return EVENT_BYTES + written + sum(EVENT_BYTES + _text_of(event) for event in batch.events)


def _text_of(event: Event) -> int:
    match event:
        case TextDelta() | ThinkingDelta() | RefusalDelta():
            return len(event.text)
        case ToolCallDelta():
            return len(event.arguments)
        case Embedded():
            return NUMBER_BYTES * sum(map(len, event.vectors))
        case ExtraDelta():
            return len(repr(event.value))
    return 0


@define(eq=False)
class Heard:
    """What comes of an exchange, kept while it is not too long. `target`: whose content it is."""

    most_bytes: int
    wire: Wire
    batches: list[Batch] = field(factory=list, init=False)
    size: int = field(default=0, init=False)
    target: str | None = field(default=None, init=False)
    whole: bool = field(default=False, init=False)
    _asked: dict[int, str] = field(factory=dict, init=False)

    async def emit(self, batch: Batch) -> None:
        """Hand it on; what the client did not take is not kept."""
        await self.wire.emit(batch)
        self.size += size_of(batch)
        if self.size > self.most_bytes:
            self.batches.clear()
            return
        self.batches.append(batch)
        last = batch.events[-1] if batch.events else None
        self.whole = isinstance(last, Finished)

    def tell(self, fact: Fact) -> None:
        """See who answers."""
        if isinstance(fact, AttemptStarted):
            self._asked[fact.number] = fact.target
        elif isinstance(fact, FirstToken):
            self.target = self._asked[fact.number]
        elif isinstance(fact, Reused):
            self.target = fact.target
        self.wire.tell(fact)


async def replay(stored: Stored, wire: Wire, now: Callable[[], float]) -> None:
    """Give the answer again."""
    wire.tell(Reused("cached", stored.exchange, stored.target, now()))
    for batch in stored.batches:
        await wire.emit(batch)


def build(options: CacheOptions, env: Env) -> Stage:
    """The stage. Its answers are those of all pipelines that list it."""
    # Answers are good as long as all that they depend on is configured as it was.
    depends = options, env.allowed, frozenset(env.models.items()), frozenset(env.providers.values())
    shelf = env.lasting(("cache", *depends), lambda: Shelf(options.max_bytes))

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            if exchange.explain or not repeatable(exchange.request):
                await inner(exchange, wire)
                return
            mark = fingerprint(exchange)
            stored = shelf.take(mark, env.now())
            if stored is not None:
                await replay(stored, wire, env.now)
                return
            heard = Heard(min(options.max_answer_bytes, options.max_bytes), wire)
            await inner(exchange, Wire(heard.emit, heard.tell))
            if heard.whole and heard.target is not None:
                shelf.put(
                    mark,
                    Stored(
                        tuple(heard.batches), heard.size, exchange.id, heard.target, env.now() + options.ttl
                    ),
                )

        return service

    return stage


ENTRY = Entry(build, CacheOptions, side="request")
