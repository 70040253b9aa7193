"""Bodies are read within bounds, by Ollama's rules on its routes and strictly on OpenAI's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects.body import MAX_DEPTH, MAX_PARTS, Rules, read_object, read_request
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem

OLLAMA = Rules("ChatRequest", strict=False)
OPENAI = Rules("", strict=True)

DEEP = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
MANY = b'{"a":[' + b"1," * MAX_PARTS + b"1]}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"model":"m"}', {"model": "m"}, id="an object"),
        pytest.param(
            b' \n{"model":"m"} rubbish', {"model": "m"}, id="bytes after the first value are ignored"
        ),
        pytest.param(b'{"a":1}{"a":2}', {"a": 1}, id="a second value is ignored"),
        pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="the last of equal keys wins"),
        pytest.param(b'{"a":"\xff!"}', {"a": "\ufffd!"}, id="what is no UTF-8 inside a string is replaced"),
        pytest.param(
            b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}, id="a whole surrogate pair is a character"
        ),
        pytest.param(b'{"a":9223372036854775807}', {"a": 2**63 - 1}, id="the widest integer"),
        pytest.param(b'{"a":1e300}', {"a": 1e300}, id="a wide number that is no integer"),
        pytest.param(b"null", {}, id="null is an empty request"),
        pytest.param(b'{"a":' + DEEP + b"}", None, id="as deep as may be"),
    ],
)
def test_ollama_reads(body, expected):
    value = read_object(body, OLLAMA)
    assert not isinstance(value, Problem)
    assert expected is None or value == expected


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(b"", "missing request body", id="no body"),
        pytest.param(b" \n", "missing request body", id="blanks"),
        pytest.param(b'{"model":', "unexpected EOF", id="cut before a value"),
        pytest.param(b'{"model":"m","messages":[', "unexpected EOF", id="cut inside an array"),
        pytest.param(b'{"model":"m', "unexpected EOF", id="cut inside a string"),
        pytest.param(b'{"model":"\\u00', "unexpected EOF", id="cut inside an escape"),
        pytest.param(b'{"stream":tru', "unexpected EOF", id="cut inside a literal"),
        pytest.param(b"hello", "invalid character 'h' looking for beginning of value", id="no JSON"),
        pytest.param(
            b"\xef\xbb\xbf{}", "invalid character '\\ufeff' looking for beginning of value", id="a BOM"
        ),
        pytest.param(
            b"{a:1}", "invalid character 'a' looking for beginning of object key string", id="a bare key"
        ),
        pytest.param(b'{"a" 1}', "invalid character '1' after object key", id="no colon"),
        pytest.param(b'{"a":1 "b":2}', "invalid character '\"' after a value", id="no comma"),
        pytest.param(b'{"a":"\n"}', "invalid character '\\n' in string literal", id="a bare line end"),
        pytest.param(b'{"a":"\\q"}', "invalid character 'q' in string escape code", id="a false escape"),
        pytest.param(
            b"[]", "json: cannot unmarshal array into Go value of type api.ChatRequest", id="no object"
        ),
        pytest.param(b'{"a":NaN}', "a is NaN, which is not JSON; it cannot be sent on", id="NaN"),
        pytest.param(b'{"a":[1,-Infinity]}', "a[1] is -Infinity", id="Infinity"),
        pytest.param(
            b'{"a":{"b":1e999}}', "a.b is a number beyond all bounds", id="a number beyond all bounds"
        ),
        pytest.param(b'{"a":9223372036854775809}', "a is an integer beyond 64 bits", id="beyond 63 bits"),
        pytest.param(b'{"a":1' + b"0" * 25 + b"}", "a is an integer beyond 64 bits", id="beyond 64 bits"),
        pytest.param(b'{"a":1' + b"0" * 5000 + b"}", "a is an integer beyond 64 bits", id="5000 digits"),
        pytest.param(b'{"a":"\\ud800"}', "a holds half of a surrogate pair", id="half a surrogate pair"),
        pytest.param(b'{"\\udc00":1}', "has a key with half of a surrogate pair", id="half a pair in a key"),
        pytest.param(b'{"a":[' + DEEP + b"]}", "the request is too complex", id="too deep"),
        pytest.param(b"[" * 5000, "the request is too complex", id="deeper than any parser goes"),
        pytest.param(MANY, "the request is too complex", id="too many parts"),
        pytest.param(MANY[:-2], "the request is too complex", id="too many parts of broken JSON"),
    ],
)
def test_ollama_refuses(body, text):
    problem = read_object(body, OLLAMA)
    assert isinstance(problem, Problem)
    assert text in problem.detail
    assert problem.http_status == 400


@pytest.mark.parametrize(
    ("body", "text", "subject"),
    [
        pytest.param(b"", "the body is empty", None, id="no body"),
        pytest.param(b'{"a":1} x', "text after the end", None, id="text after the object"),
        pytest.param(b'{"a":"\xff"}', "not UTF-8 at byte 6", None, id="no UTF-8"),
        pytest.param('{"a":1}'.encode("utf-16"), "invalid JSON", None, id="UTF-16"),
        pytest.param(b"[1]", "must be an object, not array", None, id="no object"),
        pytest.param(b"hello", "invalid JSON: invalid character 'h'", None, id="no JSON"),
        pytest.param(b'{"temperature":NaN}', "temperature is NaN", "temperature", id="NaN"),
        pytest.param(
            b'{"seed":1e999}', "seed is a number beyond all bounds", "seed", id="a number beyond bounds"
        ),
        pytest.param(
            b'{"n":[{"x":18446744073709551616}]}', "n[0].x is an integer", "n[0].x", id="a wide integer"
        ),
        pytest.param(b'{"a":["\\udfff"]}', "a[0] holds half", "a[0]", id="half a surrogate pair"),
        pytest.param(b'{"model":"a","model":"b"}', "model stands twice", "model", id="two models"),
        pytest.param(
            b'{"stream":true,"str\\u0065am":false}', "stream stands twice", "stream", id="hidden twice"
        ),
        pytest.param(
            b'{"messages":[],"a":{},"messages":[]}', "messages stands twice", "messages", id="two histories"
        ),
        pytest.param(b'{"a":[' + DEEP + b"]}", "too complex", None, id="too deep"),
    ],
)
def test_openai_refuses(body, text, subject):
    problem = read_object(body, OPENAI)
    assert isinstance(problem, Problem)
    assert text in problem.detail
    assert problem.subject == subject
    assert problem.http_status == 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'{"model":"m","tools":[{"model":1,"stream":2}]}', id="a name that stands again deeper down"
        ),
        pytest.param(b'{"model":"\\u0061"}', id="an escaped letter"),
        pytest.param(b'{"a":1,"a":2}', id="other keys may stand twice"),
    ],
)
def test_openai_reads(body):
    assert isinstance(read_object(body, OPENAI), dict)


@pytest.mark.parametrize(
    ("rules", "headers", "expected"),
    [
        pytest.param(OLLAMA, {}, None, id="Ollama needs no content type"),
        pytest.param(OLLAMA, {"content-type": "text/plain"}, None, id="Ollama takes any content type"),
        pytest.param(
            OLLAMA, {"content-encoding": "gzip"}, (Kind.BAD_REQUEST, 400), id="Ollama undoes no gzip"
        ),
        pytest.param(
            OPENAI, {"content-type": "application/json; charset=utf-8"}, None, id="JSON with a charset"
        ),
        pytest.param(
            OPENAI,
            {"content-type": "text/plain"},
            (Kind.UNSUPPORTED_MEDIA, 415),
            id="OpenAI takes JSON alone",
        ),
        pytest.param(OPENAI, {}, (Kind.UNSUPPORTED_MEDIA, 415), id="OpenAI wants to be told so"),
        pytest.param(
            OPENAI,
            {"content-type": "application/json", "content-encoding": "gzip"},
            (Kind.UNSUPPORTED_MEDIA, 415),
            id="OpenAI takes no encoding",
        ),
        pytest.param(
            OPENAI,
            {"content-type": "application/json", "content-encoding": "identity"},
            None,
            id="identity is no encoding",
        ),
    ],
)
def test_headers(rules, headers, expected):
    value = read_request(HttpRequest("POST", "/", headers, b"{}"), rules)
    if expected is None:
        assert value == {}
    else:
        assert isinstance(value, Problem)
        assert (value.kind, value.http_status) == expected


@given(st.binary(max_size=60) | st.text('[]{}",:\\u1eE+-.NaInfty', max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    for rules in (OLLAMA, OPENAI):
        value = read_object(body, rules)
        assert isinstance(value, dict) or (value.http_status == 400 and value.detail)
