"""What would do something twice is asked once, over real sockets."""

from typing import Any

import httpx
import pytest

from tests.e2e.test_routing import BODY, counts, house

SETTINGS = '[stage.call]\nhedge = "delay"\nhedge_after = {after}\nhedge_share = 1.0\n'
SEARCH: dict[str, Any] = {"web_search_options": {}}


@pytest.mark.parametrize("after", [pytest.param(0.1, id="a second call"), pytest.param(0.0, id="a race")])
@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        pytest.param({}, {"a": 1, "b": 1}, id="a question"),
        pytest.param({"store": True}, {"a": 1, "b": 0}, id="an answer that is kept"),
        pytest.param(SEARCH, {"a": 1, "b": 0}, id="a search of the provider's"),
    ],
)
def test_who_is_asked_beside_a_slow_one(after: float, fields: dict[str, Any], asked: dict[str, int]) -> None:
    with house("a", "b", settings=SETTINGS.format(after=after)) as (running, providers):
        providers["a"].delay = lambda: 0.8
        with httpx.Client(base_url=running.url) as client:
            # The first of a minute earns the budget of a second call and may not have one itself.
            assert client.post("/v1/chat/completions", json={**BODY, "store": True}).status_code == 200
            before = counts(providers)
            assert client.post("/v1/chat/completions", json={**BODY, **fields}).status_code == 200
        assert {name: calls - before[name] for name, calls in counts(providers).items()} == asked
