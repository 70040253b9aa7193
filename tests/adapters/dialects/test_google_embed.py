"""`:embedContent` and `:batchEmbedContents`."""

import json

import pytest

from adapters.dialects import dialect_at
from adapters.dialects.google_embed import DIALECT
from adapters.providers import CODECS
from pipeline.values.events import Batch, Embedded, Finished, Started, Usage, UsageSeen, Verbatim
from pipeline.values.problems import Problem
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.dialects.calls import BEGAN, ID, post

ONE, SEVERAL = "/v1beta/models/m:embedContent", "/v1beta/models/m:batchEmbedContents"
HI = {"parts": [{"text": "hi"}]}
ASKED = {"model": "models/m", "content": HI}
TARGET = Target(Provider("p", "google", "https://g/v1beta"), ModelFacts("gemini-embedding-001"))


def read(path, body):
    return DIALECT.read(post(path, body))


@pytest.mark.parametrize(
    ("path", "body", "texts", "dimensions", "extra"),
    [
        pytest.param(ONE, {"content": HI}, ("hi",), None, {}, id="one"),
        pytest.param(ONE, {"content": {"parts": [{"text": "a"}, {"text": "b"}]}}, ("ab",), None, {}, id="in parts"),
        pytest.param(ONE, {"content": HI, "output_dimensionality": 3}, ("hi",), 3, {}, id="a length"),
        pytest.param(
            ONE, {"content": HI, "embedContentConfig": {"outputDimensionality": 3}}, ("hi",), 3, {}, id="elsewhere"
        ),
        pytest.param(
            ONE, {"content": HI, "taskType": "X"}, ("hi",), None, {"google.embed": {"taskType": "X"}}, id="a purpose"
        ),
        pytest.param(
            ONE,
            {"content": {"parts": [{"text": "a"}, {"inlineData": {}}]}},
            ("a",), None, {"google.beside": {"content.parts": True}}, id="a picture, which only Google embeds",
        ),
        pytest.param(SEVERAL, {"requests": [ASKED, ASKED]}, ("hi", "hi"), None, {}, id="several"),
        pytest.param(SEVERAL, {"requests": [ASKED]}, ("hi",), None, {}, id="a batch of one"),
    ],
)  # fmt: skip
def test_reading(path, body, texts, dimensions, extra):
    assert dialect_at(path) is DIALECT
    request = read(path, body)
    assert (request.model, request.input, request.dimensions) == ("m", texts, dimensions)
    assert request.extra == extra


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        pytest.param(ONE, {}, "content", id="nothing"),
        pytest.param(ONE, {"content": {"parts": []}}, "content.parts", id="no parts"),
        pytest.param(SEVERAL, {}, "requests", id="no requests"),
        pytest.param(ONE, {"content": HI, "requests": []}, "requests", id="requests of the other method"),
        pytest.param(SEVERAL, {"requests": [{}]}, "requests[0].content", id="one of nothing"),
        pytest.param(
            ONE, {"content": HI, "outputDimensionality": 0}, "outputDimensionality", id="a length of 0"
        ),
        pytest.param(
            SEVERAL,
            {"requests": [{**ASKED, "outputDimensionality": 2}, {**ASKED, "outputDimensionality": 3}]},
            "requests[1].outputDimensionality",
            id="two lengths",
        ),
    ],
)
def test_faults(path, body, field):
    problem = read(path, body)
    assert isinstance(problem, Problem)
    assert problem.subject == field


@pytest.mark.parametrize(
    ("path", "body", "url", "sent"),
    [
        pytest.param(
            ONE, {"content": HI, "taskType": "X"}, ":embedContent", {"content": HI, "taskType": "X"}, id="one"
        ),
        pytest.param(
            SEVERAL,
            {"requests": [ASKED]},
            ":batchEmbedContents",
            {"requests": [{"model": "models/gemini-embedding-001", "content": HI}]},
            id="a batch of one stays a batch, and names the model that is asked",
        ),
    ],
)
def test_before_google_it_goes_out_as_it_came(path, body, url, sent):
    encoded = CODECS["google"].encode(read(path, body), TARGET)
    assert encoded.http.url.endswith(f"/models/gemini-embedding-001{url}")
    assert json.loads(encoded.http.body) == sent
    assert encoded.losses == ()


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        pytest.param(ONE, {"content": HI}, {"embedding": {"values": [0.6, 0.8]}}, id="one"),
        pytest.param(
            SEVERAL, {"requests": [ASKED]}, {"embeddings": [{"values": [0.6, 0.8]}]}, id="a batch of one"
        ),
    ],
)
@pytest.mark.parametrize(
    "verbatim", [None, b'{"embedding":{"values":[0.6,0.8]}}', b'{"embeddings":[{"values":[0.6,0.8]}]}']
)
def test_answers_have_the_form_of_the_method(path, body, told, verbatim):
    batch = Batch(
        (Started("m"), Embedded(([0.6, 0.8],)), UsageSeen(Usage(4)), Finished("stop")),
        Verbatim("google.embed", verbatim) if verbatim else None,
    )
    answer = DIALECT.collect(DIALECT.fresh(read(path, body), ID, BEGAN), (batch,), 1.0)
    found = json.loads(answer.body)
    usage = found.pop("usageMetadata", None)
    assert found == told
    assert (usage is None) == (answer.body == verbatim)
