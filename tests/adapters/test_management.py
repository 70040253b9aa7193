import pytest

from adapters import management
from adapters.management import Refusal, body_object

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
