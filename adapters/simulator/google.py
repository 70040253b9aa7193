"""Google's wire format: generateContent whole and streamed, its count, the two embedding methods, and the list of models."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from adapters.simulator import google_count
from adapters.simulator import google_errors as errors
from adapters.simulator import google_rules as rules
from adapters.simulator.google_generation import JSON, generate
from adapters.simulator.played import Played, whole
from adapters.simulator.scenario import Scenario
from adapters.simulator.script import Ask
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

PROVIDER = "google"

_METHOD = re.compile(r"/models/([^/]+):(\w+)")
_GENERATING = ("generateContent", "streamGenerateContent")
_COUNTING = "countTokens"
_EMBEDDING = ("embedContent", "batchEmbedContents")
_MOST_AT_ONCE = 100


def answer(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    """What Google answers to `request`; `path` is what follows `/v1beta`."""
    if refusal := rules.denied(request.headers, scenario.key):
        return refuse(refusal, scenario)
    if path == "/models" or (path.startswith("/models/") and ":" not in path):
        return _models(request, path, scenario)
    found = _METHOD.fullmatch(path)
    if found is None or found[2] not in (*_GENERATING, *_EMBEDDING, _COUNTING) or request.method != "POST":
        return whole(
            404, {"content-type": "text/html; charset=UTF-8"}, b"<title>Error 404 (Not Found)!!1</title>\n"
        )
    name, method = found.groups()
    body = _json(request.body)
    if body is None:
        return refuse(errors.unreadable("Unexpected token."), scenario)
    facts = scenario.model(PROVIDER, name)
    if facts is None or not _able(facts, method):
        return refuse(errors.unknown_model(name, method), scenario)
    if method in _EMBEDDING:
        return _embed(body, facts, method, scenario)
    if method == _COUNTING:
        told = google_count.counted(body, facts)
        return _told(told, scenario) if isinstance(told, dict) else refuse(told, scenario)
    if refusal := next(rules.generate_faults(body, facts), None):
        return refuse(refusal, scenario)
    framed = parse_qs(urlsplit(request.url).query).get("alt") == ["sse"]
    return generate(body, facts, request, scenario, method == "streamGenerateContent", framed)


def refused_with(status: int, retry_after: int | None, request: HttpRequest, scenario: Scenario) -> Played:
    """The provider's own error answer of that status."""
    return refuse(errors.by_status(status, retry_after), scenario)


def refuse(refusal: errors.Refusal, scenario: Scenario) -> Played:
    """An error answer."""
    return _told({"error": refusal.error}, scenario, refusal.status)


def _told(document: dict[str, Any], scenario: Scenario, status: int = 200) -> Played:
    return whole(status, JSON, orjson.dumps(document, option=orjson.OPT_INDENT_2), scenario.head_s)


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        body = rules.camel(orjson.loads(data))
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _able(facts: ModelFacts, method: str) -> bool:
    wanted = "embedding" if method in _EMBEDDING else "completion"
    return wanted in (facts.capabilities or ())


def _embed(body: dict[str, Any], facts: ModelFacts, method: str, scenario: Scenario) -> Played:
    several = method == "batchEmbedContents"
    asked = body.get("requests") if several else [body]
    if not isinstance(asked, list) or not asked:
        return refuse(
            errors.Refusal(400, "* BatchEmbedContentsRequest.requests: requests must not be empty"), scenario
        )
    if len(asked) > _MOST_AT_ONCE:
        words = "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"
        return refuse(errors.Refusal(400, words), scenario)
    for one in asked:
        if refusal := next(rules.embed_faults(one), None):
            return refuse(refusal, scenario)
        if several and one.get("model") != f"models/{facts.name}":
            words = "* BatchEmbedContentsRequest.requests.model: must match the model of the request"
            return refuse(errors.Refusal(400, words), scenario)
    texts = tuple("".join(part["text"] for part in one["content"]["parts"]) for one in asked)
    script = scenario.act(Ask(embed=texts))
    if script.status is not None:
        return refuse(errors.by_status(script.status), scenario)
    vectors = [
        {"values": vector[: one.get("outputDimensionality")]}
        for vector, one in zip(script.vectors, asked, strict=True)
    ]
    told: dict[str, Any] = {"embeddings": vectors} if several else {"embedding": vectors[0]}
    return _told({**told, "usageMetadata": {"promptTokenCount": script.usage.input}}, scenario)


def _models(request: HttpRequest, path: str, scenario: Scenario) -> Played:
    offered = [_listed(facts) for facts in scenario.models.get(PROVIDER, ())]
    name = path.removeprefix("/models").removeprefix("/")
    if name:
        entry = next((entry for entry in offered if entry["name"] == f"models/{name}"), None)
        return refuse(errors.by_status(404), scenario) if entry is None else _told(entry, scenario)
    query = parse_qs(urlsplit(request.url).query)
    size, start = _number(query, "pageSize", 50), _number(query, "pageToken", 0)
    document: dict[str, Any] = {"models": offered[start : start + size]}
    if start + size < len(offered):
        document["nextPageToken"] = str(start + size)
    return _told(document, scenario)


def _number(query: dict[str, list[str]], name: str, otherwise: int) -> int:
    said = query.get(name, [""])[0]
    return int(said) if said.isascii() and said.isdigit() else otherwise


def _listed(facts: ModelFacts) -> dict[str, Any]:
    able = facts.capabilities or frozenset()
    methods = ["generateContent", "countTokens", "batchGenerateContent"] if "completion" in able else []
    methods += ["embedContent", "countTokens"] if "embedding" in able else []
    return {
        "name": f"models/{facts.name}",
        "version": "001",
        "displayName": facts.name,
        "inputTokenLimit": facts.context_length or 8192,
        "outputTokenLimit": facts.output_limit or 8192,
        "supportedGenerationMethods": methods,
        **({"thinking": True} if "thinking" in able else {}),
    }
