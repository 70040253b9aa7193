"""Ollama's wire format: what is answered, and what is refused in which words."""

import math

import pytest
from attrs import evolve

from tests.adapters.simulator.kit import NOARGS, PIXEL, STANDARD, WEATHER, document, get, lines, post, user

CHAT, GENERATE = "/ollama/api/chat", "/ollama/api/generate"
EMBED, EMBEDDINGS, SHOW = "/ollama/api/embed", "/ollama/api/embeddings", "/ollama/api/show"
METRICS = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}
FIRST = {
    "id": "call_abc12345",
    "function": {"index": 0, "name": "get_weather", "arguments": {"city": "Paris", "n": 2}},
}
SECOND = {"id": "call_def67890", "function": {"index": 1, "name": "noargs", "arguments": {}}}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
}


def chat(**fields):
    return post(CHAT, {"model": "chat", "messages": user("hi"), **fields})


ROWS = [
    pytest.param({}, {"content": "Hello world!"}, "stop", id="nothing special"),
    pytest.param(
        {"model": "think"},
        {"content": "Hello world!", "thinking": "Let me think."},
        "stop",
        id="thinking by default",
    ),
    pytest.param(
        {"model": "think", "think": "high"},
        {"content": "Hello world!", "thinking": "Let me think."},
        "stop",
        id="thinking asked for",
    ),
    pytest.param({"model": "think", "think": False}, {"content": "Hello world!"}, "stop", id="thinking off"),
    pytest.param({"format": "json"}, {"content": '{"name": "x", "age": 3}'}, "stop", id="any JSON"),
    pytest.param(
        {"format": {"type": "object"}}, {"content": '{"name": "x", "age": 3}'}, "stop", id="a schema"
    ),
    pytest.param({"format": ""}, {"content": "Hello world!"}, "stop", id="an empty format"),
    pytest.param(
        {"options": {"num_predict": 2}}, {"content": "Hello world!"}, "length", id="a limit of two tokens"
    ),
    pytest.param({"options": {"num_predict": -1}}, {"content": "Hello world!"}, "stop", id="no limit"),
    pytest.param(
        {"model": "tools", "messages": user("@@TOOL"), "tools": [WEATHER, NOARGS]},
        {"content": "", "tool_calls": [FIRST]},
        "stop",
        id="a tool",
    ),
    pytest.param(
        {"model": "tools", "messages": user("@@TOOL2"), "tools": [WEATHER, NOARGS]},
        {"content": "Calling.", "tool_calls": [FIRST, SECOND]},
        "stop",
        id="two tools",
    ),
    pytest.param(
        {"model": "tools", "messages": [*user("w"), CALL, {"role": "tool", "content": "22"}]},
        {"content": "Hello world!"},
        "stop",
        id="a result without an id",
    ),
    pytest.param(
        {"nonsense": 1, "options": {"made_up": 1, "temperature": None}},
        {"content": "Hello world!"},
        "stop",
        id="unknown fields",
    ),
    pytest.param(
        {"model": "CHAT:latest"}, {"content": "Hello world!"}, "stop", id="the name in another spelling"
    ),
]


@pytest.mark.parametrize(("fields", "message", "reason"), ROWS)
def test_the_table_in_one_piece(fields, message, reason):
    played = chat(**fields, stream=False)
    answer = document(played)
    assert played.head.headers["content-type"] == "application/json; charset=utf-8"
    assert answer["message"] == {"role": "assistant", **message}
    assert (answer["done"], answer["done_reason"]) == (True, reason)
    assert answer["model"] == fields.get("model", "chat")
    assert (answer["prompt_eval_count"], answer["eval_count"]) == (11, 3)


@pytest.mark.parametrize(("fields", "message", "reason"), ROWS)
def test_the_table_as_a_stream(fields, message, reason):
    played = chat(**fields)
    *pieces, last = lines(played)
    messages = [piece["message"] for piece in pieces]
    assert played.head.headers["content-type"] == "application/x-ndjson"
    assert "".join(piece["content"] for piece in messages) == message["content"]
    assert "".join(piece.get("thinking", "") for piece in messages) == message.get("thinking", "")
    assert [call for piece in messages for call in piece.get("tool_calls", [])] == message.get(
        "tool_calls", []
    )
    assert all(piece["role"] == "assistant" for piece in messages)
    assert all(not piece["done"] and not METRICS & piece.keys() for piece in pieces)
    assert last["message"] == {"role": "assistant", "content": ""}
    assert last["done_reason"] == reason
    assert last.keys() >= METRICS


def test_thinking_comes_before_content_and_without_it():
    thinking = [line["message"].get("thinking") for line in lines(chat(model="think"))]
    assert thinking == ["Let me", " think.", None, None, None, None]


def test_time_passes_from_piece_to_piece():
    body = {"model": "chat", "messages": user("hi")}
    played = post(CHAT, body, evolve(STANDARD, head_s=1.0, delta_s=0.5))
    assert [line["created_at"] for line in lines(played)] == [
        "2026-02-02T02:40:01.5Z",
        "2026-02-02T02:40:02Z",
        "2026-02-02T02:40:02.5Z",
        "2026-02-02T02:40:02.5Z",
    ]
    assert (played.head_s, [delay for delay, _ in played.chunks]) == (1.0, [0.5, 0.5, 0.5, 0.0])


def test_generate_as_a_stream():
    *pieces, last = lines(post(GENERATE, {"model": "chat", "prompt": "hi"}))
    assert [piece["response"] for piece in pieces] == ["Hello", " world", "!"]
    assert (last["response"], last["done"], last["context"]) == ("", True, [1000, 1001, 1002])
    assert all("message" not in piece for piece in [*pieces, last])


def test_generate_between_prompt_and_suffix():
    answer = document(post(GENERATE, {"model": "insert", "prompt": "a", "suffix": "b", "stream": False}))
    assert answer["response"] == "Hello world!"


def test_generate_in_raw_mode_gives_no_context():
    assert "context" not in document(
        post(GENERATE, {"model": "chat", "prompt": "a", "raw": True, "stream": False})
    )


def test_generate_thinks_at_the_top_level():
    answer = document(post(GENERATE, {"model": "think", "prompt": "a", "stream": False}))
    assert (answer["thinking"], answer["response"]) == ("Let me think.", "Hello world!")


@pytest.mark.parametrize(
    ("path", "fields", "reason"),
    [
        pytest.param(CHAT, {}, "load", id="a chat of nothing loads"),
        pytest.param(CHAT, {"messages": [], "keep_alive": "0s"}, "unload", id="a chat of nothing unloads"),
        pytest.param(GENERATE, {"prompt": ""}, "load", id="an empty prompt loads"),
        pytest.param(GENERATE, {"keep_alive": 0}, "unload", id="no prompt unloads"),
    ],
)
def test_load_and_unload(path, fields, reason):
    played = post(path, {"model": "chat", **fields})
    answer = document(played)
    assert played.head.headers["content-type"] == "application/json; charset=utf-8"
    assert (answer["done"], answer["done_reason"]) == (True, reason)
    assert not METRICS & answer.keys()


def test_logprobs_stand_on_each_object():
    *pieces, _ = lines(chat(logprobs=True, top_logprobs=1))
    assert [piece["logprobs"][0]["token"] for piece in pieces] == ["Hello", " world", "!"]
    assert len(pieces[0]["logprobs"][0]["top_logprobs"]) == 1
    assert "top_logprobs" not in lines(chat(logprobs=True))[0]["logprobs"][0]


def test_a_stream_that_breaks_is_cut_after_two_pieces():
    played = chat(messages=user("@@MID"))
    assert played.ending == "reset"
    assert [line["message"]["content"] for line in lines(played)] == ["Hello", " world"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_break_may_be_told_by_an_error(stream):
    body = {"model": "chat", "messages": user("@@MID"), "stream": stream}
    played = post(CHAT, body, evolve(STANDARD, broken="event"))
    assert played.ending == "end"
    assert played.head.status == (200 if stream else 500)
    assert list(lines(played)[-1] if stream else document(played)) == ["error"]


@pytest.mark.parametrize("status", [400, 429, 500, 503])
@pytest.mark.parametrize("stream", [True, False])
def test_errors_before_the_first_token(status, stream):
    played = chat(messages=user(f"@@ERR{status}"), stream=stream)
    assert played.head.status == status
    assert list(document(played)) == ["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        pytest.param(CHAT, b"", 400, "missing request body", id="no body"),
        pytest.param(CHAT, b'{"model": "ch', 400, "unexpected EOF", id="a body cut off"),
        pytest.param(
            CHAT, b"hello", 400, "invalid character 'h' looking for beginning of value", id="no JSON"
        ),
        pytest.param(CHAT, {"messages": []}, 400, "model is required", id="no model"),
        pytest.param(
            CHAT,
            {"model": 5},
            400,
            "cannot unmarshal number into Go struct field ChatRequest.model",
            id="type",
        ),
        pytest.param(CHAT, {"model": "a@b"}, 400, "invalid model name", id="a name that cannot be"),
        pytest.param(CHAT, {"model": "nope"}, 404, "model 'nope' not found", id="an unknown model"),
        pytest.param(
            CHAT, {"model": "chat", "stream": "no"}, 400, "ChatRequest.stream of type bool", id="stream"
        ),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user(["a"])},
            400,
            "messages.content of type string",
            id="parts",
        ),
        pytest.param(
            CHAT,
            {
                "model": "chat",
                "messages": [{"role": "user", "content": "a", "images": ["data:image/png;base64,AA=="]}],
            },
            400,
            "illegal base64 data at input byte 4",
            id="a picture with a prefix",
        ),
        pytest.param(
            CHAT,
            {
                "model": "chat",
                "messages": [{**CALL, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}],
            },
            400,
            "Value looks like object",
            id="arguments as text",
        ),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user("a"), "tools": [WEATHER]},
            400,
            "registry.ollama.ai/library/chat:latest does not support tools",
            id="tools",
        ),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user("a"), "think": True},
            400,
            '"chat" does not support thinking',
            id="think",
        ),
        pytest.param(
            CHAT,
            {"model": "think", "messages": user("a"), "think": "extreme"},
            400,
            'invalid think value: "extreme"',
            id="x",
        ),
        pytest.param(
            CHAT,
            {"model": "think", "think": 5},
            400,
            "think must be a boolean or string",
            id="think a number",
        ),
        pytest.param(
            CHAT,
            {"model": "embed", "messages": user("a")},
            400,
            '"embed" does not support chat',
            id="embedder",
        ),
        pytest.param(CHAT, {"model": "chat", "top_logprobs": 21}, 400, "between 0 and 20", id="logprobs"),
        pytest.param(CHAT, {"model": "chat", "options": []}, 400, "ChatRequest.options", id="options a list"),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user("a"), "options": {"temperature": "hot"}},
            500,
            'option "temperature" must be of type float32',
            id="an option",
        ),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user("a"), "options": {"stop": "x"}},
            500,
            'option "stop" must be of type array',
            id="stop a text",
        ),
        pytest.param(
            CHAT,
            {"model": "chat", "messages": user("a"), "format": "xml"},
            500,
            'invalid format: "xml"',
            id="a format",
        ),
        pytest.param(
            CHAT, {"model": "chat", "keep_alive": "5"}, 400, "missing unit in duration", id="no unit"
        ),
        pytest.param(CHAT, {"model": "chat", "keep_alive": "abc"}, 400, "invalid duration", id="no duration"),
        pytest.param(
            CHAT, {"model": "chat", "keep_alive": True}, 400, "Unsupported type: 'bool'", id="keep alive"
        ),
        pytest.param(GENERATE, {"prompt": "a"}, 404, "model '' not found", id="generate without a model"),
        pytest.param(
            GENERATE,
            {"model": "chat", "prompt": "a", "suffix": "b"},
            400,
            "registry.ollama.ai/library/chat:latest does not support insert",
            id="suffix",
        ),
        pytest.param(
            GENERATE,
            {"model": "chat", "prompt": "a", "raw": True, "system": "s"},
            400,
            "raw mode does not support",
            id="raw",
        ),
        pytest.param(EMBED, {"model": "embed", "input": 5}, 400, "invalid input type", id="input a number"),
        pytest.param(
            EMBED, {"model": "nope", "input": "a"}, 404, 'model "nope" not found, try pulling', id="embed"
        ),
        pytest.param(
            EMBEDDINGS, {"model": "nope", "prompt": "a"}, 404, "try pulling it first", id="embeddings"
        ),
        pytest.param(EMBED, {"model": "embed", "input": "@@ERR500"}, 500, "llama runner", id="embed refused"),
        pytest.param(SHOW, {"model": "nope"}, 404, "model 'nope:latest' not found", id="show"),
        pytest.param(SHOW, {}, 400, "model is required", id="show nothing"),
    ],
)
def test_strictness(path, body, status, words):
    played = post(path, body)
    assert words in document(played)["error"]
    assert list(document(played)) == ["error"]
    assert played.head.status == status


@pytest.mark.parametrize("keep_alive", [5, -1, 0.5, "5m", "1h30m", "300ms", "0", "-1m"])
def test_times_to_stay_loaded(keep_alive):
    assert chat(keep_alive=keep_alive).head.status == 200


def test_a_picture_is_let_through():
    assert chat(messages=[{"role": "user", "content": "a", "images": [PIXEL]}]).head.status == 200


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [
        pytest.param("hello there", 1, 2, id="a text"),
        pytest.param(["a", "b c"], 2, 3, id="texts"),
        pytest.param([""], 1, 1, id="an empty text in a list"),
    ],
)
def test_embed_scales_to_length_one(given, count, tokens):
    answer = document(post(EMBED, {"model": "embed", "input": given}))
    assert answer["embeddings"] == [[0.23076923, 0.30769232, 0.9230769, 0]] * count
    assert answer["prompt_eval_count"] == tokens


def test_embed_cut_is_scaled_again():
    (vector,) = document(post(EMBED, {"model": "embed", "input": "a", "dimensions": 2}))["embeddings"]
    assert vector == [0.6, 0.8]
    assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-6)


@pytest.mark.parametrize("fields", [{}, {"input": None}, {"input": ""}, {"input": []}])
def test_embed_of_nothing(fields):
    assert document(post(EMBED, {"model": "embed", **fields})) == {"model": "embed", "embeddings": []}


def test_the_older_embeddings_are_not_scaled():
    assert document(post(EMBEDDINGS, {"model": "embed", "prompt": "a"})) == {"embedding": [3, 4, 12, 0]}
    assert document(post(EMBEDDINGS, {"model": "embed", "input": "a"})) == {"embedding": []}


def test_tags():
    entries = document(get("/ollama/api/tags"))["models"]
    by_name = {entry["name"]: entry for entry in entries}
    assert {"chat:latest", "llama3.2:latest", "qwen3:latest", "nomic-embed-text:latest"} <= by_name.keys()
    entry = by_name["qwen3:latest"]
    assert entry["model"] == entry["name"]
    assert entry["capabilities"] == ["completion", "thinking", "tools"]
    assert (entry["details"]["family"], entry["details"]["context_length"]) == ("qwen3", 40_960)
    assert len(entry["digest"]) == 64


def test_show():
    shown = document(post(SHOW, {"name": "qwen2.5-coder"}))
    assert shown["capabilities"] == ["completion", "insert", "tools"]
    assert shown["model_info"]["general.architecture"] == "qwen2"
    assert shown["model_info"]["qwen2.context_length"] == 32_768
    assert ".Tools" in shown["template"]
    assert ".Suffix" in shown["template"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/ollama", b"Ollama is running", id="bare"),
        pytest.param("/ollama/", b"Ollama is running", id="root"),
        pytest.param("/ollama/api/version", b'{"version":"0.33.0"}', id="version"),
        pytest.param("/ollama/api/ps", b'{"models":[]}', id="ps"),
    ],
)
def test_what_it_tells_of_itself(path, body):
    played = get(path)
    assert (played.head.status, played.body) == (200, body)


def test_a_head_request_gets_no_body():
    played = get("/ollama/", method="HEAD")
    assert (played.head.status, played.body) == (200, b"")


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        pytest.param("GET", "/ollama/api/nothing", 404, b"404 page not found", id="an unknown path"),
        pytest.param("GET", CHAT, 405, b"405 method not allowed", id="a wrong method"),
    ],
)
def test_wrong_addresses_are_told_in_plain_text(method, path, status, body):
    played = get(path, method=method)
    assert (played.head.status, played.body) == (status, body)
    assert played.head.headers["content-type"].startswith("text/plain")
