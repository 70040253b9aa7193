"""Recorded replies of Azure say the same to us as to a reader that knows nothing of ours, however they are cut."""

import json

import pytest

from adapters.dialects.openai_chat import DIALECT
from adapters.providers.azure import CODEC
from pipeline.values.events import Failed, grammatical
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.problems import Kind
from tests.adapters.providers.openai_form import by_id, cuts, independent, recordings
from tests.adapters.providers.recorded import decoded, events_of, reading_of, request_for, shown, target

ALL = [found for found in recordings("azure") if not found.api.endswith(".responses")]
ANSWERS = [found for found in ALL if found.status == 200]
REFUSED = [found for found in ALL if found.status != 200]
CHATS = [found for found in ANSWERS if found.api == "azure.chat"]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, request_for(found), found.body))
    assert grammatical(events)
    assert reading_of(events) == independent(found)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    body, request = found.body, request_for(found)
    whole = decoded(CODEC, request, body)
    pieces = [bytes((byte,)) for byte in body]
    for parts in (pieces, *((body[:at], body[at:]) for at in cuts(body))):
        batches = decoded(CODEC, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert shown(batches) == shown(whole)


@pytest.mark.parametrize("found", [found for found in CHATS if found.stream], ids=by_id)
def test_the_verdict_on_the_prompt_is_shown_and_the_reply_begins_behind_it(found):
    frames = found.body.split(b"\n\n")
    verdict = frames[0] + b"\n\n"
    batches = decoded(CODEC, request_for(found), *(frame + b"\n\n" for frame in frames))
    if b"prompt_filter_results" in verdict:
        assert (batches[0].events, batches[0].verbatim) == ((), None)
    first = next(batch for batch in batches if batch.events)
    assert first.events[0].id
    assert shown(batches).startswith(verdict)


@pytest.mark.parametrize("usage", [True, False], ids=["usage asked for", "usage not asked for"])
@pytest.mark.parametrize("found", CHATS, ids=by_id)
def test_the_bytes_beside_the_events_are_azures(found, usage):
    batches = decoded(CODEC, request_for(found, usage), found.body)
    body = found.body
    if found.stream:
        body = body[: body.index(b"data: [DONE]\n\n") + 14]
        if not usage:
            frames = body.decode().split("\n\n")[:-1]
            body = "".join(frame + "\n\n" for frame in frames if not only_usage(frame)).encode()
            body = body.replace(b',"usage":null', b"")
    assert shown(batches) == body


def only_usage(frame):
    if not frame.startswith("data: {"):
        return False
    chunk = json.loads(frame.removeprefix("data: "))
    return not chunk["choices"] and bool(chunk.get("usage"))


KINDS = {
    "azure.chat-json-001": (Kind.NOT_FOUND, None, None),
    "azure.chat-json-002": (Kind.RATE_LIMITED, None, 1.0),
    "azure.chat-json-007": (Kind.NOT_FOUND, None, None),
    "azure.chat-json-011": (Kind.NOT_FOUND, None, None),
    "azure.chat-json-015": (Kind.INVALID, "max_tokens", None),
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    problem = CODEC.classify(ReplyHead(found.status, found.headers), found.body)
    assert (problem.kind, problem.subject, problem.retry_after) == KINDS[found.id]


@pytest.mark.parametrize("found", [found for found in CHATS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    (event,) = events_of(decoded(CODEC, request_for(found), found.body.rstrip()[:-1]))
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


def test_what_is_left_is_told_by_the_headers():
    found = next(found for found in ANSWERS if found.id == "azure.chat-json-005")
    seen = CODEC.quota("p/m", ReplyHead(200, found.headers), 7.0)
    assert (seen.requests, seen.tokens) == (94, 79520)


def chats_asked():
    return [found for found in ALL if found.request and found.api == "azure.chat"]


@pytest.mark.parametrize("found", chats_asked(), ids=by_id)
def test_a_recorded_request_goes_out_as_it_came(found):
    body = {"model": "asked", **found.request}
    request = DIALECT.read(
        HttpRequest(
            "POST", "/v1/chat/completions", {"content-type": "application/json"}, json.dumps(body).encode()
        )
    )
    encoded = CODEC.encode(request, target("azure", "mine"))
    assert encoded.losses == ()
    sent = json.loads(encoded.http.body)
    assert {**sent, "stream_options": None} == {**body, "model": "mine", "stream_options": None}


def test_each_recording_is_played():
    assert len(ALL) == 19
    assert {found.id for found in REFUSED} == set(KINDS)
