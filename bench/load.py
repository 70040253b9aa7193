"""The load in Python: the same as load.c, which see, for machines without a C compiler. Its own ceiling is far lower.

    python bench/load.py port=PORT connections=N requests=N seconds=S stamps=N end=TEXT ramp_ms=MS limit_ms=MS \
        per_source=N < REQUEST
"""

import json
import math
import re
import resource
import socket
import sys
import time
from collections.abc import Sequence

import trio
from attrs import define, field, frozen

READ_BYTES = 65536
TAIL_BYTES = 512
PAUSE_S = 0.02
STAMP = re.compile(rb"~(\d{16})~")
STAMP_BYTES = 18


class Bad(Exception):
    """A reply, or the lack of one, that does not count; the text says why."""


@frozen
class Plan:
    """What to do. Times in seconds; `per_source`: connections from one address, 0 for any."""

    request: bytes = field(repr=False)
    port: int
    connections: int
    requests: int
    seconds: float
    stamps: int
    end: bytes
    ramp_s: float = 0.0
    limit_s: float = 60.0
    per_source: int = 0


def plan_of(arguments: Sequence[str], request: bytes) -> Plan:
    """The plan that a command line means."""
    given = dict(argument.split("=", 1) for argument in arguments)
    return Plan(
        request=request,
        port=int(given["port"]),
        connections=int(given["connections"]),
        requests=int(given["requests"]),
        seconds=float(given["seconds"]),
        stamps=int(given["stamps"]),
        end=given.get("end", "").encode(),
        ramp_s=int(given.get("ramp_ms", 0)) / 1000,
        limit_s=int(given.get("limit_ms", 60_000)) / 1000,
        per_source=int(given.get("per_source", 0)),
    )


@define
class ReplyReader:
    """Reads one reply, in whatever pieces it comes. `stamps`: when each chunk was sent, in microseconds."""

    complete: bool = False
    closing: bool = False
    stamps: list[int] = field(factory=list)
    tail: bytes = b""
    _data: bytes = b""
    _head_done: bool = False
    _chunked: bool = False
    _left: int = 0
    _in_trailer: bool = False

    def feed(self, data: bytes) -> None:
        """Take in what came. Raises Bad."""
        self._data += data
        if not self._head_done and not self._read_head():
            return
        while not self.complete and (self._read_chunk() if self._chunked else self._read_sized()):
            pass

    def _read_head(self) -> bool:
        head, blank, rest = self._data.partition(b"\r\n\r\n")
        if not blank:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise Bad(f"a reply began with {head[:12]!r}")
        lines = dict(re.findall(rb"\r\n([^:\r]+): *([^\r]*)", head.lower()))
        self.closing = lines.get(b"connection") == b"close"
        self._chunked = b"transfer-encoding" in lines
        if not self._chunked and b"content-length" not in lines:
            raise Bad("a reply does not say how long it is")
        self._left = int(lines.get(b"content-length", 0))
        self._data, self._head_done = rest, True
        return True

    def _read_sized(self) -> bool:
        piece, self._data = self._data[: self._left], self._data[self._left :]
        self._body(piece)
        self._left -= len(piece)
        self.complete = self._left == 0
        return False

    def _read_chunk(self) -> bool:
        """One chunk, or one line of the trailer; whether there may be another."""
        line, ended, rest = self._data.partition(b"\r\n")
        if not ended:
            return False
        if self._in_trailer:
            self._data = rest
            self.complete = not line
            return True
        size = int(line.split(b";")[0], 16)
        if not size:
            self._data, self._in_trailer = rest, True
            return True
        if len(rest) < size + 2:
            return False
        self._body(rest[:size])
        self._data = rest[size + 2 :]
        return True

    def _body(self, piece: bytes) -> None:
        # A stamp may be cut by the read: all but a whole stamp's length of the old tail is looked at again.
        kept = self.tail[-(STAMP_BYTES - 1) :]
        self.stamps += [int(found) for found in STAMP.findall(kept + piece)]
        self.tail = (self.tail + piece)[-TAIL_BYTES:]

    def check(self, stamps: int, end: bytes) -> None:
        """Whether the complete reply is what it should be. Raises Bad."""
        if len(self.stamps) != stamps:
            raise Bad(f"a reply had {len(self.stamps)} stamps, not {stamps}")
        if end not in self.tail:
            raise Bad("a reply had not the end it should have")


@define
class Load:
    """The load, and what was found so far. Samples in microseconds."""

    plan: Plan
    started: float = 0.0
    last: float = 0.0
    cpu_before_s: float = 0.0
    issued: int = 0
    done: int = 0
    failed: int = 0
    live: int = 0
    open_most: int = 0
    fault: str = ""
    total: list[float] = field(factory=list)
    first: list[float] = field(factory=list)
    delay: list[float] = field(factory=list)

    async def run(self) -> None:
        """All of it."""
        self.started = self.last = time.monotonic()
        self.cpu_before_s = cpu_s()
        async with trio.open_nursery() as nursery:
            for place in range(self.plan.connections):
                nursery.start_soon(self._connection, place)

    async def _connection(self, place: int) -> None:
        await trio.sleep(self.plan.ramp_s * place / self.plan.connections)
        stream: trio.SocketStream | None = None
        while self.issued < self.plan.requests and time.monotonic() - self.started <= self.plan.seconds:
            self.issued += 1
            self.live += 1
            self.open_most = max(self.open_most, self.live)
            try:
                with trio.fail_after(self.plan.limit_s):
                    stream = await self._exchange(stream or await self._connected(place))
                self.done += 1
            except (Bad, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
                self.failed += 1
                self.fault = self.fault or str(error) or type(error).__name__
                stream = None
                await trio.sleep(PAUSE_S)
            self.live -= 1
            self.last = time.monotonic()

    async def _connected(self, place: int) -> trio.SocketStream:
        sock = trio.socket.socket()
        try:
            if self.plan.per_source:
                sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
                await sock.bind((f"127.0.0.{2 + place // self.plan.per_source}", 0))
            await sock.connect(("127.0.0.1", self.plan.port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def _exchange(self, stream: trio.SocketStream) -> trio.SocketStream | None:
        """One request and its reply; the connection, if another may follow."""
        reader, asked = ReplyReader(), time.monotonic()
        try:
            await stream.send_all(self.plan.request)
            while not reader.complete:
                data = await stream.receive_some(READ_BYTES)
                if not data:
                    raise Bad("the connection ended before the reply did")
                self._timed(reader, bytes(data), asked)
            reader.check(self.plan.stamps, self.plan.end)
        except BaseException:
            stream.socket.close()
            raise
        self.total.append((time.monotonic() - asked) * 1e6)
        if reader.closing:
            stream.socket.close()
            return None
        return stream

    def _timed(self, reader: ReplyReader, data: bytes, asked: float) -> None:
        seen = len(reader.stamps)
        reader.feed(data)
        now = time.monotonic()
        fresh = reader.stamps[seen:]
        if fresh and not seen:
            self.first.append((now - asked) * 1e6)
        self.delay += [now * 1e6 - stamp for stamp in fresh]

    def report(self) -> dict[str, object]:
        """What was found, in the words of load.c."""
        samples = {"total": self.total, "first": self.first, "delay": self.delay}
        return {
            "done": self.done,
            "failed": self.failed,
            "stamps": len(self.delay),
            "open_most": self.open_most,
            "wall_s": self.last - self.started,
            "cpu_s": cpu_s() - self.cpu_before_s,
            **{
                f"{name}_p{share:.0f}_ms": round(percentile(found, share) / 1000, 3)
                for name, found in samples.items()
                for share in (50, 99)
            },
            "fault": self.fault,
        }


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def percentile(samples: list[float], share: float) -> float:
    """The sample at or below which `share` per cent of them lie; 0 if there are none."""
    if not samples:
        return 0.0
    return sorted(samples)[max(0, math.ceil(share / 100 * len(samples)) - 1)]


def main() -> None:
    """Do as the command line says."""
    load = Load(plan_of(sys.argv[1:], sys.stdin.buffer.read()))
    trio.run(load.run)
    print(json.dumps(load.report()))


if __name__ == "__main__":
    main()
