"""Reading `:generateContent`, `:streamGenerateContent` and `:countTokens`."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects import dialect_at, google_chat
from adapters.dialects.google_thoughts import packed, unpacked
from adapters.providers import CODECS
from adapters.simulator.google_rules import camel
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
    Opaque,
    Reasoning,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Problem
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.dialects.calls import ID, post
from tests.adapters.providers.recorded import ROOT

PATH = "/v1beta/models/m:generateContent"
HI = {"role": "user", "parts": [{"text": "hi"}]}
BASE = {"contents": [HI]}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\xfb\xff" * 8).decode()
CLAUDES = {"type": "reasoning.text", "text": "so", "signature": "s", "format": "anthropic-claude-v1"}
SIGNED = {"type": "reasoning.encrypted", "data": "c2ln", "format": "google-gemini-v1"}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def read(body, path=PATH):
    return google_chat.read(post(path, body))


def said(*parts, role="model"):
    """The messages of a conversation with a turn of these parts."""
    request = read({"contents": [HI, {"role": role, "parts": list(parts)}]})
    assert not isinstance(request, Problem), request
    return request.messages[1:]


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        pytest.param("/v1beta/models/gpt-4o:generateContent", "gpt-4o", False, id="a plain name"),
        pytest.param("/v1beta/models/gpt-4o:streamGenerateContent", "gpt-4o", True, id="a stream"),
        pytest.param("/v1/models/a/b:7b:streamGenerateContent?alt=sse", "a/b:7b", True, id="slash and colon"),
        pytest.param("/v1alpha/models/m:generateContent?key=x", "m", False, id="the other version"),
        pytest.param("/v1beta/tunedModels/t:generateContent", "tunedModels/t", False, id="a tuned model"),
    ],
)
def test_the_path_says_what_is_called(path, model, stream):
    assert dialect_at(path.partition("?")[0]) is google_chat.DIALECT
    request = read(BASE, path)
    assert (request.model, request.stream) == (model, stream)
    assert request.source.body["model"] == model
    assert request.source.headers == ({"alt": "sse"} if "alt=sse" in path else {})


@pytest.mark.parametrize(
    "path",
    ["/v1beta/models/m", "/v1beta/models/:generateContent", "/v1beta/models/m:predict", "/v1/models/m:7b"],
)
def test_other_paths_are_no_model_calls(path):
    assert dialect_at(path) is None


@pytest.mark.parametrize(
    ("parts", "role", "messages"),
    [
        pytest.param(
            [{"text": "a"}, {"text": "b"}], "user", [Message(Role.USER, (Text("a"), Text("b")))], id="texts"
        ),
        pytest.param([{"text": ""}], "user", [Message(Role.USER, (Text(""),))], id="no words of the user"),
        pytest.param([{"text": ""}], "model", [], id="no words of the model"),
        pytest.param(
            [
                {
                    "inlineData": {
                        "mimeType": "image/png",
                        "data": PNG.replace("+", "-").replace("/", "_").rstrip("="),
                    }
                }
            ],
            "user",
            [Message(Role.USER, (Image(PNG, media_type="image/png"),))],
            id="a picture in the alphabet of addresses",
        ),
        pytest.param(
            [{"inlineData": {"mimeType": "text/plain", "data": "aGk="}}],
            "user",
            [Message(Role.USER, (Text("hi"),))],
            id="a file of text",
        ),
        pytest.param(
            [{"inlineData": {"mimeType": "application/pdf", "data": "JVBERg"}}],
            "user",
            [
                Message(
                    Role.USER,
                    (
                        Opaque(
                            "openai.chat",
                            {
                                "type": "file",
                                "file": {
                                    "filename": "document.pdf",
                                    "file_data": "data:application/pdf;base64,JVBERg==",
                                },
                            },
                        ),
                    ),
                )
            ],
            id="a PDF file",
        ),
        pytest.param(
            [{"fileData": {"fileUri": "https://e.org/a.png", "mimeType": "image/png"}}],
            "user",
            [Message(Role.USER, (Image(url="https://e.org/a.png", media_type="image/png"),))],
            id="a picture on the web",
        ),
        pytest.param(
            [{"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}],
            "user",
            [
                Message(
                    Role.USER,
                    (
                        Opaque(
                            "google.generate", {"fileData": {"fileUri": "gs://a/b", "mimeType": "image/png"}}
                        ),
                    ),
                )
            ],
            id="a picture that lies with Google",
        ),
        pytest.param(
            [{"executableCode": {"code": "1"}}],
            "model",
            [Message(Role.ASSISTANT, (Opaque("google.generate", {"executableCode": {"code": "1"}}),))],
            id="what only Google knows",
        ),
        pytest.param(
            [{"text": "so", "thought": True}, {"text": "then", "thought": True}, {"text": "yes"}],
            "model",
            [Message(Role.ASSISTANT, (Reasoning("sothen"), Text("yes")))],
            id="bare thoughts, in pieces",
        ),
        pytest.param(
            [{"text": "so", "thought": True, "thoughtSignature": "c2ln"}],
            "model",
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning(
                            "so",
                            {
                                "reasoning_details": [
                                    {
                                        "type": "reasoning.text",
                                        "text": "so",
                                        "signature": "c2ln",
                                        "format": "google-gemini-v1",
                                    }
                                ]
                            },
                        ),
                    ),
                )
            ],
            id="signed thoughts",
        ),
        pytest.param(
            [{"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}],
            "model",
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning("", {"reasoning_details": [{**SIGNED, "id": "c1"}]}),
                        ToolCall("c1", "f", '{"a":1}'),
                    ),
                )
            ],
            id="a signed call",
        ),
        pytest.param(
            [
                {"text": "so", "thought": True},
                {"functionCall": {"id": "c1", "name": "f"}, "thoughtSignature": packed([CLAUDES])},
            ],
            "model",
            [
                Message(
                    Role.ASSISTANT,
                    (Reasoning("so", {"reasoning_details": [CLAUDES]}), ToolCall("c1", "f", "{}")),
                )
            ],
            id="thoughts of another vendor, carried by a call",
        ),
    ],
)
def test_parts(parts, role, messages):
    assert list(said(*parts, role=role)) == messages


@pytest.mark.parametrize(
    ("calls", "results", "answered"),
    [
        pytest.param(["a/f", "b/f"], ["b/f", "a/f"], ["b", "a"], id="by their ids"),
        pytest.param(["/f", "/g"], ["/g", "/f"], [1, 0], id="by their names"),
        pytest.param(["/f", "/f"], ["/f", "/f"], [0, 1], id="of one name, in order"),
        pytest.param(["/f", "/g"], ["/x", "/y"], [0, 1], id="of unknown names, in order"),
    ],
)
def test_results_belong_to_calls(calls, results, answered):
    def named(text, kind, **rest):
        id, _, name = text.partition("/")
        return {kind: {**({"id": id} if id else {}), "name": name, **rest}}

    request = read(
        {
            "contents": [
                HI,
                {"role": "model", "parts": [named(call, "functionCall", args={}) for call in calls]},
                {
                    "role": "user",
                    "parts": [named(one, "functionResponse", response={"result": "x"}) for one in results],
                },
            ]
        }
    )
    made = [part.id for part in request.messages[1].parts]
    assert len(set(made)) == len(calls)
    found = [message.parts[0] for message in request.messages[2:]]
    assert [message.role for message in request.messages[2:]] == [Role.TOOL] * len(results)
    assert [result.call_id for result in found] == [
        made[at] if isinstance(at, int) else at for at in answered
    ]


@pytest.mark.parametrize(
    ("response", "text", "failed"),
    [
        pytest.param({"result": "22"}, "22", False, id="a text alone"),
        pytest.param({"result": {"t": 22}}, '{"t":22}', False, id="a value alone"),
        pytest.param({"output": "22"}, '{"output":"22"}', False, id="an object"),
        pytest.param({"error": "no"}, '{"error":"no"}', True, id="a failure"),
        pytest.param({}, "{}", False, id="nothing"),
    ],
)
def test_results(response, text, failed):
    (message,) = said({"functionResponse": {"id": "c", "name": "f", "response": response}}, role="user")
    assert message == Message(Role.TOOL, (ToolResult("c", "f", text, failed),))


def test_a_result_with_a_picture_and_words_beside_it():
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    result, rest = said(
        {"text": "look"}, {"functionResponse": {"name": "f", "response": {}, "parts": [blob]}}, role="user"
    )
    assert result.parts[1] == Image(PNG, media_type="image/png")
    assert rest == Message(Role.USER, (Text("look"),))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(
            {
                "temperature": 0.5, "topP": 0.9, "topK": 40.0, "maxOutputTokens": "100", "stopSequences": ["x"],
                "seed": 7, "presencePenalty": 0.1, "frequencyPenalty": 0.2,
            },
            {"sampling": Sampling(100, 0.5, 0.9, 40, None, 7, ("x",), 0.1, 0.2)},
            id="sampling, numbers as any JSON of protocol buffers has them",
        ),
        pytest.param({"candidateCount": 2}, {"choices": 2}, id="several answers"),
        pytest.param({"responseLogprobs": True}, {"logprobs": 0}, id="log probabilities"),
        pytest.param({"responseLogprobs": True, "logprobs": 3}, {"logprobs": 3}, id="and of others"),
        pytest.param({"logprobs": 3}, {"logprobs": None}, id="a number that nobody asked for"),
        pytest.param({"responseMimeType": "application/json"}, {"format": Format()}, id="any JSON"),
        pytest.param({"responseMimeType": "text/plain"}, {"format": None}, id="plain text"),
        pytest.param(
            {"responseMimeType": "application/json", "responseJsonSchema": WEATHER},
            {"format": Format(WEATHER)},
            id="JSON Schema",
        ),
        pytest.param(
            {
                "responseMimeType": "application/json",
                "responseSchema": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
            },
            {"format": Format(WEATHER)},
            id="a schema of OpenAPI",
        ),
        pytest.param(
            {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}},
            {
                "format": None,
                "extra": {
                    "google.config": {
                        "responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a"]}
                    }
                },
            },
            id="a form that only Google knows",
        ),
        pytest.param(
            {"mediaResolution": "LOW"}, {"extra": {"google.config": {"mediaResolution": "LOW"}}}, id="other fields"
        ),
        *(
            pytest.param({"thinkingConfig": config}, {"thinking": thinking}, id=f"thinking: {config}")
            for config, thinking in (
                ({}, None),
                ({"includeThoughts": False}, None),
                ({"includeThoughts": True}, Thinking(True, wish=True)),
                ({"thinkingBudget": 0, "includeThoughts": True}, Thinking(False)),
                ({"thinkingBudget": -1}, Thinking(True, wish=True)),
                ({"thinkingBudget": 99}, Thinking(True, budget=99, wish=True)),
                ({"thinkingLevel": "high"}, Thinking(True, "high", wish=True)),
                ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
            )
        ),
    ],
)  # fmt: skip
def test_configuration(config, expected):
    request = read({**BASE, "generationConfig": config})
    assert {name: getattr(request, name) for name in expected} == expected


TOOL = {"name": "f", "description": "does", "parametersJsonSchema": WEATHER}


@pytest.mark.parametrize(
    ("body", "tools", "choice", "extra"),
    [
        pytest.param({"tools": [{"functionDeclarations": [TOOL]}]}, ["f"], None, {}, id="a function"),
        pytest.param(
            {"tools": [{"googleSearch": {}, "functionDeclarations": [TOOL]}, {"urlContext": {}}]},
            ["f"], None, {"google.tools": {"googleSearch": {}, "urlContext": {}}}, id="tools that Google runs",
        ),
        pytest.param(
            {"tools": [{"functionDeclarations": [{**TOOL, "behavior": "BLOCKING"}]}]},
            ["f"], None, {"google.beside": {"tools.behavior": True}}, id="what only Google knows of a function",
        ),
        *(
            pytest.param(
                {
                    "tools": [{"functionDeclarations": [TOOL, {"name": "g"}, {"name": "h"}]}],
                    "toolConfig": {"functionCallingConfig": {"mode": mode, **({"allowedFunctionNames": names} if names else {})}},
                },
                tools, choice, {}, id=f"{mode} {names}",
            )
            for mode, names, tools, choice in (
                ("AUTO", [], ["f", "g", "h"], ToolChoice("auto")),
                ("NONE", [], ["f", "g", "h"], ToolChoice("none")),
                ("any", [], ["f", "g", "h"], ToolChoice("required")),
                ("ANY", ["g"], ["f", "g", "h"], ToolChoice("named", "g")),
                ("ANY", ["g", "h"], ["g", "h"], ToolChoice("required")),
                ("MODE_UNSPECIFIED", [], ["f", "g", "h"], None),
            )
        ),
        pytest.param(
            {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}},
            [], None, {"google.generate": {"toolConfig": {"retrievalConfig": {"languageCode": "de"}}}}, id="its other half",
        ),
        pytest.param(
            {"safetySettings": [{"category": "X"}], "cachedContent": "cachedContents/1"},
            [], None, {"google.generate": {"safetySettings": [{"category": "X"}], "cachedContent": "cachedContents/1"}},
            id="fields of Google alone",
        ),
    ],
)  # fmt: skip
def test_tools_and_what_is_kept(body, tools, choice, extra):
    request = read({**BASE, **body})
    assert [tool.name for tool in request.tools] == tools
    assert request.tool_choice == choice
    assert request.extra == extra


def test_names_with_underscores_mean_the_same():
    camel = {
        "systemInstruction": {"parts": {"text": "be kind"}},
        "contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "hi"}]}],
        "tools": [
            {"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"properties": {"a_b": {}}}}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "generationConfig": {"maxOutputTokens": 9, "thinkingConfig": {"includeThoughts": True}},
        "safetySettings": [{"category": "X"}],
    }
    snake = {
        "system_instruction": {"parts": {"text": "be kind"}},
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}, {"text": "hi"}]}],
        "tools": [
            {"function_declarations": [{"name": "f", "parameters_json_schema": {"properties": {"a_b": {}}}}]}
        ],
        "tool_config": {"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
        "generation_config": {"max_output_tokens": 9, "thinking_config": {"include_thoughts": True}},
        "safety_settings": [{"category": "X"}],
    }
    assert read(snake) == read(camel)
    assert read(snake).messages[0] == Message(Role.SYSTEM, (Text("be kind"),))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "contents", id="no conversation"),
        pytest.param({"contents": [{"role": "user"}]}, "contents[0].parts", id="a turn without parts"),
        pytest.param(
            {"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "contents[0].role", id="a role"
        ),
        pytest.param({"contents": [{"parts": [{"text": 1}]}]}, "contents[0].parts[0].text", id="a text"),
        pytest.param({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]", id="a part"),
        pytest.param(
            {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "!"}}]}]},
            "contents[0].parts[0].inlineData.data",
            id="data that is none",
        ),
        pytest.param(
            {"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]},
            "contents[0].parts[0].functionCall.name",
            id="a call of nothing",
        ),
        pytest.param(
            {**BASE, "generationConfig": {"temperature": "hot"}},
            "generationConfig.temperature",
            id="a number",
        ),
        pytest.param(
            {**BASE, "generationConfig": {"topK": 1.5}}, "generationConfig.topK", id="a whole number"
        ),
        pytest.param(
            {**BASE, "generationConfig": {"maxOutputTokens": 0}},
            "generationConfig.maxOutputTokens",
            id="no answer",
        ),
        pytest.param(
            {**BASE, "generationConfig": {"thinkingConfig": {"thinkingLevel": "SOME"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
            id="a level",
        ),
        pytest.param(
            {**BASE, "generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}},
            "generationConfig.thinkingConfig.thinkingBudget",
            id="a budget",
        ),
        pytest.param(
            {**BASE, "tools": [{"functionDeclarations": [{}]}]},
            "tools[0].functionDeclarations[0].name",
            id="a tool",
        ),
        pytest.param(
            {
                **BASE,
                "tools": [{"functionDeclarations": [TOOL]}],
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
            id="a tool that is not there",
        ),
        pytest.param({**BASE, "api_key": "x"}, "api_key", id="what a client may not say"),
    ],
)
def test_faults_name_their_field(body, field):
    problem = read(body)
    assert isinstance(problem, Problem)
    assert problem.subject == field
    answer = google_chat.DIALECT.refuse(problem, None, ID)
    error = json.loads(answer.body)["error"]
    assert (answer.head.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert error["details"][0]["fieldViolations"][0]["field"] == field


def test_before_google_a_request_goes_out_as_it_came():
    body = {
        "contents": [HI, {"role": "model", "parts": [{"text": "x", "videoMetadata": {"fps": 1}}]}, HI],
        "generationConfig": {"topK": 40, "speechConfig": {"a": 1}},
        "safetySettings": [{"category": "X"}],
        "somethingNew": {"a_b": 1},
    }
    target = Target(Provider("p", "google", "https://g/v1beta"), ModelFacts("gemini-2.5-flash"))
    encoded = CODECS["google"].encode(read(body), target)
    assert json.loads(encoded.http.body) == body
    assert encoded.losses == ()


def test_what_was_carried_for_others_does_not_go_to_google():
    call = {"functionCall": {"name": "f", "args": {}}}
    body = {
        "contents": [
            HI,
            {
                "role": "model",
                "parts": [
                    {"text": "", "thought": True, "thoughtSignature": packed([CLAUDES])},
                    {**call, "thoughtSignature": packed([CLAUDES])},
                ],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        ]
    }
    provider = Provider("p", "google", "https://g/v1beta")
    for model, mark in (("gemini-2.5-flash", None), ("gemini-3-pro", "skip_thought_signature_validator")):
        encoded = CODECS["google"].encode(read(body), Target(provider, ModelFacts(model)))
        (part,) = json.loads(encoded.http.body)["contents"][1]["parts"]
        assert part == ({**call, "thoughtSignature": mark} if mark else call)


@pytest.mark.parametrize("several", [list, lambda turns: turns[0]])
def test_neither_does_it_where_one_stands_for_a_list(several):
    part = {"text": "Hi", "thoughtSignature": packed([CLAUDES])}
    request = read({"contents": several([{"role": "user", "parts": part}])})
    assert request.source.body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]


# No details that were told so nest so deep, and nobody could be told them.
DEEP = base64.b64encode(b'carried:[{"a":' + b"[" * 300 + b"]" * 300 + b"}]").decode()


@pytest.mark.parametrize(
    "garbage", ["", "c2ln", "not base64!", base64.b64encode(b"carried:{").decode(), DEEP]
)
def test_signatures_of_others_carry_nothing(garbage):
    assert not unpacked(garbage)


def test_a_packed_detail_survives_the_other_alphabet():
    text = packed([{"type": "reasoning.encrypted", "data": "??>>~~", "format": "x"}])
    other = text.replace("+", "-").replace("/", "_").rstrip("=")
    assert (
        unpacked(other)
        == unpacked(text)
        == [{"type": "reasoning.encrypted", "data": "??>>~~", "format": "x"}]
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"contents": [{"parts": [{"text": "x"}]}]}, id="a conversation"),
        pytest.param(
            {"generateContentRequest": {"model": "models/m", "contents": [{"parts": [{"text": "x"}]}]}},
            id="a whole request",
        ),
    ],
)
def test_counting(body):
    asked = google_chat.read_counted(post("/v1beta/models/m:countTokens", body))
    assert isinstance(asked, ChatRequest)
    assert (asked.model, asked.messages, asked.stream) == ("m", (Message(Role.USER, (Text("x"),)),), False)


@pytest.mark.parametrize("by", ["provider", "estimate"])
def test_a_count_says_whose_it_is(by):
    answer = google_chat.counted(100, by)
    assert json.loads(answer.body) == {"totalTokens": 100}
    assert answer.head.headers["x-token-count"] == by


def test_counting_of_nothing_is_refused():
    assert isinstance(google_chat.read_counted(post("/v1beta/models/m:countTokens", {})), Problem)


RECORDED = [json.loads(path.read_text()) for path in sorted(ROOT.glob("gemini.*enerateContent*.json"))]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(found, id=found["id"])
        for found in RECORDED
        if isinstance(found["request"]["body"], dict) and found["request"]["body"]
    ],
)
def test_recorded_requests_are_read_and_go_out_as_they_came(found):
    body = found["request"]["body"]
    request = read(body)
    assert not isinstance(request, Problem), request
    target = Target(Provider("p", "google", "https://g/v1beta"), ModelFacts("gemini-2.5-flash"))
    encoded = CODECS["google"].encode(request, target)
    assert encoded.losses == ()
    assert camel(json.loads(encoded.http.body)) == camel(body)


def test_a_schema_of_openapi_becomes_json_schema():
    schema = {
        "type": "OBJECT",
        "property_ordering": ["b", "a"],
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"], "example": "x"},
            "b": {
                "type": "ARRAY",
                "minItems": "1",
                "items": {"any_of": [{"type": "NUMBER"}], "nullable": True},
            },
        },
    }
    tool = {"name": "f", "parameters": schema}
    request = read({**BASE, "tools": [{"functionDeclarations": [tool]}]})
    assert request.tools == (
        Tool(
            "f",
            None,
            {
                "type": "object",
                "properties": {
                    "b": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                    },
                    "a": {"type": ["string", "null"], "enum": ["x", None], "examples": ["x"]},
                },
            },
        ),
    )
    assert list(request.tools[0].parameters["properties"]) == ["b", "a"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.floats(allow_nan=False) | st.sampled_from(
        ["", "user", "model", "x", "aGk=", "image/png", "ANY", "https://e.org/a.png", "application/json", "HIGH"]
    ),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(
            [
                *("role", "parts", "text", "thought", "thoughtSignature", "inlineData", "mimeType", "data"),
                *("functionCall", "functionResponse", "name", "args", "response", "fileData", "fileUri", "result"),
                *("functionDeclarations", "parameters", "functionCallingConfig", "mode", "allowedFunctionNames"),
                *("thinkingConfig", "thinkingLevel", "responseSchema", "responseMimeType", "type", "topK"),
                *("properties", "any_of", "content", "outputDimensionality", "inline_data", "function_call"),
            ]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=10,
)  # fmt: skip
PARTS = st.lists(st.dictionaries(st.sampled_from(["role", "parts"]), VALUES), max_size=3) | VALUES
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "contents": PARTS | st.just([HI]),
        **dict.fromkeys(
            ("systemInstruction", "tools", "toolConfig", "generationConfig", "generateContentRequest"), VALUES
        ),
        "content": VALUES,
        "requests": st.lists(VALUES, max_size=2),
    },
)


@pytest.mark.parametrize(
    "method", ["generateContent", "streamGenerateContent", "embedContent", "batchEmbedContents"]
)
@settings(max_examples=150)
@given(body=BODIES)
def test_whatever_is_sent_is_read_or_refused(method, body):
    path = f"/v1beta/models/m:{method}"
    dialect = dialect_at(path)
    target = Target(Provider("p", "google", "https://g/v1beta"), ModelFacts("gemini-3-pro"))
    for sent in (body, {"contents": [HI], **body}):
        value = dialect.read(post(path, sent))
        if isinstance(value, Problem):
            assert json.loads(dialect.refuse(value, None, ID).body)["error"]["status"] == "INVALID_ARGUMENT"
        else:
            dialect.head(dialect.fresh(value, ID, 0.0))
            CODECS["google"].encode(value, target)
            CODECS["google"].encode(value.rewritten(), target)
            CODECS["openai"].encode(value, target)
        counted = google_chat.read_counted(post("/v1beta/models/m:countTokens", sent))
        assert isinstance(counted, ChatRequest | Problem)
