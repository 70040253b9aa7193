"""Credentials that grow old: fetched in a thread, renewed in time, and the last good one kept when that fails."""

import logging

import pytest
import trio
from attrs import evolve

from adapters.credentials import FIRST_S, RENEW_S, Credentials, Renewed, pause_s
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider

PLAIN = Provider("plain", "openai", "https://x", secret=Secret("k"))
FETCHED = Provider("fetched", "cloud", "https://x")


class Script:
    """Gives what it was told to, the last again and again; an exception is raised."""

    def __init__(self, *given):
        self.given = list(given)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        found = self.given.pop(0) if len(self.given) > 1 else self.given[0]
        if isinstance(found, Exception):
            raise found
        return found


def house(fetch):
    credentials = Credentials({"cloud": lambda provider: fetch})
    return credentials, credentials.given(FETCHED).secret


@pytest.fixture
def patient(autojump_clock):
    """Virtual time stands still while a thread may be at work."""
    autojump_clock.autojump_threshold = 0.05


def test_a_provider_of_another_kind_keeps_its_secret():
    assert Credentials({"cloud": lambda provider: Secret("other")}).given(PLAIN) is PLAIN


def test_a_credential_that_is_made_is_used():
    given = Credentials({"cloud": lambda provider: Secret(provider.name)}).given(FETCHED)
    assert given == evolve(FETCHED, secret=Secret("fetched"))


def test_before_it_is_fetched_a_credential_is_empty():
    _, secret = house(Script("a"))
    assert (secret.value, bool(secret), secret.masked) == ("", False, "")


def test_a_renewed_credential_does_not_show():
    secret = Renewed()
    secret.renew("0123456789abcdefghij")
    assert repr(secret) == str(secret) == f"{secret}" == "Secret('****ghij')"


def test_a_credential_is_the_same_whatever_its_value():
    one, other = Renewed(), Renewed()
    before = hash(one)
    one.renew("a")
    assert (one == one, one == other, hash(one)) == (True, False, before)
    assert len({evolve(FETCHED, secret=one), evolve(FETCHED, secret=one)}) == 1


async def test_the_house_starts_when_the_first_ones_are_there(autojump_clock, patient):
    credentials, secret = house(Script("a"))
    async with trio.open_nursery() as nursery:
        await nursery.start(credentials.run)
        assert secret.value == "a"
        nursery.cancel_scope.cancel()


async def test_without_credentials_to_fetch_it_starts_at_once(autojump_clock, patient):
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        await nursery.start(Credentials({}).run)
        assert trio.current_time() == began
        nursery.cancel_scope.cancel()


async def test_what_is_fetched_later_is_used_from_then_on(autojump_clock, patient):
    credentials, secret = house(Script("a", "b", "c"))
    seen = []
    async with trio.open_nursery() as nursery:
        await nursery.start(credentials.run)
        for _ in range(3):
            seen.append(secret.value)
            await trio.sleep(RENEW_S + 1)
        nursery.cancel_scope.cancel()
    assert seen == ["a", "b", "c"]


async def test_a_failure_leaves_the_last_one_and_is_tried_again_soon(autojump_clock, patient, caplog):
    fetch = Script("a", LookupError("secret words"), LookupError(), "b")
    credentials, secret = house(fetch)
    with caplog.at_level(logging.INFO, "ollama_proxy.credentials"):
        async with trio.open_nursery() as nursery:
            await nursery.start(credentials.run)
            await trio.sleep(RENEW_S + 0.5)
            assert (fetch.asked, secret.value) == (2, "a")
            await trio.sleep(1.0)
            assert (fetch.asked, secret.value) == (3, "a")
            await trio.sleep(2.0)
            assert (fetch.asked, secret.value) == (4, "b")
            nursery.cancel_scope.cancel()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "fetched: no credentials could be fetched (LookupError)",
        "fetched: credentials are fetched again",
    ]


async def test_a_fetch_that_hangs_does_not_hold_up_the_house(autojump_clock, patient):
    from threading import Event

    leave = Event()
    credentials, secret = house(lambda: "late" if leave.wait(5) else "never")
    began = trio.current_time()
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(FIRST_S + 1):
                await nursery.start(credentials.run)
            assert trio.current_time() - began == pytest.approx(FIRST_S)
            assert secret.value == ""
            nursery.cancel_scope.cancel()
    finally:
        leave.set()


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, RENEW_S), (1, 1), (2, 2), (4, 8), (7, 60), (10_000, 60)]
)
def test_pauses_grow_and_are_bounded(failures, seconds):
    assert pause_s(failures) == seconds


def test_the_same_account_has_the_same_credential_whatever_else_changes():
    credentials, secret = house(Script("a"))
    assert credentials.given(evolve(FETCHED, max_concurrent=3)).secret is secret
    assert credentials.given(evolve(FETCHED, base_url="https://y")).secret is not secret


async def test_accounts_come_and_go_while_it_runs(autojump_clock, patient):
    credentials, secret = house(fetch := Script("a"))
    other = evolve(FETCHED, name="other")
    async with trio.open_nursery() as nursery:
        await nursery.start(credentials.run)
        given = credentials.given(other).secret
        await credentials.begun()
        assert (given.value, fetch.asked) == ("a", 2)
        credentials.keep([other])
        await trio.sleep(RENEW_S + 1)
        assert fetch.asked == 3, "that of the account that is gone is not fetched again"
        assert credentials.given(FETCHED).secret is not secret
        nursery.cancel_scope.cancel()
