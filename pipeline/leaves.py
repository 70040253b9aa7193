"""What stands between an attempt and its target: the target's permits and rates, then its provider's.

Those who have to wait for one target stand in one line, in the order of classes and keys of `pipeline/gate.py`. Only the
first of it looks whether he can go: when a place becomes free, when something is given back, or when the time has come that
a rate told him. Whoever goes
takes the target's place first and then the provider's, so no target keeps another from the provider by waiting for itself.
Of the rates he takes last, as he leaves: what was taken early would go late, in a heap.

How many places a target has is found out by trying (`pipeline/state/adaptive.py`); here is only kept who holds one.
"""

import math
from collections.abc import Callable, Collection, Mapping
from itertools import count
from types import TracebackType

import trio
from attrs import define, evolve, field, frozen

from pipeline.gate import ANY_WAITER, Gate, Permit, Waiter
from pipeline.state.board import Snapshot, TargetState
from pipeline.state.bucket import Rate
from pipeline.state.meter import Meter
from pipeline.state.spacing import spacing_s
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import NO_RATES, Provider, Rates, Target

# How many may wait for one target.
LINE = 1000
MOST_LEAVES = 4096
# A minute is what rates are counted in; without a word about bursts, this share of it may go at once.
MINUTE_S, BURST_SHARE = 60.0, 1 / 6
# Nobody knows when a call will be over.
SOON_S = 1.0
# Beyond this share of its permits a provider is not asked a second time for what another one does already.
ROOM = 0.8


@frozen
class Ask:
    """What an attempt asks for beside its place: tokens of its input as estimated, and of its answer at most."""

    input: int = 0
    answer: int = 0

    def tokens(self, ratio: float) -> int:
        """Tokens to be set aside at a target whose tokens are so many times the estimated ones."""
        return math.ceil(self.input * ratio) + self.answer


NOTHING = Ask()


def nothing() -> Ask:
    """Of an attempt that takes no tokens."""
    return NOTHING


@frozen
class Left:
    """What one set of rates gives now: requests and tokens; None: it has no such limit."""

    requests: float | None
    tokens: float | None


@define(eq=False)
class Rated:
    """The rates of one provider or one target, and what has been taken from them."""

    rates: Rates = NO_RATES
    requests: Meter = Meter()
    tokens: Meter = Meter()
    _of_requests: Rate | None = field(default=None, init=False)
    _of_tokens: Rate | None = field(default=None, init=False)

    def set(self, rates: Rates) -> None:
        """Rates may change; what was taken stays taken."""
        if rates is not self.rates:
            self.rates = rates
            self._of_requests, self._of_tokens = requests_rate(rates), tokens_rate(rates)

    def wait_s(self, tokens: int, now: float, ahead: tuple[int, int] = (0, 0)) -> float:
        """Seconds until a request of so many tokens may go, behind so many requests and tokens."""
        wait = 0.0
        if self._of_requests is not None:
            wait = self.requests.behind(1, ahead[0], now, self._of_requests)
        if self._of_tokens is not None:
            wait = max(wait, self.tokens.behind(tokens, ahead[1], now, self._of_tokens))
        return wait

    def take(self, ticket: int, tokens: int, now: float) -> None:
        """A request goes."""
        if self._of_requests is not None:
            self.requests = self.requests.taken(ticket, 1, now, self._of_requests)
        if self._of_tokens is not None:
            self.tokens = self.tokens.taken(ticket, tokens, now, self._of_tokens)

    def settle(self, ticket: int, requests: int, tokens: int, now: float) -> None:
        """So many of what it took were not used. Of a rate that is gone meanwhile nothing is owed."""
        self.requests = _settled(self.requests, ticket, requests, now, self._of_requests)
        self.tokens = _settled(self.tokens, ticket, tokens, now, self._of_tokens)

    def left(self, now: float) -> Left:
        """What it gives now."""
        return Left(
            None if self._of_requests is None else self.requests.bucket.left(now, self._of_requests),
            None if self._of_tokens is None else self.tokens.bucket.left(now, self._of_tokens),
        )


def _settled(meter: Meter, ticket: int, unused: int, now: float, rate: Rate | None) -> Meter:
    if ticket not in meter.open:
        return meter
    return meter.forgotten(ticket) if rate is None else meter.settled(ticket, unused, now, rate)


def requests_rate(rates: Rates) -> Rate | None:
    """The rate of requests."""
    if rates.requests is None:
        return None
    burst = math.ceil(rates.requests * BURST_SHARE) if rates.burst is None else rates.burst
    return Rate(rates.requests, MINUTE_S, max(1, burst))


def tokens_rate(rates: Rates) -> Rate | None:
    """The rate of tokens. As large a share of them may go at once as of the requests."""
    if rates.tokens is None:
        return None
    share = BURST_SHARE
    if rates.burst is not None and rates.requests is not None:
        share = rates.burst / rates.requests
    return Rate(rates.tokens, MINUTE_S, max(1.0, rates.tokens * share))


@define(eq=False)
class Leaf:
    """One target: who holds a place and who waits for one. `went_at`: when the last one went.

    `turn`: its one permit is that of the first in the line, who is `stirred` when it may be time to go; the others wait for
    it. `ahead`: requests and tokens of all who stand in the line. `rated`: whether any rate is set.
    """

    name: str
    gate: Gate
    provider: Provider
    shared: Rated
    turn: Gate
    own: Rated = field(factory=Rated)
    concurrent: int | None = None
    rated: bool = False
    held: int = 0
    went_at: float = -math.inf
    ahead: tuple[int, int] = (0, 0)
    stirred: trio.Event = field(factory=trio.Event)

    def configure(self, provider: Provider, gate: Gate, shared: Rated, rates: Rates) -> None:
        """What is configured for it from now on. What was taken stays taken."""
        self.provider, self.gate, self.shared, self.concurrent = provider, gate, shared, rates.concurrent
        self.own.set(rates)
        self.rated = rates != NO_RATES or shared.rates != NO_RATES

    @property
    def maximum(self) -> int:
        """How many places there can be."""
        return self.gate.limit if self.concurrent is None else min(self.gate.limit, self.concurrent)

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit of tokens holds."""
        return self.rated and (self.own.rates.tokens is not None or self.shared.rates.tokens is not None)

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return self.ahead[0]

    def stir(self) -> None:
        """Something has changed: the first in the line is to look."""
        if self.turn.held:
            self.stirred.set()

    def lined_up(self, requests: int, tokens: int) -> None:
        """So many more stand in the line."""
        self.ahead = self.ahead[0] + requests, self.ahead[1] + tokens

    def rate_wait_s(self, tokens: int, now: float, ahead: tuple[int, int] = (0, 0)) -> float:
        """Seconds until the rates let one go."""
        if not self.rated:
            return 0.0
        return max(self.own.wait_s(tokens, now, ahead), self.shared.wait_s(tokens, now, ahead))


@frozen
class Standing:
    """How things stand at one target: `limit` places of at most `maximum` as it is found to be now."""

    held: int
    waiting: int
    limit: int
    maximum: int
    left: Left


@define(eq=False)
class Leaves:
    """Who holds places at which target. `snapshot` tells how many each may have, `gates` are the providers'."""

    now: Callable[[], float]
    snapshot: Callable[[], Snapshot]
    gates: Mapping[str, Gate]
    _leaves: dict[str, Leaf] = field(factory=dict, init=False)
    _shared: dict[str, Rated] = field(factory=dict, init=False)
    tickets: "count[int]" = field(factory=count, init=False)

    def free(self, target: Target) -> bool:
        """Whether an attempt could go there now."""
        leaf = self.leaf(target)
        return not leaf.ahead[0] and leaf.gate.free and self.obstacle_s(leaf, 1) == 0.0

    def roomy(self, target: Target) -> bool:
        """Whether there is room for what another one does already."""
        leaf = self.leaf(target)
        gate = leaf.gate
        allowed = self.snapshot().target(leaf.name).adaptive.allowed(leaf.maximum)
        return gate.held < ROOM * gate.limit and leaf.held < ROOM * allowed and self.free(target)

    def crowd(self, target: Target) -> float:
        """How many wait there, for this target or for its provider, for each place it has."""
        leaf = self.leaf(target)
        allowed = self.snapshot().target(leaf.name).adaptive.allowed(leaf.maximum)
        return max(leaf.waiting / allowed, leaf.gate.waiting / leaf.gate.limit)

    def hold(
        self,
        target: Target,
        ask: Callable[[], Ask] = nothing,
        timeout_s: float = math.inf,
        waiter: Waiter = ANY_WAITER,
    ) -> "Hold":
        """A place at `target` for an `async with` block: the seconds waited for it, or why there is none.

        `ask` is only called where a limit of tokens holds, so that nobody reckons how many there are without need.
        Problem: `local_limit`, at once where it is known that the wait would be longer than `timeout_s`.
        """
        leaf = self.leaf(target)
        return Hold(self, leaf, ask() if leaf.counts_tokens else NOTHING, timeout_s, waiter)

    def stir(self, provider: str) -> None:
        """Something has changed for all targets of a provider."""
        for leaf in self._leaves.values():
            if leaf.provider.name == provider:
                leaf.stir()

    def change(self, gates: Mapping[str, Gate]) -> None:
        """These are gates of providers from now on, beside those there are. Who waits looks again."""
        self.gates = {**self.gates, **gates}
        for leaf in self._leaves.values():
            leaf.stir()

    def keep(self, providers: Collection[str]) -> None:
        """Forget all other providers: nobody will ask for them any more."""
        self.gates = {name: gate for name, gate in self.gates.items() if name in providers}
        self._shared = {name: rated for name, rated in self._shared.items() if name in providers}
        self._leaves = {name: leaf for name, leaf in self._leaves.items() if leaf.provider.name in providers}

    def standing(self, target: Target) -> Standing:
        """How things stand there, for who shows it."""
        leaf = self.leaf(target)
        allowed = self.snapshot().target(leaf.name).adaptive.allowed(leaf.maximum)
        return Standing(leaf.held, leaf.waiting, allowed, leaf.maximum, leaf.own.left(self.now()))

    def left(self, provider: Provider) -> Left:
        """What the rates of a provider as a whole give now."""
        return self._rated(provider).left(self.now())

    def leaf(self, target: Target) -> Leaf:
        """What is kept of `target`, as it is configured now."""
        name, provider = target.name, target.provider
        leaf = self._leaves.get(name)
        if leaf is None:
            if len(self._leaves) >= MOST_LEAVES:
                self._tidy()
            gate, turn = self.gates[provider.name], Gate(name, 1, LINE)
            leaf = self._leaves[name] = Leaf(name, gate, provider, self._rated(provider), turn)
        elif leaf.provider is provider:
            return leaf
        rates = provider.limits.get(target.model, NO_RATES)
        leaf.configure(provider, self.gates[provider.name], self._rated(provider), rates)
        return leaf

    def obstacle_s(self, leaf: Leaf, tokens: int) -> float:
        """Seconds until the first in the line may look again; 0.0: he may go, infinite: he will be stirred."""
        state: TargetState = self.snapshot().target(leaf.name)
        if leaf.held >= state.adaptive.allowed(leaf.maximum):
            return math.inf
        if not leaf.rated and state.quota is None:
            return 0.0
        now = self.now()
        wait = leaf.rate_wait_s(tokens, now)
        if state.quota is not None:
            wait = max(wait, leaf.went_at + spacing_s(state.quota, state.in_flight, now) - now)
        return wait

    def _rated(self, provider: Provider) -> Rated:
        rated = self._shared.get(provider.name)
        if rated is None:
            rated = self._shared[provider.name] = Rated()
        rated.set(provider.rates)
        return rated

    def _tidy(self) -> None:
        """Forget the targets at which nothing goes on and from whose rates nothing is taken."""
        now = self.now()
        for name, leaf in list(self._leaves.items()):
            debts = (leaf.own.requests.bucket.full_at, leaf.own.tokens.bucket.full_at)
            if not leaf.held and not leaf.waiting and max(debts) <= now:
                del self._leaves[name]


@define(eq=False)
class Hold:
    """A place at a target for the length of a block, with what was taken from the rates for it.

    Whoever leaves without a word of `used` gives all of it back: the target was not called.
    """

    leaves: Leaves
    leaf: Leaf
    ask: Ask
    timeout_s: float
    waiter: Waiter = ANY_WAITER
    _placed: bool = field(default=False, init=False)
    _permit: Permit | None = field(default=None, init=False)
    _ticket: int = field(default=-1, init=False)
    _reserved: int = field(default=0, init=False)
    _called: bool = field(default=False, init=False)
    _used: int | None = field(default=None, init=False)

    async def __aenter__(self) -> float | Problem:
        """Wait for the place."""
        leaves, leaf, began = self.leaves, self.leaf, self.leaves.now()
        tokens = 1
        if leaf.rated:
            tokens = self._reserved = self.ask.tokens(leaves.snapshot().target(leaf.name).ratio.value)
        if leaf.ahead[0] or leaves.obstacle_s(leaf, tokens) > 0.0:
            problem = await self._stand_in_line(leaf, tokens)
            if problem is not None:
                return problem
        elif leaf.gate.free:
            # What nearly all meet: nothing stands in the way, so nothing is waited for.
            self._permit = leaf.gate.hold(0.0, self.waiter)
            await self._permit.__aenter__()
            leaf.held += 1
            self._placed = True
            self._take(leaf, began)
            return 0.0
        leaf.held += 1
        self._placed = True
        try:
            problem = await self._pass_the_gate(leaf, began + self.timeout_s)
        except BaseException:
            self.release()
            raise
        if problem is not None:
            self.release()
            return problem
        return leaves.now() - began

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    @property
    def most(self) -> int:
        """How many attempts may run there at most."""
        return self.leaf.maximum

    def used(self, tokens: int | None) -> None:
        """The target was called and took so many tokens, in and out; None: nobody knows, so all that were reserved."""
        self._called, self._used = True, tokens

    def release(self) -> None:
        """Give the place back, if there was one, and what was not used of the rates."""
        if not self._placed:
            return
        self._placed, leaf = False, self.leaf
        leaf.held -= 1
        if self._permit is not None:
            self._permit.release()
        if self._ticket >= 0:
            self._settle(leaf)
        leaf.stir()

    async def _stand_in_line(self, leaf: Leaf, tokens: int) -> Problem | None:
        """Wait until it is his turn and nothing stands in his way."""
        leaves, began = self.leaves, self.leaves.now()
        problem = self._hopeless(leaf, tokens)
        if problem is not None:
            return problem
        leaf.lined_up(1, tokens)
        try:
            async with leaf.turn.hold(self.timeout_s, self.waiter) as waited:
                if isinstance(waited, Problem):
                    return evolve(waited, kind=Kind.LOCAL_LIMIT)
                with trio.move_on_after(max(0.0, began + self.timeout_s - leaves.now())):
                    while (wait_s := leaves.obstacle_s(leaf, tokens)) > 0.0:
                        leaf.stirred = trio.Event()
                        with trio.move_on_after(wait_s):
                            await leaf.stirred.wait()
                    return None
        finally:
            leaf.lined_up(-1, -tokens)
        return self._refused(leaf, max(SOON_S, leaf.rate_wait_s(tokens, leaves.now())))

    def _hopeless(self, leaf: Leaf, tokens: int) -> Problem | None:
        """Why it is no use to wait, where that is known beforehand."""
        wait_s = leaf.rate_wait_s(tokens, self.leaves.now(), leaf.ahead)
        if wait_s > self.timeout_s or self.timeout_s <= 0.0:
            return self._refused(leaf, max(wait_s, SOON_S))
        return None

    async def _pass_the_gate(self, leaf: Leaf, deadline: float) -> Problem | None:
        """Take the provider's place, and what is asked for of the rates. Who had to wait for the one asks again for the other."""
        leaves = self.leaves
        while True:
            self._permit = leaf.gate.hold(max(0.0, deadline - leaves.now()), self.waiter)
            waited = await self._permit.__aenter__()
            if isinstance(waited, Problem):
                return evolve(waited, kind=Kind.LOCAL_LIMIT)
            now = leaves.now()
            wait_s = leaf.rate_wait_s(self._reserved, now)
            if wait_s <= 0.0:
                self._take(leaf, now)
                return None
            self._permit.release()
            if now + wait_s > deadline:
                return self._refused(leaf, wait_s)
            await trio.sleep(wait_s)

    def _take(self, leaf: Leaf, now: float) -> None:
        leaf.went_at = now
        if leaf.rated:
            self._ticket = next(self.leaves.tickets)
            for rated in (leaf.own, leaf.shared):
                rated.take(self._ticket, self._reserved, now)

    def _settle(self, leaf: Leaf) -> None:
        used = self._reserved if self._used is None else self._used
        unused = self._reserved - used if self._called else self._reserved
        for rated in (leaf.own, leaf.shared):
            rated.settle(self._ticket, 0 if self._called else 1, unused, self.leaves.now())
        if leaf.shared.rates != NO_RATES:
            self.leaves.stir(leaf.provider.name)

    @staticmethod
    def _refused(leaf: Leaf, wait_s: float) -> Problem:
        text = f"{leaf.name} is at its limit just now"
        return Problem(Kind.LOCAL_LIMIT, text, retry_after=wait_s)
