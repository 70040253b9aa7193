"""Who may do what: one table of all routes, and one question that is asked for each request.

A route without a row exists for administrators alone, and so does whatever nobody thought of.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from pipeline.values.callers import Caller, Scope
from pipeline.values.problems import Kind, Problem

Action: TypeAlias = Literal["public", "call", "list", "inspect", "manage", "admin"]

# The scope that each action takes.
SCOPES: Mapping[Action, Scope] = {
    "call": "client",
    "list": "client",
    "inspect": "client",
    "manage": "admin",
    "admin": "admin",
}

NOT_KNOWN = Problem(Kind.UNAUTHORIZED)
NOT_ALLOWED = Problem(Kind.FORBIDDEN)
NO_ROUTE = Problem(Kind.FORBIDDEN, "there is no such route, or not for this key", status=404)

# `{}` is one part of a path, `{...}` one or more.
ROUTES: tuple[tuple[Action, str, tuple[str, ...]], ...] = (
    ("public", "GET", ("/", "/api/version", "/health", "/health/live", "/health/ready")),
    (
        "call",
        "POST",
        (
            *("/api/chat", "/api/generate", "/api/embed", "/api/embeddings"),
            *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"),
            *("/v1/messages", "/v1/messages/count_tokens"),
            *("/openai/v1/chat/completions", "/openai/v1/completions", "/openai/v1/embeddings"),
            *("/openai/v1/responses", "/openai/responses", "/openai/deployments/{}/{...}"),
            *("/v1beta/models/{...}", "/v1alpha/models/{...}", "/v1/models/{...}"),
        ),
    ),
    (
        "list",
        "GET",
        (
            *("/api/tags", "/api/tags/{}", "/v1/models", "/openai/models", "/openai/v1/models"),
            *("/v1beta/models", "/v1alpha/models", "/api/experimental/model-recommendations"),
        ),
    ),
    (
        "inspect",
        "GET",
        (
            *("/v1/models/{...}", "/openai/models/{...}", "/openai/v1/models/{...}"),
            *("/v1beta/models/{...}", "/v1alpha/models/{...}"),
            *("/api/ps", "/api/status", "/openapi.json"),
        ),
    ),
    ("inspect", "POST", ("/api/show", "/api/route/explain")),
    (
        "manage",
        "POST",
        (
            *("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/blobs/{}"),
            *("/api/me", "/api/signout", "/api/experimental/web_search", "/api/experimental/web_fetch"),
        ),
    ),
    ("manage", "HEAD", ("/api/blobs/{}",)),
    ("manage", "DELETE", ("/api/delete", "/api/user/keys/{}")),
    (
        "admin",
        "GET",
        (
            *("/api/providers", "/api/providers/{...}", "/api/queue", "/api/requests", "/api/requests/{...}"),
            *("/api/usage", "/api/usage/{...}", "/api/admin/{...}", "/health/detailed", "/health/providers"),
            *("/health/providers/{}", "/metrics", "/dashboard", "/dashboard/{...}"),
        ),
    ),
    ("admin", "POST", ("/api/admin/{...}", "/api/providers/{...}")),
)


@frozen
class Row:
    """One route whose path has parts that vary."""

    method: str
    path: re.Pattern[str]
    action: Action


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\}|\{\.\.\.\})", path)
    forms = {"{}": "[^/]+", "{...}": ".+"}
    return re.compile("".join(forms.get(part, re.escape(part)) for part in parts), re.DOTALL)


FIXED: Mapping[tuple[str, str], Action] = {
    (method, path): action for action, method, paths in ROUTES for path in paths if "{" not in path
}
VARYING: tuple[Row, ...] = tuple(
    Row(method, _pattern(path), action) for action, method, paths in ROUTES for path in paths if "{" in path
)
METHODS = tuple(dict.fromkeys(method for _, method, _ in ROUTES))
STRICTEST: tuple[Action, ...] = ("admin", "manage", "call", "inspect", "list", "public")


def action_of(method: str, path: str) -> Action | None:
    """What a request for `path` does; None where the table has no such path.

    By a method that a path does not take, what any method does there: whoever may not ask shall not learn more.
    """
    method = "GET" if method == "HEAD" and not path.startswith("/api/blobs/") else method
    found = _row(method, path)
    if found is None and ("//" in path or path.endswith("/")):
        # An untidy path is answered by the way to the tidy one.
        path = re.sub(r"/{2,}", "/", path).rstrip("/") or "/"
        found = _row(method, path)
    return found or _strictest(_row(other, path) for other in METHODS)


def _row(method: str, path: str) -> Action | None:
    fixed = FIXED.get((method, path))
    if fixed is not None:
        return fixed
    return next((row.action for row in VARYING if row.method == method and row.path.fullmatch(path)), None)


def _strictest(found: Iterable[Action | None]) -> Action | None:
    actions = set(found)
    return next((action for action in STRICTEST if action in actions), None)


def authorize(
    caller: Caller | None, action: Action | None, model: str | None = None, provider: str | None = None
) -> Problem | None:
    """Why `caller` may not do that; None where he may. No caller: he showed no key that is good.

    `model` and `provider`: the names it concerns. One that a key may not use is to it as if there were none.
    """
    if action == "public":
        return None
    if caller is None:
        return NOT_KNOWN
    if action is None:
        return None if "admin" in caller.scopes else NO_ROUTE
    if SCOPES.get(action, "admin") not in caller.scopes:
        return NOT_ALLOWED
    if action == "manage" and (caller.models or caller.providers):
        # It concerns what is on a disk, under whatever name; a key for some models has no business there.
        return NOT_ALLOWED
    if model is not None and not caller.may_ask_for(model):
        return Problem(Kind.UNKNOWN_MODEL, subject=model)
    if provider is not None and not caller.may_use(provider):
        detail = f"none of the asked providers ({provider}) serves this model"
        return Problem(Kind.UNKNOWN_MODEL, detail, subject=model)
    return None
