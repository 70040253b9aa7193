"""`/v1/completions`: a text to go on with, in OpenAI's oldest form."""

from typing import Any

from adapters.dialects import openai_completions_replies as replies
from adapters.dialects import openai_writing
from adapters.dialects.fields import Fields
from adapters.dialects.openai_completions_replies import FORMAT as NAME
from adapters.dialects.openai_errors import refuse
from adapters.dialects.openai_fields import open_fields, positive, read_name, read_sampling, rest_of
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, LoadRequest, Prompt, Request, Source
from pipeline.values.problems import Problem

MOST_ALTERNATIVES = 20
HELD = frozenset(
    {
        *("model", "prompt", "suffix", "echo", "n", "best_of", "logprobs", "stream", "user", "stop", "seed"),
        *("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"),
        *("top_k", "min_p", "repetition_penalty"),
    }
)


def read(http: HttpRequest, model: str | None = None) -> Request | Problem:
    """The request, for `model` if the path names one. Whatever the canonical form does not hold travels in `extra`.

    With nothing to go on with it is Ollama's request to load the model.
    """
    fields = open_fields(http, model)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    extra = rest_of(fields, HELD)
    fields.inner("stream_options")
    prompt, choices = _prompt(fields), positive(fields, "n") or 1
    _one_of_one(fields, choices)
    if fields.flag("echo"):
        fields.faults.note("echo is not supported; put the prompt before the answer yourself", "echo")
    stream, suffix = fields.flag("stream") or False, fields.text("suffix") or None
    request = ChatRequest(
        model=sent.strip(),
        prompt=Prompt(prompt, suffix=suffix),
        sampling=read_sampling(fields, "max_tokens"),
        logprobs=_logprobs(fields),
        choices=choices,
        stream=stream,
        user=fields.text("user"),
        extra={NAME: extra} if extra else {},
        source=Source(NAME, _told(fields, prompt)),
    )
    if fields.faults.first:
        return fields.faults.first
    return request if prompt or suffix else LoadRequest(request.model, stream=stream)


def _told(fields: Fields, prompt: str) -> dict[str, Any]:
    """The client's own JSON, its one prompt as a text, which every server takes."""
    return {**fields.values, "prompt": prompt}


def _prompt(fields: Fields) -> str:
    """The one text. Several would each want an answer of its own, and tokens mean nothing to other models."""
    match fields.values.get("prompt"):
        case str(text) | [str(text)]:
            return text
        case None:
            return ""
        case []:
            fields.faults.note("prompt must be one text, not an empty list", "prompt")
        case [str(), *_]:
            fields.faults.note("prompt must be one text; send each prompt in a request of its own", "prompt")
        case [int() | list(), *_]:
            fields.faults.note("prompt must be text; lists of tokens are not taken", "prompt")
        case _:
            fields.faults.note("prompt must be a string", "prompt")
    return ""


def _one_of_one(fields: Fields, choices: int) -> None:
    """Refuse the best of several answers: no provider tells how good those are that it made."""
    best = positive(fields, "best_of")
    if best is not None and best != choices:
        fields.faults.note("best_of is not supported; ask for n answers and choose among them", "best_of")


def _logprobs(fields: Fields) -> int | None:
    most = fields.whole("logprobs")
    if most is not None and not 0 <= most <= MOST_ALTERNATIVES:
        fields.faults.note(f"logprobs must be between 0 and {MOST_ALTERNATIVES}", "logprobs")
    return most


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=replies.fresh,
    head=openai_writing.head,
    write=replies.write,
    collect=replies.collect,
    refuse=refuse,
    keep_alive=openai_writing.keep_alive,
    comments=True,
)
