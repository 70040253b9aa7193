"""What would become of a request: read from any client's language, and told in words."""

from collections.abc import Mapping
from typing import Any

from adapters.dialects import dialect_at
from pipeline.values.http import HttpRequest
from pipeline.values.messages import Request
from pipeline.values.problems import Kind, Problem

# A body is read as that of the first of these routes on which it would be a request.
GUESSES = (
    "/api/chat",
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/api/embed",
    "/api/generate",
)


def read_as(route: str | None, http: HttpRequest) -> Request | Problem:
    """The request that the body is on `route`; without one, on the first route that understands it."""
    if route is not None:
        dialect = dialect_at(route)
        if dialect is None:
            detail = f"no model is called at {route}; routes are {', '.join(GUESSES)} and the like"
            return Problem(Kind.BAD_REQUEST, detail, "route")
        return dialect.read(http)
    readings = [_reading(guess, http) for guess in GUESSES]
    return next((one for one in readings if not isinstance(one, Problem)), readings[0])


def _reading(route: str, http: HttpRequest) -> Request | Problem:
    dialect = dialect_at(route)
    assert dialect is not None
    read = dialect.read(http)
    if isinstance(read, Problem) or read.operation != "load":
        return read
    return Problem(Kind.BAD_REQUEST, "the body has neither messages nor input nor prompt")


def explanation_text(told: Mapping[str, Any]) -> str:
    """An explanation as lines for a terminal."""
    if "candidates" not in told:
        return f"{told['model']}: no provider is asked for this"
    hedge = told["hedge_after_s"]
    lines = [
        f"{told['model']}: {told['strategy']}, then {told['fallback']}",
        f"would be asked, one after the other: {', '.join(told['order']) or 'nobody'}",
        *([f"a second one after {hedge:.2f} s"] if hedge is not None else []),
        "",
        f"{'target':48} {'score':>12} {'cost':>12}  state",
    ]
    lines += [_candidate(one) for one in told["candidates"]]
    lines += [f"{one['target']:48} {'-':>12} {'-':>12}  not asked: {one['why']}" for one in told["refused"]]
    return "\n".join(lines)


def _candidate(one: Mapping[str, Any]) -> str:
    cost = "?" if one["cost"] is None else f"${one['cost']:.6f}"
    return f"{one['target']:48} {one['score']:>12.4g} {cost:>12}  {', '.join(_remarks(one))}"


def _remarks(one: Mapping[str, Any]) -> list[str]:
    state = "ready" if one["may_be_asked"] else f"{one['barred_by']} for {one['barred_for_s']:.0f} s"
    remarks = [state]
    if one["group"]:
        occasion = f" after {one['only_after']}" if one["only_after"] else ""
        remarks.append(f"stands in{occasion}")
    if one["impossible"]:
        remarks.append(f"cannot be asked this: {one['impossible']}")
    if one["loses"]:
        remarks.append("loses " + ", ".join(one["loses"]))
    if one["first_token_s"] is not None:
        remarks.append(f"first content after {one['first_token_s']:.2f} s")
    return remarks
