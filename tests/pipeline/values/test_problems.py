from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.values.problems import RULES, Kind, Outcome, Problem, most_useful


def test_the_table_has_a_row_for_every_kind():
    assert set(RULES) == set(Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_row_is_of_one_piece(kind):
    rule = RULES[kind]
    assert 400 <= rule.status <= 599
    assert rule.outcome in get_args(Outcome)
    assert rule.outcome not in ("ok", "cancelled", "truncated")
    if rule.outcome == "client_error":
        assert rule.status < 500 or kind in (Kind.NOT_IMPLEMENTED, Kind.LOOP)
    if rule.outcome in ("client_error", "rejected", "deadline"):
        assert rule.signal == "neutral", "what is not the upstream's fault does not count against it"
    if rule.other or rule.same != "no":
        assert rule.usefulness > 0 or kind is Kind.LOCAL_LIMIT, "what several attempts may end in has a rank"


@pytest.mark.parametrize(
    ("kind", "same", "other", "signal", "status"),
    [
        pytest.param(Kind.CONNECT, "yes", True, "hard", 502, id="a refused connection may be tried anywhere"),
        pytest.param(Kind.TLS_INVALID, "no", True, "hard", 502, id="a bad certificate stays bad"),
        pytest.param(Kind.WRITE_OR_RESET, "once", True, "hard", 502, id="a reset is tried once more"),
        pytest.param(Kind.FIRST_BYTE, "no", True, "hard", 504, id="silence is not asked again"),
        pytest.param(Kind.TOTAL, "no", True, "hard", 504, id="nor is slowness"),
        pytest.param(Kind.RETRYABLE, "yes", True, "soft", 502, id="an upstream that says try again"),
        pytest.param(Kind.RATE_LIMITED, "hint", True, "cool_down", 429, id="a rate limit is waited for"),
        pytest.param(Kind.QUOTA, "no", True, "cool_down", 503, id="money is not"),
        pytest.param(Kind.OVERLOADED, "yes", True, "soft", 503, id="an overloaded one is softly blamed"),
        pytest.param(Kind.SERVER, "yes", True, "hard", 502, id="a broken one hard"),
        pytest.param(Kind.AUTH, "no", True, "cool_down", 502, id="our key is not the client's affair"),
        pytest.param(Kind.POLICY, "no", False, "neutral", 400, id="what one refuses is offered to no other"),
        pytest.param(Kind.INVALID, "no", False, "neutral", 400, id="a bad request is bad everywhere"),
        pytest.param(Kind.CONTEXT_LENGTH, "no", False, "neutral", 400, id="too long stays too long"),
        pytest.param(Kind.NOT_FOUND, "no", True, "neutral", 404, id="another may have the model"),
        pytest.param(Kind.GARBLED, "once", True, "hard", 502, id="garbage is tried once more"),
        pytest.param(Kind.REDIRECT, "no", True, "hard", 502, id="a redirect is never followed"),
        pytest.param(Kind.STREAM_ERROR, "no", False, "hard", 502, id="a broken stream is not begun again"),
    ],
)
def test_what_follows_from_an_upstreams_failure(kind, same, other, signal, status):
    rule = RULES[kind]
    assert (rule.same, rule.other, rule.signal, rule.status) == (same, other, signal, status)


def problems(*kinds):
    return tuple(Problem(kind, str(number)) for number, kind in enumerate(kinds))


K = Kind


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        pytest.param([K.SERVER], 0, id="the only one"),
        pytest.param([K.CONNECT, K.SERVER, K.CONNECT], 1, id="a server's error says more than no connection"),
        pytest.param([K.SERVER, K.FIRST_BYTE], 1, id="silence says more than an error"),
        pytest.param([K.FIRST_BYTE, K.OVERLOADED], 1, id="overload more than silence"),
        pytest.param([K.INVALID, K.OVERLOADED], 0, id="the client's own fault most"),
        pytest.param([K.SERVER, K.SERVER], 1, id="the latest among equals"),
        pytest.param([K.RATE_LIMITED, K.RATE_LIMITED], 1, id="a rate limit that all met is told as one"),
        pytest.param([K.RATE_LIMITED, K.CONNECT], 1, id="one that not all met is not"),
        pytest.param([K.NOT_FOUND, K.NOT_FOUND], 1, id="a model that all miss is missing"),
        pytest.param([K.NOT_FOUND, K.CONNECT], 1, id="one that some miss is not"),
        pytest.param([K.NOT_FOUND, K.LOCAL_LIMIT], 1, id="nor where one was too busy to say"),
        pytest.param(
            [K.RATE_LIMITED, K.NOT_FOUND], 1, id="where nothing else is left it is told all the same"
        ),
    ],
)
def test_the_problem_that_is_told(kinds, told):
    assert most_useful(problems(*kinds)).detail == str(told)


@given(st.lists(st.sampled_from(Kind), min_size=1, max_size=5))
def test_one_of_them_is_told_always(kinds):
    assert most_useful(problems(*kinds)) in problems(*kinds)


def test_a_problem_has_its_kinds_status_unless_it_brings_its_own():
    assert Problem(Kind.RATE_LIMITED).http_status == 429
    assert Problem(Kind.INVALID, status=413).http_status == 413


def test_a_problem_met_somewhere_is_the_same_with_its_place():
    problem = Problem(Kind.SERVER, "broke", retry_after=2.0)
    assert problem.at("a/b") == Problem(Kind.SERVER, "broke", retry_after=2.0, target="a/b")
