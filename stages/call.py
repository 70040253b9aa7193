"""call: the only stage that asks an upstream. It carries out the moves, one attempt after the other, until one commits."""

import trio

from pipeline.ports import Env
from pipeline.protocol import Service, Stage, Wire
from pipeline.values.events import Batch, Failed, Finished, Started
from pipeline.values.exchange import Candidate, Exchange, Plan
from pipeline.values.messages import LoadRequest
from pipeline.wiring import Entry
from stages.attempt import Attempt
from stages.moves import CallOptions, GiveUp, Start, Try, next_move


async def answer_load(request: LoadRequest, wire: Wire) -> None:
    """The answer to Ollama's load and unload: there is nothing to load, so no provider is asked."""
    await wire.emit(Batch((Started(request.model), Finished("unload" if request.unload else "load"))))


async def carry_out(exchange: Exchange, plan: Plan, wire: Wire, options: CallOptions, env: Env) -> None:
    """Make attempts until one has given its content to the client or the moves give up."""

    def free(candidate: Candidate) -> bool:
        return env.gates[candidate.target.provider.name].free

    tries: tuple[Try, ...] = ()
    number = 0
    while True:
        left_s = exchange.deadline - env.now()
        match next_move(plan, tries, options, left_s, free, env.rolls(1)[0]):
            case GiveUp(problem):
                await wire.emit(Batch((Failed(problem),)))
                return
            case Start(candidate, delay_s):
                if delay_s:
                    await trio.sleep(delay_s)
                attempt = Attempt(number + 1, exchange, candidate, options, env, wire)
                await attempt.run()
                number += attempt.called
                if attempt.committed or attempt.problem is None:
                    return
                tries = (*tries, Try(candidate, attempt.problem, attempt.called))


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
                await carry_out(exchange, exchange.plan, wire, options, env)

        return service

    return stage


ENTRY = Entry(build, CallOptions, side="call", needs=("plan",), gives=("reply",))
