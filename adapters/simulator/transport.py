"""The fake providers in process, behind the port of a real transport. Waiting is trio's, so time may be virtual."""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from attrs import define, field

from adapters.simulator.core import answer, is_model_call
from adapters.simulator.journal import Call, Journal
from adapters.simulator.played import Played
from adapters.simulator.scenario import Scenario
from pipeline.ports import Read, Reply
from pipeline.values.http import HttpRequest
from pipeline.values.problems import Kind, Problem

CUT = Problem(Kind.STREAM_ERROR, "the provider's answer broke off")
REFUSED = Problem(Kind.WRITE_OR_RESET, "the provider cut the connection before it answered")


@define(eq=False)
class SimulatorTransport:
    """Answers calls as `scenario` says. `seen`: the last calls; `opened` and `closed` count all of them."""

    scenario: Scenario
    _journal: Journal = field(factory=Journal, init=False)

    @property
    def seen(self) -> deque[Call]:
        """The last calls, oldest first, in trio's seconds."""
        return self._journal.calls

    @property
    def opened(self) -> int:
        """Calls begun."""
        return self._journal.opened

    @property
    def journal(self) -> Journal:
        """All that was counted."""
        return self._journal

    @property
    def closed(self) -> int:
        """Calls over, whoever ended them."""
        return self._journal.closed

    @asynccontextmanager
    async def open(self, request: HttpRequest) -> AsyncIterator[Reply | Problem]:
        """See `pipeline.ports.Transport`. Problems: `write_or_reset`; `read` gives `stream_error`."""
        journal, works = self._journal, is_model_call(request)
        call = journal.begin(request, trio.current_time(), works)
        played = answer(request, self.scenario, journal.works, journal.running)
        if works:
            journal.answered(call, played, trio.current_time())
        try:
            await trio.sleep(played.head_s)
            yield await _reply(played, call)
        finally:
            self._journal.end(call, trio.current_time())

    async def aclose(self) -> None:
        """There is nothing to close."""
        await trio.lowlevel.checkpoint()


async def _reply(played: Played, call: Call) -> Reply | Problem:
    if played.head is not None:
        return Reply(played.head, _reader(played, call))
    if played.ending == "hang":
        await trio.sleep_forever()
    call.outcome = "broken"
    return REFUSED


def _reader(played: Played, call: Call) -> Read:
    """Gives chunk after chunk, then what the ending means, as often as it is asked.

    The answer counts as whole with its last chunk: a caller who knows its end need not read on.
    """
    chunks = iter(played.chunks)
    left = len(played.chunks)

    async def read() -> bytes | Problem:
        nonlocal left
        for delay_s, data in chunks:
            await trio.sleep(delay_s)
            left -= 1
            if not left and played.ending == "end":
                call.outcome = "whole"
            return data
        await trio.lowlevel.checkpoint()
        if played.ending == "hang":
            await trio.sleep_forever()
        call.outcome = "whole" if played.ending == "end" else "broken"
        return b"" if played.ending == "end" else CUT

    return read
