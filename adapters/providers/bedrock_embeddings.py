"""Embeddings by InvokeModel: each vendor behind it has a form of its own, and most take one text a call.

Sources: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html,
.../model-parameters-titan-embed-mm.html, .../model-parameters-embed-v3.html, .../model-parameters-embed-v4.html,
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html (2026-11).
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from attrs import define

from adapters.providers.http import post
from adapters.providers.losses import Lost
from adapters.providers.replies import Answer, count
from adapters.providers.vectors import vectors
from pipeline.ports import Encoded
from pipeline.values.events import Embedded, Event, Finished, Started, Usage, UsageSeen
from pipeline.values.messages import EmbedRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Capability, Target

FORMAT = "bedrock.invoke"

_MOST_TEXTS = 96
_NOVA_DIMENSIONS = 3072

Form: TypeAlias = Callable[[tuple[str, ...], int | None, Lost], dict[str, Any]]


def encode(request: EmbedRequest, target: Target) -> Encoded | Problem:
    """The call for the vectors of all inputs. Problems: `unsupported`, of a model without a form that is known here, of
    tokens as inputs, and of more inputs than the model takes in one call."""
    texts = tuple(text for text in request.input if isinstance(text, str))
    form, most = form_of(target.model, target.facts.capabilities)
    if form is None:
        return Problem(Kind.UNSUPPORTED, subject="embedding", target=target.name)
    if len(texts) < len(request.input):
        detail = "Bedrock embeds texts: input must be text, not tokens"
        return Problem(Kind.UNSUPPORTED, detail, subject="token input", target=target.name)
    if len(texts) > most:
        limit = "one text" if most == 1 else f"{most} texts"
        detail = f"this model embeds no more than {limit} in one request"
        return Problem(Kind.UNSUPPORTED, detail, subject="number of inputs", target=target.name)
    lost = Lost()
    lost.extras(request.extra, "bedrock.")
    lost.drop(user=request.user)
    body = {**form(texts, request.dimensions, lost), **request.extra.get(FORMAT, {})}
    path = f"/model/{quote(target.model, safe='')}/invoke"
    return Encoded(post(target.provider, path, body), lost.losses)


def form_of(model: str, capabilities: frozenset[Capability] | None = None) -> tuple[Form | None, int]:
    """How a model is asked, and for how many texts at once; None: nobody knows.

    `capabilities`: what is known of it. One that embeds under a name that tells nothing is asked as Titan.
    """
    name = model.lower().rsplit("/", 1)[-1]
    found = next(((form, most) for part, form, most in _FORMS if part in name), None)
    unnamed = (_titan_2, 1) if capabilities is not None and "embedding" in capabilities else (None, 0)
    return found or unnamed


def _titan_1(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    lost.drop(dimensions=dimensions)
    return {"inputText": texts[0]}


def _titan_2(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    return {"inputText": texts[0], **({} if dimensions is None else {"dimensions": dimensions})}


def _titan_image(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    config = {} if dimensions is None else {"embeddingConfig": {"outputEmbeddingLength": dimensions}}
    return {"inputText": texts[0], **config}


def _nova(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "GENERIC_INDEX",
            "embeddingDimension": dimensions or _NOVA_DIMENSIONS,
            "text": {"truncationMode": "END", "value": texts[0]},
        },
    }


def _cohere_3(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    lost.drop(dimensions=dimensions)
    return {"texts": list(texts), "input_type": "search_document"}


def _cohere_4(texts: tuple[str, ...], dimensions: int | None, lost: Lost) -> dict[str, Any]:
    size = {} if dimensions is None else {"output_dimension": dimensions}
    return {"texts": list(texts), "input_type": "search_document", "embedding_types": ["float"], **size}


_FORMS: tuple[tuple[str, Form, int], ...] = (
    ("titan-embed-text-v2", _titan_2, 1),
    ("titan-embed-image", _titan_image, 1),
    ("titan-embed", _titan_1, 1),
    ("nova-2-multimodal-embed", _nova, 1),
    ("cohere.embed-v4", _cohere_4, _MOST_TEXTS),
    ("cohere.embed", _cohere_3, _MOST_TEXTS),
)


@define
class EmbeddingAnswer(Answer):
    """One reply to `inputs` inputs, in whichever form: their vectors stand at one of four places."""

    inputs: int

    def whole(self, document: dict[str, Any], events: list[Event]) -> None:
        """Read a whole reply."""
        found = vectors(_told(document), self.inputs)
        if found is None:
            self.fail(Kind.GARBLED, events)
            return
        self.started = self.ended = True
        events += [Started(self.model), Embedded(found)]
        tokens = count(document.get("inputTextTokenCount"))
        if tokens is not None:
            events.append(UsageSeen(Usage(tokens)))
        events.append(Finished("stop"))


def _told(document: Mapping[str, Any]) -> Any:
    if "embedding" in document:
        return [document["embedding"]]
    told = document.get("embeddings")
    if isinstance(told, dict):
        return told.get("float")
    if isinstance(told, list) and all(isinstance(one, dict) for one in told):
        return [one.get("embedding") for one in told]
    return told
