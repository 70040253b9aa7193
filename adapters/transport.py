"""Transport over httpx, the only room that imports it.

One client a provider. Its pool has no limit of its own, because our gates are the limit: httpcore loses slots of a full
pool when calls are cancelled. HTTP/1.1 only, because cancelling a call then closes its connection, which the provider
sees; over HTTP/2 it would go on generating.
"""

import logging
import ssl
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

import httpx
import trio
from attrs import frozen

from pipeline.ports import Reply
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.problems import Kind, Problem

CONNECT_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 60.0
CLOSE_TIMEOUT_S = 2.0

# It logs whole URLs at INFO, and a URL may hold a credential.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


@frozen
class HttpxTransport:
    """Calls of one provider."""

    client: httpx.AsyncClient

    @asynccontextmanager
    async def open(
        self, request: HttpRequest, parts: AsyncIterable[bytes] | None = None
    ) -> AsyncIterator[Reply | Problem]:
        """As the port says. `parts`: the body in place of the request's own, sent on piece by piece as it comes."""
        body = request.body if parts is None else parts
        sent = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        try:
            response = await self.client.send(sent, stream=True)
        except (httpx.TransportError, httpx.InvalidURL, ssl.SSLError) as error:
            yield unanswered(error)
            return
        try:
            yield _reply(response)
        finally:
            with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self.client.aclose()


def httpx_transport(context: ssl.SSLContext, proxy: str | None = None) -> HttpxTransport:
    """A transport of its own pool. `proxy`: the URL of the way out of the house, if there is one."""
    client = httpx.AsyncClient(
        verify=context,
        http2=False,
        trust_env=False,
        proxy=proxy,
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        limits=httpx.Limits(
            max_connections=None, max_keepalive_connections=256, keepalive_expiry=KEEP_ALIVE_S
        ),
    )
    return HttpxTransport(client)


def _reply(response: httpx.Response) -> Reply | Problem:
    head = ReplyHead(response.status_code, dict(response.headers))
    coding = head.headers.get("content-encoding", "identity").lower()
    if coding not in ("", "identity"):
        return Problem(Kind.GARBLED, "the provider sent a compressed answer that was not asked for")
    chunks = response.aiter_raw()

    async def read() -> bytes | Problem:
        try:
            async for chunk in chunks:
                if chunk:
                    return chunk
        except httpx.TransportError:
            return Problem(
                Kind.STREAM_ERROR, "the connection to the provider broke in the middle of its answer"
            )
        return b""

    return Reply(head, read)


def unanswered(error: Exception) -> Problem:
    """Why no reply could be had at all, by what httpx raised."""
    if _about_certificate(error):
        return Problem(Kind.TLS_INVALID, "the provider's TLS certificate is not valid for its name")
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return Problem(Kind.CONNECT, "the provider could not be reached")
        case httpx.RemoteProtocolError() if "disconnected" not in str(error):
            return Problem(Kind.GARBLED, "the provider's answer is not HTTP")
        case _:
            return Problem(Kind.WRITE_OR_RESET, "the connection to the provider broke before it answered")


def _about_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
