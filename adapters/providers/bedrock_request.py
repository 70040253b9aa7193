"""Requests in the form of Converse; each field that has no place is reported.

Converse is Claude's form in other words for every model it serves: turns by turns, calls that are all answered, a system
text apart. So a request is first said in that form, within what the model's line takes, and then put into these words.
Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html (2026-11).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import orjson
from attrs import evolve

from adapters.providers import bedrock_embeddings as embeddings
from adapters.providers.anthropic_messages import FORMAT as CLAUDES
from adapters.providers.anthropic_messages import refused_picture
from adapters.providers.anthropic_request import body_of
from adapters.providers.bedrock_blocks import OURS, blocks_of, cache_point, names_of, turn_of, unmarked
from adapters.providers.bedrock_ids import refusal
from adapters.providers.bedrock_models import Line, line_of
from adapters.providers.families import effort_of_budget
from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.stopgaps import FAILED, failure
from adapters.providers.thoughts import NOVA, given_back
from adapters.providers.tool_names import Form
from pipeline.ports import Encoded
from pipeline.values.exchange import How
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Text,
    Thinking,
    ToolCall,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Target

FORMAT = "bedrock.converse"

# What names of tools, and ids of calls, may be.
NAMES = Form(64)

EVENT_STREAM = "application/vnd.amazon.eventstream"
_SPOKEN = "bedrock."
_UNNAMABLE = re.compile(r"[^a-zA-Z0-9_-]")
# Of the request in Claude's form, what is put into Converse's own fields, and what into the model's.
_INFERENCE = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP"}
_PUT = frozenset(
    {
        *_INFERENCE,
        *("model", "messages", "stream", "system", "stop_sequences", "top_k"),
        *("tools", "tool_choice", "thinking", "output_config", "metadata", "cache_control"),
    }
)
_NOVA_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "max": "high"}
# What may stand at the root of a bare schema, and what says nothing about what is valid.
_BARE = frozenset({"type", "properties", "required", "$defs", "definitions"})
_SAYS_NOTHING = frozenset({"$schema", "$id", "$comment", "title", "description", "additionalProperties"})
_NO_TOOL = "Do not call any tool now."


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode`. Problems: `not_found` for models that are not ours to call; `unsupported` for pictures by address,
    for a gap to be filled, for inputs a model does not embed, and where nothing is said."""
    if problem := refusal(target.model, target.provider) or _impossible(request):
        return problem.at(target.name)
    if isinstance(request, EmbedRequest):
        return embeddings.encode(request, target)
    lost = Lost()
    if request.source is not None and request.source.format == FORMAT:
        body = {key: value for key, value in request.source.body.items() if key != "modelId"}
    else:
        body = _body(request, target, lost)
        if not body["messages"]:
            detail = "the conversation says nothing that could be answered"
            return Problem(Kind.UNSUPPORTED, detail, subject="empty messages", target=target.name)
    action, accept = ("converse-stream", EVENT_STREAM) if request.stream else ("converse", "application/json")
    return Encoded(http_of(target, action, body, accept), lost.losses)


def http_of(target: Target, action: str, body: Mapping[str, Any], accept: str) -> HttpRequest:
    """The unsigned call of a model. Its id is one segment of the path, so all that is special in it is encoded."""
    return post(target.provider, f"/model/{quote(target.model, safe='')}/{action}", body, accept)


def _impossible(request: ChatRequest | EmbedRequest) -> Problem | None:
    """Why the request cannot be said at all: what is left out would change what it is about."""
    if isinstance(request, EmbedRequest):
        return None
    prompt = request.prompt
    if prompt is not None and prompt.suffix is not None:
        return Problem(Kind.UNSUPPORTED, subject="insert")
    images = [part for turn in request.messages for part in turn.parts if isinstance(part, Image)]
    images += prompt.images if prompt else ()
    if all(image.data is not None for image in images):
        return refused_picture(request)
    return Problem(
        Kind.UNSUPPORTED, "Bedrock takes pictures as base64 data, not by address", subject="image url"
    )


def _body(request: ChatRequest, target: Target, lost: Lost) -> dict[str, Any]:
    line = line_of(target.model, target.facts.capabilities)
    own = _own(request)
    said = body_of(_claudes(request, line), target, line.claude, lost, NAMES)
    if "messages" not in line.caches:
        said["system"] = unmarked(said.get("system", ()))
        said["messages"] = [{**turn, "content": unmarked(turn["content"])} for turn in said["messages"]]
    body = dict(own)
    body["messages"] = [turn_of(message, lost) for message in said["messages"]]
    if not line.failures:
        _unmark(body["messages"], lost)
    body["system"] = [*(own.get("system") or ()), *blocks_of(said.get("system", ()), lost)]
    _tools(said, line, body, lost)
    fields: dict[str, Any] = dict(own.get("additionalModelRequestFields") or {})
    _thinking(request.thinking, said, line, fields, lost)
    _inference(request, said, line, body, fields, lost)
    _format(request, said, body)
    if request.user is not None:
        lost.add("user")
    if mark := said.get("cache_control"):
        _cache_all(mark, line, body)
    for name in said.keys() - _PUT:
        lost.add(name)
    if fields:
        body["additionalModelRequestFields"] = fields
    _system(line, body, lost)
    return body


def _own(request: ChatRequest) -> dict[str, Any]:
    """The fields that only this form holds: guardrails, tiers, metadata and the like."""
    own = request.extra.get(FORMAT)
    return dict(own) if isinstance(own, Mapping) else {}


def _claudes(request: ChatRequest, line: Line) -> ChatRequest:
    """The request as Claude's form can say it: what only Converse knows travels in it, what is said elsewhere does not."""
    messages = tuple(
        evolve(turn, parts=_carried(turn.parts, line)) if _special(turn) else turn
        for turn in request.messages
    )
    extra = {name: fields for name, fields in request.extra.items() if not name.startswith(_SPOKEN)}
    thinking = request.thinking if line.thinks == "claude" else None
    return evolve(request, messages=messages, extra=extra, thinking=thinking, user=None, source=None)


def _special(turn: Message) -> bool:
    return any(
        isinstance(part, Reasoning) or (isinstance(part, Opaque) and part.format == FORMAT)
        for part in turn.parts
    )


def _carried(parts: tuple[Part, ...], line: Line) -> tuple[Part, ...]:
    """The parts, with those that only Converse's own words can say in a form that Claude's lets pass."""
    found: list[Part] = []
    for place, part in enumerate(parts):
        ours: list[Mapping[str, Any]] = []
        if isinstance(part, Opaque) and part.format == FORMAT:
            ours = [part.value]
        elif isinstance(part, Reasoning) and line.thinks == "nova" and _goes_on(parts[place + 1 :]):
            ours = [_thought(detail) for detail in given_back(part, NOVA)]
        found += [Opaque(CLAUDES, {"type": OURS, "value": value}) for value in ours] or [part]
    return tuple(found)


def _goes_on(parts: Iterable[Part]) -> bool:
    """Whether a turn says something more. Thoughts at its very end, of an answer that was cut, are not taken back."""
    return any(isinstance(part, ToolCall) or (isinstance(part, Text) and part.text.strip()) for part in parts)


def _thought(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """Thinking as Nova told it."""
    if detail.get("type") == "reasoning.encrypted":
        return {"reasoningContent": {"redactedContent": detail.get("data")}}
    told = {name: detail[name] for name in ("text", "signature") if name in detail}
    return {"reasoningContent": {"reasoningText": told}}


def _unmark(messages: Iterable[Mapping[str, Any]], lost: Lost) -> None:
    """Say in words which tools failed."""
    for block in (block for turn in messages for block in turn["content"] if "toolResult" in block):
        result = block["toolResult"]
        if result.pop("status", None) is None:
            continue
        lost.add(FAILED, How.EMULATED)
        first, *others = result["content"]
        if "text" in first:
            result["content"] = [{"text": failure(first["text"])}, *others]


def _cache_all(mark: Mapping[str, Any], line: Line, body: Mapping[str, Any]) -> None:
    """A mark on the request itself means its last block."""
    last = body["messages"][-1]["content"] if body["messages"] else []
    if "messages" in line.caches and last and "cachePoint" not in last[-1]:
        last.append(cache_point(mark))


def _tools(said: Mapping[str, Any], line: Line, body: dict[str, Any], lost: Lost) -> None:
    """Tools and the choice among them. Converse wants the tools of all calls that it is shown, and knows no `none`."""
    own = body.get("toolConfig")
    config: dict[str, Any] = dict(own) if isinstance(own, Mapping) else {}
    tools = [*(config.get("tools") or ())]
    for tool in said.get("tools", ()):
        if "input_schema" in tool:
            tools.append({"toolSpec": _spec(_bared(tool, lost) if line.bare else tool)})
            if "cache_control" in tool and "tools" in line.caches:
                tools.append(cache_point(tool["cache_control"]))
        else:
            lost.add("tools")
    shown = names_of(body["messages"])
    choice = said.get("tool_choice", {})
    if choice.get("type") == "none" and tools:
        lost.add("tool_choice", How.APPROXIMATED)
        if shown:
            body["system"] = [*body["system"], {"text": _NO_TOOL}]
        else:
            tools = []
    if choice.get("disable_parallel_tool_use"):
        lost.add("parallel_tools")
    if shown and not tools:
        lost.add("tools", How.EMULATED)
        tools = [{"toolSpec": _spec({"name": name, "input_schema": {"type": "object"}})} for name in shown]
    if choice.get("type") == "tool" and not line.named:
        tools = [tool for tool in tools if tool.get("toolSpec", {}).get("name") == choice["name"]] or tools
        config["toolChoice"] = {"any": {}}
    elif choice.get("type") == "tool":
        config["toolChoice"] = {"tool": {"name": choice["name"]}}
    elif choice.get("type") == "any":
        config["toolChoice"] = {"any": {}}
    body.pop("toolConfig", None)
    if tools:
        body["toolConfig"] = {**config, "tools": tools}


def _bared(tool: Mapping[str, Any], lost: Lost) -> dict[str, Any]:
    """The tool without what may not stand at the root of its schema. Definitions stay: without them nothing is meant."""
    schema = tool["input_schema"]
    kept = {name: value for name, value in schema.items() if name in _BARE}
    if schema.keys() - _BARE - _SAYS_NOTHING:
        lost.add("tools", How.APPROXIMATED)
    return {**tool, "input_schema": kept}


def _spec(tool: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": tool["name"]}
    if tool.get("description"):
        # An empty one is refused.
        spec["description"] = tool["description"]
    spec["inputSchema"] = {"json": tool["input_schema"]}
    if tool.get("strict"):
        spec["strict"] = True
    return spec


def _thinking(
    wish: Thinking | None, said: Mapping[str, Any], line: Line, fields: dict[str, Any], lost: Lost
) -> None:
    """How to think, in the model's own fields."""
    if line.thinks == "claude":
        if "thinking" in said:
            fields["thinking"] = said["thinking"]
        effort = said.get("output_config", {}).get("effort")
        if effort is not None:
            fields["output_config"] = {"effort": effort}
        return
    if wish is None:
        return
    step = wish.effort
    if step is None and wish.budget is not None and wish.on:
        step = effort_of_budget(wish.budget)
        lost.add("thinking", How.APPROXIMATED)
    near = step in ("minimal", "max")
    match line.thinks:
        case "nova":
            kind = {"type": "enabled", "maxReasoningEffort": _NOVA_EFFORTS[step or "medium"]}
            fields["reasoningConfig"] = kind if wish.on else {"type": "disabled"}
            if near:
                lost.add("thinking", How.APPROXIMATED)
        case "word":
            # It cannot be kept from thinking, only made to think little.
            fields["reasoning_effort"] = _NOVA_EFFORTS[step or "medium"] if wish.on else "low"
            if near or not wish.on:
                lost.add("thinking", How.APPROXIMATED)
        case "always":
            if step is not None or not wish.on:
                lost.add("thinking")
        case _:
            if wish.on:
                lost.add("thinking")


def _inference(
    request: ChatRequest,
    said: Mapping[str, Any],
    line: Line,
    body: dict[str, Any],
    fields: dict[str, Any],
    lost: Lost,
) -> None:
    own = body.get("inferenceConfig")
    config: dict[str, Any] = dict(own) if isinstance(own, Mapping) else {}
    config.update({ours: said[name] for name, ours in _INFERENCE.items() if name in said})
    budgeted = said.get("thinking", {}).get("type") == "enabled"
    if request.sampling.max_tokens is None and not budgeted:
        # Claude's form must say it; here the model's own most is the default.
        config.pop("maxTokens", None)
    stops = said.get("stop_sequences", [])
    if line.stops is not None and len(stops) > line.stops:
        lost.add("stop", How.APPROXIMATED)
        stops = stops[: line.stops]
    if stops:
        config["stopSequences"] = stops
    if "top_k" in said:
        _top_k(said["top_k"], line, fields, lost)
    if fields.get("reasoningConfig", {}).get("maxReasoningEffort") == "high":
        _unlimited(config, fields, lost)
    body.pop("inferenceConfig", None)
    if config:
        body["inferenceConfig"] = config


def _top_k(value: int, line: Line, fields: dict[str, Any], lost: Lost) -> None:
    match line.top_k:
        case (outer, inner):
            fields[outer] = {**fields.get(outer, {}), inner: value}
        case (name,):
            fields[name] = value
        case _:
            lost.add("top_k")


def _unlimited(config: dict[str, Any], fields: dict[str, Any], lost: Lost) -> None:
    """At its highest effort Nova takes neither a limit nor what steers sampling."""
    for name, ours in _INFERENCE.items():
        if config.pop(ours, None) is not None:
            lost.add(name)
    if fields.pop("inferenceConfig", None) is not None:
        lost.add("top_k")


def _format(request: ChatRequest, said: Mapping[str, Any], body: dict[str, Any]) -> None:
    form = said.get("output_config", {}).get("format")
    if form is None:
        return
    name = _UNNAMABLE.sub("_", (request.format and request.format.name) or "response")
    schema = {"schema": orjson.dumps(form["schema"]).decode(), "name": name}
    own = body.get("outputConfig") or {}
    text = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    body["outputConfig"] = {**own, "textFormat": text}


def _system(line: Line, body: dict[str, Any], lost: Lost) -> None:
    """Without system texts of its own a model is told them before the user's first words."""
    system = body.pop("system")
    if not system:
        return
    if line.system:
        body["system"] = system
        return
    lost.add("system", How.EMULATED)
    messages: list[dict[str, Any]] = body["messages"]
    if messages:
        messages[0] = {**messages[0], "content": [*system, *messages[0]["content"]]}
