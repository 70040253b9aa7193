"""The door behind the guards: who asks is found out here, and whether he may, before any route is asked.

A house without keys is open to its own machine alone: a peer on loopback whose request no proxy has forwarded. With the key
that the house made at its first start it is open to who shows that key as well, and with keys an operator has made to nobody
without one. Whoever is not known is told the same, whatever he showed.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import unquote_plus

from attrs import frozen

from adapters.asgi import CALLER, REQUEST_ID, App, RawHeaders, Receive, Scope, Send, send_whole
from adapters.dialects.sentences import SENTENCES
from adapters.errors import error_body, form_of, json_type, shows_key_in_query
from adapters.keys_file import Keyring
from pipeline.authority import action_of, authorize
from pipeline.ports import Answer, Dialect
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Problem

AUTHORIZATION = b"authorization"
CREDENTIALS = frozenset({AUTHORIZATION, b"x-api-key", b"api-key", b"x-goog-api-key"})
FORWARDED = frozenset({b"forwarded", b"x-real-ip", b"via"})
FORWARDED_AS = b"x-forwarded-"
BEARER = b"bearer"
# May do nothing but what everybody may.
STRANGER = Caller(scopes=frozenset())
MOST_PEERS = 1024


@frozen
class Door:
    """What the door knows. `open_network`: without keys of an operator everybody may come in, from wherever.

    `dialect_at(path)`: the client language spoken there, if any.
    """

    keyring: Keyring
    dialect_at: Callable[[str], Dialect | None]
    open_network: bool = False


def with_door(app: App, door: Door) -> App:
    """`app` behind the door. It finds in its scope who asks, and in its query no key."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        keys: tuple[bytes, ...] = ()
        if scope["query_string"] and shows_key_in_query(scope["path"]):
            scope["query_string"], keys = without_keys(scope["query_string"])
        caller = caller_of(scope, keys, door)
        if caller is not ANYBODY:
            problem = authorize(caller, action_of(scope["method"], scope["path"]))
            if problem is not None:
                await refuse(problem, scope, send, door)
                return
        scope[CALLER] = caller or STRANGER
        await app(scope, receive, send)

    return behind


def caller_of(scope: Scope, keys: Iterable[bytes], door: Door) -> Caller | None:
    """Who asks; None where that cannot be known. `keys`: those that were shown in the query."""
    ring, headers = door.keyring, scope["headers"]
    is_open = not ring.made and (
        door.open_network or (is_local(scope.get("client")) and not is_forwarded(headers))
    )
    if is_open and not ring.ring.keys:
        # Clients send a word where a key is wanted, and some send two.
        return ANYBODY
    shown = {*keys, *(credential(name, value) for name, value in headers if name in CREDENTIALS)} - {b""}
    # Of two that differ one was not meant for us, and who sent it along cannot be told.
    known = ring.recognised(shown.pop() if len(shown) == 1 else b"")
    return known or (ANYBODY if is_open else None)


def credential(name: bytes, value: bytes) -> bytes:
    """What a header shows as a key: a bearer's token, or what stands there."""
    if name == AUTHORIZATION:
        scheme, _, token = value.strip().partition(b" ")
        if scheme.lower() == BEARER:
            return token.strip()
    return value.strip()


def without_keys(query: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """A query without its `key`, and what stood there: some clients show their key so, and addresses are written down."""
    kept, keys = [], []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_plus(name.decode("latin-1")) == "key":
            keys.append(unquote_plus(value.decode("latin-1"), "latin-1").encode("latin-1", "replace"))
        else:
            kept.append(part)
    return b"&".join(kept), tuple(keys)


def is_forwarded(headers: RawHeaders) -> bool:
    """Whether a proxy has passed the request on: who asked is then somebody else than who connected."""
    for name, _ in headers:  # noqa: SIM110  a generator would take twice as long, at each request
        if name in FORWARDED or name.startswith(FORWARDED_AS):
            return True
    return False


def is_local(peer: tuple[str, int] | None) -> bool:
    """Whether who connected is a program on this machine."""
    return peer is not None and _is_loopback(peer[0])


@lru_cache(maxsize=MOST_PEERS)
def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback


async def refuse(problem: Problem, scope: Scope, send: Send, door: Door) -> None:
    """Tell the client in the form of the route he asked."""
    answer = refusal(problem, scope, door)
    headers = [(name.encode(), value.encode()) for name, value in answer.head.headers.items()]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    if answer.head.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send_whole(send, answer.head.status, headers, b"" if scope["method"] == "HEAD" else answer.body)


def refusal(problem: Problem, scope: Scope, door: Door) -> Answer:
    """The answer in the form of the route: its dialect's, else its family's."""
    path, id = scope["path"], str(scope.get(REQUEST_ID, ""))
    dialect = door.dialect_at(path) if scope["method"] == "POST" else None
    if dialect is not None:
        return dialect.refuse(problem, None, id)
    path, status = form_of(path, scope["headers"]), problem.http_status
    body = error_body(path, status, problem.detail or SENTENCES[problem.kind], id)
    return Answer(ReplyHead(status, {"content-type": json_type(path)}), body)
