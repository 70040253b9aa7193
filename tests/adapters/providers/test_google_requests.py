"""Requests in Google's form: each field as it is said there, and each loss named."""

import json

import pytest
from attrs import evolve

from adapters.dialects.google_chat import DIALECT as GOOGLES
from adapters.providers import thoughts
from adapters.providers.google import CODEC
from pipeline.values.events import ToolCallDelta
from pipeline.values.exchange import How
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Format,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Sampling,
    Source,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.secrets import Secret
from pipeline.values.targets import ModelFacts, Provider, Target

BASE = "https://generativelanguage.googleapis.com/v1beta"
PROVIDER = Provider("p", "google", f"{BASE}/")
NEW, FLASH_25, OLD, GEMMA = "gemini-3.5-flash", "gemini-2.5-flash", "gemini-2.0-flash", "gemma-3-27b-it"
PNG = "iVBORw0KGgoAAAANSUhEUgAA"
HI = Message(Role.USER, (Text("hi"),))
ASK = ChatRequest("asked", (HI,))
PLAIN = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
SCHEMA = {
    "type": "object",
    "properties": {"z": {"type": "string"}, "a": {"type": "integer"}},
    "required": ["z"],
}
WEATHER = Tool("weather", "the sky", SCHEMA)
PASS = "skip_thought_signature_validator"
APPROXIMATED, EMULATED, DROPPED, MOOT = How.APPROXIMATED, How.EMULATED, How.DROPPED, How.MOOT


def encoded(request, model=NEW, **facts):
    """URL, body and losses."""
    found = CODEC.encode(request, Target(PROVIDER, ModelFacts(model, **facts)))
    losses = {loss.field: loss.how for loss in found.losses}
    assert len(losses) == len(found.losses)
    return found.http.url, json.loads(found.http.body), losses


def contents(*turns, model=NEW):
    _, body, losses = encoded(ChatRequest("asked", turns), model)
    return body, losses


PDF = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}


@pytest.mark.parametrize(
    ("value", "data"),
    [
        pytest.param(
            {"type": "file", "file": PDF}, {"mimeType": "application/pdf", "data": "JVBERg=="}, id="a PDF"
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "data:text/markdown;charset=utf-8;base64,aGk="}},
            {"mimeType": "text/markdown", "data": "aGk="},
            id="a text",
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"mimeType": "audio/wav", "data": "UklGRg=="},
            id="spoken words",
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
            {"mimeType": "audio/mp3", "data": "SUQz"},
            id="in another form",
        ),
        pytest.param({"type": "file", "file": {"file_id": "file-1"}}, None, id="a file that lies elsewhere"),
        pytest.param(
            {"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}},
            None,
            id="a file nobody reads",
        ),
        pytest.param(
            {"type": "file", "file": {"file_data": "JVBERg=="}}, None, id="of which nobody says what it is"
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "x", "format": "pcm16"}}, None, id="bare sound"
        ),
        pytest.param({"type": "input_audio", "input_audio": {"data": 5}}, None, id="no sound"),
    ],
)
def test_files_and_spoken_words(value, data):
    body, losses = contents(Message(Role.USER, (Text("hi"), Opaque("openai.chat", value))))
    parts = [{"text": "hi"}] + ([] if data is None else [{"inlineData": data}])
    assert body["contents"] == [user(*parts)]
    assert losses == ({value["type"]: DROPPED} if data is None else {})


def test_gemma_takes_no_files():
    said = Message(Role.USER, (Text("hi"), Opaque("openai.chat", {"type": "file", "file": PDF})))
    body, losses = contents(said, model="gemma-3-27b-it")
    assert (body["contents"], losses) == ([user({"text": "hi"})], {"file": DROPPED})


@pytest.mark.parametrize("name", ["wav", "mp3"])
def test_what_googles_own_clients_send_as_files_comes_back_as_it_was(name):
    blobs = [
        {"mimeType": "application/pdf", "data": "JVBERg=="},
        {"mimeType": f"audio/{name}", "data": "UklGRg=="},
    ]
    asked = {"contents": [{"role": "user", "parts": [{"inlineData": blob} for blob in blobs]}]}
    http = HttpRequest(
        "POST",
        "/v1beta/models/m:generateContent",
        {"content-type": "application/json"},
        json.dumps(asked).encode(),
    )
    request = GOOGLES.read(http)
    _, body, losses = encoded(request.rewritten())
    assert (body["contents"], losses) == (asked["contents"], {})


def added(model=NEW, /, facts=None, **changes):
    """What these changes add to the plain request, and the losses."""
    _, body, losses = encoded(evolve(ASK, **changes), model, **(facts or {}))
    return {key: value for key, value in body.items() if key not in PLAIN}, losses


def config(model=NEW, /, facts=None, **changes):
    body, losses = added(model, facts, **changes)
    return body.get("generationConfig"), losses


def user(*parts):
    return {"role": "user", "parts": list(parts)}


def model(*parts):
    return {"role": "model", "parts": list(parts)}


def call(id, name, args, signature=None):
    part = {"functionCall": {"id": id, "name": name, "args": args}}
    return part if signature is None else {**part, "thoughtSignature": signature}


def response(id, name, value):
    return {"functionResponse": {"id": id, "name": name, "response": value}}


def test_the_plain_request():
    http = CODEC.encode(ASK, Target(PROVIDER, ModelFacts(NEW))).http
    assert (http.method, http.url) == ("POST", f"{BASE}/models/{NEW}:generateContent")
    assert json.loads(http.body) == PLAIN
    assert http.headers["accept"] == "application/json"


def test_a_stream_has_a_method_of_its_own():
    http = CODEC.encode(evolve(ASK, stream=True), Target(PROVIDER, ModelFacts(NEW))).http
    assert http.url == f"{BASE}/models/{NEW}:streamGenerateContent?alt=sse"
    assert json.loads(http.body) == PLAIN
    assert http.headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param("models/gemini-x", "models/gemini-x", id="a name with its folder"),
        pytest.param("tunedModels/mine-1", "tunedModels/mine-1", id="a model of the user's own tuning"),
        pytest.param("a b?c#d", "models/a%20b%3Fc%23d", id="letters that would change the address"),
    ],
)
def test_the_model_stands_in_the_address(name, place):
    assert encoded(ASK, name)[0] == f"{BASE}/{place}:generateContent"


def test_the_key_is_a_header_and_no_part_of_the_address():
    http = CODEC.encode(ASK, Target(PROVIDER, ModelFacts(NEW))).http
    signed = CODEC.sign(http, Secret("key"), 0.0)
    assert signed.headers["x-goog-api-key"] == "key"
    assert signed.url == http.url
    assert CODEC.sign(http, Secret(), 0.0) == http


def test_the_list_of_models_is_one_page():
    assert CODEC.list_models(PROVIDER).url == f"{BASE}/models?pageSize=1000"


CALLS = (ToolCall("a", "weather", '{"z":"Paris"}'), ToolCall("b", "noargs", "{}"))
DETAILS = [{"type": "reasoning.encrypted", "data": "SIG", "id": "a", "format": thoughts.GEMINI, "index": 0}]


def thought(text, *details):
    return Reasoning(text, {thoughts.FORMAT: list(details)} if details else {})


@pytest.mark.parametrize(
    ("turns", "expected", "losses"),
    [
        pytest.param(
            [Message(Role.SYSTEM, (Text("be kind"),)), HI, Message(Role.ASSISTANT, (Text("Hello"),)), HI],
            {
                "contents": [user({"text": "hi"}), model({"text": "Hello"}), user({"text": "hi"})],
                "systemInstruction": {"parts": [{"text": "be kind"}]},
            },
            {},
            id="several turns",
        ),
        pytest.param(
            [HI, Message(Role.SYSTEM, (Text("be brief"),)), HI],
            {
                "contents": [user({"text": "hi"}, {"text": "hi"})],
                "systemInstruction": {"parts": [{"text": "be brief"}]},
            },
            {"system": APPROXIMATED},
            id="an instruction in between is said earlier, and turns of one speaker are one",
        ),
        pytest.param(
            [Message(Role.SYSTEM, (Text("be kind"),))],
            {"contents": [user({"text": "be kind"})]},
            {"system": EMULATED},
            id="an instruction alone",
        ),
        pytest.param(
            [Message(Role.USER, (Text(""),))], {"contents": [user({"text": ""})]}, {}, id="nothing said"
        ),
        pytest.param(
            [Message(Role.USER, (Text("what?"), Image(PNG), Image("AAAA", media_type="image/webp")))],
            {
                "contents": [
                    user(
                        {"text": "what?"},
                        {"inlineData": {"mimeType": "image/png", "data": PNG}},
                        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
                    )
                ]
            },
            {},
            id="pictures by data",
        ),
        pytest.param(
            [
                Message(
                    Role.USER,
                    (
                        Image(url="https://x/y.PNG?s=1", detail="low"),
                        Image(url="gs://b/o"),
                        Image(url="https://x/"),
                    ),
                )
            ],
            {
                "contents": [
                    user(
                        {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.PNG?s=1"}},
                        {"fileData": {"fileUri": "gs://b/o"}},
                        {"fileData": {"fileUri": "https://x/"}},
                    )
                ]
            },
            {"detail": DROPPED},
            id="pictures by address",
        ),
        pytest.param(
            [
                HI,
                Message(Role.ASSISTANT, (thought("hm", *DETAILS), Text("wait"), *CALLS)),
                Message(Role.TOOL, (ToolResult("b", "", "ok"),)),
                Message(Role.TOOL, (ToolResult("a", "weather", '{"t":22}'), Image(PNG))),
                HI,
            ],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(
                        {"text": "wait"}, call("a", "weather", {"z": "Paris"}, "SIG"), call("b", "noargs", {})
                    ),
                    user(response("a", "weather", {"t": 22}), response("b", "noargs", {"result": "ok"})),
                    user({"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "hi"}),
                ]
            },
            {},
            id="results in one turn, in the order of their calls, objects as they are and all else wrapped",
        ),
        pytest.param(
            [
                HI,
                Message(Role.ASSISTANT, CALLS[:1]),
                Message(Role.TOOL, (ToolResult("a", "", "[1]"),)),
                HI,
                Message(Role.ASSISTANT, CALLS),
                Message(Role.TOOL, (ToolResult("a", "", "1"), ToolResult("b", "", ""))),
                Message(Role.ASSISTANT, CALLS[1:]),
                Message(Role.TOOL, (ToolResult("b", "", "2"),)),
            ],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(call("a", "weather", {"z": "Paris"})),
                    user(response("a", "weather", {"result": "[1]"})),
                    user({"text": "hi"}),
                    model(call("a", "weather", {"z": "Paris"}, PASS), call("b", "noargs", {})),
                    user(response("a", "weather", {"result": "1"}), response("b", "noargs", {"result": ""})),
                    model(call("b", "noargs", {}, PASS)),
                    user(response("b", "noargs", {"result": "2"})),
                ]
            },
            {},
            id="calls of the current turn without their signatures are let pass",
        ),
        pytest.param(
            [
                HI,
                Message(Role.ASSISTANT, CALLS),
                Message(Role.TOOL, (ToolResult("a", "", "1"), Image(PNG))),
                HI,
                Message(Role.TOOL, (ToolResult("b", "", "2"),)),
            ],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(call("a", "weather", {"z": "Paris"}), call("b", "noargs", {})),
                    user(response("a", "weather", {"result": "1"}), response("b", "noargs", {"result": "2"})),
                    user({"inlineData": {"mimeType": "image/png", "data": PNG}}, {"text": "hi"}),
                ]
            },
            {},
            id="what is said between two results, and a picture that came with one, follow them",
        ),
        pytest.param(
            [HI, Message(Role.ASSISTANT, CALLS), Message(Role.TOOL, (ToolResult("b", "", "2"),)), HI],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(call("a", "weather", {"z": "Paris"}), call("b", "noargs", {})),
                    user(
                        response("a", "weather", {"error": "The tool gave no result."}),
                        response("b", "noargs", {"result": "2"}),
                    ),
                    user({"text": "hi"}),
                ]
            },
            {"messages.tool_results": APPROXIMATED},
            id="a call that nobody answered",
        ),
        pytest.param(
            [
                HI,
                Message(Role.ASSISTANT, CALLS[:1]),
                Message(Role.TOOL, (ToolResult("a", "", "1"), ToolResult("a", "", "2"))),
                Message(Role.TOOL, (ToolResult("x", "", "3"),)),
            ],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(call("a", "weather", {"z": "Paris"})),
                    user(response("a", "weather", {"result": "1"})),
                    user(
                        {"text": 'Result of a tool: {"result":"2"}'},
                        {"text": 'Result of a tool: {"result":"3"}'},
                    ),
                ]
            },
            {"messages.tool_results": APPROXIMATED},
            id="a call answered twice, and an answer to no call",
        ),
        pytest.param(
            [Message(Role.ASSISTANT, CALLS[:1]), Message(Role.TOOL, (ToolResult("a", "", "1"),))],
            {
                "contents": [
                    user({"text": "(The conversation begins.)"}),
                    model(call("a", "weather", {"z": "Paris"}, PASS)),
                    user(response("a", "weather", {"result": "1"})),
                ]
            },
            {"messages": APPROXIMATED},
            id="a call before the user has spoken",
        ),
        pytest.param(
            [HI, Message(Role.ASSISTANT, (Opaque("google.generate", {"functionCall": {"name": "f"}}),)), HI],
            {
                "contents": [
                    user({"text": "hi"}),
                    model({"functionCall": {"name": "f"}}),
                    user(
                        {"functionResponse": {"name": "f", "response": {"error": "The tool gave no result."}}}
                    ),
                    user({"text": "hi"}),
                ]
            },
            {"messages.tool_results": APPROXIMATED},
            id="a call in this form's own words, which need no id",
        ),
        pytest.param(
            [
                HI,
                Message(
                    Role.ASSISTANT,
                    (
                        thought(
                            "hm",
                            {
                                "type": "reasoning.text",
                                "text": "hm",
                                "signature": "T",
                                "format": thoughts.GEMINI,
                            },
                            {"type": "reasoning.encrypted", "data": "S", "format": thoughts.GEMINI},
                            {"type": "reasoning.encrypted", "data": "X", "format": "anthropic-claude-v1"},
                        ),
                        Text("a"),
                        Text("b"),
                    ),
                ),
                HI,
            ],
            {
                "contents": [
                    user({"text": "hi"}),
                    model(
                        {"text": "hm", "thought": True, "thoughtSignature": "T"},
                        {"text": "a"},
                        {"text": "b", "thoughtSignature": "S"},
                    ),
                    user({"text": "hi"}),
                ]
            },
            {},
            id="signatures of thoughts and of words, and none of others",
        ),
        pytest.param(
            [HI, Message(Role.ASSISTANT, (Reasoning("hm"), Text("a"), Image(PNG))), HI],
            {"contents": [user({"text": "hi"}), model({"text": "a"}), user({"text": "hi"})]},
            {"messages.thinking": DROPPED, "messages.images": DROPPED},
            id="thoughts without a signature, and pictures of the model",
        ),
        pytest.param(
            [
                Message(
                    Role.USER,
                    (
                        Opaque("google.generate", {"videoMetadata": {}, "fileData": {"fileUri": "gs://v"}}),
                        Opaque("openai.chat", {"type": "input_audio"}),
                    ),
                    name="eve",
                )
            ],
            {"contents": [user({"videoMetadata": {}, "fileData": {"fileUri": "gs://v"}})]},
            {"input_audio": DROPPED, "messages.name": DROPPED},
            id="parts that only one form can carry",
        ),
        pytest.param(
            [HI, Message(Role.ASSISTANT, (ToolCall("a", "f", "nonsense"),))],
            {"contents": [user({"text": "hi"}), model(call("a", "f", {"arguments": "nonsense"}, PASS))]},
            {"messages.tool_calls": APPROXIMATED},
            id="arguments that are no object",
        ),
    ],
)
def test_conversations(turns, expected, losses):
    assert contents(*turns) == (expected, losses)


def test_digits_of_arguments_are_kept():
    turn = Message(Role.ASSISTANT, (ToolCall("a", "f", '{"n":123456789012345678901234567890}'),))
    found = CODEC.encode(ChatRequest("asked", (HI, turn)), Target(PROVIDER, ModelFacts(NEW)))
    assert b'"args":{"n":123456789012345678901234567890}' in found.http.body


@pytest.mark.parametrize("name", [FLASH_25, OLD])
def test_older_models_need_no_signatures(name):
    body, _ = contents(
        HI, Message(Role.ASSISTANT, CALLS[:1]), Message(Role.TOOL, (ToolResult("a", "", "1"),)), model=name
    )
    assert body["contents"][1] == model(call("a", "weather", {"z": "Paris"}))


def test_gemma_is_told_by_the_user():
    body, losses = contents(Message(Role.SYSTEM, (Text("be kind"),)), HI, model=GEMMA)
    assert body == {"contents": [user({"text": "be kind"}, {"text": "hi"})]}
    assert losses == {"system": EMULATED}
    history = [Message(Role.SYSTEM, (Text("s"),)), Message(Role.ASSISTANT, (Text("a"),)), HI]
    assert contents(*history, model=GEMMA)[0]["contents"] == [
        user({"text": "s"}),
        model({"text": "a"}),
        user({"text": "hi"}),
    ]


@pytest.mark.parametrize(
    ("sampling", "name", "expected", "losses"),
    [
        pytest.param(
            Sampling(
                max_tokens=5,
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                seed=7,
                stop=("x",),
                min_p=0.0,
                repeat_penalty=1.0,
            ),
            NEW,
            {
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "maxOutputTokens": 5,
                "seed": 7,
                "stopSequences": ["x"],
            },
            {},
            id="what all lines take",
        ),
        pytest.param(
            Sampling(min_p=0.1, repeat_penalty=1.1),
            NEW,
            None,
            {"min_p": DROPPED, "repeat_penalty": DROPPED},
            id="what none takes",
        ),
        pytest.param(
            Sampling(stop=tuple("abcdef"), top_k=0, seed=2**31 + 5),
            NEW,
            {"topK": 64, "seed": 5, "stopSequences": list("abcde")},
            {"stop": APPROXIMATED, "top_k": APPROXIMATED, "seed": APPROXIMATED},
            id="more than fits",
        ),
        pytest.param(
            Sampling(presence_penalty=0.5, frequency_penalty=0.0),
            NEW,
            None,
            {"presence_penalty": DROPPED},
            id="penalties of a new model, of which one is none",
        ),
        pytest.param(
            Sampling(presence_penalty=0.5, frequency_penalty=0.0),
            OLD,
            {"presencePenalty": 0.5, "frequencyPenalty": 0.0},
            {},
            id="penalties of an old one",
        ),
    ],
)
def test_sampling(sampling, name, expected, losses):
    assert config(name, sampling=sampling) == (expected, losses)


def test_the_limit_is_not_more_than_the_model_can_say():
    assert config(NEW, {"output_limit": 100}, sampling=Sampling(max_tokens=200)) == (
        {"maxOutputTokens": 100},
        {"max_tokens": APPROXIMATED},
    )


@pytest.mark.parametrize(
    ("name", "asked", "expected", "losses"),
    [
        pytest.param(OLD, 0, {"responseLogprobs": True}, {}, id="the chosen tokens"),
        pytest.param(OLD, 3, {"responseLogprobs": True, "logprobs": 3}, {}, id="alternatives"),
        pytest.param(
            OLD, 30, {"responseLogprobs": True, "logprobs": 20}, {"logprobs": APPROXIMATED}, id="too many"
        ),
        pytest.param(NEW, 0, None, {"logprobs": DROPPED}, id="a model that has none"),
    ],
)
def test_logprobs(name, asked, expected, losses):
    assert config(name, logprobs=asked) == (expected, losses)


@pytest.mark.parametrize(
    ("asked", "expected", "losses"),
    [(3, 3, {}), (9, 8, {"choices": APPROXIMATED})],
    ids=["three", "too many"],
)
def test_choices(asked, expected, losses):
    assert config(choices=asked) == ({"candidateCount": expected}, losses)


ON, OFF = Thinking(True), Thinking(False)


def shown(**more):
    return {"includeThoughts": True, **more}


def hidden(**more):
    return {"includeThoughts": False, **more}


@pytest.mark.parametrize(
    ("name", "thinking", "expected", "losses"),
    [
        pytest.param("gemini-2.5-pro", ON, shown(thinkingBudget=-1), {}, id="2.5 pro, as it likes"),
        pytest.param(
            "gemini-2.5-pro",
            OFF,
            hidden(thinkingBudget=128),
            {"thinking": APPROXIMATED},
            id="2.5 pro, never off",
        ),
        pytest.param(
            "gemini-2.5-pro",
            Thinking(True, "max"),
            shown(thinkingBudget=32768),
            {},
            id="2.5 pro, at its most",
        ),
        pytest.param(FLASH_25, OFF, hidden(thinkingBudget=0), {}, id="2.5 flash, off"),
        pytest.param(FLASH_25, Thinking(True, "low"), shown(thinkingBudget=2048), {}, id="2.5 flash, low"),
        pytest.param(
            FLASH_25, Thinking(True, "max"), shown(thinkingBudget=24576), {}, id="2.5 flash, at its most"
        ),
        pytest.param(
            FLASH_25, Thinking(True, budget=5000), shown(thinkingBudget=5000), {}, id="2.5 flash, a budget"
        ),
        pytest.param(
            FLASH_25,
            Thinking(True, budget=99999),
            shown(thinkingBudget=24576),
            {"thinking": APPROXIMATED},
            id="2.5 flash, a budget too large",
        ),
        pytest.param(
            "gemini-2.5-flash-lite",
            Thinking(True, budget=10),
            shown(thinkingBudget=512),
            {"thinking": APPROXIMATED},
            id="2.5 flash-lite, a budget too small",
        ),
        pytest.param(NEW, ON, shown(), {}, id="3.5 flash, as it likes"),
        pytest.param(
            NEW, OFF, hidden(thinkingLevel="minimal"), {"thinking": APPROXIMATED}, id="3.5 flash, never off"
        ),
        pytest.param(
            NEW, Thinking(True, "minimal"), shown(thinkingLevel="minimal"), {}, id="3.5 flash, minimal"
        ),
        pytest.param(
            NEW, Thinking(True, "medium"), shown(thinkingLevel="medium"), {}, id="3.5 flash, medium"
        ),
        pytest.param(
            NEW,
            Thinking(True, "max"),
            shown(thinkingLevel="high"),
            {"thinking": APPROXIMATED},
            id="3.5 flash, max",
        ),
        pytest.param(
            NEW,
            Thinking(True, budget=5000),
            shown(thinkingLevel="low"),
            {"thinking": APPROXIMATED},
            id="3.5 flash, a budget",
        ),
        pytest.param(
            "gemini-3-pro-preview",
            Thinking(True, "medium"),
            shown(thinkingLevel="high"),
            {"thinking": APPROXIMATED},
            id="3 pro, which knows no medium",
        ),
        pytest.param(
            "gemini-3.1-pro-preview",
            Thinking(True, "medium"),
            shown(thinkingLevel="medium"),
            {},
            id="3.1 pro, medium",
        ),
        pytest.param(
            "gemini-3.8-flash",
            Thinking(True, "minimal"),
            shown(thinkingLevel="low"),
            {"thinking": APPROXIMATED},
            id="3.8 flash, which knows no minimal",
        ),
        pytest.param(
            "gemini-3.5-flash-lite",
            Thinking(True, "minimal"),
            shown(thinkingLevel="minimal"),
            {},
            id="3.5 flash-lite",
        ),
        pytest.param(
            "gemini-flash-latest",
            Thinking(True, "high"),
            shown(thinkingLevel="high"),
            {},
            id="whatever is the latest",
        ),
        pytest.param(OLD, ON, None, {"thinking": DROPPED}, id="2.0 does not think"),
        pytest.param(OLD, OFF, None, {}, id="2.0 is off already"),
        pytest.param("gemini-2.5-flash-image", OFF, None, {}, id="who makes pictures does not think"),
    ],
)
def test_thinking(name, thinking, expected, losses):
    found, lost = config(name, thinking=thinking)
    assert (found and found["thinkingConfig"], lost) == (expected, losses)


def test_who_is_known_not_to_think_is_not_told_to():
    assert config(NEW, {"capabilities": frozenset({"completion"})}, thinking=OFF) == (None, {})


def test_a_budget_leaves_room_for_the_answer():
    found, losses = config(FLASH_25, thinking=Thinking(True, "high"), sampling=Sampling(max_tokens=3000))
    assert found["thinkingConfig"]["thinkingBudget"] == 2999
    assert losses == {}


REFS = {
    "$schema": "x",
    "$defs": {"p": {"type": "string"}},
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/p"}},
}


@pytest.mark.parametrize(
    ("name", "form", "expected", "losses"),
    [
        pytest.param(NEW, Format(), {"responseMimeType": "application/json"}, {}, id="any JSON"),
        pytest.param(
            NEW,
            Format(SCHEMA, "person", True),
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            {},
            id="a schema",
        ),
        pytest.param(
            NEW,
            Format({**REFS, "minProperties": 1}),
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": {name: REFS[name] for name in ("$defs", "type", "properties")},
            },
            {"format": APPROXIMATED},
            id="a keyword nobody there knows",
        ),
        pytest.param(
            OLD,
            Format(REFS),
            {
                "responseMimeType": "application/json",
                "responseSchema": {"type": "object", "properties": {"a": {"type": "string"}}},
            },
            {},
            id="a reference for a model that knows none",
        ),
    ],
)
def test_formats(name, form, expected, losses):
    assert config(name, format=form) == (expected, losses)


@pytest.mark.parametrize("form", [Format(), Format(SCHEMA)], ids=["any JSON", "a schema"])
def test_words_do_where_tools_exclude_a_form(form):
    body, losses = added(FLASH_25, format=form, tools=(WEATHER,))
    (said,) = body["systemInstruction"]["parts"]
    assert "JSON" in said["text"]
    assert ("schema" in said["text"]) is (form.schema is not None)
    assert "generationConfig" not in body
    assert losses == {"format": EMULATED}


def test_tools_that_may_not_be_called_exclude_nothing():
    body, losses = added(FLASH_25, format=Format(), tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert body["generationConfig"] == {"responseMimeType": "application/json"}
    assert losses == {}


def test_newer_models_take_both():
    body, losses = added(NEW, format=Format(), tools=(WEATHER,))
    assert body.keys() == {"tools", "generationConfig"}
    assert losses == {}


def test_gemma_takes_neither_tools_nor_forms():
    _, body, losses = encoded(evolve(ASK, format=Format(), tools=(WEATHER,)), GEMMA)
    assert body.keys() == {"contents"}
    assert "JSON" in body["contents"][0]["parts"][0]["text"]
    assert losses == {"format": EMULATED, "tools": DROPPED}


def tools(name=NEW, **changes):
    body, losses = added(name, **changes)
    (offered,) = body.pop("tools")
    return offered["functionDeclarations"], body, losses


def test_tools_as_json_schema():
    declared, body, losses = tools(
        tools=(WEATHER, Tool("noargs"), Tool("f", None, {"type": "object", "properties": {}}))
    )
    assert declared == [
        {"name": "weather", "description": "the sky", "parametersJsonSchema": SCHEMA},
        {"name": "noargs"},
        {"name": "f", "parametersJsonSchema": {"type": "object", "properties": {}}},
    ]
    assert list(declared[0]["parametersJsonSchema"]["properties"]) == ["z", "a"]
    assert (body, losses) == ({}, {})


def test_tools_of_an_older_model():
    declared, _, losses = tools(OLD, tools=(WEATHER, Tool("f", None, {"type": "object", "properties": {}})))
    assert declared == [{"name": "weather", "description": "the sky", "parameters": SCHEMA}, {"name": "f"}]
    assert losses == {}


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        pytest.param({"parallel_tools": False}, {"parallel_tools": DROPPED}, id="one call at a time"),
        pytest.param({"parallel_tools": True}, {}, id="several calls"),
        pytest.param({"tools": (Tool("f", strict=True),)}, {"strict": DROPPED}, id="strict"),
        pytest.param({"tools": (Tool("f", strict=False),)}, {}, id="not strict"),
        pytest.param(
            {"tools": (Tool("f", None, {"type": "object", "not": {}}),)},
            {"tools": APPROXIMATED},
            id="a schema in part",
        ),
    ],
)
def test_losses_of_tools(changes, losses):
    assert tools(**{"tools": (WEATHER,), **changes})[2] == losses


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        pytest.param(ToolChoice("auto"), {"mode": "AUTO"}, id="auto"),
        pytest.param(ToolChoice("none"), {"mode": "NONE"}, id="none"),
        pytest.param(ToolChoice("required"), {"mode": "ANY"}, id="required"),
        pytest.param(
            ToolChoice("named", "weather"), {"mode": "ANY", "allowedFunctionNames": ["weather"]}, id="named"
        ),
    ],
)
def test_choices_of_tools(choice, expected):
    _, body, losses = tools(tools=(WEATHER,), tool_choice=choice)
    assert body == {"toolConfig": {"functionCallingConfig": expected}}
    assert losses == {}


def test_prompts():
    prompt = Prompt("say", system="be kind", raw=True, template="t", context=(1,), images=(Image(PNG),))
    _, body, losses = encoded(ChatRequest("asked", prompt=prompt))
    assert body == {
        "contents": [user({"text": "say"}, {"inlineData": {"mimeType": "image/png", "data": PNG}})],
        "systemInstruction": {"parts": [{"text": "be kind"}]},
    }
    assert losses == {"template": DROPPED, "context": DROPPED, "raw": EMULATED}


@pytest.mark.parametrize(
    ("request_", "name", "subject"),
    [
        pytest.param(ChatRequest("m", prompt=Prompt("a", suffix="b")), NEW, "insert", id="a gap"),
        pytest.param(EmbedRequest("m", ((1, 2),)), NEW, "token input", id="tokens to embed"),
        pytest.param(
            ChatRequest("m", (Message(Role.USER, (Image(url="https://x/y.png"),)),)),
            OLD,
            "image url",
            id="an older model",
        ),
        pytest.param(
            ChatRequest("m", (Message(Role.USER, (Image(url="http://x/y.png"),)),)),
            NEW,
            "image url",
            id="no TLS",
        ),
    ],
)
def test_what_cannot_be_said(request_, name, subject):
    problem = CODEC.encode(request_, Target(PROVIDER, ModelFacts(name)))
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject, problem.target) == (Kind.UNSUPPORTED, subject, f"p/{name}")


def test_an_older_model_reaches_googles_own_storage():
    image = Image(url="https://generativelanguage.googleapis.com/v1beta/files/abc")
    assert contents(Message(Role.USER, (image,)), model=OLD)[1] == {}


def test_the_extras_of_other_forms():
    extra = {
        "ollama": {"keep_alive": 5, "options": {"num_ctx": 1, "typical_p": 1}},
        "openai.chat": {"logit_bias": {}, "stream_options": {}},
        "google.generate": {"safetySettings": [1], "generationConfig": {"mediaResolution": "LOW"}},
    }
    _, body, losses = encoded(evolve(ASK, extra=extra, user="u", sampling=Sampling(seed=1)))
    assert body == {
        **PLAIN,
        "safetySettings": [1],
        "generationConfig": {"mediaResolution": "LOW", "seed": 1},
    }
    assert losses == {
        "keep_alive": MOOT,
        "num_ctx": MOOT,
        "typical_p": DROPPED,
        "logit_bias": DROPPED,
        "user": DROPPED,
    }


def test_what_googles_own_clients_said_is_said_again_when_a_request_was_changed():
    extra = {
        "google.generate": {"safetySettings": [1], "toolConfig": {"retrievalConfig": {}}},
        "google.config": {"mediaResolution": "LOW"},
        "google.tools": {"googleSearch": {}},
        "google.beside": {"tools.behavior": True},
    }
    request = evolve(
        ASK,
        extra=extra,
        sampling=Sampling(seed=1),
        tools=(Tool("f"),),
        tool_choice=ToolChoice("required"),
    )
    _, body, losses = encoded(request)
    assert body == {
        **PLAIN,
        "safetySettings": [1],
        "generationConfig": {"mediaResolution": "LOW", "seed": 1},
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}],
        "toolConfig": {"retrievalConfig": {}, "functionCallingConfig": {"mode": "ANY"}},
    }
    assert losses == {"tools.behavior": DROPPED}


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        pytest.param("gemini-2.5-flash", {}, id="older models do not look"),
        pytest.param(
            "gemini-3-pro", {"thoughtSignature": "skip_thought_signature_validator"}, id="newer ones do"
        ),
    ],
)
def test_a_call_of_another_vendors_model_is_let_pass_in_googles_own_form(model, mark):
    call, again = {"functionCall": {"name": "f"}}, {"functionCall": {"name": "g"}}
    answer = {"parts": {"functionResponse": {"name": "f", "response": {}}}}
    turns = [{"parts": [{"text": "hi"}]}, {"role": "model", "parts": [call, again]}, answer]
    source = Source("google.generate", {"model": "m", "contents": turns})
    _, body, _ = encoded(evolve(ASK, source=source), model)
    assert body["contents"][1]["parts"] == [{**call, **mark}, again]
    assert turns[1]["parts"] == [call, again]


def test_a_wish_to_think_is_not_told_to_a_model_that_cannot():
    config = {"temperature": 0, "thinkingConfig": {"includeThoughts": True}}
    source = Source("google.generate", {"contents": [], "generationConfig": config})
    request = evolve(ASK, source=source, thinking=Thinking(True, wish=True))
    assert encoded(request)[1]["generationConfig"] == config
    request = evolve(request, thinking=Thinking(False, wish=True))
    assert encoded(request)[1]["generationConfig"] == {"temperature": 0}


def test_a_request_in_another_form_is_no_source():
    request = evolve(ASK, source=Source("openai.chat", {"messages": []}))
    assert encoded(request)[1] == PLAIN


@pytest.mark.parametrize(
    ("request_", "method", "expected"),
    [
        pytest.param(
            EmbedRequest("m", ("a",), 3),
            "embedContent",
            {"model": "models/e", "outputDimensionality": 3, "content": {"parts": [{"text": "a"}]}},
            id="one text",
        ),
        pytest.param(
            EmbedRequest("m", ("a", "b")),
            "batchEmbedContents",
            {
                "requests": [
                    {"model": "models/e", "content": {"parts": [{"text": "a"}]}},
                    {"model": "models/e", "content": {"parts": [{"text": "b"}]}},
                ]
            },
            id="two",
        ),
    ],
)
def test_embeddings(request_, method, expected):
    assert encoded(request_, "e") == (f"{BASE}/models/e:{method}", expected, {})


def test_names_that_cannot_be_sent_are_changed_and_given_back():
    names = ("web/search", "web_search", "3d", "x" * 65, "ok.it:is-1")
    turns = (HI, Message(Role.ASSISTANT, (ToolCall("a", "web/search", "{}"),)))
    turns += (Message(Role.TOOL, (ToolResult("a", "web/search", "1"),)),)
    choice = ToolChoice("named", "3d")
    request = ChatRequest("asked", turns, tools=tuple(map(Tool, names)), tool_choice=choice, stream=True)
    _, body, losses = encoded(request)
    sent = [tool["name"] for tool in body["tools"][0]["functionDeclarations"]]
    assert [sent[0], sent[1], sent[2], sent[4]] == ["web_search_", "web_search", "_3d", "ok.it:is-1"]
    assert sent[3].startswith("x")
    assert len(sent[3]) <= 64
    assert body["contents"][1]["parts"][0]["functionCall"]["name"] == "web_search_"
    assert body["contents"][2]["parts"][0]["functionResponse"]["name"] == "web_search_"
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["_3d"]
    assert losses == {}
    calls = [{"functionCall": {"name": name}} for name in sent]
    told = {"candidates": [{"content": {"parts": calls}}]}
    _, batch = CODEC.decode(CODEC.fresh(request), b"data: " + json.dumps(told).encode() + b"\n\n")
    assert [event.name for event in batch.events if isinstance(event, ToolCallDelta)] == list(names)
    assert batch.verbatim is None or batch.verbatim.format != "google.generate"


def test_a_tool_of_no_parameters_has_no_schema():
    body, _ = added(tools=(Tool("f", parameters={}),))
    assert body["tools"] == [{"functionDeclarations": [{"name": "f"}]}]


def test_the_bytes_of_a_picture_know_better_what_it_is():
    body, _ = contents(Message(Role.USER, (Image(PNG, media_type="image/jpeg"),)))
    assert body["contents"] == [user({"inlineData": {"mimeType": "image/png", "data": PNG}})]
