"""`/v1beta/models/MODEL:generateContent` and `:streamGenerateContent`: conversations in Google's form; and `:countTokens`.

What the canonical form does not hold travels in `extra`: fields of the request under the format's own name, those of
`generationConfig` and tools that Google runs apart, to be said again where that form is spoken; and what stood inside
parts and tools under `google.beside`, so that whoever cannot be told it says so.
Source: https://ai.google.dev/api/generate-content (2026-11).
"""

from typing import Any

import orjson
from attrs import evolve

from adapters.dialects import google_replies
from adapters.dialects.fields import Fields
from adapters.dialects.google_config import config_of
from adapters.dialects.google_contents import FORMAT, Reader
from adapters.dialects.google_errors import JSON, refuse
from adapters.dialects.google_fields import open_fields, place, routes
from adapters.dialects.google_spelling import COUNT, GENERATE
from adapters.dialects.google_thoughts import as_given
from adapters.dialects.google_tools import acts_by_itself, choice_of, tools_of
from adapters.dialects.openai_fields import read_name, rest_of
from pipeline.ports import Answer, Dialect
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import ChatRequest, Request, Source
from pipeline.values.problems import Problem

CONFIG, TOOLS, BESIDE = "google.config", "google.tools", "google.beside"
STREAMED = "streamGenerateContent"
PATHS = routes("generateContent", STREAMED)
COUNTED = routes("countTokens")
HELD = frozenset({"model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig"})


def read(http: HttpRequest) -> Request | Problem:
    """The request."""
    found = place(http.url)
    if isinstance(found, Problem):
        return found
    fields = open_fields(http, found.model, GENERATE)
    if isinstance(fields, Problem):
        return fields
    request = _request(fields, found.method == STREAMED)
    if isinstance(request, Problem):
        return request
    # Only what has been read without a fault has the shape that this looks at.
    said = {"alt": "sse"} if found.framed else {}
    return evolve(request, source=Source(FORMAT, as_given(fields.values), said))


def read_counted(http: HttpRequest) -> ChatRequest | Problem:
    """A request whose tokens are to be counted: a conversation alone, or a whole request inside."""
    found = place(http.url)
    if isinstance(found, Problem):
        return found
    fields = open_fields(http, found.model, COUNT)
    if isinstance(fields, Problem):
        return fields
    inner = fields.inner("generateContentRequest")
    if inner is not None:
        fields = Fields({**inner.values, "model": found.model}, fields.faults)
    return _request(fields, stream=False)


def counted(tokens: int, how: str) -> Answer:
    """The answer of `:countTokens`. `how`: who says so, the provider or an estimate; it is told in a header."""
    return Answer(ReplyHead(200, {**JSON, "x-token-count": how}), orjson.dumps({"totalTokens": tokens}))


def _request(fields: Fields, stream: bool) -> ChatRequest | Problem:
    sent = read_name(fields)
    reader = Reader()
    turns = (*reader.system(fields), *reader.messages(fields))
    extra: dict[str, Any] = rest_of(fields, HELD)
    tools, others = tools_of(fields, reader.beside)
    choice, tools = choice_of(fields, tools, extra, reader.beside)
    config = config_of(fields)
    kept = ((FORMAT, extra), (CONFIG, config.others), (TOOLS, others), (BESIDE, reader.beside))
    request = ChatRequest(
        model=sent.strip(),
        messages=turns,
        tools=tools,
        tool_choice=choice,
        sampling=config.sampling,
        thinking=config.thinking,
        format=config.format,
        logprobs=config.logprobs,
        choices=config.choices,
        stream=stream,
        extra={name: value for name, value in kept if value},
        stateful=bool(extra.get("store")) or acts_by_itself(others),
    )
    return fields.faults.first or request


DIALECT = Dialect(
    name=FORMAT,
    read=read,
    fresh=google_replies.fresh,
    head=google_replies.head,
    write=google_replies.write,
    collect=google_replies.collect,
    refuse=refuse,
    keep_alive=google_replies.keep_alive,
)
