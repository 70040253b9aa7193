"""/v1/responses: requests as values."""

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from adapters.dialects.openai_responses_thoughts import opened, sealed
from adapters.dialects.toolcalls import made_id
from pipeline.values.events import Finished, Started, TextDelta
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Image,
    Message,
    Opaque,
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
from tests.adapters.dialects.calls import collected, read

PATH = "/v1/responses"
FORMAT = "openai.responses"
CHAT = "openai.chat"
ASK = {"model": "m", "input": "hi"}
HI = Message(Role.USER, (Text("hi"),))
FUNCTION = {
    "type": "function",
    "name": "f",
    "description": "d",
    "parameters": {"type": "object"},
    "strict": True,
}
SEARCH = {"type": "web_search"}
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "s.s", "format": "anthropic-claude-v1"}
OPENAI = {"type": "reasoning.encrypted", "data": "gAAAA_-", "format": "openai-responses-v1", "index": 0}


def asked(**fields):
    return read(PATH, {**ASK, **fields})


def turns(*items):
    request = asked(input=list(items))
    assert isinstance(request, ChatRequest), request
    return request.messages


def test_a_plain_request():
    """What is not said to be stored is not, and whoever is asked next is told so."""
    assert asked() == ChatRequest("m", (HI,), source=Source(FORMAT, {**ASK, "store": False}))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stream": True}, {"stream": True}, id="streamed only if the client says so"),
        pytest.param(
            {"instructions": "be kind"},
            {"messages": (Message(Role.SYSTEM, (Text("be kind"),)), HI)},
            id="instructions stand first",
        ),
        pytest.param(
            {"temperature": 0, "top_p": 0.5, "max_output_tokens": 16},
            {"sampling": Sampling(16, 0, 0.5), "extra": {}},
            id="sampling",
        ),
        pytest.param(
            {"tools": [FUNCTION]},
            {"tools": (Tool("f", "d", {"type": "object"}, True),), "extra": {}},
            id="tools",
        ),
        pytest.param(
            {"tools": [SEARCH, {"type": "function", "name": "f"}]},
            {
                "tools": (Tool("f"),),
                "extra": {FORMAT: {"tools": [SEARCH, {"type": "function", "name": "f"}]}},
            },
            id="a tool of another kind travels along",
        ),
        pytest.param(
            {"tool_choice": "required"}, {"tool_choice": ToolChoice("required"), "extra": {}}, id="must call"
        ),
        pytest.param(
            {"tool_choice": {"type": "function", "name": "f"}},
            {"tool_choice": ToolChoice("named", "f"), "extra": {}},
            id="one tool",
        ),
        pytest.param(
            {"tool_choice": {"type": "allowed_tools"}},
            {"tool_choice": None, "extra": {FORMAT: {"tool_choice": {"type": "allowed_tools"}}}},
            id="a choice that nobody else knows travels along",
        ),
        pytest.param({"parallel_tool_calls": False}, {"parallel_tools": False}, id="one call at a time"),
        pytest.param(
            {"reasoning": {"effort": "none"}}, {"thinking": Thinking(False), "extra": {}}, id="no thinking"
        ),
        pytest.param(
            {"reasoning": {"effort": "xhigh", "summary": "auto"}},
            {"thinking": Thinking(True, "max"), "extra": {}},
            id="all the thinking",
        ),
        pytest.param(
            {"reasoning": {"summary": "detailed"}},
            {
                "thinking": Thinking(True, wish=True),
                "extra": {FORMAT: {"reasoning": {"summary": "detailed"}}},
            },
            id="who wants to see thinking wishes for it",
        ),
        pytest.param(
            {"reasoning": {"effort": None}}, {"thinking": None, "extra": {}}, id="nothing about thinking"
        ),
        pytest.param({"text": {"format": {"type": "text"}}}, {"format": None, "extra": {}}, id="plain text"),
        pytest.param(
            {"text": {"format": {"type": "json_object"}}}, {"format": Format(), "extra": {}}, id="any JSON"
        ),
        pytest.param(
            {
                "text": {
                    "format": {"type": "json_schema", "name": "p", "schema": {"a": 1}, "strict": True},
                    "verbosity": "low",
                }
            },
            {"format": Format({"a": 1}, "p", True), "extra": {FORMAT: {"text": {"verbosity": "low"}}}},
            id="a schema, and what else is said of the text",
        ),
        pytest.param(
            {"text": {"format": {"type": "grammar"}}},
            {"format": None, "extra": {FORMAT: {"text": {"format": {"type": "grammar"}}}}},
            id="a format that nobody knows travels along",
        ),
        pytest.param(
            {"include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 2},
            {"logprobs": 2, "extra": {}},
            id="logprobs with alternatives",
        ),
        pytest.param({"include": ["message.output_text.logprobs"]}, {"logprobs": 0}, id="logprobs"),
        pytest.param({"top_logprobs": 0}, {"logprobs": None}, id="no logprobs"),
        pytest.param(
            {"include": ["web_search_call.results"]},
            {"extra": {FORMAT: {"include": ["web_search_call.results"]}}},
            id="what else is to be included travels along",
        ),
        pytest.param(
            {
                "store": False,
                "background": False,
                "previous_response_id": None,
                "truncation": "disabled",
                "metadata": {"a": "b"},
            },
            {"extra": {FORMAT: {"metadata": {"a": "b"}}}},
            id="what is so anyway is nothing to carry",
        ),
        pytest.param(
            {"truncation": "auto", "service_tier": "flex", "user": "u", "new": 1},
            {"extra": {FORMAT: {"truncation": "auto", "service_tier": "flex", "new": 1}}, "user": "u"},
            id="all else travels along",
        ),
        pytest.param({"model": " m "}, {"model": "m"}, id="blanks around the name"),
    ],
)
def test_fields(fields, expected):
    request = asked(**fields)
    assert isinstance(request, ChatRequest), request
    assert {name: getattr(request, name) for name in expected} == expected
    assert request.source == Source(FORMAT, {**ASK, **fields, "store": False})


def given(*content, **beside):
    return {"role": "user", "content": list(content), **beside}


def said(text, **beside):
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
        **beside,
    }


def call(name="f", arguments='{"a": 1}', call_id="c1", **beside):
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **beside}


def result(output, call_id="c1"):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def thought(*summary, **beside):
    return {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        **beside,
    }


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param({"type": "input_text", "text": "a"}, Text("a"), id="text"),
        pytest.param(
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            Image(url="https://x/y.png", detail="low"),
            id="a picture of the web",
        ),
        pytest.param(
            {"type": "input_image", "image_url": "data:image/png;base64,aGk="},
            Image("aGk=", media_type="image/png"),
            id="a picture as data",
        ),
        pytest.param(
            {"type": "input_image", "file_id": "file-1"},
            Opaque(FORMAT, {"type": "input_image", "file_id": "file-1"}),
            id="a picture that OpenAI keeps",
        ),
        pytest.param(
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
            Opaque(
                CHAT,
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
                },
            ),
            id="a file, in the form that more providers know",
        ),
        pytest.param(
            {"type": "input_file", "file_url": "https://x/a.pdf"},
            Opaque(FORMAT, {"type": "input_file", "file_url": "https://x/a.pdf"}),
            id="a file of the web",
        ),
        pytest.param(
            {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}},
            Opaque(CHAT, {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}),
            id="sound",
        ),
        pytest.param({"type": "new"}, Opaque(FORMAT, {"type": "new"}), id="what nobody knows"),
    ],
)
def test_parts(part, expected):
    assert turns(given(part)) == (Message(Role.USER, (expected,)),)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(
            [{"role": "developer", "content": "s"}, {"type": "message", "role": "system", "content": "t"}],
            [Message(Role.SYSTEM, (Text("s"),)), Message(Role.SYSTEM, (Text("t"),))],
            id="who speaks",
        ),
        pytest.param(
            [said("a", id="msg_1", status="completed"), {"role": "assistant", "content": "b"}],
            [Message(Role.ASSISTANT, (Text("a"),)), Message(Role.ASSISTANT, (Text("b"),))],
            id="two messages of the model are two turns",
        ),
        pytest.param(
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
            [Message(Role.ASSISTANT, (Text("no"),))],
            id="a refusal",
        ),
        pytest.param(
            [
                thought("hm"),
                said("I look."),
                call(id="fc_1"),
                call("g", "", "c2"),
                result("22"),
                result([{"type": "input_text", "text": "ok"}], "c2"),
            ],
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning("hm"),
                        Text("I look."),
                        ToolCall("c1", "f", '{"a": 1}'),
                        ToolCall("c2", "g", "{}"),
                    ),
                ),
                Message(Role.TOOL, (ToolResult("c1", "f", "22"),)),
                Message(Role.TOOL, (ToolResult("c2", "g", "ok"),)),
            ],
            id="what the model did in a turn is one message",
        ),
        pytest.param(
            [
                call(),
                result(
                    [
                        {"type": "input_text", "text": "see"},
                        {"type": "input_image", "image_url": "https://x/y.png"},
                    ]
                ),
            ],
            [
                Message(Role.ASSISTANT, (ToolCall("c1", "f", '{"a": 1}'),)),
                Message(Role.TOOL, (ToolResult("c1", "f", "see"), Image(url="https://x/y.png"))),
            ],
            id="a result with a picture",
        ),
        pytest.param(
            [call(call_id=None), result("22", None)],
            [
                Message(Role.ASSISTANT, (ToolCall(made_id(0, 0), "f", '{"a": 1}'),)),
                Message(Role.TOOL, (ToolResult(made_id(0, 0), "f", "22"),)),
            ],
            id="calls without ids",
        ),
        pytest.param(
            [call(arguments='"{\\"a\\": 1}"')],
            [Message(Role.ASSISTANT, (ToolCall("c1", "f", '{"a": 1}'),))],
            id="arguments packed twice",
        ),
        pytest.param(
            [thought("a", "b", encrypted_content="gAAAA_-"), call()],
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Reasoning(
                            "a\n\nb",
                            {
                                "reasoning_details": [
                                    {
                                        "type": "reasoning.summary",
                                        "summary": "a",
                                        "format": "openai-responses-v1",
                                        "index": 0,
                                    },
                                    {
                                        "type": "reasoning.summary",
                                        "summary": "b",
                                        "format": "openai-responses-v1",
                                        "index": 0,
                                    },
                                    OPENAI,
                                ]
                            },
                        ),
                        ToolCall("c1", "f", '{"a": 1}'),
                    ),
                )
            ],
            id="thinking that OpenAI encrypted, without its id",
        ),
        pytest.param(
            [thought("hm", encrypted_content=sealed(SIGNED)), said("a")],
            [Message(Role.ASSISTANT, (Reasoning("hm", {"reasoning_details": [SIGNED]}), Text("a")))],
            id="thinking that another vendor signed",
        ),
        pytest.param(
            [thought(encrypted_content="reasoning_details.!"), thought(), said("a")],
            [Message(Role.ASSISTANT, (Text("a"),))],
            id="thinking of which nothing is left",
        ),
        pytest.param(
            [
                {"type": "custom_tool_call", "call_id": "c1", "name": "py", "input": "1+1"},
                {"type": "custom_tool_call_output", "call_id": "c1", "output": "2"},
            ],
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Opaque(
                            CHAT,
                            {
                                "tool_calls": [
                                    {"id": "c1", "type": "custom", "custom": {"name": "py", "input": "1+1"}}
                                ]
                            },
                        ),
                    ),
                ),
                Message(Role.TOOL, (ToolResult("c1", "", "2"),)),
            ],
            id="a call that takes plain text",
        ),
        pytest.param(
            [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, said("a")],
            [
                Message(
                    Role.ASSISTANT,
                    (
                        Opaque(FORMAT, {"type": "web_search_call", "id": "ws_1", "status": "completed"}),
                        Text("a"),
                    ),
                )
            ],
            id="what only OpenAI does",
        ),
    ],
)
def test_items(items, expected):
    assert list(turns(*items)) == expected


@pytest.mark.parametrize(
    ("fields", "subject", "words"),
    [
        pytest.param({"store": True}, "store", "store is false", id="to be stored"),
        pytest.param(
            {"previous_response_id": "r"}, "previous_response_id", "store", id="an earlier response"
        ),
        pytest.param(
            {"conversation": {"id": "c"}}, "conversation", "store", id="a conversation that is kept"
        ),
        pytest.param({"background": True}, "background", "store", id="an answer for later"),
        pytest.param(
            {"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "store", id="an item by its id"
        ),
        pytest.param({"input": [{"id": "x"}]}, "input[0]", "store", id="an item by its id alone"),
        pytest.param({"store": "no"}, "store", "true or false", id="a store that is neither"),
        pytest.param({"input": None}, None, "invalid input", id="no input"),
        pytest.param({"input": []}, None, "invalid input", id="empty input"),
        pytest.param({"input": 1}, "input", "string or an array", id="input that is none"),
        pytest.param({"input": [1]}, "input[0]", "object", id="an item that is none"),
        pytest.param(
            {"input": [{"role": "king", "content": "x"}]}, "input[0].role", "must be one of", id="who?"
        ),
        pytest.param({"input": [{"role": "user"}]}, "input[0].content", "required", id="nothing said"),
        pytest.param(
            {"input": [given({"text": "a"})]}, "input[0].content[0].type", "required", id="a part of no type"
        ),
        pytest.param(
            {"input": [given({"type": "input_text"})]}, "input[0].content[0].text", "required", id="no text"
        ),
        pytest.param(
            {"input": [given({"type": "input_image", "image_url": "x"})]},
            "input[0].content[0].image_url",
            "invalid image input",
            id="no picture",
        ),
        pytest.param({"input": [call(name=None)]}, "input[0].name", "required", id="a call of nothing"),
        pytest.param(
            {"input": [call(arguments="[1]")]},
            "input[0].arguments",
            "JSON text",
            id="arguments that are none",
        ),
        pytest.param({"input": [call(), result(None)]}, "input[1].output", "required", id="no result"),
        pytest.param({"tools": [{"name": "f"}]}, "tools[0].type", "required", id="a tool of no type"),
        pytest.param(
            {"tools": [{"type": "function"}]}, "tools[0].name", "required", id="a function without a name"
        ),
        pytest.param({"tool_choice": "any"}, "tool_choice", "auto, none, required", id="no such choice"),
        pytest.param(
            {"tool_choice": {"type": "function"}}, "tool_choice", "names a tool", id="a choice of nothing"
        ),
        pytest.param({"reasoning": {"effort": "much"}}, "reasoning.effort", "minimal", id="no such effort"),
        pytest.param(
            {"text": {"format": {"type": "json_schema"}}}, "text.format.schema", "required", id="no schema"
        ),
        pytest.param({"top_logprobs": 21}, "top_logprobs", "between 0 and 20", id="too many"),
        pytest.param({"max_output_tokens": 0}, "max_output_tokens", "at least 1", id="no answer"),
        pytest.param({"model": ""}, "model", "required", id="no model"),
    ],
)
def test_faults_name_their_field(fields, subject, words):
    problem = asked(**fields)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject) == (Kind.BAD_REQUEST, subject)
    assert words in problem.detail


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param(SIGNED, id="a signature"),
        pytest.param(
            {"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1", "id": "c1"},
            id="Gemini's",
        ),
        pytest.param({**OPENAI, "data": "a.b"}, id="what a gateway sealed a second time"),
        pytest.param(OPENAI, id="OpenAI's own"),
    ],
)
def test_what_is_sealed_can_be_opened(detail):
    assert opened(sealed(detail), 0) == [detail]
    assert (sealed(detail) == detail.get("data")) is (detail is OPENAI)


NAMES = [
    *(
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "include",
        "top_logprobs",
        "store",
    ),
    *(
        "previous_response_id",
        "metadata",
        "truncation",
        "stream",
        "user",
        "max_output_tokens",
        "service_tier",
    ),
]
INNER = [
    *("type", "role", "content", "output", "call_id", "name", "arguments", "summary", "encrypted_content"),
    *("text", "image_url", "file_id", "format", "schema", "effort", "id", "parameters"),
]
PLAIN = st.sampled_from(
    [
        *(
            None,
            True,
            1,
            "",
            "x",
            "message",
            "assistant",
            "function_call",
            "function_call_output",
            "reasoning",
        ),
        *(
            "input_text",
            "input_image",
            "input_file",
            "function",
            "json_schema",
            "auto",
            "reasoning_details.eA==",
        ),
    ]
)
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150)
@drawn(fields=st.dictionaries(st.sampled_from(NAMES), NESTED, max_size=5))
def test_whatever_is_sent_is_read_or_refused(fields):
    value = asked(**fields)
    if isinstance(value, Problem):
        assert value.kind is Kind.BAD_REQUEST
        assert value.subject or value.detail == "invalid input"
    else:
        events = (Started("m"), TextDelta("x"), Finished("stop"))
        status, body = collected(PATH, {**ASK, **fields, "stream": False}, events)
        assert (status, body["store"], body["output"][0]["type"]) == (200, False, "message")
