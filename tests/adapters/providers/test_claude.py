"""Which line a model belongs to, told from the names under which it is known."""

import pytest

from adapters.providers import claude
from adapters.providers.claude import line


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-2.1", claude.CLAUDE_3),
        ("claude-instant-1.2", claude.CLAUDE_3),
        ("claude-3-haiku-20240307", claude.CLAUDE_3),
        ("claude-3-opus-latest", claude.CLAUDE_3),
        ("claude-3-5-sonnet-20241022", claude.CLAUDE_3_5),
        ("anthropic/claude-3.5-haiku", claude.CLAUDE_3_5),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", claude.CLAUDE_3_5),
        ("claude-3-7-sonnet-latest", claude.CLAUDE_3_7),
        ("claude-sonnet-4-20250514", claude.CLAUDE_3_7),
        ("claude-sonnet-4-0", claude.CLAUDE_3_7),
        ("claude-opus-4-20250514", claude.OPUS_4),
        ("claude-opus-4-1-20250805", claude.OPUS_4_1),
        ("claude-opus-4-1@20250805", claude.OPUS_4_1),
        ("claude-haiku-4-5-20251001", claude.CLAUDE_4_5),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", claude.CLAUDE_4_5),
        ("anthropic/claude-opus-4.5", claude.CLAUDE_4_5),
        ("claude-opus-4-6", claude.CLAUDE_4_6),
        ("claude-sonnet-4-6-20260219", claude.CLAUDE_4_6),
        ("claude-opus-4-7", claude.CLAUDE_4_7),
        ("Claude-Opus-4-8", claude.CLAUDE_4_7),
        ("claude-opus-5", claude.CLAUDE_5),
        ("claude-sonnet-5-20260630", claude.CLAUDE_5),
        ("claude-haiku-5-5", claude.CLAUDE_5),
        ("claude-fable-5", claude.FABLE_5),
        ("claude-mythos-preview", claude.FABLE_5),
        ("claude-fable-5-1", claude.OPUS_5_5),
        ("claude-fable-5-2", claude.OPUS_5_5),
        ("claude-opus-5-5", claude.OPUS_5_5),
        ("claude-sonnet-5-5", claude.SONNET_5_5),
        ("claude-opus-6", claude.OPUS_5_5),
        ("claude-sonnet-12-1", claude.SONNET_5_5),
        ("claude-latest", claude.UNKNOWN),
        ("MiniMax-M2", claude.UNKNOWN),
        ("think", claude.UNKNOWN),
    ],
)
def test_lines(name, expected):
    assert line(name) == expected


def test_lines_that_think_within_a_budget_say_nothing_when_it_is_off():
    every = [value for value in vars(claude).values() if isinstance(value, claude.Line)]
    assert len(every) >= 10
    assert all(kin.off == "omit" for kin in every if kin.manual)
    assert all(kin.efforts for kin in every if kin.adaptive)
