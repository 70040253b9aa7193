"""HTTP as plain values, with no client library behind them. Header names are lower case."""

from collections.abc import Mapping
from typing import TypeAlias

from attrs import evolve, field, frozen

Headers: TypeAlias = Mapping[str, str]


@frozen
class HttpRequest:
    """A request to an upstream (`url` absolute) or of a client (`url` is path and query). Headers may hold a secret."""

    method: str
    url: str
    headers: Headers = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def with_headers(self, headers: Headers) -> "HttpRequest":
        """The same request with `headers` added or replaced."""
        return evolve(self, headers={**self.headers, **headers})


@frozen
class ReplyHead:
    """Status and headers of a reply."""

    status: int
    headers: Headers = field(factory=dict)
