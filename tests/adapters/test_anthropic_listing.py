"""The list of models in Anthropic's form, page by page."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.anthropic_listing import entry, page
from adapters.listing import Model
from pipeline.values.targets import ModelFacts, Target
from tests.adapters.test_admin import ask
from tests.kit import provider

VERSION = {"anthropic-version": "2023-06-01"}
FACTS = {"context_length": 200_000, "output_limit": 64_000, "modified_at": "2025-09-29T00:00:00Z"}


def model(name, **facts):
    return Model(name, (Target(provider("a"), ModelFacts(name, **facts)),))


FOUND = tuple(model(f"m{number}") for number in range(7))


def ids(answer):
    return [each["id"] for each in answer["data"]]


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        pytest.param({}, "0123456", False, id="all"),
        pytest.param({"limit": "3"}, "012", True, id="the first page"),
        pytest.param({"limit": "3", "after_id": "m2"}, "345", True, id="the next one"),
        pytest.param({"limit": "3", "after_id": "m5"}, "6", False, id="the last one"),
        pytest.param({"after_id": "m6"}, "", False, id="nothing is left"),
        pytest.param({"limit": "2", "before_id": "m4"}, "23", True, id="the page that ends there"),
        pytest.param({"limit": "9", "before_id": "m2"}, "01", False, id="back to the beginning"),
        pytest.param({"limit": "7", "after_id": ""}, "0123456", False, id="an empty cursor is none"),
    ],
)
def test_pages(query, names, more):
    answer = page(FOUND, query)
    wanted = [f"m{name}" for name in names]
    assert (ids(answer), answer["has_more"]) == (wanted, more)
    assert (answer["first_id"], answer["last_id"]) == ((wanted[0], wanted[-1]) if wanted else (None, None))


@given(count=st.integers(0, 25), limit=st.integers(1, 30))
def test_page_by_page_every_model_comes_once(count, limit):
    found = tuple(model(f"m{number}") for number in range(count))
    seen, query = [], {"limit": str(limit)}
    while True:
        answer = page(found, query)
        seen += ids(answer)
        if not answer["has_more"]:
            break
        query["after_id"] = answer["last_id"]
    assert seen == [each.name for each in found]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param({"limit": limit}, id=f"a limit of {limit or 'nothing'}")
        for limit in ("0", "1001", "-1", "x", "", "9" * 5000, "000000001" + "0" * 5000)
    ]
    + [
        pytest.param({"after_id": "zz"}, id="after nobody"),
        pytest.param({"before_id": "zz"}, id="before nobody"),
    ],
)
def test_what_is_wrong_is_said(query):
    (name,) = query
    assert page(FOUND, query).startswith(name)


def test_a_model():
    assert entry(model("claude-sonnet-4-5", **FACTS), "claude-sonnet-4-5") == {
        "type": "model",
        "id": "claude-sonnet-4-5",
        "display_name": "claude-sonnet-4-5",
        "created_at": "2025-09-29T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }


@pytest.mark.parametrize(
    ("path", "status", "key"),
    [
        pytest.param("/v1/models", 200, "has_more", id="the list"),
        pytest.param("/v1/models/gpt-4o", 200, "display_name", id="one model"),
        pytest.param("/v1/models/nothing", 404, "request_id", id="none"),
        pytest.param("/v1/models?limit=0", 400, "request_id", id="a bad limit"),
        pytest.param("/v1/nothing", 404, "request_id", id="no route"),
    ],
)
async def test_who_names_a_version_is_answered_in_this_form(path, status, key):
    got = await ask("GET", path, headers=VERSION)
    assert (got.status, got.header("content-type")) == (status, "application/json")
    value = json.loads(got.body)
    assert key in value
    assert status == 200 or value["type"] == "error"


async def test_others_are_answered_in_openais():
    value = json.loads((await ask("GET", "/v1/models")).body)
    assert value["object"] == "list"
    assert "error" in json.loads((await ask("GET", "/v1/models/nothing")).body)


async def test_a_route_of_anthropics_that_is_not_here():
    got = await ask("POST", "/v1/messages/batches", body=b"{}")
    assert got.status == 404
    assert json.loads(got.body)["error"]["type"] == "not_found_error"
