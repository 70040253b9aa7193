"""What comes back, as a stream of small values.

Reply grammar: `Started Delta* UsageSeen? (Finished | Failed)`, or `Failed` alone. An error is the last event, so one
path renders all. A `Batch` is what one read from the network gave.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from pipeline.values.problems import Problem


@frozen
class Started:
    """The upstream has begun. `model` as the upstream names it; `id` is its own id of the reply, if it gave one.

    `asked` is the name the target was asked by; the attempt puts it in, a codec leaves it out.
    """

    model: str
    id: str | None = None
    asked: str | None = None


@frozen
class TextDelta:
    """A piece of the answer. `logprobs`: token entries in OpenAI's form (`token logprob bytes top_logprobs`)."""

    text: str
    choice: int = 0
    logprobs: tuple[Mapping[str, Any], ...] = ()


@frozen
class ThinkingDelta:
    """A piece of the model's thinking."""

    text: str
    choice: int = 0


@frozen
class RefusalDelta:
    """A piece of a refusal the model spoke in place of an answer."""

    text: str
    choice: int = 0


@frozen
class ToolCallDelta:
    """A fragment of one tool call. `index` counts the calls of the answer from 0.

    The first fragment of a call carries `id` and `name` (never empty); the `arguments` of all fragments joined are its
    JSON text ("" means no arguments). Fragments of different calls may interleave.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0


@frozen
class Embedded:
    """The vectors of an embedding request, in the order of its inputs, as the provider scaled them."""

    vectors: tuple[list[float], ...]


@frozen
class ExtraDelta:
    """Something only `format` can say (annotations, audio ...), as that format's own JSON."""

    format: str
    value: Mapping[str, Any]
    choice: int = 0


@frozen
class Usage:
    """Tokens: `input` includes `cached`, `output` includes `thinking`. None: the upstream did not say."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    thinking: int | None = None
    estimated: bool = False


@frozen
class UsageSeen:
    """What the reply used. At most one a reply."""

    usage: Usage


Reason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "load", "unload"]


@frozen
class Finished:
    """The upstream's own end. `reason` of choice 0; `others` those of choices 1, 2 ...; `extra` by wire format."""

    reason: Reason
    others: tuple[Reason, ...] = ()
    extra: Mapping[str, Any] = field(factory=dict)


@frozen
class Failed:
    """The end of an exchange or an attempt that did not work out."""

    problem: Problem


Event: TypeAlias = (
    Started
    | TextDelta
    | ThinkingDelta
    | RefusalDelta
    | ToolCallDelta
    | Embedded
    | ExtraDelta
    | UsageSeen
    | Finished
    | Failed
)

# What commits an exchange: the first of these that reaches the client ends retry and fallback.
CONTENT = (TextDelta, ThinkingDelta, RefusalDelta, ToolCallDelta, Embedded, ExtraDelta, Finished)


@frozen
class Verbatim:
    """Whole frames of `format`, just as the upstream sent them."""

    format: str
    data: bytes


@frozen
class Batch:
    """All events of one read, and the bytes they came from where those can stand for them.

    `verbatim` None: the events must be rendered. A stage that changes events makes a new Batch without it.
    """

    events: tuple[Event, ...] = ()
    verbatim: Verbatim | None = None

    @property
    def content(self) -> bool:
        """Whether something of the answer itself is in it."""
        return any(isinstance(event, CONTENT) for event in self.events)


def joined(batches: Iterable[Batch]) -> Batch:
    """One batch of several; their bytes survive only if all have them, in one format."""
    parts = tuple(batches)
    if len(parts) == 1:
        return parts[0]
    events = tuple(event for batch in parts for event in batch.events)
    verbatims = [batch.verbatim for batch in parts if batch.events or batch.verbatim]
    formats = {verbatim.format for verbatim in verbatims if verbatim}
    if not verbatims or None in verbatims or len(formats) != 1:
        return Batch(events)
    data = b"".join(verbatim.data for verbatim in verbatims if verbatim)
    return Batch(events, Verbatim(formats.pop(), data))


def grammatical(events: Iterable[Event]) -> bool:
    """Whether `events` obey the reply grammar from first to last."""
    started = ended = counted = False
    for event in events:
        if ended or (counted and not isinstance(event, Finished | Failed)):
            return False
        match event:
            case Started():
                if started:
                    return False
                started = True
            case Failed():
                ended = True
            case _ if not started:
                return False
            case UsageSeen():
                counted = True
            case Finished():
                ended = True
    return ended
