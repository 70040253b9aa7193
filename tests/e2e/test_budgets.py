"""Keys with limits and budgets, over sockets and with the libraries that clients use."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from attrs import field, frozen

from adapters.keys_file import KeyFile, new_key
from pipeline.keys import Key
from pipeline.state.periods import beginning
from pipeline.values.callers import Allowance, CallerLimits
from tests import processes
from tests.processes import Process

# Dollars a million tokens: micro-dollars a token.
IN, OUT = 10, 100
PRICED = f"""
[models.chat]
capabilities = ["completion"]
price = {{ input = {IN}, output = {OUT} }}
[models.basic]
capabilities = ["completion"]
"""
MESSAGES = [{"role": "user", "content": "hello there"}]


@frozen
class House:
    """A proxy with keys by their names, whose data are kept in `folder`."""

    proxy: Process
    keys: dict[str, str]
    folder: Path = field(repr=False)

    @property
    def url(self) -> str:
        return self.proxy.url

    def headers(self, name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[name]}"}

    def ask(self, name: str, path: str = "/v1/chat/completions", **changes: Any) -> httpx.Response:
        body = {"model": "chat", "messages": MESSAGES, "max_tokens": 100, **changes}
        return httpx.post(f"{self.url}{path}", json=body, headers=self.headers(name), timeout=30)

    def costs(self, count: int, limit_s: float = 5.0) -> list[float | None]:
        """What the records of the first `count` exchanges say that they have cost, once they are written."""
        end = time.monotonic() + limit_s
        while True:
            connection = sqlite3.connect(self.folder / "usage.db")
            found = connection.execute("select cost from exchanges order by number").fetchall()
            connection.close()
            if len(found) >= count:
                return [cost for (cost,) in found]
            assert time.monotonic() < end, f"only {len(found)} records were written"
            time.sleep(0.05)


@contextmanager
def house(upstream: Process, folder: Path, config: str = PRICED, **limits: CallerLimits) -> Iterator[House]:
    """A proxy over a simulated OpenAI, with a key for each of `limits`."""
    file = KeyFile(folder / "keys.toml")
    with file.changing() as keys:
        shown = {name: new_key(file, keys, Key("", "", name, limits=each)) for name, each in limits.items()}
    with processes.gateway(upstream, "openai", config, DATA_DIR=str(folder)) as running:
        yield House(running, shown, folder)


def budget(micro_usd: int, period: str = "month") -> CallerLimits:
    return CallerLimits(budget=Allowance(micro_usd, period))


def cost_of(usage: dict[str, Any]) -> int:
    return int(IN * usage["prompt_tokens"] + OUT * usage["completion_tokens"])


def spend(house: House, name: str) -> int:
    """Ask until the key is told that it has spent its budget, and what it was told that it used until then."""
    spent = 0
    for _ in range(100):
        answer = house.ask(name)
        if answer.status_code == 402:
            return spent
        assert answer.status_code == 200, answer.text
        spent += cost_of(answer.json()["usage"])
    raise AssertionError("the budget never ended")


def test_a_budget_is_spent_and_every_library_is_told(simulator, tmp_path):
    with house(simulator, tmp_path, web=budget(50_000)) as running:
        spent = spend(running, "web")
        assert 0 < spent <= 50_000
        key = running.keys["web"]

        with (
            openai.OpenAI(base_url=f"{running.url}/v1", api_key=key) as client,
            pytest.raises(openai.APIStatusError) as told,
        ):
            client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=400)
        assert (told.value.status_code, told.value.code, told.value.type) == (
            402,
            "insufficient_quota",
            "insufficient_quota",
        )
        assert "budget of $0.05 a month" in told.value.message
        wait_s = int(told.value.response.headers["retry-after"])
        until = time.time() + wait_s
        assert beginning("month", until - 5) < beginning("month", until + 5), "that is when it renews"

        with (
            anthropic.Anthropic(base_url=running.url, api_key=key) as client,
            pytest.raises(anthropic.APIStatusError) as told,
        ):
            client.messages.create(model="chat", messages=MESSAGES, max_tokens=400)
        assert told.value.status_code == 402
        assert told.value.body["error"]["type"] == "billing_error"

        with (
            ollama.Client(host=running.url, headers=running.headers("web")) as client,
            pytest.raises(ollama.ResponseError) as told,
        ):
            client.chat("chat", MESSAGES, options={"num_predict": 400})
        assert told.value.status_code == 402
        assert "budget of $0.05 a month" in told.value.error


def test_what_was_spent_is_known_after_a_new_start(simulator, tmp_path):
    with house(simulator, tmp_path, web=budget(50_000)) as running:
        spent = spend(running, "web")
        key = running.keys["web"]
    with processes.gateway(simulator, "openai", PRICED, DATA_DIR=str(tmp_path)) as proxy:
        again = House(proxy, {"web": key}, tmp_path)
        assert again.ask("web").status_code == 402
        assert sum(cost or 0.0 for cost in again.costs(2)) * 1e6 == pytest.approx(spent, abs=1)


def test_fifty_streams_at_once_do_not_overspend(simulator, tmp_path):
    """The budget is for five of them as long as they may be, so for more as long as they are."""
    body = {
        "model": "chat",
        "messages": MESSAGES,
        "max_tokens": 200,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    allowed = 5 * (200 * OUT + 20 * IN)
    statuses: list[int] = []
    spent: list[int] = []
    with house(simulator, tmp_path, web=budget(allowed)) as running:

        def one() -> None:
            for _ in range(2):
                url = f"{running.url}/v1/chat/completions"
                with httpx.stream(
                    "POST", url, json=body, headers=running.headers("web"), timeout=60
                ) as reply:
                    statuses.append(reply.status_code)
                    lines = list(reply.iter_lines())
                chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
                spent.extend(cost_of(chunk["usage"]) for chunk in chunks if chunk.get("usage"))

        threads = [Thread(target=one) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # A machine that is busy with other tests may turn some of them away.
        assert {200, 402} <= set(statuses) <= {200, 402, 503}
        assert len(spent) == statuses.count(200) >= 5
        assert sum(spent) <= allowed
        while (answer := running.ask("web", max_tokens=200)).status_code != 402:
            statuses.append(answer.status_code)
            spent.extend([cost_of(answer.json()["usage"])] if answer.status_code == 200 else [])
        assert sum(spent) <= allowed
        assert allowed - sum(spent) < 200 * OUT + 20 * IN, "nothing stays set aside"
        costs = running.costs(len(statuses) + 1)
        assert sum(cost or 0.0 for cost in costs) * 1e6 == pytest.approx(sum(spent))


@pytest.fixture(scope="module")
def slow_simulator():
    port = processes.free_port()
    with processes.app("simulate", "--port", str(port), "--delta-ms", "150", port=port) as running:
        yield running


def test_who_leaves_in_the_middle_pays_for_what_was_written(slow_simulator, tmp_path):
    body = {"model": "chat", "messages": MESSAGES, "max_tokens": 100, "stream": True}
    with house(slow_simulator, tmp_path, web=budget(1_000_000)) as running:
        url = f"{running.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=body, headers=running.headers("web")) as reply:
            text = ""
            for line in reply.iter_lines():
                if line.startswith("data: {"):
                    text += json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
                if text:
                    break
        (cost,) = running.costs(1)
        (usage,) = _usage(running)
    assert usage["estimated"] == 1
    assert usage["output_tokens"] >= len(text) // 4
    assert cost is not None
    assert cost * 1e6 == pytest.approx(IN * usage["input_tokens"] + OUT * usage["output_tokens"])


def _usage(running: House) -> list[dict[str, Any]]:
    connection = sqlite3.connect(running.folder / "usage.db")
    connection.row_factory = sqlite3.Row
    found = connection.execute("select input_tokens, output_tokens, estimated from exchanges").fetchall()
    connection.close()
    return [dict(row) for row in found]


def test_a_model_without_a_price_is_not_for_keys_with_a_budget(simulator, tmp_path):
    with house(simulator, tmp_path, web=budget(1_000_000), free=CallerLimits()) as running:
        refused = running.ask("web", model="basic")
        assert refused.status_code == 402
        assert "retry-after" not in refused.headers
        assert '[models."openai/basic"] price' in refused.json()["error"]["message"]
        assert running.ask("free", model="basic").status_code != 402


def test_an_answer_is_no_longer_than_what_was_set_aside(simulator, tmp_path):
    with house(simulator, tmp_path, web=budget(500_000)) as running:
        answer = running.ask("web", max_tokens=20_000)
        assert answer.status_code == 200
        assert answer.headers["x-proxy-lossy"] == "max_tokens~"
        seen = httpx.get(f"{simulator.url}/_sim/seen").json()[-1]["body"]
        assert 4096 in (seen.get("max_tokens"), seen.get("max_completion_tokens"))
        assert "x-proxy-lossy" not in running.ask("web", max_tokens=2000).headers


def test_limits_are_told_before_and_when_they_are_met(simulator, tmp_path):
    limits = CallerLimits(requests=3, tokens=100_000)
    with house(simulator, tmp_path, web=limits) as running:
        asks = {"model": "chat", "messages": MESSAGES, "max_tokens": 50}
        headers = running.ask("web").headers
        assert headers["x-ratelimit-limit-requests"] == "3"
        assert headers["x-ratelimit-remaining-requests"] == "2"
        assert headers["x-ratelimit-reset-requests"].endswith("s")
        assert 90_000 < int(headers["x-ratelimit-remaining-tokens"]) < 100_000
        key = running.keys["web"]
        with (
            anthropic.Anthropic(base_url=running.url, api_key=key, max_retries=0) as claude,
            openai.OpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0) as gpt,
        ):
            reply = claude.messages.with_raw_response.create(**asks)
            assert reply.headers["anthropic-ratelimit-requests-remaining"] == "1"
            assert reply.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
            assert running.ask("web").status_code == 200
            with pytest.raises(openai.RateLimitError) as told:
                gpt.chat.completions.create(**asks)
            assert 1 <= int(told.value.response.headers["retry-after"]) <= 20
            assert told.value.response.headers["x-ratelimit-remaining-requests"] == "0"
            with pytest.raises(anthropic.RateLimitError):
                claude.messages.create(**asks)


def test_so_many_at_once_and_no_more(slow_simulator, tmp_path):
    with house(slow_simulator, tmp_path, web=CallerLimits(concurrent=2)) as running:
        statuses: list[int] = []
        threads = [
            Thread(target=lambda: statuses.append(running.ask("web", stream=True).status_code))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200, 200, 429, 429, 429, 429]
        assert running.ask("web").status_code == 200
