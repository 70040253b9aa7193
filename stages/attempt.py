"""attempt: one try at one target, from the encoded request to the last event.

Until the first content nothing reaches the client, so a failure is only the end of this attempt; after it a failure is
the end of the exchange, unless another goes on where it broke off. One cancel scope holds all limits of time: its
deadline is moved, never a new scope opened, as the reply goes from phase to phase.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import trio
from attrs import define, evolve, field

from pipeline.leaves import Ask, Hold
from pipeline.ports import Codec, Encoded, Env, Reply
from pipeline.protocol import Wire
from pipeline.state.budget import micro
from pipeline.values.events import Batch, Event, Failed, Finished, Started, Usage, UsageSeen, joined
from pipeline.values.exchange import Candidate, Exchange, Losses
from pipeline.values.facts import AttemptEnded, AttemptStarted, Connected, FirstToken
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.sizes import input_tokens, reserved_tokens
from pipeline.values.targets import Target
from stages.continuing import Continuation, appended
from stages.costs import cost_of, input_cost
from stages.encoding import encoded_for, fitted_to
from stages.hedging import size_of
from stages.limit import waiter_of
from stages.moves import CallOptions, Start, may_begin
from stages.spending import UNDECIDED, counted, estimate, unpriced, written

# A refusal's body is read this far, and waited for this long, to be classified.
REFUSAL_BYTES, REFUSAL_S = 64 * 1024, 5.0
# How exactly silence is told: by this much a stream may be cut too early.
DEADLINE_STEP_S = 0.5
FEW_EVENTS = 16
CLOSED_MEANWHILE = Problem(
    Kind.LOCAL_LIMIT, "the provider began to fail while the request waited for its turn"
)
LIMIT_OF_STREAMS = Problem(Kind.DEADLINE, "the answer took longer than a stream may")
OUT_OF_TIME = Problem(Kind.DEADLINE, "the request's own time ran out")


class Contest(Protocol):
    """Attempts of one exchange that run at once."""

    def won_by(self, attempt: "Attempt") -> bool:
        """Whether `attempt`, whose first content is here, is the first to have any. The others are over then."""
        ...

    def beside(self, attempt: "Attempt") -> bool:
        """Whether another one is under way."""
        ...


@define(eq=False)
class Attempt:
    """One try. `problem`: why it failed; `called`: whether the upstream was asked; `committed`: the client has content.

    `numbers` gives each attempt of the exchange that is called its number. `contest`: where another may run beside it.
    `continues`: what it goes on with, where another broke off. `usage`: what it told, `started`: when it began.
    `lost`: what the request has lost before it was encoded.
    """

    start: Start
    exchange: Exchange
    numbers: Iterator[int]
    options: CallOptions
    env: Env
    wire: Wire
    contest: "Contest | None" = None
    continues: Continuation | None = None
    lost: Losses = ()
    number: int = field(default=0, init=False)
    waited: bool = field(default=False, init=False)
    problem: Problem | None = field(default=None, init=False)
    called: bool = field(default=False, init=False)
    committed: bool = field(default=False, init=False)
    usage: Usage | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    _request: ChatRequest | EmbedRequest = field(init=False)
    _size: int | None = field(init=False)
    _encoded: Encoded | None = field(default=None, init=False)
    _ended: bool = field(default=False, init=False)
    _owed: str = field(default="", init=False)
    _written: int = field(default=0, init=False)
    _reserved: int = field(default=0, init=False)
    _place: Hold = field(init=False)

    @property
    def candidate(self) -> Candidate:
        """Whom it asks."""
        return self.start.candidate

    @_request.default
    def _fitted(self) -> ChatRequest | EmbedRequest:
        return fitted_to(self.exchange, self.candidate.target)

    @_size.default
    def _measured(self) -> int | None:
        return size_of(self.exchange.request, self.options)

    async def run(self) -> None:
        """Make the attempt; afterwards the fields say what became of it."""
        provider = self.candidate.target.provider
        codec = self.env.codecs[provider.kind]
        self._encode(codec)
        if self.problem is not None:
            return
        patience_s = min(self.options.permit_timeout, max(0.0, self.exchange.deadline - self.env.now()))
        target, waiter = self.candidate.target, waiter_of(self.exchange)
        self._place = self.env.leaves.hold(target, self._ask, patience_s, waiter)
        async with self._place as waited:
            self.waited = bool(waited)
            if isinstance(waited, Problem):
                self._fail(waited)
                return
            await self._call(codec)

    def _ask(self) -> Ask:
        """What is asked for beside a place."""
        target, request = self.candidate.target, self._request
        given = input_tokens(request)
        return Ask(given, reserved_tokens(request, target.facts.output_limit) - given)

    def _encode(self, codec: Codec) -> None:
        """Make the request for the target, or find out why it cannot be made."""
        target = self.candidate.target
        encoded = encoded_for(self.exchange, self._request, target, codec, self.lost)
        if isinstance(encoded, Problem):
            self._fail(encoded)
        elif self.exchange.caller.limits.budget is not None and estimate(self._request, target) is None:
            self._fail(unpriced(target))
        else:
            self._encoded = encoded

    def _signed(self, codec: Codec) -> HttpRequest:
        """The request as it is sent. It is not kept: a stream of minutes has no use for it."""
        assert self._encoded is not None
        http, self._encoded = self._encoded.http.with_headers(self.exchange.forwarded), None
        return codec.sign(http, self.candidate.target.provider.secret, self.env.epoch())

    async def _call(self, codec: Codec) -> None:
        assert self._encoded is not None
        if self.waited and self.options.last_resort != "ignore_breakers" and not self._may_still_begin():
            self._fail(CLOSED_MEANWHILE)
            return
        if (unpaid := self._reserve()) is not None:
            self._fail(unpaid)
            return
        try:
            await self._sent(codec, self._encoded.losses)
        finally:
            # Where all goes well that is done by now; of a bug nothing stays set aside.
            if self._reserved:
                self._settle(self._reserved if self.called else 0)

    async def _sent(self, codec: Codec, losses: Losses) -> None:
        """What must be told to have ended once it has begun."""
        target, request = self.candidate.target, self._request
        transport = self.env.transports[target.provider.name]
        self.number = next(self.numbers)
        self.started = self.env.now()
        self.wire.tell(self._beginning(target, losses))
        self.called = True
        try:
            head_s = self.options.headers_timeout if request.stream else target.provider.timeout_s
            with trio.CancelScope(deadline=self._limit(head_s)) as scope:
                async with transport.open(self._signed(codec)) as reply:
                    if isinstance(reply, Problem):
                        self._fail(reply)
                    elif not 200 <= reply.head.status < 300:
                        # A refusal says most plainly what is left.
                        self._tell_quota(codec, reply)
                        self._fail(codec.classify(reply.head, await _refusal(reply)))
                    else:
                        await self._stream(codec, reply, scope)
            if scope.cancelled_caught and not self._ended:
                self._fail(self._late(request))
        finally:
            self._tell_end()

    async def _stream(self, codec: Codec, reply: Reply, scope: trio.CancelScope) -> None:
        """Read the reply to its end: what comes before the first content is held back, then all is handed on."""
        target = self.candidate.target
        if (link := reply.link) is not None:
            now = self.env.now()
            self.wire.tell(
                Connected(
                    self.number, target.name, now, link.reused, link.resolve_s, link.connect_s, link.tls_s
                )
            )
        self._tell_quota(codec, reply)
        streamed = self._request.stream
        if streamed:
            scope.deadline = self._limit(target.provider.timeout_s)
        state = codec.fresh(self._request_there())
        held: list[Batch] = []
        slow = True
        while True:
            data = await reply.read()
            if isinstance(data, Problem):
                batch = _broken(codec, state, data)
            elif data:
                state, batch = codec.decode(state, data)
            else:
                batch = codec.finish(state)
            self._written += written(batch)
            ended = self._end_of(batch)
            if not self.committed:
                held.append(self._named(batch))
                if batch.content:
                    if not self._commit():
                        return
                    batch = joined(held)
                elif ended:
                    return
                else:
                    continue
            began = self.env.now()
            if ended:
                # It is all here: however long the client takes for it, no limit of the upstream's can pass any more.
                scope.deadline = math.inf
            elif streamed and (slow or len(batch.events) > FEW_EVENTS):
                # While the client takes his time the upstream is not asked for more, so its silence is not counted.
                # From one who was quick so far, few events are gone long before the idle limit.
                scope.deadline = self._end_s()
            await self._hand_on(batch)
            if ended:
                return
            if streamed:
                now = self.env.now()
                slow = now - began > DEADLINE_STEP_S
                self._wait_until(scope, min(now + self.options.idle_timeout, self._end_s()))

    def _tell_quota(self, codec: Codec, reply: Reply) -> None:
        if (quota := codec.quota(self.candidate.target.name, reply.head, self.env.now())) is not None:
            self.wire.tell(quota)

    def _request_there(self) -> ChatRequest | EmbedRequest:
        """The request with the target's own name of the model, which tells what its replies mean."""
        request, own = self._request, self.candidate.target.model
        return request if request.model == own else evolve(request, model=own)

    @staticmethod
    def _wait_until(scope: trio.CancelScope, deadline: float) -> None:
        """Move the deadline where that makes a difference: it costs as much as decoding a chunk."""
        if abs(deadline - scope.deadline) >= DEADLINE_STEP_S:
            scope.deadline = deadline

    def _named(self, batch: Batch) -> Batch:
        """The batch with the name that the target was asked by in its `Started`."""
        asked = self.candidate.target.model
        events: tuple[Event, ...] = tuple(
            evolve(event, asked=asked) if isinstance(event, Started) else event for event in batch.events
        )
        return Batch(events, batch.verbatim)

    def _end_of(self, batch: Batch) -> bool:
        """Whether the reply has ended with this batch; fixes the verdict."""
        last = batch.events[-1] if batch.events else None
        if isinstance(last, UsageSeen | Finished | Failed):
            # Behind the usage nothing comes but the end.
            for event in batch.events[-2:]:
                if isinstance(event, UsageSeen):
                    self.usage = event.usage
        if isinstance(last, Failed):
            self._fail(last.problem if self.committed or batch.content else _unbegun(last.problem))
        self._ended = isinstance(last, Failed | Finished)
        return self._ended

    async def _hand_on(self, batch: Batch) -> None:
        # A failure is emitted once the connection is closed and the verdict told, so it is cut off here.
        if self.problem is not None:
            batch = Batch(batch.events[:-1])
        if self.continues is not None:
            self._owed, batch = appended(batch, self._owed, self.continues.used)
        if batch.events or batch.verbatim:
            await self.wire.emit(batch)

    def _may_still_begin(self) -> bool:
        """While it waited for its permit others may have found the target failing, or spent what there was."""
        now = self.env.now()
        return may_begin(self.start, self.env.snapshot(), now, self.exchange.deadline - now)

    def _beginning(self, target: Target, losses: Losses) -> AttemptStarted:
        hedge = self.contest is not None and self.contest.beside(self)
        cost = input_cost(target, input_tokens(self.exchange.request)) if hedge else None
        return AttemptStarted(
            self.number,
            target.name,
            self.started,
            losses,
            self.start.again,
            self.candidate.turn,
            self.exchange.client_retry,
            hedge,
            cost,
            self.continues is not None,
        )

    def _commit(self) -> bool:
        """The first content is here. False: another attempt was faster, and this one is over."""
        if self.contest is not None and not self.contest.won_by(self):
            return False
        now = self.env.now()
        self.committed = True
        self._owed = self.continues.owed if self.continues else ""
        after_s = now - self.started
        self.wire.tell(FirstToken(self.number, self.candidate.target.name, now, after_s, self._size))
        return True

    def _fail(self, problem: Problem) -> None:
        self.problem = problem.at(self.candidate.target.name)

    def _limit(self, limit_s: float) -> float:
        """When the phase that may last until `limit_s` after the attempt's start is over, or the exchange's own time."""
        return min(self.started + limit_s, self.exchange.deadline)

    def _end_s(self) -> float:
        """When even a steady stream is cut."""
        began = self.continues.began if self.continues else self.started
        return min(began + self.options.stream_timeout, self.exchange.deadline)

    def _late(self, request: ChatRequest | EmbedRequest) -> Problem:
        """Which limit has passed."""
        now, deadline = self.env.now(), self.exchange.deadline
        if self.committed and now >= self._end_s() - DEADLINE_STEP_S:
            return OUT_OF_TIME if self._end_s() == deadline else LIMIT_OF_STREAMS
        if now >= deadline:
            return OUT_OF_TIME
        if self.committed:
            return Problem(Kind.STREAM_ERROR, "the provider fell silent in the middle of its answer")
        if request.stream:
            return Problem(Kind.FIRST_BYTE, "the provider did not begin its answer in time")
        return Problem(Kind.TOTAL, "the provider did not answer in time")

    def _reserve(self) -> Problem | None:
        """Set aside what the call may cost a key that has a budget; or why that is not possible."""
        caller = self.exchange.caller
        if caller.limits.budget is None:
            return None
        cost = estimate(self._request, self.candidate.target) or 0
        problem = self.env.accounts.reserve(caller, cost, self.env.epoch())
        self._reserved = 0 if problem else cost
        return problem

    def _settle(self, cost: int) -> None:
        """The call is over, and what it cost is spent in place of what was set aside for it."""
        reserved, self._reserved = self._reserved, 0
        self.env.accounts.settle(self.exchange.caller, reserved, cost, self.env.epoch())

    def _took(self) -> Usage | None:
        """The tokens it took: those that were told, or counted where it was cut. Who was refused has taken none."""
        problem = self.problem
        if self.usage is None and problem is not None and not self._written and problem.kind not in UNDECIDED:
            return None
        return counted(self.usage, self._request, self._written)

    def _tell_end(self) -> None:
        now = self.env.now()
        problem = self.problem
        usage = self._took()
        target = self.candidate.target
        cost = cost_of(target, usage)
        self._place.used(0 if usage is None else (usage.input or 0) + (usage.output or 0))
        self._settle(micro(cost))
        self.wire.tell(
            AttemptEnded(
                self.number,
                target.name,
                now,
                now - self.started,
                verdict=problem.kind if problem else None,
                cancelled=problem is None and not self._ended,
                retry_after=problem.retry_after if problem else None,
                alone=self.start.alone,
                committed=self.committed,
                cost=cost,
                usage=usage,
                size=self._size,
                most=self._place.most,
                estimated=self._place.ask.input or None,
            )
        )


def _unbegun(problem: Problem) -> Problem:
    """A stream that broke before its first content: to the client nothing was lost, so another may be asked."""
    return evolve(problem, kind=Kind.WRITE_OR_RESET) if problem.kind is Kind.STREAM_ERROR else problem


def _broken(codec: Codec, state: Any, problem: Problem) -> Batch:
    """What is left to say where reading ended in `problem`: nothing is missing of an answer that had told its end."""
    if problem.kind is Kind.STREAM_ERROR:
        batch = codec.finish(state)
        if batch.events and isinstance(batch.events[-1], Finished):
            return batch
    return Batch((Failed(problem),))


async def _refusal(reply: Reply) -> bytes:
    """The body of a refusal, as far as it helps. The status alone tells most."""
    body = bytearray()
    with trio.move_on_after(REFUSAL_S):
        while len(body) < REFUSAL_BYTES:
            data = await reply.read()
            if isinstance(data, Problem) or not data:
                break
            body += data
    return bytes(body[:REFUSAL_BYTES])
