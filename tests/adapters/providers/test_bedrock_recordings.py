"""Bedrock's recorded replies say the same to us as to botocore and a reader of its JSON, however they are cut."""

import base64
import json
from collections import defaultdict
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from adapters.providers.bedrock import CODEC
from adapters.providers.thoughts import FORMAT as DETAILS
from pipeline.values.events import ExtraDelta, Failed, Finished, grammatical
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Role, Source, Text
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import EVERY, Recording, decoded, events_of, reading_of, shown
from tests.adapters.providers.test_recordings import by_id, cuts

FOUND = [found for found in EVERY if found.api.startswith("bedrock.")]
CONVERSE = [found for found in FOUND if found.api in ("bedrock.converse", "bedrock.converse_stream")]
EXCEPTIONS = {"bedrock.converse_stream-stream-020": Kind.INVALID}
ANSWERS = [found for found in CONVERSE if found.status == 200 and found.id not in EXCEPTIONS]
REFUSED = [found for found in FOUND if found.status != 200]
EMBEDDINGS = [found for found in FOUND if found.id == "bedrock.invoke-json-005"]
# Chats in each maker's own form by InvokeModel: we ask all models by Converse, so we never meet these replies.
NATIVE = {
    "bedrock.invoke-json-004",
    "bedrock.invoke_stream-stream-001",
    "bedrock.invoke_stream-stream-004",
    "bedrock.invoke_stream-stream-005",
}
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
}


def test_no_recording_is_left_out():
    assert {found.id for found in (*ANSWERS, *REFUSED, *EMBEDDINGS)} | NATIVE | EXCEPTIONS.keys() == {
        found.id for found in FOUND
    }


def asked(found: Recording) -> ChatRequest:
    return ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=found.stream)


def messages(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The messages of a stream as botocore cuts and checks them."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    found = []
    for event in buffer:
        told = event.to_response_dict()
        headers = told["headers"]
        found.append((headers.get(":event-type") or headers[":exception-type"], json.loads(told["body"])))
    return found


def reply(found: Recording) -> dict[str, Any]:
    """The whole reply a recording tells; a stream is put together by index, with nothing of ours."""
    if not found.stream:
        return json.loads(found.body)
    blocks: dict[int, dict[str, Any]] = defaultdict(dict)
    whole: dict[str, Any] = {}
    for name, event in messages(found.body):
        event.pop("p", None)
        match name:
            case "contentBlockStart":
                blocks[event["contentBlockIndex"]] = event["start"]
            case "contentBlockDelta":
                add(blocks[event["contentBlockIndex"]], event["delta"])
            case "messageStop" | "metadata":
                whole |= event
    for block in blocks.values():
        if isinstance(block.get("toolUse", {}).get("input"), str):
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {**whole, "output": {"message": {"content": list(blocks.values())}}}


def add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta:
        case {"text": text}:
            block["text"] = block.get("text", "") + text
        case {"toolUse": {"input": piece}}:
            block["toolUse"]["input"] = block["toolUse"].get("input", "") + piece
        case {"reasoningContent": {"redactedContent": data}}:
            block["reasoningContent"] = {"redactedContent": data}
        case {"reasoningContent": piece}:
            thought = block.setdefault("reasoningContent", {"reasoningText": {}})["reasoningText"]
            for name, text in piece.items():
                thought[name] = thought.get(name, "") + text
        case {"citation": cited}:
            block.setdefault("citations", []).append(cited)
        case {"toolResult": result}:
            block["result"] = result
        case _:
            raise AssertionError(delta)


def blocks(told: dict[str, Any], kind: str) -> list[Any]:
    return [block[kind] for block in told["output"]["message"]["content"] if kind in block]


def words_of(told: dict[str, Any]) -> str:
    cited = "".join(piece["text"] for one in blocks(told, "citationsContent") for piece in one["content"])
    return "".join(blocks(told, "text")) + cited


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    assert grammatical(events)
    ours, told = reading_of(events), reply(found)
    assert ours.text.get(0, "") == words_of(told)
    thoughts = [one.get("reasoningText", {}).get("text", "") for one in blocks(told, "reasoningContent")]
    assert ours.thinking.get(0, "") == "".join(thoughts)
    calls = [use for use in blocks(told, "toolUse") if use.get("type") != "server_tool_use"]
    assert [(id, name, json.loads(text or "{}")) for id, name, text in ours.calls.get(0, [])] == [
        (use["toolUseId"], use["name"], use["input"]) for use in calls
    ]
    usage = told["usage"]
    cached = usage.get("cacheReadInputTokens")
    input = usage["inputTokens"] + (cached or 0) + usage.get("cacheWriteInputTokens", 0)
    assert ours.usage == (input, usage["outputTokens"], cached, None)
    assert ours.reasons == [REASONS[told["stopReason"]]]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_what_must_be_given_back_is_told(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    details = [event.value for event in events if isinstance(event, ExtraDelta) and event.format == DETAILS]
    told = reply(found)
    thoughts = blocks(told, "reasoningContent")
    signed = [one["reasoningText"] for one in thoughts if one.get("reasoningText", {}).get("signature")]
    sealed = [one["redactedContent"] for one in thoughts if "redactedContent" in one]
    assert [(one["text"], one["signature"]) for one in details if one["type"] == "reasoning.text"] == [
        (one.get("text", ""), one["signature"]) for one in signed
    ]
    # Here it is wrapped once more than where Claude itself gives it.
    data = [one["data"] for one in details if one["type"] == "reasoning.encrypted"]
    assert [base64.b64encode(one.encode()).decode() for one in data] == sealed
    assert {one["format"] for one in details} <= {"anthropic-claude-v1"}


def test_what_only_this_form_can_say_is_kept():
    found = next(found for found in ANSWERS if found.id == "bedrock.converse_stream-stream-016")
    events = events_of(decoded(CODEC, asked(found), found.body))
    extras = [event.value for event in events if isinstance(event, ExtraDelta)]
    assert extras[0]["toolUse"]["name"] == "nova_grounding"
    assert extras[0]["toolUse"]["input"] == {"query": "latest stable Ruby version"}
    assert extras[1]["toolResult"]["status"] == "success"
    assert extras[2]["citation"]["location"]["web"]["domain"] == "ruby-lang.org"
    assert "latencyMs" in events[-1].extra["bedrock.converse"]["metrics"]


@pytest.mark.parametrize(
    "found", [found for found in ANSWERS if "guardrail" in found.body.decode("latin-1")], ids=by_id
)
def test_the_trace_of_a_guardrail_is_kept(found):
    last = events_of(decoded(CODEC, asked(found), found.body))[-1]
    assert isinstance(last, Finished)
    assert last.extra["bedrock.converse"]["trace"] == reply(found)["trace"]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    body, request = found.body, asked(found)
    whole = decoded(CODEC, request, body)
    pieces = [bytes((byte,)) for byte in body]
    for parts in (pieces, *((body[:at], body[at:]) for at in cuts(body))):
        batches = decoded(CODEC, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert shown(batches) == shown(whole)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_the_bytes_beside_the_events_are_the_upstreams(found):
    batches = decoded(CODEC, asked(found), found.body)
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {"bedrock.converse"}
    assert shown(batches) == found.body


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    at = found.body.index(b"messageStop")
    events = events_of(decoded(CODEC, asked(found), found.body[:at]))
    assert grammatical(events)
    assert isinstance(events[-1], Failed)
    assert events[-1].problem.kind is Kind.STREAM_ERROR


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_without_its_costs_is_whole(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    cut = events_of(decoded(CODEC, asked(found), found.body[: found.body.index(b"metadata")]))
    assert isinstance(cut[-1], Finished)
    assert cut[-1].reason == events[-1].reason
    assert reading_of(cut).text == reading_of(events).text


@pytest.mark.parametrize("found", [found for found in ANSWERS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    (event,) = events_of(decoded(CODEC, asked(found), found.body.rstrip()[:-1]))
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


@pytest.mark.parametrize("found", [found for found in FOUND if found.id in EXCEPTIONS], ids=by_id)
def test_an_exception_in_a_stream_is_of_its_kind(found):
    (event,) = events_of(decoded(CODEC, asked(found), found.body))
    assert isinstance(event, Failed)
    assert event.problem.kind is EXCEPTIONS[found.id]
    ((_, told),) = messages(found.body)
    assert told["message"][:60] in event.problem.detail


@pytest.mark.parametrize("found", EMBEDDINGS, ids=by_id)
def test_vectors_are_read(found):
    events = events_of(decoded(CODEC, EmbedRequest("asked", ("one text",)), found.body))
    assert grammatical(events)
    assert reading_of(events).vectors == [one["embedding"] for one in json.loads(found.body)["embeddings"]]


KINDS = {
    "bedrock.converse-json-004": Kind.INVALID,
    "bedrock.converse-json-018": Kind.AUTH,
    "bedrock.converse-json-020": Kind.INVALID,
    "bedrock.count_tokens-json-001": Kind.INVALID,
    "bedrock.count_tokens-json-003": Kind.INVALID,
    "bedrock.invoke-json-002": Kind.NOT_FOUND,
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    assert CODEC.classify(ReplyHead(found.status, found.headers), found.body).kind is KINDS[found.id]


@pytest.mark.parametrize("found", [found for found in CONVERSE if found.request], ids=by_id)
def test_a_recorded_request_goes_out_as_it_came(found):
    source = Source("bedrock.converse", found.request)
    request = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=found.stream, source=source)
    target = Target(Provider("p", "aws_bedrock", "https://api.example"), ModelFacts("a.b-v1:0"))
    encoded = CODEC.encode(request, target)
    assert json.loads(encoded.http.body) == found.request
    action = "converse-stream" if found.stream else "converse"
    assert encoded.http.url == f"https://api.example/model/a.b-v1%3A0/{action}"
    assert encoded.losses == ()
