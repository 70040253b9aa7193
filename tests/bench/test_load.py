"""The load and the fake provider: what counts as a reply, and that both do the same in C and in Python."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from bench.cases import Case, Kind
from bench.load import Bad, ReplyReader, percentile, plan_of
from bench.processes import free_port, started
from bench.tools import Route, Tools, in_python, made_certificate, made_tools, parsed_report
from bench.upstream import framed

STREAM = b"".join(
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        framed(b"data: ~0000000000000011~ a\r\n"),
        framed(b"~0000000000000012~"),
        framed(b"~0000"),
        framed(b"000000000013~ data: [DONE]\n\n"),
        b"0\r\n\r\n",
    ]
)
WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\nConnection: close\r\n\r\n{"~0000000000000009~"}'


def read(*pieces: bytes) -> ReplyReader:
    """A reader that was fed these."""
    reader = ReplyReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_a_stream_reads_alike_however_it_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = read(*(STREAM[start:end] for start, end in pairwise(places)))
    assert (reader.complete, reader.closing, reader.stamps) == (True, False, [11, 12, 13])
    reader.check(3, b"[DONE]")


def test_a_sized_reply_is_complete_at_its_length() -> None:
    assert not read(WHOLE[:-1]).complete
    reader = read(WHOLE)
    assert (reader.complete, reader.closing, reader.stamps) == (True, True, [9])


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        pytest.param(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500", id="another status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", "how long", id="no word of its length"),
    ],
)
def test_some_heads_are_no_reply(head: bytes, reason: str) -> None:
    with pytest.raises(Bad, match=reason):
        read(head)


@pytest.mark.parametrize(
    ("stamps", "end", "reason"),
    [
        pytest.param(4, b"[DONE]", "3 stamps, not 4", id="a chunk too few"),
        pytest.param(2, b"[DONE]", "3 stamps, not 2", id="a chunk too many"),
        pytest.param(3, b"[STOP]", "end", id="another end"),
    ],
)
def test_a_reply_must_be_what_it_should(stamps: int, end: bytes, reason: str) -> None:
    with pytest.raises(Bad, match=reason):
        read(STREAM).check(stamps, end)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(50, 2.0, id="half lie at or below"),
        pytest.param(99, 4.0, id="nearly all"),
        pytest.param(0, 1.0, id="the smallest"),
    ],
)
def test_percentiles_are_samples(share: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected
    assert percentile([], share) == 0


def test_a_plan_is_read_from_the_command_line() -> None:
    given = ["port=1", "connections=2", "requests=3", "seconds=0.5", "stamps=4", "end=a=b", "ramp_ms=500"]
    plan = plan_of(given, b"GET")
    assert (plan.connections, plan.seconds, plan.end, plan.ramp_s) == (
        2,
        0.5,
        b"a=b",
        0.5,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tools are compiled."""
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module", params=["C", "Python"])
def tools(request: pytest.FixtureRequest, folder: Path) -> Tools:
    """The tools in one language."""
    if request.param == "Python":
        return Tools(in_python("upstream"), in_python("upstream"), in_python("load"))
    made = made_tools(folder)
    if str(made).count("in C") < 3:
        pytest.skip("there is no C compiler with OpenSSL")
    return made


def loaded(tools: Tools, port: int, case: Case, route: Route) -> tuple[dict[str, float], str]:
    """What a load finds."""
    process = tools.running_load(port, case, route)
    try:
        output, told = process.communicate(timeout=20)
    finally:
        process.kill()
    assert output, told
    return parsed_report(output)


WHOLES = Case("whole-4", Kind.WHOLE, 4, requests=20)
FLATS = Case("flat", Kind.FLAT, 3, stamps=50, requests=6)
PACEDS = Case("paced", Kind.PACED, 8, stamps=5, every_ms=20, requests=8, ramp_ms=20)


def test_load_and_provider_understand_each_other(tools: Tools, tmp_path: Path) -> None:
    port = free_port()
    with started(tools.provider(port, ["whole", "flat-50"], None), tmp_path / "up", port) as provider:
        for case in (WHOLES, FLATS, PACEDS):
            report, fault = loaded(tools, port, case, Route())
            found = (report["done"], report["failed"], report["stamps"], fault)
            assert found == (case.requests, 0, case.requests * case.stamps, ""), provider.output
            assert report["delay_p50_ms"] <= report["total_p50_ms"]
        assert report["open_most"] == 8
        assert report["total_p50_ms"] >= 100


def test_a_stream_of_another_length_fails(tools: Tools, tmp_path: Path) -> None:
    port = free_port()
    with started(tools.provider(port, ["flat-50"], None), tmp_path / "up", port):
        short = evolve(FLATS, kind=Kind.WHOLE, requests=3)  # the provider sends a whole answer, of one stamp
        report, fault = loaded(tools, port, short, Route())
        assert (report["done"], report["failed"], fault) == (0, 3, "a reply had 1 stamps, not 50")
        report, fault = loaded(tools, port, FLATS, Route(end="[STOP]"))
        assert (report["done"], report["failed"], fault) == (0, 6, "a reply had not the end it should have")


def test_the_provider_serves_in_tls(tools: Tools, tmp_path: Path) -> None:
    certificate = made_certificate(tmp_path)
    if certificate is None:
        pytest.skip("there is no openssl")
    port = free_port()
    with started(tools.provider(port, ["whole"], certificate), tmp_path / "up", port):
        got = subprocess.run(
            [sys.executable, "-c", TLS_CLIENT, str(port), str(certificate.cert)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
    assert got.stdout.count("~") == 8, got.stderr
    assert got.stdout.rstrip().endswith("0")


TLS_CLIENT = """
import http.client, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=context)
connection.request("POST", "/v1/chat/completions", '{"model": "paced-4-10", "stream": true}')
print(connection.getresponse().read().decode(), len(sys.argv) - 3)
"""


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """The port of a server that closes in the middle of each reply."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(65536)
                    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_half_a_reply_fails(tools: Tools, hanging_up: int) -> None:
    report, fault = loaded(tools, hanging_up, evolve(WHOLES, requests=5), Route())
    assert (report["done"], report["failed"]) == (0, 5)
    assert fault == "the connection ended before the reply did"
