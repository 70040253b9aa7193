"""OpenAI's `/chat/completions`.

Thinking is sent under both its names, `reasoning` and `reasoning_content`, as servers do that keep older clients; OpenAI
itself keeps it to itself.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.simulator.logprobs import token_entry
from adapters.simulator.openai_messages import text_of as words_of
from adapters.simulator.openai_rules import Body
from adapters.simulator.openai_sheet import DONE, Sheet, answered, digest, frame, sheet_for
from adapters.simulator.played import Chunk, Played
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Delta, Finish, Script, calls_of, text_of, thinking_of
from pipeline.values.events import TextDelta, ThinkingDelta, ToolCallDelta
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Format, Tool, ToolCall
from pipeline.values.targets import ModelFacts

NO_THINKING = ("none", "minimal")


def chat(body: Body, facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """What is answered to a request that is in order."""
    ask = _ask(body, facts, scenario)
    script = scenario.act(ask)
    sheet = sheet_for("chatcmpl", body, request, scenario)
    return answered(script, sheet, _frames(script, sheet), _document(script, sheet))


def _ask(body: Body, facts: ModelFacts, scenario: Scenario) -> Ask:
    messages = body["messages"]
    last: Body = next((message for message in reversed(messages) if message["role"] == "user"), {})
    content = last.get("content")
    images = [part for part in content if part["type"] == "image_url"] if isinstance(content, list) else []
    effort = body.get("reasoning_effort")
    asked = scenario.mode == "demonstration" if effort is None else effort not in NO_THINKING
    return Ask(
        text=words_of(last),
        result=words_of(messages[-1]) if messages[-1]["role"] == "tool" else None,
        tools=() if body.get("tool_choice") == "none" else tuple(map(_tool, body.get("tools") or ())),
        format=_format(body.get("response_format")),
        thinking=asked and "thinking" in (facts.capabilities or ()),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        images=len(images),
    )


def _tool(tool: Mapping[str, Any]) -> Tool:
    return Tool(tool["function"]["name"], parameters=tool["function"].get("parameters"))


def _format(form: Mapping[str, Any] | None) -> Format | None:
    if form is None or form["type"] == "text":
        return None
    return Format(form["json_schema"]["schema"] if form["type"] == "json_schema" else None)


def _frames(script: Script, sheet: Sheet) -> Iterator[Chunk]:
    """The frames, each with how many times the pause between deltas it waits."""
    opening = {"role": "assistant", "content": "", "refusal": None}
    if script.said and isinstance(script.said[0], ToolCallDelta):
        opening["content"] = None
    yield from ((0.0, _frame(sheet, choice, opening)) for choice in sheet.choices)
    for delta in script.said:
        for choice in sheet.choices:
            logprobs = _logprobs((delta,), sheet.body)
            yield float(choice == 0), _frame(sheet, choice, _delta(delta), logprobs=logprobs)
    if script.breaks_after is not None:
        return
    yield from ((0.0, _frame(sheet, choice, {}, script.finish)) for choice in sheet.choices)
    if sheet.counts:
        last = {"choices": [], "usage": _usage(script), **_padding(sheet, "usage")}
        yield 0.0, frame({**_head(sheet), **last})
    yield 0.0, DONE


def _head(sheet: Sheet) -> dict[str, Any]:
    return {
        "id": sheet.id,
        "object": "chat.completion.chunk",
        "created": sheet.created,
        "model": sheet.model,
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _frame(
    sheet: Sheet,
    choice: int,
    delta: Mapping[str, Any],
    finish: Finish | None = None,
    logprobs: Mapping[str, Any] | None = None,
) -> bytes:
    choices = [{"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]
    usage = {"usage": None} if sheet.counts else {}
    return frame({**_head(sheet), "choices": choices, **usage, **_padding(sheet, repr(delta))})


def _padding(sheet: Sheet, of: str) -> dict[str, str]:
    """The provider pads its frames, so that their lengths tell nothing; this padding only looks as random."""
    if (sheet.body.get("stream_options") or {}).get("include_obfuscation") is False:
        return {}
    random = digest(of.encode())
    return {"obfuscation": random[: 1 + int(random[0], 16)]}


def _delta(delta: Delta) -> dict[str, Any]:
    match delta:
        case TextDelta(text=text):
            return {"content": text}
        case ThinkingDelta(text=text):
            return _thought(text)
        case ToolCallDelta(index=index, id=None, arguments=arguments):
            return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}
        case ToolCallDelta(index=index, id=id, name=name, arguments=arguments):
            function = {"name": name, "arguments": arguments}
            return {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}


def _logprobs(deltas: tuple[Delta, ...], body: Body) -> dict[str, Any] | None:
    texts = [delta.text for delta in deltas if isinstance(delta, TextDelta)]
    if not body.get("logprobs") or not texts:
        return None
    return {"content": [token_entry(text, body.get("top_logprobs") or 0) for text in texts], "refusal": None}


def _document(script: Script, sheet: Sheet) -> dict[str, Any]:
    choice = {
        "message": _message(script.deltas),
        "logprobs": _logprobs(script.deltas, sheet.body),
        "finish_reason": script.finish,
    }
    return {
        "id": sheet.id,
        "object": "chat.completion",
        "created": sheet.created,
        "model": sheet.model,
        "choices": [{"index": index, **choice} for index in sheet.choices],
        "usage": _usage(script),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _message(deltas: tuple[Delta, ...]) -> dict[str, Any]:
    text, thinking, calls = text_of(deltas), thinking_of(deltas), [_call(call) for call in calls_of(deltas)]
    return {
        "role": "assistant",
        "content": text if text or not calls else None,
        **(_thought(thinking) if thinking else {}),
        **({"tool_calls": calls} if calls else {}),
        "refusal": None,
        "annotations": [],
    }


def _thought(text: str) -> dict[str, str]:
    return {"reasoning": text, "reasoning_content": text}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(script: Script) -> dict[str, Any]:
    prompt, completion = script.tokens
    thought = sum(isinstance(delta, ThinkingDelta) for delta in script.deltas)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": script.usage.cached or 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": min(completion, script.usage.thinking or thought),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
