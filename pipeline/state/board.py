"""All that is known about targets and providers at one moment, how a fact changes it, and the one place that holds it.

Deciding reads a `Snapshot`; what happened is told to the `Board`. Between reading a snapshot and telling the fact that
follows from it nobody waits, so choosing a target and counting the attempt are one step.
"""

from collections.abc import Callable, Mapping
from typing import assert_never

import attrs
from attrs import define, field, frozen

from pipeline.state.adaptive import LOWERING, Adaptive
from pipeline.state.breaker import DEFAULTS, Breaker, BreakerOptions, Verdict
from pipeline.state.cooldown import ACCOUNT, LONGEST_HINT_S, Rest
from pipeline.state.ewma import Ewma
from pipeline.state.flaps import Flaps
from pipeline.state.hedge_budget import HedgeBudget
from pipeline.state.histogram import SizedHistogram
from pipeline.state.ratio import TokenRatio
from pipeline.state.retry_budget import RetryBudget
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Charged,
    Connected,
    Fact,
    FirstToken,
    ModelsListed,
    Moved,
    ProbeEnded,
    ProviderReplaced,
    Queued,
    QuotaSeen,
    Reused,
    TurnedAway,
)
from pipeline.values.problems import RULES, Kind
from pipeline.values.targets import ModelFacts

IDLE_S = 600.0
MOST_TARGETS = 4096

DOWN_AFTER = 3
UP_AFTER = 2
# A provider that answered this lately is not taken out by its list call alone.
SERVED_LATELY_S = 30.0

HARD_FAILURE_S = 5.0
# So long a provider is believed that has no such model, unless it lists it.
ABSENT_S = 300.0

# Failures of the way to a provider: they count against it as a whole and not only against one target.
WAY_THERE = frozenset({Kind.CONNECT, Kind.TLS_INVALID, Kind.WRITE_OR_RESET})

# A start is reckoned back from its end: the difference of two floats may miss it by their rounding.
ROUNDING_S = 1e-6


@frozen
class TargetState:
    """What is known of one target. Times are monotonic seconds; `last_used` None: never.

    `latency`: whole attempts that went well; `ttft`: until the first content. `failed` counts attempts that ended in a
    problem, whosever fault. `cooled_until`: the upstream wants to be left alone until then, the `cool_downs`-th time.
    `turn`: where it stands, where several are asked in turn: lowest first.
    `first_tokens`: all times until the first content, by the size of what was asked.
    `absent_until`: the provider said it has no such model; until then it is believed. `adaptive`: how many calls it is
    given at once, `ratio`: how its tokens compare with estimates, `unread`: headers about its quota that nobody could read.
    """

    in_flight: int = 0
    latency: Ewma = field(factory=Ewma)
    ttft: Ewma = field(factory=Ewma)
    breaker: Breaker = field(factory=Breaker)
    started: int = 0
    succeeded: int = 0
    failed: int = 0
    last_verdict: Kind | None = None
    last_used: float | None = None
    cooled_until: float = 0.0
    cool_downs: int = 0
    quota: QuotaSeen | None = None
    turn: float = 0.0
    first_tokens: SizedHistogram = field(factory=SizedHistogram)
    absent_until: float = 0.0
    adaptive: Adaptive = Adaptive()
    ratio: TokenRatio = TokenRatio()
    unread: int = 0


@frozen
class ProviderState:
    """What is known of one provider. Times are monotonic seconds.

    `healthy` None: unknown. `problem`: of the last check. `failures` and `successes`: checks in a row. `models` None:
    never listed. `served_at`: its last good answer to an attempt. `breaker` counts the way there, `cooled_until` the
    account: money and rights. `flaps`: how often its checks changed their mind of late.
    """

    healthy: bool | None = None
    checked_at: float | None = None
    problem: Kind | None = None
    in_flight: int = 0
    models: tuple[ModelFacts, ...] | None = None
    listed_at: float | None = None
    failures: int = 0
    successes: int = 0
    served_at: float | None = None
    breaker: Breaker = field(factory=Breaker)
    cooled_until: float = 0.0
    cool_downs: int = 0
    flaps: Flaps = Flaps()


UNSEEN_TARGET = TargetState()
UNSEEN_PROVIDER = ProviderState()


@frozen
class Snapshot:
    """All that is known at one moment: `targets` by `provider/model`, `providers` by name."""

    targets: Mapping[str, TargetState] = field(factory=dict)
    providers: Mapping[str, ProviderState] = field(factory=dict)
    retries: RetryBudget = field(factory=RetryBudget)
    hedges: HedgeBudget = field(factory=HedgeBudget)

    def target(self, name: str) -> TargetState:
        """What is known of a target; the state of one never used where nothing is."""
        return self.targets.get(name, UNSEEN_TARGET)

    def provider(self, name: str) -> ProviderState:
        """What is known of a provider; all unknown where nothing is."""
        return self.providers.get(name, UNSEEN_PROVIDER)


def provider_of(target: str) -> str:
    """The name of the provider in `provider/model`."""
    return target.partition("/")[0]


def of_provider(targets: Mapping[str, TargetState], provider: str) -> Mapping[str, TargetState]:
    """Those of `targets` that are at `provider`."""
    prefix = f"{provider}/"
    return {name: state for name, state in targets.items() if name.startswith(prefix)}


def evolve(snapshot: Snapshot, fact: Fact, roll: float = 0.5, options: BreakerOptions = DEFAULTS) -> Snapshot:
    """The snapshot after `fact`; the same one where it says nothing of targets or providers. `roll` is in [0, 1)."""
    match fact:
        case Moved() | Admitted() | Queued() | TurnedAway() | Charged() | Connected() | Reused():
            return snapshot
        case AttemptStarted():
            return _started(snapshot, fact, options)
        case FirstToken():
            return _first_token(snapshot, fact, options)
        case AttemptEnded():
            return _ended(snapshot, fact, roll, options)
        case QuotaSeen():
            return _quota(snapshot, fact)
        case ProbeEnded():
            return _probed(snapshot, fact)
        case ModelsListed():
            return _listed(snapshot, fact)
        case ProviderReplaced():
            return _replaced(snapshot, fact)
        case _:
            assert_never(fact)


def _with_target(snapshot: Snapshot, name: str, state: TargetState, now: float) -> Mapping[str, TargetState]:
    targets = snapshot.targets if name in snapshot.targets else _kept(snapshot.targets, now)
    return {**targets, name: state}


def _kept(targets: Mapping[str, TargetState], now: float) -> Mapping[str, TargetState]:
    """The targets worth remembering beside a new one: not those idle for long, and never too many."""
    kept = {name: state for name, state in targets.items() if not _idle(state, now)}
    while len(kept) >= MOST_TARGETS:
        del kept[min(kept, key=lambda name: (kept[name].in_flight > 0, kept[name].last_used or 0.0))]
    return kept


def _idle(state: TargetState, now: float) -> bool:
    quiet = state.last_used is None or now - state.last_used >= IDLE_S
    return quiet and not state.in_flight and state.breaker.mode == "closed" and state.cooled_until <= now


# What every attempt changes is built field by field, in the order of its class: `attrs.evolve` would look up each name
# again, and be the dearest part of these steps. The rare facts use it.


def _started(snapshot: Snapshot, fact: AttemptStarted, options: BreakerOptions) -> Snapshot:
    name, now = provider_of(fact.target), fact.at
    target, provider = snapshot.target(fact.target), snapshot.provider(name)
    target = TargetState(
        target.in_flight + 1,
        target.latency,
        target.ttft,
        _entered(target.breaker, now, options),
        target.started + 1,
        target.succeeded,
        target.failed,
        target.last_verdict,
        now,
        target.cooled_until,
        target.cool_downs,
        target.quota,
        target.turn if fact.turn is None else fact.turn.after(target.turn),
        target.first_tokens,
        target.absent_until,
        target.adaptive,
        target.ratio,
        target.unread,
    )
    provider = ProviderState(
        provider.healthy,
        provider.checked_at,
        provider.problem,
        provider.in_flight + 1,
        provider.models,
        provider.listed_at,
        provider.failures,
        provider.successes,
        provider.served_at,
        _entered(provider.breaker, now, options),
        provider.cooled_until,
        provider.cool_downs,
        provider.flaps,
    )
    return Snapshot(
        _with_target(snapshot, fact.target, target, now),
        {**snapshot.providers, name: provider},
        _retries(snapshot.retries, name, fact),
        _hedges(snapshot.hedges, fact),
    )


def _retries(retries: RetryBudget, provider: str, fact: AttemptStarted) -> RetryBudget:
    """A hedge has a budget of its own."""
    if fact.hedge:
        return retries
    return retries.started(provider, fact.number > 1, fact.again, fact.at, fact.client_retry)


def _hedges(hedges: HedgeBudget, fact: AttemptStarted) -> HedgeBudget:
    if fact.hedge:
        return hedges.hedged(fact.cost, fact.at)
    return hedges.accepted(fact.at) if fact.number == 1 else hedges


def _entered(breaker: Breaker, now: float, options: BreakerOptions) -> Breaker:
    """The breaker after a call that goes whatever it is told. A closed one keeps nothing of it."""
    return breaker if breaker.mode == "closed" else breaker.admit(now, options)[0]


def _first_token(snapshot: Snapshot, fact: FirstToken, options: BreakerOptions) -> Snapshot:
    target, now = snapshot.target(fact.target), fact.at
    generation = _generation(target.breaker, fact)
    target = TargetState(
        target.in_flight,
        target.latency,
        target.ttft.seen(fact.after_s, now),
        target.breaker.delayed(fact.after_s, now, generation, options),
        target.started,
        target.succeeded,
        target.failed,
        target.last_verdict,
        target.last_used,
        target.cooled_until,
        target.cool_downs,
        target.quota,
        target.turn,
        target.first_tokens.seen(fact.after_s, now, fact.size),
        target.absent_until,
        target.adaptive.answering(now - fact.after_s),
        target.ratio,
        target.unread,
    )
    targets = _with_target(snapshot, fact.target, target, now)
    return Snapshot(targets, snapshot.providers, snapshot.retries, snapshot.hedges)


def _generation(breaker: Breaker, fact: FirstToken | AttemptEnded) -> int:
    """An attempt belongs to the generation in which it began."""
    return breaker.generation_of(fact.at - fact.after_s + ROUNDING_S)


def _ended(snapshot: Snapshot, fact: AttemptEnded, roll: float, options: BreakerOptions) -> Snapshot:
    """An attempt that was forgotten meanwhile has none in flight to take off. One that we ended has no verdict."""
    signal: Verdict = "ok" if fact.verdict is None else RULES[fact.verdict].signal
    if fact.cancelled:
        signal = "neutral"
    name, target = provider_of(fact.target), snapshot.target(fact.target)
    latency, ttft = _durations(target, fact, signal)
    adaptive, crowd = _given_at_once(target, fact, signal)
    cooled_until, cool_downs = target.cooled_until, target.cool_downs
    if not crowd:
        cooled_until, cool_downs = _rested(target, fact, signal, roll)
    target = TargetState(
        target.in_flight - 1 if target.in_flight else 0,
        latency,
        ttft,
        _recorded(target.breaker, signal, fact, roll, options),
        target.started,
        target.succeeded + (signal == "ok"),
        target.failed + (fact.verdict is not None and not fact.cancelled),
        target.last_verdict if fact.cancelled else fact.verdict,
        fact.at,
        cooled_until,
        cool_downs,
        target.quota,
        target.turn,
        _late(target, fact),
        fact.at + ABSENT_S if fact.verdict is Kind.NOT_FOUND else target.absent_until,
        adaptive,
        _learned(target.ratio, fact),
        target.unread,
    )
    targets = _with_target(snapshot, fact.target, target, fact.at)
    provider = _answered(snapshot.provider(name), targets, fact, signal, roll, options)
    retries = snapshot.retries
    if not fact.cancelled:
        retries = retries.ended(signal not in ("ok", "neutral"), fact.at)
    hedges = snapshot.hedges.spent(fact.cost, fact.at)
    return Snapshot(targets, {**snapshot.providers, name: provider}, retries, hedges)


def _given_at_once(target: TargetState, fact: AttemptEnded, signal: Verdict) -> tuple[Adaptive, bool]:
    """How many it is given at once after an attempt, and whether that alone mends what the attempt ended in.

    A target that refuses only those who are too many goes on with the others: a rest would take these from it as well.
    """
    adaptive, most, began = target.adaptive, fact.most, fact.at - fact.after_s
    if most is None or fact.cancelled:
        return adaptive, False
    if signal == "ok":
        return adaptive.succeeded(target.in_flight, began, fact.at, most), False
    if fact.verdict not in LOWERING:
        return adaptive, False
    meaning = adaptive.meaning(target.in_flight - 1, began, fact.retry_after)
    if target.cooled_until > fact.at:
        meaning = "rate"
    lowered = adaptive.lowered(fact.verdict, meaning, target.in_flight, fact.at, most)
    return lowered, meaning == "crowd"


def _learned(ratio: TokenRatio, fact: AttemptEnded) -> TokenRatio:
    usage = fact.usage
    if fact.estimated is None or usage is None or usage.estimated or not usage.input:
        return ratio
    return ratio.told(fact.estimated, usage.input)


def _late(target: TargetState, fact: AttemptEnded) -> SizedHistogram:
    """The times until the first content, with those that were not waited for to the end as they were left."""
    if (fact.cancelled and not fact.committed) or fact.verdict is Kind.FIRST_BYTE:
        return target.first_tokens.seen(fact.after_s, fact.at, fact.size)
    return target.first_tokens


def _recorded(
    breaker: Breaker,
    verdict: Verdict,
    fact: AttemptEnded,
    roll: float,
    options: BreakerOptions,
    ratio: bool = True,
) -> Breaker:
    """The breaker after the result. The last one that could be asked is not taken out for a share of failures."""
    generation = _generation(breaker, fact)
    return breaker.record(
        verdict, fact.at, generation, roll, fact.retry_after, ratio and not fact.alone, options
    )


def _durations(target: TargetState, fact: AttemptEnded, signal: Verdict) -> tuple[Ewma, Ewma]:
    """Latency and TTFT after an attempt. A failure counts as slow, else the fastest to fail would look best."""
    latency, ttft, now = target.latency, target.ttft, fact.at
    if signal == "ok" or (fact.cancelled and fact.after_s > latency.read(now)):
        return latency.seen(fact.after_s, now), ttft
    if signal == "hard":
        penalty = HARD_FAILURE_S
    elif signal == "cool_down" and fact.retry_after is not None:
        penalty = min(fact.retry_after, LONGEST_HINT_S)
    else:
        return latency, ttft
    return (
        latency.seen(max(latency.read(now), penalty), now),
        ttft.seen(max(ttft.read(now), penalty), now),
    )


def _rested(
    state: TargetState | ProviderState, fact: AttemptEnded, signal: Verdict, roll: float
) -> tuple[float, int]:
    """Until when it rests after an attempt, and how many times in a row it has."""
    until, times = state.cooled_until, state.cool_downs
    if fact.verdict is not None and signal == "cool_down":
        rest = Rest(until, times).asked(fact.verdict, fact.at, fact.retry_after, roll)
    elif signal == "ok" and times:
        rest = Rest(until, times).forgotten(fact.at)
    else:
        return until, times
    return rest.until, rest.times


def _answered(
    provider: ProviderState,
    targets: Mapping[str, TargetState],
    fact: AttemptEnded,
    signal: Verdict,
    roll: float,
    options: BreakerOptions,
) -> ProviderState:
    """The provider after an attempt at one of its targets: only what concerns all of them counts against it."""
    way_there, account = fact.verdict in WAY_THERE, fact.verdict in ACCOUNT
    verdict: Verdict = signal if signal == "ok" or way_there else "neutral"
    ratio = way_there and _several_fail(targets, fact)
    cooled_until, cool_downs = _rested(provider, fact, signal if account else verdict, roll)
    return ProviderState(
        provider.healthy,
        provider.checked_at,
        provider.problem,
        provider.in_flight - 1 if provider.in_flight else 0,
        provider.models,
        provider.listed_at,
        provider.failures,
        provider.successes,
        fact.at if signal == "ok" else provider.served_at,
        _recorded(provider.breaker, verdict, fact, roll, options, ratio),
        cooled_until,
        cool_downs,
        provider.flaps,
    )


def _several_fail(targets: Mapping[str, TargetState], fact: AttemptEnded) -> bool:
    """Whether at least two targets of the provider fail: one alone is the target's own trouble."""
    own = of_provider(targets, provider_of(fact.target))
    return sum(state.breaker.failing(fact.at) for state in own.values()) >= 2


def _quota(snapshot: Snapshot, fact: QuotaSeen) -> Snapshot:
    """Nothing left means rest until there is again. What cannot be read says nothing, and is counted."""
    target = snapshot.target(fact.target)
    quota = fact if fact.readable or target.quota is None else target.quota
    target = attrs.evolve(target, quota=quota, unread=target.unread + fact.unread)
    for left, reset_s in ((fact.requests, fact.requests_reset_s), (fact.tokens, fact.tokens_reset_s)):
        if left == 0 and reset_s is not None:
            until = fact.at + min(reset_s, LONGEST_HINT_S)
            target = attrs.evolve(target, cooled_until=max(target.cooled_until, until))
    return attrs.evolve(snapshot, targets=_with_target(snapshot, fact.target, target, fact.at))


def _listed(snapshot: Snapshot, fact: ModelsListed) -> Snapshot:
    provider = attrs.evolve(snapshot.provider(fact.provider), models=fact.models, listed_at=fact.at)
    found = {
        name: attrs.evolve(state, absent_until=0.0)
        for model in fact.models
        if (state := snapshot.targets.get(name := f"{fact.provider}/{model.name}")) and state.absent_until
    }
    return attrs.evolve(
        snapshot,
        targets={**snapshot.targets, **found},
        providers={**snapshot.providers, fact.provider: provider},
    )


def _replaced(snapshot: Snapshot, fact: ProviderReplaced) -> Snapshot:
    """What is known of the old account says nothing of the new one; its list of models is the best guess there is."""
    old = of_provider(snapshot.targets, fact.provider)
    targets = {name: state for name, state in snapshot.targets.items() if name not in old}
    providers = {name: state for name, state in snapshot.providers.items() if name != fact.provider}
    retries = snapshot.retries
    if fact.gone:
        retries = retries.forgotten(fact.provider)
    else:
        providers[fact.provider] = ProviderState(models=snapshot.provider(fact.provider).models)
    return attrs.evolve(snapshot, targets=targets, providers=providers, retries=retries)


def _probed(snapshot: Snapshot, fact: ProbeEnded) -> Snapshot:
    provider = attrs.evolve(snapshot.provider(fact.provider), checked_at=fact.at, problem=fact.problem)
    if fact.unanswered:
        checked = _found_there(provider)
    else:
        checked = _found_well(provider, fact) if fact.problem is None else _found_ill(provider, fact)
    if (checked.healthy is False) != (provider.healthy is False):
        checked = attrs.evolve(checked, flaps=provider.flaps.changed(fact.at))
    return attrs.evolve(snapshot, providers={**snapshot.providers, fact.provider: checked})


def _found_there(provider: ProviderState) -> ProviderState:
    """It can be reached, so it is not ill any more; whether it is well its calls will tell."""
    return attrs.evolve(
        provider, healthy=None if provider.healthy is False else provider.healthy, successes=0, failures=0
    )


def _found_well(provider: ProviderState, fact: ProbeEnded) -> ProviderState:
    """A first good check tells what is unknown; after a bad time it takes two."""
    successes = provider.successes + 1
    healthy = provider.healthy is not False or successes >= UP_AFTER
    return attrs.evolve(
        provider, healthy=healthy, successes=successes, failures=0, breaker=provider.breaker.eased(fact.at)
    )


def _found_ill(provider: ProviderState, fact: ProbeEnded) -> ProviderState:
    failures = provider.failures + 1
    serves = provider.served_at is not None and fact.at - provider.served_at < SERVED_LATELY_S
    down = failures >= DOWN_AFTER and not serves
    return attrs.evolve(provider, healthy=False if down else provider.healthy, failures=failures, successes=0)


def _always_the_middle(count: int) -> tuple[float, ...]:
    """Rolls for where nothing needs to be spread."""
    return (0.5,) * count


@define(eq=False)
class Board:
    """Holds the newest snapshot, and alone assigns it. `rolls(n)` gives n floats in [0, 1)."""

    rolls: Callable[[int], tuple[float, ...]] = _always_the_middle
    options: BreakerOptions = DEFAULTS
    _newest: Snapshot = field(factory=Snapshot, init=False)

    @property
    def snapshot(self) -> Snapshot:
        """All that is known now."""
        return self._newest

    def tell(self, fact: Fact) -> None:
        """Take in what happened. Never waits."""
        roll = self.rolls(1)[0] if isinstance(fact, AttemptEnded) and fact.verdict is not None else 0.0
        self._newest = evolve(self._newest, fact, roll, self.options)
