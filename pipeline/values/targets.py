"""Who can answer: providers, their models, and what is known of these."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import field, frozen

from pipeline.values.secrets import Secret

Capability: TypeAlias = Literal[
    "completion", "tools", "vision", "thinking", "embedding", "insert", "audio", "image"
]


@frozen
class Rates:
    """How much may be asked for: `requests` and `tokens` a minute, in and out. None: no limit that is known.

    `burst`: requests that may go at once; of tokens as large a share of a minute. `concurrent`: calls at once.
    """

    requests: float | None = None
    tokens: float | None = None
    burst: int | None = None
    concurrent: int | None = None

    def part(self, count: int) -> "Rates":
        """What one of `count` that share it may ask for."""
        return Rates(
            None if self.requests is None else self.requests / count,
            None if self.tokens is None else self.tokens / count,
            None if self.burst is None else max(1, self.burst // count),
            None if self.concurrent is None else -(-self.concurrent // count),
        )


NO_RATES = Rates()


@frozen
class Provider:
    """One vendor account. `kind` names its codec; `secret` is bound to `base_url`.

    `timeout_s`: the longest wait for the first content, and for a whole reply that is not streamed. `priority`: lower
    is asked first. `weight`: its share of the calls where several take turns. `max_concurrent`: permits. `transport`:
    which client carries its calls (`simulator` answers in process); `proxy`: the URL of an HTTP proxy on the way, with
    user and password if it wants them. `settings`: what only this kind has (`api_version`, `region` ...), as its codec
    reads it. `rates`: of all its models together, `limits`: of single ones, by their names.
    """

    name: str
    kind: str
    base_url: str
    secret: Secret = field(factory=Secret)
    timeout_s: float = 300.0
    priority: int = 10
    max_concurrent: int = 100
    weight: float = 1.0
    transport: Literal["http", "httpx", "simulator"] = "http"
    proxy: str | None = field(default=None, repr=False)
    settings: Mapping[str, Any] = field(factory=dict, hash=False)
    rates: Rates = NO_RATES
    limits: Mapping[str, Rates] = field(factory=dict, hash=False)


@frozen
class Price:
    """What a million tokens cost, in US dollars. None: not known, which is never free."""

    input: float | None = None
    output: float | None = None
    cached: float | None = None


@frozen
class ModelFacts:
    """What is known of one model at one provider. None: not known, never a guess.

    `name` is the provider's own. `capabilities` None: try and see. `context_length` and `embedding_length` are tokens
    and numbers. `family`, `parameter_size`, `quantization`, `size` (bytes), `digest` and `modified_at` (RFC 3339) are
    told by providers that know them. `output_limit`: the longest answer, in tokens.
    `structured_output`: whether it keeps to a JSON schema by itself. `presumed`: the capabilities are those of the
    catalogue, which neither the provider nor the operator told: what is missing there may be there all the same.
    """

    name: str
    capabilities: frozenset[Capability] | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    family: str | None = None
    parameter_size: str | None = None
    quantization: str | None = None
    size: int | None = None
    digest: str | None = None
    modified_at: str | None = None
    output_limit: int | None = None
    price: Price | None = None
    structured_output: bool | None = None
    presumed: bool = False


@frozen
class Target:
    """One model at one provider: what an attempt is made at."""

    provider: Provider
    facts: ModelFacts

    @property
    def model(self) -> str:
        """The provider's own name of the model."""
        return self.facts.name

    @property
    def name(self) -> str:
        """`provider/model`, unique in the house."""
        return f"{self.provider.name}/{self.facts.name}"


@frozen
class ModelRule:
    """`[models.NAME]`: an alias (`targets` given) or facts that override what is known of a model of that name.

    `targets`: "provider/its own model name", in order. `fallback`: names of other models, when all targets have failed;
    `longer_fallback`: when the request is too long for the model; `policy_fallback`: when its vendor refuses what it is
    about. `strategy`: how the targets of this model are ordered, where not as all.
    """

    targets: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    longer_fallback: tuple[str, ...] = ()
    policy_fallback: tuple[str, ...] = ()
    strategy: str | None = None
    capabilities: frozenset[Capability] | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    family: str | None = None
    parameter_size: str | None = None
    output_limit: int | None = None
    price: Price | None = None
