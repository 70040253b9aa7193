"""Bad input through real sockets: the right status in the right form, no upstream call, no permit kept, no traceback."""

import json
import socket
import urllib.request

import pytest

from tests import processes
from tests.processes import Process

LIMITS = """
[server]
max_body_bytes = 100000
[stage.limit]
max_concurrent = 1
queue_size = 0
"""
MESSAGES = [{"role": "user", "content": "hi"}]
OLLAMA, OPENAI = "/api/chat", "/v1/chat/completions"


@pytest.fixture(scope="module")
def upstream():
    with processes.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def proxy(upstream: Process):
    """A proxy with one permit and no queue: a permit that is kept would fail the very next test."""
    with processes.gateway(upstream, "openai", LIMITS + processes.CONFORMANCE_MODELS) as running:
        yield running


def exchange(proxy: Process, raw: bytes):
    """What one connection answers: status, headers, body, whether it was then closed."""
    with socket.create_connection(("127.0.0.1", proxy.port), 10) as client:
        client.sendall(raw)
        data = b""
        while b"\r\n\r\n" not in data:
            part = client.recv(65536)
            assert part, f"closed after {data!r}"
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        lines = [line.split(b":", 1) for line in head.split(b"\r\n")[1:]]
        headers = {name.decode().lower(): value.strip().decode() for name, value in lines}
        while len(body) < int(headers.get("content-length", 0)):
            body += client.recv(65536)
        return status, headers, body


def request(path, body: bytes, *extra: str, host="127.0.0.1", content_type="application/json"):
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}", *extra]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def body(**changes):
    return json.dumps({"model": "chat", "messages": MESSAGES, "stream": False, **changes}).encode()


def forget(upstream: Process):
    """Let the simulator forget what it was asked: it keeps a thousand calls, and counts must not fall."""
    request = urllib.request.Request(f"{upstream.url}/_sim/seen", method="DELETE")
    urllib.request.urlopen(request, timeout=5).close()


def model_calls(upstream: Process):
    with urllib.request.urlopen(f"{upstream.url}/_sim/seen", timeout=5) as reply:
        return [call for call in json.load(reply) if call["method"] == "POST"]


DEEP = b'{"model":"chat","messages":' + b"[" * 65 + b"]" * 65 + b"}"
WIDE = b'{"model":"chat","messages":[' + b"{}," * 110_000 + b"{}]}"


def rows():
    """(path, raw request, expected statuses, a word of the error) of every row, on each family of routes it concerns."""
    both = {
        "too large, declared": (b"x" * 100_001, 413, ""),
        "nested too deep": (DEEP, 400, "complex"),
        "a lone surrogate": (body(messages=[{"role": "user", "content": "\ud800"}]), 400, ""),
        "NaN": (body().replace(b"false", b'false,"x":NaN'), 400, ""),
        "Infinity": (body().replace(b"false", b'false,"x":Infinity'), 400, ""),
        "cut off": (body()[:-10], 400, ""),
        "not JSON": (b"hello", 400, ""),
        "empty": (b"", 400, ""),
        "UTF-16": (body().decode().encode("utf-16"), 400, ""),
        "a byte-order mark": (b"\xef\xbb\xbf" + body(), 400, ""),
        "not an object": (b"[1, 2]", 400, ""),
        "a model that is a number": (body(model=5), 400, "model"),
        "a model with dots that climb": (body(model="../../etc/passwd"), 400, "model"),
        "a model with a blank": (body(model="a b"), 400, "model"),
        "a model of 201 letters": (body(model="a" * 201), 400, "model"),
        "a model nobody serves": (body(model="nobody"), 404, "nobody"),
        "a stream that is a string": (body(stream="false"), 400, "stream"),
        "messages that are a string": (body(messages="hi"), 400, "messages"),
    }
    for name, (data, status, word) in both.items():
        for path in (OLLAMA, OPENAI):
            yield pytest.param(path, request(path, data), status, word, id=f"{name} on {path}")
    ollama = {
        "content that is a list": (body(messages=[{"role": "user", "content": []}]), 400, "content"),
        "options that are a list": (body(options=[]), 400, "options"),
        "a temperature of words": (body(options={"temperature": "hot"}), 500, "temperature"),
        "an address in the options": (body(options={"base_url": "http://evil.example"}), 400, "base_url"),
        "a duration of words": (body(keep_alive="abc"), 400, "duration"),
        "a broken picture": (
            body(messages=[{"role": "user", "content": "x", "images": ["!!"]}]),
            400,
            "base64",
        ),
    }
    for name, (data, status, word) in ollama.items():
        yield pytest.param(OLLAMA, request(OLLAMA, data), status, word, id=f"{name} on {OLLAMA}")
    openai = {
        "not UTF-8": (body().replace(b"hi", b"\xff\xfe"), 400, ""),
        "trailing text": (body() + b" and more", 400, ""),
        "a number too large": (body().replace(b"false", b'false,"seed":1e999'), 400, ""),
        "an integer of 5000 digits": (body().replace(b"false", b'false,"seed":' + b"9" * 5000), 400, ""),
        "an integer over 63 bits": (body(seed=2**63 + 1), 400, "seed"),
        "the model twice": (body().replace(b"false", b'false,"model":"x"'), 400, "model"),
        "no messages": (body(messages=[]), 400, "messages"),
        "no model": (json.dumps({"messages": MESSAGES}).encode(), 400, "model"),
        "an unknown role": (body(messages=[{"role": "robot", "content": "x"}]), 400, "role"),
        "a temperature of words": (body(temperature="hot"), 400, "temperature"),
        "no tokens": (body(max_tokens=0), 400, "max_tokens"),
        "tokens in words": (body(max_tokens="10"), 400, "max_tokens"),
        "an address of its own": (body(api_base="http://evil.example"), 400, "api_base"),
        "a key of its own": (body(api_key="sk-x"), 400, "api_key"),
        "headers of its own": (body(extra_headers={}), 400, "extra_headers"),
    }
    for name, (data, status, word) in openai.items():
        yield pytest.param(OPENAI, request(OPENAI, data), status, word, id=f"{name} on {OPENAI}")
    for path in (OLLAMA, OPENAI):
        heads = {
            "a foreign host": (request(path, body(), host="evil.example"), 403),
            "a host that is none": (request(path, body(), host="a b"), 400),
            "a foreign page": (request(path, body(), "Origin: http://evil.example"), 403),
            "a page across sites": (request(path, body(), "Sec-Fetch-Site: cross-site"), 403),
            "a form sent by a page": (
                request(path, body(), "Origin: http://localhost:3000", content_type="text/plain"),
                415,
            ),
            "an unknown provider": (request(path, body(), "X-Provider: nobody"), 400),
            "time that is none": (request(path, body(), "X-Request-Timeout: -1"), 400),
        }
        for name, (raw, status) in heads.items():
            yield pytest.param(path, raw, status, "", id=f"{name} on {path}")
    yield pytest.param(
        OPENAI, request(OPENAI, body(), "Content-Encoding: gzip"), 415, "", id="a compressed body"
    )
    yield pytest.param(
        OPENAI, request(OPENAI, body(), content_type="text/plain"), 415, "", id="another content type"
    )


@pytest.mark.parametrize(("path", "raw", "status", "word"), list(rows()))
def test_a_row(upstream, proxy, path, raw, status, word):
    forget(upstream)
    got, headers, data = exchange(proxy, raw)
    assert got == status, data
    assert headers["x-request-id"]
    if status != 403:
        assert "json" in headers["content-type"]
        error = json.loads(data)["error"]
        text = error if path == OLLAMA else error["message"]
        assert isinstance(text, str)
        assert text
        assert word in json.dumps(error)
    assert b"Traceback" not in data
    assert model_calls(upstream) == []
    assert exchange(proxy, request(path, body()))[0] == 200  # the one permit is free


def test_too_many_parts(upstream):
    """More than 200 000 structural characters are refused before they are parsed."""
    with processes.gateway(upstream, "openai") as running:
        for path in (OLLAMA, OPENAI):
            status, _, data = exchange(running, request(path, WIDE))
            assert status == 400
            assert b"complex" in data


def test_the_log_shows_neither_payload_nor_key(proxy):
    secret, payload = "sk-verysecretkey1234567890", "a-payload-nobody-may-log"
    exchange(
        proxy,
        request(
            OPENAI, body(messages=[{"role": "user", "content": payload}]), f"Authorization: Bearer {secret}"
        ),
    )
    exchange(proxy, request(OPENAI, payload.encode()))
    assert payload not in proxy.output
    assert secret not in proxy.output
    assert "sim-key" not in proxy.output
    assert "Traceback" not in proxy.output
