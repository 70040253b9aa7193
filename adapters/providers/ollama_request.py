"""Requests in Ollama's form: which endpoint, and how each field of a request is said there.

A request that came in the endpoint's own form goes out as the client wrote it, with the model's name changed. All
others are built from the canonical fields, and each field that has no place is reported.
"""

from collections.abc import Mapping
from typing import Any

from adapters.providers.families import effort_of_budget
from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.ollama_reply import CHAT, EMBED, EMBEDDINGS, FAMILY, GENERATE
from adapters.providers.stopgaps import failed_words
from adapters.raw_json import object_of
from pipeline.ports import Encoded
from pipeline.values.exchange import How
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
    ToolResult,
)
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Target

_PATHS: Mapping[str, str] = {
    CHAT: "/api/chat",
    GENERATE: "/api/generate",
    EMBED: "/api/embed",
    EMBEDDINGS: "/api/embeddings",
}


def endpoint(request: ChatRequest | EmbedRequest) -> str:
    """The wire format to ask in. The older embedding route is asked only for a client that asked it itself."""
    if isinstance(request, EmbedRequest):
        asked = request.source.format if request.source else None
        return EMBEDDINGS if asked == EMBEDDINGS else EMBED
    return CHAT if request.prompt is None else GENERATE


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode` of Ollama. Problems: `unsupported` for pictures by address and for tokens as input."""
    format, lost = endpoint(request), Lost()
    body: dict[str, Any]
    if request.source is not None and request.source.format == format:
        # Ollama matches keys without regard to case, so another spelling of ours would win over it.
        kept = {key: value for key, value in request.source.body.items() if key.lower() != "model"}
        body = {"model": target.model, **kept}
    elif problem := _impossible(request):
        return problem.at(target.name)
    elif isinstance(request, EmbedRequest):
        body = _embed_body(request, target.model, lost)
    else:
        body = _generation_body(request, target.model, lost)
    accept = "application/x-ndjson" if request.stream else "application/json"
    return Encoded(post(target.provider, _PATHS[format], body, accept), lost.losses)


def _impossible(request: ChatRequest | EmbedRequest) -> Problem | None:
    """Why the request cannot be said at all: what is left out would change what it is about."""
    if isinstance(request, EmbedRequest):
        if all(isinstance(text, str) for text in request.input):
            return None
        return Problem(
            Kind.UNSUPPORTED, "Ollama embeds texts: input must be text, not tokens", subject="token input"
        )
    images = [part for turn in request.messages for part in turn.parts if isinstance(part, Image)]
    images += request.prompt.images if request.prompt else ()
    if all(image.data is not None for image in images):
        return None
    return Problem(
        Kind.UNSUPPORTED, "Ollama takes pictures as base64 data, not by address", subject="image url"
    )


def _base(request: ChatRequest | EmbedRequest, model: str, lost: Lost) -> dict[str, Any]:
    lost.extras(request.extra, FAMILY)
    if request.user is not None:
        # It tells an account's owner who is at fault; there is no such owner here.
        lost.add("user", How.MOOT)
    return {**_own(request), "model": model}


def _own(request: ChatRequest | EmbedRequest) -> Mapping[str, Any]:
    own = request.extra.get(FAMILY)
    return own if isinstance(own, Mapping) else {}


def _embed_body(request: EmbedRequest, model: str, lost: Lost) -> dict[str, Any]:
    body = {**_base(request, model, lost), "input": list(request.input)}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def _generation_body(request: ChatRequest, model: str, lost: Lost) -> dict[str, Any]:
    """What /api/chat and /api/generate share, and the words themselves."""
    body = {**_base(request, model, lost), "stream": request.stream}
    if request.prompt is None:
        body["messages"] = [said for turn in request.messages for said in _messages(turn, lost)]
        if body.pop("template", None) is not None:
            # Only a bare prompt can be given another one.
            lost.add("template")
        _tools(request, body, lost)
    else:
        body.update(_prompt(request.prompt))
        lost.drop(tools=request.tools)
    if request.thinking is not None:
        body["think"] = _think(request.thinking, lost)
    if request.format is not None:
        body["format"] = "json" if request.format.schema is None else request.format.schema
    options = _options(request)
    if options:
        body["options"] = options
    if request.logprobs is not None:
        body["logprobs"] = True
        if request.logprobs:
            body["top_logprobs"] = request.logprobs
    if request.choices > 1:
        lost.add("choices")
    return body


def _prompt(prompt: Prompt) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": prompt.text}
    if prompt.raw:
        body["raw"] = True
    if prompt.suffix is not None:
        body["suffix"] = prompt.suffix
    if prompt.system is not None:
        body["system"] = prompt.system
    if prompt.template is not None:
        body["template"] = prompt.template
    if prompt.context is not None:
        body["context"] = list(prompt.context)
    if prompt.images:
        body["images"] = [image.data for image in prompt.images]
    return body


def _messages(turn: Message, lost: Lost) -> list[dict[str, Any]]:
    """One turn as messages: the results of tools are messages of their own and stand first."""
    results = [part for part in turn.parts if isinstance(part, ToolResult)]
    messages = [_result(result, lost) for result in results]
    if results and len(results) == len(turn.parts):
        return messages
    role = Role.USER if turn.role is Role.TOOL else turn.role
    message: dict[str, Any] = {"role": role.value, "content": turn.text}
    for part in turn.parts:
        match part:
            case Reasoning(thought):
                message["thinking"] = message.get("thinking", "") + thought
            case Image(data):
                message.setdefault("images", []).append(data)
            case ToolCall():
                message.setdefault("tool_calls", []).append(_call(part, lost))
            case Opaque(format, value) if format.startswith(FAMILY):
                message.update(value)
            case Opaque():
                _opaque(part, message, lost)
            case Text() | ToolResult():
                pass
    if turn.name is not None:
        lost.add("messages.name")
    return [*messages, message]


def _opaque(part: Opaque, message: dict[str, Any], lost: Lost) -> None:
    """Ollama tells sound from pictures by the bytes, and takes both in one place; all else is lost."""
    sound = part.value.get("input_audio")
    data = sound.get("data") if isinstance(sound, Mapping) else None
    if isinstance(data, str):
        message.setdefault("images", []).append(data)
    else:
        lost.opaque(part)


def _result(result: ToolResult, lost: Lost) -> dict[str, Any]:
    content = failed_words(result, lost)
    message = {"role": "tool", "content": content, "tool_call_id": result.call_id}
    return {**message, "tool_name": result.name} if result.name else message


def _call(call: ToolCall, lost: Lost) -> dict[str, Any]:
    """A call with its arguments as an object; what is none cannot be said, and an empty one stands for it."""
    arguments = object_of(call.arguments)
    if arguments is None:
        arguments = object_of("")
        lost.add("messages.tool_calls.arguments", How.APPROXIMATED)
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments}}


def _tools(request: ChatRequest, body: dict[str, Any], lost: Lost) -> None:
    """Tools, and what can be done for a choice among them: Ollama has none, but offers only what it is given."""
    offered = request.tools
    choice = request.tool_choice
    if choice is not None and offered:
        if choice.mode == "none":
            offered = ()
            lost.add("tool_choice", How.EMULATED)
        elif choice.mode == "named":
            offered = tuple(tool for tool in offered if tool.name == choice.name)
            lost.add("tool_choice", How.APPROXIMATED)
        elif choice.mode == "required":
            lost.add("tool_choice")
    if offered:
        body["tools"] = [_tool(tool) for tool in offered]
        # Several calls at once are Ollama's way already; only their absence cannot be had.
        if request.parallel_tools is False:
            lost.add("parallel_tools")


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _think(thinking: Thinking, lost: Lost) -> bool | str:
    if not thinking.on:
        return False
    step = thinking.effort
    if step is None and thinking.budget is not None:
        lost.add("thinking", How.APPROXIMATED)
        step = effort_of_budget(thinking.budget)
    if step == "minimal":
        lost.add("thinking", How.APPROXIMATED)
        step = "low"
    return step or True


def _options(request: ChatRequest) -> dict[str, Any]:
    asked = request.sampling
    own = _own(request).get("options")
    options = dict(own) if isinstance(own, Mapping) else {}
    if asked.max_tokens is not None:
        options["num_predict"] = asked.max_tokens
    if asked.stop:
        options["stop"] = list(asked.stop)
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repeat_penalty",
    ):
        value = getattr(asked, name)
        if value is not None:
            options[name] = value
    return options
