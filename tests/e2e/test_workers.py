"""Several processes on one port: killed, replaced under load, drained; and TLS."""

import http.client
import json
import os
import signal
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import ollama
import openai
import pytest

from tests import processes
from tests.adapters.http1.upstream import certificate
from tests.processes import Process

RENEWALS = int(os.environ.get("RENEWALS", "4"))
CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": False}


@pytest.fixture
def two(simulator: Process):
    with processes.gateway(simulator, "openai", WORKERS="2") as running:
        wait_for(lambda: ready(running) == 2)
        yield running


def ready(running: Process):
    """How many workers have become ready so far."""
    return running.output.count(" is ready")


def wait_for(claim, limit_s=10.0):
    end = time.monotonic() + limit_s
    while not (value := claim()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return value


def children(running: Process):
    """The workers that live, by number of process; each stands under the thread that started it."""
    threads = Path(f"/proc/{running.process.pid}/task").iterdir()
    return sorted(int(word) for thread in threads for word in (thread / "children").read_text().split())


class Load:
    """Clients that ask without pause over connections they keep; `answers` that came, `lost` that did not."""

    def __init__(self, port, clients=4):
        self.port, self.stop = port, threading.Event()
        self.answers, self.lost = 0, []
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)

    def _run(self):
        body = json.dumps(CHAT)
        connection, used = None, False
        while not self.stop.is_set():
            if connection is None:
                connection, used = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), False
            try:
                connection.request("POST", "/api/chat", body, {"Content-Type": "application/json"})
                reply = connection.getresponse()
                text = reply.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = None
                if (
                    not used
                ):  # a kept connection that had been closed meanwhile is asked anew, as every client does
                    self.lost.append(repr(error))
                continue
            used = True
            if reply.status == 200 and b"Hello world!" in text:
                self.answers += 1
            else:
                self.lost.append(f"{reply.status} {text[:100]!r}")
            if reply.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


def test_both_work_and_real_clients_notice_nothing(two: Process):
    with ollama.Client(two.url) as client, openai.OpenAI(base_url=f"{two.url}/v1", api_key="x") as other:
        for _ in range(10):
            assert client.chat("chat", CHAT["messages"]).message.content == "Hello world!"
            reply = other.chat.completions.create(model="chat", messages=CHAT["messages"])
            assert reply.choices[0].message.content == "Hello world!"


def test_one_that_dies_is_followed_and_the_other_goes_on(two: Process):
    first, second = children(two)
    os.kill(first, signal.SIGKILL)
    with Load(two.port) as load:
        wait_for(lambda: ready(two) == 3)
        time.sleep(0.5)
    assert second in children(two)
    assert first not in children(two)
    assert load.lost == []
    assert load.answers > 20


@pytest.mark.timeout(max(120, RENEWALS * 15))
def test_replacing_workers_under_load_loses_no_request(two: Process):
    with Load(two.port) as load:
        for turn in range(1, RENEWALS + 1):
            before = children(two)
            two.process.send_signal(signal.SIGHUP)
            wait_for(lambda turn=turn: ready(two) == 2 + 2 * turn, 30)
            wait_for(lambda before=before: not set(before) & set(children(two)))
    assert load.lost == []
    assert load.answers > 100


def test_a_signal_ends_all_of_them_in_order(two: Process):
    workers = children(two)
    two.process.send_signal(signal.SIGTERM)
    assert two.process.wait(15) == 0
    assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)


def test_workers_do_not_outlive_their_parent(two: Process):
    workers = children(two)
    two.process.kill()
    two.process.wait()
    wait_for(lambda: not any(os.path.exists(f"/proc/{worker}") for worker in workers))


def test_limits_are_divided(simulator: Process):
    config = "[stage.limit]\nmax_concurrent = 5\n"
    with processes.gateway(simulator, "openai", config, WORKERS="2") as running:
        assert '"max_concurrent"' not in running.output
        from commands.reading import read_config
        from commands.serving import shared

        parts = shared(read_config(None, {}), 3).options["limit"]
        assert parts.max_concurrent == 34
        wait_for(lambda: len(children(running)) == 2)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


def test_tls(simulator: Process, pem):
    cert, key = pem
    with processes.gateway(simulator, "openai", TLS_CERTFILE=str(cert), TLS_KEYFILE=str(key)) as running:
        url = f"https://localhost:{running.port}"
        context = ssl.create_default_context(cafile=str(cert))
        asked = urllib.request.Request(
            f"{url}/api/chat", json.dumps(CHAT).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, context=context, timeout=10) as reply:
            assert json.load(reply)["message"]["content"] == "Hello world!"
        with ollama.Client(url, verify=context) as client:
            parts = list(client.chat("chat", CHAT["messages"], stream=True))
            assert "".join(part.message.content for part in parts) == "Hello world!"
        assert "https://" in running.output


def test_a_certificate_that_cannot_be_read_is_told(tmp_path):
    with (
        pytest.raises(RuntimeError, match="TLS_CERTFILE"),
        processes.app(TLS_CERTFILE=str(tmp_path / "none.pem")),
    ):
        pass
