"""A stream that breaks off at one Ollama is gone on with at another, in every client's language, over real sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests import processes

ASKED = [{"role": "user", "content": "hi"}]
FIRST, SECOND = ("Once upon ", "a time "), ("there was ", "a king.")
WHOLE = "".join(FIRST + SECOND)


def line(text: str, **more: Any) -> bytes:
    said = {"role": "assistant", "content": text}
    return (
        json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": said, **more}).encode()
        + b"\n"
    )


END = line("", done=True, done_reason="stop", prompt_eval_count=9, eval_count=4)


@contextmanager
def ollama(answer: tuple[bytes, ...], breaks: bool, asked: list[Any]) -> Iterator[str]:
    """An Ollama that says `answer`, and hangs up in the middle where it `breaks`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

        def do_GET(self) -> None:
            body = json.dumps({"models": [{"name": "m", "model": "m"}]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-type", "application/x-ndjson")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for data in answer:
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            if breaks:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def house() -> Iterator[tuple[processes.Process, list[Any]]]:
    asked: list[Any] = []
    with ExitStack() as stack:
        first = stack.enter_context(ollama(tuple(map(line, FIRST)), True, []))
        second = stack.enter_context(ollama((*map(line, SECOND), END), False, asked))
        tables = "".join(
            f'[providers.{name}]\nkind = "ollama"\nbase_url = "{url}"\npriority = {rank}\n'
            for rank, (name, url) in enumerate((("first", first), ("second", second)))
        )
        config = f'[stage.call]\nmid_stream = "continue"\n{tables}'
        yield stack.enter_context(processes.app(config=config, LOG_LEVEL="warning")), asked


def data_of(text: str) -> list[dict[str, Any]]:
    found = [one[5:].strip() for one in text.splitlines() if one.startswith("data:")]
    return [json.loads(one) for one in found if one != "[DONE]"]


def of_ollama(text: str) -> tuple[str, Any]:
    lines = [json.loads(one) for one in text.splitlines()]
    assert [one["done"] for one in lines] == [False] * (len(lines) - 1) + [True]
    return "".join(one["message"]["content"] for one in lines), lines[-1]["done_reason"]


def of_openai(text: str) -> tuple[str, Any]:
    chunks = data_of(text)
    assert len({one["id"] for one in chunks}) == 1
    choices = [one["choices"][0] for one in chunks if one["choices"]]
    return "".join(one["delta"].get("content") or "" for one in choices), choices[-1]["finish_reason"]


def of_anthropic(text: str) -> tuple[str, Any]:
    events = data_of(text)
    kinds = [one["type"] for one in events]
    for once in ("message_start", "content_block_start", "content_block_stop", "message_stop"):
        assert kinds.count(once) == 1
    said = "".join(one["delta"]["text"] for one in events if one["type"] == "content_block_delta")
    return said, next(one["delta"]["stop_reason"] for one in events if one["type"] == "message_delta")


def of_responses(text: str) -> tuple[str, Any]:
    events = data_of(text)
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert len(final["output"]) == 1
    deltas = "".join(one["delta"] for one in events if one["type"] == "response.output_text.delta")
    assert final["output"][0]["content"][0]["text"] == deltas
    return deltas, final["status"]


def of_google(text: str) -> tuple[str, Any]:
    pieces = [one["candidates"][0] for one in data_of(text)]
    parts = (part for one in pieces for part in one.get("content", {}).get("parts", []))
    return "".join(part.get("text", "") for part in parts), pieces[-1]["finishReason"]


CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]


@pytest.mark.parametrize(
    ("path", "body", "read", "ended"),
    [
        pytest.param("/api/chat", {"messages": ASKED}, of_ollama, "stop", id="Ollama's"),
        pytest.param(
            "/v1/chat/completions", {"messages": ASKED, "stream": True}, of_openai, "stop", id="OpenAI's"
        ),
        pytest.param(
            "/v1/messages",
            {"messages": ASKED, "max_tokens": 100, "stream": True},
            of_anthropic,
            "end_turn",
            id="Anthropic's",
        ),
        pytest.param(
            "/v1/responses", {"input": "hi", "stream": True}, of_responses, "completed", id="of responses"
        ),
        pytest.param(
            "/v1beta/models/m:streamGenerateContent?alt=sse",
            {"contents": CONTENTS},
            of_google,
            "STOP",
            id="Google's",
        ),
    ],
)
def test_the_client_gets_one_answer(
    house: tuple[processes.Process, list[Any]],
    path: str,
    body: dict[str, Any],
    read: Callable[[str], tuple[str, Any]],
    ended: str,
) -> None:
    running, asked = house
    explain = {"X-Provider": "first, second", "X-Proxy-Explain": "true"}
    answer = httpx.post(f"{running.url}{path}", json={"model": "m", **body}, headers=explain)
    assert read(answer.text) == (WHOLE, ended)
    assert answer.headers["x-provider"] == "first"
    assert asked[-1]["messages"][-1] == {"role": "assistant", "content": "".join(FIRST).rstrip()}
    final = [one for one in answer.text.splitlines() if "x_proxy" in one][-1]
    attempts = json.loads(final.removeprefix("data:"))["x_proxy"]["attempts"]
    assert [(one["target"], one["failed"], one.get("continues", False)) for one in attempts] == [
        ("first/m", "stream_error", False),
        ("second/m", None, True),
    ]
