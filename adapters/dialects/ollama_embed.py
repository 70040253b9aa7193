"""`/api/embed` and the older `/api/embeddings`: vectors in Ollama's form.

They differ in where the text stands, in the scale of the vectors and in the form of the answer. Neither streams.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
from attrs import frozen

from adapters.dialects.fields import Fields
from adapters.dialects.names import sent_name
from adapters.dialects.ollama_fields import (
    check_name,
    extra_of,
    open_fields,
    open_options,
    read_flags,
    read_keep_alive,
    read_options,
)
from adapters.dialects.ollama_refusals import EMBED, JSON, refusing
from adapters.dialects.vectors import cut
from adapters.dialects.whole import no_chunks, no_keep_alive
from pipeline.ports import Answer, Dialect
from pipeline.values.events import Batch, Embedded, Event, Finished, Started, UsageSeen, joined
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import EmbedRequest, LoadRequest, Request, Source
from pipeline.values.problems import Kind, Problem

NS = 1_000_000_000


@frozen
class Route:
    """One of the two. `texts` reads what is to be embedded; `render(writing, events, elapsed_s)` gives the answer."""

    name: str
    owner: str
    missing: Problem
    texts: Callable[[Fields], tuple[str, ...]]
    render: Callable[["Writing", tuple[Event, ...], float], Mapping[str, Any]]


@frozen
class Writing:
    """What an answer needs to know of its request."""

    route: Route
    sent: str
    dimensions: int | None


def read(route: Route, http: HttpRequest) -> Request | Problem:
    """The request. Without a text the model is only made ready."""
    fields = open_fields(http, route.owner)
    if isinstance(fields, Problem):
        return fields
    fields.text("model")
    flags, dimensions = read_flags(fields, "truncate"), fields.whole("dimensions")
    options = open_options(fields)
    read_keep_alive(fields)
    texts = route.texts(fields)
    sent = check_name(fields, route.missing)
    chosen = read_options(options)
    if fields.faults.first:
        return fields.faults.first
    if not texts:
        return LoadRequest(sent.strip())
    return EmbedRequest(
        model=sent.strip(),
        input=texts,
        dimensions=dimensions if dimensions and dimensions > 0 else None,
        extra=extra_of(fields, chosen, flags),
        source=Source(route.name, fields.values),
    )


def _input(fields: Fields) -> tuple[str, ...]:
    match fields.values.get("input"):
        case None | "":
            return ()
        case str(text):
            return (text,)
        case list() as texts if all(type(text) is str for text in texts):
            return tuple(texts)
        case _:
            fields.faults.note("invalid input type", "input")
            return ()


def _prompt(fields: Fields) -> tuple[str, ...]:
    text = fields.text("prompt")
    return (text,) if text else ()


def fresh(route: Route, request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """What the answer will need."""
    dimensions = request.dimensions if isinstance(request, EmbedRequest) else None
    return Writing(route, sent_name(request), dimensions)


def head(state: Writing) -> ReplyHead:
    """One object."""
    return ReplyHead(200, JSON)


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The answer."""
    whole = joined(batches)
    started = next((event for event in whole.events if isinstance(event, Started)), None)
    verbatim = whole.verbatim
    if verbatim and verbatim.format == state.route.name and started and started.model == state.sent:
        return Answer(head(state), verbatim.data)
    return Answer(head(state), orjson.dumps(state.route.render(state, whole.events, elapsed_s)))


def _embeddings(state: Writing, events: tuple[Event, ...], elapsed_s: float) -> Mapping[str, Any]:
    vectors = [cut(vector, state.dimensions) for vector in _vectors(events)]
    value = {"model": state.sent, "embeddings": vectors}
    if not vectors:
        return value
    # Programs insist on both; that a model elsewhere took no time to load is said by the shortest there is.
    measured: dict[str, Any] = {"total_duration": max(1, int(elapsed_s * NS)), "load_duration": 1}
    for event in events:
        match event:
            case UsageSeen(usage):
                measured["prompt_eval_count"] = usage.input
            case Finished(extra=extra):
                measured |= {name: item for name, item in extra.get("ollama", {}).items() if item}
    return value | {name: item for name, item in measured.items() if item and name not in value}


def _embedding(state: Writing, events: tuple[Event, ...], elapsed_s: float) -> Mapping[str, Any]:
    return {"embedding": next(iter(_vectors(events)), [])}


def _vectors(events: tuple[Event, ...]) -> tuple[list[float], ...]:
    return next((event.vectors for event in events if isinstance(event, Embedded)), ())


def _dialect(route: Route) -> Dialect:
    return Dialect(
        name=route.name,
        read=partial(read, route),
        fresh=partial(fresh, route),
        head=head,
        write=no_chunks,
        collect=collect,
        refuse=refusing(EMBED),
        keep_alive=no_keep_alive,
    )


NO_NAME = Problem(Kind.UNKNOWN_MODEL, "model '' not found")
NAME_REQUIRED = Problem(Kind.BAD_REQUEST, "model is required", "model")

EMBED_DIALECT = _dialect(Route("ollama.embed", "EmbedRequest", NO_NAME, _input, _embeddings))
EMBEDDINGS_DIALECT = _dialect(
    Route("ollama.embeddings", "EmbeddingRequest", NAME_REQUIRED, _prompt, _embedding)
)
