"""What a reply's headers say of the limits of a key, in each protocol."""

import pytest

from adapters.dialects.allowances import duration, limit_headers
from pipeline.values.facts import Charged, Remaining

CHARGED = Charged(Remaining(60, 59, 1.0), Remaining(100_000, 95_000, 3.0))
EPOCH = 1_790_000_000.25


@pytest.mark.parametrize(
    ("dialect", "charged", "told"),
    [
        pytest.param(
            "openai.responses",
            CHARGED,
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "100000",
                "x-ratelimit-remaining-tokens": "95000",
                "x-ratelimit-reset-tokens": "3s",
            },
            id="OpenAI's",
        ),
        pytest.param(
            "anthropic.messages",
            Charged(tokens=Remaining(100, 95, 3.0)),
            {
                "anthropic-ratelimit-tokens-limit": "100",
                "anthropic-ratelimit-tokens-remaining": "95",
                "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:24Z",
            },
            id="Anthropic's, of the one limit there is",
        ),
        pytest.param("openai.chat", Charged(), {}, id="nothing where there are no limits"),
        pytest.param("ollama.chat", CHARGED, {}, id="nothing where the protocol has no such headers"),
        pytest.param("google.generate", CHARGED, {}, id="nor this one"),
    ],
)
def test_headers(dialect, charged, told):
    found = {name.decode(): value.decode() for name, value in limit_headers(dialect, charged, EPOCH)}
    assert found == told


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.0201, "21ms"),
        (1.5, "1.5s"),
        (59.9999, "1m0s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3661.5, "61m1.5s"),
    ],
)
def test_a_duration(seconds, text):
    assert duration(seconds) == text
