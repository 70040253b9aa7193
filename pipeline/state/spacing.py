"""How far apart calls are sent to a target that said how few more it takes."""

from pipeline.state.cooldown import LONGEST_HINT_S
from pipeline.values.facts import QuotaSeen


def spacing_s(quota: QuotaSeen | None, in_flight: int, now: float) -> float:
    """Seconds between two calls, 0.0: none are needed. Calls are spread over what is left of the provider's own period once
    it takes no more of them than are out already. The newest word counts, until the period it speaks of is over.
    """
    if quota is None or quota.requests is None or quota.requests_reset_s is None:
        return 0.0
    if quota.requests >= in_flight or now >= quota.at + quota.requests_reset_s:
        return 0.0
    return min(quota.requests_reset_s, LONGEST_HINT_S) / max(1, quota.requests)
