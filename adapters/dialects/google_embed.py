"""`:embedContent` and `:batchEmbedContents`: vectors in Google's form."""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import frozen

from adapters.dialects.fields import Fields
from adapters.dialects.google_contents import parts_of
from adapters.dialects.google_errors import JSON, refuse
from adapters.dialects.google_fields import open_fields, place, routes, whole
from adapters.dialects.google_spelling import EMBED, EMBED_SEVERAL
from adapters.dialects.openai_fields import read_name
from adapters.dialects.whole import no_chunks, no_keep_alive
from pipeline.ports import Answer, Dialect
from pipeline.values.events import Batch, Embedded, UsageSeen, joined
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import EmbedRequest, Request, Source
from pipeline.values.problems import Problem

FORMAT, BESIDE = "google.embed", "google.beside"
SEVERAL = "batchEmbedContents"
PATHS = routes("embedContent", SEVERAL)
HELD = frozenset({"model", "content", "requests", "outputDimensionality"})
SIZE = "outputDimensionality"


@frozen
class Writing:
    """What an answer needs to know of its request."""

    several: bool


def read(http: HttpRequest) -> Request | Problem:
    """The request."""
    found = place(http.url)
    if isinstance(found, Problem):
        return found
    several = found.method == SEVERAL
    fields = open_fields(http, found.model, EMBED_SEVERAL if several else EMBED)
    if isinstance(fields, Problem):
        return fields
    sent = read_name(fields)
    asked = fields.objects("requests") if several else [fields]
    if not asked:
        fields.faults.note("requests is required", "requests")
    if not several and "requests" in fields.values:
        fields.faults.note(f"requests belongs to {SEVERAL}", "requests")
    extra = _others(asked)
    beside: dict[str, Any] = {}
    texts = tuple(_text(each, beside) for each in asked)
    request = EmbedRequest(
        model=sent.strip(),
        input=texts,
        dimensions=_size(asked),
        extra={name: value for name, value in ((FORMAT, extra), (BESIDE, beside)) if value},
        source=Source(FORMAT, fields.values),
    )
    return fields.faults.first or request


def _text(asked: Fields, beside: dict[str, Any]) -> str:
    """The words of one content. What is not text only Google embeds."""
    content = asked.inner("content")
    if content is None:
        if asked.values.get("content") is None:
            asked.faults.note(f"{asked.at('content')} is required", asked.at("content"))
        return ""
    said = []
    for part in parts_of(content):
        if "text" in part.values:
            said.append(part.text("text") or "")
        else:
            beside["content.parts"] = True
    return "".join(said)


def _size(asked: list[Fields]) -> int | None:
    """The length of the vectors, which is one for all."""
    found = None
    for each in asked:
        config = each.inner("embedContentConfig")
        size = whole(each, SIZE)
        if size is None and config is not None:
            size = whole(config, SIZE)
        if size is not None and size <= 0:
            each.faults.note(f"{each.at(SIZE)} must be at least 1", each.at(SIZE))
        if found is not None and size not in (None, found):
            each.faults.note(f"{each.at(SIZE)} must be the same for all", each.at(SIZE))
        found = found or size
    return found


def _others(asked: list[Fields]) -> dict[str, Any]:
    """What only Google understands of the requests: the purpose of the vectors, titles."""
    found: dict[str, Any] = {}
    for each in asked:
        for values in (each.values, each.mapping("embedContentConfig") or {}):
            found.update({name: value for name, value in values.items() if name not in HELD})
    found.pop("embedContentConfig", None)
    return found


def fresh(request: Request, exchange_id: str, epoch_s: float) -> Writing:
    """What the answer will need."""
    body: Mapping[str, Any] = request.source.body if request.source else {}
    return Writing("requests" in body)


def head(state: Writing) -> ReplyHead:
    """One object."""
    return ReplyHead(200, JSON)


def collect(state: Writing, batches: tuple[Batch, ...], elapsed_s: float) -> Answer:
    """The answer, in the form of the method that was called."""
    whole = joined(batches)
    same = whole.verbatim is not None and whole.verbatim.format == FORMAT
    if same and whole.verbatim and (b'"embeddings"' in whole.verbatim.data) == state.several:
        return Answer(head(state), whole.verbatim.data)
    vectors = next((event.vectors for event in whole.events if isinstance(event, Embedded)), ())
    listed = [{"values": vector} for vector in vectors]
    told: dict[str, Any] = {"embeddings": listed} if state.several else {"embedding": listed[0]}
    usage = next((event.usage for event in whole.events if isinstance(event, UsageSeen)), None)
    if usage is not None and usage.input is not None:
        told["usageMetadata"] = {"promptTokenCount": usage.input}
    return Answer(head(state), orjson.dumps(told))


DIALECT = Dialect(
    name=FORMAT,
    read=read,
    fresh=fresh,
    head=head,
    write=no_chunks,
    collect=collect,
    refuse=refuse,
    keep_alive=no_keep_alive,
)
