"""ranking: in what order targets are asked, as things stand at one moment."""

from operator import itemgetter
from typing import NamedTuple, TypeAlias
from weakref import ReferenceType, ref

from attrs import frozen

from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Barred
from pipeline.values.exchange import Candidate, Preference, Turn
from pipeline.values.targets import Target
from stages.strategies import Sized, Strategy, View, by_turn, next_turns

# So long an order stands while nothing happens: from planning to calling, where a request need not wait.
MOMENT_S = 0.01


class Key(NamedTuple):
    """Where a candidate stands. All but the name make equals. `place`: in the client's wish; `barred`: not to be asked now."""

    group: int
    place: int
    barred: bool
    score: float
    priority: int
    name: str


Ranked: TypeAlias = list[tuple[Key, Candidate]]


@frozen
class Ranking:
    """How the candidates of one request are put in order: called again whenever the next one is to be asked.

    `cheapest_first`: the kinds of providers by how dear they usually are.
    """

    strategy: Strategy
    sized: Sized
    preference: Preference
    cheapest_first: tuple[str, ...] = ()

    def __call__(
        self, candidates: tuple[Candidate, ...], snapshot: Snapshot, now: float, roll: float
    ) -> tuple[Candidate, ...]:
        """Candidates in order: by group, then as the client prefers, then those that may be asked now, then by score.

        Among equals two are drawn by `roll`, and the one that will sooner be done with one more call goes first.
        """
        targets = tuple([candidate.target for candidate in candidates])
        view = View(targets, snapshot, self.sized, now, roll, self.cheapest_first)
        ranked = [(self._key(candidate, view), candidate) for candidate in candidates]
        ranked.sort(key=itemgetter(0))
        _draw(ranked, view)
        turns = _turns(ranked, view) if self.strategy is by_turn else {}
        return tuple([_scored(candidate, key.score, turns.get(key.name)) for key, candidate in ranked])

    def _key(self, candidate: Candidate, view: View) -> Key:
        target, wish = candidate.target, self.preference.providers
        provider = target.provider
        return Key(
            candidate.group,
            wish.index(provider.name) if provider.name in wish else len(wish),
            isinstance(view.eligibility(target), Barred),
            self.strategy(target, view),
            provider.priority,
            target.name,
        )


@frozen
class Standing:
    """A ranking with the order that it has just given, which is not reckoned again as long as nothing has happened."""

    ranking: Ranking
    ordered: tuple[Candidate, ...]
    seen: "ReferenceType[Snapshot]"  # a stream of minutes must not keep what was known when it began
    until: float

    @classmethod
    def of(
        cls, ranking: Ranking, ordered: tuple[Candidate, ...], snapshot: Snapshot, now: float
    ) -> "Standing":
        """The order of `ordered` as of `now`."""
        return cls(ranking, ordered, ref(snapshot), now + MOMENT_S)

    def __call__(
        self, candidates: tuple[Candidate, ...], snapshot: Snapshot, now: float, roll: float
    ) -> tuple[Candidate, ...]:
        """What the ranking says."""
        if self.seen() is snapshot and now <= self.until and candidates == self.ordered:
            return candidates
        return self.ranking(candidates, snapshot, now, roll)


def _scored(candidate: Candidate, score: float, turn: Turn | None) -> Candidate:
    if candidate.score == score and candidate.turn == turn:
        return candidate
    return Candidate(candidate.target, score, candidate.why, candidate.group, candidate.instead_of, turn)


def _draw(ranked: Ranked, view: View) -> None:
    """Put one of the first equals in front: of two drawn by chance the less busy. With one first there is no choice."""
    best = ranked[0][0][:-1] if ranked else None
    equal = len([key for key, _ in ranked if key[:-1] == best])
    if equal < 2:
        return
    one, other = divmod(int(view.roll * equal * (equal - 1)), equal - 1)
    other += other >= one
    chosen = min((one, other), key=lambda index: work_ahead(ranked[index][1], view))
    ranked.insert(0, ranked.pop(chosen))


def _turns(ranked: Ranked, view: View) -> dict[str, Turn]:
    """How a call moves on each of those that take turns. Who had no rival, had no turn."""
    rivals: dict[tuple[int, int], list[Target]] = {}
    for key, candidate in ranked:
        if not key.barred:
            rivals.setdefault((key.group, key.place), []).append(candidate.target)
    return {name: turn for targets in rivals.values() for name, turn in next_turns(targets, view).items()}


def work_ahead(candidate: Candidate, view: View) -> float:
    """How long all that runs there and one call more will take, for its weight."""
    state = view.snapshot.target(candidate.target.name)
    return state.latency.read(view.now) * (state.in_flight + 1) / view.weight(candidate.target)
