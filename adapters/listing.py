"""The models of the house as lists and details, in the forms of Ollama and OpenAI.

What providers do not tell is left out where a client may do without it, and invented where it may not: a digest and a
date, the same at every start. What a model can do is told from facts; where nobody stated any, only what its name says
beyond doubt. All functions are pure.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import reduce
from hashlib import sha256
from typing import Any

from attrs import field, frozen

from adapters.catalogue import takes_tools
from pipeline.known import NOTHING_KNOWN, Knowledge
from pipeline.names import Lists, canonical
from pipeline.serving import Served, all_facts, completed, resolve_facts, who_serves
from pipeline.state.board import Snapshot
from pipeline.values.callers import ANYBODY, Caller
from pipeline.values.targets import Capability, ModelFacts, ModelRule, Provider, Target

# The date of models whose provider tells none.
UNDATED = "2025-01-01T00:00:00Z"

# A model in use is said to be loaded for so long after its last request, as Ollama does by default.
LOADED_S = 300.0

CAPABILITIES: tuple[Capability, ...] = (
    "completion",
    "tools",
    "insert",
    "vision",
    "embedding",
    "thinking",
    "image",
    "audio",
)

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
PARAMETERS = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMBT])", re.IGNORECASE)
UNITS = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
WORD = re.compile(r"[a-z]+")
VENDOR = re.compile(r"^(?:[a-z-]+\.)+(?=[a-z])")


@frozen
class Catalogue:
    """All that lists are made from. `lists` by provider; `patterns` by provider kind; `allowed`: the model filter.

    `known`: what is known of models that no provider tells. `caller`: for whom; what he may not use is not there.
    """

    providers: Mapping[str, Provider]
    lists: Lists
    rules: Mapping[str, ModelRule]
    patterns: Mapping[str, tuple[str, ...]]
    allowed: Callable[..., bool]
    known: Knowledge = NOTHING_KNOWN
    caller: Caller = ANYBODY


@frozen
class Model:
    """A model as clients see it: one name, and the targets behind it, the first asked first.

    `facts`: what is known of it anywhere, each fact from the first target that knows it.
    """

    name: str
    targets: tuple[Target, ...]
    facts: ModelFacts = field(init=False)

    @facts.default
    def _known_anywhere(self) -> ModelFacts:
        first, *others = (target.facts for target in self.targets)
        return reduce(completed, others, first)

    @property
    def tagged(self) -> str:
        """The name with its tag, as lists show it."""
        return tagged(self.name)

    @property
    def capabilities(self) -> list[Capability]:
        """What it can do, at one of its targets at least."""
        stated = [
            target.facts.capabilities for target in self.targets if target.facts.capabilities is not None
        ]
        able = frozenset[Capability]().union(*stated) if stated else _surely(self.targets[0])
        return [capability for capability in CAPABILITIES if capability in able]

    @property
    def digest(self) -> str:
        """64 hex digits that stay the same as long as the model does."""
        told = (self.facts.digest or "").removeprefix("sha256:").lower()
        if re.fullmatch(r"[0-9a-f]{64}", told):
            return told
        return sha256(self.targets[0].name.encode()).hexdigest()

    @property
    def modified_at(self) -> str:
        """When it last changed, in RFC 3339."""
        told = self.facts.modified_at or ""
        return told if TIMESTAMP.fullmatch(told) and _moment(told) else UNDATED

    @property
    def family(self) -> str:
        """What kind of model it is, in one word; never empty."""
        return self.facts.family or family_of(self.name)


def _surely(target: Target) -> frozenset[Capability]:
    """What a model can do of which nobody stated anything."""
    if "embed" in target.model.lower():
        return frozenset({"embedding"})
    if takes_tools(target.provider.kind, target.model):
        return frozenset({"completion", "tools"})
    return frozenset({"completion"})


def tagged(name: str) -> str:
    """`name` with its tag; what stands behind a `:` after the last `/` is one."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def family_of(name: str) -> str:
    """The family a name tells: `claude` of `anthropic.claude-3-5-sonnet-20240620-v1:0`."""
    own = VENDOR.sub("", canonical(name).rpartition("/")[2])
    word = WORD.search(own)
    return word[0] if word else "model"


def models(catalogue: Catalogue) -> tuple[Model, ...]:
    """All models of the house, newest first: those the providers list, and the aliases, which hide what they name."""
    found: dict[str, Model] = {}
    for provider in sorted(
        catalogue.providers.values(), key=lambda provider: (provider.priority, provider.name)
    ):
        for model in listed_by(provider, catalogue):
            known = found.get(canonical(model.name))
            merged = Model(known.name, known.targets + model.targets) if known else model
            found[canonical(model.name)] = merged
    for name, rule in catalogue.rules.items():
        if rule.targets and (alias := find(name, catalogue)):
            found[canonical(name)] = alias
    return newest_first(model for model in found.values() if catalogue.caller.may_ask_for(model.name))


def listed_by(provider: Provider, catalogue: Catalogue) -> Iterable[Model]:
    """The models that one provider lists, without those the filter hides."""
    if not catalogue.caller.may_use(provider.name):
        return
    for facts in catalogue.lists.get(provider.name) or ():
        if catalogue.allowed(facts.name, f"{provider.name}/{facts.name}"):
            whole = all_facts(provider, facts, catalogue.rules, catalogue.known)
            yield Model(facts.name, (Target(provider, whole),))


def newest_first(found: Iterable[Model]) -> tuple[Model, ...]:
    """In the order of Ollama's lists."""
    by_name = sorted(found, key=lambda model: canonical(model.name))
    return tuple(sorted(by_name, key=modified, reverse=True))


def modified(model: Model) -> datetime:
    """The moment of `modified_at`."""
    moment = _moment(model.modified_at)
    assert moment is not None
    return moment


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def find(name: str, catalogue: Catalogue) -> Model | None:
    """The model that clients mean by `name`; None where nobody serves it, or nobody may."""
    if not catalogue.caller.may_ask_for(name.strip()):
        return None
    served = _served(name, catalogue)
    targets = tuple(one for one in served.targets if catalogue.caller.may_use(one.provider.name))
    return Model(name.strip(), targets) if targets else None


def surely_served(name: str, catalogue: Catalogue, elsewhere: Collection[str] = ()) -> bool:
    """Whether a model of this name is sure to be here already; `elsewhere`: at none of these providers.

    A pattern is a guess. It will do for models that are known at all, and where models are kept on a disk, as long as it is
    not known which.
    """
    served = _served(name, catalogue)
    if any(target.provider.name in elsewhere for target in served.targets):
        return False
    return any(served.why != "pattern" or _is_known(target, catalogue) for target in served.targets)


def _is_known(target: Target, catalogue: Catalogue) -> bool:
    if target.provider.kind in catalogue.known.tagged:
        return catalogue.lists.get(target.provider.name) is None
    return target.facts != ModelFacts(target.model)


def _served(name: str, catalogue: Catalogue) -> Served:
    return who_serves(
        name,
        catalogue.providers,
        catalogue.lists,
        catalogue.rules,
        catalogue.patterns,
        catalogue.allowed,
        catalogue.known,
    )


def details(model: Model, lengths: bool = False) -> dict[str, Any]:
    """`details` of Ollama's answers; `lengths` are told in lists alone."""
    facts = model.facts
    shown: dict[str, Any] = {
        "parent_model": "",
        "format": "gguf" if model.targets[0].provider.kind == "ollama" else "",
        "family": model.family,
        "families": [model.family],
        "parameter_size": facts.parameter_size or "",
        "quantization_level": facts.quantization or "",
    }
    if lengths and facts.context_length is not None:
        shown["context_length"] = facts.context_length
    if lengths and facts.embedding_length is not None:
        shown["embedding_length"] = facts.embedding_length
    return shown


def tags_answer(found: Iterable[Model]) -> dict[str, Any]:
    """The answer of `/api/tags`."""
    return {"models": [_tags_entry(model) for model in found]}


def _tags_entry(model: Model) -> dict[str, Any]:
    return {
        "name": model.tagged,
        "model": model.tagged,
        "modified_at": model.modified_at,
        "size": model.facts.size or 0,
        "digest": model.digest,
        "details": details(model, lengths=True),
        "capabilities": model.capabilities,
    }


def show_answer(model: Model, asked: str, basename: str | None = None) -> dict[str, Any]:
    """The answer of `/api/show` for the name `asked`. `basename`: what `general.basename` must be, if anything."""
    facts = model.facts
    shown = {
        "modelfile": f'# Modelfile generated by "ollama show"\n# served by {model.targets[0].name}\nFROM {asked}\n',
        "template": template(model.capabilities),
        "details": details(model),
        "model_info": model_info(model, basename or canonical(asked)),
        "capabilities": model.capabilities,
        "modified_at": model.modified_at,
    }
    if facts.context_length is not None:
        shown["parameters"] = f"{'num_ctx':<30} {facts.context_length}"
    return shown


def model_info(model: Model, basename: str) -> dict[str, Any]:
    """The metadata of a model, with only what is known: clients have their own default for an unknown context."""
    facts = model.facts
    info: dict[str, Any] = {"general.architecture": model.family, "general.basename": basename}
    if match := PARAMETERS.fullmatch((facts.parameter_size or "").strip()):
        info["general.parameter_count"] = round(float(match[1]) * UNITS[match[2].upper()])
    if facts.context_length is not None:
        info[f"{model.family}.context_length"] = facts.context_length
    if facts.embedding_length is not None:
        info[f"{model.family}.embedding_length"] = facts.embedding_length
    return info


def template(capabilities: Iterable[Capability]) -> str:
    """A template in which clients find what they look for: the word `tools`, and `.Suffix`.

    LiteLLM offers tools to models whose template says `tools`; Continue fills in the middle where it has `.Suffix`.
    """
    lines = ["{{ if .System }}{{ .System }}\n{{ end }}"]
    if "tools" in capabilities:
        lines.append("{{ if .Tools }}[tools]{{ .Tools }}[/tools]\n{{ end }}")
    if "insert" in capabilities:
        lines.append(
            "{{ if .Suffix }}[prefix]{{ .Prompt }}[suffix]{{ .Suffix }}{{ else }}{{ .Prompt }}{{ end }}"
        )
    else:
        lines.append("{{ .Prompt }}")
    return "".join(lines)


def ps_answer(catalogue: Catalogue, snapshot: Snapshot, now: float, epoch: float) -> dict[str, Any]:
    """The answer of `/api/ps`: the models with requests in flight, the one used last first."""
    busy = {name: state for name, state in snapshot.targets.items() if state.in_flight > 0}
    order = sorted(busy, key=lambda name: busy[name].last_used or 0.0, reverse=True)
    entries: dict[str, dict[str, Any]] = {}
    for name in order:
        provider, _, own_name = name.partition("/")
        if provider not in catalogue.providers or not catalogue.allowed(own_name, name):
            continue
        if not (catalogue.caller.may_use(provider) and catalogue.caller.may_ask_for(own_name)):
            continue
        place, listed = catalogue.providers[provider], catalogue.lists.get(provider)
        facts = resolve_facts(place, own_name, listed, catalogue.rules, catalogue.known)
        model = Model(own_name, (Target(place, facts),))
        used = epoch - (now - (busy[name].last_used or now))
        entries.setdefault(canonical(own_name), _ps_entry(model, used + LOADED_S))
    return {"models": list(entries.values())}


def _ps_entry(model: Model, expires: float) -> dict[str, Any]:
    size = model.facts.size or 0
    entry = {
        "name": model.tagged,
        "model": model.tagged,
        "size": size,
        "digest": model.digest,
        "details": details(model),
        "expires_at": rfc3339(expires),
        "size_vram": 0,
    }
    if model.facts.context_length is not None:
        entry["context_length"] = model.facts.context_length
    return entry


def rfc3339(epoch: float) -> str:
    """Epoch seconds as Ollama writes moments."""
    return (datetime(1970, 1, 1) + timedelta(seconds=epoch)).isoformat(timespec="microseconds") + "Z"


def openai_list(found: Iterable[Model]) -> dict[str, Any]:
    """The answer of `/v1/models`."""
    return {"object": "list", "data": [openai_entry(model, model.tagged) for model in found]}


def openai_entry(model: Model, name: str) -> dict[str, Any]:
    """One model in OpenAI's form, called `name`."""
    created = int(modified(model).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": model.targets[0].provider.name}
