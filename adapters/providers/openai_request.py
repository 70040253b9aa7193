"""Requests in OpenAI's form: which endpoint, and how each field of a request is said there.

A request that came in the endpoint's own form goes out as the client wrote it, with the model's name and our additions
changed. All others are built from the canonical fields, and each field that has no place is reported.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from adapters.providers.families import (
    UNKNOWN,
    Family,
    effort,
    family,
    only_chats,
    only_completes,
    only_responds,
)
from adapters.providers.http import post
from adapters.providers.images import data_url
from adapters.providers.losses import Lost
from adapters.providers.openai_reply import CHAT, COMPLETIONS, EMBEDDINGS
from adapters.providers.openai_responses_reply import RESPONSES
from adapters.providers.openai_responses_request import (
    SAME,
    as_it_came,
    responses_body,
    thoughts_of,
    unthinking,
)
from adapters.providers.stopgaps import failed_words
from pipeline.ports import Encoded
from pipeline.values.exchange import How
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    EmbedRequest,
    Image,
    Message,
    Opaque,
    Prompt,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, Target

PATHS: Mapping[str, str] = {
    CHAT: "/chat/completions",
    COMPLETIONS: "/completions",
    EMBEDDINGS: "/embeddings",
    RESPONSES: "/responses",
}

_SPOKEN = "openai."
# OpenAI takes no more stop texts than these.
_MOST_STOPS = 4
# What a model that takes no such field does anyway: not to say it loses nothing.
_DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
# What a reasoning model takes as well while it is told not to think.
_THOUGHTLESS = ("temperature", "top_p")
_JSON_PLEASE = "Answer in JSON."
# Fields of a turn by which other servers of this form take thinking back. OpenAI's chat knows none, and refuses them.
_THOUGHTS = frozenset({"reasoning", "reasoning_content", "reasoning_details"})


def own_name(target: Target) -> str:
    """The name by which the model behind a target is known: its own, as a rule."""
    return target.model


def say_effort(thinking: Thinking, limit: int | None, line: Family, body: dict[str, Any], lost: Lost) -> None:
    """How much to think, as one of the line's words."""
    word, how = effort(thinking, line)
    if word is not None:
        body["reasoning_effort"] = word
    if how is not None:
        lost.add("thinking", how)


def recall_own(thought: Reasoning, message: dict[str, Any]) -> bool:
    """An earlier thought as fields of its message, where it came as such."""
    own = thought.extra.get(CHAT)
    if not isinstance(own, Mapping):
        return False
    message.update(own)
    return True


@frozen
class Voice:
    """In what a server that speaks this form departs from OpenAI.

    `behind`: the name of the model a target leads to, which tells its line. `line`: how that line takes its parameters,
    given what is known of the model. `think`: says in the body how much to think, given the limit of the answer in tokens.
    `recall`: gives an earlier thought back within its message; False where the server cannot be given any.
    """

    behind: Callable[[Target], str] = own_name
    line: Callable[[str, frozenset[Capability] | None], Family] = family
    think: Callable[[Thinking, int | None, Family, dict[str, Any], Lost], None] = say_effort
    recall: Callable[[Reasoning, dict[str, Any]], bool] = recall_own


OPENAI = Voice()


def endpoint(
    request: ChatRequest | EmbedRequest, model: str, abilities: frozenset[Capability] | None = None
) -> str:
    """The wire format to ask `model` in: chat, wherever it can say what was asked. `abilities`: what is known of them.

    Prompts go to /completions where chat cannot say them, and where a client asks there, or for a bare text, of a model
    that is not known to do without. Conversations go to /responses where the model answers at no other place, where the
    client speaks that form, and where thinking of that form is to be given back.
    """
    if isinstance(request, EmbedRequest):
        return EMBEDDINGS
    prompt = request.prompt
    if only_responds(model):
        return RESPONSES
    if prompt is None:
        return RESPONSES if _to_responses(request, model) else CHAT
    if prompt.suffix is not None or only_completes(model):
        return COMPLETIONS
    if only_chats(model):
        return CHAT
    # A name with a vendor before it is one of a gateway, which takes a bare text for every model.
    raw = prompt.raw and "/" in model
    bare = prompt.raw or (request.source is not None and request.source.format == COMPLETIONS)
    completes = raw or abilities is None or "insert" in abilities
    return COMPLETIONS if bare and completes else CHAT


def _to_responses(request: ChatRequest, model: str) -> bool:
    asked = request.source.format if request.source else None
    # A name with a vendor before it is one of a gateway, which answers for every model in a chat.
    if asked == CHAT or "/" in model or not only_chats(model):
        return False
    if asked == RESPONSES:
        return True
    return not family(model).sampled and any(thoughts_of(turn.parts) for turn in request.messages)


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode` of OpenAI. Problems: `unsupported` for a gap to be filled by a model that only talks."""
    if problem := impossible(request, target.model):
        return problem
    body, lost = body_of(request, target)
    path = PATHS[endpoint(request, target.model, target.facts.capabilities)]
    return Encoded(http_of(request, target, path, body), lost.losses)


def impossible(request: ChatRequest | EmbedRequest, model: str) -> Problem | None:
    """Why `model` cannot be asked that at all."""
    gap = (
        isinstance(request, ChatRequest) and request.prompt is not None and request.prompt.suffix is not None
    )
    talks = only_chats(model) or only_responds(model)
    return Problem(Kind.UNSUPPORTED, subject="insert") if gap and talks else None


def http_of(
    request: ChatRequest | EmbedRequest, target: Target, path: str, body: Mapping[str, Any]
) -> HttpRequest:
    """The unsigned request that carries `body` to `path`."""
    accept = "text/event-stream" if request.stream else "application/json"
    return post(target.provider, path, body, accept)


def _is_ungranted(request: ChatRequest | EmbedRequest) -> bool:
    """Whether it wished for thinking, and the model cannot."""
    thinking = request.thinking if isinstance(request, ChatRequest) else None
    return thinking is not None and thinking.wish and not thinking.on


def body_of(
    request: ChatRequest | EmbedRequest, target: Target, voice: Voice = OPENAI
) -> tuple[dict[str, Any], Lost]:
    """The JSON to send, and what is lost in it."""
    format, lost = endpoint(request, voice.behind(target), target.facts.capabilities), Lost()
    if request.source is not None and request.source.format == format:
        body = {**request.source.body, "model": target.model}
        if format == RESPONSES:
            line = voice.line(voice.behind(target), target.facts.capabilities)
            body = as_it_came(body, line, lost)
            if _is_ungranted(request):
                body = unthinking(body)
        elif format == CHAT and _is_openais(voice.behind(target)):
            body = _without_thoughts(body, lost)
    elif isinstance(request, EmbedRequest):
        body = _embed_body(request, target.model, lost)
    elif format == COMPLETIONS:
        body = _completions_body(request, target.model, lost)
    elif format == RESPONSES:
        line = voice.line(voice.behind(target), target.facts.capabilities)
        turns = request.messages if request.prompt is None else _turns_of(request.prompt, lost)
        body = responses_body(request, turns, target.model, line, lost)
    else:
        body = _chat_body(request, target, voice, lost)
    if request.stream and format != RESPONSES:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return body, lost


def _is_openais(model: str) -> bool:
    """Whether OpenAI itself answers for the model: a name with a vendor before it is one of a gateway."""
    return "/" not in model and only_chats(model)


def _without_thoughts(body: dict[str, Any], lost: Lost) -> dict[str, Any]:
    """A client's own body without thinking of earlier turns, which it was told for other models; the same without any."""
    messages = body.get("messages")
    if not isinstance(messages, list) or all(map(_THOUGHTS.isdisjoint, messages)):
        return body
    lost.add("messages.thinking")
    return {**body, "messages": [_without_thought(message) for message in messages]}


def _without_thought(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if _THOUGHTS.isdisjoint(message):
        return message
    kept = {name: value for name, value in message.items() if name not in _THOUGHTS}
    return kept if "tool_calls" in kept else {"content": "", **kept}


def usage_asked(request: ChatRequest) -> bool:
    """Whether the client itself asked for usage in the stream."""
    said: list[Any] = [fields.get("stream_options") for fields in _own(request)]
    if request.source is not None and request.source.format in (CHAT, COMPLETIONS):
        said.append(request.source.body.get("stream_options"))
    return any(isinstance(options, Mapping) and options.get("include_usage") is True for options in said)


def _own(request: ChatRequest | EmbedRequest) -> list[Mapping[str, Any]]:
    """The fields that only OpenAI's forms hold."""
    return [fields for format, fields in request.extra.items() if format.startswith(_SPOKEN)]


def _base(
    request: ChatRequest | EmbedRequest, model: str, lost: Lost, told: tuple[str, ...] = ()
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for format, fields in request.extra.items():
        if format == RESPONSES:
            body.update((name, value) for name, value in fields.items() if name in SAME)
            lost.drop(**{name: True for name in fields if name not in SAME})
        elif format.startswith(_SPOKEN):
            body.update(fields)
    lost.extras(request.extra, _SPOKEN, told)
    body["model"] = model
    if request.user is not None:
        body["user"] = request.user
    return body


def _embed_body(request: EmbedRequest, model: str, lost: Lost) -> dict[str, Any]:
    body = _base(request, model, lost)
    body["input"] = list(request.input)
    body.setdefault("encoding_format", "float")
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def _chat_body(request: ChatRequest, target: Target, voice: Voice, lost: Lost) -> dict[str, Any]:
    line = voice.line(voice.behind(target), target.facts.capabilities)
    body = _base(request, target.model, lost, ("cache_control",) if line.marked else ())
    turns = request.messages if request.prompt is None else _turns_of(request.prompt, lost)
    body["messages"] = _conversation(turns, line, voice, lost)
    body["stream"] = request.stream
    _tools(request, line, body, lost)
    _format(request, turns, line, body, lost)
    if request.thinking is not None and line is UNKNOWN and _idle(request.thinking, target):
        lost.add("thinking")
    elif request.thinking is not None:
        voice.think(request.thinking, request.sampling.max_tokens, line, body, lost)
    _sampling(request, line, body, lost)
    if request.logprobs is not None:
        if line.sampled or body.get("reasoning_effort") == "none":
            body["logprobs"] = True
            if request.logprobs:
                body["top_logprobs"] = request.logprobs
        else:
            lost.add("logprobs")
    if request.choices > 1:
        body["n"] = request.choices
    return body


def _idle(thinking: Thinking, target: Target) -> bool:
    """Whether thinking is but a wish, of a model of which nothing is known: it might refuse to be told."""
    return thinking.on and thinking.wish and target.facts.capabilities is None


def _completions_body(request: ChatRequest, model: str, lost: Lost) -> dict[str, Any]:
    prompt = request.prompt or Prompt("")
    body = _base(request, model, lost)
    body["prompt"] = prompt.text
    body["stream"] = request.stream
    if prompt.suffix is not None:
        body["suffix"] = prompt.suffix
    lost.drop(
        system=prompt.system or None,
        template=prompt.template or None,
        context=prompt.context,
        images=prompt.images,
        tools=request.tools,
        format=request.format,
        thinking=request.thinking is not None and request.thinking.on,
    )
    _sampling(request, family("gpt-3.5-turbo-instruct"), body, lost)
    if request.logprobs is not None:
        body["logprobs"] = request.logprobs
    if request.choices > 1:
        body["n"] = request.choices
    return body


def _turns_of(prompt: Prompt, lost: Lost) -> tuple[Message, ...]:
    """A prompt as a conversation of one turn."""
    lost.drop(template=prompt.template or None, context=prompt.context)
    if prompt.raw:
        lost.add("raw", How.EMULATED)
    said = Message(Role.USER, (Text(prompt.text), *prompt.images))
    return (Message(Role.SYSTEM, (Text(prompt.system),)), said) if prompt.system else (said,)


def _conversation(turns: tuple[Message, ...], line: Family, voice: Voice, lost: Lost) -> list[dict[str, Any]]:
    """All turns as messages. Nothing may part the results of one turn's calls: what came along with them stands behind."""
    said: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role is not Role.TOOL:
            said += beside
            beside = []
        for message in _messages(turn, line, voice, lost):
            (said if message["role"] == "tool" or turn.role is not Role.TOOL else beside).append(message)
    return said + beside


def _messages(turn: Message, line: Family, voice: Voice, lost: Lost) -> Iterable[dict[str, Any]]:
    """One turn as messages: the results of tools are messages of their own and stand first."""
    for part in turn.parts:
        if isinstance(part, ToolResult):
            said = Text(failed_words(part, lost), cache=part.cache)
            yield {"role": "tool", "tool_call_id": part.call_id, "content": _content((said,), lost, line)}
    parts = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    if not parts and len(parts) < len(turn.parts):
        return
    message: dict[str, Any]
    if turn.role is Role.ASSISTANT:
        message = _assistant(parts, line, voice, lost)
    else:
        role = line.system if turn.role is Role.SYSTEM else "user"
        message = {"role": role, "content": _content(parts, lost, line)}
    if turn.name is not None:
        message["name"] = turn.name
    yield message


def _content(parts: Iterable[Any], lost: Lost, line: Family) -> str | list[dict[str, Any]]:
    """Parts as content: a plain text where there is but one, which every server takes."""
    content: list[dict[str, Any]] = []
    for part in parts:
        before = len(content)
        match part:
            case Text(said):
                if said:
                    content.append({"type": "text", "text": said})
            case Image():
                url: dict[str, Any] = {"url": data_url(part)}
                if part.detail is not None:
                    url["detail"] = part.detail
                content.append({"type": "image_url", "image_url": url})
            case Opaque(format, value) if format == CHAT:
                content.append(dict(value))
            case Opaque():
                lost.opaque(part)
        if line.marked and len(content) > before and part.cache is not None:
            content[-1]["cache_control"] = dict(part.cache)
    if not content:
        return ""
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        return str(content[0]["text"])
    return content


def _assistant(parts: Iterable[Any], line: Family, voice: Voice, lost: Lost) -> dict[str, Any]:
    """A turn of the model. A part that only OpenAI knows and that has no type is a field of the message."""
    message: dict[str, Any] = {"role": "assistant"}
    said: list[Any] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case ToolCall(id, name, arguments):
                function = {"name": name, "arguments": arguments}
                calls.append({"id": id, "type": "function", "function": function})
            case Reasoning():
                if not voice.recall(part, message):
                    lost.add("messages.thinking")
            case Image():
                lost.add("messages.images")
            case Opaque(format, {"tool_calls": list(others)}) if format == CHAT:
                calls.extend(others)
            case Opaque(format, value) if format == CHAT and "type" not in value:
                message.update(value)
            case _:
                said.append(part)
    content = _content(said, lost, line)
    message["content"] = (content or None) if calls else content
    if calls:
        message["tool_calls"] = calls
    return message


def _tools(request: ChatRequest, line: Family, body: dict[str, Any], lost: Lost) -> None:
    # Where tools of other kinds are among them, all stand in the body already, as the client wrote them.
    if "tools" not in body:
        if not request.tools:
            return
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice)
    if request.parallel_tools is not None:
        if line.parallel:
            body["parallel_tool_calls"] = request.parallel_tools
        else:
            lost.add("parallel_tools")


def _tool(tool: Tool) -> dict[str, Any]:
    told = (
        ("name", tool.name),
        ("description", tool.description),
        ("parameters", tool.parameters),
        ("strict", tool.strict),
    )
    return {"type": "function", "function": {key: value for key, value in told if value is not None}}


def _choice(choice: ToolChoice) -> str | dict[str, Any]:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _format(
    request: ChatRequest, turns: tuple[Message, ...], line: Family, body: dict[str, Any], lost: Lost
) -> None:
    form = request.format
    if form is None:
        return
    if form.schema is None:
        body["response_format"] = {"type": "json_object"}
        # Some refuse JSON mode where no message speaks of JSON.
        if line.json_word and not any("json" in turn.text.lower() for turn in turns):
            body["messages"].insert(0, {"role": line.system, "content": _JSON_PLEASE})
            lost.add("format", How.EMULATED)
        return
    schema: dict[str, Any] = {"name": form.name or "response", "schema": form.schema}
    if form.strict is not None:
        schema["strict"] = form.strict
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _sampling(request: ChatRequest, line: Family, body: dict[str, Any], lost: Lost) -> None:
    asked = request.sampling
    if asked.max_tokens is not None:
        body[line.limit] = asked.max_tokens
    if asked.seed is not None:
        body["seed"] = asked.seed
    refused = {
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "stop": list(asked.stop[:_MOST_STOPS]) or None,
    }
    for name, value in refused.items():
        if value is None:
            continue
        if line.sampled or (name in _THOUGHTLESS and body.get("reasoning_effort") == "none"):
            body[name] = value
        elif value != _DEFAULTS.get(name):
            lost.add(name)
    if len(asked.stop) > _MOST_STOPS and line.sampled:
        lost.add("stop", How.APPROXIMATED)
    for name in ("top_k", "min_p", "repeat_penalty"):
        value = getattr(asked, name)
        if value is None:
            continue
        if name in line.further:
            body[line.further[name]] = value
        else:
            lost.add(name)
