"""call: the only stage that asks an upstream. It carries out the moves, one attempt after the other, until one commits."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import trio
from attrs import define, evolve, field

from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.events import Batch, Failed, Finished, Started
from pipeline.values.exchange import Candidate, Exchange, Losses, Plan
from pipeline.values.messages import ChatRequest, LoadRequest
from pipeline.values.problems import Kind, Problem
from pipeline.wiring import Entry
from stages.attempt import Attempt
from stages.continuing import Continuation, Said, continuation, may_go_on, next_part
from stages.hedging import hedge_after, hedge_candidate
from stages.moves import CallOptions, GiveUp, Start, Try, World, may_begin, next_move
from stages.spending import within_budget

OVERTAKEN = Problem(Kind.LOCAL_LIMIT, "another provider was faster")


async def answer_load(request: LoadRequest, wire: Wire) -> None:
    """The answer to Ollama's load and unload: there is nothing to load, so no provider is asked."""
    await wire.emit(Batch((Started(request.model), Finished("unload" if request.unload else "load"))))


@define(eq=False)
class Call:
    """One exchange being carried out. `tries`: what failed so far. `said`: what the client was told, where others may go on
    with an answer that breaks off.
    """

    exchange: Exchange
    plan: Plan
    wire: Wire
    options: CallOptions
    env: Env
    said: Said | None = None
    tries: tuple[Try, ...] = field(default=(), init=False)
    numbers: Iterator[int] = field(factory=partial(count, 1), init=False)

    async def carry_out(self) -> None:
        """Make attempts until one has given its content to the client or the moves give up."""
        while True:
            move = next_move(self.plan, self.tries, self.options, self._world(self._free))
            if isinstance(move, GiveUp):
                await self.wire.emit(Batch((Failed(move.problem),)))
                return
            if move.delay_s:
                await trio.sleep(move.delay_s)
                world = self._world(self._free)
                if not may_begin(move, world.snapshot, world.now, world.left_s):
                    # It was asked before, so what it said then is what there is to tell of it.
                    self.tries = (*self.tries, Try(move.candidate, self.tries[-1].problem, called=False))
                    continue
            answer = await self._made(move)
            if answer is not None:
                await self._finish(answer)
                return

    async def _made(self, start: Start) -> Attempt | None:
        """Make the attempt, and another beside it where it is slow. The one that was the answer, if any."""
        request, world = self.exchange.request, self._world(self._roomy)
        wait_s = hedge_after(start.candidate, self.plan, request, self.options, world)
        if wait_s is not None:
            return await Race(self, start, wait_s).run()
        attempt = self.attempt(start)
        await attempt.run()
        return attempt if self.settled(attempt) else None

    async def _finish(self, answer: Attempt) -> None:
        """The answer is over. Where it broke off others go on with it, as long as there are any that can."""
        problem = answer.problem
        if problem is None:
            return
        self.tries = (*self.tries, Try(answer.candidate, problem, called=True))
        while (following := self._following(answer)) is not None:
            await following.run()
            if following.problem is None:
                return
            self.tries = (*self.tries, Try(following.candidate, following.problem, following.called))
            if following.committed:
                answer, problem = following, following.problem
        await self.wire.emit(Batch((Failed(problem),)))

    def _following(self, answer: Attempt) -> Attempt | None:
        """The attempt that goes on with an answer that broke off."""
        said, request = self.said, self.exchange.request
        if said is None or not isinstance(request, ChatRequest):
            return None
        start = next_part(
            said, request, self.plan, self.tries, self.options, self._world(self._free), self._prefills
        )
        if start is None:
            return None
        continues = continuation(answer.continues, request, answer.usage, said.text, answer.started)
        return self.attempt(start, continues=continues)

    def _prefills(self, candidate: Candidate) -> bool:
        return prefills(candidate, self.env)

    def attempt(
        self,
        start: Start,
        race: "Race | None" = None,
        continues: Continuation | None = None,
    ) -> Attempt:
        """An attempt of this exchange."""
        exchange = evolve(self.exchange, request=continues.request) if continues else self.exchange
        lost: Losses = ()
        if exchange.caller.limits.budget is not None:
            left = self.env.accounts.left(exchange.caller, self.env.epoch())
            exchange, lost = within_budget(exchange, start.candidate.target, left)
        return Attempt(
            start,
            exchange,
            self.numbers,
            self.options,
            self.env,
            self.wire,
            contest=race,
            continues=continues,
            lost=lost,
        )

    def settled(self, attempt: Attempt) -> bool:
        """Whether `attempt`, which is over, was the answer; else it is one more try."""
        if attempt.committed or attempt.problem is None:
            return True
        self.tries = (*self.tries, Try(attempt.candidate, attempt.problem, attempt.called))
        return False

    def overtaken(self, attempt: Attempt) -> None:
        """`attempt` was not the answer because another one is. It was an attempt all the same."""
        self.tries = (*self.tries, Try(attempt.candidate, attempt.problem or OVERTAKEN, attempt.called))

    def rival(self, start: Start) -> Start | None:
        """The attempt to be made beside a slow one, if any may be: by somebody new, and within the attempts allowed."""
        if sum(attempt.called for attempt in self.tries) + 2 > self.options.max_attempts:
            return None
        tried = {attempt.candidate.target for attempt in self.tries}
        new = tuple([one for one in self.plan.candidates if one.target not in tried])
        candidate = hedge_candidate(
            start.candidate,
            evolve(self.plan, candidates=new),
            self.exchange,
            self.options,
            self._world(self._roomy),
        )
        return None if candidate is None else Start(candidate)

    def _world(self, free: Callable[[Candidate], bool]) -> World:
        env = self.env
        now = env.now()
        return World(env.snapshot(), now, self.exchange.deadline - now, free, env.rolls(1)[0], self._crowd)

    def _crowd(self, candidate: Candidate) -> float:
        return self.env.leaves.crowd(candidate.target)

    def _free(self, candidate: Candidate) -> bool:
        return self.env.leaves.free(candidate.target)

    def _roomy(self, candidate: Candidate) -> bool:
        return self.env.leaves.roomy(candidate.target)


@define(eq=False)
class Race:
    """Two attempts of one exchange: the second begins where the first is slow, and the first with content wins.

    The loser is cancelled at once, which closes its connection. Its failure is nobody's business but the ledger's.
    """

    call: Call
    start: Start
    wait_s: float
    scopes: dict[Attempt, trio.CancelScope] = field(factory=dict, init=False)
    winner: Attempt | None = field(default=None, init=False)
    decided: trio.Event = field(factory=trio.Event, init=False)

    async def run(self) -> Attempt | None:
        """Run it to its end. The one that was the answer, if any."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._challenge)
            # Each begins in the task that has decided it: in another it would begin later, when what was decided
            # may be wrong.
            await self._take_part(self.call.attempt(self.start, self))
        return self.winner

    async def _challenge(self) -> None:
        """Begin the second, if the first is slow and nobody has failed so far."""
        with trio.move_on_after(self.wait_s):
            await self.decided.wait()
        if not self.decided.is_set() and (rival := self.call.rival(self.start)):
            await self._take_part(self.call.attempt(rival, self))

    def won_by(self, attempt: Attempt) -> bool:
        """Whether `attempt` is the first with content. The others are over then."""
        if self.winner is None:
            self.winner = attempt
            self.decided.set()
            for other, scope in self.scopes.items():
                if other is not attempt:
                    scope.cancel()
        return self.winner is attempt

    def beside(self, attempt: Attempt) -> bool:
        """Whether another one is under way: who waits for a place has not begun."""
        return any(other is not attempt and other.called for other in self.scopes)

    async def _take_part(self, attempt: Attempt) -> None:
        with trio.CancelScope() as scope:
            self.scopes[attempt] = scope
            await attempt.run()
        del self.scopes[attempt]
        if self.winner not in (None, attempt):
            self.call.overtaken(attempt)
        elif self.winner is None and self.call.settled(attempt):
            # A whole answer without any content is one too.
            self.won_by(attempt)
        self.decided.set()


def called(exchange: Exchange, plan: Plan, wire: Wire, options: CallOptions, env: Env) -> Call:
    """The call of an exchange, which listens to what is said where that may have to be gone on with."""
    if options.mid_stream == "error" or not may_go_on(
        exchange.request, plan, lambda candidate: prefills(candidate, env)
    ):
        return Call(exchange, plan, wire, options, env)
    said = Said()
    return Call(exchange, plan, said.on(wire), options, env, said)


def prefills(candidate: Candidate, env: Env) -> bool:
    """Whether a candidate goes on with words that were put into the model's mouth."""
    return env.codecs[candidate.target.provider.kind].prefills(candidate.target)


def build(options: CallOptions, env: Env) -> Stage:
    """The stage. It asks no inner service: what stands inside it is the world."""

    def stage(inner: Service) -> Service:
        async def service(exchange: Exchange, wire: Wire) -> None:
            if isinstance(exchange.request, LoadRequest):
                await answer_load(exchange.request, wire)
            else:
                assert (
                    exchange.plan is not None
                )  # the order check holds that a stage before this one gives it
                await called(exchange, exchange.plan, wire, options, env).carry_out()

        return service

    return stage


ENTRY = Entry(build, CallOptions, side="call", needs=("plan",), gives=("reply",))
