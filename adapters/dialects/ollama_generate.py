"""`/api/generate`: a text to go on from, in Ollama's form."""

from functools import partial
from typing import Any

from adapters.dialects import ollama_context, ollama_replies
from adapters.dialects.fields import Faults, Fields
from adapters.dialects.media import as_part
from adapters.dialects.ollama_fields import (
    check_name,
    extra_of,
    is_zero,
    open_fields,
    open_options,
    read_flags,
    read_format,
    read_images,
    read_keep_alive,
    read_logprobs,
    read_options,
    read_thinking,
)
from adapters.dialects.ollama_refusals import GENERATE, refusing
from adapters.dialects.ollama_replies import Calls, Shape
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import (
    ChatRequest,
    LoadRequest,
    Message,
    Prompt,
    Request,
    Role,
    Source,
    Text,
)
from pipeline.values.problems import Kind, Problem

NAME = "ollama.generate"
NO_NAME = Problem(Kind.UNKNOWN_MODEL, "model '' not found")


def read(http: HttpRequest) -> Request | Problem:
    """The request. Of several faults the one is told that Ollama finds first: types, ranges, name, options, format."""
    fields = open_fields(http, "GenerateRequest")
    if isinstance(fields, Problem):
        return fields
    fields.text("model")
    stream = fields.flag("stream")
    flags = read_flags(fields, "truncate", "shift")
    prompt = _prompt(fields)
    thinking, keep_alive, options = read_thinking(fields), read_keep_alive(fields), open_options(fields)
    logprobs = read_logprobs(fields)
    sent = check_name(fields, NO_NAME)
    if fields.faults.first:
        return fields.faults.first
    if not prompt.text and is_zero(keep_alive):
        return LoadRequest(sent.strip(), unload=True)
    if prompt.raw and (prompt.template or prompt.system or prompt.context):
        fields.faults.note("raw mode does not support template, system, or context", "raw")
    chosen = read_options(options)
    if not prompt.text:
        return fields.faults.first or LoadRequest(sent.strip())
    form = read_format(fields)
    messages = _conversation(prompt, fields.faults)
    if messages:
        flags |= {"template": prompt.template} if prompt.template else {}
    return fields.faults.first or ChatRequest(
        model=sent.strip(),
        messages=messages,
        prompt=None if messages else prompt,
        sampling=chosen.sampling,
        thinking=thinking,
        format=form,
        logprobs=logprobs,
        stream=stream is not False,
        extra=extra_of(fields, chosen, flags),
        source=Source(NAME, fields.values),
    )


def _prompt(fields: Fields) -> Prompt:
    context = fields.items("context")
    for index, token in enumerate(context):
        if type(token) is not int:
            fields.faults.wrong(f"context[{index}]", token, "integer")
    return Prompt(
        text=fields.text("prompt") or "",
        suffix=fields.text("suffix") or None,
        system=fields.text("system") or None,
        raw=fields.flag("raw") or False,
        template=fields.text("template") or None,
        context=tuple(context) or None,
        images=read_images(fields),
    )


def _conversation(prompt: Prompt, faults: Faults) -> tuple[Message, ...]:
    """The turns that `context` brings along, and the prompt as the next; () where it brings none, or an engine's tokens."""
    if prompt.context is None or not ollama_context.is_conversation(prompt.context):
        return ()
    earlier = ollama_context.read(prompt.context)
    if earlier is None:
        faults.note("context is not as it was given; send back the whole array, or none", "context")
        return ()
    if prompt.suffix is not None:
        faults.note("context of a conversation does not go together with suffix", "suffix")
    if prompt.system is not None:
        others = tuple(turn for turn in earlier if turn.role is not Role.SYSTEM)
        earlier = (_system(prompt.system), *others)
    return (*earlier, _asked(prompt))


def _recalls(request: Request) -> tuple[Message, ...]:
    """The turns that the answer's `context` is to recall; none for a bare text, which is no turn of a conversation."""
    if not isinstance(request, ChatRequest):
        return ()
    prompt = request.prompt
    if prompt is None:
        return request.messages
    if prompt.raw or prompt.suffix is not None:
        return ()
    asked = _asked(prompt)
    return (asked,) if prompt.system is None else (_system(prompt.system), asked)


def _system(text: str) -> Message:
    return Message(Role.SYSTEM, (Text(text),))


def _asked(prompt: Prompt) -> Message:
    return Message(Role.USER, (Text(prompt.text), *map(as_part, prompt.images)))


def place(text: str, thinking: str, calls: Calls) -> dict[str, Any]:
    """The answer in an object."""
    value: dict[str, Any] = {"response": text}
    if thinking:
        value["thinking"] = thinking
    if calls:
        value["tool_calls"] = calls
    return value


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=partial(ollama_replies.fresh, Shape(NAME, GENERATE, place, _recalls)),
    head=ollama_replies.head,
    write=ollama_replies.write,
    collect=ollama_replies.collect,
    refuse=refusing(GENERATE),
    keep_alive=ollama_replies.keep_alive,
)
