"""Chunks that differ in their text alone are read as if each had been parsed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.providers import CODECS
from adapters.providers.alike import Alike
from pipeline.values.events import Failed, Finished, RefusalDelta, TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.values.messages import ChatRequest
from tests.adapters.providers.recorded import decoded, events_of, shown

REQUEST = ChatRequest("asked", stream=True)
CODEC = CODECS["openai"]


def chunk(delta, finish="null", rest=""):
    return f'data: {{"id":"c","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]{rest}}}\n\n'


def told(*frames):
    """The events of a stream after its `Started`."""
    return list(events_of(decoded(CODEC, REQUEST, "".join(frames).encode())))[1:]


A = chunk('{"content":"a"}')


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(chunk('{"content":"b"}'), [TextDelta("b")], id="another text"),
        pytest.param(chunk('{"content":""}'), [], id="no text is no event"),
        pytest.param(chunk(r'{"content":"\"\\\u00e9\n"}'), [TextDelta('"\\é\n')], id="escapes"),
        pytest.param(chunk('{"content":"b"}', '"stop"'), [TextDelta("b")], id="another reason"),
        pytest.param(
            chunk('{"content":"b","refusal":"c"}'),
            [TextDelta("b"), RefusalDelta("c")],
            id="more in the delta",
        ),
        pytest.param(
            chunk('{"content":"b"},"other":{"content":"c"}'), [TextDelta("b")], id="more with the same end"
        ),
        pytest.param(chunk('{"content":"b","content":"c"}'), [TextDelta("c")], id="the same key twice"),
        pytest.param(chunk('{"reasoning":"b"}'), [ThinkingDelta("b")], id="thinking"),
        pytest.param(chunk('{"content":null}'), [], id="null"),
        pytest.param(
            'data: {"id":"c","choices":[{"index":1,"delta":{"content":"b"},"finish_reason":null}]}\n\n',
            [TextDelta("b", 1)],
            id="another choice",
        ),
    ],
)
def test_a_chunk_after_one_of_plain_text_says_what_it_says(frame, expected):
    events = told(A, frame, A, frame, "data: [DONE]\n\n")
    assert events[:-1] == [TextDelta("a"), *expected] * 2
    assert isinstance(events[-1], Finished)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(A.replace("data", "event: error\ndata", 1), id="an event of another name"),
        pytest.param(A.replace('"a"', '"a'), id="a text that does not end"),
        pytest.param(A.replace('"a"', '"a\tb"'), id="a text that is no JSON"),
    ],
)
def test_what_only_looks_alike_is_none(frame):
    said, failed = told(A, frame)
    assert said == TextDelta("a")
    assert isinstance(failed, Failed)


def test_the_first_key_of_two_is_not_taken_for_the_text():
    frame = chunk('{"content":"x","content":"a"}')
    assert told(frame, frame.replace("x", "y"))[:2] == [TextDelta("a"), TextDelta("a")]


def test_a_call_whose_name_is_still_to_come_is_not_forgotten():
    fragment = '{{"content":"{}","tool_calls":[{{"index":0,"function":{{"arguments":"{{}}"}}}}]}}'
    named = '{"tool_calls":[{"index":0,"id":"i","function":{"name":"f"}}]}'
    events = told(chunk(fragment.format("a")), chunk(fragment.format("b")), chunk(named))
    assert events[:3] == [TextDelta("a"), TextDelta("b"), ToolCallDelta(0, "i", "f", "{}{}")]


def test_what_changes_each_time_is_learned_once():
    alike = Alike()
    alike.learn(b'{"t":1,"content":"a"}', TextDelta("a"))
    assert alike.text(b'{"t":2,"content":"b"}') is None
    alike.learn(b'{"t":2,"content":"b"}', TextDelta("b"))
    assert alike.text(b'{"t":2,"content":"c"}') is None
    assert alike.text(b'{"t":1,"content":"c"}') == "c"
    alike.learn(b'{"t":2,"content": "b"}', TextDelta("b", 3))
    assert (alike.text(b'{"t":2,"content": "c"}'), alike.choice) == ("c", 3)


TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.text('"\\a{}[]:,n/')


@given(
    st.lists(st.tuples(TEXTS, st.integers(0, 1), st.booleans()), max_size=6),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
def test_texts_come_as_they_were_sent(said, plain, separators):
    body = "".join(
        "data: "
        + json.dumps(
            {
                "id": "c",
                "choices": [{"index": choice, "delta": {"content": text}, "finish_reason": None}],
                **({"created": place} if later else {}),
            },
            ensure_ascii=plain,
            separators=separators,
        )
        + "\n\n"
        for place, (text, choice, later) in enumerate(said)
    ).encode()
    batches = decoded(CODEC, REQUEST, body)
    found = [event for event in events_of(batches) if isinstance(event, TextDelta)]
    assert found == [TextDelta(text, choice) for text, choice, _ in said if text]
    assert shown(batches) == body
