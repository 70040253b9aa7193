"""Requests in Google's form: which method of which model, and how each field of a request is said there.

Tools and the form of an answer are said as JSON Schema where the model takes it (Gemini 2.5 and later): then references,
tuples and `additionalProperties` survive, which the older subset of OpenAPI does not know.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from adapters.providers.google_families import Family, family, thinking_config
from adapters.providers.google_messages import NAMES, Conversation, conversation, fetched, passable
from adapters.providers.google_reply import EMBED, GENERATE
from adapters.providers.google_schema import json_schema, openapi
from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.tool_names import Names, names_of
from pipeline.ports import Encoded
from pipeline.values.exchange import How
from pipeline.values.messages import ChatRequest, EmbedRequest, Format, Image, Tool
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Target

# Where a client's own Google form keeps what the canonical form does not hold: fields of `generationConfig`, and by name
# the tools that Google runs itself.
_CONFIG, _RUN = "google.config", "google.tools"
# Google takes no more stop texts, and no more answers at once, than these.
_MOST_STOPS = 5
_MOST_CHOICES = 8
_MOST_TOP_K = 64
_MOST_LOGPROBS = 20
_SEEDS = 2**31


def encode(request: ChatRequest | EmbedRequest, target: Target) -> Encoded | Problem:
    """`Codec.encode` of Google. Problems: `unsupported` for gaps, tokens as input, and pictures out of its reach."""
    line, lost = family(target.model, target.facts.capabilities), Lost()
    problem = _impossible(request, line)
    if problem is not None:
        return problem.at(target.name)
    own = EMBED if isinstance(request, EmbedRequest) else GENERATE
    if request.source is not None and request.source.format == own:
        body = _as_given(request, request.source.body, target.model, line)
        if isinstance(request, ChatRequest) and (wish := request.thinking) and wish.wish and not wish.on:
            _unthinking(body)
    elif isinstance(request, EmbedRequest):
        body = _embed_body(request, target.model, lost)
    else:
        body = _generate_body(request, target, line, lost)
    accept = "text/event-stream" if request.stream else "application/json"
    return Encoded(post(target.provider, _path(request, target.model, body), body, accept), lost.losses)


def _as_given(
    request: ChatRequest | EmbedRequest, source: Mapping[str, Any], model: str, line: Family
) -> dict[str, Any]:
    """The client's own JSON. The name stands in the address, and in the members of a batch.

    A conversation may have begun with another vendor's model, whose calls carry no signature.
    """
    body = {name: value for name, value in source.items() if name != "model"}
    if isinstance(request, EmbedRequest):
        if "requests" in body:
            body["requests"] = [{**asked, "model": _place(model)} for asked in body["requests"]]
    elif line.signed and isinstance(body.get("contents"), list):
        body["contents"] = passable(body["contents"])
    return body


def _unthinking(body: dict[str, Any]) -> None:
    """Take the wish to think out of the client's own JSON: a model that cannot think refuses it."""
    config = body.get("generationConfig") or {}
    body["generationConfig"] = {name: value for name, value in config.items() if name != "thinkingConfig"}


def _impossible(request: ChatRequest | EmbedRequest, line: Family) -> Problem | None:
    """Why the request cannot be said at all: what is left out would change what it is about."""
    if isinstance(request, EmbedRequest):
        if all(isinstance(text, str) for text in request.input):
            return None
        return Problem(
            Kind.UNSUPPORTED, "Gemini embeds texts: input must be text, not tokens", subject="token input"
        )
    if request.prompt is not None and request.prompt.suffix is not None:
        return Problem(Kind.UNSUPPORTED, subject="insert")
    images = [part for turn in request.messages for part in turn.parts if isinstance(part, Image)]
    images += request.prompt.images if request.prompt else ()
    if all(image.data is not None or fetched(image, line) for image in images):
        return None
    words = "this model cannot load a picture from this address; send its base64 data, or an https address to a newer model"
    return Problem(Kind.UNSUPPORTED, words, subject="image url")


def _place(model: str) -> str:
    """The model as part of an address; one of the user's own tuning has a place of its own."""
    folder, _, name = model.rpartition("/")
    return f"{'tunedModels' if folder == 'tunedModels' else 'models'}/{quote(name, safe='')}"


def _path(request: ChatRequest | EmbedRequest, model: str, body: Mapping[str, Any]) -> str:
    if isinstance(request, EmbedRequest):
        method = "batchEmbedContents" if "requests" in body else "embedContent"
    else:
        method = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
    return f"/{_place(model)}:{method}"


def _base(request: ChatRequest | EmbedRequest, own: str, lost: Lost) -> dict[str, Any]:
    """The fields that only Google's form holds, and the loss of those of others."""
    others = dict(request.extra)
    body = dict(others.pop(own, {}))
    if config := others.pop(_CONFIG, None):
        body["generationConfig"] = {**body.get("generationConfig", {}), **config}
    if run := others.pop(_RUN, None):
        body["tools"] = [*body.get("tools", ()), *({name: value} for name, value in run.items())]
    lost.extras(others, own)
    lost.drop(user=request.user)
    return body


def _embed_body(request: EmbedRequest, model: str, lost: Lost) -> dict[str, Any]:
    shared = {**_base(request, EMBED, lost), "model": _place(model)}
    if request.dimensions is not None:
        shared["outputDimensionality"] = request.dimensions
    asked = [{**shared, "content": {"parts": [{"text": text}]}} for text in request.input]
    return asked[0] if len(asked) == 1 else {"requests": asked}


def _generate_body(request: ChatRequest, target: Target, line: Family, lost: Lost) -> dict[str, Any]:
    body = _base(request, GENERATE, lost)
    said = conversation(request, line, lost)
    body["contents"] = said.contents
    config = dict(body.pop("generationConfig", None) or {})
    config.update(_sampling(request, target, line, lost))
    config.update(_format(request, line, said, lost))
    _think(request, line, config, lost)
    if said.system:
        body["systemInstruction"] = {"parts": said.system}
    _tools(request, line, body, lost)
    if config:
        body["generationConfig"] = config
    return body


def _think(request: ChatRequest, line: Family, config: dict[str, Any], lost: Lost) -> None:
    if request.thinking is None:
        return
    said, how = thinking_config(request.thinking, line, request.sampling.max_tokens)
    if said is not None:
        config["thinkingConfig"] = said
    if how is not None:
        lost.add("thinking", how)


def _sampling(request: ChatRequest, target: Target, line: Family, lost: Lost) -> dict[str, Any]:
    asked = request.sampling
    config: dict[str, Any] = {}
    for name, value in (("temperature", asked.temperature), ("topP", asked.top_p)):
        if value is not None:
            config[name] = value
    if asked.top_k is not None:
        # 0 is no limit elsewhere, and none at all here.
        config["topK"] = asked.top_k if 1 <= asked.top_k <= _MOST_TOP_K else _MOST_TOP_K
        if config["topK"] != asked.top_k:
            lost.add("top_k", How.APPROXIMATED)
    if asked.max_tokens is not None:
        # More than a model can say is refused.
        config["maxOutputTokens"] = min(asked.max_tokens, target.facts.output_limit or asked.max_tokens)
        if config["maxOutputTokens"] != asked.max_tokens:
            lost.add("max_tokens", How.APPROXIMATED)
    if asked.seed is not None:
        config["seed"] = asked.seed if -_SEEDS <= asked.seed < _SEEDS else asked.seed % _SEEDS
        if config["seed"] != asked.seed:
            lost.add("seed", How.APPROXIMATED)
    if asked.stop:
        config["stopSequences"] = list(asked.stop[:_MOST_STOPS])
        if len(asked.stop) > _MOST_STOPS:
            lost.add("stop", How.APPROXIMATED)
    _steer(request, line, config, lost)
    lost.drop(
        min_p=asked.min_p or None, repeat_penalty=None if asked.repeat_penalty == 1 else asked.repeat_penalty
    )
    if request.choices > 1:
        config["candidateCount"] = min(request.choices, _MOST_CHOICES)
        if request.choices > _MOST_CHOICES:
            lost.add("choices", How.APPROXIMATED)
    return config


def _steer(request: ChatRequest, line: Family, config: dict[str, Any], lost: Lost) -> None:
    """What Gemini 2.5 and later refuse. A penalty of 0 is none, and not to say it loses nothing."""
    asked = request.sampling
    penalties = {"presencePenalty": asked.presence_penalty, "frequencyPenalty": asked.frequency_penalty}
    if line.steered:
        config.update({name: value for name, value in penalties.items() if value is not None})
    else:
        lost.drop(
            presence_penalty=asked.presence_penalty or None, frequency_penalty=asked.frequency_penalty or None
        )
    if request.logprobs is None:
        return
    if not line.steered:
        lost.add("logprobs")
        return
    config["responseLogprobs"] = True
    if request.logprobs:
        config["logprobs"] = min(request.logprobs, _MOST_LOGPROBS)
        if request.logprobs > _MOST_LOGPROBS:
            lost.add("logprobs", How.APPROXIMATED)


def _format(request: ChatRequest, line: Family, said: Conversation, lost: Lost) -> dict[str, Any]:
    form = request.format
    if form is None:
        return {}
    if not line.calls or (_offered(request) and not line.both):
        # Gemini 2.5 refuses tools beside a form of the answer, and Gemma 3 any form: words have to do.
        said.instruct(_please(form))
        lost.add("format", How.EMULATED)
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if form.schema is not None:
        schema, less = json_schema(form.schema) if line.json_schema else openapi(form.schema)
        config["responseJsonSchema" if line.json_schema else "responseSchema"] = schema
        if less:
            lost.add("format", How.APPROXIMATED)
    return config


def _please(form: Format) -> str:
    if form.schema is None:
        return "Answer in JSON, and with nothing else."
    return (
        f"Answer in JSON that fits this schema, and with nothing else: {orjson.dumps(form.schema).decode()}"
    )


def _offered(request: ChatRequest) -> bool:
    """Whether the model may call a tool."""
    choice = request.tool_choice
    return bool(request.tools) and (choice is None or choice.mode != "none")


def _tools(request: ChatRequest, line: Family, body: dict[str, Any], lost: Lost) -> None:
    if not request.tools:
        return
    one_at_a_time = request.parallel_tools is False
    if not line.calls:
        lost.drop(tools=request.tools, tool_choice=request.tool_choice, parallel_tools=one_at_a_time)
        return
    names = names_of(request.tools, NAMES)
    offered = {"functionDeclarations": [_declared(tool, names, line, lost) for tool in request.tools]}
    own = body.get("tools")
    body["tools"] = [*(own if isinstance(own, list) else ()), offered]
    # Several calls at once are Gemini's way already; only their absence cannot be had.
    lost.drop(parallel_tools=one_at_a_time)
    choice = request.tool_choice
    if choice is None:
        return
    words: dict[str, Any] = {"mode": {"auto": "AUTO", "none": "NONE"}.get(choice.mode, "ANY")}
    if choice.mode == "named":
        words["allowedFunctionNames"] = [names.sent(choice.name or "")]
    body["toolConfig"] = {**body.get("toolConfig", {}), "functionCallingConfig": words}


def _declared(tool: Tool, names: Names, line: Family, lost: Lost) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.sent(tool.name)}
    if tool.description is not None:
        function["description"] = tool.description
    # What is called strict elsewhere is so here only when a call is demanded.
    lost.drop(strict=tool.strict)
    if not tool.parameters:
        # One that is there must say that it is an object.
        return function
    schema, less = json_schema(tool.parameters) if line.json_schema else openapi(tool.parameters)
    if less:
        lost.add("tools", How.APPROXIMATED)
    if line.json_schema:
        function["parametersJsonSchema"] = schema
    elif schema.get("properties"):
        # Older models refuse an object without properties, and take a function without parameters.
        function["parameters"] = schema
    return function
