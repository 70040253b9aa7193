"""Google's routes of the control plane, and what is refused on its paths."""

import json
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve

from pipeline.ports import Reply, Transport
from pipeline.values.http import HttpRequest, ReplyHead
from tests.adapters.test_admin import ask, make_house

JSON = "application/json; charset=UTF-8"
HI = {"contents": [{"parts": [{"text": "x" * 400}]}]}


@pytest.mark.parametrize("version", ["v1beta", "v1alpha"])
async def test_the_models(version):
    listed = await ask("GET", f"/{version}/models")
    assert (listed.status, listed.header("content-type")) == (200, JSON)
    names = [entry["name"] for entry in listed.json["models"]]
    assert names
    assert all(name.startswith("models/") for name in names)
    for name in names:
        one = await ask("GET", f"/{version}/{name}")
        assert one.json == next(entry for entry in listed.json["models"] if entry["name"] == name)


async def test_the_list_of_version_1_is_openais():
    assert (await ask("GET", "/v1/models")).json["object"] == "list"


@pytest.mark.parametrize("version", ["v1beta", "v1alpha", "v1"])
async def test_counting(version):
    got = await counted(f"/{version}/models/gpt-4o:latest:countTokens", HI)
    assert (got.status, got.json) == (200, {"totalTokens": 108})
    assert got.header("x-token-count") == "estimate"


async def test_counting_asks_the_provider():
    class Counting(Transport):
        @asynccontextmanager
        async def open(self, request):
            parts = [b'{"n":42}', b""]

            async def read():
                await trio.lowlevel.checkpoint()
                return parts.pop(0)

            yield Reply(ReplyHead(200), read)

        async def aclose(self):
            pass

    house, _ = make_house()
    codec = evolve(
        house.env.codecs["scripted"],
        count=lambda request, target: HttpRequest("POST", f"http://{target.name}"),
        counted=lambda body: json.loads(body)["n"],
    )
    transports = dict.fromkeys(house.env.providers, Counting())
    house = evolve(house, env=evolve(house.env, codecs={"scripted": codec}, transports=transports))
    for body in (HI, {"generateContentRequest": {"model": "models/gpt-4o", **HI}}):
        got = await counted("/v1beta/models/gpt-4o:countTokens", body, house)
        assert (got.status, got.json, got.header("x-token-count")) == (200, {"totalTokens": 42}, "provider")


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        pytest.param("/v1beta/models/nothing:countTokens", HI, 404, "NOT_FOUND", id="a model nobody has"),
        pytest.param(
            "/v1beta/models/gpt-4o:countTokens",
            {"contents": 5},
            400,
            "INVALID_ARGUMENT",
            id="no conversation",
        ),
    ],
)
async def test_what_is_not_counted(path, body, status, word):
    got = await counted(path, body)
    assert (got.status, got.json["error"]["status"]) == (status, word)


async def counted(path, body, house=None):
    headers = {"content-type": "application/json"}
    return await ask("POST", path, house, body=json.dumps(body).encode(), headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        pytest.param("GET", "/v1beta/models/nothing", 404, "NOT_FOUND", id="a model nobody has"),
        pytest.param("GET", "/v1beta/models?pageSize=x", 400, "INVALID_ARGUMENT", id="a size that is none"),
        pytest.param("POST", "/v1beta/models/m:predict", 404, "NOT_FOUND", id="a method we do not have"),
        pytest.param("POST", "/v1/models/m:predict", 404, "NOT_FOUND", id="nor there"),
        pytest.param("GET", "/v1beta/cachedContents", 404, "NOT_FOUND", id="a path we do not have"),
        pytest.param("POST", "/upload/v1beta/files", 404, "NOT_FOUND", id="files"),
        pytest.param("DELETE", "/v1beta/models", 405, "INVALID_ARGUMENT", id="a wrong method"),
        pytest.param("GET", "/v1beta/models/m:countTokens", 405, "INVALID_ARGUMENT", id="counting by GET"),
        pytest.param(
            "POST", "/v1beta/models/m:countTokens", 415, "INVALID_ARGUMENT", id="counting of nothing"
        ),
    ],
)
async def test_refusals_are_googles(method, path, status, word):
    got = await ask(method, path)
    assert (got.status, got.header("content-type")) == (status, JSON)
    assert (got.json["error"]["code"], got.json["error"]["status"]) == (status, word)
    assert got.json["error"]["message"]


async def test_a_model_call_by_get_is_told_the_right_method():
    path = "/v1beta/models/m:generateContent"
    house = evolve(make_house()[0], calls_models=lambda asked: asked == path)
    got = await ask("GET", path, house)
    assert (got.status, got.header("allow"), got.json["error"]["status"]) == (405, "POST", "INVALID_ARGUMENT")
