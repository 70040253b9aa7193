"""Azure's addresses: the deployment in the path is the model, and the languages are OpenAI's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects import DIALECTS, dialect_at
from pipeline.values.events import Batch, Finished, Started, TextDelta
from pipeline.values.messages import ChatRequest, EmbedRequest, LoadRequest
from pipeline.values.problems import Problem
from tests.adapters.dialects.calls import BEGAN, ID, post

AT = "/openai/deployments/{}{}"
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
BODIES = {
    "/chat/completions": CHAT,
    "/completions": {"prompt": "hi"},
    "/embeddings": {"input": "hi"},
}


def asked(path, body, query="?api-version=2024-10-21"):
    """The dialect at `path`, and what it reads."""
    dialect = dialect_at(path)
    assert dialect is not None, path
    return dialect, dialect.read(post(path + query, body))


@pytest.mark.parametrize("operation", BODIES)
@pytest.mark.parametrize(
    "deployment",
    [
        pytest.param("gpt-4o", id="plain"),
        pytest.param("claude.4_5-x", id="with other marks"),
        pytest.param("openai/gpt-4o", id="of a provider, with a slash"),
        pytest.param("mine@host.openai.azure.com", id="at a host"),
        pytest.param("completions", id="called like an operation"),
    ],
)
@pytest.mark.parametrize("query", ["", "?api-version=2024-10-21", "?api-version=x&a=/chat/completions"])
def test_the_deployment_is_the_model(operation, deployment, query):
    path = AT.format(deployment, operation)
    for body in (BODIES[operation], {**BODIES[operation], "model": "other"}):
        dialect, request = asked(path, body, query)
        assert isinstance(request, ChatRequest | EmbedRequest), request
        assert (request.model, request.source.body["model"]) == (deployment, deployment)
        v1 = DIALECTS[f"/v1{operation}"]
        assert dialect.name == v1.name
        assert request == v1.read(post(f"/v1{operation}", {**body, "model": deployment}))


def test_the_answer_and_errors_are_openais():
    dialect, request = asked(AT.format("d", "/chat/completions"), CHAT)
    events = (Started("d"), TextDelta("x"), Finished("stop"))
    answer = dialect.collect(dialect.fresh(request, ID, BEGAN), (Batch(events),), 1.0)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "x"
    _, problem = asked(AT.format("d", "/chat/completions"), {"messages": []})
    assert json.loads(dialect.refuse(problem, None, ID).body)["error"]["type"] == "invalid_request_error"


def test_a_deployment_without_a_prompt_is_loaded():
    _, request = asked(AT.format("d", "/completions"), {"stream": True})
    assert request == LoadRequest("d", stream=True)


@pytest.mark.parametrize(
    "path",
    [
        "/openai/deployments//chat/completions",
        "/openai/deployments/d",
        "/openai/deployments/d/responses",
        "/openai/deployments/d/chat/completions/x",
        "/openai/chat/completions",
        "/openai/models",
    ],
)
def test_nothing_is_called_elsewhere(path):
    assert dialect_at(path) is None


@pytest.mark.parametrize(
    ("path", "like"),
    [
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/completions", "/v1/completions"),
        ("/openai/v1/embeddings", "/v1/embeddings"),
        ("/openai/v1/responses", "/v1/responses"),
        ("/openai/responses", "/v1/responses"),
    ],
)
def test_newer_addresses_are_openais_own(path, like):
    assert dialect_at(path) is DIALECTS[like]


@given(name=st.from_regex(r"[a-z.:?#&=%][a-z./:?#&=%]{0,11}", fullmatch=True))
def test_a_name_is_read_whole_or_refused(name):
    """Whatever stands in the path, a question mark included: no other model is ever called in its place."""
    _, request = asked(AT.format(name, "/embeddings"), {"input": "x"})
    assert isinstance(request, Problem) or request.model == name
