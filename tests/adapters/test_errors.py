import json
import time

import pytest

from adapters.errors import error_body, is_google, json_type


@pytest.mark.parametrize(
    ("path", "status", "form"),
    [
        pytest.param("/api/show", 413, {"error": "no"}, id="ollama's routes: one string"),
        pytest.param("/health", 500, {"error": "no"}, id="our own routes too"),
        pytest.param(
            "/v1/models/x",
            404,
            {"error": {"message": "no", "type": "not_found_error", "param": None, "code": None}},
            id="openai's routes: an object",
        ),
        pytest.param(
            "/openai/models/x",
            404,
            {"error": {"message": "no", "type": "not_found_error", "param": None, "code": None}},
            id="azure's routes too",
        ),
        pytest.param(
            "/v1/chat/completions",
            500,
            {"error": {"message": "no", "type": "server_error", "param": None, "code": None}},
            id="a fault of ours, in the words of that dialect",
        ),
        *(
            pytest.param(
                path,
                405,
                {"error": {"code": 405, "message": "no", "status": "INVALID_ARGUMENT"}},
                id=f"google's routes: {path}",
            )
            for path in (
                "/v1beta/x",
                "/v1alpha/models",
                "/upload/v1beta/files",
                "/v1/models/a/b:7b:streamGenerateContent",
                "/v1/models/m:countTokens",
                "/v1beta/models/a\nb:generateContent",
            )
        ),
        pytest.param(
            "/v1/models/qwen3-embedding:0.6b",
            404,
            {"error": {"message": "no", "type": "not_found_error", "param": None, "code": None}},
            id="a tag is no method",
        ),
        pytest.param(
            "/v1/messages",
            413,
            {
                "type": "error",
                "error": {"type": "request_too_large", "message": "no"},
                "request_id": "req_r1",
            },
            id="anthropic's route: its own types, and the request id",
        ),
        pytest.param(
            "/v1/messages/count_tokens",
            400,
            {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": "no"},
                "request_id": "req_r1",
            },
            id="what stands below it too",
        ),
    ],
)
def test_an_error_has_the_form_of_its_routes(path, status, form):
    assert json.loads(error_body(path, status, "no", "r1")) == form


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/api/tags", "application/json; charset=utf-8", id="ollama names the charset"),
        pytest.param("/v1/models", "application/json", id="openai does not"),
        pytest.param("/v1/messages", "application/json", id="anthropic does not"),
    ],
)
def test_json_is_announced_as_its_family_does(path, expected):
    assert json_type(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/v1/models/:" + "EmbedA" * 5000 + "!", id="a word of methods"),
        pytest.param("/v1/models/" + ":EmbedA" * 4000 + "!", id="many methods"),
        pytest.param("/v1/models/" + ":" * 30_000, id="colons"),
    ],
)
def test_the_longest_path_is_read_at_once(path):
    began = time.perf_counter()
    assert not is_google(path)
    assert time.perf_counter() - began < 0.2
