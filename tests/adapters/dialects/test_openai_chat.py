"""/v1/chat/completions: requests as values, replies as OpenAI writes them."""

import pytest

from adapters.dialects import DIALECTS
from adapters.dialects.toolcalls import made_id
from pipeline.values.events import (
    Batch,
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
)
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
from tests.adapters.dialects.calls import begun, collected, frames, read, verbatim, written

PATH = "/v1/chat/completions"
FORMAT = "openai.chat"
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**ASK, "stream": True}
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
CUSTOM = {"type": "custom", "custom": {"name": "c"}}
SEALED = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1"}
HIDDEN = {"type": "reasoning.encrypted", "data": "x", "format": "google-gemini-v1", "id": "c1"}


def asked(**fields):
    return read(PATH, {**ASK, **fields})


def test_a_plain_request():
    assert asked() == ChatRequest("m", (Message(Role.USER, (Text("hi"),)),), source=Source(FORMAT, ASK))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stream": True}, {"stream": True}, id="streamed only if the client says so"),
        pytest.param({"temperature": None, "stop": None, "n": None}, {"choices": 1}, id="null is absent"),
        pytest.param(
            {
                "temperature": 0,
                "top_p": 0.5,
                "seed": 7,
                "presence_penalty": 1,
                "frequency_penalty": -1,
                "top_k": 5,
                "min_p": 0.1,
                "repetition_penalty": 1.1,
            },
            {
                "sampling": Sampling(
                    temperature=0,
                    top_p=0.5,
                    top_k=5,
                    min_p=0.1,
                    seed=7,
                    presence_penalty=1,
                    frequency_penalty=-1,
                    repeat_penalty=1.1,
                ),
                "extra": {},
            },
            id="sampling",
        ),
        pytest.param({"max_tokens": 5}, {"sampling": Sampling(max_tokens=5)}, id="the older limit"),
        pytest.param(
            {"max_tokens": 5, "max_completion_tokens": 6},
            {"sampling": Sampling(max_tokens=6)},
            id="the newer wins",
        ),
        pytest.param({"stop": "a"}, {"sampling": Sampling(stop=("a",))}, id="one stop"),
        pytest.param({"stop": ["a", "b"]}, {"sampling": Sampling(stop=("a", "b"))}, id="several stops"),
        pytest.param({"response_format": {"type": "text"}}, {"format": None, "extra": {}}, id="plain text"),
        pytest.param(
            {"response_format": {"type": "json_object"}}, {"format": Format(), "extra": {}}, id="any JSON"
        ),
        pytest.param(
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "p", "strict": True, "schema": {"a": 1}},
                }
            },
            {"format": Format({"a": 1}, "p", True), "extra": {}},
            id="a schema",
        ),
        pytest.param(
            {"response_format": {"type": "grammar"}},
            {"format": None, "extra": {FORMAT: {"response_format": {"type": "grammar"}}}},
            id="a format that nobody knows travels along",
        ),
        pytest.param({"reasoning_effort": "none"}, {"thinking": Thinking(False)}, id="no thinking"),
        pytest.param(
            {"reasoning_effort": "minimal"}, {"thinking": Thinking(True, "minimal")}, id="little thinking"
        ),
        pytest.param(
            {"reasoning_effort": "xhigh"}, {"thinking": Thinking(True, "max")}, id="all the thinking"
        ),
        pytest.param(
            {"reasoning": {"effort": "low", "exclude": True}},
            {"thinking": Thinking(True, "low"), "extra": {FORMAT: {"reasoning": {"exclude": True}}}},
            id="effort as an object, the rest of it travels along",
        ),
        pytest.param(
            {"reasoning": {"max_tokens": 99}},
            {"thinking": Thinking(True, None, 99), "extra": {}},
            id="a budget",
        ),
        pytest.param(
            {"reasoning": {"enabled": False}}, {"thinking": Thinking(False), "extra": {}}, id="switched off"
        ),
        pytest.param({"logprobs": True}, {"logprobs": 0}, id="logprobs"),
        pytest.param({"logprobs": True, "top_logprobs": 2}, {"logprobs": 2}, id="logprobs with alternatives"),
        pytest.param({"n": 2, "user": "u"}, {"choices": 2, "user": "u"}, id="choices and user"),
        pytest.param({"parallel_tool_calls": False}, {"parallel_tools": False}, id="one call at a time"),
        pytest.param(
            {"tools": [{"type": "function", "function": FUNCTION}]},
            {"tools": (Tool("f", "d", {"type": "object"}, True),), "extra": {}},
            id="tools",
        ),
        pytest.param(
            {"tools": [{"type": "function", "function": {"name": "f"}}, CUSTOM]},
            {
                "tools": (Tool("f"),),
                "extra": {FORMAT: {"tools": [{"type": "function", "function": {"name": "f"}}, CUSTOM]}},
            },
            id="a tool of another kind travels along",
        ),
        pytest.param(
            {"functions": [{"name": "f"}], "function_call": {"name": "f"}},
            {"tools": (Tool("f"),), "tool_choice": ToolChoice("named", "f"), "extra": {}},
            id="functions of old",
        ),
        pytest.param(
            {"tool_choice": "required"}, {"tool_choice": ToolChoice("required"), "extra": {}}, id="must call"
        ),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tool_choice": ToolChoice("named", "f"), "extra": {}},
            id="one tool",
        ),
        pytest.param(
            {"tool_choice": {"type": "allowed_tools"}},
            {"tool_choice": None, "extra": {FORMAT: {"tool_choice": {"type": "allowed_tools"}}}},
            id="a choice that nobody else knows travels along",
        ),
        pytest.param(
            {"logit_bias": {"1": 2}, "stream_options": {"include_usage": True}, "new": 0, "store": None},
            {
                "extra": {
                    FORMAT: {"logit_bias": {"1": 2}, "stream_options": {"include_usage": True}, "new": 0}
                }
            },
            id="all else travels along",
        ),
        pytest.param({"model": " m "}, {"model": "m"}, id="blanks around the name"),
    ],
)
def test_fields(fields, expected):
    request = asked(**fields)
    assert isinstance(request, ChatRequest), request
    assert {name: getattr(request, name) for name in expected} == expected
    assert request.source == Source(FORMAT, {**ASK, **fields})


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param({"role": "system", "content": "s"}, Message(Role.SYSTEM, (Text("s"),)), id="system"),
        pytest.param(
            {"role": "developer", "content": "s"}, Message(Role.SYSTEM, (Text("s"),)), id="developer"
        ),
        pytest.param(
            {"role": "user", "content": "x", "name": "bob"},
            Message(Role.USER, (Text("x"),), "bob"),
            id="a name",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            Message(Role.USER, (Text("a"), Text("b"))),
            id="parts",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}}],
            },
            Message(Role.USER, (Image(url="https://x/y.png", detail="low"),)),
            id="a picture of the web",
        ),
        pytest.param(
            {"role": "user", "content": [{"type": "image_url", "image_url": "data:image/png;base64,aGk="}]},
            Message(Role.USER, (Image("aGk=", media_type="image/png"),)),
            id="a picture as data, the address alone",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:;base64,iVBORw0KGgoAAAAA"}}],
            },
            Message(Role.USER, (Image("iVBORw0KGgoAAAAA", media_type="image/png"),)),
            id="the kind of picture by its bytes",
        ),
        pytest.param(
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}],
            },
            Message(
                Role.USER,
                (Opaque(FORMAT, {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}),),
            ),
            id="sound",
        ),
        pytest.param(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
                ],
            },
            Message(Role.ASSISTANT, (ToolCall("c", "f", '{"a": 1}'),)),
            id="a call without content",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]},
            Message(Role.ASSISTANT, (ToolCall(made_id(0, 0), "f", "{}"),)),
            id="a call without id and arguments",
        ),
        pytest.param(
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "c"}}]},
            Message(
                Role.ASSISTANT,
                (Opaque(FORMAT, {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "c"}}]}),),
            ),
            id="a call of another kind",
        ),
        pytest.param(
            {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
            Message(Role.ASSISTANT, (ToolCall(made_id(0, 0), "f", "{}"),)),
            id="a call of old",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "reasoning_content": "hm", "reasoning_details": [SEALED]},
            Message(Role.ASSISTANT, (Reasoning("hm", {"reasoning_details": [SEALED]}), Text("x"))),
            id="thinking of an earlier turn",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "reasoning_details": [SEALED, HIDDEN]},
            Message(Role.ASSISTANT, (Reasoning("hm", {"reasoning_details": [SEALED, HIDDEN]}), Text("x"))),
            id="thinking told by its details alone",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "reasoning": "hm", "reasoning_content": "hm"},
            Message(Role.ASSISTANT, (Reasoning("hm"), Text("x"))),
            id="thinking by both its names, as it was given",
        ),
        pytest.param(
            {"role": "assistant", "content": "x", "reasoning": "hm", "reasoning_details": []},
            Message(Role.ASSISTANT, (Reasoning("hm"), Text("x"))),
            id="thinking by its other name, and no details",
        ),
        pytest.param(
            {"role": "assistant", "refusal": "No.", "audio": {"id": "a"}},
            Message(Role.ASSISTANT, (Text("No."), Opaque(FORMAT, {"audio": {"id": "a"}}))),
            id="a refusal and spoken words",
        ),
        pytest.param(
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
            Message(Role.TOOL, (ToolResult("c", "", "ab"),)),
            id="a result in parts",
        ),
    ],
)
def test_messages(message, expected):
    request = asked(messages=[message])
    assert isinstance(request, ChatRequest), request
    assert request.messages == (expected,)


def test_results_are_tied_to_calls():
    request = asked(
        messages=[
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
            {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
            {"role": "function", "name": "g", "content": "2"},
        ]
    )
    results = [request.messages[1].parts[0], request.messages[3].parts[0]]
    assert results == [ToolResult("c", "f", "1"), ToolResult(made_id(2, 0), "g", "2")]


@pytest.mark.parametrize(
    ("fields", "param", "text"),
    [
        pytest.param({"model": None}, "model", "model is required", id="no model"),
        pytest.param({"model": 5}, "model", "model must be a string, not number", id="a number for a model"),
        pytest.param({"model": "a..b"}, "model", "invalid model name", id="no name"),
        pytest.param({"messages": []}, None, "[] is too short - 'messages'", id="empty messages"),
        pytest.param({"messages": None}, None, "[] is too short - 'messages'", id="no messages"),
        pytest.param({"messages": "hi"}, "messages", "messages must be an array, not string", id="a text"),
        pytest.param(
            {"messages": [1]}, "messages[0]", "messages[0] must be an object", id="a number for a message"
        ),
        pytest.param(
            {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "must be one of", id="role"
        ),
        pytest.param(
            {"messages": [{"content": "x"}]}, "messages[0].role", "must be one of system", id="no role"
        ),
        pytest.param({"messages": [{"role": "user"}]}, "messages[0].content", "is required", id="no content"),
        pytest.param(
            {"messages": [{"role": "assistant"}]}, "messages[0].content", "is required", id="nothing said"
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "a string or", id="number"
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages[0].content[0].type",
            "is required",
            id="a part without a type",
        ),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
            "is required",
            id="a text part without text",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}
                ]
            },
            "messages[0].content[0].image_url.url",
            "invalid image input",
            id="an address of another kind",
        ),
        pytest.param(
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": "data:image/png;base64,!"}],
                    }
                ]
            },
            "messages[0].content[0].image_url.url",
            "invalid image input",
            id="a picture that is no base64",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            "invalid tool call arguments",
            id="arguments as an object",
        ),
        pytest.param(
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}
                ]
            },
            "messages[0].tool_calls[0].function.arguments",
            "invalid tool call arguments",
            id="arguments that are no JSON",
        ),
        pytest.param(
            {"stream": "true"}, "stream", "stream must be true or false, not string", id="a text for a flag"
        ),
        pytest.param({"temperature": "hot"}, "temperature", "must be a number", id="a text for a number"),
        pytest.param(
            {"temperature": True}, "temperature", "must be a number, not bool", id="a flag for a number"
        ),
        pytest.param({"seed": 1.5}, "seed", "must be an integer", id="a fraction"),
        pytest.param({"max_tokens": 0}, "max_tokens", "at least 1", id="no tokens"),
        pytest.param(
            {"max_completion_tokens": -1}, "max_completion_tokens", "at least 1", id="fewer than none"
        ),
        pytest.param({"max_tokens": "5"}, "max_tokens", "must be an integer", id="a text for tokens"),
        pytest.param({"n": 0}, "n", "at least 1", id="no choice"),
        pytest.param({"stop": 5}, "stop", "must be an array", id="a number for a stop"),
        pytest.param({"stop": ["a", 5]}, "stop[1]", "must be a string", id="a number among stops"),
        pytest.param({"top_logprobs": 21}, "top_logprobs", "between 0 and 20", id="too many logprobs"),
        pytest.param(
            {"reasoning_effort": "huge"}, "reasoning_effort", "invalid reasoning value", id="an effort"
        ),
        pytest.param(
            {"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid reasoning value", id="inner"
        ),
        pytest.param(
            {"response_format": "json"}, "response_format", "must be an object", id="a text for a format"
        ),
        pytest.param(
            {"response_format": {"type": "json_schema"}},
            "response_format.json_schema.schema",
            "required",
            id="schema",
        ),
        pytest.param(
            {"tools": [{"type": "function"}]}, "tools[0].function.name", "required", id="a nameless tool"
        ),
        pytest.param({"tool_choice": "sometimes"}, "tool_choice", "must be auto", id="a choice that is none"),
        pytest.param({"stream_options": True}, "stream_options", "must be an object", id="stream options"),
        pytest.param(
            {"messages": [{"role": "assistant", "content": "x", "reasoning_details": [1]}]},
            "messages[0].reasoning_details[0]",
            "must be an object",
            id="a number for a detail of thinking",
        ),
        pytest.param({"api_key": "k"}, "api_key", "api_key is not accepted from clients", id="a key"),
        pytest.param({"base_url": "http://x"}, "base_url", "not accepted from clients", id="an address"),
    ],
)
def test_refusals(fields, param, text):
    problem = asked(**fields)
    assert isinstance(problem, Problem)
    assert (problem.http_status, problem.subject) == (400, param)
    assert text in problem.detail


START = Started("gpt")
HEAD = {"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "gpt"}
END = (UsageSeen(Usage(11, 3)), Finished("stop"))


def chunk(delta, reason=None, index=0, **choice):
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": reason, **choice}]}


def call(index, **function):
    return {"tool_calls": [{"index": index, "function": function}]}


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param(
            [(START, TextDelta("Hello"), TextDelta("!")), END],
            [
                chunk({"role": "assistant", "content": "Hello"}),
                chunk({"content": "!"}),
                chunk({}, "stop"),
                "[DONE]",
            ],
            id="text, the role in the first chunk",
        ),
        pytest.param(
            [(START,), END],
            [chunk({"role": "assistant", "content": ""}), chunk({}, "stop"), "[DONE]"],
            id="an answer of nothing",
        ),
        pytest.param(
            [(START, ThinkingDelta("hm"), RefusalDelta("No.")), END],
            [
                chunk({"role": "assistant", "reasoning": "hm", "reasoning_content": "hm"}),
                chunk({"refusal": "No."}),
                chunk({}, "stop"),
                "[DONE]",
            ],
            id="thinking and a refusal",
        ),
        pytest.param(
            [
                (START, ToolCallDelta(0, "a", "f"), ToolCallDelta(0, arguments='{"x"')),
                (ToolCallDelta(1, "b", "g", "{}"), ToolCallDelta(0, arguments=":1}"), *END),
            ],
            [
                chunk(
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {
                                "index": 0,
                                "id": "a",
                                "type": "function",
                                "function": {"name": "f", "arguments": ""},
                            }
                        ],
                    }
                ),
                chunk(call(0, arguments='{"x"')),
                chunk(
                    {
                        "tool_calls": [
                            {
                                "index": 1,
                                "id": "b",
                                "type": "function",
                                "function": {"name": "g", "arguments": "{}"},
                            }
                        ]
                    }
                ),
                chunk(call(0, arguments=":1}")),
                chunk({}, "tool_calls"),
                "[DONE]",
            ],
            id="calls in fragments, and a reason that names them",
        ),
        pytest.param(
            [(START, TextDelta("a"), TextDelta("b", 1)), (Finished("stop", ("length",)),)],
            [
                chunk({"role": "assistant", "content": "a"}),
                chunk({"role": "assistant", "content": "b"}, index=1),
                chunk({}, "stop"),
                chunk({}, "length", index=1),
                "[DONE]",
            ],
            id="several choices, each with its role and end",
        ),
        pytest.param(
            [(START, TextDelta("a", logprobs=({"token": "a"},))), END],
            [
                chunk(
                    {"role": "assistant", "content": "a"},
                    logprobs={"content": [{"token": "a"}], "refusal": None},
                ),
                chunk({}, "stop"),
                "[DONE]",
            ],
            id="logprobs",
        ),
        pytest.param(
            [(START, ExtraDelta(FORMAT, {"annotations": [1]}), ExtraDelta("x", {"y": 1})), END],
            [chunk({"role": "assistant", "annotations": [1]}), chunk({}, "stop"), "[DONE]"],
            id="what only this form can say",
        ),
        pytest.param(
            [(START, ThinkingDelta("hm"), ExtraDelta("reasoning_details", SEALED)), (TextDelta("a"),), END],
            [
                chunk({"role": "assistant", "reasoning": "hm", "reasoning_content": "hm"}),
                chunk({"reasoning_details": [SEALED]}),
                chunk({"content": "a"}),
                chunk({}, "stop"),
                "[DONE]",
            ],
            id="details of thinking, to be given back",
        ),
        pytest.param(
            [(START, TextDelta("a")), (Failed(Problem(Kind.STREAM_ERROR, "broke off")), TextDelta("b"))],
            [
                chunk({"role": "assistant", "content": "a"}),
                {
                    "error": {
                        "message": "broke off (request r1)",
                        "type": "upstream_error",
                        "param": None,
                        "code": None,
                    }
                },
            ],
            id="an error ends the stream, without an end mark",
        ),
    ],
)
def test_streams(batches, expected):
    assert frames(written(PATH, STREAM, batches)) == expected


def test_usage_comes_last_and_only_if_asked():
    body = {**STREAM, "stream_options": {"include_usage": True}}
    batch = (START, TextDelta("a"), UsageSeen(Usage(11, 3, 5, 2)), Finished("stop"))
    *chunks, usage, done = frames(written(PATH, body, [batch]))
    assert [each["usage"] for each in chunks] == [None, None]
    assert (usage["choices"], done) == ([], "[DONE]")
    assert usage["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 3,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }


def test_a_client_of_old_functions_gets_a_function_call():
    body = {**ASK, "functions": [{"name": "f"}]}
    batch = (START, ToolCallDelta(0, "a", "f", "{}"), Finished("tool_calls"))
    first, last, _ = frames(written(PATH, {**body, "stream": True}, [batch]))
    assert first["choices"][0]["delta"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert last["choices"][0]["finish_reason"] == "function_call"
    choice = collected(PATH, body, batch)[1]["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"


FRAME = b'data: {"id":"up","choices":[{"delta":{"content":"x","new":1},"finish_reason":null}]}\n\n'
LAST = b'data: {"id":"up","choices":[{"delta":{},"finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
BEGUN = verbatim(FORMAT, FRAME, Started("gpt", "up"), TextDelta("x"))


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([verbatim(FORMAT, LAST + DONE, *END)], FRAME + LAST + DONE, id="to the end"),
        pytest.param(
            [verbatim(FORMAT, LAST), Batch((Finished("stop"),))],
            FRAME + LAST + DONE,
            id="the end mark is added",
        ),
        pytest.param(
            [verbatim(FORMAT, LAST, Finished("stop"))],
            FRAME + LAST + DONE,
            id="the end mark is added to the end",
        ),
        pytest.param([verbatim(FORMAT, b": ping\n\n")], FRAME + b": ping\n\n", id="comments too"),
        pytest.param(
            [verbatim(FORMAT, DONE, *END), Batch((TextDelta("y"),))], FRAME + DONE, id="nothing after the end"
        ),
    ],
)
def test_bytes_of_the_upstream_stand(batches, expected):
    assert written(PATH, STREAM, [BEGUN, *batches]) == expected


def test_an_end_that_was_not_among_the_bytes_is_written():
    data = written(PATH, STREAM, [BEGUN, Batch((TextDelta("y"), *END))])
    assert data.startswith(FRAME)
    text, last, done = frames(data)[1:]
    assert (text["id"], text["choices"][0]["delta"]) == ("up", {"content": "y"})
    assert (last["choices"][0]["finish_reason"], done) == ("stop", "[DONE]")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(
            verbatim("openai.completions", FRAME, START, TextDelta("x")), id="bytes of another format"
        ),
        pytest.param(Batch((START, TextDelta("x"))), id="a beginning that was changed"),
    ],
)
def test_bytes_that_cannot_stand_are_rendered(first):
    data = written(PATH, STREAM, [first, verbatim(FORMAT, LAST + DONE, TextDelta("y"), *END)])
    assert b"new" not in data
    assert [frame["id"] for frame in frames(data)[:-1]] == ["chatcmpl-r1"] * 3


def test_a_whole_reply():
    entry = {"token": "Hello", "logprob": -0.5}
    batch = (
        START,
        ThinkingDelta("hm"),
        TextDelta("Hello", logprobs=(entry,)),
        TextDelta("!"),
        ToolCallDelta(0, "a", "f", '{"x":'),
        ToolCallDelta(0, arguments="1}"),
        ToolCallDelta(1, "b", "g"),
        ExtraDelta("reasoning_details", SEALED),
        ExtraDelta("reasoning_details", HIDDEN),
        ExtraDelta(FORMAT, {"annotations": [1]}),
        UsageSeen(Usage(11, 3)),
        Finished("stop", extra={FORMAT: {"service_tier": "flex"}}),
    )
    function = {"name": "f", "arguments": '{"x":1}'}
    assert collected(PATH, ASK, batch) == (
        200,
        {
            "id": "chatcmpl-r1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "gpt",
            "service_tier": "flex",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "Hello!",
                        "refusal": None,
                        "reasoning": "hm",
                        "reasoning_content": "hm",
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": function},
                            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                        ],
                        "reasoning_details": [SEALED, HIDDEN],
                        "annotations": [1],
                    },
                    "logprobs": {"content": [entry], "refusal": None},
                    "finish_reason": "tool_calls",
                }
            ],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
        },
    )


@pytest.mark.parametrize(
    ("events", "content"),
    [
        pytest.param((TextDelta("x"),), "x", id="text"),
        pytest.param((), "", id="nothing"),
        pytest.param((ToolCallDelta(0, "a", "f"),), None, id="calls alone"),
        pytest.param((RefusalDelta("No."),), None, id="a refusal alone"),
    ],
)
def test_content_of_a_whole_reply(events, content):
    choice = collected(PATH, ASK, (START, *events, Finished("stop")))[1]["choices"][0]
    assert choice["message"]["content"] == content


def test_several_choices_of_a_whole_reply():
    batch = (START, TextDelta("a"), TextDelta("b", 1), Finished("stop", ("length",)))
    choices = collected(PATH, {**ASK, "n": 2}, batch)[1]["choices"]
    assert [(each["message"]["content"], each["finish_reason"]) for each in choices] == [
        ("a", "stop"),
        ("b", "length"),
    ]


def test_a_whole_reply_of_the_same_form_stays_as_it_is():
    batch = verbatim(FORMAT, b'{"new":1}', START, TextDelta("x"), *END)
    assert collected(PATH, ASK, batch) == (200, {"new": 1})


def test_heads_and_keep_alive():
    dialect = DIALECTS[PATH]
    stream = begun(PATH, STREAM)
    assert dialect.head(stream).headers == {"content-type": "text/event-stream", "cache-control": "no-cache"}
    assert dialect.keep_alive(stream, 1.0)[1] == b": keep-alive\n\n"
    assert dialect.head(begun(PATH, ASK)).headers == {"content-type": "application/json"}
