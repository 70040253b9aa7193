"""How late the process wakes from a short sleep, which tells whether it keeps up with its work."""

import logging

import trio

from pipeline.overload import Overload

log = logging.getLogger("ollama_proxy.overload")

NAP_S = 0.1


async def watch_lateness(overload: Overload) -> None:
    """Tell `overload` how late each short sleep ended, until cancelled."""
    was_late = False
    while True:
        began = trio.current_time()
        await trio.sleep(NAP_S)
        now = trio.current_time()
        overload.woke(now - began - NAP_S, now)
        if overload.late != was_late:
            was_late = overload.late
            if was_late:
                log.warning("the process cannot keep up: fewer requests are let in until it does")
            else:
                log.info("the process keeps up again")
