"""What a route does that never streams: it is silent until its whole answer is here."""

from typing import TypeVar

from pipeline.values.events import Batch

State = TypeVar("State")


def no_chunks(state: State, batch: Batch, elapsed_s: float) -> tuple[State, bytes]:
    """The `write` of such a route."""
    return state, b""


def no_keep_alive(state: State, elapsed_s: float) -> tuple[State, bytes]:
    """The `keep_alive` of such a route."""
    return state, b""
