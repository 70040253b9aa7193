"""transform: what the client wishes to see, and when the upstream's own bytes survive."""

import pytest

from pipeline.values.events import (
    Batch,
    Finished,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageSeen,
    Verbatim,
)
from pipeline.values.messages import Thinking
from stages.transform import Rewrite, TransformOptions
from tests.kit import exchange, request

BYTES = Verbatim("openai.chat", b"...")
USED = UsageSeen(Usage(1, 2))


def rewritten(*batches, options=None, **changes):
    rewrite = Rewrite(exchange(request=request(**changes)), options or TransformOptions())
    return [rewrite(batch) for batch in batches]


def test_what_needs_no_change_keeps_its_bytes():
    given = Batch((Started("m-2024", asked="m"), TextDelta("x"), USED, Finished("stop")), BYTES)
    assert rewritten(given) == [given]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param((TextDelta("x"), TextDelta("y")), id="text"),
        pytest.param((ThinkingDelta("hm"), TextDelta("x")), id="thinking that is kept"),
        pytest.param((ToolCallDelta(0, "c", "f", "{}"),), id="a call"),
        pytest.param((), id="bytes without events"),
    ],
)
def test_content_that_needs_no_change_is_handed_on_as_it_is(events):
    given = Batch(events, BYTES)
    assert rewritten(given)[0] is given


def test_the_asked_name_is_restored_and_the_bytes_are_dropped_from_then_on():
    first, second = rewritten(Batch((Started("t", asked="t"),), BYTES), Batch((TextDelta("x"),), BYTES))
    assert first == Batch((Started("m", asked="t"),))
    assert second == Batch((TextDelta("x"),))


@pytest.mark.parametrize(
    ("options", "thinking", "kept"),
    [
        pytest.param(TransformOptions(), None, True, id="kept where the client did not say"),
        pytest.param(TransformOptions(), Thinking(True), True, id="kept where he asked for it"),
        pytest.param(TransformOptions(), Thinking(False), False, id="dropped where he switched it off"),
        pytest.param(
            TransformOptions(thinking="drop"), Thinking(True), False, id="dropped where the house wants it"
        ),
    ],
)
def test_thinking(options, thinking, kept):
    (after,) = rewritten(
        Batch((ThinkingDelta("hm"), TextDelta("x")), BYTES), options=options, thinking=thinking
    )
    assert (ThinkingDelta("hm") in after.events) is kept
    assert (after.verbatim is BYTES) is kept
    assert TextDelta("x") in after.events


def test_where_the_house_drops_thinking_the_bytes_never_stand():
    after = rewritten(
        Batch((TextDelta("x"),), BYTES),
        Batch((Finished("stop"),), BYTES),
        options=TransformOptions(thinking="drop", estimate_usage=False),
    )
    assert after == [Batch((TextDelta("x"),)), Batch((Finished("stop"),))]


def test_missing_usage_is_counted_over_all_batches():
    after = rewritten(
        Batch((TextDelta("1234"), ThinkingDelta("12"))), Batch((TextDelta("12"), Finished("stop")), BYTES)
    )
    assert after[1] == Batch(
        (TextDelta("12"), UsageSeen(Usage(9, 2, estimated=True)), Finished("stop")), BYTES
    )


def test_bytes_are_counted_and_not_letters():
    (after,) = rewritten(Batch((ThinkingDelta("é"), TextDelta("é" * 3), Finished("stop"))))
    assert UsageSeen(Usage(9, 2, estimated=True)) in after.events


def test_arguments_of_calls_count_too():
    (after,) = rewritten(Batch((TextDelta("12"), ToolCallDelta(0, "c", "f", "123"), Finished("tool_calls"))))
    assert UsageSeen(Usage(9, 2, estimated=True)) in after.events


def test_reported_usage_is_not_touched():
    assert rewritten(Batch((USED,)), Batch((Finished("stop"),)))[1].events == (Finished("stop"),)


def test_counting_can_be_switched_off():
    (after,) = rewritten(Batch((Finished("stop"),)), options=TransformOptions(estimate_usage=False))
    assert after.events == (Finished("stop"),)
