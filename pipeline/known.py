"""What is known of models before anybody was asked: their facts, and under which names others have them."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from pipeline.identity import Identity, identity
from pipeline.names import Same, canonical
from pipeline.values.targets import ModelFacts, Price, Provider

# Names, each with what it means; and the same by model and variant.
Meanings: TypeAlias = tuple[tuple[Identity, str], ...]
Alike: TypeAlias = Mapping[tuple[str, str], Meanings]


@frozen(eq=False)
class Knowledge:
    """The catalogue: facts by provider kind and compared name, and what follows from the names.

    `shared`: the kinds among which a model counts as the same; a model of another kind stays where it is. `guessed`: those
    of them whose names are their vendor's own, so that an account may be asked by them while its list is not known.
    `tagged`: those whose models have tags, so that `:latest` is a part of their names.
    `cheapest_first`: the kinds by how dear they usually are, for models without a known price. `home`: the kinds of servers
    that run models on one's own machines, where nobody is paid by the token.
    """

    models: Mapping[str, Mapping[str, ModelFacts]] = field(factory=dict)
    shared: frozenset[str] = frozenset()
    guessed: frozenset[str] = frozenset()
    tagged: frozenset[str] = frozenset()
    cheapest_first: tuple[str, ...] = ()
    home: frozenset[str] = frozenset()
    _alike: Mapping[str, Alike] = field(init=False, repr=False)

    @_alike.default
    def _by_meaning(self) -> Mapping[str, Alike]:
        return {kind: alike(facts.name for facts in named.values()) for kind, named in self.models.items()}

    def facts(self, kind: str, name: str) -> ModelFacts | None:
        """The facts of `name`; else those of the model it is a snapshot, a region's profile or a variant of.

        A variant has a price of its own, so none is told for it.
        """
        named = self.models.get(kind)
        if not named:
            return None
        if own := named.get(canonical(name)):
            return own
        wanted, known = identity(name), self._alike[kind]
        if nearest := _nearest(wanted, known):
            return named[canonical(nearest)]
        nearest = _nearest(evolve(wanted, variant=""), known) if wanted.variant else None
        return evolve(named[canonical(nearest)], price=None) if nearest else None

    def at_home(self, provider: Provider, name: str) -> bool:
        """Whether a model runs on an own machine: those that such a server only hands on say so by their names."""
        if provider.kind not in self.home or name.lower().endswith(("-cloud", ":cloud")):
            return False
        return (urlsplit(provider.base_url).hostname or "") not in HOSTED

    def shares(self, kind: str, wanted: Identity) -> bool:
        """Whether providers of this kind are known to have the model, and others may have the same."""
        return kind in self.shared and bool(_meaning(wanted, self._alike.get(kind, {})))

    def name_at(
        self, provider: Provider, wanted: Identity, listed: tuple[ModelFacts, ...] | None, exact: bool = False
    ) -> str | None:
        """The name under which `provider` has the model: by its own list, or by the vendor's where that is not known.

        A snapshot that was asked for is never another one: it is the same, or (unless `exact`) a name that leaves it open.
        """
        if provider.kind not in self.shared:
            return None
        if listed:
            names = _listed_alike(Same(listed))
        elif provider.kind in self.guessed:
            names = self._alike.get(provider.kind, {})
        else:
            return None
        region = str(provider.settings.get("region") or "")
        return _best(wanted, _meaning(wanted, names), region, exact)


NOTHING_KNOWN = Knowledge()
# Who runs the same server as a service.
HOSTED = frozenset({"ollama.com", "www.ollama.com"})
FREE = Price(0.0, 0.0)


def near(name: str, provider: Provider) -> bool:
    """Whether `name` itself says that it leads to the region of `provider`, or to all: `us.anthropic.claude-...`."""
    region = str(provider.settings.get("region") or "")
    return bool(region) and _distance(name.strip().lower(), region) in (0, 2)


def alike(names: Iterable[str]) -> Alike:
    """`names` by what they mean."""
    found: dict[tuple[str, str], list[tuple[Identity, str]]] = {}
    for name in names:
        means = identity(name)
        found.setdefault((means.model, means.variant), []).append((means, name))
    return {key: tuple(meanings) for key, meanings in found.items()}


@lru_cache(maxsize=256)
def _listed_alike(same: Same) -> Alike:
    return alike(facts.name for facts in same.listed)


def _meaning(wanted: Identity, names: Alike) -> Meanings:
    """Those of `names` that mean the wanted model, of whichever snapshot; none where two makers have a model of that name."""
    near = names.get((wanted.model, wanted.variant), ())
    meanings = tuple(pair for pair in near if pair[0].agrees(wanted))
    makers = {means.maker for means, _ in meanings if means.maker}
    return () if len(makers) > 1 and not wanted.maker else meanings


def _best(wanted: Identity, meanings: Meanings, region: str = "", exact: bool = False) -> str | None:
    """The best of the names that one provider has for a model."""
    snapshots = {means.snapshot for means, _ in meanings}
    if wanted.snapshot in snapshots:
        chosen = wanted.snapshot
    elif not wanted.snapshot and snapshots:
        chosen = max(snapshots)
    elif "" in snapshots and not exact:
        chosen = ""
    else:
        return None
    names = [name for means, name in meanings if means.snapshot == chosen]
    return min(names, key=lambda name: (_distance(name, region), len(name), name))


def _nearest(wanted: Identity, names: Alike) -> str | None:
    """The name whose facts fit best: of the same snapshot, of none, of the newest."""
    meanings = _meaning(wanted, names)
    return _best(wanted, meanings) or _best(evolve(wanted, snapshot=""), meanings)


def _distance(name: str, region: str) -> int:
    """How far from `region` a name leads: `us.anthropic.claude...` stays near `us-east-1`."""
    place, _, rest = name.partition(".")
    if "." not in rest:
        return 1
    if region and region[:2] == place[:2]:
        return 0
    return 2 if place == "global" else 3
