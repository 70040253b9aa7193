"""Google's recorded replies say the same to us as to a reader that knows nothing of ours, however they are cut."""

import json
from collections import defaultdict
from typing import Any

import pytest

from adapters.providers import thoughts
from adapters.providers.google import CODEC
from pipeline.values.events import (
    ExtraDelta,
    Failed,
    Finished,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageSeen,
    grammatical,
)
from pipeline.values.http import ReplyHead
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Message,
    Reasoning,
    Role,
    Source,
    Text,
    ToolCall,
)
from pipeline.values.problems import Kind
from pipeline.values.targets import ModelFacts, Provider, Target
from tests.adapters.providers.recorded import (
    ROOT,
    Reading,
    Recording,
    decoded,
    events_of,
    load,
    reading_of,
    shown,
)

HI = Message(Role.USER, (Text("hi"),))
BASE = "https://generativelanguage.googleapis.com/v1beta"

FOUND = {found.id: found for found in map(load, sorted(ROOT.glob("gemini.*.json")))}
# We never count tokens at Google; the list of models has a test of its own.
SPOKEN = [found for found in FOUND.values() if not found.api.endswith((".countTokens", ".models"))]
REFUSED = [found for found in SPOKEN if found.status != 200]
GIVEN = [found for found in SPOKEN if found.status == 200]
# Answers that are none, each with what is made of it.
NO_ANSWER = {
    "gemini.generateContent-json-005": Kind.RETRYABLE,  # a malformed call, and nothing else
    "gemini.generateContent-json-012": Kind.RETRYABLE,  # the tokens of the prompt, and nothing else
    "gemini.streamGenerateContent-stream-011": Kind.STREAM_ERROR,  # an error after two pieces
}
ANSWERS = [found for found in GIVEN if found.id not in NO_ANSWER]
# A stream asked for without `alt=sse` comes as one list.
LISTS = ("gemini.streamGenerateContent-stream-007",)
STREAMS = [found for found in ANSWERS if found.stream and found.id not in LISTS]
FILTERED = {
    "SAFETY",
    "RECITATION",
}


def by_id(found: Recording) -> str:
    return found.id


def cuts(body: bytes) -> range:
    """Every place of a short body; some sixty of a long one, odd steps apart so that they fall everywhere."""
    return range(1, len(body), 1 if len(body) <= 4096 else len(body) // 61 | 1)


def asked(found: Recording) -> ChatRequest | EmbedRequest:
    if "mbed" in found.api:
        return EmbedRequest("asked", ("a",))
    return ChatRequest("asked", (HI,), stream=found.stream)


def documents(found: Recording) -> list[dict[str, Any]]:
    text = found.body.decode()
    if not found.stream or found.id in LISTS:
        whole = json.loads(text)
        return whole if isinstance(whole, list) else [whole]
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def parts_of(docs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        part
        for doc in docs
        for candidate in doc.get("candidates", ())
        for part in candidate.get("content", {}).get("parts", ())
    ]


def independent(found: Recording) -> Reading:
    docs = documents(found)
    if "mbed" in found.api:
        (doc,) = docs
        entries = doc.get("embeddings") or [doc["embedding"]]
        tokens = doc.get("usageMetadata", {}).get("promptTokenCount")
        usage = None if tokens is None else (tokens, None, None, None)
        return Reading("asked", {}, {}, {}, {}, usage, ["stop"], 0, [entry["values"] for entry in entries])
    words: dict[str, str] = defaultdict(str)
    calls = []
    for part in parts_of(docs):
        if "functionCall" in part:
            call = part["functionCall"]
            calls.append((call.get("id", ""), call["name"], compact(call["args"])))
        elif "text" in part:
            words["thinking" if part.get("thought") else "text"] += part["text"]
    ends = [
        candidate["finishReason"]
        for doc in docs
        for candidate in doc.get("candidates", ())
        if "finishReason" in candidate
    ]
    end = ends[-1] if ends else "SAFETY"  # a blocked prompt
    reason = {"MAX_TOKENS": "length"}.get(end, "content_filter" if end in FILTERED else "stop")
    counts = [doc["usageMetadata"] for doc in docs if "promptTokenCount" in doc.get("usageMetadata", {})]
    return Reading(
        next((doc["modelVersion"] for doc in docs if "modelVersion" in doc), "asked"),
        {0: words["text"]} if words["text"] else {},
        {0: words["thinking"]} if words["thinking"] else {},
        {},
        {0: calls} if calls else {},
        usage_of(counts[-1]) if counts else None,
        ["tool_calls" if calls and reason == "stop" else reason],
        0,
        [],
    )


def usage_of(told: dict[str, Any]) -> tuple[int | None, ...]:
    """By subtraction where ours adds."""
    given = told["promptTokenCount"] + told.get("toolUsePromptTokenCount", 0)
    made = told["totalTokenCount"] - given
    return (given, made, told.get("cachedContentTokenCount"), told.get("thoughtsTokenCount"))


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(CODEC, asked(found), found.body))
    assert grammatical(events)
    ours, theirs = reading_of(events), independent(found)
    pairs = zip(ours.calls.get(0, ()), theirs.calls.get(0, ()), strict=True)
    assert all(one[1:] == other[1:] and one[0] == (other[0] or one[0]) for one, other in pairs)
    assert len({call[0] for call in ours.calls.get(0, ())}) == len(ours.calls.get(0, ()))
    assert (ours.text, ours.thinking) == (theirs.text, theirs.thinking)
    assert (ours.model, ours.usage, ours.reasons) == (theirs.model, theirs.usage, theirs.reasons)
    assert ours.vectors == theirs.vectors


@pytest.mark.parametrize("found", GIVEN, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    request = asked(found)
    whole = decoded(CODEC, request, found.body)
    pieces = [bytes((byte,)) for byte in found.body]
    for parts in (pieces, *((found.body[:at], found.body[at:]) for at in cuts(found.body))):
        batches = decoded(CODEC, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert shown(batches) == shown(whole) or found.id in NO_ANSWER


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_the_bytes_beside_the_events_are_the_upstreams(found):
    batches = decoded(CODEC, asked(found), found.body)
    body = shown(batches)
    if found.id in LISTS:
        # A list is no stream of events, so its bytes cannot stand for one.
        assert body == b""
        return
    assert {batch.verbatim.format for batch in batches if batch.verbatim} == {
        "google.embed" if "mbed" in found.api else "google.generate"
    }
    whole = not found.stream or found.body.endswith((b"\n\n", b"\r\n\r\n"))
    assert body == (found.body if whole else found.body + b"\n\n")


@pytest.mark.parametrize("found", STREAMS, ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    text = found.body.decode()
    end = text.rfind("data: ", 0, text.index('"finishReason"'))
    for cut in (end, text.index('"finishReason"')):
        events = events_of(decoded(CODEC, asked(found), text[:cut].encode()))
        assert grammatical(events)
        assert isinstance(events[-1], Failed)
        assert events[-1].problem.kind is Kind.STREAM_ERROR


@pytest.mark.parametrize("found", [found for found in ANSWERS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    (event,) = events_of(decoded(CODEC, asked(found), found.body.rstrip()[:-1]))
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


@pytest.mark.parametrize(("id", "kind"), NO_ANSWER.items())
def test_what_is_no_answer_is_a_failure(id, kind):
    found = FOUND[id]
    events = events_of(decoded(CODEC, asked(found), found.body))
    assert grammatical(events)
    assert events[-1].problem.kind is kind


def test_an_error_in_a_stream_comes_after_what_was_said():
    found = FOUND["gemini.streamGenerateContent-stream-011"]
    events = events_of(decoded(CODEC, asked(found), found.body))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["First ", "Second "]


@pytest.mark.parametrize(
    ("id", "words"),
    [
        pytest.param(
            "gemini.generateContent-json-021", "refuses this prompt (SAFETY)", id="a blocked prompt"
        ),
        pytest.param(
            "gemini.generateContent-json-008", "withholds this answer (SAFETY)", id="a withheld answer"
        ),
        pytest.param("gemini.streamGenerateContent-stream-005", None, id="an answer cut for safety"),
        pytest.param("gemini.streamGenerateContent-stream-010", None, id="an answer cut for recitation"),
    ],
)
def test_what_is_filtered_is_told_in_words_where_there_are_no_others(id, words):
    events = events_of(decoded(CODEC, asked(FOUND[id]), FOUND[id].body))
    said = [event.text for event in events if isinstance(event, RefusalDelta)]
    assert len(said) == (words is not None)
    assert all(words in text for text in said)
    assert events[-1].reason == "content_filter"


@pytest.mark.parametrize(
    ("id", "kinds"),
    [
        pytest.param(
            "gemini.generateContent-json-009",
            {"executableCode", "codeExecutionResult"},
            id="code that was run",
        ),
        pytest.param("gemini.streamGenerateContent-stream-002", {"inlineData"}, id="a picture"),
    ],
)
def test_what_only_google_can_say_travels_as_it_is(id, kinds):
    events = events_of(decoded(CODEC, asked(FOUND[id]), FOUND[id].body))
    told = [
        part
        for event in events
        if isinstance(event, ExtraDelta)
        for part in event.value.get("content", {}).get("parts", ())
    ]
    assert told == [part for part in parts_of(documents(FOUND[id])) if part.keys() & kinds]


@pytest.mark.parametrize(
    ("id", "name"),
    [
        pytest.param("gemini.streamGenerateContent-stream-004", "groundingMetadata", id="what was searched"),
        pytest.param("gemini.vertex_generateContent-json-002", "groundingMetadata", id="what the web said"),
        pytest.param("gemini.streamGenerateContent-stream-010", "citationMetadata", id="whom it quotes"),
    ],
)
def test_sources_are_told(id, name):
    events = events_of(decoded(CODEC, asked(FOUND[id]), FOUND[id].body))
    told = [event.value[name] for event in events if isinstance(event, ExtraDelta) and name in event.value]
    candidates = [candidate for doc in documents(FOUND[id]) for candidate in doc["candidates"]]
    assert told == [candidate[name] for candidate in candidates if name in candidate]


def said_again(found: Recording) -> list[dict[str, Any]]:
    """The model's turn as a client would give it back, in Google's form."""
    parts: list[Any] = []
    details: list[Any] = []
    for event in events_of(decoded(CODEC, asked(found), found.body)):
        match event:
            case TextDelta(text):
                parts.append(Text(text))
            case ToolCallDelta(_, id, name, arguments):
                parts.append(ToolCall(id, name, arguments))
            case ExtraDelta(format, value) if format == thoughts.FORMAT:
                details.append(value)
    turn = Message(Role.ASSISTANT, (Reasoning("", {thoughts.FORMAT: details}), *parts))
    facts = ModelFacts("gemini-3.5-flash")
    encoded = CODEC.encode(ChatRequest("asked", (HI, turn)), Target(Provider("p", "google", BASE), facts))
    assert encoded.losses == ()
    return json.loads(encoded.http.body)["contents"][-1]["parts"]


SIGNED = [
    found
    for found in ANSWERS
    if "mbed" not in found.api and any("thoughtSignature" in part for part in parts_of(documents(found)))
]


@pytest.mark.parametrize("found", SIGNED, ids=by_id)
def test_signatures_go_back_to_where_they_came_from(found):
    # What Google's own tools did cannot be given back, nor can the signatures that go with it.
    parts = [part for part in parts_of(documents(found)) if "text" in part or "functionCall" in part]
    told = [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
    again = said_again(found)
    assert [part["thoughtSignature"] for part in again if "thoughtSignature" in part] == told
    for part, sent in zip(
        (part for part in parts if "functionCall" in part),
        (part for part in again if "functionCall" in part),
        strict=True,
    ):
        assert sent.get("thoughtSignature") == part.get("thoughtSignature")
        assert sent["functionCall"]["args"] == part["functionCall"]["args"]
        if "id" in part["functionCall"]:
            assert sent["functionCall"]["id"] == part["functionCall"]["id"]


def test_there_are_signatures_on_calls_and_on_words():
    kinds = {
        ("functionCall" in part)
        for found in SIGNED
        for part in parts_of(documents(found))
        if "thoughtSignature" in part
    }
    assert kinds == {True, False}


KINDS = {
    "gemini.generateContent-json-002": Kind.RATE_LIMITED,
    "gemini.generateContent-json-010": Kind.AUTH,
    "gemini.generateContent-json-011": Kind.NOT_FOUND,
    "gemini.generateContent-json-023": Kind.POLICY,
    "gemini.streamGenerateContent-stream-013": Kind.NOT_FOUND,
    "gemini.streamGenerateContent-stream-023": Kind.AUTH,
    "gemini.vertex_generateContent-json-003": Kind.NOT_FOUND,
    "gemini.vertex_generateContent-json-006": Kind.CONTEXT_LENGTH,
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    assert CODEC.classify(ReplyHead(found.status, found.headers), found.body).kind is KINDS[found.id]


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_that_came_inside_a_200_is_of_the_same_kind(found):
    (event,) = events_of(decoded(CODEC, asked(found), found.body))
    assert event.problem.kind is KINDS[found.id]


RECORDED = [found for found in SPOKEN if found.request and "mbed" not in found.api]


@pytest.mark.parametrize("found", RECORDED, ids=by_id)
def test_a_request_in_googles_own_form_goes_out_as_it_is(found):
    request = ChatRequest(
        "asked", (HI,), stream=found.stream, source=Source("google.generate", found.request)
    )
    target = Target(Provider("p", "google", BASE), ModelFacts("gemini-3.5-flash"))
    encoded = CODEC.encode(request, target)
    assert json.loads(encoded.http.body) == found.request
    assert encoded.losses == ()


def test_the_list_of_models():
    found = FOUND["gemini.models-json-001"]
    listed = {facts.name: facts for facts in CODEC.models(found.body)}
    entries = {entry["name"].removeprefix("models/"): entry for entry in json.loads(found.body)["models"]}
    assert set(listed) == {
        name
        for name, entry in entries.items()
        if {"generateContent", "embedContent"} & set(entry["supportedGenerationMethods"])
    }
    flash = listed["gemini-2.5-flash"]
    assert (flash.context_length, flash.output_limit) == (1048576, 65536)
    assert flash.capabilities == {"completion", "tools", "vision", "thinking"}
    assert listed["gemini-2.0-flash"].capabilities == {"completion", "tools", "vision"}
    assert listed["gemma-3-1b-it"].capabilities == {"completion"}
    assert listed["gemini-embedding-001"].capabilities == {"embedding"}
    assert listed["gemini-embedding-001"].output_limit is None
    thinkers = {name for name, facts in listed.items() if "thinking" in facts.capabilities}
    assert thinkers == {name for name in listed if entries[name].get("thinking")}


def test_usage_is_told_once_and_last():
    for found in STREAMS:
        events = events_of(decoded(CODEC, asked(found), found.body))
        assert [type(event) for event in events[-2:]] == [UsageSeen, Finished]
