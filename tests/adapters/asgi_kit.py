"""Calling an ASGI app as a server would, without a socket."""

import json
from typing import Any

import trio
from attrs import define, field

from adapters.asgi import App, Message, Scope

HOST = [(b"host", b"localhost:11434")]


@define(eq=False)
class Got:
    """An answer: status, headers in the order they came, body."""

    status: int = 0
    headers: list[tuple[str, str]] = field(factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.headers if other == name]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands {len(values)} times"
        return values[0] if values else None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def scope_of(method: str, path: str, headers: list[tuple[bytes, bytes]], **changes: Any) -> Scope:
    raw_path, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw_path,
        "raw_path": raw_path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 11434),
        **changes,
    }


async def call(
    app: App,
    method: str,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    **changes: Any,
) -> Got:
    """What `app` answers; the client stays until then."""
    given = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return await call_scope(app, scope_of(method, path, [*HOST, *given], **changes), body)


async def call_scope(app: App, scope: Scope, body: bytes = b"") -> Got:
    got, asked = Got(), False

    async def receive() -> Message:
        nonlocal asked
        if asked:
            await trio.sleep_forever()
        asked = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        await trio.lowlevel.checkpoint()
        if message["type"] == "http.response.start":
            got.status = message["status"]
            got.headers = [(name.decode().lower(), value.decode()) for name, value in message["headers"]]
        else:
            got.body += message.get("body", b"")

    await app(scope, receive, send)
    assert got.status, "the app answered nothing"
    return got
