"""`/api/chat`: conversations in Ollama's form."""

from functools import partial
from typing import Any

from adapters.dialects import ollama_replies
from adapters.dialects.fields import Fields
from adapters.dialects.ollama_fields import (
    check_name,
    extra_of,
    is_zero,
    open_fields,
    open_options,
    read_flags,
    read_format,
    read_keep_alive,
    read_logprobs,
    read_options,
    read_thinking,
)
from adapters.dialects.ollama_messages import read_messages, read_tools
from adapters.dialects.ollama_refusals import CHAT, refusing
from adapters.dialects.ollama_replies import Calls, Shape
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, LoadRequest, Request, Source
from pipeline.values.problems import Kind, Problem

NAME = "ollama.chat"
NO_NAME = Problem(Kind.BAD_REQUEST, "model is required", "model")


def read(http: HttpRequest) -> Request | Problem:
    """The request. Of several faults the one is told that Ollama finds first: types, ranges, name, options, format."""
    fields = open_fields(http, "ChatRequest")
    if isinstance(fields, Problem):
        return fields
    fields.text("model")
    stream = fields.flag("stream")
    flags = read_flags(fields, "truncate", "shift")
    messages, tools = read_messages(fields), read_tools(fields)
    thinking, keep_alive, options = read_thinking(fields), read_keep_alive(fields), open_options(fields)
    logprobs = read_logprobs(fields)
    sent = check_name(fields, NO_NAME)
    if not messages:
        return fields.faults.first or _load(sent, is_zero(keep_alive), options)
    chosen = read_options(options)
    form = read_format(fields)
    return fields.faults.first or ChatRequest(
        model=sent.strip(),
        messages=messages,
        tools=tools,
        sampling=chosen.sampling,
        thinking=thinking,
        format=form,
        logprobs=logprobs,
        stream=stream is not False,
        extra=extra_of(fields, chosen, flags),
        source=Source(NAME, fields.values),
    )


def _load(sent: str, unload: bool, options: Fields) -> LoadRequest | Problem:
    if not unload:
        read_options(options)
    return options.faults.first or LoadRequest(sent.strip(), unload)


def place(text: str, thinking: str, calls: Calls) -> dict[str, Any]:
    """The message of an object."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if thinking:
        message["thinking"] = thinking
    if calls:
        message["tool_calls"] = calls
    return {"message": message}


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=partial(ollama_replies.fresh, Shape(NAME, CHAT, place)),
    head=ollama_replies.head,
    write=ollama_replies.write,
    collect=ollama_replies.collect,
    refuse=refusing(CHAT),
    keep_alive=ollama_replies.keep_alive,
)
