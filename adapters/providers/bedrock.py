"""Amazon Bedrock, by Converse: https://docs.aws.amazon.com/bedrock/latest/APIReference/."""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve

from adapters.framing.eventstream import EventStreamReader
from adapters.providers import bedrock_count, claude
from adapters.providers.anthropic_request import answer_tool
from adapters.providers.bedrock_embeddings import FORMAT as INVOKE
from adapters.providers.bedrock_embeddings import EmbeddingAnswer
from adapters.providers.bedrock_errors import classify
from adapters.providers.bedrock_ids import region_of
from adapters.providers.bedrock_models import seal_of
from adapters.providers.bedrock_reply import FORMAT, ConverseAnswer
from adapters.providers.bedrock_request import NAMES, encode
from adapters.providers.bedrock_signing import sign
from adapters.providers.http import get
from adapters.providers.limits import quota
from adapters.providers.replies import State, Stream, Whole, decode, finish, parsed, text
from adapters.providers.tool_names import names_of
from pipeline.ports import Codec
from pipeline.values.http import HttpRequest
from pipeline.values.messages import ChatRequest, EmbedRequest
from pipeline.values.targets import Capability, ModelFacts, Provider, Target

_AWS = re.compile(r"[a-z0-9.-]*\.(amazonaws\.com|api\.aws)")
_ARN = re.compile(r"arn:aws[a-z-]*:bedrock:([a-z]+(?:-gov)?)-[a-z0-9-]+:")
# The profiles that every model has which is called by profile alone, by the regions they belong to.
_PROFILES = {"us": "us", "us-gov": "us-gov", "eu": "eu", "ap": "apac"}
_EVERYWHERE = "global"


def fresh(request: ChatRequest | EmbedRequest) -> State:
    """`Codec.fresh`.

    Bytes cannot stand for events where the answer comes as the input of a tool, or tools have other names.
    """
    if isinstance(request, EmbedRequest):
        return Whole(EmbeddingAnswer(INVOKE, request.model, len(request.input)))
    names: Mapping[str, str] = {}
    answer = None
    if request.source is None or request.source.format != FORMAT:
        names = names_of(request.tools, NAMES).told
        if request.format is not None and request.format.schema is not None:
            answer = answer_tool(request)
    format = f"{FORMAT} translated" if names or answer else FORMAT
    reply = ConverseAnswer(format, request.model, names, answer, seal_of(request.model))
    return Stream(reply, EventStreamReader()) if request.stream else Whole(reply)


def list_models(provider: Provider) -> HttpRequest:
    """`Codec.list_models`: at AWS another host has the list, elsewhere the same."""
    return get(evolve(provider, base_url=lists_at(provider)), "/foundation-models")


def lists_at(provider: Provider) -> str:
    """The address of the account's list of models."""
    found = _AWS.fullmatch(urlsplit(provider.base_url).hostname or "")
    return f"https://bedrock.{region_of(provider)}.{found[1]}" if found else provider.base_url


def models(body: bytes) -> tuple[ModelFacts, ...]:
    """`Codec.models`: those that can be called without being rented. Some can only by the id of a profile."""
    document = parsed(body)
    listed = document.get("modelSummaries") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    entries = (entry for entry in listed if isinstance(entry, dict) and text(entry.get("modelId")))
    return tuple(facts for entry in entries for facts in _facts(entry))


def _facts(entry: dict[str, Any]) -> Iterable[ModelFacts]:
    """A model under each name it can be called by; none where it answers in pictures or sound alone."""
    outputs, ways = (_texts(entry.get(key)) for key in ("outputModalities", "inferenceTypesSupported"))
    if not outputs & {"TEXT", "EMBEDDING"}:
        return
    # What a model of words can do beside them the list does not tell.
    capabilities: frozenset[Capability] | None = None if "TEXT" in outputs else frozenset({"embedding"})
    if "ON_DEMAND" in ways:
        yield ModelFacts(entry["modelId"], capabilities=capabilities)
    if "INFERENCE_PROFILE" in ways:
        region = _ARN.match(text(entry.get("modelArn")))
        prefix = _PROFILES.get(region[1], _EVERYWHERE) if region else _EVERYWHERE
        yield ModelFacts(f"{prefix}.{entry['modelId']}", capabilities=capabilities)


def _texts(value: Any) -> frozenset[str]:
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()


_MAKERS = (
    *(
        "ai21",
        "amazon",
        "anthropic",
        "cohere",
        "deepseek",
        "google",
        "meta",
        "minimax",
        "mistral",
        "moonshot",
    ),
    *("moonshotai", "nvidia", "openai", "qwen", "writer", "zai"),
)
_REGIONS = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "global")
# Ids begin with their maker; those of profiles with the regions they may use.
PATTERNS = (*(f"{first}.*" for first in (*_MAKERS, *_REGIONS)), "arn:aws*:bedrock:*")


def prefills(target: Target) -> bool:
    """Claudes before 4.6 do."""
    return claude.prefills(target.model)


CODEC = Codec(
    kind="aws_bedrock",
    encode=encode,
    sign=sign,
    fresh=fresh,
    decode=decode,
    finish=finish,
    classify=classify,
    quota=quota,
    list_models=list_models,
    models=models,
    patterns=PATTERNS,
    count=bedrock_count.count,
    counted=bedrock_count.counted,
    prefills=prefills,
)
