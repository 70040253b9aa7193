"""What a model is asked and what it answers, in no vendor's form, and the table of scripted answers.

`scripted` is the whole table: it looks at the last words of the user and at what form of answer is wanted, never at
chance or at a clock, so the same question always gets the same answer.
"""

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

from attrs import frozen

from pipeline.values.events import TextDelta, ThinkingDelta, ToolCallDelta, Usage
from pipeline.values.messages import Format, Tool, ToolCall

Delta: TypeAlias = TextDelta | ThinkingDelta | ToolCallDelta
Input: TypeAlias = str | tuple[int, ...]
Finish: TypeAlias = Literal["stop", "length", "tool_calls"]


@frozen
class Ask:
    """One request as a model meets it.

    `text`: the last words of the user, or the prompt. `result`: what a tool has just answered, if the conversation ends
    there. `tools`: those it may call. `thinking`: whether it shall think aloud. `images`: how many came along.
    `embed`: the texts (or lists of tokens) of an embedding request.
    """

    text: str = ""
    result: str | None = None
    tools: tuple[Tool, ...] = ()
    format: Format | None = None
    thinking: bool = False
    max_tokens: int | None = None
    suffix: str | None = None
    images: int = 0
    embed: tuple[Input, ...] = ()


@frozen
class Script:
    """One answer. `status`: refused with it, before any token. `breaks_after`: so many deltas come, then no more."""

    deltas: tuple[Delta, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage(input=11, output=3)
    status: int | None = None
    breaks_after: int | None = None
    vectors: tuple[tuple[float, ...], ...] = ()

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of the prompt and of the answer."""
        return self.usage.input or 0, self.usage.output or 0

    @property
    def said(self) -> tuple[Delta, ...]:
        """The deltas that reach the wire."""
        return self.deltas[: self.breaks_after]


def text_of(deltas: Iterable[Delta]) -> str:
    """What is said, joined."""
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def thinking_of(deltas: Iterable[Delta]) -> str:
    """What is thought, joined."""
    return "".join(delta.text for delta in deltas if isinstance(delta, ThinkingDelta))


def calls_of(deltas: Iterable[Delta]) -> tuple[ToolCall, ...]:
    """The tool calls, their arguments joined, in the order they begin."""
    fragments = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    return tuple(
        ToolCall(opening.id, opening.name or "", _arguments(fragments, opening.index))
        for opening in fragments
        if opening.id is not None
    )


def _arguments(fragments: list[ToolCallDelta], index: int) -> str:
    return "".join(fragment.arguments for fragment in fragments if fragment.index == index)


DEFAULT: tuple[Delta, ...] = (TextDelta("Hello"), TextDelta(" world"), TextDelta("!"))
THINKING: tuple[Delta, ...] = (ThinkingDelta("Let me"), ThinkingDelta(" think."))
JSON: tuple[Delta, ...] = (TextDelta('{"name": "x", '), TextDelta('"age": 3}'))
VECTOR = (3.0, 4.0, 12.0, 0.0)
ERROR = re.compile(r"@@ERR([45]\d\d)")


def scripted(ask: Ask) -> Script:
    """The answer of the table in the conformance suite's description of its scripted upstream."""
    if refused := ERROR.search(" ".join([ask.text, *(text for text in ask.embed if isinstance(text, str))])):
        return Script(status=int(refused[1]))
    if ask.embed:
        return Script(vectors=(VECTOR,) * len(ask.embed), usage=Usage(input=tokens_of(ask.embed), output=0))
    before: tuple[Delta, ...] = THINKING if ask.thinking else ()
    if ask.tools and "@@TOOL2" in ask.text:
        both = (*_first_call(ask.tools[0]), *_second_call(ask.tools[-1]))
        return Script((*before, TextDelta("Calling."), *both), "tool_calls")
    if ask.tools and "@@TOOL" in ask.text:
        return Script((*before, *_first_call(ask.tools[0])), "tool_calls")
    if "@@MID" in ask.text:
        return Script((*before, *DEFAULT), breaks_after=len(before) + 2)
    if ask.format is not None:
        return Script((*before, *JSON))
    limited = ask.max_tokens is not None and 1 <= ask.max_tokens <= 3
    return Script((*before, *DEFAULT), "length" if limited else "stop")


def tokens_of(texts: tuple[Input, ...]) -> int:
    """One token a word, at least one a text; a list of tokens is as long as it is."""
    return sum(max(1, len(text.split() if isinstance(text, str) else text)) for text in texts)


def call_deltas(index: int, id: str, name: str, fragments: tuple[str, ...]) -> tuple[ToolCallDelta, ...]:
    """A tool call as it is streamed: who is called, then its arguments in pieces."""
    opening = ToolCallDelta(index, id, name)
    return (opening, *(ToolCallDelta(index, arguments=fragment) for fragment in fragments))


def _first_call(tool: Tool) -> tuple[ToolCallDelta, ...]:
    return call_deltas(0, "call_abc12345", tool.name, ('{"ci', 'ty":"Par', 'is","n":2}'))


def _second_call(tool: Tool) -> tuple[ToolCallDelta, ...]:
    return call_deltas(1, "call_def67890", tool.name, ("{}",))
