"""Management of models passes through to an Ollama: pull, push, create, copy, delete, and the files of models.

A plain ASGI function before the control plane, because what passes may take hours and be gigabytes: progress goes to the
client line by line as it comes, files go to the server piece by piece, and nothing is kept. A client who leaves ends the
call to the server with it. A call has a connection of its own: such calls are rare and long.
"""

import logging
import math
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import quote

import trio
from attrs import define, evolve, field, frozen

from adapters import management, probes
from adapters.asgi import LONG_BODY, ON_LEAVE, REQUEST_ID, App, RawHeaders, Receive, Scope, Send, send_whole
from adapters.edge import BODY_TIMEOUT_S, TOO_SLOW, forwarded, too_large
from adapters.errors import error_body, json_type
from adapters.lifecycle import SHUTTING_DOWN, Lifecycle
from adapters.management import Pulled, Refusal
from adapters.providers.http import USER_AGENT, address
from adapters.transport import httpx_transport
from pipeline.ports import Env, Reply
from pipeline.values.facts import Fact
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem
from pipeline.values.targets import Provider

log = logging.getLogger("ollama_proxy.relaying")

PULL = "/api/pull"
BLOBS = "/api/blobs/"
NDJSON = "application/x-ndjson"
# The last line of a pull or a create that went well holds it.
SUCCESS = b'"success"'
# A server that checks what it has pulled may say nothing for long.
IDLE_S = 1800.0
REFRESH_S = 2.0
CLOSE_S = 2.0
LAST_WORDS_S = 2.0
MOST_LINE_BYTES = 8 * 1024 * 1024
MOST_WHOLE_BYTES = 16 * 1024 * 1024
KEPT_HEADERS = ("content-type", "retry-after")
# What an Ollama answers in; it names no type where it says nothing.
TYPES = ("", "application/json", NDJSON, "text/plain")

SILENT = Problem(Kind.FIRST_BYTE, "it has said nothing for too long")
FAILED = Problem(Kind.INTERNAL, "the proxy failed; this is a fault of the proxy")
REDIRECTED = Problem(Kind.REDIRECT, "it answered with a redirect, which is not followed")
NO_OLLAMA = Problem(Kind.GARBLED, "what answers there is no Ollama")
KEY_REFUSED = Problem(Kind.AUTH, "it does not let this proxy in; see the key in its configuration")
TOO_LONG = Problem(Kind.GARBLED, "its answer is too long")


@frozen
class Route:
    """One way of management. `owner`: what Ollama calls its request; `names`: the fields of it that name models.

    `long`: it tells of its progress, and may take hours. `changes`: the server has other models afterwards.
    """

    owner: str
    names: tuple[str, ...] = ("model", "name")
    long: bool = False
    changes: bool = True


ROUTES: Mapping[tuple[str, str], Route] = {
    ("POST", PULL): Route("PullRequest", long=True),
    ("POST", "/api/push"): Route("PushRequest", long=True, changes=False),
    ("POST", "/api/create"): Route("CreateRequest", ("model", "name", "from"), long=True),
    ("POST", "/api/copy"): Route("CopyRequest", ("source", "destination")),
    ("DELETE", "/api/delete"): Route("DeleteRequest"),
}
FILE = Route("", (), long=True, changes=False)


def route_of(method: str, path: str) -> Route | None:
    """The way of management that is asked for, if any."""
    if method in ("HEAD", "POST") and path.startswith(BLOBS) and "/" not in path.removeprefix(BLOBS):
        return FILE
    return ROUTES.get((method, path))


def nothing(name: str) -> bool:
    """Where no other models are known."""
    return False


@frozen
class Relay:
    """What relaying needs of the house. `ollamas`: those whose models may be managed, the first asked first.

    `instance`: our own mark in the hop header. `idle_s`: the longest silence of a server that is busy. `elsewhere(name)`:
    whether a model of that name is here, and at none of them: there is nothing to pull, and it is not theirs to have.
    """

    env: Env
    tell: Callable[[Fact], None]
    lifecycle: Lifecycle
    ollamas: Mapping[str, Provider]
    context: ssl.SSLContext
    instance: str
    max_body_bytes: int
    idle_s: float = IDLE_S
    elsewhere: Callable[[str], bool] = nothing


def relayed(relay: Relay, rest: App) -> App:
    """The ASGI function that passes management on and gives all else to `rest`; all, where nothing may be managed."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        route = route_of(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await rest(scope, receive, send)
        else:
            await serve(relay, route, scope, receive, send)

    return app if relay.ollamas else rest


async def serve(relay: Relay, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request, until it is over, the client leaves or the house closes."""
    client = Client(scope, send)
    if not relay.lifecycle.accepting:
        await client.refuse(SHUTTING_DOWN)
        return
    with relay.lifecycle.exchange() as running:

        def leave() -> None:
            if not client.over:
                client.left = True
                running.cancel()

        body = Body(receive, leave)
        with running:
            async with trio.open_nursery() as nursery:
                if (on_leave := scope.get(ON_LEAVE)) is not None:
                    on_leave(leave)
                else:
                    nursery.start_soon(body.watch)
                await attend(relay, route, client, body)
                nursery.cancel_scope.cancel()
        if running.cancelled_caught and not client.left:
            with trio.move_on_after(LAST_WORDS_S):
                await client.fail(SHUTTING_DOWN)


async def attend(relay: Relay, route: Route, client: "Client", body: "Body") -> None:
    """Pass the request on. An exception is a bug: it is logged, and leaves as an error."""
    try:
        task = await task_of(relay, route, client, body)
        if isinstance(task, Problem | Refusal):
            await client.refuse(task)
        elif isinstance(task, Pulled):
            await client.answer(200, [("content-type", task.content_type)], task.body)
        else:
            await carry(relay, task, client)
    except Exception:
        log.exception("passing management on failed", extra={"request_id": client.id})
        await client.fail(FAILED)


@frozen
class Task:
    """One request as it goes to `provider`. `parts`: its body where that is sent on as it comes.

    `limit_s`: the longest silence of the server. `changes`: as of a route.
    """

    provider: Provider
    request: HttpRequest
    parts: "Body | None"
    limit_s: float
    changes: bool


async def task_of(
    relay: Relay, route: Route, client: "Client", body: "Body"
) -> Task | Pulled | Problem | Refusal:
    """What is to be done, or why it is not."""
    scope, headers = client.scope, client.headers
    method, path = scope["method"], scope["path"]
    handed_on = forwarded(headers, relay.instance)
    if isinstance(handed_on, Problem):
        return handed_on
    place = next(iter(relay.ollamas))
    if "x-provider" in headers:
        asked = management.place_asked(headers["x-provider"], relay.ollamas)
        if isinstance(asked, Refusal):
            return asked
        place = asked
    ours = {"accept-encoding": "identity", "user-agent": USER_AGENT, **handed_on}
    if route is FILE:
        if not management.DIGEST.fullmatch(path.removeprefix(BLOBS)):
            return Refusal(400, "invalid digest format")
        uploads = method == "POST"
        if uploads:
            ours["content-type"] = "application/octet-stream"
            if "content-length" in headers:
                ours["content-length"] = headers["content-length"]
            scope.get(LONG_BODY, nobody)()
        request = HttpRequest(method, quote(path, safe="/:"), ours)
        return _task(relay, route, place, request, body if uploads else None, relay.idle_s)
    data = await sent(relay, client, body)
    if isinstance(data, Problem):
        return data
    found = management.directed(data, route.owner, route.names, relay.ollamas)
    if isinstance(found, Refusal):
        return found
    if path == PULL and found.place is None and "x-provider" not in headers:
        answer = management.pull(management.body_object(data, route.owner), relay.elsewhere)
        if isinstance(answer, Pulled):
            return answer
    request = HttpRequest(method, path, {**ours, "content-type": "application/json"}, found.body)
    limit_s = relay.idle_s if found.streams else math.inf
    return _task(relay, route, found.place or place, request, None, limit_s)


async def sent(relay: Relay, client: "Client", body: "Body") -> bytes | Problem:
    """The JSON of a request, or why it is not taken."""
    declared = client.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > relay.max_body_bytes:
        return too_large(relay.max_body_bytes)
    # Our own server, which tells of leavers, has limits for bodies too.
    with trio.move_on_after(math.inf if ON_LEAVE in client.scope else BODY_TIMEOUT_S):
        return await body.whole(relay.max_body_bytes)
    return TOO_SLOW


def _task(
    relay: Relay, route: Route, place: str, request: HttpRequest, parts: "Body | None", limit_s: float
) -> Task:
    """`request` addressed to the Ollama `place`, and signed for it."""
    provider = relay.ollamas[place]
    whole = evolve(request, url=address(provider, request.url))
    signed = relay.env.codecs[provider.kind].sign(whole, provider.secret, relay.env.epoch())
    return Task(provider, signed, parts, limit_s if route.long else provider.timeout_s, route.changes)


async def carry(relay: Relay, task: Task, client: "Client") -> None:
    """Ask the server and pass its answer on."""
    client.provider = task.provider.name
    transport = httpx_transport(relay.context, task.provider.proxy)
    try:
        with trio.CancelScope() as patience:

            def heard() -> None:
                patience.deadline = trio.current_time() + task.limit_s

            heard()
            if task.parts is not None:
                task.parts.heard = heard
            async with transport.open(task.request, task.parts) as reply:
                await pass_on(relay, task, reply, client, heard)
        if patience.cancelled_caught:
            await client.fail(SILENT)
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await transport.aclose()
    log.info(
        "%s %s at %s: %s", task.request.method, client.scope["path"], client.provider, client.status,
        extra={"request_id": client.id},
    )  # fmt: skip


async def pass_on(
    relay: Relay, task: Task, reply: Reply | Problem, client: "Client", heard: Callable[[], None]
) -> None:
    """Give the client the server's answer, as it comes where it comes in lines."""
    problem = reply if isinstance(reply, Problem) else unfit(reply, task.provider)
    if problem is not None or isinstance(reply, Problem):
        await client.refuse(problem or FAILED)
        return
    told = ((name, reply.head.headers.get(name, "")) for name in KEPT_HEADERS)
    kept = [(name, value) for name, value in told if value and value.isascii()]
    if reply.head.headers.get("content-type", "").startswith(NDJSON):
        await client.begin(reply.head.status, kept)
        await pass_lines(relay, task, reply, client, heard)
        return
    data = await whole(reply, task.request.method)
    if isinstance(data, Problem):
        await client.refuse(data)
        return
    if reply.head.status == 200:
        await refresh(relay, task)
    await client.answer(reply.head.status, kept, data)


async def pass_lines(
    relay: Relay, task: Task, reply: Reply, client: "Client", heard: Callable[[], None]
) -> None:
    """Pass on whole lines, so that an answer that breaks off can still end in an error line."""
    held = b""
    while True:
        part = await reply.read()
        heard()
        if isinstance(part, Problem):
            await client.fail(part)
            return
        if not part:
            await client.more(held, more=False)
            return
        lines, end, rest = part.rpartition(b"\n")
        lines, held = (held + lines + end, rest) if end else (b"", held + rest)
        if len(held) > MOST_LINE_BYTES:
            await client.fail(TOO_LONG)
            return
        if SUCCESS in lines:
            await refresh(relay, task)
        if lines:
            await client.more(lines)
            heard()


def unfit(reply: Reply, provider: Provider) -> Problem | None:
    """Why an answer is not passed on."""
    status, headers = reply.head.status, reply.head.headers
    if 300 <= status < 400:
        return REDIRECTED
    # What says so in JSON is the server itself, which wants an account of its own; else we were not let in.
    own = headers.get("content-type", "").startswith("application/json") and not provider.secret
    if status in (401, 403) and not own:
        return KEY_REFUSED
    kind = headers.get("content-type", "")
    # A page of something that stands before it is not for the client, who takes it for its answer.
    if status >= 600 or not kind.isascii() or kind.partition(";")[0].strip().lower() not in TYPES:
        return NO_OLLAMA
    return None


async def whole(reply: Reply, method: str) -> bytes | Problem:
    """The body of an answer that comes in one piece."""
    data = bytearray()
    while method != "HEAD" and (part := await reply.read()):
        if isinstance(part, Problem):
            return part
        data += part
        if len(data) > MOST_WHOLE_BYTES:
            return TOO_LONG
    return bytes(data)


async def refresh(relay: Relay, task: Task) -> None:
    """List the server's models anew, before the client learns that they have changed: it will ask for them next."""
    if task.changes:
        # Shielded: that the client leaves now undoes nothing of what the server did.
        with trio.move_on_after(REFRESH_S, shield=True):
            await probes.refresh(relay.env, relay.tell, task.provider, REFRESH_S)


def nobody() -> None:
    """Where nobody wants to be told."""


@define(eq=False)
class Body:
    """The body of a request, piece by piece. `leave`: told when the client leaves; `heard`: at each piece."""

    receive: Receive
    leave: Callable[[], None]
    heard: Callable[[], None] = nobody
    _ended: trio.Event = field(factory=trio.Event, init=False)

    def __aiter__(self) -> "Body":
        """The pieces that are still to come."""
        return self

    async def __anext__(self) -> bytes:
        """The next piece. Does not return where the client leaves: what waits for it is cancelled."""
        while not self._ended.is_set():
            message = await self.receive()
            if message["type"] == "http.disconnect":
                self.leave()
                await trio.sleep_forever()
            self.heard()
            if not message.get("more_body", False):
                self._ended.set()
            if part := message.get("body", b""):
                return bytes(part)
        raise StopAsyncIteration

    async def whole(self, most: int) -> bytes | Problem:
        """All of it, if it is not more than `most` bytes."""
        parts: list[bytes] = []
        size = 0
        async for part in self:
            size += len(part)
            if size > most:
                return too_large(most)
            parts.append(part)
        return b"".join(parts)

    async def watch(self) -> None:
        """Tell when the client leaves, where the server does not tell by itself."""
        await self._ended.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass
        self.leave()


@define(eq=False)
class Client:
    """Writes the answer. `over`: its last piece was sent; `left`: the client went before."""

    scope: Scope
    send: Send
    provider: str | None = None
    status: int | None = field(default=None, init=False)
    over: bool = field(default=False, init=False)
    left: bool = field(default=False, init=False)

    @property
    def id(self) -> str:
        """The request's id."""
        return str(self.scope.get(REQUEST_ID, ""))

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers."""
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self.scope["headers"]}

    async def refuse(self, why: Problem | Refusal) -> None:
        """Answer with an error; nothing has been sent so far."""
        status, text = self._words(why)
        path = self.scope["path"]
        body = error_body(path, status, text, self.id)
        headers = [("content-type", json_type(path))]
        if isinstance(why, Problem) and why.retry_after is not None:
            headers.append(("retry-after", str(math.ceil(why.retry_after))))
        await self.answer(status, headers, body)

    async def fail(self, problem: Problem) -> None:
        """End the answer with an error, by whatever form is still possible."""
        if self.over:
            return
        if self.status is None:
            await self.refuse(problem)
        else:
            status, text = self._words(problem)
            line = error_body(self.scope["path"], status, text, self.id) + b"\n"
            await self.more(line, more=False)

    async def begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        """The head of an answer that comes piece by piece."""
        self.status = status
        await self.send({"type": "http.response.start", "status": status, "headers": self._raw(headers)})

    async def more(self, data: bytes, more: bool = True) -> None:
        """A piece of it."""
        self.over = not more
        await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """An answer in one piece."""
        self.status, self.over = status, True
        sized = self._raw([*headers, ("content-length", str(len(body)))])
        await send_whole(self.send, status, sized, b"" if self.scope["method"] == "HEAD" else body)

    def _raw(self, headers: list[tuple[str, str]]) -> RawHeaders:
        named = [("x-provider", self.provider)] if self.provider else []
        return [(name.encode(), value.encode("latin-1")) for name, value in [*headers, *named]]

    def _words(self, why: Problem | Refusal) -> tuple[int, str]:
        if isinstance(why, Refusal):
            return why.status, why.text
        text = f"Ollama at {self.provider}: {why.detail}" if self.provider else why.detail
        return why.http_status, text
