"""The guards before both planes: what is refused, or answered, before any route is asked.

The house holds paid keys and mostly listens on somebody's own machine, where any web page can reach it. So a
request must name a host that is ours (against DNS rebinding), and one that a page sent must come from an origin that
is allowed. All deciding is pure and looks at the head of the request alone.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_address

from attrs import field, frozen

from adapters.asgi import REQUEST_ID, App, Message, RawHeaders, Receive, Scope, Send, send_whole
from adapters.dialects.headers import SENT
from adapters.errors import error_body, json_type

MOST_HEADERS = 100
MOST_HEADER_BYTES = 32 * 1024
# Clients name few hosts, each in every request: what was found of one is kept.
MOST_HOSTS = 256

# Sent with every call to an upstream; one that comes back to us with our own id has gone in a circle.
HOP = "x-ollama-proxy-hop"
HOP_NAME = HOP.encode()

METHODS = b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
STAINLESS = (
    "arch async custom-poll-interval helper-method lang os package-version poll-helper retry-count runtime "
    "runtime-version timeout"
)
REQUEST_HEADERS = ",".join(
    (
        *("Authorization", "Content-Type", "User-Agent", "Accept", "X-Requested-With", "OpenAI-Beta"),
        *(
            "X-Provider",
            "X-Priority",
            "X-Request-Timeout",
            "X-Proxy-Strict",
            "X-Routing-Strategy",
            "X-Proxy-Explain",
            "X-Request-Id",
            "Idempotency-Key",
        ),
        *SENT,
        *(f"x-stainless-{name}" for name in STAINLESS.split()),
    )
).encode()
# What a page may read of an answer beside what every page may.
ANSWER_HEADERS = ",".join(
    (
        *("X-Request-Id", "X-Provider", "X-Model", "X-Attempts", "X-Queue-Ms", "X-Overhead-Ms"),
        *("X-Queue-Position", "X-Queue-Wait-Estimate"),
        *("X-Proxy-Lossy", "X-Proxy-Cache", "X-Token-Count", "request-id", "Retry-After", "x-should-retry"),
    )
).encode()
PREFLIGHT = (
    (b"access-control-allow-methods", METHODS),
    (b"access-control-allow-headers", REQUEST_HEADERS),
    (b"access-control-max-age", b"43200"),
)

DEFAULT_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for host in ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104  an origin pages have, not an address to bind
        for scheme in ("http", "https")
        for port in ("", ":*")
    ),
    *(f"{scheme}://*" for scheme in ("app", "file", "tauri", "vscode-webview", "vscode-file")),
)

LOCAL_DOMAINS = (".localhost", ".local", ".internal")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?)?(?::[0-9]{1,5})?")
BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")
LENGTH = re.compile(rb"[0-9]{1,18}")
KEPT_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")
JSON_MEDIA = re.compile(rb"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
# The routes whose bodies are not JSON.
FILES = re.compile(r"/api/blobs/.*|/v1/audio/.*|/v1/files(?:/.*)?")

LOOKED_AT = frozenset(
    {
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"transfer-encoding",
        b"sec-fetch-site",
        b"x-request-id",
        HOP_NAME,
    }
)


def new_request_id() -> str:
    """An id nobody can guess, for the header `X-Request-Id`, the logs and the records."""
    return secrets.token_hex(12)


def never() -> bool:
    """Where nothing drains."""
    return False


@frozen
class Guard:
    """What the guards know of the house.

    `instance`: our id in the hop header. `loopback`: whether we listen on loopback alone, so that Host is checked.
    `names`: further hosts that are ours, in lower case (the machine's own name, public names). `origins`: allowed ones.
    """

    instance: str
    loopback: bool
    names: frozenset[str] = frozenset()
    origins: re.Pattern[str] = field(factory=lambda: origins_pattern(()))
    draining: Callable[[], bool] = never
    new_id: Callable[[], str] = new_request_id


def origins_pattern(listed: Iterable[str]) -> re.Pattern[str]:
    """What matches the origins allowed by default and the `listed` ones (`OLLAMA_ORIGINS`), where `*` is anything."""
    entries = (*DEFAULT_ORIGINS, *(entry.strip().rstrip("/") for entry in listed))
    return re.compile("|".join(_origin_pattern(entry) for entry in entries if entry), re.IGNORECASE)


def _origin_pattern(entry: str) -> str:
    host, any_port, _ = entry.rpartition(":*")
    if any_port and entry.endswith(":*"):
        return _origin_pattern(host) + r":[0-9]+"
    return ".*".join(re.escape(piece) for piece in entry.split("*"))


def is_loopback(host: str) -> bool:
    """Whether listening on `host` is listening to this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@frozen
class Asked:
    """The head of a request, as far as the guards look at it. `headers`: the values of each name in LOOKED_AT."""

    method: str
    path: str
    raw_path: bytes
    http_version: str
    scheme: str
    headers: Mapping[bytes, list[bytes]]
    header_count: int
    header_bytes: int

    def one(self, name: bytes) -> bytes | None:
        """The value of a header that stands there once; None where it is missing or repeated."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None


def asked_by(scope: Scope) -> Asked:
    """The head of the request that an ASGI scope describes."""
    headers: dict[bytes, list[bytes]] = {}
    size = 0
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in LOOKED_AT:
            headers.setdefault(name, []).append(value)
    return Asked(
        scope["method"],
        scope["path"],
        scope.get("raw_path") or b"",
        scope["http_version"],
        scope.get("scheme", "http"),
        headers,
        len(scope["headers"]),
        size,
    )


@frozen
class EarlyAnswer:
    """The answer to a request that no route gets to see. An empty `text` is an empty body; `close`: the connection."""

    status: int
    text: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


def early_answer(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    """The answer the guards give themselves; None where the request may pass."""
    for check in CHECKS:
        if answer := check(asked, guard):
            return answer
    return None


def _too_large(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    if asked.header_count > MOST_HEADERS or asked.header_bytes > MOST_HEADER_BYTES:
        return EarlyAnswer(
            431, f"at most {MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes in all", close=True
        )
    return None


def _foreign_protocol(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    """HTTP/2 is for TLS alone: without it, it is an upgrade nobody offered, often smuggled past a front proxy."""
    if asked.http_version.startswith("2") and asked.scheme != "https":
        return EarlyAnswer(400, "HTTP/2 is spoken over TLS only", close=True)
    return None


def _refused_method(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    if asked.method in ("CONNECT", "TRACE"):
        return EarlyAnswer(405, f"{asked.method} is not allowed", ((b"allow", METHODS),), close=True)
    return None


def _bad_target(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    if not asked.path.startswith("/") or "\0" in asked.path or BAD_ESCAPE.search(asked.raw_path):
        return EarlyAnswer(
            400, "the request target must be a path without NUL and without broken escapes", close=True
        )
    return None


def _two_framings(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    """Two servers that read such a request differently see different requests behind it."""
    lengths, codings = asked.headers.get(b"content-length", ()), asked.headers.get(b"transfer-encoding", ())
    if len(lengths) + len(codings) > 1:
        return EarlyAnswer(400, "a request has one Content-Length or one Transfer-Encoding", close=True)
    if lengths and not LENGTH.fullmatch(lengths[0]):
        return EarlyAnswer(400, "Content-Length is a number of at most 18 digits", close=True)
    return None


def _bad_host(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    hosts = asked.headers.get(b"host", [])
    if not hosts and asked.http_version == "1.0":
        return None
    if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
        return EarlyAnswer(400, "a request has one Host header, host[:port]", close=True)
    if guard.loopback and not is_our_host(hosts[0].decode("ascii"), guard.names):
        return EarlyAnswer(403)
    return None


@lru_cache(maxsize=MOST_HOSTS)
def is_our_host(header: str, names: frozenset[str]) -> bool:
    """Whether a Host header names this machine, as no page elsewhere can make a browser say."""
    host = re.sub(r":\d+$", "", header).strip("[]").lower()
    if host in ("", "localhost") or host in names or host.endswith(LOCAL_DOMAINS):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_private or address.is_unspecified


def _own_echo(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    values = asked.headers.get(HOP_NAME)
    if values and any(guard.instance.encode() in re.split(rb"[,\s]+", value) for value in values):
        text = (
            "this request came from this gateway itself: one of its providers has the gateway's own address"
        )
        return EarlyAnswer(508, text)
    return None


def is_cross_origin(asked: Asked) -> bool:
    """Whether a page that is not our own sent the request."""
    origins = asked.headers.get(b"origin")
    if not origins:
        return False
    host = (asked.one(b"host") or b"").lower()
    return asked.one(b"origin") is None or origins[0].lower() not in (b"http://" + host, b"https://" + host)


def allowed_origin(asked: Asked, guard: Guard) -> bytes | None:
    """The foreign origin that may read the answer; None where there is none, or where it may not."""
    if b"origin" not in asked.headers:
        return None
    origin = asked.one(b"origin")
    if origin is None or not is_cross_origin(asked):
        return None
    return origin if guard.origins.fullmatch(origin.decode("latin-1")) else None


def _foreign_page(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    if is_cross_origin(asked):
        return None if allowed_origin(asked, guard) else EarlyAnswer(403)
    # No Origin goes with pictures, scripts and links, but browsers say where those come from.
    if asked.headers.get(b"sec-fetch-site") == [b"cross-site"]:
        return EarlyAnswer(403)
    return None


def _options(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    if asked.method != "OPTIONS":
        return None
    if is_cross_origin(asked):
        return EarlyAnswer(204, headers=PREFLIGHT)
    return EarlyAnswer(204, headers=((b"allow", METHODS),)) if guard.loopback else None


def _not_json(asked: Asked, guard: Guard) -> EarlyAnswer | None:
    """A page can send other content types without asking first, so from pages only JSON is taken."""
    if asked.method != "POST" or b"origin" not in asked.headers or FILES.fullmatch(asked.path):
        return None
    if JSON_MEDIA.fullmatch(asked.one(b"content-type") or b""):
        return None
    return EarlyAnswer(415, "a web page has to send Content-Type: application/json")


Check = Callable[[Asked, Guard], EarlyAnswer | None]

# In this order: first what the message itself is, then who sent it, then what it may be.
CHECKS: tuple[Check, ...] = (
    _too_large,
    _foreign_protocol,
    _refused_method,
    _bad_target,
    _two_framings,
    _bad_host,
    _own_echo,
    _foreign_page,
    _options,
    _not_json,
)


def request_id(asked: Asked, new_id: Callable[[], str]) -> str:
    """The client's own id where it is a harmless word, else a new one."""
    given = asked.one(b"x-request-id")
    return given.decode("ascii") if given and KEPT_ID.fullmatch(given) else new_id()


def added_headers(asked: Asked, guard: Guard, own_id: str) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer to this request carries, whoever gives it."""
    own = ((b"x-request-id", own_id.encode()),)
    origin = allowed_origin(asked, guard)
    if origin is None:
        return own
    told = ((b"access-control-allow-origin", origin), (b"access-control-expose-headers", ANSWER_HEADERS))
    return (*own, *told, (b"vary", b"Origin"))


def guarded(app: App, guard: Guard) -> App:
    """`app` behind the guards. It finds the request's id in its scope, and need not send it."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await _guard_one(app, guard, scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return behind


async def _guard_one(app: App, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
    asked = asked_by(scope)
    own_id = request_id(asked, guard.new_id)
    added = added_headers(asked, guard, own_id)
    answer = early_answer(asked, guard)
    if answer is not None:
        await _send_early(send, asked, answer, added, own_id, guard)
        return

    async def send_with_ours(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _with_ours(message["headers"], added, asked, guard.draining())}
        await send(message)

    scope[REQUEST_ID] = own_id
    await app(scope, receive, send_with_ours)


def _with_ours(
    headers: RawHeaders, added: RawHeaders, asked: Asked, close: bool
) -> list[tuple[bytes, bytes]]:
    kept = [line for line in headers if line[0].lower() != b"x-request-id"]
    kept.extend(added)
    # HTTP/2 has no such header; its connections end by a frame of their own.
    if close and asked.http_version.startswith("1"):
        kept.append((b"connection", b"close"))
    return kept


async def _send_early(
    send: Send, asked: Asked, answer: EarlyAnswer, added: RawHeaders, own_id: str, guard: Guard
) -> None:
    body = error_body(asked.path, answer.status, answer.text, own_id) if answer.text else b""
    headers = list(answer.headers)
    if body:
        headers.append((b"content-type", json_type(asked.path).encode()))
    if answer.status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    close = answer.close or guard.draining()
    await send_whole(
        send, answer.status, _with_ours(headers, added, asked, close), b"" if asked.method == "HEAD" else body
    )
