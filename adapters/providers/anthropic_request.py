"""Requests in Anthropic's form, built from the canonical fields; each field that has no place is reported.

A request that came in this form goes out as the client wrote it, with the model's name changed. JSON that must fit a
schema is asked for by structured output; where a model or the schema does not allow that, by a tool that must be called
and whose input is the answer; where that is not possible either, in words.
Source: https://platform.claude.com/docs/en/api/messages (2026-11).
"""

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from adapters.providers.anthropic_messages import (
    FORMAT,
    NAMES,
    Block,
    closed,
    conversation,
    refused_picture,
    thoughtless,
)
from adapters.providers.anthropic_schema import fitted, rooted
from adapters.providers.claude import LEAST_BUDGET, Line, line
from adapters.providers.families import effort_of_budget
from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.thoughts import CLAUDE, budget, given_back
from adapters.providers.tool_names import Form, Names, names_of, unlike
from pipeline.ports import Encoded
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Message,
    Prompt,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Provider, Target

VERSION = {"anthropic-version": "2023-06-01"}

_SPOKEN = "anthropic."
_LONGEST_USER = 256
_EMAIL = re.compile(r"[^@\s]@[^@\s]+\.[^@\s]")
_TELEPHONE = re.compile(r"(?=.*\D)\+?[\d\s()-]{7,}")
_VERSIONED = re.compile(r"/v\d+/?$")
# The longest answer that is asked for where nobody knows what the model can.
_MAX_TOKENS = 4096
# What is not said loses nothing.
_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "repeat_penalty": 1}
# What the root of a tool's schema may not hold.
_NOT_FOR_TOOLS = frozenset({"anyOf", "oneOf", "allOf", "$ref"})
_ONLY_JSON = "with nothing else: no explanation, no code fence."
_ANSWERING = "Give the answer to the user. This is the only way to answer."


def path_to(provider: Provider, path: str) -> str:
    """`path` below the API's version, which the base URL may or may not name already."""
    return path if _VERSIONED.search(provider.base_url) else f"/v1{path}"


def answer_tool(request: ChatRequest) -> str:
    """The name of the tool that stands for an answer in JSON."""
    return unlike("answer", {tool.name for tool in request.tools})


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode`. Problems: `unsupported` for embeddings, for a gap to be filled, for a kind of picture that is not
    taken, and where nothing is said."""
    if isinstance(request, EmbedRequest):
        return Problem(Kind.UNSUPPORTED, subject="embedding", target=target.name)
    if request.prompt is not None and request.prompt.suffix is not None:
        return Problem(Kind.UNSUPPORTED, subject="insert", target=target.name)
    if problem := refused_picture(request):
        return problem.at(target.name)
    lost = Lost()
    version = VERSION
    if request.source is not None and request.source.format == FORMAT:
        body: dict[str, Any] = {**request.source.body, "model": target.model}
        if request.thinking is not None and request.thinking.wish and not request.thinking.on:
            _unthinking(body)
        _told_of_thoughts(request, body, lost)
        version = {**VERSION, **request.source.headers}
    else:
        body = body_of(request, target, line(target.model), lost)
        if not body["messages"]:
            detail = "the conversation says nothing that could be answered"
            return Problem(Kind.UNSUPPORTED, detail, subject="empty messages", target=target.name)
    accept = "text/event-stream" if request.stream else "application/json"
    http = post(target.provider, path_to(target.provider, "/messages"), body, accept)
    return Encoded(http.with_headers(version), lost.losses)


def _told_of_thoughts(request: ChatRequest, body: dict[str, Any], lost: Lost) -> None:
    """What is lost of thinking in the client's own body: that of other models is not in it, and what goes on with calls of
    theirs cannot think within a budget."""
    thoughts = [part for turn in request.messages for part in turn.parts if isinstance(part, Reasoning)]
    if not all(given_back(thought, CLAUDE) for thought in thoughts):
        lost.add("messages.thinking")
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    spoken = [turn for turn in body["messages"] if turn.get("role") == "assistant"][-1:]
    if spoken and isinstance(spoken[0]["content"], list) and thoughtless(spoken):
        lost.add("thinking")
        del body["thinking"]


def _unthinking(body: dict[str, Any]) -> None:
    """The client's own body without its wish for thinking, where that is not asked of the model."""
    body.pop("thinking", None)
    config = body.get("output_config")
    if isinstance(config, Mapping) and "effort" in config:
        body["output_config"] = {name: value for name, value in config.items() if name != "effort"}
        if not body["output_config"]:
            del body["output_config"]


def body_of(
    request: ChatRequest, target: Target, kin: Line, lost: Lost, form: Form = NAMES
) -> dict[str, Any]:
    """The JSON of a request to a model of the line `kin`; its messages are empty where nothing is said.

    `form`: that of the names of tools and the ids of calls.
    """
    names = names_of(request.tools, form)
    body = _own(request)
    lost.extras(request.extra, _SPOKEN)
    body["model"] = target.model
    turns = request.messages if request.prompt is None else _turns_of(request.prompt, lost)
    system, messages = conversation(turns, kin, names, lost)
    limit = target.facts.output_limit or kin.limit
    body["max_tokens"] = _max_tokens(request, limit, lost)
    body["messages"] = messages
    body["stream"] = request.stream
    if request.user is not None:
        body["metadata"] = {**(body.get("metadata") or {}), "user_id": _user(request.user, lost)}
    if not messages:
        return body
    system += _tools(request, kin, names, body, lost)
    system += _format(request, kin, body, lost)
    if system:
        body["system"] = system
    _thinking(request.thinking, kin, body, limit is not None or request.sampling.max_tokens is not None, lost)
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    formed = "format" in (body.get("output_config") or {})
    closed(messages, kin.prefill and not thinks and not formed, lost)
    _sampling(request, kin, thinks, body, lost)
    return body


def _user(user: str, lost: Lost) -> str:
    """Who it is for, by a name that tells nobody who that is: addresses and telephone numbers are refused."""
    if len(user) <= _LONGEST_USER and not _EMAIL.search(user) and not _TELEPHONE.fullmatch(user):
        return user
    lost.add("user", How.APPROXIMATED)
    return blake2b(user.encode(), digest_size=16).hexdigest()


def _own(request: ChatRequest) -> dict[str, Any]:
    """The fields that only this form holds."""
    own = request.extra.get(FORMAT)
    return dict(own) if isinstance(own, Mapping) else {}


def _turns_of(prompt: Prompt, lost: Lost) -> tuple[Message, ...]:
    """A prompt as a conversation of one turn."""
    lost.drop(template=prompt.template or None, context=prompt.context)
    if prompt.raw:
        lost.add("raw", How.EMULATED)
    said = Message(Role.USER, (Text(prompt.text), *prompt.images))
    return (Message(Role.SYSTEM, (Text(prompt.system),)), said) if prompt.system else (said,)


def _max_tokens(request: ChatRequest, limit: int | None, lost: Lost) -> int:
    """It must be said; more than the model can is refused."""
    asked = request.sampling.max_tokens
    if asked is None:
        return limit or _MAX_TOKENS
    if limit is not None and asked > limit:
        lost.add("max_tokens", How.APPROXIMATED)
        return limit
    return max(1, asked)


def _tools(request: ChatRequest, kin: Line, names: Names, body: dict[str, Any], lost: Lost) -> list[Block]:
    """Put the tools and the choice among them into the body; what must be said in words is given back."""
    own = body.pop("tools", None)
    offered = [_tool(tool, kin, names, lost) for tool in request.tools]
    said: list[Block] = []
    choice = request.tool_choice
    kind: dict[str, Any] = {"type": "auto"}
    if offered and choice is not None and choice.mode in ("required", "named"):
        named = names.sent(choice.name or "")
        if kin.forced:
            kind = {"type": "any"} if choice.mode == "required" else {"type": "tool", "name": named}
        else:
            lost.add("tool_choice", How.APPROXIMATED)
            wanted = "one of the tools" if choice.mode == "required" else f"the tool {named}"
            said = [{"type": "text", "text": f"Call {wanted} now; do not answer in words."}]
    elif choice is not None and choice.mode == "none":
        kind = {"type": "none"}
    if offered and request.parallel_tools is False and kind["type"] != "none":
        kind["disable_parallel_tool_use"] = True
    tools = [*offered, *(own if isinstance(own, list) else ())]
    if tools:
        body["tools"] = tools
    if offered and kind != {"type": "auto"}:
        body["tool_choice"] = kind
    return said


def _tool(tool: Tool, kin: Line, names: Names, lost: Lost) -> Block:
    block: Block = {"name": names.sent(tool.name)}
    if tool.description is not None:
        block["description"] = tool.description
    parameters = dict(tool.parameters or {})
    if (plain := rooted(parameters)) is not None:
        lost.add("tools", How.APPROXIMATED)
        told = f"The input fits this JSON schema: {orjson.dumps(parameters).decode()}"
        block["description"] = f"{tool.description or ''}\n{told}".lstrip()
        parameters = plain
    if parameters.get("type") != "object":
        parameters = {**parameters, "type": "object"}
    if "properties" not in parameters and not tool.parameters:
        parameters["properties"] = {}
    if tool.strict:
        found = fitted(parameters) if kin.schema else None
        if found is not None and found.exact:
            parameters, block["strict"] = found.schema, True
        else:
            lost.add("tools.strict")
    block["input_schema"] = parameters
    if tool.cache is not None:
        block["cache_control"] = dict(tool.cache)
    return block


def _format(request: ChatRequest, kin: Line, body: dict[str, Any], lost: Lost) -> list[Block]:
    """Put the form of the answer into the body; what must be said in words is given back."""
    if request.format is None:
        return []
    schema = request.format.schema
    if schema is None:
        lost.add("format", How.EMULATED)
        return [{"type": "text", "text": f"Answer with one JSON object and {_ONLY_JSON}"}]
    found = fitted(schema) if kin.schema else None
    if found is not None:
        if not found.exact:
            lost.add("format", How.APPROXIMATED)
        form = {"type": "json_schema", "schema": found.schema}
        body["output_config"] = {**(body.get("output_config") or {}), "format": form}
        return []
    if kin.forced and schema.get("type", "object") == "object" and not schema.keys() & _NOT_FOR_TOOLS:
        lost.add("format", How.EMULATED)
        _answering(request, schema, body)
        return []
    lost.add("format", How.APPROXIMATED)
    told = orjson.dumps(schema).decode()
    words = f"Answer with one JSON value that fits the JSON schema below, and {_ONLY_JSON}\n{told}"
    return [{"type": "text", "text": words}]


def _answering(request: ChatRequest, schema: Mapping[str, Any], body: dict[str, Any]) -> None:
    """Offer a tool whose input is the answer, unless a tool of the client's must be called anyway."""
    choice = body.get("tool_choice", {"type": "auto"})
    if choice["type"] in ("any", "tool"):
        return
    name = answer_tool(request)
    tool = {"name": name, "description": _ANSWERING, "input_schema": {**schema, "type": "object"}}
    calling = bool(request.tools) and choice["type"] != "none"
    body["tools"] = [*body.get("tools", ()), tool]
    body["tool_choice"] = {**choice, "type": "any"} if calling else {"type": "tool", "name": name}


def _thinking(wish: Thinking | None, kin: Line, body: dict[str, Any], limited: bool, lost: Lost) -> None:
    """Say whether to think, and how much. `limited`: the answer's length is bounded by more than our own guess."""
    forced = body.get("tool_choice", {}).get("type") in ("any", "tool")
    if wish is not None and wish.on and not (forced and kin.off != "never"):
        if kin.thinks:
            _think(wish, kin, body, limited, lost)
        else:
            lost.add("thinking")
        return
    if wish is not None and wish.on:
        lost.add("thinking")
    # A model that thinks by default must be told not to; and none thinks while it is made to call a tool.
    if (wish is not None or forced) and kin.off in ("disabled", "between_tools"):
        body["thinking"] = {"type": kin.off}
    elif wish is not None and not wish.on and kin.off == "never":
        lost.add("thinking", How.APPROXIMATED)
        _effort("low", body)


def _think(wish: Thinking, kin: Line, body: dict[str, Any], limited: bool, lost: Lost) -> None:
    counted = wish.budget is not None and wish.effort is None
    possible = body["max_tokens"] > LEAST_BUDGET and not thoughtless(body["messages"])
    if kin.manual and possible and (counted or not kin.adaptive):
        _budgeted(wish, counted, body, limited, lost)
    elif kin.adaptive:
        body["thinking"] = {"type": "adaptive", **({"display": "summarized"} if kin.quiet else {})}
        step = wish.effort
        if step is None and wish.budget is not None:
            lost.add("thinking", How.APPROXIMATED)
            step = effort_of_budget(wish.budget)
        if step is not None and step in kin.efforts:
            _effort(kin.efforts[step], body)
        elif step is not None:
            lost.add("thinking", How.APPROXIMATED)
            _effort(kin.near[step], body)
    else:
        lost.add("thinking")


def _budgeted(wish: Thinking, counted: bool, body: dict[str, Any], limited: bool, lost: Lost) -> None:
    """A budget is part of the answer's length. A step may spend four fifths of that, so that words are left."""
    wanted = budget(wish)
    if not limited:
        body["max_tokens"] += wanted
    most = body["max_tokens"] - 1 if counted else max(LEAST_BUDGET, body["max_tokens"] * 4 // 5)
    tokens = budget(wish, LEAST_BUDGET, most)
    if counted and tokens != wish.budget:
        lost.add("thinking", How.APPROXIMATED)
    body["thinking"] = {"type": "enabled", "budget_tokens": tokens}


def _effort(word: str, body: dict[str, Any]) -> None:
    body["output_config"] = {**(body.get("output_config") or {}), "effort": word}


def _sampling(request: ChatRequest, kin: Line, thinks: bool, body: dict[str, Any], lost: Lost) -> None:
    asked = request.sampling
    stops = [stop for stop in asked.stop if stop.strip()]
    if stops:
        body["stop_sequences"] = stops
    if len(stops) < len(asked.stop):
        # A stop text of white space alone is refused.
        lost.add("stop", How.APPROXIMATED if stops else How.DROPPED)
    temperature, top_p = asked.temperature, asked.top_p
    if kin.one_sampler and top_p is not None and temperature == _DEFAULTS["temperature"]:
        # Of the two only one is taken, and the other one is at its default.
        temperature = None
    if temperature is not None and temperature > 1 and kin.sampled and not thinks:
        lost.add("temperature", How.APPROXIMATED)
        temperature = 1.0
    # 0 or less is no limit.
    top_k = asked.top_k if asked.top_k is not None and asked.top_k > 0 else None
    lost_with = {
        "temperature": temperature if not kin.sampled or thinks else None,
        # Of the two only one is taken, and while thinking only what leaves nearly all of the distribution.
        "top_p": top_p if _refused_top_p(temperature, top_p, kin, thinks) else None,
        "top_k": top_k if not kin.sampled or thinks else None,
        "min_p": asked.min_p or None,
        "seed": asked.seed,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "repeat_penalty": asked.repeat_penalty,
        "logprobs": request.logprobs,
        "choices": request.choices if request.choices > 1 else None,
    }
    for name, value in lost_with.items():
        if value is not None and value != _DEFAULTS.get(name):
            lost.add(name)
    taken = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    for name, value in taken.items():
        if value is not None and lost_with[name] is None:
            body[name] = value


def _refused_top_p(temperature: float | None, top_p: float | None, kin: Line, thinks: bool) -> bool:
    if top_p is None:
        return False
    if not kin.sampled:
        return True
    return top_p < 0.95 if thinks else kin.one_sampler and temperature is not None
