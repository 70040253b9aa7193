"""Bedrock's wire format: `/model/ID/converse`, `/converse-stream`, `/count-tokens` and `/invoke`, and the list of models.

At AWS the list is on another host; here all is below one address.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from adapters.simulator import bedrock_count
from adapters.simulator import bedrock_errors as errors
from adapters.simulator import bedrock_rules as rules
from adapters.simulator.bedrock_converse import converse, headers_for, refuse
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

PROVIDER = "aws_bedrock"
PREFIX = "/aws_bedrock"
MODELS = "/foundation-models"
CALL = re.compile(r"/model/(.+)/(converse|converse-stream|count-tokens|invoke)")
REGION = "us-east-1"
PROFILE = re.compile(r"(us|eu|apac|global)\.")
MOST_TEXTS = 96


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What Bedrock answers to `request`; `path` is what follows its host, decoded."""
    if refusal := rules.denied(request.headers, scenario.key):
        return refuse(refusal, request, scenario)
    if path == MODELS and request.method == "GET":
        return _models(request, scenario)
    call = CALL.fullmatch(path)
    if call is None or request.method != "POST":
        return refuse(errors.UNKNOWN_OPERATION, request, scenario)
    facts = scenario.model(PROVIDER, call[1])
    if facts is None:
        return refuse(errors.UNKNOWN_MODEL, request, scenario)
    body = _json(request.body)
    if body is None:
        return refuse(errors.UNREADABLE, request, scenario)
    if call[2] == "invoke":
        return _invoked(body, facts, request, scenario)
    if call[2] == "count-tokens":
        return bedrock_count.counted(body, facts, request, scenario)
    if refusal := next(rules.converse_faults(body, facts), None):
        return refuse(refusal, request, scenario)
    return converse(body, facts, call[2] == "converse-stream", request, scenario)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    extra = {} if retry_after is None else {"retry-after": str(retry_after)}
    return refuse(errors.by_status(status), request, scenario, extra)


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _models(request: HttpRequest, scenario: Scenario) -> Played:
    document = {"modelSummaries": [_listed(facts) for facts in scenario.models.get(PROVIDER, ())]}
    return whole(200, headers_for(request), orjson.dumps(document), scenario.head_s)


def _listed(facts: ModelFacts) -> dict[str, Any]:
    """A model as it is listed: without the regions of its profile."""
    abilities = facts.capabilities or frozenset()
    id = PROFILE.sub("", facts.name)
    return {
        "modelArn": f"arn:aws:bedrock:{REGION}::foundation-model/{id}",
        "modelId": id,
        "modelName": id,
        "providerName": id.partition(".")[0],
        "inputModalities": ["TEXT", "IMAGE"] if "vision" in abilities else ["TEXT"],
        "outputModalities": ["EMBEDDING"] if "embedding" in abilities else ["TEXT"],
        "responseStreamingSupported": "embedding" not in abilities,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND" if id == facts.name else "INFERENCE_PROFILE"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _invoked(body: Mapping[str, Any], facts: ModelFacts, request: HttpRequest, scenario: Scenario) -> Played:
    """InvokeModel, of models that embed: each maker has a form of its own."""
    if "embedding" not in (facts.capabilities or ()):
        return refuse(errors.malformed("only embeddings are simulated here"), request, scenario)
    cohere = "cohere.embed" in facts.name
    fault = _cohere_fault(body) if cohere else _titan_fault(body, facts.name)
    if fault is not None:
        return refuse(errors.malformed(fault), request, scenario)
    texts = tuple(body["texts"]) if cohere else (body["inputText"],)
    script = scenario.act(Ask(embed=texts))
    if script.status is not None:
        return refuse(errors.by_status(script.status), request, scenario)
    vectors = [vector[: body.get("dimensions")] for vector in script.vectors]
    tokens = script.tokens[0]
    document: dict[str, Any] = {"embedding": vectors[0], "inputTextTokenCount": tokens}
    if cohere:
        told = {"float": vectors} if "embedding_types" in body else vectors
        kind = "embeddings_by_type" if "embedding_types" in body else "embeddings_floats"
        document = {"embeddings": told, "id": "sim", "response_type": kind, "texts": texts}
    headers = {**headers_for(request), "x-amzn-bedrock-input-token-count": str(tokens)}
    return whole(200, headers, orjson.dumps(document), scenario.head_s)


def _titan_fault(body: Mapping[str, Any], model: str) -> str | None:
    known = (
        {"inputText"} if "text-v1" in model else {"inputText", "dimensions", "normalize", "embeddingTypes"}
    )
    if unknown := sorted(body.keys() - known):
        return f"#: extraneous key [{unknown[0]}] is not permitted"
    if not isinstance(body.get("inputText"), str) or not body["inputText"]:
        return "#/inputText: expected minLength: 1, actual: 0"
    if body.get("dimensions") not in (None, 4, 256, 512, 1024):
        return f"#/dimensions: {body['dimensions']} is not a valid enum value"
    return None


def _cohere_fault(body: Mapping[str, Any]) -> str | None:
    known = {"texts", "images", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"}
    if unknown := sorted(body.keys() - known):
        return f"#: extraneous key [{unknown[0]}] is not permitted"
    if "input_type" not in body:
        return "#: required key [input_type] not found"
    texts = body.get("texts")
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_TEXTS:
        return f"#/texts: expected maximum item count: {MOST_TEXTS}"
    return None
