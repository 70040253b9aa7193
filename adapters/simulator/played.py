"""One answer of a fake provider, with its timing, as it goes over a wire."""

from collections.abc import Iterable
from typing import Literal, TypeAlias

from attrs import evolve, frozen

from pipeline.values.http import Headers, ReplyHead

Chunk: TypeAlias = tuple[float, bytes]


@frozen
class Played:
    """`head` after `head_s` seconds (None: it never comes), then `chunks`, each after its own seconds, then `ending`.

    `end`: the body is whole. `reset`: the connection is cut. `hang`: nothing more comes, and the connection stays.
    """

    head: ReplyHead | None
    head_s: float = 0.0
    chunks: tuple[Chunk, ...] = ()
    ending: Literal["end", "reset", "hang"] = "end"

    @property
    def body(self) -> bytes:
        """All bytes that come."""
        return b"".join(data for _, data in self.chunks)

    def cut(self, ending: Literal["reset", "hang"], after: int | None) -> "Played":
        """The same answer, ended after `after` chunks, or before its head."""
        if after is None:
            return evolve(self, head=None, chunks=(), ending=ending)
        return evolve(self, chunks=self.chunks[:after], ending=ending)


def whole(status: int, headers: Headers, body: bytes, head_s: float = 0.0) -> Played:
    """An answer that comes in one piece."""
    head = ReplyHead(status, {**headers, "content-length": str(len(body))})
    return Played(head, head_s, ((0.0, body),) if body else ())


def halved(played: Played) -> Played:
    """An answer in one piece whose connection is cut half-way through it."""
    body = played.body
    return evolve(played, chunks=((0.0, body[: len(body) // 2]),), ending="reset")


def streamed(headers: Headers, head_s: float, chunks: Iterable[Chunk], cut: bool) -> Played:
    """An answer that comes piece by piece; `cut`: its connection breaks after the last."""
    return Played(ReplyHead(200, headers), head_s, tuple(chunks), "reset" if cut else "end")
