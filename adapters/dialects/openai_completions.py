"""`/v1/completions`: a text to go on with, in OpenAI's oldest form."""

from typing import Any

from adapters.dialects import openai_completions_replies as replies
from adapters.dialects.fields import Fields
from adapters.dialects.openai_completions_replies import FORMAT as NAME
from adapters.dialects.openai_errors import refuse
from adapters.dialects.openai_fields import open_fields, positive, read_name, rest_of, stops
from pipeline.ports import Dialect
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, Prompt, Request, Sampling, Source
from pipeline.values.problems import Problem

MOST_ALTERNATIVES = 20
HELD = frozenset(
    {
        *("model", "prompt", "suffix", "echo", "n", "best_of", "logprobs", "stream", "user", "stop", "seed"),
        *("max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty"),
        *("top_k", "min_p", "repetition_penalty"),
    }
)


def read(http: HttpRequest) -> Request | Problem:
    """The request. Whatever the canonical form does not hold travels in `extra`."""
    fields = open_fields(http)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    extra = rest_of(fields, HELD)
    fields.inner("stream_options")
    prompt, choices = _prompt(fields), positive(fields, "n") or 1
    _one_of_one(fields, choices)
    if fields.flag("echo"):
        fields.faults.note("echo is not supported; put the prompt before the answer yourself", "echo")
    request = ChatRequest(
        model=sent.strip(),
        prompt=Prompt(prompt, suffix=fields.text("suffix") or None),
        sampling=_sampling(fields),
        logprobs=_logprobs(fields),
        choices=choices,
        stream=fields.flag("stream") or False,
        user=fields.text("user"),
        extra={NAME: extra} if extra else {},
        source=Source(NAME, _told(fields, prompt)),
    )
    return fields.faults.first or request


def _told(fields: Fields, prompt: str) -> dict[str, Any]:
    """The client's own JSON, its one prompt as a text, which every server takes."""
    return {**fields.values, "prompt": prompt}


def _prompt(fields: Fields) -> str:
    """The one text. Several would each want an answer of its own, and tokens mean nothing to other models."""
    match fields.values.get("prompt"):
        case str(text) | [str(text)]:
            return text
        case None | []:
            fields.faults.note("prompt is required", "prompt")
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


def _sampling(fields: Fields) -> Sampling:
    return Sampling(
        max_tokens=positive(fields, "max_tokens"),
        temperature=fields.number("temperature"),
        top_p=fields.number("top_p"),
        top_k=fields.whole("top_k"),
        min_p=fields.number("min_p"),
        seed=fields.whole("seed"),
        stop=stops(fields),
        presence_penalty=fields.number("presence_penalty"),
        frequency_penalty=fields.number("frequency_penalty"),
        repeat_penalty=fields.number("repetition_penalty"),
    )


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=replies.fresh,
    head=replies.head,
    write=replies.write,
    collect=replies.collect,
    refuse=refuse,
    keep_alive=replies.keep_alive,
)
