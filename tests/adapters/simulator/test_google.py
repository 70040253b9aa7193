"""Google's wire format: what is answered, and what is refused in which words."""

import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from adapters.simulator.core import is_model_call
from adapters.simulator.scenario import Fault
from pipeline.values.events import Usage
from pipeline.values.http import HttpRequest
from tests.adapters.providers.recorded import ROOT
from tests.adapters.simulator.kit import PIXEL, STANDARD, document, get, post

AT = "/google/v1beta/models/{}:{}"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
WEATHER = {"name": "get_weather", "parametersJsonSchema": SCHEMA}
NOARGS = {"name": "noargs"}
TOOLS = [{"functionDeclarations": [WEATHER, NOARGS]}]
CALL = {"functionCall": {"name": "f", "args": {}}}
RESPONSE = {"functionResponse": {"name": "f", "response": {"result": 1}}}


def say(*texts, role="user"):
    return {"role": role, "parts": [{"text": text} for text in texts]}


def generate(model="chat", method="generateContent", text="hi", scenario=STANDARD, **fields):
    body = {"contents": [say(text)], **fields}
    return post(AT.format(model, method), body, scenario)


def parts(played):
    (candidate,) = document(played)["candidates"]
    return [
        {key: value for key, value in part.items() if key != "thoughtSignature"}
        for part in candidate["content"]["parts"]
    ]


def chunks(played):
    frames = played.body.decode().split("\r\n\r\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [json.loads(frame[6:]) for frame in frames]


def refusal(played):
    error = document(played)["error"]
    assert error["code"] == played.head.status
    return error["code"], error["status"], error["message"]


SHOWN = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
ROWS = [
    pytest.param({}, [{"text": "Hello world!"}], "STOP", id="nothing special"),
    pytest.param({"model": "think"}, [{"text": "Hello world!"}], "STOP", id="thoughts are not shown unasked"),
    pytest.param(
        {"model": "think", **SHOWN},
        [{"text": "Let me think.", "thought": True}, {"text": "Hello world!"}],
        "STOP",
        id="thoughts asked for",
    ),
    pytest.param(
        {"generationConfig": {"responseMimeType": "application/json"}},
        [{"text": '{"name": "x", "age": 3}'}],
        "STOP",
        id="any JSON",
    ),
    pytest.param(
        {"generationConfig": {"maxOutputTokens": 2}}, [{"text": "Hello world!"}], "MAX_TOKENS", id="a limit"
    ),
    pytest.param(
        {"model": "tools", "text": "@@TOOL2", "tools": TOOLS},
        [
            {"text": "Calling."},
            {
                "functionCall": {
                    "name": "get_weather",
                    "args": {"city": "Paris", "n": 2},
                    "id": "call_abc12345",
                }
            },
            {"functionCall": {"name": "noargs", "args": {}, "id": "call_def67890"}},
        ],
        "STOP",
        id="two tools",
    ),
    pytest.param(
        {"model": "gemini-2.5-flash", "text": "@@TOOL", "tools": TOOLS},
        [{"functionCall": {"name": "get_weather", "args": {"city": "Paris", "n": 2}}}],
        "STOP",
        id="older models give no ids",
    ),
]


@pytest.mark.parametrize(("fields", "expected", "end"), ROWS)
def test_the_table_in_one_piece(fields, expected, end):
    played = generate(**fields)
    assert parts(played)[: len(expected)] == expected
    answer = document(played)
    assert answer["candidates"][0]["finishReason"] == end
    assert (answer["usageMetadata"]["promptTokenCount"], answer["usageMetadata"]["totalTokenCount"]) == (
        11,
        14,
    )


@pytest.mark.parametrize(("fields", "expected", "end"), ROWS)
def test_the_table_as_a_stream(fields, expected, end):
    played = generate(method="streamGenerateContent?alt=sse", **fields)
    assert played.head.headers["content-type"] == "text/event-stream"
    told = chunks(played)
    ends = [chunk["candidates"][0].get("finishReason") for chunk in told]
    assert ends == [None] * (len(told) - 1) + [end]
    said = [part for chunk in told for part in chunk["candidates"][0]["content"]["parts"]]
    for kind in ({"text": "", "thought": True}, {"text": ""}):
        thought = kind.get("thought")
        texts = "".join(part["text"] for part in said if "text" in part and part.get("thought") == thought)
        wanted = "".join(
            part["text"] for part in expected if "text" in part and part.get("thought") == thought
        )
        assert texts == wanted
    calls = [part["functionCall"] for part in said if "functionCall" in part]
    assert calls == [part["functionCall"] for part in expected if "functionCall" in part]
    assert all("usageMetadata" in chunk for chunk in told)


def test_a_stream_not_asked_as_events_is_a_list():
    played = generate(method="streamGenerateContent")
    assert played.head.headers["content-type"].startswith("application/json")
    assert (
        "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in document(played))
        == "Hello world!"
    )


def test_thoughts_are_counted_apart():
    usage = document(generate("think", **SHOWN))["usageMetadata"]
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"]) == (1, 2)
    scenario = evolve(STANDARD, usage=Usage(10, 5, cached=4))
    assert document(generate(scenario=scenario))["usageMetadata"]["cachedContentTokenCount"] == 4


def test_the_first_call_is_signed():
    played = generate("tools", text="@@TOOL2", tools=TOOLS)
    signed = [
        "thoughtSignature" in part
        for part in document(played)["candidates"][0]["content"]["parts"]
        if "functionCall" in part
    ]
    assert signed == [True, False]


def test_several_answers():
    answer = document(generate(generationConfig={"candidateCount": 2}))
    assert [candidate["index"] for candidate in answer["candidates"]] == [0, 1]


MODEL_CALL = {"role": "model", "parts": [CALL]}
SIGNED_CALL = {"role": "model", "parts": [{**CALL, "thoughtSignature": "U0lH"}]}
ANSWERED = {"role": "user", "parts": [RESPONSE]}


@pytest.mark.parametrize(
    ("fields", "status", "word", "words"),
    [
        pytest.param(
            {"nonsense": 1}, 400, "INVALID_ARGUMENT", 'Unknown name "nonsense"', id="an unknown field"
        ),
        pytest.param(
            {"generationConfig": {"top_x": 1}},
            400,
            "INVALID_ARGUMENT",
            "generation_config",
            id="an unknown field inside",
        ),
        pytest.param(
            {"contents": []}, 400, "INVALID_ARGUMENT", "contents is not specified", id="nothing said"
        ),
        pytest.param(
            {"contents": [{"role": "user", "parts": []}]},
            400,
            "INVALID_ARGUMENT",
            "must not be empty",
            id="no parts",
        ),
        pytest.param(
            {"contents": [say("a", role="assistant")]}, 400, "INVALID_ARGUMENT", "valid role", id="a role"
        ),
        pytest.param(
            {"contents": [{"role": "user", "parts": [{}]}]},
            400,
            "INVALID_ARGUMENT",
            "oneof field 'data'",
            id="an empty part",
        ),
        pytest.param(
            {"contents": [{"role": "user", "parts": [{"image": 1}]}]},
            400,
            "INVALID_ARGUMENT",
            '"image"',
            id="an unknown part",
        ),
        pytest.param(
            {
                "model": "basic",
                "contents": [
                    {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PIXEL}}]}
                ],
            },
            400,
            "INVALID_ARGUMENT",
            "modality",
            id="a picture for a model that sees none",
        ),
        pytest.param(
            {"contents": [say("a"), ANSWERED]},
            400,
            "INVALID_ARGUMENT",
            "immediately after a function call",
            id="an answer to nothing",
        ),
        pytest.param(
            {"contents": [say("a"), MODEL_CALL, say("b")]},
            400,
            "INVALID_ARGUMENT",
            "equal to the number",
            id="no answer",
        ),
        pytest.param(
            {"model": "tools", "contents": [say("a"), MODEL_CALL, ANSWERED]},
            400,
            "INVALID_ARGUMENT",
            "missing a thought_signature",
            id="a call without its signature",
        ),
        pytest.param(
            {
                "contents": [
                    say("a"),
                    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": "x"}}]},
                ]
            },
            400,
            "INVALID_ARGUMENT",
            "args",
            id="arguments as a text",
        ),
        pytest.param(
            {"generationConfig": {"temperature": 3}}, 400, "INVALID_ARGUMENT", "temperature", id="too hot"
        ),
        pytest.param({"generationConfig": {"topK": 0}}, 400, "INVALID_ARGUMENT", "top_k", id="no top"),
        pytest.param(
            {"generationConfig": {"seed": 2**31}},
            400,
            "INVALID_ARGUMENT",
            "TYPE_INT32",
            id="a seed too large",
        ),
        pytest.param(
            {"generationConfig": {"stopSequences": list("abcdef")}},
            400,
            "INVALID_ARGUMENT",
            "stop_sequences",
            id="stops",
        ),
        pytest.param(
            {"generationConfig": {"presencePenalty": 0.5}},
            400,
            "INVALID_ARGUMENT",
            "Penalty is not enabled",
            id="a penalty",
        ),
        pytest.param(
            {"generationConfig": {"responseLogprobs": True}},
            400,
            "INVALID_ARGUMENT",
            "Logprobs is not enabled",
            id="logprobs",
        ),
        pytest.param(
            {"generationConfig": {"responseJsonSchema": SCHEMA}},
            400,
            "INVALID_ARGUMENT",
            "mime type",
            id="a schema of no JSON",
        ),
        pytest.param(
            {
                "model": "gemini-2.5-flash",
                "tools": TOOLS,
                "generationConfig": {"responseMimeType": "application/json"},
            },
            400,
            "INVALID_ARGUMENT",
            "is unsupported",
            id="tools beside a form",
        ),
        pytest.param(
            {"model": "gemini-2.0-flash", "tools": TOOLS},
            400,
            "INVALID_ARGUMENT",
            "parameters_json_schema",
            id="JSON Schema",
        ),
        pytest.param(
            {
                "model": "gemini-2.0-flash",
                "tools": [
                    {"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "$ref": "x"}}]}
                ],
            },
            400,
            "INVALID_ARGUMENT",
            '"$ref"',
            id="what the subset of OpenAPI does not know",
        ),
        pytest.param(
            {"tools": TOOLS}, 400, "INVALID_ARGUMENT", "not enabled", id="tools for a model that calls none"
        ),
        pytest.param(
            {"model": "tools", "tools": [{"functionDeclarations": [{"name": "a b"}]}]},
            400,
            "INVALID_ARGUMENT",
            "Invalid function name",
            id="a name of a tool",
        ),
        pytest.param(
            {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
            400,
            "INVALID_ARGUMENT",
            "without function_declarations",
            id="a choice of nothing",
        ),
        pytest.param(SHOWN, 400, "INVALID_ARGUMENT", "Thinking is not enabled", id="thinking"),
        pytest.param(
            {"model": "gemini-2.5-pro", "generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
            400,
            "INVALID_ARGUMENT",
            "between 128 and 32768",
            id="pro without thinking",
        ),
        pytest.param(
            {"model": "gemini-2.5-pro", "generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}},
            400,
            "INVALID_ARGUMENT",
            "Thinking level low",
            id="a level for a model of budgets",
        ),
        pytest.param(
            {
                "model": "think",
                "generationConfig": {"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 5}},
            },
            400,
            "INVALID_ARGUMENT",
            "only one of",
            id="a level and a budget",
        ),
        pytest.param({"model": "nope"}, 404, "NOT_FOUND", "models/nope is not found", id="no such model"),
        pytest.param(
            {"model": "embed"},
            404,
            "NOT_FOUND",
            "not supported for generateContent",
            id="a model that only embeds",
        ),
        pytest.param({"text": "@@ERR429"}, 429, "RESOURCE_EXHAUSTED", "quota", id="a limit"),
        pytest.param({"text": "@@ERR503"}, 503, "UNAVAILABLE", "overloaded", id="overload"),
    ],
)
def test_refusals(fields, status, word, words):
    code, told, message = refusal(generate(**fields))
    assert (code, told) == (status, word)
    assert words in message


def test_a_signed_call_is_taken_and_so_is_one_of_an_earlier_turn():
    signed = [say("a"), SIGNED_CALL, ANSWERED]
    earlier = [say("a"), MODEL_CALL, ANSWERED, say("b", role="model"), say("c")]
    for contents in (signed, earlier):
        assert generate("tools", contents=contents).head.status == 200


def test_names_may_be_written_with_underscores():
    fields = {"generation_config": {"max_output_tokens": 2}, "system_instruction": {"parts": [{"text": "s"}]}}
    assert document(generate(**fields))["candidates"][0]["finishReason"] == "MAX_TOKENS"


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 403), ({"x-goog-api-key": "wrong"}, 400), ({"x-goog-api-key": "right"}, 200)],
    ids=["no key", "a wrong key", "the right key"],
)
def test_keys(headers, status):
    scenario = evolve(STANDARD, key="right")
    assert (
        post(AT.format("chat", "generateContent"), {"contents": [say("hi")]}, scenario, **headers).head.status
        == status
    )


def test_embeddings():
    one = document(post(AT.format("embed", "embedContent"), {"content": say("a b")}))
    assert one == {"embedding": {"values": [3, 4, 12, 0]}, "usageMetadata": {"promptTokenCount": 2}}
    asked = {"model": "models/embed", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 2}
    several = document(post(AT.format("embed", "batchEmbedContents"), {"requests": [asked] * 2}))
    assert several["embeddings"] == [{"values": [3, 4]}] * 2


@pytest.mark.parametrize(
    "body",
    [{"requests": []}, {"requests": [{"content": {"parts": [{"text": "a"}]}}] * 2}, {"requests": [{}] * 101}],
    ids=["none", "of no model", "too many"],
)
def test_refused_embeddings(body):
    assert post(AT.format("embed", "batchEmbedContents"), body).head.status == 400


def test_models():
    first = document(get("/google/v1beta/models?pageSize=2"))
    second = document(get(f"/google/v1beta/models?pageSize=1000&pageToken={first['nextPageToken']}"))
    names = [entry["name"] for page in (first, second) for entry in page["models"]]
    assert names[:2] == ["models/chat", "models/basic"]
    assert "models/gemini-2.5-flash" in names
    assert "nextPageToken" not in second
    assert document(get("/google/v1beta/models/think"))["thinking"] is True
    assert get("/google/v1beta/models/nope").head.status == 404


def test_a_broken_stream():
    cut = generate(method="streamGenerateContent?alt=sse", text="@@MID")
    assert cut.ending == "reset"
    assert [chunk["candidates"][0]["content"]["parts"] for chunk in chunks(cut)] == [
        [{"text": "Hello"}],
        [{"text": " world"}],
    ]
    told = generate(
        method="streamGenerateContent?alt=sse", text="@@MID", scenario=evolve(STANDARD, broken="event")
    )
    assert chunks(told)[-1]["error"]["status"] == "INTERNAL"


def test_faults_know_the_model_by_the_address():
    scenario = evolve(STANDARD, faults=(Fault(models=frozenset({"chat"}), status=429, retry_after=7),))
    refused = document(generate(scenario=scenario))["error"]
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"} in refused["details"]
    assert generate("basic", scenario=scenario).head.status == 200
    assert is_model_call(HttpRequest("POST", "http://x" + AT.format("chat", "streamGenerateContent?alt=sse")))


def recorded_requests():
    for path in sorted(ROOT.glob("gemini.*enerateContent-*.json")):
        found = json.loads(path.read_text())
        if found["request_recorded"] and found["response"]["status"] == 200:
            yield pytest.param(found, id=found["id"])


@pytest.mark.parametrize("found", [*recorded_requests()])
def test_what_google_took_is_taken(found):
    facts = STANDARD.model("google", "gemini-3.5-flash")
    offered = evolve(facts, name=found["model"], context_length=None)
    scenario = evolve(STANDARD, models={"google": (offered,)})
    played = post(AT.format(found["model"], "generateContent"), found["request"]["body"], scenario)
    assert played.head.status == 200, played.body


FIELDS = st.sampled_from(
    [
        "contents",
        "role",
        "parts",
        "text",
        "functionCall",
        "functionResponse",
        "inlineData",
        "name",
        "args",
        "response",
        "tools",
        "functionDeclarations",
        "parameters",
        "properties",
        "enum",
        "required",
        "anyOf",
        "items",
        "toolConfig",
        "functionCallingConfig",
        "mode",
        "allowedFunctionNames",
        "generationConfig",
        "thinkingConfig",
        "thinkingBudget",
        "systemInstruction",
        "responseSchema",
        "responseMimeType",
        "stopSequences",
        "seed",
        "requests",
        "content",
        "model",
    ]
)
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-5, 30)
    | st.sampled_from(["", "a", "user", "ANY", "application/json"])
)
ANYTHING = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(
    ANYTHING,
    st.sampled_from(["generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"]),
)
def test_whatever_is_asked_it_answers(body, method):
    model = "embed" if "mbed" in method else "tools"
    assert post(AT.format(model, method), body).head.status in (200, 400)


@given(ANYTHING)
def test_whatever_turns_and_tools_are_it_answers(value):
    body = {
        "contents": [say("hi")],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": value}]}],
        "toolConfig": value,
    }
    assert post(AT.format("tools", "generateContent"), body).head.status in (200, 400)
