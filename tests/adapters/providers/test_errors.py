"""What a provider's error means: OpenAI's documented errors, and whatever else may come."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers.errors import classify, cleaned
from pipeline.values.http import ReplyHead
from pipeline.values.problems import Kind, Problem


def said(message="", **fields):
    return json.dumps({"error": {"message": message, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(301, b"", Kind.REDIRECT, id="moved"),
        pytest.param(307, b"", Kind.REDIRECT, id="moved for now"),
        pytest.param(
            401, said("Incorrect API key provided", code="invalid_api_key"), Kind.AUTH, id="a wrong key"
        ),
        pytest.param(401, b"", Kind.AUTH, id="a 401 without words"),
        pytest.param(402, b"", Kind.QUOTA, id="payment required"),
        pytest.param(
            403, said("You are not allowed", type="permission_error"), Kind.AUTH, id="no permission"
        ),
        pytest.param(
            403,
            said("Country, region, or territory not supported", code="unsupported_country_region_territory"),
            Kind.POLICY,
            id="a region",
        ),
        pytest.param(
            403,
            said("Project `p` does not have access to model `m`", code="model_not_found"),
            Kind.NOT_FOUND,
            id="a model that is closed to us",
        ),
        pytest.param(
            404, said("The model `m` does not exist", code="model_not_found"), Kind.NOT_FOUND, id="no model"
        ),
        pytest.param(404, said("Invalid URL (POST /v1/x)"), Kind.NOT_FOUND, id="no such address"),
        pytest.param(405, b"", Kind.NOT_FOUND, id="no such method"),
        pytest.param(410, b"", Kind.NOT_FOUND, id="a model that is gone"),
        pytest.param(408, b"", Kind.RETRYABLE, id="a request timeout"),
        pytest.param(409, b"", Kind.RETRYABLE, id="a conflict"),
        pytest.param(425, b"", Kind.RETRYABLE, id="too early"),
        pytest.param(413, b"", Kind.INVALID, id="too large"),
        pytest.param(422, said("bad"), Kind.INVALID, id="unprocessable"),
        pytest.param(400, said("bad", type="invalid_request_error"), Kind.INVALID, id="a bad request"),
        pytest.param(400, b"", Kind.INVALID, id="a 400 without words"),
        pytest.param(418, b"", Kind.INVALID, id="a teapot"),
        pytest.param(400, said(code="context_length_exceeded"), Kind.CONTEXT_LENGTH, id="too long, by code"),
        pytest.param(
            400,
            said("This model's maximum context length is 8192 tokens"),
            Kind.CONTEXT_LENGTH,
            id="too long, by words",
        ),
        pytest.param(400, said(code="content_policy_violation"), Kind.POLICY, id="content, by code"),
        pytest.param(400, said("x", code="content_filter"), Kind.POLICY, id="a content filter"),
        pytest.param(400, said("rejected by our safety system"), Kind.POLICY, id="content, by words"),
        pytest.param(400, said(code="billing_hard_limit_reached"), Kind.QUOTA, id="a spent limit as a 400"),
        pytest.param(
            400, said("API key not valid. Please pass a valid key."), Kind.AUTH, id="a wrong key as a 400"
        ),
        pytest.param(
            429, said("Rate limit reached", code="rate_limit_exceeded"), Kind.RATE_LIMITED, id="a rate limit"
        ),
        pytest.param(400, said("The model `m` does not exist"), Kind.NOT_FOUND, id="no model as a 400"),
        pytest.param(429, b"", Kind.RATE_LIMITED, id="a 429 without words"),
        pytest.param(429, said(type="insufficient_quota"), Kind.QUOTA, id="a quota, by type"),
        pytest.param(429, said("You exceeded your current quota"), Kind.QUOTA, id="a quota, by words"),
        pytest.param(451, b"", Kind.POLICY, id="legal reasons"),
        pytest.param(500, said("The server had an error"), Kind.SERVER, id="a server error"),
        pytest.param(502, b"<html>Bad gateway</html>", Kind.SERVER, id="a page"),
        pytest.param(503, b"upstream connect error", Kind.SERVER, id="another machine's words"),
        pytest.param(
            503, said("The engine is currently overloaded"), Kind.OVERLOADED, id="an overload, by words"
        ),
        pytest.param(503, b"Slow Down", Kind.OVERLOADED, id="an overload in plain text"),
        pytest.param(504, b"", Kind.SERVER, id="a gateway timeout"),
        pytest.param(529, b"", Kind.OVERLOADED, id="Anthropic's overload"),
        pytest.param(599, b"", Kind.SERVER, id="a status nobody knows"),
        pytest.param(204, b"", Kind.GARBLED, id="a success that is no answer"),
    ],
)
def test_a_refusal_is_of_its_kind(status, body, kind):
    assert classify(ReplyHead(status), body).kind is kind


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (400, 400),
        (413, 413),
        (422, 422),
        (418, 400),
        (500, 502),
        (502, 502),
        (503, 503),
        (504, 504),
        (401, 502),
    ],
)
def test_the_client_sees_a_status_that_tells_it_most(status, shown):
    assert classify(ReplyHead(status), b"").http_status == shown


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(said("why"), "why", id="an error object"),
        pytest.param(b'{"error": "why"}', "why", id="an error text"),
        pytest.param(b'{"message": "why"}', "why", id="no error around it"),
        pytest.param(b'[{"error": {"message": "why"}}]', "why", id="a list"),
        pytest.param(b"why", "why", id="plain text"),
        pytest.param(b"<p>why</p>", None, id="a page"),
        pytest.param(b'{"error": {"message": 5}}', None, id="a number"),
        pytest.param(b'{"error": null}', None, id="null"),
    ],
)
def test_words_are_found_where_the_client_is_at_fault(body, message):
    detail = classify(ReplyHead(400), body).detail
    assert detail == "the provider does not accept this request" + (f": {message}" if message else "")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503, 529])
def test_a_providers_words_are_kept_back_where_they_are_about_us(status):
    assert "organization" not in classify(ReplyHead(status), said("organization org-123 at fault")).detail


@pytest.mark.parametrize(
    ("param", "subject"),
    [
        pytest.param("response_format.json_schema.name", "response_format.json_schema.name", id="a field"),
        pytest.param("messages[0].content", "messages[0].content", id="a field of an element"),
        pytest.param("a b", None, id="words"),
        pytest.param("x" * 101, None, id="a long text"),
        pytest.param(None, None, id="null"),
        pytest.param(5, None, id="a number"),
    ],
)
def test_the_field_at_fault_is_told(param, subject):
    assert classify(ReplyHead(400), said("x", param=param)).subject == subject


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("plain words", "plain words", id="plain words stay"),
        pytest.param("a\r\nb\x00\x1b[31mc\u202ed", "a b [31mc d", id="one line of printable characters"),
        pytest.param("key sk-abcDEF1234 is wrong", "key *** is wrong", id="a key"),
        pytest.param("key sk-proj-****abcd is wrong", "key *** is wrong", id="a key that is half masked"),
        pytest.param("Bearer abc.def.ghi was sent", "*** was sent", id="a bearer token"),
        pytest.param("AIzaSyA1234567890abcdef", "***", id="a key of Google's"),
        pytest.param(f"id {'0123456789abcdef' * 2}", "id ***", id="hexadecimal"),
        pytest.param("data QUJDREVGR0hJSktMTU5PUA==", "data ***", id="base64"),
        pytest.param(
            "field max_completion_tokens is unknown", "field max_completion_tokens is unknown", id="a field"
        ),
        pytest.param("x " * 400, "x " * 149 + "x…", id="three hundred characters"),
    ],
)
def test_words_are_cleaned(message, expected):
    assert cleaned(message) == expected


@given(st.text())
def test_cleaned_words_are_short_and_printable(message):
    assert len(cleaned(message)) <= 300
    assert cleaned(message).isprintable()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "status", "param"]), inner, max_size=4
        )
    ),
)


@given(st.integers(100, 999), st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_every_refusal_is_of_some_kind(status, body):
    problem = classify(ReplyHead(status), body)
    assert isinstance(problem, Problem)
    assert problem.detail
