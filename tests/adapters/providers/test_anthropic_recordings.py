"""Anthropic's recorded replies say the same to us as to a reader that knows nothing of ours, however they are cut."""

import json
from collections import defaultdict
from typing import Any

import pytest

from adapters.providers.anthropic import CODEC
from adapters.providers.thoughts import FORMAT as DETAILS
from pipeline.values.events import ExtraDelta, Failed, Finished, grammatical
from pipeline.values.http import ReplyHead
from pipeline.values.messages import ChatRequest, Message, Role, Source, Text
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import (
    EVERY,
    Recording,
    decoded,
    events_of,
    reading_of,
    shown,
)
from tests.adapters.providers.test_recordings import by_id, compact, cuts

FOUND = [found for found in EVERY if found.api.startswith("anthropic.")]
# Counting tokens is no route of ours; the list of models has a test of its own below.
MESSAGES = [found for found in FOUND if found.api == "anthropic.messages"]
ANSWERS = [found for found in MESSAGES if found.status == 200]
REFUSED = [found for found in MESSAGES if found.status != 200]
REASONS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def asked(found: Recording) -> ChatRequest:
    return ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=found.stream)


def message(found: Recording) -> dict[str, Any]:
    """The whole message a recording tells; a stream is put together by index, with nothing of ours."""
    if not found.stream:
        return json.loads(found.body)
    told: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = defaultdict(str)
    for line in found.body.decode().split("\n"):
        if not line.startswith("data: "):
            continue
        event = json.loads(line[6:])
        match event["type"]:
            case "message_start":
                told = event["message"]
            case "content_block_start":
                blocks[event["index"]] = event["content_block"]
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] += delta["signature"]
                    case "input_json_delta":
                        inputs[event["index"]] += delta["partial_json"]
                    case "citations_delta":
                        block.setdefault("citations", []).append(delta["citation"])
                    case other:
                        raise AssertionError(other)
            case "message_delta":
                told |= event["delta"]
                told["usage"] |= event["usage"]
    for index, written in inputs.items():
        blocks[index]["input"] = json.loads(written or "{}")
    return {**told, "content": list(blocks.values())}


def of_kind(told: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in told["content"] if block["type"] == kind]


def arguments(written: str) -> Any:
    return json.loads(written or "{}")


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    assert grammatical(events)
    ours, told = reading_of(events), message(found)
    usage = told["usage"]
    assert ours.model == told["model"]
    assert ours.text.get(0, "") == "".join(block["text"] for block in of_kind(told, "text"))
    assert ours.thinking.get(0, "") == "".join(block["thinking"] for block in of_kind(told, "thinking"))
    assert [(id, name, arguments(text)) for id, name, text in ours.calls.get(0, [])] == [
        (block["id"], block["name"], block["input"]) for block in of_kind(told, "tool_use")
    ]
    assert ours.usage == (
        usage["input_tokens"] + usage["cache_creation_input_tokens"] + usage["cache_read_input_tokens"],
        usage["output_tokens"],
        usage["cache_read_input_tokens"],
        usage.get("output_tokens_details", {}).get("thinking_tokens"),
    )
    assert ours.reasons == [REASONS[told["stop_reason"]]]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_what_only_this_form_can_say_is_kept(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    extras = [event for event in events if isinstance(event, ExtraDelta)]
    told = message(found)
    signed = [
        detail["signature"]
        for detail in (event.value for event in extras if event.format == DETAILS)
        if detail["type"] == "reasoning.text"
    ]
    hidden = [event.value["data"] for event in extras if event.value.get("type") == "reasoning.encrypted"]
    others = [
        event.value for event in extras if event.format == "anthropic.messages" and "type" in event.value
    ]
    cited = [cited for event in extras if "citations" in event.value for cited in event.value["citations"]]
    assert signed == [block["signature"] for block in of_kind(told, "thinking")]
    assert hidden == [block["data"] for block in of_kind(told, "redacted_thinking")]
    known = ("text", "thinking", "redacted_thinking", "tool_use")
    assert others == [block for block in told["content"] if block["type"] not in known]
    assert cited == [one for block in of_kind(told, "text") for one in block.get("citations") or ()]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.extra.get("anthropic.messages", {}).get("stop_sequence") == told["stop_sequence"]


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
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {"anthropic.messages"}
    assert shown(batches) == found.body


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    end = found.body.index(b"event: message_delta")
    batches = decoded(CODEC, asked(found), found.body[:end])
    events = events_of(batches)
    assert grammatical(events)
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.STREAM_ERROR
    assert batches[-1].verbatim is None


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_without_its_last_event_is_whole(found):
    whole = decoded(CODEC, asked(found), found.body)
    batches = decoded(CODEC, asked(found), found.body[: found.body.index(b"event: message_stop")])
    assert events_of(batches) == events_of(whole)
    assert shown(batches).rstrip().endswith(b'data: {"type":"message_stop"}')


@pytest.mark.parametrize("found", [found for found in ANSWERS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    (event,) = events_of(decoded(CODEC, asked(found), found.body.rstrip()[:-1]))
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


KINDS = {
    "anthropic.messages-json-010": (Kind.CONTEXT_LENGTH, None),
    "anthropic.messages-json-012": (Kind.INVALID, "messages.0"),
    "anthropic.messages-json-016": (Kind.RATE_LIMITED, None),
    "anthropic.messages-json-020": (Kind.INVALID, None),
    "anthropic.messages-stream-008": (Kind.AUTH, None),
    "anthropic.messages-stream-010": (Kind.INVALID, "messages.1"),
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    problem = CODEC.classify(ReplyHead(found.status, found.headers), found.body)
    assert (problem.kind, problem.subject) == KINDS[found.id]
    assert "http" not in problem.detail


def test_each_refusal_is_in_the_table():
    assert {found.id for found in REFUSED} == KINDS.keys()


@pytest.mark.parametrize(
    "found",
    [found for found in FOUND if "anthropic-ratelimit-requests-remaining" in found.headers],
    ids=by_id,
)
def test_what_is_left_is_read(found):
    quota = CODEC.quota("p/m", ReplyHead(200, found.headers), 5.0)
    headers = found.headers
    assert quota.requests == int(headers["anthropic-ratelimit-requests-remaining"])
    tokens = headers.get(
        "anthropic-ratelimit-tokens-remaining", headers.get("anthropic-ratelimit-input-tokens-remaining")
    )
    assert quota.tokens == (tokens and int(tokens))
    assert quota.at == 5.0


def test_models_are_read():
    (found,) = (found for found in FOUND if found.api == "anthropic.models")
    names = [model.name for model in CODEC.models(found.body)]
    assert names == [entry["id"] for entry in json.loads(found.body)["data"]]
    assert CODEC.models(found.body)[0].modified_at == "2025-11-24T00:00:00Z"


@pytest.mark.parametrize("found", [found for found in MESSAGES if found.request], ids=by_id)
def test_a_recorded_request_goes_out_as_it_came(found):
    source = Source("anthropic.messages", found.request)
    request = ChatRequest("asked", (Message(Role.USER, (Text("hi"),)),), stream=found.stream, source=source)
    target = Target(Provider("p", "anthropic", "https://api.example"), ModelFacts("m"))
    encoded = CODEC.encode(request, target)
    assert json.loads(encoded.http.body) == {**found.request, "model": "m"}
    assert encoded.losses == ()


def test_a_compact_form_is_what_we_make_of_a_whole_input():
    found = next(found for found in ANSWERS if found.id == "anthropic.messages-json-019")
    calls = reading_of(events_of(decoded(CODEC, asked(found), found.body))).calls[0]
    assert [text for _, _, text in calls] == [compact({"a": 2, "b": 3})] * 2
