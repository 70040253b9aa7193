"""The gateway, as a process, keeps what openapi.json promises: whatever is sent, right or wrong, the answer is a described one.

Requests are made from the description itself, the same ones in every run; `EXAMPLES` sets how many for each operation.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from adapters.openapi import DOCUMENT
from tests import processes
from tests.processes import Process
from tests.test_openapi import API, STREAMS, stream_items, validator

EXAMPLES = int(os.environ.get("EXAMPLES", "10"))
# Every boundary of every field: hundreds of requests for an operation, for those who look closer.
COVERAGE = ["coverage"] if "EXAMPLES" in os.environ else []
CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance]
NAMES = ["gpt-4o", "claude-sonnet-4-5", "chat", "tools", "think", "insert", "embed", "nobody"]
HEADERS = {
    "X-Provider": ["openai", "anthropic", "openai; only"],
    "X-Request-Timeout": ["20", "1800"],
    "X-Proxy-Strict": ["true", "false"],
}
CALLED = r"^/(?:api/(?:chat|generate|embed|embeddings)|v1/(?:(?:chat/)?completions|embeddings|responses|messages)|.*models.*:\w+)$"
# The same operations under other names.
AGAIN = {path for path, item in API["paths"].items() if "$ref" in item}

# Beside the models of the simulator, those that the examples name.
MODELS = (
    processes.CONFORMANCE_MODELS
    + """
[models."gpt-4o"]
targets = ["{kind}/{model}"]
[models."claude-sonnet-4-5"]
targets = ["{kind}/{model}"]
[models."gemini-2.5-flash"]
targets = ["{kind}/{model}"]
"""
)

pytestmark = pytest.mark.timeout(60 + 6 * EXAMPLES)


def source(document: dict[str, Any], *phases: str, sensible: bool = False) -> Any:
    """A description as a source of requests, the same ones in every run."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.seed = 1
    modes = [GenerationMode.POSITIVE] if sensible else list(GenerationMode)
    schema.config.generation.update(modes=modes, max_examples=EXAMPLES, deterministic=True, database="none")
    schema.config.phases.update(phases=list(phases))
    return schema.exclude(path=sorted(AGAIN))


def narrowed(value: Any) -> Any:
    """The description of requests that a provider takes too: no fields but those that are named."""
    if isinstance(value, list):
        return [narrowed(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = (
        {"additionalProperties": False} if value.get("properties") and "additionalProperties" in value else {}
    )
    return {name: narrowed(item) for name, item in value.items()} | closed


def sensible(document: dict[str, Any]) -> dict[str, Any]:
    """The description of requests that get an answer more often than not: models and providers there are, streamed or not."""
    narrow: dict[str, Any] = narrowed(document)
    narrow["components"]["schemas"]["ModelName"] = {"enum": NAMES}
    for schema in narrow["components"]["schemas"].values():
        if "stream" in schema.get("properties", {}):
            schema["required"] = [*schema.get("required", ()), "stream"]
    for item in narrow["paths"].values():
        for parameter in item.get("post", {}).get("parameters", ()):
            if parameter.get("name") == "model":
                parameter["schema"] = {"enum": NAMES}
    for name, values in HEADERS.items():
        parameter = narrow["components"]["parameters"][name]
        parameter["schema"] = {"enum": values}
        parameter.pop("example", None)
    return narrow


ANY = source(API, "examples", "fuzzing", *COVERAGE)
SENSIBLE = source(sensible(API), "examples", "fuzzing", sensible=True).include(path_regex=CALLED)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Process]:
    with processes.simulator() as running:
        yield running


@pytest.fixture(scope="module")
def openai(upstream: Process) -> Iterator[Process]:
    with processes.gateway(upstream, "openai", MODELS.format(kind="openai", model="gpt-4o")) as running:
        yield running
        assert "Traceback" not in running.output


@pytest.fixture(scope="module")
def anthropic(upstream: Process) -> Iterator[Process]:
    config = MODELS.format(kind="anthropic", model="claude-sonnet-4-5")
    with processes.gateway(upstream, "anthropic", config) as running:
        yield running
        assert "Traceback" not in running.output


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def check(case: Any, gateway: Process, session: requests.Session) -> None:
    """Send what was made, read the answer to its end, and hold it against the description."""
    answer = session.request(
        **case.as_transport_kwargs(base_url=gateway.url), timeout=20, allow_redirects=False
    )
    assert answer.status_code != 500 or is_told_wrong(answer), answer.text
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    if media_type in STREAMS:
        case.validate_response(answer, checks=CHECKS)
        check_pieces(case.operation.path, media_type, answer.text)
    else:
        case.validate_response(answer, checks=[*CHECKS, response_schema_conformance])


def is_told_wrong(answer: requests.Response) -> bool:
    """Whether a 500 is none of ours: so Ollama tells that an option is of a wrong type, or that a format is none."""
    said = answer.json().get("error")
    return type(said) is str and said.startswith(("option ", "invalid format: "))


def check_pieces(path: str, media_type: str, text: str) -> None:
    """Each piece of a streamed answer is a described one."""
    place = ("paths", path, "post", "responses", "200", "content", media_type, "x-itemSchema")
    pieces = validator("#/" + "/".join(step.replace("/", "~1") for step in place))
    items = stream_items(text, media_type)
    assert items
    for item in items:
        pieces.validate(item)


# Schemathesis gives its decorators no types; so it is with those below.
@ANY.parametrize()  # type: ignore[untyped-decorator]
def test_whatever_is_sent(case: Any, openai: Process, session: requests.Session) -> None:
    check(case, openai, session)


@SENSIBLE.parametrize()  # type: ignore[untyped-decorator]  # as above
def test_what_makes_sense_in_front_of_openai(case: Any, openai: Process, session: requests.Session) -> None:
    check(opened(case), openai, session)


@SENSIBLE.parametrize()  # type: ignore[untyped-decorator]  # as above
def test_what_makes_sense_in_front_of_anthropic(
    case: Any, anthropic: Process, session: requests.Session
) -> None:
    check(opened(case), anthropic, session)


def opened(case: Any) -> Any:
    """The same request as one of the whole description, by which the answer is judged."""
    parts = {
        "path_parameters": case.path_parameters,
        "headers": case.headers,
        "query": case.query,
        "body": case.body,
    }
    return ANY[case.operation.path][case.method].Case(**parts, media_type=case.media_type)


def test_the_description_is_the_one_that_is_served(openai: Process, session: requests.Session) -> None:
    answer = session.get(f"{openai.url}/openapi.json", timeout=20)
    assert (answer.headers["content-type"], answer.content) == ("application/json", DOCUMENT)
