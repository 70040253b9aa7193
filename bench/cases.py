"""What is asked of each contender."""

import json
from collections.abc import Sequence
from enum import Enum
from typing import Protocol, TypeVar

from attrs import evolve, frozen


class Kind(Enum):
    """What matters in a case, and so what its table shows."""

    WHOLE = "whole"
    FLAT = "flat"
    PACED = "paced"
    OPEN = "open"


@frozen
class Case:
    """One load. `stamps`: the chunks of a reply; `every_ms`: from one to the next, 0 for as fast as can be.

    No request begins after `requests` or `seconds`; `ramp_ms`: until the last connection has begun; `most_rounds`: in
    how many rounds it takes part at most; `thorough`: made warm before, and waited for after.
    """

    name: str
    kind: Kind
    connections: int
    stamps: int = 1
    every_ms: int = 0
    requests: int = 10_000_000
    seconds: float = 5.0
    ramp_ms: int = 0
    most_rounds: int = 100
    thorough: bool = True

    @property
    def streamed(self) -> bool:
        """Whether the request asks for a stream."""
        return self.kind is not Kind.WHOLE

    @property
    def model(self) -> str:
        """What the fake provider is asked for; see upstream.c."""
        match self.kind:
            case Kind.WHOLE:
                return "whole"
            case Kind.FLAT:
                return f"flat-{self.stamps}"
            case Kind.PACED | Kind.OPEN:
                return f"paced-{self.stamps}-{self.every_ms}"

    @property
    def title(self) -> str:
        """What it is, for people."""
        connections = f"{self.connections:,} connection{'s' if self.connections > 1 else ''}"
        match self.kind:
            case Kind.WHOLE:
                return f"Whole answers of 1 KB, {connections}"
            case Kind.FLAT:
                return f"Streams of {self.stamps} chunks flat out, {connections}"
            case Kind.PACED:
                return f"Streams of {self.stamps} chunks, one every {self.every_ms} ms, {connections}"
            case Kind.OPEN:
                return f"{self.connections:,} open streams, {self.stamps} chunks each, one every {self.every_ms} ms"


def whole(connections: int) -> Case:
    """Answers that are not streamed."""
    return Case(f"whole-{connections}", Kind.WHOLE, connections)


def open_streams(streams: int, ramp_ms: int) -> Case:
    """Many slow streams at once, each for 20 seconds."""
    return Case(
        name=f"open-{streams}",
        kind=Kind.OPEN,
        connections=streams,
        stamps=40,
        every_ms=500,
        requests=streams,
        seconds=ramp_ms / 1000 + 60,
        ramp_ms=ramp_ms,
        most_rounds=1,
    )


CASES: Sequence[Case] = (
    whole(1),
    whole(16),
    whole(64),
    Case("flat", Kind.FLAT, 16, stamps=200),
    Case("paced", Kind.PACED, 32, stamps=100, every_ms=20, requests=96, seconds=30.0, ramp_ms=500),
    open_streams(1_000, ramp_ms=5_000),
    open_streams(5_000, ramp_ms=10_000),
)


def quick(case: Case) -> Case:
    """A case of the same name and form that takes about half a second: it shows that all works, and measures nothing."""
    short = evolve(case, thorough=False)
    match case.kind:
        case Kind.WHOLE | Kind.FLAT:
            return evolve(short, seconds=0.2)
        case Kind.PACED:
            return evolve(short, stamps=10, requests=case.connections, ramp_ms=20)
        case Kind.OPEN:
            few = case.connections // 20
            return evolve(short, stamps=10, every_ms=50, connections=few, requests=few, ramp_ms=100)


def warming(case: Case) -> Case | None:
    """What comes before a case, so that nothing is measured cold; nothing before the long ones, which warm themselves."""
    if not case.thorough or case.kind is Kind.OPEN:
        return None
    few = case.connections if case.kind is Kind.PACED else case.requests
    return evolve(case, requests=few, seconds=case.seconds / 5)


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def picked(every: Sequence[N], names: Sequence[str]) -> Sequence[N]:
    """Those of these names, in the bench's order; all where none is named. Raises ValueError."""
    known = [one.name for one in every]
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {name!r} among {', '.join(known)}")
    return [one for one in every if not names or one.name in names]


PROMPT = (
    "You keep the log of a lighthouse. Tell in plain words, and in no more than a hundred of them, what a keeper does "
    "between dusk and dawn, which of it the ships would miss first, and why he writes down the ships that have passed "
    "although nobody has asked him to. Leave out the weather, unless it changes what he does. "
)


def body_of(case: Case) -> bytes:
    """The request's JSON, which is the same for OpenAI's chat route and Ollama's."""
    messages = [
        {"role": "system", "content": "You answer briefly, and never in verse."},
        {"role": "user", "content": PROMPT * 2},
    ]
    return json.dumps({"model": case.model, "messages": messages, "stream": case.streamed}).encode()
