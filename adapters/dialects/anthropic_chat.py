"""`/v1/messages`: conversations in Anthropic's form, and `/v1/messages/count_tokens`.

What the canonical form does not hold travels in `extra`: fields of the request under the format's own name, to be said
again where that form is spoken; and what stood inside blocks and tools under `anthropic.beside`, so that whoever cannot
be told it says so. Source: https://platform.claude.com/docs/en/api/messages (2026-11).
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from attrs import evolve

from adapters.dialects import anthropic_replies
from adapters.dialects.anthropic_blocks import FORMAT, Reader, required
from adapters.dialects.anthropic_details import as_given
from adapters.dialects.anthropic_errors import JSON, refuse, shown_id
from adapters.dialects.fields import Fields
from adapters.dialects.openai_fields import open_fields, positive, read_name, rest_of
from pipeline.ports import Answer, Dialect
from pipeline.values.http import HttpRequest, ReplyHead
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

BESIDE = "anthropic.beside"
VERSION, BETA = "anthropic-version", "anthropic-beta"
# The versions of the API that are spoken. The second knows no sampling any more; but other vendors' models do, so what
# is sent of it all the same is read.
VERSIONS = ("2023-06-01", "2026-10-21")
BETAS = re.compile(r"[A-Za-z0-9_.,: -]{1,2000}")
EFFORTS: Mapping[str, Effort] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}
# Fields that the canonical form always holds whole, or that are told by others.
HELD = frozenset(
    {
        *("model", "messages", "system", "max_tokens", "stop_sequences", "stream", "thinking"),
        *("temperature", "top_p", "top_k", "tool_choice", "tools", "metadata"),
        *("output_config", "output_format"),
    }
)
# Tools that have types of their own and are run by the client all the same; all others the vendor runs.
RUN_BY_CLIENTS = ("bash_", "text_editor_", "computer_", "memory_")
TOOL_HELD = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})


def read(http: HttpRequest) -> Request | Problem:
    """The request."""
    fields = open_fields(http)
    if isinstance(fields, Problem):
        return fields
    return _request(fields, http.headers, limited=True)


def read_counted(http: HttpRequest) -> ChatRequest | Problem:
    """A request whose tokens are to be counted: the same, but it need not say how long the answer may be."""
    fields = open_fields(http)
    if isinstance(fields, Problem):
        return fields
    return _request(fields, http.headers, limited=False)


def counted(tokens: int, by: str, exchange_id: str) -> Answer:
    """The whole answer of `/v1/messages/count_tokens`; a header says who counted."""
    headers = {**JSON, "request-id": shown_id(exchange_id), "x-token-count": by}
    return Answer(ReplyHead(200, headers), orjson.dumps({"input_tokens": tokens}))


def _request(fields: Fields, headers: Mapping[str, str], limited: bool) -> ChatRequest | Problem:
    spoken = _headers(fields, headers)
    sent = read_name(fields)
    limit = positive(fields, "max_tokens")
    if limit is None and limited and fields.values.get("max_tokens") is None:
        fields.faults.note("max_tokens is required and must be positive", "max_tokens")
    reader = Reader()
    turns = (*reader.system(fields), *reader.messages(fields))
    extra = rest_of(fields, HELD)
    tools = _tools(fields, reader, extra)
    if reader.cached:
        reader.beside["cache_control"] = True
    config = dict(fields.mapping("output_config") or {})
    thinking = _thinking(fields, config, reader.beside)
    form = _format(fields, config)
    choice, parallel = _tool_choice(fields)
    user = _user(fields, extra)
    if config:
        extra["output_config"] = config
    request = ChatRequest(
        model=sent.strip(),
        messages=turns,
        tools=tools,
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=_sampling(fields, limit),
        thinking=thinking,
        format=form,
        stream=fields.flag("stream") or False,
        user=user,
        extra={name: value for name, value in ((FORMAT, extra), (BESIDE, reader.beside)) if value},
        stateful=_is_stateful(extra),
    )
    if fault := fields.faults.first:
        return fault
    # Only what has been read without a fault has the shape that this looks at.
    return evolve(request, source=Source(FORMAT, as_given(fields.values), spoken))


def _headers(fields: Fields, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Version and betas as the client's form has them."""
    version, betas = headers.get(VERSION), headers.get(BETA)
    if version is not None and version not in VERSIONS:
        fields.faults.note(f"{VERSION} must be one of {', '.join(VERSIONS)}", VERSION)
    if betas and not BETAS.fullmatch(betas):
        fields.faults.note(f"{BETA} must be a list of names", BETA)
    return {name: value for name, value in ((VERSION, version), (BETA, betas)) if value}


def _sampling(fields: Fields, limit: int | None) -> Sampling:
    return Sampling(
        max_tokens=limit,
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        stop=fields.texts("stop_sequences"),
    )


def _user(fields: Fields, extra: dict[str, Any]) -> str | None:
    metadata = fields.inner("metadata")
    if metadata is None:
        return None
    if others := rest_of(metadata, ("user_id",)):
        extra["metadata"] = others
    return metadata.text("user_id")


def _tools(fields: Fields, reader: Reader, extra: dict[str, Any]) -> tuple[Tool, ...]:
    """Functions of the client's; tools that the vendor runs itself stay in `extra`."""
    found: list[Tool] = []
    others: list[Mapping[str, Any]] = []
    for tool in fields.objects("tools"):
        if tool.text("type") in (None, "custom"):
            found.append(_tool(tool, reader))
        else:
            others.append(tool.values)
    if others:
        extra["tools"] = others
    return tuple(found)


def _is_stateful(extra: Mapping[str, Any]) -> bool:
    """Whether the vendor is to run something by itself, or in a container that was used before."""
    others = (str(tool.get("type")) for tool in extra.get("tools", ()))
    theirs = any(not kind.startswith(RUN_BY_CLIENTS) for kind in others)
    return theirs or bool(extra.get("mcp_servers") or extra.get("container"))


def _tool(tool: Fields, reader: Reader) -> Tool:
    for name in rest_of(tool, TOOL_HELD):
        reader.beside[f"tools.{name}"] = True
    name = required(tool, "name")
    return Tool(
        name,
        tool.text("description"),
        tool.mapping("input_schema"),
        tool.flag("strict"),
        cache=reader.mark(tool),
    )


def _tool_choice(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether several calls may be made at once."""
    choice = fields.inner("tool_choice")
    if choice is None:
        return None, None
    alone = choice.flag("disable_parallel_tool_use")
    parallel = None if alone is None else not alone
    match choice.text("type"):
        case "auto":
            return ToolChoice("auto"), parallel
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            return ToolChoice("named", required(choice, "name")), parallel
    path = choice.at("type")
    choice.faults.note(f"{path} must be auto, any, tool or none", path)
    return None, parallel


def _thinking(fields: Fields, config: dict[str, Any], beside: dict[str, Any]) -> Thinking | None:
    """Whether to think, and how much. An effort alone asks for thinking too; beside "disabled" it stays in `config`.

    Clients ask for it without knowing the model, so a model that cannot think shall answer all the same.
    """
    effort = _effort(fields)
    thinking = fields.inner("thinking")
    if thinking is None:
        config.pop("effort", None)
        return None if effort is None else Thinking(True, effort, wish=True)
    if thinking.values.get("display") == "omitted":
        beside["thinking.display"] = "omitted"
    kind = thinking.text("type")
    if kind in ("disabled", "between_tools"):
        return Thinking(False)
    config.pop("effort", None)
    if kind == "adaptive":
        return Thinking(True, effort, wish=True)
    if kind != "enabled":
        path = thinking.at("type")
        thinking.faults.note(f"{path} must be enabled, disabled or adaptive", path)
        return None
    budget = positive(thinking, "budget_tokens")
    if budget is None and thinking.values.get("budget_tokens") is None:
        path = thinking.at("budget_tokens")
        thinking.faults.note(f"{path} is required", path)
    return Thinking(True, effort, budget, wish=True)


def _effort(fields: Fields) -> Effort | None:
    config = fields.inner("output_config")
    sent = config.text("effort") if config else None
    if config is not None and sent is not None and sent not in EFFORTS:
        path = config.at("effort")
        config.faults.note(f"{path} must be one of {', '.join(EFFORTS)}", path)
    return EFFORTS.get(sent or "")


def _format(fields: Fields, config: dict[str, Any]) -> Format | None:
    """`output_config.format`, or `output_format` of old; a type that is not known stays in `config`."""
    outer = fields.inner("output_config")
    form = (outer.inner("format") if outer else None) or fields.inner("output_format")
    if form is None or form.text("type") != "json_schema":
        if form is not None:
            config["format"] = form.values
        return None
    config.pop("format", None)
    schema = form.mapping("schema")
    if schema is None and form.values.get("schema") is None:
        form.faults.note(f"{form.at('schema')} is required", form.at("schema"))
    return Format(schema or {}, form.text("name"))


DIALECT = Dialect(
    name=FORMAT,
    read=read,
    fresh=anthropic_replies.fresh,
    head=anthropic_replies.head,
    write=anthropic_replies.write,
    collect=anthropic_replies.collect,
    refuse=refuse,
    keep_alive=anthropic_replies.keep_alive,
    comments=True,
)
