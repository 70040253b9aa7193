"""Tool calls: ids for histories that have none, and whole calls out of fragments."""

import base64
import hashlib
from collections.abc import Iterable
from itertools import chain

from attrs import define, evolve, field

from pipeline.values.events import ToolCallDelta
from pipeline.values.messages import ToolCall


def made_id(turn: int, place: int) -> str:
    """An id for the call at `place` of message `turn`: the same whenever the same history is sent again."""
    digest = hashlib.blake2s(f"{turn}/{place}".encode(), digest_size=5).digest()
    return "call_" + base64.b32encode(digest).decode().lower()


@define
class OpenCalls:
    """The calls of a history that have no result yet, in the order they were made; kept while one request is read.

    `made`: those of their ids that are made here, because the client gave none.
    """

    calls: list[ToolCall] = field(factory=list)
    made: set[str] = field(factory=set)

    def add(self, calls: Iterable[ToolCall], made: Iterable[str] = ()) -> None:
        """The model has made these."""
        self.calls.extend(calls)
        self.made.update(made)

    def answered(self, call_id: str, name: str, turn: int) -> tuple[str, str]:
        """Id and name of the call that a result belongs to: the one of its id; without an id, of its name or the first.

        An id that no call has stays: another call that is taken for it would miss its own result. But where a client left
        the ids of its calls out, this is one of them.
        """
        found = next((call for call in self.calls if call_id and call.id == call_id), None)
        if found is None:
            open_ones = [call for call in self.calls if not call_id or call.id in self.made]
            found = next(chain((call for call in open_ones if call.name == name), open_ones), None)
        if found is None:
            return call_id or made_id(turn, 0), name
        self.calls.remove(found)
        return found.id, found.name


def assembled(fragments: Iterable[ToolCallDelta], choice: int = 0) -> tuple[ToolCall, ...]:
    """The calls that the fragments of one choice make, in the order of their index."""
    calls: dict[int, ToolCall] = {}
    texts: dict[int, list[str]] = {}
    for fragment in fragments:
        if fragment.choice != choice:
            continue
        call = calls.get(fragment.index, ToolCall("", "", ""))
        if fragment.id or fragment.name:
            call = evolve(call, id=call.id or fragment.id or "", name=call.name or fragment.name or "")
        calls[fragment.index] = call
        texts.setdefault(fragment.index, []).append(fragment.arguments)
    return tuple(evolve(calls[index], arguments="".join(texts[index])) for index in sorted(calls))
