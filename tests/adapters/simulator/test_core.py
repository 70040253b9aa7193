"""One answer from one request: always the same, unless the scenario lets something go wrong."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulator.core import answer, is_model_call
from adapters.simulator.demo import CONFORMANCE_MODELS, demo_scenario, standard_scenario
from adapters.simulator.scenario import Fault
from pipeline.values.http import HttpRequest
from tests.adapters.simulator.kit import STANDARD, document, get, post, user

OPENAI, OLLAMA = "/openai/v1/chat/completions", "/ollama/api/chat"
BODY = {"model": "chat", "messages": user("hi"), "stream": True}
OPENROUTER = "/openrouter/api/v1/chat/completions"
AZURE = "/azure/openai/deployments/chat/chat/completions?api-version=2024-10-21"
PATHS = [
    *("/openai/v1/chat/completions", "/openai/v1/completions", "/openai/v1/embeddings", "/ollama/api/chat"),
    *(OPENROUTER, AZURE),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 30) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *(
        "model",
        "messages",
        "prompt",
        "input",
        "stream",
        "tools",
        "tool_choice",
        "format",
        "response_format",
        "options",
    ),
    *(
        "think",
        "reasoning",
        "reasoning_effort",
        "images",
        "suffix",
        "keep_alive",
        "stream_options",
        "max_tokens",
        "n",
        "dimensions",
    ),
    *(
        "logprobs",
        "top_logprobs",
        "stop",
        "temperature",
        "context",
        "raw",
        "encoding_format",
        "parallel_tool_calls",
    ),
)


@pytest.mark.parametrize("path", [OPENAI, OLLAMA, OPENROUTER, AZURE])
@pytest.mark.parametrize("scenario", [standard_scenario, demo_scenario])
def test_the_same_request_gets_the_same_bytes(path, scenario):
    body = {**BODY, "model": "demo"} if scenario is demo_scenario else BODY
    first, second = (post(path, body, scenario()) for _ in range(2))
    assert first == second


def test_another_request_gets_another_id():
    first, second = (
        document(post(OPENAI, {**BODY, "stream": False, "messages": user(text)})) for text in "ab"
    )
    assert first["id"] != second["id"]


@given(
    path=st.sampled_from(
        [*PATHS, "/ollama/api/generate", "/ollama/api/embed", "/ollama/api/embeddings", "/ollama/api/show"]
    ),
    model=st.sampled_from([*CONFORMANCE_MODELS]) | JSON,
    fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    messages=st.lists(
        st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls", "tool_call_id", "images"]), JSON, max_size=3
        )
        | st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool"]), "content": JSON, "tool_calls": JSON}
        ),
        max_size=3,
    ),
)
def test_whatever_is_asked_is_answered(path, model, fields, messages):
    played = post(path, {"messages": messages, **fields, "model": model})
    assert played.head.status in {200, 400, 403, 404, 500}


@given(data=st.binary(max_size=30))
def test_whatever_bytes_come_are_answered(data):
    for path in PATHS:
        assert post(path, data).head.status == 400


def test_an_unknown_prefix():
    assert get("/nobody/v1/models").head.status == 404


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        pytest.param("POST", OPENAI, True, id="a chat"),
        pytest.param("POST", "/ollama/api/embed", True, id="an embedding"),
        pytest.param("GET", "/openai/v1/models", False, id="a list"),
        pytest.param("POST", "/ollama/api/show", False, id="what is known of a model"),
    ],
)
def test_only_calls_of_models_are_counted(method, path, counted):
    request = HttpRequest(method, f"http://sim{path}")
    assert is_model_call(request) is counted
    ruined = evolve(STANDARD, faults=(Fault(status=503),))
    assert (answer(request, ruined).head.status == 503) is counted


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        pytest.param(Fault(), [1, 2, 3, 4, 5, 6], id="every call"),
        pytest.param(Fault(every=3), [3, 6], id="every third"),
        pytest.param(Fault(until=2), [1, 2], id="the first two"),
        pytest.param(Fault(models=frozenset({"other"})), [], id="calls of another model"),
        pytest.param(Fault(every=2, models=frozenset({"chat"})), [2, 4, 6], id="every second of this model"),
    ],
)
@pytest.mark.parametrize("path", [OPENAI, OLLAMA])
def test_whom_a_fault_strikes(fault, struck, path):
    scenario = evolve(STANDARD, faults=(evolve(fault, status=503),))
    statuses = [post(path, BODY, scenario, count).head.status for count in range(1, 7)]
    assert [count for count, status in enumerate(statuses, 1) if status == 503] == struck


@pytest.mark.parametrize("path", [OPENAI, OLLAMA])
def test_a_fault_may_ask_for_patience(path):
    played = post(path, BODY, evolve(STANDARD, faults=(Fault(status=429, retry_after=2),)))
    assert (played.head.status, played.head.headers["retry-after"]) == (429, "2")


@pytest.mark.parametrize("ending", ["reset", "hang"])
@pytest.mark.parametrize(
    ("after", "head", "chunks"),
    [
        pytest.param(None, False, 0, id="before the head"),
        pytest.param(0, True, 0, id="after the head"),
        pytest.param(2, True, 2, id="after two chunks"),
    ],
)
def test_an_answer_may_break_anywhere(ending, after, head, chunks):
    played = post(OPENAI, BODY, evolve(STANDARD, faults=(Fault(ending=ending, after=after),)))
    assert (played.head is not None, len(played.chunks), played.ending) == (head, chunks, ending)
