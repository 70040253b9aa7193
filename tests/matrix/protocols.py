"""The languages of clients: each says a conversation in its own words, reads its answers, and gives them back.

One value a protocol, of plain functions over JSON; that is all there is to do for another one.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve, field, frozen

from tests.matrix.talk import STEPS, Item, Reply, Talk, Tool, instructed, reply

Body = dict[str, Any]
PNG = "image/png"


@frozen
class Protocol:
    """One client language.

    `path(model, stream)`: where it is spoken. `body(talk, model, stream)`: the request. `said(talk)`: what of it this
    form can say at all. `assembled(bytes)`: a stream as the document that is answered without one. `told(document)`: the
    answer. `again(body, document, results)`: the request that gives the answer back with the results of its calls.
    """

    name: str
    path: Callable[[str, bool], str]
    body: Callable[[Talk, str, bool], Body]
    said: Callable[[Talk], Talk]
    assembled: Callable[[bytes], Body]
    told: Callable[[Body], Reply]
    again: Callable[[Body, Body, tuple[str, ...]], Body]
    headers: Mapping[str, str] = field(factory=dict)


def in_tokens(talk: Talk) -> Talk:
    """Thinking by tokens, where a form says steps to some models alone."""
    how = talk.thinking
    return evolve(talk, thinking=STEPS[how]) if isinstance(how, str) else talk


def in_steps(talk: Talk) -> Talk:
    """Thinking by steps, where a form knows no number of tokens."""
    how = talk.thinking
    counted = isinstance(how, int) and not isinstance(how, bool)
    return evolve(talk, thinking="medium") if counted else talk


def steps(items: tuple[Item, ...]) -> Iterator[tuple[str, tuple[Item, ...]]]:
    """Runs of one speaker, each as its items."""
    start = 0
    for at in range(1, len(items) + 1):
        if at == len(items) or items[at][0] != items[start][0]:
            yield items[start][0], items[start:at]
            start = at


def events(data: bytes) -> Iterator[Body]:
    """The documents of a stream of server-sent events."""
    for line in data.decode().splitlines():
        if line.startswith("data:") and line[5:].strip() != "[DONE]":
            yield json.loads(line[5:])


def id_of(place: int) -> str:
    return f"call_id_{place}"


def words(items: tuple[Item, ...], kind: str = "text") -> str:
    return "".join(value for _, its, value in items if its == kind)


def function(tool: Tool) -> Body:
    return {"name": tool.name, "description": tool.description, "parameters": json.loads(tool.schema)}


def filled(**fields: Any) -> Body:
    """Those that say something."""
    return {name: value for name, value in fields.items() if value not in (None, [], (), "", {})}


# Ollama


def _ollama_body(talk: Talk, model: str, stream: bool) -> Body:
    messages: list[Body] = []
    names: list[str] = [value[1] for _, kind, value in talk.items if kind == "call"]
    for role, items in steps(talk.items):
        if role == "tool":
            # Its clients know no ids: the name of the tool and the order of calls say whose result it is.
            messages += [
                {"role": "tool", "tool_name": names[place], "content": text}
                for place, text in sorted(value for _, _, value in items)
            ]
            continue
        calls = [
            {"function": {"name": value[1], "arguments": value[2]}}
            for _, kind, value in items
            if kind == "call"
        ]
        images = [value for _, kind, value in items if kind == "image"]
        said = {"role": role, "content": words(items)}
        messages.append(said | filled(thinking=words(items, "thinking"), images=images, tool_calls=calls))
    options = filled(num_predict=talk.max_tokens, temperature=talk.temperature, stop=list(talk.stop))
    tools = [{"type": "function", "function": function(tool)} for tool in talk.tools]
    return {
        "model": model,
        "messages": messages,
        "stream": stream,
        **filled(tools=tools, options=options, think=in_steps(talk).thinking),
    }


def _ollama_said(talk: Talk) -> Talk:
    return evolve(in_steps(talk), choice=None)


def _ollama_assembled(data: bytes) -> Body:
    lines = [json.loads(line) for line in data.splitlines()]
    message: Body = {"role": "assistant", "content": ""}
    for line in lines:
        said = line["message"]
        message["content"] += said.get("content") or ""
        for name in ("thinking", "tool_calls"):
            if said.get(name):
                message[name] = message.get(name, type(said[name])()) + said[name]
    return {**lines[-1], "message": message}


def _ollama_told(document: Body) -> Reply:
    message = document["message"]
    calls = [
        ("call", (call.get("id") or str(at), call["function"]["name"], call["function"]["arguments"]))
        for at, call in enumerate(message.get("tool_calls") or ())
    ]
    parts = [("thinking", message.get("thinking") or ""), ("text", message["content"]), *calls]
    usage = (document.get("prompt_eval_count"), document.get("eval_count"))
    # It says "stop" of a turn that calls as well.
    finish = "tool_calls" if calls and document["done_reason"] == "stop" else document["done_reason"]
    return reply(parts, finish, usage)


def _ollama_again(body: Body, document: Body, results: tuple[str, ...]) -> Body:
    message = document["message"]
    answers = [
        {"role": "tool", "tool_name": call["function"]["name"], "content": result}
        | filled(tool_call_id=call.get("id"))
        for call, result in zip(message["tool_calls"], results, strict=True)
    ]
    return {**body, "messages": [*body["messages"], message, *answers]}


OLLAMA = Protocol(
    "ollama.chat",
    lambda model, stream: "/api/chat",
    _ollama_body,
    _ollama_said,
    _ollama_assembled,
    _ollama_told,
    _ollama_again,
)

# OpenAI's chat


def _chat_parts(items: tuple[Item, ...]) -> str | list[Body]:
    if not any(kind == "image" for _, kind, _ in items):
        return words(items)
    return [
        {"type": "text", "text": value}
        if kind == "text"
        else {"type": "image_url", "image_url": {"url": f"data:{PNG};base64,{value}"}}
        for _, kind, value in items
    ]


def _chat_body(talk: Talk, model: str, stream: bool) -> Body:
    messages: list[Body] = []
    for role, items in steps(talk.items):
        if role == "tool":
            messages += [
                {"role": "tool", "tool_call_id": id_of(value[0]), "content": value[1]}
                for _, _, value in items
            ]
            continue
        said: Body = {"role": role, "content": _chat_parts(items) if role != "assistant" else words(items)}
        calls = [
            {
                "id": id_of(value[0]),
                "type": "function",
                "function": {"name": value[1], "arguments": json.dumps(value[2])},
            }
            for _, kind, value in items
            if kind == "call"
        ]
        messages.append(said | filled(reasoning_content=words(items, "thinking"), tool_calls=calls))
    choice: Any = talk.choice
    if choice not in (None, "auto", "none", "required"):
        choice = {"type": "function", "function": {"name": choice}}
    thinking = in_steps(talk).thinking
    how = {True: "medium", False: "none", "max": "xhigh"}
    return {
        "model": model,
        "messages": messages,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **filled(
            tools=[{"type": "function", "function": function(tool)} for tool in talk.tools],
            tool_choice=choice,
            max_completion_tokens=talk.max_tokens,
            temperature=talk.temperature,
            stop=list(talk.stop),
            reasoning_effort=how.get(thinking, thinking),
        ),
    }


def _chat_said(talk: Talk) -> Talk:
    return evolve(in_steps(talk), thinking="medium") if talk.thinking is True else in_steps(talk)


def _chat_assembled(data: bytes) -> Body:
    message: Body = {"role": "assistant", "content": None}
    calls: dict[int, Body] = {}
    whole: Body = {}
    finish = None
    for chunk in events(data):
        whole = {**chunk, "usage": chunk.get("usage") or whole.get("usage")}
        for choice in chunk["choices"]:
            delta = choice["delta"]
            finish = choice.get("finish_reason") or finish
            for name in ("content", "reasoning_content", "reasoning", "reasoning_details"):
                if delta.get(name):
                    message[name] = (message.get(name) or type(delta[name])()) + delta[name]
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault(
                    call["index"], {"type": "function", "function": {"name": "", "arguments": ""}}
                )
                known |= filled(id=call.get("id"))
                for name in ("name", "arguments"):
                    known["function"][name] += call.get("function", {}).get(name) or ""
    if calls:
        message["tool_calls"] = [calls[at] for at in sorted(calls)]
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _chat_told(document: Body) -> Reply:
    ((choice),) = document["choices"]
    message = choice["message"]
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    calls = [
        ("call", (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}")))
        for call in message.get("tool_calls") or ()
    ]
    usage = document.get("usage") or {}
    return reply(
        [("thinking", thought), ("text", message["content"] or ""), *calls],
        choice["finish_reason"],
        (usage.get("prompt_tokens"), usage.get("completion_tokens")),
    )


def _chat_again(body: Body, document: Body, results: tuple[str, ...]) -> Body:
    message = document["choices"][0]["message"]
    answers = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(message["tool_calls"], results, strict=True)
    ]
    return {**body, "messages": [*body["messages"], message, *answers]}


OPENAI_CHAT = Protocol(
    "openai.chat",
    lambda model, stream: "/v1/chat/completions",
    _chat_body,
    _chat_said,
    _chat_assembled,
    _chat_told,
    _chat_again,
)
AZURE = evolve(
    OPENAI_CHAT,
    name="azure",
    path=lambda model, stream: f"/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
)

# OpenAI's responses


def _responses_parts(items: tuple[Item, ...]) -> list[Body]:
    return [
        {"type": "input_text", "text": value}
        if kind == "text"
        else {"type": "input_image", "image_url": f"data:{PNG};base64,{value}"}
        for _, kind, value in items
    ]


def _responses_body(talk: Talk, model: str, stream: bool) -> Body:
    given: list[Body] = []
    for role, items in steps(talk.items):
        if role in ("system", "user"):
            given.append({"role": role, "content": _responses_parts(items)})
            continue
        for _, kind, value in items:
            match kind:
                case "text":
                    given.append({"role": "assistant", "content": [{"type": "output_text", "text": value}]})
                case "thinking":
                    thought = [{"type": "summary_text", "text": value}]
                    given.append({"type": "reasoning", "summary": thought})
                case "call":
                    place, name, arguments = value
                    call = {"type": "function_call", "call_id": id_of(place), "name": name}
                    given.append({**call, "arguments": json.dumps(arguments)})
                case "result":
                    place, text = value
                    answer = {"type": "function_call_output", "call_id": id_of(place)}
                    given.append({**answer, "output": text})
    choice: Any = talk.choice
    if choice not in (None, "auto", "none", "required"):
        choice = {"type": "function", "name": choice}
    how: dict[Any, Any] = {True: {"summary": "auto"}, False: {"effort": "none"}, None: None}
    thinking = in_steps(talk).thinking
    effort = "xhigh" if thinking == "max" else thinking
    return {
        "model": model,
        "input": given,
        "stream": stream,
        **filled(
            tools=[{"type": "function", **function(tool)} for tool in talk.tools],
            tool_choice=choice,
            max_output_tokens=talk.max_tokens,
            temperature=talk.temperature,
            reasoning=how.get(thinking, {"effort": effort, "summary": "auto"}),
        ),
    }


def _responses_said(talk: Talk) -> Talk:
    return evolve(in_steps(talk), stop=())


def _responses_assembled(data: bytes) -> Body:
    found = list(events(data))
    items = [event["item"] for event in found if event["type"] == "response.output_item.done"]
    whole: Body = next(event["response"] for event in found if event["type"] == "response.completed")
    assert whole["output"] == items, "an item as it ends, and as it stands in the end"
    return whole


def _responses_told(document: Body) -> Reply:
    parts: list[tuple[str, Any]] = []
    for item in document["output"]:
        match item["type"]:
            case "reasoning":
                parts += [("thinking", part["text"]) for part in item["summary"]]
            case "message":
                parts += [("text", part["text"]) for part in item["content"]]
            case "function_call":
                parts.append(("call", (item["call_id"], item["name"], json.loads(item["arguments"]))))
    # Its one word for the end of every answer that is whole.
    finish = "tool_calls" if any(kind == "call" for kind, _ in parts) else "stop"
    usage = document["usage"]
    finish = finish if document["status"] == "completed" else document["status"]
    return reply(parts, finish, (usage["input_tokens"], usage["output_tokens"]))


def _responses_again(body: Body, document: Body, results: tuple[str, ...]) -> Body:
    calls = [item for item in document["output"] if item["type"] == "function_call"]
    answers = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return {**body, "input": [*body["input"], *document["output"], *answers]}


RESPONSES = Protocol(
    "openai.responses",
    lambda model, stream: "/v1/responses",
    _responses_body,
    _responses_said,
    _responses_assembled,
    _responses_told,
    _responses_again,
)

# Anthropic


def _anthropic_block(item: Item) -> Body:
    _, kind, value = item
    match kind:
        case "text":
            return {"type": "text", "text": value}
        case "image":
            source = {"type": "base64", "media_type": PNG, "data": value}
            return {"type": "image", "source": source}
        case "thinking":
            return {"type": "thinking", "thinking": value, "signature": ""}
        case "call":
            place, name, arguments = value
            return {"type": "tool_use", "id": id_of(place), "name": name, "input": arguments}
    place, text = value
    return {"type": "tool_result", "tool_use_id": id_of(place), "content": text}


def _anthropic_body(talk: Talk, model: str, stream: bool) -> Body:
    messages: list[Body] = []
    system = [_anthropic_block(item) for item in talk.items if item[0] == "system" and item[2]]
    for role, items in steps(tuple(item for item in talk.items if item[0] != "system")):
        blocks = [_anthropic_block(item) for item in items]
        who = "assistant" if role == "assistant" else "user"
        if messages and messages[-1]["role"] == who:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": who, "content": blocks})
    choice: Any = None
    if talk.choice is not None:
        choice = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}.get(
            talk.choice, {"type": "tool", "name": talk.choice}
        )
    match in_tokens(talk).thinking:
        case None:
            how: Body = {}
        case False:
            how = {"thinking": {"type": "disabled"}}
        case True:
            how = {"thinking": {"type": "adaptive"}}
        case budget:
            how = {"thinking": {"type": "enabled", "budget_tokens": budget}}
    return {
        "model": model,
        "messages": messages,
        "stream": stream,
        "max_tokens": talk.max_tokens,
        **how,
        **filled(
            system=system,
            tools=[
                {"name": tool.name, "description": tool.description, "input_schema": json.loads(tool.schema)}
                for tool in talk.tools
            ],
            tool_choice=choice,
            temperature=talk.temperature,
            stop_sequences=list(talk.stop),
        ),
    }


def _anthropic_assembled(data: bytes) -> Body:
    message: Body = {}
    pieces: dict[int, str] = {}
    for event in events(data):
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
                pieces[event["index"]] = ""
            case "content_block_delta":
                block, delta = message["content"][event["index"]], event["delta"]
                match delta["type"]:
                    case "input_json_delta":
                        pieces[event["index"]] += delta["partial_json"]
                    case kind:
                        name = kind.removesuffix("_delta")
                        block[name] = block.get(name, "") + delta[name]
            case "content_block_stop":
                block = message["content"][event["index"]]
                if block["type"] == "tool_use":
                    block["input"] = json.loads(pieces[event["index"]] or "{}")
            case "message_delta":
                message |= event["delta"]
                message["usage"] = {**message["usage"], **event["usage"]}
    return message


def _anthropic_told(document: Body) -> Reply:
    parts: list[tuple[str, Any]] = []
    for block in document["content"]:
        match block["type"]:
            case "text" | "thinking" as kind:
                parts.append((kind, block[kind]))
            case "tool_use":
                parts.append(("call", (block["id"], block["name"], block["input"])))
    finish = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}[document["stop_reason"]]
    usage = document["usage"]
    return reply(parts, finish, (usage["input_tokens"], usage["output_tokens"]))


def _anthropic_again(body: Body, document: Body, results: tuple[str, ...]) -> Body:
    calls = [block for block in document["content"] if block["type"] == "tool_use"]
    answers = [
        {"type": "tool_result", "tool_use_id": call["id"], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    said = {"role": "assistant", "content": document["content"]}
    return {**body, "messages": [*body["messages"], said, {"role": "user", "content": answers}]}


ANTHROPIC = Protocol(
    "anthropic.messages",
    lambda model, stream: "/v1/messages",
    _anthropic_body,
    lambda talk: instructed(in_tokens(talk)),
    _anthropic_assembled,
    _anthropic_told,
    _anthropic_again,
    {"anthropic-version": "2023-06-01"},
)

# Google


def _google_part(item: Item, names: list[str]) -> Body:
    _, kind, value = item
    match kind:
        case "text":
            return {"text": value}
        case "image":
            return {"inlineData": {"mimeType": PNG, "data": value}}
        case "thinking":
            return {"text": value, "thought": True}
        case "call":
            place, name, arguments = value
            return {"functionCall": {"id": id_of(place), "name": name, "args": arguments}}
    place, text = value
    return {"functionResponse": {"id": id_of(place), "name": names[place], "response": {"result": text}}}


def _google_body(talk: Talk, model: str, stream: bool) -> Body:
    names = [value[1] for _, kind, value in talk.items if kind == "call"]
    system = [{"text": value} for role, _, value in talk.items if role == "system"]
    contents = [
        {
            "role": "model" if role == "assistant" else "user",
            "parts": [_google_part(item, names) for item in items],
        }
        for role, items in steps(tuple(item for item in talk.items if item[0] != "system"))
    ]
    choice: Any = None
    if talk.choice is not None:
        choice = {"auto": {"mode": "AUTO"}, "none": {"mode": "NONE"}, "required": {"mode": "ANY"}}.get(
            talk.choice, {"mode": "ANY", "allowedFunctionNames": [talk.choice]}
        )
    how: Any
    match in_tokens(talk).thinking:
        case None:
            how = None
        case False:
            how = {"thinkingBudget": 0}
        case True:
            how = {"includeThoughts": True}
        case budget:
            how = {"includeThoughts": True, "thinkingBudget": budget}
    tools = [
        {
            "name": tool.name,
            "description": tool.description,
            "parametersJsonSchema": json.loads(tool.schema),
        }
        for tool in talk.tools
    ]
    config = filled(
        maxOutputTokens=talk.max_tokens,
        temperature=talk.temperature,
        stopSequences=list(talk.stop),
        thinkingConfig=how,
    )
    return {
        "contents": contents,
        **filled(
            systemInstruction=system and {"parts": system},
            tools=tools and [{"functionDeclarations": tools}],
            toolConfig=choice and {"functionCallingConfig": choice},
            generationConfig=config,
        ),
    }


def _google_assembled(data: bytes) -> Body:
    parts: list[Body] = []
    whole: Body = {}
    for chunk in events(data):
        (candidate,) = chunk["candidates"]
        reason = candidate.get("finishReason") or whole.get("finishReason")
        parts += (candidate.get("content") or {}).get("parts") or ()
        whole = {**whole, **chunk, "finishReason": reason}
    joined: list[Body] = []
    for part in parts:
        last = joined[-1] if joined else {}
        if "text" in part and "text" in last and last.get("thought") == part.get("thought"):
            joined[-1] = {**last, **part, "text": last["text"] + part["text"]}
        else:
            joined.append(part)
    reason = whole.pop("finishReason")
    return {
        **whole,
        "candidates": [{"content": {"role": "model", "parts": joined}, "finishReason": reason}],
    }


def _google_told(document: Body) -> Reply:
    (candidate,) = document["candidates"]
    parts: list[tuple[str, Any]] = []
    for at, part in enumerate(candidate["content"]["parts"]):
        if call := part.get("functionCall"):
            parts.append(("call", (call.get("id") or str(at), call["name"], call.get("args") or {})))
        elif "text" in part:
            parts.append(("thinking" if part.get("thought") else "text", part["text"]))
    called = any(kind == "call" for kind, _ in parts)
    finish = {"STOP": "tool_calls" if called else "stop", "MAX_TOKENS": "length"}[candidate["finishReason"]]
    usage = document["usageMetadata"]
    output = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    return reply(parts, finish, (usage.get("promptTokenCount"), output))


def _google_again(body: Body, document: Body, results: tuple[str, ...]) -> Body:
    content = document["candidates"][0]["content"]
    calls = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
    answers = [
        {
            "functionResponse": {
                **filled(id=call.get("id")),
                "name": call["name"],
                "response": {"result": result},
            }
        }
        for call, result in zip(calls, results, strict=True)
    ]
    return {**body, "contents": [*body["contents"], content, {"role": "user", "parts": answers}]}


GOOGLE = Protocol(
    "google.generate",
    lambda model, stream: (
        f"/v1beta/models/{model}:streamGenerateContent?alt=sse"
        if stream
        else f"/v1beta/models/{model}:generateContent"
    ),
    _google_body,
    lambda talk: instructed(in_tokens(talk)),
    _google_assembled,
    _google_told,
    _google_again,
)

ALL = (OLLAMA, OPENAI_CHAT, RESPONSES, ANTHROPIC, GOOGLE, AZURE)
