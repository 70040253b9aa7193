"""Azure's wire format: OpenAI's answers at the addresses of deployments, with verdicts of its filter."""

import pytest
from attrs import evolve

from tests.adapters.simulator.kit import NOARGS, STANDARD, WEATHER, document, events, get, post, user

DATED = "api-version=2024-10-21"
NEWER = "api-version=2025-01-01-preview"
KEYED = evolve(STANDARD, key="secret")


def chat(deployment="chat", query=DATED, scenario=STANDARD, headers=None, **fields):
    path = f"/azure/openai/deployments/{deployment}/chat/completions?{query}"
    return post(path, {"messages": user("hi"), **fields}, scenario, **(headers or {}))


def test_a_whole_answer():
    answer = document(chat())
    assert answer["choices"][0]["message"]["content"] == "Hello world!"
    assert answer["choices"][0]["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
    assert answer["prompt_filter_results"][0]["prompt_index"] == 0


def test_a_stream_begins_with_the_verdict_on_the_prompt():
    first, *rest, end = events(chat(stream=True, stream_options={"include_usage": True}))
    assert (first["choices"], first["id"], first["model"]) == ([], "", "")
    assert "prompt_filter_results" in first
    assert (
        "".join(one["choices"][0]["delta"].get("content") or "" for one in rest if one["choices"])
        == "Hello world!"
    )
    assert rest[-1]["usage"]["prompt_tokens"] == 11
    assert end == "data: [DONE]"


def test_the_newer_surface_takes_the_deployment_as_the_model():
    path = "/azure/openai/v1/chat/completions"
    assert document(post(path, {"model": "chat", "messages": user("hi")}))["model"] == "chat"
    assert post(path, {"model": "nope", "messages": user("hi")}).head.status == 404


def test_tools():
    (choice,) = document(chat("tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS]))["choices"]
    assert len(choice["message"]["tool_calls"]) == 2


@pytest.mark.parametrize(
    ("deployment", "query", "fields", "status", "code"),
    [
        pytest.param("nope", DATED, {}, 404, "DeploymentNotFound", id="no such deployment"),
        pytest.param("chat", "", {}, 404, "404", id="no version"),
        pytest.param("chat", "api-version=new", {}, 404, "404", id="a version that is none"),
        pytest.param("o4-mini", DATED, {}, 400, "BadRequest", id="a model newer than the version"),
        pytest.param(
            "think", DATED, {"reasoning_effort": "low"}, 400, None, id="a field newer than the version"
        ),
        pytest.param("think", NEWER, {"reasoning_effort": "low"}, 200, None, id="a field of the version"),
        pytest.param("o4-mini", NEWER, {"max_tokens": 3}, 400, "unsupported_parameter", id="an old field"),
        pytest.param("chat", DATED, {"top_k": 1}, 400, None, id="an unknown field"),
        pytest.param("chat", DATED, {"messages": user("@@FILTER")}, 400, "content_filter", id="the filter"),
    ],
)
def test_chat_is_strict(deployment, query, fields, status, code):
    played = chat(deployment, query, **fields)
    assert played.head.status == status
    assert status == 200 or document(played)["error"].get("code") == code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no key"),
        pytest.param({"api-key": "no"}, 401, id="a wrong key"),
        pytest.param({"api-key": "secret"}, 200, id="the key"),
        pytest.param({"authorization": "Bearer secret"}, 200, id="a token"),
    ],
)
def test_the_key(headers, status):
    assert chat(scenario=KEYED, headers=headers).head.status == status
    assert get("/azure/openai/models?api-version=2024-10-21", KEYED, **headers).head.status == status


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("status", "code"), [(401, "401"), (429, "RateLimitReached"), (500, "InternalServerError")]
)
def test_errors_before_the_first_token(status, code, stream):
    played = chat(messages=user(f"@@ERR{status}"), stream=stream)
    assert (played.head.status, document(played)["error"]["code"]) == (status, code)


def test_what_breaks_is_cut():
    assert chat(messages=user("@@MID"), stream=True).ending == "reset"
    broken = chat(scenario=evolve(STANDARD, broken="event"), messages=user("@@MID"), stream=True)
    assert "error" in events(broken)[-1]


def test_embeddings():
    path = f"/azure/openai/deployments/embed/embeddings?{DATED}"
    assert document(post(path, {"input": "a"}))["data"][0]["embedding"] == [3.0, 4.0, 12.0, 0.0]


def test_the_models_are_those_that_could_be_deployed():
    listed = document(get(f"/azure/openai/models?{DATED}"))["data"]
    embeds = {entry["id"]: entry["capabilities"]["embeddings"] for entry in listed}
    assert embeds["embed-2024-08-06"] is True
    assert embeds["chat-2024-08-06"] is False


def test_the_headers():
    headers = chat().head.headers
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert not [name for name in headers if name.startswith("openai-")]
