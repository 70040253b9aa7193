"""What holds for every codec, whatever bytes come: no exception, the reply grammar, no say for the network's cuts."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.providers import CODECS
from pipeline.values.events import Failed, ToolCallDelta, grammatical
from pipeline.values.messages import ChatRequest, EmbedRequest, Message, Prompt, Role, Text
from tests.adapters.providers.recorded import decoded, events_of, shown

TURNS = (Message(Role.USER, (Text("hi"),)),)
REQUESTS = [
    ChatRequest("asked", TURNS, stream=True),
    ChatRequest("asked", TURNS),
    ChatRequest("asked", prompt=Prompt("p", raw=True), stream=True),
    EmbedRequest("asked", ("a",)),
]

LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.floats(0, 1)
    | st.sampled_from(["", "a", "stop", "error"])
)
# fmt: off
FIELDS = st.sampled_from([
    "id", "object", "model", "choices", "index", "delta", "message", "text", "content", "role",
    "refusal", "reasoning", "tool_calls", "function", "name", "arguments", "function_call",
    "finish_reason", "logprobs", "usage", "prompt_tokens", "data", "embedding", "embeddings", "error",
    "code", "done", "done_reason", "response", "thinking", "tokens", "token_logprobs", "eval_count",
])
# fmt: on
ANYTHING = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4)
)
FUNCTIONS = st.fixed_dictionaries({}, optional={"name": LEAF, "arguments": LEAF | ANYTHING})
CALLS = st.fixed_dictionaries({}, optional={"index": LEAF, "id": LEAF, "function": FUNCTIONS | LEAF})
DETAILS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted"]) | ANYTHING,
        "text": LEAF,
        "summary": LEAF,
        "data": LEAF,
        "signature": LEAF,
        "id": LEAF,
        "index": LEAF,
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "content": LEAF | ANYTHING,
        "reasoning": LEAF,
        "thinking": LEAF,
        "refusal": LEAF,
        "tool_calls": st.lists(CALLS | LEAF, max_size=3) | LEAF,
        "function_call": FUNCTIONS | LEAF,
        "reasoning_details": st.lists(DETAILS | LEAF, max_size=3) | LEAF,
        "audio": ANYTHING,
    },
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": LEAF,
        "delta": DELTAS | LEAF,
        "message": DELTAS | LEAF,
        "text": LEAF,
        "finish_reason": LEAF,
        "logprobs": ANYTHING,
    },
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "model": LEAF,
        "id": LEAF,
        "choices": st.lists(CHOICES | LEAF, max_size=2) | LEAF,
        "message": DELTAS | LEAF,
        "response": LEAF,
        "done": LEAF,
        "usage": ANYTHING,
        "data": ANYTHING,
        "embeddings": ANYTHING,
    },
)
PLAUSIBLE = (ANYTHING | DOCUMENTS).map(lambda value: json.dumps(value).encode())
END = st.sampled_from([b"\n", b"\n\n", b"\r\n\r\n", b"\r", b""])
FRAMES = st.tuples(
    st.sampled_from([b"data: ", b"", b": ", b"event: error\ndata: "]), PLAUSIBLE | st.just(b"[DONE]"), END
)
BODIES = st.binary() | st.lists(FRAMES.map(b"".join), max_size=5).map(b"".join)


@pytest.mark.parametrize("kind", CODECS)
@given(body=BODIES, data=st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_comes_it_is_a_reply_and_cuts_make_no_difference(kind, body, data):
    request = data.draw(st.sampled_from(REQUESTS))
    at = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    pieces = [body[begin:end] for begin, end in zip([0, *at], [*at, len(body)], strict=True)]
    whole, cut = decoded(CODECS[kind], request, body), decoded(CODECS[kind], request, *pieces)
    events = events_of(whole)
    assert grammatical(events)
    assert events_of(cut) == events
    assert all(
        batch.verbatim is None for batch in whole + cut if any(isinstance(e, Failed) for e in batch.events)
    )
    if not isinstance(events[-1], Failed):
        assert shown(cut) == shown(whole)


@pytest.mark.parametrize("kind", CODECS)
@given(bodies=st.lists(DOCUMENTS, min_size=1, max_size=4))
@settings(max_examples=300, deadline=None)
def test_the_first_fragment_of_a_call_names_it_and_no_other_does(kind, bodies):
    frame, end = ("data: {}\n\n", "data: [DONE]\n\n") if kind != "ollama" else ("{}\n", '{"done":true}\n')
    body = "".join(frame.format(json.dumps(document)) for document in bodies) + end
    seen: set[tuple[int, int]] = set()
    for event in events_of(decoded(CODECS[kind], REQUESTS[0], body.encode())):
        if isinstance(event, ToolCallDelta):
            place = (event.choice, event.index)
            assert (bool(event.id), bool(event.name)) == (place not in seen, place not in seen)
            assert event.index == 0 or (event.choice, event.index - 1) in seen
            seen.add(place)


@pytest.mark.parametrize("kind", CODECS)
@given(body=PLAUSIBLE | st.binary())
def test_a_model_list_is_a_list_whatever_comes(kind, body):
    assert isinstance(CODECS[kind].models(body), tuple)


@pytest.mark.parametrize("kind", CODECS)
def test_a_document_without_end_is_given_up(kind, monkeypatch):
    monkeypatch.setattr("adapters.providers.replies.DOCUMENT_LIMIT", 100)
    for pieces in ([b"x" * 101], [b"x" * 60] * 2):
        (failed,) = events_of(decoded(CODECS[kind], REQUESTS[1], *pieces))
        assert failed.problem.kind == "garbled"


# The first words of a stream; those not named speak OpenAI's form.
STARTS = {
    "openai": b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    "ollama": b'{"response":"a"}\n',
    "google": b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n\n',
    "anthropic": b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}\n\n',
}


@pytest.mark.parametrize("kind", CODECS)
def test_a_frame_without_end_is_given_up(kind):
    start = STARTS.get(kind, STARTS["openai"])
    batches = decoded(CODECS[kind], REQUESTS[0], start, b"x" * (8 * 1024 * 1024 + 9), b"\n\n")
    events = events_of(batches)
    assert grammatical(events)
    assert events[-1].problem.kind == "garbled"
