"""Who comes in: the same refusal for whoever is not known, and nobody by accident."""

import json

import pytest
from attrs import evolve

from adapters.asgi import CALLER, send_whole
from adapters.dialects import DIALECTS, dialect_at
from adapters.door import Door, with_door, without_keys
from adapters.keys_file import KeyFile, Keyring
from pipeline.authority import NOT_KNOWN
from pipeline.keys import Key, digest_of, id_of, key_text, ring_of
from pipeline.values.callers import ANYBODY
from tests.adapters.asgi_kit import call, call_scope, scope_of

PEPPER = b"a pepper for the tests"
NOW = 1_790_000_000.0
TEXT = key_text(b"\x01" * 5, b"\x02" * 32)
OTHER = key_text(b"\x02" * 5, b"\x02" * 32)
ADMIN = key_text(b"\x03" * 5, b"\x02" * 32)
FIRST = key_text(b"\x04" * 5, b"\x02" * 32)


def key(text, **changes):
    return evolve(Key(id_of(text), digest_of(text.encode(), PEPPER), "k"), **changes)


WEB = key(TEXT)
FIRST_KEY = key(FIRST, first=True, scopes=frozenset({"client", "admin"}))
ELSEWHERE = ("192.0.2.7", 4711)


class Room:
    """What is behind the door: it notes who came."""

    def __init__(self, *keys, open_network=False):
        ring = Keyring(KeyFile(None), lambda: NOW)
        ring.ring, ring.made, ring._pepper = ring_of(keys), ring_of(keys).made, PEPPER
        self.came, self.queries = [], []
        self.door = Door(ring, dialect_at, open_network)
        self.app = with_door(self._app, self.door)

    async def _app(self, scope, receive, send):
        self.came.append(scope[CALLER])
        self.queries.append(scope["query_string"])
        await send_whole(send, 200, [])

    async def ask(self, path="/api/chat", method="POST", client=("127.0.0.1", 1), **headers):
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await call(self.app, method, path, headers=given, client=client)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {TEXT}"}, id="a bearer"),
        pytest.param({"authorization": f"bearer  {TEXT} "}, id="a bearer, untidy"),
        pytest.param({"authorization": TEXT}, id="without a scheme"),
        pytest.param({"x-api-key": TEXT}, id="Anthropic's header"),
        pytest.param({"api-key": TEXT}, id="Azure's"),
        pytest.param({"x-goog-api-key": TEXT}, id="Google's"),
        pytest.param({"x-api-key": TEXT, "authorization": f"Bearer {TEXT}"}, id="twice the same"),
        pytest.param({"x-api-key": TEXT, "authorization": "Bearer "}, id="beside an empty one"),
    ],
)
async def test_a_key_is_found_wherever_clients_put_it(headers):
    room = Room(WEB)
    got = await room.ask(client=ELSEWHERE, **headers)
    assert (got.status, [caller.key for caller in room.came]) == (200, [WEB.id])


async def test_google_s_clients_may_show_it_in_the_query_where_nobody_sees_it_later():
    room = Room(WEB)
    path = f"/v1beta/models/m:generateContent?alt=sse&key={TEXT}&x=1"
    assert (await room.ask(path)).status == 200
    assert room.queries == [b"alt=sse&x=1"]
    assert (await room.ask(f"/api/chat?key={TEXT}")).status == 401
    assert (await room.ask(path, x_goog_api_key=OTHER)).status == 401


@pytest.mark.parametrize(
    ("query", "kept", "keys"),
    [
        (b"", b"", ()),
        (b"alt=sse", b"alt=sse", ()),
        (b"key=a", b"", (b"a",)),
        (b"%6bey=a%2Bb&x=1", b"x=1", (b"a+b",)),
        (b"key=a&key=b", b"", (b"a", b"b")),
        (b"key", b"", (b"",)),
        (b"key=%ff", b"", (b"\xff",)),
    ],
)
def test_a_query_without_its_keys(query, kept, keys):
    assert without_keys(query) == (kept, keys)


REFUSED = [
    pytest.param({}, WEB, id="no key"),
    pytest.param({"authorization": f"Bearer {OTHER}"}, WEB, id="unknown"),
    pytest.param({"authorization": f"Bearer {TEXT[:-1]}x"}, WEB, id="a wrong secret"),
    pytest.param({"authorization": "Bearer ollama"}, WEB, id="malformed"),
    pytest.param({"authorization": "Bearer schl\xfcssel"}, WEB, id="not ASCII"),
    pytest.param({"x-api-key": "k" * 10240}, WEB, id="10 KiB"),
    pytest.param({"authorization": f"Bearer {TEXT}"}, key(TEXT, expires=NOW), id="expired"),
    pytest.param({"authorization": f"Bearer {TEXT}"}, key(TEXT, revoked=NOW), id="revoked"),
    pytest.param({"authorization": f"Bearer {TEXT}", "x-api-key": OTHER}, WEB, id="two that differ"),
    pytest.param({"authorization": f"Bearer {TEXT}", "api-key": "unused"}, WEB, id="one and a word"),
    pytest.param({"authorization": f"Basic {TEXT}"}, WEB, id="another scheme"),
]


@pytest.mark.parametrize(("headers", "kept"), REFUSED)
async def test_whoever_is_not_known_is_told_the_same(headers, kept):
    room = Room(kept)
    plain, got = await room.ask(), await room.ask(**headers)
    assert (got.status, got.headers, got.body, room.came) == (401, plain.headers, plain.body, [])
    assert got.header("www-authenticate") == "Bearer"


async def test_a_repeated_header_with_two_keys_is_two_keys():
    room = Room(WEB)
    scope_headers = [(b"authorization", f"Bearer {text}".encode()) for text in (TEXT, OTHER)]
    assert (await call_scope(room.app, scope_of("POST", "/api/chat", scope_headers))).status == 401


@pytest.mark.parametrize("path", [*DIALECTS, "/v1beta/models/m:generateContent"])
async def test_a_refusal_has_the_form_of_its_route(path):
    got = await Room(WEB).ask(path)
    dialect = dialect_at(path)
    assert (got.status, got.json) == (401, json.loads(dialect.refuse(NOT_KNOWN, None, "").body))


@pytest.mark.parametrize(
    ("path", "headers", "keys"),
    [
        pytest.param("/api/tags", {}, {"error"}, id="Ollama's"),
        pytest.param("/v1/models", {}, {"error"}, id="OpenAI's"),
        pytest.param(
            "/v1/models",
            {"anthropic-version": "2023-06-01"},
            {"type", "error", "request_id"},
            id="Anthropic's",
        ),
        pytest.param("/v1beta/models", {}, {"error"}, id="Google's"),
        pytest.param("/nowhere", {}, {"error"}, id="no route at all"),
    ],
)
async def test_other_routes_refuse_in_the_form_of_their_family(path, headers, keys):
    got = await Room(WEB).ask(path, "GET", **headers)
    assert (got.status, set(got.json)) == (401, keys)


PUBLIC = ("/", "/api/version", "/health", "/health/live", "/health/ready")


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nonsense"}])
async def test_what_is_public_needs_no_key(path, headers):
    room = Room(WEB)
    assert (await room.ask(path, "GET", client=ELSEWHERE, **headers)).status == 200
    assert room.came[0].scopes == frozenset()


@pytest.mark.parametrize(
    ("text", "path", "method", "status"),
    [
        pytest.param(TEXT, "/health/detailed", "GET", 403, id="a client does not see the house"),
        pytest.param(TEXT, "/api/providers", "GET", 403, id="nor its providers"),
        pytest.param(TEXT, "/api/pull", "POST", 403, id="nor pulls models"),
        pytest.param(TEXT, "/api/admin/reload", "POST", 403, id="nor reloads"),
        pytest.param(TEXT, "/nowhere", "GET", 404, id="nor learns of what is not there"),
        pytest.param(TEXT, "/api/chat", "POST", 200, id="but chats"),
        pytest.param(ADMIN, "/health/detailed", "GET", 200, id="an administrator sees the house"),
        pytest.param(ADMIN, "/nowhere", "GET", 200, id="and is told by the house what is not there"),
        pytest.param(ADMIN, "/api/chat", "POST", 403, id="with this key he does not chat"),
    ],
)
async def test_scopes(text, path, method, status):
    room = Room(WEB, key(ADMIN, scopes=frozenset({"admin"})))
    assert (await room.ask(path, method, authorization=f"Bearer {text}")).status == status


DUMMY = {"authorization": "Bearer ollama", "x-api-key": "sk-unused"}
OPEN, CLOSED = 200, 401


@pytest.mark.parametrize(
    ("keys", "client", "headers", "status"),
    [
        pytest.param([], ("127.0.0.1", 1), {}, OPEN, id="no keys: a program on this machine"),
        pytest.param([], ("::1", 1), {}, OPEN, id="by IPv6"),
        pytest.param([], ("::ffff:127.0.0.1", 1), {}, OPEN, id="by IPv4 in IPv6"),
        pytest.param([], ("127.0.0.1", 1), DUMMY, OPEN, id="with whatever words it shows"),
        pytest.param([], ELSEWHERE, {}, CLOSED, id="another machine"),
        pytest.param([], ("::ffff:192.0.2.7", 1), {}, CLOSED, id="another machine by IPv4 in IPv6"),
        pytest.param([], ELSEWHERE, DUMMY, CLOSED, id="another machine with words"),
        pytest.param([], None, {}, CLOSED, id="nobody knows who"),
        pytest.param([], ("testclient", 1), {}, CLOSED, id="no address"),
        *(
            pytest.param([], ("127.0.0.1", 1), {name: "192.0.2.7"}, CLOSED, id=f"through a proxy: {name}")
            for name in (
                "forwarded",
                "x-forwarded-for",
                "x-forwarded-host",
                "x-forwarded-proto",
                "x-real-ip",
                "via",
            )
        ),
        pytest.param([FIRST_KEY], ("127.0.0.1", 1), DUMMY, OPEN, id="the first key: this machine"),
        pytest.param([FIRST_KEY], ELSEWHERE, {}, CLOSED, id="the first key: another machine without it"),
        pytest.param([FIRST_KEY], ELSEWHERE, {"x-api-key": FIRST}, OPEN, id="and with it"),
        pytest.param(
            [FIRST_KEY, WEB], ("127.0.0.1", 1), {}, CLOSED, id="keys of an operator: nobody without"
        ),
        pytest.param([key(TEXT, revoked=1.0)], ("127.0.0.1", 1), {}, CLOSED, id="nor when all were revoked"),
    ],
)
async def test_the_house_is_open_to_its_own_machine_alone(keys, client, headers, status):
    got = await Room(*keys).ask(client=client, **headers)
    assert got.status == status


async def test_an_open_house_knows_no_names_and_knows_its_first_key():
    room = Room(FIRST_KEY)
    await room.ask()
    await room.ask(x_api_key=FIRST)
    assert room.came[0] is ANYBODY
    assert room.came[1].key == FIRST_KEY.id


@pytest.mark.parametrize(("keys", "status"), [([], OPEN), ([FIRST_KEY], OPEN), ([WEB], CLOSED)])
async def test_an_operator_may_open_the_network_as_long_as_he_has_made_no_keys(keys, status):
    room = Room(*keys, open_network=True)
    assert (await room.ask(client=ELSEWHERE, x_forwarded_for="192.0.2.9")).status == status


async def test_who_asks_is_found_out_anew_each_time():
    """Nothing is remembered of a key, so nothing can outlive it."""
    room = Room(WEB)
    assert (await room.ask(x_api_key=TEXT)).status == 200
    room.door.keyring.ring = ring_of([evolve(WEB, revoked=NOW)])
    assert (await room.ask(x_api_key=TEXT)).status == 401


async def test_the_head_of_a_refusal_has_no_body():
    got = await Room(WEB).ask("/api/tags", "HEAD")
    assert (got.status, got.body) == (401, b"")
