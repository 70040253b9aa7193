import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from adapters.asgi import REQUEST_ID, send_whole
from adapters.errors import error_body
from adapters.guard import HOP, METHODS, Guard, guarded, is_loopback, is_our_host, origins_pattern
from tests.adapters.asgi_kit import HOST, call, call_scope, scope_of

LOCAL = Guard("me", loopback=True, names=frozenset({"mybox"}), new_id=lambda: "new-id")
OPEN = Guard("me", loopback=False, new_id=lambda: "new-id")
JSON = {"Content-Type": "application/json"}
PAGE = {"Origin": "http://localhost:3000"}
FOREIGN = {"Origin": "http://evil.example"}


async def inner(scope, receive, send):
    """Echoes what the guard handed on, and sets an id that the guard's own must replace."""
    headers = [(b"x-inner", scope[REQUEST_ID].encode()), (b"X-Request-Id", b"inner")]
    await send_whole(send, 200, headers, b"inner")


def passed(got):
    return got.status == 200 and got.body == b"inner"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("localhost", 200, id="localhost"),
        pytest.param("LocalHost:11434", 200, id="in any case, with a port"),
        pytest.param("", 200, id="empty, as HTTP allows and no browser sends"),
        pytest.param("127.0.0.1:11434", 200, id="loopback"),
        pytest.param("[::1]:11434", 200, id="loopback of IPv6"),
        pytest.param("192.168.1.7", 200, id="a private address"),
        pytest.param("0.0.0.0:11434", 200, id="the unspecified address"),
        pytest.param("[fd00::1]", 200, id="a private address of IPv6"),
        pytest.param("mybox:1", 200, id="the machine's name"),
        pytest.param("app.localhost", 200, id="below localhost"),
        pytest.param("nas.local", 200, id="below local"),
        pytest.param("host.docker.internal", 200, id="below internal"),
        pytest.param("my_service:80", 403, id="an underscore is grammar, but the name is foreign"),
        pytest.param("evil.example", 403, id="a foreign name"),
        pytest.param("localhost.evil.example", 403, id="a foreign name that begins like ours"),
        pytest.param("evillocalhost", 403, id="a foreign name that ends like ours"),
        pytest.param("8.8.8.8", 403, id="a public address"),
        pytest.param("local host", 400, id="a blank"),
        pytest.param("localhost:port", 400, id="a port that is none"),
        pytest.param("user@localhost", 400, id="a user"),
        pytest.param("localhost/", 400, id="a slash"),
        pytest.param("[::1", 400, id="half a bracket"),
        pytest.param("a,b", 400, id="two names"),
    ],
)
async def test_the_host_must_be_ours(host, status):
    got = await call_scope(guarded(inner, LOCAL), scope_of("GET", "/", [(b"host", host.encode())]))
    assert got.status == status
    if status == 403:
        assert got.body == b""
    if status == 400:
        assert got.header("connection") == "close"
        assert got.json["error"]


@pytest.mark.parametrize(
    ("headers", "version", "status"),
    [
        pytest.param([], "1.1", 400, id="missing"),
        pytest.param([], "1.0", 200, id="missing in HTTP/1.0"),
        pytest.param([(b"host", b"localhost"), (b"host", b"localhost")], "1.1", 400, id="repeated"),
        pytest.param([(b"host", b"localhost"), (b"host", b"x")], "1.0", 400, id="repeated in HTTP/1.0"),
    ],
)
async def test_there_is_one_host(headers, version, status):
    got = await call_scope(guarded(inner, OPEN), scope_of("GET", "/", headers, http_version=version))
    assert got.status == status


async def test_a_house_open_to_the_network_has_many_names():
    scope = scope_of("GET", "/", [(b"host", b"models.example.com")])
    assert passed(await call_scope(guarded(inner, OPEN), scope))


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("http://localhost", id="localhost"),
        pytest.param("https://localhost:3000", id="localhost with a port, https"),
        pytest.param("http://127.0.0.1:8080", id="loopback"),
        pytest.param("https://0.0.0.0", id="unspecified"),
        pytest.param("app://obsidian.md", id="app"),
        pytest.param("file://", id="file"),
        pytest.param("tauri://localhost", id="tauri"),
        pytest.param("vscode-webview://1ab2", id="vscode-webview"),
        pytest.param("vscode-file://vscode-app", id="vscode-file"),
    ],
)
async def test_origins_allowed_by_default_may_read_the_answer(origin):
    got = await call(guarded(inner, LOCAL), "GET", "/api/tags", headers={"Origin": origin})
    assert passed(got)
    assert (got.header("access-control-allow-origin"), got.header("vary")) == (origin, "Origin")


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("http://evil.example", id="a page"),
        pytest.param("null", id="a sandboxed page"),
        pytest.param("chrome-extension://abcdef", id="a browser extension"),
        pytest.param("http://localhost.evil.example", id="a name that begins like an allowed one"),
        pytest.param("http://evil.example/http://localhost", id="an allowed one behind another"),
        pytest.param("ftp://localhost", id="another scheme"),
        pytest.param("", id="an empty one"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "DELETE"])
async def test_other_origins_are_refused_before_any_work(origin, method):
    got = await call(guarded(inner, LOCAL), method, "/api/chat", headers={**JSON, "Origin": origin})
    assert (got.status, got.body) == (403, b"")
    assert got.header("access-control-allow-origin") is None


@pytest.mark.parametrize(
    ("listed", "origin", "allowed"),
    [
        pytest.param(["https://my.example"], "https://my.example", True, id="as listed"),
        pytest.param(
            ["https://my.example/"], "https://my.example", True, id="a slash at the end of the entry"
        ),
        pytest.param(
            [" https://my.example "], "https://My.example", True, id="blanks and case do not matter"
        ),
        pytest.param(["https://my.example"], "https://other.example", False, id="another one"),
        pytest.param(["https://*.example"], "https://a.b.example", True, id="a star in front"),
        pytest.param(["https://*.example"], "https://example", False, id="the dot is a dot"),
        pytest.param(["http://host:*"], "http://host:81", True, id="a star for the port"),
        pytest.param(["chrome-extension://*"], "chrome-extension://abc", True, id="extensions, where listed"),
        pytest.param(["*"], "null", True, id="a lone star is everybody"),
        pytest.param(["", " "], "https://x.example", False, id="empty entries are nobody"),
        pytest.param(["https://a.example"], "http://localhost", True, id="the defaults stay"),
    ],
)
def test_ollama_origins_adds_origins(listed, origin, allowed):
    assert bool(origins_pattern(listed).fullmatch(origin)) is allowed


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_our_own_pages_need_no_permission(scheme):
    got = await call(guarded(inner, LOCAL), "GET", "/", headers={"Origin": f"{scheme}://localhost:11434"})
    assert passed(got)
    assert got.header("access-control-allow-origin") is None


async def test_two_origins_are_no_origin():
    headers = [*HOST, (b"origin", b"http://localhost"), (b"origin", b"http://localhost")]
    got = await call_scope(guarded(inner, LOCAL), scope_of("GET", "/", headers))
    assert got.status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="a picture or link on another site"),
        pytest.param({"Sec-Fetch-Site": "cross-site", **PAGE}, 200, id="an allowed page elsewhere"),
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="our own page"),
        pytest.param({"Sec-Fetch-Site": "none"}, 200, id="typed by the user"),
    ],
)
async def test_browsers_say_where_a_request_without_origin_comes_from(headers, status):
    assert (await call(guarded(inner, LOCAL), "GET", "/", headers=headers)).status == status


async def test_a_preflight_is_answered_here():
    headers = {**PAGE, "Access-Control-Request-Method": "POST"}
    got = await call(guarded(inner, LOCAL), "OPTIONS", "/api/chat", headers=headers)
    assert (got.status, got.body) == (204, b"")
    assert got.header("access-control-allow-origin") == PAGE["Origin"]
    assert got.header("access-control-allow-methods") == "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
    assert got.header("access-control-max-age") == "43200"
    assert got.header("vary") == "Origin"
    named = got.header("access-control-allow-headers").lower().split(",")
    plain = {"authorization", "content-type", "user-agent", "accept", "x-requested-with", "openai-beta"}
    plain |= {"x-api-key", "anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"}
    plain |= {"api-key", "x-goog-api-key", "x-goog-api-client", "idempotency-key", "x-request-id"}
    plain |= {"x-provider", "x-priority", "x-request-timeout", "x-proxy-strict"}
    plain |= {"x-routing-strategy", "x-proxy-explain"}
    stainless = (
        "arch async custom-poll-interval helper-method lang os package-version poll-helper retry-count"
    )
    stainless += " runtime runtime-version timeout"
    assert set(named) == plain | {f"x-stainless-{name}" for name in stainless.split()}


async def test_an_allowed_page_may_read_what_our_headers_say():
    named = {
        *("x-request-id", "x-provider", "x-model", "x-attempts", "x-queue-ms", "x-overhead-ms"),
        *("x-queue-position", "x-queue-wait-estimate"),
        *("x-proxy-lossy", "x-proxy-cache", "x-token-count", "request-id", "retry-after", "x-should-retry"),
    }
    got = await call(guarded(inner, LOCAL), "GET", "/", headers=PAGE)
    assert set(got.header("access-control-expose-headers").lower().split(",")) == named
    assert (await call(guarded(inner, LOCAL), "GET", "/")).header("access-control-expose-headers") is None


@pytest.mark.parametrize(
    ("guard", "expected"),
    [pytest.param(LOCAL, 204, id="on loopback"), pytest.param(OPEN, 200, id="else the route decides")],
)
async def test_options_without_origin(guard, expected):
    got = await call(guarded(inner, guard), "OPTIONS", "/api/chat")
    assert got.status == expected
    if expected == 204:
        assert got.header("allow") == METHODS.decode()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("POST", "/api/chat", {}, 200, id="a program may send any type"),
        pytest.param("POST", "/api/chat", {"Content-Type": "text/plain"}, 200, id="a program, text"),
        pytest.param("POST", "/api/chat", {**PAGE, **JSON}, 200, id="a page sends json"),
        pytest.param(
            "POST",
            "/api/chat",
            {**PAGE, "Content-Type": "application/json; charset=utf-8"},
            200,
            id="charset",
        ),
        pytest.param(
            "POST", "/api/chat", {**PAGE, "Content-Type": "APPLICATION/LD+JSON"}, 200, id="a kind of json"
        ),
        pytest.param(
            "POST", "/api/chat", {**PAGE, "Content-Type": "text/plain"}, 415, id="a page sends text"
        ),
        pytest.param("POST", "/api/chat", {**PAGE, "Content-Type": "text/json"}, 415, id="nearly json"),
        pytest.param("POST", "/api/chat", PAGE, 415, id="a page sends no type"),
        pytest.param("POST", "/v1/chat/completions", PAGE, 415, id="on openai's routes too"),
        pytest.param(
            "POST",
            "/api/chat",
            {"Origin": "http://localhost:11434", "Content-Type": "text/plain"},
            415,
            id="our own page",
        ),
        pytest.param(
            "POST",
            "/v1/audio/transcriptions",
            {**PAGE, "Content-Type": "multipart/form-data"},
            200,
            id="a form with a file",
        ),
        pytest.param("GET", "/api/tags", PAGE, 200, id="nothing is sent"),
    ],
)
async def test_pages_may_post_json_only(method, path, headers, status):
    got = await call(guarded(inner, LOCAL), method, path, headers=headers)
    assert got.status == status
    if status == 415 and headers is PAGE:
        assert got.header("access-control-allow-origin") == PAGE["Origin"], "the page may read why"


@pytest.mark.parametrize(
    ("scope", "status"),
    [
        pytest.param({"method": "CONNECT", "path": "x:1"}, 405, id="CONNECT"),
        pytest.param({"method": "TRACE"}, 405, id="TRACE"),
        pytest.param({"path": "http://localhost/"}, 400, id="an absolute target"),
        pytest.param({"path": "*"}, 400, id="a star"),
        pytest.param({"path": "/a\0b", "raw_path": b"/a%00b"}, 400, id="NUL"),
        pytest.param({"path": "/a%zz", "raw_path": b"/a%zz"}, 400, id="a broken escape"),
        pytest.param({"path": "/a%", "raw_path": b"/a%"}, 400, id="half an escape"),
        pytest.param({"path": "/a b", "raw_path": b"/a%20b"}, 200, id="an escape"),
        pytest.param({"http_version": "2"}, 400, id="HTTP/2 without TLS"),
        pytest.param({"http_version": "2", "scheme": "https"}, 200, id="HTTP/2 with TLS"),
        pytest.param({"headers": [*HOST, *[(b"x", b"y")] * 99]}, 200, id="a hundred headers"),
        pytest.param({"headers": [*HOST, *[(b"x", b"y")] * 100]}, 431, id="more headers"),
        pytest.param({"headers": [*HOST, (b"x", b"y" * 32700)]}, 200, id="large headers"),
        pytest.param({"headers": [*HOST, (b"x", b"y" * 32768)]}, 431, id="too large headers"),
        pytest.param(
            {"headers": [*HOST, (b"content-length", b"3"), (b"transfer-encoding", b"chunked")]},
            400,
            id="two framings",
        ),
        pytest.param(
            {"headers": [*HOST, (b"content-length", b"3".zfill(5000))]}, 400, id="a length of 5000 digits"
        ),
        pytest.param(
            {"headers": [*HOST, (b"content-length", b"3"), (b"content-length", b"3")]}, 400, id="two lengths"
        ),
        pytest.param({"headers": [*HOST, (HOP.encode(), b"me")]}, 508, id="our own request came back"),
        pytest.param({"headers": [*HOST, (HOP.encode(), b"other, me")]}, 508, id="by way of another gateway"),
        pytest.param({"headers": [*HOST, (HOP.encode(), b"other")]}, 200, id="another gateway's request"),
    ],
)
async def test_what_no_route_gets_to_see(scope, status):
    got = await call_scope(guarded(inner, LOCAL), {**scope_of("GET", "/", HOST), **scope})
    assert got.status == status
    if status != 200:
        assert got.json["error"]
        assert int(got.header("content-length")) == len(got.body)
        assert got.header("connection") == (None if status == 508 or scope.get("http_version") else "close")


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        pytest.param("abc_DEF-123", True, id="a word"),
        pytest.param("x" * 64, True, id="the longest"),
        pytest.param("x" * 65, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param("a b", False, id="a blank"),
        pytest.param("ä", False, id="not ascii"),
        pytest.param("<script>", False, id="markup"),
    ],
)
async def test_every_answer_has_one_id(given_id, kept):
    got = await call(guarded(inner, LOCAL), "GET", "/", headers={"X-Request-Id": given_id})
    wanted = given_id if kept else "new-id"
    assert (got.header("x-request-id"), got.header("x-inner")) == (wanted, wanted)


async def test_refusals_have_an_id_too():
    assert (await call(guarded(inner, LOCAL), "TRACE", "/")).header("x-request-id") == "new-id"


async def test_ids_of_our_own_are_kept_when_they_come_back():
    guard = Guard("me", loopback=True)
    first = (await call(guarded(inner, guard), "GET", "/")).header("x-request-id")
    again = (await call(guarded(inner, guard), "GET", "/", headers={"X-Request-Id": first})).header(
        "x-request-id"
    )
    other = (await call(guarded(inner, guard), "GET", "/")).header("x-request-id")
    assert first == again != other


@pytest.mark.parametrize(
    ("version", "close"),
    [pytest.param("1.1", "close", id="said"), pytest.param("2", None, id="unknown to HTTP/2")],
)
async def test_a_draining_house_closes_connections(version, close):
    draining = Guard("me", loopback=False, draining=lambda: True)
    got = await call(guarded(inner, draining), "GET", "/", http_version=version, scheme="https")
    assert (got.status, got.header("connection")) == (200, close)
    refused = await call(guarded(inner, draining), "GET", "/", headers=FOREIGN)
    assert refused.header("connection") == "close"


async def test_head_gets_no_body():
    got = await call(guarded(inner, LOCAL), "HEAD", "/api/tags", headers={HOP: "me"})
    assert (got.status, got.body) == (508, b"")
    assert int(got.header("content-length")) > 0


async def test_websockets_are_closed_and_lifespan_passes():
    seen, sent = [], []

    async def app(scope, receive, send):
        await trio.lowlevel.checkpoint()
        seen.append(scope["type"])

    async def send(message):
        await trio.lowlevel.checkpoint()
        sent.append(message["type"])

    await guarded(app, LOCAL)({"type": "websocket", "headers": []}, None, send)
    await guarded(app, LOCAL)({"type": "lifespan"}, None, send)
    assert (seen, sent) == (["lifespan"], ["websocket.close"])


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("nas", False),
    ],
)
def test_where_listening_is_listening_to_this_machine_alone(host, expected):
    assert is_loopback(host) is expected


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_a_host_with_a_foreign_domain_is_never_ours(name):
    assert not is_our_host(f"{name}.example.com", frozenset())


@pytest.mark.parametrize("path", ["/api/x", "/v1/x", "/v1/messages"])
async def test_refusals_speak_the_language_of_the_route(path):
    got = await call(guarded(inner, LOCAL), "GET", path, headers={HOP: "me"})
    words = got.json["error"] if path == "/api/x" else got.json["error"]["message"]
    assert got.body == error_body(path, 508, words, "new-id")
