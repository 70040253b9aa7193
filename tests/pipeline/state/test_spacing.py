"""How far apart calls are sent while little is left."""

import pytest

from pipeline.state.spacing import spacing_s
from pipeline.values.facts import QuotaSeen


@pytest.mark.parametrize(
    ("left", "reset_s", "in_flight", "now", "expected"),
    [
        pytest.param(4, 20.0, 5, 10.0, 5.0, id="what is left is spread over the time"),
        pytest.param(0, 20.0, 1, 10.0, 20.0, id="nothing is left"),
        pytest.param(3, 86_400.0, 5, 10.0, 100.0, id="nobody is believed for longer than five minutes"),
        pytest.param(5, 20.0, 5, 10.0, 0.0, id="as much is left as is out"),
        pytest.param(4, 20.0, 5, 30.0, 0.0, id="the time is over"),
        pytest.param(4, None, 5, 10.0, 0.0, id="nobody says until when"),
        pytest.param(None, 20.0, 5, 10.0, 0.0, id="nobody says how many"),
    ],
)
def test_spacing(left, reset_s, in_flight, now, expected):
    quota = QuotaSeen("a/m", 10.0, requests=left, requests_reset_s=reset_s)
    assert spacing_s(quota, in_flight, now) == expected


def test_without_a_word_there_is_none():
    assert spacing_s(None, 9, 0.0) == 0.0
