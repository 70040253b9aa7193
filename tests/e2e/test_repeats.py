"""One call for many who ask for the same, and one answer given again, as real clients see it over sockets."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import ollama
import pytest
from openai import OpenAI

from tests.e2e.test_routing import counts, house

STAGES = '[pipeline]\nstages = ["normalize", {extra}, "route", "limit", "call", "transform", "record"]\n'
COALESCED, CACHED = STAGES.format(extra='"coalesce"'), STAGES.format(extra='"cache"')
HELLO = [{"role": "user", "content": "hello"}]


def words(client: OpenAI, stream: bool) -> tuple[str, str | None]:
    """What the model said, and how the gateway came by it."""
    asked: dict[str, Any] = {"model": "m", "messages": HELLO, "temperature": 0}
    if not stream:
        raw = client.chat.completions.with_raw_response.create(**asked)
        return raw.parse().choices[0].message.content or "", raw.headers.get("x-proxy-cache")
    streamed = client.chat.completions.with_raw_response.create(**asked, stream=True)
    said = "".join(
        chunk.choices[0].delta.content or "" for chunk in streamed.parse() if chunk.choices
    )  # fmt: skip
    return said, streamed.headers.get("x-proxy-cache")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_those_who_ask_at_the_same_time_share_a_call(stream: bool) -> None:
    with house("a", settings=COALESCED) as (running, providers):
        providers["a"].delay = lambda: 0.7
        with (
            OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            said = list(pool.map(lambda _: words(client, stream), range(8)))
        assert [text for text, _ in said] == ["hi"] * 8
        assert sorted(str(how) for _, how in said) == ["None"] + ["shared"] * 7
        assert counts(providers) == {"a": 1}


def test_a_leader_who_hangs_up_leaves_the_call_to_the_others() -> None:
    with house("a", settings=COALESCED) as (running, providers):
        providers["a"].delay = lambda: 1.5

        def hasty() -> None:
            with ollama.Client(running.url, timeout=0.8) as client, pytest.raises(httpx.ReadTimeout):
                client.chat("m", HELLO, options={"seed": 1})

        with ThreadPoolExecutor(2) as pool:
            leader = pool.submit(hasty)
            time.sleep(0.3)
            with ollama.Client(running.url) as client:
                answer = client.chat("m", HELLO, options={"seed": 1})
            leader.result()
        assert answer.message.content == "hi"
        assert counts(providers) == {"a": 1}
        assert providers["a"].left == []


def test_when_all_have_hung_up_the_provider_is_let_go_at_once() -> None:
    with house("a", settings=COALESCED) as (running, providers):
        providers["a"].delay = lambda: 30.0
        body = {"model": "m", "messages": HELLO, "options": {"seed": 1}, "stream": False}

        def hasty(patience: float) -> float:
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{running.url}/api/chat", json=body, timeout=patience)
            return time.monotonic()

        with ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(hasty, (0.5, 1.0)))
        deadline = time.monotonic() + 5
        while not providers["a"].left and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(providers["a"].left) == 1
        assert -0.05 <= providers["a"].left[0] - max(ends) <= 0.1 + 0.1


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_an_answer_is_given_again(stream: bool) -> None:
    with house("a", settings=CACHED) as (running, providers):
        with OpenAI(base_url=f"{running.url}/v1", api_key="x", max_retries=0) as client:
            said = [words(client, stream) for _ in range(3)]
        assert said == [("hi", None), ("hi", "cached"), ("hi", "cached")]
        assert counts(providers) == {"a": 1}


def test_a_provider_that_fails_fills_no_cache() -> None:
    with house("a", settings=CACHED + '[stage.call]\nlast_resort = "ignore_breakers"\n') as (
        running,
        providers,
    ):
        providers["a"].status = 500
        body = {"model": "m", "messages": HELLO, "options": {"seed": 1}, "stream": False}
        with httpx.Client(base_url=running.url) as client:
            assert client.post("/api/chat", json=body).status_code == 502
            providers["a"].status = 200
            assert [client.post("/api/chat", json=body).status_code for _ in range(3)] == [200] * 3
        assert counts(providers) == {"a": 2}
