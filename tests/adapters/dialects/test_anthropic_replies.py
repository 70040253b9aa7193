"""Replies in Anthropic's form, as events and as one message."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.dialects import DIALECTS
from adapters.dialects.anthropic_details import unpacked
from adapters.providers.anthropic import CODEC
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
    grammatical,
)
from pipeline.values.problems import Kind, Problem
from tests.adapters.dialects.calls import ID, begun, collected, read, verbatim, written
from tests.adapters.dialects.test_laws import TEXT, cuts, spoken, told
from tests.adapters.providers.recorded import EVERY, Recording, decoded, events_of, shown

PATH = "/v1/messages"
FORMAT = "anthropic.messages"
DETAILS = "reasoning_details"
ASK = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], "stream": True}
WHOLE = {**ASK, "stream": False}
END = (UsageSeen(Usage(9, 3)), Finished("stop"))
SIGNED = {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "anthropic-claude-v1"}
HIDDEN = {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1"}
FOREIGN = {"type": "reasoning.encrypted", "data": "g", "id": "c1", "format": "google-gemini-v1"}


def steps(data: bytes):
    """The events of a stream, each named by its type."""
    assert data == b"" or data.endswith(b"\n\n")
    found = []
    for frame in data.decode().split("\n\n")[:-1]:
        name, line = frame.split("\n")
        value = json.loads(line.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def blocks(told):
    """The blocks that steps tell, each whole before the next begins, counted from 0."""
    found, open_ = [], False
    for step in told:
        match step:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert (open_, index) == (False, len(found))
                open_ = True
                found.append({**block, "said": ""})
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert (open_, index) == (True, len(found) - 1)
                for name in ("text", "thinking", "partial_json"):
                    found[-1]["said"] += delta.get(name, "")
                if "signature" in delta:
                    found[-1]["signature"] = delta["signature"]
            case {"type": "content_block_stop", "index": index}:
                assert (open_, index) == (True, len(found) - 1)
                open_ = False
    assert not open_
    return found


def answer(*events, fields=WHOLE):
    status, message = collected(PATH, fields, Batch((Started("m"), *events, *END)))
    assert status == 200
    return message


def test_a_stream_step_by_step():
    data = written(PATH, ASK, [[Started("m")], [TextDelta("a"), TextDelta("b")], [*END]])
    usage = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    assert steps(data) == [
        {
            "type": "message_start",
            "message": {
                "id": f"msg_{ID}",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 9, **usage, "output_tokens": 0},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "b"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 9, **usage, "output_tokens": 3},
        },
        {"type": "message_stop"},
    ]


@pytest.mark.parametrize(
    ("events", "content"),
    [
        pytest.param((), [], id="nothing"),
        pytest.param((TextDelta("a"), TextDelta("b")), [{"type": "text", "text": "ab"}], id="text"),
        pytest.param(
            (TextDelta("a"), TextDelta("x", 1)), [{"type": "text", "text": "a"}], id="one choice alone"
        ),
        pytest.param((RefusalDelta("no"),), [{"type": "text", "text": "no"}], id="a refusal"),
        pytest.param(
            (ThinkingDelta("H"), ThinkingDelta("m"), ExtraDelta(DETAILS, SIGNED), TextDelta("a")),
            [{"type": "thinking", "thinking": "Hm", "signature": "s"}, {"type": "text", "text": "a"}],
            id="thinking with its signature",
        ),
        pytest.param(
            (ThinkingDelta("Hm"), TextDelta("a")),
            [{"type": "thinking", "thinking": "Hm", "signature": ""}, {"type": "text", "text": "a"}],
            id="thinking that nobody signed",
        ),
        pytest.param(
            (ExtraDelta(DETAILS, {**SIGNED, "text": ""}),),
            [{"type": "thinking", "thinking": "", "signature": "s"}],
            id="thinking that keeps its words",
        ),
        pytest.param(
            (ExtraDelta(DETAILS, HIDDEN), TextDelta("a")),
            [{"type": "redacted_thinking", "data": "d"}, {"type": "text", "text": "a"}],
            id="thinking that is hidden",
        ),
        pytest.param(
            (
                ToolCallDelta(0, "a", "f", '{"x":'),
                ToolCallDelta(0, arguments="1}"),
                ToolCallDelta(1, "functions.g:1", "g"),
            ),
            [
                {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "functions_g_1", "name": "g", "input": {}},
            ],
            id="calls, by ids that this form allows",
        ),
        pytest.param(
            (ToolCallDelta(0, "a", "f", "nonsense"),),
            [{"type": "tool_use", "id": "a", "name": "f", "input": {"INVALID_JSON": "nonsense"}}],
            id="arguments that are no object",
        ),
        pytest.param(
            (TextDelta("a"), ExtraDelta(FORMAT, {"citations": [{"n": 1}]}), TextDelta("b")),
            [{"type": "text", "text": "ab", "citations": [{"n": 1}]}],
            id="citations",
        ),
        pytest.param(
            (ExtraDelta(FORMAT, {"type": "server_tool_use", "id": "s", "input": {"q": 1}}), TextDelta("a")),
            [{"type": "server_tool_use", "id": "s", "input": {"q": 1}}, {"type": "text", "text": "a"}],
            id="blocks nobody else knows",
        ),
        pytest.param((ExtraDelta("openai.chat", {"audio": {}}),), [], id="what only others know"),
    ],
)
def test_content(events, content):
    assert answer(*events)["content"] == content
    seen = blocks(steps(written(PATH, ASK, [[Started("m"), *events, *END]])))
    assert [block["type"] for block in seen] == [block["type"] for block in content]


@pytest.mark.parametrize("detail", [FOREIGN, SIGNED], ids=["another vendor's", "told too late"])
def test_what_has_no_field_here_is_carried(detail):
    (_, block) = answer(TextDelta("a"), ExtraDelta(DETAILS, detail))["content"]
    assert block["type"] == "redacted_thinking"
    assert unpacked(block["data"]) == detail
    again = read(PATH, {**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": [block]}]})
    assert again.messages[1].parts[0].extra == {DETAILS: [detail]}


@pytest.mark.parametrize(
    ("events", "finished", "reason"),
    [
        ((), Finished("stop"), "end_turn"),
        ((), Finished("length"), "max_tokens"),
        ((), Finished("tool_calls"), "tool_use"),
        ((), Finished("content_filter"), "refusal"),
        ((RefusalDelta("no"),), Finished("stop"), "refusal"),
        ((ToolCallDelta(0, "a", "f"),), Finished("stop"), "tool_use"),
        ((), Finished("stop", (), {FORMAT: {"stop_reason": "pause_turn"}}), "pause_turn"),
    ],
)
def test_how_it_ended(events, finished, reason):
    _, message = collected(PATH, WHOLE, (Started("m"), *events, finished))
    assert message["stop_reason"] == reason
    (*_, delta, _) = steps(written(PATH, ASK, [(Started("m"), *events, finished)]))
    assert delta["delta"] == {"stop_reason": reason, "stop_sequence": None}


def test_what_only_this_form_says_of_the_end():
    told = {"stop_reason": "stop_sequence", "stop_sequence": "x", "container": {"id": "c"}}
    _, message = collected(PATH, WHOLE, (Started("m"), Finished("stop", (), {FORMAT: told})))
    assert {name: message[name] for name in told} == told


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (Usage(9, 3), (9, 0, 3, None)),
        (Usage(9, 3, cached=4, thinking=2), (5, 4, 3, {"thinking_tokens": 2})),
        (Usage(3, 3, cached=4), (0, 4, 3, None)),
        (Usage(), (None, 0, 0, None)),
    ],
)
def test_usage(usage, expected):
    (*_, delta, _) = steps(written(PATH, ASK, [(Started("m"), UsageSeen(usage), Finished("stop"))]))
    told = delta["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "output_tokens", "output_tokens_details")
    assert tuple(map(told.get, names)) == expected


def test_no_usage_counts_no_output():
    (*_, delta, _) = steps(written(PATH, ASK, [(Started("m"), Finished("stop"))]))
    assert delta["usage"]["output_tokens"] == 0


def test_calls_that_interleave_are_told_one_after_the_other():
    events = [
        ToolCallDelta(0, "a", "f"),
        ToolCallDelta(1, "b", "g", '{"y"'),
        ToolCallDelta(0, arguments='{"x":'),
        ToolCallDelta(1, arguments=":2}"),
        ToolCallDelta(0, arguments="1}"),
        TextDelta("done"),
    ]
    state, seen = begun(PATH, ASK), []
    for event in (Started("m"), *events):
        state, data = DIALECTS[PATH].write(state, Batch((event,)), 1.0)
        seen.append([step["type"] for step in steps(data)])
    start, delta, stop = "content_block_start", "content_block_delta", "content_block_stop"
    assert seen == [
        ["message_start"],
        [start],
        [],
        [delta],
        [],
        # The first is whole, so what has waited is told, and the text after it.
        [delta, stop, start, delta, delta],
        [stop, start, delta],
    ]


def test_a_ping_keeps_the_line_alive():
    state = begun(PATH, ASK)
    assert DIALECTS[PATH].keep_alive(state, 1.0) == (state, b'event: ping\ndata: {"type":"ping"}\n\n')
    assert DIALECTS[PATH].keep_alive(begun(PATH, WHOLE), 1.0)[1] == b""


@pytest.mark.parametrize("stream", [True, False])
def test_the_head(stream):
    head = DIALECTS[PATH].head(begun(PATH, {**ASK, "stream": stream}))
    assert head.headers["request-id"] == f"req_{ID}"
    assert head.headers["content-type"].startswith("text/event-stream" if stream else "application/json")


# The vendor's own bytes.


@pytest.mark.parametrize("kind", Kind)
def test_every_failure_ends_a_stream_in_its_own_form(kind):
    state = begun(PATH, ASK)
    state, _ = DIALECTS[PATH].write(state, Batch((Started("m"), TextDelta("x"))), 1.0)
    state, error = DIALECTS[PATH].write(state, Batch((Failed(Problem(kind)),)), 2.0)
    state, after = DIALECTS[PATH].write(state, Batch((TextDelta("y"), Finished("stop"))), 3.0)
    (value,) = steps(error)
    assert list(value) == ["type", "error", "request_id"]
    assert after == b""


STREAMS = [
    found for found in EVERY if found.api == "anthropic.messages" and found.stream and found.status == 200
]
DOCUMENTS = [
    found for found in EVERY if found.api == "anthropic.messages" and not found.stream and found.status == 200
]


def heard(found: Recording):
    return decoded(CODEC, read(PATH, {**ASK, "stream": found.stream}), found.body)


@pytest.mark.parametrize("found", STREAMS, ids=lambda found: found.id)
def test_recorded_bytes_are_passed_on(found):
    assert written(PATH, ASK, heard(found)) == found.body


@pytest.mark.parametrize("found", DOCUMENTS, ids=lambda found: found.id)
def test_recorded_documents_are_passed_on(found):
    assert collected(PATH, WHOLE, *heard(found)) == (200, json.loads(found.body))


def fields_of(values):
    """The shape of recorded steps: types, and the fields of each."""
    shapes = []
    for value in values:
        inner = next((value[name] for name in ("content_block", "delta") if name in value), {})
        shape = (value["type"], value.get("index"), inner.get("type"), frozenset(inner) - LATER)
        empty = "" in (inner.get("partial_json"), inner.get("thinking"))
        if value["type"] == "content_block_start" or not (empty or value["type"] == "ping"):
            shapes.append(shape)
    return shapes


# Fields that came later than the form, and what only the vendor knows.
LATER = frozenset({"caller", "stop_details", "citations"})
# Blocks of the vendor's tools are told whole, and an empty text has no events.
WHOLE_BLOCKS = {
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "tool_search_tool_result",
}


@pytest.mark.parametrize("found", STREAMS, ids=lambda found: found.id)
def test_events_of_a_recording_are_written_as_it_has_them(found):
    events = events_of(heard(found))
    theirs, ours = steps_of(found.body), steps(written(PATH, ASK, [events]))
    if {step.get("content_block", {}).get("type") for step in theirs} & WHOLE_BLOCKS:
        theirs, ours = [blocks_told(each) for each in (theirs, ours)]
        assert theirs == ours
        return
    assert fields_of(ours) == fields_of(theirs)
    assert set(ours[0]["message"]) <= set(theirs[0]["message"])
    again = events_of(decoded(CODEC, read(PATH, ASK), written(PATH, ASK, [events])))
    assert told_alike(again) == told_alike(events)


def blocks_told(values):
    return [step["content_block"]["type"] for step in values if step["type"] == "content_block_start"]


def steps_of(data: bytes):
    return [json.loads(line[6:]) for line in data.decode().split("\n") if line.startswith("data: ")]


def told_alike(events):
    return [value for value in told(events) if not isinstance(value, UsageSeen)]


@st.composite
def replies(draw):
    """A reply: signed and hidden thinking, text, calls in fragments that may interleave, and an end."""
    events = []
    for place, thought in enumerate(draw(st.lists(st.lists(TEXT, min_size=1, max_size=3), max_size=2))):
        events += map(ThinkingDelta, thought)
        events.append(ExtraDelta(DETAILS, {**SIGNED, "text": "".join(thought), "index": place}))
    if draw(st.booleans()):
        place = len([event for event in events if isinstance(event, ExtraDelta)])
        events.append(ExtraDelta(DETAILS, {**HIDDEN, "index": place}))
    events += map(TextDelta, draw(st.lists(TEXT, max_size=3)))
    count = draw(st.integers(0, 3))
    events += [ToolCallDelta(index, f"id{index}", f"f{index}", '{"x":"') for index in range(count)]
    middles = [ToolCallDelta(index, arguments="a") for index in range(count)]
    events += draw(st.permutations([*middles, *middles]))
    events += draw(st.permutations([ToolCallDelta(index, arguments='b"}') for index in range(count)]))
    tokens = st.integers(0, 99)
    usage = Usage(100 + draw(tokens), draw(tokens), draw(tokens), draw(st.none() | tokens))
    finished = Finished("tool_calls" if count else draw(st.sampled_from(["stop", "length"])))
    return (Started("m", f"msg_{ID}"), *events, UsageSeen(usage), finished)


@settings(max_examples=60)
@given(data=st.data())
def test_what_was_written_decodes_to_the_same_events(data):
    events = data.draw(replies())
    bytes_ = written(PATH, ASK, data.draw(cuts(events)))
    again = events_of(decoded(CODEC, read(PATH, ASK), bytes_))
    assert grammatical(again)
    assert sealed(again) == sealed(events)
    blocks(steps(bytes_))


@settings(max_examples=60)
@given(data=st.data())
def test_a_whole_reply_says_what_the_stream_says(data):
    events = data.draw(replies())
    _, message = collected(PATH, WHOLE, *data.draw(cuts(events)))
    again = events_of(decoded(CODEC, read(PATH, WHOLE), json.dumps(message).encode()))
    assert sealed(again) == sealed(events)


@settings(max_examples=40)
@given(data=st.data())
def test_any_batches_give_the_same_bytes(data):
    events = data.draw(replies())
    assert written(PATH, ASK, data.draw(cuts(events))) == written(PATH, ASK, [events])


def sealed(events):
    """What events say, in sum and in order of the blocks."""
    text, thinking, calls = spoken(events)
    extras = [event for event in events if isinstance(event, ExtraDelta)]
    usage = [event for event in events if isinstance(event, UsageSeen)]
    arguments = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            arguments[event.index] = arguments.get(event.index, "") + event.arguments
    told_calls = {index: json.loads(said) for index, said in arguments.items()}
    return text, thinking, [name for name, _ in calls], told_calls, extras, usage, events[-1], events[0]


STREAM = next(found for found in STREAMS if found.id == "anthropic.messages-stream-018").body


@settings(max_examples=60)
@given(cut=st.integers(1, len(STREAM) - 1), more=st.integers(1, 400))
def test_events_take_over_from_bytes_wherever_they_must(cut, more):
    """A stage may change the events of any batch: from there on the steps are ours, and still one message."""
    pieces = (STREAM[:cut], STREAM[cut : cut + more], STREAM[cut + more :])
    batches = decoded(CODEC, read(PATH, ASK), *pieces)
    mixed = [batches[0], *(Batch(batch.events) for batch in batches[1:])]
    data = written(PATH, ASK, mixed)
    blocks(steps_of(data))
    again = events_of(decoded(CODEC, read(PATH, ASK), data))
    # The id is ours if the first step was.
    assert sealed(again)[:-1] == sealed(events_of(batches))[:-1]
    assert shown(batches) == STREAM


def test_an_end_that_the_vendor_forgot_is_added():
    batch = verbatim(FORMAT, b'event: x\ndata: {"type":"x"}\n\n', Started("m"), Finished("stop"))
    assert written(PATH, ASK, [batch]).endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
