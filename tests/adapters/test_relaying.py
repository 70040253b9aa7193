"""What passes through to an Ollama, and what becomes of it when either side fails: a scripted server at a real socket."""

import ssl

import orjson
import pytest
import trio
from attrs import evolve

from adapters.asgi import ON_LEAVE, REQUEST_ID
from adapters.edge import BODY_TIMEOUT_S
from adapters.lifecycle import Lifecycle, State
from adapters.providers import CODECS
from adapters.relaying import Relay, relayed, route_of
from adapters.transport import httpx_transport
from pipeline.values.facts import ModelsListed
from pipeline.values.secrets import Secret
from pipeline.values.targets import Provider
from tests.adapters.asgi_kit import HOST, Got, call, scope_of
from tests.adapters.http1.upstream import upstream
from tests.kit import Stand

CONTEXT = ssl.create_default_context()
DIGEST = "sha256:" + "0" * 64
KEY = "sesame-open-123"
LINES = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nX-Secret: of the server\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
TAGS = b'{"models":[{"name":"new:latest","model":"new:latest"}]}'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def sized(status: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class Server:
    """Answers management as it is told, and lists a model; what it was asked for management."""

    def __init__(self, *pieces: bytes, stays: bool = False) -> None:
        self.pieces, self.stays = pieces, stays
        self.asked: list[bytes] = []
        self.listed = 0

    async def __call__(self, peer) -> None:
        asked = await peer.request()
        if asked.startswith(b"GET /api/tags"):
            self.listed += 1
            await peer.say(sized(b"200 OK", TAGS, b"Content-Type: application/json"))
            return
        self.asked.append(asked)
        await peer.say(*self.pieces)
        if self.stays:
            await peer.gone()


class Place:
    """A relay to one server, and what the house was told."""

    def __init__(
        self, port: int, key: str = "", timeout_s: float = 5.0, idle_s: float = 5.0, codecs=CODECS
    ) -> None:
        provider = Provider("ollama", "ollama", f"http://127.0.0.1:{port}", Secret(key), timeout_s)
        self.told: list[object] = []
        self.lifecycle = Lifecycle()
        self.env = evolve(
            Stand({}).env,
            providers={"ollama": provider},
            codecs=codecs,
            transports={"ollama": httpx_transport(CONTEXT)},
        )
        self.relay = Relay(
            self.env,
            self.told.append,
            self.lifecycle,
            {"ollama": provider},
            CONTEXT,
            "our-id",
            max_body_bytes=1000,
            idle_s=idle_s,
        )

    async def ask(self, method: str, path: str, **given) -> Got:
        try:
            return await call(relayed(self.relay, rest), method, path, **given)
        finally:
            await self.env.transports["ollama"].aclose()

    async def pull(self, **given) -> Got:
        return await self.ask("POST", "/api/pull", body=b'{"model":"new"}', **given)


@pytest.mark.parametrize(
    ("body", "headers", "passes"),
    [
        pytest.param(b'{"model":"new"}', {}, False, id="another has it"),
        pytest.param(b'{"model":"ollama/new"}', {}, True, id="unless the Ollama is named"),
        pytest.param(b'{"model":"new"}', {"x-provider": "ollama"}, True, id="or asked for"),
        pytest.param(b'{"model":"other"}', {}, True, id="nobody has it"),
        pytest.param(b'{"model":5}', {}, True, id="a fault is the server's to name"),
    ],
)
async def test_what_another_provider_has_is_not_pulled(body, headers, passes):
    server = Server(sized(b"200 OK", b'{"status":"success"}', b"Content-Type: application/json"))
    async with upstream(server) as there:
        place = Place(there.port)
        place.relay = evolve(place.relay, elsewhere=lambda name: name == "new")
        got = await place.ask("POST", "/api/pull", body=body, headers=headers)
    assert got.status == 200
    assert b'"success"' in got.body
    assert bool(server.asked) is passes
    assert (b"pulling manifest" in got.body) is not passes


async def rest(scope, receive, send):
    await send({"type": "http.response.start", "status": 299, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("method", "path", "passes"),
    [
        pytest.param("POST", "/api/pull", True, id="pull"),
        pytest.param("POST", "/api/push", True, id="push"),
        pytest.param("POST", "/api/create", True, id="create"),
        pytest.param("POST", "/api/copy", True, id="copy"),
        pytest.param("DELETE", "/api/delete", True, id="delete"),
        pytest.param("HEAD", f"/api/blobs/{DIGEST}", True, id="look for a file"),
        pytest.param("POST", f"/api/blobs/{DIGEST}", True, id="send a file"),
        pytest.param("GET", f"/api/blobs/{DIGEST}", False, id="files are not given out"),
        pytest.param("POST", "/api/blobs/a/b", False, id="a deeper path"),
        pytest.param("POST", "/api/delete", False, id="the wrong method"),
        pytest.param("GET", "/api/pull", False, id="another wrong method"),
        pytest.param("GET", "/api/tags", False, id="no management"),
    ],
)
def test_what_passes_through(method, path, passes):
    assert (route_of(method, path) is not None) is passes


async def test_all_else_goes_on_its_way():
    assert (await Place(1).ask("GET", "/api/tags")).status == 299


async def test_lines_come_through_as_they_are_however_they_are_cut():
    lines = b'{"status":"pulling manifest"}\n{"status":"pulling 00","total":5,"completed":2}\n{"status":"success"}\n'
    server = Server(LINES + chunk(lines[:10]), chunk(lines[10:40]), chunk(lines[40:]), b"0\r\n\r\n")
    async with upstream(server) as here:
        place = Place(here.port)
        got = await place.pull()
    assert (got.status, got.body) == (200, lines)
    assert got.header("content-type") == "application/x-ndjson"
    assert got.header("x-provider") == "ollama"
    assert got.header("x-secret") is None
    assert [fact for fact in place.told if isinstance(fact, ModelsListed)]


async def test_the_list_is_new_before_the_client_learns_of_success():
    server = Server(LINES + chunk(b'{"status":"a"}\n'), chunk(b'{"status":"success"}\n'), b"0\r\n\r\n")
    order = []
    async with upstream(server) as here:
        place = Place(here.port)

        async def send(message):
            await trio.lowlevel.checkpoint()
            order.append((message.get("body"), server.listed))

        async def receive():
            if not order:
                order.append(None)
                return {"type": "http.request", "body": b'{"model":"new"}', "more_body": False}
            await trio.sleep_forever()

        await relayed(place.relay, rest)(scope_of("POST", "/api/pull", HOST), receive, send)
        await place.env.transports["ollama"].aclose()
    assert order[2:] == [(b'{"status":"a"}\n', 0), (b'{"status":"success"}\n', 1), (b"", 1)]


async def test_what_the_server_is_asked():
    server = Server(sized(b"200 OK", b""))
    async with upstream(server) as here:
        await Place(here.port, KEY).ask(
            "DELETE",
            "/api/delete",
            body=b'{"model":"ollama/x"}',
            headers={
                "authorization": "Bearer the client's",
                "cookie": "a=b",
                "x-ollama-proxy-hop": "other",
                "traceparent": "00-1",
            },
        )
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    first, *lines = head.decode().lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert first == "delete /api/delete http/1.1"
    assert orjson.loads(body) == {"model": "x"}
    assert headers["authorization"] == f"bearer {KEY}"
    assert headers["x-ollama-proxy-hop"] == "other, our-id"
    assert headers["traceparent"] == "00-1"
    assert headers["accept-encoding"] == "identity"
    assert "cookie" not in headers


async def test_a_moment_that_is_none_is_not_passed_on():
    raw = sized(
        b"429 Slow", b'{"error":"slow"}', b"Content-Type: application/json", b"Retry-After: \xe6\x97\xa5"
    )
    async with upstream(Server(raw)) as here:
        got = await Place(here.port).pull()
    assert (got.status, got.json) == (429, {"error": "slow"})
    assert got.header("retry-after") is None


@pytest.mark.parametrize(
    ("headers", "status", "after_s"),
    [
        pytest.param([(b"content-length", b"1001")], 413, 0, id="announced as too large"),
        pytest.param([(b"content-length", b"1000")], 408, BODY_TIMEOUT_S, id="never sent"),
    ],
)
async def test_a_body_that_is_not_waited_for(headers, status, after_s, autojump_clock):
    sent, began = [], trio.current_time()

    async def send(message):
        sent.append(message)

    scope = scope_of("POST", "/api/pull", [*HOST, *headers])
    with trio.fail_after(BODY_TIMEOUT_S + 1):
        await relayed(Place(1).relay, rest)(scope, trio.sleep_forever, send)
    assert (sent[0]["status"], trio.current_time() - began) == (status, after_s)


async def test_an_answer_without_a_body_has_no_type():
    async with upstream(Server(sized(b"200 OK", b""))) as here:
        got = await Place(here.port).ask("DELETE", "/api/delete", body=b'{"model":"x"}')
    assert (got.status, got.body) == (200, b"")


@pytest.mark.parametrize(
    ("raw", "key", "status", "error"),
    [
        pytest.param(
            sized(b"404 Not Found", b'{"error":"gone"}', b"Content-Type: application/json; charset=utf-8"),
            "",
            404,
            "gone",
            id="the server's own error",
        ),
        pytest.param(
            sized(b"302 Found", b"", b"Location: http://elsewhere.test/"),
            "",
            502,
            "Ollama at ollama: it answered with a redirect, which is not followed",
            id="a redirect",
        ),
        pytest.param(
            sized(b"401 Unauthorized", KEY.encode(), b"Content-Type: text/plain"),
            KEY,
            502,
            "Ollama at ollama: it does not let this proxy in; see the key in its configuration",
            id="our key is refused, not the client's",
        ),
        pytest.param(
            sized(b"401 Unauthorized", b'{"error":"unauthorized"}', b"Content-Type: application/json"),
            "",
            401,
            "unauthorized",
            id="the server wants an account of its own",
        ),
        *(
            pytest.param(
                sized(status, b"<html>", b"Content-Type: " + kind),
                "",
                502,
                "Ollama at ollama: what answers there is no Ollama",
                id=f"{status.decode()} as {kind.decode('latin-1')}",
            )
            for status, kind in (
                (b"200 OK", b"text/html; charset=utf-8"),
                (b"504 Gateway Timeout", b"text/html"),
                (b"200 OK", b"application/json; \xe6\x97\xa5"),
                (b"999 Strange", b"application/json"),
            )
        ),
        pytest.param(
            sized(b"200 OK", b"x", b"Content-Encoding: gzip"),
            "",
            502,
            "Ollama at ollama: the provider sent a compressed answer that was not asked for",
            id="compressed",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "",
            502,
            "Ollama at ollama: the connection to the provider broke in the middle of its answer",
            id="cut short",
        ),
        pytest.param(
            b"hello\r\n\r\n", "", 502, "Ollama at ollama: the provider's answer is not HTTP", id="not HTTP"
        ),
        pytest.param(
            b"",
            "",
            502,
            "Ollama at ollama: the connection to the provider broke before it answered",
            id="no answer",
        ),
    ],
)
async def test_answers_that_are_errors(raw, key, status, error):
    async with upstream(Server(raw)) as here:
        got = await Place(here.port, key).ask("DELETE", "/api/delete", body=b'{"model":"x"}')
    assert (got.status, got.json) == (status, {"error": error})
    assert got.header("content-type").startswith("application/json")


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b'{"status":"a"}\n'], id="between two lines"),
        pytest.param([b'{"status":"a"}\n{"stat'], id="in the middle of a line"),
    ],
)
async def test_a_stream_that_breaks_ends_in_an_error_line(pieces):
    async with upstream(Server(LINES, *map(chunk, pieces))) as here:
        got = await Place(here.port).pull()
    first, last = got.body.splitlines()
    assert first == b'{"status":"a"}'
    assert orjson.loads(last) == {
        "error": "Ollama at ollama: the connection to the provider broke in the middle of its answer"
    }


async def test_a_silent_server_is_given_up():
    async with upstream(Server(stays=True)) as here:
        got = await Place(here.port, timeout_s=0.1).ask("DELETE", "/api/delete", body=b'{"model":"x"}')
    assert (got.status, got.json) == (504, {"error": "Ollama at ollama: it has said nothing for too long"})


async def test_progress_is_a_sign_of_life_and_silence_within_it_is_not():
    line = chunk(b'{"status":"a"}\n')

    async def slow(peer):
        await peer.request()
        await peer.say(LINES, *[line] * 5, pause_s=0.15)
        await peer.gone()

    async with upstream(slow) as here:
        got = await Place(here.port, idle_s=0.3).pull()
    assert got.body.splitlines()[:5] == [b'{"status":"a"}'] * 5
    assert orjson.loads(got.body.splitlines()[5]) == {
        "error": "Ollama at ollama: it has said nothing for too long"
    }


async def test_a_closing_house_takes_no_more():
    place = Place(1)
    place.lifecycle.state = State.REFUSING
    got = await place.pull()
    assert (got.status, got.header("retry-after")) == (503, "5")
    assert "shutting down" in got.json["error"]


async def test_a_closing_house_says_so_to_those_who_wait(nursery):
    async with upstream(Server(LINES + chunk(b'{"status":"a"}\n'), stays=True)) as here:
        place = Place(here.port)

        async def close():
            await trio.sleep(0.2)
            hurry = trio.Event()
            hurry.set()
            await place.lifecycle.drain(hurry)

        nursery.start_soon(close)
        got = await place.pull()
    assert orjson.loads(got.body.splitlines()[-1])["error"].endswith(
        "the gateway is shutting down; ask again in a moment"
    )


@pytest.mark.parametrize("tells", [True, False], ids=["the server tells", "the server has to be asked"])
@pytest.mark.parametrize("moment", ["before the head", "in the lines", "in the upload"])
async def test_who_leaves_ends_the_call(tells, moment):
    """Whether the server tells of leavers by itself, as ours does, or by a message, as others do."""
    gone: list[float] = []

    async def handler(peer):
        while b"\r\n\r\n" not in peer.buffer:
            await peer._more()
        if moment == "in the lines":
            await peer.say(LINES + chunk(b'{"status":"a"}\n'))
        gone.append(await peer.gone())

    async with upstream(handler) as here:
        place, left, sent = Place(here.port), trio.Event(), []
        upload = moment == "in the upload"
        path = f"/api/blobs/{DIGEST}" if upload else "/api/pull"
        pieces = [{"type": "http.request", "body": b'{"model":"x"}', "more_body": upload}]

        async def receive():
            await trio.lowlevel.checkpoint()
            if pieces:
                return pieces.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            await trio.lowlevel.checkpoint()
            sent.append(message)

        told = []
        scope = scope_of(
            "POST", path, HOST, **{REQUEST_ID: "r", **({ON_LEAVE: told.append} if tells else {})}
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relayed(place.relay, rest), scope, receive, send)
            await trio.sleep(0.3)
            went = trio.current_time()
            left.set()
            for leave in told:
                leave()
        assert trio.current_time() - went < 0.1
        with trio.fail_after(1):
            while not gone:
                await trio.sleep(0.005)
        assert gone[0] - went < 0.1
    assert len(sent) == (2 if moment == "in the lines" else 0)


async def test_a_bug_is_logged_and_never_shown(caplog):
    got = await Place(1, codecs={}).pull()
    assert (got.status, got.json) == (500, {"error": "the proxy failed; this is a fault of the proxy"})
    assert "KeyError" in caplog.text
