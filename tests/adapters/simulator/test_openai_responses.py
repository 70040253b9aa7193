"""OpenAI's `/responses`: what is answered, what a stream says, and what is refused in which words."""

import inspect
import json

import pytest
from attrs import evolve
from openai.resources.responses import Responses

from adapters.simulator.openai_responses_rules import RESPONSE_FIELDS, UNPUBLISHED_FIELDS
from pipeline.values.events import Usage
from pipeline.values.targets import ModelFacts
from tests.adapters.simulator.kit import STANDARD, document, post, user

PATH = "/openai/v1/responses"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}},
    "strict": False,
}
NOARGS = {"type": "function", "name": "noargs", "parameters": {"type": "object", "properties": {}}}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "22"}
SEALED = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAAx"}
PICTURE = {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"}
SCHEMA = {"format": {"type": "json_schema", "name": "p", "schema": {"type": "object"}}}


def respond(scenario=STANDARD, **fields):
    return post(PATH, {"model": "chat", "input": "hi", **fields}, scenario)


def said(played):
    """Type and contents of each item, its ids left out."""
    return [shown(item) for item in document(played)["output"]]


def shown(item):
    match item["type"]:
        case "message":
            return "message", "".join(part["text"] for part in item["content"])
        case "reasoning":
            return "reasoning", "".join(part["text"] for part in item["summary"]), "encrypted_content" in item
        case "function_call":
            return "function_call", item["call_id"], item["name"], item["arguments"]


HELLO = ("message", "Hello world!")
FIRST = ("function_call", "call_abc12345", "get_weather", '{"city":"Paris","n":2}')
SECOND = ("function_call", "call_def67890", "noargs", "{}")
ROWS = [
    pytest.param({}, [HELLO], "completed", id="nothing special"),
    pytest.param({"input": user("hi"), "instructions": "be kind"}, [HELLO], "completed", id="items"),
    pytest.param(
        {"model": "think"}, [("reasoning", "", False), HELLO], "completed", id="a model that thinks"
    ),
    pytest.param(
        {
            "model": "think",
            "reasoning": {"effort": "low", "summary": "auto"},
            "include": ["reasoning.encrypted_content"],
        },
        [("reasoning", "Let me think.", True), HELLO],
        "completed",
        id="thinking summed up and sealed",
    ),
    pytest.param(
        {"model": "think", "reasoning": {"effort": "none"}}, [HELLO], "completed", id="thinking off"
    ),
    pytest.param({"text": SCHEMA}, [("message", '{"name": "x", "age": 3}')], "completed", id="a schema"),
    pytest.param({"max_output_tokens": 16}, [HELLO], "incomplete", id="the least limit"),
    pytest.param({"max_output_tokens": 17}, [HELLO], "completed", id="a limit that is not reached"),
    pytest.param(
        {"model": "tools", "input": "@@TOOL2", "tools": [WEATHER, NOARGS]},
        [("message", "Calling."), FIRST, SECOND],
        "completed",
        id="two tools",
    ),
    pytest.param(
        {"model": "tools", "input": "@@TOOL", "tools": [WEATHER], "tool_choice": "none"},
        [HELLO],
        "completed",
        id="tools that may not be used",
    ),
    pytest.param({"input": [*user("w"), CALL, RESULT]}, [HELLO], "completed", id="a result"),
    pytest.param(
        {"model": "think", "input": [*user("w"), SEALED, CALL, RESULT]},
        [("reasoning", "", False), HELLO],
        "completed",
        id="thinking given back",
    ),
    pytest.param(
        {"input": user([{"type": "input_text", "text": "a"}, PICTURE])}, [HELLO], "completed", id="a picture"
    ),
]


@pytest.mark.parametrize(("fields", "items", "status"), ROWS)
def test_a_whole_answer(fields, items, status):
    played = respond(**fields)
    assert said(played) == items
    reply = document(played)
    assert (reply["object"], reply["status"]) == ("response", status)
    why = {"reason": "max_output_tokens"} if status == "incomplete" else None
    assert reply["incomplete_details"] == why
    assert (reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]) == (11, 3)


def events(played):
    """What a stream says; each event is named twice, and they are counted."""
    frames = played.body.decode().split("\n\n")
    assert frames.pop() == ""
    found = []
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    return found


@pytest.mark.parametrize(("fields", "items", "status"), ROWS)
def test_a_stream_says_the_same(fields, items, status):
    found = events(respond(**fields, stream=True))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert found[-1]["type"] == f"response.{status}"
    whole = document(respond(**fields))
    assert [shown(item) for item in found[-1]["response"]["output"]] == items
    assert [shown(e["item"]) for e in found if e["type"] == "response.output_item.done"] == items
    assert {**found[-1]["response"], "id": "", "output": []} == {**whole, "id": "", "output": []}
    for kind, text in (("output_text", "message"), ("reasoning_summary_text", "reasoning")):
        pieces = "".join(e["delta"] for e in found if e["type"] == f"response.{kind}.delta")
        assert pieces == "".join(item[1] for item in items if item[0] == text)
        assert [e["text"] for e in found if e["type"] == f"response.{kind}.done"] == (
            [pieces] if pieces else []
        )


def test_the_events_of_a_stream():
    found = events(respond(model="tools", input="@@TOOL", tools=[WEATHER], stream=True))
    assert [event["type"].removeprefix("response.") for event in found] == [
        *("created", "in_progress", "output_item.added"),
        *["function_call_arguments.delta"] * 3,
        *("function_call_arguments.done", "output_item.done", "completed"),
    ]
    assert found[2]["item"]["arguments"] == ""


def test_log_probabilities():
    fields = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    (message,) = document(respond(**fields))["output"]
    entries = message["content"][0]["logprobs"]
    assert [entry["token"] for entry in entries] == ["Hello", " world", "!"]
    assert [len(entry["top_logprobs"]) for entry in entries] == [2, 2, 2]
    pieces = [
        e["logprobs"] for e in events(respond(**fields, stream=True)) if e["type"].endswith("text.delta")
    ]
    assert [entry["token"] for (entry,) in pieces] == ["Hello", " world", "!"]
    assert "bytes" not in pieces[0][0]


def test_usage_may_be_set():
    scenario = evolve(STANDARD, usage=Usage(9, 7, 4, 2))
    usage = document(respond(scenario, model="think"))["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (9, 7, 16)
    assert usage["input_tokens_details"]["cached_tokens"] == 4
    assert usage["output_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize(("broken", "last"), [("reset", "output_text.delta"), ("event", "error")])
def test_an_answer_that_breaks(broken, last):
    played = respond(evolve(STANDARD, broken=broken), input="@@MID", stream=True)
    found = events(played)
    assert found[-1]["type"].removeprefix("response.") == last
    assert [e["delta"] for e in found if e["type"].endswith("text.delta")] == ["Hello", " world"]
    assert played.ending == ("reset" if broken == "reset" else "end")


REFUSALS = [
    pytest.param({"n": 2}, 400, "n", "unknown_parameter", "Unknown parameter: 'n'", id="a field of chat"),
    pytest.param(
        {"model": "nothing"},
        400,
        "model",
        "model_not_found",
        "does not exist",
        id="a model that is not there",
    ),
    pytest.param(
        {"model": "embed"}, 400, "model", "unsupported_model", "cannot be used", id="a model that embeds"
    ),
    pytest.param(
        {"input": None}, 400, "input", "missing_required_parameter", "must be provided", id="no input"
    ),
    pytest.param({"input": []}, 400, "input", "empty_array", "empty array", id="an empty input"),
    pytest.param({"input": [{"type": "x"}]}, 400, "input[0]", "invalid_value", "'x'", id="an unknown item"),
    pytest.param(
        {"input": [{"role": "tool", "content": "x"}]},
        400,
        "input[0].role",
        "invalid_value",
        "'tool'",
        id="a role of chat",
    ),
    pytest.param(
        {"input": [{"role": "user", "content": "x", "name": "eve"}]},
        400,
        "input[0].name",
        "unknown_parameter",
        "input[0].name",
        id="a speaker's name",
    ),
    pytest.param(
        {"input": user([{"type": "text", "text": "x"}])},
        400,
        "input[0].content[0].type",
        "invalid_value",
        "'input_text'",
        id="a part of chat",
    ),
    pytest.param(
        {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
        400,
        "input[0].content[0].type",
        "invalid_value",
        "'output_text'",
        id="what a user says, said by the model",
    ),
    pytest.param(
        {"model": "basic", "input": user([PICTURE])},
        400,
        "input[0].content[0]",
        None,
        "image",
        id="a picture for the blind",
    ),
    pytest.param(
        {"input": user([{**PICTURE, "image_url": "xyz"}])},
        400,
        "input[0].content[0].image_url",
        "invalid_value",
        "valid URL",
        id="a picture without its kind",
    ),
    pytest.param(
        {"input": [*user("w"), RESULT]},
        400,
        "input",
        None,
        "No tool call found",
        id="a result without a call",
    ),
    pytest.param(
        {"input": [*user("w"), CALL]},
        400,
        "input",
        None,
        "No tool output found",
        id="a call without a result",
    ),
    pytest.param(
        {"input": [*user("w"), {**CALL, "arguments": {}}, RESULT]},
        400,
        "input[1].arguments",
        "invalid_type",
        "a string",
        id="arguments that are no text",
    ),
    pytest.param(
        {"model": "think", "input": [*user("w"), SEALED, *user("x")]},
        400,
        "input",
        None,
        "without its required following item",
        id="thinking of which nothing came",
    ),
    pytest.param(
        {"model": "think", "input": [{**SEALED, "encrypted_content": "x"}, CALL, RESULT]},
        400,
        None,
        "invalid_encrypted_content",
        "could not be verified",
        id="thinking sealed by somebody else",
    ),
    pytest.param(
        {"model": "think", "input": [{"type": "reasoning", "id": "rs_1", "summary": []}, CALL, RESULT]},
        404,
        "input",
        None,
        "not persisted",
        id="thinking by its id alone",
    ),
    pytest.param(
        {"max_output_tokens": 15},
        400,
        "max_output_tokens",
        "integer_below_min_value",
        ">= 16, but got 15",
        id="limit",
    ),
    pytest.param(
        {"model": "gpt-5-mini", "temperature": 0.5},
        400,
        "temperature",
        "unsupported_parameter",
        "temperature",
        id="heat",
    ),
    pytest.param(
        {"reasoning": {"effort": "low"}},
        400,
        "reasoning.effort",
        "unsupported_parameter",
        "reasoning.effort",
        id="effort of a model that cannot think",
    ),
    pytest.param(
        {"model": "gpt-5-codex", "reasoning": {"effort": "minimal"}},
        400,
        "reasoning.effort",
        "unsupported_value",
        "'low', 'medium', and 'high'",
        id="an effort that is not known",
    ),
    pytest.param(
        {"include": ["reasoning.encrypted_content"]},
        400,
        "include",
        None,
        "not supported",
        id="a seal without thinking",
    ),
    pytest.param({"include": ["x"]}, 400, "include[0]", "invalid_value", "'x'", id="what cannot be included"),
    pytest.param(
        {"model": "gpt-5-mini", "include": ["message.output_text.logprobs"]},
        400,
        "include",
        None,
        "logprobs",
        id="log probabilities of a model that thinks",
    ),
    pytest.param({"tools": [WEATHER]}, 400, "tools", "unsupported_parameter", "tools", id="tools"),
    pytest.param(
        {"model": "tools", "tools": [{"type": "function", "function": {"name": "f"}}]},
        400,
        "tools[0].name",
        "missing_required_parameter",
        "tools[0].name",
        id="a tool in the form of chat",
    ),
    pytest.param(
        {"model": "tools", "tools": [{**WEATHER, "strict": True}]},
        400,
        "tools[0].parameters",
        "invalid_function_parameters",
        "additionalProperties",
        id="a strict tool whose schema is not",
    ),
    pytest.param(
        {"model": "tools", "tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}},
        400,
        "tool_choice",
        None,
        "'x' not found",
        id="a choice that is not offered",
    ),
    pytest.param(
        {"text": {"format": {"type": "json_object"}}, "instructions": "json"},
        400,
        "input",
        None,
        "must contain the word 'json'",
        id="JSON mode that only the instructions speak of",
    ),
    pytest.param(
        {"text": {"format": {"type": "json_schema", "json_schema": {}}}},
        400,
        "text.format.name",
        "missing_required_parameter",
        "text.format.name",
        id="a schema in the form of chat",
    ),
    pytest.param(
        {"truncation": "x"}, 400, "truncation", "invalid_value", "'auto', and 'disabled'", id="truncation"
    ),
]


@pytest.mark.parametrize(("fields", "status", "param", "code", "words"), REFUSALS)
def test_refusals(fields, status, param, code, words):
    played = respond(**fields)
    error = document(played)["error"]
    assert (played.head.status, error["param"], error["code"]) == (status, param, code)
    assert words in error["message"]


def test_what_is_served_here_alone_is_refused_in_a_chat():
    played = post("/openai/v1/chat/completions", {"model": "gpt-5-codex", "messages": user("hi")})
    assert played.head.status == 404
    assert "only supported in v1/responses" in document(played)["error"]["message"]
    assert said(respond(model="gpt-5-codex"))[-1] == HELLO


@pytest.mark.parametrize(
    ("model", "lacking", "given"),
    [
        pytest.param("o3-deep-research", "tools", {"tools": [{"type": "web_search_preview"}]}, id="research"),
        pytest.param("computer-use-preview", "truncation", {"truncation": "auto"}, id="moving a mouse"),
    ],
)
def test_some_models_must_be_given_something(model, lacking, given):
    offered = ModelFacts(model, capabilities=frozenset({"completion", "tools", "thinking"}))
    scenario = evolve(STANDARD, models={"openai": (offered,)})
    assert document(respond(scenario, model=model))["error"]["param"] == lacking
    assert said(respond(scenario, model=model, **given))[-1] == HELLO


def test_the_known_fields_are_those_of_the_providers_own_sdk_and_of_its_own_programs():
    of_the_sdk = {"self", "extra_headers", "extra_query", "extra_body", "timeout"}
    known = set(inspect.signature(Responses.create).parameters) - of_the_sdk
    # Version 3 of the SDK has these; the tests use version 2, for the sake of what else they use.
    newer = {"access_programs", "background_options", "image"}
    assert known.isdisjoint(UNPUBLISHED_FIELDS), "what the SDK has is no exception any more"
    assert known | newer | UNPUBLISHED_FIELDS == RESPONSE_FIELDS


def test_what_codex_says_of_itself_is_taken():
    metadata = {"x-codex-installation-id": "7f0e", "session_id": "0190"}
    assert said(respond(client_metadata=metadata))[-1] == HELLO
    assert document(respond(client_metadata="0190"))["error"]["param"] == "client_metadata"
