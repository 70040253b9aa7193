"""Who hangs up, told by the kernel: without a task, a read or a scope for each connection that is looked after.

All sockets are in one queue of the kernel's own, which wakes one task when a peer has closed its sending side, whatever
unread bytes lie before that, or has reset the connection.
"""

import select
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

import trio
from attrs import define, field

Told = Callable[[], None]


class Queue(Protocol):
    """A kernel queue that is told a socket once, and tells of it at most a few times."""

    def fileno(self) -> int:
        """What can be waited for."""
        ...

    def add(self, descriptor: int) -> None:
        """Tell of this socket when its peer hangs up; its closing takes it out."""
        ...

    def told(self) -> Iterable[int]:
        """The descriptors whose peers have hung up since the last time."""
        ...

    def close(self) -> None:
        """Give the queue back."""
        ...


if sys.platform == "linux":

    class KernelQueue:
        """epoll. Reset and error are told unasked."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self.fileno = self._epoll.fileno
            self.close = self._epoll.close

        def add(self, descriptor: int) -> None:
            """See Queue."""
            self._epoll.register(descriptor, select.EPOLLRDHUP | select.EPOLLET)

        def told(self) -> Iterable[int]:
            """See Queue."""
            return [descriptor for descriptor, _ in self._epoll.poll(0)]

else:

    class KernelQueue:
        """kqueue, which wakes for arriving bytes too: those are passed over."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()
            self.fileno = self._kqueue.fileno
            self.close = self._kqueue.close

        def add(self, descriptor: int) -> None:
            """See Queue."""
            flags = select.KQ_EV_ADD | select.KQ_EV_CLEAR
            self._kqueue.control([select.kevent(descriptor, select.KQ_FILTER_READ, flags)], 0, 0)

        def told(self) -> Iterable[int]:
            """See Queue."""
            events = self._kqueue.control(None, 256, 0)
            return [event.ident for event in events if event.flags & select.KQ_EV_EOF]


@define(eq=False)
class HangUps:
    """Tells each connection, at most once, that its peer has hung up. `run` must be running for it."""

    _queue: Queue = field(factory=KernelQueue, init=False)
    _told: dict[int, Told] = field(factory=dict, init=False)

    def watch(self, sock: socket.socket, told: Told) -> None:
        """Call `told` when the peer of `sock` hangs up. It must not wait."""
        self._told[sock.fileno()] = told
        self._queue.add(sock.fileno())

    def forget(self, sock: socket.socket) -> None:
        """Call nobody for `sock`, which is about to be closed."""
        self._told.pop(sock.fileno(), None)

    async def run(self) -> None:
        """Tell, until cancelled."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._queue.fileno())
                for descriptor in self._queue.told():
                    if told := self._told.pop(descriptor, None):
                        told()
        finally:
            self._queue.close()
