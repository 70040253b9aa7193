"""Several processes on one port, and the parent that keeps them.

Each place has sockets of its own (SO_REUSEPORT spreads connections over them), which the parent holds open as well: a
connection that waits to be accepted when a worker dies is taken by the one that follows in its place. Replacing a worker
starts the next one first, and ends the old one only when the next is ready; an ending worker accepts nothing more, so
nobody is refused.
"""

import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import trio
from attrs import define, field, frozen

log = logging.getLogger("ollama_proxy.workers")

VARIABLE = "OLLAMA_PROXY_WORKER"
# A worker that lived shorter than this failed to start; the pause before the next one doubles.
LIVED_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


@frozen
class Place:
    """What a worker is told of itself, by file descriptors that it inherits.

    `sockets`: where it listens; `ready`: where it says that it does; `lifeline`: ends when the parent does. `number` of
    `count` workers, from 0.
    """

    sockets: tuple[int, ...]
    ready: int
    lifeline: int
    number: int
    count: int

    def is_ready(self) -> None:
        """Tell the parent."""
        os.write(self.ready, b"!")
        os.close(self.ready)

    async def orphaned(self) -> None:
        """Wait for the end of the parent."""
        await trio.lowlevel.wait_readable(self.lifeline)


def place_of(environ: Mapping[str, str]) -> Place | None:
    """The place of this process among workers; None if it is none."""
    if VARIABLE not in environ:
        return None
    sockets, *others = json.loads(environ[VARIABLE])
    return Place(tuple(sockets), *others)


@frozen
class Worker:
    """A process in a place. `started` ends with a byte when it is ready, without one when it could not start."""

    process: trio.Process
    started: trio.lowlevel.FdStream

    async def is_ready(self) -> bool:
        """Wait until it serves; False if it ended before."""
        async with self.started:
            return await self.started.receive_some(1) == b"!"


@define(eq=False)
class Slot:
    """One place. `renew` is set to have its worker replaced; `ready`: it has served; `workers`: those that run."""

    command: Sequence[str]
    environ: Mapping[str, str]
    sockets: Sequence[socket.socket]
    number: int
    count: int
    lifeline: int
    workers: set[trio.Process] = field(factory=set, init=False)
    renew: trio.Event = field(factory=trio.Event, init=False)
    ready: trio.Event = field(factory=trio.Event, init=False)

    async def keep(self) -> None:
        """A worker in this place, and another as soon as it is gone or to be replaced, until cancelled."""
        async with trio.open_nursery() as nursery:
            await self._keep(nursery)

    async def _keep(self, nursery: trio.Nursery) -> None:
        current = await self._next(None, 0.0)
        pause_s = 0.0
        while True:
            began = trio.current_time()
            nursery.start_soon(self._reap, current)
            await self._gone_or_renewed(current)
            if current.returncode is not None:
                log.error("worker %d ended with status %d: another begins", self.number, current.returncode)
                lived = trio.current_time() - began > LIVED_S
                pause_s = 0.0 if lived else min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
                current = await self._next(None, 0.0 if lived else pause_s)
            else:
                current = await self._next(current, 0.0)

    async def _next(self, old: trio.Process | None, pause_s: float) -> trio.Process:
        """The worker that follows `old`, which ends once it is ready; `old` itself if the next cannot start."""
        await trio.sleep(pause_s)
        self.renew = trio.Event()
        worker = await self._start()
        if await worker.is_ready():
            log.info("worker %d is ready", self.number)
            if old is not None:
                old.terminate()
        elif old is not None and old.returncode is None:
            log.error("worker %d could not be replaced: the old one stays", self.number)
            self.ready.set()
            return old
        self.ready.set()
        return worker.process

    async def _reap(self, process: trio.Process) -> None:
        await process.wait()
        self.workers.discard(process)

    async def _start(self) -> Worker:
        mine, theirs = os.pipe()
        listening = [sock.fileno() for sock in self.sockets]
        told = json.dumps([listening, theirs, self.lifeline, self.number, self.count])
        try:
            process = await trio.lowlevel.open_process(
                self.command,
                env={**self.environ, VARIABLE: told},
                pass_fds=[*listening, theirs, self.lifeline],
            )
        finally:
            os.close(theirs)
        self.workers.add(process)
        return Worker(process, trio.lowlevel.FdStream(mine))

    async def _gone_or_renewed(self, process: trio.Process) -> None:
        async with trio.open_nursery() as nursery:

            async def gone() -> None:
                await process.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(gone)
            await self.renew.wait()
            nursery.cancel_scope.cancel()


async def always() -> bool:
    """Where nothing speaks against it."""
    await trio.lowlevel.checkpoint()
    return True


async def keep_workers(slots: Sequence[Slot], usable: Callable[[], Awaitable[bool]] = always) -> None:
    """Keep a worker in every slot. SIGHUP replaces them one by one; SIGTERM and SIGINT end them all, and this.

    `usable`: whether new ones could begin with what is configured now; if not, the old ones stay.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            for slot in slots:
                nursery.start_soon(slot.keep)
            async for received in signals:
                if received != signal.SIGHUP:
                    break
                nursery.start_soon(_renew_all, slots, usable)
            nursery.cancel_scope.cancel()
        await _end_all([process for slot in slots for process in slot.workers], signals)


async def _renew_all(slots: Sequence[Slot], usable: Callable[[], Awaitable[bool]]) -> None:
    if not await usable():
        log.error("the workers are not replaced, because they could not begin again")
        return
    log.info("the workers are replaced, one by one")
    for slot in slots:
        await slot.ready.wait()
        slot.ready = renewed = trio.Event()
        slot.renew.set()
        await renewed.wait()


async def _end_all(processes: Sequence[trio.Process], signals: AsyncIterator[int]) -> None:
    """Ask all workers to end and wait for them; each further signal is passed on."""

    def ask() -> None:
        for process in processes:
            if process.returncode is None:
                process.terminate()

    async def pass_on() -> None:
        async for _ in signals:
            ask()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pass_on)
        ask()
        for process in processes:
            await process.wait()
        nursery.cancel_scope.cancel()


def lifeline() -> tuple[int, int]:
    """A pipe that ends with this process: the end that workers inherit, and the one to be held."""
    theirs, held = os.pipe()
    os.set_inheritable(theirs, True)
    return theirs, held
