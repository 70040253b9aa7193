"""Requests to OpenAI's /responses: a conversation as a list of items.

Nothing is kept at the provider: each request holds the whole conversation, and thinking comes encrypted, so that it can
be given back with the next one. Functions are strict here unless told otherwise, so each is told what the client meant.
Source: https://platform.openai.com/docs/api-reference/responses/create (2026-11).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import define, field

from adapters.providers.families import Family, effort, researches, uses_computers
from adapters.providers.images import data_url
from adapters.providers.losses import Lost
from adapters.providers.openai_reply import CHAT
from adapters.providers.openai_responses_reply import RESPONSES
from adapters.providers.stopgaps import failed_words
from adapters.providers.thoughts import RESPONSES as THOUGHTS
from adapters.providers.thoughts import given_back
from pipeline.values.exchange import How
from pipeline.values.messages import (
    ChatRequest,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

# Less than this is refused as the limit of an answer.
LEAST_OUTPUT = 16

_FORMS = "openai."
_ENCRYPTED = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"
_JSON_PLEASE = "Answer in JSON."
# Fields of /chat/completions that are the same here.
SAME = frozenset(
    {
        *("metadata", "moderation", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("safety_identifier", "service_tier", "store"),
    }
)
# What no field of this endpoint says, and what does nothing anyway.
_NEUTRAL = {"presence_penalty": 0, "frequency_penalty": 0}
_ABSENT = ("top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "repeat_penalty")


def responses_body(
    request: ChatRequest, turns: tuple[Message, ...], model: str, line: Family, lost: Lost
) -> dict[str, Any]:
    """The JSON to send; `turns`: the conversation, also where a prompt was asked. `line`: that of `model`."""
    body: dict[str, Any] = {"store": False}
    chat = _extras(request, body, lost)
    instructions, said = _instructions(turns)
    items = Items(line, lost)
    body |= {"model": model, "input": [item for turn in said for item in items.of(turn)]}
    if instructions is not None:
        body["instructions"] = instructions
    body["stream"] = request.stream
    if request.user is not None:
        body["user"] = request.user
    if uses_computers(model):
        # It takes no other.
        body["truncation"] = "auto"
    _tools(request, chat, line, body, lost)
    _format(request, said, line, body, lost)
    _thinking(request, line, body, lost)
    _sampling(request, line, body, lost)
    return body


def as_it_came(body: dict[str, Any], line: Family, lost: Lost) -> dict[str, Any]:
    """A client's own body of this form, fit for an endpoint that keeps nothing: thinking goes out and back encrypted."""
    if body.get("store") is not False:
        return body
    if not line.sampled and _ENCRYPTED not in (body.get("include") or ()):
        _include(body, _ENCRYPTED)
    items = body.get("input")
    if isinstance(items, list):
        kept = [item for item in items if not _is_lost(item)]
        if len(kept) < len(items):
            lost.add("messages.thinking")
            body["input"] = kept
    return body


def unthinking(body: Mapping[str, Any]) -> dict[str, Any]:
    """A client's own body of this form for a model that cannot think: it may ask for no summary and nothing encrypted."""
    kept = [name for name in body.get("include") or () if name != _ENCRYPTED]
    rest = {name: value for name, value in body.items() if name not in ("reasoning", "include")}
    return {**rest, "include": kept} if kept else rest


def _is_lost(item: Any) -> bool:
    """Whether an item is thinking that the endpoint does not know: it was stored, or another vendor made it."""
    if not isinstance(item, Mapping) or item.get("type") != "reasoning":
        return False
    content = item.get("encrypted_content")
    return not isinstance(content, str) or "." in content


def _extras(request: ChatRequest, body: dict[str, Any], lost: Lost) -> Mapping[str, Any]:
    """Put into the body what only OpenAI's forms hold; give back those of chat that must be told in other words."""
    chat: dict[str, Any] = {}
    for format, fields in request.extra.items():
        if format == RESPONSES:
            body.update(fields)
        elif format.startswith(_FORMS):
            chat.update(fields)
    lost.extras(request.extra, _FORMS)
    for name, value in chat.items():
        if name in SAME:
            body[name] = value
        elif name == "verbosity":
            body["text"] = {**body.get("text", {}), "verbosity": value}
        elif name == "stream_options":
            if isinstance(value, Mapping) and "include_obfuscation" in value:
                body["stream_options"] = {"include_obfuscation": value["include_obfuscation"]}
        elif name not in ("tools", "tool_choice", "web_search_options") and value != ["text"]:
            # Text as the only modality is what comes anyway.
            lost.add(name)
    return chat


def _instructions(turns: tuple[Message, ...]) -> tuple[str | None, tuple[Message, ...]]:
    """The words of the system that the conversation begins with, if it does, and the turns after them."""
    first = turns[0] if turns else None
    if first is None or first.role is not Role.SYSTEM or first.name is not None:
        return None, turns
    if not first.text or not all(isinstance(part, Text) for part in first.parts):
        return None, turns
    return first.text, turns[1:]


@define
class Items:
    """Turns as items. Mutable: it remembers which calls were of tools that take plain text."""

    line: Family
    lost: Lost
    _plain: set[str] = field(factory=set, init=False)

    def of(self, turn: Message) -> Iterator[dict[str, Any]]:
        """One turn: the results of tools stand first, as they answer the turn before."""
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        others = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
        if len(results) == 1 and turn.role is Role.TOOL:
            # What came along with the only result is part of it.
            yield self._result(results[0], self._content(others))
            return
        yield from (self._result(result, []) for result in results)
        if results and not others:
            return
        if turn.name is not None:
            self.lost.add("messages.name")
        if turn.role is Role.ASSISTANT:
            yield from self._said(others)
        else:
            role = self.line.system if turn.role is Role.SYSTEM else "user"
            yield {"role": role, "content": _short(self._content(others), "input_text")}

    def _result(self, result: ToolResult, beside: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "custom_tool_call_output" if result.call_id in self._plain else "function_call_output"
        words = failed_words(result, self.lost)
        output: str | list[dict[str, Any]] = words
        if beside:
            output = [*([{"type": "input_text", "text": words}] if words else []), *beside]
        return {"type": kind, "call_id": result.call_id, "output": output}

    def _content(self, parts: Iterable[Part]) -> list[dict[str, Any]]:
        """What a client says, part by part."""
        content: list[dict[str, Any]] = []
        for part in parts:
            match part:
                case Text(said):
                    if said:
                        content.append({"type": "input_text", "text": said})
                case Image():
                    picture = {"type": "input_image", "image_url": data_url(part)}
                    content.append({**picture, "detail": part.detail or "auto"})
                case Opaque(format, {"type": "file", "file": Mapping() as file}) if format == CHAT:
                    content.append({"type": "input_file", **file})
                case Opaque(format, value) if format == RESPONSES:
                    content.append(dict(value))
                case Opaque():
                    self.lost.opaque(part)
        return content

    def _said(self, parts: Iterable[Part]) -> Iterator[dict[str, Any]]:
        """What the model said, thought and called, in that order."""
        content: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, Text):
                if part.text:
                    content.append({"type": "output_text", "text": part.text})
                continue
            if isinstance(part, Opaque) and _is_part(part):
                content.append(dict(part.value))
                continue
            found = list(self._item(part))
            if found and content:
                yield _message(content)
                content = []
            yield from found
        if content:
            yield _message(content)

    def _item(self, part: Part) -> Iterator[dict[str, Any]]:
        match part:
            case ToolCall(id, name, arguments):
                yield {"type": "function_call", "call_id": id, "name": name, "arguments": arguments}
            case Reasoning():
                yield from self._thought(part)
            case Image():
                self.lost.add("messages.images")
            case Opaque(format, value) if format == RESPONSES:
                yield dict(value)
            case Opaque(format, {"tool_calls": list(others)}) if format == CHAT:
                yield from (self._custom(other) for other in others if isinstance(other, Mapping))
            case Opaque():
                self.lost.opaque(part)

    def _custom(self, call: Mapping[str, Any]) -> dict[str, Any]:
        custom, id = call.get("custom"), str(call.get("id") or "")
        custom = custom if isinstance(custom, Mapping) else {}
        self._plain.add(id)
        asked = {"name": custom.get("name"), "input": custom.get("input")}
        return {"type": "custom_tool_call", "call_id": id, **asked}

    def _thought(self, thought: Reasoning) -> Iterator[dict[str, Any]]:
        """Earlier thinking, which this endpoint takes back as it gave it, and in no other form."""
        items: dict[Any, dict[str, Any]] = {}
        for place, detail in enumerate(thoughts_of(thought)):
            key = detail.get("id") or detail.get("index", ("place", place))
            item = items.setdefault(key, {"type": "reasoning", "summary": []})
            if isinstance(detail.get("id"), str):
                item["id"] = detail["id"]
            if isinstance(detail.get("summary"), str):
                item["summary"].append({"type": "summary_text", "text": detail["summary"]})
            if isinstance(detail.get("data"), str):
                item["encrypted_content"] = detail["data"]
        kept = [item for item in items.values() if "encrypted_content" in item]
        if not kept:
            self.lost.add("messages.thinking")
        yield from kept


def thoughts_of(said: Reasoning | Iterable[Part]) -> tuple[Mapping[str, Any], ...]:
    """The thinking that can be given back here. What has a dot was sealed a second time, by a gateway in between."""
    return tuple(detail for detail in given_back(said, THOUGHTS) if "." not in str(detail.get("data")))


def _is_part(part: Opaque) -> bool:
    """Whether it is part of a message; all else that only this format knows is an item of its own."""
    return part.format == RESPONSES and part.value.get("type") in ("refusal", "output_text")


def _message(content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": "assistant", "content": _short(content, "output_text")}


def _short(content: list[dict[str, Any]], kind: str) -> str | list[dict[str, Any]]:
    """A plain text where there is but one."""
    if not content:
        return ""
    if len(content) == 1 and content[0].keys() == {"type", "text"} and content[0]["type"] == kind:
        return str(content[0]["text"])
    return content


def _tools(
    request: ChatRequest, chat: Mapping[str, Any], line: Family, body: dict[str, Any], lost: Lost
) -> None:
    """Tools, and which of them to use. `chat`: fields of /chat/completions, which hold tools of other kinds."""
    if "tools" not in body:
        given = chat.get("tools")
        tools = (
            [_flat(tool) for tool in given if isinstance(tool, Mapping)]
            if isinstance(given, list)
            else [_function(tool) for tool in request.tools]
        )
        search = chat.get("web_search_options")
        if isinstance(search, Mapping):
            tools.append(_web_search(search))
        elif researches(str(body["model"])) and all(tool["type"] in ("function", "custom") for tool in tools):
            # It is refused without anything to search in.
            tools.append({"type": "web_search_preview"})
        if tools:
            body["tools"] = tools
    if not body.get("tools"):
        return
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice)
    elif isinstance(chat.get("tool_choice"), Mapping):
        body["tool_choice"] = _flat_choice(chat["tool_choice"])
    if request.parallel_tools is not None:
        if line.parallel:
            body["parallel_tool_calls"] = request.parallel_tools
        else:
            lost.add("parallel_tools")


def _function(tool: Tool) -> dict[str, Any]:
    told = {"type": "function", "name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    parameters = tool.parameters or {"type": "object", "properties": {}}
    return {**told, "parameters": parameters, "strict": bool(tool.strict)}


def _flat(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in the form of chat, where what it is stands one level deeper."""
    kind = tool.get("type") or "function"
    inner = tool.get(kind)
    flat = {"type": kind, **(inner if isinstance(inner, Mapping) else {})}
    if kind == "function":
        flat.setdefault("parameters", {"type": "object", "properties": {}})
        flat["strict"] = bool(flat.get("strict"))
    form = flat.get("format")
    if isinstance(form, Mapping) and isinstance(form.get("grammar"), Mapping):
        flat["format"] = {"type": "grammar", **form["grammar"]}
    return flat


def _web_search(options: Mapping[str, Any]) -> dict[str, Any]:
    """The search that chat's models of their own do always, as the tool it is here."""
    tool = {"type": "web_search", **options}
    place = options.get("user_location")
    if isinstance(place, Mapping) and isinstance(place.get("approximate"), Mapping):
        tool["user_location"] = {"type": "approximate", **place["approximate"]}
    return tool


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    return {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode


def _flat_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice in the form of chat: one tool of another kind, or several that are allowed."""
    kind = choice.get("type")
    inner = choice.get(kind) if isinstance(kind, str) else None
    flat = {"type": kind, **(inner if isinstance(inner, Mapping) else {})}
    if isinstance(flat.get("tools"), list):
        flat["tools"] = [_named(tool) for tool in flat["tools"] if isinstance(tool, Mapping)]
    return flat


def _named(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool.get("type")
    inner = tool.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **(inner if isinstance(inner, Mapping) else {})}


def _format(
    request: ChatRequest, turns: tuple[Message, ...], line: Family, body: dict[str, Any], lost: Lost
) -> None:
    form = request.format
    if form is None:
        return
    wanted: dict[str, Any] = {"type": "json_object"}
    if form.schema is not None:
        wanted = {"type": "json_schema", "name": form.name or "response", "schema": form.schema}
        if form.strict is not None:
            wanted["strict"] = form.strict
    elif not any("json" in turn.text.lower() for turn in turns):
        # JSON mode is refused where no item speaks of JSON; instructions do not count.
        body["input"].insert(0, {"role": line.system, "content": _JSON_PLEASE})
        lost.add("format", How.EMULATED)
    body["text"] = {**body.get("text", {}), "format": wanted}


def _thinking(request: ChatRequest, line: Family, body: dict[str, Any], lost: Lost) -> None:
    """How much to think. Only who asks for thinking is given what sums it up: not every account may have that."""
    if not line.sampled:
        _include(body, _ENCRYPTED)
    asked = request.thinking
    if asked is None:
        return
    word, how = effort(asked, line)
    if how is not None:
        lost.add("thinking", how)
    reasoning = dict(body.get("reasoning") or {})
    if word is not None:
        reasoning["effort"] = word
    if asked.on and not line.sampled:
        reasoning.setdefault("summary", "auto")
    if reasoning:
        body["reasoning"] = reasoning


def _sampling(request: ChatRequest, line: Family, body: dict[str, Any], lost: Lost) -> None:
    asked = request.sampling
    if asked.max_tokens is not None:
        body["max_output_tokens"] = max(asked.max_tokens, LEAST_OUTPUT)
        if asked.max_tokens < LEAST_OUTPUT:
            lost.add("max_tokens", How.APPROXIMATED)
    samples = line.sampled or (body.get("reasoning") or {}).get("effort") == "none"
    for name, value in (("temperature", asked.temperature), ("top_p", asked.top_p)):
        if value is not None and samples:
            body[name] = value
        elif value is not None and value != 1:
            lost.add(name)
    for name in _ABSENT:
        value = getattr(asked, name)
        if value is not None and value != _NEUTRAL.get(name):
            lost.add(name)
    lost.drop(stop=asked.stop, choices=request.choices > 1)
    if request.logprobs is None:
        return
    if samples:
        _include(body, _LOGPROBS)
        body["top_logprobs"] = request.logprobs
    else:
        lost.add("logprobs")


def _include(body: dict[str, Any], what: str) -> None:
    known = body.get("include")
    body["include"] = [*(one for one in known or () if one != what), what]
