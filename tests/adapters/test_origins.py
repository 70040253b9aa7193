"""A provider at two addresses: each call goes to its own, and to no other."""

from contextlib import asynccontextmanager

import pytest

from adapters.http1.client import ELSEWHERE, Http1Transport
from adapters.http1.dialling import origin_of
from adapters.origins import ByOrigin
from pipeline.ports import Reply
from pipeline.values.http import HttpRequest, ReplyHead

RUN, LIST = "https://run.example", "https://list.example"


class Fake:
    """Answers with its own name."""

    def __init__(self, name):
        self.name = name
        self.closed = False

    @asynccontextmanager
    async def open(self, request):
        yield Reply(ReplyHead(200, {"by": self.name}), None)

    async def aclose(self):
        self.closed = True


@pytest.mark.parametrize(
    ("url", "by"),
    [
        (f"{RUN}/model", "run"),
        (f"{LIST}/models", "list"),
        (f"{LIST}:443/models", "list"),
        (f"{LIST}:444/models", "run"),
        ("http://list.example/models", "run"),
        ("https://elsewhere.example/", "run"),
    ],
)
async def test_a_call_is_carried_by_the_transport_of_its_address(url, by):
    both = ByOrigin(Fake("run"), {origin_of(LIST): Fake("list")})
    async with both.open(HttpRequest("GET", url)) as reply:
        assert reply.head.headers == {"by": by}


async def test_no_call_goes_elsewhere():
    import ssl

    context = ssl.create_default_context()
    main, other = (Http1Transport(origin_of(url), context) for url in (RUN, LIST))
    async with ByOrigin(main, {origin_of(LIST): other}).open(
        HttpRequest("GET", "https://evil.example/")
    ) as reply:
        assert reply is ELSEWHERE


async def test_all_are_closed():
    main, other = Fake("run"), Fake("list")
    await ByOrigin(main, {origin_of(LIST): other}).aclose()
    assert main.closed
    assert other.closed
