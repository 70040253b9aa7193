"""When to come again and what is left, in all the forms in which providers say it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.limits import duration, quota, reset, retry_after
from pipeline.values.facts import QuotaSeen
from pipeline.values.http import ReplyHead

NOON = "Mon, 06 Nov 2023 12:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "message", "expected"),
    [
        pytest.param({}, "", None, id="nothing said"),
        pytest.param({"retry-after": "7"}, "", 7.0, id="seconds"),
        pytest.param({"retry-after": " 1.5 "}, "", 1.5, id="a fraction"),
        pytest.param({"retry-after": "0"}, "", 0.0, id="at once"),
        pytest.param(
            {"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5, id="milliseconds before seconds"
        ),
        pytest.param({"retry-after-ms": "soon", "retry-after": "9"}, "", 9.0, id="unreadable milliseconds"),
        pytest.param({"retry-after": "Mon, 06 Nov 2023 12:00:30 GMT", "date": NOON}, "", 30.0, id="a date"),
        pytest.param(
            {"retry-after": "Mon, 06 Nov 2023 11:00:00 GMT", "date": NOON}, "", 0.0, id="a past date"
        ),
        pytest.param({"retry-after": "Mon, 06 Nov 2023 12:00:30 GMT"}, "", None, id="a date without a clock"),
        pytest.param({"retry-after": "-5"}, "", None, id="a negative number"),
        pytest.param({"retry-after": "nan"}, "", None, id="no number"),
        pytest.param({"retry-after": "1" * 400}, "", None, id="a number beyond all measure"),
        pytest.param({}, "Please try again in 6m0s. Visit us.", 360.0, id="words with minutes"),
        pytest.param({}, "Please try again in 20ms.", 0.02, id="words with milliseconds"),
        pytest.param({"retry-after": "2"}, "try again in 9s", 2.0, id="a header before words"),
        pytest.param({}, "try again later", None, id="words without a time"),
    ],
)
def test_when_to_come_again(headers, message, expected):
    assert retry_after(headers, message) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6m0s", 360.0),
        ("1.5s", 1.5),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("0s", 0.0),
        ("12", 12.0),
        ("0.5", 0.5),
        ("", None),
        ("soon", None),
        ("6m 0s", None),
        ("-1s", None),
        (f"{'9' * 400}s", None),
        ("٣s", None),
    ],
)
def test_durations(text, expected):
    assert duration(text) == expected


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        pytest.param("6m0s", None, 360.0, id="a duration"),
        pytest.param("1700000010", 1700000000.0, 10.0, id="epoch seconds"),
        pytest.param("1700000010500", 1700000000.0, 10.5, id="epoch milliseconds"),
        pytest.param("2023-11-14T22:13:30Z", 1700000000.0, 10.0, id="RFC 3339"),
        pytest.param("2023-11-14T22:13:30", 1700000000.0, 10.0, id="RFC 3339 without a zone"),
        pytest.param("2023-11-14T22:13:10Z", 1700000000.0, 0.0, id="a time that is past"),
        pytest.param("1700000010", None, None, id="a time without a clock"),
        pytest.param("tomorrow", 1700000000.0, None, id="words"),
    ],
)
def test_resets(text, now, expected):
    assert reset(text, now) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="nothing said"),
        pytest.param(
            {"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "soon"},
            QuotaSeen("p/m", 3.0, unread=2),
            id="nothing readable is counted",
        ),
        pytest.param({"x-ratelimit-remaining-requests": ""}, None, id="an empty header says nothing"),
        pytest.param(
            {"x-ratelimit-remaining-tokens": "5"}, QuotaSeen("p/m", 3.0, None, 5), id="tokens alone"
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-remaining-tokens": "149984",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            QuotaSeen("p/m", 3.0, 0, 149984, 1.0, 360.0),
            id="all",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "1.5",
                "x-ratelimit-reset-requests": "x",
                "x-ratelimit-reset-tokens": "2",
            },
            QuotaSeen("p/m", 3.0, tokens_reset_s=2.0, unread=2),
            id="what is unreadable is left out, and counted",
        ),
    ],
)
def test_what_is_left(headers, expected):
    assert quota("p/m", ReplyHead(200, headers), 3.0) == expected


NAMES = [
    "retry-after",
    "retry-after-ms",
    "date",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-tokens",
]


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text() | st.from_regex(r"[\w:. ,+-]*", fullmatch=True)),
    st.text(),
)
def test_whatever_the_headers_say_is_no_reason_to_fail(headers, message):
    seconds = retry_after(headers, message)
    assert seconds is None or seconds >= 0
    quota("p/m", ReplyHead(200, headers), 0.0)
