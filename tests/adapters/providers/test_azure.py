"""Azure: names of deployments and their addresses, keys and tokens, its verdicts, and what it serves."""

import json

import pytest
from attrs import evolve

from adapters.providers.azure import CODEC
from pipeline.values.events import Failed, Finished, Started, TextDelta
from pipeline.values.exchange import How
from pipeline.values.http import ReplyHead
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Message,
    Prompt,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
)
from pipeline.values.problems import Kind
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import decoded, events_of

BASE = "https://house.openai.azure.com"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
DATED = "?api-version=2024-10-21"


def provider(base=BASE, **settings):
    return Provider("az", "azure", base, settings=settings)


def encode(request=ASK, model="gpt-4o", base=BASE, **settings):
    return CODEC.encode(request, Target(provider(base, **settings), ModelFacts(model)))


def sent(request=ASK, model="gpt-4o", base=BASE, **settings):
    """URL, body, losses."""
    found = encode(request, model, base, **settings)
    return found.http.url, json.loads(found.http.body), {loss.field: loss.how for loss in found.losses}


def test_the_plain_request():
    assert sent() == (
        f"{BASE}/openai/deployments/gpt-4o/chat/completions{DATED}",
        {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": False},
        {},
    )


@pytest.mark.parametrize(
    ("base", "version", "url"),
    [
        pytest.param(
            BASE, None, "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", id="no version"
        ),
        pytest.param(
            BASE,
            "2025-01-01-preview",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2025-01-01-preview",
            id="a dated version",
        ),
        pytest.param(BASE, "v1", "/openai/v1/chat/completions", id="the newer surface"),
        pytest.param(BASE, "preview", "/openai/v1/chat/completions?api-version=preview", id="its preview"),
        pytest.param(
            f"{BASE}/openai/v1", None, "/openai/v1/chat/completions", id="the newer surface, by the address"
        ),
        pytest.param(
            f"{BASE}/openai",
            None,
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
            id="an address that goes too far",
        ),
    ],
)
def test_addresses(base, version, url):
    settings = {} if version is None else {"api_version": version}
    assert sent(base=base, **settings)[0] == BASE + url


NAMED = ("gpt-4o=prod-4o", "o4-mini = thinker", "embed-small")

NAMES = [
    pytest.param("gpt-4o", "prod-4o", id="a model"),
    pytest.param("GPT-4o:latest", "prod-4o", id="a model, however it is spelt"),
    pytest.param("prod-4o", "prod-4o", id="a deployment"),
    pytest.param("embed-small", "embed-small", id="a deployment with the name of its model"),
    pytest.param("other", "other", id="a deployment nobody named"),
    pytest.param("prod-4o@house.openai.azure.com", "prod-4o", id="at the resource"),
    pytest.param("prod-4o@HOUSE.OpenAI.azure.com", "prod-4o", id="at the resource, in capitals"),
    pytest.param("prod-4o@house.openai.azure.com:latest", "prod-4o", id="at the resource, with a tag"),
    pytest.param("gpt-4o@house.openai.azure.com", "gpt-4o", id="a deployment is meant where a host is named"),
    pytest.param("PROD-4o@house.openai.azure.com", "prod-4o", id="a deployment in capitals, at the resource"),
    pytest.param("prod-4o@house.openai.azure.com.", None, id="a dot behind the host"),
    pytest.param("prod-4o@house.openai.azure.com:443", None, id="a port"),
    pytest.param("prod-4o@other.openai.azure.com", None, id="another resource"),
    pytest.param("prod-4o@house.openai.azure.com.evil.example", None, id="a longer host"),
    pytest.param("prod-4o@evil@house.openai.azure.com", None, id="a user"),
    pytest.param("prod-4o:pw@house.openai.azure.com", None, id="a password"),
    pytest.param("prod-4o@hou\u017fe.openai.azure.com", None, id="a letter that only looks alike"),
    pytest.param("../../models", None, id="a path"),
    pytest.param("..", None, id="a step up"),
    pytest.param("a/b", None, id="a slash"),
    pytest.param("a?b", None, id="a question mark"),
    pytest.param("@house.openai.azure.com", None, id="no deployment"),
    pytest.param("x" * 65, None, id="too long for a deployment"),
]


@pytest.mark.parametrize(
    "base",
    [
        f"{BASE}/openai/deployments",
        f"{BASE}/openai/deployments/prod-4o",
        f"{BASE}/openai/deployments/prod-4o/chat/completions",
        f"{BASE}/openai/",
    ],
)
def test_an_address_may_be_that_of_a_deployment_as_the_portal_shows_it(base):
    assert sent(base=base)[0] == f"{BASE}/openai/deployments/gpt-4o/chat/completions{DATED}"


def test_a_host_may_be_called_openai():
    assert sent(base="https://openai")[0].startswith("https://openai/openai/deployments/gpt-4o/")


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("2024-02-01", False),
        ("2024-06-01", False),
        ("2024-09-01-preview", True),
        ("2024-10-21", True),
        ("v1", True),
    ],
)
def test_usage_is_asked_for_where_the_version_knows_that(version, asked):
    _, body, losses = sent(evolve(ASK, stream=True), api_version=version)
    assert ("stream_options" in body) is asked
    assert losses == {}


@pytest.mark.parametrize("version", ["2024-10-21", "v1"])
@pytest.mark.parametrize(("model", "deployment"), NAMES)
def test_names(model, deployment, version):
    found = encode(model=model, deployments=NAMED, api_version=version)
    if deployment is None:
        assert (found.kind, found.target) == (Kind.NOT_FOUND, f"az/{model}")
        return
    assert json.loads(found.http.body)["model"] == deployment
    if version != "v1":
        assert f"/deployments/{deployment}/" in found.http.url


THINK = evolve(ASK, thinking=Thinking(True, "low"), sampling=Sampling(max_tokens=9))


@pytest.mark.parametrize(
    ("model", "settings", "surface", "expected", "losses"),
    [
        pytest.param(
            "thinker",
            {},
            "/openai/v1/",
            {"reasoning_effort": "low", "max_completion_tokens": 9},
            {},
            id="the model behind decides, and no version means one that knows it",
        ),
        pytest.param(
            "thinker",
            {"api_version": "2025-01-01-preview"},
            "/openai/deployments/thinker/",
            {"reasoning_effort": "low", "max_completion_tokens": 9},
            {},
            id="a dated version that knows it",
        ),
        pytest.param(
            "unheard-of",
            {"api_version": "2024-10-21"},
            "/openai/deployments/unheard-of/",
            {"max_tokens": 9},
            {"thinking": How.DROPPED},
            id="a dated version that does not",
        ),
        pytest.param(
            "unheard-of", {}, "/openai/v1/", {"reasoning_effort": "low", "max_tokens": 9}, {}, id="no version"
        ),
        pytest.param(
            "prod-4o",
            {},
            "/openai/deployments/prod-4o/",
            {"max_tokens": 9},
            {"thinking": How.DROPPED},
            id="a model that does not think",
        ),
    ],
)
def test_models_that_think(model, settings, surface, expected, losses):
    url, body, lost = sent(THINK, model, deployments=NAMED, **settings)
    assert url.startswith(BASE + surface)
    assert {
        name: value for name, value in body.items() if name not in ("model", "messages", "stream")
    } == expected
    assert lost == losses


def test_a_request_in_the_same_form_goes_out_as_it_came():
    turns = [{"role": "user", "content": "hi", "odd": 1}]
    own = {"model": "x", "messages": turns, "reasoning_effort": "low", "data_sources": [{}], "stream": True}
    request = evolve(ASK, stream=True, source=Source("openai.chat", own))
    url, body, losses = sent(request, api_version="2024-10-21")
    assert url == f"{BASE}/openai/deployments/gpt-4o/chat/completions{DATED}"
    assert body == {**own, "model": "gpt-4o", "stream_options": {"include_usage": True}}
    assert losses == {}


def test_embeddings():
    url, body, _ = sent(EmbedRequest("asked", ("a",)), "embed-small", deployments=NAMED)
    assert url == f"{BASE}/openai/deployments/embed-small/embeddings{DATED}"
    assert body == {"model": "embed-small", "input": ["a"], "encoding_format": "float"}


def test_prompts():
    assert "/completions?" in sent(ChatRequest("asked", prompt=Prompt("p", raw=True)), "davinci-002")[0]
    problem = encode(ChatRequest("asked", prompt=Prompt("p", suffix="s")), "prod-4o", deployments=NAMED)
    assert (problem.kind, problem.subject) == (Kind.UNSUPPORTED, "insert")


@pytest.mark.parametrize(
    ("secret", "headers"),
    [
        pytest.param("0123456789abcdef", {"api-key": "0123456789abcdef"}, id="a key"),
        pytest.param(
            "eyJ0eXAi.eyJhdWQi.c2ln-_", {"authorization": "Bearer eyJ0eXAi.eyJhdWQi.c2ln-_"}, id="a token"
        ),
        pytest.param("", {}, id="none"),
    ],
)
def test_the_secret(secret, headers):
    http = CODEC.list_models(provider())
    assert CODEC.sign(http, Secret(secret), 0).headers == {**http.headers, **headers}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        pytest.param({}, f"/openai/models{DATED}", id="no version"),
        pytest.param(
            {"api_version": "2025-01-01-preview"}, "/openai/models?api-version=2025-01-01-preview", id="dated"
        ),
        pytest.param({"api_version": "v1"}, "/openai/v1/models", id="the newer surface"),
    ],
)
def test_the_probe(settings, url):
    http = CODEC.list_models(provider(**settings))
    assert (http.method, http.url) == ("GET", BASE + url)


def offered(name, **capabilities):
    return {"id": name, "object": "model", "created_at": 1747930371, "capabilities": capabilities}


LIST = {
    "data": [
        offered("gpt-4o-2024-08-06", chat_completion=True, embeddings=False),
        offered("text-embedding-ada-002-2", chat_completion=False, embeddings=True),
        offered("text-embedding-ada-002", embeddings=True),
        {"id": "odd", "capabilities": 3},
    ]
}


def test_what_is_served_is_what_was_deployed():
    listed = CODEC.models(json.dumps(LIST).encode())
    assert [facts.name for facts in listed] == [entry["id"] for entry in LIST["data"]]
    named = provider(deployments=("gpt-4o=prod", "text-embedding-ada-002=vectors", "gpt-4"))
    assert CODEC.served(named, listed) == (
        ModelFacts("gpt-4o"),
        ModelFacts("text-embedding-ada-002", capabilities=frozenset({"embedding"})),
        ModelFacts("gpt-4"),
    )
    assert CODEC.served(provider(), listed) == ()


FILTERED = {
    "error": {
        "message": "The response was filtered due to the prompt triggering the content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, FILTERED, Kind.POLICY, id="the content filter"),
        pytest.param(
            401, {"error": {"code": "401", "message": "Access denied"}}, Kind.AUTH, id="a wrong key"
        ),
        pytest.param(
            403, {"error": {"code": "403", "message": "Firewall"}}, Kind.AUTH, id="a closed network"
        ),
        pytest.param(
            404, {"error": {"code": "DeploymentNotFound", "message": ""}}, Kind.NOT_FOUND, id="no deployment"
        ),
        pytest.param(
            400, {"error": {"code": "unknown_model", "message": ""}}, Kind.NOT_FOUND, id="no such model"
        ),
        pytest.param(429, {"error": {"code": "429", "message": ""}}, Kind.RATE_LIMITED, id="a rate limit"),
        pytest.param(
            429,
            {"error": {"code": "insufficient_quota", "message": ""}},
            Kind.QUOTA,
            id="the quota of the account",
        ),
        pytest.param(408, {"error": {"code": "Timeout", "message": ""}}, Kind.RETRYABLE, id="a time-out"),
        pytest.param(500, {"error": {"code": "InternalServerError"}}, Kind.SERVER, id="a failure"),
        pytest.param(503, {"error": {"message": "currently overloaded"}}, Kind.OVERLOADED, id="overloaded"),
    ],
)
def test_a_refusal_is_of_its_kind(status, body, kind):
    assert CODEC.classify(ReplyHead(status, {}), json.dumps(body).encode()).kind is kind


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        pytest.param({"retry-after-ms": "250", "retry-after": "1"}, 0.25, id="milliseconds"),
        pytest.param({"retry-after-ms": "0", "retry-after": "1"}, 1.0, id="no milliseconds and a second"),
        pytest.param({"retry-after-ms": "0"}, 0.0, id="no milliseconds"),
    ],
)
def test_when_to_come_again(headers, seconds):
    assert CODEC.classify(ReplyHead(429, headers), b"{}").retry_after == seconds


VERDICT = {
    "choices": [],
    "created": 0,
    "id": "",
    "model": "",
    "object": "",
    "prompt_filter_results": [{"x": 1}],
}
SAFE = {"hate": {"filtered": False}}


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "content_filter_results": SAFE}
    return {"id": "c1", "object": "chat.completion.chunk", "model": "gpt-4o-2024-08-06", "choices": [choice]}


def streamed(*documents):
    frames = "".join(f"data: {json.dumps(document)}\n\n" for document in documents)
    return events_of(decoded(CODEC, evolve(ASK, stream=True), f"{frames}data: [DONE]\n\n".encode()))


def test_a_stream_begins_behind_the_verdict_on_its_prompt():
    assert streamed(VERDICT, chunk({"content": "Hi"}), chunk({}, "stop")) == (
        Started("gpt-4o-2024-08-06", "c1"),
        TextDelta("Hi"),
        Finished("stop", extra={"openai.chat": {"prompt_filter_results": [{"x": 1}]}}),
    )


def test_an_answer_may_be_filtered():
    *_, last = streamed(VERDICT, chunk({"content": "Hi"}), chunk({}, "content_filter"))
    assert last.reason == "content_filter"


def test_the_filter_may_strike_inside_a_stream():
    *_, last = streamed(VERDICT, FILTERED)
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.POLICY


def test_a_late_verdict_says_nothing():
    late = {"index": 0, "finish_reason": None, "content_filter_results": SAFE, "content_filter_offsets": {}}
    events = streamed(chunk({"content": "Hi"}), {**chunk({}), "choices": [late]}, chunk({}, "stop"))
    assert [type(event).__name__ for event in events] == ["Started", "TextDelta", "Finished"]


@pytest.mark.parametrize(
    ("able", "path"),
    [
        pytest.param(None, "/completions", id="nobody knows"),
        pytest.param(frozenset({"completion"}), "/chat/completions", id="it only talks"),
        pytest.param(frozenset({"completion", "insert"}), "/completions", id="it fills gaps"),
    ],
)
def test_the_body_is_of_the_form_that_is_asked_for_at_its_address(able, path):
    asked = ChatRequest(
        "asked",
        (),
        prompt=Prompt("hi"),
        source=Source("openai.completions", {"model": "asked", "prompt": "hi"}),
    )
    found = CODEC.encode(asked, Target(provider(), ModelFacts("unheard-of", able)))
    assert found.http.url.partition("?")[0] == f"{BASE}/openai/deployments/unheard-of{path}"
    assert ("prompt" in json.loads(found.http.body)) is (path == "/completions")
