"""`/v1/chat/completions`: conversations in OpenAI's form."""

from collections.abc import Mapping
from typing import Any

from adapters.dialects import openai_replies, openai_writing
from adapters.dialects.fields import Fields
from adapters.dialects.openai_errors import refuse
from adapters.dialects.openai_fields import (
    is_stateful,
    open_fields,
    positive,
    read_name,
    read_sampling,
    rest_of,
)
from adapters.dialects.openai_messages import read_messages
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    Effort,
    Format,
    Request,
    Sampling,
    Source,
    Thinking,
    Tool,
    ToolChoice,
)
from pipeline.values.problems import Problem

NAME = "openai.chat"
UNSET = Sampling()
MOST_ALTERNATIVES = 20
EFFORTS: Mapping[str, Effort] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
# Most requests set few fields: what reads several of them is asked only where one stands there.
LIMITS = ("max_completion_tokens", "max_tokens")
SAMPLING = frozenset(
    {
        *(*LIMITS, "temperature", "top_p", "top_k", "min_p", "seed", "stop"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty"),
    }
)
LOGPROBS = frozenset({"logprobs", "top_logprobs"})
TOOLS = frozenset({"tools", "functions"})
THINKING = frozenset({"reasoning_effort", "reasoning"})
# Fields that the canonical form always holds whole. The others that are read join them where they could be understood.
HELD = (
    SAMPLING
    | LOGPROBS
    | {"model", "messages", "functions", "parallel_tool_calls", "reasoning_effort", "n", "stream", "user"}
)


def read(http: HttpRequest, model: str | None = None) -> Request | Problem:
    """The request, for `model` if the path names one. Whatever the canonical form does not hold travels in `extra`."""
    fields = open_fields(http, model)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    extra = rest_of(fields, HELD)
    fields.inner("stream_options")
    request = ChatRequest(
        model=sent.strip(),
        messages=read_messages(fields),
        tools=_tools(fields, extra) if fields.has(TOOLS) else (),
        tool_choice=_tool_choice(fields, extra),
        parallel_tools=fields.flag("parallel_tool_calls"),
        sampling=read_sampling(fields, *LIMITS) if fields.has(SAMPLING) else UNSET,
        thinking=_thinking(fields, extra) if fields.has(THINKING) else None,
        format=_format(fields, extra),
        logprobs=_logprobs(fields) if fields.has(LOGPROBS) else None,
        choices=positive(fields, "n") or 1,
        stream=fields.flag("stream") or False,
        user=fields.text("user"),
        extra={NAME: extra} if extra else {},
        source=Source(NAME, fields.values),
        stateful=is_stateful(extra),
    )
    return fields.faults.first or request


def _logprobs(fields: Fields) -> int | None:
    asked, most = fields.flag("logprobs"), fields.whole("top_logprobs") or 0
    if not 0 <= most <= MOST_ALTERNATIVES:
        fields.faults.note(f"top_logprobs must be between 0 and {MOST_ALTERNATIVES}", "top_logprobs")
    return most if asked else None


def _tools(fields: Fields, extra: dict[str, Any]) -> tuple[Tool, ...]:
    """Functions, by the field of today or that of old. With a tool of another kind among them, all stay in `extra`."""
    tools = fields.objects("tools")
    functions = [tool for tool in tools if tool.text("type") in (None, "function")]
    if len(functions) == len(tools):
        extra.pop("tools", None)
    inner = (tool.inner("function") or Fields({}, fields.faults, tool.at("function")) for tool in functions)
    return tuple(_function(each) for each in (*inner, *fields.objects("functions")))


def _function(fields: Fields) -> Tool:
    name = fields.text("name")
    if not name:
        fields.faults.note(f"{fields.at('name')} is required", fields.at("name"))
    parameters = fields.mapping("parameters")
    return Tool(name or "", fields.text("description"), parameters, fields.flag("strict"))


def _tool_choice(fields: Fields, extra: dict[str, Any]) -> ToolChoice | None:
    """`tool_choice`, or `function_call` of old; what is understood leaves `extra`."""
    for field in ("tool_choice", "function_call"):
        match fields.values.get(field):
            case None:
                continue
            case "auto" | "none" | "required" as mode:
                choice = ToolChoice(mode)
            case {"type": "function", "function": {"name": str(name)}} | {"name": str(name)}:
                choice = ToolChoice("named", name)
            case dict():
                return None
            case _:
                fields.faults.note(
                    f"{field} must be auto, none, required or an object that names a function", field
                )
                return None
        extra.pop(field)
        return choice
    return None


def _thinking(fields: Fields, extra: dict[str, Any]) -> Thinking | None:
    """`reasoning_effort`, or the object `reasoning`, of which what is not understood stays in `extra`."""
    reasoning = fields.inner("reasoning") or Fields({}, fields.faults, "reasoning")
    place = fields if fields.values.get("reasoning_effort") is not None else reasoning
    name = "reasoning_effort" if place is fields else "effort"
    effort = place.text(name)
    on, budget = reasoning.flag("enabled"), positive(reasoning, "max_tokens")
    extra.pop("reasoning", None)
    if others := rest_of(reasoning, ("effort", "enabled", "max_tokens")):
        extra["reasoning"] = others
    if effort == "none":
        return Thinking(False)
    if effort is not None and effort not in EFFORTS:
        known = ", ".join(f'"{value}"' for value in EFFORTS)
        path = place.at(name)
        place.faults.note(f'invalid reasoning value: {path} is "{effort}" (must be {known}, or "none")', path)
    if effort is None and budget is None and on is None:
        return None
    return Thinking(on is not False, EFFORTS.get(effort or ""), budget)


def _format(fields: Fields, extra: dict[str, Any]) -> Format | None:
    """`response_format`; a type that is not known stays in `extra`."""
    form = fields.inner("response_format")
    if form is None:
        return None
    kind = form.text("type")
    if kind not in ("text", "json_object", "json_schema"):
        return None
    extra.pop("response_format")
    if kind != "json_schema":
        return Format() if kind == "json_object" else None
    schema = form.inner("json_schema") or Fields({}, fields.faults, form.at("json_schema"))
    wanted = schema.mapping("schema")
    if wanted is None:
        fields.faults.note(f"{schema.at('schema')} is required", schema.at("schema"))
    return Format(wanted or {}, schema.text("name"), schema.flag("strict"))


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=openai_replies.fresh,
    head=openai_writing.head,
    write=openai_replies.write,
    collect=openai_replies.collect,
    refuse=refuse,
    keep_alive=openai_writing.keep_alive,
    comments=True,
)
