"""The description of all routes is valid, whole and true to the code, and its examples are what it describes."""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from werkzeug.routing import Map, Rule

from adapters import listing
from adapters.admin import ROUTES
from adapters.dialects import DIALECTS, PATTERNS, anthropic_chat, dialect_at, openai_chat
from adapters.openapi import DOCUMENT, FILE
from commands.arrangement import VERSION
from pipeline.state.breaker import Mode
from pipeline.values.callers import Priority
from pipeline.values.problems import RULES, Kind
from tests.adapters.test_admin import ask

TEXT = FILE.read_text(encoding="utf-8")
API = json.loads(TEXT)
METHODS = ("get", "head", "post", "put", "patch", "delete")
STREAMS = ("application/x-ndjson", "text/event-stream")
# What no code raises so far, so that no route has to speak of it.
NEVER = {Kind.UNAUTHORIZED, Kind.FORBIDDEN, Kind.NOT_IMPLEMENTED}

RULES_MAP = Map(
    [Rule(rule, endpoint=rule, methods=methods, strict_slashes=False) for rule, methods, handler in ROUTES]
).bind("localhost")


def at(pointer: str) -> Any:
    """What stands at `#/...`."""
    place = API
    for step in unquote(pointer).removeprefix("#/").split("/"):
        place = place[step.replace("~1", "/").replace("~0", "~")]
    return place


def resolved(value: dict[str, Any]) -> dict[str, Any]:
    return at(value["$ref"]) if "$ref" in value else value


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation; what the path says for all is told with each."""
    for path, entry in API["paths"].items():
        item = resolved(entry)
        for method in METHODS:
            if method in item:
                shared = [*item.get("parameters", ()), *item[method].get("parameters", ())]
                yield method.upper(), path, {**item[method], "parameters": shared}


OPERATIONS = [pytest.param(*each, id=f"{each[0]} {each[1]}") for each in operations()]
# Those that are not another's under a further address.
DISTINCT = [each.values for each in OPERATIONS if "$ref" not in API["paths"][each.values[1]]]


def filled(path: str, operation: dict[str, Any]) -> str:
    """The path with the example of each of its parameters."""
    for each in map(resolved, operation["parameters"]):
        if each["in"] == "path":
            path = path.replace("{" + each["name"] + "}", each["example"])
    return path


def calls_model(method: str, path: str, operation: dict[str, Any]) -> Any:
    """The dialect in which a model is called there, if any."""
    return dialect_at(filled(path, operation)) if method == "POST" else None


def form(path: str) -> re.Pattern[str]:
    """What a described path matches. A parameter may hold slashes: names of models do."""
    return re.compile(".+".join(map(re.escape, re.split(r"\{\w+\}", path))))


def validator(pointer: str) -> Draft202012Validator:
    """What judges by the schema at a place of the document, which may refer to others."""
    return Draft202012Validator({**API, "$ref": pointer})


def walk(value: Any, pointer: str = "#") -> Iterator[tuple[str, Any]]:
    """Each value of the document with its place."""
    yield pointer, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from walk(item, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, f"{pointer}/{index}")


def stream_items(text: str, media_type: str) -> list[Any]:
    """The JSON of each line of NDJSON, or of the data of each event."""
    if media_type == "application/x-ndjson":
        return [json.loads(line) for line in text.split("\n") if line]
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


def test_it_is_a_valid_document():
    schemathesis.openapi.from_dict(API).validate()
    Draft202012Validator.check_schema({"$defs": API["components"]["schemas"]})


def test_it_is_written_in_one_form():
    assert json.dumps(API, indent=2, ensure_ascii=False) + "\n" == TEXT


def test_it_tells_the_version():
    assert API["info"]["version"] == VERSION


async def test_it_is_served_as_it_is():
    got = await ask("GET", "/openapi.json")
    assert (got.status, got.header("content-type"), got.body) == (200, "application/json", DOCUMENT)
    assert FILE.read_bytes() == DOCUMENT


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_what_is_described_is_a_route(method, path, operation):
    if calls_model(method, path, operation) is None:
        RULES_MAP.match(filled(path, operation), method)


def test_each_route_of_the_control_plane_is_described():
    real = [(method, filled(path, operation)) for method, path, operation in operations()]
    described = {
        (method, RULES_MAP.match(path, method)[0]) for method, path in real if RULES_MAP.test(path, method)
    }
    assert {(method, rule) for rule, methods, _ in ROUTES for method in methods} == described


def test_each_path_of_a_dialect_is_described():
    assert {path for path in DIALECTS if "post" not in resolved(API["paths"].get(path, {}))} == set()


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in PATTERNS], ids=lambda pattern: pattern.pattern)
def test_each_path_that_names_a_model_is_described(pattern):
    forms = [form(path) for method, path, _ in operations() if method == "POST"]

    @settings(derandomize=True, max_examples=50, database=None, deadline=None)
    @given(st.from_regex(pattern, fullmatch=True))
    def described(path):
        assert any(each.fullmatch(path) for each in forms), path

    described()


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_a_call_of_a_model_tells_every_status_it_can_answer_with(method, path, operation):
    dialect = calls_model(method, path, operation)
    if dialect is None:
        return
    overloaded = 529 if dialect.name.startswith("anthropic") else 503
    answered = {rule.status for kind, rule in RULES.items() if kind not in NEVER}
    wanted = {overloaded if status == 503 else status for status in answered}
    # Beside these: the guards' own, and those that are a provider's.
    assert {str(status) for status in wanted | {200, 403, 422, 431}} == set(operation["responses"])


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_each_answer_carries_the_id_of_its_request(method, path, operation):
    for status, answer in operation["responses"].items():
        assert "X-Request-Id" in resolved(answer)["headers"], status


def test_each_operation_has_a_name_of_its_own_and_words():
    found = [operation for _, _, operation in DISTINCT]
    assert len({operation["operationId"] for operation in found}) == len(found)
    assert {tag for operation in found for tag in operation["tags"]} == {tag["name"] for tag in API["tags"]}
    for operation in found:
        assert not operation["summary"].endswith(".")
        assert operation["description"].endswith(".")


def test_all_that_is_named_is_there_and_all_that_is_there_is_named():
    named = {value["$ref"] for _, value in walk(API) if isinstance(value, dict) and "$ref" in value}
    there = {f"#/components/{kind}/{name}" for kind, group in API["components"].items() for name in group}
    assert {name for name in named if name.startswith("#/components/")} == there
    assert all(map(at, named))


def examples() -> Iterator[Any]:
    """Schema and value of each example, by their places."""
    for pointer, value in walk(API):
        if not isinstance(value, dict):
            continue
        if "schema" in value and "example" in value:
            yield pytest.param(f"{pointer}/schema", value["example"], id=pointer)
        if "schema" in value and isinstance(value.get("examples"), dict):
            for name, each in value["examples"].items():
                yield pytest.param(f"{pointer}/schema", each["value"], id=f"{pointer} {name}")
        if isinstance(value.get("examples"), list) and ("type" in value or "anyOf" in value):
            for index, each in enumerate(value["examples"]):
                yield pytest.param(pointer, each, id=f"{pointer} {index}")


@pytest.mark.parametrize(("schema", "value"), list(examples()))
def test_an_example_is_what_its_schema_says(schema, value):
    validator(schema).validate(value)


def streams() -> Iterator[Any]:
    for pointer, value in walk(API):
        if (
            isinstance(value, dict)
            and (media_type := pointer.rpartition("/")[2].replace("~1", "/")) in STREAMS
        ):
            yield pytest.param(pointer, media_type, value, id=pointer)


@pytest.mark.parametrize(("pointer", "media_type", "value"), list(streams()))
def test_each_piece_of_a_streamed_example_is_what_its_schema_says(pointer, media_type, value):
    items = stream_items(value["example"], media_type)
    assert items
    for item in items:
        validator(f"{pointer}/x-itemSchema").validate(item)


def test_no_call_of_a_model_is_described_without_an_example():
    for method, path, operation in operations():
        if calls_model(method, path, operation):
            for media_type in operation["requestBody"]["content"].values():
                assert media_type["examples"], path


def effort(name: str) -> Any:
    return set(API["components"]["schemas"][name]["properties"]["reasoning_effort"]["enum"]) - {"none"}


@pytest.mark.parametrize(
    ("described", "true"),
    [
        pytest.param(
            lambda: API["components"]["schemas"]["Capabilities"]["items"]["enum"],
            list(listing.CAPABILITIES),
            id="what models can do",
        ),
        pytest.param(
            lambda: API["components"]["parameters"]["X-Priority"]["schema"]["enum"],
            [priority.value for priority in Priority],
            id="priorities",
        ),
        pytest.param(
            lambda: set(API["components"]["schemas"]["Provider"]["properties"]["breaker"]["enum"]),
            set(get_args(Mode)),
            id="states of a breaker",
        ),
        pytest.param(
            lambda: API["components"]["parameters"]["anthropic-version"]["schema"]["enum"],
            list(anthropic_chat.VERSIONS),
            id="versions of Anthropic's API",
        ),
        pytest.param(lambda: effort("OpenAIChatBody"), set(openai_chat.EFFORTS), id="OpenAI's efforts"),
    ],
)
def test_a_choice_is_the_one_the_code_has(described, true):
    assert described() == true
