"""OpenRouter's wire format: OpenAI's answers in its own words, and what it refuses."""

import json

import pytest
from attrs import evolve

from tests.adapters.simulator.kit import NOARGS, STANDARD, WEATHER, document, get, post, user

CHAT = "/openrouter/api/v1/chat/completions"
DETAIL = {"type": "reasoning.text", "text": "Let me think.", "format": "unknown", "index": 0}
KEYED = evolve(STANDARD, key="sk-or")


def chat(scenario=STANDARD, headers=None, **fields):
    return post(CHAT, {"model": "chat", "messages": user("hi"), **fields}, scenario, **(headers or {}))


def frames(played):
    """The documents of a stream, and how many comments there are."""
    blocks = played.body.decode().split("\n\n")
    assert blocks.pop() == ""
    comments = [block for block in blocks if block.startswith(": OPENROUTER PROCESSING")]
    data = [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]
    assert len(comments) + len(data) == len(blocks)
    assert data[-1] == "[DONE]"
    return [json.loads(one) for one in data[:-1]], len(comments)


def test_a_whole_answer():
    played = chat()
    answer = document(played)
    assert played.head.headers["content-length"] == str(len(played.body))
    assert answer["id"].startswith("gen-")
    assert answer["provider"] == "Simulator"
    (choice,) = answer["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "STOP")
    assert choice["message"]["content"] == "Hello world!"
    assert choice["message"]["reasoning"] is None
    assert answer["usage"]["cost"] == 0.000014
    assert answer["usage"]["prompt_tokens"] == 11


def test_a_stream():
    chunks, comments = frames(chat(stream=True, stream_options={"include_usage": True}))
    assert comments == 1
    assert all(one["choices"][0]["delta"]["role"] == "assistant" for one in chunks)
    assert "".join(one["choices"][0]["delta"]["content"] for one in chunks) == "Hello world!"
    assert [one for one in chunks if "usage" in one] == [chunks[-1]]
    assert chunks[-2]["choices"][0]["native_finish_reason"] == "STOP"


@pytest.mark.parametrize(
    ("asked", "thought"),
    [
        pytest.param({"reasoning": {"effort": "low"}}, True, id="a step"),
        pytest.param({"reasoning": {"max_tokens": 2000}}, True, id="a budget"),
        pytest.param({"reasoning": {"enabled": True}}, True, id="on"),
        pytest.param({"reasoning_effort": "high"}, True, id="OpenAI's own word"),
        pytest.param({"reasoning": {"enabled": False}}, False, id="off"),
        pytest.param({"reasoning": {"effort": "none"}}, False, id="off by a word"),
        pytest.param({"reasoning": {"effort": "low", "exclude": True}}, False, id="kept back"),
        pytest.param({}, False, id="not asked for"),
    ],
)
def test_thinking(asked, thought):
    message = document(chat(model="think", **asked))["choices"][0]["message"]
    assert message["reasoning"] == ("Let me think." if thought else None)
    assert message.get("reasoning_details") == ([DETAIL] if thought else None)
    chunks, _ = frames(chat(model="think", stream=True, **asked))
    words = [one["choices"][0]["delta"].get("reasoning") for one in chunks]
    assert "".join(word or "" for word in words) == (message["reasoning"] or "")


@pytest.mark.parametrize(("model", "status"), [("chat", 200), ("openai/gpt-4o", 400)])
def test_json_mode_needs_a_word_about_it_at_openai_alone(model, status):
    assert chat(model=model, response_format={"type": "json_object"}).head.status == status


def test_tools():
    answer = document(chat(model="tools", messages=user("@@TOOL2"), tools=[WEATHER, NOARGS]))
    (choice,) = answer["choices"]
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["get_weather", "noargs"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("tool_calls", "tool_use")


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        pytest.param({"model": None}, 400, "No models provided", id="no model"),
        pytest.param({"model": "nope/nope"}, 400, "nope/nope is not a valid model ID", id="an unknown model"),
        pytest.param({"num_ctx": 1}, 400, "Unrecognized key(s) in object: num_ctx", id="an unknown field"),
        pytest.param({"top_k": -1}, 400, "top_k must be", id="a number out of bounds"),
        pytest.param({"min_p": "x"}, 400, "min_p must be", id="a number that is none"),
        pytest.param(
            {"reasoning": {"effort": "huge"}}, 400, "reasoning.effort must be", id="an unknown step"
        ),
        pytest.param(
            {"reasoning": {"effort": "low", "max_tokens": 1}}, 400, "Only one of", id="a step and a budget"
        ),
        pytest.param({"reasoning": {"budget": 1}}, 400, "reasoning", id="an unknown part of thinking"),
        pytest.param(
            {"reasoning": {"max_tokens": 9}, "max_tokens": 9},
            400,
            "must be greater than",
            id="a budget too large",
        ),
        pytest.param({"tools": [WEATHER]}, 404, "support tool use", id="tools nobody takes"),
        pytest.param(
            {"messages": [{"role": "assistant", "content": "x", "reasoning_details": ["x"]}]},
            400,
            "reasoning_details",
            id="details that are none",
        ),
        pytest.param({"messages": []}, 400, "Provider returned error", id="what the vendor behind refuses"),
    ],
)
def test_chat_is_strict(fields, status, words):
    played = chat(**fields)
    error = document(played)["error"]
    assert (played.head.status, error["code"]) == (status, status)
    assert words in error["message"]


def test_the_vendors_own_words_are_handed_on():
    metadata = document(chat(messages=[]))["error"]["metadata"]
    assert "messages" in json.loads(metadata["raw"])["error"]["message"]


def test_thinking_may_be_given_back():
    turn = {"role": "assistant", "content": "x", "reasoning": "hm", "reasoning_details": [DETAIL]}
    assert chat(messages=[*user("a"), turn, *user("b")], top_k=4, provider={"only": ["x"]}).head.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 401, id="no key"),
        pytest.param({"authorization": "Bearer no"}, 401, id="a wrong key"),
        pytest.param({"authorization": "Bearer sk-or"}, 200, id="the key"),
    ],
)
def test_the_key(headers, status):
    assert chat(KEYED, headers).head.status == status


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 408, 429, 500, 502, 503])
def test_errors_before_the_first_token(status, stream):
    played = chat(messages=user(f"@@ERR{status}"), stream=stream)
    error = document(played)["error"]
    assert (played.head.status, error["code"]) == (status, status)
    assert ("x-ratelimit-reset" in played.head.headers) == (status == 429)
    assert ("reasons" in error.get("metadata", {})) == (status == 403)


def test_a_stream_may_break_by_an_error_event():
    played = chat(evolve(STANDARD, broken="event"), messages=user("@@MID"), stream=True)
    last = json.loads(played.body.decode().rstrip().rpartition("data: ")[2])
    assert (last["error"]["code"], last["choices"][0]["finish_reason"]) == (502, "error")


def test_what_breaks_is_cut():
    assert chat(messages=user("@@MID"), stream=True).ending == "reset"
    with pytest.raises(json.JSONDecodeError):
        document(chat(messages=user("@@MID")))


def test_embeddings():
    answer = document(post("/openrouter/api/v1/embeddings", {"model": "embed", "input": ["a", "b c"]}))
    assert [item["embedding"] for item in answer["data"]] == [[3.0, 4.0, 12.0, 0.0]] * 2
    assert answer["usage"]["prompt_tokens"] == 3
    assert "cost" in answer["usage"]


def test_completions():
    answer = document(post("/openrouter/api/v1/completions", {"model": "insert", "prompt": "p"}))
    assert answer["choices"][0]["text"] == "Hello world!"


def test_the_models_need_no_key():
    listed = {entry["id"]: entry for entry in document(get("/openrouter/api/v1/models", KEYED))["data"]}
    assert "tools" in listed["tools"]["supported_parameters"]
    assert "reasoning" in listed["think"]["supported_parameters"]
    assert listed["embed"]["architecture"]["output_modalities"] == ["embeddings"]


def test_other_addresses_are_pages():
    assert post("/openrouter/api/v1/nope", {}).head.status == 404
    assert post(CHAT, b"{").head.status == 400
