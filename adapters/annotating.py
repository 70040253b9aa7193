"""Why an answer came from where it came, put into the answer itself: one more key in its last JSON object.

Every protocol we speak ends in a JSON object, and every client of them leaves keys alone that it does not know. Where the
end is none (a stream cut into something else), the bytes stay as they are.
"""

from typing import Any

import orjson
from attrs import define, field

from pipeline.values.exchange import Exchange, Plan
from pipeline.values.facts import AttemptEnded, AttemptStarted, Fact, Moved

KEY = "x_proxy"
DATA = b"data:"


def annotated(data: bytes, value: Any) -> bytes:
    """`data`, whole or the end of a stream (NDJSON or SSE), with `value` under `x_proxy` in its last object."""
    found = _object(data)
    if found is not None:
        return orjson.dumps({**found, KEY: value})
    lines = data.split(b"\n")
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index].rstrip(b"\r")
        lead = DATA if line.startswith(DATA) else b""
        found = _object(line[len(lead) :])
        if found is not None:
            lines[index] = lead + (b" " if lead else b"") + orjson.dumps({**found, KEY: value})
            return b"\n".join(lines)
    return data


@define(eq=False)
class Decision:
    """What the facts of one exchange say of how its target was chosen."""

    _plan: Plan | None = None
    _attempts: dict[int, dict[str, Any]] = field(factory=dict)

    def see(self, fact: Fact) -> None:
        """Keep what matters."""
        match fact:
            case Moved(_, Exchange(plan=Plan() as plan)):
                self._plan = plan
            case AttemptStarted():
                self._attempts[fact.number] = {"target": fact.target, "hedge": fact.hedge, "failed": None}
            case AttemptEnded():
                ended = "cancelled" if fact.cancelled else fact.verdict
                self._attempts[fact.number] |= {"failed": ended, "took_s": round(fact.after_s, 3)}

    def value(self) -> dict[str, Any]:
        """All of it, for JSON."""
        plan = self._plan
        return {
            "strategy": plan.strategy if plan else None,
            "candidates": [
                {"target": one.target.name, "score": one.score, "group": one.group}
                for one in (plan.candidates if plan else ())
            ],
            "refused": [
                {"target": one.target.name, "why": one.why} for one in (plan.refused if plan else ())
            ],
            "attempts": list(self._attempts.values()),
        }


def _object(text: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
