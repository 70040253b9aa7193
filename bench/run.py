"""What a request and a chunk cost the proxy, in CPU, beside the same load on the provider directly.

    python bench/run.py [--requests 400] [--rounds 3]

It starts the simulator and the proxy as processes of their own on free ports of 127.0.0.1, and reads their CPU time from
/proc. Throughput and latency of a shared machine say little; CPU per request and ratios within one run do.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

ROOT = Path(__file__).parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(*arguments: str, port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`app.py` with `arguments`, from the moment it accepts connections until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "DATA_DIR": folder, "LOG_LEVEL": "warning", **environment}
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), *arguments], env=env, cwd=folder, stdout=subprocess.DEVNULL
        )
        try:
            wait_until_open(port, process)
            yield process
        finally:
            process.terminate()
            process.wait(15)


def wait_until_open(port: int, process: subprocess.Popen[bytes], limit_s: float = 20.0) -> None:
    """Until somebody listens on `port`."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}; the process said {process.poll()}")


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds the process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def request_bytes(path: str, body: object) -> bytes:
    """One request on a connection that stays open."""
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer x\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


async def exchanges(port: int, request: bytes, count: int) -> None:
    """`count` requests one after the other on one connection, each read to its end."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        for _ in range(count):
            await stream.send_all(request)
            await read_reply(stream)


async def read_reply(stream: trio.SocketStream) -> None:
    """One reply, sized or chunked."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await received(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise SystemExit(f"unexpected reply: {head[:200]!r} {body[:200]!r}")
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None
    )
    while len(body) < length if length is not None else not body.endswith(b"0\r\n\r\n"):
        body += await received(stream)


async def received(stream: trio.SocketStream) -> bytes:
    """Some bytes; the connection must not end here."""
    data = bytes(await stream.receive_some(65536))
    if not data:
        raise SystemExit("the connection was closed in the middle of a reply")
    return data


async def load(port: int, request: bytes, connections: int, count: int) -> None:
    """`count` requests over `connections` connections."""
    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(exchanges, port, request, count // connections)


def measured(process: subprocess.Popen[bytes], work: Callable[[], None]) -> tuple[float, float]:
    """CPU seconds of `process` and wall seconds that `work` took."""
    before, began = cpu_s(process), time.monotonic()
    work()
    return cpu_s(process) - before, time.monotonic() - began


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="requests a case and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    upstream, proxy = free_port(), free_port()
    base = f"http://127.0.0.1:{upstream}/openai/v1"
    with (
        running("simulate", "--port", str(upstream), port=upstream) as fake,
        running(port=proxy, PORT=str(proxy), OPENAI_API_KEY="x", OPENAI_BASE_URL=base) as gateway,
    ):
        cases = [
            (
                "provider directly, whole",
                fake,
                upstream,
                "/openai/v1/chat/completions",
                {**CHAT, "stream": False},
            ),
            ("verbatim, whole", gateway, proxy, "/v1/chat/completions", {**CHAT, "stream": False}),
            ("verbatim, streamed", gateway, proxy, "/v1/chat/completions", {**CHAT, "stream": True}),
            ("Ollama to OpenAI, whole", gateway, proxy, "/api/chat", {**CHAT, "stream": False}),
            ("Ollama to OpenAI, streamed", gateway, proxy, "/api/chat", CHAT),
        ]
        print(f"{'case':30} {'connections':>11} {'CPU ms/request':>15} {'requests/s':>11}")
        for name, process, port, path, body in cases:
            for connections in (1, 16, 64):
                show(name, connections, process, port, request_bytes(path, body), options)


def show(
    name: str,
    connections: int,
    process: subprocess.Popen[bytes],
    port: int,
    request: bytes,
    options: argparse.Namespace,
) -> None:
    """One row: the medians of the rounds."""
    count = max(connections, options.requests // connections * connections)
    rounds = [
        measured(process, lambda: trio.run(load, port, request, connections, count))
        for _ in range(options.rounds)
    ]
    cpu = statistics.median(cpu for cpu, _ in rounds) / count * 1000
    rate = count / statistics.median(wall for _, wall in rounds)
    print(f"{name:30} {connections:11} {cpu:15.2f} {rate:11.0f}", flush=True)


if __name__ == "__main__":
    main()
