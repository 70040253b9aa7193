"""ranking: in what order targets are asked, as things stand at one moment."""

from typing import Any

from attrs import frozen

from pipeline.state.board import Snapshot
from pipeline.state.eligibility import Eligible, eligibility
from pipeline.values.exchange import Candidate, Preference
from pipeline.values.messages import Request
from stages.strategies import Strategy, View, by_turn, next_turn


@frozen
class Ranking:
    """How the candidates of one request are put in order: called again whenever the next one is to be asked.

    `cheapest_first`: the kinds of providers by how dear they usually are.
    """

    strategy: Strategy
    request: Request
    preference: Preference
    cheapest_first: tuple[str, ...] = ()

    def __call__(
        self, candidates: tuple[Candidate, ...], snapshot: Snapshot, now: float, roll: float
    ) -> tuple[Candidate, ...]:
        """Candidates in order: by group, then as the client prefers, then those that may be asked now, then by score.

        Among equals two are drawn by `roll`, and the one that will sooner be done with one more call goes first.
        """
        targets = tuple([candidate.target for candidate in candidates])
        view = View(targets, snapshot, self.request, now, roll, self.cheapest_first)
        scored = [self._scored(candidate, view) for candidate in candidates]
        if len(scored) > 1:
            scored.sort(key=lambda candidate: self._key(candidate, view))
            _draw(scored, view, self._key)
        return tuple(scored)

    def _scored(self, candidate: Candidate, view: View) -> Candidate:
        target = candidate.target
        turn = next_turn(target, view) if self.strategy is by_turn else None
        score = self.strategy(target, view)
        return Candidate(target, score, candidate.why, candidate.group, candidate.instead_of, turn)

    def _key(self, candidate: Candidate, view: View) -> tuple[Any, ...]:
        target, wish = candidate.target, self.preference.providers
        place = wish.index(target.provider.name) if target.provider.name in wish else len(wish)
        well = isinstance(eligibility(target, view.snapshot, view.now), Eligible)
        return (candidate.group, place, not well, candidate.score, target.provider.priority, target.name)


def _draw(candidates: list[Candidate], view: View, key: Any) -> None:
    """Put one of the first equals in front: of two drawn by chance the less busy. With one first there is no choice."""
    first = key(candidates[0], view)[:-1]
    equal = [candidate for candidate in candidates if key(candidate, view)[:-1] == first]
    if len(equal) < 2:
        return
    pairs = len(equal) * (len(equal) - 1)
    drawn = int(view.roll * pairs)
    one, other = divmod(drawn, len(equal) - 1)
    other += other >= one
    pair = (equal[one], equal[other])
    chosen = min(pair, key=lambda candidate: work_ahead(candidate, view))
    candidates.remove(chosen)
    candidates.insert(0, chosen)


def work_ahead(candidate: Candidate, view: View) -> float:
    """How long all that runs there and one call more will take, for its weight."""
    state = view.snapshot.target(candidate.target.name)
    return state.latency.read(view.now) * (state.in_flight + 1) / view.weight(candidate.target)
