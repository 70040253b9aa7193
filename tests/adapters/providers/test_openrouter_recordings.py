"""Recorded replies of OpenRouter say the same to us as to a reader that knows nothing of ours, however they are cut."""

import json

import pytest
from attrs import evolve

from adapters.dialects.openai_chat import DIALECT
from adapters.providers.openrouter import CODEC
from pipeline.values.events import ExtraDelta, Failed, grammatical
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import Text
from pipeline.values.problems import Kind
from tests.adapters.providers.openai_form import by_id, cuts, details, documents, independent, recordings
from tests.adapters.providers.recorded import decoded, events_of, reading_of, request_for, shown, target

ALL = [found for found in recordings("openrouter") if found.api == "openrouter.chat"]
# Thinking came, and the reason of its end, and then an error.
BROKEN = [found for found in ALL if found.id == "openrouter.chat-stream-005"]
ANSWERS = [found for found in ALL if found.status == 200 and found not in BROKEN]
REFUSED = [found for found in ALL if found.status != 200]


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, request_for(found), found.body))
    assert grammatical(events)
    assert reading_of(events) == independent(found)


@pytest.mark.parametrize("found", ANSWERS + BROKEN, ids=by_id)
def test_the_details_of_thinking_are_told_whole_and_once(found):
    told = [event for event in events_of(decoded(CODEC, request_for(found), found.body)) if is_detail(event)]
    said = {
        (value["type"], value.get("index"), value.get("id")): value.get("text") or value.get("data") or ""
        for value in (event.value for event in told)
    }
    assert len(said) == len(told)
    # A detail whose words were still coming when the reply broke off is not told.
    assert said == ({} if found in BROKEN else details(found))


def is_detail(event):
    return isinstance(event, ExtraDelta) and event.format == "reasoning_details"


@pytest.mark.parametrize("found", ANSWERS + BROKEN, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    body, request = found.body, request_for(found)
    whole = decoded(CODEC, request, body)
    pieces = [bytes((byte,)) for byte in body]
    for parts in (pieces, *((body[:at], body[at:]) for at in cuts(body))):
        batches = decoded(CODEC, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert found in BROKEN or shown(batches) == shown(whole)


@pytest.mark.parametrize("usage", [True, False], ids=["usage asked for", "usage not asked for"])
@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_the_bytes_beside_the_events_are_openrouters(found, usage):
    batches = decoded(CODEC, request_for(found, usage), found.body)
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {"openai.chat"}
    body = found.body
    if found.stream:
        body = body[: body.index(b"data: [DONE]\n\n") + 14]
        frames = body.decode().split("\n\n")[:-1]
        body = "".join(frame + "\n\n" for frame in frames if usage or not only_usage(frame)).encode()
    assert shown(batches) == body


def only_usage(frame):
    if not frame.startswith("data: {"):
        return False
    chunk = json.loads(frame.removeprefix("data: "))
    return not chunk["choices"] and bool(chunk.get("usage"))


@pytest.mark.parametrize("found", BROKEN, ids=by_id)
def test_an_error_after_thinking_breaks_the_reply_off(found):
    *before, last = events_of(decoded(CODEC, request_for(found), found.body))
    assert grammatical((*before, last))
    assert reading_of(tuple(before)).thinking == independent(found).thinking
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.STREAM_ERROR


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    text = found.body.decode()
    end = text.rfind("\n", 0, text.index('"finish_reason":"')) + 1
    last = events_of(decoded(CODEC, request_for(found), text[:end].encode()))[-1]
    assert isinstance(last, Failed)
    # Before anything but comments came, nothing was broken off.
    assert last.problem.kind in (Kind.STREAM_ERROR, Kind.GARBLED)


KINDS = {
    "openrouter.chat-json-011": (Kind.INVALID, "messages[1].content[1].file.file_id"),
    "openrouter.chat-json-014": (Kind.AUTH, None),
    "openrouter.chat-json-018": (Kind.RATE_LIMITED, None),
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    problem = CODEC.classify(ReplyHead(found.status, found.headers), found.body)
    assert (problem.kind, problem.subject) == KINDS[found.id]


def test_a_vendors_own_words_are_told_and_not_the_routers():
    found = next(found for found in REFUSED if found.id == "openrouter.chat-json-011")
    problem = CODEC.classify(ReplyHead(found.status, found.headers), found.body)
    assert "Missing required parameter" in problem.detail
    assert "Provider returned error" not in problem.detail


def test_a_limit_tells_when_it_is_reset():
    found = next(found for found in REFUSED if found.id == "openrouter.chat-json-018")
    head = ReplyHead(429, {**found.headers, "date": "Fri, 08 Aug 2025 15:40:30 GMT"})
    assert CODEC.classify(head, found.body).retry_after == 30.0
    seen = CODEC.quota("p/m", head, 7.0)
    assert (seen.requests, seen.requests_reset_s, seen.tokens, seen.at) == (0, 30.0, None, 7.0)


@pytest.mark.parametrize("found", [found for found in ALL if found.request], ids=by_id)
def test_a_recorded_request_survives_being_built_anew(found):
    asked = read(found.request)
    encoded = CODEC.encode(asked.rewritten(), target("openrouter", found.request["model"]))
    assert encoded.losses == ()
    built = json.loads(encoded.http.body)
    # Usage is always asked for.
    if asked.stream:
        assert built["stream_options"]["include_usage"] is True
        built["stream_options"] = found.request.get("stream_options")
    again = read({name: value for name, value in built.items() if value is not None})
    assert again.rewritten(messages=said(again)) == asked.rewritten(messages=said(asked))


def said(request):
    """The turns, without parts that say nothing."""
    return tuple(
        evolve(turn, parts=tuple(part for part in turn.parts if part != Text("")))
        for turn in request.messages
    )


@pytest.mark.parametrize("found", [found for found in ALL if found.request], ids=by_id)
def test_a_recorded_request_goes_out_as_it_came(found):
    asked = read(found.request)
    encoded = CODEC.encode(asked, target("openrouter", "vendor/other"))
    assert encoded.losses == ()
    body = json.loads(encoded.http.body)
    assert {**body, "stream_options": None} == {
        **found.request,
        "model": "vendor/other",
        "stream_options": None,
    }


def read(body):
    request = DIALECT.read(
        HttpRequest(
            "POST", "/v1/chat/completions", {"content-type": "application/json"}, json.dumps(body).encode()
        )
    )
    assert hasattr(request, "messages"), request
    return request


def test_each_recording_is_played():
    assert len(ALL) == 21
    assert all(documents(found) for found in ANSWERS)
    assert {found.id for found in REFUSED} == set(KINDS)
