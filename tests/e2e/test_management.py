"""Management of a local Ollama through the proxy: ollama-python and bare sockets, over each way of serving."""

import hashlib
import http.client
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import ollama
import pytest

from tests import processes
from tests.adapters.http1.upstream import certificate
from tests.e2e.test_leaving import SLACK_S, reset, until
from tests.processes import Process

MIB = 2**20
ALLOWED = {"OLLAMA_ALLOW_MANAGEMENT": "true"}


@pytest.fixture(scope="module")
def own() -> Iterator[Process]:
    """An Ollama of this module's own, which changes as its models are managed."""
    with processes.simulator() as running:
        yield running


@pytest.fixture(scope="module", params=["own server", "tls"])
def managing(
    request: pytest.FixtureRequest, own: Process, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    """The proxy with management let through, on its own server and on the one that speaks TLS."""
    settings = dict(ALLOWED)
    if request.param == "tls":
        cert, key = certificate(tmp_path_factory.mktemp("tls"))
        settings |= {"TLS_CERTFILE": str(cert), "TLS_KEYFILE": str(key)}
    with processes.gateway(own, "ollama", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(managing: Process) -> Iterator[ollama.Client]:
    with ollama.Client(managing.url, verify=managing.trust) as running:
        yield running


@pytest.fixture(scope="module")
def slow() -> Iterator[Process]:
    """An Ollama that takes 0.3 s for each line."""
    port = processes.free_port()
    with processes.app("simulate", "--port", str(port), "--delta-ms", "300", port=port) as running:
        yield running


@pytest.fixture(scope="module")
def patient(slow: Process) -> Iterator[Process]:
    with processes.gateway(slow, "ollama", **ALLOWED) as running:
        yield running


@pytest.fixture(scope="module")
def limited(own: Process) -> Iterator[Process]:
    with processes.gateway(own, "ollama", MAX_BODY_BYTES="1000", **ALLOWED) as running:
        yield running


@pytest.fixture(scope="module")
def pair(own: Process, slow: Process) -> Iterator[Process]:
    config = f"""
[ollama]
allow_management = true
[providers.near]
kind = "ollama"
base_url = "{own.url}/ollama"
priority = 1
[providers.far]
kind = "ollama"
base_url = "{slow.url}/ollama"
priority = 2
[providers.openai]
base_url = "{own.url}/openai/v1"
enabled = true
priority = 0
"""
    with processes.app(config=config) as running:
        yield running


@pytest.fixture(scope="module", params=["not allowed", "no Ollama"])
def refusing(request: pytest.FixtureRequest, simulator: Process) -> Iterator[Process]:
    kind, settings = ("ollama", {}) if request.param == "not allowed" else ("openai", ALLOWED)
    with processes.gateway(simulator, kind, **settings) as running:
        yield running


def listed(client: ollama.Client) -> set[str | None]:
    return {model.model for model in client.list().models}


def seen(simulator: Process, path: str) -> list[dict]:
    with urllib.request.urlopen(f"{simulator.url}/_sim/seen", timeout=5) as reply:
        return [call for call in json.load(reply) if call["path"] == path]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def ask(proxy: Process, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


class TestAllowed:
    """ollama-python, with management let through."""

    def test_a_pull_tells_its_progress_and_the_model_is_there_at_once(self, client):
        lines = list(client.pull("pulled:1b", stream=True))
        assert lines[0].status == "pulling manifest"
        layers = [line for line in lines if line.digest]
        assert layers[0].status == f"pulling {layers[0].digest.removeprefix('sha256:')[:12]}"
        assert [line.completed for line in layers] == [None, 250_000, 500_000, 750_000, 1_000_000]
        assert lines[-1].status == "success"
        assert "pulled:1b" in listed(client)
        assert client.chat("pulled:1b", [{"role": "user", "content": "hi"}]).message.content == "Hello world!"

    def test_a_pull_in_one_piece(self, client):
        assert client.pull("pulled:2b").status == "success"
        assert "pulled:2b" in listed(client)

    @pytest.mark.parametrize("name", ["ollama/qualified:1b", "Ollama/Qualified:2B"])
    def test_a_name_with_the_provider_goes_out_as_the_servers_own(self, client, own, name):
        assert client.pull(name).status == "success"
        assert seen(own, "/ollama/api/pull")[-1]["body"]["model"] == name.partition("/")[2]
        assert name.partition("/")[2].lower() in listed(client)

    def test_a_failed_pull_is_the_servers_own_line(self, client):
        with pytest.raises(ollama.ResponseError) as streamed:
            list(client.pull("no-such", stream=True))
        assert (streamed.value.status_code, streamed.value.error) == (
            -1,
            "pull model manifest: file does not exist",
        )
        with pytest.raises(ollama.ResponseError) as whole:
            client.pull("no-such")
        assert (whole.value.status_code, whole.value.error) == (
            500,
            "pull model manifest: file does not exist",
        )

    def test_a_push(self, client):
        client.pull("pushed")
        lines = list(client.push("pushed", stream=True))
        assert [lines[0].status, lines[-1].status] == ["retrieving manifest", "success"]
        assert client.push("pushed").status == "success"
        with pytest.raises(ollama.ResponseError, match="does not exist"):
            list(client.push("not-here", stream=True))

    def test_a_model_made_of_another(self, client):
        client.pull("base")
        lines = list(client.create("made", from_="ollama/base", system="You are brief.", stream=True))
        assert lines[0].status.startswith("using existing layer sha256:")
        assert lines[-1].status == "success"
        assert "made:latest" in listed(client)
        assert client.generate("made", "hi").response == "Hello world!"

    def test_a_model_made_of_files(self, client, tmp_path: Path):
        file = tmp_path / "model.gguf"
        file.write_bytes(b"GGUF" + bytes(3 * MIB))
        digest = client.create_blob(file)
        assert digest == digest_of(file.read_bytes())
        assert client.create("of-files", files={"model.gguf": digest}).status == "success"
        assert "of-files:latest" in listed(client)
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.create("of-nothing", files={"model.gguf": digest_of(b"other")})

    def test_copy_and_delete(self, client):
        client.pull("first")
        assert client.copy("ollama/first", "second").status == "success"
        assert {"first:latest", "second:latest"} <= listed(client)
        assert client.delete("ollama/first").status == "success"
        assert "first:latest" not in listed(client)
        assert "second:latest" in listed(client)
        with pytest.raises(ollama.ResponseError) as gone:
            client.delete("first")
        assert (gone.value.status_code, gone.value.error) == (404, "model 'first' not found")

    def test_show_and_ps(self, client):
        client.pull("shown")
        told = client.show("shown")
        assert told.license == "Do what you like with this model: there is none."
        assert told.parameters.splitlines()[0].split() == ["stop", '"<end>"']
        assert told.modelinfo["general.architecture"]
        assert client.ps().models == []


class TestFiles:
    """The files of models, over bare HTTP."""

    def test_a_file_is_kept_under_its_digest(self, limited):
        data = b"a file" * 1000
        path = f"/api/blobs/{digest_of(data)}"
        assert ask(limited, "HEAD", path)[0] == 404
        assert ask(limited, "POST", path, data)[0] == 201
        assert ask(limited, "HEAD", path)[0] == 200
        assert ask(limited, "POST", path.replace(":", "-"), data)[0] == 200

    def test_a_file_under_a_wrong_digest_is_the_servers_to_refuse(self, limited):
        status, headers, body = ask(limited, "POST", f"/api/blobs/{digest_of(b'x')}", b"y")
        assert (status, headers["content-type"]) == (400, "application/json; charset=utf-8")
        assert json.loads(body) == {
            "error": f'digest mismatch, expected "{digest_of(b"x")}", got "{digest_of(b"y")}"'
        }

    @pytest.mark.parametrize("digest", ["sha256:0", "..", "%2e%2e", "..%2ftags"])
    def test_what_is_no_digest_reaches_nobody(self, limited, own, digest):
        before = len(seen(own, "/ollama/api/tags"))
        assert ask(limited, "POST", f"/api/blobs/{digest}", b"")[0] in (400, 404)
        assert len(seen(own, "/ollama/api/tags")) == before

    def test_other_bodies_have_their_limit(self, limited):
        status, _, body = ask(limited, "POST", "/api/create", b'{"model":"x","from":"%s"}' % (b"y" * 1000))
        assert status == 413
        assert "MAX_BODY_BYTES" in json.loads(body)["error"]

    @pytest.mark.parametrize("sized", [True, False], ids=["with a length", "in chunks"])
    def test_a_large_file_costs_no_memory(self, own, limited, sized):
        """64 MiB at once pass through; what the process holds grows by a small part of that."""
        size = 64 * MIB
        piece = bytes(MIB)
        hashed = hashlib.sha256(b"1" if sized else b"2")
        for _ in range(size // MIB):
            hashed.update(piece)
        before = peak_bytes(limited)
        with socket.create_connection(("127.0.0.1", limited.port), 30) as client:
            length = f"Content-Length: {size + 1}" if sized else "Transfer-Encoding: chunked"
            head = (
                f"POST /api/blobs/sha256:{hashed.hexdigest()} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
            )
            client.sendall(head.encode())
            for part in (b"1" if sized else b"2", *([piece] * (size // MIB))):
                client.sendall(part if sized else b"%x\r\n%b\r\n" % (len(part), part))
            if not sized:
                client.sendall(b"0\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert peak_bytes(limited) - before < 16 * MIB


def peak_bytes(proxy: Process) -> int:
    """The most memory the process ever held."""
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


class TestLeaving:
    """Progress comes as it is made, and who leaves ends the call."""

    def begin(self, proxy: Process, path: str, body: dict) -> socket.socket:
        data = json.dumps(body).encode()
        client = socket.create_connection(("127.0.0.1", proxy.port), 10)
        client.sendall(
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
        )
        return client

    def test_lines_come_as_they_are_made(self, patient):
        with ollama.Client(patient.url) as client:
            began = time.monotonic()
            came = [time.monotonic() - began for _ in client.pull("paced", stream=True)]
        assert len(came) == 9
        assert came[0] < 0.9
        assert all(later - sooner > 0.15 for sooner, later in pairwise(came))

    @pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=["FIN", "RST"])
    @pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
    def test_who_leaves_ends_the_pull(self, slow, patient, leave, stream):
        before = len(seen(slow, "/ollama/api/pull"))
        client = self.begin(patient, "/api/pull", {"model": "left", "stream": stream})
        assert until(lambda: len(seen(slow, "/ollama/api/pull")) > before)
        time.sleep(0.5)
        left = time.time()
        leave(client)
        call = until(lambda: next((c for c in seen(slow, "/ollama/api/pull")[before:] if c["ended"]), None))
        assert call["left"]
        assert not call["whole"]
        assert call["ended"] - left <= 0.1 + SLACK_S

    def test_who_leaves_an_upload_ends_it(self):
        """The server sees the connection end before the file does."""
        began, ended = threading.Event(), threading.Event()
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                while not ended.is_set():
                    connection, _ = listener.accept()
                    with connection:
                        if connection.recv(65536).startswith(b"POST /api/blobs/"):
                            began.set()
                            with suppress(ConnectionResetError):
                                while connection.recv(65536):
                                    pass
                            ended.set()

            threading.Thread(target=serve, daemon=True).start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with processes.app(OLLAMA_BASE_URL=url, **ALLOWED) as proxy:
                client = socket.create_connection(("127.0.0.1", proxy.port), 10)
                head = f"POST /api/blobs/{digest_of(b'')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
                client.sendall(head.encode() + bytes(1000))
                assert began.wait(10)
                assert not ended.wait(0.3)
                client.close()
                assert ended.wait(0.1 + SLACK_S)


def test_a_dead_ollama_is_a_clear_502():
    url = f"http://127.0.0.1:{processes.free_port()}"
    with processes.app(OLLAMA_BASE_URL=url, OLLAMA_API_KEY="sesame-open-123", **ALLOWED) as proxy:
        for method, path, body in (
            ("POST", "/api/pull", b'{"model":"x"}'),
            ("DELETE", "/api/delete", b'{"model":"x"}'),
            ("POST", f"/api/blobs/{digest_of(b'')}", b""),
        ):
            status, headers, answer = ask(proxy, method, path, body)
            assert (status, headers["content-type"]) == (502, "application/json; charset=utf-8")
            assert json.loads(answer) == {"error": "Ollama at ollama: the provider could not be reached"}
        assert ask(proxy, "HEAD", f"/api/blobs/{digest_of(b'')}")[0] == 502
        assert "sesame" not in proxy.output


class TestTwoServers:
    """Several Ollamas: the first by priority, another one by its name."""

    @pytest.mark.parametrize(
        ("model", "headers", "place"),
        [
            pytest.param("x", {}, "near", id="nobody named: the first"),
            pytest.param("x", {"X_Provider": "far"}, "far", id="by the header"),
            pytest.param(
                "x", {"X_Provider": "openai, FAR; only"}, "far", id="by the header, the first that is one"
            ),
            pytest.param("far/x", {}, "far", id="by the model's name"),
            pytest.param("far/x", {"X_Provider": "near"}, "far", id="the name is the closer word"),
        ],
    )
    def test_who_is_asked(self, pair, model, headers, place):
        status, answered, _ = ask(
            pair, "DELETE", "/api/delete", json.dumps({"model": model}).encode(), **headers
        )
        assert (status, answered["x-provider"]) == (404, place)

    def test_a_provider_of_another_kind_manages_nothing(self, pair):
        status, _, body = ask(pair, "POST", "/api/pull", b'{"model":"x"}', X_Provider="openai")
        assert (status, json.loads(body)) == (
            400,
            {"error": "X-Provider names no Ollama of this proxy; it has: near, far"},
        )

    def test_what_another_provider_serves_is_not_pulled(self, pair, own, slow):
        before = [seen(each, "/ollama/api/pull") for each in (own, slow)]
        status, headers, body = ask(pair, "POST", "/api/pull", b'{"model":"gpt-4o"}')
        assert (status, headers["content-type"]) == (200, "application/x-ndjson")
        assert [json.loads(line)["status"] for line in body.splitlines()] == ["pulling manifest", "success"]
        assert [seen(each, "/ollama/api/pull") for each in (own, slow)] == before

    def test_models_of_two_servers_do_not_meet(self, pair):
        status, _, body = ask(pair, "POST", "/api/copy", b'{"source":"near/a","destination":"far/b"}')
        assert (status, json.loads(body)) == (
            400,
            {"error": "the models are at different servers: far, near"},
        )


class TestRefused:
    """Without leave, and with leave but nothing to manage."""

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            pytest.param("POST", "/api/pull", {"model": "x"}, 501, id="pull"),
            pytest.param("POST", "/api/push", {"model": "x"}, 501, id="push"),
            pytest.param("POST", "/api/create", {"model": "x", "from": "y"}, 501, id="create"),
            pytest.param("POST", "/api/copy", {"source": "chat", "destination": "y"}, 501, id="copy"),
            pytest.param("DELETE", "/api/delete", {"model": "chat"}, 501, id="delete"),
            pytest.param("HEAD", f"/api/blobs/{digest_of(b'')}", {}, 404, id="look for a file"),
            pytest.param("POST", f"/api/blobs/{digest_of(b'')}", {}, 501, id="send a file"),
        ],
    )
    def test_management_is_answered_honestly(self, refusing, method, path, body, status):
        got, _, answer = ask(refusing, method, path, json.dumps(body).encode())
        assert got == status
        if status == 501:
            assert "OLLAMA_ALLOW_MANAGEMENT" in json.loads(answer)["error"]

    def test_what_is_served_is_there(self, refusing):
        with ollama.Client(refusing.url) as client:
            assert [line.status for line in client.pull("chat", stream=True)] == [
                "pulling manifest",
                "success",
            ]
            assert client.pull("Chat:latest").status == "success"
            with pytest.raises(ollama.ResponseError) as refused:
                client.pull("no-such-model")
        assert refused.value.status_code == 501
