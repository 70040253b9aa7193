"""`/v1/responses`: conversations as items, in OpenAI's newer form.

Nothing is stored here, so each request must bring its whole conversation: `store` is false, said or not, and what would
need a store is refused by that name.
"""

from typing import Any

from adapters.dialects import openai_responses_replies as replies
from adapters.dialects.fields import Fields
from adapters.dialects.openai_chat import EFFORTS, MOST_ALTERNATIVES
from adapters.dialects.openai_errors import refuse
from adapters.dialects.openai_fields import is_stateful, open_fields, positive, read_name, rest_of
from adapters.dialects.openai_messages import required
from adapters.dialects.openai_responses_items import FORMAT as NAME
from adapters.dialects.openai_responses_items import read_input
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    Format,
    Request,
    Sampling,
    Source,
    Thinking,
    Tool,
    ToolChoice,
)
from pipeline.values.problems import Problem

# Fields that the canonical form always holds whole, and those that only a store would need.
HELD = frozenset(
    {
        *("model", "input", "instructions", "stream", "user", "parallel_tool_calls", "top_logprobs"),
        *("max_output_tokens", "temperature", "top_p"),
        *("store", "previous_response_id", "conversation", "background"),
    }
)
STATELESS = "store is false here: this proxy keeps no responses; send the whole conversation as input"
# What is given to every client: thinking to be sent back, and the logprobs that were asked for.
ENCRYPTED = "reasoning.encrypted_content"
LOGPROBS = "message.output_text.logprobs"


def read(http: HttpRequest) -> Request | Problem:
    """The request. Whatever the canonical form does not hold travels in `extra`."""
    fields = open_fields(http)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    _stateless(fields)
    extra = rest_of(fields, HELD)
    if fields.text("truncation") == "disabled":
        # It is what happens anyway.
        extra.pop("truncation")
    request = ChatRequest(
        model=sent.strip(),
        messages=read_input(fields),
        tools=_tools(fields, extra),
        tool_choice=_tool_choice(fields, extra),
        parallel_tools=fields.flag("parallel_tool_calls"),
        sampling=Sampling(
            max_tokens=positive(fields, "max_output_tokens"),
            temperature=fields.number("temperature"),
            top_p=fields.number("top_p"),
        ),
        thinking=_thinking(fields, extra),
        format=_format(fields, extra),
        logprobs=_logprobs(fields, extra),
        stream=fields.flag("stream") or False,
        user=fields.text("user"),
        extra={NAME: extra} if extra else {},
        source=Source(NAME, {**fields.values, "store": False}),
        stateful=is_stateful(extra),
    )
    fields.mapping("metadata")
    return fields.faults.first or request


def _stateless(fields: Fields) -> None:
    """Refuse what only a store could answer."""
    for name in ("store", "background"):
        if fields.flag(name):
            fields.faults.note(f"{name} must be false or left out: {STATELESS}", name)
    for name in ("previous_response_id", "conversation"):
        if fields.values.get(name) is not None:
            fields.faults.note(f"{name} needs a store, and {STATELESS}", name)


def _tools(fields: Fields, extra: dict[str, Any]) -> tuple[Tool, ...]:
    """Functions. With a tool of another kind among them, all stay in `extra`."""
    tools = fields.objects("tools")
    functions = [tool for tool in tools if required(tool, "type") == "function"]
    if len(functions) == len(tools):
        extra.pop("tools", None)
    return tuple(
        Tool(
            required(tool, "name"),
            tool.text("description"),
            tool.mapping("parameters"),
            tool.flag("strict"),
        )
        for tool in functions
    )


def _tool_choice(fields: Fields, extra: dict[str, Any]) -> ToolChoice | None:
    match fields.values.get("tool_choice"):
        case None:
            return None
        case "auto" | "none" | "required" as mode:
            choice = ToolChoice(mode)
        case {"type": "function", "name": str(name)}:
            choice = ToolChoice("named", name)
        case {"type": str(kind)} if kind != "function":
            return None
        case _:
            fields.faults.note(
                "tool_choice must be auto, none, required or an object that names a tool", "tool_choice"
            )
            return None
    extra.pop("tool_choice")
    return choice


def _thinking(fields: Fields, extra: dict[str, Any]) -> Thinking | None:
    """`reasoning`. Who asks for a summary wants to see thinking, and `auto` is what everybody gets.

    Programs ask for a summary without knowing the model, so alone it is a wish; an effort is asked of those that think.
    """
    reasoning = fields.inner("reasoning")
    if reasoning is None:
        return None
    effort = reasoning.text("effort")
    summary = reasoning.text("summary") or reasoning.text("generate_summary")
    extra.pop("reasoning", None)
    others = rest_of(reasoning, ("effort", *(("summary", "generate_summary") if summary == "auto" else ())))
    if others:
        extra["reasoning"] = others
    if effort == "none":
        return Thinking(False)
    if effort is not None and effort not in EFFORTS:
        known = ", ".join(EFFORTS)
        place = reasoning.at("effort")
        reasoning.faults.note(f"{place} must be none, {known}", place)
    return Thinking(True, EFFORTS.get(effort or ""), wish=effort is None) if effort or summary else None


def _format(fields: Fields, extra: dict[str, Any]) -> Format | None:
    """`text.format`; a type that is not known stays in `extra`, as does what else `text` says."""
    text = fields.inner("text")
    form = text.inner("format") if text else None
    if text is None:
        return None
    kind = required(form, "type") if form else "text"
    if kind not in ("text", "json_object", "json_schema"):
        return None
    extra.pop("text")
    if others := rest_of(text, ("format",)):
        extra["text"] = others
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return Format()
    wanted = form.mapping("schema")
    if wanted is None:
        form.faults.note(f"{form.at('schema')} is required", form.at("schema"))
    return Format(wanted or {}, form.text("name"), form.flag("strict"))


def _logprobs(fields: Fields, extra: dict[str, Any]) -> int | None:
    """How many alternatives, if `include` asks for them or their number does; what else it asks for stays in `extra`."""
    asked = fields.texts("include")
    others = [name for name in asked if name not in (ENCRYPTED, LOGPROBS)]
    extra.pop("include", None)
    if others:
        extra["include"] = others
    most = fields.whole("top_logprobs") or 0
    if not 0 <= most <= MOST_ALTERNATIVES:
        fields.faults.note(f"top_logprobs must be between 0 and {MOST_ALTERNATIVES}", "top_logprobs")
    return most if most or LOGPROBS in asked else None


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=replies.fresh,
    head=replies.head,
    write=replies.write,
    collect=replies.collect,
    refuse=refuse,
    keep_alive=replies.keep_alive,
    comments=True,
)
