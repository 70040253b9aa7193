"""Asking the fake providers without a network, and reading what they say."""

import base64
import json
from typing import Any

from adapters.simulator.core import answer
from adapters.simulator.demo import standard_scenario
from adapters.simulator.played import Played
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest

STANDARD = standard_scenario()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
        },
    },
}
NOARGS = {
    "type": "function",
    "function": {"name": "noargs", "parameters": {"type": "object", "properties": {}}},
}
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


def post(path: str, body: Any, scenario: Scenario = STANDARD, count: int = 1, **headers: str) -> Played:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer(HttpRequest("POST", f"http://sim{path}", headers, data), scenario, count)


def get(path: str, scenario: Scenario = STANDARD, method: str = "GET", **headers: str) -> Played:
    return answer(HttpRequest(method, f"http://sim{path}", headers), scenario)


def document(played: Played) -> Any:
    return json.loads(played.body)


def events(played: Played) -> list[Any]:
    """What a stream of server-sent events says; `[DONE]` as it stands."""
    frames = played.body.decode().split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [frame if frame == "data: [DONE]" else json.loads(frame[6:]) for frame in frames]


def lines(played: Played) -> list[Any]:
    """The objects of an NDJSON stream."""
    assert played.body.endswith(b"\n")
    return [json.loads(line) for line in played.body.splitlines()]


def user(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]
