"""Chunks that differ in their text alone, as nearly all of nearly every stream do: these need not be parsed again.

The bytes around the text of one chunk are kept. A chunk that is a JSON string between the same bytes is that chunk with
another text, so all that was found in it holds. Where a server changes more than the text each time (padding, times to
the microsecond), no chunk is ever alike, and one try shows it.
"""

import re

import orjson
from attrs import define, field

from pipeline.values.events import TextDelta

# Within a JSON string a quote is escaped, so this key can only be a key.
_CONTENT = re.compile(rb'"content":\s*("[^"\\]*(?:\\.[^"\\]*)*")')


@define
class Alike:
    """What one stream's chunks have in common. Mutable: it holds what the last chunk that was learned looks like.

    `choice`: the one that the learned chunk speaks for.
    """

    choice: int = field(default=0, init=False)
    # Up to the opening quote of the text, and from its closing quote on. Nothing is alike before a chunk was learned.
    _before: bytes = field(default=b'"', init=False)
    _after: bytes = field(default=b'"', init=False)
    _start: int = field(default=0, init=False)
    _stop: int = field(default=0, init=False)
    _hopeful: bool = field(default=True, init=False)

    def text(self, chunk: bytes) -> str | None:
        """The text of a chunk that is alike but for it; None of any other."""
        if not chunk.startswith(self._before) or not chunk.endswith(self._after):
            return None
        try:
            text: str = orjson.loads(chunk[self._start : self._stop])
        except orjson.JSONDecodeError:
            return None
        self._hopeful = True
        return text

    def learn(self, chunk: bytes, said: TextDelta) -> None:
        """`said` is all that this chunk says, and it is none that was alike. Nothing is learned twice in vain."""
        if not self._hopeful:
            return
        self._hopeful = False
        found = list(_CONTENT.finditer(chunk))
        if len(found) != 1 or orjson.loads(found[0][1]) != said.text:
            return
        self.choice = said.choice
        self._start, end = found[0].span(1)
        self._stop = end - len(chunk)
        self._before, self._after = chunk[: self._start + 1], chunk[end - 1 :]
