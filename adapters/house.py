"""What the control plane knows of the house: one value, filled where everything is put together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.listing import Catalogue
from pipeline.gate import Gate
from pipeline.ports import Env
from pipeline.values.http import Headers
from pipeline.values.messages import Request
from pipeline.values.problems import Problem

DEFAULT_BODY_BYTES = 32 * 1024 * 1024


def nowhere(path: str) -> bool:
    """Where no model is called."""
    return False


Explain: TypeAlias = Callable[[Request, Headers], Awaitable[dict[str, Any] | Problem]]


async def unexplained(request: Request, headers: Headers) -> dict[str, Any] | Problem:
    """Where nobody explains."""
    return {}


@frozen
class House:
    """`started`: when the house began, by `time.monotonic`. `environment`: `production`, `development` ...

    `version` is our own. `calls_models(path)`: whether models are called there, by the data plane; with another method than
    POST such a path comes to us. `explain(request, headers)`: what would become of it, or why nothing. `instance`: our own
    mark in the hop header. `queues`: where exchanges wait for their turn.
    """

    env: Env
    ledger: Ledger
    lifecycle: Lifecycle
    started: float
    version: str
    environment: str = "development"
    calls_models: Callable[[str], bool] = nowhere
    max_body_bytes: int = DEFAULT_BODY_BYTES
    explain: Explain = unexplained
    instance: str = ""
    queues: Sequence[Gate] = ()

    def catalogue(self) -> Catalogue:
        """All that lists of models are made from, as it is now."""
        env = self.env
        snapshot = env.snapshot()
        return Catalogue(
            providers=env.providers,
            lists={name: snapshot.provider(name).models for name in env.providers},
            rules=env.models,
            patterns={kind: codec.patterns for kind, codec in env.codecs.items()},
            allowed=env.allowed,
            known=env.known,
        )
