"""/api/embed and /api/embeddings: requests as values, vectors as Ollama gives them."""

import json

import pytest

from adapters.dialects import DIALECTS
from pipeline.values.events import Embedded, Finished, Started, Usage, UsageSeen
from pipeline.values.messages import EmbedRequest, LoadRequest, Source
from pipeline.values.problems import Problem
from tests.adapters.dialects.calls import ID, collected, read, verbatim

NEW, OLD = "/api/embed", "/api/embeddings"


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        pytest.param(NEW, {"input": "a b"}, {"input": ("a b",)}, id="a text"),
        pytest.param(NEW, {"input": ["a", "b"]}, {"input": ("a", "b")}, id="texts"),
        pytest.param(NEW, {"input": [""]}, {"input": ("",)}, id="an empty text among texts"),
        pytest.param(NEW, {"input": "a", "dimensions": 2}, {"dimensions": 2}, id="dimensions"),
        pytest.param(NEW, {"input": "a", "dimensions": 0}, {"dimensions": None}, id="no dimensions"),
        pytest.param(
            NEW,
            {
                "input": "a",
                "truncate": False,
                "options": {"temperature": 1, "num_ctx": 5},
                "keep_alive": "1m",
            },
            {"extra": {"ollama": {"truncate": False, "options": {"num_ctx": 5}, "keep_alive": "1m"}}},
            id="what concerns the engine travels along",
        ),
        pytest.param(OLD, {"prompt": "a"}, {"input": ("a",)}, id="the older route"),
    ],
)
def test_requests(path, fields, expected):
    body = {"model": "e", **fields}
    request = read(path, body)
    assert isinstance(request, EmbedRequest), request
    assert request.source == Source(DIALECTS[path].name, body)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("path", "fields", "answer"),
    [
        pytest.param(NEW, {}, {"model": "e", "embeddings": []}, id="no input"),
        pytest.param(NEW, {"input": None}, {"model": "e", "embeddings": []}, id="null"),
        pytest.param(NEW, {"input": ""}, {"model": "e", "embeddings": []}, id="an empty text"),
        pytest.param(NEW, {"input": []}, {"model": "e", "embeddings": []}, id="no texts"),
        pytest.param(OLD, {}, {"embedding": []}, id="no prompt"),
        pytest.param(
            OLD, {"prompt": "", "input": "a"}, {"embedding": []}, id="input is no field of the older route"
        ),
    ],
)
def test_without_a_text_the_model_is_loaded(path, fields, answer):
    body = {"model": "e", **fields}
    assert read(path, body) == LoadRequest("e")
    assert collected(path, body, (Started("e"), Finished("load"))) == (200, answer)


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        (NEW, {"input": ["a", 5]}, 400, "invalid input type"),
        (NEW, {"input": [["a"]]}, 400, "invalid input type"),
        (NEW, {"input": True}, 400, "invalid input type"),
        (NEW, {"input": {}}, 400, "invalid input type"),
        (NEW, {"input": "a"}, 404, "model '' not found"),
        (OLD, {"prompt": "a"}, 400, "model is required"),
        (OLD, {"model": "e", "prompt": ["a"]}, 400, "EmbeddingRequest.prompt of type string"),
        (NEW, {"model": "e", "input": "a", "options": {"num_ctx": "x"}}, 500, 'option "num_ctx"'),
    ],
)
def test_refusals(path, body, status, text):
    problem = read(path, body)
    assert isinstance(problem, Problem)
    answer = DIALECTS[path].refuse(problem, None, ID)
    assert (answer.head.status, text in json.loads(answer.body)["error"]) == (status, True)


VECTOR = [3.0, 4.0, 12.0, 0.0]
REPLY = (Started("x"), Embedded((VECTOR, VECTOR)), UsageSeen(Usage(3)), Finished("stop"))


@pytest.mark.parametrize(
    ("dimensions", "expected"),
    [
        pytest.param(None, [3 / 13, 4 / 13, 12 / 13, 0], id="scaled to length 1"),
        pytest.param(2, [0.6, 0.8], id="cut, then scaled"),
        pytest.param(4, [3 / 13, 4 / 13, 12 / 13, 0], id="its own size cuts nothing"),
        pytest.param(9, [3 / 13, 4 / 13, 12 / 13, 0], id="more than there is cuts nothing"),
    ],
)
def test_vectors(dimensions, expected):
    status, value = collected(NEW, {"model": "e", "input": ["a", "b c"], "dimensions": dimensions}, REPLY)
    assert status == 200
    assert [pytest.approx(vector) for vector in value["embeddings"]] == [expected, expected]
    rest = {name: value[name] for name in value if name != "embeddings"}
    assert rest == {
        "model": "e",
        "total_duration": 2_000_000_000,
        "load_duration": 1,
        "prompt_eval_count": 3,
    }


def test_an_engine_tells_how_long_it_loaded():
    def loaded(ns):
        reply = (*REPLY[:-1], Finished("stop", extra={"ollama": {"load_duration": ns}}))
        return collected(NEW, {"model": "e", "input": "a"}, reply)[1]["load_duration"]

    assert (loaded(7), loaded(0)) == (7, 1)


def test_the_older_route_gives_the_vector_as_it_came():
    assert collected(OLD, {"model": "e", "prompt": "a"}, REPLY) == (200, {"embedding": VECTOR})


@pytest.mark.parametrize(("model", "passes"), [("e", True), ("other", False)])
def test_bytes_of_the_upstream_stand_where_they_carry_the_clients_name(model, passes):
    batch = verbatim("ollama.embed", b'{"new":1}', Started(model), *REPLY[1:])
    _, value = collected(NEW, {"model": "e", "input": "a"}, batch)
    assert ("new" in value) is passes
