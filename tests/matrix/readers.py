"""What arrived at a provider, read from its own form by nobody but these few lines."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.matrix.talk import Calls, Item, Talk, Tool

Body = Mapping[str, Any]


def sealed(value: Any) -> frozenset[str]:
    """All signatures and all that is encrypted, wherever it stands."""
    return frozenset(_sealed(value))


SEALS = ("signature", "thoughtSignature", "encrypted_content", "redactedContent")
# The word by which a call without a signature passes at Google.
NOT_SIGNED = "skip_thought_signature_validator"


def _sealed(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (value[name] for name in SEALS if value.get(name) and value[name] != NOT_SIGNED)
        yield from (found for inner in value.values() for found in _sealed(inner))
    elif isinstance(value, list):
        yield from (found for inner in value for found in _sealed(inner))


# How much a model is to think, as far as the words differ.
STEPS: Mapping[Any, Any] = {"none": False, "xhigh": "max"}


def offered(name: str, description: str | None, schema: Any) -> Tool:
    return Tool(name, description or "", json.dumps(schema))


def data_of(url: str) -> str:
    return url.partition(";base64,")[2]


def openai_chat(body: Body) -> Talk:
    calls = Calls()
    items: list[Item] = []
    for message in body["messages"]:
        role, content = message["role"], message.get("content")
        role = "system" if role == "developer" else role
        if role == "tool":
            items.append(calls.answer(message["tool_call_id"], content))
            continue
        items.append((role, "thinking", message.get("reasoning") or message.get("reasoning_content") or ""))
        parts: Any = [{"type": "text", "text": content or ""}] if not isinstance(content, list) else content
        for part in parts:
            kind = part["type"]
            value = part["text"] if kind == "text" else data_of(part["image_url"]["url"])
            items.append((role, "text" if kind == "text" else "image", value))
        for call in message.get("tool_calls") or ():
            function = call["function"]
            items.append(calls.made(call["id"], function["name"], json.loads(function["arguments"])))
    choice = body.get("tool_choice")
    said = body.get("reasoning") or {}
    thinking = body.get("reasoning_effort", said.get("effort", said.get("max_tokens", said.get("enabled"))))
    return Talk(
        tuple(items),
        tuple(
            offered(
                tool["function"]["name"], tool["function"].get("description"), tool["function"]["parameters"]
            )
            for tool in body.get("tools", ())
        ),
        choice["function"]["name"] if isinstance(choice, dict) else choice,
        body.get("max_tokens", body.get("max_completion_tokens")),
        body.get("temperature"),
        tuple(body.get("stop") or ()),
        STEPS.get(thinking, thinking),
        sealed(body),
    )


def openai_responses(body: Body) -> Talk:
    calls = Calls()
    items: list[Item] = [("system", "text", body.get("instructions") or "")]
    for item in body["input"]:
        match item.get("type", "message"):
            case "message":
                role = "system" if item["role"] == "developer" else item["role"]
                content = item["content"]
                for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                    picture = part["type"] == "input_image"
                    value = data_of(part["image_url"]) if picture else part["text"]
                    items.append((role, "image" if picture else "text", value))
            case "function_call":
                items.append(calls.made(item["call_id"], item["name"], json.loads(item["arguments"])))
            case "function_call_output":
                items.append(calls.answer(item["call_id"], item["output"]))
            case "reasoning":
                items += [("assistant", "thinking", part["text"]) for part in item["summary"]]
    choice = body.get("tool_choice")
    effort = (body.get("reasoning") or {}).get("effort")
    summed = (body.get("reasoning") or {}).get("summary")
    return Talk(
        tuple(items),
        tuple(
            offered(tool["name"], tool.get("description"), tool["parameters"])
            for tool in body.get("tools", ())
        ),
        choice["name"] if isinstance(choice, dict) else choice,
        body.get("max_output_tokens"),
        body.get("temperature"),
        (),
        False if effort == "none" else effort or bool(summed),
        sealed(body),
    )


def anthropic(body: Body) -> Talk:
    calls = Calls()
    system = body.get("system") or ()
    items: list[Item] = [("system", "text", system)] if isinstance(system, str) else []
    items += [("system", "text", block["text"]) for block in system if isinstance(block, dict)]
    for message in body["messages"]:
        role, content = message["role"], message["content"]
        blocks: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            match block["type"]:
                case "text":
                    items.append((role, "text", block["text"]))
                case "image":
                    items.append((role, "image", block["source"]["data"]))
                case "thinking":
                    items.append((role, "thinking", block["thinking"]))
                case "tool_use":
                    items.append(calls.made(block["id"], block["name"], block["input"]))
                case "tool_result":
                    said = block.get("content") or ""
                    text = said if isinstance(said, str) else "".join(part["text"] for part in said)
                    items.append(calls.answer(block["tool_use_id"], text))
    choice = body.get("tool_choice") or {}
    modes: dict[Any, Any] = {"any": "required", "tool": choice.get("name")}
    thinking = body.get("thinking") or {}
    effort = (body.get("output_config") or {}).get("effort")
    return Talk(
        tuple(items),
        tuple(
            offered(tool["name"], tool.get("description"), tool["input_schema"])
            for tool in body.get("tools", ())
        ),
        modes.get(choice.get("type"), choice.get("type")),
        body["max_tokens"],
        body.get("temperature"),
        tuple(body.get("stop_sequences") or ()),
        thinking.get("budget_tokens") or effort or thinking.get("type") == "adaptive",
        sealed(body),
    )


def google(body: Body) -> Talk:
    calls = Calls()
    items: list[Item] = [
        ("system", "text", part["text"]) for part in (body.get("systemInstruction") or {}).get("parts", ())
    ]
    for content in body["contents"]:
        role = "assistant" if content["role"] == "model" else "user"
        for part in content["parts"]:
            if part.get("thought"):
                items.append((role, "thinking", part["text"]))
            elif "text" in part:
                items.append((role, "text", part["text"]))
            elif "inlineData" in part:
                items.append((role, "image", part["inlineData"]["data"]))
            elif call := part.get("functionCall"):
                items.append(calls.made(call.get("id") or call["name"], call["name"], call.get("args", {})))
            elif result := part.get("functionResponse"):
                said = result["response"]
                text = said["result"] if said.keys() == {"result"} else json.dumps(said)
                items.append(calls.answer(result.get("id") or result["name"], text))
    config = body.get("generationConfig") or {}
    thinking = config.get("thinkingConfig") or {}
    choosing = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    names = choosing.get("allowedFunctionNames") or [None]
    modes: dict[Any, Any] = {"AUTO": "auto", "NONE": "none", "ANY": names[0] or "required"}
    budget = thinking.get("thinkingBudget")
    return Talk(
        tuple(items),
        tuple(
            offered(
                each["name"], each.get("description"), each.get("parametersJsonSchema") or each["parameters"]
            )
            for tool in body.get("tools", ())
            for each in tool["functionDeclarations"]
        ),
        modes.get(choosing.get("mode")),
        config.get("maxOutputTokens"),
        config.get("temperature"),
        tuple(config.get("stopSequences") or ()),
        True
        if budget == -1
        else budget or (thinking.get("thinkingLevel") or "").lower() or bool(thinking.get("includeThoughts")),
        sealed(body),
    )


def converse(body: Body) -> Talk:
    calls = Calls()
    items: list[Item] = [("system", "text", block["text"]) for block in body.get("system") or ()]
    for message in body["messages"]:
        role = message["role"]
        for block in message["content"]:
            ((kind, value),) = block.items()
            match kind:
                case "text":
                    items.append((role, "text", value))
                case "image":
                    items.append((role, "image", value["source"]["bytes"]))
                case "reasoningContent":
                    items.append((role, "thinking", value["reasoningText"]["text"]))
                case "toolUse":
                    items.append(calls.made(value["toolUseId"], value["name"], value["input"]))
                case "toolResult":
                    text = "".join(part["text"] for part in value["content"])
                    items.append(calls.answer(value["toolUseId"], text))
    config, fields = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    tools = body.get("toolConfig") or {}
    choice = tools.get("toolChoice") or {}
    thinking, reasoning = fields.get("thinking") or {}, fields.get("reasoningConfig") or {}
    return Talk(
        tuple(items),
        tuple(
            offered(spec["name"], spec.get("description"), spec["inputSchema"]["json"])
            for spec in (tool["toolSpec"] for tool in tools.get("tools", ()))
        ),
        choice["tool"]["name"] if "tool" in choice else "required" if "any" in choice else None,
        config.get("maxTokens"),
        config.get("temperature"),
        tuple(config.get("stopSequences") or ()),
        thinking.get("budget_tokens") or reasoning.get("maxReasoningEffort") or False,
        sealed(body),
    )


def ollama(body: Body) -> Talk:
    calls = Calls()
    items: list[Item] = []
    for message in body["messages"]:
        role = message["role"]
        if role == "tool":
            items.append(
                calls.answer(message.get("tool_call_id") or message["tool_name"], message["content"])
            )
            continue
        items.append((role, "thinking", message.get("thinking") or ""))
        items.append((role, "text", message.get("content") or ""))
        items += [(role, "image", image) for image in message.get("images") or ()]
        for call in message.get("tool_calls") or ():
            function = call["function"]
            id = call.get("id") or function["name"]
            items.append(calls.made(id, function["name"], function["arguments"]))
    options = body.get("options") or {}
    return Talk(
        tuple(items),
        tuple(
            offered(
                tool["function"]["name"], tool["function"].get("description"), tool["function"]["parameters"]
            )
            for tool in body.get("tools", ())
        ),
        None,
        options.get("num_predict"),
        options.get("temperature"),
        tuple(options.get("stop") or ()),
        body.get("think"),
        sealed(body),
    )


READERS: tuple[tuple[str, Callable[[Body], Talk]], ...] = (
    ("/chat/completions", openai_chat),
    ("/responses", openai_responses),
    ("/messages", anthropic),
    (":generateContent", google),
    (":streamGenerateContent", google),
    ("/converse", converse),
    ("/converse-stream", converse),
    ("/api/chat", ollama),
)


def read(path: str, body: Body) -> Talk:
    """What a provider was asked at `path`."""
    place = path.partition("?")[0]
    return next(reader for ending, reader in READERS if place.endswith(ending))(body)
