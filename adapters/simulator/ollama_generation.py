"""Ollama's `/api/chat` and `/api/generate`, which differ in little more than where the text stands."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from attrs import frozen

from adapters.simulator import ollama_rules as rules
from adapters.simulator.logprobs import token_entry
from adapters.simulator.ollama_basics import JSON, LOAD_NS, PROMPT_NS, TOKEN_NS, found, refuse, stamp
from adapters.simulator.played import Chunk, Played, halved, streamed, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask, Delta, Script, calls_of, text_of, thinking_of
from pipeline.values.events import TextDelta, ToolCallDelta
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Format, Tool, ToolCall
from pipeline.values.targets import ModelFacts

BROKEN = "llama runner process no longer running: -1"
CONTEXT = [1000, 1001, 1002]


@frozen
class Route:
    """Where the two differ: the name of the request, what it is without a model or a text, and its own rules."""

    struct: str
    absent: rules.Refusal
    texts: tuple[str, ...]
    faults: Callable[[rules.Body, ModelFacts], Iterator[rules.Refusal]]


CHAT = Route("ChatRequest", rules.Refusal(400, "model is required"), ("messages",), rules.chat_faults)
GENERATE = Route(
    "GenerateRequest", rules.Refusal(404, "model '' not found"), ("prompt", "suffix"), rules.generate_faults
)


def chat(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/chat` answers."""
    return _generation(request, scenario, CHAT)


def generate(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/generate` answers."""
    return _generation(request, scenario, GENERATE)


def _generation(request: HttpRequest, scenario: Scenario, route: Route) -> Played:
    body = rules.read(request.body)
    if isinstance(body, rules.Refusal):
        return refuse(body, scenario)
    if refusal := next(_before_model(body, route), None):
        return refuse(refusal, scenario)
    facts = found(body, scenario)
    if facts is None:
        return refuse(rules.Refusal(404, f"model '{body['model']}' not found"), scenario)
    idle = not any(body.get(name) for name in route.texts)
    if idle and rules.unloads(body.get("keep_alive")):
        return _loaded(body, route, "unload", scenario)
    if refusal := next(route.faults(body, facts), None):
        return refuse(refusal, scenario)
    if idle:
        return _loaded(body, route, "load", scenario)
    if refusal := next(rules.format_faults(body.get("format")), None):
        return refuse(refusal, scenario)
    return _answered(body, route, scenario.act(_ask(body, facts)), scenario)


def _before_model(body: rules.Body, route: Route) -> Iterator[rules.Refusal]:
    yield from rules.request_faults(body, route.struct)
    yield from rules.keep_alive_faults(body.get("keep_alive"))
    yield from rules.name_faults(body, route.absent)


def _loaded(body: rules.Body, route: Route, reason: str, scenario: Scenario) -> Played:
    document = {**_object(body, route, scenario.epoch, ()), "done": True, "done_reason": reason}
    return whole(200, JSON, orjson.dumps(document), scenario.head_s)


def _ask(body: rules.Body, facts: ModelFacts) -> Ask:
    messages = body.get("messages", [])
    last: rules.Body = next((message for message in reversed(messages) if _role(message) == "user"), {})
    form = body.get("format")
    limit = body.get("options", {}).get("num_predict")
    return Ask(
        text=body.get("prompt") or last.get("content") or "",
        result=messages[-1].get("content") or "" if messages and _role(messages[-1]) == "tool" else None,
        tools=tuple(map(_tool, body.get("tools", ()))),
        format=Format(form if isinstance(form, dict) else None) if form else None,
        thinking=body.get("think", True) is not False and "thinking" in (facts.capabilities or ()),
        max_tokens=int(limit) if limit is not None and limit > 0 else None,
        suffix=body.get("suffix"),
        images=len(body.get("images", ())) + len(last.get("images") or ()),
    )


def _role(message: Mapping[str, Any]) -> str:
    return (message.get("role") or "").lower()


def _tool(tool: Mapping[str, Any]) -> Tool:
    function = tool.get("function") or {}
    return Tool(function.get("name", ""), parameters=function.get("parameters"))


def _answered(body: rules.Body, route: Route, script: Script, scenario: Scenario) -> Played:
    if script.status is not None:
        return refuse(rules.by_status(script.status), scenario)
    broken, cut = script.breaks_after is not None, scenario.broken == "reset"
    if body.get("stream", True):
        lines = _lines(body, route, script, scenario)
        return streamed({"content-type": "application/x-ndjson"}, scenario.head_s, lines, cut=broken and cut)
    if broken and not cut:
        return refuse(rules.Refusal(500, BROKEN), scenario)
    wait_s = scenario.head_s + scenario.delta_s * len(script.deltas)
    played = whole(200, JSON, orjson.dumps(_last(body, route, script, script.deltas, scenario)), wait_s)
    return halved(played) if broken else played


def _lines(body: rules.Body, route: Route, script: Script, scenario: Scenario) -> Iterator[Chunk]:
    at = scenario.epoch + scenario.head_s
    for group in _groups(script.said):
        pause_s = scenario.delta_s * len(group)
        at += pause_s
        yield pause_s, _line({**_object(body, route, at, group), "done": False})
    if script.breaks_after is None:
        yield 0.0, _line(_last(body, route, script, (), scenario))
    elif scenario.broken == "event":
        yield 0.0, _line({"error": BROKEN})


def _groups(deltas: tuple[Delta, ...]) -> Iterator[tuple[Delta, ...]]:
    """The deltas as they are sent: each in an object of its own, but the fragments of one tool call together."""
    group: tuple[Delta, ...] = ()
    for delta in deltas:
        if isinstance(delta, ToolCallDelta) and delta.id is None:
            group = (*group, delta)
            continue
        if group:
            yield group
        group = (delta,)
    if group:
        yield group


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


def _object(body: rules.Body, route: Route, at: float, deltas: tuple[Delta, ...]) -> dict[str, Any]:
    """One object of an answer, with all that `deltas` say; what there is none of is left out."""
    head: dict[str, Any] = {"model": body["model"], "created_at": stamp(at)}
    thinking = thinking_of(deltas)
    more = {"thinking": thinking, "tool_calls": _calls(deltas)}
    told = {name: value for name, value in more.items() if value}
    if route is CHAT:
        head["message"] = {"role": "assistant", "content": text_of(deltas), **told}
    else:
        head |= {"response": text_of(deltas), **told}
    logprobs = _logprobs(body, deltas)
    return {**head, "logprobs": logprobs} if logprobs else head


def _calls(deltas: tuple[Delta, ...]) -> list[dict[str, Any]]:
    first = next((delta.index for delta in deltas if isinstance(delta, ToolCallDelta)), 0)
    return [_call(index, call) for index, call in enumerate(calls_of(deltas), first)]


def _call(index: int, call: ToolCall) -> dict[str, Any]:
    arguments = orjson.loads(call.arguments)
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def _logprobs(body: rules.Body, deltas: tuple[Delta, ...]) -> list[dict[str, Any]]:
    if not body.get("logprobs"):
        return []
    count = body.get("top_logprobs", 0)
    entries = [token_entry(delta.text, count) for delta in deltas if isinstance(delta, TextDelta)]
    kept = ("token", "logprob", "bytes", "top_logprobs") if count else ("token", "logprob", "bytes")
    return [{name: entry[name] for name in kept} for entry in entries]


def _last(
    body: rules.Body, route: Route, script: Script, deltas: tuple[Delta, ...], scenario: Scenario
) -> dict[str, Any]:
    """The object that ends an answer; `deltas` are those it carries itself."""
    waited_s = scenario.head_s + scenario.delta_s * len(script.deltas)
    final = _object(body, route, scenario.epoch + waited_s, deltas)
    final |= {"done": True, "done_reason": "length" if script.finish == "length" else "stop"}
    if route is GENERATE and not body.get("raw"):
        final["context"] = CONTEXT
    prompt, output = script.tokens
    counts = {
        "total_duration": round(waited_s * 1e9) + LOAD_NS + PROMPT_NS + TOKEN_NS * output,
        "load_duration": LOAD_NS,
        "prompt_eval_count": prompt,
        "prompt_eval_duration": PROMPT_NS,
        "eval_count": output,
        "eval_duration": TOKEN_NS * output,
    }
    return final | {name: count for name, count in counts.items() if count}
