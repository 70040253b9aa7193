"""What is kept of a key, and who is recognised by it."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pipeline.keys import (
    NOBODY,
    Key,
    allowance,
    allowance_text,
    digest_of,
    duration_s,
    id_of,
    key_text,
    moment,
    moment_text,
    recognise,
    ring_of,
)
from pipeline.values.callers import Allowance

PEPPER = b"a pepper for the tests"
NOW = 1_790_000_000.0
WEB_TEXT = key_text(b"\x01" * 5, b"\x02" * 32)
OLD_TEXT = key_text(b"\x01" * 5, b"\x03" * 32)
WEB = Key(id_of(WEB_TEXT), digest_of(WEB_TEXT.encode(), PEPPER), "web", models=("gpt-4o*",))


def asked(text, key=WEB, now=NOW):
    shown = text if isinstance(text, bytes) else text.encode()
    return recognise(ring_of([key]), shown, PEPPER, now)


def test_a_key_is_recognised_and_says_what_its_caller_may():
    found = asked(WEB_TEXT)
    assert (found.key, found.name, found.models) == (WEB.id, "web", ("gpt-4o*",))


def test_a_key_has_an_id_and_256_bits():
    assert WEB_TEXT == "ollp_aeaqcaib_" + "aibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaiba"
    assert id_of(WEB_TEXT) == "aeaqcaib"
    assert WEB_TEXT not in repr(WEB)
    assert WEB.digest not in repr(WEB)


BAD = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"ollama", id="a word where a key is wanted"),
    pytest.param(b"sk-proj-0123456789abcdef", id="another vendor's key"),
    pytest.param(WEB_TEXT[:-1].encode(), id="one letter short"),
    pytest.param(WEB_TEXT.encode() + b"a", id="one letter long"),
    pytest.param(WEB_TEXT.upper().encode(), id="in capitals"),
    pytest.param(WEB_TEXT.encode() + b"\n", id="with a line end"),
    pytest.param(OLD_TEXT.encode(), id="the right id with another secret"),
    pytest.param(key_text(b"\x09" * 5, b"\x02" * 32).encode(), id="an id that nobody has"),
    pytest.param("schlüssel".encode(), id="not ASCII"),
    pytest.param(b"\xff\xfe\x00", id="not even text"),
    pytest.param(b"o" * 10240, id="10 KiB"),
    pytest.param(WEB_TEXT.encode() + b" " * 10240, id="the key with 10 KiB behind it"),
]


@pytest.mark.parametrize("shown", BAD)
def test_what_is_no_key_is_not_recognised(shown):
    assert asked(shown) is None


@pytest.mark.parametrize("shown", [*BAD, pytest.param(WEB_TEXT.encode(), id="the key itself")])
def test_the_same_steps_are_taken_whatever_is_shown(shown):
    """Two comparisons of texts of equal length: nothing on the way depends on whether the id is known."""
    compared = []

    def compare(one, other):
        compared.append((len(one), len(other)))
        return one == other

    recognise(ring_of([WEB]), shown, PEPPER, NOW, compare)
    assert compared == [(64, 64), (64, 64)]


@given(st.binary(max_size=200))
def test_chance_opens_nothing(shown):
    assert asked(shown) is None


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        pytest.param({}, True, id="a key without an end"),
        pytest.param({"expires": NOW + 1}, True, id="just before its end"),
        pytest.param({"expires": NOW}, False, id="at its end"),
        pytest.param({"revoked": NOW - 1}, False, id="revoked"),
        pytest.param({"revoked": NOW + 3600}, False, id="revoked by a clock that was ahead"),
    ],
)
def test_only_an_active_key_is_good(changes, good):
    assert (asked(WEB_TEXT, evolve(WEB, **changes)) is not None) is good


def test_a_replaced_key_is_good_for_its_grace_and_no_longer():
    before = evolve(WEB, digest=digest_of(OLD_TEXT.encode(), PEPPER))
    after = before.replaced(digest_of(WEB_TEXT.encode(), PEPPER), NOW, 60.0)
    assert asked(WEB_TEXT, after).key == WEB.id
    assert asked(OLD_TEXT, after, NOW + 59).key == WEB.id
    assert asked(OLD_TEXT, after, NOW + 60) is None
    assert asked(OLD_TEXT, before.replaced(WEB.digest, NOW, 0.0)) is None


def test_a_revoked_key_is_refused_in_its_grace_too():
    after = evolve(WEB, digest=digest_of(OLD_TEXT.encode(), PEPPER)).replaced(WEB.digest, NOW, 60.0)
    assert asked(OLD_TEXT, evolve(after, revoked=NOW)) is None


def test_another_pepper_knows_nobody():
    assert recognise(ring_of([WEB]), WEB_TEXT.encode(), b"another pepper, as long", NOW) is None


def test_nobody_is_let_in_as_nobody():
    assert recognise(ring_of([NOBODY]), b"", PEPPER, NOW, lambda one, other: True) is None


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        pytest.param([], False, id="no keys"),
        pytest.param([evolve(WEB, first=True)], False, id="the first alone"),
        pytest.param([WEB], True, id="one of an operator"),
        pytest.param([evolve(WEB, revoked=1.0)], True, id="one that was revoked: the house stays closed"),
    ],
)
def test_whether_an_operator_made_keys(keys, made):
    assert ring_of(keys).made is made


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("12h", 43_200), ("90 s", 90), ("2W", 1_209_600), ("0", 0)]
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1 year", "9999999d", "999999w"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="must be"):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("2027-01-31", "2027-02-01T00:00:00Z", id="a day lasts to its end"),
        pytest.param("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z", id="a moment"),
        pytest.param("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z", id="of another zone"),
        pytest.param("2027-01-31T12:00:00", "2027-01-31T12:00:00Z", id="without a zone: UTC"),
    ],
)
def test_moments(text, shown):
    assert moment_text(moment(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2027-13-01", "31.01.2027", "9999-12-31", "0001-01-01", "0001-01-01T00:00:00+10:00"],
)
def test_what_is_no_moment(text):
    with pytest.raises(ValueError, match="must be a date"):
        moment(text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("20/month", Allowance(20_000_000, "month")),
        ("0.5/day", Allowance(500_000, "day")),
        ("$1.000001/hour", Allowance(1_000_001, "hour")),
    ],
)
def test_budgets(text, allowed):
    assert allowance(text) == allowed
    assert allowance(allowance_text(allowed)) == allowed


@pytest.mark.parametrize("text", ["", "20", "20/year", "-1/day", "0/day", "0.0000001/day", "1e3/day", "20/"])
def test_what_is_no_budget(text):
    with pytest.raises(ValueError, match="must"):
        allowance(text)
