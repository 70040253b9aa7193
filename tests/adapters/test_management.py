import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import management
from adapters.management import Directed, Pulled, Refusal, body_object, directed, place_asked, qualified

DIGEST = "sha256:" + "0" * 64


def serves(name):
    return name == "here"


@pytest.mark.parametrize(
    ("answer", "body", "status", "text"),
    [
        pytest.param(management.pull, b"", 400, "missing request body", id="pull: nothing sent"),
        pytest.param(
            management.pull, b'{"model":"!!bad"}', 400, "invalid model name", id="pull: no name at all"
        ),
        pytest.param(management.pull, b"{}", 400, "invalid model name", id="pull: no name"),
        pytest.param(management.pull, b'{"name":"x"}', 501, "pulling", id="pull, in the old spelling"),
        pytest.param(
            management.pull,
            b'{"MODEL":"x"} rest',
            501,
            "pulling",
            id="pull: keys in any case, the rest ignored",
        ),
        pytest.param(
            management.pull, b'{"model":5}', 400, "number into Go struct field .model", id="pull: a number"
        ),
        pytest.param(management.pull, b"[1]", 400, "cannot unmarshal array", id="pull: a list"),
        pytest.param(management.pull, b'{"model":', 400, "unexpected EOF", id="pull: cut off"),
        pytest.param(management.push, b"{}", 400, "model is required", id="push: no name"),
        pytest.param(management.push, b'{"model":"x"}', 501, "pushing", id="push"),
        pytest.param(
            management.create,
            b'{"model":"!!","from":"x"}',
            400,
            "invalid model name",
            id="create: a bad name",
        ),
        pytest.param(management.create, b'{"model":"x","from":"y"}', 501, "creating", id="create"),
        pytest.param(
            management.delete, b'{"model":"gone"}', 404, "model 'gone' not found", id="delete: unknown"
        ),
        pytest.param(management.delete, b"{}", 400, "model is required", id="delete: no name"),
        pytest.param(management.delete, b'{"model":"here"}', 501, "deleting", id="delete"),
        pytest.param(
            management.copy,
            b'{"source":"gone","destination":"x"}',
            404,
            'model "gone" not found',
            id="copy: unknown",
        ),
        pytest.param(
            management.copy,
            b'{"source":"!","destination":"x"}',
            400,
            'source "!" is invalid',
            id="copy: source",
        ),
        pytest.param(
            management.copy, b'{"source":"here"}', 400, 'destination "" is invalid', id="copy: destination"
        ),
        pytest.param(management.copy, b'{"source":"here","destination":"x"}', 501, "copying", id="copy"),
        pytest.param(management.copy, b"", 400, "missing request body", id="copy: nothing sent"),
    ],
)
def test_what_is_said_in_place_of_management(answer, body, status, text):
    refusal = answer(body_object(body, "PullRequest"), serves)
    assert refusal.status == status
    assert text in refusal.text


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        pytest.param(
            b'{"model":"here"}', [{"status": "pulling manifest"}, {"status": "success"}], id="lines"
        ),
        pytest.param(
            b'{"name":"here","stream":true}',
            [{"status": "pulling manifest"}, {"status": "success"}],
            id="asked for",
        ),
        pytest.param(b'{"model":"here","stream":false}', [{"status": "success"}], id="whole"),
    ],
)
def test_what_is_here_is_pulled_already(body, answer):
    pulled = management.pull(body_object(body, "PullRequest"), serves)
    assert isinstance(pulled, Pulled)
    assert [json.loads(line) for line in pulled.body.splitlines()] == answer
    assert pulled.content_type.startswith("application/x-ndjson" if len(answer) > 1 else "application/json")


def test_a_refusal_says_what_to_do():
    text = management.pull({"model": "x"}, serves).text
    assert "Ollama server" in text
    assert "/api/tags" in text


@pytest.mark.parametrize(
    ("digest", "upload", "status"),
    [
        pytest.param(DIGEST, False, 404, id="there is none"),
        pytest.param(DIGEST.replace(":", "-"), False, 404, id="in the other spelling"),
        pytest.param(DIGEST, True, 501, id="and none can be stored"),
        pytest.param("sha256:0", False, 400, id="no digest"),
        pytest.param("sha256:0", True, 400, id="no digest to store under"),
    ],
)
def test_blobs(digest, upload, status):
    assert management.blob(digest, upload).status == status


def test_accounts_are_elsewhere():
    assert management.account() == Refusal(501, management.account().text)


PLACES = {"near": 1, "far": 2}
MODEL = ("model", "name", "from")


@pytest.mark.parametrize(
    ("sent", "body", "place", "streams"),
    [
        pytest.param({"model": "x"}, {"model": "x"}, None, True, id="its own name"),
        pytest.param({"model": "near/x"}, {"model": "x"}, "near", True, id="named by its server"),
        pytest.param({"model": " Near/X:8b "}, {"model": "X:8b"}, "near", True, id="in any case"),
        pytest.param({"name": "far/u/x"}, {"name": "u/x"}, "far", True, id="the old field, with a namespace"),
        pytest.param({"Model": "far/x", "A": 1}, {"model": "x", "a": 1}, "far", True, id="keys in any case"),
        pytest.param(
            {"model": "other/x"}, {"model": "other/x"}, None, True, id="a namespace of the registry"
        ),
        pytest.param({"model": "near/"}, {"model": "near/"}, None, True, id="nothing behind the slash"),
        pytest.param(
            {"model": "a", "from": "far/b"},
            {"model": "a", "from": "b"},
            "far",
            True,
            id="what it is made from",
        ),
        pytest.param(
            {"model": "x", "stream": False}, {"model": "x", "stream": False}, None, False, id="whole"
        ),
        pytest.param({"model": 5}, {"model": 5}, None, True, id="a fault is the server's to name"),
        pytest.param(
            {"model": "near/x", "files": {"near/A.gguf": "sha256:0"}, "parameters": {"Top": 2**60}},
            {"model": "x", "files": {"near/A.gguf": "sha256:0"}, "parameters": {"Top": 2**60}},
            "near",
            True,
            id="the rest stays as it is",
        ),
    ],
)
def test_whom_a_request_is_for_and_by_what_name(sent, body, place, streams):
    found = directed(json.dumps(sent).encode(), "PullRequest", MODEL, PLACES)
    assert isinstance(found, Directed)
    assert json.loads(found.body) == body
    assert (found.place, found.streams) == (place, streams)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()))
def test_what_names_no_server_goes_out_as_it_came(body):
    data = json.dumps(body).encode()
    found = directed(data, "PullRequest", MODEL, ())
    assert isinstance(found, Refusal) or found.body == data


@given(st.sampled_from(["near", "FAR", "Far"]), st.text(min_size=1).filter(lambda name: name == name.strip()))
def test_a_qualified_name_is_the_server_and_the_name(place, name):
    assert qualified(f"{place}/{name}", PLACES) == (place.lower(), name)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        pytest.param(b"", Refusal(400, "missing request body"), id="nothing"),
        pytest.param(b'{"model":', Refusal(400, "unexpected EOF"), id="cut off"),
        pytest.param(
            b'{"model":"near/x","from":"far/y"}',
            Refusal(400, "the models are at different servers: far, near"),
            id="two servers",
        ),
    ],
)
def test_what_is_not_sent_on(data, refusal):
    assert directed(data, "CreateRequest", MODEL, PLACES) == refusal


@pytest.mark.parametrize(
    ("header", "place"),
    [
        pytest.param("far", "far", id="one"),
        pytest.param("openai, FAR, near", "far", id="the first that is an Ollama"),
        pytest.param("near; only", "near", id="and no other"),
        pytest.param("openai", None, id="none"),
        pytest.param("", None, id="empty"),
    ],
)
def test_the_ollama_that_is_asked_for(header, place):
    found = place_asked(header, PLACES)
    if place:
        assert found == place
    else:
        assert found == Refusal(400, "X-Provider names no Ollama of this proxy; it has: near, far")
