"""Who may do what: each route has its row, and what nobody thought of is denied."""

import re

import pytest

from adapters import admin, relaying
from adapters.dialects import DIALECTS, PATTERNS, google_chat
from pipeline.authority import SCOPES, STRICTEST, action_of, authorize
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.problems import Kind

CLIENT = Caller("k1", "web", scopes=frozenset({"client"}))
ADMIN = Caller("k2", "ops", scopes=frozenset({"admin"}))
BOTH = Caller("k3", "all")
LIMITED = Caller("k4", "some", models=("gpt-4o*",), providers=frozenset({"openai"}))

# A path of each form that a model call's address may have.
SAMPLES = (
    "/openai/deployments/my-gpt/chat/completions",
    "/openai/deployments/my-gpt/completions",
    "/openai/deployments/my-gpt/embeddings",
    "/v1beta/models/gemini-2.0-flash:generateContent",
    "/v1beta/models/gemini-2.0-flash:streamGenerateContent",
    "/v1alpha/models/openai/gpt-4o:generateContent",
    "/v1beta/models/embed:embedContent",
    "/v1beta/models/embed:batchEmbedContents",
    "/v1/models/gemini-2.0-flash:generateContent",
)


def routes():
    """Method and path of every route that anybody answers."""
    for rule, methods, _ in admin.ROUTES:
        path = re.sub(r"<path:\w+>", "some/name", re.sub(r"<\w+>", "name", rule))
        yield from ((method, path) for method in methods)
    yield from (("POST", path) for path in DIALECTS)
    yield from (("POST", path) for path in SAMPLES)
    yield from relaying.ROUTES
    yield from ((method, f"{relaying.BLOBS}sha256-0") for method in ("HEAD", "POST"))


@pytest.mark.parametrize(("method", "path"), sorted(set(routes())))
def test_each_route_has_an_entry(method, path):
    assert action_of(method, path) is not None


def test_each_form_of_address_has_a_sample():
    without = [form.pattern for form, _ in PATTERNS if not any(form.fullmatch(path) for path in SAMPLES)]
    assert without == []
    assert google_chat.COUNTED.fullmatch("/v1beta/models/m:countTokens")
    assert action_of("POST", "/v1beta/models/m:countTokens") == "call"


def test_management_is_never_a_client_s():
    for method, path in relaying.ROUTES:
        assert SCOPES[action_of(method, path)] == "admin"


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/", "public"),
        ("HEAD", "/", "public"),
        ("GET", "/api/version", "public"),
        ("GET", "/health", "public"),
        ("GET", "/health/live", "public"),
        ("GET", "/health/ready", "public"),
        ("POST", "/api/chat", "call"),
        ("GET", "/api/chat", "call"),
        ("POST", "/v1/messages/count_tokens", "call"),
        ("GET", "/api/tags", "list"),
        ("GET", "//api/tags/", "list"),
        ("GET", "/v1/models/openai/gpt-4o", "inspect"),
        ("POST", "/api/show", "inspect"),
        ("POST", "/api/route/explain", "inspect"),
        ("POST", "/api/pull", "manage"),
        ("GET", "/api/pull", "manage"),
        ("DELETE", "/api/delete", "manage"),
        ("GET", "/health/detailed", "admin"),
        ("GET", "/health/providers", "admin"),
        ("GET", "/health/providers/openai", "admin"),
        ("GET", "/api/providers", "admin"),
        ("GET", "/api/providers/openai/stats", "admin"),
        ("GET", "/metrics", "admin"),
        ("GET", "/api/queue", "admin"),
        ("GET", "/api/requests/x1", "admin"),
        ("GET", "/api/usage", "admin"),
        ("POST", "/api/admin/reload", "admin"),
        ("GET", "/dashboard", "admin"),
        ("GET", "/dashboard/app.js", "admin"),
        ("GET", "/nowhere", None),
        ("GET", "/health/", "public"),
        ("POST", "/health/detailed/", "admin"),
        ("GET", "/API/PROVIDERS", None),
    ],
)
def test_what_a_route_does(method, path, action):
    assert action_of(method, path) == action


@pytest.mark.parametrize(
    ("caller", "action", "kind"),
    [
        pytest.param(None, "public", None, id="a stranger sees what is public"),
        pytest.param(None, "call", Kind.UNAUTHORIZED, id="and nothing else"),
        pytest.param(None, None, Kind.UNAUTHORIZED, id="nor what does not exist"),
        pytest.param(CLIENT, "call", None, id="a client calls"),
        pytest.param(CLIENT, "list", None, id="and lists"),
        pytest.param(CLIENT, "inspect", None, id="and looks"),
        pytest.param(CLIENT, "manage", Kind.FORBIDDEN, id="but does not manage"),
        pytest.param(CLIENT, "admin", Kind.FORBIDDEN, id="nor see the house"),
        pytest.param(CLIENT, None, Kind.FORBIDDEN, id="nor do what nobody thought of"),
        pytest.param(CLIENT, "new", Kind.FORBIDDEN, id="nor what the table does not know"),
        pytest.param(ADMIN, "admin", None, id="an administrator sees the house"),
        pytest.param(ADMIN, "manage", None, id="and manages"),
        pytest.param(ADMIN, "call", Kind.FORBIDDEN, id="and calls nothing, if it is not said"),
        pytest.param(BOTH, "call", None, id="unless it is"),
        pytest.param(LIMITED, "manage", Kind.FORBIDDEN, id="a key for some models manages none"),
        pytest.param(ANYBODY, "manage", None, id="in an open house everybody may"),
    ],
)
def test_who_may(caller, action, kind):
    found = authorize(caller, action)
    assert (found and found.kind) == kind


@pytest.mark.parametrize(
    ("model", "provider", "kind"),
    [
        ("gpt-4o-mini", "openai", None),
        ("GPT-4o:latest", None, None),
        ("o1", "openai", Kind.UNKNOWN_MODEL),
        ("gpt-4o", "azure", Kind.UNKNOWN_MODEL),
    ],
)
def test_what_a_key_may_use(model, provider, kind):
    found = authorize(LIMITED, "call", model, provider)
    assert (found and found.kind) == kind


def test_the_strictest_first():
    assert set(STRICTEST) == {*SCOPES, "public"}
