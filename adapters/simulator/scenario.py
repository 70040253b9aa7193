"""How the fake providers behave: who they are, how fast, and what goes wrong, all in one frozen value."""

from collections.abc import Mapping
from typing import Literal

from attrs import evolve, field, frozen

from adapters.simulator.demonstration import demonstrated
from adapters.simulator.script import Ask, Script, scripted
from pipeline.values.events import Usage
from pipeline.values.targets import ModelFacts

# 2026-02-02T02:40:00Z: what the clock of the fake providers says unless told otherwise.
EPOCH = 1_770_000_000.0


@frozen
class Fault:
    """Something that goes wrong with some of the model calls, counted from 1.

    `every`: each so-manyth call; `until`: only calls up to this one; `models`: only these, all if empty.
    `above`: only calls that find so many others under way. `status`: the provider's own error answer, with `retry_after`
    seconds if given; without a status the call ends by `ending` after `after` chunks of its answer, None: before its head.
    """

    every: int = 1
    until: int | None = None
    models: frozenset[str] = frozenset()
    status: int | None = None
    retry_after: int | None = None
    above: int = 0
    ending: Literal["reset", "hang"] = "reset"
    after: int | None = None

    def strikes(self, count: int, model: str, beside: int = 0) -> bool:
        """Whether model call number `count`, for `model`, is met by it, with `beside` others under way."""
        in_time = self.until is None or count <= self.until
        due = in_time and count % self.every == 0 and beside >= self.above
        return due and (not self.models or model in self.models)


@frozen
class Quota:
    """What the rate-limit headers say: the limits of a minute and what is left of them."""

    requests: int = 10_000
    tokens: int = 200_000
    requests_left: int = 9_999
    tokens_left: int = 199_986


@frozen
class Scenario:
    """One behaviour of all fake providers.

    `models` by provider kind; `snapshots`: the dated name an answer carries instead of the one asked for. `key`: the
    one that is let in, None: all are. `head_s`: seconds to the head; `delta_s`: before each piece of the answer.
    `broken`: how an answer ends that breaks in the middle, by a cut connection or by the provider's own error event.
    `usage`: told instead of what the answer counted. `epoch`: what the providers' clock says as an answer starts.
    `blobs`: digests (`sha256:...`) of the model files that Ollama holds.
    """

    models: Mapping[str, tuple[ModelFacts, ...]]
    snapshots: Mapping[str, str] = field(factory=dict)
    mode: Literal["scripted", "demonstration"] = "scripted"
    key: str | None = field(default=None, repr=False)
    head_s: float = 0.0
    delta_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    broken: Literal["reset", "event"] = "reset"
    usage: Usage | None = None
    quota: Quota = Quota()
    epoch: float = EPOCH
    blobs: frozenset[str] = frozenset()

    def model(self, provider: str, name: str) -> ModelFacts | None:
        """What `provider` offers under exactly that name."""
        return next((facts for facts in self.models.get(provider, ()) if facts.name == name), None)

    def fault(self, count: int, model: str, beside: int = 0) -> Fault | None:
        """What goes wrong with model call number `count`, with `beside` others under way."""
        return next((fault for fault in self.faults if fault.strikes(count, model, beside)), None)

    def act(self, ask: Ask) -> Script:
        """The answer to `ask`."""
        script = scripted(ask) if self.mode == "scripted" else demonstrated(ask)
        return script if self.usage is None else evolve(script, usage=self.usage)


def narrowed(scenario: Scenario, most: int, status: int = 429, retry_after: int | None = None) -> Scenario:
    """The same scenario, in which calls are refused above `most` at once. Faults of that kind are replaced."""
    others = tuple([fault for fault in scenario.faults if not fault.above])
    return evolve(scenario, faults=(Fault(above=most, status=status, retry_after=retry_after), *others))
