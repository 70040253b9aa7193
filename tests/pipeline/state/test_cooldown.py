import pytest

from pipeline.state.cooldown import Rest, cool_down_s
from pipeline.values.problems import Kind


@pytest.mark.parametrize(
    ("kind", "times", "hint", "roll", "expected"),
    [
        pytest.param(Kind.RATE_LIMITED, 0, None, 0.9, 1.0, id="without a hint it begins with a second"),
        pytest.param(Kind.RATE_LIMITED, 3, None, 0.9, 8.0, id="and doubles"),
        pytest.param(Kind.RATE_LIMITED, 10_000, None, 0.9, 60.0, id="up to a minute"),
        pytest.param(Kind.RATE_LIMITED, 5, 20.0, 0.0, 20.0, id="a hint holds"),
        pytest.param(Kind.RATE_LIMITED, 5, 20.0, 0.5, 21.0, id="and is spread by up to a tenth"),
        pytest.param(Kind.RATE_LIMITED, 0, 86_400.0, 0.0, 300.0, id="a day is more than a hint may ask"),
        pytest.param(Kind.RATE_LIMITED, 0, -5.0, 0.5, 1.0, id="a past one tells nothing"),
        pytest.param(Kind.RATE_LIMITED, 3, 0.0, 0.5, 8.0, id="nor does none: who means it would not refuse"),
        pytest.param(Kind.RATE_LIMITED, 0, float("nan"), 0.5, 1.0, id="nor what is no number"),
        pytest.param(Kind.RATE_LIMITED, 0, float("inf"), 0.0, 300.0, id="for ever is more than it may ask"),
        pytest.param(Kind.QUOTA, 0, 1.0, 0.0, 300.0, id="money does not come back in a second"),
        pytest.param(Kind.AUTH, 2, None, 0.0, 1200.0, id="nor do rights"),
        pytest.param(Kind.AUTH, 9, None, 0.0, 3600.0, id="an hour is the longest"),
    ],
)
def test_how_long(kind, times, hint, roll, expected):
    assert cool_down_s(kind, times, hint, roll) == pytest.approx(expected)


def asked(*moments, hint=None):
    rest = Rest()
    for now in moments:
        rest = rest.asked(Kind.RATE_LIMITED, now, hint, 0.0)
    return rest


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        pytest.param(asked(100.0), Rest(101.0, 1), id="the first"),
        pytest.param(asked(100.0, 101.0), Rest(103.0, 2), id="one after the other are longer"),
        pytest.param(asked(100.0, 100.0, 100.0), Rest(101.0, 1), id="those that land together are one"),
        pytest.param(asked(100.0, 100.5), Rest(101.5, 1), id="a late one lengthens it"),
        pytest.param(
            asked(100.0, hint=30.0).asked(Kind.RATE_LIMITED, 101.0, 2.0, 0.0),
            Rest(130.0, 1),
            id="never shorter",
        ),
        pytest.param(
            asked(100.0, 101.0).forgotten(162.9), Rest(103.0, 2), id="a success soon after forgets nothing"
        ),
        pytest.param(asked(100.0, 101.0).forgotten(163.0), Rest(103.0, 0), id="one a minute later does"),
    ],
)
def test_rests_in_a_row(rest, expected):
    assert rest == expected
