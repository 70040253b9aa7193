"""/api/generate: requests as values, replies as Ollama writes them."""

import json

import pytest

from adapters.dialects import DIALECTS
from pipeline.values.events import (
    Failed,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
from pipeline.values.messages import ChatRequest, Image, LoadRequest, Prompt, Source, Thinking
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import ID, collected, lines, read, written

PATH = "/api/generate"
ASK = {"model": "m", "prompt": "hi"}


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        pytest.param({}, Prompt("hi"), id="a prompt"),
        pytest.param({"suffix": "b"}, Prompt("hi", suffix="b"), id="a gap to fill"),
        pytest.param(
            {"system": "s", "template": "t"}, Prompt("hi", system="s", template="t"), id="system, template"
        ),
        pytest.param({"context": [1, 2]}, Prompt("hi", context=(1, 2)), id="tokens of an earlier answer"),
        pytest.param({"raw": True, "context": [], "system": ""}, Prompt("hi", raw=True), id="raw"),
        pytest.param({"images": ["aGk="]}, Prompt("hi", images=(Image("aGk="),)), id="a picture"),
        pytest.param({"tools": 5, "width": "x"}, Prompt("hi"), id="what is no field here is not looked at"),
    ],
)
def test_prompts(fields, prompt):
    body = {**ASK, **fields}
    assert read(PATH, body) == ChatRequest(
        "m", prompt=prompt, stream=True, source=Source("ollama.generate", body)
    )


def test_shared_fields():
    request = read(
        PATH, {**ASK, "think": "low", "options": {"num_predict": 3}, "keep_alive": 5, "stream": False}
    )
    assert isinstance(request, ChatRequest)
    assert (request.thinking, request.sampling.max_tokens, request.stream) == (
        Thinking(True, "low"),
        3,
        False,
    )
    assert request.extra == {"ollama": {"keep_alive": 5}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "m"}, LoadRequest("m")),
        ({"model": "m", "prompt": "", "keep_alive": "1h"}, LoadRequest("m")),
        ({"model": "m", "prompt": "", "keep_alive": 0}, LoadRequest("m", True)),
    ],
)
def test_loads(body, expected):
    assert read(PATH, body) == expected


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        pytest.param({"prompt": "hi"}, 404, "model '' not found", id="no model"),
        pytest.param({"model": " ", "prompt": "hi"}, 404, "model '' not found", id="a blank model"),
        pytest.param({**ASK, "model": "!!"}, 400, "invalid model name", id="no name"),
        pytest.param(
            {**ASK, "raw": True, "system": "s"},
            400,
            "raw mode does not support template, system, or context",
            id="raw with system",
        ),
        pytest.param(
            {**ASK, "raw": True, "context": [1]}, 400, "raw mode does not support", id="raw with context"
        ),
        pytest.param({**ASK, "context": ["x"]}, 400, "GenerateRequest.context of type int", id="no tokens"),
        pytest.param(
            {**ASK, "prompt": ["x"]}, 400, "GenerateRequest.prompt of type string", id="several prompts"
        ),
        pytest.param({"model": "m", "options": {"seed": "x"}}, 500, 'option "seed"', id="options of a load"),
        pytest.param({**ASK, "format": 5}, 500, "invalid format: 5;", id="a number for a format"),
    ],
)
def test_refusals(body, status, text):
    problem = read(PATH, body)
    assert isinstance(problem, Problem)
    answer = DIALECTS[PATH].refuse(problem, None, ID)
    assert answer.head.status == status
    assert text in json.loads(answer.body)["error"]


STAMP = "2023-11-14T22:13:21.25Z"
END = (UsageSeen(Usage(11, 3)), Finished("stop", extra={"ollama": {"context": [1, 2]}}))


def test_a_stream():
    batch = (Started("x"), ThinkingDelta("hm"), TextDelta("Hello"), ToolCallDelta(0, "a", "f"), *END)
    thought, text, calls, last = lines(written(PATH, ASK, [batch]))
    common = {"model": "m", "created_at": STAMP, "done": False}
    assert thought == {**common, "response": "", "thinking": "hm"}
    assert text == {**common, "response": "Hello"}
    assert calls["tool_calls"][0]["function"] == {"index": 0, "name": "f", "arguments": {}}
    assert (last["response"], last["done"], last["done_reason"], last["context"]) == (
        "",
        True,
        "stop",
        [1, 2],
    )
    assert last["eval_count"] == 3


def test_a_whole_reply():
    batch = (Started("x"), TextDelta("Hello"), TextDelta("!"), *END)
    status, value = collected(PATH, {**ASK, "stream": False}, batch)
    assert (status, value["response"], value["done"], value["context"]) == (200, "Hello!", True, [1, 2])
    assert "message" not in value


def test_load_answers_at_once():
    _, value = collected(PATH, {"model": "m"}, (Started("m"), Finished("load")), elapsed_s=1.0)
    assert value == {"model": "m", "created_at": STAMP, "response": "", "done": True, "done_reason": "load"}


def test_an_error_ends_the_stream():
    data = written(PATH, ASK, [(Started("x"), TextDelta("H")), (Failed(Problem(Kind.DEADLINE, "too late")),)])
    assert lines(data)[-1] == {"error": "too late"}
