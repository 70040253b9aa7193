"""Hypercorn's trio server, made safe in the two places where one connection can end or block all of them.

- A fault in one connection (an invalid chunk behind an answer that was sent early, an upgrade with invalid settings)
  leaves its task as an exception and ends the worker. Here it is logged, and ends the connection.
- Sending is shielded without a limit: a client who stops reading holds its exchange, and the shutdown, for ever. Here a
  send that makes no progress for `stall_s` ends the connection, and the application sees its client leave.

Seen in Hypercorn 0.18.0.
"""

import logging
from typing import Any

import trio
from hypercorn.events import Closed, Event, RawData
from hypercorn.trio.tcp_server import TCPServer

log = logging.getLogger("ollama_proxy.connection")

# A slow reader makes progress piece by piece; only one who takes none of a piece in time has stopped.
PIECE = 64 * 1024


class GuardedConnection(TCPServer):
    """One connection. `stall_s`: how long a send may stand still."""

    def __init__(self, stall_s: float, *given: Any) -> None:
        super().__init__(*given)
        self.stall_s = stall_s
        self.sending: trio.CancelScope | None = None

    def retire(self) -> None:
        """Hypercorn's own connections are told of the end by its worker."""

    def give_up(self) -> None:
        """Wait no longer for the client to read."""
        if self.sending is not None:
            self.sending.cancel()

    async def run(self) -> None:
        """The connection from its first byte to its last; only cancellation leaves it as an exception."""
        try:
            await super().run()
        except Exception as fault:
            log.warning("a connection failed: %r", fault)
        except BaseExceptionGroup as group:
            faults, others = group.split(Exception)
            if faults is not None:
                log.warning("a connection failed: %r", faults)
            if others is not None:
                raise others from None
        finally:
            await trio.aclose_forcefully(self.stream)

    async def protocol_send(self, event: Event) -> None:
        """Write what the protocol has to say; if the client takes nothing more, it has left."""
        if not isinstance(event, RawData):
            await super().protocol_send(event)
            return
        async with self.send_lock:
            gone = await self._write(event.data)
        if gone:
            await self.protocol.handle(Closed())

    async def _write(self, data: bytes) -> bool:
        """Whether the client is gone. Shielded: a frame that was cut in the middle would garble what follows it."""
        try:
            gone = False
            for begin in range(0, len(data), PIECE):
                with trio.CancelScope(
                    shield=True, deadline=trio.current_time() + self.stall_s
                ) as self.sending:
                    await self.stream.send_all(data[begin : begin + PIECE])
                if gone := self.sending.cancelled_caught:
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            gone = True
        finally:
            self.sending = None
        if gone:
            await trio.aclose_forcefully(self.stream)
        return gone
