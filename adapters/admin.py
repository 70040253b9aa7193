"""The control plane: everything that is not a model call, on QuartTrio. Only bindings stand here.

What is answered is made by pure functions of one snapshot (`listing`, `health`, `management`); a handler reads the
request, asks one of them and wraps the answer.
"""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast
from urllib.parse import quote

import orjson
import trio
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from adapters import anthropic_listing, google_listing, health, listing, management, showing, stats, tokens
from adapters.asgi import CALLER, REQUEST_ID, App, Receive, Scope, Send, send_whole
from adapters.dialects import anthropic_chat, anthropic_errors, google_chat, google_errors
from adapters.errors import error_body, is_anthropic, is_google, is_openai, json_type
from adapters.explanations import read_as, refusal_words
from adapters.house import House
from adapters.openapi import DOCUMENT
from adapters.reload import reload_answer
from adapters.tally import Tally
from pipeline.state.health import condition, overall
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Problem

# The Ollama whose API we speak. Clients compare it number by number; VS Code wants 0.6.4 at least.
OLLAMA_VERSION = "0.33.0"

BODY_TIMEOUT_S = 30

GET, POST, DELETE = ["GET"], ["POST"], ["DELETE"]
TEXT = "text/plain; charset=utf-8"
MESSAGES = "/v1/messages"
# What Ollama's server says itself, in plain text.
PLAIN = {404: "404 page not found", 405: "405 method not allowed"}
WORDS = {
    404: "there is no such route",
    405: "this route takes other methods, see the header Allow",
    408: "the request body took too long",
    413: "the request body is too large",
    500: "the gateway failed; its log says why",
}

Handler: TypeAlias = Callable[..., Response] | Callable[..., Awaitable[Response]]


def control_plane(house: Callable[[], House]) -> App:
    """The ASGI app of the control plane. `house()`: as it is now; a request sees one from its beginning to its end."""
    app = QuartTrio(__name__, static_folder=None)
    app.config.update(
        RESPONSE_TIMEOUT=None,
        BODY_TIMEOUT=BODY_TIMEOUT_S,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.url_map.merge_slashes = False
    for rule, methods, handler in ROUTES:
        app.add_url_rule(rule, f"{methods[0]} {rule}", waiting(handler, house), methods=methods)
    app.register_error_handler(HTTPException, waiting(refused, house))
    return redirecting(bounded(app, house))


def bounded(app: QuartTrio, house: Callable[[], House]) -> App:
    """`app`, which takes bodies as long as the house takes now."""

    async def bound(scope: Scope, receive: Receive, send: Send) -> None:
        app.config["MAX_CONTENT_LENGTH"] = house().max_body_bytes
        await cast(App, app)(scope, receive, send)

    return bound


def waiting(handler: Handler, house: Callable[[], House]) -> Callable[..., Awaitable[Response]]:
    """`handler` as Quart wants it, which would run a plain function in a thread, for the house as it is now."""

    async def waits(*given: Any, **named: Any) -> Response:
        await trio.lowlevel.checkpoint()
        answer = handler(house(), *given, **named)
        return answer if isinstance(answer, Response) else await answer

    return waits


def clean_path(path: str) -> str:
    """`path` without doubled slashes and without one at its end."""
    return re.sub(r"/{2,}", "/", path).rstrip("/") or "/"


def redirecting(app: App) -> App:
    """`app`, and from untidy paths a redirect to the tidy one."""

    async def tidy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == (clean := clean_path(scope["path"])):
            await app(scope, receive, send)
            return
        query = b"?" + scope["query_string"] if scope.get("query_string") else b""
        # Quoted anew, and beginning with one slash: it can lead nowhere but to us.
        location = quote(clean, safe="/:@-._~!$&'()*+,;=").encode() + query
        await send_whole(
            send,
            301 if scope["method"] == "GET" else 307,
            [(b"location", location), (b"content-length", b"0")],
        )

    return tidy


def caller() -> Caller:
    """Who asks."""
    found = request.scope.get(CALLER, ANYBODY)
    assert isinstance(found, Caller)
    return found


def json_answer(value: Any, status: int = 200) -> Response:
    """`value` in the JSON of the route's family."""
    return Response(orjson.dumps(value), status, content_type=json_type(request.path))


def error_answer(status: int, text: str) -> Response:
    """An error in the form of the route's family."""
    # On routes that it shares with OpenAI's a client of Anthropic's is told errors in its own form.
    path = MESSAGES if speaks_anthropic() else request.path
    body = error_body(path, status, text, str(request.scope.get(REQUEST_ID, "")))
    return Response(body, status, content_type=json_type(request.path))


def speaks_anthropic() -> bool:
    """Whether a client of Anthropic's asks on a route that OpenAI's has too."""
    return is_openai(request.path) and anthropic_chat.VERSION in request.headers


async def body_object(owner: str) -> management.Body:
    """The JSON object that was sent, or what is wrong with it. `owner`: what Ollama calls its type."""
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    return management.body_object(data, owner)


def refused(house: House, error: HTTPException) -> Response:
    """What Quart itself refuses, in our forms."""
    status = error.code or 500
    allowed = list(error.valid_methods or ()) if isinstance(error, MethodNotAllowed) else []
    if status == 404 and house.calls_models(request.path):
        status, allowed = 405, POST
    if status in PLAIN and not any(has(request.path) for has in (is_openai, is_google, is_anthropic)):
        answer = Response(PLAIN[status], status, content_type=TEXT)
    else:
        answer = error_answer(status, WORDS.get(status, error.name.lower()))
    if allowed:
        answer.headers["Allow"] = ", ".join(sorted(allowed))
    return answer


def root(house: House) -> Response:
    return Response("Ollama is running", content_type=TEXT)


def version(house: House) -> Response:
    return json_answer({"version": OLLAMA_VERSION, "proxy": house.version})


def cloud_status(house: House) -> Response:
    return json_answer({"cloud": {"disabled": True, "source": "config"}})


def tags(house: House) -> Response:
    return json_answer(listing.tags_answer(listing.models(house.catalogue(caller()))))


def tags_of(house: House, provider: str) -> Response:
    found, catalogue = house.env.providers.get(provider.lower()), house.catalogue(caller())
    if found is None or not catalogue.caller.may_use(found.name):
        return no_provider(provider)
    listed = (one for one in listing.listed_by(found, catalogue) if catalogue.caller.may_ask_for(one.name))
    return json_answer(listing.tags_answer(listing.newest_first(listed)))


async def count_tokens(house: House) -> Response:
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    headers = {name.lower(): value for name, value in request.headers.items()}
    id = str(request.scope.get(REQUEST_ID, ""))
    asked = anthropic_chat.read_counted(HttpRequest("POST", request.path, headers, data))
    found = asked if isinstance(asked, Problem) else await tokens.counted(house, asked, headers, caller())
    if isinstance(found, Problem):
        answer = anthropic_errors.refuse(found, None if isinstance(asked, Problem) else asked, id)
    else:
        answer = anthropic_chat.counted(found.tokens, found.by, id)
    return Response(answer.body, answer.head.status, dict(answer.head.headers))


async def show(house: House) -> Response:
    body = await body_object("ShowRequest")
    name = management.named(body, "model is required")
    if isinstance(name, management.Refusal):
        return error_answer(name.status, name.text)
    assert not isinstance(body, management.Refusal)
    model = listing.find(name, house.catalogue(caller()))
    headers = {name.lower(): value for name, value in request.headers.items()}
    answer = model and await showing.shown(house, model, name, body, headers)
    if answer is None:
        return error_answer(404, f"model '{listing.tagged(name)}' not found")
    return json_answer(answer)


def ps(house: House) -> Response:
    env = house.env
    return json_answer(listing.ps_answer(house.catalogue(caller()), env.snapshot(), env.now(), env.epoch()))


def v1_models(house: House) -> Response:
    if not speaks_anthropic():
        return openai_models(house)
    page = anthropic_listing.page(listing.models(house.catalogue(caller())), request.args)
    return error_answer(400, page) if isinstance(page, str) else json_answer(page)


def v1_model(house: House, name: str) -> Response:
    if not speaks_anthropic():
        return openai_model(house, name)
    model = listing.find(name, house.catalogue(caller()))
    if model is None:
        return error_answer(404, f"model '{name}' not found")
    return json_answer(anthropic_listing.entry(model, name))


def openai_models(house: House) -> Response:
    return json_answer(listing.openai_list(listing.models(house.catalogue(caller()))))


def openai_model(house: House, name: str) -> Response:
    model = listing.find(name, house.catalogue(caller()))
    if model is None:
        return error_answer(404, f"model '{listing.tagged(name)}' not found")
    return json_answer(listing.openai_entry(model, name))


def google_models(house: House) -> Response:
    size, token = request.args.get("pageSize", ""), request.args.get("pageToken", "")
    page = google_listing.page(listing.models(house.catalogue(caller())), size, token)
    return error_answer(400, "pageSize and pageToken must be numbers") if page is None else json_answer(page)


def google_model(house: House, name: str) -> Response:
    if house.calls_models(request.path) or google_chat.COUNTED.fullmatch(request.path):
        raise MethodNotAllowed(POST)
    model = listing.find(name, house.catalogue(caller()))
    if model is None:
        return error_answer(404, f"models/{name} is not found")
    return json_answer(google_listing.entry(model, name))


async def google_method(house: House, name: str) -> Response:
    """A method on a model that is no model call."""
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    if not google_chat.COUNTED.fullmatch(request.path):
        return error_answer(404, WORDS[404])
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = google_chat.read_counted(HttpRequest("POST", request.path, headers, data))
    found = asked if isinstance(asked, Problem) else await tokens.counted(house, asked, headers, caller())
    if isinstance(found, Problem):
        id = str(request.scope.get(REQUEST_ID, ""))
        answer = google_errors.refuse(found, None if isinstance(asked, Problem) else asked, id)
    else:
        answer = google_chat.counted(found.tokens, found.by)
    return Response(answer.body, answer.head.status, dict(answer.head.headers))


def whole_health(house: House) -> Response:
    return health_response(health_of(house))


def health_of(house: House) -> dict[str, Any]:
    """The numbers of the house."""
    env, ledger = house.env, house.ledger
    snapshot, now = env.snapshot(), env.now()
    counts = health.Counts(
        uptime_s=time.monotonic() - house.started,
        models=len(listing.models(house.catalogue())),
        requests=ledger.requests,
        errors=ledger.errors,
    )
    status = overall(condition(name, snapshot, now) for name in env.providers)
    return health.health_answer(status, counts, house.environment)


def health_response(answer: dict[str, Any]) -> Response:
    """An answer about health, whose status says it to those who read nothing else."""
    return json_answer(answer, 503 if answer["status"] == "unhealthy" else 200)


def detailed_health(house: House) -> Response:
    env, ledger = house.env, house.ledger
    snapshot, now = env.snapshot(), env.now()
    return health_response(
        {
            **health_of(house),
            "version": house.version,
            "state": house.lifecycle.state,
            "running_requests": len(house.lifecycle.exchanges),
            "queue": health.queue_answer(house.queues),
            "ledger": {
                "writable": ledger.writable,
                "waiting_records": ledger.waiting,
                "lost_records": ledger.dropped,
            },
            "keys": house.keys(),
            "configuration": house.configuration(),
            "retries": stats.retries_answer(snapshot.retries, now),
            "hedges": stats.hedges_answer(snapshot.hedges, now),
            "providers": health.healths_answer(env.providers, snapshot, now)["providers"],
        }
    )


def queue(house: House) -> Response:
    env = house.env
    return json_answer(health.whole_queue_answer(house.queues, env.overload, env.now()))


def providers_health(house: House) -> Response:
    env = house.env
    return health_response(health.healths_answer(env.providers, env.snapshot(), env.now()))


def provider_health(house: House, name: str) -> Response:
    env = house.env
    found = env.providers.get(name.lower())
    if found is None:
        return no_provider(name)
    told = health.provider_health(found.name, env.snapshot(), env.now())
    return health_response({"name": found.name, **told})


def live(house: House) -> Response:
    return json_answer({"status": "live"})


def ready(house: House) -> Response:
    env = house.env
    reasons = health.unready(
        env.providers.values(), env.snapshot(), env.now(), house.lifecycle.draining, house.ledger.writable
    )
    return json_answer(
        {"status": "unready" if reasons else "ready", "reasons": reasons}, 503 if reasons else 200
    )


def providers(house: House) -> Response:
    env = house.env
    snapshot, now = env.snapshot(), env.now()
    ordered = sorted(env.providers.values(), key=lambda provider: (provider.priority, provider.name))
    return json_answer(
        {
            "providers": [
                health.provider_answer(provider, snapshot, now, env.gates[provider.name])
                for provider in ordered
            ]
        }
    )


def provider(house: House, name: str) -> Response:
    env = house.env
    found = env.providers.get(name.lower())
    if found is None:
        return no_provider(name)
    answer = health.provider_answer(found, env.snapshot(), env.now(), env.gates[found.name])
    answer["models"] = [model.tagged for model in listing.listed_by(found, house.catalogue())]
    return json_answer(answer)


def provider_stats(house: House, name: str) -> Response:
    env = house.env
    found = env.providers.get(name.lower())
    if found is None:
        return no_provider(name)
    tally = house.ledger.tallies.get(found.name, Tally())
    gate = env.gates[found.name]
    return json_answer(stats.stats_answer(found, env.snapshot(), env.now(), gate, tally, env.leaves))


async def reload(house: House) -> Response:
    status, answer = reload_answer(await house.reload())
    return json_answer(answer, status)


async def explain(house: House) -> Response:
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = read_as(request.args.get("route"), HttpRequest("POST", request.path, headers, data))
    if isinstance(asked, Problem):
        return error_answer(asked.http_status, asked.detail)
    told = await house.explain(asked, headers, caller())
    if isinstance(told, Problem):
        return error_answer(told.http_status, refusal_words(told, asked.model))
    return json_answer(told)


def no_provider(name: str) -> Response:
    """Where a route names a provider that is not configured."""
    return error_answer(404, f"provider '{name}' not found")


def openapi(house: House) -> Response:
    return Response(DOCUMENT, content_type="application/json")


def unmanaged(
    refuse: Callable[[management.Body, management.Serves], management.Refusal], owner: str
) -> Handler:
    """The handler of a management route with a body."""

    async def handler(house: House) -> Response:
        catalogue = house.catalogue()
        body = await body_object(owner)
        refusal = refuse(body, lambda name: listing.find(name, catalogue) is not None)
        return error_answer(refusal.status, refusal.text)

    return handler


async def pull(house: House) -> Response:
    catalogue = house.catalogue()
    body = await body_object("PullRequest")
    answer = management.pull(body, lambda name: listing.surely_served(name, catalogue))
    if isinstance(answer, management.Refusal):
        return error_answer(answer.status, answer.text)
    return Response(answer.body, content_type=answer.content_type)


def blob(house: House, digest: str) -> Response:
    refusal = management.blob(digest, upload=request.method == "POST")
    return error_answer(refusal.status, refusal.text)


def recommendations(house: House) -> Response:
    """We know what is served, not what is good for whom."""
    return json_answer({"recommendations": []})


def account(house: House, **_: str) -> Response:
    refusal = management.account()
    return error_answer(refusal.status, refusal.text)


# Werkzeug adds HEAD to each GET.
ROUTES: tuple[tuple[str, list[str], Handler], ...] = (
    ("/", GET, root),
    ("/api/version", GET, version),
    ("/api/status", GET, cloud_status),
    ("/api/tags", GET, tags),
    ("/api/tags/<provider>", GET, tags_of),
    ("/api/show", POST, show),
    ("/api/ps", GET, ps),
    ("/api/providers", GET, providers),
    ("/api/providers/<name>", GET, provider),
    ("/api/providers/<name>/stats", GET, provider_stats),
    ("/api/queue", GET, queue),
    ("/api/route/explain", POST, explain),
    ("/api/admin/reload", POST, reload),
    ("/v1/models", GET, v1_models),
    ("/v1/models/<path:name>", GET, v1_model),
    ("/openai/models", GET, openai_models),
    ("/openai/models/<path:name>", GET, openai_model),
    ("/openai/v1/models", GET, openai_models),
    ("/openai/v1/models/<path:name>", GET, openai_model),
    ("/v1/messages/count_tokens", POST, count_tokens),
    *((f"/{version}/models", GET, google_models) for version in ("v1beta", "v1alpha")),
    *((f"/{version}/models/<path:name>", GET, google_model) for version in ("v1beta", "v1alpha")),
    *((f"/{version}/models/<path:name>", POST, google_method) for version in ("v1beta", "v1alpha", "v1")),
    ("/health", GET, whole_health),
    ("/health/detailed", GET, detailed_health),
    ("/health/providers", GET, providers_health),
    ("/health/providers/<name>", GET, provider_health),
    ("/health/live", GET, live),
    ("/health/ready", GET, ready),
    ("/openapi.json", GET, openapi),
    ("/api/pull", POST, pull),
    ("/api/push", POST, unmanaged(management.push, "PushRequest")),
    ("/api/create", POST, unmanaged(management.create, "CreateRequest")),
    ("/api/copy", POST, unmanaged(management.copy, "CopyRequest")),
    ("/api/delete", DELETE, unmanaged(management.delete, "DeleteRequest")),
    ("/api/blobs/<digest>", ["HEAD", "POST"], blob),
    ("/api/me", POST, account),
    ("/api/signout", POST, account),
    ("/api/user/keys/<key>", DELETE, account),
    ("/api/experimental/model-recommendations", GET, recommendations),
    ("/api/experimental/web_search", POST, account),
    ("/api/experimental/web_fetch", POST, account),
)
