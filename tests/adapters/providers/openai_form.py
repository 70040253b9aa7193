"""Recorded exchanges of providers that speak OpenAI's form, and a reading of them that knows nothing of ours."""

import base64
import json
import struct
from collections import defaultdict
from typing import Any

from tests.adapters.providers.recorded import ROOT, Reading, Recording, load


def recordings(kind: str) -> list[Recording]:
    """Those of one kind of provider."""
    return [load(path) for path in sorted(ROOT.glob(f"{kind}.*.json"))]


def by_id(found: Recording) -> str:
    return found.id


def cuts(body: bytes) -> range:
    """Every place of a short body; some forty of a long one, odd steps apart so that they fall everywhere."""
    return range(1, len(body), 1 if len(body) <= 4096 else len(body) // 41 | 1)


def documents(found: Recording) -> list[dict[str, Any]]:
    """The JSON documents of a reply, found by nothing but lines."""
    text = found.body.decode()
    if not found.stream:
        return [json.loads(text)]
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def independent(found: Recording) -> Reading:
    docs = documents(found)
    return _embeddings(docs[0]) if "data" in docs[0] else _chat(docs)


def _chat(docs: list[dict[str, Any]]) -> Reading:
    words: dict[str, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    calls: dict[int, dict[int, list[str]]] = defaultdict(dict)
    reasons: dict[int, str] = {}
    usage, logprobs = None, 0
    for doc in docs:
        usage = doc.get("usage") or usage
        for choice in doc["choices"]:
            place = choice["index"]
            said = choice.get("delta") or choice.get("message") or {}
            words["content"][place] += said.get("content") or ""
            words["refusal"][place] += said.get("refusal") or ""
            words["thinking"][place] += said.get("reasoning") or said.get("reasoning_content") or ""
            for at, call in enumerate(said.get("tool_calls") or ()):
                made = calls[place].setdefault(call.get("index", at), ["", "", ""])
                made[0] += call.get("id") or ""
                made[1] += call["function"].get("name") or ""
                made[2] += call["function"]["arguments"]
            logprobs += len((choice.get("logprobs") or {}).get("content") or ())
            reasons[place] = choice.get("finish_reason") or reasons.get(place, "")
    return Reading(
        next(doc["model"] for doc in docs if doc["model"]),
        _spoken(words["content"]),
        _spoken(words["thinking"]),
        _spoken(words["refusal"]),
        {place: [tuple(call) for call in made.values()] for place, made in calls.items()},
        _counted(usage),
        ["tool_calls" if calls.get(place) else reason for place, reason in sorted(reasons.items())],
        logprobs,
        [],
    )


def _spoken(words: dict[int, str]) -> dict[int, str]:
    return {place: text for place, text in words.items() if text}


def _counted(usage: dict[str, Any] | None) -> tuple[int | None, ...] | None:
    if usage is None:
        return None
    given = usage.get("prompt_tokens_details") or {}
    made = usage.get("completion_tokens_details") or {}
    return (
        usage["prompt_tokens"],
        # What was made is all that was not given: some count the thinking apart from the answer.
        usage["total_tokens"] - usage["prompt_tokens"] if "completion_tokens" in usage else None,
        given.get("cached_tokens"),
        made.get("reasoning_tokens"),
    )


def _embeddings(doc: dict[str, Any]) -> Reading:
    vectors = []
    for item in doc["data"]:
        vector = item["embedding"]
        if isinstance(vector, str):
            packed = base64.b64decode(vector)
            vector = list(struct.unpack(f"<{len(packed) // 4}f", packed))
        vectors.append(vector)
    return Reading(doc["model"], {}, {}, {}, {}, _counted(doc["usage"]), ["stop"], 0, vectors)


def details(found: Recording) -> dict[tuple[Any, ...], str]:
    """What the details of thinking say, by type, place and id: words, or what is encrypted."""
    said: dict[tuple[Any, ...], str] = defaultdict(str)
    for doc in documents(found):
        for choice in doc["choices"]:
            message = choice.get("delta") or choice.get("message") or {}
            for detail in message.get("reasoning_details") or ():
                place = (detail["type"], detail.get("index"), detail.get("id"))
                said[place] += detail.get("text") or detail.get("summary") or detail.get("data") or ""
    return dict(said)
