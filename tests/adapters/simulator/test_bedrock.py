"""The fake Bedrock: its answers as botocore reads them, and its refusals, as strict as the provider's."""

import json
from urllib.parse import quote

import pytest
from attrs import evolve
from botocore.eventstream import EventStreamBuffer

from adapters.simulator.scenario import Fault
from pipeline.values.events import Usage
from tests.adapters.simulator.kit import PIXEL, STANDARD, get, post

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS = "us.anthropic.claude-opus-4-7"
NOVA = "amazon.nova-micro-v1:0"
LLAMA = "meta.llama3-1-8b-instruct-v1:0"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
WEATHER = {"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}
NOARGS = {"toolSpec": {"name": "noargs", "inputSchema": {"json": {"type": "object"}}}}
BOTH = {"toolConfig": {"tools": [WEATHER, NOARGS]}}
USE = {"toolUse": {"toolUseId": "c1", "name": "get_weather", "input": {}}}
RESULT = {"toolResult": {"toolUseId": "c1", "content": [{"text": "22"}]}}


def user(text="hi", *more):
    return {"role": "user", "content": [{"text": text}, *more]}


def said(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def call(body, model="chat", action="converse", scenario=STANDARD, count=1, **headers):
    path = f"/aws_bedrock/model/{quote(model, safe='')}/{action}"
    return post(path, body, scenario, count, **headers)


def converse(text="hi", model="chat", scenario=STANDARD, **fields):
    return json.loads(call({"messages": [user(text)], **fields}, model, scenario=scenario).body)


def content(reply):
    return reply["output"]["message"]["content"]


def events(played):
    buffer = EventStreamBuffer()
    buffer.add_data(played.body)
    found = []
    for event in buffer:
        told = event.to_response_dict()
        headers = told["headers"]
        value = json.loads(told["body"])
        value.pop("p", None)
        found.append((headers.get(":event-type") or headers[":exception-type"], value))
    return found


def refusal(played):
    name = played.head.headers["x-amzn-errortype"].partition(":")[0]
    return played.head.status, name, json.loads(played.body)["message"]


def test_whole():
    reply = converse()
    assert content(reply) == [{"text": "Hello world!"}]
    assert reply["stopReason"] == "end_turn"
    assert (reply["usage"]["inputTokens"], reply["usage"]["outputTokens"], reply["usage"]["totalTokens"]) == (
        11,
        3,
        14,
    )


def test_streamed():
    played = call({"messages": [user()]}, action="converse-stream")
    assert played.head.headers["content-type"] == "application/vnd.amazon.eventstream"
    told = events(played)
    assert [name for name, _ in told] == [
        "messageStart", *["contentBlockDelta"] * 3, "contentBlockStop", "messageStop", "metadata",
    ]  # fmt: skip
    assert (
        "".join(value["delta"]["text"] for name, value in told if name == "contentBlockDelta")
        == "Hello world!"
    )
    assert told[-1][1]["usage"]["outputTokens"] == 3


def test_two_calls_streamed():
    told = events(call({"messages": [user("@@TOOL2")], **BOTH}, "tools", "converse-stream"))
    starts = [value["start"]["toolUse"]["name"] for name, value in told if name == "contentBlockStart"]
    pieces = {1: "", 2: ""}
    for name, value in told:
        if name == "contentBlockDelta" and "toolUse" in value["delta"]:
            pieces[value["contentBlockIndex"]] += value["delta"]["toolUse"]["input"]
    assert (starts, pieces) == (["get_weather", "noargs"], {1: '{"city":"Paris","n":2}', 2: "{}"})
    assert ("messageStop", {"stopReason": "tool_use"}) in told


def test_a_call_whole():
    reply = converse("@@TOOL", "tools", **BOTH)
    assert content(reply)[0]["toolUse"]["input"] == {"city": "Paris", "n": 2}
    assert reply["stopReason"] == "tool_use"


def test_results_are_answered():
    turns = [user(), said(USE), {"role": "user", "content": [RESULT]}]
    assert content(json.loads(call({"messages": turns, **BOTH}, "tools").body)) == [{"text": "Hello world!"}]


@pytest.mark.parametrize("action", ["converse", "converse-stream"])
def test_thinking_is_sealed(action):
    fields = {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}
    played = call({"messages": [user()], **fields}, "think", action)
    if action == "converse":
        thought = content(json.loads(played.body))[0]["reasoningContent"]["reasoningText"]
        assert thought["text"] == "Let me think."
        assert thought["signature"]
        return
    deltas = [
        value["delta"]["reasoningContent"]
        for _, value in events(played)
        if "reasoningContent" in value.get("delta", {})
    ]
    assert "".join(delta.get("text", "") for delta in deltas) == "Let me think."
    assert list(deltas[-1]) == ["signature"]


def test_a_forced_call_is_made():
    config = {"toolConfig": {"tools": [WEATHER, NOARGS], "toolChoice": {"tool": {"name": "get_weather"}}}}
    reply = converse("json", NOVA, **config)
    assert content(reply)[0]["toolUse"] == {
        "toolUseId": "call_abc12345", "name": "get_weather", "input": {"name": "x", "age": 3},
    }  # fmt: skip


def test_a_schema_is_kept_to():
    text = {"type": "json_schema", "structure": {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "x"}}}
    assert content(converse(model=CLAUDE, outputConfig={"textFormat": text})) == [
        {"text": '{"name": "x", "age": 3}'}
    ]


def test_usage_of_the_scenario_tells_what_was_cached():
    scenario = evolve(STANDARD, usage=Usage(10, 5, cached=4))
    usage = converse(scenario=scenario)["usage"]
    assert (usage["inputTokens"], usage["cacheReadInputTokens"], usage["totalTokens"]) == (6, 4, 15)


@pytest.mark.parametrize("broken", ["reset", "event"])
def test_a_stream_breaks_as_the_scenario_wants(broken):
    scenario = evolve(STANDARD, broken=broken)
    played = call({"messages": [user("@@MID")]}, action="converse-stream", scenario=scenario)
    told = events(played)
    assert played.ending == ("reset" if broken == "reset" else "end")
    assert told[-1][0] == ("contentBlockDelta" if broken == "reset" else "modelStreamErrorException")
    assert "messageStop" not in dict(told)


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        pytest.param("chat", {"nonsense": 1}, "extraneous key [nonsense]", id="an unknown field"),
        pytest.param("chat", {"messages": []}, "length greater than or equal to 1", id="no turns"),
        pytest.param("chat", {"messages": [{"role": "tool", "content": [{"text": "x"}]}]}, "enum value set", id="a role"),
        pytest.param("chat", {"messages": [{"role": "user", "content": []}]}, "is empty", id="an empty turn"),
        pytest.param("chat", {"messages": [user(" ")]}, "is blank", id="a blank text"),
        pytest.param("chat", {"messages": [said({"text": "x"})]}, "must start with a user", id="the model first"),
        pytest.param("chat", {"messages": [user(), user()]}, "must alternate", id="two of one speaker"),
        pytest.param("chat", {"messages": [user("x", {"nonsense": 1})]}, "known content blocks", id="an unknown block"),
        pytest.param("basic", {"messages": [user("x", {"image": {"format": "png", "source": {"bytes": PIXEL}}})]},
                     "image content block", id="a picture for the blind"),
        pytest.param("chat", {"messages": [user("x", {"image": {"format": "bmp", "source": {"bytes": PIXEL}}})]},
                     "enum value set", id="a picture of another kind"),
        pytest.param("tools", {"messages": [user(), said(USE), user("x")], **BOTH}, "Expected toolResult", id="no answer to a call"),
        pytest.param("tools", {"messages": [user("x", RESULT)], **BOTH}, "exceeds the number", id="an answer to no call"),
        pytest.param("tools", {"messages": [user(), said(USE), {"role": "user", "content": [RESULT]}]},
                     "toolConfig field must be defined", id="calls without tools"),
        pytest.param("tools", {"toolConfig": {"tools": []}}, "length greater", id="no tools"),
        pytest.param("basic", BOTH, "doesn't support tool use", id="tools for one that has no hands"),
        pytest.param("tools", {"toolConfig": {"tools": [WEATHER, WEATHER]}}, "unique", id="a tool twice"),
        pytest.param("tools", {"toolConfig": {"tools": [{"toolSpec": {"name": "a.b", "inputSchema": {"json": SCHEMA}}}]}},
                     "regular expression", id="a name"),
        pytest.param("tools", {"toolConfig": {"tools": [{"toolSpec": {"name": "a", "inputSchema": {"json": {}}}}]}},
                     "must be one of the following: object", id="parameters that are no object"),
        pytest.param(LLAMA, {"toolConfig": {"tools": [WEATHER], "toolChoice": {"any": {}}}}, "toolChoice.any", id="a choice"),
        pytest.param("chat", {"inferenceConfig": {"temperature": 1.5}}, "between 0 and 1", id="too hot"),
        pytest.param("chat", {"inferenceConfig": {"topK": 1}}, "extraneous key [topK]", id="a sampler it does not have"),
        pytest.param("chat", {"inferenceConfig": {"stopSequences": [" "]}}, "non-whitespace", id="a blank stop text"),
        pytest.param("amazon.titan-text-express-v1", {"system": [{"text": "x"}]}, "system messages", id="a system text"),
        pytest.param("chat", {"system": [{"text": " "}]}, "is blank", id="a blank system text"),
        pytest.param(CLAUDE, {"inferenceConfig": {"temperature": 0.5, "topP": 0.5}}, "cannot both", id="two samplers"),
        pytest.param(OPUS, {"inferenceConfig": {"temperature": 0.5}}, "deprecated", id="a sampler at all"),
        pytest.param(OPUS, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
                     "adaptive", id="a budget"),
        pytest.param(CLAUDE, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 10}}},
                     "1024", id="too small a budget"),
        pytest.param(CLAUDE, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
                              "inferenceConfig": {"maxTokens": 2000}}, "greater than", id="no room for words"),
        pytest.param(CLAUDE, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
                              "toolConfig": {"tools": [WEATHER], "toolChoice": {"any": {}}}}, "forces tool use", id="forced and thinking"),
        pytest.param(NOVA, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
                     "extraneous key [thinking]", id="thinking for one that does not"),
        pytest.param(NOVA, {"outputConfig": {"textFormat": {"type": "json_schema"}}}, "textFormat", id="a schema"),
        pytest.param("embed", {}, "doesn't support the model", id="words of a model of vectors"),
        pytest.param("amazon.titan-text-express-v1", {"messages": [user("a " * 9000)]}, "too long", id="too many words"),
    ],
)  # fmt: skip
def test_a_faulty_request_is_refused(model, fields, words):
    status, name, told = refusal(call({"messages": [user()], **fields}, model))
    assert (status, name) == (400, "ValidationException")
    assert words in told


def test_an_unknown_model():
    assert refusal(call({}, "no.such-model")) == (
        400,
        "ValidationException",
        "The provided model identifier is invalid.",
    )


def test_what_is_no_json():
    assert refusal(call(b"{", "chat"))[1] == "SerializationException"


def test_an_unknown_operation():
    assert refusal(post("/aws_bedrock/model/chat/nonsense", {}))[:2] == (404, "UnknownOperationException")


KEYED = evolve(STANDARD, key="k")
SIGNED = (
    "AWS4-HMAC-SHA256 Credential={}/20260202/us-east-1/bedrock/aws4_request, "
    "SignedHeaders=content-type;host;x-amz-date, Signature=" + "0" * 64
)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        pytest.param({}, "MissingAuthenticationTokenException", id="nothing"),
        pytest.param({"authorization": "Bearer x"}, "UnrecognizedClientException", id="another API key"),
        pytest.param({"authorization": "Bearer k"}, None, id="its API key"),
        pytest.param({"authorization": SIGNED.format("x"), "x-amz-date": "20260202T024000Z"},
                     "UnrecognizedClientException", id="another pair"),
        pytest.param({"authorization": SIGNED.format("k"), "x-amz-date": "20260202T024000Z"}, None, id="its pair"),
        pytest.param({"authorization": SIGNED.format("k")}, "IncompleteSignatureException", id="no date"),
        pytest.param({"authorization": SIGNED.format("k")[:-1], "x-amz-date": "20260202T024000Z"},
                     "IncompleteSignatureException", id="a signature cut short"),
    ],
)  # fmt: skip
def test_who_is_let_in(headers, name):
    played = call({"messages": [user()]}, scenario=KEYED, **headers)
    if name is None:
        assert played.head.status == 200
    else:
        assert refusal(played)[:2] == (403, name)


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "ValidationException"), (401, "UnrecognizedClientException"), (429, "ThrottlingException"),
     (500, "InternalServerException"), (503, "ServiceUnavailableException")],
)  # fmt: skip
def test_errors_of_the_script_and_of_the_scenario(status, name):
    told = 403 if status == 401 else status
    assert refusal(call({"messages": [user(f"@@ERR{status}")]}))[:2] == (told, name)
    scenario = evolve(STANDARD, faults=(Fault(status=status, retry_after=3, models=frozenset({CLAUDE})),))
    played = call({"messages": [user()]}, CLAUDE, scenario=scenario)
    assert refusal(played)[:2] == (told, name)
    assert played.head.headers["retry-after"] == "3"
    assert call({"messages": [user()]}, scenario=scenario).head.status == 200


@pytest.mark.parametrize(
    ("model", "body", "expected"),
    [
        ("embed", {"inputText": "a b"}, {"embedding": [3.0, 4.0, 12.0, 0.0], "inputTextTokenCount": 2}),
        ("cohere.embed-english-v3", {"texts": ["a", "b"], "input_type": "search_document"},
         {"embeddings": [[3.0, 4.0, 12.0, 0.0]] * 2, "id": "sim", "response_type": "embeddings_floats", "texts": ["a", "b"]}),
    ],
)  # fmt: skip
def test_vectors(model, body, expected):
    assert json.loads(call(body, model, "invoke").body) == expected


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("embed", {}),
        ("embed", {"inputText": ""}),
        ("embed", {"inputText": "a", "x": 1}),
        ("amazon.titan-embed-text-v2:0", {"inputText": "a", "dimensions": 5}),
        ("cohere.embed-english-v3", {"texts": ["a"]}),
        ("cohere.embed-english-v3", {"texts": ["a"] * 97, "input_type": "search_query"}),
        ("chat", {"inputText": "a"}),
    ],
)
def test_faulty_vectors_are_refused(model, body):
    assert refusal(call(body, model, "invoke"))[:2] == (400, "ValidationException")


def test_the_list_names_models_without_their_profiles():
    listed = json.loads(get("/aws_bedrock/foundation-models").body)["modelSummaries"]
    by_id = {entry["modelId"]: entry for entry in listed}
    assert by_id[CLAUDE.removeprefix("us.")]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    assert by_id[NOVA]["inferenceTypesSupported"] == ["ON_DEMAND"]
    assert by_id["embed"]["outputModalities"] == ["EMBEDDING"]
