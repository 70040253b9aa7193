"""Whether the house is well, and each of its providers, read from one snapshot. All functions are pure."""

from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

from attrs import frozen

from pipeline.state.board import ProviderState, Snapshot
from pipeline.values.targets import Provider

Condition = Literal["healthy", "degraded", "unhealthy", "unknown"]


def condition(state: ProviderState, now: float) -> Condition:
    """How a provider is: `degraded` still serves, at times or less than usual; `unknown` has not been asked yet."""
    if state.healthy is False:
        return "unhealthy"
    if state.breaker.mode != "closed" or state.cooled_until > now:
        return "degraded"
    return "unknown" if state.healthy is None else "healthy"


def eligible(state: ProviderState, now: float) -> bool:
    """Whether a call could go to the provider now."""
    return state.healthy is not False and not state.breaker.refuses(now) and state.cooled_until <= now


def overall(conditions: Iterable[Condition]) -> Condition:
    """How the house is: well if all its providers are, as long as one may serve it is only degraded."""
    seen = set(conditions)
    if not seen or seen == {"unhealthy"}:
        return "unhealthy"
    return "degraded" if seen & {"unhealthy", "degraded"} else "healthy"


@frozen
class Counts:
    """What `/health` tells in numbers."""

    uptime_s: float
    models: int
    requests: int
    errors: int


def health_answer(status: Condition, counts: Counts, environment: str) -> dict[str, Any]:
    """The answer of `/health`. `error_rate` is a share from 0 to 1."""
    return {
        "status": status,
        "uptime_seconds": round(counts.uptime_s, 3),
        "model_count": counts.models,
        "request_count": counts.requests,
        "error_count": counts.errors,
        "error_rate": round(counts.errors / counts.requests, 4) if counts.requests else 0.0,
        "environment": environment,
    }


def unready(
    providers: Iterable[Provider], snapshot: Snapshot, now: float, draining: bool, ledger_writable: bool
) -> list[str]:
    """Why no traffic should come here; empty where it may."""
    reasons = []
    if draining:
        reasons.append("the gateway is shutting down")
    if not any(eligible(snapshot.provider(provider.name), now) for provider in providers):
        reasons.append("no provider can be asked now")
    if not ledger_writable:
        reasons.append("the ledger cannot be written")
    return reasons


def provider_answer(provider: Provider, snapshot: Snapshot, now: float) -> dict[str, Any]:
    """One provider, without anything secret. Ages are seconds."""
    state = snapshot.provider(provider.name)
    return {
        "name": provider.name,
        "kind": provider.kind,
        "base_url": shown_url(provider.base_url),
        "status": condition(state, now),
        "problem": state.problem,
        "eligible": eligible(state, now),
        "breaker": state.breaker.mode,
        "priority": provider.priority,
        "timeout_seconds": provider.timeout_s,
        "in_flight": state.in_flight,
        "max_concurrent_requests": provider.max_concurrent,
        "model_count": None if state.models is None else len(state.models),
        "checked_seconds_ago": _ago(state.checked_at, now),
        "listed_seconds_ago": _ago(state.listed_at, now),
        "served_seconds_ago": _ago(state.served_at, now),
    }


def _ago(then: float | None, now: float) -> float | None:
    return None if then is None else round(now - then, 3)


def shown_url(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else ""
