"""How a fake Ollama manages its models: pull, push, create, copy, delete, and the files they are made of.

What is answered is pure, and so is what follows from it: `after` gives the scenario in which the next request is met.
Its registry has every model but those with `no-such` in their names.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson
from attrs import evolve

from adapters.simulator import ollama_rules as rules
from adapters.simulator.ollama_basics import JSON, PROVIDER, found, refuse, stamp
from adapters.simulator.played import Played, streamed, whole
from adapters.simulator.scenario import Scenario
from pipeline.values.http import HttpRequest
from pipeline.values.targets import ModelFacts

NDJSON = {"content-type": "application/x-ndjson"}
DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
BLOBS = "/api/blobs/"
UNKNOWN_MARK = "no-such"
NOT_IN_REGISTRY = "pull model manifest: file does not exist"
LAYER_BYTES = 1_000_000
STEPS = 4
NOTHING = whole(200, {}, b"")

STRING, BOOL = ("string", (str,)), ("bool", (bool,))
OBJECT = ("map[string]string", (dict,))
TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(("model", "name", "from", "template", "system", "quantize"), STRING),
    **dict.fromkeys(("source", "destination", "username", "password"), STRING),
    "insecure": BOOL,
    "stream": BOOL,
    "files": OBJECT,
    "adapters": OBJECT,
    "parameters": ("map[string]interface {}", (dict,)),
    "messages": ("[]api.Message", (list,)),
}


def pull(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/pull` answers."""
    body = _named(request, "PullRequest", rules.Refusal(400, "invalid model name"))
    if isinstance(body, rules.Refusal):
        return refuse(body, scenario)
    if UNKNOWN_MARK in body["model"]:
        return _progress(body, [_status("pulling manifest"), _error(NOT_IN_REGISTRY)], scenario)
    return _progress(body, [*_pulling(body["model"]), *_written("verifying sha256 digest")], scenario)


def push(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/push` answers."""
    body = _named(request, "PushRequest", rules.Refusal(400, "model is required"))
    if isinstance(body, rules.Refusal):
        return refuse(body, scenario)
    if found(body, scenario) is None:
        missing = [_status("retrieving manifest"), _status("couldn't retrieve manifest")]
        return _progress(body, [*missing, _error("file does not exist")], scenario)
    layer = hashlib.sha256(body["model"].encode()).hexdigest()
    moved = [_layer("pushing", layer, done) for done in _steps()]
    lines = [_status("retrieving manifest"), *moved, _status("pushing manifest"), _status("success")]
    return _progress(body, lines, scenario)


def create(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/create` answers."""
    body = _named(request, "CreateRequest", rules.Refusal(400, "invalid model name"))
    refusal = body if isinstance(body, rules.Refusal) else next(_create_faults(body), None)
    if refusal or isinstance(body, rules.Refusal):
        assert refusal is not None
        return refuse(refusal, scenario)
    lines: list[dict[str, Any]] = []
    if base := body.get("from"):
        if found({"model": base}, scenario) is None:
            if UNKNOWN_MARK in base:
                return _progress(body, [_error(NOT_IN_REGISTRY)], scenario)
            lines += _pulling(base)
        lines.append(_status(f"using existing layer sha256:{hashlib.sha256(base.encode()).hexdigest()}"))
    for digest in _digests(body):
        if _plain(digest) not in scenario.blobs:
            return _progress(body, [*lines, _error(f'blob "{digest}" not found')], scenario)
        lines.append(_status(f"using existing layer {digest}"))
    own = hashlib.sha256(orjson.dumps(body)).hexdigest()
    return _progress(body, [*lines, *_written(f"creating new layer sha256:{own}")], scenario)


def copy(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/copy` answers."""
    body = rules.read(request.body)
    refusal = body if isinstance(body, rules.Refusal) else next(_copy_faults(body, scenario), None)
    return refuse(refusal, scenario) if refusal else NOTHING


def delete(request: HttpRequest, scenario: Scenario) -> Played:
    """What `/api/delete` answers."""
    body = rules.read(request.body)
    refusal = body if isinstance(body, rules.Refusal) else next(_delete_faults(body, scenario), None)
    return refuse(refusal, scenario) if refusal else NOTHING


def blob(request: HttpRequest, digest: str, scenario: Scenario) -> Played:
    """What `/api/blobs/DIGEST` answers."""
    if not DIGEST.fullmatch(digest):
        return refuse(rules.Refusal(400, "invalid digest format"), scenario)
    if _plain(digest) in scenario.blobs:
        return whole(200, {}, b"")
    if request.method == "HEAD":
        return whole(404, {}, b"")
    sent = f"sha256:{hashlib.sha256(request.body).hexdigest()}"
    if sent != _plain(digest):
        text = f'digest mismatch, expected "{_plain(digest)}", got "{sent}"'
        return refuse(rules.Refusal(400, text), scenario)
    return whole(201, {}, b"")


def after(request: HttpRequest, path: str, played: Played, scenario: Scenario) -> Scenario:
    """The scenario once `played` has answered `request`; the same one where nothing has changed."""
    if played.head is None or not 200 <= played.head.status < 300 or b'{"error"' in played.body:
        return scenario
    if path.startswith(BLOBS) and request.method == "POST":
        return evolve(scenario, blobs=scenario.blobs | {_plain(path.removeprefix(BLOBS))})
    body = rules.read(request.body) if path in CHANGES else {}
    if isinstance(body, rules.Refusal):
        return scenario
    name = body.get("model") or body.get("name") or ""
    match path:
        case "/api/pull":
            return _with(scenario, ModelFacts(name, _abilities(name)))
        case "/api/create":
            base = found({"model": body["from"]}, scenario) if body.get("from") else None
            return _with(scenario, evolve(base or ModelFacts(name, _abilities(name)), name=name))
        case "/api/copy":
            source = found({"model": body["source"]}, scenario)
            return _with(scenario, evolve(source, name=body["destination"])) if source else scenario
        case "/api/delete":
            return _without(scenario, name)
        case _:
            return scenario


CHANGES = frozenset({"/api/pull", "/api/create", "/api/copy", "/api/delete"})


def _with(scenario: Scenario, facts: ModelFacts) -> Scenario:
    rest = _without(scenario, facts.name)
    made = evolve(facts, modified_at=stamp(scenario.epoch), digest=None)
    return _offering(rest, (*rest.models.get(PROVIDER, ()), made))


def _without(scenario: Scenario, name: str) -> Scenario:
    gone = rules.full_name(name)
    offered = scenario.models.get(PROVIDER, ())
    return _offering(scenario, tuple(facts for facts in offered if rules.full_name(facts.name) != gone))


def _offering(scenario: Scenario, offered: tuple[ModelFacts, ...]) -> Scenario:
    return evolve(scenario, models={**scenario.models, PROVIDER: offered})


def _abilities(name: str) -> frozenset[Any]:
    return frozenset({"embedding"}) if "embed" in name else frozenset({"completion", "tools"})


def _plain(digest: str) -> str:
    return digest.replace("-", ":", 1)


def _named(request: HttpRequest, struct: str, absent: rules.Refusal) -> dict[str, Any] | rules.Refusal:
    """The body with the model's name in its newer place, or what is wrong with it or with the name."""
    body = rules.read(request.body)
    if isinstance(body, rules.Refusal):
        return body
    if refusal := next(rules.type_faults(body, struct, TYPES), None):
        return refusal
    body = {**body, "model": body.get("model") or body.get("name") or ""}
    return next(rules.name_faults(body, absent), None) or body


def _create_faults(body: rules.Body) -> Iterator[rules.Refusal]:
    if not body.get("from") and not body.get("files"):
        yield rules.Refusal(400, "neither 'from' or 'files' was specified")
    for place, digest in {**body.get("files", {}), **body.get("adapters", {})}.items():
        if not place or place.startswith("/") or ".." in place.split("/"):
            yield rules.Refusal(400, "path must be relative")
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            yield rules.Refusal(400, "invalid digest format")
    template = body.get("template", "")
    if template.count("{{") != template.count("}}"):
        yield rules.Refusal(400, "template error: template: :1: unclosed action")


def _digests(body: rules.Body) -> Iterable[str]:
    return (*body.get("files", {}).values(), *body.get("adapters", {}).values())


def _copy_faults(body: rules.Body, scenario: Scenario) -> Iterator[rules.Refusal]:
    yield from rules.type_faults(body, "CopyRequest", TYPES)
    for field in ("source", "destination"):
        name = body.get(field, "")
        if not rules.NAME.fullmatch(name):
            yield rules.Refusal(400, f'{field} "{name}" is invalid')
    if found({"model": body["source"]}, scenario) is None:
        yield rules.Refusal(404, f'model "{body["source"]}" not found')


def _delete_faults(body: rules.Body, scenario: Scenario) -> Iterator[rules.Refusal]:
    yield from rules.type_faults(body, "DeleteRequest", TYPES)
    name = body.get("model") or body.get("name") or ""
    if not name:
        yield rules.Refusal(400, "model is required")
    if not rules.NAME.fullmatch(name):
        yield rules.Refusal(400, f'name "{name}" is invalid')
    if found({"model": name}, scenario) is None:
        yield rules.Refusal(404, f"model '{name}' not found")


def _status(text: str) -> dict[str, Any]:
    return {"status": text}


def _error(text: str) -> dict[str, Any]:
    return {"error": text}


def _steps() -> Iterator[int]:
    return (LAYER_BYTES * step // STEPS for step in range(STEPS + 1))


def _layer(verb: str, digest: str, done: int) -> dict[str, Any]:
    line = {"status": f"{verb} {digest[:12]}", "digest": f"sha256:{digest}", "total": LAYER_BYTES}
    return {**line, "completed": done} if done else line


def _pulling(name: str) -> list[dict[str, Any]]:
    layer = hashlib.sha256(name.encode()).hexdigest()
    return [_status("pulling manifest"), *(_layer("pulling", layer, done) for done in _steps())]


def _written(first: str) -> list[dict[str, Any]]:
    return [_status(first), _status("writing manifest"), _status("success")]


def _progress(body: rules.Body, lines: list[dict[str, Any]], scenario: Scenario) -> Played:
    """All lines, each in its time; where no stream is wanted the last one alone, after the time of all."""
    if body.get("stream", True):
        chunks = [(scenario.delta_s, orjson.dumps(line) + b"\n") for line in lines]
        return streamed(NDJSON, scenario.head_s, chunks, cut=False)
    last, waited_s = lines[-1], scenario.head_s + scenario.delta_s * len(lines)
    if "error" in last:
        return whole(500, JSON, orjson.dumps(last), waited_s)
    return whole(200, {"content-type": "application/json"}, orjson.dumps(last), waited_s)
