"""`/v1/embeddings`: vectors in OpenAI's form."""

import base64
from array import array
from sys import byteorder
from typing import Any

import orjson
from attrs import frozen

from adapters.dialects.fields import Fields
from adapters.dialects.names import sent_name
from adapters.dialects.openai_errors import JSON, refuse
from adapters.dialects.openai_fields import open_fields, positive, read_name, rest_of
from adapters.dialects.vectors import is_unit, scaled
from adapters.dialects.whole import no_chunks, no_keep_alive
from pipeline.ports import Answer, Dialect
from pipeline.values.events import Batch, Embedded, Event, Started, Usage, UsageSeen, joined
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import EmbedRequest, Request, Source
from pipeline.values.problems import Problem

NAME = "openai.embeddings"
HELD = ("model", "input", "dimensions", "encoding_format", "user")


@frozen
class Writing:
    """What an answer needs to know of its request. `packed`: vectors as base64 of float32."""

    sent: str
    packed: bool


def read(http: HttpRequest, model: str | None = None) -> Request | Problem:
    """The request, for `model` if the path names one."""
    fields = open_fields(http, model)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    extra = rest_of(fields, HELD)
    _encoding(fields)
    request = EmbedRequest(
        model=sent.strip(),
        input=_input(fields),
        dimensions=positive(fields, "dimensions"),
        user=fields.text("user"),
        extra={NAME: extra} if extra else {},
        source=Source(NAME, fields.values),
    )
    return fields.faults.first or request


def _input(fields: Fields) -> tuple[str | tuple[int, ...], ...]:
    """A text, texts, tokens or lists of tokens."""
    match fields.values.get("input"):
        case None | []:
            # In Ollama's words, which name no field beside them.
            fields.faults.note("invalid input")
        case str(text):
            return (text,)
        case list() as texts if all(type(text) is str for text in texts):
            return tuple(texts)
        case list() as tokens if _are_tokens(tokens):
            return (tuple(tokens),)
        case list() as several if all(
            isinstance(tokens, list) and tokens and _are_tokens(tokens) for tokens in several
        ):
            return tuple(tuple(tokens) for tokens in several)
        case _:
            fields.faults.note("invalid input type", "input")
    return ()


def _are_tokens(values: list[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _encoding(fields: Fields) -> str:
    sent = fields.text("encoding_format") or "float"
    if sent.lower() not in ("float", "base64"):
        fields.faults.note('encoding_format must be "float" or "base64"', "encoding_format")
    return sent.lower()


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """What the answer will need. How vectors are written stands in the client's own JSON alone."""
    body = request.source.body if request.source else {}
    return Writing(sent_name(request), str(body.get("encoding_format")).lower() == "base64")


def head(state: Writing) -> ReplyHead:
    """One object."""
    return ReplyHead(200, JSON)


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The answer. Vectors of OpenAI's own API have length 1, so others are brought to it."""
    whole = joined(batches)
    vectors = next((event.vectors for event in whole.events if isinstance(event, Embedded)), ())
    unit = all(is_unit(vector) for vector in vectors)
    if unit and whole.verbatim is not None and whole.verbatim.format == NAME:
        return Answer(head(state), whole.verbatim.data)
    shown = [vector if is_unit(vector) else scaled(vector) for vector in vectors]
    return Answer(head(state), orjson.dumps(_whole(state, whole.events, shown)))


def _whole(state: Writing, events: tuple[Event, ...], vectors: list[list[float]]) -> dict[str, Any]:
    usage = next((event.usage for event in events if isinstance(event, UsageSeen)), Usage())
    tokens = usage.input or 0
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": packed(vector) if state.packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "model": next((event.model for event in events if isinstance(event, Started)), state.sent),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def packed(vector: list[float]) -> str:
    """A vector as base64 of little-endian float32."""
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


DIALECT = Dialect(
    name=NAME,
    read=read,
    fresh=fresh,
    head=head,
    write=no_chunks,
    collect=collect,
    refuse=refuse,
    keep_alive=no_keep_alive,
)
