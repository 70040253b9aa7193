"""The server's side of ASGI, as far as the house uses it: types, and one way to send a whole answer."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]

# Where the guard leaves a request's id in the scope.
REQUEST_ID = "ollama_proxy.request_id"
# Where the door leaves who asks.
CALLER = "ollama_proxy.caller"
# Where our own server leaves a function that takes what is to be called when the client leaves.
ON_LEAVE = "ollama_proxy.on_leave"
# Where it leaves a function to be called for a body that may take as long as it keeps coming.
LONG_BODY = "ollama_proxy.long_body"


async def send_whole(send: Send, status: int, headers: RawHeaders, body: bytes = b"") -> None:
    """An answer in one piece."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body, "more_body": False})
