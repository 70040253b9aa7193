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
    """One load. `model`: what the fake provider is asked for (see upstream.c); `stamps`: the chunks of a reply.

    No request begins after `requests` or `seconds`; `ramp_ms`: until the last connection has begun; `most_rounds`: in
    how many rounds it takes part at most; `warmed`: whether the contender is made warm before.
    """

    name: str
    kind: Kind
    title: str
    model: str
    stamps: int
    connections: int
    requests: int = 10_000_000
    seconds: float = 5.0
    ramp_ms: int = 0
    most_rounds: int = 100
    warmed: bool = True

    @property
    def streamed(self) -> bool:
        """Whether the request asks for a stream."""
        return self.kind is not Kind.WHOLE


def whole(connections: int) -> Case:
    """Answers of 1 KB that are not streamed."""
    noun = "connection" if connections == 1 else "connections"
    title = f"Whole answers of 1 KB, {connections} {noun}"
    return Case(f"whole-{connections}", Kind.WHOLE, title, "whole", 1, connections)


def open_streams(streams: int, chunks: int, every_ms: int, ramp_ms: int) -> Case:
    """Many slow streams at once."""
    return Case(
        name=f"open-{streams}",
        kind=Kind.OPEN,
        title=f"{streams:,} open streams, {chunks} chunks each, one every {every_ms} ms",
        model=f"paced-{chunks}-{every_ms}",
        stamps=chunks,
        connections=streams,
        requests=streams,
        seconds=ramp_ms / 1000 + 60,
        ramp_ms=ramp_ms,
        most_rounds=1,
        warmed=False,  # it is long enough to warm itself
    )


CASES: Sequence[Case] = (
    whole(1),
    whole(16),
    whole(64),
    Case("flat", Kind.FLAT, "Streams of 200 chunks flat out, 16 connections", "flat-200", 200, 16),
    Case(
        name="paced",
        kind=Kind.PACED,
        title="Streams of 100 chunks, one every 20 ms, 32 connections",
        model="paced-100-20",
        stamps=100,
        connections=32,
        requests=96,
        seconds=30.0,
        ramp_ms=500,
    ),
    open_streams(1_000, chunks=40, every_ms=500, ramp_ms=5_000),
    open_streams(5_000, chunks=40, every_ms=500, ramp_ms=10_000),
)


def quick(case: Case) -> Case:
    """A case of the same name and form that takes about half a second: it shows that all works, and measures nothing."""
    short = evolve(case, warmed=False)
    match case.kind:
        case Kind.WHOLE | Kind.FLAT:
            return evolve(short, seconds=0.2)
        case Kind.PACED:
            return evolve(short, model="paced-10-20", stamps=10, requests=case.connections, ramp_ms=20)
        case Kind.OPEN:
            few = case.connections // 20
            return evolve(short, model="paced-10-50", stamps=10, connections=few, requests=few, ramp_ms=100)


def warming(case: Case) -> Case:
    """What comes before a case that is to be warmed."""
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
