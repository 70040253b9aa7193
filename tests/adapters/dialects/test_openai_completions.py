"""/v1/completions: prompts as values, replies as OpenAI's oldest form writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dialects import DIALECTS
from adapters.providers.openai import CODEC
from pipeline.values.events import (
    Batch,
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
from pipeline.values.messages import ChatRequest, LoadRequest, Prompt, Sampling, Source
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import begun, collected, frames, read, verbatim, written
from tests.adapters.providers.recorded import EVERY, decoded, events_of

PATH = "/v1/completions"
FORMAT = "openai.completions"
ASK = {"model": "m", "prompt": "Once"}
STREAM = {**ASK, "stream": True}
COUNTED = {**STREAM, "stream_options": {"include_usage": True}}
USED = UsageSeen(Usage(11, 3))


def asked(**fields):
    return read(PATH, {**ASK, **fields})


def test_a_plain_request():
    assert asked() == ChatRequest("m", prompt=Prompt("Once"), source=Source(FORMAT, ASK))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"prompt": ["Once"]}, {"prompt": Prompt("Once")}, id="a list of one"),
        pytest.param(
            {"prompt": "", "suffix": "end"}, {"prompt": Prompt("", suffix="end")}, id="a gap at the start"
        ),
        pytest.param({"suffix": "end"}, {"prompt": Prompt("Once", suffix="end")}, id="a gap"),
        pytest.param({"suffix": ""}, {"prompt": Prompt("Once")}, id="no gap"),
        pytest.param({"logprobs": 0}, {"logprobs": 0}, id="the tokens themselves"),
        pytest.param({"logprobs": 5}, {"logprobs": 5}, id="and others"),
        pytest.param({"n": 2, "best_of": 2}, {"choices": 2, "extra": {}}, id="several, all of which come"),
        pytest.param({"echo": False, "best_of": 1}, {"choices": 1, "extra": {}}, id="what is so anyway"),
        pytest.param(
            {
                **{"max_tokens": 5, "temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["a", "b"]},
                **{"presence_penalty": 1, "frequency_penalty": -1},
                **{"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1},
            },
            {
                "sampling": Sampling(
                    5,
                    0,
                    0.5,
                    5,
                    0.1,
                    7,
                    ("a", "b"),
                    presence_penalty=1,
                    frequency_penalty=-1,
                    repeat_penalty=1.1,
                ),
                "extra": {},
            },
            id="sampling",
        ),
        pytest.param(
            {"logit_bias": {"1": 2}, "new": 0, "user": "u"},
            {"extra": {FORMAT: {"logit_bias": {"1": 2}, "new": 0}}, "user": "u"},
            id="all else travels along",
        ),
    ],
)
def test_fields(fields, expected):
    request = asked(**fields)
    assert isinstance(request, ChatRequest), request
    assert {name: getattr(request, name) for name in expected} == expected
    assert request.source.body["prompt"] == request.prompt.text


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        pytest.param({"prompt": []}, "prompt", id="an empty list"),
        pytest.param({"prompt": ["a", "b"]}, "prompt", id="several prompts"),
        pytest.param({"prompt": [1, 2]}, "prompt", id="tokens"),
        pytest.param({"prompt": [[1, 2]]}, "prompt", id="lists of tokens"),
        pytest.param({"prompt": {}}, "prompt", id="an object"),
        pytest.param({"echo": True}, "echo", id="echo"),
        pytest.param({"best_of": 3}, "best_of", id="the best of several"),
        pytest.param({"n": 2, "best_of": 3}, "best_of", id="the best two of three"),
        pytest.param({"logprobs": True}, "logprobs", id="the newer form of logprobs"),
        pytest.param({"logprobs": 21}, "logprobs", id="too many of them"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="no answer"),
        pytest.param({"stop": [1]}, "stop[0]", id="a stop that is no text"),
        pytest.param({"suffix": 1}, "suffix", id="a suffix that is none"),
    ],
)
def test_faults_name_their_field(fields, subject):
    problem = asked(**fields)
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.subject) == (Kind.BAD_REQUEST, subject)
    assert subject.partition("[")[0] in problem.detail


def entry(token, logprob, **others):
    ranked = [
        {"token": name, "logprob": value, "bytes": list(name.encode())} for name, value in others.items()
    ]
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": ranked}


def test_a_stream():
    events = (
        Started("m-1"),
        ThinkingDelta("hm"),
        TextDelta("He"),
        TextDelta("llo"),
        USED,
        Finished("length"),
    )
    *chunks, usage, done = frames(written(PATH, COUNTED, [events]))
    assert done == "[DONE]"
    assert [chunk["choices"] for chunk in chunks] == [
        [{"text": "He", "index": 0, "logprobs": None, "finish_reason": None}],
        [{"text": "llo", "index": 0, "logprobs": None, "finish_reason": None}],
        [{"text": "", "index": 0, "logprobs": None, "finish_reason": "length"}],
    ]
    head = {"id": "cmpl-r1", "object": "text_completion", "created": 1_700_000_000, "model": "m-1"}
    assert all(chunk | head == chunk and chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}


def test_usage_only_where_it_was_asked_for():
    found = frames(written(PATH, STREAM, [(Started("m"), TextDelta("x"), USED, Finished("stop"))]))
    assert all("usage" not in chunk for chunk in found[:-1])


def test_a_whole_reply():
    events = (
        Started("m-1"),
        TextDelta("a", 0, (entry("a", -0.5, a=-0.5, b=-1.0),)),
        TextDelta("xy", 1),
        TextDelta("bc", 0, (entry("bc", -0.1),)),
        RefusalDelta("z", 1),
        USED,
        Finished("stop", ("content_filter",)),
    )
    status, body = collected(PATH, {**ASK, "n": 2, "logprobs": 2}, events)
    assert status == 200
    assert body == {
        "id": "cmpl-r1",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "m-1",
        "choices": [
            {
                "text": "abc",
                "index": 0,
                "logprobs": {
                    "tokens": ["a", "bc"],
                    "token_logprobs": [-0.5, -0.1],
                    "top_logprobs": [{"a": -0.5, "b": -1.0}, None],
                    "text_offset": [4, 5],
                },
                "finish_reason": "stop",
            },
            {"text": "xyz", "index": 1, "logprobs": None, "finish_reason": "content_filter"},
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }


def test_offsets_go_on_in_a_stream():
    said = [TextDelta("ab", 0, (entry("ab", -1),)), TextDelta("c", 0, (entry("c", -1),))]
    first, second, *_ = frames(written(PATH, STREAM, [(Started("m"), *said, Finished("stop"))]))
    assert first["choices"][0]["logprobs"]["text_offset"] == [4]
    assert second["choices"][0]["logprobs"]["text_offset"] == [6]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"prompt": ""}, id="an empty prompt"),
        pytest.param({"prompt": [""]}, id="a list of an empty prompt"),
        pytest.param({"prompt": None}, id="no prompt"),
        pytest.param({"prompt": "", "suffix": ""}, id="no gap either"),
    ],
)
def test_nothing_to_go_on_with_loads_the_model(fields, stream):
    assert asked(**fields, stream=stream) == LoadRequest("m", stream=stream)


def test_a_loaded_model_is_told_as_such():
    body, events = {"model": "m"}, (Started("m"), Finished("load"))
    (choice,) = collected(PATH, body, events)[1]["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("", "load")
    last, done = frames(written(PATH, {**body, "stream": True}, [events]))
    assert (last["choices"][0]["finish_reason"], done) == ("load", "[DONE]")


def test_faults_come_before_loading():
    assert asked(prompt="", stop=5).subject == "stop"


@pytest.mark.parametrize("reason", ["tool_calls", "unload", "stop"])
def test_other_ends_are_plain_ones(reason):
    events = (Started("m"), ToolCallDelta(0, "c", "f", "{}"), Finished(reason))
    assert collected(PATH, ASK, events)[1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("found", [each for each in EVERY if each.api == FORMAT], ids=lambda each: each.id)
def test_recorded_replies_pass_and_are_written_alike(found):
    request = read(PATH, found.request)
    body = {**found.request, "stream": found.stream}
    batches = decoded(CODEC, request, found.body)
    events = tuple(event for batch in batches for event in batch.events)
    if found.stream:
        assert written(PATH, body, batches) == found.body
        again = written(PATH, body, [events])
        theirs, ours = frames(found.body), frames(again)
        assert {frozenset(chunk) for chunk in ours[:-1]} == {frozenset(chunk) for chunk in theirs[:-1]}
    else:
        answer = DIALECTS[PATH].collect(begun(PATH, body), tuple(batches), 1.0)
        assert answer.body == found.body
        again = DIALECTS[PATH].collect(begun(PATH, body), (Batch(events),), 1.0).body
    said = [event for event in events_of(decoded(CODEC, request, again)) if not isinstance(event, Started)]
    words = [event for event in events if not isinstance(event, Started)]
    if found.stream:
        assert [event for event in said if event != TextDelta("")] == [e for e in words if e != TextDelta("")]
    else:
        assert said == words


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


@given(
    texts=st.lists(st.tuples(TEXT, st.integers(0, 1)), max_size=6),
    reasons=st.tuples(*[st.sampled_from(["stop", "length", "content_filter"])] * 2),
    data=st.data(),
)
def test_what_was_written_decodes_to_the_same_events(texts, reasons, data):
    events = (
        Started("m"),
        *(TextDelta(text, choice) for text, choice in texts),
        USED,
        Finished(reasons[0], reasons[1:]),
    )
    cut = data.draw(st.integers(1, len(events)))
    out = written(PATH, {**COUNTED, "n": 2}, [events[:cut], events[cut:]])
    back = events_of(decoded(CODEC, read(PATH, {**COUNTED, "n": 2}), out))
    assert [event for event in back[1:] if event != TextDelta("")] == list(events[1:])
    whole = collected(PATH, {**ASK, "n": 2}, events)
    assert whole == collected(PATH, {**ASK, "n": 2}, events[:cut], events[cut:])


def test_a_failure_in_the_middle_ends_the_stream():
    state = begun(PATH, STREAM)
    state, _ = DIALECTS[PATH].write(state, Batch((Started("m"), TextDelta("x"))), 1.0)
    state, error = DIALECTS[PATH].write(state, Batch((Failed(Problem(Kind.STREAM_ERROR)),)), 2.0)
    assert frames(error)[0]["error"]["type"] == "upstream_error"
    assert DIALECTS[PATH].write(state, Batch((TextDelta("y"), Finished("stop"))), 3.0)[1] == b""
    assert DIALECTS[PATH].keep_alive(state, 4.0)[1] == b""


def test_bytes_without_an_end_mark_get_one():
    data = b'data: {"choices":[]}\n\n'
    batch = verbatim(FORMAT, data, Started("m"), TextDelta("x"), Finished("stop"))
    assert written(PATH, STREAM, [batch]) == data + b"data: [DONE]\n\n"
