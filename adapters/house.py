"""What the control plane knows of the house: one value, filled where everything is put together."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from adapters.ledger import Ledger
from adapters.lifecycle import Lifecycle
from adapters.listing import Catalogue
from adapters.reload import Outcome, Reload, Reloaded
from pipeline.gate import Gate
from pipeline.ports import Env
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.http import Headers
from pipeline.values.messages import Request
from pipeline.values.problems import Problem

DEFAULT_BODY_BYTES = 32 * 1024 * 1024


def nowhere(path: str) -> bool:
    """Where no model is called."""
    return False


Explain: TypeAlias = Callable[[Request, Headers, Caller], Awaitable[dict[str, Any] | Problem]]


async def unexplained(request: Request, headers: Headers, caller: Caller) -> dict[str, Any] | Problem:
    """Where nobody explains."""
    return {}


async def unchanged() -> Outcome:
    """Where the configuration stays as it is."""
    return Reloaded()


@frozen
class House:
    """`started`: when the house began, by `time.monotonic`. `environment`: `production`, `development` ...

    `version` is our own. `calls_models(path)`: whether models are called there, by the data plane; with another method than
    POST such a path comes to us. `explain(request, headers, caller)`: what would become of it, or why nothing. `instance`:
    our own mark in the hop header. `queues`: where exchanges wait for their turn. `keys()`: how the file of keys is.
    `configuration()`: when it was read, and what is wrong with it. `reload()`: read it again.
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
    keys: Callable[[], dict[str, Any]] = dict
    configuration: Callable[[], dict[str, Any]] = dict
    reload: Reload = unchanged

    def catalogue(self, caller: Caller = ANYBODY) -> Catalogue:
        """All that lists of models are made from, as it is now, for `caller`."""
        env = self.env
        snapshot = env.snapshot()
        return Catalogue(
            providers=env.providers,
            lists={name: snapshot.provider(name).models for name in env.providers},
            rules=env.models,
            patterns={kind: codec.patterns for kind, codec in env.codecs.items()},
            allowed=env.allowed,
            known=env.known,
            caller=caller,
        )
