import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.state.breaker import Admitted, Breaker, BreakerOptions, Refused


def fed(breaker, *results, roll=1.0, **given):
    """`breaker` after results (verdict, time) of calls of its present generation."""
    for verdict, now in results:
        breaker = breaker.record(verdict, now, breaker.generation, roll, **given)
    return breaker


def probed(breaker, *results, roll=1.0, hint=None):
    """`breaker` after probes (verdict, time), each asked for and ended at once."""
    for verdict, now in results:
        breaker, answer = breaker.admit(now)
        assert answer == Admitted(breaker.generation, probe=True)
        breaker = breaker.record(verdict, now, answer.generation, roll, hint)
    return breaker


FIVE = [("hard", 100.0)] * 5
TRIPPED = fed(Breaker(), *FIVE)
HALF_OPEN = TRIPPED.eased(101.0)


@pytest.mark.parametrize(
    ("results", "mode"),
    [
        pytest.param([("hard", 100.0)] * 4, "closed", id="four hard failures are borne"),
        pytest.param([("hard", 100.0)] * 5, "open", id="five in a row trip it"),
        pytest.param([("hard", float(at)) for at in range(0, 500, 100)], "open", id="however far apart"),
        pytest.param(
            [("hard", 1.0)] * 4 + [("ok", 2.0)] + [("hard", 3.0)] * 4, "closed", id="a success between"
        ),
        pytest.param(
            [("hard", 1.0)] * 4 + [("neutral", 2.0)] + [("hard", 3.0)], "open", id="neutral is no success"
        ),
        pytest.param(
            [("hard", 1.0)] * 4 + [("soft", 2.0)] + [("hard", 3.0)], "open", id="a soft failure is none"
        ),
        pytest.param([("soft", 1.0)] * 19, "closed", id="few soft failures are borne"),
        pytest.param([("soft", 1.0)] * 20, "open", id="twenty that all failed trip it"),
        pytest.param([("ok", 1.0)] * 10 + [("soft", 2.0)] * 9, "closed", id="fewer than twenty in all"),
        pytest.param([("ok", 1.0)] * 10 + [("soft", 2.0)] * 10, "open", id="half of twenty failed"),
        pytest.param([("ok", 1.0)] * 11 + [("soft", 2.0)] * 10, "closed", id="less than half failed"),
        pytest.param([("soft", 1.0)] * 10 + [("ok", 31.0)] * 10, "closed", id="what is older than the ring"),
        pytest.param([("neutral", 1.0)] * 30, "closed", id="neutral results count for nothing"),
        pytest.param([("cool_down", 1.0)] * 30, "closed", id="a rate limit is no failure"),
    ],
)
def test_when_a_closed_breaker_trips(results, mode):
    assert fed(Breaker(), *results).mode == mode


@pytest.mark.parametrize(
    ("verdict", "changes"),
    [
        pytest.param("hard", {"hard_in_a_row": 3}, id="a hard failure"),
        pytest.param("soft", {}, id="a soft one is none in a row"),
        pytest.param("ok", {"hard_in_a_row": 0}, id="a success"),
    ],
)
def test_a_result_that_trips_nothing_changes_only_counts(verdict, changes):
    breaker = Breaker(generation=7, since=3.0, hard_in_a_row=2, trips=4, open_until=9.0, probes_ok=1)
    counted = fed(breaker, (verdict, 100.0))
    assert counted.seen != breaker.seen
    assert counted == evolve(breaker, seen=counted.seen, **changes)


def test_shares_of_failures_do_not_close_the_last_way_out():
    results = [("soft", 1.0)] * 30
    assert fed(Breaker(), *results, ratio=False).mode == "closed"
    assert fed(Breaker(), *FIVE, ratio=False).mode == "open"


@pytest.mark.parametrize(
    ("slow", "options", "mode"),
    [
        pytest.param(16, BreakerOptions(slow_first_byte_s=2.0), "open", id="four of five slow trip it"),
        pytest.param(15, BreakerOptions(slow_first_byte_s=2.0), "closed", id="fewer do not"),
        pytest.param(
            20, BreakerOptions(slow_first_byte_s=3.0), "closed", id="as slow as allowed is not slow"
        ),
        pytest.param(20, BreakerOptions(), "closed", id="slowness never trips where it is not asked for"),
    ],
)
def test_slow_answers(slow, options, mode):
    breaker = Breaker()
    for _ in range(slow):
        breaker = breaker.delayed(3.0, 1.0, 0, options)
    assert fed(breaker, *[("ok", 1.0)] * 20, options=options).mode == mode


@pytest.mark.parametrize(
    ("trips", "roll", "hint", "open_s"),
    [
        pytest.param(1, 0.0, None, 2.5, id="at least half of the time"),
        pytest.param(1, 1.0, None, 5.0, id="at most all of it"),
        pytest.param(3, 1.0, None, 20.0, id="each trip doubles it"),
        pytest.param(7, 1.0, None, 300.0, id="five minutes are the most"),
        pytest.param(5000, 1.0, None, 300.0, id="however often it tripped"),
        pytest.param(1, 0.0, 60.0, 60.0, id="a hint lengthens it"),
        pytest.param(3, 1.0, 4.0, 20.0, id="but does not shorten it"),
        pytest.param(1, 0.0, 86_400.0, 300.0, id="a day's hint is capped"),
    ],
)
def test_how_long_it_stays_open(trips, roll, hint, open_s):
    breaker = fed(Breaker(trips=trips - 1, since=99.0), *FIVE, roll=roll, hint=hint)
    assert breaker.trips == trips
    assert breaker.closed_for(100.0) == pytest.approx(open_s)
    assert breaker.refuses(100.0 + open_s - 0.01)
    assert not breaker.refuses(100.0 + open_s + 0.01)


def closed_again(at):
    return probed(TRIPPED.eased(at), ("ok", at), ("ok", at))


@pytest.mark.parametrize(
    ("health_s", "trips"),
    [
        pytest.param(0.0, 2, id="a trip during the ramp raises it"),
        pytest.param(59.0, 2, id="less than a minute forgives nothing"),
        pytest.param(60.0, 1, id="a minute of health forgives one trip"),
        pytest.param(9999.0, 1, id="no more is forgiven than there was"),
    ],
)
def test_trips_are_forgiven_by_closed_health(health_s, trips):
    again = fed(closed_again(200.0), *[("hard", 200.0 + health_s)] * 5)
    assert (again.mode, again.trips) == ("open", trips)


def test_failures_that_land_at_once_are_one_trip():
    breaker = Breaker()
    for _ in range(30):
        breaker = breaker.record("hard", 100.0, 0, 1.0)
    assert (breaker.mode, breaker.trips, breaker.open_until) == ("open", 1, 105.0)


@pytest.mark.parametrize("verdict", ["ok", "hard", "soft", "cool_down", "neutral"])
@pytest.mark.parametrize(
    "breaker",
    [
        pytest.param(TRIPPED, id="open"),
        pytest.param(TRIPPED.admit(200.0)[0], id="half-open"),
        pytest.param(closed_again(200.0), id="closed again"),
    ],
)
def test_results_of_an_older_generation_are_ignored(breaker, verdict):
    assert breaker.record(verdict, 201.0, 0, 1.0) == breaker


def test_an_open_breaker_refuses_until_its_time_is_over():
    assert TRIPPED.admit(102.0) == (TRIPPED, Refused(3.0))
    breaker, answer = TRIPPED.admit(105.0)
    assert breaker.mode == "half_open"
    assert answer == Admitted(breaker.generation, probe=True)


def test_one_probe_at_a_time():
    breaker, _ = TRIPPED.admit(105.0)
    assert breaker.admit(105.0) == (breaker, Refused(1.0))


@pytest.mark.parametrize(
    ("results", "mode", "trips"),
    [
        pytest.param([("ok", 106.0)], "half_open", 1, id="one good probe is not enough"),
        pytest.param([("ok", 106.0), ("ok", 107.0)], "closed", 1, id="two in a row close it"),
        pytest.param(
            [("ok", 106.0), ("neutral", 107.0), ("ok", 108.0)], "closed", 1, id="neutral between them"
        ),
        pytest.param([("hard", 106.0)], "open", 2, id="a hard failure reopens it"),
        pytest.param([("ok", 106.0), ("soft", 107.0)], "open", 2, id="a soft one too"),
        pytest.param([("cool_down", 106.0)], "open", 1, id="a rate limit reopens it without blame"),
        pytest.param([("neutral", 106.0)] * 3, "half_open", 1, id="a client who leaves gives the lease back"),
        pytest.param(
            [("ok", 106.0), ("hard", 107.0), ("ok", 130.0)], "half_open", 2, id="in a row means in a row"
        ),
    ],
)
def test_probes(results, mode, trips):
    breaker = probed(TRIPPED, *results)
    assert (breaker.mode, breaker.trips) == (mode, trips)


def test_a_lost_probe_wedges_nothing():
    breaker, lost = TRIPPED.admit(105.0)
    assert breaker.refuses(105.0 + 304.0)
    breaker, answer = breaker.admit(105.0 + 305.0)
    assert answer == Admitted(breaker.generation, probe=True)
    assert breaker.record("ok", 411.0, lost.generation, 1.0) == breaker


@pytest.mark.parametrize(
    ("verdict", "mode"),
    [
        pytest.param("ok", "half_open", id="a success of a call forced through is worth a look"),
        pytest.param("hard", "open", id="its failure was expected"),
        pytest.param("neutral", "open", id="or said nothing"),
    ],
)
def test_a_call_forced_through_an_open_breaker(verdict, mode):
    breaker = fed(TRIPPED, (verdict, 101.0))
    assert (breaker.mode, breaker.trips) == (mode, 1)
    if mode == "half_open":
        assert probed(breaker, ("ok", 102.0)).mode == "closed"
    else:
        assert breaker == TRIPPED


def test_a_good_health_check_lets_a_probe_out_early_and_closes_nothing():
    assert (HALF_OPEN.mode, HALF_OPEN.refuses(101.0)) == ("half_open", False)
    assert HALF_OPEN.eased(102.0) == HALF_OPEN
    assert Breaker().eased(1.0) == Breaker()


@pytest.mark.parametrize(
    ("breaker", "now", "weight"),
    [
        pytest.param(Breaker(), 0.0, 1.0, id="full from the start"),
        pytest.param(closed_again(200.0), 200.0, 0.1, id="a tenth after a bad time"),
        pytest.param(closed_again(200.0), 215.0, 0.5, id="half in the middle of the ramp"),
        pytest.param(closed_again(200.0), 230.0, 1.0, id="full at its end"),
        pytest.param(HALF_OPEN, 105.0, 0.1, id="a probe is little"),
    ],
)
def test_the_weight(breaker, now, weight):
    assert breaker.weight(now) == pytest.approx(weight)


@pytest.mark.parametrize(
    ("breaker", "now", "failing"),
    [
        pytest.param(Breaker(), 1.0, False, id="nothing has happened"),
        pytest.param(fed(Breaker(), ("ok", 1.0)), 1.0, False, id="it went well"),
        pytest.param(fed(Breaker(), ("soft", 1.0)), 1.0, True, id="it went ill"),
        pytest.param(fed(Breaker(), ("soft", 1.0)), 40.0, False, id="long ago"),
        pytest.param(TRIPPED, 999.0, True, id="it is open"),
    ],
)
def test_whether_it_fails(breaker, now, failing):
    assert breaker.failing(now) is failing


def test_thresholds_change_at_once():
    assert (
        fed(Breaker(), ("hard", 1.0), ("hard", 1.0), options=BreakerOptions(hard_in_a_row=2)).mode == "open"
    )


def test_a_call_belongs_to_the_generation_it_began_in():
    breaker, _ = TRIPPED.admit(105.0)
    assert breaker.generation_of(105.0) == breaker.generation
    assert breaker.generation_of(104.9) < breaker.generation


verdicts = st.sampled_from(["ok", "ok", "hard", "hard", "soft", "cool_down", "neutral"])
steps = st.lists(
    st.tuples(st.sampled_from(["ask", "ask", "end"]), st.floats(0, 20), verdicts, st.floats(0, 0.99)),
    max_size=150,
)


@given(steps)
def test_whatever_happens_it_keeps_its_promises(steps):
    breaker, now, out = Breaker(), 1000.0, []
    for step, gap, verdict, roll in steps:
        now += gap
        before = breaker
        if step == "ask":
            breaker, answer = breaker.admit(now)
            assert isinstance(answer, Refused) == before.refuses(now)
            if isinstance(answer, Admitted):
                assert answer.generation == breaker.generation
                assert answer.probe == (before.mode != "closed")
                out.append(answer)
            else:
                assert breaker == before
                assert 0 < answer.retry_after <= 300
        elif out:
            breaker = breaker.record(verdict, now, out.pop(0).generation, roll)
        assert breaker.generation >= before.generation
        assert before == breaker or breaker.generation > before.generation or breaker.mode == before.mode
        live = [answer for answer in out if answer.probe and answer.generation == breaker.generation]
        assert len(live) <= 1
        assert 0.1 <= breaker.weight(now) <= 1.0
        assert len(breaker.seen.slices) <= 10
    assert not breaker.refuses(now + 306)
