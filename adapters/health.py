"""What the routes of health and of providers answer, made of one snapshot. All functions are pure.

How a provider is, and whether it may be asked, is not decided here but read where routing reads it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from pipeline.gate import Gate
from pipeline.overload import Overload
from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Barred, Eligible, provider_eligibility
from pipeline.state.health import Condition, condition, overall
from pipeline.state.queue import Queue
from pipeline.values.callers import Priority
from pipeline.values.targets import Provider

# The longest list of keys that is shown.
KEYS_SHOWN = 10


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
    if not any(may_be_asked(provider, snapshot, now) for provider in providers):
        reasons.append("no provider can be asked now")
    if not ledger_writable:
        reasons.append("the ledger cannot be written")
    return reasons


def may_be_asked(provider: Provider, snapshot: Snapshot, now: float) -> bool:
    """Whether a call could go to the provider now."""
    return isinstance(provider_eligibility(snapshot.provider(provider.name), now), Eligible)


def provider_answer(provider: Provider, snapshot: Snapshot, now: float, gate: Gate) -> dict[str, Any]:
    """One provider, without anything secret. Ages and times are seconds."""
    state = snapshot.provider(provider.name)
    return {
        "name": provider.name,
        "kind": provider.kind,
        "base_url": shown_url(provider.base_url),
        **provider_health(provider.name, snapshot, now),
        "breaker_trips": state.breaker.trips,
        "resting_seconds": left_s(state.cooled_until, now),
        "priority": provider.priority,
        "weight": provider.weight,
        "timeout_seconds": provider.timeout_s,
        "in_flight": state.in_flight,
        "max_concurrent_requests": provider.max_concurrent,
        "permits": permits_answer(gate),
        "model_count": None if state.models is None else len(state.models),
        "listed_seconds_ago": ago_s(state.listed_at, now),
    }


def provider_health(name: str, snapshot: Snapshot, now: float) -> dict[str, Any]:
    """How a provider is, and whether it may be asked."""
    state = snapshot.provider(name)
    return {
        "status": condition(name, snapshot, now),
        "problem": state.problem,
        **eligible_answer(provider_eligibility(state, now), now),
        "breaker": state.breaker.mode,
        "checked_seconds_ago": ago_s(state.checked_at, now),
        "served_seconds_ago": ago_s(state.served_at, now),
    }


def eligible_answer(found: Eligible | Barred, now: float) -> dict[str, Any]:
    """Whether it may be asked now, with what share of its calls, and if not why and for how long not."""
    if isinstance(found, Eligible):
        return {
            "eligible": True,
            "share": round(found.weight, 3),
            "barred_by": None,
            "barred_for_seconds": 0.0,
        }
    return {
        "eligible": False,
        "share": 0.0,
        "barred_by": found.reason,
        "barred_for_seconds": left_s(found.until, now),
    }


def permits_answer(gate: Gate) -> dict[str, int]:
    """How many hold a permit, how many may, and how many wait for one."""
    return {"held": gate.held, "limit": gate.limit, "waiting": gate.waiting}


def queue_answer(gates: Iterable[Gate]) -> dict[str, int]:
    """How many requests have their place, how many may, and how many wait for one, at all gates together."""
    told = {"running": 0, "limit": 0, "waiting": 0}
    for gate in gates:
        told["running"] += gate.held
        told["limit"] += gate.limit
        told["waiting"] += gate.waiting
    return told


def whole_queue_answer(gates: Sequence[Gate], overload: Overload, now: float) -> dict[str, Any]:
    """Who waits, for how long, and how it goes on, at all gates together.

    `waits`: seconds; the median and the 95th percentile are those of the newest that came to an end.
    """
    states = [gate.state for gate in gates]
    waits = sorted(wait_s for gate in gates for wait_s in gate.waits)
    rates = [rate for state in states if (rate := state.rate(now)) is not None]
    return {
        **queue_answer(gates),
        "max_waiting": sum(gate.rules.size for gate in gates),
        "classes": {
            priority.value: sum(len(state.lines[rank].arrivals) for state in states)
            for rank, priority in enumerate(Priority)
        },
        "keys": keys_answer(states),
        "waits": {
            "oldest": round(max((state.oldest_s(now) for state in states), default=0.0), 3),
            "p50": percentile(waits, 0.5),
            "p95": percentile(waits, 0.95),
        },
        "dispatched_per_second": round(sum(rates), 3) if rates else None,
        "newest_first": any(gate.state.overloaded(now, gate.rules) for gate in gates),
        "overload": {"overloaded": overload.late, "admitted_share": overload.share, "shed": overload.shed},
    }


def keys_answer(states: Iterable[Queue]) -> list[dict[str, Any]]:
    """The keys that most wait for, each with its share of all who wait; None is who has no key."""
    held: Counter[str] = Counter()
    for state in states:
        held.update(state.held)
    waiting = held.total()
    return [
        {"key": key or None, "waiting": count, "share": round(count / waiting, 4)}
        for key, count in held.most_common(KEYS_SHOWN)
    ]


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The value that so many of `ordered` are not above; None where there are none."""
    return round(ordered[int(share * (len(ordered) - 1))], 3) if ordered else None


def healths_answer(names: Iterable[str], snapshot: Snapshot, now: float) -> dict[str, Any]:
    """All providers and how they are together."""
    found = {name: provider_health(name, snapshot, now) for name in names}
    return {"status": overall(one["status"] for one in found.values()), "providers": found}


def ago_s(then: float | None, now: float) -> float | None:
    """Seconds since then."""
    return None if then is None else round(now - then, 3)


def left_s(until: float, now: float) -> float:
    """Seconds until then; 0.0 where that is past."""
    return round(max(0.0, until - now), 3)


def shown_url(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else ""
