"""Recorded replies say the same to us as to a reader that knows nothing of ours, however the network cut them."""

import base64
import json
import struct
from collections import defaultdict
from typing import Any

import pytest

from adapters.dialects import DIALECTS
from adapters.providers import CODECS
from pipeline.ports import Codec
from pipeline.values.events import Failed, grammatical
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.problems import Kind, Problem
from tests.adapters.providers.recorded import (
    ALL,
    ANSWERS,
    REFUSED,
    Reading,
    Recording,
    decoded,
    events_of,
    reading_of,
    request_for,
    shown,
    target,
)


def codec_of(found: Recording) -> Codec:
    return CODECS[found.api.split(".")[0]]


def by_id(found: Recording) -> str:
    return found.id


def cuts(body: bytes) -> range:
    """Every place of a short body; some sixty of a long one, odd steps apart so that they fall everywhere."""
    return range(1, len(body), 1 if len(body) <= 4096 else len(body) // 61 | 1)


def documents(found: Recording) -> list[dict[str, Any]]:
    """The JSON documents of a reply, found by nothing but lines."""
    text = found.body.decode()
    if not found.stream:
        return [json.loads(text)]
    lines = [line.removeprefix("data: ").strip() for line in text.split("\n")]
    return [json.loads(line) for line in lines if line and line != "[DONE]"]


def independent(found: Recording) -> Reading:
    docs = documents(found)
    return openai_reading(docs) if found.api.startswith("openai") else ollama_reading(docs)


def openai_reading(docs: list[dict[str, Any]]) -> Reading:
    if "data" in docs[0]:
        return embeddings_reading(docs[0])
    words: dict[str, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    calls: dict[int, dict[int, list[str]]] = defaultdict(dict)
    reasons: dict[int, str] = {}
    usage, logprobs = None, 0
    for doc in docs:
        usage = doc.get("usage") or usage
        for choice in doc["choices"]:
            place = choice["index"]
            said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
            for name in ("content", "refusal", "reasoning", "reasoning_content"):
                words[name][place] += said.get(name) or ""
            for at, call in enumerate(said.get("tool_calls") or ()):
                made = calls[place].setdefault(call.get("index", at), ["", "", ""])
                made[0] += call.get("id") or ""
                made[1] += call["function"].get("name") or ""
                made[2] += call["function"]["arguments"]
            if legacy := said.get("function_call"):
                calls[place][0] = ["", legacy["name"], legacy["arguments"]]
            entries = choice.get("logprobs") or {}
            logprobs += len(entries.get("content") or entries.get("tokens") or ())
            reasons[place] = choice["finish_reason"] or reasons.get(place, "")
    counted = usage and (
        usage["prompt_tokens"],
        usage["completion_tokens"],
        usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        usage.get("completion_tokens_details", {}).get("reasoning_tokens"),
    )
    return Reading(
        docs[0]["model"],
        spoken(words["content"]),
        spoken(words["reasoning"]),
        spoken(words["refusal"]),
        {place: [tuple(call) for call in made.values()] for place, made in calls.items() if made},
        counted,
        [reasons[place].replace("function_call", "tool_calls") for place in sorted(reasons)],
        logprobs,
        [],
    )


def spoken(words: dict[int, str]) -> dict[int, str]:
    return {place: text for place, text in words.items() if text}


def embeddings_reading(doc: dict[str, Any]) -> Reading:
    vectors = []
    for item in doc["data"]:
        vector = item["embedding"]
        if isinstance(vector, str):
            packed = base64.b64decode(vector)
            vector = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        vectors.append(vector)
    usage = (doc["usage"]["prompt_tokens"], doc["usage"].get("completion_tokens"), None, None)
    return Reading(doc["model"], {}, {}, {}, {}, usage, ["stop"], 0, vectors)


def ollama_reading(docs: list[dict[str, Any]]) -> Reading:
    last = docs[-1]
    usage = (last.get("prompt_eval_count"), last.get("eval_count"), None, None)
    if "embeddings" in last:
        return Reading(last["model"], {}, {}, {}, {}, usage, ["stop"], 0, last["embeddings"])
    said = [doc.get("message") or {"content": doc["response"]} for doc in docs]
    text = "".join(message["content"] for message in said)
    thinking = "".join(message.get("thinking", "") for message in said)
    calls = [
        (call.get("id", ""), call["function"]["name"], compact(call["function"]["arguments"]))
        for message in said
        for call in message.get("tool_calls", ())
    ]
    return Reading(
        last["model"],
        {0: text} if text else {},
        {0: thinking} if thinking else {},
        {},
        {0: calls} if calls else {},
        usage,
        ["tool_calls" if calls else last.get("done_reason", "stop")],
        0,
        [],
    )


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def same_calls(ours: Reading, theirs: Reading) -> bool:
    """Equal calls; where the upstream gave no id, ours has one of our making."""
    if ours.calls.keys() != theirs.calls.keys():
        return False
    return all(
        len(ours.calls[place]) == len(made)
        and all(
            (id == known if known else id.startswith("call_")) and rest == other
            for (id, *rest), (known, *other) in zip(ours.calls[place], made, strict=True)
        )
        for place, made in theirs.calls.items()
    )


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_what_an_independent_reader_reads(found):
    events = events_of(decoded(codec_of(found), request_for(found), found.body))
    assert grammatical(events)
    ours, theirs = reading_of(events), independent(found)
    assert same_calls(ours, theirs)
    assert (ours.text, ours.thinking, ours.refusal) == (theirs.text, theirs.thinking, theirs.refusal)
    assert (ours.model, ours.usage, ours.reasons) == (theirs.model, theirs.usage, theirs.reasons)
    assert (ours.logprobs, ours.vectors) == (theirs.logprobs, theirs.vectors)


@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_a_reply_says_the_same_however_it_is_cut(found):
    codec, body, request = codec_of(found), found.body, request_for(found)
    whole = decoded(codec, request, body)
    pieces = [bytes((byte,)) for byte in body]
    for parts in (pieces, *((body[:at], body[at:]) for at in cuts(body))):
        batches = decoded(codec, request, *parts)
        assert events_of(batches) == events_of(whole)
        assert shown(batches) == shown(whole)


@pytest.mark.parametrize("usage", [True, False], ids=["usage asked for", "usage not asked for"])
@pytest.mark.parametrize("found", ANSWERS, ids=by_id)
def test_the_bytes_beside_the_events_are_the_upstreams(found, usage):
    batches = decoded(codec_of(found), request_for(found, usage), found.body)
    formats = {batch.verbatim.format for batch in batches if batch.verbatim}
    assert formats == {found.api}
    body = found.body
    if found.stream and found.api.startswith("openai"):
        # What follows the end mark is nothing.
        body = body[: body.index(b"data: [DONE]\n\n") + 14]
        if not usage:
            frames = body.decode().split("\n\n")[:-1]
            body = "".join(frame + "\n\n" for frame in frames if not is_usage(frame)).encode()
            # Nor would the client have got this from the upstream, had we not asked for usage.
            body = body.replace(b',"usage":null', b"")
            assert len(body) < len(found.body)
    elif found.stream:
        body = body[: body.rindex(b"}") + 2]
    assert shown(batches) == body


def is_usage(frame: str) -> bool:
    if frame == "data: [DONE]":
        return False
    chunk = json.loads(frame.removeprefix("data: "))
    return not chunk["choices"] and bool(chunk.get("usage"))


@pytest.mark.parametrize("found", [found for found in ANSWERS if found.stream], ids=by_id)
def test_a_stream_that_breaks_off_fails(found):
    codec, request = codec_of(found), request_for(found)
    text = found.body.decode()
    # Just before whatever told the reason of the end.
    mark = '"finish_reason":"' if found.api.startswith("openai") else '"done":true'
    end = text.rfind("\n", 0, text.index(mark)) + 1
    batches = decoded(codec, request, text[:end].encode())
    events = events_of(batches)
    assert grammatical(events)
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.problem.kind is Kind.STREAM_ERROR
    assert batches[-1].verbatim is None


@pytest.mark.parametrize("found", [found for found in ANSWERS if not found.stream], ids=by_id)
def test_a_document_that_breaks_off_cannot_be_read(found):
    batches = decoded(codec_of(found), request_for(found), found.body.rstrip()[:-1])
    (event,) = events_of(batches)
    assert isinstance(event, Failed)
    assert event.problem.kind is Kind.GARBLED


ROUTES = {
    "openai.chat": "/v1/chat/completions",
    "openai.completions": "/v1/completions",
    "openai.embeddings": "/v1/embeddings",
    "ollama.chat": "/api/chat",
    "ollama.generate": "/api/generate",
    "ollama.embed": "/api/embed",
}
ASKED = [found for found in ALL if found.api in ROUTES and found.request.get("model")]


@pytest.mark.parametrize("found", ASKED, ids=by_id)
def test_a_recorded_request_goes_out_as_it_came(found):
    """Read by the route of its form and encoded for the same kind of provider, nothing in it has changed."""
    path, kind = ROUTES[found.api], found.api.partition(".")[0]
    body = json.dumps(found.request).encode()
    request = DIALECTS[path].read(HttpRequest("POST", path, {"content-type": "application/json"}, body))
    if isinstance(request, Problem):
        # What the provider refused, our own route may refuse as well.
        assert found in REFUSED, request
        return
    encoded = CODECS[kind].encode(request, target(kind, found.request["model"]))
    sent = json.loads(encoded.http.body)
    if kind == "openai" and found.stream:
        # Usage is always asked for; who did not ask is not shown it.
        assert sent.pop("stream_options") == {
            **found.request.get("stream_options", {}),
            "include_usage": True,
        }
    assert sent == {
        name: value for name, value in found.request.items() if name in sent or name != "stream_options"
    }
    assert encoded.losses == ()


KINDS = {
    "openai.chat-json-002": (Kind.QUOTA, None),
    "openai.chat-json-004": (Kind.SERVER, None),
    "openai.chat-json-008": (Kind.INVALID, "response_format.json_schema.name"),
    "openai.chat-json-010": (Kind.NOT_FOUND, None),
    "openai.chat-stream-006": (Kind.NOT_FOUND, None),
    "ollama.chat-json-014": (Kind.NOT_FOUND, None),
    "ollama.openai_compat_chat-json-005": (Kind.INVALID, None),
    "ollama.openai_compat_chat-json-006": (Kind.CONTEXT_LENGTH, None),
}


@pytest.mark.parametrize("found", REFUSED, ids=by_id)
def test_a_refusal_is_of_its_kind(found):
    problem = codec_of(found).classify(ReplyHead(found.status, found.headers), found.body)
    assert (problem.kind, problem.subject) == KINDS[found.id]


def test_the_model_list_is_read():
    (found,) = (found for found in ALL if found.api == "openai.models")
    models = CODECS["openai"].models(found.body)
    assert [model.name for model in models] == [entry["id"] for entry in json.loads(found.body)["data"]]
    assert models[0].modified_at == "2022-12-16T19:01:39Z"
    assert models[0].capabilities is None


QUOTAS = {
    "openai.chat-json-001": (499, 199227, 0.12, 0.231),
    "openai.chat-json-008": (9999, 199986, 8.64, 0.004),
    "openai.chat-json-005": (29999, 149999222, 0.002, 0.0),
    "openai.chat-json-006": (None, None, None, None),  # there are headers, and none can be read
    "openai.chat-json-002": None,
}


@pytest.mark.parametrize("found", [found for found in ALL if found.id in QUOTAS], ids=by_id)
def test_quota_is_read_off_the_headers(found):
    seen = CODECS["openai"].quota("p/m", ReplyHead(found.status, found.headers), 7.0)
    told = seen and (seen.requests, seen.tokens, seen.requests_reset_s, seen.tokens_reset_s)
    assert told == QUOTAS[found.id]
    assert seen is None or (seen.target, seen.at) == ("p/m", 7.0)
    assert seen is None or seen.readable == (told != (None, None, None, None)) == (seen.unread == 0)
