"""The house looks after its providers: one loop each, that lists the models and finds out by it whether they are well.

Listing models is free, so it is the health check too. It is left out where requests went well of late and the list is
fresh. A key may have the right to call models and not to list them: a list that is refused for want of rights tells
nothing of health. A loop that fails is logged and begun again; the others do not notice.
"""

import logging
from collections.abc import Callable, Hashable, Iterable
from functools import partial

import orjson
import trio
from attrs import define, field, frozen

from adapters.crew import Crew, Work
from pipeline.ports import Answer, Codec, Env, Reply
from pipeline.state.board import ProviderState
from pipeline.state.eligibility import Eligible, provider_eligibility
from pipeline.values.facts import Fact, ModelsListed, ProbeEnded
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import ModelFacts, Provider

log = logging.getLogger("ollama_proxy.probes")

MOST_BYTES = 16 * 1024 * 1024
CLASSIFIED_BYTES = 64 * 1024
LONGEST_BACKOFF_S = 60.0


@frozen
class ProbeOptions:
    """`interval_s` between health checks, `models_ttl_s` how long a list is good, `limit_s` how long one call may take.

    `first_round_s`: how long the start of the house waits for the first answers.
    """

    interval_s: float = 60.0
    models_ttl_s: float = 300.0
    limit_s: float = 5.0
    first_round_s: float = 3.0


@define(eq=False)
class Watch:
    """Looks after the providers of `env`, which may be another one from one moment to the next."""

    env: Env
    tell: Callable[[Fact], None]
    options: ProbeOptions = ProbeOptions()
    _crew: Crew | None = field(default=None, init=False)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look after all until cancelled. `started` once each was asked, or `first_round_s` have passed."""
        async with trio.open_nursery() as nursery:
            self._crew = Crew(nursery)
            self._crew.keep(self._loops())
            await self._crew.begun(self.options.first_round_s)
            task_status.started()
            await trio.sleep_forever()

    def change(self, env: Env, options: ProbeOptions) -> None:
        """Look after these from now on. Those that are as they were notice nothing."""
        self.env, self.options = env, options
        if self._crew is not None:
            self._crew.keep(self._loops())

    def _loops(self) -> dict[Hashable, Work]:
        return {provider: partial(self._supervised, provider) for provider in self.env.providers.values()}

    async def _supervised(self, provider: Provider, first: trio.Event) -> None:
        """The loop of one provider, begun again after each failure, later each time."""
        failures = 0
        while True:
            began = trio.current_time()
            try:
                await self._look_after(provider, first)
            except Exception:
                log.exception("looking after %s failed; it is begun again", provider.name)
            first.set()
            failures = 0 if trio.current_time() - began > LONGEST_BACKOFF_S else failures + 1
            await trio.sleep(min(LONGEST_BACKOFF_S, 2.0 ** (failures - 1)))

    async def _look_after(self, provider: Provider, first: trio.Event) -> None:
        while True:
            if due(self.env.snapshot().provider(provider.name), self.env.now(), self.options):
                await _probe(self.env, self.tell, provider, self.options)
            first.set()
            await trio.sleep(pause_s(self.options, self.env.rolls(1)[0]))


async def first_round(
    env: Env, tell: Callable[[Fact], None], providers: Iterable[Provider], options: ProbeOptions
) -> None:
    """Ask each of `providers` once; return when all have answered, or `first_round_s` have passed."""
    with trio.move_on_after(options.first_round_s):
        async with trio.open_nursery() as nursery:
            for provider in providers:
                nursery.start_soon(_probe, env, tell, provider, options)


def due(state: ProviderState, now: float, options: ProbeOptions) -> bool:
    """Whether a provider has to be asked: its list is old, it is closed off, or nothing tells that it is well."""
    fresh = state.listed_at is not None and now - state.listed_at < options.models_ttl_s
    served = state.served_at is not None and now - state.served_at < options.interval_s
    return not (fresh and served and isinstance(provider_eligibility(state, now), Eligible))


def pause_s(options: ProbeOptions, roll: float) -> float:
    """Seconds to the next look, up to a tenth more or less so that the loops spread. `roll` is in [0, 1)."""
    return min(options.interval_s, options.models_ttl_s) * (0.9 + 0.2 * roll)


async def refresh(env: Env, tell: Callable[[Fact], None], provider: Provider, limit_s: float) -> None:
    """List the models of `provider` now, for who knows that they have changed. Tells what came of it, as every look does."""
    await _probe(env, tell, provider, ProbeOptions(limit_s=limit_s))


async def _probe(env: Env, tell: Callable[[Fact], None], provider: Provider, options: ProbeOptions) -> None:
    """Ask once, and tell what came of it."""
    codec = env.codecs[provider.kind]
    began = env.now()
    answer: Answer | Problem = Problem(Kind.FIRST_BYTE, f"no answer in {options.limit_s:.0f} s")
    with trio.move_on_after(options.limit_s):
        request = codec.sign(codec.list_models(provider), provider.secret, env.epoch())
        answer = await _ask(env, provider, request)
    found = answer if isinstance(answer, Problem) else read_models(answer, codec)
    problem = found.kind if isinstance(found, Problem) else None
    before = env.snapshot().provider(provider.name)
    _log_change(provider, before, problem)
    now = env.now()
    if not isinstance(found, Problem):
        models = codec.served(provider, found)
        # A list that says what the last one said is that one, so that nobody need read it again.
        tell(ModelsListed(provider.name, now, before.models if models == before.models else models))
    unanswered = problem is Kind.AUTH and isinstance(answer, Answer) and answer.head.status == 403
    tell(ProbeEnded(provider.name, now, now - began, problem, unanswered))


async def _ask(env: Env, provider: Provider, request: HttpRequest) -> Answer | Problem:
    async with env.transports[provider.name].open(request) as reply:
        return reply if isinstance(reply, Problem) else await _whole(reply)


async def _whole(reply: Reply) -> Answer | Problem:
    parts: list[bytes] = []
    size = 0
    while True:
        part = await reply.read()
        if isinstance(part, Problem):
            return part
        if not part:
            return Answer(reply.head, b"".join(parts))
        size += len(part)
        if size > MOST_BYTES:
            return Problem(Kind.GARBLED, "the list of models is too long")
        parts.append(part)


def read_models(answer: Answer, codec: Codec) -> tuple[ModelFacts, ...] | Problem:
    """The models an answer lists. An empty list is one only if the answer is JSON: else an error page emptied ours."""
    if not 200 <= answer.head.status < 300:
        return codec.classify(answer.head, answer.body[:CLASSIFIED_BYTES])
    models = codec.models(answer.body)
    if not models:
        try:
            orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            return Problem(Kind.GARBLED, "the list of models is not JSON")
    return models


def _log_change(provider: Provider, before: ProviderState, problem: Kind | None) -> None:
    """One line when a provider begins to fail, and one when it is over."""
    if problem is not None and (before.checked_at is None or before.problem is None):
        log.warning("provider %s does not answer its list of models: %s", provider.name, problem)
    elif problem is None and before.problem is not None:
        log.info("provider %s answers again", provider.name)
