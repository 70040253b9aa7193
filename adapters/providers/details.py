"""Details of thinking as a stream tells them: texts in pieces, which are put together again before they are told.

A client is to give a detail back as a whole (see `thoughts`), so it is told once: when a signature seals it, when
another begins, or when the thinking is over.
"""

from collections.abc import Mapping
from typing import Any

from attrs import define, field

# Where the words of a detail stand, by its type. What is encrypted has none, and comes whole.
_WORDS: Mapping[Any, str] = {"reasoning.text": "text", "reasoning.summary": "summary"}


def visible(pieces: list[Any]) -> str:
    """The words in these pieces, joined."""
    return "".join(_words(piece) for piece in pieces if type(piece) is dict)


def _words(piece: dict[str, Any]) -> str:
    said = piece.get(_WORDS.get(_kind(piece), ""))
    return said if type(said) is str else ""


def _kind(piece: dict[str, Any]) -> str:
    kind = piece.get("type")
    return kind if type(kind) is str else ""


@define
class Details:
    """The details of one choice. Mutable, owned by one reply: it holds the one whose words are still coming."""

    _open: dict[str, Any] | None = field(default=None, init=False)
    _said: list[str] = field(factory=list, init=False)

    def take(self, pieces: list[Any]) -> list[dict[str, Any]]:
        """Those that are whole with `pieces`."""
        whole: list[dict[str, Any]] = []
        for piece in pieces:
            if type(piece) is not dict:
                continue
            if self._open is None or not _continues(self._open, piece):
                whole += self.close()
                self._open = {}
            self._open.update({name: value for name, value in piece.items() if value is not None})
            self._said.append(_words(piece))
            if _kind(self._open) not in _WORDS or self._open.get("signature"):
                whole += self.close()
        return whole

    def close(self) -> list[dict[str, Any]]:
        """The one whose words were still coming: no more will."""
        if self._open is None:
            return []
        whole, words = self._open, _WORDS.get(_kind(self._open))
        if words is not None:
            whole[words] = "".join(self._said)
        self._open = None
        self._said.clear()
        return [whole]


def _continues(known: dict[str, Any], piece: dict[str, Any]) -> bool:
    """Whether a piece belongs to what is known of a detail. Only its first piece need carry an id."""
    same_id = piece.get("id") is None or piece["id"] == known.get("id")
    return same_id and all(piece.get(name) == known.get(name) for name in ("type", "index"))
