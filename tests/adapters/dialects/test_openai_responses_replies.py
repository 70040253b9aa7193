"""/v1/responses: replies as OpenAI writes them, held against recordings of its own."""

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects import DIALECTS
from adapters.providers.openai import CODEC
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
from pipeline.values.messages import Reasoning
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import begun, collected, read, verbatim, written
from tests.adapters.dialects.test_laws import cuts, replies, told
from tests.adapters.providers.recorded import EVERY, decoded, events_of

PATH = "/v1/responses"
FORMAT = "openai.responses"
ASK = {"model": "m", "input": "hi"}
STREAM = {**ASK, "stream": True}
USED = UsageSeen(Usage(11, 3, 5, 2))
SIGNED = {
    "type": "reasoning.text",
    "text": "hm",
    "signature": "s",
    "format": "anthropic-claude-v1",
    "index": 0,
}
OWN = {"type": "reasoning.encrypted", "data": "gAAAA", "format": "openai-responses-v1", "index": 0}
NOTE = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def sse(data):
    """The events of a stream, whose names stand twice, and whose numbers count them."""
    found = []
    for frame in data.decode().split("\n\n")[:-1]:
        name, document = frame.split("\n")
        found.append(json.loads(document.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def streamed(*events):
    found = sse(written(PATH, STREAM, [(Started("m-1"), *events)]))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def kinds(events):
    return [event["type"].removeprefix("response.") for event in events]


def output(*events, **fields):
    """The items of a whole reply, which those at the end of a stream are as well."""
    end = (*events, USED, Finished("stop"))
    found = collected(PATH, {**ASK, **fields}, (Started("m-1"), *end))[1]["output"]
    assert streamed(*end)[-1]["response"]["output"] == found
    return found


def test_a_text():
    found = streamed(TextDelta("He"), TextDelta("llo"), USED, Finished("stop"))
    at = {"item_id": "msg_r1_0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}
    item = {
        "id": "msg_r1_0",
        "type": "message",
        "status": "completed",
        "content": [part],
        "role": "assistant",
    }
    told = [{name: value for name, value in event.items() if name != "sequence_number"} for event in found]
    assert told[2:-1] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **at, "delta": "He", "logprobs": []},
        {"type": "response.output_text.delta", **at, "delta": "llo", "logprobs": []},
        {"type": "response.output_text.done", **at, "text": "Hello", "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
    ]
    created, progress, completed = told[0]["response"], told[1], told[-1]["response"]
    assert kinds(found[:2]) == ["created", "in_progress"]
    assert progress["response"] == created
    assert (created["id"], created["status"], created["model"]) == ("resp_r1", "in_progress", "m-1")
    assert (created["output"], created["usage"], created["store"]) == ([], None, False)
    assert completed == {
        **created,
        "status": "completed",
        "completed_at": 1_700_000_001,
        "output": [item],
        "service_tier": "default",
        "usage": {
            "input_tokens": 11,
            "input_tokens_details": {"cached_tokens": 5},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 2},
            "total_tokens": 14,
        },
    }


def test_the_request_is_repeated():
    fields = {
        "instructions": "be kind",
        "tools": [{"type": "function", "name": "f", "parameters": {}}],
        "tool_choice": "required",
        "temperature": 0,
        "reasoning": {"effort": "low"},
        "text": {"format": {"type": "json_object"}},
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "user": "u",
    }
    _, body = collected(PATH, {**ASK, **fields}, (Started("m"), Finished("stop")))
    expected = {
        **fields,
        "reasoning": {"effort": "low", "summary": None},
        "text": {"format": {"type": "json_object"}, "verbosity": "medium"},
    }
    assert {name: body[name] for name in expected} == expected
    assert (body["store"], body["previous_response_id"], body["background"]) == (False, None, False)
    assert (body["error"], body["parallel_tool_calls"], body["truncation"]) == (None, True, "disabled")


def test_thinking():
    events = (ThinkingDelta("h"), ThinkingDelta("m"), TextDelta("a"), Finished("stop"))
    assert kinds(streamed(*events))[2:-1] == [
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 2,
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
    ]
    first, second = output(*events[:-1])
    assert first == {
        "id": "rs_r1_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
    }
    assert second["id"] == "msg_r1_1"


@pytest.mark.parametrize("detail", [OWN, SIGNED], ids=["OpenAI's", "another vendor's"])
def test_thinking_comes_back_as_its_vendor_told_it(detail):
    item, message = output(ThinkingDelta("hm"), ExtraDelta("reasoning_details", detail), TextDelta("a"))
    assert (item["encrypted_content"] == "gAAAA") is (detail is OWN)
    request = read(PATH, {**ASK, "input": [item, message]})
    (turn,) = request.messages
    thought = turn.parts[0]
    assert isinstance(thought, Reasoning)
    assert (thought.text, thought.extra["reasoning_details"][-1]) == ("hm", detail)


def test_each_sealed_thought_is_an_item():
    found = output(
        ThinkingDelta("a"),
        ExtraDelta("reasoning_details", OWN),
        ExtraDelta("reasoning_details", {**OWN, "data": "gBBBB", "index": 1}),
        ThinkingDelta("b"),
    )
    assert [(item.get("encrypted_content"), len(item["summary"])) for item in found] == [
        ("gAAAA", 1),
        ("gBBBB", 0),
        (None, 1),
    ]


def test_a_call():
    call = (
        ToolCallDelta(0, "c1", "f"),
        ToolCallDelta(0, arguments='{"a"'),
        ToolCallDelta(0, arguments=":1}"),
    )
    found = streamed(*call, Finished("tool_calls"))
    assert kinds(found)[2:] == [
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert found[-3]["arguments"] == '{"a":1}'
    item = {"id": "fc_r1_0", "type": "function_call", "arguments": '{"a":1}', "call_id": "c1", "name": "f"}
    assert found[2]["item"] == {**item, "status": "in_progress", "arguments": ""}
    assert found[-2]["item"] == {**item, "status": "completed"}


def test_a_call_is_done_as_soon_as_it_is_whole():
    found = streamed(
        ToolCallDelta(0, "c1", "f", "{}"), ToolCallDelta(1, "c2", "g", "{"), ToolCallDelta(0, arguments=" "),
        TextDelta("x"), ToolCallDelta(1, arguments="}"), Finished("tool_calls"),
    )  # fmt: skip
    done = [
        event["item"]["type"] + str(event["output_index"]) for event in found if "item.done" in event["type"]
    ]
    assert done == ["function_call0", "message2", "function_call1"]
    assert [item["arguments"] for item in found[-1]["response"]["output"][:2]] == ["{}", "{}"]


def test_a_call_without_arguments_has_an_empty_object():
    found = streamed(ToolCallDelta(0, "c1", "f"), Finished("tool_calls"))
    assert [event["delta"] for event in found if event["type"].endswith("delta")] == ["{}"]


def test_a_refusal_is_a_part_of_its_own():
    (item,) = output(TextDelta("Well."), RefusalDelta("N"), RefusalDelta("o."))
    assert item["content"][1] == {"type": "refusal", "refusal": "No."}
    found = streamed(RefusalDelta("No."), Finished("stop"))
    assert kinds(found)[3:7] == ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]


@pytest.mark.parametrize(
    ("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_answer_that_was_cut(reason, why):
    found = streamed(TextDelta("x"), Finished(reason))
    response = found[-1]["response"]
    assert found[-1]["type"] == "response.incomplete"
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": why})
    assert response["output"][0]["status"] == "incomplete"
    _, body = collected(PATH, ASK, (Started("m"), TextDelta("x"), Finished(reason)))
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": why})


def test_logprobs():
    top = [{"token": "b", "logprob": -1.0, "bytes": [98]}]
    entry = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": top}
    found = streamed(TextDelta("a", 0, (entry,)), Finished("stop"))
    bare = {"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    assert found[4]["logprobs"] == [bare]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [entry]


@pytest.mark.parametrize(
    "extras",
    [
        pytest.param([ExtraDelta("openai.chat", {"annotations": [{"type": "url_citation", "url_citation": {key: value for key, value in NOTE.items() if key != "type"}}]})], id="in the form of chat"),
        pytest.param([ExtraDelta(FORMAT, {"annotations": [NOTE]}), ExtraDelta("openai.chat", {"annotations": [{"type": "url_citation", "url_citation": {}}]})], id="in both forms"),
    ],
)  # fmt: skip
def test_notes_on_the_text(extras):
    (item,) = output(TextDelta("a"), *extras)
    assert item["content"][0]["annotations"] == [NOTE]


def test_items_of_other_kinds():
    assert output(ExtraDelta(FORMAT, {"output": [SEARCH]}), TextDelta("a"))[0] == SEARCH


def test_the_tier_that_served():
    finished = Finished("stop", (), {"openai.chat": {"service_tier": "priority"}})
    assert collected(PATH, ASK, (Started("m"), finished))[1]["service_tier"] == "priority"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("before", [(), (Started("m"), TextDelta("x"))], ids=["at once", "in the middle"])
def test_a_failure_is_an_error_and_a_failed_response(kind, before):
    state = begun(PATH, STREAM)
    state, first = DIALECTS[PATH].write(state, Batch(before), 1.0)
    state, last = DIALECTS[PATH].write(state, Batch((Failed(Problem(kind, "words")),)), 2.0)
    found = sse(first + last)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert kinds(found)[:2] == ["created", "in_progress"]
    error, failed = found[-2:]
    assert list(error) == ["type", "sequence_number", "error"]
    assert list(error["error"]) == ["message", "type", "param", "code"]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["message"] == error["error"]["message"]
    assert failed["response"]["error"]["code"]
    assert DIALECTS[PATH].write(state, Batch((TextDelta("y"), Finished("stop"))), 3.0)[1] == b""
    assert DIALECTS[PATH].keep_alive(state, 3.0)[1] == b""
    assert isinstance(events_of(decoded(CODEC, read(PATH, STREAM), first + last))[-1], Failed)


def test_a_failure_after_passed_bytes_counts_on():
    data = b'event: response.created\ndata: {"type":"response.created","sequence_number":7}\n\n'
    state = begun(PATH, STREAM)
    state, first = DIALECTS[PATH].write(state, verbatim(FORMAT, data, Started("m", "resp_theirs")), 1.0)
    state, last = DIALECTS[PATH].write(state, Batch((Failed(Problem(Kind.STREAM_ERROR)),)), 2.0)
    assert first == data
    error, failed = sse(last)
    assert (error["type"], error["sequence_number"], failed["sequence_number"]) == ("error", 8, 9)
    assert failed["response"]["id"] == "resp_theirs"


def test_silence_is_filled_with_comments():
    state = begun(PATH, STREAM)
    assert DIALECTS[PATH].keep_alive(state, 1.0)[1] == b": keep-alive\n\n"
    assert DIALECTS[PATH].head(state).headers["content-type"] == "text/event-stream"
    whole = begun(PATH, ASK)
    assert DIALECTS[PATH].keep_alive(whole, 1.0)[1] == b""
    assert DIALECTS[PATH].head(whole).headers["content-type"] == "application/json"


RECORDED = [found for found in EVERY if ".responses" in found.api and found.status == 200]
# What only OpenAI's own house knows, or what older responses did not have yet.
THEIRS = {
    "billing",
    "moderation",
    "tool_usage",
    "content_filters",
    "phase",
    "obfuscation",
    "content",
    "prompt_cache_options",
}
NEWER = {"completed_at", "frequency_penalty", "presence_penalty", "prompt_cache_retention", "user", "name"}


def documents(found, data):
    text = data.decode()
    if not found.stream:
        return [json.loads(text)]
    lines = [line.removeprefix("data:").strip() for line in text.split("\n") if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def shapes(docs):
    """The fields of each kind of event, of the response, of each kind of item and of part."""
    seen = {}
    for doc in docs:
        seen.setdefault(doc.get("type", "response"), set()).update(doc)
        response = doc.get("response", doc if "output" in doc else {})
        if response:
            seen.setdefault("the response", set()).update(response)
        for item in [*([doc["item"]] if "item" in doc else []), *response.get("output", [])]:
            seen.setdefault(f"item {item['type']}", set()).update(item)
            for part in item.get("content") or ():
                seen.setdefault(f"part {part['type']}", set()).update(part)
    return seen


def bare(events):
    """Events without ids, which are of each house's own making; its own name of the model as well."""
    kept = [event for event in events if not isinstance(event, Started)]
    return [
        evolve(event, value={key: value for key, value in event.value.items() if key not in ("id", "data")})
        if isinstance(event, ExtraDelta)
        else event
        for event in kept
    ]


@pytest.mark.parametrize("found", RECORDED, ids=lambda each: each.id)
def test_recorded_replies(found):
    """What OpenAI said passes as it came; said anew it means the same, with the same fields."""
    body = {"model": "m", "input": "x", **found.request, "stream": found.stream}
    body.pop("store", None)
    request = read(PATH, body)
    batches = decoded(CODEC, request, found.body)
    events = events_of(batches)
    if isinstance(events[-1], Failed):
        assert found.id == "openai.responses-stream-005"
        return
    state = begun(PATH, body)
    if found.stream:
        assert found.body.startswith(written(PATH, body, batches))
        again = written(PATH, body, [events])
    else:
        assert DIALECTS[PATH].collect(state, tuple(batches), 1.0).body == found.body
        again = DIALECTS[PATH].collect(begun(PATH, body), (Batch(events),), 1.0).body
    assert bare(events_of(decoded(CODEC, request, again))) == bare(events)
    if found.api.startswith("openrouter"):
        # It has fields of its own making.
        return
    theirs, ours = shapes(documents(found, found.body)), shapes(documents(found, again))
    assert {
        "response.created",
        "response.in_progress",
        "response.output_item.done",
    } <= ours.keys() or not found.stream
    for name, fields in ours.items():
        if name in theirs:
            assert theirs[name] - fields <= THEIRS, name
            assert fields - theirs[name] <= NEWER, name


@settings(max_examples=60)
@given(data=st.data())
def test_what_was_written_decodes_to_the_same_events(data):
    events = data.draw(replies())
    batches = data.draw(cuts(events))
    out = written(PATH, STREAM, batches)
    assert out == written(PATH, STREAM, [events], every_s=len(batches))
    numbers = [event["sequence_number"] for event in sse(out)]
    assert numbers == list(range(len(numbers)))
    back = events_of(decoded(CODEC, read(PATH, STREAM), out))
    # Details of usage are always told here, 0 where nothing is known of them.
    counted = [
        UsageSeen(evolve(event.usage, cached=0, thinking=0)) if isinstance(event, UsageSeen) else event
        for event in events
    ]
    assert told(back) == told(counted)
    assert collected(PATH, ASK, *batches) == collected(PATH, ASK, Batch(events))
