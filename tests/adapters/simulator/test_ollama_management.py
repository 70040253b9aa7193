"""The fake Ollama's management of its models: what it answers, refuses, and is like afterwards."""

import hashlib
import json

import pytest

from adapters.simulator.core import after, answer
from pipeline.values.http import HttpRequest
from tests.adapters.simulator.kit import STANDARD, document, get, lines

DATA = b"a file"
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
OTHER = "sha256:" + "0" * 64


def sent(path, body=None, method="POST"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpRequest(method, f"http://sim/ollama/api/{path}", {}, data)


def ask(path, body=None, scenario=STANDARD, method="POST"):
    return answer(sent(path, body, method), scenario)


def done(path, body=None, scenario=STANDARD, method="POST"):
    """The scenario afterwards."""
    request = sent(path, body, method)
    return after(request, answer(request, scenario), scenario)


def has(scenario):
    return {entry["name"] for entry in document(get("/ollama/api/tags", scenario))["models"]}


def statuses(played):
    return [line.get("status", line.get("error")) for line in lines(played)]


def test_a_pull_tells_its_progress():
    told = lines(ask("pull", {"model": "new"}))
    assert told[0]["status"] == "pulling manifest"
    layers = [line for line in told if "digest" in line]
    assert all(line["status"] == f"pulling {line['digest'][7:19]}" for line in layers)
    assert "completed" not in layers[0], "what is zero is left out"
    assert layers[-1]["completed"] == layers[-1]["total"]
    assert [line["status"] for line in told][-3:] == [
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        pytest.param(
            "pull",
            {"model": "no-such"},
            ["pulling manifest", "pull model manifest: file does not exist"],
            id="pull",
        ),
        pytest.param(
            "push",
            {"model": "nobody"},
            ["retrieving manifest", "couldn't retrieve manifest", "file does not exist"],
            id="push",
        ),
        pytest.param(
            "create",
            {"model": "a", "files": {"f": OTHER}},
            [f'blob "{OTHER}" not found'],
            id="create of a file not sent",
        ),
        pytest.param(
            "create",
            {"model": "a", "from": "no-such"},
            ["pull model manifest: file does not exist"],
            id="create of a model that is nowhere",
        ),
    ],
)
def test_what_fails_late_is_an_error_line_or_a_500(path, body, told):
    streamed = ask(path, body)
    assert (streamed.head.status, statuses(streamed)) == (200, told)
    assert set(lines(streamed)[-1]) == {"error"}
    whole = ask(path, {**body, "stream": False})
    assert (whole.head.status, document(whole)) == (500, {"error": told[-1]})
    assert done(path, body) is STANDARD


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "error"),
    [
        pytest.param("pull", "POST", b"", 400, "missing request body", id="pull nothing"),
        pytest.param("pull", "POST", {}, 400, "invalid model name", id="pull no name"),
        pytest.param("pull", "POST", {"model": "a b"}, 400, "invalid model name", id="pull: malformed"),
        pytest.param(
            "pull",
            "POST",
            {"model": "a", "insecure": "yes"},
            400,
            "json: cannot unmarshal string into Go struct field PullRequest.insecure of type bool",
            id="pull: wrong type",
        ),
        pytest.param("push", "POST", {}, 400, "model is required", id="push no name"),
        pytest.param("create", "POST", {}, 400, "invalid model name", id="create no name"),
        pytest.param(
            "create",
            "POST",
            {"model": "a"},
            400,
            "neither 'from' or 'files' was specified",
            id="create of nothing",
        ),
        pytest.param(
            "create",
            "POST",
            {"model": "a", "modelfile": "FROM chat"},
            400,
            "neither 'from' or 'files' was specified",
            id="create by the old field",
        ),
        pytest.param(
            "create",
            "POST",
            {"model": "a", "files": {"f": ""}},
            400,
            "invalid digest format",
            id="an empty digest",
        ),
        pytest.param(
            "create",
            "POST",
            {"model": "a", "files": {"../f": OTHER}},
            400,
            "path must be relative",
            id="a path out",
        ),
        pytest.param(
            "create",
            "POST",
            {"model": "a", "from": "chat", "template": "{{ .Prompt"},
            400,
            "template error: template: :1: unclosed action",
            id="a bad template",
        ),
        pytest.param(
            "copy",
            "POST",
            {"source": "x", "destination": "y"},
            404,
            'model "x" not found',
            id="copy of nothing",
        ),
        pytest.param(
            "copy", "POST", {"source": "!", "destination": "y"}, 400, 'source "!" is invalid', id="source"
        ),
        pytest.param("copy", "POST", {"source": "chat"}, 400, 'destination "" is invalid', id="destination"),
        pytest.param("delete", "DELETE", {"model": "x"}, 404, "model 'x' not found", id="delete of nothing"),
        pytest.param("delete", "DELETE", {"model": "!"}, 400, 'name "!" is invalid', id="delete: malformed"),
        pytest.param("delete", "DELETE", {}, 400, "model is required", id="delete no name"),
        pytest.param("blobs/sha256:0", "POST", DATA, 400, "invalid digest format", id="no digest"),
        pytest.param(
            f"blobs/{OTHER}",
            "POST",
            DATA,
            400,
            f'digest mismatch, expected "{OTHER}", got "{DIGEST}"',
            id="another file's digest",
        ),
    ],
)
def test_what_is_refused(path, method, body, status, error):
    played = ask(path, body, method=method)
    assert (played.head.status, document(played)) == (status, {"error": error})
    assert done(path, body, method=method) is STANDARD


def test_methods():
    assert ask("delete", {"model": "chat"}).head.status == 405
    assert ask("pull", {"model": "x"}, method="GET").head.status == 405


def test_in_one_piece_only_the_last_line_comes_after_the_time_of_all():
    played = ask("pull", {"model": "new", "stream": False})
    assert document(played) == {"status": "success"}
    assert played.head.headers["content-type"] == "application/json"


def test_what_was_pulled_made_or_copied_is_there_and_what_was_deleted_is_not():
    scenario = done("pull", {"name": "New:1b"})
    assert "new:1b" in has(scenario)
    scenario = done("copy", {"source": "new:1B", "destination": "twin"}, scenario)
    scenario = done("create", {"model": "made", "from": "twin"}, scenario)
    scenario = done("delete", {"model": "NEW:1b"}, scenario, method="DELETE")
    assert has(scenario) - has(STANDARD) == {"twin:latest", "made:latest"}
    assert ask("chat", {"model": "made", "messages": []}, scenario).head.status == 200
    again = done("pull", {"model": "made"}, scenario)
    assert len(document(get("/ollama/api/tags", again))["models"]) == len(has(again))


def test_files_are_kept_under_their_digests():
    path = f"blobs/{DIGEST}"
    assert ask(path, method="HEAD").head.status == 404
    assert ask(path, DATA).head.status == 201
    scenario = done(path.replace(":", "-"), DATA)
    for spelling in (path, path.replace(":", "-")):
        assert ask(spelling, scenario=scenario, method="HEAD").head.status == 200
        assert ask(spelling, DATA, scenario).head.status == 200
    assert statuses(ask("create", {"model": "a", "files": {"f": DIGEST}}, scenario))[-1] == "success"
    assert "a:latest" in has(done("create", {"model": "a", "files": {"f": DIGEST}}, scenario))


def test_other_providers_do_not_change():
    request = HttpRequest("POST", "http://sim/openai/v1/api/pull", {}, b'{"model":"x"}')
    assert after(request, answer(request, STANDARD), STANDARD) is STANDARD
