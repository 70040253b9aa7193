"""continuing: whether an answer that broke off can be gone on with elsewhere, by whom, and what he is asked. Pure.

    first:         "Once upon a time there was a king wh"  <- breaks off
    the next one:  the conversation, and as his own words so far: "Once upon a time there was a king wh"
                   "o had three daughters. ..."            -> to the client, as if nothing had happened

Only bare text can be taken up like that, and only by models that go on with words that were put in their mouth.
"""

from collections.abc import Awaitable, Callable

from attrs import define, evolve, field, frozen

from pipeline.protocol import Wire
from pipeline.values.events import (
    Batch,
    Event,
    ExtraDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.exchange import Candidate, Plan
from pipeline.values.messages import ChatRequest, Message, Request, Role, Text
from pipeline.values.problems import Kind
from pipeline.values.sizes import input_tokens, tokens_of
from stages.moves import LEAST_TIME_S, CallOptions, Start, Try, World, another

# What only belongs to the beginning of an answer, or to a thought about how to go on.
UNTOLD = (Started, ThinkingDelta, ExtraDelta)


@define(eq=False)
class Said:
    """What the client was told of an answer so far. `plain`: nothing but text. It grows in place with every batch."""

    plain: bool = field(default=True, init=False)
    _pieces: list[str] = field(factory=list, init=False)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._pieces)

    def on(self, wire: Wire) -> Wire:
        """`wire`, overheard. Bytes of an upstream are not handed on: another one's could not follow them."""

        def emit(batch: Batch) -> Awaitable[None]:
            for event in batch.events:
                self._hear(event)
            return wire.emit(Batch(batch.events))

        return Wire(emit, wire.tell)

    def _hear(self, event: Event) -> None:
        if type(event) is TextDelta and not event.choice:
            self._pieces.append(event.text)
        elif type(event) is not Started:
            self.plain = False


@frozen
class Continuation:
    """What an attempt is to go on with: the `text` so far, put into `request`.

    `used`: what the parts before it used. `began`: when the first of them did, in monotonic seconds.
    """

    text: str
    request: ChatRequest
    used: Usage
    began: float

    @property
    def owed(self) -> str:
        """White space at the end of the text, which is not put into the model's mouth, so it comes again."""
        return self.text[len(self.text.rstrip()) :]


def may_go_on(request: Request, plan: Plan, prefills: Callable[[Candidate], bool]) -> bool:
    """Whether the answer to `request` could be gone on with by a candidate other than who has begun it."""
    if not isinstance(request, ChatRequest) or not (request.stream and request.messages):
        return False
    bound = request.format is not None or request.logprobs is not None or request.choices != 1
    thinks = request.thinking is not None and request.thinking.on
    calls = request.tool_choice is not None and request.tool_choice.mode in ("required", "named")
    if bound or thinks or calls or request.prompt is not None:
        return False
    # Where the client himself has put words into the model's mouth, nobody knows whether they belong to the answer.
    if request.messages[-1].role is Role.ASSISTANT:
        return False
    return len(plan.candidates) > 1 and any(map(prefills, plan.candidates))


def next_part(
    said: Said,
    request: ChatRequest,
    plan: Plan,
    tries: tuple[Try, ...],
    options: CallOptions,
    world: World,
    prefills: Callable[[Candidate], bool],
) -> Start | None:
    """Who goes on with what was said, after `tries`, the last of which has just failed; None: nobody."""
    if any(not one.problem.rule.other and one.problem.kind is not Kind.STREAM_ERROR for one in tries):
        return None
    if not said.plain or not said.text.strip() or left_tokens(request, said.text) == 0:
        return None
    called = sum(one.called for one in tries)
    if options.fallback == "none" or called >= options.max_attempts or world.left_s < LEAST_TIME_S:
        return None
    tried = {one.candidate.target.name for one in tries}
    able = tuple(
        [
            one
            for one in plan.candidates
            if one.instead_of is None and one.target.name not in tried and prefills(one)
        ]
    )
    return another(able, plan, tries, options, world)


def continuation(
    before: Continuation | None, request: ChatRequest, usage: Usage | None, text: str, began: float
) -> Continuation:
    """What goes on with `text`. `before`: what the part that broke off had gone on with itself, `usage`: what it told.

    `request`: the client's. Where the part told no usage, it is guessed: it will be paid for all the same.
    """
    asked, known = (before.request, before.text) if before else (request, "")
    own = usage or Usage(input_tokens(asked), tokens_of(len(text[len(known) :].encode())), estimated=True)
    used = added(before.used, own) if before else own
    messages = (*request.messages, Message(Role.ASSISTANT, (Text(text.rstrip()),)))
    sampling = evolve(request.sampling, max_tokens=left_tokens(request, text))
    return Continuation(
        text,
        request.rewritten(messages=messages, sampling=sampling),
        used,
        before.began if before else began,
    )


def left_tokens(request: ChatRequest, text: str) -> int | None:
    """How many tokens the answer may still have after `text`; None: as many as it likes."""
    limit = request.sampling.max_tokens
    return None if limit is None else max(0, limit - tokens_of(len(text.encode())))


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two; what one of them does not say counts as nothing."""

    def both(first: int | None, second: int | None) -> int | None:
        return None if first is None and second is None else (first or 0) + (second or 0)

    return Usage(
        both(one.input, other.input),
        both(one.output, other.output),
        both(one.cached, other.cached),
        both(one.thinking, other.thinking),
        one.estimated or other.estimated,
    )


def appended(batch: Batch, owed: str, used: Usage) -> tuple[str, Batch]:
    """A batch of a part that goes on, as the client is told it, and what white space still comes again after it."""
    events: list[Event] = []
    for event in batch.events:
        if isinstance(event, UNTOLD):
            continue
        if isinstance(event, TextDelta) and owed:
            text, owed = unrepeated(event.text, owed)
            if not text:
                continue
            event = evolve(event, text=text)
        elif isinstance(event, UsageSeen):
            event = UsageSeen(added(used, event.usage))
        events.append(event)
    return owed, Batch(tuple(events))


def unrepeated(text: str, owed: str) -> tuple[str, str]:
    """`text` without as much of `owed` as it begins with, and what of that may still follow."""
    same = 0
    while same < min(len(text), len(owed)) and text[same] == owed[same]:
        same += 1
    return text[same:], owed[same:] if same == len(text) else ""
