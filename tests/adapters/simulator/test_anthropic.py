"""Anthropic's wire format: what is answered, and what is refused in which words."""

import pytest
from attrs import evolve

from adapters.simulator.anthropic_messages import signature_of
from pipeline.values.events import Usage
from tests.adapters.simulator.kit import PIXEL, STANDARD, document, get, post, user

MESSAGES = "/anthropic/v1/messages"
VERSION = {"anthropic-version": "2023-06-01"}
WEATHER = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
NOARGS = {"name": "noargs", "input_schema": {"type": "object", "properties": {}}}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "additionalProperties": False,
}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
CALL = {"type": "tool_use", "id": "a", "name": "get_weather", "input": {}}
CALLED = {"role": "assistant", "content": [CALL]}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}


def ask(model="chat", **fields):
    scenario = fields.pop("scenario", STANDARD)
    body = {"model": model, "max_tokens": 2000, "messages": user("hi"), **fields}
    body = {name: value for name, value in body.items() if value is not None}
    return post(MESSAGES, body, scenario, **{"x-api-key": "k"}, **VERSION)


def text(said):
    return {"type": "text", "text": said}


def thought(said):
    return {"type": "thinking", "thinking": said, "signature": signature_of(said)}


def call(id, name, input):
    return {"type": "tool_use", "id": id, "name": name, "input": input, "caller": {"type": "direct"}}


FIRST = call("call_abc12345", "get_weather", {"city": "Paris", "n": 2})


@pytest.mark.parametrize(
    ("fields", "content", "reason"),
    [
        pytest.param({}, [text("Hello world!")], "end_turn", id="nothing special"),
        pytest.param({"max_tokens": 2}, [text("Hello world!")], "max_tokens", id="a limit of two tokens"),
        pytest.param(
            {"model": "think", "thinking": BUDGET},
            [thought("Let me think."), text("Hello world!")],
            "end_turn",
            id="thinking",
        ),
        pytest.param(
            {"model": "claude-sonnet-5"},
            [thought(""), text("Hello world!")],
            "end_turn",
            id="thinking not shown",
        ),
        pytest.param(
            {"model": "claude-sonnet-5", "thinking": {"type": "disabled"}},
            [text("Hello world!")],
            "end_turn",
            id="thinking switched off",
        ),
        pytest.param(
            {"model": "tools", "messages": user("@@TOOL2"), "tools": [WEATHER, NOARGS]},
            [text("Calling."), FIRST, call("call_def67890", "noargs", {})],
            "tool_use",
            id="two tools",
        ),
        pytest.param(
            {"model": "tools", "tools": [WEATHER], "tool_choice": {"type": "tool", "name": "get_weather"}},
            [call("call_abc12345", "get_weather", {"name": "x", "age": 3})],
            "tool_use",
            id="a forced tool",
        ),
        pytest.param(
            {"output_config": {"format": {"type": "json_schema", "schema": PERSON}}},
            [text('{"name": "x", "age": 3}')],
            "end_turn",
            id="a schema",
        ),
    ],
)
def test_answers(fields, content, reason):
    played = ask(**fields)
    assert played.head.status == 200
    told = document(played)
    assert (told["content"], told["stop_reason"]) == (content, reason)
    assert told["type"] == "message"


def events(played):
    frames = played.body.decode().split("\n\n")
    assert frames.pop() == ""
    names, bodies = zip(*(frame.split("\ndata: ") for frame in frames), strict=True)
    return [name.removeprefix("event: ") for name in names], bodies


def test_a_stream_names_its_events():
    played = ask("think", thinking=BUDGET, stream=True)
    assert played.head.headers["content-type"].startswith("text/event-stream")
    names, bodies = events(played)
    delta = "content_block_delta"
    assert names == [
        *("message_start", "content_block_start", "ping", delta, delta, delta, "content_block_stop"),
        *("content_block_start", delta, delta, delta, "content_block_stop", "message_delta", "message_stop"),
    ]
    assert all(f'"type":"{name}"' in body for name, body in zip(names, bodies, strict=True))


def test_usage_counts_what_was_cached_apart():
    scenario = evolve(STANDARD, usage=Usage(10, 5, 4))
    usage = document(ask(scenario=scenario))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (6, 4, 5)


@pytest.mark.parametrize(
    ("broken", "last"), [("reset", "content_block_delta"), ("event", "error")], ids=["reset", "event"]
)
def test_a_stream_that_breaks(broken, last):
    played = ask(messages=user("@@MID"), stream=True, scenario=evolve(STANDARD, broken=broken))
    assert events(played)[0][-1] == last
    assert played.ending == ("reset" if broken == "reset" else "end")


AS_TEXT = [text("x")]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"max_tokens": None}, 400, "max_tokens: Field required", id="no limit"),
        pytest.param({"seed": 1}, 400, "seed: Extra inputs are not permitted", id="an unknown field"),
        pytest.param({"model": "nobody"}, 404, "model: nobody", id="an unknown model"),
        pytest.param({"temperature": 1.5}, 400, "temperature: Input should be less", id="too hot"),
        pytest.param({"stop_sequences": ["\n"]}, 400, "non-whitespace", id="white space stops nothing"),
        pytest.param({"messages": []}, 400, "at least one message", id="no messages"),
        pytest.param(
            {"messages": [{"role": "system", "content": "x"}]}, 400, 'Unexpected role "system"', id="system"
        ),
        pytest.param(
            {"messages": [{"role": "assistant", "content": "x"}]}, 400, "first message", id="the model first"
        ),
        pytest.param(
            {"messages": [*user("a"), *user("b")]}, 400, "roles must alternate", id="twice in a row"
        ),
        pytest.param({"messages": user([text(" ")])}, 400, "non-whitespace text", id="white space"),
        pytest.param(
            {"messages": user([{"type": "image_url"}])}, 400, "Input tag 'image_url'", id="another's block"
        ),
        pytest.param(
            {"messages": [*user("x"), CALLED]}, 400, "`tool_use` ids were found", id="a call at the end"
        ),
        pytest.param(
            {"messages": [*user("x"), CALLED, *user([text("y"), RESULT])]},
            400,
            "`tool_use` ids were found",
            id="words before a result",
        ),
        pytest.param({"messages": user([RESULT])}, 400, "unexpected `tool_use_id`", id="a result of no call"),
        pytest.param(
            {"messages": [*user("x"), {"role": "assistant", "content": [{**CALL, "input": "{}"}]}]},
            400,
            "valid dictionary",
            id="arguments as text",
        ),
        pytest.param(
            {
                "messages": [
                    *user("x"),
                    {"role": "assistant", "content": [{**thought("a"), "signature": "b"}]},
                ]
            },
            400,
            "Invalid `signature`",
            id="a forged thought",
        ),
        pytest.param(
            {"messages": [*user("x"), {"role": "assistant", "content": "y "}]},
            400,
            "trailing whitespace",
            id="prefill",
        ),
        pytest.param(
            {"model": "claude-opus-4-6", "messages": [*user("x"), {"role": "assistant", "content": "y"}]},
            400,
            "does not support assistant message prefill",
            id="no prefill",
        ),
        pytest.param({"tools": [{"name": "a"}]}, 400, "input_schema: Field required", id="no schema"),
        pytest.param({"tools": [{**WEATHER, "name": "a.b"}]}, 400, "should match pattern", id="a bad name"),
        pytest.param(
            {"tool_choice": {"type": "any"}}, 400, "while providing tools", id="a choice of nothing"
        ),
        pytest.param(
            {"model": "think", "thinking": {"type": "enabled", "budget_tokens": 2000}},
            400,
            "must be greater than `thinking.budget_tokens`",
            id="nothing left for words",
        ),
        pytest.param(
            {"model": "think", "thinking": BUDGET, "temperature": 0.5},
            400,
            "may only be set to 1",
            id="a cool thinker",
        ),
        pytest.param(
            {"model": "think", "thinking": BUDGET, "messages": [*user("x"), CALLED, *user([RESULT])]},
            400,
            "Expected `thinking`",
            id="a call without its thought",
        ),
        pytest.param({"thinking": BUDGET}, 400, "does not support thinking", id="a model that cannot think"),
        pytest.param(
            {"model": "claude-sonnet-5", "thinking": BUDGET},
            400,
            "thinking.type.enabled",
            id="no budgets any more",
        ),
        pytest.param(
            {"model": "claude-opus-5-5", "thinking": {"type": "disabled"}},
            400,
            "thinking.type.disabled",
            id="always on",
        ),
        pytest.param(
            {"model": "claude-sonnet-5", "temperature": 0.2}, 400, "is deprecated", id="no sampling any more"
        ),
        pytest.param(
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            400,
            "additionalProperties",
            id="an open schema",
        ),
        pytest.param({"messages": user("@@ERR529")}, 529, "Overloaded", id="overloaded"),
    ],
)
def test_refusals(fields, status, words):
    played = ask(**fields)
    told = document(played)
    assert (played.head.status, told["type"]) == (status, "error")
    assert words in told["error"]["message"]


def test_who_is_let_in():
    scenario = evolve(STANDARD, key="k")
    body = {"model": "chat", "max_tokens": 5, "messages": user("hi")}
    assert post(MESSAGES, body, scenario, **VERSION).head.status == 401
    assert post(MESSAGES, body, scenario, **VERSION, **{"x-api-key": "x"}).head.status == 401
    assert post(MESSAGES, body, scenario, **VERSION, **{"x-api-key": "k"}).head.status == 200
    assert (
        "anthropic-version"
        in document(post(MESSAGES, body, scenario, **{"x-api-key": "k"}))["error"]["message"]
    )


def test_models():
    listed = document(get("/anthropic/v1/models?limit=1000", **VERSION))
    assert {"chat", "claude-sonnet-4-5"} <= {entry["id"] for entry in listed["data"]}
    assert document(get("/anthropic/v1/models/chat", **VERSION))["id"] == "chat"
    assert get("/anthropic/v1/models/nobody", **VERSION).head.status == 404


def test_pictures():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    assert ask(messages=user([image, text("what?")])).head.status == 200
    assert "does not support image" in document(ask("basic", messages=user([image])))["error"]["message"]
