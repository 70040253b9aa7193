"""The edge: the data plane, from the bytes of a model call to the bytes of its answer, as a plain ASGI function.

An exchange runs inside the call of the ASGI function, in one cancel scope. If the client leaves, it is cancelled with all
that was done for it: our own server tells of it, under another one a task waits for it.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import trio
from attrs import define, evolve, field, frozen

from adapters.annotating import Decision, annotated
from adapters.asgi import CALLER, ON_LEAVE, REQUEST_ID, App, Receive, Scope, Send
from adapters.dialects.allowances import limit_headers
from adapters.guard import HOP
from adapters.lifecycle import SHUTTING_DOWN, Lifecycle
from adapters.silences import Silences
from pipeline.authority import authorize
from pipeline.ports import Answer, Dialect
from pipeline.protocol import Service, Wire
from pipeline.values.callers import ANYBODY, Caller, Priority
from pipeline.values.events import Batch, Failed, Finished
from pipeline.values.exchange import Exchange, How, Preference
from pipeline.values.facts import (
    Admitted,
    AttemptEnded,
    AttemptStarted,
    Charged,
    Fact,
    FirstToken,
    Queued,
    Reused,
    TurnedAway,
)
from pipeline.values.http import HttpRequest, ReplyHead
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem
from pipeline.values.standing import Standing

log = logging.getLogger("ollama_proxy.edge")

BODY_TIMEOUT_S = 30.0
LAST_WORDS_S = 2.0
TIMEOUT_LEAST_S, TIMEOUT_MOST_S = 0.1, 1800.0
TOO_SLOW = Problem(Kind.TIMED_OUT, f"the request body did not arrive within {BODY_TIMEOUT_S:.0f} s")
UNREAD = Problem(Kind.INTERNAL, "the proxy could not read this request; this is a fault of the proxy")
HANDED_ON = (HOP, "traceparent", "tracestate")
MOST_LOSSES, MOST_LETTERS = 32, 64
LOSS_MARK = {How.DROPPED: "", How.APPROXIMATED: "~", How.EMULATED: "~"}


@frozen
class Edge:
    """What the data plane needs of the house.

    `dialect_at(path)`: the client language spoken there, if any. `services` by operation; `providers`: the names a
    client may prefer, and `strategies` he may wish for; `instance`: our own mark in the hop header.
    """

    dialect_at: Callable[[str], Dialect | None]
    services: Mapping[str, Service]
    providers: frozenset[str]
    lifecycle: Lifecycle
    silences: Silences
    now: Callable[[], float]
    epoch: Callable[[], float]
    tell: Callable[[Fact], None]
    max_body_bytes: int
    instance: str = ""
    strict: bool = False
    strategies: frozenset[str] = frozenset()


def data_plane(edge: Edge, rest: App) -> App:
    """The ASGI function that answers model calls itself and gives all else to `rest`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        dialect = edge.dialect_at(scope["path"]) if scope["method"] == "POST" else None
        if dialect is None:
            await rest(scope, receive, send)
        else:
            await serve(edge, dialect, scope, receive, send)

    return app


async def serve(edge: Edge, dialect: Dialect, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one model call, until it is over, the client leaves or the house closes."""
    responder = Responder(edge, dialect, send, scope[REQUEST_ID], edge.now(), edge.epoch())
    if not edge.lifecycle.accepting:
        await responder.refuse(SHUTTING_DOWN)
        return
    # Our own server, which tells of leavers, has limits for bodies too.
    limit_s = math.inf if ON_LEAVE in scope else BODY_TIMEOUT_S
    with edge.lifecycle.exchange(responder.arrived + limit_s) as running:
        with running:
            exchange = await asked(edge, dialect, scope, receive, responder)
            if limit_s < math.inf:
                running.deadline = math.inf
            if exchange is not None:
                await run(edge, exchange, responder, running, scope, receive)
        if not running.cancelled_caught or responder.left:
            return
        with trio.move_on_after(LAST_WORDS_S):
            if edge.lifecycle.ended:
                await responder.fail(SHUTTING_DOWN)
            else:
                await responder.refuse(TOO_SLOW, close=True)


async def asked(
    edge: Edge, dialect: Dialect, scope: Scope, receive: Receive, responder: "Responder"
) -> Exchange | None:
    """What the client asks for; None if he left, or was refused."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await read_body(receive, headers, edge.max_body_bytes)
    if body is None:
        return None
    if isinstance(body, Problem):
        await responder.refuse(body, close=True)
        return None
    try:
        exchange = read_exchange(
            edge,
            dialect,
            HttpRequest("POST", path_and_query(scope), headers, body),
            responder,
            scope.get(CALLER, ANYBODY),
        )
    except Exception:
        log.exception("reading a request failed", extra={"request_id": responder.id})
        exchange = UNREAD
    if isinstance(exchange, Problem):
        await responder.refuse(exchange)
        return None
    return exchange


def path_and_query(scope: Scope) -> str:
    """Path and query of a request."""
    query = scope.get("query_string")
    return f"{scope['path']}?{query.decode('latin-1')}" if query else str(scope["path"])


async def run(
    edge: Edge,
    exchange: Exchange,
    responder: "Responder",
    running: trio.CancelScope,
    scope: Scope,
    receive: Receive,
) -> None:
    """Run the exchange; it is cancelled when the client leaves."""
    service = edge.services[exchange.request.operation]

    def leave() -> None:
        # Once the end is on its way, the client who then hangs up has had all he came for.
        if not responder.over:
            responder.left = True
            running.cancel()

    if (on_leave := scope.get(ON_LEAVE)) is not None:
        on_leave(leave)
        await attend(service, exchange, responder)
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch, receive, leave)
        await attend(service, exchange, responder)
        nursery.cancel_scope.cancel()


async def watch(receive: Receive, leave: Callable[[], None]) -> None:
    """Wait for the client to leave, where the server does not tell by itself."""
    while (await receive())["type"] != "http.disconnect":
        pass
    leave()


async def attend(service: Service, exchange: Exchange, responder: "Responder") -> None:
    """Let the service answer. An exception is a bug: it is logged, leaves as an error, and no other exchange notices."""
    silences = responder.edge.silences
    if exchange.request.stream:
        silences.begin(responder)
    try:
        await service(exchange, Wire(responder.emit, responder.tell))
        await responder.finish()
    except Exception:
        log.exception("an exchange failed", extra={"request_id": exchange.id})
        await responder.fail(Problem(Kind.INTERNAL, "the proxy failed; this is a fault of the proxy"))
    finally:
        silences.end(responder)


async def read_body(receive: Receive, headers: Mapping[str, str], most: int) -> bytes | Problem | None:
    """The whole body, or why it is not taken; None if the client left."""
    declared = headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        return too_large(most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return too_large(most)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(most: int) -> Problem:
    """Why a body of more than `most` bytes is not taken."""
    return Problem(Kind.TOO_LARGE, f"the request body is larger than {most} bytes (MAX_BODY_BYTES)")


def read_exchange(
    edge: Edge, dialect: Dialect, http: HttpRequest, responder: "Responder", caller: Caller = ANYBODY
) -> Exchange | Problem:
    """The exchange that the client's bytes and headers describe; `caller`: who sent them."""
    request = dialect.read(http)
    if isinstance(request, Problem):
        return request
    responder.expect(request)
    handed_on = forwarded(http.headers, edge.instance)
    if isinstance(handed_on, Problem):
        return handed_on
    exchange = Exchange(
        id=responder.id,
        request=request,
        dialect=dialect.name,
        arrived=responder.arrived,
        deadline=responder.arrived + TIMEOUT_MOST_S,
        caller=caller,
        priority=usual_priority(caller),
        strict=edge.strict,
        forwarded=handed_on,
    )
    wished = wishes(exchange, http.headers, edge)
    if isinstance(wished, Exchange) and wished.explain:
        responder.decision = Decision()
    return wished


def forwarded(headers: Mapping[str, str], instance: str) -> Mapping[str, str] | Problem:
    """What every upstream is told of where the request comes from: the houses it came through, and its trace."""
    given = {name: headers[name] for name in HANDED_ON if name in headers}
    for name, value in given.items():
        if not (value.isascii() and value.isprintable()):
            return Problem(Kind.BAD_REQUEST, f"the header {name} must be plain ASCII", name)
    return {**given, HOP: f"{given[HOP]}, {instance}" if HOP in given else instance}


def wishes(exchange: Exchange, headers: Mapping[str, str], edge: Edge) -> Exchange | Problem:
    """The exchange with what the client's own `X-` headers ask for."""
    changes: dict[str, Any] = {}
    if "x-provider" in headers:
        changes["preference"] = preference(headers["x-provider"], edge.providers, exchange)
    if "x-priority" in headers:
        changes["priority"] = priority(headers["x-priority"], exchange.caller)
    if "x-request-timeout" in headers:
        changes["deadline"] = deadline(headers["x-request-timeout"], exchange.arrived)
    if "x-proxy-strict" in headers:
        changes["strict"] = flag("X-Proxy-Strict", headers["x-proxy-strict"])
    if "x-routing-strategy" in headers:
        changes["strategy"] = strategy(headers["x-routing-strategy"], edge.strategies)
    if "x-proxy-explain" in headers:
        changes["explain"] = flag("X-Proxy-Explain", headers["x-proxy-explain"])
    if headers.get("x-stainless-retry-count", "0") != "0":
        changes["client_retry"] = True
    problem = next((value for value in changes.values() if isinstance(value, Problem)), None)
    return problem or (evolve(exchange, **changes) if changes else exchange)


def preference(text: str, providers: frozenset[str], exchange: Exchange) -> Preference | Problem:
    """`X-Provider: openai, azure; only`. To name one that may not be used is as if it had not the model."""
    names, _, rest = text.partition(";")
    wanted = tuple(name.strip().lower() for name in names.split(",") if name.strip())
    unknown = [name for name in wanted if name not in providers]
    if unknown or not wanted:
        known = ", ".join(filter(exchange.caller.may_use, sorted(providers)))
        return Problem(
            Kind.BAD_REQUEST, f"X-Provider names no provider of this proxy; it has: {known}", "X-Provider"
        )
    if rest.strip() not in ("", "only"):
        return Problem(Kind.BAD_REQUEST, 'X-Provider may end in "; only" and in nothing else', "X-Provider")
    for name in wanted:
        problem = authorize(exchange.caller, "call", provider=name)
        if problem is not None:
            return evolve(problem, subject=exchange.request.model)
    return Preference(wanted, rest.strip() == "only")


def usual_priority(caller: Caller) -> Priority:
    """The class of who says nothing of it."""
    return Priority.NORMAL if caller is ANYBODY else Priority.NORMAL.at_most(caller.highest)


def priority(text: str, caller: Caller = ANYBODY) -> Priority | Problem:
    """`X-Priority: high`, or the highest class that the caller may have."""
    try:
        return Priority(text.strip().lower()).at_most(caller.highest)
    except ValueError:
        return Problem(Kind.BAD_REQUEST, "X-Priority must be critical, high, normal or low", "X-Priority")


def strategy(text: str, known: frozenset[str]) -> str | Problem:
    """`X-Routing-Strategy: cost_optimized`."""
    name = text.strip().lower()
    if name in known:
        return name
    detail = f"X-Routing-Strategy must be one of: {', '.join(sorted(known))}"
    return Problem(Kind.BAD_REQUEST, detail, "X-Routing-Strategy")


def deadline(text: str, arrived: float) -> float | Problem:
    """`X-Request-Timeout: 30`, in seconds, as a moment of the monotonic clock."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not TIMEOUT_LEAST_S <= seconds <= TIMEOUT_MOST_S:
        detail = f"X-Request-Timeout must be seconds from {TIMEOUT_LEAST_S} to {TIMEOUT_MOST_S:.0f}"
        return Problem(Kind.BAD_REQUEST, detail, "X-Request-Timeout")
    return arrived + seconds


def flag(name: str, text: str) -> bool | Problem:
    """A header that says yes or no."""
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower())
    return value if value is not None else Problem(Kind.BAD_REQUEST, f"{name} must be true or false", name)


@define(eq=False)
class Responder:
    """The client's end of one exchange: renders batches with the dialect and writes them, one write a batch.

    A reply that is not streamed is gathered and written at the end. The first event decides the status; until then
    nothing has been sent.
    """

    edge: Edge
    dialect: Dialect
    send: Send
    id: str
    arrived: float
    began: float
    over: bool = field(default=False, init=False)
    left: bool = field(default=False, init=False)
    request: Request | None = field(default=None, init=False)
    decision: Decision | None = field(default=None, init=False)
    _state: Any = field(default=None, init=False)
    _headed: bool = field(default=False, init=False)
    _writing: bool = field(default=False, init=False)
    _gathered: list[Batch] = field(factory=list, init=False)
    _held: bytes = field(default=b"", init=False)
    _told: "Told" = field(factory=lambda: Told(), init=False)

    def expect(self, request: Request) -> None:
        """The reply will be to `request`."""
        self.request = request
        self._state = self.dialect.fresh(request, self.id, self.began)

    def tell(self, fact: Fact) -> None:
        """Hand a fact to the house, and keep what the reply's headers say of it."""
        self._told.see(fact)
        if self.decision is not None:
            self.decision.see(fact)
        if self._told.committed:
            self.edge.silences.end(self)
        self.edge.tell(fact)

    async def emit(self, batch: Batch) -> None:
        """The next batch for the client."""
        assert self.request is not None
        last = batch.events[-1] if batch.events else None
        if not self.request.stream:
            self._gathered.append(batch)
        elif isinstance(last, Failed) and len(batch.events) == 1 and not self._headed:
            await self.refuse(last.problem)
        else:
            await self._write(batch, ends=isinstance(last, Failed | Finished))

    async def finish(self) -> None:
        """The exchange is over: write what was gathered."""
        if self.over or not self._gathered:
            return
        last = self._gathered[-1].events[-1] if self._gathered[-1].events else None
        if isinstance(last, Failed):
            await self.refuse(last.problem)
        else:
            await self._answer(self.dialect.collect(self._state, tuple(self._gathered), self._elapsed()))

    async def fail(self, problem: Problem) -> None:
        """End the reply with `problem`, by whatever form is still possible."""
        if self.over:
            return
        if self._headed:
            await self._write(Batch((Failed(problem),)), ends=True)
        else:
            await self.refuse(problem)

    async def refuse(self, problem: Problem, close: bool = False) -> None:
        """Answer with an error; nothing has been sent so far. `close`: the rest of the request will not be read."""
        answer = self.dialect.refuse(problem, self.request, self.id)
        if close:
            answer = evolve(
                answer, head=ReplyHead(answer.head.status, {**answer.head.headers, "connection": "close"})
            )
        await self._answer(answer)

    async def keep_alive(self) -> None:
        """A sign of life, but only before the first content: from then on the content is the sign."""
        if self.over or self._writing or self._told.committed:
            return
        await self._head(self.dialect.head(self._state))
        self._state, data = self.dialect.keep_alive(self._state, self._elapsed())
        if data and self.dialect.comments and (standing := self._told.standing()) is not None:
            data = queue_comment(standing) + data
        await self._body(data, more=True)

    async def _write(self, batch: Batch, ends: bool) -> None:
        await self._head(self.dialect.head(self._state))
        self._state, data = self.dialect.write(self._state, batch, self._elapsed())
        self.over = ends
        if self.decision is not None:
            data = self._held_back(data, ends)
        if data or ends:
            await self._body(data, more=not ends)

    def _held_back(self, data: bytes, ends: bool) -> bytes:
        """What is written now of a stream whose last object is to carry the decision: all but the newest.

        Some streams tell that they are over only after their last object, so each waits for what comes next.
        """
        if ends:
            return self._annotated(self._held + data)
        if data:
            data, self._held = self._held, data
        return data

    async def _answer(self, answer: Answer) -> None:
        self.over = True
        body = self._annotated(answer.body)
        await self._head(answer.head, len(body))
        await self._body(body, more=False)

    def _annotated(self, data: bytes) -> bytes:
        """The end of the reply, with why it came from where it came, for those who asked for that."""
        if self.decision is None:
            return data
        value = self.decision.value()
        log.info("a decision was asked for", extra={"request_id": self.id, "decision": value})
        return annotated(data, value)

    async def _head(self, head: ReplyHead, length: int | None = None) -> None:
        if self._headed:
            return
        self._headed = True
        headers = [(name.encode(), value.encode()) for name, value in head.headers.items()]
        headers += self._told.headers(self._elapsed())
        if (charged := self._told.charged) is not None:
            headers += limit_headers(self.dialect.name, charged, self.edge.epoch())
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await self.send({"type": "http.response.start", "status": head.status, "headers": headers})

    async def _body(self, data: bytes, more: bool) -> None:
        self._writing = True
        await self.send({"type": "http.response.body", "body": data, "more_body": more})
        self._writing = False

    def _elapsed(self) -> float:
        return self.edge.now() - self.arrived


@define(eq=False)
class Told:
    """What the facts of an exchange say in the headers of its reply."""

    committed: bool = False
    charged: Charged | None = None
    _attempt: AttemptStarted | None = None
    _attempts: dict[int, AttemptStarted] = field(factory=dict)
    _reused: Reused | None = None
    _queued: Queued | None = None
    _turned_away: TurnedAway | None = None
    _queued_s: float = 0.0
    _waited_s: float = 0.0
    _failed: bool = False

    def see(self, fact: Fact) -> None:
        """Keep what matters."""
        if isinstance(fact, Admitted):
            self._queued_s = fact.waited_s
        elif isinstance(fact, Queued):
            self._queued = fact
        elif isinstance(fact, TurnedAway):
            self._turned_away, self._queued_s = fact, fact.waited_s
        elif isinstance(fact, AttemptStarted):
            self._attempt = self._attempts[fact.number] = fact
            self._failed = False
        elif isinstance(fact, FirstToken):
            self.committed = True
            # Where two run at once, the newest need not be the first with content.
            self._attempt = self._attempts[fact.number]
            self._waited_s += fact.after_s
        elif isinstance(fact, AttemptEnded) and not self.committed:
            self._waited_s += fact.after_s
            self._failed = True
        elif isinstance(fact, Charged):
            self.charged = fact
        elif isinstance(fact, Reused):
            self.committed = True
            self._reused = fact

    def standing(self) -> Standing | None:
        """Where the exchange stands, if it waits for its permit."""
        return None if self._queued is None else self._queued.standing()

    def headers(self, elapsed_s: float) -> list[tuple[bytes, bytes]]:
        """`X-Provider`, `X-Model` and the like, as far as they are known when the head is sent."""
        if (standing := self.standing()) is not None:
            return queue_headers(standing)
        if not self.committed and self._attempt and not self._failed:
            # A sign of life goes out before it is known who will answer, and after how long.
            return []
        headers = [(b"x-queue-ms", _ms(self._queued_s))]
        headers.append((b"x-overhead-ms", _ms(max(0.0, elapsed_s - self._waited_s - self._queued_s))))
        if self._turned_away is not None and self._turned_away.stood is not None:
            headers += queue_headers(self._turned_away.stood)
        if (reused := self._reused) is not None:
            headers.append((b"x-proxy-cache", reused.how.encode()))
            return headers + who_answers(reused.target)
        if (attempt := self._attempt) is None:
            return headers
        headers += who_answers(attempt.target)
        headers.append((b"x-attempts", str(len(self._attempts)).encode()))
        lost = [
            shown(loss.field) + LOSS_MARK[loss.how] for loss in attempt.losses if loss.how is not How.MOOT
        ]
        if lost:
            more = [f"and {len(lost) - MOST_LOSSES} more"] if len(lost) > MOST_LOSSES else []
            headers.append((b"x-proxy-lossy", ", ".join(lost[:MOST_LOSSES] + more).encode()))
        return headers


def queue_headers(standing: Standing) -> list[tuple[bytes, bytes]]:
    """Where one stands who waits, or who is not let in."""
    headers = [(b"x-queue-position", str(standing.position).encode())]
    if standing.wait_told is not None:
        headers.append((b"x-queue-wait-estimate", str(standing.wait_told).encode()))
    return headers


def queue_comment(standing: Standing) -> bytes:
    """The same as a comment of a stream."""
    wait = "" if standing.wait_told is None else f" wait={standing.wait_told}s"
    return f": queued position={standing.position}{wait}\n\n".encode()


def who_answers(target: str) -> list[tuple[bytes, bytes]]:
    """`X-Provider` and `X-Model`."""
    provider, _, model = target.partition("/")
    return [(b"x-provider", shown(provider).encode()), (b"x-model", shown(model).encode())]


def shown(name: str) -> str:
    """A field's name, which the client chose, as it may stand in a header: plain, in one word and not long."""
    plain = name.encode("ascii", "backslashreplace").decode()
    return "".join(
        letter if letter.isprintable() and letter not in ", " else "_" for letter in plain[:MOST_LETTERS]
    )


def _ms(seconds: float) -> bytes:
    return f"{seconds * 1000:.1f}".encode()
