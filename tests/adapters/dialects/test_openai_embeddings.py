"""/v1/embeddings: requests as values, vectors as OpenAI gives them."""

import base64
import struct

import pytest

from pipeline.values.events import Embedded, Finished, Started, Usage, UsageSeen
from pipeline.values.messages import EmbedRequest, Source
from pipeline.values.problems import Problem
from tests.adapters.dialects.calls import collected, read, verbatim

PATH = "/v1/embeddings"
FORMAT = "openai.embeddings"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"input": "a"}, {"input": ("a",)}, id="a text"),
        pytest.param({"input": ""}, {"input": ("",)}, id="an empty text"),
        pytest.param({"input": ["a", "b"]}, {"input": ("a", "b")}, id="texts"),
        pytest.param({"input": [1, 2]}, {"input": ((1, 2),)}, id="tokens"),
        pytest.param({"input": [[1, 2], [3]]}, {"input": ((1, 2), (3,))}, id="lists of tokens"),
        pytest.param(
            {"input": "a", "dimensions": 2, "user": "u", "encoding_format": "BASE64"},
            {"dimensions": 2, "user": "u", "extra": {}},
            id="the other fields",
        ),
        pytest.param(
            {"input": "a", "input_type": "query"}, {"extra": {FORMAT: {"input_type": "query"}}}, id="the rest"
        ),
    ],
)
def test_requests(fields, expected):
    body = {"model": "e", **fields}
    request = read(PATH, body)
    assert isinstance(request, EmbedRequest), request
    assert request.source == Source(FORMAT, body)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("body", "param", "text"),
    [
        ({"model": "e"}, None, "invalid input"),
        ({"model": "e", "input": []}, None, "invalid input"),
        ({"model": "e", "input": 5}, "input", "invalid input type"),
        ({"model": "e", "input": ["a", 1]}, "input", "invalid input type"),
        ({"model": "e", "input": [[1], []]}, "input", "invalid input type"),
        ({"model": "e", "input": [-1]}, "input", "invalid input type"),
        ({"input": "a"}, "model", "model is required"),
        ({"model": "e", "input": "a", "dimensions": 0}, "dimensions", "dimensions must be at least 1"),
        (
            {"model": "e", "input": "a", "encoding_format": "hex"},
            "encoding_format",
            "encoding_format must be",
        ),
        ({"model": "e", "input": "a", "timeout": 1}, "timeout", "timeout is not accepted from clients"),
    ],
)
def test_refusals(body, param, text):
    problem = read(PATH, body)
    assert isinstance(problem, Problem)
    assert (problem.http_status, problem.subject) == (400, param)
    assert problem.detail.startswith(text)


UNIT, LONG = [0.6, 0.8], [3.0, 4.0]


def reply(*vectors):
    return Started("emb"), Embedded(vectors), UsageSeen(Usage(2)), Finished("stop")


@pytest.mark.parametrize(
    ("vector", "expected"),
    [
        pytest.param(UNIT, UNIT, id="as the provider sent it"),
        pytest.param([0.6, 0.8005], [0.6, 0.8005], id="as sent, though rounded"),
        pytest.param(LONG, UNIT, id="brought to length 1"),
        pytest.param([0.0, 0.0], [0.0, 0.0], id="nothing has no length"),
    ],
)
def test_vectors(vector, expected):
    status, value = collected(PATH, {"model": "e", "input": "a"}, reply(vector, vector))
    assert status == 200
    assert value == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": pytest.approx(expected)},
            {"object": "embedding", "index": 1, "embedding": pytest.approx(expected)},
        ],
        "model": "emb",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }


def test_packed_vectors():
    body = {"model": "e", "input": "a", "encoding_format": "base64"}
    data = collected(PATH, body, reply([0.6, 0.8]))[1]["data"][0]["embedding"]
    assert struct.unpack("<2f", base64.b64decode(data)) == pytest.approx((0.6, 0.8))


@pytest.mark.parametrize(("vector", "passes"), [(UNIT, True), (LONG, False)])
def test_bytes_of_the_upstream_stand_if_the_vectors_need_no_scaling(vector, passes):
    _, value = collected(PATH, {"model": "e", "input": "a"}, verbatim(FORMAT, b'{"new":1}', *reply(vector)))
    assert ("new" in value) is passes
