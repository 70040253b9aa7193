"""/api/chat: requests as values, replies as Ollama writes them."""

import json

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
    LoadRequest,
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
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import ID, begun, collected, lines, post, read, verbatim, written

PATH = "/api/chat"
HI = [{"role": "user", "content": "hi"}]
ASK = {"model": "m", "messages": HI}
PNG = "iVBORw0KGgoAAAANSUhEUg=="
WAV = "UklGRgAAAABXQVZFZm10IA=="


def asked(**fields):
    return read(PATH, {**ASK, **fields})


def said(*messages):
    request = asked(messages=list(messages))
    assert isinstance(request, ChatRequest), request
    return request.messages


def test_a_plain_request():
    assert asked() == ChatRequest(
        "m", (Message(Role.USER, (Text("hi"),)),), stream=True, source=Source("ollama.chat", ASK)
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stream": False}, {"stream": False}, id="streamed unless the client says no"),
        pytest.param({"stream": None, "format": None, "think": None}, {"stream": True}, id="null is absent"),
        pytest.param({"think": True}, {"thinking": Thinking(True)}, id="thinking on"),
        pytest.param({"think": False}, {"thinking": Thinking(False)}, id="thinking off"),
        pytest.param({"think": "max"}, {"thinking": Thinking(True, "max")}, id="a level of thinking"),
        pytest.param({"format": "json"}, {"format": Format()}, id="any JSON"),
        pytest.param({"format": {"type": "object"}}, {"format": Format({"type": "object"})}, id="a schema"),
        pytest.param({"format": ""}, {"format": None}, id="no format"),
        pytest.param({"logprobs": True}, {"logprobs": 0}, id="logprobs alone"),
        pytest.param({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}, id="logprobs with alternatives"),
        pytest.param({"top_logprobs": 3}, {"logprobs": None}, id="alternatives without logprobs"),
        pytest.param({"nonsense": {"a": 1}, "temperature": 2}, {"sampling": Sampling()}, id="unknown fields"),
        pytest.param(
            {
                "options": {
                    "Temperature": 0.5,
                    "top_k": 2.7,
                    "top_p": 1,
                    "seed": 7,
                    "stop": ["a"],
                    "num_predict": 5,
                    "repeat_penalty": 1.1,
                    "min_p": None,
                }
            },
            {
                "sampling": Sampling(
                    max_tokens=5, temperature=0.5, top_p=1, top_k=2, seed=7, stop=("a",), repeat_penalty=1.1
                ),
                "extra": {},
            },
            id="options of sampling",
        ),
        pytest.param(
            {"options": {"num_predict": -1, "seed": -1}}, {"sampling": Sampling()}, id="no limit and no seed"
        ),
        pytest.param(
            {
                "options": {"num_ctx": 8192, "mirostat": 1},
                "keep_alive": "5m",
                "truncate": False,
                "shift": True,
            },
            {
                "extra": {
                    "ollama": {
                        "options": {"num_ctx": 8192, "mirostat": 1},
                        "keep_alive": "5m",
                        "truncate": False,
                        "shift": True,
                    }
                }
            },
            id="what concerns the engine travels along",
        ),
        pytest.param({"tools": []}, {"tools": ()}, id="no tools"),
        pytest.param(
            {"tools": [{"function": {"name": "f", "parameters": None}}]},
            {"tools": (Tool("f"),)},
            id="a tool without type and parameters",
        ),
        pytest.param(
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "f", "description": "d", "parameters": {"B": 1}},
                    }
                ]
            },
            {"tools": (Tool("f", "d", {"B": 1}),)},
            id="a schema stays as it was written",
        ),
        pytest.param({"model": " m "}, {"model": "m"}, id="blanks around the name"),
        pytest.param({"model": "d@r.azure.com"}, {"model": "d@r.azure.com"}, id="a name with @"),
    ],
)
def test_fields(fields, expected):
    request = asked(**fields)
    assert isinstance(request, ChatRequest), request
    assert {name: getattr(request, name) for name in expected} == expected


def test_keys_match_without_regard_to_case():
    request = read(PATH, {"MODEL": "m", "Messages": [{"ROLE": "User", "Content": "hi"}], "Stream": False})
    assert isinstance(request, ChatRequest)
    assert (request.model, request.messages, request.stream) == (
        "m",
        (Message(Role.USER, (Text("hi"),)),),
        False,
    )
    assert set(request.source.body) == {"model", "messages", "stream"}


def test_the_rendered_prompt_cannot_be_asked_for():
    request = asked(_debug_render_only=True)
    assert "_debug_render_only" not in request.source.body


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param({"role": "SYSTEM", "content": "s"}, Message(Role.SYSTEM, (Text("s"),)), id="any case"),
        pytest.param(
            {"role": "robot", "content": "b"}, Message(Role.USER, (Text("b"),)), id="an unknown role"
        ),
        pytest.param({"content": "b"}, Message(Role.USER, (Text("b"),)), id="no role"),
        pytest.param({"role": "user", "content": None}, Message(Role.USER, (Text(""),)), id="null content"),
        pytest.param({"role": "user"}, Message(Role.USER, (Text(""),)), id="no content"),
        pytest.param(
            {"role": "user", "content": "x", "images": [PNG]},
            Message(Role.USER, (Text("x"), Image(PNG, media_type="image/png"))),
            id="a picture",
        ),
        pytest.param(
            {"role": "user", "images": ["aGVs\nbG8="]},
            Message(Role.USER, (Image("aGVsbG8="),)),
            id="line ends",
        ),
        pytest.param(
            {"role": "user", "images": [WAV]},
            Message(
                Role.USER,
                (
                    Opaque(
                        "openai.chat", {"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}
                    ),
                ),
            ),
            id="sound",
        ),
        pytest.param(
            {"role": "assistant", "thinking": "hm", "content": "x"},
            Message(Role.ASSISTANT, (Reasoning("hm"), Text("x"))),
            id="thinking of an earlier turn",
        ),
        pytest.param(
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"b": 1, "a": 2}}}],
            },
            Message(Role.ASSISTANT, (ToolCall("c", "f", '{"b":1,"a":2}'),)),
            id="a call, its keys in order",
        ),
        pytest.param(
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]},
            Message(Role.ASSISTANT, (ToolCall(made_id(0, 0), "f", "{}"),)),
            id="a call without id and arguments",
        ),
    ],
)
def test_messages(message, expected):
    assert said(message) == (expected,)


def test_results_with_ids_are_tied_to_calls_without():
    history = said(
        {
            "role": "assistant",
            "tool_calls": [{"function": {"name": "f"}}, {"id": "b", "function": {"name": "g"}}],
        },
        {"role": "tool", "tool_call_id": "x", "content": "of f"},
        {"role": "tool", "tool_call_id": "b", "content": "of g"},
    )
    assert [message.parts[0] for message in history[1:]] == [
        ToolResult(made_id(0, 0), "f", "of f"),
        ToolResult("b", "g", "of g"),
    ]


def test_an_empty_message_does_not_part_calls_from_their_results():
    calls = [{"function": {"name": "f"}}]
    history = said(
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "assistant", "content": ""},
        {"role": "tool", "tool_name": "f", "content": "of f"},
        {"role": "assistant", "content": ""},
    )
    assert [message.parts for message in history] == [
        (Text(""),),
        (ToolCall(made_id(1, 0), "f", "{}"),),
        (ToolResult(made_id(1, 0), "f", "of f"),),
        (Text(""),),
    ]


def test_results_are_tied_to_calls():
    calls = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    history = said(
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_name": "g", "content": "of g"},
        {"role": "tool", "content": "of the first f"},
        {"role": "tool", "tool_call_id": made_id(0, 2), "content": "of the second f"},
    )
    assert [message.parts[0] for message in history[1:]] == [
        ToolResult(made_id(0, 1), "g", "of g"),
        ToolResult(made_id(0, 0), "f", "of the first f"),
        ToolResult(made_id(0, 2), "f", "of the second f"),
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"model": "m"}, LoadRequest("m"), id="no messages"),
        pytest.param({"model": "m", "messages": []}, LoadRequest("m"), id="empty messages"),
        pytest.param({"model": "m", "messages": None, "keep_alive": -1}, LoadRequest("m"), id="for ever"),
        pytest.param(
            {"model": "m", "keep_alive": "5m", "format": "yaml"}, LoadRequest("m"), id="unread format"
        ),
        pytest.param({"model": "m", "keep_alive": 0}, LoadRequest("m", True), id="zero"),
        pytest.param({"model": "m", "keep_alive": "0s"}, LoadRequest("m", True), id="zero seconds"),
        pytest.param({"model": "m", "keep_alive": 0.0}, LoadRequest("m", True), id="zero with a fraction"),
        pytest.param(
            {"model": "m", "keep_alive": "0", "options": {"seed": "x"}}, LoadRequest("m", True), id="options"
        ),
    ],
)
def test_loads(body, expected):
    assert read(PATH, body) == expected


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        pytest.param({"model": None}, 400, "model is required", id="no model"),
        pytest.param({"model": "  "}, 400, "model is required", id="a blank model"),
        pytest.param({"model": "!!bad"}, 400, "invalid model name", id="no name"),
        pytest.param({"model": "m:"}, 400, "invalid model name", id="an empty tag"),
        pytest.param(
            {"model": 5},
            400,
            "json: cannot unmarshal number into Go struct field ChatRequest.model of type string",
            id="a number for a model",
        ),
        pytest.param(
            {"messages": [{"content": [{"type": "text"}]}]},
            400,
            "json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string",
            id="parts",
        ),
        pytest.param({"messages": {}}, 400, "cannot unmarshal object into", id="no array of messages"),
        pytest.param({"messages": ["hi"]}, 400, "cannot unmarshal string into", id="a text for a message"),
        pytest.param({"stream": "false"}, 400, "ChatRequest.stream of type bool", id="a text for a flag"),
        pytest.param({"stream": 0}, 400, "ChatRequest.stream of type bool", id="a number for a flag"),
        pytest.param({"options": []}, 400, "ChatRequest.options of type map", id="no object of options"),
        pytest.param(
            {"options": {"temperature": "hot"}},
            500,
            'option "temperature" must be of type float32',
            id="a float",
        ),
        pytest.param(
            {"options": {"num_ctx": True}}, 500, 'option "num_ctx" must be of type integer', id="an int"
        ),
        pytest.param(
            {"options": {"use_mmap": 1}}, 500, 'option "use_mmap" must be of type boolean', id="a bool"
        ),
        pytest.param({"options": {"stop": "a"}}, 500, 'option "stop" must be of type array', id="one stop"),
        pytest.param(
            {"options": {"stop": [1]}}, 500, 'option "stop" must be of type array of str', id="no texts"
        ),
        pytest.param(
            {"options": {"api_key": "k"}}, 400, "not accepted from clients", id="a key in the options"
        ),
        pytest.param(
            {"think": "extreme"},
            400,
            'invalid think value: "extreme" (must be "high", "medium", "low", "max", true, or false)',
            id="a level that is none",
        ),
        pytest.param({"think": ""}, 400, 'invalid think value: ""', id="an empty level"),
        pytest.param(
            {"think": 1},
            400,
            'think must be a boolean or string ("high", "medium", "low", "max", true, or false)',
            id="a number for thinking",
        ),
        pytest.param(
            {"format": "yaml"},
            500,
            'invalid format: "yaml"; expected "json" or a valid JSON Schema object',
            id="an unknown format",
        ),
        pytest.param({"format": [1]}, 500, "invalid format: [1];", id="an array for a format"),
        pytest.param({"keep_alive": "abc"}, 400, 'time: invalid duration "abc"', id="no duration"),
        pytest.param({"keep_alive": "5"}, 400, 'time: missing unit in duration "5"', id="no unit"),
        pytest.param({"keep_alive": True}, 400, "Unsupported type: 'bool'", id="a flag for a duration"),
        pytest.param({"keep_alive": {}}, 400, "Unsupported type: 'map[string]interface {}'", id="an object"),
        pytest.param(
            {"top_logprobs": 21}, 400, "top_logprobs must be between 0 and 20", id="too many logprobs"
        ),
        pytest.param(
            {"top_logprobs": -1}, 400, "top_logprobs must be between 0 and 20", id="too few logprobs"
        ),
        pytest.param(
            {"messages": [{"images": ["not base64!!"]}]},
            400,
            "illegal base64 data at input byte 3",
            id="base64",
        ),
        pytest.param(
            {"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            400,
            "Value looks like object, but can't find closing '}' symbol",
            id="arguments as text",
        ),
        pytest.param(
            {"tools": [{"function": {}}]}, 400, "tools[0].function.name is required", id="no tool name"
        ),
        pytest.param(
            {"tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"type": 5}}}}}]},
            400,
            "cannot unmarshal number",
            id="a property whose type is a number",
        ),
        pytest.param(
            {"model": "!!", "top_logprobs": 30, "options": {"seed": "x"}},
            400,
            "top_logprobs must be between",
            id="of several faults the one that Ollama finds first",
        ),
        pytest.param(
            {"model": "!!", "options": {"seed": "x"}}, 400, "invalid model name", id="names before options"
        ),
        pytest.param(
            {"options": {"seed": "x"}, "format": "y"}, 500, 'option "seed"', id="options before the format"
        ),
    ],
)
def test_refusals(fields, status, text):
    problem = asked(**fields)
    assert isinstance(problem, Problem)
    answer = DIALECTS[PATH].refuse(problem, None, ID)
    assert answer.head.status == status
    assert text in json.loads(answer.body)["error"]


START = Started("other")
WORDS = (START, TextDelta("Hello"), TextDelta(" world"), TextDelta("!"))
END = (UsageSeen(Usage(11, 3)), Finished("stop"))
FIRST, SECOND = "2023-11-14T22:13:21.25Z", "2023-11-14T22:13:22.25Z"


def piece(content, stamp=FIRST, **more):
    message = {"role": "assistant", "content": content, **more}
    return {"model": "m", "created_at": stamp, "message": message, "done": False}


METRICS = {
    "total_duration": 2_000_000_000,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 1_000_000_000,
    "eval_count": 3,
    "eval_duration": 1_000_000_000,
}
LAST = {**piece("", SECOND), "done": True, "done_reason": "stop", **METRICS}


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([WORDS, END], [piece("Hello"), piece(" world"), piece("!"), LAST], id="text"),
        pytest.param(
            [(START, ThinkingDelta("Let me"), TextDelta("Hi")), END],
            [piece("", thinking="Let me"), piece("Hi"), LAST],
            id="thinking and text in objects of their own",
        ),
        pytest.param(
            [(START, RefusalDelta("No.")), END], [piece("No."), LAST], id="a refusal is said as text"
        ),
        pytest.param(
            [
                (START, TextDelta("Calling."), ToolCallDelta(0, "a", "f", '{"city":')),
                (
                    ToolCallDelta(1, "b", "g"),
                    ToolCallDelta(0, arguments='"Paris"}'),
                    *END[:1],
                    Finished("tool_calls"),
                ),
            ],
            [
                piece("Calling."),
                piece(
                    "",
                    SECOND,
                    tool_calls=[
                        {"id": "a", "function": {"index": 0, "name": "f", "arguments": {"city": "Paris"}}},
                        {"id": "b", "function": {"index": 1, "name": "g", "arguments": {}}},
                    ],
                ),
                LAST,
            ],
            id="calls come whole, and the reason stays stop",
        ),
        pytest.param(
            [(START, ToolCallDelta(0, "a", "f", '{"city":')), END],
            [{"error": "the model's tool call could not be read (request r1)"}],
            id="a call that cannot be read ends the reply",
        ),
        pytest.param(
            [(START, TextDelta("Hello"), TextDelta("Hej", choice=1)), END],
            [piece("Hello"), LAST],
            id="one choice alone",
        ),
        pytest.param(
            [
                (START, TextDelta("Hello")),
                (Failed(Problem(Kind.STREAM_ERROR, "broke off")), TextDelta("more")),
            ],
            [piece("Hello"), {"error": "broke off (request r1)"}],
            id="an error is the last line",
        ),
        pytest.param(
            [(Failed(Problem(Kind.UNKNOWN_MODEL)),), (TextDelta("more"),)],
            [{"error": "model 'm' not found"}],
            id="an error before all else",
        ),
        pytest.param(
            [(START, TextDelta("x")), (*END[:1], Finished("length"))],
            [piece("x"), {**LAST, "done_reason": "length"}],
            id="the token limit",
        ),
        pytest.param(
            [(START, TextDelta("x")), (*END[:1], Finished("content_filter"))],
            [piece("x"), LAST],
            id="other reasons are stop",
        ),
        pytest.param(
            [
                (START, TextDelta("x")),
                (
                    *END[:1],
                    Finished("stop", extra={"ollama": {"total_duration": 9, "load_duration": 5, "zero": 0}}),
                ),
            ],
            [piece("x"), {**LAST, "total_duration": 9, "load_duration": 5}],
            id="what the upstream measured itself stands",
        ),
        pytest.param(
            [
                (
                    START,
                    ExtraDelta("ollama.chat", {"images": ["x"]}),
                    ExtraDelta("openai.chat", {"audio": 1}),
                ),
                END,
            ],
            [piece("", images=["x"]), LAST],
            id="what only Ollama's messages hold",
        ),
    ],
)
def test_streams(batches, expected):
    assert lines(written(PATH, ASK, batches)) == expected


ENTRY = {
    "token": "Hi",
    "logprob": -0.1,
    "bytes": [72, 105],
    "top_logprobs": [{"token": "Hi", "logprob": -0.1}],
}
BARE = {name: ENTRY[name] for name in ("token", "logprob", "bytes")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"logprobs": True, "top_logprobs": 1}, [ENTRY], id="with alternatives"),
        pytest.param({"logprobs": True}, [BARE], id="without alternatives"),
        pytest.param({}, None, id="unasked"),
    ],
)
def test_logprobs(fields, expected):
    batch = (START, TextDelta("Hi", logprobs=(ENTRY,)), *END)
    assert lines(written(PATH, {**ASK, **fields}, [batch]))[0].get("logprobs") == expected
    assert collected(PATH, {**ASK, **fields, "stream": False}, batch)[1].get("logprobs") == expected


@pytest.mark.parametrize(
    ("batches", "every_s", "output"),
    [
        pytest.param([(*WORDS, *END)], 2.0, 3, id="all in one read"),
        pytest.param(
            [WORDS, (UsageSeen(Usage(11, 3000)), Finished("stop"))], 1e-5, 3000, id="in two at once"
        ),
        pytest.param([(START, Finished("stop"))], 2.0, None, id="nothing at all"),
    ],
)
def test_what_came_at_once_took_all_the_time_there_was(batches, every_s, output):
    last = lines(written(PATH, ASK, batches, every_s))[-1]
    assert last["eval_duration"] == last["total_duration"]
    assert last.get("eval_count") == output
    assert "prompt_eval_duration" not in last


def test_a_whole_reply():
    batch = (START, ThinkingDelta("hm"), *WORDS[1:], ToolCallDelta(0, "a", "f", '{"b":1}'), *END)
    status, value = collected(PATH, {**ASK, "stream": False}, batch)
    assert status == 200
    call = {"id": "a", "function": {"index": 0, "name": "f", "arguments": {"b": 1}}}
    assert value == {
        "model": "m",
        "created_at": SECOND,
        "message": {"role": "assistant", "content": "Hello world!", "thinking": "hm", "tool_calls": [call]},
        "done": True,
        "done_reason": "stop",
        "total_duration": 2_000_000_000,
        "prompt_eval_count": 11,
        "eval_count": 3,
        "eval_duration": 2_000_000_000,
    }


def test_a_whole_reply_whose_call_cannot_be_read_is_an_error():
    batch = (START, ToolCallDelta(0, "a", "f", "[]"), *END)
    status, value = collected(PATH, {**ASK, "stream": False}, batch)
    assert (status, list(value)) == (502, ["error"])


@pytest.mark.parametrize(("keep_alive", "reason"), [(None, "load"), (0, "unload")])
def test_loads_and_unloads_answer_at_once(keep_alive, reason):
    body = {"model": "m", "keep_alive": keep_alive}
    status, value = collected(PATH, body, (Started("m"), Finished("load")))
    assert status == 200
    message = {"role": "assistant", "content": ""}
    assert value == {
        "model": "m",
        "created_at": SECOND,
        "message": message,
        "done": True,
        "done_reason": reason,
    }
    assert DIALECTS[PATH].head(begun(PATH, body)).headers["content-type"] == "application/json; charset=utf-8"


LINE = b'{"model":"m","message":{"role":"assistant","content":"x","new":1},"done":false}\n'
DONE = b'{"model":"m","message":{"role":"assistant","content":""},"done":true}\n'


@pytest.mark.parametrize(
    ("model", "format", "passes"),
    [
        pytest.param("m", "ollama.chat", True, id="the client's name"),
        pytest.param("other", "ollama.chat", False, id="another name"),
        pytest.param("m", "openai.chat", False, id="another format"),
    ],
)
def test_bytes_of_the_upstream_stand_where_they_carry_the_clients_name(model, format, passes):
    batches = [
        verbatim(format, LINE, Started(model), TextDelta("x")),
        verbatim(format, DONE, Finished("stop")),
        Batch((TextDelta("never"),)),
    ]
    data = written(PATH, ASK, batches)
    assert (data == LINE + DONE) is passes
    assert [line["model"] for line in lines(data)] == ["m", "m"]
    whole = verbatim(format, LINE, Started(model), TextDelta("x"), Finished("stop"))
    assert ("new" in collected(PATH, {**ASK, "stream": False}, whole)[1]["message"]) is passes


def test_bytes_that_follow_a_rendered_beginning_are_rendered_too():
    batches = [Batch((Started("m"), TextDelta("a"))), verbatim("ollama.chat", LINE, TextDelta("x"))]
    assert [line["message"]["content"] for line in lines(written(PATH, ASK, batches))] == ["a", "x"]


def test_a_changed_batch_among_bytes_is_rendered():
    batches = [
        verbatim("ollama.chat", LINE, Started("m"), TextDelta("x")),
        Batch((TextDelta("y"), Finished("stop"))),
    ]
    data = written(PATH, ASK, batches)
    assert data.startswith(LINE)
    assert [line["message"]["content"] for line in lines(data)] == ["x", "y", ""]


def test_answers_repeat_the_name_as_it_was_sent():
    body = {**ASK, "model": " M:latest "}
    assert {line["model"] for line in lines(written(PATH, body, [WORDS, END]))} == {" M:latest "}


def test_keep_alive_is_an_empty_piece():
    dialect, state = DIALECTS[PATH], begun(PATH, ASK)
    _, data = dialect.keep_alive(state, 1.0)
    assert lines(data) == [piece("")]
    ended, _ = dialect.write(state, Batch((START, *END)), 1.0)
    assert dialect.keep_alive(ended, 2.0)[1] == b""


def test_heads():
    assert DIALECTS[PATH].head(begun(PATH, ASK)).headers == {"content-type": "application/x-ndjson"}
    whole = DIALECTS[PATH].head(begun(PATH, {**ASK, "stream": False}))
    assert whole.headers == {"content-type": "application/json; charset=utf-8"}


def test_a_form_is_read_as_json():
    http = post(PATH, ASK, **{"content-type": "application/x-www-form-urlencoded"})
    assert isinstance(DIALECTS[PATH].read(http), ChatRequest)


def test_a_long_call_is_not_copied_with_every_fragment():
    fragments = [Batch((ToolCallDelta(0, arguments="x"),))] * 20_000
    opening = Batch((START, ToolCallDelta(0, "a", "f", '{"t":"')))
    closing = Batch((ToolCallDelta(0, arguments='"}'), *END))
    call = lines(written(PATH, ASK, [opening, *fragments, closing], 0.001))[0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == {"t": "x" * 20_000}
