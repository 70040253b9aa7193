"""Every problem is an error that its protocol knows, whatever the route."""

import json

import pytest

from adapters.dialects import DIALECTS
from adapters.dialects.openai_errors import FINAL, SHED
from adapters.dialects.sentences import SENTENCES
from pipeline.values.messages import ChatRequest, EmbedRequest, LoadRequest
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import ID

REQUESTS = [None, ChatRequest("m"), EmbedRequest("m", ("a",)), LoadRequest("m")]
OLLAMA = [path for path in DIALECTS if path.startswith("/api/")]
OPENAI = [path for path in DIALECTS if path.startswith("/v1/") and path != "/v1/messages"]


def refused(path, problem, request=None):
    answer = DIALECTS[path].refuse(problem, request, ID)
    return answer.head, json.loads(answer.body)


def test_each_kind_has_a_sentence():
    assert set(SENTENCES) == set(Kind)


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("path", OLLAMA)
@pytest.mark.parametrize("kind", Kind)
def test_ollama(path, kind, request_):
    problem = Problem(kind)
    head, body = refused(path, problem, request_)
    assert head.status == problem.http_status
    assert head.headers["content-type"] == "application/json; charset=utf-8"
    assert ("retry-after" in head.headers) == (head.status in (429, 503))
    assert list(body) == ["error"]
    assert isinstance(body["error"], str)
    assert body["error"]


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("path", OPENAI)
@pytest.mark.parametrize("kind", Kind)
def test_openai(path, kind, request_):
    problem = Problem(kind)
    head, body = refused(path, problem, request_)
    assert head.status == problem.http_status
    assert head.headers["content-type"] == "application/json"
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert body["error"]["message"]
    assert body["error"]["type"]
    retry = head.headers.get("x-should-retry")
    final = head.status in FINAL or kind is Kind.DEADLINE
    assert retry == ("false" if final else "true" if head.status in SHED else None)


@pytest.mark.parametrize(
    ("path", "problem", "text"),
    [
        ("/api/chat", Problem(Kind.UNKNOWN_MODEL, "words"), "model 'm' not found"),
        ("/api/generate", Problem(Kind.NOT_FOUND), "model 'm' not found"),
        ("/api/embed", Problem(Kind.UNKNOWN_MODEL), 'model "m" not found, try pulling it first'),
        ("/api/embeddings", Problem(Kind.UNKNOWN_MODEL), 'model "m" not found, try pulling it first'),
        (
            "/api/chat",
            Problem(Kind.UNSUPPORTED, "one text a call", subject="number of inputs"),
            "one text a call",
        ),
        ("/api/chat", Problem(Kind.UNSUPPORTED, subject="thinking"), '"m" does not support thinking'),
        ("/api/chat", Problem(Kind.UNSUPPORTED, subject="completion"), '"m" does not support chat'),
        ("/api/generate", Problem(Kind.UNSUPPORTED, subject="completion"), '"m" does not support generate'),
        (
            "/api/chat",
            Problem(Kind.UNSUPPORTED, subject="tools"),
            "registry.ollama.ai/library/m:latest does not support tools",
        ),
        (
            "/api/generate",
            Problem(Kind.UNSUPPORTED, subject="insert"),
            "registry.ollama.ai/library/m:latest does not support insert",
        ),
        (
            "/api/chat",
            Problem(Kind.QUEUE_FULL, "the gateway is at its limit"),
            "server busy, please try again.  maximum pending requests exceeded",
        ),
        ("/api/chat", Problem(Kind.SERVER, "it failed"), "it failed (request r1)"),
        ("/api/chat", Problem(Kind.DEADLINE, "too late"), "too late"),
    ],
)
def test_ollamas_own_words(path, problem, text):
    assert refused(path, problem, ChatRequest("m"))[1] == {"error": text}


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem(Kind.BAD_REQUEST, "no", "n"), (400, "invalid_request_error", "n", None)),
        (Problem(Kind.UNAUTHORIZED), (401, "authentication_error", None, "invalid_api_key")),
        (Problem(Kind.BUDGET), (402, "insufficient_quota", None, "insufficient_quota")),
        (Problem(Kind.FORBIDDEN), (403, "permission_error", None, None)),
        (Problem(Kind.UNKNOWN_MODEL), (404, "not_found_error", None, None)),
        (Problem(Kind.TOO_LARGE), (413, "invalid_request_error", None, None)),
        (Problem(Kind.CALLER_LIMITED), (429, "rate_limit_error", None, "rate_limit_exceeded")),
        (Problem(Kind.QUEUE_FULL), (503, "overloaded", None, None)),
        (Problem(Kind.QUOTA), (503, "overloaded", None, "insufficient_quota")),
        (Problem(Kind.SERVER), (502, "upstream_error", None, None)),
        (Problem(Kind.TOTAL), (504, "timeout", None, None)),
        (Problem(Kind.CONTEXT_LENGTH), (400, "invalid_request_error", None, "context_length_exceeded")),
        (Problem(Kind.POLICY), (400, "invalid_request_error", None, "content_filter")),
        (Problem(Kind.INVALID, subject="tools"), (400, "invalid_request_error", None, None)),
        (Problem(Kind.INTERNAL), (500, "server_error", None, None)),
    ],
)
def test_openais_types_and_codes(problem, expected):
    head, body = refused("/v1/chat/completions", problem, ChatRequest("m"))
    error = body["error"]
    assert (head.status, error["type"], error["param"], error["code"]) == expected


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("kind", Kind)
def test_anthropic(kind, request_):
    problem = Problem(kind)
    head, body = refused("/v1/messages", problem, request_)
    assert head.status == (529 if problem.http_status == 503 else problem.http_status)
    assert head.headers["content-type"] == "application/json"
    assert head.headers["request-id"] == f"req_{ID}"
    assert list(body) == ["type", "error", "request_id"]
    assert (body["type"], body["request_id"]) == ("error", f"req_{ID}")
    assert list(body["error"]) == ["type", "message"]
    assert body["error"]["message"]
    final = problem.http_status in FINAL or kind is Kind.DEADLINE
    retry = head.headers.get("x-should-retry")
    assert retry == ("false" if final else "true" if problem.http_status in SHED else None)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (Problem(Kind.BAD_REQUEST, "no", "n"), (400, "invalid_request_error")),
        (Problem(Kind.UNAUTHORIZED), (401, "authentication_error")),
        (Problem(Kind.BUDGET), (402, "billing_error")),
        (Problem(Kind.FORBIDDEN), (403, "permission_error")),
        (Problem(Kind.UNKNOWN_MODEL), (404, "not_found_error")),
        (Problem(Kind.TOO_LARGE), (413, "request_too_large")),
        (Problem(Kind.CALLER_LIMITED), (429, "rate_limit_error")),
        (Problem(Kind.QUEUE_FULL), (529, "overloaded_error")),
        (Problem(Kind.OVERLOADED), (529, "overloaded_error")),
        (Problem(Kind.SERVER), (502, "api_error")),
        (Problem(Kind.TOTAL), (504, "timeout_error")),
        (Problem(Kind.INTERNAL), (500, "api_error")),
    ],
)
def test_anthropics_types(problem, expected):
    head, body = refused("/v1/messages", problem, ChatRequest("m"))
    assert (head.status, body["error"]["type"]) == expected


def test_anthropic_says_which_model():
    _, body = refused("/v1/messages", Problem(Kind.UNKNOWN_MODEL), ChatRequest("m"))
    assert body["error"]["message"] == "model 'm' not found"


def test_openai_says_which_model():
    _, body = refused("/v1/embeddings", Problem(Kind.UNKNOWN_MODEL), EmbedRequest("m", ("a",)))
    assert body["error"]["message"] == "model 'm' not found"
    _, body = refused("/v1/chat/completions", Problem(Kind.UNSUPPORTED, subject="tools"), ChatRequest("m"))
    assert body["error"]["message"] == '"m" does not support tools'


@pytest.mark.parametrize("path", DIALECTS)
@pytest.mark.parametrize(
    ("hint", "expected"),
    [(None, "1"), (0.0, "1"), (0.2, "1"), (2.1, "3"), (300, "300"), (86400.0, "300"), (-5, "1")],
)
def test_retry_after_is_whole_seconds(path, hint, expected):
    head, _ = refused(path, Problem(Kind.RATE_LIMITED, retry_after=hint))
    assert head.headers["retry-after"] == expected


@pytest.mark.parametrize("path", DIALECTS)
def test_nothing_of_the_target_is_shown(path):
    answer = DIALECTS[path].refuse(Problem(Kind.SERVER, target="acme/secret-name"), ChatRequest("m"), ID)
    assert b"acme" not in answer.body


ROUTES_OF_ALL = ("/api/chat", "/v1/chat/completions", "/v1/messages")


@pytest.mark.parametrize("path", ROUTES_OF_ALL)
@pytest.mark.parametrize(
    ("problem", "told"),
    [
        pytest.param(Problem(Kind.BUDGET, retry_after=604_800.2), "604801", id="a budget renews in a week"),
        pytest.param(Problem(Kind.BUDGET), None, id="what never fits is not to be tried again"),
        pytest.param(Problem(Kind.CALLER_LIMITED, retry_after=1234.5), "1235", id="a limit is told exactly"),
        pytest.param(
            Problem(Kind.RATE_LIMITED, retry_after=1234.5), "300", id="a provider's is not believed for long"
        ),
    ],
)
def test_when_to_come_again_with_a_key(path, problem, told):
    head, _ = refused(path, problem, ChatRequest("m"))
    assert head.status == problem.http_status
    assert head.headers.get("retry-after") == told
