"""Recorded replies of /responses say the same to us as to a reader that knows nothing of ours, however they were cut."""

import json
from typing import Any

import pytest

from adapters.providers.openai import CODEC
from pipeline.values.events import ExtraDelta, Failed, grammatical
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Message, Role, Source, Text
from pipeline.values.problems import Kind
from tests.adapters.providers.recorded import (
    EVERY,
    Reading,
    Recording,
    decoded,
    events_of,
    reading_of,
    shown,
    target,
)

# Of Azure and OpenRouter as well: this endpoint is the same everywhere.
FOUND = [found for found in EVERY if found.api.endswith(".responses")]
# The error comes inside a 200; `test_an_error_in_a_stream` reads it.
BROKEN = "openai.responses-stream-005"
ANSWERS = [found for found in FOUND if found.status == 200 and found.id != BROKEN]
REFUSED = [found for found in FOUND if found.status != 200]


def by_id(found: Recording) -> str:
    return found.id


def request_for(found: Recording) -> ChatRequest:
    return ChatRequest("asked", (Message(Role.USER, (Text("p"),)),), stream=found.stream)


def documents(found: Recording) -> list[dict[str, Any]]:
    """The JSON documents of a reply, found by nothing but lines."""
    lines = found.body.decode().split("\n") if found.stream else ["data: " + found.body.decode()]
    said = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(line) for line in said if line != "[DONE]"]


def response_of(found: Recording) -> dict[str, Any]:
    """The whole reply: a stream's last event holds it as well."""
    last = documents(found)[-1]
    response: dict[str, Any] = last["response"] if found.stream else last
    return response


def parts_of(response: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    messages = [item for item in response["output"] if item["type"] == "message"]
    return [part for message in messages for part in message["content"] if part["type"] == kind]


def thoughts_of(response: dict[str, Any]) -> str:
    """All that sums thinking up; each piece of it has a heading, so they stand apart."""
    items = [item for item in response["output"] if item["type"] == "reasoning"]
    return "\n\n".join(part["text"] for item in items for part in item["summary"])


def independent(found: Recording) -> Reading:
    response = response_of(found)
    texts = "".join(part["text"] for part in parts_of(response, "output_text"))
    refusals = "".join(part["refusal"] for part in parts_of(response, "refusal"))
    thoughts = thoughts_of(response)
    calls = [
        (item["call_id"], item["name"], item["arguments"])
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    usage = response["usage"]
    why = (response["incomplete_details"] or {}).get("reason")
    return Reading(
        response["model"],
        {0: texts} if texts else {},
        {0: thoughts} if thoughts else {},
        {0: refusals} if refusals else {},
        {0: calls} if calls else {},
        (
            usage["input_tokens"],
            usage["output_tokens"],
            usage["input_tokens_details"]["cached_tokens"],
            usage["output_tokens_details"]["reasoning_tokens"],
        ),
        [{"max_output_tokens": "length", None: "tool_calls" if calls else "stop"}[why]],
        0,
        [],
    )


def extras(found: Recording, format: str) -> list[Any]:
    events = events_of(decoded(CODEC, request_for(found), found.body))
    return [event.value for event in events if isinstance(event, ExtraDelta) and event.format == format]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, request_for(found), found.body))
    assert grammatical(events)
    assert reading_of(events) == independent(found)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    body, request = found.body, request_for(found)
    whole = decoded(CODEC, request, body)
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    step = max(1, len(body) // 61 | 1)
    for parts in (pieces, *((body[:at], body[at:]) for at in range(1, len(body), step))):
        batches = decoded(CODEC, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert shown(batches) == shown(whole)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_the_bytes_beside_the_events_are_the_upstreams(found):
    batches = decoded(CODEC, request_for(found), found.body)
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {"openai.responses"}
    assert shown(batches) == found.body.removesuffix(b"data: [DONE]\n\n")


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_encrypted_thinking_is_told_to_be_given_back(found):
    sealed = [
        (item["id"], item["encrypted_content"])
        for item in done_items(found)
        if item["type"] == "reasoning" and item.get("encrypted_content")
    ]
    told = extras(found, "reasoning_details")
    assert [(detail["id"], detail["data"]) for detail in told] == sealed
    assert [detail["index"] for detail in told] == list(range(len(sealed)))
    assert all((d["type"], d["format"]) == ("reasoning.encrypted", "openai-responses-v1") for d in told)


def done_items(found: Recording) -> list[dict[str, Any]]:
    """The items of a reply, each as it was when it was done."""
    if not found.stream:
        items: list[dict[str, Any]] = response_of(found)["output"]
        return items
    return [doc["item"] for doc in documents(found) if doc["type"] == "response.output_item.done"]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_what_only_this_form_holds_is_told_as_it_is(found):
    notes = [
        {"annotations": [note]}
        for part in parts_of(response_of(found), "output_text")
        for note in part["annotations"]
    ]
    others = [
        {"output": [item]}
        for item in done_items(found)
        if item["type"] not in ("message", "reasoning", "function_call")
    ]
    told = extras(found, "openai.responses")
    assert [value for value in told if "annotations" in value] == notes
    assert [value for value in told if "output" in value] == others


def test_the_recordings_hold_what_these_tests_are_about():
    assert sum(bool(extras(found, "reasoning_details")) for found in ANSWERS) >= 5
    assert sum(bool(extras(found, "openai.responses")) for found in ANSWERS) >= 2
    assert {"stop", "tool_calls", "length"} == {independent(found).reasons[0] for found in ANSWERS}
    assert any(independent(found).refusal for found in ANSWERS)
    assert any("\n\n**" in text for found in ANSWERS for text in independent(found).thinking.values())


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    end = found.body.rindex(b"\n\n", 0, found.body.rindex(b'"type":"response.')) + 2
    batches = decoded(CODEC, request_for(found), found.body[:end])
    events = events_of(batches)
    assert grammatical(events)
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.STREAM_ERROR
    assert batches[-1].verbatim is None


@pytest.mark.parametrize("found", [found for found in ANSWERS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    (event,) = events_of(decoded(CODEC, request_for(found), found.body.rstrip()[:-1]))
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


def test_an_error_in_a_stream():
    (found,) = (found for found in FOUND if found.id == BROKEN)
    events = events_of(decoded(CODEC, request_for(found), found.body))
    assert grammatical(events)
    assert isinstance(events[-1], Failed)
    assert events[-1].problem.kind is Kind.QUOTA


KINDS = {
    "openai.responses-json-006": (Kind.CONTEXT_LENGTH, "input"),
    "openai.responses-stream-003": (Kind.NOT_FOUND, None),
    "openai.responses-stream-014": (Kind.AUTH, None),
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    problem = CODEC.classify(ReplyHead(found.status, found.headers), found.body)
    assert (problem.kind, problem.subject) == KINDS[found.id]


@pytest.mark.parametrize("found", [found for found in FOUND if found.request], ids=by_id)
def test_a_request_in_the_same_form_goes_out_as_it_came(found):
    request = ChatRequest(
        "asked",
        (Message(Role.USER, (Text("p"),)),),
        stream=found.stream,
        source=Source("openai.responses", found.request),
    )
    encoded = CODEC.encode(request, target("openai", "gpt-5"))
    assert encoded.http.url == "https://api.example/v1/responses"
    # What is not stored must come back with its seal, asked for or not.
    include = {"include": ["reasoning.encrypted_content"]} if found.request.get("store") is False else {}
    assert json.loads(encoded.http.body) == {**include, **found.request, "model": "gpt-5"}
    assert encoded.losses == ()
