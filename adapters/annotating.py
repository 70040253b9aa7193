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
NO_JSON = object()


def annotated(data: bytes, value: Any) -> bytes:
    """`data`, whole or the end of a stream (NDJSON or SSE), with `value` under `x_proxy` in its last object.

    All else stays as it was written, to the byte.
    """
    whole = _read(data)
    if whole is not NO_JSON:
        return _with_key(data, whole, value) if isinstance(whole, dict) else data
    lines = data.split(b"\n")
    for index in range(len(lines) - 1, -1, -1):
        lead = DATA if lines[index].startswith(DATA) else b""
        text = lines[index][len(lead) :]
        found = _read(text)
        if isinstance(found, dict):
            lines[index] = lead + _with_key(text, found, value)
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
                if fact.continues:
                    self._attempts[fact.number]["continues"] = True
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


def _with_key(text: bytes, found: dict[str, Any], value: Any) -> bytes:
    """The JSON `text` of the object `found` with the key. Where another gateway has set it before, ours stands."""
    if KEY in found:
        return orjson.dumps({**found, KEY: value})
    start = text.rstrip().removesuffix(b"}")
    comma = b"," if found else b""
    return b"".join((start, comma, orjson.dumps({KEY: value})[1:-1], text[len(start) :]))


def _read(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return NO_JSON
