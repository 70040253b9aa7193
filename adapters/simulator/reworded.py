"""An answer of one provider in the words of another that speaks the same form: documents, frames, heads."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import orjson
from attrs import evolve

from adapters.simulator.openai_sheet import frame
from adapters.simulator.played import Chunk, Played
from pipeline.values.http import Headers, ReplyHead

Document: TypeAlias = dict[str, Any]

DATA = b"data: "


def reworded(
    played: Played,
    headers: Callable[[int, Headers], dict[str, str]],
    document: Callable[[int, Document], Mapping[str, Any]],
    frames: Callable[[Document], Iterable[Mapping[str, Any]]],
    before: Iterable[bytes] = (),
) -> Played:
    """The same answer, as told.

    `headers(status, those it has)`; `document(status, it)`: of an answer in one piece; `frames(one)`: what stands for one
    frame of a stream, none if it is left out. `before`: what goes ahead of a stream.
    """
    if played.head is None:
        return played
    status = played.head.status
    chunks = tuple(_chunks(played, document, frames))
    streams = any(data.startswith(DATA) for _, data in played.chunks)
    if streams:
        chunks = (*((0.0, data) for data in before), *chunks)
    told = headers(status, played.head.headers)
    if "content-length" in told and played.ending == "end":
        told["content-length"] = str(sum(len(data) for _, data in chunks))
    return evolve(played, head=ReplyHead(status, told), chunks=chunks)


def _chunks(
    played: Played,
    document: Callable[[int, Document], Mapping[str, Any]],
    frames: Callable[[Document], Iterable[Mapping[str, Any]]],
) -> Iterable[Chunk]:
    status = played.head.status if played.head else 0
    for wait_s, data in played.chunks:
        found = _object(data.removeprefix(DATA))
        if found is None:
            # The end mark, or a document that was cut.
            yield wait_s, data
        elif data.startswith(DATA):
            for place, told in enumerate(frames(found)):
                yield (0.0 if place else wait_s), frame(told)
        else:
            yield wait_s, orjson.dumps(document(status, found))


def _object(data: bytes) -> Document | None:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
