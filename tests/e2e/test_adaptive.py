"""A provider that takes so many calls at once, over real sockets. `SECONDS=40 pytest tests/e2e/test_adaptive.py` takes its time."""

import os

import httpx
import pytest
import trio

from tests.processes import app, free_port

SECONDS = float(os.environ.get("SECONDS", "6"))
# In so much less time the limit has to be found by quicker calls.
CALL_MS = 1000 if SECONDS >= 40 else 250
TAKES, CLIENTS = 10, 60
BODY = {"model": "openai/basic", "messages": [{"role": "user", "content": "hi"}], "stream": True}


async def looked(client, upstream, most=None):
    way = client.get if most is None else client.put
    query = "" if most is None else f"?most={most}"
    return (await way(f"{upstream.url}/_sim/load{query}")).json()


async def mean(client, upstream, seconds):
    """How many calls the provider worked at, on average."""
    before = await looked(client, upstream)
    await trio.sleep(seconds)
    after = await looked(client, upstream)
    return (after["busy_seconds"] - before["busy_seconds"]) / (after["at"] - before["at"])


async def load(client, proxy):
    """One client that always has more to ask."""
    while True:
        answer = await client.post(f"{proxy.url}/api/chat", json=BODY)
        if answer.status_code != 200:
            await trio.sleep(0.2)


@pytest.mark.timeout(60 + 4 * SECONDS)
async def test_it_is_held_at_what_it_takes_and_given_more_when_it_takes_more():
    port = free_port()
    with (
        app(
            "simulate", "--port", str(port), "--head-ms", str(CALL_MS), "--most", str(TAKES), port=port
        ) as upstream,
        app(OPENAI_BASE_URL=f"{upstream.url}/openai/v1", OPENAI_API_KEY="sim-key") as proxy,
    ):
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client, trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(load, client, proxy)
            await trio.sleep(0.75 * SECONDS)
            held = await mean(client, upstream, 0.5 * SECONDS)
            refused = (await looked(client, upstream, 2 * TAKES))["refused"]
            await trio.sleep(0.75 * SECONDS)
            regained = await mean(client, upstream, 0.5 * SECONDS)
            told = (await client.get(f"{proxy.url}/api/providers/openai/stats")).json()
            nursery.cancel_scope.cancel()
        print(f"held {held:.1f} of {TAKES}, regained {regained:.1f} of {2 * TAKES}, {refused} refused")
    assert held == pytest.approx(TAKES, rel=0.2)
    assert regained == pytest.approx(2 * TAKES, rel=0.2)
    (permits,) = [target["permits"] for target in told["targets"] if target["model"] == "basic"]
    assert (permits["maximum"], permits["curve"][-1]["limit"]) == (100, permits["limit"])
