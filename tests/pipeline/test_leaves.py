"""What stands between an attempt and its target."""

import math

import pytest
import trio
from attrs import define, evolve, field
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pipeline.gate import Gate, Waiter
from pipeline.leaves import Ask, Leaves, requests_rate, tokens_rate
from pipeline.state.adaptive import Adaptive
from pipeline.state.board import Board, Snapshot, TargetState
from pipeline.state.ratio import TokenRatio
from pipeline.values.callers import Priority
from pipeline.values.facts import AttemptEnded, AttemptStarted, QuotaSeen
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import NO_RATES, Rates
from tests.kit import target


@define(eq=False)
class Wood:
    """Leaves over gates of `permits` each, with what is known of the targets `by` name."""

    permits: int = 10
    by: dict[str, TargetState] = field(factory=dict)
    gates: dict[str, Gate] = field(init=False)
    leaves: Leaves = field(init=False)

    def __attrs_post_init__(self):
        self.gates = {name: Gate(name, self.permits, 1000) for name in "ab"}
        self.leaves = Leaves(trio.current_time, lambda: Snapshot(self.by), self.gates)

    def limited(self, name, limit):
        self.by = {**self.by, name: evolve(self.by.get(name, TargetState()), adaptive=Adaptive(float(limit)))}

    def quiet(self):
        """Nothing is held, nobody waits, and all that was taken is settled."""
        for leaf in self.leaves._leaves.values():
            assert (leaf.held, leaf.ahead, leaf.turn.held) == (0, (0, 0), 0)
            for rated in (leaf.own, leaf.shared):
                assert rated.requests.open == rated.tokens.open == {}
        assert all(gate.held == gate.waiting == 0 for gate in self.gates.values())
        return True


def rated(name="a", model="m", limits=None, **rates):
    return target(name, model, rates=Rates(**rates) if rates else NO_RATES, limits=limits or {})


async def test_where_nothing_is_limited_nobody_waits(autojump_clock):
    wood = Wood()
    async with wood.leaves.hold(target("a")) as waited:
        assert waited == 0.0
        assert (wood.gates["a"].held, wood.leaves.standing(target("a")).held) == (1, 1)
    assert wood.quiet()


async def test_a_target_has_fewer_places_than_its_provider(autojump_clock):
    wood = Wood()
    wood.limited("a/m", 2)
    one, other = target("a"), target("a", "other")
    async with wood.leaves.hold(one), wood.leaves.hold(one):
        assert not wood.leaves.free(one)
        assert wood.leaves.free(other)
        async with wood.leaves.hold(one, timeout_s=3.0) as refused:
            assert isinstance(refused, Problem)
            assert (refused.kind, refused.retry_after) == (Kind.LOCAL_LIMIT, 1.0)
        assert trio.current_time() == 3.0
        assert wood.gates["a"].held == 2, "who waits for a target does not keep its provider from others"
        async with wood.leaves.hold(other) as waited:
            assert waited == 0.0
    assert wood.quiet()


async def test_those_who_wait_go_in_the_order_in_which_they_came(autojump_clock):
    wood, order = Wood(), []
    wood.limited("a/m", 1)

    async def call(number):
        await trio.sleep(number / 10)
        async with wood.leaves.hold(target("a")):
            order.append(number)
            await trio.sleep(1.0)

    async with trio.open_nursery() as nursery:
        for number in (3, 1, 2, 0):
            nursery.start_soon(call, number)
    assert order == [0, 1, 2, 3]
    assert trio.current_time() == 4.0
    assert wood.quiet()


async def test_the_urgent_go_before_the_others(autojump_clock):
    wood, order = Wood(), []
    wood.limited("a/m", 1)

    async def call(number, priority):
        await trio.sleep(number / 10)
        async with wood.leaves.hold(target("a"), waiter=Waiter(priority, str(number))):
            order.append(number)
            await trio.sleep(1.0)

    async with trio.open_nursery() as nursery:
        for number, priority in enumerate((Priority.LOW,) * 4 + (Priority.CRITICAL,)):
            nursery.start_soon(call, number, priority)
    assert order == [0, 1, 4, 2, 3], "the one whose turn it is already keeps it"
    assert wood.quiet()


async def test_a_limit_that_grows_lets_in_those_who_wait(autojump_clock):
    wood, began = Wood(), []
    wood.limited("a/m", 1)

    async def call():
        async with wood.leaves.hold(target("a")):
            began.append(trio.current_time())
            await trio.sleep(1.0)
            wood.limited("a/m", 3)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(call)
    assert began == [0.0, 1.0, 1.0, 1.0, 2.0]
    assert wood.quiet()


async def test_who_leaves_the_line_leaves_no_trace(autojump_clock):
    wood = Wood()
    wood.limited("a/m", 1)
    async with trio.open_nursery() as nursery, wood.leaves.hold(target("a")):
        with trio.move_on_after(1.0):
            async with wood.leaves.hold(target("a")):
                raise AssertionError
        leaf = wood.leaves.leaf(target("a"))
        assert (leaf.held, leaf.waiting) == (1, 0)
        nursery.cancel_scope.cancel()
    assert wood.quiet()


async def test_who_is_cancelled_at_the_providers_gate_gives_back_the_targets_place(autojump_clock):
    wood = Wood(permits=1)
    async with wood.gates["a"].hold():
        with trio.move_on_after(1.0):
            async with wood.leaves.hold(target("a")):
                raise AssertionError
        assert wood.leaves.standing(target("a")).held == 0
        async with wood.leaves.hold(target("a"), timeout_s=1.0) as refused:
            assert isinstance(refused, Problem)
            assert refused.kind is Kind.LOCAL_LIMIT
    assert wood.quiet()


async def test_a_rate_spreads_those_who_wait(autojump_clock):
    wood, went, slow = Wood(), [], rated(requests=60, burst=2)

    async def call():
        hold = wood.leaves.hold(slow)
        async with hold as waited:
            went.append((trio.current_time(), waited))
            hold.used(0)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(call)
    assert [at for at, _ in went] == pytest.approx([0.0, 0.0, 1.0, 2.0, 3.0])
    assert [waited for _, waited in went] == pytest.approx([0.0, 0.0, 1.0, 2.0, 3.0])
    assert wood.quiet()


async def test_a_wait_that_is_known_to_be_too_long_is_refused_at_once(autojump_clock):
    wood, slow = Wood(), rated(requests=6, burst=1)
    async with wood.leaves.hold(slow) as first:
        assert first == 0.0
        assert not wood.leaves.free(slow)
        async with wood.leaves.hold(slow, timeout_s=5.0) as refused:
            assert isinstance(refused, Problem)
            assert (refused.kind, refused.retry_after) == (Kind.LOCAL_LIMIT, 10.0)
    assert trio.current_time() == 0.0


async def test_who_would_stand_behind_too_many_is_refused_at_once(autojump_clock):
    wood, slow = Wood(), rated(requests=60, burst=1)
    async with trio.open_nursery() as nursery:

        async def wait():
            hold = wood.leaves.hold(slow, timeout_s=30.0)
            async with hold:
                hold.used(0)

        for _ in range(4):
            nursery.start_soon(wait)
        await trio.sleep(0.5)
        async with wood.leaves.hold(slow, timeout_s=3.0) as refused:
            assert isinstance(refused, Problem)
            assert refused.retry_after == pytest.approx(3.5)
    assert wood.quiet()


async def test_who_was_not_called_gives_back_all_and_the_next_goes_at_once(autojump_clock):
    wood, slow, went = Wood(), rated(requests=6, burst=1), []

    async def wait():
        async with wood.leaves.hold(slow):
            went.append(trio.current_time())

    async with trio.open_nursery() as nursery, wood.leaves.hold(slow):
        nursery.start_soon(wait)
        await trio.sleep(2.0)
    assert went == [2.0]
    assert wood.quiet()


async def test_tokens_are_reserved_by_the_estimate_and_settled_by_the_use(autojump_clock):
    wood, own = Wood(), rated(limits={"m": Rates(tokens=6000)})
    assert wood.leaves.leaf(own).counts_tokens
    assert not wood.leaves.leaf(rated(model="other", limits={"m": Rates(tokens=6000)})).counts_tokens
    hold = wood.leaves.hold(own, lambda: Ask(200, 700))
    async with hold:
        assert wood.leaves.standing(own).left.tokens == pytest.approx(100)
        hold.used(250)
    assert wood.leaves.standing(own).left.tokens == pytest.approx(750)
    unknown = wood.leaves.hold(own, lambda: Ask(0, 500))
    async with unknown:
        unknown.used(None)
    assert wood.leaves.standing(own).left.tokens == pytest.approx(250), "what nobody knows was all used"
    assert wood.quiet()


async def test_the_estimate_is_corrected_by_what_the_model_has_taught(autojump_clock):
    wood = Wood(by={"a/m": TargetState(ratio=TokenRatio(1.5, 40))})
    own = rated(tokens=6000)
    async with wood.leaves.hold(own, lambda: Ask(200, 100)):
        assert wood.leaves.left(own.provider).tokens == pytest.approx(1000 - 400)
    assert wood.quiet()


async def test_the_rates_of_a_provider_are_those_of_all_its_models_together(autojump_clock):
    wood = Wood()
    one, other = (rated("a", model, requests=60, burst=1) for model in ("m", "other"))
    hold = wood.leaves.hold(one)
    async with hold:
        hold.used(0)
    assert not wood.leaves.free(other)
    async with wood.leaves.hold(other) as waited:
        assert waited == pytest.approx(1.0)


async def test_what_one_target_gives_back_to_its_provider_is_for_all_its_targets(autojump_clock):
    wood, went = Wood(), []
    one, other = (rated("a", model, requests=6, burst=1) for model in ("m", "other"))

    async def wait():
        async with wood.leaves.hold(other):
            went.append(trio.current_time())

    async with trio.open_nursery() as nursery, wood.leaves.hold(one):
        nursery.start_soon(wait)
        await trio.sleep(2.0)
    assert went == [2.0]
    assert wood.quiet()


async def test_who_waited_at_the_gate_asks_the_rate_again(autojump_clock):
    """Both found the rate free before they waited for the provider; only one may go when it opens."""
    wood, went = Wood(permits=2), []
    pair = [rated("a", model, requests=60, burst=1) for model in ("m", "other")]

    async def call(one):
        hold = wood.leaves.hold(one)
        async with hold:
            went.append(trio.current_time())
            hold.used(0)

    async with trio.open_nursery() as nursery, wood.gates["a"].hold(), wood.gates["a"].hold():
        for one in pair:
            nursery.start_soon(call, one)
        await trio.sleep(5.0)
    assert went == pytest.approx([5.0, 6.0])
    assert wood.quiet()


async def test_calls_are_spaced_while_the_provider_says_that_little_is_left(autojump_clock):
    seen = QuotaSeen("a/m", 0.0, requests=2, requests_reset_s=10.0)
    wood, went = Wood(by={"a/m": TargetState(in_flight=3, quota=seen)}), []

    async def call():
        async with wood.leaves.hold(target("a")):
            went.append(trio.current_time())
            await trio.sleep(60.0)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(call)
    assert went == pytest.approx([0.0, 5.0, 10.0, 10.0]), "when the period is over the word counts no more"


async def test_room_for_what_another_does_already(autojump_clock):
    wood = Wood()
    wood.limited("a/m", 5)
    one = target("a")
    async with wood.leaves.hold(one), wood.leaves.hold(one), wood.leaves.hold(one):
        assert wood.leaves.roomy(one)
        async with wood.leaves.hold(one):
            assert not wood.leaves.roomy(one)
            assert wood.leaves.free(one)


async def test_a_model_may_have_fewer_places_by_configuration(autojump_clock):
    wood, narrow = Wood(), rated(limits={"m": Rates(concurrent=1)})
    assert wood.leaves.leaf(narrow).maximum == 1
    async with wood.leaves.hold(narrow), wood.leaves.hold(narrow, timeout_s=1.0) as refused:
        assert isinstance(refused, Problem)


async def test_rates_that_change_keep_what_was_taken(autojump_clock):
    wood = Wood()
    hold = wood.leaves.hold(rated(requests=60, burst=10))
    async with hold:
        hold.used(0)
    assert wood.leaves.left(rated(requests=60, burst=2).provider).requests == pytest.approx(1.0)
    assert wood.leaves.left(rated().provider).requests is None


async def test_a_rate_that_goes_while_a_call_runs_keeps_nothing_of_it(autojump_clock):
    wood = Wood()
    async with wood.leaves.hold(rated(requests=60, tokens=600)) as waited:
        assert waited == 0.0
        wood.leaves.leaf(rated())
    assert wood.quiet()


def test_bursts():
    assert requests_rate(Rates(requests=500)).burst == 84
    assert requests_rate(Rates(requests=0.5)).burst == 1
    assert requests_rate(Rates(requests=60, burst=3)).burst == 3
    assert tokens_rate(Rates(tokens=6000)).burst == 1000
    assert tokens_rate(Rates(requests=60, tokens=6000, burst=30)).burst == 3000
    assert requests_rate(NO_RATES) is tokens_rate(NO_RATES) is None


def test_a_share_of_rates():
    assert Rates(60.0, 6000.0, 5, 7).part(2) == Rates(30.0, 3000.0, 2, 4)
    assert Rates(60.0, burst=1).part(4).burst == 1
    assert NO_RATES.part(3) == NO_RATES


# ---- Whatever happens, in whatever order -----------------------------------------------------------------------------

clients = st.lists(
    st.tuples(
        st.floats(0, 12),  # when it comes
        st.sampled_from(["m", "other"]),
        st.integers(0, 900),  # tokens it reserves
        st.floats(0, 1),  # the share of them it uses
        st.floats(0, 6),  # how long its call lasts
        st.sampled_from([math.inf, 0.0, 1.0, 4.0]),  # its patience
        st.sampled_from([math.inf, math.inf, 0.3, 2.0, 5.0]),  # when it leaves, after it came
        st.booleans(),  # whether it calls the target at all
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(clients, st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
def test_no_interleaving_goes_beyond_a_limit_or_leaves_anything_behind(found, permits, places, burst):
    wood = Wood(permits=permits)
    rates = {"requests": 60, "tokens": 6000, "burst": burst}
    limits = {"m": Rates(concurrent=places)}
    went: list[tuple[float, float, float]] = []
    running = {"m": 0, "other": 0}

    async def client(at, model, tokens, share, lasts_s, patience_s, leaves_s, calls):
        await trio.sleep(at)
        hold = wood.leaves.hold(rated("a", model, limits=limits, **rates), lambda: Ask(0, tokens), patience_s)
        with trio.move_on_after(leaves_s):
            async with hold as waited:
                if isinstance(waited, Problem):
                    assert waited.kind is Kind.LOCAL_LIMIT
                    return
                assert waited <= patience_s + 1e-6
                if not calls:
                    return
                used = int(tokens * share)
                went.append((trio.current_time(), 1, used))
                hold.used(used)
                running[model] += 1
                assert running["m"] <= places
                assert sum(running.values()) <= permits
                try:
                    await trio.sleep(lasts_s)
                finally:
                    running[model] -= 1

    async def run():
        async with trio.open_nursery() as nursery:
            for one in found:
                nursery.start_soon(client, *one)
        assert wood.quiet()

    trio.run(run, clock=MockClock(autojump_threshold=0))
    went.sort()
    for first, (begin, _, _) in enumerate(went):
        requests, tokens, largest = 0, 0.0, 0.0
        for at, _, used in went[first:]:
            requests, tokens, largest = requests + 1, tokens + used, max(largest, used)
            assert requests <= (at - begin) + burst + 1e-3
            most = 6000 * burst / 60
            assert tokens <= (at - begin) * 100 + most + (largest if largest > most else 0) + 0.5


def test_a_refusal_while_others_run_lowers_the_places_that_are_given():
    board = Board()
    for number in range(20):
        board.tell(AttemptStarted(number, "a/m", 0.0))
    board.tell(AttemptEnded(1, "a/m", 0.1, 0.1, Kind.RATE_LIMITED, most=10))
    leaves = Leaves(lambda: 0.2, lambda: board.snapshot, {"a": Gate("a", 10, 10)})
    assert leaves.standing(target("a")).limit == 7
    assert board.snapshot.target("a/m").cooled_until == 0.0


async def test_gates_come_and_go_with_their_providers(autojump_clock):
    wood = Wood()
    async with wood.leaves.hold(target("a")):
        wood.leaves.change({"c": Gate("c", 1, 10)})
        assert set(wood.leaves.gates) == {"a", "b", "c"}
        async with wood.leaves.hold(target("c")) as waited:
            assert waited == 0.0
    wood.leaves.keep({"c"})
    assert set(wood.leaves.gates) == {"c"}
    assert wood.leaves.standing(target("c")).held == 0


async def test_who_waits_goes_when_a_provider_may_take_more(autojump_clock):
    wood = Wood(permits=1)
    went = []

    async def go():
        async with wood.leaves.hold(target("a")) as waited:
            went.append(waited)
            await trio.sleep(5.0)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(go)
        await trio.sleep(1.0)
        wood.gates["a"].resize(3)
        wood.leaves.change(wood.gates)
    assert went == [0.0, 1.0, 1.0]
    assert wood.quiet()
