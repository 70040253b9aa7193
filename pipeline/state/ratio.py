"""How far the estimate of a request's tokens is off for one model, learned from what its provider counts."""

from attrs import frozen

LEAST, MOST = 0.25, 4.0
# The newest request counts for so much, and the first ones for their share of all.
NEWEST = 0.05


@frozen
class TokenRatio:
    """Real input tokens for each estimated one: the average of `seen` requests, the newer ones counting for more."""

    value: float = 1.0
    seen: int = 0

    def told(self, estimated: int, real: int) -> "TokenRatio":
        """After one more request. What no vocabulary explains is taken as the nearest that one could."""
        ratio = min(MOST, max(LEAST, real / max(1, estimated)))
        share = max(NEWEST, 1 / (self.seen + 1))
        return TokenRatio(self.value + share * (ratio - self.value), self.seen + 1)
